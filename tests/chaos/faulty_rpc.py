"""A JSON-RPC proxy in front of a real chain's node, with the faults that balanced nodes have.

Every fault is an attribute that a test sets and clears at any time. Without one the proxy answers
what the node answers. Blocks are numbered as the node numbers them.
"""

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Json = dict[str, Any]
LOOK = 0.05
"""Seconds between looks at the head, from which on a block's age counts."""


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

    def _answer(self, request: Json) -> Json:
        method, params = request["method"], list(request.get("params", []))
        self.asked.append(method)
        known = self._head()
        faulty = getattr(self, f"_{method}", None)
        if faulty is not None:
            answer = faulty(params, known)
        else:
            answer = self._without_pending(params) or self._forward(method, params)
        return {"jsonrpc": "2.0", "id": request.get("id"), **answer}

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
                many = isinstance(asked, list)
                answers = [proxy._answer(request) for request in (asked if many else [asked])]
                body = json.dumps(answers if many else answers[0]).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                """Print nothing."""

        return Handler


def _result(value: object) -> Json:
    return {"result": value}


def federation_of(log: Mapping[str, Any]) -> str:
    """Give the federation that a log is of, as hexadecimal digits."""
    return str(log["topics"][1]).removeprefix("0x")
