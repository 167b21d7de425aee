"""What a node has made or verified itself stays at hand, whatever becomes of its store."""

from collections.abc import Collection, Sequence
from threading import Lock

from ledger.cid import CID
from ledger.stores.base import Artefact, ContentStore, ahead
from ledger.stores.passing import PassingStore

MOST = 64 << 20
"""Bytes that are held in memory: those of the head and of some candidates."""


class AtHandStore(PassingStore):
    """Another store, with the newest artefacts that were given to `hold` in front of it."""

    def __init__(self, store: ContentStore, *, most: int = MOST) -> None:
        super().__init__(store)
        self._most = most
        self._lock = Lock()
        self._held: dict[CID, bytes] = {}
        self._size = 0

    def hold(self, artefact: Artefact) -> None:
        """Hold the blocks of an artefact that was made or verified here. Where not all fit, the
        small ones stay, and of the others the first: of a result its records and its model.
        """
        blocks = reversed(list(artefact.blocks.items()))
        with self._lock:
            for cid, data in sorted(blocks, key=lambda block: -len(block[1])):
                self._drop(cid)
                self._held[cid] = data
                self._size += len(data)
            while self._size > self._most:
                self._drop(next(iter(self._held)))

    def get(self, cid: CID) -> bytes:
        """Give a block from memory, or read it."""
        held = self._held.get(cid)
        return self._store.get(cid) if held is None else held

    def ahead(self, cids: Sequence[CID]) -> None:
        """Let the store fetch what is not held."""
        ahead(self._store, [cid for cid in cids if cid not in self._held])

    def remove(self, cids: Sequence[CID], *, roots: Collection[CID] = ()) -> list[CID]:
        """Let go of blocks here as well."""
        with self._lock:
            for cid in (*cids, *roots):
                self._drop(cid)
        return super().remove(cids, roots=roots)

    def _drop(self, cid: CID) -> None:
        self._size -= len(self._held.pop(cid, b""))
