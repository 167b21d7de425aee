"""Reading a record back before anybody is told of it: a writer never writes what readers refuse."""

from collections.abc import Callable
from typing import TypeVar

from ledger.errors import MalformedRecord
from ledger.stores.base import Artefact, ContentStore
from ledger.stores.memory import MemoryStore

T = TypeVar("T")


def read_back(
    artefact: Artefact, read: Callable[[ContentStore], T], written: T, *, kind: str
) -> Artefact:
    """Give an artefact of which `read`, the readers' own code, makes what was written.

    The reader sees these blocks and no others. Its own errors pass through; MalformedRecord where
    it reads something else.
    """
    store = MemoryStore()
    store.put(artefact)
    if read(store) != written:
        raise MalformedRecord(kind, "its reader would read something else than was written")
    return artefact
