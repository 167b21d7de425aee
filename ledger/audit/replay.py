"""The audit: replays a federation's whole history and stops at the first step that does not hold.

Nothing that a node wrote outside chain and store is believed. Every event goes through the rules of
the contract (`ledger.state`); every accepted result is computed again from the updates by the same
function that its proposer used (`ledger.round`), with the rules that the policy chooses handed in
by the caller.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NoReturn

from ledger import artefacts
from ledger import history as ev
from ledger.audit.compare import PublishedResult, comparisons
from ledger.audit.evidence import Evidence
from ledger.audit.facts import Facts
from ledger.audit.summary import summarise
from ledger.audit.verdict import (
    BYTES,
    CLAIMS,
    CONTRACT,
    HEADERS,
    HISTORY,
    LINEAGE,
    ORDER,
    PAYOUTS,
    SIGNERS,
    Finding,
    Step,
    Terms,
    Verdict,
)
from ledger.cid import CID, Codec
from ledger.errors import LedgerError, MalformedRecord
from ledger.headers import ResultHeader, federation_id
from ledger.identity import ForgedIdentity, read_identity
from ledger.nodes import Entry, Reason
from ledger.replica import Replica, first_standing
from ledger.round import Outcome, Published, Rules, Slot, Standing, compose, follow
from ledger.state import Commit, HistoryViolation, Round
from ledger.stores import BlockUnavailable
from ledger.types import ZERO_ADDRESS, ZERO_DIGEST, Address, Digest


@dataclass(frozen=True, slots=True)
class Rulebook:
    """The rules of a federation as its policy chooses them, and the policy in words."""

    rules: Rules
    terms: Terms


RulebookReader = Callable[[Replica], Rulebook]
"""Reads the policy's records. Raises PolicyRefused for those that no rules follow from."""


class PolicyRefused(LedgerError):
    """Policy records that do not say what the policy's header says, or nothing that can be run."""


def audit(evidence: Evidence, read_rulebook: RulebookReader) -> Verdict:
    """Replay everything that the evidence holds; the verdict names the first step that fails."""
    run = _Run(evidence, read_rulebook)
    finding = None
    try:
        run.all()
    except _Stop as stop:
        finding = stop.finding
    return summarise(evidence, run.facts, finding)


