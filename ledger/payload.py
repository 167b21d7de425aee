"""Payloads: a tensor's integers as bytes, their Merkle tree, blocks, and the index of these.

Every int32 payload of a federation has exactly L leaves of 1,024 bytes, every payload of int64 sums
2L, zero-padded; lanes are little-endian. The bytes lie in raw blocks of at most 1 MiB; a dag-cbor
index lists them. Roots are the truth, CIDs only say where the bytes are: whoever fetches a payload
compares its root. Of a sealed payload the leaves are salted and the blocks encrypted; its index
counts the clear bytes, and an update's names its envelope.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ledger import cbor
from ledger.cid import CID, Codec
from ledger.errors import LedgerError, MalformedRecord
from ledger.merkle import Tree, root_of_bytes
from ledger.sealing import PLAIN, Envelope, Seal
from ledger.stores.base import Artefact, ContentStore, ahead
from ledger.types import Digest

LEAF_SIZE = 1024
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
    """A padded payload; what follows from its bytes and its seal is computed once."""

    data: bytes
    seal: Seal = PLAIN
    envelope: Envelope | None = None

    @cached_property
    def root(self) -> Digest:
        """Merkle root over its leaves."""
        return root_of_bytes(self.data, LEAF_SIZE, self.seal.leaf_salts())

    @cached_property
    def digest(self) -> Digest:
        """sha-256 of its salt, if it is sealed, and its bytes: a model's digest."""
        return Digest(hashlib.sha256(self.seal.salt + self.data).digest())

    @cached_property
    def index_digest(self) -> Digest:
        """Digest of the index of its blocks."""
        return self.artefact().roots[0].digest

    def tree(self) -> Tree:
        """Build the whole tree, for paths."""
        return Tree.of_bytes(self.data, LEAF_SIZE, self.seal.leaf_salts())

    def leaf(self, index: int) -> bytes:
        """Return a leaf as a proof opens it: behind its salt."""
        salt = next(islice(self.seal.leaf_salts(), index, None))
        return salt + self.data[index * LEAF_SIZE : (index + 1) * LEAF_SIZE]

    def artefact(self) -> Artefact:
        """Return its blocks and, as the root, their index."""
        step = self.seal.piece
        pieces = [self.data[at : at + step] for at in range(0, len(self.data), step)]
        count = len(pieces)
        parts = [self.seal.close(p, place=i, of=count) for i, p in enumerate(pieces)]
        cids = [CID.of(Codec.RAW, part) for part in parts]
        blocks = dict(zip(cids, parts, strict=True))
        record: dict[str, cbor.Value] = {"size": len(self.data), "blocks": cids}
        if self.envelope is not None:
            data = self.envelope.encode()
            record["envelope"] = CID.of(Codec.DAG_CBOR, data)
            blocks[CID.of(Codec.DAG_CBOR, data)] = data
        index = cbor.encode(record)
        root = CID.of(Codec.DAG_CBOR, index)
        return Artefact((root,), {root: index, **blocks})


@dataclass(frozen=True, slots=True)
class Index:
    """Where a payload's blocks lie, how many clear bytes are in them, and who can read them."""

    size: int
    blocks: tuple[CID, ...]
    envelope: CID | None = None

    @classmethod
    def decode(cls, data: bytes, *, enveloped: bool = False) -> "Index":
        """Read an index, of an update that is sealed with its envelope."""
        keys = ("size", "blocks", "envelope") if enveloped else ("size", "blocks")
        record = cbor.decode_map(data, _KIND, keys)
        blocks = cbor.links(record, "blocks", Codec.RAW, kind=_KIND)
        envelope = cbor.link(record, "envelope", Codec.DAG_CBOR, kind=_KIND) if enveloped else None
        return cls(cbor.field(record, "size", int, kind=_KIND), blocks, envelope)

    def parts(self, size: int, seal: Seal) -> list[tuple[CID, int]]:
        """Name the stored blocks of a payload of exactly `size` bytes, and how long each must be;
        MalformedRecord if this is the index of none.
        """
        if self.size != size:
            raise MalformedRecord(_KIND, f"size {self.size}, expected {size}")
        if len(self.blocks) != -(-size // seal.piece):
            raise MalformedRecord(_KIND, f"{len(self.blocks)} blocks, expected one per MiB")
        starts = range(0, size, seal.piece)
        lengths = (min(seal.piece, size - start) + seal.tag for start in starts)
        return list(zip(self.blocks, lengths, strict=True))

    def stored(self, store: ContentStore, size: int, seal: Seal) -> Iterator[bytes]:
        """Yield the stored blocks of a payload of exactly `size` bytes.

        MalformedRecord: index or block is not what a payload of this size has. The store's errors
        pass through.
        """
        parts = self.parts(size, seal)
        ahead(store, [cid for cid, _ in parts])
        for position, (cid, expected) in enumerate(parts):
            part = store.get(cid)
            if len(part) != expected:
                raise MalformedRecord(
                    _KIND, f"block {position} has {len(part)} bytes, expected {expected}"
                )
            yield part

    def fetch(self, store: ContentStore, size: int, seal: Seal = PLAIN) -> bytes:
        """Fetch the clear bytes. The caller still compares the root."""
        parts = enumerate(self.stored(store, size, seal))
        count = len(self.blocks)
        return b"".join(seal.open(part, place=place, of=count) for place, part in parts)


def read_index(store: ContentStore, index: Digest, *, enveloped: bool = False) -> Index:
    """Read an index by its digest."""
    return Index.decode(store.get(CID(Codec.DAG_CBOR, index)), enveloped=enveloped)


def fetch(store: ContentStore, index: Digest, size: int, seal: Seal = PLAIN) -> bytes:
    """Fetch a payload of exactly `size` bytes by the digest of its index; see `Index.stored`."""
    return read_index(store, index).fetch(store, size, seal)


def first_written(data: bytes, locked: int) -> int | None:
    """Give the first of so many leading int32 coordinates that is not zero, if there is one."""
    written = np.flatnonzero(int32(data)[:locked])
    return int(written[0]) if len(written) else None


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
