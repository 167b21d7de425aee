"""How updates and results lie in a content store, and how they are read back by somebody who trusts
nobody.

Headers are raw blocks under the digests that the chain holds. What a header commits to is found
through a dag-cbor index, and counts only if it has the roots that the header names.
"""

from collections.abc import Callable

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
from ledger.stores import Artefact, BlockNotFound, ContentStore, RecordingStore
from ledger.stores.car import links
from ledger.types import Digest

MAX_RECORD = 64 * 1024
_INDEX = "index of a result"
_INDEX_KEYS = ("model", "nodes", "sums", "utilities", "values", "payouts")


def raw(data: bytes) -> tuple[CID, bytes]:
    """Give a raw block with its CID."""
    return CID.of(Codec.RAW, data), data


def record(value: cbor.Value) -> tuple[CID, bytes]:
    """Give a dag-cbor record with its CID."""
    data = cbor.encode(value)
    return CID.of(Codec.DAG_CBOR, data), data


def update_artefact(header: UpdateHeader, data: Payload, training: tuple[CID, bytes]) -> Artefact:
    """Bundle an update: header, payload with its index, and the record of how it was trained."""
    head = raw(header.encode())
    blocks = data.artefact()
    return Artefact(
        roots=(head[0], *blocks.roots, training[0]),
        blocks={**blocks.blocks, head[0]: head[1], training[0]: training[1]},
    )


def read_update(store: ContentStore, digest: Digest, leaves: int) -> Published:
    """Read what lies behind a committed digest. What cannot be had is None; an unreachable store is
    an error.

    An index, a payload or a training record that is not what the header names leaves nothing to
    wait for: the bytes behind its roots were never published.
    """
    try:
        header_bytes = store.get(CID(Codec.RAW, digest))
    except BlockNotFound:
        return Published(None, None)
    try:
        header = UpdateHeader.decode(header_bytes)
        data = payload.fetch(store, header.index, leaves * payload.LEAF_SIZE)
        _read_training(store, header.training)
    except BlockNotFound:
        return Published(header_bytes, None)
    except MalformedRecord:
        return Published(header_bytes, None, hopeless=True)
    if Payload(data).root != header.payload_root:
        return Published(header_bytes, None, hopeless=True)
    return Published(header_bytes, data)


def kept_update(store: ContentStore, digest: Digest, leaves: int) -> Artefact:
    """Gather all blocks of an update, as far as they can be had, for whoever wants to keep them."""
    recording = RecordingStore(store)
    found = read_update(recording, digest, leaves)
    header = CID(Codec.RAW, digest)
    if found.payload is None:
        own = {header: recording.blocks[header]} if found.header is not None else {}
        return Artefact(tuple(own), own)
    roots = [cid for cid in recording.blocks if cid.codec is Codec.DAG_CBOR]
    return Artefact((header, *roots), recording.blocks)


def _read_training(store: ContentStore, digest: Digest) -> None:
    """Read the record of how an update was made. It links to nothing: whoever keeps it must not be
    made to keep what a stranger linked to.
    """
    record = cbor.decode(store.get(CID(Codec.DAG_CBOR, digest)), limit=MAX_RECORD)
    if any(links(record)):
        raise MalformedRecord("training record", "it links to other blocks")


def read_policy(store: ContentStore, digest: Digest) -> PolicyHeader:
    """Read a policy's header by the digest that the chain holds."""
    return PolicyHeader.decode(store.get(CID(Codec.RAW, digest)))


def read_record(store: ContentStore, digest: Digest) -> cbor.Value:
    """Read a dag-cbor record by its digest."""
    return cbor.decode(store.get(CID(Codec.DAG_CBOR, digest)))