class _Stop(Exception):
    """The first thing that does not hold."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding
        super().__init__(finding.subject)


class _NoEvents:
    """The replica of an audit is fed by hand."""

    def poll(self) -> list[ev.Event]:
        return []

    def reset(self) -> None:
        return None


class _Run:
    """One replay, in the order in which things happened."""

    def __init__(self, evidence: Evidence, read_rulebook: RulebookReader) -> None:
        self._evidence = evidence
        self._read_rulebook = read_rulebook
        self._replica = Replica(_NoEvents(), evidence.store, origin=evidence.origin)
        self._book: Rulebook | None = None
        self._standing: Standing | None = None
        self.facts = Facts(self._replica)

    def all(self) -> None:
        """Check everything."""
        self._contract()
        self._history()
        for event in self._evidence.events:
            self._event(event)

    # -- the contract and the whole list of events

    def _contract(self) -> None:
        found = self._evidence.deployment
        subject = "the contract's address"
        self._hold(CONTRACT, None, subject, found.expected, found.found, holds=found.ours)

    def _history(self) -> None:
        events = self._evidence.events
        broken = self._evidence.broken
        subject = f"the chain of {len(events)} events"
        expected = "events that hash to what they carry"
        self._hold(HISTORY, None, subject, expected, broken, holds=broken is None)
        h = ZERO_DIGEST
        for place, event in enumerate(events):
            h = ev.follows(h, event)
            if h != event.h:
                block = event.meta.block_number
                name = f"event {place}, {type(event).__name__} in block {block}"
                self._fail(HISTORY, None, f"the accumulator after {name}", h, event.h)
        self._hold(HISTORY, None, "the accumulator at the trusted block", self._evidence.h, h)
        self._hold(HISTORY, None, "the number of events", "at least one", 0, holds=bool(events))

    # -- one event

    def _event(self, event: ev.Event) -> None:
        round_: int | None = getattr(event, "round", None)
        subject = f"{type(event).__name__} in block {event.meta.block_number}"
        step = CLAIMS if isinstance(event, _MONEY) else ORDER
        try:
            with self._bytes(round_, "the policy header"):
                self._replica.take(event)
        except HistoryViolation as violation:
            self._fail(
                step, round_, subject, violation.expected, violation.found, event.meta.sender
            )
        self.facts.passed(step, round_, subject)
        match event:
            case ev.FederationCreated():
                self._created(event)
            case ev.ParticipantJoined():
                self._joined(event)
            case ev.UpdateCommitted() | ev.Voted():
                participant = self._replica.state.participants[event.participant]
                self._signed(event.round, subject, participant.signer, event.meta.sender)
            case ev.ResultProposed():
                self._proposed(event, subject)
            case ev.ResultAccepted():
                self._accepted(event)
            case ev.ResultRejected():
                self._rejected(event)
            case ev.RoundOpened():
                self._stops(event, subject, event.round)
            case ev.FederationEnded(idle=False):
                last = self._replica.state.round.index
                self._stops(event, subject, last)
            case ev.PeriodEnded():
                self._period_ended(event)
            case ev.PayoutClaimed():
                self._claimed(event)

    def _signed(self, round_: int, subject: str, who: Address, sender: Address) -> None:
        if sender == ZERO_ADDRESS:
            # The contract was called by an account itself; which one, its event says.
            self.facts.note(
                f"{subject}: its transaction is of a type whose signer is not recovered."
            )
            return
        self._hold(SIGNERS, round_, subject, who, sender, signer=sender)

    def _proposed(self, event: ev.ResultProposed, subject: str) -> None:
        """A participant signs its proposals itself. Who else may propose may do so through a
        contract of its own, and must not fail everybody's audit by that.
        """
        known = {s for p in self._replica.state.participants for _, s in p.signers}
        if event.proposer in known or event.proposer == event.meta.sender:
            self._signed(event.round, subject, event.proposer, event.meta.sender)
        else:
            self.facts.note(
                f"{subject}: no participant proposed it, but {event.proposer}, a contract that "
                f"{event.meta.sender} called."
            )

    def _created(self, event: ev.FederationCreated) -> None:
        origin, policy = self._evidence.origin, self._replica.policy
        derived = federation_id(
            origin.chain_id,
            origin.ledger,
            creator=event.creator,
            policy=event.policy,
            salt=Digest(event.salt),
        )
        self._hold(HEADERS, None, "the federation's id", derived, origin.federation)
        expected = (origin.chain_id, origin.ledger)
        found = (policy.common.chain_id, policy.common.ledger)
        subject = "the chain and the contract that the policy names"
        self._hold(HEADERS, None, subject, expected, found, signer=event.creator)
        records = "the policy's records"
        with self._bytes(None, records, event.creator):
            try:
                self._book = self._read_rulebook(self._replica)
            except PolicyRefused as refused:
                header = f"records of policy {event.policy.hex()}"
                self._fail(HEADERS, None, records, header, refused, event.creator)
            self._standing = replace(first_standing(), model=self._replica.initial_model())
        self.facts.terms = self._book.terms
        self.facts.passed(BYTES, None, "policy, initial model and evaluation rows")
        self._ancestor(event.creator)

    def _ancestor(self, creator: Address) -> None:
        policy = self._replica.policy
        if policy.common.parent == ZERO_DIGEST:
            return
        with self._bytes(None, "the ancestor's result", creator):
            data = self._evidence.store.get(CID(Codec.RAW, policy.common.parent))
            root = ResultHeader.decode(data).model_root
        subject = "the initial model, as its ancestor left it"
        self._hold(LINEAGE, None, subject, root, policy.initial_model_root, signer=creator)

    def _joined(self, event: ev.ParticipantJoined) -> None:
        """Check who a participant says it is. In an open federation nobody vouches for that, and a
        stranger's bad record must not end everybody's audit.
        """
        try:
            self.facts.names[event.participant] = self._identity(event)
        except _Stop as stop:
            if not self._replica.policy.open:
                raise
            self.facts.checks.pop()
            self.facts.note(f"{stop.finding.subject} is not to be believed: {stop.finding.found}")

    def _identity(self, event: ev.ParticipantJoined) -> str:
        subject = f"the identity of participant {event.participant}"
        with self._bytes(None, subject, event.controller):
            try:
                identity = read_identity(self._evidence.store, event.identity)
            except ForgedIdentity as forged:
                signed = f"a signature of {event.controller}"
                self._fail(SIGNERS, None, subject, signed, forged, event.controller)
        found = identity.controller
        self._hold(SIGNERS, None, subject, event.controller, found, signer=event.controller)
        return identity.name

    # -- results

    def _stops(self, event: ev.Event, subject: str, round_: int) -> None:
        """Check that training goes on, or does not, as the newest result says."""
        state = self._replica.state
        head = self.facts.results.get(state.head)
        if head is None:
            return
        last = state.training_index(len(state.lineage)) == state.policy.rounds
        expected = "the federation's end" if head.header.stop or last else "another round"
        found = "another round" if isinstance(event, ev.RoundOpened) else "the federation's end"
        self._hold(ORDER, round_, subject, expected, found, signer=event.meta.sender)

    def _accepted(self, event: ev.ResultAccepted) -> None:
        """Compute an accepted result again from the updates, and compare it with what was
        published.
        """
        assert self._book is not None
        assert self._standing is not None
        state = self._replica.state
        round_, accepted = state.round, state.lineage[-1]
        context = self._replica.context(round_)
        proposer = accepted.proposal.proposer
        subject = f"result {event.result.hex()[:16]}"
        with self._bytes(round_.index, subject, proposer):
            reader = self._replica.reader(accepted)
        expected = context.common(ResultHeader.TAG)
        found = reader.header.common
        self._hold(
            HEADERS, round_.index, f"{subject}: its header", expected, found, signer=proposer
        )
        with self._bytes(round_.index, subject, proposer):
            published = PublishedResult.read(
                reader, leaves=context.policy.leaves, slots=len(round_.commits)
            )
        slots = self._slots(round_, published)
        rules = self._book.rules.stating(published.records.utilities)
        outcome = compose(context, self._standing, slots, rules)
        self._available(round_, outcome, published)
        for step, what, expect, got in comparisons(outcome, published):
            self._hold(step, round_.index, what, expect, got, signer=proposer)
        self._standing = follow(
            self._standing,
            outcome.records,
            outcome.model,
            trained=state.training_index(accepted.height),
            ends_period=state.ends_period(accepted.height, outcome.header.stop),
        )
        self.facts.passed(LINEAGE, round_.index, f"{subject} builds on {found.parent.hex()[:16]}")
        self.facts.results[event.result] = published

    def _rejected(self, event: ev.ResultRejected) -> None:
        """Say so where a result was voted down that its inputs do come to: a vote is no proof."""
        assert self._book is not None
        assert self._standing is not None
        state = self._replica.state
        round_ = state.rounds[event.round]
        proposal = round_.proposal
        context = self._replica.context(round_)
        try:
            reader = artefacts.ResultReader(self._evidence.store, event.result, proposal.index)
            published = PublishedResult.read(
                reader, leaves=context.policy.leaves, slots=len(round_.commits)
            )
            rules = self._book.rules.stating(published.records.utilities)
            outcome = compose(
                context, self._standing, self._claimed_slots(round_, published), rules
            )
        except (BlockUnavailable, MalformedRecord):
            return
        if outcome.header.digest() == event.result:
            against = [str(p) for p, support in sorted(proposal.votes.items()) if not support]
            voters = f"participants {', '.join(against)}" if against else "nobody"
            self.facts.note(
                f"Round {event.round}: a result that follows from its updates was not accepted in "
                f"attempt {event.attempt}; {voters} voted against it."
            )

    def _claimed_slots(self, round_: Round, published: PublishedResult) -> list[Slot]:
        """Read the updates that a result counts, without a word about those that are missing."""
        return [
            self._slot(commit, entry)
            for commit, entry in zip(round_.commits, published.entries(), strict=False)
        ]

    def _slot(self, commit: Commit, entry: Entry) -> Slot:
        """Read the update of a slot, unless the result calls it unavailable."""
        unavailable = entry.reason == Reason.UNAVAILABLE
        found = Published(None, None) if unavailable else self._update(commit)
        return Slot(commit.participant, commit.digest, found)

    def _slots(self, round_: Round, published: PublishedResult) -> list[Slot]:
        """Read every update that the result counts; take its word for what could not be had in
        time.
        """
        slots = []
        for commit, entry in zip(round_.commits, published.entries(), strict=False):
            subject = f"the update of participant {commit.participant}"
            if entry.reason == Reason.UNAVAILABLE:
                self._note_if_had(round_, commit, subject)
            with self._bytes(round_.index, subject, commit.meta.sender):
                slots.append(self._slot(commit, entry))
        return slots

    def _available(self, round_: Round, outcome: Outcome, published: PublishedResult) -> None:
        """Require the bytes of every update that the result does not call unavailable, as far as
        judging it takes them.
        """
        ours = [entry for node in outcome.levels[0] for entry in node.entries]
        for commit, entry, found in zip(round_.commits, ours, published.entries(), strict=False):
            named = found.digest == commit.digest and found.reason != Reason.UNAVAILABLE
            if named and entry.reason == Reason.UNAVAILABLE:
                subject = f"the update of participant {commit.participant}"
                expected = f"the bytes behind {commit.digest.hex()}"
                signer = commit.meta.sender
                self._fail(BYTES, round_.index, subject, expected, "not to be had", signer)
        count = len(round_.commits)
        self.facts.passed(BYTES, round_.index, f"{count} updates and their result")

    def _update(self, commit: Commit) -> Published:
        leaves = self._replica.policy.leaves
        return artefacts.read_update(self._evidence.store, commit.digest, leaves)

    def _note_if_had(self, round_: Round, commit: Commit, subject: str) -> None:
        try:
            found = self._update(commit).payload is not None
        except BlockUnavailable:
            found = False
        if found:
            self.facts.note(
                f"Round {round_.index}: {subject} was left out as unavailable and can be had "
                "now; that it could not be had in time rests on the committee's majority."
            )

    # -- money

    def _period_ended(self, event: ev.PeriodEnded) -> None:
        header = self.facts.results[event.result].header
        subject = f"the payouts of result {event.result.hex()[:16]}"
        self._hold(PAYOUTS, None, f"{subject}: root", header.payouts, event.payouts)
        self._hold(PAYOUTS, None, f"{subject}: total", header.payout_total, event.total)

    def _claimed(self, event: ev.PayoutClaimed) -> None:
        state = self._replica.state
        result = state.period_ends[-1].result
        leaves = self.facts.results[result].records.payouts
        due = leaves[event.participant].amount if event.participant < len(leaves) else 0
        paid = state.participants[event.participant].paid
        subject = f"what participant {event.participant} has claimed in all"
        self._hold(CLAIMS, None, subject, due, paid, signer=event.meta.sender)

    # -- what a check comes to

    def _hold(
        self,
        step: Step,
        round_: int | None,
        subject: str,
        expected: object,
        found: object,
        *,
        holds: bool | None = None,
        signer: Address | None = None,
    ) -> None:
        if not (expected == found if holds is None else holds):
            self._fail(step, round_, subject, expected, found, signer)
        self.facts.passed(step, round_, subject)

    def _fail(
        self,
        step: Step,
        round_: int | None,
        subject: str,
        expected: object,
        found: object,
        signer: Address | None = None,
    ) -> NoReturn:
        self.facts.failed(step, round_, subject)
        raise _Stop(Finding(step, round_, subject, _text(expected), _text(found), signer))

    @contextmanager
    def _bytes(
        self, round_: int | None, subject: str, signer: Address | None = None
    ) -> Iterator[None]:
        """Turn bytes that are missing, altered or malformed into a finding."""
        try:
            yield
        except (BlockUnavailable, MalformedRecord) as error:
            self._fail(BYTES, round_, subject, "the bytes behind its digest", error, signer)


_MONEY = (
    ev.PayoutClaimed,
    ev.Refunded,
    ev.StakeWithdrawn,
    ev.BondReturned,
    ev.BondWithdrawn,
)


def _text(value: object) -> str:
    return f"0x{value.hex()}" if isinstance(value, bytes) else str(value)
