"""The relay over HTTP: small JSON bodies, answers at once or a reason to try again later.

Strangers hold none of its connections for long: they are files of the process, of which journal,
chain and store need some, too.
"""

import asyncio
import json
import logging
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from http import HTTPStatus
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from fednode.errors import FedNodeError
from fednode.relay.desk import Desk
from fednode.relay.errors import RETRY, JournalFailed, Refused
from fednode.relay.messages import (
    MAX_MESSAGE,
    SignedBallot,
    SignedCommit,
    SignedJoin,
    SignedProposal,
    SignedReceipt,
)
from fednode.relay.sponsor import Sponsor
from ledger.chain.types import Receipt
from ledger.errors import LedgerError, MalformedRecord

log = logging.getLogger("fednode")

READ_SECONDS = 10
"""How long a request's head may take, and then its body: who sends drop by drop gets no answer."""
MOST_CONNECTIONS = 1 << 10

ANSWERING = web.AppKey("answering", set[web.RequestHandler])
"""Connections whose request came whole and is not answered yet."""
M = TypeVar("M", bound=BaseModel)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(desk: Desk, sponsor: Sponsor) -> web.Application:
    """Make the service."""

    async def commit(request: web.Request) -> web.Response:
        return _given(await desk.commit(await _read(request, SignedCommit)))

    async def vote(request: web.Request) -> web.Response:
        return _given(await desk.vote(await _read(request, SignedBallot)))

    async def propose(request: web.Request) -> web.Response:
        return _sent(await sponsor.propose(await _read(request, SignedProposal)))

    async def join(request: web.Request) -> web.Response:
        return _sent(await sponsor.join(await _read(request, SignedJoin)))

    async def status(_request: web.Request) -> web.Response:
        return web.json_response(desk.status())

    async def batch(request: web.Request) -> web.Response:
        return web.json_response(desk.batch(int(request.match_info["round"])))

    async def receipt(request: web.Request) -> web.Response:
        places = (int(request.match_info[name]) for name in ("round", "participant"))
        return _given(desk.receipt(*places))

    app = web.Application(client_max_size=MAX_MESSAGE, middlewares=[_answering])
    app[ANSWERING] = set()
    app.add_routes(
        [
            web.get("/", status),
            web.post("/commits", commit),
            web.post("/votes", vote),
            web.post("/proposals", propose),
            web.post("/joins", join),
            web.get(r"/rounds/{round:\d{1,10}}", batch),
            web.get(r"/rounds/{round:\d{1,10}}/receipts/{participant:\d{1,10}}", receipt),
        ]
    )
    return app


def _place(host: str, port: int) -> str:
    """Write a host and a port as in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Serve while the context lasts; gives the address, with the port that was found for 0."""
    # Before the first request, too, a connection is closed that is idle for so long. So is one
    # whose body goes on after its answer.
    # A compressed body could be a thousand times as long as what was sent.
    runner = web.AppRunner(
        app,
        access_log=None,
        keepalive_timeout=READ_SECONDS,
        lingering_time=READ_SECONDS,
        auto_decompress=False,
    )
    await runner.setup()
    assert runner.server is not None
    most = room()
    door = _Door(runner.server, app[ANSWERING], most)
    try:
        try:
            # So many are accepted at once, and up to three times so many before those are gone
            # that make room: they must not use up the files either.
            listener = await asyncio.get_running_loop().create_server(
                lambda: door, host, port, backlog=max(1, min(128, most // 4))
            )
        except OSError as error:
            reason = error.strerror or str(error)
            raise FedNodeError(f"cannot listen on {_place(host, port)} ({reason})") from error
        with closing(listener):
            yield f"http://{_place(*listener.sockets[0].getsockname()[:2])}"
    finally:
        await runner.cleanup()


def room() -> int:
    """Give how many connections may be open: of the files of the process half at most."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if files < 0 else min(MOST_CONNECTIONS, files // 2)


class _Door(asyncio.Protocol):
    """Lets connections in, up to a number. When that is reached, the oldest one makes room that
    waits for its client: who is silent, slow or does not read its answers keeps nobody out.
    """

    def __init__(self, server: web.Server, answering: set[web.RequestHandler], most: int) -> None:
        self._server = server
        self._answering = answering
        self._most = most

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let a connection in if there is room; its client comes again if there is none."""
        assert isinstance(transport, asyncio.Transport)
        if not self._has_room():
            transport.abort()
            return
        protocol = self._server()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)

    def _has_room(self) -> bool:
        found = [(c, c.transport) for c in self._server.connections]
        opened = [(c, t) for c, t in found if t is not None and not t.is_closing()]
        if len(opened) < self._most:
            return True
        oldest = next((t for c, t in opened if c not in self._answering), None)
        if oldest is not None:
            oldest.abort()
        return oldest is not None


async def _read(request: web.Request, kind: type[M]) -> M:
    if "Content-Encoding" in request.headers:
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send the body without Content-Encoding")
    try:
        async with asyncio.timeout(READ_SECONDS):
            body = await request.read()
    except TimeoutError:
        raise Refused(HTTPStatus.REQUEST_TIMEOUT, "the body took too long") from None
    except (ConnectionError, web.RequestPayloadError, RuntimeError):
        # Strangers' doing, not a fault of ours: it must not fill the log. A RuntimeError is what
        # aiohttp raises if the connection was closed before its body was asked for.
        raise Refused(HTTPStatus.BAD_REQUEST, "the body did not come whole") from None
    request.app[ANSWERING].add(request.protocol)
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the body"
        raise Refused(HTTPStatus.BAD_REQUEST, f"{place}: {first['msg']}") from None


def _given(receipt: SignedReceipt) -> web.Response:
    return web.Response(body=receipt.model_dump_json(), content_type="application/json")


def _sent(receipt: Receipt) -> web.Response:
    fields = {"transaction": receipt.transaction.hex(), "block": receipt.block_number}
    return web.json_response(fields)


@web.middleware
async def _answering(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever goes wrong into a status and one line."""
    try:
        return await handler(request)
    except Refused as refused:
        return _error(refused.status, refused.reason, refused.retry_after)
    except MalformedRecord as error:
        return _error(HTTPStatus.BAD_REQUEST, str(error))
    except (JournalFailed, LedgerError) as error:
        return _error(HTTPStatus.SERVICE_UNAVAILABLE, str(error), RETRY)
    except web.HTTPException as error:
        return _error(HTTPStatus(error.status), error.reason)
    except Exception:
        # Whatever else: a bug. This is the one place where it can be told from a refusal. It is
        # logged in full, strangers learn nothing of it, and the answer is one line of JSON as
        # docs/relay.md promises; aiohttp's own would be a page, and the service goes on either way.
        log.exception("a request failed")
        return _error(HTTPStatus.INTERNAL_SERVER_ERROR, "a fault of the relay's")
    finally:
        request.app[ANSWERING].discard(request.protocol)


def _error(status: HTTPStatus, reason: str, retry_after: int | None = None) -> web.Response:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    body = json.dumps({"error": reason})
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)
