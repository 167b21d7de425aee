"""Kubo as a content store, through its RPC API: the only module that speaks HTTP to IPFS.

A whole artefact goes over as one CAR (`dag import`), which also pins its roots: some hundred times
fewer calls than block by block. Kubo is not trusted: a block is bounded while it is read, and
verified.

The client is constructed directly, because `ipfshttpclient.connect` refuses every recent Kubo by
its version.

Source: https://docs.ipfs.tech/reference/kubo/rpc/
"""

import io
import re
import threading
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import ipfshttpclient
import requests
from ipfshttpclient import exceptions

from ledger.cid import CID, Codec
from ledger.errors import MalformedRecord
from ledger.stores.base import (
    MAX_BLOCK,
    Artefact,
    BlockNotFound,
    BlockUnavailable,
    StoreError,
    StoreUnreachable,
    too_long,
    verified,
)
from ledger.stores.budget import patience
from ledger.stores.car import write_car
from ledger.urls import shown

# The client passes an argument that urllib3 does not want any more, on every new connection.
warnings.filterwarnings("ignore", message="The 'strict' parameter", category=FutureWarning)

_GRACE = 5.0
_CAUSE = re.compile(r"(?:Failed to establish a new connection|Failed to resolve): (.*?)[\")]*$")
_PIECE = 1 << 16
_MAX_ANSWER = 4 * MAX_BLOCK
_MAX_PINS = 256 * MAX_BLOCK
_AT_ONCE = 64
_MISSING = re.compile("not found|could not find|deadline exceeded|context canceled")


