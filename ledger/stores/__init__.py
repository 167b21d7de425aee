"""Content stores: a directory of blocks, memory, or Kubo; every read is verified.

The same code runs on all of them; nothing but `open_store` knows which one it is.
"""

from pathlib import Path

from ledger.stores.at_hand import AtHandStore
from ledger.stores.base import (
    MAX_BLOCK,
    Artefact,
    BlockCorrupt,
    BlockNotFound,
    BlockUnavailable,
    ContentStore,
    StoreError,
    StoreUnreachable,
)
from ledger.stores.budget import Budget, BudgetedStore
from ledger.stores.counting import CountingStore
from ledger.stores.directory import DirectoryStore
from ledger.stores.local import LocalStore
from ledger.stores.memory import MemoryStore
from ledger.stores.recording import RecordingStore

__all__ = [
    "MAX_BLOCK",
    "Artefact",
    "AtHandStore",
    "BlockCorrupt",
    "BlockNotFound",
    "BlockUnavailable",
    "Budget",
    "BudgetedStore",
    "ContentStore",
    "CountingStore",
    "DirectoryStore",
    "LocalStore",
    "MemoryStore",
    "RecordingStore",
    "StoreError",
    "StoreUnreachable",
    "open_store",
]

_MULTIADDR_PREFIXES = ("/ip4/", "/ip6/", "/dns/", "/dns4/", "/dns6/")


def open_store(
    location: str | Path, *, timeout: float = 30.0, token: str | None = None
) -> ContentStore:
    """Open Kubo at a multiaddr or http URL, else the directory of blocks at a path.

    `timeout` is how many seconds Kubo may take to find a block, `token` what its API asks for. The
    client is imported only when it is needed.
    """
    text = str(location)
    if text.lower().startswith(("http://", "https://", *_MULTIADDR_PREFIXES)):
        from ledger.stores.kubo import KuboStore

        return KuboStore(text, timeout=timeout, token=token)
    return DirectoryStore(Path(location))
