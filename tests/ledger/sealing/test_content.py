"""Sealed blocks: each opens at its own place, under its own key, and nowhere else."""

import hashlib
import hmac
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from ledger import merkle, payload
from ledger.cid import CID, Codec
from ledger.errors import MalformedRecord
from ledger.payload import LEAF_SIZE, Payload
from ledger.sealing import PLAIN, Envelope, Seal, SealBroken, SealedContent, SealingKey
from ledger.sealing.content import SEALED_PIECE, TAG_SIZE
from ledger.stores import MAX_BLOCK, MemoryStore

ENVELOPE = Envelope.seal(bytes(32), [SealingKey.from_seed(bytes([1]) * 32).public])
CONTENT = SealedContent(b"c" * 32, ENVELOPE)
SEAL = CONTENT.part("payload")
SIZES = (LEAF_SIZE, SEALED_PIECE, SEALED_PIECE + LEAF_SIZE, 2 * SEALED_PIECE)


def prf(key: bytes, label: bytes) -> bytes:
    return hmac.new(key, label, hashlib.sha256).digest()


def noise(size: int) -> bytes:
    return hashlib.shake_128(size.to_bytes(4, "big")).digest(size)


def slow_root(data: bytes, part: str) -> bytes:
    key = prf(CONTENT.secret, b"fednode part " + part.encode())
    leaves = [data[at : at + LEAF_SIZE] for at in range(0, len(data), LEAF_SIZE)]
    salts = [prf(key, b"fednode leaf salt" + i.to_bytes(8, "big"))[:16] for i in range(len(leaves))]
    return merkle.root(salt + leaf for salt, leaf in zip(salts, leaves, strict=True))


@given(st.binary(max_size=2000), st.integers(0, 40), st.integers(1, 40))
def test_a_block_is_standard_authenticated_encryption(data: bytes, place: int, of: int) -> None:
    key = prf(prf(CONTENT.secret, b"fednode part payload"), b"fednode block key")
    aad = b"fednode block" + place.to_bytes(8, "big") + of.to_bytes(8, "big")
    closed = SEAL.close(data, place=place, of=of)
    assert ChaCha20Poly1305(key).decrypt(place.to_bytes(12, "big"), closed, aad) == data
    assert SEAL.open(closed, place=place, of=of) == data
    assert len(closed) == len(data) + SEAL.tag


BLOCK = SEAL.close(b"clear", place=1, of=3)
OTHER_KEY = SealedContent(b"d" * 32, ENVELOPE).part("payload")
WRONG: list[tuple[str, Callable[[], bytes]]] = [
    ("wrong tag", lambda: SEAL.open(BLOCK[:-1] + bytes([BLOCK[-1] ^ 1]), place=1, of=3)),
    ("altered", lambda: SEAL.open(bytes([BLOCK[0] ^ 1]) + BLOCK[1:], place=1, of=3)),
    ("truncated", lambda: SEAL.open(BLOCK[:-1], place=1, of=3)),
    ("nothing left", lambda: SEAL.open(b"", place=1, of=3)),
    ("shorter than a tag", lambda: SEAL.open(b"x", place=1, of=3)),
    ("another place", lambda: SEAL.open(BLOCK, place=2, of=3)),
    ("fewer blocks", lambda: SEAL.open(BLOCK, place=1, of=2)),
    ("another key", lambda: OTHER_KEY.open(BLOCK, place=1, of=3)),
    ("another part", lambda: CONTENT.part("model").open(BLOCK, place=1, of=3)),
    ("in the clear", lambda: SEAL.open(b"clear", place=1, of=3)),
]


@pytest.mark.parametrize(("name", "opening"), WRONG, ids=[name for name, _ in WRONG])
def test_what_is_not_the_block_does_not_open(name: str, opening: Callable[[], bytes]) -> None:
    with pytest.raises(SealBroken, match="does not open") as caught:
        opening()
    assert isinstance(caught.value, MalformedRecord)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", SIZES)
