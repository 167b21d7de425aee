"""Kubo as a content store, through its RPC API: the only module that speaks HTTP to IPFS.

A whole artefact goes over as one CAR (`dag import`), which also pins its roots: some hundred times
fewer calls than block by block. Kubo is not trusted: an answer is bounded in time and size, read as
hostile JSON, and a block is verified.

`ipfshttpclient` reads multiaddrs and writes uploads. It sends nothing, because it bounds neither
the time of an answer nor its JSON.

Source: https://docs.ipfs.tech/reference/kubo/rpc/
"""

import io
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from socket import AF_UNSPEC, AddressFamily
from urllib.parse import urlencode

from ipfshttpclient import exceptions, multipart
from ipfshttpclient.http_common import multiaddr_to_url_data

from ledger.bounded_http import Answer, BadAddress, HttpFailure, Kind, Server
from ledger.bounded_json import read_json, read_lines
from ledger.cid import CID, Codec
from ledger.errors import MalformedRecord
from ledger.lines import clean
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

API = "/api/v0"
_GRACE = 5.0
_MAX_ANSWER = 4 * MAX_BLOCK
_MAX_PINS = 64 * MAX_BLOCK
_AT_ONCE = 64
_MOST_TEXT = 300
_MISSING = re.compile("not found|could not find|deadline exceeded|context canceled")
_FORMS = (
    "write /ip4/127.0.0.1/tcp/5001, or http://127.0.0.1:5001, or https://user:password@host/path"
)


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of the API: its arguments, its options, and a file that goes with it."""

    command: str
    arguments: Sequence[str] = ()
    options: Mapping[str, str] | None = None
    file: bytes | None = None
    most: int = _MAX_ANSWER


class KuboStore:
    """Blocks in a Kubo node, reached at a multiaddr or an http URL. Safe for several threads.

    `timeout` is how many seconds the node may look for a block among its peers; where fetches draw
    on a budget, it has no longer than what is left. A `token` is for an API that asks for one.
    """

    def __init__(self, address: str, *, timeout: float = 30.0, token: str | None = None) -> None:
        self.address = shown(address)
        self._timeout = timeout
        self._server = _server(address, token)

    def get(self, cid: CID) -> bytes:
        """Return a block's verified bytes; the node asks its peers for one that it lacks.

        The empty block is known without asking: bitswap does not carry it.
        """
        if cid.names(b""):
            return b""
        data = self._answer(_Call("block/get", [str(cid)]), cid)
        return verified(cid, data, store=self.address)

    def put(self, artefact: Artefact) -> None:
        """Store all blocks as one CAR and pin its roots.

        Kubo pins whole graphs: what a root links to must be among the blocks or with a peer.
        """
        if not artefact.roots:
            raise StoreError(f"an artefact without roots cannot be kept in {self.address}")
        call = _Call("dag/import", options={"pin-roots": "true"}, file=write_car(artefact))
        pinned = dict(_pins(self._lines(call, artefact.roots[0])))
        for root in artefact.roots:
            failure = pinned.get(str(root), "the node does not confirm it")
            if failure:
                raise StoreError(f"{self.address} did not pin {root}: {_one_line(failure)}")

    def has(self, cid: CID) -> bool:
        """Tell whether the node holds the block itself; its peers are not asked."""
        try:
            self._size(cid)
        except BlockNotFound:
            return False
        return True

    def sized(self, size: int) -> Iterator[tuple[CID, bytes]]:
        """Yield the raw blocks of a size that are pinned themselves."""
        for cid in self._pinned():
            if cid.codec is not Codec.RAW:
                continue
            with suppress(BlockUnavailable):
                if self._size(cid) == size:
                    yield cid, self.get(cid)

    def _size(self, cid: CID) -> int:
        """Give the size of a block that the node holds itself, as the node says."""
        for line in self._lines(_Call("block/stat", [str(cid)], {"offline": "true"}), cid):
            size = line.get("Size")
            if type(size) is int:
                return size
        raise StoreUnreachable(self.address, f"it does not say how long block {cid} is")

    def _pinned(self) -> list[CID]:
        """List the roots that are pinned; others' may have names that no block of ours has."""
        options = {"type": "recursive", "stream": "true"}
        cids = []
        for line in self._lines(_Call("pin/ls", options=options, most=_MAX_PINS)):
            with suppress(MalformedRecord):
                cids.append(CID.parse(str(line.get("Cid"))))
        return cids

    def remove(self, cids: Sequence[CID], *, roots: Collection[CID] = ()) -> list[CID]:
        """Unpin the roots, and delete the blocks that no other root pins; give those that one does
        pin.
        """
        for cid in roots:
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
        call = _Call("block/rm", [str(cid) for cid in cids], {"force": "true"})
        return [
            (_one_line(line.get("Hash")), _one_line(line["Error"]))
            for line in self._lines(call)
            if line.get("Error")
        ]

    def _unpin(self, cid: CID) -> None:
        try:
            self._answer(_Call("pin/rm", [str(cid)]), cid)
        except _Failed as error:
            if "pinned" not in error.reason:
                raise

    def _lines(self, call: _Call, cid: CID | None = None) -> Iterator[Mapping[str, object]]:
        """Call the node; give the objects that its answer holds, one a line."""
        try:
            for line in read_lines(self._answer(call, cid), most=MAX_BLOCK):
                if isinstance(line, Mapping):
                    if line.get("Type") == "error":
                        raise self._failure(
                            _one_line(self._server.hide(str(line.get("Message")))), cid
                        )
                    yield line
        except MalformedRecord as error:
            raise StoreUnreachable(self.address, f"its answer is {error}") from None

    def _answer(self, call: _Call, cid: CID | None = None) -> bytes:
        """Call the node; give its answer. Raise BlockNotFound or StoreUnreachable.

        The node is told to give up first, so that its own reason arrives.
        """
        seconds = patience(self._timeout)
        query = {"timeout": f"{int(seconds * 1000)}ms", **(call.options or {})}
        parts = [*query.items(), *(("arg", argument) for argument in call.arguments)]
        kind, body = _upload(call.file)
        try:
            answer = self._server.post(
                body,
                path=f"{API}/{call.command}?{urlencode(parts)}",
                kind=kind,
                seconds=seconds + _GRACE,
                most=call.most,
            )
        except HttpFailure as failure:
            endless = failure.kind is Kind.ENDLESS and failure.status == HTTPStatus.OK
            if endless and cid is not None and call.command == "block/get":
                raise too_long(cid, self.address) from None
            direct = failure.kind is Kind.UNCONNECTED and not self._server.way
            asks = ": is Kubo running there?" if direct else ""
            raise StoreUnreachable(self.address, f"{failure.reason}{asks}") from None
        if not answer.ok:
            raise self._failure(self._refusal(answer), cid)
        return answer.body

    def _refusal(self, answer: Answer) -> str:
        """Say why the node, or what stands in front of it, did not do what it was asked."""
        if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return f"{answer.problem}: {_LOGIN[self._server.authorized]}"
        with suppress(MalformedRecord):
            found = read_json(answer.body, most=MAX_BLOCK)
            if isinstance(found, Mapping) and isinstance(found.get("Message"), str):
                return _one_line(self._server.hide(found["Message"]))
        return answer.problem

    def _failure(self, reason: str, cid: CID | None) -> StoreError:
        if cid is not None and _MISSING.search(reason):
            return BlockNotFound(cid, self.address, reason)
        return _Failed(self.address, reason)