class KuboStore:
    """Blocks in a Kubo node, reached at a multiaddr or an http URL.

    `timeout` is how many seconds the node may look for a block among its peers; where fetches draw
    on a budget, it has no longer than what is left.
    """

    def __init__(self, address: str, *, timeout: float = 30.0) -> None:
        self.address = shown(address)
        self._timeout = timeout
        self._multiaddr = _multiaddr(address)
        self._threads = threading.local()

    def get(self, cid: CID) -> bytes:
        """Return a block's verified bytes; the node asks its peers for one that it lacks.

        The empty block is known without asking: bitswap does not carry it.
        """
        if cid.names(b""):
            return b""
        with self._errors(cid):
            stream = self._client().block.get(str(cid), stream=True, **self._patience())
            with stream:
                data = self._read(cid, stream)
        return verified(cid, data, store=self.address)

    def put(self, artefact: Artefact) -> None:
        """Store all blocks as one CAR and pin its roots.

        Kubo pins whole graphs: what a root links to must be among the blocks or with a peer.
        """
        if not artefact.roots:
            raise StoreError(f"an artefact without roots cannot be kept in {self.address}")
        car = io.BytesIO(write_car(artefact))
        with self._errors(artefact.roots[0]):
            options = self._patience({"pin-roots": "true"})
            answer = self._client().dag.imprt(car, stream=True, **options)
            pinned = dict(_pins(answer))
        for root in artefact.roots:
            failure = pinned.get(str(root), "the node does not confirm it")
            if failure:
                raise StoreError(f"{self.address} did not pin {root}: {failure}")

    def has(self, cid: CID) -> bool:
        """Tell whether the node holds the block itself; its peers are not asked."""
        try:
            with self._errors(cid):
                self._client().block.stat(str(cid), offline=True, **self._patience())
        except BlockNotFound:
            return False
        return True

    def sized(self, size: int) -> Iterator[tuple[CID, bytes]]:
        """Yield the raw blocks of a size that are pinned themselves."""
        for cid in self._pinned():
            if cid.codec is not Codec.RAW:
                continue
            with suppress(BlockUnavailable):
                with self._errors(cid):
                    found = self._client().block.stat(str(cid), offline=True, **self._patience())
                if found["Size"] == size:
                    yield cid, self.get(cid)

    def _pinned(self) -> list[CID]:
        """List the roots that are pinned; others' may have names that no block of ours has."""
        options = self._patience({"type": "recursive", "stream": "true"})
        cids = []
        with self._errors():
            for line in self._lines("/pin/ls", (), options):
                with suppress(MalformedRecord):
                    cids.append(CID.parse(str(line.get("Cid"))))
        return cids

    def remove(self, cids: Sequence[CID], *, roots: Collection[CID] = ()) -> list[CID]:
        """Unpin the roots, and delete the blocks that no other root pins; give those that one does
        pin.
        """
        for cid in roots:
            with self._errors(cid):
                self._unpin(cid)
        kept: set[str] = set()
        for at in range(0, len(cids), _AT_ONCE):
            for text, reason in self._undeleted(cids[at : at + _AT_ONCE]):
                if not reason.startswith("pinned"):
                    raise StoreError(f"{self.address} did not delete {text}: {reason}")
                kept.add(text)
        return [cid for cid in cids if str(cid) in kept]

    def _undeleted(self, cids: Sequence[CID]) -> list[tuple[str, str]]:
        """Delete blocks; give those that were not, with the reason."""
        options = self._patience({"force": "true"})
        with self._errors():
            lines = list(self._lines("/block/rm", [str(cid) for cid in cids], options))
        return [(str(line.get("Hash")), str(line["Error"])) for line in lines if line.get("Error")]

    def _lines(
        self, path: str, arguments: Sequence[str], options: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """Call the node; give its answer's lines as they come."""
        lines = self._client()._client.request(
            path, arguments, decoder="json", stream=True, **options
        )
        with lines:
            yield from (line for line in lines if isinstance(line, dict))

    def _unpin(self, cid: CID) -> None:
        try:
            self._client().pin.rm(str(cid), **self._patience())
        except exceptions.ErrorResponse as error:
            if "pinned" not in str(error):
                raise

    def close(self) -> None:
        """Close this thread's connections."""
        client = getattr(self._threads, "client", None)
        if client is not None:
            client.close()
            del self._threads.client

    def _client(self) -> Any:  # noqa: ANN401 - the library is untyped
        """Return this thread's client: a session's connections are not shared between threads."""
        if not hasattr(self._threads, "client"):
            client = ipfshttpclient.Client(self._multiaddr, session=True)
            client._client._session.hooks["response"].append(_bounded)
            self._threads.client = client
        return self._threads.client

    def _patience(self, options: dict[str, str] | None = None) -> dict[str, Any]:
        """Let the node give up first, so that its own reason arrives."""
        seconds = patience(self._timeout)
        opts = {"timeout": f"{int(seconds * 1000)}ms", **(options or {})}
        return {"opts": opts, "timeout": seconds + _GRACE}

    def _read(self, cid: CID, chunks: Iterable[bytes]) -> bytes:
        data = bytearray()
        for chunk in chunks:
            data += chunk
            if len(data) > MAX_BLOCK:
                raise too_long(cid, self.address)
        return bytes(data)

    @contextmanager
    def _errors(self, cid: CID | None = None) -> Iterator[None]:
        """Turn the client's exceptions into the store's."""
        try:
            yield
        except exceptions.ErrorResponse as error:
            if cid is not None and _MISSING.search(str(error)):
                raise BlockNotFound(cid, self.address, _one_line(error)) from error
            raise StoreUnreachable(self.address, _one_line(error)) from error
        except exceptions.Error as error:
            raise StoreUnreachable(self.address, _one_line(error)) from error
        except requests.RequestException as error:
            raise StoreUnreachable(self.address, _one_line(error)) from error


def _pins(answer: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Read which roots the node pinned, and why not where it did not."""
    for line in answer:
        match line.as_json():
            case {"Root": {"Cid": {"/": str(cid)}, **rest}}:
                yield cid, str(rest.get("PinErrorMsg") or "")


def _bounded(response: requests.Response, **_: object) -> requests.Response:
    """Read an answer piece by piece up to a limit, and go nowhere else for it: the client would
    take all of it at once, and follow a redirect.
    """
    if response.is_redirect:
        raise requests.RequestException("it redirects; name the address itself")
    read = response.iter_content
    limit = _MAX_PINS if "/pin/ls?" in str(response.url) else _MAX_ANSWER

    def pieces(*_: object, **__: object) -> Iterator[bytes]:
        size = 0
        for piece in read(_PIECE):
            size += len(piece)
            if size > limit:
                raise requests.RequestException(f"an answer of more than {limit} bytes")
            yield piece

    response.iter_content = pieces  # type: ignore[method-assign]
    return response


def _multiaddr(address: str) -> str:
    """Return the multiaddr of a multiaddr or an http URL."""
    if address.startswith("/"):
        return address
    try:
        url = urlsplit(address)
        port = url.port or (443 if url.scheme == "https" else 80)
    except ValueError:
        raise StoreUnreachable(shown(address), "the address or its port cannot be read") from None
    plain = url.path in ("", "/") and not (url.query or url.fragment or url.username)
    if url.scheme not in ("http", "https") or not url.hostname or not plain:
        raise StoreUnreachable(
            shown(address),
            "write /ip4/127.0.0.1/tcp/5001 or http://127.0.0.1:5001, without a path or a user",
        )
    if re.fullmatch(r"[0-9.]+", url.hostname):
        kind = "ip4"
    else:
        kind = "ip6" if ":" in url.hostname else "dns"
    return f"/{kind}/{url.hostname}/tcp/{port}/{url.scheme}"


def _one_line(error: Exception) -> str:
    """Keep the cause at the end of the chain that requests and urllib3 wrap around it."""
    text = " ".join(str(error).split())
    cause = _CAUSE.search(text)
    return f"{cause[1]}: is Kubo running there?" if cause else text[:300]
