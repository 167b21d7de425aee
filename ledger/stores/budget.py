"""A budget of waiting: what all fetches of one piece of work may cost together.

A withheld block must cost the participant that withholds it, never the clock of the node that asks.
So every fetch inside `spending` draws on one budget, however many blocks are missing and however
badly the store answers: it may hang, send a byte at a time, or answer late. A block that did not
come is remembered and not asked for again under the same budget.

Only waiting counts, and threads that wait at the same time count once. A spent budget still gives
each block `GRACE` seconds, so that blocks which the store holds itself can always be read.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, as_completed
from concurrent.futures import TimeoutError as Unanswered
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from functools import partial
from threading import Lock, Thread
from typing import TypeVar

from ledger.cid import CID
from ledger.stores.base import (
    Artefact,
    BlockNotFound,
    BlockUnavailable,
    ContentStore,
    StoreError,
    StoreUnreachable,
)
from ledger.stores.one_put import OnePut
from ledger.stores.passing import PassingStore

GRACE = 0.25
"""Seconds that a block may take when the budget is spent: enough for one of this node's own."""

AHEAD = 8
"""Blocks of one tree that are fetched at a time."""
LEAST = 0.02
"""Seconds below which a task's part of a budget is not made smaller."""

K = TypeVar("K")
T = TypeVar("T")

Ask = Callable[[CID, float], bytes]
"""Reads a block within so many seconds, or raises BlockUnavailable."""

_budget: "ContextVar[Budget | None]" = ContextVar("budget", default=None)
_patience: ContextVar[float | None] = ContextVar("patience", default=None)


