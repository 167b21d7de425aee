"""Duties are done each on its own: one that fails takes none of the others along."""

import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from fednode.errors import FedNodeError
from fednode.models.guard import ModelFailed, model_code
from fednode.roles.duties import ENDING, HOPELESS, LONGEST, PASSING, Duties, Progress
from fednode.roles.journal import JournalDamaged, JournalUnwritable
from fednode.roles.role import run
from ledger.chain.errors import AccountError, ChainUnreachable, Unfunded, UnknownContract
from ledger.errors import LedgerError, MalformedRecord
from ledger.types import ZERO_ADDRESS

UNFORESEEN = [
    TypeError("'bool' object cannot be interpreted as an integer"),
    RuntimeError("a library's"),
    RecursionError("maximum recursion depth exceeded"),
    OverflowError("int too big to convert"),
    MemoryError(),
    KeyError("x"),
    AssertionError(),
    UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
    LedgerError("1 nodes over 2 slots, expected 1"),
    FedNodeError("of no kind of its own"),
    StopIteration(),
    OSError(5, "input/output error"),
]
LASTING = [
    JournalUnwritable(Path("journal"), OSError(28, "No space left on device")),
    JournalDamaged(Path("journal"), "cut off"),
    AccountError("key", "no key"),
    UnknownContract(ZERO_ADDRESS, "nothing"),
]


@dataclass
class Node:
    """Two duties around one that fails, and chain time."""

    failing: Callable[[], bool]
    duties: Duties = field(default_factory=Duties)
    done: list[str] = field(default_factory=list)

    def step(self, now: int = 0) -> Progress:
        self.duties.begin(now)
        acted = self.duties.first(
            ("before", lambda: self._do("before")),
            ("failing", self.failing),
            ("after", lambda: self._do("after")),
        )
        return self.duties.end(acted)

    def _do(self, name: str) -> bool:
        self.done.append(name)
        return False


def raising(error: BaseException) -> Callable[[], bool]:
    def duty() -> bool:
        raise error

    return duty


def named(error: BaseException) -> str:
    return type(error).__name__


@pytest.mark.parametrize("error", UNFORESEEN, ids=named)
def test_an_unforeseen_exception_is_an_outage_of_one_duty(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    node = Node(raising(error))
    assert node.step() is Progress.WAITING
    assert node.done == ["before", "after"]
    assert node.duties.outages == {"failing": 1}
    (line,) = caplog.records
    assert line.levelno == logging.ERROR
    assert line.exc_info is not None
    assert line.exc_info[1] is error


@pytest.mark.parametrize("error", LASTING, ids=named)
def test_what_the_operator_must_repair_ends_a_node(error: Exception) -> None:
    assert isinstance(error, ENDING)
    with pytest.raises(type(error)):
        Node(raising(error)).step()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)], ids=named)
def test_what_asks_a_node_to_end_ends_it(error: BaseException) -> None:
    with pytest.raises(type(error)):
        Node(raising(error)).step()


@pytest.mark.parametrize(
    "error",
    [ChainUnreachable("http://127.0.0.1:1", "refused"), MalformedRecord("slice", "bad")],
    ids=named,
)
def test_an_outage_is_raised_once_the_others_were_done(error: Exception) -> None:
    """So the loop around a role says so, and rests."""
    assert isinstance(error, PASSING)
    node = Node(raising(error))
    for _ in range(3):
        with pytest.raises(type(error)):
            node.step()
    assert node.done == ["before", "after"] * 3, "it is tried again at each step"
    assert node.duties.outages == {"failing": 3}


def test_where_a_duty_acted_an_outage_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    duties = Duties()
    duties.begin(0)
    duties.do("one", raising(Unfunded(ZERO_ADDRESS, 0, 1)))
    acted = duties.do("another", lambda: True)
    assert duties.end(acted) is Progress.ACTED
    assert "trying again" in caplog.text


def test_a_failing_duty_rests_for_longer_and_longer() -> None:
    tries: list[int] = []
    now = 0

    def failing() -> bool:
        tries.append(now)
        raise TypeError("again")

    node = Node(failing)
    for now in range(200):
        node.step(now)
    pauses = [b - a for a, b in pairwise(tries)]
    assert pauses[:6] == [1, 2, 4, 8, 16, LONGEST]
    assert set(pauses[5:]) == {LONGEST}
    assert len(node.done) == 2 * 200


def test_a_duty_that_recovers_is_done_at_each_step() -> None:
    left = [TypeError("once"), TypeError("twice")]
    done: list[int] = []

    def flaky() -> bool:
        if left:
            raise left.pop()
        done.append(1)
        return False

    node = Node(flaky)
    for now in range(10):
        node.step(now)
    assert len(done) == 10 - 3
    assert node.duties.undisturbed


def test_a_failure_is_logged_in_full_at_growing_intervals(caplog: pytest.LogCaptureFixture) -> None:
    node = Node(raising(TypeError("again")))
    for time in range(20):
        node.step(time * (LONGEST + 1))
    assert [r.getMessage().split(" time")[0].split()[-1] for r in caplog.records] == [
        "first",
        "second",
        "4th",
        "8th",
        "16th",
    ]


def test_nobody_waits_for_a_hopeless_duty_at_the_end() -> None:
    node = Node(raising(TypeError("again")))
    for time in range(HOPELESS):
        assert time == 0 or not node.duties.undisturbed
        node.step(time * (LONGEST + 1))
    assert node.duties.undisturbed


class Scripted:
    """A role whose steps come to what they are told to."""

    def __init__(self, *script: Progress | Exception) -> None:
        self.script = list(script)

    def step(self) -> Progress:
        entry = self.script.pop(0)
        if isinstance(entry, Exception):
            raise entry
        return entry


@pytest.mark.parametrize("error", [TypeError("a"), MemoryError(), KeyError("b")], ids=named)
def test_the_loop_outlives_what_a_step_raises_before_any_duty(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    role = Scripted(error, Progress.WAITING, error, Progress.DONE)
    run(role, poll=0.001)
    assert role.script == []
    assert caplog.records[0].exc_info is not None


@pytest.mark.parametrize(
    "error",
    [RuntimeError("CUDA"), ValueError(), SystemExit(3), GeneratorExit(), StopIteration()],
    ids=named,
)
def test_whatever_a_model_raises_is_one_error(error: BaseException) -> None:
    with pytest.raises(ModelFailed, match=type(error).__name__) as caught, model_code("training"):
        raise error
    assert caught.value.__cause__ is error


def test_the_operator_can_end_a_model() -> None:
    with pytest.raises(KeyboardInterrupt), model_code("training"):
        raise KeyboardInterrupt


ENDLESS = """
import fednode.roles.participant
from fednode.models.guard import ModelFailed, model_code

class Model:
    def __getattr__(self, name):
        return getattr(self, name)

try:
    with model_code("training"):
        Model().weights
except ModelFailed as error:
    print(error)
"""


def test_endless_recursion_in_a_model_does_not_end_the_process() -> None:
    """Libraries raise the limit of calls beyond what a stack holds."""
    found = subprocess.run([sys.executable, "-c", ENDLESS], capture_output=True, text=True)
    assert "RecursionError" in found.stdout, found.stderr
