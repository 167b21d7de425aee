"""A JSON-RPC proxy in front of a real chain's node, with the faults that nodes and providers have.

Every fault is an attribute that a test sets and clears at any time. Without one the proxy answers
what the node answers. Blocks are numbered as the node numbers them. The tables hold what nodes and
providers say, from their sources, documentation and issues.
"""

import json
import threading
import time
import urllib.request
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Json = dict[str, Any]
LOOK = 0.05
"""Seconds between looks at the head, from which on a block's age counts."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is answered in place of a result: an error, or another body with an HTTP status."""

    code: int | None = None
    message: str = ""
    data: object = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def error(self) -> Json:
        """The error as JSON-RPC has it."""
        data = {} if self.data is None else {"data": self.data}
        return {"error": {"code": self.code, "message": self.message, **data}}


_NARROW = "You can make eth_getLogs requests with up to a 500 block range"
RANGE_LIMITS = {
    "Infura, results": Refusal(-32005, "query returned more than 10000 results"),
    "Infura, range": Refusal(-32602, "range 1000000 exceeds limit of 10000"),
    "Alchemy": Refusal(-32600, _NARROW, status=400),
    "Reth": Refusal(-32602, "query exceeds max block range 100000"),
    "Erigon": Refusal(-32000, "query block range exceeds server limit, narrow your filter: 1000"),
    "QuickNode": Refusal(-32614, "eth_getLogs is limited to a 10,000 range", status=413),
    "Besu": Refusal(-32005, "Requested range exceeds maximum range limit", status=400),
    "a result of another form": Refusal(-32603, "响应过大"),
    "a gateway": Refusal(None, "Request Entity Too Large", status=413),
    "a terse gateway": Refusal(None, "Bad Request", status=400),
    "a slow node's gateway": Refusal(None, "<html>504</html>", status=504),
}
"""What is said of a range of blocks that is too long, or has too many logs."""

_NOW, _SOON = "Mon, 30 Nov 2026 12:00:00 GMT", "Mon, 30 Nov 2026 12:00:07 GMT"
BUSY = {
    "429 with seconds": (Refusal(None, "slow down", status=429, headers={"Retry-After": "7"}), 7),
    "429 with a moment": (
        Refusal(None, "", status=429, headers={"Retry-After": _SOON, "Date": _NOW}),
        7,
    ),
    "429 with an error": (Refusal(429, "compute units per second exceeded", status=429), None),
    "503 with seconds": (Refusal(None, "", status=503, headers={"Retry-After": "7"}), 7),
    "-32005 with seconds": (Refusal(-32005, "limit exceeded", headers={"Retry-After": "7"}), 7),
    "-32005": (Refusal(-32005, "limit exceeded"), None),
    "-32005 with a backoff": (
        Refusal(-32005, "project ID request rate exceeded", {"rate": {"backoff_seconds": 7}}),
        7,
    ),
    "-32007": (Refusal(-32007, "50/second request limit reached"), None),
    "words alone": (Refusal(-32000, "Too many requests"), None),
}
"""What is said by nodes that want to be asked later, and the seconds that they name."""

BATCH_LIMITS = {
    "geth": Refusal(-32600, "batch too large"),
    "a status": Refusal(-32600, "batch too large", status=400),
    "a gateway": Refusal(None, "Request Entity Too Large", status=413),
    "too busy": Refusal(-32005, "limit exceeded", status=429),
}

TAKEN_NONCE = {
    "geth": (-32000, "nonce too low: next nonce 9, tx nonce 8"),
    "Nethermind": (-32010, "OldNonce, Current nonce: 9, nonce of rejected tx: 8"),
    "Besu": (-32001, "Nonce too low"),
    "Erigon": (-32000, "nonce too low"),
    "OpenEthereum": (-32010, "Transaction nonce is too low. Try incrementing the nonce."),
    "Hardhat": (-32000, "Nonce too low. Expected nonce to be 9 but got 8."),
    "another": (-32003, "transaction rejected"),
}
"""What is said of a transaction at whose nonce another one was mined."""


class _Server(ThreadingHTTPServer):
    """Serves until it is closed; clients may be killed at any time."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing of a client that is gone."""


