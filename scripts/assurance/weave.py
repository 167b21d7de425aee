"""Weave many mutants into one source, so that one compilation serves them all.

Each mutated statement becomes a choice, and the block's coinbase says which mutant is live: zero,
its value unless a test is told otherwise, is the contract as it was written. (Mutant schemata:
Untch, Offutt, Harrold, "Mutation analysis using mutant schemata", 1993.)
"""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NamedTuple

SELECTOR = "src/Mutation.sol"
# Reading the block is not pure, and most of what is mutated is: hence the cast.
SELECTOR_SOURCE = """pragma solidity 0.8.37;

function mutated(uint256 number) pure returns (bool) {
    function(uint256) internal view returns (bool) looked = selected;
    function(uint256) internal pure returns (bool) asPure;
    assembly { asPure := looked }
    return asPure(number);
}

function selected(uint256 number) view returns (bool) {
    return uint160(address(block.coinbase)) == number;
}
"""

_PLAIN = ("ExpressionStatement", "Return", "RevertStatement", "EmitStatement", "InlineAssembly")
_CONDITIONED = ("IfStatement", "WhileStatement", "DoWhileStatement", "ForStatement")


class Span(NamedTuple):
    """Bytes of a file, from start to end."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Host:
    """A piece of a source that can be exchanged for a choice.

    `kind` is "statement", "declaration", "condition" (any expression), or "open" for an assembly
    block, which no semicolon ends. A declaration has its variables: where each is declared (None
    for a gap), and its name.
    """

    kind: str
    span: Span
    value: Span | None = None
    variables: tuple[tuple[Span, str] | None, ...] = ()


def find_hosts(node: object) -> Iterator[Host]:
    """Yield what can be woven in a file's syntax tree, as solc prints it."""
    if isinstance(node, list):
        for child in node:
            yield from find_hosts(child)
    if not isinstance(node, dict):
        return
    kind = node.get("nodeType")
    if kind in _PLAIN:
        yield Host("open" if kind == "InlineAssembly" else "statement", _span(node))
    if kind == "VariableDeclarationStatement" and node.get("initialValue"):
        variables = tuple(v and (_span(v), str(v["name"])) for v in node["declarations"])
        yield Host("declaration", _span(node), _span(node["initialValue"]), variables)
    if kind in _CONDITIONED and node.get("condition"):
        yield Host("condition", _span(node["condition"]))
    step = node.get("loopExpression")
    if kind == "ForStatement" and step:
        yield Host("condition", _span(step["expression"]))
    for key, child in node.items():
        # A loop's head holds statements that no block may take the place of.
        if key not in ("loopExpression", "initializationExpression"):
            yield from find_hosts(child)


def _span(node: Mapping[str, Any]) -> Span:
    start, length, _ = (int(part) for part in node["src"].split(":"))
    # Alone among the statements, a bare return takes in its semicolon.
    bare = node["nodeType"] == "Return" and not node.get("expression")
    return Span(start, start + length - bare)


def rewrite(host: Host, source: str, span: Span, text: str) -> str | None:
    """Return what takes the host's place once `text` stands in for a span of the source.

    None: nothing that the host could hold, or nothing else than it holds already.
    """
    if host.kind == "declaration":
        return _rewrite_value(host, source, span, text)
    if text.startswith("//"):
        # What is commented out is left out: a comment would swallow what stands behind it, too.
        if host.kind != "open" and (host.kind == "condition" or span != host.span):
            return None
        text = ""
    old = source[host.span.start : host.span.end]
    new = source[host.span.start : span.start] + text + source[span.end : host.span.end]
    return None if "".join(new.split()) == "".join(old.split()) else new


def _rewrite_value(host: Host, source: str, span: Span, text: str) -> str | None:
    """The value that is assigned instead, empty if none is; what is declared stays as it is."""
    assert host.value is not None
    new = source[host.span.start : span.start] + text + source[span.end : host.span.end]
    declared = re.compile(r"\s*\(?\s*[\w.\[\]]+(\s+(memory|storage|calldata))?\s+\w+|\s*\(\s*,")
    if not declared.match(new):
        return None
    _, equals, value = new.partition("=")
    if not equals and re.search(r"\s(storage|calldata)\s", new):
        return None  # solc refuses a reference to nothing
    old = source[host.value.start : host.value.end]
    return None if "".join(value.split()) == "".join(old.split()) else value.strip()


class Woven(NamedTuple):
    """A source with its mutants, and where each of them lies in it."""

    text: str
    places: list[tuple[Span, int]]


def weave(name: str, source: str, mutants: Iterable[tuple[int, Host, str]]) -> Woven:
    """Weave numbered mutants, each a host and what takes its place, into one source file."""
    by_host: dict[Host, list[tuple[int, str]]] = defaultdict(list)
    for number, host, text in mutants:
        by_host[host].append((number, text))
    selector = os.path.relpath(SELECTOR, PurePosixPath(name).parent)
    selector = selector if selector.startswith(".") else f"./{selector}"
    parts: list[str] = []
    places: list[tuple[Span, int]] = []
    written = done = 0

    def add(text: str, number: int | None = None) -> None:
        nonlocal written
        parts.append(text)
        if number is not None:
            places.append((Span(written, written + len(text)), number))
        written += len(text)

    for host in sorted(by_host, key=lambda host: host.span):
        add(source[done : host.span.start])
        choices = by_host[host]
        old = source[host.span.start : host.span.end]
        done = host.span.end
        if host.kind == "condition":
            for number, text in choices:
                add(f"(mutated({number}) ? ({text}\n)", number)
                add(" : ")
            add(f"({old}){')' * len(choices)}")
            continue
        target, brace, close = "", "{ ", "}"
        if host.kind == "declaration":
            target, brace, close = _declare(host, source, add), "", ""
            assert host.value is not None
            old = source[host.value.start : host.value.end]
        end = "" if host.kind == "open" else ";"
        if end:
            done = source.index(end, done) + 1
        add(brace)
        for number, text in choices:
            add(f"if (mutated({number})) {{ ")
            add(f"{target}{text}\n{end}" if text else "", number)
            add("} else ")
        add(f"{{ {target}{old}{end} }}{close}")
    add(source[done:])
    add(f'\nimport {{mutated}} from "{selector}";\n')
    return Woven("".join(parts), places)


def _declare(host: Host, source: str, add: Callable[[str], None]) -> str:
    """Declare the host's variables without a value, and return what assigns to them."""
    for variable in host.variables:
        if variable is not None:
            add(f"{source[variable[0].start : variable[0].end]}; ")
    names = [variable[1] if variable else "" for variable in host.variables]
    return f"{names[0]} = " if len(names) == 1 else f"({', '.join(names)}) = "
