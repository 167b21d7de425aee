"""Puts that outlast the wait for them: a store that takes a minute must not hold up its node."""

import time
from collections.abc import Collection
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Unanswered
from dataclasses import dataclass, field
from threading import Lock, Thread

from ledger.cid import CID
from ledger.stores.base import Artefact, ContentStore, StoreUnreachable

REMEMBERED = 16
"""Artefacts whose puts have ended after their callers had stopped waiting."""

Key = tuple[tuple[CID, ...], frozenset[CID]]


@dataclass(frozen=True)
class _Put:
    key: Key
    ended: Future[None] = field(default_factory=Future)


class OnePut:
    """Puts artefacts into a store, one at a time, each in a thread of its own.

    A caller that stops waiting asks again later: it gets the end of the same put, also if that came
    in between.
    """

    def __init__(self, store: ContentStore) -> None:
        self._store = store
        self._lock = Lock()
        self._running: _Put | None = None
        self._taken: dict[Key, None] = {}

    @property
    def busy(self) -> bool:
        """Whether the store is taking something."""
        return self._running is not None

    def put(self, artefact: Artefact, seconds: float | None) -> None:
        """Put an artefact, and wait for so many seconds, or until it is done; raise
        StoreUnreachable after that.
        """
        end = None if seconds is None else time.monotonic() + seconds
        key = artefact.roots, frozenset(artefact.blocks)
        while True:
            with self._lock:
                if key in self._taken:
                    del self._taken[key]
                    return
                put = self._running or self._begin(key, artefact)
            try:
                put.ended.result(None if end is None else max(0.0, end - time.monotonic()))
            except Unanswered:
                raise StoreUnreachable(
                    "the content store", "it has not taken all that it was given yet"
                ) from None
            except Exception:
                if put.key == key:
                    raise

    def forget(self, cids: Collection[CID]) -> None:
        """Do not take for there what is removed."""
        with self._lock:
            gone = [key for key in self._taken if not key[1].isdisjoint(cids)]
            for key in gone:
                del self._taken[key]

    def _begin(self, key: Key, artefact: Artefact) -> _Put:
        put = self._running = _Put(key)

        def work() -> None:
            failure: BaseException | None = None
            try:
                self._store.put(artefact)
            except BaseException as error:
                failure = error
            with self._lock:
                self._running = None
                if failure is None:
                    self._taken[key] = None
                    while len(self._taken) > REMEMBERED:
                        del self._taken[next(iter(self._taken))]
            if failure is None:
                put.ended.set_result(None)
            else:
                put.ended.set_exception(failure)

        try:
            Thread(target=work, daemon=True).start()
        except RuntimeError as error:  # no more threads
            self._running = None
            raise StoreUnreachable("the content store", str(error)) from None
        return put
