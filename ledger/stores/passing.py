"""What stores have in common that stand before another store and change only how it is read."""

from collections.abc import Collection, Iterator, Sequence

from ledger.cid import CID
from ledger.stores.base import Artefact, ContentStore


class PassingStore:
    """Passes everything but reads on to another store."""

    def __init__(self, store: ContentStore) -> None:
        self._store = store

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
