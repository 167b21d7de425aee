"""How updates and results lie in a content store, and how they are read back by somebody who trusts
nobody.

Headers are raw blocks under the digests that the chain holds. What a header commits to is found
through a dag-cbor index, and counts only if it has the roots that the header names. In a sealed
federation the index stays readable, so that everybody can see that all stored bytes are there; the
blocks under it are opened with the content key that its envelope wraps.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ledger import cbor, payload, payouts, utilities
from ledger.cid import CID, Codec
from ledger.errors import LedgerError, MalformedRecord
from ledger.headers import PolicyHeader, ResultHeader, UpdateHeader
from ledger.merkle_sum import Summed, SumTree
from ledger.nodes import Levels, Node, in_order, nodes_root, regroup, shape
from ledger.payload import Payload
from ledger.round import Outcome, Published, Records
from ledger.sealing import CLEAR, PLAIN, UNOPENED, Access, Content, NotForUs, Seal
from ledger.sealing.envelope import SECRET_SIZE
from ledger.stores import (
    Artefact,
    BlockNotFound,
    BlockUnavailable,
    ContentStore,
    RecordingStore,
)
from ledger.stores.base import ahead
from ledger.stores.car import links
from ledger.types import ZERO_DIGEST, Digest

L = TypeVar("L")
MAX_RECORD = 64 * 1024
PAYLOAD = "payload"
TRAINING = "training"
EVALUATION = "evaluation"
_INDEX = "index of a result"
_INDEX_KEYS = ("model", "nodes", "sums", "utilities", "values", "payouts")
_LISTS = ("utilities", "values", "payouts")
_SEALED_KEYS = (*_INDEX_KEYS, "envelope", "inner")


def raw(data: bytes) -> tuple[CID, bytes]:
    """Give a raw block with its CID."""
    return CID.of(Codec.RAW, data), data


def record(value: cbor.Value, seal: Seal = PLAIN) -> tuple[CID, bytes]:
    """Give a dag-cbor record as it is stored, with its CID."""
    data = seal.close(cbor.encode(value))
    return CID.of(seal.codec(Codec.DAG_CBOR), data), data


def update_artefact(header: UpdateHeader, data: Payload, *records: tuple[CID, bytes]) -> Artefact:
    """Bundle an update: header, payload with its index, and the records of how it was trained and
    of what its owner counted, if it did.
    """
    head = raw(header.encode())
    blocks = data.artefact()
    roots = (head[0], *blocks.roots, *(cid for cid, _ in records))
    return Artefact(roots, {**blocks.blocks, head[0]: head[1], **dict(records)})


def read_update(
    store: ContentStore,
    digest: Digest,
    leaves: int,
    access: Access | None = None,
    *,
    locked: int = 0,
) -> Published:
    """Read what lies behind a committed digest. What cannot be had is None; an unreachable store,
    and an update that is sealed for others, are errors.

    An index, an envelope, a payload or a record that is not what the header names leaves nothing to
    wait for: the bytes behind its roots were never published. The same holds for a payload that
    writes one of the first `locked` coordinates, which an ancestor has settled. A payload whose
    record cannot be had or read, or that writes there, is `bare`: it counts for nothing, and still
    shows what a sum over it must be.
    """
    try:
        header_bytes = store.get(CID(Codec.RAW, digest))
    except BlockNotFound:
        return Published(None, None)
    bare = None
    try:
        header = UpdateHeader.decode(header_bytes)
        index = payload.read_index(store, header.index, enveloped=access is not None)
        content: Content = CLEAR
        if access is not None and index.envelope is not None:
            content = access.open(store, index.envelope)
        seal = content.part(PAYLOAD)
        data = Payload(index.fetch(store, leaves * payload.LEAF_SIZE, seal), seal)
        if data.root != header.payload_root:
            return Published(header_bytes, None, hopeless=True, fault="another payload's bytes")
        bare = data
        written = payload.first_written(data.data, locked)
        if written is not None:
            raise MalformedRecord("update", f"it writes coordinate {written}, which is locked")
        read_flat(store, header.training, content.part(TRAINING))
        counts = None
        if header.evaluation != ZERO_DIGEST:
            counts = read_flat(store, header.evaluation, content.part(EVALUATION))
    except BlockNotFound:
        return Published(header_bytes, None, bare=bare)
    except MalformedRecord as error:
        if bare is None and access is not None:
            bare = _peeked(store, header_bytes, leaves, access)
        return Published(header_bytes, None, hopeless=True, bare=bare, fault=str(error))
    return Published(header_bytes, data, evaluation=counts)


def _peeked(store: ContentStore, data: bytes, leaves: int, access: Access) -> Payload | None:
    """Read the payload of an update that does not count, as far as it is open to us: its envelope
    may leave others out, or let strangers in.
    """
    with suppress(BlockNotFound, MalformedRecord, NotForUs):
        header = UpdateHeader.decode(data)
        index = payload.read_index(store, header.index, enveloped=True)
        if index.envelope is not None:
            seal = access.peek(store, index.envelope).part(PAYLOAD)
            found = Payload(index.fetch(store, leaves * payload.LEAF_SIZE, seal), seal)
            return found if found.root == header.payload_root else None
    return None


def update_is_stored(store: ContentStore, digest: Digest, leaves: int, access: Access) -> bool:
    """Tell whether all sealed bytes of an update are there, and its envelope is for its readers and
    no others; nothing is opened.
    """
    return not fault_of_stored(store, digest, leaves, access)


def fault_of_stored(store: ContentStore, digest: Digest, leaves: int, access: Access) -> str:
    """Say what is wrong with an update's sealed bytes; nothing if all is in order."""
    try:
        header = UpdateHeader.decode(store.get(CID(Codec.RAW, digest)))
        index = payload.read_index(store, header.index, enveloped=True)
        if index.envelope is not None:
            access.envelope(store, index.envelope)
        for _ in index.stored(store, leaves * payload.LEAF_SIZE, UNOPENED):
            pass
        for cid in _records(header, UNOPENED):
            store.get(cid)
    except BlockUnavailable:
        return "not to be had whole"
    except MalformedRecord as error:
        return str(error)
    return ""


