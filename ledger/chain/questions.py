"""Questions to a node by JSON-RPC: asked again if they fail, later if the node wants that, and in
batches of a size that the node takes.

A question that got no answer is asked again with growing pauses. If the node is busy, the pause is
the one that it asks for, within the time that the caller has. A batch that the node does not answer
whole is asked again in smaller ones.

Source: JSON-RPC 2.0; EIP-1474; RFC 9110, section 10.2.3 (Retry-After).
"""

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from ledger.chain import answers
from ledger.chain.answers import Json
from ledger.chain.errors import ChainBusy, ChainUnreachable, MalformedAnswer, RpcRefused

ATTEMPTS = 6
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
BATCH = 100
REGROWTH: Final = 16
"""Single questions without a failure after which a batch of two is tried again."""
PATIENCE: Final = 60.0
"""Seconds in which a busy node is waited for, if the caller has no deadline of its own, and after
which a question without an answer is not asked again.
"""

FIRST_WAIT: Final = 0.5
LONGEST_WAIT: Final = 8.0
MOST_SECONDS: Final = 1 << 32
RETRY_AFTER: Final = "retryAfter"
"""Where a transport puts the seconds of an answer's Retry-After, next to the error."""

LIMIT_EXCEEDED: Final = -32005
_BUSY_CODES: Final = frozenset((429, LIMIT_EXCEEDED, -32007, -32016, -32029, -32090, -32097))
"""What nodes and providers call a limit on requests; -32005 is EIP-1474's."""
_BUSY_WORDS = re.compile(r"too many requests|rate.?limit|requests? limit|per second", re.IGNORECASE)
"""Decides nothing but whether to wait."""

Question = tuple[str, Sequence[object]]
Transport = Callable[[str, Sequence[object]], Json]
Batch = Callable[[Sequence[Question]], Sequence[Json]]

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)
_end: ContextVar[float] = ContextVar("end", default=math.inf)


@contextmanager
def until(deadline: float) -> Iterator[None]:
    """Wait for a busy node no longer than this moment of the monotonic clock."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


@contextmanager
def one_question() -> Iterator[None]:
    """Inside, all requests count as one question, which is over when PATIENCE is: the first one and
    what is asked for in its place, narrower.
    """
    token = _end.set(min(_end.get(), time.monotonic() + PATIENCE))
    try:
        yield
    finally:
        _end.reset(token)


def seconds_left() -> float:
    """Give the seconds until the question is over that is being asked."""
    return _end.get() - time.monotonic()


@dataclass(frozen=True, slots=True)
class Busy:
    """A node's wish to be asked later: in so many seconds, if it says that."""

    reason: str
    seconds: float | None = None


class TransportFailure(Exception):
    """A request without an answer; `sent` tells whether the node may have got it. `busy`: the node
    wants to be asked later. `narrow`: less at once may be answered.
    """

    def __init__(
        self, reason: str, *, sent: bool, busy: Busy | None = None, narrow: bool = False
    ) -> None:
        self.sent = sent
        self.busy = busy
        self.narrow = narrow
        super().__init__(reason)


