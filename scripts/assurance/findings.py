"""Run every detector of Slither over the contracts, and fail on a finding that nobody explained.

    python scripts/assurance/findings.py

`contracts/slither.toml` says of each finding why it is no fault. It names places, not lines, so a
change elsewhere leaves it true. What is explained there and found no longer fails as well.
"""

import inspect
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.assurance.toolchain import CONTRACTS, read_contracts

EXPLAINED = CONTRACTS / "slither.toml"


def find() -> Iterator[tuple[str, str, str]]:
    """Yield detector, place and description of each finding."""
    from slither.detectors import all_detectors
    from slither.detectors.abstract_detector import AbstractDetector

    slither = read_contracts()
    for _, member in inspect.getmembers(all_detectors, inspect.isclass):
        if issubclass(member, AbstractDetector):
            slither.register_detector(member)
    for results in slither.run_detectors():
        for result in results:
            yield result["check"], _place(result["elements"][0]), result["description"].strip()


def _place(element: Mapping[str, Any]) -> str:
    """Name an element by what it lies in: contract, function, variable."""
    parent = element.get("type_specific_fields", {}).get("parent")
    outer = f"{_place(parent)}." if parent and parent["type"] in ("contract", "function") else ""
    return f"{outer}{element['name']}"


def explained() -> Counter[tuple[str, str]]:
    """Return how often a detector is expected to find something at a place."""
    rows = tomllib.loads(EXPLAINED.read_text(encoding="utf-8"))["explained"]
    return Counter((row["detector"], place) for row in rows for place in row["places"])


def main() -> int:
    """Compare; 0 if what is found is what is explained, else 1."""
    texts: dict[tuple[str, str], list[str]] = defaultdict(list)
    for detector, place, text in find():
        texts[detector, place].append(text)
    found = Counter({key: len(described) for key, described in texts.items()})
    expected = explained()
    for detector, place in sorted(found - expected):
        print(f"not explained: {detector} at {place}", *texts[detector, place], sep="\n    ")
    for detector, place in sorted(expected - found):
        print(f"found no longer: {detector} at {place}: take it out of {EXPLAINED.name}")
    print(f"{found.total()} findings by {len({d for d, _ in found})} detectors", end=", ")
    print("all explained" if found == expected else f"see {EXPLAINED}")
    return int(found != expected)


if __name__ == "__main__":
    raise SystemExit(main())
