"""Where a round's seconds and bytes go, without timers in the product.

A clock charges every moment to one part of the work (train, hash, store, ...) of one activity (a
participant's own update, the proposer's result, ...): the innermost span that is open, so the parts
add up to the whole. `instrument` opens spans around the product's own functions while a benchmark
runs and puts the functions back afterwards; `timed` does so around all methods of one object.
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from typing import NamedTuple, ParamSpec, TypeVar, cast

import fednode.federation
import fednode.roles.proposer
import fednode.roles.trainer
import fednode.roles.voting
import fednode.training.task
import ledger.artefacts
import ledger.audit.replay
import ledger.payload
import ledger.round
import ledger.slots
from fednode.models.layout import Layout
from fednode.roles.voting import Voting
from fednode.rounds import FederationRules
from ledger.cid import CID
from ledger.payload import Payload
from ledger.replica import Replica
from ledger.round import Outcome, Slot
from ledger.stores import Artefact, ContentStore

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
Wrapper = Callable[[Callable[..., object]], Callable[..., object]]

PARTS = ("train", "encode", "hash", "signatures", "store", "chain", "aggregate", "value", "other")
OTHER = "other"
VERIFY = "verify"
PARTICIPANT = "participant"


class Key(NamedTuple):
    """One part of one activity."""

    activity: str
    part: str


@dataclass(slots=True)
class Spent:
    """What a part took: seconds, bytes, calls."""

    seconds: float = 0.0
    bytes: int = 0
    calls: int = 0


class Breakdown(dict[Key, Spent]):
    """What every part of every activity took."""

    def at(self, key: Key) -> Spent:
        """Give a part's entry, made where it is not there yet."""
        return self.setdefault(key, Spent())

    def seconds(self, *parts: str, activity: str | None = None) -> float:
        """Sum up the seconds of some parts (all, if none is named), of one activity or of all."""
        return sum(spent.seconds for spent in self._chosen(parts, activity))

    def bytes(self, *parts: str, activity: str | None = None) -> int:
        """Sum up the bytes of some parts (all, if none is named), of one activity or of all."""
        return sum(spent.bytes for spent in self._chosen(parts, activity))

    def add(self, other: "Breakdown") -> None:
        """Add another one's entries."""
        for key, spent in other.items():
            mine = self.at(key)
            mine.seconds += spent.seconds
            mine.bytes += spent.bytes
            mine.calls += spent.calls

    def over(self, count: int) -> "Breakdown":
        """Give the mean of so many."""
        return Breakdown(
            {
                key: Spent(spent.seconds / count, spent.bytes // count, spent.calls // count)
                for key, spent in self.items()
            }
        )

    def _chosen(self, parts: tuple[str, ...], activity: str | None) -> Iterator[Spent]:
        for key, spent in self.items():
            if activity in (None, key.activity) and (not parts or key.part in parts):
                yield spent


class Clock:
    """Charges wall time to the innermost open span; nothing is charged while none is open."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._spent = Breakdown()
        self._now = now
        self._open: list[Key] = []
        self._since = 0.0

    @contextmanager
    def acting(self, activity: str) -> Iterator[None]:
        """Charge what follows to an activity; what no part claims is 'other'."""
        with self._span(Key(activity, OTHER)):
            yield

    @contextmanager
    def part(self, name: str) -> Iterator[Spent]:
        """Charge what follows to a part of the activity that is going on, if one is."""
        if not self._open:
            yield Spent()
            return
        key = Key(self._open[-1].activity, name)
        with self._span(key):
            yield self._spent.at(key)

    @property
    def activity(self) -> str | None:
        """What is going on now."""
        return self._open[-1].activity if self._open else None

    def take(self) -> Breakdown:
        """Give what has been spent since the last call."""
        self._charge()
        spent, self._spent = self._spent, Breakdown()
        return spent

    @contextmanager
    def _span(self, key: Key) -> Iterator[None]:
        self._charge()
        self._open.append(key)
        self._spent.at(key).calls += 1
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    def _charge(self) -> None:
        now = self._now()
        if self._open:
            self._spent.at(self._open[-1]).seconds += now - self._since
        self._since = now


def timed(target: T, clock: Clock, part: str) -> T:
    """Give an object that is the target with all its methods timed."""
    return cast("T", _Timed(target, clock, part))


class _Timed:
    def __init__(self, target: object, clock: Clock, part: str) -> None:
        self._target = target
        self._clock = clock
        self._part = part

    def __getattr__(self, name: str) -> object:
        found = getattr(self._target, name)
        return around(found, self._clock, self._part) if callable(found) else found


class TimedStore:
    """A content store that counts its bytes, too."""

    def __init__(self, store: ContentStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def get(self, cid: CID) -> bytes:
        with self._clock.part("store") as spent:
            data = self._store.get(cid)
            spent.bytes += len(data)
            return data

    def put(self, artefact: Artefact) -> None:
        with self._clock.part("store") as spent:
            self._store.put(artefact)
            spent.bytes += sum(map(len, artefact.blocks.values()))

    def has(self, cid: CID) -> bool:
        with self._clock.part("store"):
            return self._store.has(cid)

    def sized(self, size: int) -> Iterator[tuple[CID, bytes]]:
        return self._store.sized(size)

    def remove(self, cids: Sequence[CID], *, roots: Collection[CID] = ()) -> list[CID]:
        with self._clock.part("store"):
            return self._store.remove(cids, roots=roots)


def around(
    function: Callable[P, R],
    clock: Clock,
    part: str,
    *,
    size: Callable[..., int] | None = None,
) -> Callable[P, R]:
    """Time a function as a part; `size` tells the bytes of a call from its arguments."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        with clock.part(part) as spent:
            if size is not None:
                spent.bytes += size(*args)
            return function(*args, **kwargs)

    return wrapper


def _first(data: bytes, *rest: object) -> int:
    return len(data)


def _second(one: object, data: bytes, *rest: object) -> int:
    return len(data)


def _third(one: object, two: object, data: bytes) -> int:
    return len(data)


def _update(header: object, data: Payload, *rest: object) -> int:
    return len(data.data)


def _result(outcome: Outcome) -> int:
    return sum(map(len, outcome.sums)) + outcome.model.nbytes


def _composed(context: object, standing: object, slots: Sequence[Slot], *_rest: object) -> int:
    payloads = (slot.published.payload for slot in slots)
    return sum(len(payload.data) for payload in payloads if payload is not None)


# The product's functions by part: where the name is looked up when it is called, the name, and how
# many bytes a call is about.
SEAMS: tuple[tuple[object, str, str, Callable[..., int] | None], ...] = (
    (fednode.roles.trainer, "scaled", "train", None),
    (fednode.roles.trainer, "train", "train", None),
    (fednode.training.task, "quantise", "encode", None),
    (Layout, "pack_update", "encode", None),
    (fednode.roles.trainer, "pad", "encode", None),
    (fednode.roles.trainer, "update_artefact", "encode", _update),
    (ledger.artefacts, "result_artefact", "encode", _result),
    (ledger.payload, "pad", "encode", None),
    (ledger.payload, "pad_sums", "encode", None),
    (ledger.payload, "root_of_bytes", "hash", _first),
    (CID, "names", "hash", _second),
    (CID, "of", "hash", _third),
    (ledger.slots, "leaves", "signatures", None),
    (ledger.artefacts, "read_update", "store", None),
    (Replica, "standing", "store", None),
    (Replica, "refresh", "chain", None),
    (ledger.audit.replay, "compose", "aggregate", _composed),
    (fednode.federation, "compose", "aggregate", _composed),
    (FederationRules, "utilities", "value", None),
    (FederationRules, "values", "value", None),
)
# What a participant does here is recomputing others' work.
VERIFYING: tuple[tuple[object, str], ...] = ((Voting, "collect"), (Voting, "judge"))


@contextmanager
def instrument(clock: Clock) -> Iterator[None]:
    """Time the product's functions by part."""
    wrappers: list[tuple[object, str, Wrapper]] = [
        (owner, name, partial(around, clock=clock, part=part, size=size))
        for owner, name, part, size in SEAMS
    ]
    wrappers += [(owner, name, partial(_verifying, clock=clock)) for owner, name in VERIFYING]
    before = [(owner, name, vars(owner)[name]) for owner, name, _ in wrappers]
    try:
        for owner, name, wrap in wrappers:
            _replace(owner, name, wrap)
        yield
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)


def _replace(owner: object, name: str, wrap: Wrapper) -> None:
    raw = vars(owner)[name]
    if isinstance(raw, classmethod):
        setattr(owner, name, classmethod(wrap(raw.__func__)))
    else:
        setattr(owner, name, wrap(raw))


def _verifying(function: Callable[P, R], clock: Clock) -> Callable[P, R]:
    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        if clock.activity != PARTICIPANT:
            return function(*args, **kwargs)
        with clock.acting(VERIFY):
            return function(*args, **kwargs)

    return wrapper