class Questions:
    """Asks one node. Safe for several threads."""

    def __init__(
        self,
        transport: Transport,
        endpoint: str,
        *,
        batch: Batch | None,
        pause: Callable[[float], None],
    ) -> None:
        self._transport = transport
        self._batch = batch
        self._most = BATCH
        self._calm = 0
        self.endpoint = endpoint
        self.pause = pause

    def request(self, method: str, params: Sequence[object]) -> object:
        """Give the result. Raise RpcRefused, ChainBusy, ChainUnreachable or MalformedAnswer."""
        return self._result(method, self.answer(method, params))

    def narrowable(self, method: str, params: Sequence[object]) -> object:
        """Give the result of a question that can be asked for less at once. What may be too much
        for the node raises RpcRefused, too.
        """
        return self._result(method, self.answer(method, params, narrowable=True))

    def _result(self, method: str, answer: Json) -> object:
        if answer.get("error") is not None:
            code, text, _ = answers.error(answer["error"])
            raise RpcRefused(method, code, text)
        if "result" not in answer:
            raise MalformedAnswer(method, "neither a result nor an error")
        return answer["result"]

    def answer(self, method: str, params: Sequence[object], *, narrowable: bool = False) -> Json:
        """Give the answer, of a result or an error. Raise ChainBusy or ChainUnreachable."""
        last = ""
        with one_question():
            for attempt in range(ATTEMPTS):
                try:
                    return self.once(method, params, narrowable=narrowable)
                except TransportFailure as failure:
                    last = str(failure)
                    if seconds_left() <= 0:  # each try of a node that drips takes its whole time
                        break
                    if failure.narrow and narrowable:
                        raise RpcRefused(method, 0, last) from None
                    if attempt + 1 < ATTEMPTS:
                        self.pause(pause_after(attempt))
        raise ChainUnreachable(self.endpoint, last)

    def once(self, method: str, params: Sequence[object], *, narrowable: bool = False) -> Json:
        """Give the answer as soon as the node is not busy. Raise ChainBusy or TransportFailure.

        A limit on sizes may be worded as one on requests: if a narrowable question gets the same
        words after a pause, that raises RpcRefused.
        """
        patience, before = _Patience(self.endpoint, self.pause), ""
        while True:
            try:
                answer = self._transport(method, params)
            except TransportFailure as failure:
                if failure.busy is None:
                    raise
                busy = failure.busy
            else:
                found = busy_in(answer, narrowable=narrowable)
                if found is None:
                    return answer
                busy = found
            if narrowable and busy.reason == before:
                raise RpcRefused(method, 0, busy.reason)
            patience.wait(method, busy)
            before = busy.reason

    def requests(self, method: str, params: Sequence[Sequence[object]]) -> list[object]:
        """Give the results of many questions of one kind, in few requests."""
        results: list[object] = []
        while len(results) < len(params):
            with one_question():
                results += self._next(method, params[len(results) :])
        return results

    def _next(self, method: str, params: Sequence[Sequence[object]]) -> list[object]:
        """Give the first results, at least one, of batches that get smaller."""
        patience = _Patience(self.endpoint, self.pause)
        while True:
            found = self._leading([(method, item) for item in params[: self._most]], patience)
            if found:
                return found
            if seconds_left() <= 0:
                raise ChainUnreachable(self.endpoint, "no whole answer to a batch in time")

    def together(self, questions: Sequence[Question]) -> list[object] | None:
        """Send one batch; None unless every question in it was answered."""
        if self._batch is None or len(questions) > self._most:
            return None
        with one_question():
            answered = self._batched(questions, _Patience(self.endpoint, self.pause))
        results = [answer["result"] for answer in answered or () if _answered(answer)]
        return results if len(results) == len(questions) else None

    def _leading(self, part: Sequence[Question], patience: "_Patience") -> list[object]:
        """Give the results up to the first that is missing. If it is the first of all, a smaller
        part is next.
        """
        alone = self._batch is None or len(part) == 1
        answered = None if alone else self._batched(part, patience)
        if answered is None:
            result = self.request(*part[0])
            self._grow(1)
            return [result]
        leading = list(takewhile(_answered, answered))
        if len(leading) == len(part):
            self._grow(len(part))
        else:
            self._most = max(1, len(part) // 2)
            busy = busy_in(answered[len(leading)]) if answered else None
            if busy is not None:
                patience.wait(part[0][0], busy)
        return [answer["result"] for answer in leading]

    def _batched(self, part: Sequence[Question], patience: "_Patience") -> Sequence[Json] | None:
        """Send one batch and give its answers, none if the node refuses the batch as a whole. None
        if there is no connection.
        """
        assert self._batch is not None
        busy = None
        try:
            answered = self._batch(part)
        except TransportFailure as failure:
            if not failure.sent and failure.busy is None:
                return None
            answered, busy = (), failure.busy
        if len(answered) == len(part):
            return answered
        self._most = max(1, len(part) // 2)
        busy = busy or next(filter(None, map(busy_in, answered[:1])), None)
        if busy is not None:
            patience.wait(part[0][0], busy)
        return ()

    def _grow(self, size: int) -> None:
        """Take note of an answer to so many questions: a little more at once may be answered."""
        self._calm = self._calm + 1 if size == 1 else 0
        if self._most < BATCH and (size >= self._most > 1 or self._calm >= REGROWTH):
            self._most, self._calm = self._most + 1, 0


class _Patience:
    """How long one question waits for a busy node, whatever the node asks for."""

    def __init__(self, endpoint: str, pause: Callable[[float], None]) -> None:
        deadline = _deadline.get()
        now = time.monotonic()
        self._left = min(PATIENCE, _end.get() - now) if deadline is None else deadline - now
        self._step = FIRST_WAIT
        self._endpoint = endpoint
        self._pause = pause

    def wait(self, method: str, busy: Busy) -> None:
        """Wait as long as the node wants. Raise ChainBusy if that is longer than there is time."""
        step = self._step if busy.seconds is None else max(busy.seconds, FIRST_PAUSE)
        if step > self._left:
            raise ChainBusy(self._endpoint, method, busy.reason, busy.seconds)
        self._left -= step
        self._step = min(LONGEST_WAIT, 2 * self._step)
        self._pause(step)


def busy_in(answer: Json, *, narrowable: bool = False) -> Busy | None:
    """Read an answer as a wish to be asked later; None if it is something else.

    If the question can be asked for less at once, an exceeded limit may be one of size: it is a
    wish only if the node says how long to wait, or that it counts requests.
    """
    found = answer.get("error")
    if found is None:
        return None
    code, text, _ = answers.error(found)
    seconds = _seconds_in(answer)
    known = code in _BUSY_CODES and not (narrowable and code == LIMIT_EXCEEDED)
    if seconds is None and not known and not _BUSY_WORDS.search(text):
        return None
    return Busy(f"{text} (code {code})", seconds)


def _seconds_in(answer: Json) -> float | None:
    """Give the pause that an answer asks for, in its head or in its error's data."""
    found = answer.get("error")
    told: object = found.get("data") if isinstance(found, Mapping) else None
    for _ in range(2):  # Infura puts it one level deeper
        told = (told.get("rate") or told) if isinstance(told, Mapping) else None
    inside = told.get("backoff_seconds") if isinstance(told, Mapping) else None
    given = answer.get(RETRY_AFTER, inside)
    number = isinstance(given, int | float) and not isinstance(given, bool)
    return float(given) if number and 0 <= given <= MOST_SECONDS else None  # type: ignore[operator,arg-type]


def _answered(answer: Json) -> bool:
    return "result" in answer and answer.get("error") is None


def pause_after(attempt: int) -> float:
    """Give the pause after a question's n-th failure, in seconds."""
    return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt))
