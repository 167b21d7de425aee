"""Mutate the contracts and see whether their tests notice.

    python scripts/assurance/mutate.py --sample 300 [--seed 1] [--files src/verifier] [--workers 2]

Mutants are those of slither-mutate. A sample of them is drawn, from each file its share, woven into
the sources a batch at a time, compiled once, and run one by one against forge's tests. What was
found lies in `--out` as a line of JSON each, so a campaign that was stopped goes on where it was.
"""

import argparse
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Lock

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.assurance.population import Mutant, find_mutants, read_sources, weave_all
from scripts.assurance.toolchain import BUILD, CONTRACTS, PACKAGES, ROOT, forge
from scripts.assurance.weave import SELECTOR, SELECTOR_SOURCE

# Mutants woven into one build: more take the compiler longer than they save.
BATCH = 150
# What a mutant has to pass to survive. First what is near it, with few examples, which sees most of
# them off in a second; then everything. Gas is left out: what only costs more does what it should.
VERIFIER = "test/verifier/*"
GASLESS = ["--no-match-test", "_gas"]
NEAR = {
    True: ["--match-path", VERIFIER, *GASLESS],
    False: ["--no-match-path", VERIFIER, "--no-match-contract", "Gas|Invariants", *GASLESS],
}
ALL = ["--no-match-contract", "Gas", *GASLESS]
FEW, MANY = 4, 64
# Seconds for all tests. A mutant that loops for ever is ended by its gas long before.
PATIENCE = 1800


class BuildError(Exception):
    """The woven sources do not compile, or fail their tests with no mutant live."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a mutant: killed by which test, timed out, survived, or not built."""

    status: str
    by: str
    seconds: float


