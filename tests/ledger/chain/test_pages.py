"""Pages of logs: how a node's limits are found, and when a question is over."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from ledger.chain import questions
from ledger.chain.errors import ChainBusy, ChainError, ChainUnreachable, RpcRefused
from ledger.chain.questions import TransportFailure
from ledger.chain.reading import SPAN
from ledger.chain.rpc import RpcEngine
from ledger.chain.statuses import Response
from ledger.chain.transport import _seconds, transports
from ledger.types import Address

ANY = Address("0x" + "11" * 20)


@dataclass
class Node:
    """A node that takes ranges of up to `most` blocks; `refuse` answers longer ones."""

    most: int
    refuse: Callable[[], Response]
    asked: list[tuple[int, int]] = field(default_factory=list)

    def __call__(self, body: bytes) -> Response:
        request = json.loads(body)
        if isinstance(request, list):
            return self.refuse()
        result: object = "0x1"
        if request["method"] == "eth_getLogs":
            query = request["params"][0]
            first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
            self.asked.append((first, last))
            if last - first >= self.most:
                return self.refuse()
            result = []
        elif request["method"] != "eth_chainId":
            return self.refuse()
        return Response(json.dumps({"id": request["id"], "result": result}).encode())

    @property
    def served(self) -> list[tuple[int, int]]:
        return [(first, last) for first, last in self.asked if last - first < self.most]


def reader(node: Node, monkeypatch: pytest.MonkeyPatch) -> RpcEngine:
    monkeypatch.setattr("ledger.chain.transport._http", lambda _: node)
    transport, batch = transports("http://node.example")
    return RpcEngine(transport, "http://node.example", batch=batch, pause=lambda _: None)


def require_whole(served: list[tuple[int, int]], first: int, last: int) -> None:
    """Require that each block is in one page."""
    assert served[0][0] == first
    assert served[-1][1] == last
    assert [begin for begin, _ in served[1:]] == [end + 1 for _, end in served[:-1]]


def error(status: int, code: int = -32000) -> Response:
    body = json.dumps({"id": 0, "error": {"code": code, "message": "too wide"}}).encode()
    return Response(body, status, problem=f"HTTP status {status}")


def bare(status: int) -> Response:
    return Response(b"<html>", status, problem=f"HTTP status {status}")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 502, 503])
@pytest.mark.parametrize("told", [error, bare])
def test_a_range_is_narrowed_whatever_the_status(
    told: Callable[[int], Response], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(3, lambda: told(status))
    engine = reader(node, monkeypatch)
    assert engine.logs(ANY, [], 7, 60) == []
    require_whole(node.served, 7, 60)
    node.most = 0
    with pytest.raises(ChainError) as refused:
        engine.logs(ANY, [], 7, 60)
    assert node.asked[-1] == (7, 7)
    assert ("a login" in str(refused.value)) == (status in (401, 403))
    assert isinstance(refused.value, ChainBusy) == (status == 429)
    if told is bare:
        assert f"HTTP status {status}" in str(refused.value)


def test_every_head_is_reached_in_few_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(1 << 64, lambda: error(200))
    reader(node, monkeypatch).logs(ANY, [], 5, 1 << 62)
    require_whole(node.served, 5, 1 << 62)
    assert len(node.asked) < 64


def test_a_head_that_a_limit_puts_out_of_reach_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(10_000, lambda: error(200))
    with pytest.raises(RpcRefused, match="at 10000 blocks each; give --from-block"):
        reader(node, monkeypatch).logs(ANY, [], 0, 1 << 62)
    assert len(node.asked) < 48


@pytest.mark.parametrize("most", [7, 800, SPAN, 3 * SPAN])
def test_a_limit_is_remembered(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(most, lambda: error(200))
    last = 100 * most
    reader(node, monkeypatch).logs(ANY, [], 0, last)
    require_whole(node.served, 0, last)
    assert len(node.served) < 210
    assert len(node.asked) - len(node.served) < 32


def test_a_limit_that_ends_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(1, lambda: error(200))
    engine = reader(node, monkeypatch)
    engine.logs(ANY, [], 0, 20)
    node.most = 1 << 64
    node.asked.clear()
    engine.logs(ANY, [], 0, 1 << 40)
    assert len(node.asked) < 80


def test_a_question_is_over_in_time_however_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    def drip() -> Response:
        time.sleep(_seconds())
        raise TransportFailure("no whole answer in time", sent=True, narrow=True)

    node = Node(0, drip)
    engine = reader(node, monkeypatch)
    monkeypatch.setattr("ledger.chain.transport.REQUEST_TIMEOUT", 0.15)
    monkeypatch.setattr(questions, "PATIENCE", 0.3)
    for asked in (
        lambda: engine.logs(ANY, [], 0, 1 << 40),
        lambda: engine.blocks([bytes(32)] * 100),
        lambda: engine.quote(ANY),
    ):
        started = time.monotonic()
        with pytest.raises(ChainUnreachable, match="in time"):
            asked()
        assert time.monotonic() - started < 0.6


@pytest.mark.parametrize(("seconds", "told"), [(86_400.0, "in 86400 s"), (2.5e11, "than a day;")])
def test_a_long_wait_is_not_told_in_seconds(seconds: float, told: str) -> None:
    assert told in str(ChainBusy("http://node.example", "eth_call", "busy", seconds))
