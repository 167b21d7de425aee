"""A node's own copy of a federation: the state that the history comes to, and what its results
leave to the next round.

Everything in it is rebuilt from chain and content store, so a node that was killed loses nothing by
starting again.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, takewhile
from typing import Protocol

import numpy as np

from ledger import artefacts, cbor, nodes, payload, slots
from ledger.batch import Posted
from ledger.cid import CID, Codec
from ledger.errors import LedgerError, MalformedRecord
from ledger.headers import Evaluation, PolicyHeader, Visibility
from ledger.history import (
    BrokenHistory,
    Event,
    FederationCreated,
    HeadBehind,
    LogsBehind,
    Reorganised,
)
from ledger.nodes import Reason
from ledger.proceedings import Accepted, Proposal, Round
from ledger.round import Int32, Players, Published, RoundContext, Seat, Slot, Standing, follow
from ledger.sealing import (
    CLEAR,
    MAX_READERS,
    NO_KEYS,
    Access,
    Content,
    NotForUs,
    Vault,
    usable,
)
from ledger.signatures import Domain
from ledger.state import FederationState
from ledger.stores import BlockNotFound, ContentStore
from ledger.strict import HistoryViolation
from ledger.types import ZERO_DIGEST, Address, Digest, FederationId, RoundIndex

PATIENCE = 3
"""Looks in a row at which a block that was read from is missing before the chain is taken to have
lost it. Until then another node behind the same address may be some blocks behind.
"""


PAUSES = (0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0)
"""Seconds between looks at a chain's node that is behind, for what cannot do with a part."""

LOCKED = "locked"
"""What the rest of a policy's record says of an ancestor's coordinates."""
KEYS_EACH = 2
"""Keys of a participant that an artefact may be sealed for: it may take another one in a round."""
RECENT = 2
"""How many models are kept: the head's, and the one that the head was made from."""


class EventSource(Protocol):
    """Where events come from: the chain, or an evidence bundle."""

    def poll(self) -> Sequence[Event]:
        """Give the events since the last call; raise Reorganised where the earlier ones
        are gone, LogsBehind where later ones are not shown yet.
        """

    def reset(self) -> None:
        """Start again from the first event."""