def gather_update(
    store: ContentStore,
    digest: Digest,
    leaves: int,
    access: Access | None = None,
    *,
    locked: int = 0,
) -> tuple[Published, Artefact]:
    """Read an update, and give the blocks that it was read from to whoever wants to keep them."""
    recording = RecordingStore(store)
    found = read_update(recording, digest, leaves, access, locked=locked)
    head = CID(Codec.RAW, digest)
    if found.header is None or found.payload is None:
        own = {head: recording.blocks[head]} if found.header is not None else {}
        return found, Artefact(tuple(own), own)
    header = UpdateHeader.decode(found.header)
    roots = (head, CID(Codec.DAG_CBOR, header.index), *_records(header, found.payload.seal))
    return found, Artefact(roots, recording.blocks)


def _records(header: UpdateHeader, seal: Seal) -> list[CID]:
    """Name the records beside an update's payload, as they are stored."""
    named = (header.training, header.evaluation)
    codec = seal.codec(Codec.DAG_CBOR)
    return [CID(codec, Digest(digest)) for digest in named if digest != ZERO_DIGEST]


def read_flat(store: ContentStore, digest: Digest, seal: Seal) -> bytes:
    """Read a record that an update's header names. It links to nothing: whoever keeps it must not
    be made to keep what a stranger linked to.
    """
    data = seal.open(store.get(CID(seal.codec(Codec.DAG_CBOR), digest)))
    if any(links(cbor.decode(data, limit=MAX_RECORD))):
        raise MalformedRecord("update's record", "it links to other blocks")
    return data


def read_policy(store: ContentStore, digest: Digest) -> PolicyHeader:
    """Read a policy's header by the digest that the chain holds."""
    return PolicyHeader.decode(store.get(CID(Codec.RAW, digest)))


def read_record(store: ContentStore, digest: Digest) -> cbor.Value:
    """Read a dag-cbor record by its digest."""
    return cbor.decode(store.get(CID(Codec.DAG_CBOR, digest)))


