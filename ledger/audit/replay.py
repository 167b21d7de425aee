"""The audit: replays a federation's whole history and stops at the first step that does not hold.

Nothing that a node wrote outside chain and store is believed. Every event goes through the rules of
the contract (`ledger.state`); every accepted result is computed again from the updates by the same
function that its proposer used (`ledger.round`), with the rules that the policy chooses handed in
by the caller.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import NoReturn, TypeVar

from ledger import artefacts, payload
from ledger import history as ev
from ledger.audit import signers
from ledger.audit.aside import Aside
from ledger.audit.compare import PublishedResult, comparisons
from ledger.audit.erasures import LISTED, Erasures
from ledger.audit.evidence import Evidence
from ledger.audit.facts import Facts
from ledger.audit.remainder import Remainder
from ledger.audit.summary import summarise
from ledger.audit.verdict import (
    AGGREGATION,
    BYTES,
    CLAIMS,
    CONTRACT,
    CONTRIBUTIONS,
    HEADERS,
    HISTORY,
    LINEAGE,
    ORDER,
    PAYOUTS,
    SELECTION,
    SIGNERS,
    TREES,
    UTILITIES,
    Finding,
    Lack,
    Step,
    Terms,
    Verdict,
)
from ledger.bundle import BundleRefused
from ledger.cid import CID, Codec
from ledger.errors import LedgerError, MalformedRecord
from ledger.headers import ResultHeader, federation_id
from ledger.identity import ForgedIdentity, Identity, read_identity
from ledger.nodes import Entry, Reason, counted
from ledger.payload import Payload
from ledger.proceedings import Accepted, Proposal, Round
from ledger.replica import Replica, first_standing
from ledger.round import (
    Outcome,
    Published,
    RoundContext,
    Rules,
    Slot,
    Standing,
    compose,
    deciding,
    follow,
    judge,
)
from ledger.sealing import NO_KEYS, Content, NotForUs, Vault
from ledger.signatures import Domain
from ledger.stores import BlockUnavailable, ContentStore
from ledger.strict import HistoryViolation
from ledger.types import ZERO_DIGEST, Address, Digest


@dataclass(frozen=True, slots=True)
class Rulebook:
    """The rules of a federation as its policy chooses them, and the policy in words."""

    rules: Rules
    terms: Terms


RulebookReader = Callable[[Replica], Rulebook]
"""Reads the policy's records. Raises PolicyRefused for those that no rules follow from."""


class PolicyRefused(LedgerError):
    """Policy records that do not say what the policy's header says, or nothing that can be run."""


