"""A store that remembers what was read through it: what an audit or an update is made of."""

from collections.abc import Sequence

from ledger.cid import CID
from ledger.stores.base import ContentStore, ahead
from ledger.stores.passing import PassingStore


class RecordingStore(PassingStore):
    """Passes reads on to another store and keeps every block."""

    def __init__(self, store: ContentStore) -> None:
        super().__init__(store)
        self.blocks: dict[CID, bytes] = {}

    def get(self, cid: CID) -> bytes:
        """Read a block and remember it."""
        if cid not in self.blocks:
            self.blocks[cid] = self._store.get(cid)
        return self.blocks[cid]

    def ahead(self, cids: Sequence[CID]) -> None:
        """Pass it on to the store."""
        ahead(self._store, cids)
