"""Mutate the contracts and see whether their tests notice.

    python scripts/assurance/mutate.py --sample 300 [--seed 1] [--files src/verifier] [--workers 2]

Mutants are those of slither-mutate. A sample of them is drawn, from each file its share, woven into
the sources a batch at a time, compiled once, and run one by one against forge's tests. What was
found lies in `--out` as a line of JSON each, so a campaign that was stopped goes on where it was.
"""

import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.assurance import campaign
from scripts.assurance.campaign import Journal, Outcome, draw, read_equivalents, report
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


def main() -> int:
    parser = campaign.options(__doc__, BUILD / "mutation")
    parser.add_argument("--workers", type=int, default=1, help="mutants tried at a time")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    every = [m for m in population(options.out) if m.file.startswith(tuple(options.files))]
    drawn = draw(every, options.sample, options.seed)
    journal = Journal(options.out / "outcomes.jsonl")
    equivalents = read_equivalents(Path(__file__).with_name("equivalent.toml"))
    if not options.report:
        waiting = journal.waiting(drawn, equivalents, again=options.again)
        run_campaign(waiting, journal, options.out, options.workers)
    return report(drawn, len(every), journal=journal, equivalents=equivalents)


if __name__ == "__main__":
    raise SystemExit(main())
