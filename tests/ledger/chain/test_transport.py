"""JSON-RPC from nodes that drip, flood, nest and lie, over HTTP and through an IPC socket."""

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from web3 import Web3

from ledger.chain.client import Chain
from ledger.chain.errors import ChainError, ChainUnreachable
from ledger.chain.provider import NodeProvider
from ledger.chain.questions import TransportFailure
from ledger.chain.rpc import RpcEngine
from ledger.chain.statuses import Response
from ledger.chain.transport import transports
from ledger.types import Address
from tests.accounts import new_account
from tests.http_faults import DRIPS, FLOODS, FRAUDS, JSONS, Fault, hostile

ANY = Address("0x" + "11" * 20)
HASH = bytes(32)
ACCOUNT = new_account()
CALLS: dict[str, Callable[[Chain], object]] = {
    "now": lambda chain: chain.now(),
    "wait_until": lambda chain: chain.wait_until(1, timeout=1),
    "block_number": lambda chain: chain.block_number(),
    "newest": lambda chain: chain.newest(),
    "block": lambda chain: chain.block(1),
    "block by hash": lambda chain: chain.block(HASH),
    "blocks": lambda chain: chain.blocks([HASH, b"\1" * 32]),
    "transaction": lambda chain: chain.transaction(HASH),
    "transactions": lambda chain: chain.transactions([HASH, b"\1" * 32]),
    "receipt": lambda chain: chain.receipt(HASH),
    "receipts": lambda chain: chain.receipts(HASH),
    "logs": lambda chain: chain.logs(ANY, [None, HASH], 0, 5),
    "balance": lambda chain: chain.balance(ANY),
    "code": lambda chain: chain.code(ANY),
    "call": lambda chain: chain.call(ANY, b"\1"),
    "affords": lambda chain: chain.affords(ANY, 21_000),
    "estimate": lambda chain: chain.estimate(ANY, None, b"\1"),
    "send": lambda chain: chain.send(ACCOUNT, ANY, value=1, timeout=0.2),
}


@contextmanager
def answering(body: Callable[[object], bytes]) -> Iterator[str]:
    """Answer every request with a body that is made from it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            data = body(asked)
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(data)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


ODD = [
    *(body for body in JSONS.values() if len(body) < 1 << 20),
    *(
        b'{"id":0,"result":%s}' % result
        for result in (
            b'"0x"', b'"0xzz"', b'"0x' + b"f" * 5000 + b'"', b'"0x' + b"f" * 64 + b'"',
            b"7", b"1e400", b"true", b"[]", b"{}",
            b'[{"id":{}}]', b'{"transactions":{}}', b'{"logs":[7]}', b'"\\u0000"', b"-1",
        )
    ),
    *(
        b'{"id":0,"error":%s}' % error
        for error in (
            b"7", b'"text"', b"[]", b"{}", b'{"code":{},"message":[],"data":7}',
            b'{"code":3,"data":{"data":{"data":{"data":[]}}}}', b'{"code":1e400,"message":null}',
            b'{"code":3,"message":"nonce too low"}', b'{"data":"0xff"}',
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_whatever_a_node_answers_is_an_error_of_the_chain(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where Python's limit of recursion is none, as a library of the chain's makes it."""
    chain_id = b'{"id":0,"result":"0x1"}'
    answers = [chain_id]
    monkeypatch.setattr("ledger.chain.transport._http", lambda _: lambda _: Response(answers[0]))
    monkeypatch.setattr("ledger.chain.questions.ATTEMPTS", 1)
    transport, batch = transports("http://chain.example")
    chain = Chain(RpcEngine(transport, "chain", batch=batch, pause=lambda _: None))
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(max(limit, 1_000_000))
        for answers[0] in ODD:
            with suppress(ChainError):
                CALLS[name](chain)
    finally:
        sys.setrecursionlimit(limit)


def test_a_batch_may_come_in_any_order_but_whole() -> None:
    def shuffled(asked: object) -> bytes:
        assert isinstance(asked, list)
        found = [{"id": one["id"], "result": one["params"][0]} for one in asked]
        return json.dumps(found[::-1]).encode()

    requests = [("eth_x", [number]) for number in range(3)]
    with answering(shuffled) as url:
        _, batch = transports(url)
        assert [answer["result"] for answer in batch(requests)] == [0, 1, 2]
    for wrong in (b'[{"id":0},{"id":0},{"id":1}]', b'[{"id":1}]', b'[{"id":{}}]', b"[7]", b"7"):
        with answering(lambda _, wrong=wrong: wrong) as url:  # type: ignore[misc]
            _, batch = transports(url)
            with pytest.raises(TransportFailure, match="not JSON-RPC"):
                batch(requests)


