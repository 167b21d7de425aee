"""HTTP exchanges with strangers: bounded in time, in bytes, and in where they go.

Chain nodes, Kubo and relays all are asked through here. An exchange has one deadline for everything
from the name's look-up to the answer's last byte, so a server that drips bytes cannot hold it. Head
and body are bounded before they are held, a compressed body is refused, and a redirect is the
answer. Environment variables name proxies and certificates as they do for `requests`.

All exchanges of the process share one event loop in a thread: asyncio can end a request wherever it
is, which a limit on every read of a socket cannot.

Source: RFC 9110, RFC 9112.
"""

import asyncio
import atexit
import io
import os
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Final, TypeVar

import aiohttp
from requests.utils import (
    DEFAULT_CA_BUNDLE_PATH,
    get_environ_proxies,
    get_netrc_auth,
    select_proxy,
)
from yarl import URL

from ledger.urls import HIDDEN, LEAST_SECRET, fault_of_host, shown

MAX_LINE: Final = 8 << 10
MAX_HEADERS: Final = 100
PIECE: Final = 1 << 16
CONNECTING: Final = 0.75
"""The part of its time in which an exchange must have a connection."""
CLOSING: Final = 1.0
"""Seconds that the process's end waits for connections."""
_HEADERS: Final = {"Accept-Encoding": "identity", "User-Agent": "fednode"}
_REDIRECTS = frozenset(
    (
        HTTPStatus.MOVED_PERMANENTLY,
        HTTPStatus.FOUND,
        HTTPStatus.SEE_OTHER,
        HTTPStatus.TEMPORARY_REDIRECT,
        HTTPStatus.PERMANENT_REDIRECT,
    )
)
T = TypeVar("T")


class BadAddress(Exception):
    """An address that no server can be asked at, or a setting of the environment for it."""


class Kind(Enum):
    """How an exchange failed."""

    UNCONNECTED = "no connection"
    LOST = "connection lost"
    LATE = "no whole answer in time"
    ENDLESS = "too long an answer"
    MALFORMED = "no HTTP"


class HttpFailure(Exception):
    """An exchange without a whole answer; `sent` tells whether the server may have got it. `status`
    is the answer's, if its head came.
    """

    def __init__(self, kind: Kind, reason: str, *, sent: bool = True, status: int = 0) -> None:
        self.kind = kind
        self.reason = reason
        self.sent = sent
        self.status = status
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, of any status; `way` is the server's, for messages."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    way: str = ""

    @property
    def ok(self) -> bool:
        """Whether the request was carried out."""
        return 200 <= self.status < 300

    @property
    def problem(self) -> str:
        """Why there is no result, in a few words."""
        if self.status in _REDIRECTS:
            return f"it redirects; name the address itself{self.way}"
        return f"HTTP status {self.status}{self.way}"


@dataclass(frozen=True, slots=True, repr=False)
class _Request:
    """What is sent, and within which bounds it is answered. It is never shown: it holds logins."""

    url: URL
    body: bytes
    headers: Mapping[str, str]
    seconds: float
    most: int
    proxy: URL | None
    certificates: ssl.SSLContext | None
    family: socket.AddressFamily


