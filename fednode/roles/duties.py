"""A role's duties, each on its own: one that fails is an outage of that duty, the others go on.

Three kinds of failure are told apart by type. What ends a node is in `ENDING`: only its operator
can repair it. What passes by itself is in `PASSING`: the duty is tried again at the next step.
Everything else was foreseen by no code: it is logged in full, and the duty rests for longer each
time.
"""

import logging
import traceback
from collections import Counter
from collections.abc import Callable
from enum import Enum
from pathlib import Path

from fednode.roles.journal import JournalDamaged, JournalShared, JournalUnwritable
from ledger.chain.errors import (
    AccountError,
    ChainUnreachable,
    MalformedAnswer,
    ReceiptMissing,
    RpcRefused,
    TransactionPending,
    Unfunded,
    UnknownContract,
    WrongChain,
)
from ledger.errors import MalformedRecord
from ledger.history import BrokenHistory, LogsBehind, Reorganised
from ledger.replica import UnknownFederation
from ledger.sealing.errors import KeyFileError
from ledger.stores import StoreError

log = logging.getLogger("fednode")

OUTAGES = (
    StoreError,
    ChainUnreachable,
    RpcRefused,
    MalformedAnswer,
    ReceiptMissing,
    TransactionPending,
    Reorganised,
    BrokenHistory,
    LogsBehind,
    MalformedRecord,
    UnknownFederation,
)
"""What may be better the next time: outages, and a chain that changes its mind while it is read. A
node has found its federation before it runs; one that is not there any more comes back when the
chain's node, which has lost its blocks, has caught up.
"""
PASSING = (*OUTAGES, Unfunded)
"""What a node outlives that runs for days: prices fall again, or somebody sends it ether."""
ENDING = (
    JournalUnwritable,
    JournalDamaged,
    JournalShared,
    AccountError,
    KeyFileError,
    UnknownContract,
    WrongChain,
)
"""What trying again cannot mend, and the operator must."""
LONGEST = 30
"""Seconds of chain time that a duty rests at most."""
HOPELESS = 8
"""Failures in a row after which a node does not stay for a duty that is left at its end."""

Duty = Callable[[], bool]
"""Does at most one thing; says whether it did."""


class Progress(Enum):
    """What a step came to."""

    ACTED = "acted"
    WAITING = "waiting"
    DONE = "done"


class Complaints:
    """Logs failures that no code foresaw: each distinct one in full, then at growing intervals."""

    def __init__(self) -> None:
        self._met: Counter[tuple[str, str, str]] = Counter()

    def log(self, what: str, error: BaseException) -> None:
        """Log a failure with its traceback at the 1st, 2nd, 4th, 8th ... time."""
        key = (what, type(error).__name__, _place(error))
        self._met[key] += 1
        times = self._met[key]
        if times & (times - 1) == 0:
            log.error(
                "%s failed for the %s time and is tried again: %s: %s",
                what,
                _ordinal(times),
                type(error).__name__,
                error,
                exc_info=error,
            )


class Duties:
    """Runs the duties of one role. A step calls `begin`, then duties, then `end`."""

    def __init__(self) -> None:
        self._complaints = Complaints()
        self._failed: Counter[str] = Counter()
        self._rests: Counter[str] = Counter()
        self._now = 0
        self._outage: Exception | None = None
        self.outages: Counter[str] = Counter()
        """How often each duty could not be done."""

    def begin(self, now: int) -> None:
        """Begin a step at a chain time."""
        self._now, self._outage = now, None

    @property
    def undisturbed(self) -> bool:
        """Whether no duty failed that is worth another try."""
        return self._outage is None and all(n >= HOPELESS for n in self._failed.values())

    def first(self, *duties: tuple[str, Duty]) -> bool:
        """Perform duties in order until one has acted; say whether one has."""
        return any(self.do(name, duty) for name, duty in duties)

    def do(self, name: str, duty: Duty) -> bool:
        """Perform a duty, unless it rests; say whether it acted."""
        if self._rests[name] > self._now:
            return False
        try:
            acted = duty()
        except ENDING:
            raise
        except PASSING as error:
            self.outages[name] += 1
            self._outage = self._outage or error
            return False
        except Exception as error:
            self.outages[name] += 1
            self._complaints.log(name, error)
            self._failed[name] += 1
            self._rests[name] = self._now + min(LONGEST, 1 << min(self._failed[name] - 1, 5))
            return False
        del self._failed[name]
        del self._rests[name]
        return acted

    def end(self, acted: bool) -> Progress:
        """Say what the step came to. If no duty acted, the first outage is raised: the loop around
        the role waits before it tries again, or ends where its caller does not wait.
        """
        outage, self._outage = self._outage, None
        if outage is not None and not acted:
            raise outage
        if outage is not None:
            log.warning("trying again: %s", outage)
        return Progress.ACTED if acted else Progress.WAITING


def _place(error: BaseException) -> str:
    """Name the line that raised an error."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def _ordinal(times: int) -> str:
    return {1: "first", 2: "second"}.get(times, f"{times}th")
