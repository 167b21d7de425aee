"""How a relay's transactions reach the chain: a lane for each purpose.

A lane has its own places, its own thread and its own budget, so a flood of joins delays no batch
and no vote. Transactions of one lane are sent in turn. The budget limits what failures cost: a
failed simulation costs the chain's node time, a transaction that is mined without effect ether.
It is charged to the account whose signature was checked, never to one that is only named.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeVar

from fednode.relay.errors import RETRY, Refused
from fednode.relay.gas import MOST_SETTLED, SPREAD, Gas
from ledger.chain.errors import (
    ContractRejected,
    Reverted,
    TransactionFailed,
    TransactionPending,
    TransactionTooLarge,
)
from ledger.types import Address

DAY: Final = 86_400
MOST_JOINS: Final = 64
"""Joins that wait at most."""
UNLIMITED: Final = 1 << 62
T = TypeVar("T")

REFUSALS = (ContractRejected, Reverted, TransactionTooLarge)
"""Failed simulations: nothing was sent."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Failures in a round, and in a day of a longer one: simulations and transactions of one
    applicant, then those of all together. `pending` transactions may still fail.
    """

    refusals: int = 4
    losses: int = 1
    all_refusals: int = 256
    all_losses: int = 4
    pending: bool = True


OWN = Limits(UNLIMITED, 4, UNLIMITED, 4, pending=False)
"""For what the relay sends of its own accord, which others may have made needless. Only the chain
keeps such a transaction pending, and the relay's word is still to be kept.
"""

IN_TURN = Limits(refusals=32)
"""For proposals: no account's code runs in them, and a node without ether has no other way."""


class Budget:
    """Counts failures, and says when no more are borne."""

    def __init__(self, what: str, limits: Limits) -> None:
        self._what = what
        self._limits = limits
        self._period: tuple[int | None, int] = (None, 0)
        self._left = DAY
        self._refusals: Counter[Address] = Counter()
        self._losses: Counter[Address] = Counter()

    def begin(self, round_index: int | None, now: int) -> None:
        """Take in the current round and time. A new round, or a new day, starts from zero."""
        self._left = DAY - now % DAY
        if self._period != (round_index, now // DAY):
            self._period = (round_index, now // DAY)
            self._refusals.clear()
            self._losses.clear()

    @property
    def spent(self) -> bool:
        """Whether the failures of all together reach their limit."""
        limits = self._limits
        return (
            self._refusals.total() >= limits.all_refusals
            or self._losses.total() >= limits.all_losses
        )

    def check(self, applicant: Address) -> None:
        """Refuse an applicant that has failed too often, and all after too many failures."""
        limits = self._limits
        if self.spent:
            who = ""
        elif (
            self._refusals[applicant] >= limits.refusals or self._losses[applicant] >= limits.losses
        ):
            who = f" of {applicant}"
        else:
            return
        raise Refused(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"too many {self._what}{who} have failed; this relay sends no more of them before the "
            "next round or day: send the transaction yourself",
            retry_after=self._left,
        )

    def counting(self, applicant: Address, send: Callable[[], T]) -> Callable[[], T]:
        """Wrap what sends a transaction, so that its failure is counted."""

        def counted() -> T:
            try:
                return send()
            except REFUSALS:
                self._refusals[applicant] += 1
                raise
            except TransactionFailed:
                self._losses[applicant] += 1
                raise
            except TransactionPending:
                self._losses[applicant] += self._limits.pending
                raise

        return counted


class Lane:
    """One purpose's places, thread and budget."""

    def __init__(self, what: str, places: int, limits: Limits) -> None:
        self.budget = Budget(what, limits)
        self._what = what
        self._places = places
        self._waiting: set[Address] = set()
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"relay-{what}")

    async def run(self, applicant: Address, work: Callable[[], T]) -> T:
        """Run work for an applicant when it is its turn. Raise Refused if there is no place, or
        nothing left of the budget.
        """
        self.budget.check(applicant)
        with self._place(applicant):
            async with self._turn:
                # Others may have failed while this one waited.
                self.budget.check(applicant)
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """Send nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    @contextmanager
    def _place(self, applicant: Address) -> Iterator[None]:
        if applicant in self._waiting:
            raise Refused(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"one of the {self._what} of {applicant} waits here already",
                retry_after=RETRY,
            )
        if len(self._waiting) >= self._places:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{len(self._waiting)} {self._what} wait; try again",
                retry_after=RETRY,
            )
        self._waiting.add(applicant)
        try:
            yield
        finally:
            self._waiting.discard(applicant)


class Lanes:
    """All lanes of a relay. Joins in which an account's code may run have a lane of their own:
    whether these succeed, only a simulation can tell.
    """

    def __init__(self, *, joins: int = MOST_JOINS) -> None:
        self.batch = Lane("batches", 1, OWN)
        self.votes = Lane("posted votes", 1, OWN)
        self.advance = Lane("advances", 1, OWN)
        self.proposals = Lane("proposals", 4, IN_TURN)
        self.joins = Lane("joins", joins, Limits())
        self.coded_joins = Lane("joins of accounts with code", 4, Limits())

    @property
    def all(self) -> tuple[Lane, ...]:
        """Every lane."""
        own = (self.batch, self.votes, self.advance)
        return (*own, self.proposals, self.joins, self.coded_joins)

    def begin(self, round_index: int | None, now: int) -> None:
        """Take in the current round and time."""
        for lane in self.all:
            lane.budget.begin(round_index, now)

    def close(self) -> None:
        """Send nothing more."""
        for lane in self.all:
            lane.close()


def most_lost(gas: Gas, *, joins: bool) -> int:
    """Give the most gas that transactions without effect cost a relay in a round, or in a day of
    a longer one.
    """
    own = [gas.batch, gas.votes, gas.advance(MOST_SETTLED)]
    strangers = [gas.proposal, *([gas.join, gas.join] if joins else [])]
    lost = OWN.all_losses * sum(amount + SPREAD for amount in own)
    return lost + Limits().all_losses * sum(amount + SPREAD for amount in strangers)
