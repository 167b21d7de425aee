"""What an audit reads for its notes alone: names, erasures, results that were voted down.

A seat in an open federation lets a stranger name records that no store has, and a store may look
for each of them as long as it likes. So they are read beside the replay, at once, by threads that
do not keep a process from ending. When the replay is over the audit waits once more, for a fixed
time in all, and says what it did not read.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from threading import Lock, Thread
from typing import Generic, TypeVar

from ledger.cid import CID
from ledger.stores import Artefact, BlockNotFound, ContentStore

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds that an audit waits, in all, for what it reads for its notes."""
NEEDED = 35.0
"""Seconds that it waits, once, for what may excuse a missing update: as long as a store looks."""
THREADS = 32
"""Threads for each kind of record."""
MOST = 4096
"""Records of a kind that are read for notes, in all."""
BYTES = 64 << 20
"""Bytes that are read for notes, in all."""


@dataclass(frozen=True, slots=True)
class Task(Generic[T]):
    """Something to read, and what to do with it in the end. `subject` names it where it is not read
    in time; `then` gets a function that returns what was read, or raises what that raised.
    """

    subject: str
    read: Callable[[], T]
    then: Callable[[Callable[[], T]], None]
    outcome: Future[T]
    begun: Lock = field(default_factory=Lock)
    """Taken by the thread that reads it, and never given back: a future may not be begun twice."""

    def run(self) -> None:
        """Read it, unless that was begun already or is not wanted any more."""
        if not self.begun.acquire(blocking=False):
            return
        if not self.outcome.set_running_or_notify_cancel():
            return
        try:
            self.outcome.set_result(self.read())
        except BaseException as error:
            self.outcome.set_exception(error)


class Rationed:
    """A store that gives so many bytes in all, and is only read."""

    def __init__(self, store: ContentStore, size: int) -> None:
        self._store = store
        self._left = size
        self._lock = Lock()

    def get(self, cid: CID) -> bytes:
        """Read a block, if any byte is left."""
        if self._left <= 0:
            raise BlockNotFound(cid, "this audit", "too much was read for notes before it")
        data = self._store.get(cid)
        with self._lock:
            self._left -= len(data)
        return data

    def has(self, cid: CID) -> bool:
        """Ask the store."""
        return self._store.has(cid)

    def put(self, artefact: Artefact) -> None:
        """Refuse: an audit writes nothing."""
        raise NotImplementedError

    def sized(self, size: int) -> Iterator[tuple[CID, bytes]]:
        """Ask the store."""
        return self._store.sized(size)

    def remove(self, cids: Sequence[CID], *, roots: Collection[CID] = ()) -> list[CID]:
        """Refuse: an audit removes nothing."""
        raise NotImplementedError


class Aside:
    """Reads beside an audit what its findings do not depend on."""

    def __init__(self, store: ContentStore) -> None:
        self.store: ContentStore = Rationed(store, BYTES)
        self._needed = NEEDED
        self._tasks: list[Task[object]] = []
        self._waiting: defaultdict[str, deque[Task[object]]] = defaultdict(deque)
        self._begun: Counter[str] = Counter()
        self._threads: Counter[str] = Counter()
        self._lock = Lock()

    def later(
        self,
        kind: str,
        subject: str,
        read: Callable[[], T],
        then: Callable[[Callable[[], T]], None],
    ) -> Task[T]:
        """Begin to read something; beyond `MOST` of a kind it counts as not read in time. `read`
        runs beside the replay, `then` in its thread. No kind takes the threads of another.
        """
        task = Task(subject, read, then, Future[T]())
        self._tasks.append(task)  # type: ignore[arg-type]
        with self._lock:
            self._begun[kind] += 1
            if self._begun[kind] > MOST:
                task.outcome.cancel()
                return task
            self._waiting[kind].append(task)  # type: ignore[arg-type]
            if self._threads[kind] < THREADS:
                self._threads[kind] += 1
                Thread(target=self._work, args=(kind,), daemon=True).start()
        return task

    def need(self, tasks: Sequence[Task[T]]) -> None:
        """Wait for some tasks that a finding depends on after all. Once it was in vain, no other
        call waits: all of them share one time.
        """
        for task in tasks[:THREADS] if self._needed else ():
            if not task.outcome.done():
                Thread(target=task.run, daemon=True).start()
        waiting = [task.outcome for task in tasks if not task.outcome.cancelled()]
        if wait(waiting, timeout=self._needed).not_done:
            self._needed = 0.0

    def finish(self) -> list[str]:
        """Wait for what was begun, do what is to be done with it, and name what was not read."""
        wait([task.outcome for task in self._tasks], timeout=PATIENCE)
        unread = []
        for task in self._tasks:
            if task.outcome.cancel() or not task.outcome.done():
                unread.append(task.subject)
            else:
                task.then(task.outcome.result)
        return unread

    def _work(self, kind: str) -> None:
        while True:
            with self._lock:
                if not self._waiting[kind]:
                    self._threads[kind] -= 1
                    return
                task = self._waiting[kind].popleft()
            task.run()
