"""Mutants of Python modules: small changes of a syntax tree.

An operator gets a node and yields what may stand in its place. Annotations, decorators, assertions
and the texts of errors stay as they are: they say what cannot happen or what a person reads.
"""

import ast
import copy
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from types import CodeType

# What a mutant's text is cut out of: a statement, or the heading of one that holds others.
HOSTS = (ast.stmt, ast.match_case, ast.ExceptHandler)
NESTED = {"body", "orelse", "finalbody", "handlers", "cases"}
SKIPPED_FIELDS = {"annotation", "returns", "decorator_list", "bases"}
COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}
FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}
# The order of their arguments makes no difference, or only to a type checker.
SYMMETRIC = {"min", "max", "gcd", "isinstance", "issubclass", "cast"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A mutant: what stands in a statement's place instead, and its number among its file's."""

    name: str
    file: str
    line: int
    operator: str
    old: str
    new: str
    number: int


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in a tree that holds a node."""

    parent: ast.AST
    field: str
    index: int | None

    def get(self) -> ast.AST:
        """Return the node in this place."""
        value = getattr(self.parent, self.field)
        return value if self.index is None else value[self.index]  # type: ignore[no-any-return]

    def put(self, node: ast.AST) -> None:
        """Put a node into this place."""
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


@dataclass(frozen=True, slots=True)
class Change:
    """A change that is in force: the place of its statement, and that statement's text before."""

    operator: str
    host: Slot
    line: int
    old: str


def find_mutants(file: str, source: str) -> list[Mutant]:
    """Return every mutant of a module once, in the order of its text."""
    mutants = []
    seen = set()
    repeats: dict[tuple[str, str], int] = defaultdict(int)
    for number, change in enumerate(changes(ast.parse(source))):
        new = text(change.host.get())
        if new == change.old or (change.host, new) in seen:
            continue
        seen.add((change.host, new))
        # Named by what it changes, not by where: a line more above leaves the sample as it is.
        repeats[change.old, new] += 1
        key = "\0".join((file, change.old, new, str(repeats[change.old, new])))
        name = hashlib.sha256(key.encode()).hexdigest()[:12]
        mutants.append(Mutant(name, file, change.line, change.operator, change.old, new, number))
    return mutants


def compile_mutant(source: str, number: int, path: str) -> CodeType:
    """Compile a module with the change of this number in force."""
    tree = ast.parse(source)
    for found, _ in enumerate(changes(tree)):
        if found == number:
            return compile(ast.fix_missing_locations(tree), path, "exec")
    raise IndexError(f"{path} has no change {number}")


def changes(tree: ast.Module) -> Iterator[Change]:
    """Put each change of a tree in force, one at a time, and yield it; then take it back."""
    texts: dict[Slot, str] = {}
    for slot, host in _slots(tree, Slot(tree, "body", 0)):
        node = slot.get()
        line = getattr(node, "lineno", getattr(host.get(), "lineno", 1))
        for operator, find in OPERATORS.items():
            for new in find(node, slot):
                if host not in texts:
                    texts[host] = text(host.get())
                slot.put(new)
                yield Change(operator, host, line, texts[host])
                slot.put(node)


def text(node: ast.AST) -> str:
    """Return a statement on one line, without the statements that it holds."""
    heading = copy.copy(node)
    for field, value in ast.iter_fields(node):
        if isinstance(value, list) and field in {
            "body",
            "orelse",
            "finalbody",
            "handlers",
            "cases",
        }:
            setattr(heading, field, [ast.Pass()] if field == "body" else [])
        if field == "decorator_list":
            setattr(heading, field, [])
    return " ".join(ast.unparse(heading).split())


def _slots(node: ast.AST, host: Slot) -> Iterator[tuple[Slot, Slot]]:
    for field, value in ast.iter_fields(node):
        if field in SKIPPED_FIELDS or (field == "keywords" and isinstance(node, ast.ClassDef)):
            continue
        places = range(len(value)) if isinstance(value, list) else (None,)
        for slot in (Slot(node, field, index) for index in places):
            child = slot.get()
            if not isinstance(child, ast.AST) or _kept(child):
                continue
            inner = slot if isinstance(child, HOSTS) else host
            yield slot, inner
            if not isinstance(child, ast.Raise):
                yield from _slots(child, inner)


def _kept(node: ast.AST) -> bool:
    """Whether a node stays as it is: assertions, and what a type checker or a person reads."""
    match node:
        case ast.Assert() | ast.Import() | ast.ImportFrom() | ast.JoinedStr():
            return True
        case ast.Expr(value=ast.Constant()):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.keyword(arg="strict"):  # zip's assertion
            return True
    return False


def _comparison(node: ast.AST, _: Slot) -> Iterator[ast.AST]:
    if isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            for other in COMPARISONS[type(operator)]:
                ops = [*node.ops[:index], other(), *node.ops[index + 1 :]]
                yield ast.Compare(node.left, ops, node.comparators)


def _arithmetic(node: ast.AST, _: Slot) -> Iterator[ast.AST]:
    match node:
        case ast.BinOp(left, operator, right) if not (_is_text(left) or _is_text(right)):
            if type(operator) in ARITHMETIC:
                yield ast.BinOp(left, ARITHMETIC[type(operator)](), right)
            if isinstance(operator, ast.FloorDiv):
                yield _rounded_up(left, right)
        case ast.AugAssign(target, operator, value) if type(operator) in ARITHMETIC:
            yield ast.AugAssign(target, ARITHMETIC[type(operator)](), value)
        case ast.UnaryOp(ast.USub() | ast.Invert(), operand):
            yield operand


def _rounded_up(left: ast.expr, right: ast.expr) -> ast.expr:
    below = ast.BinOp(ast.UnaryOp(ast.USub(), left), ast.FloorDiv(), right)
    return ast.UnaryOp(ast.USub(), below)


def _boolean(node: ast.AST, _: Slot) -> Iterator[ast.AST]:
    match node:
        case ast.BoolOp(operator, values):
            yield ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values)
            for index in range(len(values)):
                rest = values[:index] + values[index + 1 :]
                yield ast.BoolOp(operator, rest) if len(rest) > 1 else rest[0]
        case ast.UnaryOp(ast.Not(), operand):
            yield operand
        case ast.Constant(bool() as value):
            yield ast.Constant(not value)


