"""What all roles share: one synchronous step at a time, and a loop that calls it."""

import logging
import time
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from fednode.federation import Federation
from fednode.roles.turns import Turn, advances, pause
from ledger.chain.accounts import Account
from ledger.chain.errors import (
    ChainUnreachable,
    ContractRejected,
    MalformedAnswer,
    ReceiptMissing,
    Reverted,
    RpcRefused,
    TransactionFailed,
    TransactionPending,
    TransactionTooLarge,
    Unfunded,
)
from ledger.chain.types import Receipt
from ledger.errors import MalformedRecord
from ledger.history import BrokenHistory, LogsBehind, Reorganised
from ledger.replica import UnknownFederation
from ledger.state import Phase
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


Sender = Callable[[str, Callable[[], Receipt]], bool]
"""Sends what is due, and says whether it was done: `attempt` or `volunteer`."""


class Progress(Enum):
    """What a step came to."""

    ACTED = "acted"
    WAITING = "waiting"
    DONE = "done"


class Role(Protocol):
    """A node's part in a federation. A step reads the chain, does at most one thing, and
    returns.
    """

    def step(self) -> Progress:
        """Do what is due."""


def attempt(what: str, send: Callable[[], Receipt]) -> bool:
    """Send a transaction that somebody else may have made needless; say whether it was taken."""
    try:
        receipt = send()
    except ContractRejected as rejected:
        log.debug("%s was not needed: %s", what, rejected)
        return False
    except TransactionFailed as failed:
        log.info("%s came too late: %s", what, failed)
        return False
    except (Reverted, TransactionTooLarge) as error:
        # Not a reason to end: what else a node does must go on.
        log.warning("%s was not possible: %s", what, error)
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
    return volunteer("advanced", lambda: federation.contract.advance(account, federation.id))


def idle(
    federation: Federation, account: Account, turn: Turn = FIRST, *, only_challenges: bool = False
) -> Progress:
    """Move the federation on where a deadline has passed; else let go of what was erased, which has
    time.
    """
    move = expire_if_due if only_challenges else advance_if_due
    if move(federation, account, turn):
        return Progress.ACTED
    federation.honour()
    return Progress.WAITING


def end(federation: Federation) -> Progress:
    """End, once what was erased by declaration is gone too."""
    return Progress.WAITING if federation.honour() else Progress.DONE


def finished(federation: Federation) -> bool:
    """Whether nothing is left to do for any role, and nothing may have happened since."""
    over = federation.state.phase is Phase.ENDED and federation.state.settled
    return over and federation.lag is None


def run(
    role: Role,
    *,
    poll: float = 0.3,
    passing: tuple[type[Exception], ...] = PASSING,
    look: Callable[[], None] = lambda: None,
) -> None:
    """Step a role until it is done, whatever passes; look at the chain's pulse while it rests. The
    only loop that looks at the wall clock, and only to rest.
    """
    while True:
        try:
            progress = role.step()
            if progress is Progress.WAITING:
                look()
        except passing as error:
            log.warning("trying again: %s", error)
            progress = Progress.WAITING
        if progress is Progress.DONE:
            return
        if progress is Progress.WAITING:
            time.sleep(poll)