@dataclass(frozen=True, slots=True, repr=False)
class Server:
    """A server that requests are posted to. Safe for several threads."""

    _url: URL
    _headers: Mapping[str, str]
    _secrets: Sequence[str]
    _proxy: URL | None
    _certificates: ssl.SSLContext | None
    _family: socket.AddressFamily = socket.AF_UNSPEC

    @classmethod
    def at(
        cls,
        address: str,
        *,
        token: str | None = None,
        netrc: bool = False,
        family: socket.AddressFamily = socket.AF_UNSPEC,
    ) -> "Server":
        """Read an address and the environment's settings for it. Raise BadAddress.

        A user and a password in the address, a bearer token, or the user's netrc authenticate.
        """
        url = _url(address)
        proxy = _proxy(address)
        login = _login(address, url, token, netrc=netrc)
        encrypted = url.scheme == "https" or (proxy is not None and proxy.scheme == "https")
        return cls(
            url.with_user(None),
            {**_HEADERS, **({"Authorization": login[0]} if login else {})},
            sorted({part for part in login if len(part) >= LEAST_SECRET}, key=len, reverse=True),
            proxy,
            _trusted() if encrypted else None,
            family,
        )

    @property
    def authorized(self) -> bool:
        """Whether requests carry a password or a token."""
        return "Authorization" in self._headers

    def hide(self, text: str) -> str:
        """Take this server's password or token out of a text that it may have echoed."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text

    @property
    def way(self) -> str:
        """How requests travel, to follow a message: the proxy, if there is one."""
        if self._proxy is None:
            return ""
        return f", through the proxy {shown(str(self._proxy))}; NO_PROXY lists hosts without one"

    def post(
        self,
        body: bytes,
        *,
        seconds: float,
        most: int,
        path: str = "",
        kind: str = "application/json",
    ) -> Answer:
        """Post a body; give the answer of at most so many bytes, within so many seconds. `path` is
        added to the address as it is. Raise HttpFailure.
        """
        url = URL(str(self._url).rstrip("/") + path) if path else self._url
        headers = {"Content-Type": kind, **self._headers}
        request = _Request(
            url, body, headers, seconds, most, self._proxy, self._certificates, self._family
        )
        runner = _runner()
        try:
            answer = runner.run(runner.exchange(request))
        except HttpFailure as failure:
            reason = f"{failure.reason}{self.way}"
            raise HttpFailure(
                failure.kind, reason, sent=failure.sent, status=failure.status
            ) from None
        return Answer(answer.status, answer.headers, answer.body, self.way)


def _url(address: str) -> URL:
    if not address.isprintable() or " " in address:
        raise BadAddress("the address holds a blank or an unprintable character")
    try:
        url = URL(address)
        named = url.scheme in ("http", "https") and bool(url.host)
    except ValueError:
        raise BadAddress("the address or its port cannot be read") from None
    if not named or url.fragment:
        raise BadAddress("this is no http or https URL of a host")
    fault = fault_of_host(url.raw_host or "")
    if fault is not None:
        raise BadAddress(fault)
    return url


def _login(address: str, url: URL, token: str | None, *, netrc: bool) -> Sequence[str]:
    """Give the header that authenticates, and then its secrets; nothing without a login."""
    named: tuple[str, str] | None = None
    if url.user is not None or url.password is not None:
        named = url.user or "", url.password or ""
    if token is None:
        named = named or (get_netrc_auth(address) if netrc else None)
        if named is None:
            return ()
        coded = b64encode(":".join(named).encode()).decode()
        return f"Basic {coded}", coded, named[1]
    if named is not None:
        raise BadAddress("it names a user, and a token is given as well: keep one of the two")
    if not token.isascii() or not token.isprintable() or " " in token or not token:
        raise BadAddress("the token is empty, or holds a blank or a non-ASCII character")
    return f"Bearer {token}", token


def _proxy(address: str) -> URL | None:
    """Give the environment's proxy for an address, as `requests` reads the variables."""
    found = select_proxy(address, get_environ_proxies(address))
    if not found:
        return None
    try:
        proxy = URL(found if "://" in found else f"http://{found}")
        usable = proxy.scheme in ("http", "https") and bool(proxy.host)
    except ValueError:
        usable = False
    if not usable:
        raise BadAddress(
            f"the environment names the proxy {shown(found)}; only http and https proxies work"
        )
    return proxy


@lru_cache
def _certificates(bundle: str, *, named: bool) -> ssl.SSLContext:
    """Trust what the environment names alone, or the system's certificates and certifi's."""
    path = bundle or DEFAULT_CA_BUNDLE_PATH
    file, folder = (None, path) if Path(path).is_dir() else (path, None)
    try:
        if bundle:
            return ssl.create_default_context(cafile=file, capath=folder)
        context = ssl.create_default_context()
        if not named:
            context.load_verify_locations(file, folder)
    except OSError as error:
        reason = error.strerror or "no certificates"
        raise BadAddress(f"the certificates in {path} cannot be read ({reason})") from None
    return context


def _trusted() -> ssl.SSLContext:
    """Read the variables of `requests` first, then those of OpenSSL."""
    given = os.environ.get
    bundle = given("REQUESTS_CA_BUNDLE") or given("CURL_CA_BUNDLE") or ""
    return _certificates(bundle, named=bool(given("SSL_CERT_FILE") or given("SSL_CERT_DIR")))


