"""A store that counts the bytes which pass through it: what work on artefacts costs its node."""

from collections.abc import Sequence
from threading import Lock

from ledger.cid import CID
from ledger.stores.base import Artefact, ContentStore, ahead
from ledger.stores.passing import PassingStore


class CountingStore(PassingStore):
    """Passes everything on to another store, from any thread. `read` are bytes of blocks that were
    verified, as often as they were asked for; `written` those of artefacts that were put, there
    already or not.
    """

    def __init__(self, store: ContentStore) -> None:
        super().__init__(store)
        self.read = 0
        self.written = 0
        self._lock = Lock()

    def get(self, cid: CID) -> bytes:
        """Read a block and count it."""
        data = self._store.get(cid)
        with self._lock:
            self.read += len(data)
        return data

    def ahead(self, cids: Sequence[CID]) -> None:
        """Pass it on to the store."""
        ahead(self._store, cids)

    def put(self, artefact: Artefact) -> None:
        """Pass an artefact on and count its blocks."""
        self._store.put(artefact)
        with self._lock:
            self.written += sum(map(len, artefact.blocks.values()))
