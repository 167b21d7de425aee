"""Mutate the Python core and see whether its tests notice.

    python scripts/assurance/mutate_python.py --sample 300 [--seed 1] [--files ledger/slots.py]

A sample of the mutants is drawn, from each file its share. Each is tried in a forked process that
loads the mutated module in place of the real one, and runs the nearest tests.
"""

import contextlib
import gc
import importlib
import json
import math
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

import pytest
from hypothesis import Phase, settings

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.assurance import campaign
from scripts.assurance.campaign import VOID, Journal, Outcome, draw, read_equivalents, report
from scripts.assurance.nearest import module, nearest
from scripts.assurance.python_mutants import Mutant, compile_mutant, find_mutants

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
# What is slow to load and is never mutated: loaded once, before the processes are forked.
HEAVY = (
    *("coincurve", "cryptography", "dag_cbor", "eth_account", "eth_tester", "hypothesis"),
    *("multiformats", "numpy", "pydantic", "pyhpke", "torch", "trie", "web3"),
)
ENGINES = {"anvil", "engine", "geth", "kubo", "kubo_pair"}
MARKS = {"e2e", "long", "slow"}
ARGUMENTS = [
    *("-x", "-q", "-W", "ignore", "--hypothesis-profile=mutation", "-p", "no:cacheprovider"),
    # It collects all garbage after each run, which takes longer than most tests.
    *("-p", "no:unraisableexception", "-p", "no:xdist"),
]
# How many examples hypothesis tries: a mutant that a few do not tell apart is rarely seen by more.
EXAMPLES = 25
# A file of tests that is named after the module may take these seconds of a processor.
LONG = 30.0
DEAR = "run no file of tests that takes longer, unless it is named after the module"
# How many times longer than without a mutant tests may take, and the seconds added to that.
PATIENCE, GRACE = 4.0, 10.0
# Processor time decides, since the clock's depends on what else runs. The clock ends what sleeps.
CLOCK = 20.0
MEMORY = 6 << 30


class _MutantFinder(MetaPathFinder):
    """Finds one module, and gives it other code than its file's."""

    def __init__(self, module: str, code: CodeType) -> None:
        self._module = module
        self._code = code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._module:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        assert spec.origin is not None
        spec.loader = _MutantLoader(fullname, spec.origin, self._code)
        return spec


class _MutantLoader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, code: CodeType) -> None:
        super().__init__(fullname, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        return self._code


class _Watch:
    """Leaves out tests that need an engine or minutes, and notes the first that fails."""

    def __init__(self) -> None:
        self.failed = ""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [
            item
            for item in items
            if ENGINES.isdisjoint(getattr(item, "fixturenames", ()))
            and MARKS.isdisjoint(mark.name for mark in item.iter_markers())
        ]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid


def run_tests(
    tests: Sequence[str], *, mutated: tuple[str, CodeType] | None, seconds: float
) -> Outcome:
    """Run tests in a forked process until one fails or the processor's seconds are spent."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _run_in_child(tests, mutated, writing, seconds)
    os.close(writing)
    said = _read_until(reading, time.monotonic() + CLOCK * seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    _, _, used = os.wait4(child, 0)
    spent = round(used.ru_utime + used.ru_stime, 1)
    answer = json.loads(said) if said else {"status": "timeout", "by": ""}
    return Outcome(answer["status"], answer["by"], spent)


def _read_until(pipe: int, deadline: float) -> bytes:
    """Return what a child wrote when it ended; nothing if it was ended, or is not in time."""
    said = b""
    with os.fdopen(pipe, "rb", buffering=0) as file:
        while True:
            ready, _, _ = select.select([file], [], [], max(0.0, deadline - time.monotonic()))
            part = file.read(65536) if ready else b""
            if not part:
                return said if ready else b""
            said += part


def _run_in_child(
    tests: Sequence[str], mutated: tuple[str, CodeType] | None, pipe: int, seconds: float
) -> None:
    """Run tests, write what became of them into a pipe, and end the process."""
    status, by = VOID, ""
    try:
        os.setpgid(0, 0)
        limit = math.ceil(seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nothing, number)
        if mutated is not None:
            sys.meta_path.insert(0, _MutantFinder(*mutated))
            importlib.import_module(mutated[0])
        watch = _Watch()
        # Without a path, pytest would run all tests.
        code = pytest.main([*ARGUMENTS, *tests], plugins=[watch]) if tests else pytest.ExitCode.OK
        passed = code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        status, by = ("survived", "") if passed else ("killed", watch.failed or "pytest")
    except BaseException as error:
        by = f"{type(error).__name__}: {error}"
    finally:
        os.write(pipe, json.dumps({"status": status, "by": by}).encode())
        os._exit(0)


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
        """Run the tests named after a mutant's module, and others if all of them pass."""
        source = self._sources[mutant.file]
        code = compile_mutant(source, mutant.number, str(ROOT / mutant.file))
        near = nearest(ROOT, mutant.file)
        mutated = module(Path(mutant.file)), code
        spent = 0.0
        for group, most in ((near.named, LONG), (near.others, self._dear)):
            tests = sorted((t for t in group if self._cost(t, most) <= most), key=self._known)
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
    for name in HEAVY:
        importlib.import_module(name)
    gc.freeze()  # what was loaded is no garbage, and is not looked at again
    settings.register_profile(
        "mutation",
        deadline=None,
        # The same examples each time, and what fails need not be made small.
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        max_examples=EXAMPLES,
    )
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
