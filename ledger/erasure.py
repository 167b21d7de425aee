"""Erasure: what a participant declares to have erased, so that an audit can tell it from what was
lost or withheld, and so that other nodes let go of it too.

The record names rounds, never blocks: what it covers is the participant's own updates of these
rounds without their headers, and nothing else. Its digest stands on the chain with the
participant's amended data set. A round's bytes may be needed until its result has settled, so only
rounds that were over by then can be named.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ledger import cbor
from ledger.cid import CID, Codec
from ledger.errors import MalformedRecord
from ledger.headers import UpdateHeader
from ledger.members import Participant
from ledger.slots import Claims, direct
from ledger.state import FederationState
from ledger.stores import Artefact, BlockUnavailable, ContentStore
from ledger.stores.car import links
from ledger.types import ZERO_DIGEST, Digest, FederationId, ParticipantId, RoundIndex

MOST_ROUNDS = 10_000
_KIND = "erasure record"
_KEYS = ("federation", "participant", "rounds", "rows")
_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Erasure:
    """A participant's declaration; `rows` counts those that its data set has less."""

    federation: FederationId
    participant: ParticipantId
    rounds: tuple[RoundIndex, ...]
    rows: int

    def artefact(self) -> Artefact:
        """Write the record."""
        if len(self.rounds) > MOST_ROUNDS:
            raise MalformedRecord(_KIND, f"more than {MOST_ROUNDS} rounds: declare them in parts")
        data = cbor.encode(
            {
                "federation": self.federation,
                "participant": self.participant,
                "rounds": list(self.rounds),
                "rows": self.rows,
            }
        )
        return Artefact.of(Codec.DAG_CBOR, data)

    @classmethod
    def read(cls, store: ContentStore, digest: Digest) -> "Erasure":
        """Read a record by the digest that the chain holds."""
        data = store.get(CID(Codec.DAG_CBOR, digest))
        record = cbor.decode_map(data, _KIND, _KEYS, limit=_LIMIT)
        named: list[cbor.Value] = cbor.field(record, "rounds", list, kind=_KIND)
        rounds = [r for r in named if type(r) is int and r >= 0]
        if len(rounds) != len(named) or rounds != sorted(set(rounds)):
            raise MalformedRecord(_KIND, "rounds must be numbers in ascending order")
        return cls(
            FederationId(cbor.field(record, "federation", bytes, kind=_KIND)),
            ParticipantId(cbor.field(record, "participant", int, kind=_KIND)),
            tuple(RoundIndex(round_) for round_ in rounds),
            cbor.field(record, "rows", int, kind=_KIND),
        )


@dataclass(frozen=True, slots=True)
class Declaration:
    """An erasure as the chain and its record tell it; `refused` says why it covers nothing."""

    participant: ParticipantId
    record: Digest
    rounds: tuple[RoundIndex, ...]
    refused: str | None = None


def declarations(store: ContentStore, state: FederationState) -> Iterator[Declaration]:
    """Read every erasure that was declared, and say of each whether it is to be believed."""
    for participant in state.participants:
        for dataset in participant.datasets:
            if dataset.erasure is not None and dataset.erasure != ZERO_DIGEST:
                yield _declaration(
                    store, state.federation, participant, dataset.erasure, over=dataset.over
                )


def _declaration(
    store: ContentStore,
    federation: FederationId,
    participant: Participant,
    record: Digest,
    *,
    over: RoundIndex,
) -> Declaration:
    def refused(why: str) -> Declaration:
        return Declaration(participant.index, record, (), why)

    try:
        erasure = Erasure.read(store, record)
    except (BlockUnavailable, MalformedRecord) as error:
        return refused(str(error))
    going_on = [round_ for round_ in erasure.rounds if round_ >= over]
    if erasure.federation != federation:
        return refused("it is of another federation")
    if erasure.participant != participant.index:
        return refused(f"it is of participant {erasure.participant}")
    if going_on:
        return refused(f"it names round {going_on[0]}, which was not over")
    return Declaration(participant.index, record, erasure.rounds)


def honour(store: ContentStore, state: FederationState, claims: Claims = direct) -> int:
    """Let go of everything that was erased by declaration; give the number of blocks.

    A block that anything else refers to, another participant's update or a result, stays: nobody
    erases what belongs to others by referring to it.
    """
    named = {
        (declared.participant, round_)
        for declared in declarations(store, state)
        for round_ in declared.rounds
    }
    erased: list[CID] = []
    others = [CID(Codec.RAW, state.policy.digest()), CID(Codec.DAG_CBOR, state.policy.rest)]
    for round_ in state.rounds:
        for slot in claims(round_):
            mine = slot.unbound is None and (slot.participant, round_.index) in named
            (erased if mine else others).extend(_parts(store, slot.digest))
        for proposal in round_.proposals:
            others += [CID(Codec.RAW, proposal.result), CID(Codec.DAG_CBOR, proposal.index)]
    here = [cid for cid in _under(store, erased) if store.has(cid)]
    gone = sorted(set(here) - set(_under(store, others))) if here else []
    store.remove(gone)
    return len(gone)


def _parts(store: ContentStore, digest: Digest) -> list[CID]:
    """Name what an update's header refers to; nothing if the header is not here."""
    head = CID(Codec.RAW, digest)
    if not store.has(head):
        return []
    try:
        header = UpdateHeader.decode(store.get(head))
    except (BlockUnavailable, MalformedRecord):
        return []
    records = (header.training, header.evaluation)
    named = (CID(codec, Digest(digest)) for digest in records for codec in Codec)
    return [CID(Codec.DAG_CBOR, header.index), *named]


def _under(store: ContentStore, roots: Iterable[CID]) -> set[CID]:
    """Name the roots and all that they link to, directly or not, as far as it is here."""
    found: set[CID] = set()
    waiting = list(roots)
    while waiting:
        cid = waiting.pop()
        if cid in found:
            continue
        found.add(cid)
        if cid.codec is Codec.DAG_CBOR and store.has(cid):
            try:
                waiting.extend(links(cbor.decode(store.get(cid))))
            except (BlockUnavailable, MalformedRecord):
                continue
    return found
