"""How JSON-RPC travels to a node: over HTTP, or through the socket of a node on this machine.

A node may be a stranger's. So each request has one deadline, and an answer is bounded before it is
held and before it is read.

Source: https://www.jsonrpc.org/specification
"""

import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

from ledger.bounded_json import read_json
from ledger.chain.answers import Json
from ledger.chain.errors import BadEndpoint
from ledger.chain.questions import Batch, Transport, TransportFailure, seconds_left
from ledger.chain.statuses import Response, Wire
from ledger.errors import MalformedRecord
from ledger.urls import fault_of, shown

REQUEST_TIMEOUT: Final = 30.0
LEAST_TIMEOUT: Final = 0.1
MAX_ANSWER: Final = 32 << 20
"""More than the receipts of a full block, or the logs that nodes give at once."""
_PIECE: Final = 1 << 16


def transports(url: str) -> tuple[Transport, Batch]:
    """Open a node at an http or https URL, or at the path of its IPC socket. Raise
    BadEndpoint.
    """
    before, mark, _ = url.partition("://")
    if not mark:
        wire = _socket(url)
    elif before.lower() in ("http", "https"):
        wire = _http(url)
    else:
        named = shown(url).partition("://")[0]
        raise BadEndpoint(
            shown(url), f"unknown scheme {named!r}; use http, https, or the path of an IPC socket"
        )

    from ledger.chain.provider import NodeProvider, RPCEndpoint

    provider = NodeProvider(wire)

    def transport(method: str, params: Sequence[object]) -> Json:
        return cast("Json", provider.make_request(RPCEndpoint(method), params))

    def batch(requests: Sequence[tuple[str, Sequence[object]]]) -> Sequence[Json]:
        asked = [(RPCEndpoint(method), params) for method, params in requests]
        found = provider.make_batch_request(asked)
        return cast("Sequence[Json]", found if isinstance(found, list) else [found])

    return transport, batch


def _http(url: str) -> Wire:
    from ledger.bounded_http import BadAddress, HttpFailure, Kind, Server

    fault = fault_of(url)
    if fault is not None:
        raise BadEndpoint(shown(url), f"{fault}; write it as http://HOST:PORT")
    try:
        server = Server.at(url, netrc=True)
    except BadAddress as error:
        raise BadEndpoint(shown(url), str(error)) from None

    def send(body: bytes) -> Response:
        try:
            answer = server.post(body, seconds=_seconds(), most=MAX_ANSWER)
        except HttpFailure as failure:
            narrow = failure.sent and failure.kind in (Kind.LATE, Kind.ENDLESS)
            raise TransportFailure(failure.reason, sent=failure.sent, narrow=narrow) from None
        return Response(answer.body, answer.status, answer.headers, answer.problem)

    return send


def _socket(path: str) -> Wire:
    if not path or not Path(path).exists():
        raise BadEndpoint(
            shown(path) if path else "''",
            "no such socket; begin a URL with its scheme, http or https",
        )

    def send(body: bytes) -> Response:
        end = time.monotonic() + (seconds := _seconds())
        with socket.socket(socket.AF_UNIX) as wire:
            wire.settimeout(seconds)
            try:
                wire.connect(path)
            except OSError as error:
                raise TransportFailure(error.strerror or "no connection", sent=False) from None
            try:
                wire.sendall(body)
                return Response(_whole(wire, end))
            except TimeoutError:
                raise TransportFailure("no whole answer in time", sent=True, narrow=True) from None
            except OSError:
                raise TransportFailure("connection lost", sent=True) from None

    return send


def _seconds() -> float:
    """Give the time of a request: no longer than the question is asked that it belongs to."""
    return max(LEAST_TIMEOUT, min(REQUEST_TIMEOUT, seconds_left()))


def _whole(wire: socket.socket, end: float) -> bytes:
    """Read one JSON value: the stream goes on, so the value itself shows where it ends. Raise
    OSError.
    """
    found = bytearray()
    while True:
        wire.settimeout(max(0.001, end - time.monotonic()))
        part = wire.recv(_PIECE)
        if not part:
            raise ConnectionError
        found += part
        if len(found) > MAX_ANSWER:
            reason = f"an answer of more than {MAX_ANSWER} bytes"
            raise TransportFailure(reason, sent=True, narrow=True)
        if time.monotonic() >= end:
            raise TimeoutError
        if part.rstrip().endswith((b"}", b"]")):
            try:
                read_json(bytes(found))
            except MalformedRecord:
                continue
            return bytes(found)
