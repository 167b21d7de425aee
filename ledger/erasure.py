"""Erasure: what a participant declares to have erased, so that an audit can tell it from what was
lost or withheld, and so that other nodes let go of it too.

The record names rounds, never blocks: what it covers is the participant's own updates of these
rounds without their headers, and nothing else. Its digest stands on the chain with the
participant's amended data set. A round's bytes may be needed until its result has settled, so only
rounds that were over by then can be named.

A header says what it likes, and its author may have written it to have something of others erased.
So of what it names only that goes which has the form of an update's own, and of that nothing which
the chain, or the header of any other update in the store, leads to as well. What other records in
the store link to, of whatever federation, the store keeps by itself.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, pairwise

from ledger import cbor, identity, words
from ledger.artefacts import EVALUATION, TRAINING, read_flat
from ledger.cid import CID, Codec
from ledger.errors import MalformedRecord
from ledger.headers import UpdateHeader
from ledger.members import Dataset, Participant
from ledger.payload import LEAF_SIZE, read_index
from ledger.replica import Replica
from ledger.sealing import CLEAR, PLAIN, UNOPENED, Access, Content, Envelope, NotForUs, Seal
from ledger.state import FederationState
from ledger.stores import Artefact, BlockUnavailable, ContentStore, LocalStore
from ledger.stores.car import links
from ledger.stores.read_back import read_back
from ledger.types import ZERO_DIGEST, Digest, FederationId, ParticipantId, RoundIndex

MOST_ROUNDS = 10_000
_KIND = "erasure record"
_KEYS = ("federation", "participant", "rounds", "rows")
_LIMIT = 64 * 1024
_UINT32 = (1 << 32) - 1


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
        artefact = Artefact.of(Codec.DAG_CBOR, data)
        digest = artefact.roots[0].digest
        return read_back(artefact, lambda store: Erasure.read(store, digest), self, kind=_KIND)

    @classmethod
    def read(cls, store: ContentStore, digest: Digest) -> "Erasure":
        """Read a record by the digest that the chain holds."""
        data = store.get(CID(Codec.DAG_CBOR, digest))
        record = cbor.decode_map(data, _KIND, _KEYS, limit=_LIMIT)
        rounds = cbor.integers(record, "rounds", kind=_KIND, most=_UINT32)
        if len(rounds) > MOST_ROUNDS or any(a >= b for a, b in pairwise(rounds)):
            raise MalformedRecord(
                _KIND, f"rounds must be numbers in ascending order, up to {MOST_ROUNDS}"
            )
        return cls(
            FederationId(cbor.string(record, "federation", 32, kind=_KIND)),
            ParticipantId(cbor.integer(record, "participant", kind=_KIND, most=_UINT32)),
            tuple(RoundIndex(round_) for round_ in rounds),
            cbor.integer(record, "rows", kind=_KIND, most=_UINT32),
        )


@dataclass(frozen=True, slots=True)
class Declaration:
    """An erasure as the chain and its record tell it; `refused` says why it covers nothing."""

    participant: ParticipantId
    record: Digest
    rounds: tuple[RoundIndex, ...]
    refused: str | None = None


def declared(state: FederationState) -> Iterator[tuple[Participant, Dataset, Digest]]:
    """List what was amended with an erasure, with the digest of its record."""
    for participant in state.participants:
        for dataset in participant.datasets:
            if dataset.erasure is not None and dataset.erasure != ZERO_DIGEST:
                yield participant, dataset, dataset.erasure


def declarations(store: ContentStore, state: FederationState) -> Iterator[Declaration]:
    """Read every erasure that was declared, and say of each whether it is to be believed."""
    for participant, dataset, _ in declared(state):
        yield declaration(store, state.federation, participant, dataset)


def declaration(
    store: ContentStore, federation: FederationId, participant: Participant, dataset: Dataset
) -> Declaration:
    """Read the erasure that a participant declared with a data set, and say whether it is to be
    believed.
    """
    assert dataset.erasure is not None
    try:
        erasure = Erasure.read(store, dataset.erasure)
    except (BlockUnavailable, MalformedRecord) as error:
        return Declaration(participant.index, dataset.erasure, (), str(error))
    return judge(federation, participant, dataset, erasure)


def judge(
    federation: FederationId, participant: Participant, dataset: Dataset, erasure: Erasure
) -> Declaration:
    """Say whether a record is to be believed that a participant declared with a data set."""
    assert dataset.erasure is not None
    record = dataset.erasure

    def refused(why: str) -> Declaration:
        return Declaration(participant.index, record, (), why)

    going_on = [round_ for round_ in erasure.rounds if round_ >= dataset.over]
    if erasure.federation != federation:
        return refused("it is of another federation")
    if erasure.participant != participant.index:
        return refused(f"it is of participant {erasure.participant}")
    if going_on:
        return refused(f"it names round {going_on[0]}, which was not over")
    return Declaration(participant.index, record, erasure.rounds)


# -- letting go


@dataclass(frozen=True, slots=True)
class Own:
    """What a store holds of erased updates, and nothing else refers to. In this order it can be let
    go of and found again by whoever was stopped: an index shows what lies under it, an envelope
    opens the records.
    """

    records: tuple[CID, ...] = ()
    under: tuple[CID, ...] = ()
    indexes: tuple[CID, ...] = ()

    def without(self, named: Collection[Digest]) -> "Own":
        """Leave out what something else names."""
        parts = (self.records, self.under, self.indexes)
        return Own(*(tuple(cid for cid in part if cid.digest not in named) for part in parts))


@dataclass(frozen=True, slots=True)
class LetGo:
    """Of how many blocks a store let go, and how many it kept as other records link to them."""

    gone: int
    kept: int


def honour(
    store: ContentStore,
    replica: Replica,
    erased: Collection[Declaration],
    *,
    made: Collection[CID] = (),
) -> LetGo:
    """Let go of everything that was erased by declaration; see `find`."""
    return let_go(store, replica, find(store, replica, erased, made=made))


def find(
    store: ContentStore,
    replica: Replica,
    erased: Iterable[Declaration],
    *,
    made: Collection[CID] = (),
) -> Own:
    """Find what a store itself holds of erased updates and nothing else refers to; nobody else is
    asked. Digests are compared, not CIDs: Kubo keeps bytes once for all codecs.

    A sealed record is an update's own if the update's content key opens it. `made` are blocks that
    are known to be own without that.
    """
    here = LocalStore(store)
    headers = {
        head: (header, access)
        for declaration in erased
        for round_ in declaration.rounds
        for head, header, access in _updates(here, replica, declaration.participant, round_)
    }
    parts = [_own(here, replica, *update, made=made) for update in headers.values()]
    own = Own(
        _joined(part.records for part in parts),
        _joined(part.under for part in parts),
        _joined(part.indexes for part in parts),
    )
    if own == Own():
        return own
    sized = store.sized(words.size_of(UpdateHeader))
    others = (name for cid, data in sized if cid not in headers for name in _named(cid, data))
    return own.without(_reached(here, chain(_on_chain(replica.state), others)))


def let_go(store: ContentStore, replica: Replica, own: Own) -> LetGo:
    """Let go of what was found, unless an update of a round that is not over has come to refer to
    it since.
    """
    here = LocalStore(store)
    named: list[CID] = []
    for round_ in replica.state.rounds[replica.state.over :]:
        for slot in replica.claims(round_, here):
            head = CID(Codec.RAW, slot.digest)
            with suppress(BlockUnavailable):
                named += _named(head, here.get(head))
    own = own.without(_reached(here, named))
    cids = (*own.records, *own.under, *own.indexes)
    kept = store.remove(cids, roots=(*own.records, *own.indexes)) if cids else []
    return LetGo(len(cids) - len(kept), len(kept))


def _updates(
    here: ContentStore, replica: Replica, participant: ParticipantId, round_index: RoundIndex
) -> Iterator[tuple[CID, UpdateHeader, Access | None]]:
    """Read the headers of a participant's updates of a round; one that names somebody else or
    another round is none of them.
    """
    origin, rounds = replica.origin, replica.state.rounds
    if round_index >= len(rounds):
        return
    round_ = rounds[round_index]
    access = replica.access(round_)
    for slot in replica.claims(round_, here):
        if slot.unbound is not None or slot.participant != participant:
            continue
        head = CID(Codec.RAW, slot.digest)
        with suppress(BlockUnavailable, MalformedRecord):
            header = UpdateHeader.decode(here.get(head))
            common = header.common
            where = (common.chain_id, common.ledger, common.federation)
            who = (common.round, header.participant)
            if where == (origin.chain_id, origin.ledger, origin.federation) and who == (
                round_index,
                participant,
            ):
                yield head, header, access


def _own(
    here: ContentStore,
    replica: Replica,
    header: UpdateHeader,
    access: Access | None,
    *,
    made: Collection[CID],
) -> Own:
    """Name what has the form of an update's own, of all that its header names."""
    seal: Seal = PLAIN if access is None else UNOPENED
    content: Content | None = CLEAR if access is None else None
    under: list[CID] = []
    indexes: list[CID] = []
    with suppress(BlockUnavailable, MalformedRecord):
        index = read_index(here, header.index, enveloped=access is not None)
        blocks = index.parts(replica.policy.leaves * LEAF_SIZE, seal)
        indexes.append(CID(Codec.DAG_CBOR, header.index))
        under += (cid for cid, length in blocks if _is_long(here, cid, length))
        if access is not None and index.envelope is not None:
            # What is no envelope is none of the update's own.
            Envelope.decode(here.get(index.envelope))
            under.append(index.envelope)
            with suppress(NotForUs):
                content = access.peek(here, index.envelope)
    named = {TRAINING: header.training, EVALUATION: header.evaluation}
    cids = {name: CID(seal.codec(Codec.DAG_CBOR), digest) for name, digest in named.items()}
    records = (
        cid
        for name, cid in cids.items()
        if (cid in made and here.has(cid))
        or (content is not None and _is_record(here, cid, content.part(name)))
    )
    return Own(tuple(records), tuple(under), tuple(indexes))


