"""All mutants of the contracts that slither-mutate's operators make and the compiler takes."""

import hashlib
import inspect
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.assurance.toolchain import CONTRACTS, PACKAGES, read_contracts, solc
from scripts.assurance.weave import (
    SELECTOR,
    SELECTOR_SOURCE,
    Host,
    Span,
    Woven,
    find_hosts,
    rewrite,
    weave,
)

if TYPE_CHECKING:
    from slither import Slither


@dataclass(frozen=True, slots=True)
class Mutant:
    """A mutant: in a file, what stands in a host's place instead."""

    name: str
    file: str
    line: int
    operator: str
    host: Host
    old: str
    new: str

    def to_json(self) -> dict[str, Any]:
        """Return the mutant as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Mutant":
        """Return the mutant that `to_json` wrote down."""
        host = dict(fields["host"])
        host["span"] = Span(*host["span"])
        host["value"] = Span(*host["value"]) if host["value"] else None
        variables = [v and (Span(*v[0]), str(v[1])) for v in host["variables"]]
        return cls(**{**fields, "host": Host(**{**host, "variables": tuple(variables)})})


def read_sources() -> dict[str, str]:
    """Return the contracts' own sources by path; a character is a byte, as in solc's offsets."""
    files = sorted((CONTRACTS / "src").rglob("*.sol"))
    return {str(f.relative_to(CONTRACTS)): f.read_bytes().decode("latin-1") for f in files}


def find_mutants() -> list[Mutant]:
    """Return every mutant that compiles, in the order of the sources."""
    slither = read_contracts()
    sources = read_sources()
    outside = {
        str(path.relative_to(PACKAGES)): text
        for path, text in ((Path(p), t) for p, t in slither.source_code.items())
        if path.is_relative_to(PACKAGES.resolve()) or path.is_relative_to(PACKAGES)
    }
    placed = _place(sources, _trees(sources | outside), _patches(slither))
    return _compiling(sources, outside, _parsing(placed))


def _patches(slither: "Slither") -> Iterator[tuple[str, str, int, int, str]]:
    """Yield operator, file, start, end and new text of all that slither-mutate would try."""
    from slither.tools.mutator.mutators import LIR, all_mutators
    from slither.tools.mutator.mutators.abstract_mutator import AbstractMutator

    operators: list[Any] = [
        member
        for _, member in inspect.getmembers(all_mutators, inspect.isclass)
        if issubclass(member, AbstractMutator)
    ]
    for unit in slither.compilation_units:
        for contract in unit.contracts:
            path = Path(contract.source_mapping.filename.absolute)
            if contract.is_interface or not path.is_relative_to(CONTRACTS / "src"):
                continue
            for operator in operators:
                LIR.literal_replacements.clear()  # it keeps those of other types
                try:
                    patches = operator(unit, 0, "", "", contract, None, False, path, [])._mutate()
                except IndexError:  # ROR, where the operator is not in the source, as in assembly
                    continue
                for patch in patches.get("patches", {}).get(str(path), []):
                    file = str(path.relative_to(CONTRACTS))
                    yield operator.NAME, file, patch["start"], patch["end"], patch["new_string"]


def _trees(sources: Mapping[str, str]) -> dict[str, Any]:
    return {
        name: part["ast"]
        for name, part in solc(_request(sources, {"": ["ast"]}))["sources"].items()
    }


def _request(sources: Mapping[str, str], outputs: Mapping[str, list[str]]) -> dict[str, Any]:
    return {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in sources.items()},
        "settings": {"evmVersion": "cancun", "outputSelection": {"*": dict(outputs)}},
    }


def _place(
    sources: Mapping[str, str],
    trees: Mapping[str, Any],
    patches: Iterable[tuple[str, str, int, int, str]],
) -> Iterator[Mutant]:
    """Put each patch into the least host that holds it; leave out repeats, and what none holds."""
    hosts = {name: list(find_hosts(trees[name])) for name in sources}
    seen: dict[tuple[str, Host, str], int] = {}
    repeats: dict[tuple[str, str, str], int] = defaultdict(int)
    for operator, file, start, end, text in sorted(
        patches, key=lambda p: (p[1], p[2], p[3], p[0], p[4])
    ):
        holders = [h for h in hosts[file] if h.span.start <= start and end <= h.span.end]
        if not holders:
            continue
        host = min(holders, key=lambda h: h.span.end - h.span.start)
        source = sources[file]
        new = rewrite(host, source, Span(start, end), text)
        if new is None or (file, host, new) in seen:
            continue
        seen[file, host, new] = 1
        old = source[host.span.start : host.span.end]
        # Named by what it changes, not by where: a line more above leaves the sample as it is.
        repeats[file, old, new] += 1
        key = "\0".join((file, old, new, str(repeats[file, old, new])))
        name = hashlib.sha256(key.encode()).hexdigest()[:12]
        line = source.count("\n", 0, host.span.start) + 1
        yield Mutant(name, file, line, operator, host, old, new)


def _parsing(mutants: Iterable[Mutant]) -> list[Mutant]:
    """Return the mutants that parse, each tried alone: a file's first error hides the others."""
    forms = {
        "statement": "{};",
        "open": "{}",
        "condition": "if ({}\n) {{}}",
        "declaration": "x = {};",
    }
    left = {str(number): mutant for number, mutant in enumerate(mutants)}
    while True:
        files = {
            number: f"function f() {{ {forms[m.host.kind].format(m.new or 'x')}\n}}"
            for number, m in left.items()
        }
        request = _request(files, {})
        request["settings"]["stopAfter"] = "parsing"
        errors = _errors(solc(request))
        if not errors:
            return list(left.values())
        for file in {error["sourceLocation"]["file"] for error in errors}:
            del left[file]