class Budget:
    """Seconds of waiting. A part of another budget is charged to that one as well."""

    def __init__(
        self,
        seconds: float,
        *,
        grace: float = GRACE,
        clock: Callable[[], float] = time.monotonic,
        whole: "Budget | None" = None,
    ) -> None:
        self._grace = grace
        self._clock = clock
        self._whole = whole
        self._lock = Lock()
        self._waiting = 0
        self._since = 0.0
        self._left = seconds
        self._missed: dict[CID, BlockUnavailable] = {}

    def renew(self, seconds: float) -> None:
        """Allow so many seconds from now on, and forget what was missed."""
        self._left = seconds
        self._missed.clear()

    def part(self, seconds: float, *, grace: float = GRACE) -> "Budget":
        """Give a budget that may end earlier, with a memory of its own."""
        return Budget(seconds, grace=grace, clock=self._clock, whole=self)

    @property
    def left(self) -> float:
        """Seconds that may still be waited."""
        with self._lock:
            waited = self._clock() - self._since if self._waiting else 0.0
            own = max(0.0, self._left - waited)
        return own if self._whole is None else min(own, self._whole.left)

    def fetch(self, ask: "Ask", cid: CID) -> bytes:
        """Read a block, and wait no longer than is left; raise BlockNotFound after that. Wrong
        bytes count as none: a damaged block must not keep a node from what needs no such block.
        """
        missed = self._missed.get(cid)
        if missed is None:
            with self._counted():
                try:
                    return ask(cid, max(self.left, self._grace))
                except BlockUnavailable as error:
                    missed = self._missed[cid] = error
        raise BlockNotFound(cid, missed.store, missed.reason) from missed

    def wait(self, work: Callable[[float], T]) -> T:
        """Do what waits for a store, and tell it how many seconds it has."""
        with self._counted():
            return work(max(self.left, self._grace))

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Charge the time in which at least one thread waits."""
        if self._whole is not None:
            with self._whole._counted(), self._counted_here():
                yield
        else:
            with self._counted_here():
                yield

    @contextmanager
    def _counted_here(self) -> Iterator[None]:
        with self._lock:
            if not self._waiting:
                self._since = self._clock()
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1
                if not self._waiting:
                    self._left -= self._clock() - self._since


@contextmanager
def spending(budget: Budget) -> Iterator[Budget]:
    """Let all fetches inside draw on a budget."""
    token = _budget.set(budget)
    try:
        yield budget
    finally:
        _budget.reset(token)


@contextmanager
def spending_part(share: float) -> Iterator[None]:
    """Let what is fetched inside take at most a share of what is left; without a budget, all the
    time that the store takes.
    """
    whole = _budget.get()
    if whole is None:
        yield
        return
    with spending(whole.part(share * whole.left)):
        yield


def current() -> Budget | None:
    """Give the budget that fetches draw on here."""
    return _budget.get()


def in_turns(
    pool: Executor,
    tasks: Mapping[K, Callable[[], T]],
    *,
    at_once: int,
    done: Callable[[T], bool],
    share: float = 0.75,
) -> Iterator[tuple[K, T]]:
    """Run tasks, so many at once, and give what each comes to as it ends.

    Under a budget they have a share of what is left. If they cannot all run at once, half of that
    is dealt out among them first: a task that waits for withheld blocks must not keep the others
    from being run. A task that is not done when its part is spent has another turn.
    """
    budget = _budget.get()
    whole = None if budget is None else budget.part(share * budget.left)
    waiting = dict(tasks)
    while waiting:
        part, last = None, True
        if whole is not None:
            few = len(waiting) <= at_once
            part = whole.left if few else whole.left * at_once / (2 * len(waiting))
            last = few or part < LEAST
        coming = {
            pool.submit(copy_context().run, _run, task, whole, part): key
            for key, task in waiting.items()
        }
        waiting = {}
        try:
            for come in as_completed(coming):
                key = coming[come]
                result, cut_short = come.result()
                if last or done(result) or not cut_short:
                    yield key, result
                else:
                    waiting[key] = tasks[key]
        finally:
            for come in coming:
                come.cancel()


def _run(task: Callable[[], T], whole: Budget | None, part: float | None) -> tuple[T, bool]:
    """Run a task under a part of a budget; say whether that was spent."""
    if whole is None or part is None:
        return task(), False
    with spending(whole.part(part, grace=min(part, GRACE))) as budget:
        return task(), budget.left <= 0


def patience(longest: float) -> float:
    """Give the seconds that a store may take for the block that it is asked for."""
    seconds = _patience.get()
    return longest if seconds is None else min(longest, seconds)


class BudgetedStore(PassingStore):
    """Another store, whose calls draw on the budget that they are made under, if there is one.

    Such a read is made in a thread of its own, which is left alone if the answer takes too long.
    As long as it lasts the block is not asked for a second time. A put goes on in the same way, and
    the next one waits for its end.
    """

    def __init__(self, store: ContentStore) -> None:
        super().__init__(store)
        self._lock = Lock()
        self._asked: dict[CID, Future[bytes]] = {}
        self._puts = OnePut(store)

    def put(self, artefact: Artefact) -> None:
        """Put an artefact while the budget lasts; raise StoreUnreachable if it takes longer."""
        budget = _budget.get()
        if budget is None:
            self._puts.put(artefact, None)
        else:
            budget.wait(partial(self._puts.put, artefact))

    def has(self, cid: CID) -> bool:
        """Ask the store while the budget lasts; raise StoreUnreachable if it takes longer."""
        budget = _budget.get()
        return self._store.has(cid) if budget is None else budget.wait(partial(self._told, cid))

    def remove(self, cids: Sequence[CID], *, roots: Collection[CID] = ()) -> list[CID]:
        """Let go of blocks, but not while a put may bring them back."""
        if self._puts.busy:
            raise StoreUnreachable("the content store", "it is still taking what it was given")
        self._puts.forget([*cids, *roots])
        return super().remove(cids, roots=roots)

    def get(self, cid: CID) -> bytes:
        """Read a block while the budget lasts."""
        budget = _budget.get()
        return self._store.get(cid) if budget is None else budget.fetch(self._within, cid)

    def ahead(self, cids: Sequence[CID]) -> None:
        """Begin to fetch blocks that will be read one after the other, a few at a time: over a slow
        link each would wait for the one before it. Without a budget nothing is fetched ahead.
        """
        budget = _budget.get()
        if budget is None or len(cids) < 2:
            return
        waiting = iter(cids)
        lock = Lock()

        def draw() -> None:
            while (seconds := budget.left) > 0:
                with lock:
                    cid = next(waiting, None)
                if cid is None:
                    return
                _patience.set(seconds)
                with suppress(StoreError, Unanswered):
                    if not self._store.has(cid):
                        self._ask(cid, seconds)[0].result(seconds)

        with suppress(RuntimeError):  # no more threads: the blocks are read one by one
            for _ in range(min(AHEAD, len(cids))):
                Thread(target=copy_context().run, args=(draw,), daemon=True).start()

    def _within(self, cid: CID, seconds: float) -> bytes:
        end = time.monotonic() + seconds
        answer, is_new = self._ask(cid, seconds)
        try:
            return answer.result(seconds)
        except Unanswered:
            reason = f"it did not come within the {seconds:.1f} s that were left for it"
            raise BlockNotFound(cid, "the content store", reason) from None
        except BlockUnavailable:
            # An earlier read may have had less patience than this one.
            left = end - time.monotonic()
            if is_new or left <= 0:
                raise
            return self._within(cid, left)

    def _told(self, cid: CID, seconds: float) -> bool:
        answer = Future[bool]()

        def ask() -> None:
            _patience.set(seconds)
            try:
                answer.set_result(self._store.has(cid))
            except BaseException as error:
                answer.set_exception(error)

        _beside(ask)
        try:
            return answer.result(seconds)
        except Unanswered:
            reason = f"it does not say within {seconds:.1f} s whether it has block {cid}"
            raise StoreUnreachable("the content store", reason) from None

    def _ask(self, cid: CID, seconds: float) -> tuple[Future[bytes], bool]:
        """Give the answer that is waited for, and whether the block was only now asked for."""
        with self._lock:
            known = self._asked.get(cid)
            if known is not None:
                return known, False
            answer = self._asked[cid] = Future()

        def ask() -> None:
            _patience.set(seconds)
            try:
                found = self._store.get(cid)
            except BaseException as error:
                self._forget(cid)
                answer.set_exception(error)
            else:
                self._forget(cid)
                answer.set_result(found)

        try:
            _beside(ask)
        except StoreUnreachable as error:
            self._forget(cid)
            answer.set_exception(error)
        return answer, True

    def _forget(self, cid: CID) -> None:
        with self._lock:
            del self._asked[cid]


def _beside(work: Callable[[], None]) -> None:
    """Work in a thread that nothing waits for at the end of the process."""
    try:
        Thread(target=copy_context().run, args=(work,), daemon=True).start()
    except RuntimeError as error:  # no more threads
        raise StoreUnreachable("the content store", str(error)) from None