def _constant(node: ast.AST, _: Slot) -> Iterator[ast.AST]:
    match node:
        case ast.Constant(bool()):
            return
        case ast.Constant(int() | float() as value):
            yield ast.Constant(value + 1)
            yield ast.Constant(value - 1)


def _condition(node: ast.AST, slot: Slot) -> Iterator[ast.AST]:
    """Negate a condition, unless that is a comparison's own mutant or the dropped `not`."""
    plain = isinstance(node, ast.Constant | ast.UnaryOp)
    single = isinstance(node, ast.Compare) and len(node.ops) == 1
    if slot.field in {"test", "ifs", "guard"} and isinstance(node, ast.expr):
        yield from [] if plain or single else [ast.UnaryOp(ast.Not(), node)]


def _return(node: ast.AST, _: Slot) -> Iterator[ast.AST]:
    match node:
        case ast.Return(None) | ast.Return(ast.Constant()):
            return
        case ast.Return(ast.Compare() | ast.BoolOp() | ast.UnaryOp(ast.Not())):
            return  # they have mutants of their own, which are closer to a slip
        case ast.Return():
            yield ast.Return(ast.Constant(None))


def _statement(node: ast.AST, _: Slot) -> Iterator[ast.AST]:
    """Leave out a statement whose absence is no error in itself; go on instead of stopping."""
    match node:
        case ast.Expr() | ast.AugAssign() | ast.Delete() | ast.Return(None):
            yield ast.Pass()
        case ast.Assign(targets) if all(
            isinstance(t, ast.Attribute | ast.Subscript) for t in targets
        ):
            yield ast.Pass()
        case ast.Continue():
            yield from (ast.Pass(), ast.Break())
        case ast.Break():
            yield from (ast.Pass(), ast.Continue())


def _raise(node: ast.AST, _: Slot) -> Iterator[ast.AST]:
    if isinstance(node, ast.Raise):
        yield ast.Pass()


def _arguments(node: ast.AST, _: Slot) -> Iterator[ast.AST]:
    match node:
        case ast.Call(func, args, keywords):
            name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
            if name in FUNCTIONS and isinstance(func, ast.Name):
                yield ast.Call(ast.Name(FUNCTIONS[name], ast.Load()), args, keywords)
            if name in SYMMETRIC or any(isinstance(arg, ast.Starred) for arg in args):
                return
            for index, (first, second) in enumerate(pairwise(args)):
                yield ast.Call(func, [*args[:index], second, first, *args[index + 2 :]], keywords)


def _slice(node: ast.AST, _: Slot) -> Iterator[ast.AST]:
    if not isinstance(node, ast.Slice):
        return
    for bound, moved in ((node.lower, _lower), (node.upper, _upper)):
        if bound is None:
            continue
        yield moved(node, None)
        if not isinstance(bound, ast.Constant):
            yield moved(node, ast.BinOp(bound, ast.Add(), ast.Constant(1)))
            yield moved(node, ast.BinOp(bound, ast.Sub(), ast.Constant(1)))


def _lower(node: ast.Slice, bound: ast.expr | None) -> ast.Slice:
    return ast.Slice(bound, node.upper, node.step)


def _upper(node: ast.Slice, bound: ast.expr | None) -> ast.Slice:
    return ast.Slice(node.lower, bound, node.step)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    )


Operator = Callable[[ast.AST, Slot], Iterator[ast.AST]]

OPERATORS: dict[str, Operator] = {
    "comparison": _comparison,
    "arithmetic": _arithmetic,
    "boolean": _boolean,
    "constant": _constant,
    "condition": _condition,
    "return": _return,
    "statement": _statement,
    "raise": _raise,
    "arguments": _arguments,
    "slice": _slice,
}