def result_artefact(outcome: Outcome, *, parent: bytes = b"") -> tuple[Artefact, Digest]:
    """Bundle a result: header, nodes, sums, model, utilities, values and payouts. Gives the index's
    digest too.

    `parent` is the content key of the result that a sealed one builds on: who joins later reads
    from there what was before.
    """
    records, content = outcome.records, outcome.content
    leaves = outcome.model.size // payload.LANES
    clear = payload.pad(outcome.model, leaves)
    model = Payload(clear, content.part("model")).artefact()
    sums = [
        Payload(data, content.part(f"sum {place}")).artefact()
        for place, data in enumerate(outcome.sums)
    ]
    nodes = in_order(outcome.levels)
    seal = content.part("nodes")
    closed = [
        raw(seal.close(node.encode(), place=place, of=len(nodes)))
        for place, node in enumerate(nodes)
    ]
    lists = {
        "utilities": utilities.encode(records.utilities),
        "values": payouts.encode_values(records.values),
        "payouts": payouts.encode_payouts(records.payouts),
    }
    small = {name: raw(content.part(name).close(data)) for name, data in lists.items()}
    links: dict[str, cbor.Value] = {
        "model": model.roots[0],
        "nodes": [cid for cid, _ in closed],
        "sums": [artefact.roots[0] for artefact in sums],
        **{name: cid for name, (cid, _) in small.items()},
    }
    blocks = dict([raw(records.header.encode()), *closed, *small.values()])
    if content.envelope is not None:
        inner = Inner(Payload(clear).digest, parent).record(content)
        own = {"envelope": record(content.envelope.record()), "inner": inner}
        links.update({name: cid for name, (cid, _) in own.items()})
        blocks.update(own.values())
    index = record(links)
    for artefact in (model, *sums, Artefact((index[0],), dict([index]))):
        blocks.update(artefact.blocks)
    header = CID(Codec.RAW, records.header.digest())
    return Artefact(roots=(header, index[0]), blocks=blocks), index[0].digest


@dataclass(frozen=True, slots=True)
class Inner:
    """What a sealed result says inside only: the plain digest of its model, the same in every mode,
    and the content key of the result before it.
    """

    model: Digest
    parent: bytes

    def record(self, content: Content) -> tuple[CID, bytes]:
        """Give the record as it is stored."""
        return record({"model": self.model, "parent": self.parent}, content.part("inner"))

    @classmethod
    def decode(cls, data: bytes) -> "Inner":
        """Read the record."""
        kind = "inner record of a result"
        entries = cbor.decode_map(data, kind, ("model", "parent"), limit=MAX_RECORD)
        model = cbor.string(entries, "model", 32, kind=kind)
        return cls(Digest(model), cbor.string(entries, "parent", 0, SECRET_SIZE, kind=kind))


