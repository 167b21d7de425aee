"""Mutate the Python core and see whether its tests notice.

    python scripts/assurance/mutate_python.py --sample 300 [--seed 1] [--files ledger/slots.py]

A sample of the mutants is drawn, from each file its share. Each is tried in a forked process that
loads the mutated module in place of the real one, and runs the nearest tests.
"""

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.assurance import campaign
from scripts.assurance.campaign import VOID, Journal, Outcome, draw, read_equivalents, report
from scripts.assurance.nearest import module, nearest
from scripts.assurance.python_mutants import Mutant, compile_mutant, find_mutants
from scripts.assurance.trial import prepare, run_tests

ROOT = Path(__file__).resolve().parents[2]

CORE = (
    "ledger/round.py",
    "ledger/state.py",
    "ledger/slots.py",
    "ledger/headers.py",
    "ledger/committee.py",
    "ledger/merkle.py",
    "ledger/merkle_sum.py",
    "ledger/payouts.py",
    "ledger/cbor.py",
    "ledger/stores/car.py",
    "ledger/audit",
    "incentives",
    "fednode/aggregation",
    "fednode/evaluation",
)
# How a verdict is shown to a person decides nothing.
LEFT_OUT = {
    f"ledger/audit/{name}.py" for name in ("markup", "pictures", "report", "texts", "wording")
}
# A file of tests that is named after the module may take these seconds of a processor.
LONG = 30.0
# A file of tests of whole federations may take these.
WHOLE = 180.0
DEAR = "run no file of tests that takes longer, unless it is named after the module"
# How many times longer than without a mutant tests may take, and the seconds added to that.
PATIENCE, GRACE = 4.0, 10.0


class Bench:
    """Tries mutants, and knows how long the tests take without one."""

    def __init__(self, sources: Mapping[str, str], out: Path, dear: float) -> None:
        self._sources = sources
        self._path = out / "tests.json"
        self._dear = dear
        self._seconds: dict[str, float] = {}
        if self._path.is_file():
            self._seconds = json.loads(self._path.read_text(encoding="utf-8"))

    def try_mutant(self, mutant: Mutant) -> Outcome:
        """Run the tests named after a mutant's module, then others as long as all pass."""
        source = self._sources[mutant.file]
        code = compile_mutant(source, mutant.number, str(ROOT / mutant.file))
        near = nearest(ROOT, mutant.file)
        mutated = module(Path(mutant.file)), code
        spent, done = 0.0, set[str]()
        groups = ((near.named, LONG), (near.others, self._dear), (near.whole, WHOLE))
        for group, most in groups:
            new = (test for test in group if test not in done)
            tests = sorted((t for t in new if self._cost(t, most) <= most), key=self._known)
            done.update(tests)
            limit = PATIENCE * sum(map(self._known, tests)) + GRACE
            outcome = run_tests(tests, mutated=mutated, seconds=limit)
            spent += outcome.seconds
            if outcome.status != "survived":
                break
        return replace(outcome, seconds=round(spent, 1))

    def _known(self, test: str) -> float:
        return self._seconds[test]

    def _cost(self, test: str, most: float) -> float:
        """Return the seconds that a file of tests takes; without a mutant, it must pass."""
        known = self._seconds.get(test)
        # What is below zero was not finished in so many seconds.
        if known is None or -most < known < 0:
            run = run_tests([test], mutated=None, seconds=most)
            if run.status in ("killed", VOID):
                raise SystemExit(f"error: without a mutant, {run.by} fails: repair it first")
            known = run.seconds if run.status == "survived" else -most
            self._seconds[test] = known
            self._path.write_text(json.dumps(self._seconds, indent=1), encoding="utf-8")
        return known if known >= 0 else math.inf


def read_sources() -> dict[str, str]:
    """Return the modules of the core by path."""
    paths = [path for name in CORE for path in _modules(ROOT / name)]
    sources = {str(p.relative_to(ROOT)): p.read_text(encoding="utf-8") for p in paths}
    return {file: source for file, source in sources.items() if file not in LEFT_OUT}


def _modules(path: Path) -> list[Path]:
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def run_campaign(mutants: Sequence[Mutant], journal: Journal, bench: Bench) -> None:
    """Try mutants, one after the other, and write down what becomes of each."""
    os.chdir(ROOT)
    prepare()
    for mutant in mutants:
        outcome = bench.try_mutant(mutant)
        journal.write(mutant, outcome)
        what = f"{outcome.status:9}{outcome.seconds:6.1f} s {mutant.operator:11}"
        print(f"{what}{mutant.file}:{mutant.line}", flush=True)


def main() -> int:
    parser = campaign.options(__doc__, ROOT / "build" / "mutation-python")
    parser.add_argument("--dear", type=float, default=4.0, metavar="SECONDS", help=DEAR)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    chosen = tuple(options.files)
    sources = {f: source for f, source in read_sources().items() if f.startswith(chosen)}
    every = [m for file, source in sources.items() for m in find_mutants(file, source)]
    drawn = draw(every, options.sample, options.seed)
    journal = Journal(options.out / "outcomes.jsonl")
    equivalents = read_equivalents(Path(__file__).with_name("equivalent-python.toml"))
    if not options.report:
        waiting = journal.waiting(drawn, equivalents, again=options.again)
        run_campaign(waiting, journal, Bench(sources, options.out, options.dear))
    return report(drawn, len(every), journal=journal, equivalents=equivalents)


if __name__ == "__main__":
    raise SystemExit(main())
