"""Payloads: a tensor's integers as bytes, their Merkle tree, blocks, and the index of these.

Every int32 payload of a federation has exactly L leaves of 1,024 bytes, every payload of int64 sums
2L, zero-padded; lanes are little-endian. The bytes lie in raw blocks of at most 1 MiB; a dag-cbor
index lists them. Roots are the truth, CIDs only say where the bytes are: whoever fetches a payload
compares its root.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ledger import cbor
from ledger.cid import CID, Codec
from ledger.errors import LedgerError, MalformedRecord
from ledger.merkle import Tree, root_of_bytes
from ledger.stores.base import MAX_BLOCK, Artefact, ContentStore
from ledger.types import Digest

LEAF_SIZE = 1024
BLOCK_SIZE = MAX_BLOCK
LANES = LEAF_SIZE // 4
SUM_LANES = LEAF_SIZE // 8
_KIND = "payload index"


def leaves_of(size: int) -> int:
    """Return how many leaves hold `size` int32 values; at least one."""
    return max(1, -(-size // LANES))


def pad(values: NDArray[np.int32], leaves: int) -> bytes:
    """Write int32 values, any shape, little-endian, zero-padded to exactly `leaves` leaves."""
    return _pad(values, "<i4", leaves * LEAF_SIZE)


def pad_sums(values: NDArray[np.int64], leaves: int) -> bytes:
    """Write int64 sums zero-padded to exactly twice the leaves of an int32 payload."""
    return _pad(values, "<i8", 2 * leaves * LEAF_SIZE)


def int32(data: bytes) -> NDArray[np.int32]:
    """Read an int32 payload, padding included; the array is a read-only view."""
    return _lanes(data, "<i4").astype(np.int32, copy=False)


def int64(data: bytes) -> NDArray[np.int64]:
    """Read a payload of int64 sums, padding included; the array is a read-only view."""
    return _lanes(data, "<i8").astype(np.int64, copy=False)


@dataclass(frozen=True)
class Payload:
    """A padded payload; what follows from its bytes is computed once."""

    data: bytes

    @cached_property
    def root(self) -> Digest:
        """Merkle root over its leaves."""
        return root_of_bytes(self.data, LEAF_SIZE)

    @cached_property
    def digest(self) -> Digest:
        """sha-256 of its bytes: a model's digest."""
        return Digest(hashlib.sha256(self.data).digest())

    @cached_property
    def index_digest(self) -> Digest:
        """Digest of the index of its blocks."""
        return self.artefact().roots[0].digest

    def tree(self) -> Tree:
        """Build the whole tree, for paths."""
        return Tree.of_bytes(self.data, LEAF_SIZE)

    def artefact(self) -> Artefact:
        """Return its blocks and, as the root, their index."""
        parts = [self.data[at : at + BLOCK_SIZE] for at in range(0, len(self.data), BLOCK_SIZE)]
        cids = [CID.of(Codec.RAW, part) for part in parts]
        index = cbor.encode({"size": len(self.data), "blocks": cids})
        root = CID.of(Codec.DAG_CBOR, index)
        return Artefact((root,), {root: index, **dict(zip(cids, parts, strict=True))})


def fetch(store: ContentStore, index: Digest, size: int) -> bytes:
    """Fetch a payload of exactly `size` bytes by the digest of its index.

    MalformedRecord: the index or a block is not what a payload of this size has. The store's errors
    pass through. The caller still compares the root.
    """
    blocks = _read_index(store.get(CID(Codec.DAG_CBOR, index)), size)
    parts = []
    for position, cid in enumerate(blocks):
        part = store.get(cid)
        expected = min(BLOCK_SIZE, size - position * BLOCK_SIZE)
        if len(part) != expected:
            raise MalformedRecord(
                _KIND, f"block {position} has {len(part)} bytes, expected {expected}"
            )
        parts.append(part)
    return b"".join(parts)


def _read_index(data: bytes, size: int) -> list[CID]:
    record = cbor.decode_map(data, _KIND, ("size", "blocks"))
    found = cbor.field(record, "size", int, kind=_KIND)
    if found != size:
        raise MalformedRecord(_KIND, f"size {found}, expected {size}")
    blocks: list[cbor.Value] = cbor.field(record, "blocks", list, kind=_KIND)
    links = [link for link in blocks if isinstance(link, CID) and link.codec is Codec.RAW]
    if len(links) != len(blocks) or len(links) != -(-size // BLOCK_SIZE):
        raise MalformedRecord(_KIND, "blocks must be raw links, one per MiB of the size")
    return links


def _pad(values: NDArray[np.int32] | NDArray[np.int64], lane: str, size: int) -> bytes:
    if not np.can_cast(values.dtype, lane, "safe"):
        raise LedgerError(f"{values.dtype} values do not fit a payload of {lane}")
    data = values.astype(lane, copy=False).tobytes()
    if len(data) > size:
        raise LedgerError(f"{values.size} values need {len(data)} bytes, the payload has {size}")
    return data.ljust(size, b"\0")


def _lanes(data: bytes, lane: str) -> NDArray[np.generic]:
    if len(data) % LEAF_SIZE:
        raise LedgerError(f"a payload of {len(data)} bytes does not have whole leaves")
    return np.frombuffer(data, dtype=lane)