class Workshop:
    """A copy of the contracts in which woven sources are built and tested."""

    def __init__(self, folder: Path) -> None:
        self.contracts = folder / "contracts"
        shutil.rmtree(self.contracts / "src", ignore_errors=True)
        shutil.rmtree(self.contracts / "test", ignore_errors=True)
        for name in ("contracts/src", "contracts/test", "contracts/snapshots", "tests/vectors"):
            shutil.copytree(ROOT / name, folder / name, dirs_exist_ok=True)
        for name in ("foundry.toml", "solcjs"):
            shutil.copy(CONTRACTS / name, self.contracts / name)
        packages = self.contracts / "node_modules"
        packages.unlink(missing_ok=True)
        packages.symlink_to(PACKAGES.resolve())

    def build(self, sources: dict[str, str], mutants: Sequence[Mutant]) -> None:
        """Weave and compile; `BuildError` if that fails, or a test does while no mutant is live."""
        woven = weave_all(sources, enumerate(mutants, start=1))
        for name, part in woven.items():
            (self.contracts / name).write_bytes(part.text.encode("latin-1"))
        (self.contracts / SELECTOR).write_text(SELECTOR_SOURCE, encoding="utf-8")
        built = self._forge("build", [])
        if built.returncode:
            raise BuildError((built.stdout + built.stderr)[-2000:])
        failing = self._test(0, MANY, ALL)
        if failing:
            raise BuildError(f"without a mutant, {failing} fails")

    def try_mutant(self, number: int, mutant: Mutant) -> Outcome:
        """Run the tests, those near it first, with one mutant live."""
        near = NEAR[mutant.file.startswith("src/verifier/")]
        began = time.monotonic()
        try:
            for runs, tests in ((FEW, near), (MANY, ALL)):
                by = self._test(number, runs, tests)
                if by:
                    return Outcome("killed", by, round(time.monotonic() - began, 1))
        except subprocess.TimeoutExpired:
            return Outcome("timeout", "", round(time.monotonic() - began, 1))
        except BuildError as error:
            return Outcome("unbuilt", str(error), round(time.monotonic() - began, 1))
        return Outcome("survived", "", round(time.monotonic() - began, 1))

    def _test(self, number: int, runs: int, tests: list[str]) -> str:
        """Return a test that fails; empty if none does."""
        # What an earlier mutant failed on is not to be tried first on this one.
        for kept in ("fuzz", "invariant", "test-failures"):
            path = self.contracts / "cache" / kept
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True) if path.is_file() else None
        live = ["--block-coinbase", f"0x{number:040x}", "--code-size-limit", "1000000"]
        many = ["--fuzz-runs", str(runs), "--fail-fast", "--json"]
        done = self._forge("test", [*many, *live, *tests])
        if done.returncode == 0:
            return ""
        try:
            suites = json.loads(done.stdout)
        except ValueError as error:
            raise BuildError((done.stderr or done.stdout)[-2000:]) from error
        failed = [
            f"{suite.rpartition(':')[2]}.{test.partition('(')[0]}"
            for suite, content in suites.items()
            for test, result in content["test_results"].items()
            if result["status"] == "Failure"
        ]
        return failed[0] if failed else "a suite"

    def _forge(self, verb: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
        settings = {
            "FOUNDRY_INVARIANT_SHRINK_RUN_LIMIT": "0",
            "FORGE_SNAPSHOT_CHECK": "false",
            "FOUNDRY_THREADS": "1",
            "NO_COLOR": "1",
        }
        return subprocess.run(
            [forge(), verb, *arguments],
            cwd=self.contracts,
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            timeout=PATIENCE if verb == "test" else None,
        )


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


def population(out: Path) -> list[Mutant]:
    """Return all mutants of the sources as they are, from a file if it is of the same sources."""
    digest = hashlib.sha256(json.dumps(read_sources()).encode()).hexdigest()
    path = out / "population.json"
    if path.is_file():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["sources"] == digest:
            return [Mutant.from_json(fields) for fields in kept["mutants"]]
    mutants = find_mutants()
    kept = {"sources": digest, "mutants": [mutant.to_json() for mutant in mutants]}
    path.write_text(json.dumps(kept), encoding="utf-8")
    return mutants


def draw(mutants: Iterable[Mutant], size: int, seed: int) -> list[Mutant]:
    """Draw from each file its share of a sample, at least one mutant; a larger sample adds to it.

    A size of 0 takes all. However far one gets, what was tried so far is such a sample as well.
    """
    by_file: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in mutants:
        by_file[mutant.file].append(mutant)
    total = sum(map(len, by_file.values()))
    drawn: list[tuple[float, Mutant]] = []
    for group in by_file.values():
        group.sort(key=lambda m: hashlib.sha256(f"{seed} {m.name}".encode()).digest())
        share = max(1, round(size * len(group) / total)) if size else len(group)
        drawn += [((rank + 0.5) / share, mutant) for rank, mutant in enumerate(group[:share])]
    return [mutant for _, mutant in sorted(drawn, key=lambda pair: pair[0])]


def run_campaign(mutants: Sequence[Mutant], journal: Journal, out: Path, workers: int) -> None:
    """Try the mutants, batch by batch, in as many workshops as there are workers."""
    sources = read_sources()
    shops: SimpleQueue[Workshop] = SimpleQueue()
    for number in range(workers):
        shops.put(Workshop(out / f"worker{number}"))

    def try_batch(shop: Workshop, batch: Sequence[Mutant]) -> None:
        try:
            shop.build(sources, batch)
        except BuildError as error:
            print(f"{len(batch)} mutants in one build: {error}", flush=True)
            if len(batch) == 1:
                journal.write(batch[0], Outcome("unbuilt", str(error), 0))
            for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]) * (len(batch) > 1):
                try_batch(shop, half)
            return
        for number, mutant in enumerate(batch, start=1):
            outcome = shop.try_mutant(number, mutant)
            journal.write(mutant, outcome)
            print(f"{outcome.status:9}{mutant.operator:5}{mutant.file}:{mutant.line}", flush=True)

    def in_a_shop(batch: Sequence[Mutant]) -> None:
        shop = shops.get()
        try:
            try_batch(shop, batch)
        finally:
            shops.put(shop)

    size = min(BATCH, math.ceil(len(mutants) / workers))
    batches = [mutants[start : start + size] for start in range(0, len(mutants), max(1, size))]
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(in_a_shop, batches))


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson, 1927)."""
    z = 1.959964
    centre = (hits + z * z / 2) / (trials + z * z)
    spread = z / (trials + z * z) * math.sqrt(hits * (trials - hits) / trials + z * z / 4)
    return centre - spread, centre + spread


def read_equivalents() -> dict[tuple[str, str, str], str]:
    """Return why some mutants are no faults, by file, old and new text."""
    path = Path(__file__).with_name("equivalent.toml")
    rows = tomllib.loads(path.read_text(encoding="utf-8")).get("mutant", [])
    return {(row["file"], row["old"], row["new"]): row["why"] for row in rows}


def report(mutants: Sequence[Mutant], whole: int, journal: Journal) -> int:
    """Print the score, by file and in all, and every survivor; 1 if one is unexplained."""
    equivalents = read_equivalents()
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
    print(f"{'file':40} {'tried':>6} {'killed':>7} {'equal':>6} {'alive':>6} {'score':>7}")
    total: Counter[str] = sum(counts.values(), Counter())
    for name, count in [*sorted(counts.items()), ("all", total)]:
        killed = count["killed"] + count["timeout"]
        counted = killed + count["survived"]
        score = f"{killed / counted:7.1%}" if counted else ""
        tried, equal, alive = count.total(), count["equivalent"], count["survived"]
        print(f"{name:40} {tried:6} {killed:7} {equal:6} {alive:6} {score}")
    killed = total["killed"] + total["timeout"]
    counted = killed + total["survived"]
    if counted:
        low, high = wilson(killed, counted)
        print(
            f"\n{killed} of {counted} killed ({total['timeout']} by running out of time), ", end=""
        )
        print(f"95 % interval {low:.1%} to {high:.1%}; {total['unbuilt']} could not be built")
        print(f"drawn from {whole} mutants; {len(mutants) - total.total()} are still to be tried")
    for mutant, outcome in survivors:
        print(f"\n{outcome.status} {mutant.operator} {mutant.file}:{mutant.line} {outcome.by}")
        print(f"  - {mutant.old}\n  + {mutant.new}")
    return int(bool(survivors))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=300, help="mutants to draw; 0: all of them")
    parser.add_argument("--seed", type=int, default=1, help="of the draw")
    parser.add_argument(
        "--files", nargs="*", default=[""], help="paths in contracts/ to begin with"
    )
    parser.add_argument("--workers", type=int, default=1, help="mutants tried at a time")
    parser.add_argument("--out", type=Path, default=BUILD / "mutation", help="where it is kept")
    parser.add_argument(
        "--again", action="store_true", help="try those again that survived unexplained"
    )
    parser.add_argument("--report", action="store_true", help="try nothing, say what is known")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    every = [m for m in population(options.out) if m.file.startswith(tuple(options.files))]
    drawn = draw(every, options.sample, options.seed)
    journal = Journal(options.out / "outcomes.jsonl")
    if not options.report:
        known = journal.outcomes
        equivalents = read_equivalents()
        waiting = [
            mutant
            for mutant in drawn
            if mutant.name not in known
            or (
                (options.again and known[mutant.name].status == "survived")
                and (mutant.file, mutant.old, mutant.new) not in equivalents
            )
        ]
        run_campaign(waiting, journal, options.out, options.workers)
    return report(drawn, len(every), journal)


if __name__ == "__main__":
    raise SystemExit(main())