def test_a_sealed_payload_is_read_back(size: int) -> None:
    store, data = MemoryStore(), Payload(noise(size), SEAL, ENVELOPE)
    artefact = data.artefact()
    store.put(artefact)
    index = payload.read_index(store, data.index_digest, enveloped=True)
    assert index.fetch(store, size, SEAL) == data.data
    assert all(len(block) <= MAX_BLOCK for block in artefact.blocks.values())
    assert len(index.blocks) == -(-size // SEALED_PIECE)
    assert index.envelope in artefact.blocks
    # Nothing of the clear bytes is among what is stored.
    assert not any(data.data[:64] in block for block in artefact.blocks.values())


@pytest.mark.parametrize("size", SIZES)
def test_leaves_are_salted(size: int) -> None:
    data = Payload(noise(size), SEAL)
    assert data.root == slow_root(data.data, "payload") == data.tree().root
    assert data.root != Payload(data.data).root
    last = size // LEAF_SIZE - 1
    leaf = data.leaf(last)
    assert len(leaf) == 16 + LEAF_SIZE
    path, count = data.tree().path(last), last + 1
    assert merkle.verify(data.root, leaf, index=last, size=count, path=path, leaf_size=1040)


def test_the_digest_is_salted_and_the_plain_one_is_not() -> None:
    data = noise(LEAF_SIZE)
    key = prf(CONTENT.secret, b"fednode part payload")
    salt = prf(key, b"fednode payload salt")[:16]
    assert Payload(data, SEAL).digest == hashlib.sha256(salt + data).digest()
    assert Payload(data).digest == hashlib.sha256(data).digest()
    assert Payload(data).leaf(0) == data


def test_parts_share_nothing() -> None:
    model, sums = CONTENT.part("model"), CONTENT.part("sum 0")
    assert model.salt != sums.salt
    assert next(model.leaf_salts()) != next(sums.leaf_salts())
    assert model.close(b"x") != sums.close(b"x")


def swapped(parts: list[bytes]) -> list[bytes]:
    return [parts[1], parts[0], *parts[2:]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (swapped, "block 0 of 3 does not open"),
        (lambda parts: [*parts[:2], parts[2][:-1]], "block 2 has .* bytes, expected"),
        (lambda parts: [*parts[:2], parts[2] + b"x"], "block 2 has .* bytes, expected"),
        (lambda parts: parts[:2], "2 blocks, expected one per MiB"),
        (lambda parts: [*parts, parts[0]], "4 blocks, expected one per MiB"),
        (lambda parts: [parts[0], parts[0], parts[2]], "block 1 of 3 does not open"),
        (lambda parts: [bytes(len(part)) for part in parts], "block 0 of 3 does not open"),
    ],
)
def test_a_payload_of_other_blocks_is_malformed(
    change: Callable[[list[bytes]], list[bytes]], reason: str
) -> None:
    store, data = MemoryStore(), Payload(noise(2 * SEALED_PIECE + LEAF_SIZE), SEAL)
    store.put(data.artefact())
    index = payload.read_index(store, data.index_digest)
    blocks = change([store.get(cid) for cid in index.blocks])
    store.blocks.update({CID.of(Codec.RAW, block): block for block in blocks})
    cids = tuple(CID.of(Codec.RAW, block) for block in blocks)
    other = payload.Index(index.size, cids)
    with pytest.raises(MalformedRecord, match=reason):
        other.fetch(store, len(data.data), SEAL)


def test_an_index_says_whether_it_has_an_envelope() -> None:
    bare = Payload(noise(LEAF_SIZE), SEAL).artefact()
    with pytest.raises(MalformedRecord, match="keys missing or unknown: envelope"):
        payload.Index.decode(bare.blocks[bare.roots[0]], enveloped=True)
    full = Payload(noise(LEAF_SIZE), SEAL, ENVELOPE).artefact()
    with pytest.raises(MalformedRecord, match="keys missing or unknown: envelope"):
        payload.Index.decode(full.blocks[full.roots[0]])


def test_in_the_clear_nothing_changes() -> None:
    plain: Seal = PLAIN
    assert plain.open(plain.close(b"x", place=3, of=9), place=1) == b"x"
    assert (plain.salt, plain.tag, plain.piece) == (b"", 0, MAX_BLOCK)
    assert plain.codec(Codec.DAG_CBOR) is Codec.DAG_CBOR
    assert SEAL.codec(Codec.DAG_CBOR) is Codec.RAW
    assert SEAL.tag == TAG_SIZE