class FaultyRpc:
    """Serves one node under an address of its own, for as long as it is entered."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.log_delay = 0.0
        """Seconds for which a new block's logs are not in any answer yet."""
        self.logs_until: int | None = None
        """The newest block whose logs are in any answer."""
        self.logs_from = 0
        """The oldest block whose logs are in any answer: the node has pruned those before."""
        self.most_logs: int | None = None
        """How many logs are in an answer, at the most: the first ones, and no error."""
        self.dropped: Callable[[Json], bool] = lambda log: False
        """Which logs are in no answer."""
        self.head: int | None = None
        """The newest block that the node knows."""
        self.backends: Sequence[int] = ()
        """How many blocks each of several nodes is behind; requests go to them in turn."""
        self.frozen: int | None = None
        """The time at which chain time stands still."""
        self.receipts = True
        self.lone_receipts = True
        """Whether a receipt is found by its transaction's hash, and not only with its block's."""
        self.transactions = True
        self.pending: str | None = ""
        """Empty: there is a pending block. None: it is null. Else: the error in its place."""
        self.states: Callable[[int], bool] = lambda block: True
        """Which old blocks' states messages can be executed on."""
        self.span: tuple[int, Refusal] | None = None
        """How many blocks' logs are given at once, and what is said to who asks for more."""
        self.batch: tuple[int, Refusal] | None = None
        """How many requests are taken at once, and what is said to who sends more."""
        self.refusals: defaultdict[str, deque[Refusal]] = defaultdict(deque)
        """By method, what the next requests are answered."""
        self.results: dict[str, object] = {}
        """By method, what is answered in place of the node's result."""
        self.words: tuple[int, str] | None = None
        """Code and message in which the node refuses a transaction."""
        self.before: Callable[[str], None] = lambda method: None
        """Is called before a method is carried out."""
        self.sizes: list[int] = []
        """How many requests came at once, each time."""
        self.spans: list[tuple[int, int]] = []
        """The ranges of blocks whose logs were asked for."""
        self.asked: list[str] = []
        """The methods that were asked for."""
        self._seen: list[tuple[float, int]] = []
        self._turn = 0
        self._stop = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self._handler())

    @property
    def url(self) -> str:
        """Give the proxy's address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        for run in (self._server.serve_forever, self._watch):
            threading.Thread(target=run, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()

    def number(self) -> int:
        """Give the number of the node's newest block, whatever the proxy says."""
        return int(self._forward("eth_blockNumber", [])["result"], 16)

    # -- what a request comes to

    def _answer(self, request: Json) -> Json | Refusal:
        method, params = request["method"], list(request.get("params", []))
        self.asked.append(method)
        if self.refusals[method]:
            return self.refusals[method].popleft()
        if method == "eth_getLogs" and (refusal := self._too_long(params[0])) is not None:
            return refusal
        if method in self.results:
            return {"jsonrpc": "2.0", "id": request.get("id"), "result": self.results[method]}
        self.before(method)
        known = self._head()
        faulty = getattr(self, f"_{method}", None)
        if faulty is not None:
            answer = faulty(params, known)
        else:
            answer = self._without_pending(params) or self._forward(method, params)
        return {"jsonrpc": "2.0", "id": request.get("id"), **answer}

    def _too_long(self, query: Json) -> Refusal | None:
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        self.spans.append((first, last))
        return self.span[1] if self.span and last - first >= self.span[0] else None

    def answers(self, asked: Json | list[Json]) -> tuple[int, Mapping[str, str], str]:
        """Give status, headers and body of the response to a request, or to a batch."""
        many = asked if isinstance(asked, list) else [asked]
        self.sizes.append(len(many))
        if isinstance(asked, list):
            if self.batch is not None and len(many) > self.batch[0]:
                return _response(self.batch[1], None)
            found = [self._answer(request) for request in many]
            pairs = zip(found, many, strict=True)
            return 200, {}, json.dumps([_member(answer, of.get("id")) for answer, of in pairs])
        answer = self._answer(asked)
        if isinstance(answer, Refusal):
            return _response(answer, asked.get("id"))
        return 200, {}, json.dumps(answer)

    def _head(self) -> int | None:
        """Give the newest block of the backend whose turn it is; None = the node's own."""
        if not self.backends:
            return self.head
        self._turn += 1
        behind = self.backends[self._turn % len(self.backends)]
        return max(0, self.number() - behind) if behind else None

    def _without_pending(self, params: Sequence[object]) -> Json | None:
        if "pending" not in params or self.pending == "":
            return None
        return {"error": {"code": -32000, "message": self.pending or "pending block is not there"}}

    def _eth_blockNumber(self, params: list[Any], known: int | None) -> Json:
        return self._forward("eth_blockNumber", params) if known is None else _result(hex(known))

    def _eth_getBlockByNumber(self, params: list[Any], known: int | None) -> Json:
        if params[0] == "pending" and self.pending is None:
            return _result(None)
        refused = self._without_pending(params)
        if refused is not None:
            return refused
        if known is not None and params[0] == "latest":
            params[0] = hex(known)
        return self._known(self._forward("eth_getBlockByNumber", params), known, params[0])

    def _eth_getBlockByHash(self, params: list[Any], known: int | None) -> Json:
        return self._known(self._forward("eth_getBlockByHash", params), known)

    def _known(self, answer: Json, known: int | None, tag: str = "") -> Json:
        """Hide a block that the node does not know, and let time stand still."""
        block = answer.get("result")
        if block is None:
            return answer
        if known is not None and tag != "pending" and int(block["number"], 16) > known:
            return _result(None)
        if self.frozen is not None and int(block["timestamp"], 16) > self.frozen:
            block["timestamp"] = hex(self.frozen)
        return answer

    def _eth_getLogs(self, params: list[Any], known: int | None) -> Json:
        answer = self._forward("eth_getLogs", params)
        if "result" not in answer:
            return answer
        bounds = [bound for bound in (known, self.logs_until, self._aged()) if bound is not None]
        last = min(bounds, default=1 << 62)
        logs = [
            log
            for log in answer["result"]
            if self.logs_from <= int(log["blockNumber"], 16) <= last and not self.dropped(log)
        ]
        return _result(logs[: self.most_logs])

    def _eth_getTransactionReceipt(self, params: list[Any], known: int | None) -> Json:
        answer = self._forward("eth_getTransactionReceipt", params)
        return answer if self.receipts and self.lone_receipts else _result(None)

    def _eth_getBlockReceipts(self, params: list[Any], known: int | None) -> Json:
        if not self.receipts:
            return {"error": {"code": -32000, "message": "receipts are pruned"}}
        return self._forward("eth_getBlockReceipts", params)

    def _eth_getTransactionByHash(self, params: list[Any], known: int | None) -> Json:
        answer = self._forward("eth_getTransactionByHash", params)
        return answer if self.transactions else _result(None)

    def _eth_sendRawTransaction(self, params: list[Any], known: int | None) -> Json:
        answer = self._forward("eth_sendRawTransaction", params)
        if "error" in answer and self.words is not None:
            code, message = self.words
            return Refusal(code, message).error
        return answer

    def _eth_getTransactionCount(self, params: list[Any], known: int | None) -> Json:
        if str(params[1]).startswith("0x") and not self.states(int(params[1], 16)):
            return {"error": {"code": -32000, "message": "missing trie node"}}
        refused = self._without_pending(params)
        return refused or self._forward("eth_getTransactionCount", params)

    def _eth_call(self, params: list[Any], known: int | None) -> Json:
        tag = str(params[1]) if len(params) > 1 else "latest"
        if tag.startswith("0x"):
            number = int(tag, 16)
            if not self.states(number):
                return {"error": {"code": -32000, "message": "missing trie node"}}
            if known is not None and number > known:
                return {"error": {"code": -32000, "message": "header not found"}}
        return self._without_pending(params) or self._forward("eth_call", params)

    # -- the node behind it

    def _forward(self, method: str, params: Sequence[object]) -> Json:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.target, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: Json = json.loads(answer.read())
        return {key: found[key] for key in ("result", "error") if key in found}

    def _watch(self) -> None:
        """Note when each head was first seen."""
        while not self._stop.wait(LOOK):
            try:
                number = self.number()
            except OSError:
                continue
            if not self._seen or self._seen[-1][1] != number:
                self._seen.append((time.monotonic(), number))

    def _aged(self) -> int | None:
        """Give the newest block whose logs have come, if they take their time."""
        if not self.log_delay:
            return None
        end = time.monotonic() - self.log_delay
        return max((number for at, number in self._seen if at <= end), default=-1)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, headers, text = proxy.answers(asked)
                body = text.encode()
                self.send_response_only(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                """Print nothing."""

        return Handler


def _response(refusal: Refusal, number: object) -> tuple[int, Mapping[str, str], str]:
    plain = refusal.code is None
    body = refusal.message if plain else json.dumps(_member(refusal, number))
    return refusal.status, refusal.headers, body


def _member(answer: Json | Refusal, number: object) -> Json:
    given = answer.error if isinstance(answer, Refusal) else answer
    return {"jsonrpc": "2.0", "id": number, **given}


def _result(value: object) -> Json:
    return {"result": value}


def federation_of(log: Mapping[str, Any]) -> str:
    """Give the federation that a log is of, as hexadecimal digits."""
    return str(log["topics"][1]).removeprefix("0x")
