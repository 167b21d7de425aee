"""The relay itself: looks at the chain, and posts what is at its desk when the time has come.

One batch a round: when everybody with a seat has committed, else shortly before the batch's
deadline. Votes: when those at the desk decide, else shortly before the attest window ends. The
batch's bytes are published before its root is posted, so nobody meets a root without leaves.
"""

import asyncio
import logging

from fednode.errors import FedNodeError
from fednode.relay.desk import Desk
from fednode.relay.sender import Sender
from fednode.relay.situation import Collecting, Ledger, Voting
from fednode.roles.role import attempt
from ledger.errors import LedgerError
from ledger.stores import ContentStore
from ledger.types import Address

log = logging.getLogger("fednode")

MARGIN = 60
"""Seconds before a deadline at which a relay posts, so that it is in a block in time."""


class Relay:
    """Brings what is at the desk to the chain, step by step."""

    def __init__(
        self,
        ledger: Ledger,
        store: ContentStore,
        desk: Desk,
        sender: Sender,
        *,
        margin: int = MARGIN,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._desk = desk
        self._sender = sender
        self._margin = margin

    async def run(self, *, poll: float) -> None:
        """Step until the federation is over; outages pass, so they are logged and outlived."""
        while True:
            try:
                if await self.step():
                    return
            except (LedgerError, FedNodeError) as error:
                log.warning("trying again: %s", error)
            await asyncio.sleep(poll)

    async def step(self) -> bool:
        """Do what is due; say whether nothing ever will be again."""
        situation = await asyncio.to_thread(self._ledger.situation)
        self._desk.see(situation)
        match situation.phase:
            case Collecting() as phase:
                await self._post_batch(phase, situation.now)
            case Voting() as phase:
                await self._post_votes(phase, situation.now)
        if situation.due:
            await self._sender.run(lambda: attempt("advanced", self._ledger.advance))
        return situation.over

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
        await self._sender.run(
            lambda: attempt(what, lambda: self._ledger.post_batch(phase.round, batch.posted))
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
        await self._sender.run(
            lambda: attempt(what, lambda: self._ledger.post_votes(phase, ballots))
        )

    def _is_late(self, phase: Collecting | Voting, now: int) -> bool:
        """Whether it is time to post; of a short window the margin is a quarter."""
        margin = min(self._margin, (phase.deadline - phase.opened) // 4)
        return now >= phase.deadline - margin


def decides(phase: Voting, sides: dict[Address, bool]) -> bool:
    """Say whether votes decide, with those that the chain has, or leave none to wait for."""
    cast = [*phase.voted.values(), *sides.values()]
    ahead = max(cast.count(True), cast.count(False))
    return ahead >= phase.quorum or len(cast) >= len(phase.committee)
