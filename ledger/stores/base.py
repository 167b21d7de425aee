"""What every content store has in common: artefacts, the store's protocol, and its errors.

Whoever serves a block is not trusted: `get` returns bytes only after their digest has been compared
with the CID.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ledger.cid import CID, Codec
from ledger.errors import LedgerError

MAX_BLOCK = 1 << 20


class StoreError(LedgerError):
    """Base of what can go wrong with a content store."""


class BlockUnavailable(StoreError):
    """The bytes behind a CID cannot be had from this store."""

    def __init__(self, cid: CID, store: str, reason: str) -> None:
        self.cid = cid
        self.store = store
        self.reason = reason
        super().__init__(f"block {cid} in {store}: {reason}")


class BlockNotFound(BlockUnavailable):
    """The store does not have the block."""

    def __init__(self, cid: CID, store: str, reason: str = "not found") -> None:
        super().__init__(cid, store, reason)


class BlockCorrupt(BlockUnavailable):
    """The store answered with bytes that are not the block's."""


class StoreUnreachable(StoreError):
    """The store itself does not answer, so nothing is known about its blocks."""

    def __init__(self, store: str, reason: str) -> None:
        self.store = store
        self.reason = reason
        super().__init__(f"content store {store} is unreachable: {reason}")


@dataclass(frozen=True, slots=True)
class Artefact:
    """Blocks that belong together; `roots` are those to keep, and are among the blocks."""

    roots: tuple[CID, ...]
    blocks: Mapping[CID, bytes]

    def __post_init__(self) -> None:
        for root in self.roots:
            if root not in self.blocks:
                raise StoreError(f"root {root} is not among the artefact's blocks")
        for cid, data in self.blocks.items():
            if len(data) > MAX_BLOCK:
                raise StoreError(f"block {cid} has {len(data)} bytes, at most {MAX_BLOCK} fit")

    @classmethod
    def of(cls, codec: Codec, data: bytes) -> "Artefact":
        """Make an artefact of a single block."""
        cid = CID.of(codec, data)
        return cls((cid,), {cid: data})

    def merge(self, *others: "Artefact") -> "Artefact":
        """Join artefacts: all roots in order, all blocks."""
        roots = dict.fromkeys(self.roots)
        blocks = dict(self.blocks)
        for other in others:
            roots.update(dict.fromkeys(other.roots))
            blocks.update(other.blocks)
        return Artefact(tuple(roots), blocks)

    def leaves_first(self) -> list[CID]:
        """List the blocks with the roots last: whoever finds a root finds what was put with it."""
        roots = set(self.roots)
        return [cid for cid in self.blocks if cid not in roots] + list(dict.fromkeys(self.roots))


class ContentStore(Protocol):
    """Where blocks lie."""

    def get(self, cid: CID) -> bytes:
        """Return verified bytes; raise BlockNotFound, BlockCorrupt or StoreUnreachable."""

    def put(self, artefact: Artefact) -> None:
        """Store all blocks and keep the roots; putting what is there already changes nothing."""

    def has(self, cid: CID) -> bool:
        """Tell whether this store holds the block itself, without asking anybody else."""

    def sized(self, size: int) -> Iterator[tuple[CID, bytes]]:
        """Yield the raw blocks of exactly so many bytes that are kept here for their own sake."""

    def remove(self, cids: Sequence[CID], *, roots: Collection[CID] = ()) -> list[CID]:
        """Let go of blocks, in this order, and first of the roots among them; those that are not
        here are passed over. What a block that stays links to stays as well: give those.
        """


def ahead(store: ContentStore, cids: Sequence[CID]) -> None:
    """Tell a store which blocks will be read one after the other, if it fetches ahead."""
    begin = getattr(store, "ahead", None)
    if begin is not None:
        begin(cids)


def too_long(cid: CID, store: str) -> BlockNotFound:
    """Make the error for a block that is longer than any that counts."""
    return BlockNotFound(cid, store, f"longer than the {MAX_BLOCK} bytes that a block may have")


def verified(cid: CID, data: bytes, *, store: str) -> bytes:
    """Return the bytes if they are the block's, raise BlockCorrupt otherwise.

    Blocks beyond the limit do not exist for anybody, so that all agree about what can be had.
    """
    if len(data) > MAX_BLOCK:
        raise too_long(cid, store)
    if not cid.names(data):
        raise BlockCorrupt(cid, store, "the bytes have another digest: altered or truncated")
    return data