def _is_long(here: ContentStore, cid: CID, length: int) -> bool:
    """Whether a block is here and has a length."""
    try:
        return len(here.get(cid)) == length
    except BlockUnavailable:
        return False


def _is_record(here: ContentStore, cid: CID, seal: Seal) -> bool:
    """Whether a block has the form of a record beside an update's payload, and of no other that
    links to nothing.
    """
    try:
        record = cbor.decode(read_flat(here, cid.digest, seal))
    except (BlockUnavailable, MalformedRecord):
        return False
    others = (set(_KEYS), set(identity.KEYS))
    return not (isinstance(record, Mapping) and set(record) in others)


def _joined(parts: Iterable[tuple[CID, ...]]) -> tuple[CID, ...]:
    return tuple(dict.fromkeys(chain.from_iterable(parts)))


def _named(head: CID, data: bytes) -> Iterator[CID]:
    """Name the header of an update, of whatever federation, and what it refers to. Its records link
    to nothing, so their codec does not matter.
    """
    with suppress(MalformedRecord):
        header = UpdateHeader.decode(data)
        yield head
        yield CID(Codec.DAG_CBOR, header.index)
        yield from (CID(Codec.RAW, digest) for digest in (header.training, header.evaluation))


def _on_chain(state: FederationState) -> Iterator[CID]:
    """Name what the chain itself does: headers and flat records, and records with links."""
    policy = state.policy
    flat = [policy.digest(), policy.common.parent]
    flat += (participant.identity for participant in state.participants)
    flat += (record for _, _, record in declared(state))
    linking = [policy.rest]
    for round_ in state.rounds:
        flat += (commit.digest for commit in round_.commits)
        flat += (proposal.result for proposal in round_.proposals)
        linking += (event.digest for event in round_.slices)
        linking += (round_.batch_index, *(proposal.index for proposal in round_.proposals))
    yield from (CID(Codec.RAW, Digest(digest)) for digest in flat)
    yield from (CID(Codec.DAG_CBOR, digest) for digest in linking)


def _reached(here: ContentStore, names: Iterable[CID]) -> set[Digest]:
    """Give the digests of blocks, and of what the records among them link to, as far as they are
    here.
    """
    found: set[Digest] = set()
    waiting = list(names)
    while waiting:
        cid = waiting.pop()
        if cid.digest in found:
            continue
        found.add(cid.digest)
        if cid.codec is Codec.DAG_CBOR:
            with suppress(BlockUnavailable, MalformedRecord):
                waiting += links(cbor.decode(here.get(cid)))
    return found