class UnknownFederation(LedgerError):
    """A federation that the contract has never heard of."""

    def __init__(self, federation: FederationId) -> None:
        self.federation = federation
        super().__init__(
            f"federation {federation.hex()} is not on this contract: "
            "check --federation, --ledger and --rpc"
        )


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a federation lives."""

    chain_id: int
    ledger: Address
    federation: FederationId


class Replica:
    """Follows one federation on one contract; reads what is sealed with the keys of `vault`."""

    def __init__(
        self,
        source: EventSource,
        store: ContentStore,
        *,
        origin: Origin,
        vault: Vault = NO_KEYS,
    ) -> None:
        self.origin = origin
        self._source = source
        self._store = store
        self._vault = vault
        self._missed = 0
        self.lag: LogsBehind | HeadBehind | None = None
        self._forget()

    def _forget(self) -> None:
        self._waiting: deque[Event] = deque()
        self._state: FederationState | None = None
        self._standings: list[tuple[Digest, Standing]] = []
        self._models: dict[Digest, Int32] = {}
        self._rest: Mapping[str, cbor.Value] | None = None
        self._secrets: dict[Digest, bytes] = {}
        self._instead: dict[Digest, Digest] = {}
        self._batches: dict[RoundIndex, tuple[Posted, list[Slot]]] = {}

    def refresh(self) -> FederationState:
        """Take in what has happened since the last call; after a reorganisation,
        everything again.

        `lag` says what the chain's node does not show (yet); then what is absent from the state may
        have happened all the same.
        """
        try:
            self._read()
        except (Reorganised, BrokenHistory) as error:
            self._missed += 1
            if isinstance(error, HeadBehind) and self._missed < PATIENCE:
                self.lag = error
                return self.state
            # A node that changes its mind while it is read looks as if it left events out.
            self._source.reset()
            self._forget()
            self._read()
        self._missed = 0
        while self._waiting:
            self.take(self._waiting[0])
            self._waiting.popleft()
        return self.state

    def whole(self, rest: Callable[[float], None]) -> FederationState:
        """Take in all that has happened, for what rests on the absence of an event.

        Look again after growing pauses while the chain's node is behind; raise LogsBehind or
        HeadBehind if it stays behind.
        """
        for pause in (*PAUSES, None):
            try:
                state, lag = self.refresh(), self.lag
            except (LogsBehind, HeadBehind) as behind:
                lag = behind
            if lag is None:
                return state
            if pause is not None:
                rest(pause)
        assert lag is not None
        raise lag

    def _read(self) -> None:
        try:
            self._waiting += self._source.poll()
            self.lag = None
        except LogsBehind as lag:
            self._waiting += lag.events
            self.lag = lag

    def take(self, event: Event) -> None:
        """Take in one event."""
        if self._state is None:
            policy = artefacts.read_policy(self._store, _policy_of(event))
            self._state = FederationState(self.origin.federation, policy)
        self._state.apply(event)

    @property
    def state(self) -> FederationState:
        """The federation as of the last `refresh`."""
        if self._state is None:
            raise self.lag or UnknownFederation(self.origin.federation)
        return self._state

    @property
    def policy(self) -> PolicyHeader:
        """The header of the federation's policy."""
        return self.state.policy

    def rest(self) -> Mapping[str, cbor.Value]:
        """Give the part of the policy that the contract does not enforce."""
        if self._rest is None:
            rest = artefacts.read_record(self._store, self.policy.rest)
            if not isinstance(rest, Mapping):
                raise MalformedRecord("policy", "its rest is not a map")
            self._rest = rest
        return self._rest

    def link(self, name: str) -> Digest:
        """Give a digest that the rest of the policy links to."""
        cid = self.rest().get(name)
        if not isinstance(cid, CID):
            raise MalformedRecord("policy", f"its rest has no link {name!r}")
        return cid.digest

    def locked(self) -> int:
        """Count the leading coordinates that no update may write: the statistics of an ancestor."""
        locked = self.rest().get(LOCKED, 0)
        if type(locked) is not int or not 0 <= locked <= self.policy.coordinates:
            raise MalformedRecord("policy", "its number of locked coordinates is none")
        return locked

    def auditors(self) -> tuple[bytes, ...]:
        """Give the keys of the auditors whom the policy lets read everything."""
        policy = self.rest().get("policy")
        privacy = policy.get("privacy") if isinstance(policy, Mapping) else None
        keys = privacy.get("auditors") if isinstance(privacy, Mapping) else None
        try:
            return tuple(bytes.fromhex(key) for key in keys)  # type: ignore[union-attr, arg-type]
        except (TypeError, ValueError):
            raise MalformedRecord("policy", "privacy.auditors is not a list of keys") from None

    def access(self, round_: Round) -> Access | None:
        """Give what a round's artefacts are read with; None where everybody can read them.

        Whoever has a seat, and every auditor, must be able to read; the keys that the chain held
        when the round was opened count. Keys that members have registered since then may read too,
        and no others. That set only grows, so an author never knows more of it than a reader.
        """
        if self.policy.visibility != Visibility.MEMBERS:
            return None
        people, auditors = self.state.participants, self.auditors()
        seated = (p.key_in(round_.index) for p in people if p.active(round_.index))
        staying = (p for p in people if p.until is None or round_.index < p.until)
        allowed = chain.from_iterable(p.keys_from(round_.index) for p in staying)
        return Access(
            self._vault,
            required=frozenset(filter(usable, (*seated, *auditors))),
            allowed=frozenset((*allowed, *auditors)),
            most=min(KEYS_EACH * len(people) + len(auditors), MAX_READERS),
        )

    def fresh(self, round_: Round) -> Content:
        """Draw a content key for an artefact of a round, sealed for all who must read it and for
        those who have joined, or taken another key, since the round was opened.
        """
        access = self.access(round_)
        if access is None:
            return CLEAR
        newest = (p.key for p in self.state.participants if p.left_at is None and not p.slashed)
        return self._vault.fresh((*access.required, *newest))

    def context(self, round_: Round) -> RoundContext:
        """Give what the chain says about a round."""
        state = self.state
        seats = tuple(
            Seat(
                weight=state.weight(index, round_),
                scale=state.scale(index, round_),
                dataset=state.participants[index].dataset(round_.index)[0],
            )
            for index in range(round_.known)
        )
        return RoundContext(
            chain_id=self.origin.chain_id,
            ledger=self.origin.ledger,
            federation=state.federation,
            policy=state.policy,
            round=round_.index,
            parent=round_.parent,
            seats=seats,
            bases=self._bases(round_.parent),
            batched=round_.batched,
            slice_number=state.slice_number(round_),
            slices={event.account: event.digest for event in reversed(round_.slices)},
        )

    def _bases(self, parent: Digest) -> tuple[Digest, ...]:
        """Give a parent and, newest first, as many versions behind it on the lineage as the policy
        lets an update be stale.
        """
        versions = [ZERO_DIGEST, *(accepted.result for accepted in self.state.lineage)]
        if parent not in versions:
            return (parent,)
        place = versions.index(parent)
        return tuple(versions[max(0, place - self.policy.staleness) : place + 1][::-1])

    def claims(self, round_: Round, store: ContentStore | None = None) -> list[Slot]:
        """List a round's slots, without what was published for them; its batch as far as it can be
        had, or as far as `store` has it.
        """
        return [*self._leaves(round_, store or self._store), *slots.direct(round_)]

    def _leaves(self, round_: Round, store: ContentStore) -> list[Slot]:
        known = self._batches.get(round_.index)
        if known is not None and known[0] == slots.posted(round_):
            return known[1]
        batch = slots.batch_of(store, round_)
        if batch is None:
            return []
        domain = Domain(self.origin.chain_id, self.origin.ledger)
        found = slots.leaves(batch, slots.signers(self.state, round_, domain))
        if batch.final:
            self._batches[round_.index] = (batch.posted, found)
        return found

    def committed(self, round_: Round, participant: int, digest: Digest | None = None) -> bool:
        """Whether a round may hold a participant's commit, or the one to a digest: a leaf that
        cannot be had may be it.
        """
        return any(
            slot.unbound is Reason.MISSING
            or (
                slot.unbound is None
                and slot.participant == participant
                and digest in (None, slot.digest)
            )
            for slot in self.claims(round_)
        )

    def slots(self, round_: Round, published: Sequence[Published]) -> list[Slot]:
        """Put what was published beside the slots of a round."""
        pairs = zip(self.claims(round_), published, strict=True)
        return [replace(slot, published=bytes_) for slot, bytes_ in pairs]

    def initial_model(self) -> Int32:
        """Read the model that the federation starts from."""
        leaves = self.policy.leaves
        data = payload.fetch(self._store, self.link("initial"), leaves * payload.LEAF_SIZE)
        if payload.Payload(data).root != self.policy.initial_model_root:
            raise MalformedRecord("initial model", "its root is not the policy's")
        return payload.int32(data)

    def standing(self, height: int | None = None) -> Standing:
        """Give what the result of a height leaves to the next round; by default, the head."""
        lineage = self.state.lineage[:height]
        return replace(self._left_by(lineage), model=self.model(len(lineage)))

    def trail(self) -> tuple[int, ...]:
        """Give the utilities up to the head; no model is read for them."""
        return self._left_by(self.state.lineage).trail

    def _left_by(self, lineage: Sequence[Accepted]) -> Standing:
        """Give what a lineage's last result leaves to the next round, without the model."""
        pairs = zip(self._standings, lineage, strict=False)
        known = sum(1 for _ in takewhile(lambda pair: pair[0][0] == pair[1].result, pairs))
        if known < len(lineage):
            del self._standings[known:]
        for accepted in lineage[known:]:
            last = self._standings[-1][1] if self._standings else first_standing()
            self._standings.append((accepted.result, self._follow(last, accepted)))
        return self._standings[len(lineage) - 1][1] if lineage else first_standing()

    def reader(self, accepted: Accepted) -> artefacts.ResultReader:
        """Open the published result behind a place on the lineage."""
        reader = self._reader(accepted)
        if not _opens(reader):
            self._learn(accepted)
            reader = self._reader(accepted)
        return reader

    def proposed(
        self,
        round_: Round,
        proposal: Proposal,
        *,
        secret: bytes | None = None,
        store: ContentStore | None = None,
    ) -> artefacts.ResultReader:
        """Open a result that was proposed in a round; read it from `store` if one is given."""
        index = self._instead.get(proposal.result, proposal.index)
        return artefacts.ResultReader(
            store or self._store,
            proposal.result,
            index,
            self.access(round_),
            participants=round_.known,
            secret=secret,
        )

    def stand_in(self, result: Digest, index: Digest) -> None:
        """Read a result from another index than the one that was announced with it."""
        self._instead[result] = index

    def content(self, round_: Round, proposal: Proposal) -> Content:
        """Open what a proposed result is sealed with."""
        if self.policy.visibility != Visibility.MEMBERS:
            return CLEAR
        return self.proposed(round_, proposal).content

    def _reader(self, accepted: Accepted) -> artefacts.ResultReader:
        round_ = self.state.rounds[accepted.round]
        return self.proposed(round_, accepted.proposal, secret=self._secrets.get(accepted.result))

    def _learn(self, accepted: Accepted) -> None:
        """Find the content keys of results from before our own key was registered: each result
        holds that of its parent.
        """
        unread = [accepted]
        for later in self.state.lineage[accepted.height :]:
            if _opens(reader := self._reader(later)):
                break
            unread.append(later)
        else:
            return
        for earlier in reversed(unread):
            self._secrets[earlier.result] = reader.inner().parent
            reader = self._reader(earlier)

    def secret(self) -> bytes:
        """Give the head's content key, for the result that builds on it."""
        lineage = self.state.lineage
        return self.reader(lineage[-1]).content.secret if lineage else b""

    def model(self, height: int) -> Int32:
        """Read the model at a height of the lineage; 0 = the initial one. It is read once while it
        is the head's or the one before. The head was made from that one, so no store has to give it
        again when the head is judged.
        """
        results = [ZERO_DIGEST, *(accepted.result for accepted in self.state.lineage)]
        newest, result = results[-RECENT:], results[height]
        known = self._models
        self._models = {key: known[key] for key in newest if key in known}
        model = known.get(result)
        if model is None:
            model = self._read_model(height)
            if result in newest:
                self._models[result] = model
        return model

    def _read_model(self, height: int) -> Int32:
        if height == 0:
            return self.initial_model()
        return self.reader(self.state.lineage[height - 1]).model(self.policy.leaves)

    def players(self, accepted: Accepted) -> Players:
        """Read the updates that count in a result; BlockUnavailable where one cannot be had."""
        entries = self._counted(accepted)
        access = self.access(self.state.rounds[accepted.round])
        return Players(
            participants=tuple(entry.participant for entry in entries),
            updates=tuple(self._update(entry.digest, access) for entry in entries),
            weights=tuple(entry.weight for entry in entries),
        )

    def _update(self, digest: Digest, access: Access | None) -> Int32:
        found = artefacts.read_update(self._store, digest, self.policy.leaves, access).payload
        if found is None:
            raise BlockNotFound(CID(Codec.RAW, digest), "the content store", "nor all behind it")
        return payload.int32(found.data)

    def _counted(self, accepted: Accepted) -> tuple[nodes.Entry, ...]:
        """List the entries that count, which in a wrong result may be anybody's, or twice one's."""
        round_ = self.state.rounds[accepted.round]
        entries = nodes.counted(self.reader(accepted).levels(round_.slots))
        owners = [entry.participant for entry in entries]
        if len(set(owners)) < len(owners) or any(owner >= round_.known for owner in owners):
            raise MalformedRecord(
                "result", "it counts updates of nobody, or two of one participant"
            )
        return entries

    def _follow(self, last: Standing, accepted: Accepted) -> Standing:
        records = self.reader(accepted).records()
        carries = self.policy.evaluation == Evaluation.SHARDS
        entries = self._counted(accepted) if carries else ()
        return follow(
            last,
            records,
            _NO_MODEL,
            trained=self.state.training_index(accepted.height),
            ends_period=self.state.ends_period(accepted.height, records.header.stop),
            players=tuple(entry.participant for entry in entries),
        )


def _opens(reader: artefacts.ResultReader) -> bool:
    try:
        return bool(reader.content)
    except NotForUs:
        return False


_NO_MODEL: Int32 = np.zeros(0, dtype=np.int32)


def _policy_of(event: Event) -> Digest:
    if not isinstance(event, FederationCreated):
        raise HistoryViolation(event, "FederationCreated first", type(event).__name__)
    return event.policy


def first_standing() -> Standing:
    """Give what a federation starts from, without its initial model."""
    return Standing(model=_NO_MODEL, gain=0, values=(), paid=(), trail=(), trained=0)
