"""A participant's vote: it recomputes the standing result, votes, and keeps what it voted for.

A vote is sent before its inputs are put into the node's own store: a store that is slow, or that
waits for others, must not cost a vote. What a vote promises is that its sender holds the bytes. So
the journal names what is still to be kept, and a node that was stopped goes on with it.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import replace

from fednode.federation import Federation
from fednode.roles.carrier import Carrier
from fednode.roles.effort import Meter
from fednode.roles.journal import Journal
from fednode.roles.role import is_time
from fednode.roles.watcher import Watcher
from ledger.batch import BLOCK_LEAVES
from ledger.chain.federations import Ballot
from ledger.errors import MalformedRecord
from ledger.members import Participant as Member
from ledger.nodes import Reason
from ledger.proceedings import Proposal, Round
from ledger.round import NOTHING, Slot, awaited
from ledger.sealing import Content, NotForUs
from ledger.stores import Artefact, BlockUnavailable, StoreError
from ledger.types import Digest, RoundIndex

log = logging.getLogger("fednode")

HELD = "held"
KEEPING = "keeping"
"""Names in the journal a result that was voted for and is not kept yet."""


class Voting:
    """Judges the results of one federation and votes on them in a participant's name."""

    def __init__(
        self,
        federation: Federation,
        journal: Journal,
        carrier: Carrier,
        watcher: Watcher,
    ) -> None:
        self._federation = federation
        self._journal = journal
        self._carrier = carrier
        self._watcher = watcher
        self._meter = Meter(federation.store, journal)
        self._judged: tuple[object, tuple[object, ...]] | None = None
        self._ballot: tuple[object, Ballot] | None = None
        self._noted: set[str] = set()
        self._collected: tuple[RoundIndex, Digest] | None = None
        self._agreed: dict[Digest, Artefact] = {}
        self._left: dict[Digest, list[Artefact]] = {}
        self._unkept: dict[int, str] | None = None
        self._coming: dict[int, Future[Artefact]] = {}

    def collect(self, round_: Round) -> None:
        """Fetch what the round is made from, as it arrives."""
        with self._meter.running(round_.index):
            self._collect(round_)

    def may_vote(self, member: Member, proposal: Proposal) -> bool:
        """Whether a participant has a seat, and no vote of it is counted yet."""
        return member.index in proposal.committee.seated and member.index not in proposal.votes

    def vote(self, member: Member, round_: Round) -> bool:
        """Recompute the standing result and vote; wait while bytes may still come."""
        proposal = round_.proposal
        if self._ballot is None or self._ballot[0] != proposal.key:
            with self._meter.running(round_.index):
                support = self.judge(round_, proposal)
            if support is None:
                return False
            self._meter.note()
            vacant = proposal.committee.vacant([member.index])
            ballot = Ballot(round_.index, proposal.attempt, proposal.result, support, vacant)
            self._ballot = proposal.key, ballot
            if support:
                self._to_keep(round_, proposal)
            else:
                self._say(round_)
        if not is_time(self._federation, proposal.meta.timestamp, proposal.attest_deadline):
            return False
        return self._carrier.vote(round_, member.index, self._ballot[1])

    def _say(self, round_: Round) -> None:
        log.info("round %d: attesting took %s", round_.index, self._meter.spent)

    # -- keep

    def _to_keep(self, round_: Round, proposal: Proposal) -> None:
        """Note what a vote promises, before the vote is sent."""
        self._journal.mark(round_.index, KEEPING, proposal.result.hex())
        self._promised()[round_.index] = proposal.result.hex()

    def _promised(self) -> dict[int, str]:
        """Give the results that are to be kept, by round; after a start from the journal."""
        if self._unkept is None:
            noted = (
                (index, self._journal.marked(index, KEEPING)) for index in self._journal.rounds()
            )
            self._unkept = {index: str(result) for index, result in noted if result is not None}
        return self._unkept

    def keep(self) -> bool:
        """Keep what was voted for. It is never the one thing that a step does."""
        for index, result in list(self._promised().items()):
            if self._kept(index, result):
                self._journal.unmark(index, KEEPING)
                del self._promised()[index]
        return False

    def _kept(self, index: int, result: str) -> bool:
        """Keep a result and what it was made from; say whether nothing is left to keep of it."""
        rounds = self._federation.state.rounds[index : index + 1]
        found = [p for round_ in rounds for p in round_.proposals if p.result.hex() == result]
        if not found:
            # The chain's node may have lost blocks that it will have again.
            return False
        round_, proposal = rounds[0], found[-1]
        if proposal.fallen:
            return True
        # What this takes is the round's effort, unless a later round is measured by now.
        measured = proposal.result in self._agreed and index == self._federation.state.round.index
        with self._meter.running(index) if measured else nullcontext():
            if not self._put(round_, proposal):
                return False
        if measured:
            self._meter.note()
            self._say(round_)
        del self._left[proposal.result]
        self._agreed.pop(proposal.result, None)
        self._coming.pop(index, None)
        return True

    def _put(self, round_: Round, proposal: Proposal) -> bool:
        """Put what is left of a round into the store, the result last; say whether all was there.
        What the store has taken it is not given again.
        """
        if proposal.result not in self._left:
            own = self._agreed.get(proposal.result) or self._published(round_, proposal)
            if own is None:
                return False
            self._left = {proposal.result: [*self._federation.parts(round_), own]}
        left = self._left[proposal.result]
        while left:
            self._federation.store.put(left[0])
            del left[0]
        return True

    def _published(self, round_: Round, proposal: Proposal) -> Artefact | None:
        """Fetch a result that was voted for before a start: beside the steps, which do not wait."""
        coming = self._coming.get(round_.index)
        if coming is None:
            self._coming[round_.index] = self._federation.published_result(round_, proposal)
            return None
        if not coming.done():
            return None
        try:
            return coming.result()
        except (BlockUnavailable, MalformedRecord, NotForUs) as error:
            del self._coming[round_.index]
            log.info("round %d: the result voted for is not kept yet: %s", round_.index, error)
            return None
        except StoreError:
            del self._coming[round_.index]
            raise

    # -- what is there

    def _collect(self, round_: Round) -> list[Slot]:
        """Fetch batch, slice and updates; until the reveal deadline, note in the journal what is
        held as it arrives; nothing is ever taken off that list.
        """
        if self._collected != (round_.index, round_.parent):
            self._collected = (round_.index, round_.parent)
            self._noted = self._held(round_)
        claims = self._federation.claims(round_)
        batch = enumerate(claims[: round_.batched])
        there = [place for place, slot in batch if slot.unbound is not Reason.MISSING]
        self._note(round_, *(_leaf(round_, place) for place in there))
        announced = self._federation.announced(round_)
        if announced is not None and self._federation.opened(round_) is not None:
            self._note(round_, announced.hex())
        for place, slot in self._federation.arriving(round_, tuple(claims)):
            if slot.published.payload is not None:
                self._note(round_, slot.digest.hex())
            claims[place] = slot
        return claims

    def _note(self, round_: Round, *what: str) -> None:
        """Note in the journal what is held before the reveal deadline."""
        assert round_.closed is not None
        new = [name for name in what if name not in self._noted]
        self._noted.update(new)
        if new and self._federation.chain.now() < round_.closed.reveal_deadline:
            self._journal.append(round_.index, HELD, new)

    def _held(self, round_: Round) -> set[str]:
        """Name the batch's blocks, updates and slice that this node held at the reveal deadline."""
        return set(self._journal.listed(round_.index, HELD))

    # -- judge

    def judge(self, round_: Round, proposal: Proposal) -> bool | None:
        """Say whether the result is right; None = not to be said yet.

        While bytes are missing nothing is computed twice: only new bytes can change the answer.
        """
        slots = self._collect(round_)
        opened = self._federation.opened(round_) is not None
        content = self._opened(round_, proposal)
        lacking = (content is None, not opened, *awaited(slots, round_.batched))
        seen = (proposal.key, lacking)
        if self._judged != seen:
            if self._agrees(round_, slots, proposal, content):
                return True
            self._judged = seen
        assert round_.closed is not None
        now, window = self._federation.chain.now(), self._federation.replica.policy.attest_window
        if lacking != (False, False):
            if now < proposal.attest_deadline - window // 4:
                return None
            if now < round_.closed.reveal_deadline:
                # What is lacking may still come, so nothing is conceded yet; a vote must be.
                return False
        conceded = self._conceded(round_, slots, proposal)
        unopened = self._concedes_slice(round_, proposal)
        return self._agrees(round_, conceded, proposal, content, unopened=unopened)

    def _opened(self, round_: Round, proposal: Proposal) -> Content | None:
        """Open what the proposed result is sealed with; None where it cannot be opened (yet)."""
        try:
            return self._federation.replica.content(round_, proposal)
        except (BlockUnavailable, MalformedRecord) as error:
            log.info("round %d: the proposed result cannot be opened: %s", round_.index, error)
            return None

    def _agrees(
        self,
        round_: Round,
        slots: list[Slot],
        proposal: Proposal,
        content: Content | None,
        *,
        unopened: bool = False,
    ) -> bool:
        """Recompute the result and its index; what is right is to be kept, with the updates that it
        was made from, so that all can be had whatever becomes of proposer and authors.
        """
        if content is None:
            return False
        stated = self._stated(round_, proposal)
        outcome = self._federation.compose(
            round_, slots, stated=stated, content=content, unopened=unopened
        )
        if outcome.header.digest() != proposal.result:
            return False
        artefact, index = self._federation.bundle(outcome)
        if index != proposal.index:
            return False
        self._agreed = {proposal.result: artefact}
        self._federation.hold(artefact)
        self._watcher.trust(proposal)
        return True

    def _stated(self, round_: Round, proposal: Proposal) -> Sequence[int]:
        """Read a result's utilities where the model's own are not exact."""
        if self._federation.rulebook.task.utility_tolerance == 0:
            return ()
        try:
            return self._federation.replica.proposed(round_, proposal).records().utilities
        except (BlockUnavailable, MalformedRecord):
            return ()

    def _concedes_slice(self, round_: Round, proposal: Proposal) -> bool:
        """Whether the result measures nothing and this node did not hold the round's slice at the
        reveal deadline either.
        """
        announced = self._federation.announced(round_)
        if announced is None or announced.hex() in self._held(round_):
            return False
        try:
            reader = self._federation.replica.proposed(round_, proposal)
            return not reader.records().utilities
        except (BlockUnavailable, MalformedRecord):
            return False

    def _conceded(self, round_: Round, slots: list[Slot], proposal: Proposal) -> list[Slot]:
        """Take for missing and unavailable what the result calls so and this node did not hold at
        the reveal deadline either.
        """
        known = self._held(round_)
        try:
            reader = self._federation.replica.proposed(round_, proposal)
            entries = [e for node in reader.levels(len(slots))[0] for e in node.entries]
        except (BlockUnavailable, MalformedRecord) as error:
            log.warning("round %d: the proposed result cannot be read: %s", round_.index, error)
            return slots
        lost = {
            place
            for place, entry in enumerate(entries[: round_.batched])
            if entry.reason == Reason.MISSING and _leaf(round_, place) not in known
        }
        bare = [Slot.missing() if place in lost else slot for place, slot in enumerate(slots)]
        return [
            replace(slot, published=NOTHING)
            if entry.reason == Reason.UNAVAILABLE and slot.digest.hex() not in known
            else slot
            for slot, entry in zip(self._federation.filled(round_, bare), entries, strict=False)
        ]


def _leaf(round_: Round, place: int) -> str:
    """Name the block of a round's batch that holds a leaf."""
    return f"{round_.batch_root.hex()} {place // BLOCK_LEAVES}"