@pytest.mark.parametrize("fault", [DRIPS["chunks"], FLOODS["a body"], FRAUDS["a compressed body"]])
def test_a_request_has_an_end(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.chain.transport.REQUEST_TIMEOUT", 0.2)
    monkeypatch.setattr("ledger.chain.questions.ATTEMPTS", 1)
    started = time.monotonic()
    with hostile(fault) as server, pytest.raises(ChainUnreachable) as caught:
        Chain.connect(server.url)
    assert time.monotonic() - started < 5
    assert "\n" not in str(caught.value)


def test_a_node_that_drips_is_not_asked_time_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.chain.transport.REQUEST_TIMEOUT", 0.2)
    monkeypatch.setattr("ledger.chain.questions.PATIENCE", 0.3)
    with hostile(DRIPS["a body"]) as server:
        with pytest.raises(ChainUnreachable, match="no whole answer in time"):
            Chain.connect(server.url)
        assert len(server.gone) <= 2


@contextmanager
def local_node(path: Path, *, pieces: list[bytes], pause: float = 0.0) -> Iterator[str]:
    """Answer each connection to a socket with pieces, and leave it open."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    over = threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(1 << 16)
            for piece in pieces:
                connection.sendall(piece)
                if over.wait(pause):
                    return
            over.wait(10)

    def run() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=server.accept()[:1], daemon=True).start()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield str(path)
    finally:
        over.set()
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def test_a_socket_is_read_until_the_value_ends(tmp_path: Path) -> None:
    pieces = [b'{"id":0,"result":{"a":[1]', b'},"x":"}', b'"}\n']
    with local_node(tmp_path / "geth.ipc", pieces=pieces, pause=0.05) as path:
        transport, _ = transports(path)
        assert transport("eth_x", [])["result"] == {"a": [1]}


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        ([b'{"id":', b"0"] * 1000, "no whole answer in time"),
        ([b"[" * 100_000, b"]" * 100_000], "no whole answer in time"),
        ([b"a" * (1 << 20)] * 40, "an answer of more than 33554432 bytes"),
    ],
    ids=["drips", "nest", "flood"],
)
def test_a_socket_takes_neither_time_nor_room(
    tmp_path: Path, pieces: list[bytes], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.chain.transport.REQUEST_TIMEOUT", 0.5)
    pause = 0.0 if reason.startswith("an") else 0.01
    with local_node(tmp_path / "geth.ipc", pieces=pieces, pause=pause) as path:
        transport, _ = transports(path)
        started = time.monotonic()
        with pytest.raises(TransportFailure, match=reason):
            transport("eth_x", [])
        assert time.monotonic() - started < 5


def test_a_socket_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ChainUnreachable, match="no such socket"):
        transports(str(tmp_path / "none.ipc"))
    (tmp_path / "file").write_bytes(b"")
    transport, _ = transports(str(tmp_path / "file"))
    with pytest.raises(TransportFailure) as failure:
        transport("eth_x", [])
    assert not failure.value.sent


def test_web3_itself_asks_through_the_bounds() -> None:
    """What web3 encodes is sent, alone and in batches, and deep nesting is no answer to it."""

    def wire(message: bytes) -> Response:
        asked = json.loads(message)
        answers = [
            {"jsonrpc": "2.0", "id": question["id"], "result": "0x7"}
            for question in (asked if isinstance(asked, list) else [asked])
        ]
        found = answers[::-1] if isinstance(asked, list) else answers[0]
        return Response(json.dumps(found).encode())

    web3 = Web3(NodeProvider(wire))
    assert (web3.eth.chain_id, web3.eth.block_number) == (7, 7)
    with web3.batch_requests() as batch:
        batch.add(web3.eth.get_balance(web3.to_checksum_address(ANY)))
        batch.add(web3.eth.get_transaction_count(web3.to_checksum_address(ANY)))
        assert list(map(str, batch.execute())) == ["7", "7"]
    deep = b"[" * 100_000 + b"]" * 100_000
    with pytest.raises(TransportFailure):
        _ = Web3(NodeProvider(lambda _: Response(deep))).eth.chain_id
