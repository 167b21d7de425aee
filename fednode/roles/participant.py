"""The participant: trains on its own rows, commits, publishes when the commit phase has closed,
recomputes and votes.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

from fednode.errors import FedNodeError
from fednode.federation import Federation
from fednode.roles.carrier import Carrier, Direct
from fednode.roles.carrying import carried_over, stands
from fednode.roles.charger import Charger
from fednode.roles.declarer import Declarer
from fednode.roles.effort import Meter
from fednode.roles.journal import PUBLISHED, Journal, PreparedUpdate
from fednode.roles.role import Progress, advance_if_due, end, finished, idle
from fednode.roles.trainer import Trainer
from fednode.roles.turns import turn_of
from fednode.roles.watcher import Watcher
from ledger.batch import BLOCK_LEAVES
from ledger.chain.accounts import Account
from ledger.chain.federations import Ballot
from ledger.errors import MalformedRecord
from ledger.members import Participant as Member
from ledger.nodes import Reason
from ledger.proceedings import Proposal, Round
from ledger.round import NOTHING, Slot, awaited
from ledger.sealing import Content, NotForUs
from ledger.state import FederationState, Phase
from ledger.stores import BlockUnavailable
from ledger.types import Address, Digest, RoundIndex

log = logging.getLogger("fednode")

HELD = "held"
Situation = tuple[Digest, Digest, int, int]
"""What an update is made for: the block that opened the round, its parent, and who its owner is and
on which data set. A reorganisation can change each of them, and leave the round its number.
"""


class NotAMember(FedNodeError):
    """An account that signs for no participant."""

    def __init__(self, account: Account) -> None:
        super().__init__(
            f"account {account.address} signs for no participant of this federation: "
            "run `fednode join` with it first"
        )


class Participant:
    """One participant's node. What it must remember lies in its journal, everything else on the
    chain.
    """

    def __init__(
        self,
        federation: Federation,
        account: Account,
        trainer: Trainer,
        journal: Journal,
        carrier: Carrier | None = None,
    ) -> None:
        self._federation = federation
        self._account = account
        self._trainer = trainer
        self._journal = journal
        self._carrier = carrier or Direct(federation.contract, federation.id, account)
        self._judged: tuple[object, tuple[object, ...]] | None = None
        self._ready: tuple[Situation, Digest] | None = None
        self._published: Situation | None = None
        self._out: set[Situation] = set()
        self._ballot: tuple[object, Ballot] | None = None
        self._watcher = Watcher(federation, account, journal, beside=False)
        self._charger = Charger(federation, account)
        self._declarer = Declarer(federation, account, journal.folder.parent)
        self._meter = Meter(federation.store, journal)
        self._noted: set[str] = set()
        self._collected: tuple[RoundIndex, Digest] | None = None
        self._joined = False
        self.failures: dict[int, str] = {}

    def step(self) -> Progress:
        """Do what is due: publish, commit or vote; else see to disputes; else charge who withheld
        an update; else move the federation on where a deadline has passed; else let go of what was
        erased.
        """
        state = self._federation.refresh()
        member = state.member(self._account.address)
        if member is None:
            shown = self._federation.lag is None
            if shown and (not self._joined or _signed(state, self._account.address)):
                raise NotAMember(self._account)
            log.warning("the chain's node does not know any more that we joined; waiting for it")
            return Progress.WAITING
        self._joined = True
        self._journal.align({round_.index: round_.parent for round_ in state.rounds})
        if finished(self._federation):
            if self._declarer.step(member):
                return Progress.ACTED
            progress = self._charger.step(member)
            return end(self._federation) if progress is Progress.DONE else progress
        own = turn_of(state, self._account.address, beside=False)
        try:
            with self._federation.waiting():
                acted = bool(state.rounds) and self._act(member, state.round)
        except (BlockUnavailable, MalformedRecord):
            # What keeps a node from going on may be the very thing to dispute, and to end.
            disputed = self._watcher.see_to_disputes()
            if disputed or advance_if_due(self._federation, self._account, own):
                return Progress.ACTED
            raise
        if acted or self._watcher.see_to_disputes() or self._charger.step(member) is Progress.ACTED:
            return Progress.ACTED
        if self._declarer.step(member):
            return Progress.ACTED
        return idle(self._federation, self._account, own)

    def _act(self, member: Member, round_: Round) -> bool:
        """Do what is due in the round; sit it out where it builds on what is sealed for others, as
        it is for who joined after its parent was proposed.
        """
        if self._publish(member):
            return True
        ours = member.signer_in(round_.index) == self._account.address
        try:
            return ours and member.active(round_.index) and self._take_part(member, round_)
        except NotForUs as error:
            if round_.index not in self.failures:
                log.error("round %d: %s", round_.index, error)
                self.failures[round_.index] = str(error)
            return False

    def _take_part(self, member: Member, round_: Round) -> bool:
        phase = self._federation.state.phase
        if phase is Phase.COMMIT:
            return self._commit(member, round_)
        if phase is Phase.PROPOSE:
            with self._meter.running(round_.index):
                self._collect(round_)
        elif phase is Phase.ATTEST and self._may_vote(member, round_.proposal):
            return self._vote(member, round_)
        return False

    def _may_vote(self, member: Member, proposal: Proposal) -> bool:
        return member.index in proposal.committee.seated and member.index not in proposal.votes

    # -- commit and reveal

    def _commit(self, member: Member, round_: Round) -> bool:
        """Commit to this round's update, until it is in the round. Training may outlast the clock
        of a dispute, so what is due there comes first.
        """
        if round_.committed(member.index):
            return False
        key = _situation(member, round_)
        if self._ready is None or self._ready[0] != key:
            if self._watcher.see_to_disputes():
                return True
            update = self._prepare(member, round_)
            if update is None:
                return False
            self._ready = key, update.digest
        if self._federation.chain.now() >= round_.commit_deadline:
            return False
        return self._carrier.commit(round_, member.index, self._ready[1])

    def _prepare(self, member: Member, round_: Round) -> PreparedUpdate | None:
        """Give this round's update from the journal, or train it. One that does not fit the chain
        any more is put aside: after a reorganisation its owner may have another index.
        """
        update = self._journal.fitting(
            round_.index, lambda kept: stands(self._federation, member, round_, kept)
        )
        if update is None:
            self._journal.put_aside(round_.index)
            update = self._train(member, round_)
        return update

    def _train(self, member: Member, round_: Round) -> PreparedUpdate | None:
        """Train and journal an update, unless one that missed its round will do. A model that
        others drove out of bounds must not take this node's vote away too: it sits the round out,
        and says so when all is over.
        """
        situation = _situation(member, round_)
        if situation in self._out:
            return None
        try:
            update = carried_over(self._federation, member, round_, self._journal, self._trainer)
            if update is None:
                update = self._trainer.prepare(self._federation, member, round_, self._journal)
        except FedNodeError as error:
            log.error("round %d: no update of ours: %s", round_.index, error)
            self.failures[round_.index] = str(error)
            self._out.add(situation)
            return None
        self.failures.pop(round_.index, None)
        self._journal.save_update(round_.index, update)
        return update

    def _publish(self, member: Member) -> bool:
        """Publish this round's update once nobody can commit any more: until then it is the
        journal's secret.
        """
        round_, replica = self._federation.state.round, self._federation.replica
        situation = _situation(member, round_)
        if round_.closed is None or self._published == situation:
            return False
        update = self._journal.fitting(
            round_.index, lambda kept: replica.committed(round_, member.index, kept.digest)
        )
        if update is None:
            return False
        done = self._journal.marked(round_.index, PUBLISHED) is not None
        if not done:
            self._federation.store.put(update.artefact)
            self._journal.mark(round_.index, PUBLISHED)
            log.info("published update %s", update.digest.hex()[:16])
        self._published = situation
        return not done

    # -- attest

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

    def _vote(self, member: Member, round_: Round) -> bool:
        """Recompute the standing result and vote; wait while bytes may still come."""
        proposal = round_.proposal
        if self._ballot is None or self._ballot[0] != proposal.key:
            with self._meter.running(round_.index):
                support = self._judge(round_, proposal)
            if support is None:
                return False
            self._meter.note()
            log.info("round %d: attesting took %s", round_.index, self._meter.spent)
            vacant = proposal.committee.vacant([member.index])
            ballot = Ballot(round_.index, proposal.attempt, proposal.result, support, vacant)
            self._ballot = proposal.key, ballot
        if self._federation.chain.now() >= proposal.attest_deadline:
            return False
        return self._carrier.vote(round_, member.index, self._ballot[1])

    def _judge(self, round_: Round, proposal: Proposal) -> bool | None:
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
        """Recompute the result and its index; keep what is right, and the updates that it was made
        from, so that all can be had whatever becomes of proposer and authors.
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
        self._federation.keep(round_)
        self._federation.store.put(artefact)
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


def _situation(member: Member, round_: Round) -> Situation:
    dataset, _ = member.dataset(round_.index)
    return round_.opening, round_.parent, member.index, dataset


def _signed(state: FederationState, account: Address) -> bool:
    """Whether an account was ever a participant's signer."""
    return any(account == signer for p in state.participants for _, signer in p.signers)


def _leaf(round_: Round, place: int) -> str:
    """Name the block of a round's batch that holds a leaf."""
    return f"{round_.batch_root.hex()} {place // BLOCK_LEAVES}"
