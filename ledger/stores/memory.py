"""A content store in memory, for tests and for work that nobody else needs to see."""

from collections.abc import Sequence

from ledger.cid import CID
from ledger.stores.base import Artefact, BlockNotFound, verified

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

    def remove(self, cids: Sequence[CID]) -> None:
        """Drop blocks."""
        for cid in cids:
            self.blocks.pop(cid, None)
