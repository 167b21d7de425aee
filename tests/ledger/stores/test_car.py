"""CAR files: Kubo's own, round trips, and hostile bytes."""

import base64
import io
import json
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import cbor
from ledger.artefacts import raw, record
from ledger.cid import CID, Codec
from ledger.errors import LedgerError, MalformedRecord
from ledger.stores import MAX_BLOCK, Artefact, BlockNotFound, MemoryStore
from ledger.stores.car import collect, read_car, require_whole, write_car

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "kubo.json").read_text())
BLOCKS = st.dictionaries(st.binary(max_size=40), st.sampled_from(Codec), min_size=1, max_size=6)


@st.composite
def artefacts(draw: st.DrawFn) -> Artefact:
    blocks = {CID.of(codec, data): data for data, codec in draw(BLOCKS).items()}
    roots = draw(st.lists(st.sampled_from(sorted(blocks)), min_size=1, max_size=3, unique=True))
    return Artefact(tuple(roots), blocks)


class _Large(bytes):
    """Bytes that say they are a block of the largest size."""

    def __len__(self) -> int:
        return MAX_BLOCK


class _Store(MemoryStore):
    def get(self, cid: CID) -> bytes:
        return _Large()


@pytest.mark.parametrize("more", [0, 1])
def test_an_artefact_may_have_a_gibibyte(more: int) -> None:
    roots = [
        CID.of(Codec.RAW, bytes([n % 256, n // 256])) for n in range(2**30 // MAX_BLOCK + more)
    ]
    if more:
        with pytest.raises(MalformedRecord, match=f"more than {2**30} bytes under {roots[0]}"):
            collect(_Store(), roots)
    else:
        assert len(collect(_Store(), roots).blocks) == len(roots)


@pytest.mark.parametrize("case", VECTORS["car"])
def test_kubos_car(case: dict[str, Any]) -> None:
    data = base64.b64decode(case["base64"])
    artefact = read_car(data)
    assert [str(root) for root in artefact.roots] == [case["root"]]
    assert [str(cid) for cid in artefact.blocks] == case["blocks"]
    assert sorted(read_car(write_car(artefact)).blocks) == sorted(artefact.blocks)
    store = MemoryStore()
    store.put(artefact)
    assert collect(store, artefact.roots).blocks == artefact.blocks


@given(artefacts())
def test_round_trip(artefact: Artefact) -> None:
    data = write_car(artefact)
    found = read_car(data)
    assert found == artefact
    assert write_car(found) == data
    assert read_car(io.BytesIO(data)) == artefact


@given(artefacts(), st.integers(0, 1 << 16))
def test_a_truncated_car_is_an_error_or_lacks_blocks(artefact: Artefact, cut: int) -> None:
    data = write_car(artefact)
    try:
        found = read_car(data[: cut % len(data)])
    except MalformedRecord:
        return
    assert found.roots == artefact.roots
    assert set(found.blocks) < set(artefact.blocks)


def linked() -> Artefact:
    """Make an artefact of three levels: a root, a record under it, and two blocks under that."""
    blocks = dict([raw(b"one"), raw(b"two")])
    inner = record({"blocks": sorted(blocks)})
    outer = record({"deep": [{"inner": inner[0]}]})
    return Artefact((outer[0],), {**blocks, **dict([inner, outer])})


def test_a_car_is_whole_with_every_block_that_is_linked_to() -> None:
    whole = linked()
    assert require_whole(whole) == whole
    for cid in whole.blocks:
        if cid not in whole.roots:
            left = {c: block for c, block in whole.blocks.items() if c != cid}
            with pytest.raises(MalformedRecord, match=f"{cid}.* is missing"):
                require_whole(read_car(write_car(Artefact(whole.roots, left))))


@settings(max_examples=300)
@given(artefacts(), st.integers(0, 1 << 16), st.integers(1, 255))
def test_an_altered_car_never_yields_wrong_blocks(
    artefact: Artefact, where: int, flip: int
) -> None:
    data = bytearray(write_car(artefact))
    data[where % len(data)] ^= flip
    try:
        found = read_car(bytes(data))
    except MalformedRecord:
        return
    assert all(cid.names(block) for cid, block in found.blocks.items())
    assert found != artefact


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_are_an_error(data: bytes) -> None:
    with pytest.raises(MalformedRecord):
        read_car(data)


ROOT = CID.of(Codec.RAW, b"root")
OTHER = CID.of(Codec.RAW, b"other")


def section(cid: CID, data: bytes) -> bytes:
    return bytes([36 + len(data)]) + cid.to_bytes() + data


def header(value: cbor.Value) -> bytes:
    data = cbor.encode(value)
    return bytes([len(data)]) + data


GOOD = header({"roots": [ROOT], "version": 1})
BODY = section(ROOT, b"root")
BAD = [
    (b"", "truncated: a length is cut off"),
    (b"\0", "header is empty"),
    (b"\x80", "a length is cut off"),
    (b"\x80\0", "not minimal"),
    (b"\xff" * 9, "more than 9 bytes"),
    (b"\xff" * 8 + b"\x7f", "header is empty or longer"),
    (b"\x81\x80\x40" + bytes(50), "header is empty or longer"),
    (b"\x20\xa0", "truncated: 32 bytes expected"),
    (b"\x01\xff", "float or unknown simple"),
    (b"\x28" + b"\x81" * 39 + b"\xf6", "nested deeper"),
    (header({"roots": [ROOT]}) + BODY, "keys missing or unknown: version"),
    (header({"version": 1}) + BODY, "keys missing or unknown: roots"),
    (header({"roots": [ROOT], "version": 2}) + BODY, "not version 1"),
    (header({"roots": [ROOT], "version": "1"}) + BODY, "version must be int"),
    (header({"roots": [ROOT], "version": True}) + BODY, "version must be int"),
    (header({"roots": ROOT, "version": 1}) + BODY, "roots must be list"),
    (header({"roots": [], "version": 1}) + BODY, "roots must be a list of links"),
    (header({"roots": [str(ROOT)], "version": 1}) + BODY, "roots must be a list of links"),
    (header([ROOT, 1]) + BODY, "expected a map"),
    (GOOD, f"root {ROOT} is not among its blocks"),
    (GOOD + section(OTHER, b"other"), f"root {ROOT} is not among its blocks"),
    (GOOD + BODY + b"\0", "section of 0 bytes"),
    (GOOD + BODY + b"\x23" + bytes(35), "section of 35 bytes"),
    (GOOD + BODY + b"\xff\xff\xff\x7f", "section of 268435455 bytes"),
    (GOOD + BODY + b"\xff" * 8 + b"\x7f", "section of"),
    (GOOD + BODY + b"\x28", "truncated: 36 bytes expected, 0 left"),
    (GOOD + BODY[:-1], "truncated: 4 bytes expected, 3 left"),
    (GOOD + section(ROOT, b"toor"), "other bytes than its CID says"),
    (GOOD + b"\x24" + b"\x01\x70\x12\x20" + bytes(32), "prefix 01701220"),
    (GOOD + b"\xa8\x80\0" + BODY[1:], "not minimal"),
]


@pytest.mark.parametrize(("data", "reason"), BAD)
def test_read_refuses(data: bytes, reason: str) -> None:
    with pytest.raises(MalformedRecord, match=reason):
        read_car(data)


def test_a_block_may_come_twice() -> None:
    assert read_car(GOOD + BODY + BODY).blocks == {ROOT: b"root"}


def test_the_size_is_bounded() -> None:
    data = GOOD + BODY
    assert read_car(data, limit=len(data)).roots == (ROOT,)
    for limit in range(len(data)):
        with pytest.raises(MalformedRecord, match="bytes that are allowed"):
            read_car(data, limit=limit)


class Endless(io.RawIOBase):
    """A stream that gives zeros for ever, and counts them."""

    def __init__(self, start: bytes) -> None:
        self.start = start
        self.given = 0

    def read(self, size: int = -1, /) -> bytes:
        assert 0 <= size <= MAX_BLOCK + 100, "asks for more than a block"
        data = self.start[self.given : self.given + size].ljust(size, b"\0")
        self.given += size
        return data


def stream(start: bytes) -> BinaryIO:
    return Endless(start)  # type: ignore[return-value]


@pytest.mark.parametrize("start", [b"", GOOD, GOOD + BODY, b"\xff\xff\x3f"])
def test_an_endless_stream_ends(start: bytes) -> None:
    with pytest.raises(MalformedRecord):
        read_car(stream(start), limit=1 << 22)


@pytest.mark.parametrize("limit", [len(GOOD) + 40, len(GOOD) + 1000])
def test_no_more_is_read_than_the_limit_and_one_byte(limit: int) -> None:
    source = Endless(GOOD + b"\xa4\x80\x40" + ROOT.to_bytes())  # then 1 MiB of zeros
    with pytest.raises(MalformedRecord, match=f"more than the {limit} bytes"):
        read_car(cast(BinaryIO, source), limit=limit)
    assert source.given == limit + 1


def test_collect_follows_links_once() -> None:
    store = MemoryStore()
    leaf = Artefact.of(Codec.RAW, b"leaf")
    inner = Artefact.of(Codec.DAG_CBOR, cbor.encode([leaf.roots[0], leaf.roots[0]]))
    outer = Artefact.of(Codec.DAG_CBOR, cbor.encode({"a": {"b": inner.roots[0]}, "c": ROOT}))
    root = Artefact.of(Codec.RAW, b"root")
    whole = outer.merge(inner, leaf, root)
    store.put(whole)
    found = collect(store, outer.roots)
    assert (found.roots, found.blocks) == (outer.roots, whole.blocks)
    with pytest.raises(MalformedRecord, match="more than 10 bytes"):
        collect(store, outer.roots, limit=10)
    del store.blocks[leaf.roots[0]]
    with pytest.raises(BlockNotFound):
        collect(store, outer.roots)


def test_collect_refuses_a_record_that_is_none() -> None:
    store = MemoryStore()
    bad = Artefact.of(Codec.DAG_CBOR, b"\x81" * 100)
    store.put(bad)
    with pytest.raises(LedgerError, match="nested deeper"):
        collect(store, bad.roots)
