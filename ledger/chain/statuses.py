"""What an HTTP response of a node means: a JSON-RPC answer, or no answer and why there is none.

Nodes and providers send errors of JSON-RPC with any status, a limit on ranges with 400 for example.
A status without such a body is the gateway's in front of the node. Any of them may be meant for the
size of a question.

Source: RFC 9110, sections 10.2.3 (Retry-After) and 15; JSON-RPC 2.0.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from ledger.bounded_json import read_json
from ledger.chain.answers import Json, error
from ledger.chain.questions import MOST_SECONDS, RETRY_AFTER, Busy, TransportFailure
from ledger.errors import MalformedRecord

_ASK_LATER: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_NO_ENTRY: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_SECONDS = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class Response:
    """A whole response; that of a socket has no status. `problem` words the status."""

    body: bytes
    status: int = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""


Wire = Callable[[bytes], Response]
"""Sends a request's bytes and gives the response. Raises TransportFailure."""


def answer_of(response: Response) -> Json | list[object]:
    """Read a response to one question, or to a batch. Raise TransportFailure."""
    status, found = response.status, _read(response.body)
    head = {name.lower(): value for name, value in response.headers.items()}
    seconds = seconds_of(head.get("retry-after", ""), head.get("date", ""))
    if status == HTTPStatus.TOO_MANY_REQUESTS or (
        status == HTTPStatus.SERVICE_UNAVAILABLE and seconds is not None
    ):
        busy = Busy(_told(found) or response.problem, seconds)
        raise TransportFailure(response.problem, sent=False, busy=busy)
    if status in _NO_ENTRY:
        told = _told(found)
        reason = f"{response.problem}{f' ({told})' if told else ''}; it wants a login or a key"
        reason = f"{reason}: name it in the address, or in ~/.netrc"
        raise TransportFailure(reason, sent=True, narrow=True)
    fine = 200 <= status < 300
    if isinstance(found, Mapping) and (fine or _is_error(found)):
        return _hinted(found, seconds)
    if isinstance(found, list) and (fine or any(map(_is_error, found))):
        return [_hinted(item, seconds) if isinstance(item, Mapping) else item for item in found]
    if fine:
        raise TransportFailure("the answer is not JSON-RPC", sent=True)
    raise TransportFailure(response.problem, sent=True, narrow=True)


def seconds_of(retry_after: str, date: str) -> float | None:
    """Give the seconds of a Retry-After; of a moment those from the response's own Date."""
    if _SECONDS.fullmatch(retry_after.strip()):
        return float(min(int(retry_after.strip()[:12]), MOST_SECONDS))
    try:
        until, now = parsedate_to_datetime(retry_after), parsedate_to_datetime(date)
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _read(body: bytes) -> object:
    try:
        return read_json(body)
    except MalformedRecord:
        return None


def _is_error(found: object) -> bool:
    """Whether an object is an error of JSON-RPC, and not a gateway's own."""
    error = found.get("error") if isinstance(found, Mapping) else None
    return isinstance(error, Mapping) and "code" in error


def _told(found: object) -> str:
    """Give the words of an error."""
    return error(found["error"])[1] if isinstance(found, Mapping) and _is_error(found) else ""


def _hinted(answer: Json, seconds: float | None) -> Json:
    plain = {name: value for name, value in answer.items() if name != RETRY_AFTER}
    late = seconds is not None and plain.get("error") is not None
    return {**plain, RETRY_AFTER: seconds} if late else plain