def audit(evidence: Evidence, read_rulebook: RulebookReader, *, vault: Vault = NO_KEYS) -> Verdict:
    """Replay everything that the evidence holds; the verdict names the first step that fails.

    What is sealed is opened with the keys of `vault`; without one of them everything is checked
    that needs no contents.
    """
    run = _Run(evidence, read_rulebook, vault)
    finding = None
    try:
        run.all()
    except _Stop as stop:
        finding = stop.finding
    run.look_aside(holds=finding is None)
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

    def __init__(self, evidence: Evidence, read_rulebook: RulebookReader, vault: Vault) -> None:
        self._evidence = evidence
        self._read_rulebook = read_rulebook
        self._vault = vault
        self._replica = Replica(_NoEvents(), evidence.store, origin=evidence.origin, vault=vault)
        self._secrets: dict[Digest, bytes] = {}
        self._book: Rulebook | None = None
        self._standings: list[Standing | None] = []
        self._fallen = _fallen(evidence.events)
        self.facts = Facts(self._replica)
        self._aside = Aside(evidence.store)
        self._erasures = Erasures(self._aside, self.facts)
        self._strangers: list[str] = []

    def all(self) -> None:
        """Check everything."""
        self._contract()
        self._history()
        self._look_ahead()
        try:
            for event in self._evidence.events:
                self._event(event)
        finally:
            self.facts.note_wrapped()

    # -- the contract and the whole list of events

    def _contract(self) -> None:
        found = self._evidence.deployment
        subject = "the contract's address"
        self._hold(CONTRACT, None, subject, found.expected, found.found, holds=found.ours)

    def _history(self) -> None:
        events = self._evidence.events
        h = ZERO_DIGEST
        for place, event in enumerate(events):
            h = ev.follows(h, event)
            if h != event.h:
                block = event.meta.block_number
                name = f"event {place}, {type(event).__name__} in block {block}"
                self._fail(HISTORY, None, f"the accumulator after {name}", h, event.h)
        self._hold(HISTORY, None, "the accumulator at the trusted block", self._evidence.h, h)
        self._hold(HISTORY, None, "the number of events", "at least one", 0, holds=bool(events))

    def _look_ahead(self) -> None:
        """Learn from the whole history what a part of it is judged by."""
        evidence = self._evidence
        amended = any(isinstance(event, ev.DatasetAmended) for event in evidence.events)
        if not amended and not self._vault.keys:
            return
        ahead = Replica(_NoEvents(), evidence.store, origin=evidence.origin, vault=self._vault)
        try:
            for event in evidence.events:
                ahead.take(event)
        except (BlockUnavailable, MalformedRecord, HistoryViolation):
            # The replay comes to the same place, and says so there.
            return
        self._erasures.look_ahead(ahead.state)
        self._later_secrets(ahead)

    def _later_secrets(self, ahead: Replica) -> None:
        """Learn the content keys of results that no key of ours opens, but a later result does."""
        for accepted in ahead.state.lineage:
            with suppress(NotForUs, BlockUnavailable, MalformedRecord):
                content = ahead.reader(accepted).content
                if content.envelope is not None:
                    self._secrets[accepted.result] = content.secret

    def look_aside(self, *, holds: bool) -> None:
        """Take in what was read beside the replay. A check that it makes stands only behind a
        replay that came to its end: the last check of another is the one that failed.
        """
        checks = list(self.facts.checks)
        unread = self._aside.finish()
        self._erasures.finish()
        if not holds:
            self.facts.checks[:] = checks
        for text in self._strangers[:LISTED]:
            self.facts.note(text)
        if len(self._strangers) > LISTED:
            more = len(self._strangers) - LISTED
            self.facts.note(f"{more} more identities are not to be believed.")
        if unread:
            named = ", ".join(unread[:LISTED])
            rest = f", and {len(unread) - LISTED} more" if len(unread) > LISTED else ""
            self.facts.note(f"Not read in the time that an audit has for it: {named}{rest}.")

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
                step, round_, subject, violation.expected, violation.found, self._caller(event)
            )
        self.facts.passed(step, round_, subject)
        self._signed(event, round_, subject)
        match event:
            case ev.FederationCreated():
                self._created(event)
            case ev.ParticipantJoined() if not self._replica.policy.open:
                self._joined(event)
            case ev.ResultAccepted():
                if event.h not in self._fallen:
                    self._accepted(event)
            case ev.ResultDisproved():
                self._disproved(event)
            case ev.FallenDisproved():
                self._fallen_disproved(event)
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

    def _signed(self, event: ev.Event, round_: int | None, subject: str) -> None:
        """Check that the outer call shows the signatures that the contract counted, if it shows
        any.
        """
        voices = list(signers.entitled(event, self._replica.state))
        if not voices:
            return
        found = signers.shown(event, self._domain)
        if found is None:
            self.facts.wrapped.append(subject)
            return
        accounts = ", ".join(sorted(account for account, _ in found)) or "none"
        for voice in voices:
            holds = voice in found
            if not holds and self._evidence.bundled:
                raise BundleRefused(
                    f"the transaction of {subject}", "who signed by the contract's word", "another"
                )
            expected = f"a signature of {voice[0]}"
            sender = event.meta.sender
            self._hold(SIGNERS, round_, subject, expected, accounts, holds=holds, signer=sender)

    def _caller(self, event: ev.Event) -> Address | None:
        """Give who called the contract. A bundle is no proof that a transaction was ever sent."""
        return None if self._evidence.bundled else signers.caller(event, self._domain)

    @property
    def _domain(self) -> Domain:
        origin = self._evidence.origin
        return Domain(origin.chain_id, origin.ledger)

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
            first = replace(first_standing(), model=self._replica.initial_model())
            self._standings.append(first)
        self.facts.terms = self._book.terms
        self.facts.passed(BYTES, None, "policy, initial model and evaluation rows")
        if policy.open:
            self._people()
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
        """Check who an invited participant says it is."""
        subject = _who(event)
        with self._bytes(None, subject, event.controller):
            try:
                identity = read_identity(self._evidence.store, event.identity)
            except ForgedIdentity as forged:
                signed = f"a signature of {event.controller}"
                self._fail(SIGNERS, None, subject, signed, forged, event.controller)
        found = identity.controller
        self._hold(SIGNERS, None, subject, event.controller, found, signer=event.controller)
        self.facts.names[event.participant] = identity.name

    def _people(self) -> None:
        """Begin to read who the participants of an open federation say they are: of those that
        stayed first. Nobody vouches for it, so a bad record must not end an audit.
        """
        events = self._evidence.events
        joined = [event for event in events if isinstance(event, ev.ParticipantJoined)]
        left = {event.participant for event in events if isinstance(event, ev.ParticipantLeft)}
        for event in sorted(joined, key=lambda event: event.participant in left):
            read = partial(read_identity, self._aside.store, event.identity)
            self._aside.later("names", _who(event), read, partial(self._named, event))

    def _named(self, event: ev.ParticipantJoined, read: Callable[[], Identity]) -> None:
        try:
            identity = read()
            if identity.controller != event.controller:
                raise ForgedIdentity(event.controller)
        except Exception as error:  # a name is worth no failure
            if self._evidence.bundled and isinstance(error, BlockUnavailable):
                why = "is not in this bundle, so its name is not shown"
            else:
                why = f"is not to be believed: {error}"
            self._strangers.append(f"{_who(event)} {why}")
            return
        self.facts.names[event.participant] = identity.name
        self.facts.passed(SIGNERS, None, _who(event))

    # -- results

    def _stops(self, event: ev.Event, subject: str, round_: int) -> None:
        """Check that training goes on, or does not, as the newest result says."""
        state = self._replica.state
        head = self.facts.headers.get(state.head)
        if head is None:
            return
        last = state.training_index(len(state.lineage)) == state.policy.rounds
        expected = "the federation's end" if head.stop or last else "another round"
        found = "another round" if isinstance(event, ev.RoundOpened) else "the federation's end"
        self._hold(ORDER, round_, subject, expected, found, signer=self._caller(event))

    def _accepted(self, event: ev.ResultAccepted) -> None:
        """Check an accepted result: all of it, or what can be seen of it from outside."""
        state = self._replica.state
        round_, accepted = state.round, state.lineage[-1]
        context = self._replica.context(round_)
        proposer = accepted.proposal.proposer
        subject = f"result {event.result.hex()[:16]}"
        with self._bytes(round_.index, subject, proposer):
            secret = self._secrets.get(accepted.result)
            reader = self._replica.proposed(round_, accepted.proposal, secret=secret)
        expected = context.common(ResultHeader.TAG)
        found = reader.header.common
        self._hold(
            HEADERS, round_.index, f"{subject}: its header", expected, found, signer=proposer
        )
        self.facts.headers[event.result] = reader.header
        try:
            before = self._standings[accepted.height - 1]
            read = before is not None and self._replayed(accepted, reader, subject)
        except NotForUs:
            read = False
        if not read:
            self._outside(accepted, reader, subject)
        self.facts.passed(LINEAGE, round_.index, f"{subject} builds on {found.parent.hex()[:16]}")

    def _replayed(self, accepted: Accepted, reader: artefacts.ResultReader, subject: str) -> bool:
        """Compute a result again from the updates, and compare it with what was published."""
        assert self._book is not None
        state = self._replica.state
        round_, proposer = state.rounds[accepted.round], accepted.proposal.proposer
        context = self._replica.context(round_)
        with self._bytes(round_.index, subject, proposer):
            published = PublishedResult.read(
                reader, leaves=context.policy.leaves, slots=round_.slots
            )
        slots, sealed = self._slots(round_, published)
        rules = self._rules(context, published)
        standing = self._standings[accepted.height - 1]
        assert standing is not None
        unread = self._unread(context, slots, sealed, rules)
        if unread:
            left = Remainder(context, standing, slots, unread, published, reader, rules)
            outcome = self._left(round_, left, unread)
        else:
            outcome = compose(context, standing, slots, rules, reader.content)
            ours = [entry for node in outcome.levels[0] for entry in node.entries]
            self._available(round_, slots, ours, published)
        for step, what, expect, got in comparisons(outcome, published):
            self._hold(step, round_.index, what, expect, got, signer=proposer)
        self._plain(round_, reader, outcome, proposer)
        following = follow(
            standing,
            outcome.records,
            outcome.model,
            trained=state.training_index(accepted.height),
            ends_period=state.ends_period(accepted.height, outcome.header.stop),
            players=tuple(entry.participant for entry in counted(outcome.levels)),
        )
        self._standings[accepted.height :] = [following]
        self.facts.results[accepted.result] = published
        return True

    def _plain(
        self,
        round_: Round,
        reader: artefacts.ResultReader,
        outcome: Outcome,
        proposer: Address,
    ) -> None:
        """Check what a sealed result says inside only."""
        if reader.content.envelope is None:
            return
        with self._bytes(round_.index, "the plain digest of the new model", proposer):
            found = reader.inner().model
        leaves = self._replica.policy.leaves
        plain = Payload(payload.pad(outcome.model, leaves)).digest
        subject = "plain digest of the new model"
        self._hold(AGGREGATION, round_.index, subject, plain, found, signer=proposer)

    def _unread(
        self, context: RoundContext, slots: Sequence[Slot], sealed: Collection[int], rules: Rules
    ) -> dict[int, Lack]:
        """Say of which slots the payload alone is missing, and why: it is sealed for others, or its
        own participant erased it, and said so. A header holds nothing to erase, and what it shows
        takes no payload.
        """
        lacks = {
            place: Lack.SEALED if place in sealed else Lack.ERASED
            for place, slot in enumerate(slots)
            if slot.published.header is not None
            and not slot.published.final
            and (place in sealed or self._erasures.cover(slot.participant, context.round))
        }
        if not lacks:
            return {}
        entries = judge(context, slots, rules).entries
        return {at: lack for at, lack in lacks.items() if entries[at].reason == Reason.UNAVAILABLE}

    def _left(self, round_: Round, left: Remainder, lacks: Mapping[int, Lack]) -> Outcome:
        """Check what does not need the updates that cannot be read, and note what does."""
        proposer = round_.proposal.proposer
        for place, lack in lacks.items():
            if lack is Lack.ERASED:
                self._erasure(left.slots[place].participant, round_)
        erased = sum(lack is Lack.ERASED for lack in lacks.values())
        self._available(round_, left.slots, left.expected, left.published, erased=erased)
        for step, what, expect, got in left.differences():
            self._hold(step, round_.index, what, expect, got, signer=proposer)
        for place, step, what in left.unseen():
            detail = f"{what} of participant {left.slots[place].participant}"
            self.facts.lacks(step, round_.index, detail, lacks[place])
        return left.conclusion()

    def _erasure(self, participant: int, round_: Round) -> None:
        self.facts.erased.setdefault(participant, set()).add(round_.index)

    def _outside(
        self,
        accepted: Accepted,
        reader: artefacts.ResultReader,
        subject: str,
    ) -> None:
        """Check of a sealed result what needs no contents, and note what was not checked."""
        self._standings[accepted.height :] = [None]
        round_, proposer = self._replica.state.rounds[accepted.round], accepted.proposal.proposer
        assert self._book is not None
        leaves, summed = self._replica.policy.leaves, self._book.rules.summed is not None
        with self._bytes(round_.index, subject, proposer):
            reader.check_stored(leaves, round_.slots, summed=summed)
        self.facts.passed(BYTES, round_.index, f"{subject}: its sealed bytes")
        with self._bytes(round_.index, "the batch of commits", proposer):
            claims = self._replica.claims(round_)
        for place, slot in enumerate(claims):
            if slot.unbound is Reason.MISSING:
                what = f"leaf {place} of the batch: not to be had"
                self.facts.lacks(BYTES, round_.index, what, Lack.SEALED)
        for place in deciding(claims, round_.batched):
            slot, what = claims[place], _sealed(claims[place])
            fault = self._fault(round_, slot)
            if not fault:
                continue
            if self._erasures.cover(slot.participant, round_.index):
                self._erasure(slot.participant, round_)
                self.facts.lacks(BYTES, round_.index, what, Lack.ERASED)
            else:
                self.facts.lacks(BYTES, round_.index, f"{what}: {fault}", Lack.SEALED)
        for step in _CONTENTS:
            self.facts.lacks(step, round_.index, f"{subject} is sealed", Lack.SEALED)

    def _rejected(self, event: ev.ResultRejected) -> None:
        """Say so where a result was voted down that its inputs do come to: a vote is no proof."""
        assert self._book is not None
        standing = self._standings[len(self._replica.state.lineage)]
        if standing is None:
            return
        state = self._replica.state
        if any(a.result not in self.facts.results for a in state.lineage):
            return  # It was proposed on what fell later.
        round_ = state.rounds[event.round]
        proposal = round_.proposal
        context = self._replica.context(round_)
        rules, store = self._book.rules, self._aside.store

        def read() -> tuple[list[Slot], Rules, Content]:
            reader = self._replica.proposed(round_, proposal, store=store)
            published = PublishedResult.read(
                reader, leaves=context.policy.leaves, slots=round_.slots
            )
            stated = published.records.utilities
            opened = rules.opening(context, store) if stated else rules
            slots = self._claimed_slots(round_, published, store)
            return slots, opened.stating(stated), reader.content

        def then(found: Callable[[], tuple[list[Slot], Rules, Content]]) -> None:
            with _worth_a_note():
                slots, opened, content = found()
                outcome = compose(context, standing, slots, opened, content)
                if outcome.header.digest() == event.result:
                    self._note_voted_down(event, proposal)

        result = f"result {event.result.hex()[:16]}, which was voted down"
        self._aside.later("results", result, read, then)

    def _note_voted_down(self, event: ev.ResultRejected, proposal: Proposal) -> None:
        against = [str(p) for p, support in sorted(proposal.votes.items()) if not support]
        voters = f"participants {', '.join(against)}" if against else "nobody"
        self.facts.note(
            f"Round {event.round}: a result that follows from its updates was not accepted in "
            f"attempt {event.attempt}; {voters} voted against it."
        )

    def _disproved(self, event: ev.ResultDisproved) -> None:
        """Say what fell, and by what: the contract's word, since nothing of it is paid out."""
        cause = f"a proof of kind {event.kind}" if event.kind else "a demand that nobody answered"
        self.facts.note(
            f"Round {event.round}: result {event.result.hex()[:16]}, attempt {event.attempt}, fell "
            f"by {cause}, and with it all that was built on it; none of that is part of this audit."
        )

    def _fallen_disproved(self, event: ev.FallenDisproved) -> None:
        """Say who paid for an attempt that had fallen before a proof against it was opened."""
        proposal = self._replica.state.proposal(event.result, event.attempt)
        assert proposal is not None
        voters = [str(index) for index, support in sorted(proposal.votes.items()) if support]
        also = f", and so did participants {', '.join(voters)}, who voted for it" if voters else ""
        self.facts.note(
            f"Round {proposal.round}: result {event.result.hex()[:16]}, attempt {event.attempt}, "
            f"had fallen when a proof of kind {event.kind} against it was opened; its proposer "
            f"{proposal.proposer} paid{also}."
        )

    def _rules(self, context: RoundContext, published: PublishedResult) -> Rules:
        """Give the rules that a result is measured by, its slice opened where there are slices;
        take its word for a slice that could not be had in time.
        """
        assert self._book is not None
        rules, store, subject = self._book.rules, self._evidence.store, "its slice"
        if published.records.utilities:
            with self._bytes(context.round, subject):
                rules = rules.opening(context, store)
        elif context.slices:
            self._look_for_slice(context)
        return rules.stating(published.records.utilities)

    def _look_for_slice(self, context: RoundContext) -> None:
        """Say so where a slice that measures something can be had now."""
        assert self._book is not None

        def then(opened: Callable[[], Rules]) -> None:
            with _worth_a_note():
                if opened().measures:
                    self.facts.note(
                        f"Round {context.round}: nothing was measured, and its slice of "
                        "evaluation rows can be had now; that it could not be had in time rests "
                        "on the committee's majority."
                    )

        read = partial(self._book.rules.opening, context, self._aside.store)
        self._aside.later("slices", f"the slice of round {context.round}", read, then)

    def _claimed_slots(
        self, round_: Round, published: PublishedResult, store: ContentStore
    ) -> list[Slot]:
        """Read the updates that a result counts, without a word about those that are missing."""
        entries = published.entries()
        slots = _as_stated(self._replica.claims(round_, store), entries, round_.batched)
        for place in deciding(slots, round_.batched):
            slots[place] = self._slot(round_, slots[place], entries[place], store)
        return slots

    def _slot(self, round_: Round, slot: Slot, entry: Entry, store: ContentStore) -> Slot:
        """Read the update of a slot, unless the result calls it unavailable."""
        unavailable = entry.reason == Reason.UNAVAILABLE
        return slot if unavailable else replace(slot, published=self._update(round_, slot, store))

    def _slots(
        self, round_: Round, published: PublishedResult
    ) -> tuple[list[Slot], Collection[int]]:
        """Read every update that the result counts; take its word for what could not be had in
        time. Of one that is sealed for others read the header, see that its stored bytes are there,
        and give its place too.
        """
        sealed: set[int] = set()
        entries = published.entries()
        slots = _as_stated(self._leaves(round_, entries), entries, round_.batched)
        for place in deciding(slots, round_.batched):
            subject = f"the update of participant {slots[place].participant}"
            if entries[place].reason == Reason.UNAVAILABLE:
                self._note_if_had(round_, slots[place], subject)
            with self._bytes(round_.index, subject, self._author(round_, slots[place])):
                try:
                    store = self._evidence.store
                    slots[place] = self._slot(round_, slots[place], entries[place], store)
                except NotForUs:
                    slots[place] = self._closed(slots[place])
                    if not self._fault(round_, slots[place]):
                        sealed.add(place)
        return slots, sealed

    def _closed(self, slot: Slot) -> Slot:
        """Read of an update that is sealed for others what it says to everybody."""
        header = self._evidence.store.get(CID(Codec.RAW, slot.digest))
        return replace(slot, published=Published(header, None))

    def _fault(self, round_: Round, slot: Slot) -> str:
        """Say what is wrong with a sealed update's stored bytes, if anything; nothing is opened."""
        leaves, access = self._replica.policy.leaves, self._replica.access(round_)
        assert access is not None
        fault = artefacts.fault_of_stored(self._evidence.store, slot.digest, leaves, access)
        if not fault:
            self.facts.passed(BYTES, round_.index, _sealed(slot))
        return fault

    def _leaves(self, round_: Round, entries: Sequence[Entry]) -> list[Slot]:
        """Read the batch; require every leaf that the result does not call missing."""
        proposer = round_.proposal.proposer
        with self._bytes(round_.index, "the batch of commits", proposer):
            claims = self._replica.claims(round_)
        for place, slot in enumerate(claims[: round_.batched]):
            subject = f"leaf {place} of the batch"
            stated, lost = entries[place].reason == Reason.MISSING, slot.unbound is Reason.MISSING
            if lost and not stated:
                self._require_whole(subject)
                self._fail(BYTES, round_.index, subject, "its bytes", "not to be had", proposer)
            if stated and not lost:
                self._note_late(round_, f"{subject} was left out as missing")
        return claims

    def _author(self, round_: Round, slot: Slot) -> Address:
        """Say who answers for a slot's update: who signed the commit, or the leaf."""
        return self._replica.state.participants[slot.participant].signer_in(round_.index)

    def _available(
        self,
        round_: Round,
        slots: Sequence[Slot],
        ours: Sequence[Entry],
        published: PublishedResult,
        *,
        erased: int = 0,
    ) -> None:
        """Require the bytes of every update that the result does not call unavailable, as far as
        judging it takes them.
        """
        entries = published.entries()
        for place in deciding(slots, round_.batched):
            slot, entry, found = slots[place], ours[place], entries[place]
            named = found.digest == slot.digest and found.reason != Reason.UNAVAILABLE
            if named and entry.reason == Reason.UNAVAILABLE:
                subject = f"the update of participant {slot.participant}"
                if not slot.published.hopeless:
                    self._require_whole(subject)
                expected = f"the bytes behind {slot.digest.hex()}"
                had = slot.published.fault or "not to be had"
                signer = self._author(round_, slot)
                self._fail(BYTES, round_.index, subject, expected, had, signer)
        count = round_.slots - erased
        self.facts.passed(BYTES, round_.index, f"{count} updates and their result")

    def _update(self, round_: Round, slot: Slot, store: ContentStore) -> Published:
        leaves, access = self._replica.policy.leaves, self._replica.access(round_)
        locked = self._replica.locked()
        return artefacts.read_update(store, slot.digest, leaves, access, locked=locked)

    def _note_if_had(self, round_: Round, slot: Slot, subject: str) -> None:
        def then(update: Callable[[], Published]) -> None:
            with _worth_a_note():
                if update().payload is not None:
                    self._note_late(round_, f"{subject} was left out as unavailable")

        read = partial(self._update, round_, slot, self._aside.store)
        self._aside.later("updates", f"{subject} in round {round_.index}", read, then)

    def _note_late(self, round_: Round, what: str) -> None:
        self.facts.note(
            f"Round {round_.index}: {what} and can be had now; that it could not be had in time "
            "rests on the committee's majority."
        )

    # -- money

    def _period_ended(self, event: ev.PeriodEnded) -> None:
        header = self.facts.headers[event.result]
        subject = f"the payouts of result {event.result.hex()[:16]}"
        self._hold(PAYOUTS, None, f"{subject}: root", header.payouts, event.payouts)
        self._hold(PAYOUTS, None, f"{subject}: total", header.payout_total, event.total)

    def _claimed(self, event: ev.PayoutClaimed) -> None:
        state = self._replica.state
        subject = f"what participant {event.participant} has claimed in all"
        result = self.facts.results.get(state.period_ends[-1].result)
        if result is None:
            self.facts.lacks(CLAIMS, None, subject, Lack.SEALED)
            return
        leaves = result.records.payouts
        due = leaves[event.participant].amount if event.participant < len(leaves) else 0
        paid = state.participants[event.participant].paid
        self._hold(CLAIMS, None, subject, due, paid, signer=self._caller(event))

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
            if isinstance(error, BlockUnavailable):
                self._require_whole(subject)
            self._fail(BYTES, round_, subject, "the bytes behind its digest", error, signer)

    def _require_whole(self, subject: str) -> None:
        """Refuse a bundle that lacks what the audit needs: of what is not in a file nothing follows
        about who published it.
        """
        if self._evidence.bundled:
            raise BundleRefused(subject, "all of its blocks", "some that are not in this bundle")