class _Failed(StoreUnreachable):
    """The node answered that it could not do it."""


_LOGIN = {
    False: "set FEDNODE_IPFS_TOKEN or FEDNODE_IPFS_TOKEN_FILE to a token, or write the address as "
    "https://user:password@host/path",
    True: "it does not accept the user and password of the address, or the token",
}
"""What to do where a login is asked for: if none was sent, and if one was."""


def _pins(lines: Iterator[Mapping[str, object]]) -> Iterator[tuple[str, str]]:
    """Read which roots the node pinned, and why not where it did not."""
    for line in lines:
        match line:
            case {"Root": {"Cid": {"/": str(cid)}, **rest}}:
                yield cid, str(rest.get("PinErrorMsg") or "")


def _upload(file: bytes | None) -> tuple[str, bytes]:
    """Give the type and the bytes of a request's body."""
    if file is None:
        return "application/octet-stream", b""
    body, headers = multipart.stream_files(io.BytesIO(file), chunk_size=len(file) + 1)
    return headers["Content-Type"], b"".join(body)


def _server(address: str, token: str | None) -> Server:
    """Read a multiaddr or an http URL. Raise StoreUnreachable."""
    try:
        url, family = _url(address)
        return Server.at(url, token=token, netrc=True, family=family)
    except BadAddress as error:
        raise StoreUnreachable(shown(address), f"{error}; {_FORMS}") from None


def _url(address: str) -> tuple[str, AddressFamily]:
    """Give the URL under which the API's path begins, and how its host's name is looked up."""
    if not address.startswith("/"):
        if "?" in address or "#" in address:
            raise BadAddress("the address has a query or a fragment")
        return address.rstrip("/").removesuffix(API), AF_UNSPEC
    try:
        url, socket, family, _ = multiaddr_to_url_data(address, "")
    except exceptions.AddressError:
        raise BadAddress("this is no multiaddr of a host and a TCP port") from None
    if socket is not None:
        raise BadAddress("this is the multiaddr of a socket")
    return url.rstrip("/"), family


def _one_line(text: object) -> str:
    """Give the start of what a node says, as one printable line."""
    return clean(str(text).strip(), _MOST_TEXT) or "it does not say why"