def _compiling(
    sources: Mapping[str, str], outside: Mapping[str, str], mutants: Iterable[Mutant]
) -> list[Mutant]:
    """Return the mutants that compile: weave all, leave out where errors are, and again."""
    left = dict(enumerate(mutants))
    while True:
        woven = weave_all(sources, left.items())
        texts = {name: part.text for name, part in woven.items()}
        request = _request({**outside, **texts, SELECTOR: SELECTOR_SOURCE}, {"*": ["abi"]})
        errors = _errors(solc(request))
        if not errors:
            return list(left.values())
        bad: set[int] = set()
        for error in errors:
            place = error["sourceLocation"]
            part = woven[place["file"]]
            inside = {n for span, n in part.places if span.start <= place["start"] <= span.end}
            # A reference that is never assigned is complained of elsewhere in its function: where
            # it is declared or used, and not where the statement that assigns it was left out.
            begin = part.text.rfind("\n    function ", 0, place["start"])
            end = (part.text + "\n    function ").find("\n    function ", place["start"])
            inside = inside or {
                n
                for span, n in part.places
                if begin < span.start < end
                if not re.search(r"=|revert", left[n].new)
                and re.match(r"return\b|\w+ = |assembly", left[n].old)
            }
            if not inside:
                raise RuntimeError(f"no mutant's error: {error['formattedMessage']}")
            bad |= inside
        for number in bad:
            del left[number]


def _errors(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [error for error in answer.get("errors", []) if error["severity"] == "error"]


def weave_all(
    sources: Mapping[str, str], mutants: Iterable[tuple[int, Mutant]]
) -> dict[str, Woven]:
    """Weave numbered mutants into all sources, those without one as they are."""
    by_file: dict[str, list[tuple[int, Host, str]]] = defaultdict(list)
    for number, mutant in mutants:
        by_file[mutant.file].append((number, mutant.host, mutant.new))
    return {name: weave(name, text, by_file[name]) for name, text in sources.items()}
