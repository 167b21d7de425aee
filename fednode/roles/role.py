"""What all roles share: one synchronous step at a time, and a loop that calls it."""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from fednode.errors import FedNodeError
from fednode.federation import Federation
from fednode.roles.duties import OUTAGES as OUTAGES
from fednode.roles.duties import PASSING as PASSING
from fednode.roles.duties import Complaints
from fednode.roles.duties import Progress as Progress
from fednode.roles.news import where
from fednode.roles.turns import Turn, advances, pause
from incentives.errors import IncentiveError
from ledger.chain.accounts import Account
from ledger.chain.errors import (
    ContractRejected,
    Reverted,
    TransactionFailed,
    TransactionTooLarge,
    Unfunded,
)
from ledger.chain.types import Receipt
from ledger.errors import LedgerError
from ledger.state import Phase

log = logging.getLogger("fednode")

POLL = 0.3
"""Seconds that a node rests at the least, by default."""
LONGEST = 60.0
"""Seconds that the loop rests at most after a failure that no code foresaw."""
TYPED = (FedNodeError, LedgerError, IncentiveError)
"""Errors that say themselves what the operator has to do."""

Sender = Callable[[str, Callable[[], Receipt]], bool]
"""Sends what is due, and says whether it was done: `attempt` or `volunteer`."""


class Role(Protocol):
    """A node's part in a federation. A step reads the chain, does at most one thing, and
    returns.
    """

    def step(self) -> Progress:
        """Do what is due."""


class Resting(Protocol):
    """How long a node rests: `Pace`."""

    def looking(self) -> AbstractContextManager[None]:
        """Let one look at the chain serve a whole step."""

    def rest(self) -> float:
        """Give the seconds to rest after a step that did nothing."""


def attempt(what: str, send: Callable[[], Receipt]) -> bool:
    """Send a transaction that somebody else may have made needless; say whether it was taken."""
    try:
        receipt = send()
    except ContractRejected as rejected:
        log.debug("not %s, as it was not needed: %s", what, rejected)
        return False
    except TransactionFailed as failed:
        log.info("not %s, as it came too late: %s", what, failed)
        return False
    except (Reverted, TransactionTooLarge) as error:
        # Not a reason to end: what else a node does must go on.
        log.warning("not %s, as it was not possible: %s", what, error)
        return False
    log.info("%s (block %d, %d gas)", what, receipt.block_number, receipt.gas_used)
    return True


def volunteer(what: str, send: Callable[[], Receipt]) -> bool:
    """Send what others may send as well: an account without the means, such as that of a sponsored
    participant, leaves it to them.
    """
    try:
        return attempt(what, send)
    except Unfunded as error:
        log.warning("not %s by us: %s", what, error)
        return False


FIRST = Turn()


def expire_if_due(federation: Federation, account: Account, turn: Turn = FIRST) -> bool:
    """End a challenge whose clock has run out, if it is our turn; anybody may, somebody must.

    Not on incomplete logs: what was done in time may be among what they lack.
    """
    if federation.lag is not None:
        return False
    state = federation.state
    now = federation.chain.now() - turn.wave * pause(state)
    late = (p.result for p, c in state.disputed() if c.deadline is not None and c.deadline <= now)
    result = next(late, None)
    if result is None:
        return False
    return volunteer(
        f"ended a challenge to result {result.hex()[:16]}",
        lambda: federation.contract.expire_challenge(account, federation.id, result),
    )


def advance_if_due(federation: Federation, account: Account, turn: Turn = FIRST) -> bool:
    """Move the federation on where a deadline has passed, if it is our turn; anybody may, somebody
    must.
    """
    if expire_if_due(federation, account, turn):
        return True
    due = advances(federation.state, turn)
    if due is None or federation.lag is not None or federation.chain.now() < due:
        return False
    return volunteer(
        f"advanced {where(federation.state)}",
        lambda: federation.contract.advance(account, federation.id),
    )


def is_time(federation: Federation, begin: int, deadline: int) -> bool:
    """Whether to send what a window is for.

    If the logs are incomplete, it may have been sent already: wait for them. In the last quarter of
    the window the contract's own word is enough. It refuses what is sent twice.
    """
    now = federation.chain.now()
    if federation.lag is not None and now < deadline - (deadline - begin) // 4:
        return False
    return now < deadline


def idles(
    federation: Federation, account: Account, turn: Turn = FIRST, *, only_challenges: bool = False
) -> bool:
    """Move the federation on where a deadline has passed; else let go of what was erased, which has
    time. Say whether anything was sent.
    """
    move = expire_if_due if only_challenges else advance_if_due
    if move(federation, account, turn):
        return True
    federation.honour()
    return False


def end(federation: Federation) -> Progress:
    """End, once what was erased by declaration is gone too."""
    # Nothing else is left to do, so this waits for what strangers name; each round allows little.
    return Progress.WAITING if federation.honour() else Progress.DONE


def finished(federation: Federation) -> bool:
    """Whether nothing is left to do for any role, and nothing may have happened since."""
    state = federation.state
    if not (state.phase is Phase.ENDED and state.settled) or federation.lag is not None:
        return False
    # A proof against a result that fell, such as one that was closed away, may still be opened.
    late = [state.answerable_until(proposal) for proposal in state.fallen()]
    return not late or federation.chain.now() >= max(late)


def run(
    role: Role,
    *,
    poll: float = POLL,
    pace: Resting | None = None,
    passing: tuple[type[Exception], ...] = PASSING,
    look: Callable[[], None] = lambda: None,
    sleep: Callable[[float], None] | None = None,
) -> None:
    """Step a role until it is done, whatever passes; look at the chain's pulse while it rests, for
    `poll` seconds, or as its `pace` says. The only loop that looks at the wall clock, and only to
    rest.
    """
    complaints, failed = Complaints(), 0
    while True:
        rest = poll
        try:
            with nullcontext() if pace is None else pace.looking():
                progress = role.step()
                failed = 0
                if progress is Progress.WAITING:
                    look()
                    rest = poll if pace is None else pace.rest()
        except passing as error:
            log.warning("trying again: %s", error)
            progress = Progress.WAITING
        except TYPED:
            raise
        except Exception as error:
            # Unforeseen, and met before any duty: a node with a stake goes on trying.
            complaints.log("a step", error)
            progress, rest = Progress.WAITING, min(LONGEST, poll * (1 << min(failed, 10)))
            failed += 1
        if progress is Progress.DONE:
            return
        if progress is Progress.WAITING:
            (sleep or time.sleep)(rest)