T = TypeVar("T")


def _as_stated(claims: Sequence[Slot], entries: Sequence[Entry], batched: int) -> list[Slot]:
    """Take a result's word for the leaves of the batch that it calls missing."""
    return [
        Slot.missing() if place < batched and entry.reason == Reason.MISSING else slot
        for place, (slot, entry) in enumerate(zip(claims, entries, strict=False))
    ]


_MONEY = (
    ev.PayoutClaimed,
    ev.Refunded,
    ev.StakeWithdrawn,
    ev.FeesCollected,
    ev.Withdrawn,
    ev.BondReleased,
    ev.ChallengeReclaimed,
    ev.ChallengeConceded,
    ev.UnavailableCharged,
)


_CONTENTS = (SELECTION, TREES, AGGREGATION, UTILITIES, CONTRIBUTIONS, PAYOUTS)


def _fallen(events: Sequence[ev.Event]) -> frozenset[Digest]:
    """Name the acceptances that a later event takes back, by the accumulator after them."""
    lineage: list[ev.ResultAccepted] = []
    fallen: set[Digest] = set()
    for event in events:
        if isinstance(event, ev.ResultAccepted):
            lineage.append(event)
        elif isinstance(event, ev.ResultDisproved):
            places = [i for i, accepted in enumerate(lineage) if accepted.result == event.result]
            for place in places[:1]:
                fallen |= {accepted.h for accepted in lineage[place:]}
                del lineage[place:]
    return frozenset(fallen)


def _worth_a_note() -> suppress:
    """Go on without a note: what it would be made from is missing, or anything but what it should
    be. No finding depends on it.
    """
    return suppress(Exception)


def _who(event: ev.ParticipantJoined) -> str:
    return f"the identity of participant {event.participant}"


def _sealed(slot: Slot) -> str:
    return f"the sealed update of participant {slot.participant}"


def _text(value: object) -> str:
    return f"0x{value.hex()}" if isinstance(value, bytes) else str(value)