def result_artefact(outcome: Outcome) -> tuple[Artefact, Digest]:
    """Bundle a result: header, nodes, sums, model, utilities, values and payouts. Gives the index's
    digest too.
    """
    records = outcome.records
    leaves = outcome.model.size // payload.LANES
    model = Payload(payload.pad(outcome.model, leaves)).artefact()
    sums = [Payload(data).artefact() for data in outcome.sums]
    nodes = [raw(node.encode()) for node in in_order(outcome.levels)]
    lists = {
        "utilities": raw(utilities.encode(records.utilities)),
        "values": raw(payouts.encode_values(records.values)),
        "payouts": raw(payouts.encode_payouts(records.payouts)),
    }
    index = record(
        {
            "model": model.roots[0],
            "nodes": [cid for cid, _ in nodes],
            "sums": [artefact.roots[0] for artefact in sums],
            **{name: cid for name, (cid, _) in lists.items()},
        }
    )
    blocks = dict([raw(records.header.encode()), index, *nodes, *lists.values()])
    for artefact in (model, *sums):
        blocks.update(artefact.blocks)
    header = CID(Codec.RAW, records.header.digest())
    return Artefact(roots=(header, index[0]), blocks=blocks), index[0].digest


class ResultReader:
    """Reads one published result; every list is checked against the header's roots before it is
    believed.
    """

    def __init__(self, store: ContentStore, result: Digest, index: Digest) -> None:
        self._store = store
        self.header = ResultHeader.decode(store.get(CID(Codec.RAW, result)))
        data = store.get(CID(Codec.DAG_CBOR, index))
        self._entries = cbor.decode_map(data, _INDEX, _INDEX_KEYS)

    def records(self) -> Records:
        """Read the utilities, values and payouts."""
        measured = utilities.decode(self._raw("utilities"))
        _same("utilities", self.header.utilities, utilities.root(measured))
        values = payouts.decode_values(self._raw("values"))
        root = _sum_root("values", lambda: payouts.values_tree(values))
        _same("values", (self.header.values, self.header.scores), (root.hash, root.sum))
        paid = payouts.decode_payouts(self._raw("payouts"))
        root = _sum_root("payouts", lambda: payouts.payouts_tree(paid))
        _same("payouts", (self.header.payouts, self.header.payout_total), (root.hash, root.sum))
        return Records(self.header, measured, values, paid)

    def model(self, leaves: int) -> NDArray[np.int32]:
        """Read the model."""
        index = self._link("model", Codec.DAG_CBOR).digest
        data = payload.fetch(self._store, index, leaves * payload.LEAF_SIZE)
        _same("model", self.header.model_root, Payload(data).root)
        return payload.int32(data)

    def levels(self, slots: int) -> Levels:
        """Read the nodes of the tree of partial sums over a number of commit slots."""
        links = self._links("nodes", Codec.RAW, sum(shape(slots)))
        levels = regroup([Node.decode(self._store.get(cid)) for cid in links], slots)
        _same("nodes", self.header.nodes, nodes_root(levels))
        return levels

    def check_sums(self, leaves: int, levels: Levels) -> None:
        """Read the nodes' sums, one at a time, and compare them with the nodes' roots."""
        size = 2 * leaves * payload.LEAF_SIZE
        nodes = in_order(levels)
        links = self._links("sums", Codec.DAG_CBOR, len(nodes))
        for node, cid in zip(nodes, links, strict=True):
            data = payload.fetch(self._store, cid.digest, size)
            _same("sums", node.root, Payload(data).root)

    def _raw(self, name: str) -> bytes:
        return self._store.get(self._link(name, Codec.RAW))

    def _link(self, name: str, codec: Codec) -> CID:
        cid = cbor.field(self._entries, name, CID, kind=_INDEX)
        if cid.codec is not codec:
            raise MalformedRecord(_INDEX, f"{name} must be a link of codec {codec.name}")
        return cid

    def _links(self, name: str, codec: Codec, count: int) -> list[CID]:
        """Give a list of links of exactly this length, so that nobody makes a reader fetch more."""
        links: list[cbor.Value] = cbor.field(self._entries, name, list, kind=_INDEX)
        if len(links) != count:
            raise MalformedRecord(_INDEX, f"{len(links)} {name}, expected {count}")
        cids = [cid for cid in links if isinstance(cid, CID) and cid.codec is codec]
        if len(cids) != len(links):
            raise MalformedRecord(_INDEX, f"{name} must be links of codec {codec.name}")
        return cids


def _sum_root(name: str, tree: Callable[[], SumTree]) -> Summed:
    """Build a tree of sums; sums that overflow are no tree."""
    try:
        return tree().root
    except LedgerError as error:
        raise MalformedRecord("result", f"its {name}: {error}") from error


def _same(name: str, expected: object, found: object) -> None:
    if expected != found:
        raise MalformedRecord("result", f"its {name} are not what the header commits to")
