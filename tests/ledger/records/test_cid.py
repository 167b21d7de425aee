"""CIDs against Kubo's own, and the strings and bytes that are refused."""

import base64
import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.cid import CID, CID_SIZE, Codec
from ledger.errors import MalformedRecord
from ledger.types import Digest

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "kubo.json").read_text())
DIGEST = Digest(hashlib.sha256(b"").digest())
EMPTY = CID(Codec.RAW, DIGEST)

cids = st.builds(
    CID,
    st.sampled_from(Codec),
    st.binary(min_size=32, max_size=32).map(Digest),
)


def pattern(size: int, seed: int) -> bytes:
    return bytes((i * i + seed) % 251 for i in range(size))


@pytest.mark.parametrize("case", VECTORS["raw"], ids=lambda case: case["name"])
def test_raw_blocks_have_kubos_cid(case: dict[str, Any]) -> None:
    data = pattern(*case["bytes"]["pattern"])
    assert hashlib.sha256(data).hexdigest() == case["sha256"]
    assert str(CID.of(Codec.RAW, data)) == case["cid"]
    assert CID.parse(case["cid"]).names(data)


@given(cids)
def test_text_and_bytes_round_trip(cid: CID) -> None:
    assert CID.parse(str(cid)) == cid
    assert CID.from_bytes(cid.to_bytes()) == cid


@given(cids, st.integers(1, 3))
def test_no_other_text_names_the_same_digest(cid: CID, unused_bits: int) -> None:
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    text = str(cid)
    last = alphabet.index(text[-1])
    assert last % 4 == 0, "36 bytes leave two unused bits in the last character"
    alias = text[:-1] + alphabet[last + unused_bits]
    assert base64.b32decode(alias[1:].upper() + "======") == cid.to_bytes()
    with pytest.raises(MalformedRecord, match="not canonical"):
        CID.parse(alias)


TEXT = str(EMPTY)
BAD_TEXTS = [
    ("", "base32 of 59 characters"),
    ("b", "base32 of 59 characters"),
    (TEXT[:-1], "base32 of 59 characters"),
    (TEXT + "a", "base32 of 59 characters"),
    (TEXT.upper(), "base32 of 59 characters"),
    ("b" + TEXT[1:].upper(), "not canonical"),
    (TEXT[:10] + "1" + TEXT[11:], "not base32"),
    (TEXT[:10] + "é" + TEXT[11:], "not base32"),
    (TEXT[:-2] + "==", "not base32"),
    (TEXT + "\n", "base32 of 59 characters"),
    ("z" + TEXT[1:], "starting with b"),
    ("QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n", "base32 of 59 characters"),
    ("bafybeihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", "prefix 01701220"),
]


@pytest.mark.parametrize(("text", "reason"), BAD_TEXTS)
def test_parse_refuses(text: str, reason: str) -> None:
    with pytest.raises(MalformedRecord, match=reason):
        CID.parse(text)


BAD_BYTES = [
    (b"", "0 bytes"),
    (EMPTY.to_bytes()[:-1], "35 bytes"),
    (EMPTY.to_bytes() + b"\0", "37 bytes"),
    (b"\x02" + EMPTY.to_bytes()[1:], "prefix 02551220"),
    (b"\x00" + EMPTY.to_bytes()[1:], "prefix 00551220"),
    (b"\x01\x70\x12\x20" + DIGEST, "prefix 01701220"),
    (b"\x01\x55\x13\x20" + DIGEST, "prefix 01551320"),
    (b"\x01\x55\x12\x1f" + DIGEST, "prefix 0155121f"),
    (b"\x12\x20" + DIGEST, "34 bytes"),
    (b"\x81\x00\x55\x12\x20" + DIGEST, "37 bytes"),
]


@pytest.mark.parametrize(("data", "reason"), BAD_BYTES)
def test_from_bytes_refuses(data: bytes, reason: str) -> None:
    with pytest.raises(MalformedRecord, match=reason):
        CID.from_bytes(data)


@given(st.text(max_size=70))
def test_parse_never_fails_otherwise(text: str) -> None:
    with contextlib.suppress(MalformedRecord):
        assert str(CID.parse(text)) == text


@given(st.binary(max_size=40) | st.binary(min_size=CID_SIZE, max_size=CID_SIZE))
def test_from_bytes_never_fails_otherwise(data: bytes) -> None:
    with contextlib.suppress(MalformedRecord):
        assert CID.from_bytes(data).to_bytes() == data


def test_a_digest_has_32_bytes() -> None:
    with pytest.raises(MalformedRecord, match="32 bytes"):
        CID(Codec.RAW, Digest(b"short"))