class _Loop(asyncio.SelectorEventLoop):
    """Looks up names in threads that neither an exchange nor the process's end waits for."""

    async def getaddrinfo(  # type: ignore[override]
        self,
        host: str | None,
        port: int | str | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[tuple[object, ...]]:
        """Look up a name. Raise OSError."""
        found: asyncio.Future[list[tuple[object, ...]]] = self.create_future()

        def settle(change: Callable[[T], None], value: T) -> None:
            if not found.done():
                change(value)

        def look_up() -> None:
            try:
                addresses = socket.getaddrinfo(host, port, family, type, proto, flags)
            except Exception as error:
                self._tell(settle, found.set_exception, error)
            else:
                self._tell(settle, found.set_result, addresses)

        threading.Thread(target=look_up, daemon=True, name="look-up").start()
        return await found

    def _tell(self, *call: object) -> None:
        if not self.is_closed():
            self.call_soon_threadsafe(*call)  # type: ignore[arg-type]


class _Runner:
    """The loop of a process's exchanges, in a thread, and the connections that stay open."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self._sessions: dict[socket.AddressFamily, aiohttp.ClientSession] = {}
        self._loop = _Loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="http")
        self._thread.start()

    def run(self, work: Awaitable[T]) -> T:
        """Run in the loop and wait; an interrupt ends the work, too."""

        async def waited() -> T:
            return await work

        job = asyncio.run_coroutine_threadsafe(waited(), self._loop)
        try:
            return job.result()
        except BaseException:
            job.cancel()
            raise

    def close(self) -> None:
        """Close all connections, at the process's end."""
        if self.process != os.getpid():
            return
        for session in self._sessions.values():
            with suppress(TimeoutError):  # a peer may not answer the end of TLS
                asyncio.run_coroutine_threadsafe(session.close(), self._loop).result(CLOSING)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSING)
        if not self._thread.is_alive():
            self._loop.close()

    async def exchange(self, request: _Request) -> Answer:
        """Post and read the answer. Raise HttpFailure."""
        try:
            async with asyncio.timeout(request.seconds):
                return await self._answer(request)
        except aiohttp.ConnectionTimeoutError:
            raise HttpFailure(Kind.LATE, "no connection in time", sent=False) from None
        except TimeoutError:
            raise HttpFailure(Kind.LATE, "no whole answer in time") from None
        except aiohttp.ClientHttpProxyError as error:
            reason = f"the proxy refuses with HTTP status {error.status}"
            raise HttpFailure(Kind.UNCONNECTED, reason, sent=False) from None
        except aiohttp.ClientConnectorError as error:
            raise HttpFailure(Kind.UNCONNECTED, _unconnected(error), sent=False) from None
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, OSError):
            raise HttpFailure(Kind.LOST, "connection lost") from None
        except (aiohttp.ClientError, ValueError) as error:
            reason = f"the answer is not HTTP ({type(error).__name__})"
            raise HttpFailure(Kind.MALFORMED, reason) from None

    async def _answer(self, request: _Request) -> Answer:
        async with self._session(request.family).post(
            request.url,
            data=io.BytesIO(request.body) if len(request.body) > PIECE else request.body,
            headers=request.headers,
            allow_redirects=False,
            proxy=request.proxy,
            ssl=request.certificates or True,
            timeout=aiohttp.ClientTimeout(total=None, connect=request.seconds * CONNECTING),
        ) as response:
            if (response.content_length or 0) > request.most:
                raise _endless(request.most, response.status)
            coding = response.headers.get("Content-Encoding", "identity")
            if coding.strip().lower() not in ("", "identity"):
                response.close()
                raise HttpFailure(Kind.MALFORMED, "the answer is compressed, unasked")
            body = bytearray()
            async for part in response.content.iter_any():
                body += part
                if len(body) > request.most:
                    raise _endless(request.most, response.status)
            return Answer(response.status, response.headers, bytes(body))

    def _session(self, family: socket.AddressFamily) -> aiohttp.ClientSession:
        if family not in self._sessions:
            self._sessions[family] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, family=family),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                max_line_size=MAX_LINE,
                max_field_size=MAX_LINE,
                max_headers=MAX_HEADERS,
            )
        return self._sessions[family]


def _endless(most: int, status: int) -> HttpFailure:
    return HttpFailure(Kind.ENDLESS, f"an answer of more than {most} bytes", status=status)


def _unconnected(error: aiohttp.ClientConnectorError) -> str:
    """Say in a few words why there is no connection."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "no address for its name"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = getattr(error.certificate_error, "verify_message", "")
        return f"its certificate is not valid: {cause}".rstrip(": ")
    if isinstance(error, aiohttp.ClientSSLError):
        return "no TLS there"
    if isinstance(error.os_error, ConnectionRefusedError):
        return "connection refused"
    return (error.os_error.strerror or "no connection").lower()


_running: _Runner | None = None
_starting = threading.Lock()


def _runner() -> _Runner:
    """Give this process's runner; a forked process has none of its parent's threads."""
    global _running
    with _starting:
        if _running is None or _running.process != os.getpid():
            _running = _Runner()
            atexit.register(_running.close)
        return _running
