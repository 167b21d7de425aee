"""A store that remembers what was read through it: what an audit or an update is made of."""

from collections.abc import Collection, Iterator, Sequence

from ledger.cid import CID
from ledger.stores.base import Artefact, ContentStore, ahead


class RecordingStore:
    """Passes reads on to another store and keeps every block."""

    def __init__(self, store: ContentStore) -> None:
        self._store = store
        self.blocks: dict[CID, bytes] = {}

    def get(self, cid: CID) -> bytes:
        """Read a block and remember it."""
        if cid not in self.blocks:
            self.blocks[cid] = self._store.get(cid)
        return self.blocks[cid]

    def ahead(self, cids: Sequence[CID]) -> None:
        """Pass it on to the store."""
        ahead(self._store, cids)

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
        """Pass it on to the store; what was read was read."""
        return self._store.remove(cids, roots=roots)
