"""The participant: trains on its own rows, commits, publishes when the commit phase has closed,
recomputes and votes.
"""

import logging
from collections.abc import Sequence

from fednode.errors import FedNodeError
from fednode.federation import Federation
from fednode.roles.journal import Journal, PreparedUpdate
from fednode.roles.role import Progress, advance_if_due, attempt, finished
from fednode.roles.trainer import Trainer
from ledger.artefacts import ResultReader, result_artefact
from ledger.chain.accounts import Account
from ledger.chain.federations import Ballot
from ledger.errors import MalformedRecord
from ledger.nodes import Reason
from ledger.round import Published, Slot
from ledger.state import Commit, Phase, Proposal, Round
from ledger.state import Participant as Member
from ledger.stores import BlockUnavailable
from ledger.types import Digest

log = logging.getLogger("fednode")

PUBLISHED = "published"
HELD = "held"


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
        self, federation: Federation, account: Account, trainer: Trainer, journal: Journal
    ) -> None:
        self._federation = federation
        self._account = account
        self._trainer = trainer
        self._journal = journal
        self._judged: tuple[Digest, int, tuple[bool, ...]] | None = None
        self._noted: set[Digest] = set()
        self.failures: dict[int, str] = {}

    def step(self) -> Progress:
        """Do what is due: publish, commit or vote; else move the federation on where a deadline has
        passed.
        """
        state = self._federation.refresh()
        member = state.member(self._account.address)
        if member is None:
            raise NotAMember(self._account)
        if finished(self._federation):
            return Progress.DONE
        if state.rounds and (self._publish() or self._act(member, state.round)):
            return Progress.ACTED
        moved = advance_if_due(self._federation, self._account)
        return Progress.ACTED if moved else Progress.WAITING

    def _act(self, member: Member, round_: Round) -> bool:
        if not member.active(round_.index):
            return False
        phase = self._federation.state.phase
        if phase is Phase.COMMIT:
            return self._commit(member, round_)
        if phase is Phase.PROPOSE:
            self._collect(round_)
        elif phase is Phase.ATTEST and member.index not in round_.proposal.votes:
            return self._vote(round_)
        return False

    # -- commit and reveal

    def _commit(self, member: Member, round_: Round) -> bool:
        """Commit to this round's update; train it first unless the journal has it already."""
        if any(commit.participant == member.index for commit in round_.commits):
            return False
        update = self._journal.update(round_.index)
        if update is not None and update.parent != round_.parent:
            # The chain was reorganised: what was trained on another result counts for nothing.
            self._journal.forget_update(round_.index)
            update = None
        if update is None:
            update = self._train(member, round_)
        if update is None:
            return False
        if self._federation.chain.now() > round_.commit_deadline:
            return False
        return attempt(
            f"committed update {update.digest.hex()[:16]} to round {round_.index}",
            lambda: self._federation.contract.commit_update(
                self._account, self._federation.id, round_.index, update.digest
            ),
        )

    def _train(self, member: Member, round_: Round) -> PreparedUpdate | None:
        """Train and journal an update. A model that others drove out of bounds must not take this
        node's vote away too: it sits the round out, and says so when all is over.
        """
        if round_.index in self.failures:
            return None
        try:
            update = self._trainer.prepare(self._federation, member, round_, self._journal)
        except FedNodeError as error:
            log.error("round %d: no update of ours: %s", round_.index, error)
            self.failures[round_.index] = str(error)
            return None
        self._journal.save_update(round_.index, update)
        return update

    def _publish(self) -> bool:
        """Publish this round's update once nobody can commit any more: until then it is the
        journal's secret.
        """
        round_ = self._federation.state.round
        if round_.closed is None or self._journal.marked(round_.index, PUBLISHED):
            return False
        update = self._journal.update(round_.index)
        if update is None or all(c.digest != update.digest for c in round_.commits):
            return False
        self._federation.store.put(update.artefact)
        self._journal.mark(round_.index, PUBLISHED)
        log.info("published update %s", update.digest.hex()[:16])
        return True

    # -- attest

    def _collect(self, round_: Round) -> list[Published]:
        """Fetch what the others published; until the reveal deadline, note in the journal what is
        held.
        """
        self._noted &= {commit.digest for commit in round_.commits}
        return [self._fetch(round_, commit) for commit in round_.commits]

    def _fetch(self, round_: Round, commit: Commit) -> Published:
        """Fetch one update. One that is missing may take long to be missed; so each is noted as
        held when it arrives, and nothing is ever taken off the list.
        """
        assert round_.closed is not None
        found = self._federation.published(commit)
        if found.payload is None or commit.digest in self._noted:
            return found
        self._noted.add(commit.digest)
        if self._federation.chain.now() <= round_.closed.reveal_deadline:
            held = self._held(round_)
            if commit.digest.hex() not in held:
                self._journal.mark(round_.index, HELD, sorted({*held, commit.digest.hex()}))
        return found

    def _held(self, round_: Round) -> set[str]:
        """Name the updates that this node held at the reveal deadline."""
        held = self._journal.marked(round_.index, HELD)
        return {str(digest) for digest in held} if isinstance(held, list) else set()

    def _vote(self, round_: Round) -> bool:
        """Recompute the standing result and vote; wait while bytes may still come."""
        proposal = round_.proposal
        support = self._judge(round_, proposal)
        if support is None or self._federation.chain.now() > proposal.attest_deadline:
            return False
        return attempt(
            f"voted {'for' if support else 'against'} result {proposal.result.hex()[:16]}",
            lambda: self._federation.contract.vote(
                self._account,
                self._federation.id,
                Ballot(round_.index, proposal.attempt, proposal.result, support),
            ),
        )

    def _judge(self, round_: Round, proposal: Proposal) -> bool | None:
        """Say whether the result is right; None = not to be said yet.

        While bytes are missing nothing is computed twice: only new bytes can change the answer.
        """
        published = self._collect(round_)
        slots = self._federation.replica.slots(round_, published)
        held = tuple(item.final for item in published)
        seen = (proposal.result, proposal.attempt, held)
        if self._judged != seen:
            if self._agrees(round_, slots, proposal):
                return True
            self._judged = seen
        assert round_.closed is not None
        last = proposal.attest_deadline - self._federation.replica.policy.attest_window // 4
        patience = max(last, round_.closed.reveal_deadline)
        if not all(held) and self._federation.chain.now() < patience:
            return None
        return self._agrees(round_, self._conceded(round_, slots, proposal), proposal)

    def _agrees(self, round_: Round, slots: list[Slot], proposal: Proposal) -> bool:
        """Recompute the result and its index; keep what is right, and the updates that it was made
        from, so that all can be had whatever becomes of proposer and authors.
        """
        outcome = self._federation.compose(round_, slots, stated=self._stated(proposal))
        if outcome.header.digest() != proposal.result:
            return False
        artefact, index = result_artefact(outcome)
        if index != proposal.index:
            return False
        self._federation.keep(round_)
        self._federation.store.put(artefact)
        return True

    def _stated(self, proposal: Proposal) -> Sequence[int]:
        """Read a result's utilities where the model's own are not exact."""
        if self._federation.rulebook.task.utility_tolerance == 0:
            return ()
        try:
            reader = ResultReader(self._federation.store, proposal.result, proposal.index)
            return reader.records().utilities
        except (BlockUnavailable, MalformedRecord):
            return ()

    def _conceded(self, round_: Round, slots: list[Slot], proposal: Proposal) -> list[Slot]:
        """Take for unavailable what the result calls so and this node did not hold at the reveal
        deadline either.
        """
        known = self._held(round_)
        try:
            reader = ResultReader(self._federation.store, proposal.result, proposal.index)
            entries = [e for node in reader.levels(len(slots))[0] for e in node.entries]
        except (BlockUnavailable, MalformedRecord) as error:
            log.warning("round %d: the proposed result cannot be read: %s", round_.index, error)
            return slots
        return [
            Slot(slot.participant, slot.digest, Published(None, None))
            if entry.reason == Reason.UNAVAILABLE and slot.digest.hex() not in known
            else slot
            for slot, entry in zip(slots, entries, strict=False)
        ]
