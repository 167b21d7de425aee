"""Every decoder of a stranger's record: for any dag-cbor value, and for any change of a valid
record, it gives a value or MalformedRecord, and never another exception.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednode.data.evaluation_set import EvaluationSet
from fednode.data.salted import SaltedRows
from fednode.evaluation import shards
from fednode.evaluation.slices import SliceCommitment, SliceTree, cut
from fednode.policy import built_in
from ledger import cbor
from ledger.artefacts import Inner, read_flat, record
from ledger.batch import Batch, Leaf, read_batch
from ledger.cid import CID, Codec
from ledger.erasure import Erasure
from ledger.errors import MalformedRecord
from ledger.identity import identity_artefact, read_identity, sign_identity
from ledger.payload import LEAF_SIZE, Payload, read_index
from ledger.sealing import PLAIN, Envelope, SealingKey
from ledger.signatures import Signature
from ledger.stores import Artefact, BlockUnavailable, MemoryStore
from ledger.stores.car import links
from ledger.types import ZERO_ADDRESS, ZERO_DIGEST, Digest, FederationId, ParticipantId, RoundIndex
from tests.engines import keys
from tests.ledger.records.test_cbor import VALUES

RESULT = Digest(b"r" * 32)
SCHEMA = built_in("heart").schema
WIDTH = SCHEMA.features


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of record: a valid one among its blocks, and the function that reads it."""

    name: str
    root: CID
    blocks: Mapping[CID, bytes]
    read: Callable[[MemoryStore, Digest], object]

    @property
    def value(self) -> cbor.Value:
        return cbor.decode(self.blocks[self.root])

    def outcome(self, value: cbor.Value) -> object:
        """Read a value as a record of this kind; MalformedRecord or missing bytes give None."""
        store = MemoryStore()
        store.blocks.update(self.blocks)
        cid, data = record(value)
        store.blocks[cid] = data
        try:
            return self.read(store, cid.digest)
        except (MalformedRecord, BlockUnavailable):
            return None


def _rows() -> EvaluationSet:
    count = 8
    return EvaluationSet(
        np.zeros((count, SCHEMA.features), dtype=np.int32),
        np.arange(count, dtype=np.int64) % 2,
        np.zeros(count, dtype=np.int64),
    )


def _of(name: str, artefact: Artefact, read: Callable[[MemoryStore, Digest], object]) -> Kind:
    return Kind(name, artefact.roots[0], artefact.blocks, read)


def _kinds() -> Iterator[Kind]:
    rows = _rows()
    yield _of("evaluation set", rows.artefact(), lambda s, d: EvaluationSet.fetch(s, d))
    slices = cut(SaltedRows.draw(rows, b"secret" * 6), 2)
    tree = SliceTree(SliceCommitment(slices.root, ZERO_ADDRESS), 2, SCHEMA)
    yield _of("slice", slices.opened(0), lambda s, d: tree.read(s, d, number=0))
    cid, data = shards.Counts((20,), (0, 10, 20)).artefact(RESULT)
    counts = Artefact((cid,), {cid: data})
    yield _of("counts", counts, lambda s, d: shards.read(read_flat(s, d, PLAIN), RESULT))
    erasure = Erasure(FederationId(b"f" * 32), ParticipantId(1), (RoundIndex(0), RoundIndex(2)), 3)
    yield _of("erasure", erasure.artefact(), Erasure.read)
    identity = identity_artefact(sign_identity(keys()[0], "Hospital"))
    yield _of("identity", identity, read_identity)
    payload = Payload(bytes(2 * LEAF_SIZE))
    yield _of(
        "payload index",
        payload.artefact(),
        lambda s, d: read_index(s, d).fetch(s, 2 * LEAF_SIZE),
    )
    ours = SealingKey.from_seed(bytes([1]) * 32)
    envelope = Envelope.seal(b"k" * 32, [ours.public])
    cid, data = record(envelope.record())
    sealed = Artefact((cid,), {cid: data})

    def opened(store: MemoryStore, digest: Digest) -> bytes:
        found = Envelope.decode(store.get(CID(Codec.DAG_CBOR, digest)))
        return found.open(ours)

    yield _of("envelope", sealed, opened)
    cid, data = record({"model": RESULT, "parent": b""})
    inner = Artefact((cid,), {cid: data})
    yield _of("inner", inner, lambda s, d: Inner.decode(s.get(CID(Codec.DAG_CBOR, d))))
    batch = Batch.of([Leaf(n, RESULT, Signature(ZERO_DIGEST, ZERO_DIGEST)) for n in range(3)])

    def leaves(store: MemoryStore, digest: Digest) -> object:
        posted = type(batch.posted)(batch.posted.root, 3, digest)
        return list(read_batch(store, posted).leaves())

    yield _of("batch index", batch.artefact(), leaves)
    cid, data = record({"root": RESULT, "holder": ZERO_ADDRESS})
    promised = Artefact((cid,), {cid: data})

    def commitment(store: MemoryStore, digest: Digest) -> object:
        return SliceCommitment.from_record(cbor.decode(store.get(CID(Codec.DAG_CBOR, digest))))

    yield _of("slices of a policy", promised, commitment)


