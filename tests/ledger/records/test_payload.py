"""Payloads: padding, lanes, blocks, and fetching from a store that may say anything."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ledger import cbor, merkle, payload
from ledger.cid import CID, Codec
from ledger.errors import LedgerError, MalformedRecord
from ledger.payload import LEAF_SIZE, Payload
from ledger.stores import MAX_BLOCK as BLOCK_SIZE
from ledger.stores import Artefact, BlockCorrupt, BlockNotFound, MemoryStore
from ledger.types import Digest

INT32 = st.integers(-(1 << 31), (1 << 31) - 1)
INT64 = st.integers(-(1 << 63), (1 << 63) - 1)


@given(st.lists(INT32, max_size=600), st.integers(0, 2))
def test_int32_lanes(values: list[int], spare: int) -> None:
    leaves = payload.leaves_of(len(values)) + spare
    data = payload.pad(np.array(values, dtype=np.int32), leaves)
    expected = b"".join(v.to_bytes(4, "little", signed=True) for v in values)
    assert data == expected.ljust(leaves * LEAF_SIZE, b"\0")
    found = payload.int32(data)
    assert found.dtype == np.int32
    assert found[: len(values)].tolist() == values
    assert not found[len(values) :].any()


@given(st.lists(INT64, max_size=300))
def test_int64_lanes(values: list[int]) -> None:
    leaves = payload.leaves_of(len(values))
    data = payload.pad_sums(np.array(values, dtype=np.int64), leaves)
    expected = b"".join(v.to_bytes(8, "little", signed=True) for v in values)
    assert data == expected.ljust(2 * leaves * LEAF_SIZE, b"\0")
    assert payload.int64(data)[: len(values)].tolist() == values


def test_a_leaf_of_values_stands_against_two_leaves_of_sums() -> None:
    assert (payload.LANES, payload.SUM_LANES) == (256, 128)
    assert [payload.leaves_of(n) for n in (0, 1, 256, 257, 512)] == [1, 1, 1, 2, 2]


def test_byte_order_and_shape_do_not_matter() -> None:
    values = np.arange(-6, 6, dtype=np.int32).reshape(3, 4)
    expected = payload.pad(values.ravel(), 1)
    assert payload.pad(values, 1) == expected
    assert payload.pad(values.astype(">i4"), 1) == expected
    assert payload.pad(np.asfortranarray(values), 1) == expected


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.zeros(257, dtype=np.int32), "257 values need 1028 bytes, the payload has 1024"),
        (np.zeros(1, dtype=np.int64), "int64 values do not fit"),
        (np.zeros(1, dtype=np.uint32), "uint32 values do not fit"),
        (np.zeros(1, dtype=np.float32), "float32 values do not fit"),
    ],
)
def test_pad_refuses(values: NDArray[np.int32], reason: str) -> None:
    with pytest.raises(LedgerError, match=reason):
        payload.pad(values, 1)


@pytest.mark.parametrize("size", [1, 1023, 1025])
def test_payloads_have_whole_leaves(size: int) -> None:
    for read in (payload.int32, payload.int64):
        with pytest.raises(LedgerError, match="whole leaves"):
            read(bytes(size))


def test_read_lanes_cannot_be_written() -> None:
    values = payload.int32(bytes(LEAF_SIZE))
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 1


def noise(size: int) -> bytes:
    return hashlib.shake_128(str(size).encode()).digest(size)


SIZES = [LEAF_SIZE, 3 * LEAF_SIZE, BLOCK_SIZE, BLOCK_SIZE + LEAF_SIZE, 2 * BLOCK_SIZE]


@pytest.mark.parametrize("size", SIZES)
def test_fetch_returns_what_was_put(size: int) -> None:
    made = Payload(noise(size))
    store = MemoryStore()
    artefact = made.artefact()
    store.put(artefact)
    assert payload.fetch(store, made.index_digest, size) == made.data
    assert artefact.roots == (CID(Codec.DAG_CBOR, made.index_digest),)
    assert all(len(block) <= BLOCK_SIZE for block in artefact.blocks.values())
    assert len(artefact.blocks) == 1 + -(-size // BLOCK_SIZE)
    assert made.digest == hashlib.sha256(made.data).digest()
    assert made.root == merkle.root_of_bytes(made.data, LEAF_SIZE) == made.tree().root


def test_the_index_is_the_record_that_the_protocol_names() -> None:
    made = Payload(noise(BLOCK_SIZE + LEAF_SIZE))
    blocks = [made.data[:BLOCK_SIZE], made.data[BLOCK_SIZE:]]
    links = [CID.of(Codec.RAW, block) for block in blocks]
    index = cbor.encode({"blocks": links, "size": len(made.data)})
    assert made.index_digest == hashlib.sha256(index).digest()


def test_a_missing_block_is_not_malformed() -> None:
    made = Payload(noise(BLOCK_SIZE + LEAF_SIZE))
    blocks = made.artefact().blocks
    for missing in blocks:
        store = MemoryStore()
        store.blocks = {cid: data for cid, data in blocks.items() if cid != missing}
        with pytest.raises(BlockNotFound) as caught:
            payload.fetch(store, made.index_digest, len(made.data))
        assert caught.value.cid == missing


def test_an_altered_block_is_found() -> None:
    made = Payload(noise(LEAF_SIZE))
    for altered in made.artefact().blocks:
        store = MemoryStore()
        store.put(made.artefact())
        store.blocks[altered] = bytes(len(store.blocks[altered]))
        with pytest.raises(BlockCorrupt, match="another digest"):
            payload.fetch(store, made.index_digest, len(made.data))


GOOD = CID.of(Codec.RAW, bytes(LEAF_SIZE))
SHORT = CID.of(Codec.RAW, bytes(LEAF_SIZE - 1))
RECORD = CID.of(Codec.DAG_CBOR, bytes(LEAF_SIZE))
BAD_INDEXES: list[tuple[cbor.Value, str]] = [
    ({"size": LEAF_SIZE, "blocks": [SHORT]}, "block 0 has 1023 bytes, expected 1024"),
    ({"size": LEAF_SIZE, "blocks": []}, "one per MiB"),
    ({"size": LEAF_SIZE, "blocks": [GOOD, GOOD]}, "one per MiB"),
    ({"size": LEAF_SIZE, "blocks": [RECORD]}, "raw links"),
    ({"size": LEAF_SIZE, "blocks": [GOOD.to_bytes()]}, "raw links"),
    ({"size": LEAF_SIZE, "blocks": GOOD}, "blocks must be list"),
    ({"size": LEAF_SIZE, "blocks": {"0": GOOD}}, "blocks must be list"),
    ({"size": 2 * LEAF_SIZE, "blocks": [GOOD]}, "size 2048, expected 1024"),
    ({"size": 1 << 62, "blocks": [GOOD]}, "expected 1024"),
    ({"size": -LEAF_SIZE, "blocks": [GOOD]}, "expected 1024"),
    ({"size": True, "blocks": [GOOD]}, "size must be int"),
    ({"size": str(LEAF_SIZE), "blocks": [GOOD]}, "size must be int"),
    ({"blocks": [GOOD]}, "keys missing or unknown: size"),
    ({"size": LEAF_SIZE, "blocks": [GOOD], "more": 1}, "keys missing or unknown: more"),
    ([LEAF_SIZE, [GOOD]], "expected a map"),
    (GOOD, "expected a map"),
]


@pytest.mark.parametrize(("record", "reason"), BAD_INDEXES)
def test_fetch_refuses_other_indexes(record: cbor.Value, reason: str) -> None:
    index = cbor.encode(record)
    store = MemoryStore()
    for data in (bytes(LEAF_SIZE), bytes(LEAF_SIZE - 1)):
        store.put(Artefact.of(Codec.RAW, data))
    store.put(Artefact.of(Codec.DAG_CBOR, index))
    with pytest.raises(MalformedRecord, match=reason):
        payload.fetch(store, Digest(hashlib.sha256(index).digest()), LEAF_SIZE)


@given(st.binary(max_size=80))
def test_fetch_refuses_any_other_bytes(index: bytes) -> None:
    store = MemoryStore()
    store.put(Artefact.of(Codec.DAG_CBOR, index))
    with pytest.raises(MalformedRecord):
        payload.fetch(store, Digest(hashlib.sha256(index).digest()), LEAF_SIZE)
