"""A run of tests in a forked process that loads a mutated module in place of the real one."""

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
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

import pytest
from hypothesis import Phase, settings

from scripts.assurance.campaign import VOID, Outcome

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
# Processor time decides, since the clock's depends on what else runs. The clock ends what sleeps.
CLOCK = 20.0
MEMORY = 6 << 30


def prepare() -> None:
    """Load what all runs need, and say how hypothesis tries."""
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
        status = "killed"
        watch = _Watch()
        # Without a path, pytest would run all tests.
        code = pytest.main([*ARGUMENTS, *tests], plugins=[watch]) if tests else pytest.ExitCode.OK
        passed = code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        status, by = ("survived", "") if passed else (status, watch.failed or "pytest")
    except BaseException as error:
        by = f"{type(error).__name__}: {error}"
    finally:
        os.write(pipe, json.dumps({"status": status, "by": by}).encode())
        os._exit(0)
