"""What a store has itself: for work that must not wait for what nobody may have."""

from ledger.cid import CID
from ledger.stores.base import BlockNotFound
from ledger.stores.passing import PassingStore


class LocalStore(PassingStore):
    """Another store without those that it would ask: what it does not have is not found."""

    def get(self, cid: CID) -> bytes:
        """Read a block that the store has."""
        if not self._store.has(cid):
            raise BlockNotFound(cid, "this node", "it is not here, and others are not asked")
        return self._store.get(cid)