class ResultReader:
    """Reads one published result of a round that knew so many participants; every list is checked
    against the header's roots before it is believed.

    A sealed one is opened when something in it is asked for: with `access`, or with the content
    key that a later result holds of it.
    """

    def __init__(
        self,
        store: ContentStore,
        result: Digest,
        index: Digest,
        access: Access | None = None,
        *,
        participants: int,
        secret: bytes | None = None,
    ) -> None:
        self._store = store
        self._participants = participants
        self._access = access
        self._secret = secret
        self.header = ResultHeader.decode(store.get(CID(Codec.RAW, result)))
        data = store.get(CID(Codec.DAG_CBOR, index))
        keys = _INDEX_KEYS if access is None else _SEALED_KEYS
        self._entries = cbor.decode_map(data, _INDEX, keys)

    @cached_property
    def content(self) -> Content:
        """What opens the result; NotForUs if none of our keys does."""
        if self._access is None:
            return CLEAR
        envelope = self._link("envelope", Codec.DAG_CBOR)
        return self._access.open(self._store, envelope, secret=self._secret)

    def inner(self) -> Inner:
        """Read what a sealed result says inside only."""
        return Inner.decode(self._raw("inner"))

    def records(self) -> Records:
        """Read the utilities, values and payouts."""
        return Records(self.header, self.measured(), self.valued(), self.paid())

    def measured(self) -> tuple[int, ...]:
        """Read the utilities."""
        measured = utilities.decode(self._raw("utilities"))
        _same("utilities", self.header.utilities, utilities.root(measured))
        return measured

    def valued(self) -> tuple[payouts.ValueLeaf, ...]:
        """Read the values."""
        values = payouts.decode_values(self._raw("values"))
        root = _sum_root("values", lambda: payouts.values_tree(values))
        _same("values", (self.header.values, self.header.scores), (root.hash, root.sum))
        return self._one_each("values", values)

    def paid(self) -> tuple[payouts.PayoutLeaf, ...]:
        """Read the payouts."""
        paid = payouts.decode_payouts(self._raw("payouts"))
        root = _sum_root("payouts", lambda: payouts.payouts_tree(paid))
        _same("payouts", (self.header.payouts, self.header.payout_total), (root.hash, root.sum))
        return self._one_each("payouts", paid)

    def model(self, leaves: int) -> NDArray[np.int32]:
        """Read the model."""
        seal = self.content.part("model")
        index = self._link("model", Codec.DAG_CBOR).digest
        data = payload.fetch(self._store, index, leaves * payload.LEAF_SIZE, seal)
        _same("model", self.header.model_root, Payload(data, seal).root)
        return payload.int32(data)

    def levels(self, slots: int) -> Levels:
        """Read the nodes of the tree of partial sums over a number of commit slots."""
        seal = self.content.part("nodes")
        links = self._links("nodes", Codec.RAW, sum(shape(slots)))
        ahead(self._store, links)
        stored = enumerate(self._store.get(cid) for cid in links)
        opened = [seal.open(data, place=place, of=len(links)) for place, data in stored]
        levels = regroup([Node.decode(data) for data in opened], slots)
        _same("nodes", self.header.nodes, nodes_root(levels))
        return levels

    def check_sums(self, leaves: int, levels: Levels) -> None:
        """Read the nodes' sums, one at a time, and compare them with the roots of the nodes that
        have sums.
        """
        nodes = [node for node in in_order(levels) if node.root != ZERO_DIGEST]
        self._links("sums", Codec.DAG_CBOR, len(nodes))
        for place, node in enumerate(nodes):
            data = self.sum(place, leaves, len(nodes))
            _same("sums", node.root, Payload(data, self.content.part(f"sum {place}")).root)

    def sum(self, place: int, leaves: int, nodes: int) -> bytes:
        """Read the sum of one of the nodes that have sums; the caller compares its root."""
        cid = self._links("sums", Codec.DAG_CBOR, nodes)[place]
        size = 2 * leaves * payload.LEAF_SIZE
        return payload.fetch(self._store, cid.digest, size, self.content.part(f"sum {place}"))

    def check_all(self, leaves: int, slots: int) -> None:
        """Read everything that was published: whoever keeps the result needs all of it."""
        levels = self.levels(slots)
        self.records()
        self.model(leaves)
        self.check_sums(leaves, levels)
        if self.content.envelope is not None:
            self.inner()

    def check_stored(self, leaves: int, slots: int, *, summed: bool) -> None:
        """Read all stored bytes of a sealed result without opening any, and see that none is
        missing, too short or too long, and nobody left out of its envelope. `summed`: the
        aggregation rule adds up.
        """
        assert self._access is not None
        self._access.envelope(self._store, self._link("envelope", Codec.DAG_CBOR))
        nodes = sum(shape(slots))
        size = leaves * payload.LEAF_SIZE
        sums = self._links("sums", Codec.DAG_CBOR, nodes if summed else 0)
        payloads = [(self._link("model", Codec.DAG_CBOR), size)]
        payloads += [(cid, 2 * size) for cid in sums]
        for cid, length in payloads:
            for _ in payload.read_index(self._store, cid.digest).stored(
                self._store, length, UNOPENED
            ):
                pass
        lists = (self._link(name, Codec.RAW) for name in (*_LISTS, "inner"))
        for cid in chain(self._links("nodes", Codec.RAW, nodes), lists):
            self._store.get(cid)

    def _one_each(self, name: str, leaves: tuple[L, ...]) -> tuple[L, ...]:
        """Refuse a tree with another number of leaves: its header may have the root of any."""
        if len(leaves) != self._participants:
            raise MalformedRecord("result", f"{len(leaves)} {name}, expected {self._participants}")
        return leaves

    def _raw(self, name: str) -> bytes:
        return self.content.part(name).open(self._store.get(self._link(name, Codec.RAW)))

    def _link(self, name: str, codec: Codec) -> CID:
        return cbor.link(self._entries, name, codec, kind=_INDEX)

    def _links(self, name: str, codec: Codec, count: int) -> tuple[CID, ...]:
        """Give a list of links of exactly this length, so that nobody makes a reader fetch more."""
        found = cbor.links(self._entries, name, codec, kind=_INDEX)
        if len(found) != count:
            raise MalformedRecord(_INDEX, f"{len(found)} {name}, expected {count}")
        return found


def _sum_root(name: str, tree: Callable[[], SumTree]) -> Summed:
    """Build a tree of sums; sums that overflow are no tree."""
    try:
        return tree().root
    except LedgerError as error:
        raise MalformedRecord("result", f"its {name}: {error}") from error


def _same(name: str, expected: object, found: object) -> None:
    if expected != found:
        raise MalformedRecord("result", f"its {name} are not what the header commits to")
