"""The relay itself: looks at the chain, and posts what is at its desk when the time has come.

One batch a round: when everybody with a seat has committed, else shortly before the batch's
deadline. Votes: when those at the desk decide, else shortly before the attest window ends. The
batch's bytes are published before its root is posted, so nobody meets a root without leaves.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from fednode.errors import FedNodeError
from fednode.relay.desk import Desk
from fednode.relay.lanes import Lane, Lanes
from fednode.relay.situation import Collecting, Ledger, Situation, Voting
from fednode.roles.role import attempt
from ledger.chain.types import Receipt
from ledger.errors import LedgerError
from ledger.stores import ContentStore
from ledger.types import Address

log = logging.getLogger("fednode")

GROWTH = 1.5
"""Each rest in which nothing has happened is so many times as long as the one before."""
LONGEST = 4
"""A rest is at most so many times as long as the shortest."""
MARGIN = 60
"""Seconds before a deadline at which a relay posts, so that it is in a block in time."""


class Relay:
    """Brings what is at the desk to the chain, step by step."""

    def __init__(
        self,
        ledger: Ledger,
        store: ContentStore,
        desk: Desk,
        lanes: Lanes,
        *,
        margin: int = MARGIN,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._desk = desk
        self._lanes = lanes
        self._margin = margin
        self._seen: Situation | None = None

    async def run(self, *, poll: float) -> None:
        """Step until the federation is over. Outages pass, so they are logged and outlived; a fault
        that was not foreseen is logged in full, and the next step may do without it. While the
        federation stands where it stood, each rest is longer than the one before.
        """
        rest, before = poll, self._seen
        while True:
            try:
                if await self.step():
                    return
            except (LedgerError, FedNodeError) as error:
                log.warning("trying again: %s", error)
            except Exception:
                # A relay that ends keeps no word, and its desk answers whatever fails here.
                log.exception("a step failed; trying again")
            rest = min(self._patience(poll), GROWTH * rest) if self._same(before) else poll
            before = self._seen
            await asyncio.sleep(rest)

    def _same(self, before: Situation | None) -> bool:
        """Whether nothing but time has passed since an earlier look."""
        seen = self._seen
        return seen is not None and before is not None and replace(before, now=seen.now) == seen

    def _patience(self, poll: float) -> float:
        """Give the longest rest: it does not last past the time at which to post."""
        seen, longest = self._seen, LONGEST * poll
        if seen is None or not isinstance(seen.phase, Collecting | Voting):
            return longest
        return max(poll, min(longest, self._late(seen.phase) - seen.now))

    async def step(self) -> bool:
        """Do what is due; say whether nothing ever will be again. Raise the first thing that went
        wrong, after all else was tried.
        """
        situation = await asyncio.to_thread(self._ledger.situation)
        phase = situation.phase
        self._seen = situation
        self._lanes.begin(None if phase is None else phase.round, situation.now)
        self._desk.see(self._judged(situation))
        duties = [self._post(situation)]
        if situation.due:
            duties.append(self._send(self._lanes.advance, "advanced", self._ledger.advance))
        for outcome in await asyncio.gather(*duties, return_exceptions=True):
            if outcome is not None:
                raise outcome
        return situation.over

    def _judged(self, situation: Situation) -> Situation:
        """Say that the relay is unable, too, where its transactions with votes failed too often. A
        batch that failed is closed already.
        """
        spent = isinstance(situation.phase, Voting) and self._lanes.votes.budget.spent
        return replace(situation, able=situation.able and not spent)

    async def _send(self, lane: Lane, what: str, send: Callable[[], Receipt]) -> None:
        us = self._desk.account.address
        counted = lane.budget.counting(us, send)
        await lane.run(us, lambda: attempt(what, counted))

    async def _post(self, situation: Situation) -> None:
        match situation.phase:
            case Collecting() as phase:
                await self._post_batch(phase, situation.now)
            case Voting() as phase:
                await self._post_votes(phase, situation.now)

    async def _post_batch(self, phase: Collecting, now: int) -> None:
        if phase.posted is not None or now >= phase.deadline:
            return
        if not (self._is_late(phase, now) or self._desk.full(phase)):
            return
        batch = await self._desk.seal()
        if batch is None:
            return
        await asyncio.to_thread(self._store.put, batch.artefact())
        what = f"posted {batch.posted.leaves} commits of round {phase.round}"
        await self._send(
            self._lanes.batch, what, lambda: self._ledger.post_batch(phase.round, batch.posted)
        )

    async def _post_votes(self, phase: Voting, now: int) -> None:
        votes = self._desk.votes(phase)
        if not votes or now >= phase.deadline:
            return
        sides = {signer: vote.support for signer, vote in votes.items()}
        if not (self._is_late(phase, now) or decides(phase, sides)):
            return
        ballots = list(votes.values())
        what = f"posted {len(ballots)} votes on result {phase.result.hex()[:16]}"
        await self._send(self._lanes.votes, what, lambda: self._ledger.post_votes(phase, ballots))

    def _is_late(self, phase: Collecting | Voting, now: int) -> bool:
        return now >= self._late(phase)

    def _late(self, phase: Collecting | Voting) -> int:
        """Give the time at which to post; of a short window the margin is a quarter."""
        margin = min(self._margin, (phase.deadline - phase.opened) // 4)
        return phase.deadline - margin


def decides(phase: Voting, sides: dict[Address, bool]) -> bool:
    """Say whether votes decide, with those that the chain has, or leave none to wait for."""
    cast = [*phase.voted.values(), *sides.values()]
    ahead = max(cast.count(True), cast.count(False))
    return ahead >= phase.quorum or len(cast) >= len(phase.committee)
