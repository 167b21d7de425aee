"""A campaign against mutants: which are drawn, what became of each, and the score.

Outcomes are kept as a line of JSON each. A campaign that was stopped continues from them.
"""

import argparse
import hashlib
import json
import math
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Protocol, TypeVar


class Mutant(Protocol):
    """What a campaign reads of a mutant."""

    @property
    def name(self) -> str: ...
    @property
    def file(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def operator(self) -> str: ...
    @property
    def old(self) -> str: ...
    @property
    def new(self) -> str: ...


M = TypeVar("M", bound=Mutant)
Equivalents = Mapping[tuple[str, str, str], str]
"""Why some mutants are no faults, by file, old and new text."""

# Outcomes that are no mutant's: a module that does not even load runs no test.
VOID = "void"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a mutant: killed by which test, timeout, survived, void, or unbuilt."""

    status: str
    by: str
    seconds: float


class Journal:
    """What is known of each mutant; the newest line of a mutant counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self.outcomes: dict[str, Outcome] = {}
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                fields = json.loads(line)
                self.outcomes[fields["name"]] = Outcome(
                    fields["status"], fields["by"], fields["seconds"]
                )

    def write(self, mutant: Mutant, outcome: Outcome) -> None:
        """Keep an outcome, with what a reader wants to see of the mutant."""
        fields = {
            "name": mutant.name,
            "status": outcome.status,
            "by": outcome.by,
            "seconds": outcome.seconds,
            "operator": mutant.operator,
            "place": f"{mutant.file}:{mutant.line}",
            "old": mutant.old,
            "new": mutant.new,
        }
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            self.outcomes[mutant.name] = outcome
            file.write(json.dumps(fields) + "\n")

    def waiting(
        self, mutants: Iterable[M], equivalents: Equivalents, *, again: bool = False
    ) -> list[M]:
        """Return the mutants to try: the new ones, and `again` the unexplained survivors."""
        return [
            mutant
            for mutant in mutants
            if mutant.name not in self.outcomes
            or (
                (again and self.outcomes[mutant.name].status == "survived")
                and (mutant.file, mutant.old, mutant.new) not in equivalents
            )
        ]


def draw(mutants: Iterable[M], size: int, seed: int) -> list[M]:
    """Draw from each file its share of a sample, at least one mutant; a larger sample adds to it.

    A size of 0 takes all. However far one gets, what was tried so far is such a sample as well.
    """
    by_file: dict[str, list[M]] = defaultdict(list)
    for mutant in mutants:
        by_file[mutant.file].append(mutant)
    total = sum(map(len, by_file.values()))
    drawn: list[tuple[float, M]] = []
    for group in by_file.values():
        group.sort(key=lambda m: hashlib.sha256(f"{seed} {m.name}".encode()).digest())
        share = max(1, round(size * len(group) / total)) if size else len(group)
        drawn += [((rank + 0.5) / share, mutant) for rank, mutant in enumerate(group[:share])]
    return [mutant for _, mutant in sorted(drawn, key=lambda pair: pair[0])]


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson, 1927)."""
    z = 1.959964
    centre = (hits + z * z / 2) / (trials + z * z)
    spread = z / (trials + z * z) * math.sqrt(hits * (trials - hits) / trials + z * z / 4)
    return centre - spread, centre + spread


def read_equivalents(path: Path) -> Equivalents:
    """Return the mutants that a file explains."""
    rows = tomllib.loads(path.read_text(encoding="utf-8")).get("mutant", [])
    return {(row["file"], row["old"], row["new"]): row["why"] for row in rows}


def report(
    mutants: Sequence[Mutant], whole: int, *, journal: Journal, equivalents: Equivalents
) -> int:
    """Print the score, by file and in all, and every survivor; 1 if one is unexplained."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    survivors = []
    for mutant in mutants:
        outcome = journal.outcomes.get(mutant.name)
        if outcome is None:
            continue
        status = outcome.status
        if status == "survived" and (mutant.file, mutant.old, mutant.new) in equivalents:
            status = "equivalent"
        if status in ("survived", "unbuilt"):
            survivors.append((mutant, outcome))
        counts[mutant.file][status] += 1
    _print_table(counts)
    total: Counter[str] = sum(counts.values(), Counter())
    killed = total["killed"] + total["timeout"]
    counted = killed + total["survived"]
    if counted:
        low, high = wilson(killed, counted)
        print(
            f"\n{killed} of {counted} killed ({total['timeout']} by running out of time), ", end=""
        )
        print(f"95 % interval {low:.1%} to {high:.1%}; ", end="")
        print(f"{total['unbuilt'] + total[VOID]} could not be built")
        print(f"drawn from {whole} mutants; {len(mutants) - total.total()} are still to be tried")
    for mutant, outcome in survivors:
        print(f"\n{outcome.status} {mutant.operator} {mutant.file}:{mutant.line} {outcome.by}")
        print(f"  - {mutant.old}\n  + {mutant.new}")
    return int(bool(survivors))


def _print_table(counts: Mapping[str, Counter[str]]) -> None:
    print(f"{'file':40} {'tried':>6} {'killed':>7} {'equal':>6} {'alive':>6} {'score':>7}")
    total: Counter[str] = sum(counts.values(), Counter())
    for name, count in [*sorted(counts.items()), ("all", total)]:
        killed = count["killed"] + count["timeout"]
        counted = killed + count["survived"]
        score = f"{killed / counted:7.1%}" if counted else ""
        tried, equal, alive = count.total(), count["equivalent"], count["survived"]
        print(f"{name:40} {tried:6} {killed:7} {equal:6} {alive:6} {score}")


def options(about: str, out: Path) -> argparse.ArgumentParser:
    """Return a parser of the options that all campaigns have."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--sample", type=int, default=300, help="mutants to draw; 0: all of them")
    parser.add_argument("--seed", type=int, default=1, help="of the draw")
    parser.add_argument("--files", nargs="*", default=[""], help="how the paths of files begin")
    parser.add_argument("--out", type=Path, default=out, help="where outcomes are kept")
    parser.add_argument(
        "--again", action="store_true", help="try those again that survived unexplained"
    )
    parser.add_argument("--report", action="store_true", help="try nothing, say what is known")
    return parser
