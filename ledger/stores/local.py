"""What a store has itself: for work that must not wait for what nobody may have."""

from collections.abc import Collection, Iterator, Sequence

from ledger.cid import CID
from ledger.stores.base import Artefact, BlockNotFound, ContentStore


class LocalStore:
    """Another store without those that it would ask: what it does not have is not found."""

    def __init__(self, store: ContentStore) -> None:
        self._store = store

    def get(self, cid: CID) -> bytes:
        """Read a block that the store has."""
        if not self._store.has(cid):
            raise BlockNotFound(cid, "this node", "it is not here, and others are not asked")
        return self._store.get(cid)

    def put(self, artefact: Artefact) -> None:
        """Pass an artefact on to the store."""
        self._store.put(artefact)

    def has(self, cid: CID) -> bool:
        """Ask the store."""
        return self._store.has(cid)

    def sized(self, size: int) -> Iterator[tuple[CID, bytes]]:
        """Ask the store."""
        return self._store.sized(size)

    def remove(self, cids: Sequence[CID], *, roots: Collection[CID] = ()) -> list[CID]:
        """Pass it on to the store."""
        return self._store.remove(cids, roots=roots)
