"""A content store in memory, for tests and for work that nobody else needs to see."""

from collections.abc import Collection, Iterator, Sequence

from ledger.cid import CID, Codec
from ledger.stores.base import Artefact, BlockNotFound, verified
from ledger.stores.car import needed

_NAME = "memory"


class MemoryStore:
    """Blocks in a dictionary; reads are verified all the same."""

    def __init__(self) -> None:
        self.blocks: dict[CID, bytes] = {}

    def get(self, cid: CID) -> bytes:
        """Return a block's verified bytes."""
        data = self.blocks.get(cid)
        if data is None:
            raise BlockNotFound(cid, _NAME)
        return verified(cid, data, store=_NAME)

    def put(self, artefact: Artefact) -> None:
        """Store all blocks."""
        self.blocks.update(artefact.blocks)

    def has(self, cid: CID) -> bool:
        """Tell whether the block is here."""
        return cid in self.blocks

    def sized(self, size: int) -> Iterator[tuple[CID, bytes]]:
        """Yield the raw blocks of a size."""
        for cid, data in list(self.blocks.items()):
            if cid.codec is Codec.RAW and len(data) == size:
                yield cid, data

    def remove(self, cids: Sequence[CID], *, roots: Collection[CID] = ()) -> list[CID]:
        """Drop blocks that no record which stays links to."""
        staying = needed(cids, list(self.blocks), self.get)
        for cid in cids:
            if cid not in staying:
                self.blocks.pop(cid, None)
        return [cid for cid in cids if cid in staying]