KINDS = list(_kinds())
each = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)

WRONG: list[cbor.Value] = [
    True,
    False,
    None,
    -1,
    0,
    (1 << 63) - 1,
    -(1 << 63),
    "",
    "1",
    b"",
    b"x" * 31,
    [],
    [True],
    [None],
    [-1],
    [[]],
    {},
    {"": 0},
    CID.of(Codec.RAW, b"nobody has it"),
    CID.of(Codec.DAG_CBOR, b"nobody has it"),
]


def altered(value: cbor.Value, other: cbor.Value) -> Iterator[cbor.Value]:
    """Give a value with each of its parts replaced, dropped, repeated or nested once."""
    yield other
    yield [value]
    if isinstance(value, dict):
        for key, part in value.items():
            rest = {k: v for k, v in value.items() if k != key}
            yield rest
            yield {**rest, f"{key}x": part}
            yield from ({**value, key: new} for new in altered(part, other))
    elif isinstance(value, list):
        for at, part in enumerate(value[:4]):
            yield [*value[:at], *value[at + 1 :]]
            yield [*value[:at], part, *value[at:]]
            yield from ([*value[:at], new, *value[at + 1 :]] for new in altered(part, other))


@each
def test_a_valid_record_is_read(kind: Kind) -> None:
    assert kind.outcome(kind.value) is not None


@each
def test_each_part_may_be_anything(kind: Kind) -> None:
    for other in WRONG:
        for value in altered(kind.value, other):
            kind.outcome(value)


@each
@given(data=st.data())
def test_any_value_may_stand_anywhere(kind: Kind, data: st.DataObject) -> None:
    other = data.draw(VALUES)
    variants = list(islice(altered(kind.value, other), 200))
    kind.outcome(data.draw(st.sampled_from(variants)))


@each
@given(data=st.data())
def test_any_bytes_may_be_changed(kind: Kind, data: st.DataObject) -> None:
    block = bytearray(kind.blocks[kind.root])
    at = data.draw(st.integers(0, len(block) - 1))
    block[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    store = MemoryStore()
    store.blocks.update(kind.blocks)
    cid = CID.of(Codec.DAG_CBOR, bytes(block))
    store.blocks[cid] = bytes(block)
    with suppress(MalformedRecord, BlockUnavailable):
        kind.read(store, cid.digest)


def leaves_of(value: cbor.Value, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Name the places of a record's integers."""
    if type(value) is int:
        yield path
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from leaves_of(part, (*path, key))
    elif isinstance(value, list):
        for at, part in enumerate(value):
            yield from leaves_of(part, (*path, at))


@each
@pytest.mark.parametrize("wrong", [True, False, None, "1", -1])
def test_no_other_value_passes_for_a_number(kind: Kind, wrong: cbor.Value) -> None:
    for path in leaves_of(kind.value):
        copy: Any = cbor.decode(cbor.encode(kind.value))
        target = copy
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = wrong
        if kind.name == "batch index":
            assert kind.outcome(copy) == [None] * 3
        else:
            assert kind.outcome(copy) is None, path


@pytest.mark.parametrize("axes", [[True, WIDTH], [WIDTH, True], [WIDTH, 1]])
def test_a_slice_of_another_shape_is_none(axes: list[cbor.Value]) -> None:
    """numpy takes True for an axis, or raises TypeError, as its version has it."""
    (kind,) = (kind for kind in KINDS if kind.name == "slice")
    root = _rows().artefact()
    rows: Any = cbor.decode(root.blocks[root.roots[0]])
    cid, data = record({**rows, "shape": axes})
    value: Any = kind.value
    store = MemoryStore()
    store.blocks.update({**kind.blocks, **root.blocks, cid: data})
    cid, data = record({**value, "rows": cid})
    store.blocks[cid] = data
    with pytest.raises(MalformedRecord):
        kind.read(store, cid.digest)


def test_records_of_an_update_link_to_nothing() -> None:
    (kind,) = (kind for kind in KINDS if kind.name == "counts")
    value: Any = kind.value
    assert not list(links(value))
    assert kind.outcome({**value, "counts": [CID.of(Codec.RAW, b"x")]}) is None
