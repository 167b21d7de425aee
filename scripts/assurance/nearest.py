"""Which tests are near a module: those named after it, those that import it, and those of the whole
that it is a part of.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# Their tests start processes, or do not test the packages.
FAR = ("tests/e2e", "tests/chaos", "tests/contracts", "tests/scripts", "tests/vectors")
# What is tested best by tests of whole federations, which take longer.
WHOLE = {
    "ledger/audit": (
        "tests/ledger/audit",
        "tests/ledger/sealing/test_audit.py",
        "tests/tamper/test_tampering.py",
    ),
}


@dataclass(frozen=True, slots=True)
class Tests:
    """Files of tests: those to run first, those to run if none of the first fails, and the last."""

    named: tuple[str, ...]
    others: tuple[str, ...]
    whole: tuple[str, ...]


def nearest(root: Path, file: str) -> Tests:
    """Return the tests called `test_<module>`, then those of its folder and those that import it.

    All of them are from the part of `tests/` that mirrors the module's package. The last are the
    tests of the whole, wherever they are.
    """
    path = Path(file)
    stem = path.parent.name if path.stem == "__init__" else path.stem
    imports = {
        test: names for test, names in _imports(root).items() if test.split("/")[1] == path.parts[0]
    }
    folder = Path("tests") / path.parent
    named = [
        t for t in imports if Path(t).stem == f"test_{stem}" and Path(t).is_relative_to(folder)
    ]
    others = [
        test
        for test, names in imports.items()
        if test not in named
        and (module(path) in names or (len(path.parts) > 2 and Path(test).parent == folder))
    ]
    parts = next((parts for of, parts in WHOLE.items() if path.is_relative_to(of)), ())
    whole = [test for part in parts for test in _imports(root) if Path(test).is_relative_to(part)]
    return Tests(tuple(named), tuple(others), tuple(whole))


@cache
def _imports(root: Path) -> Mapping[str, frozenset[str]]:
    """Return the modules that each file of tests imports."""
    files = {
        str(path.relative_to(root)): path for path in sorted((root / "tests").rglob("test_*.py"))
    }
    return {
        name: frozenset(_imported(path))
        for name, path in files.items()
        if not name.startswith(FAR) and len(Path(name).parts) > 2
    }


def _imported(path: Path) -> Iterator[str]:
    """Yield what a file imports: a module, or a name that may be one."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(str() as module, names, 0):
                yield module
                yield from (f"{module}.{alias.name}" for alias in names)


def module(path: Path) -> str:
    """Return the name under which a file is imported."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
