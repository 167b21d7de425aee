"""One look at a chain serves a node's step, and costs one request while no block comes."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from ledger.chain.answers import Json
from ledger.chain.client import Chain
from ledger.chain.glance import HOLDS, Glance
from ledger.chain.rpc import RpcEngine
from ledger.chain.types import Block
from tests.engines import embedded


class Node:
    """A chain's node with a newest block, and a pending one if it has any."""

    def __init__(self) -> None:
        self.number, self.asked, self.pending = 7, list[object](), True

    def __call__(self, method: str, params: Sequence[object]) -> Json:
        if method == "eth_chainId":
            return {"result": "0x1"}
        self.asked.append(params[0])
        ahead = params[0] == "pending"
        if ahead and not self.pending:
            return {"result": None}
        number = self.number + ahead
        header = {
            "number": hex(number),
            "hash": "0x" + number.to_bytes(32).hex(),
            "parentHash": "0x" + (number - 1).to_bytes(32).hex(),
            "timestamp": hex(1_000 + number),
            "transactions": [],
        }
        return {"result": header}


def test_a_block_is_asked_for_once() -> None:
    node = Node()
    engine = RpcEngine(node, "http://node")
    assert [(block.number, time) for block, time in (engine.look(), engine.look())] == [
        (7, 1_008)
    ] * 2
    assert node.asked == ["pending", "latest", "pending"]
    node.number = 8
    assert engine.look()[0].number == 8
    node.pending = False
    block, time = engine.look()
    assert (block.number, time) == (8, block.timestamp)


def test_a_look_holds_for_a_moment_and_not_behind_a_transaction() -> None:
    clock, looks = [0.0], [0]
    chain = embedded().chain
    block = chain.newest()

    def look() -> tuple[Block, int]:
        looks[0] += 1
        return replace(block, number=looks[0]), 5

    glance = Glance(look, lambda: clock[0])
    for at, number in ((0.0, 1), (HOLDS * 0.9, 1), (HOLDS, 2)):
        clock[0] = at
        assert glance()[0].number == number
    glance.forget()
    assert glance()[0].number == 3


def test_a_chain_looks_again_after_it_has_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = embedded()
    chain: Chain = engine.chain
    looks: list[int] = []
    look = chain._engine.look

    def counted() -> object:
        looks.append(0)
        return look()

    monkeypatch.setattr(chain._engine, "look", counted)
    with chain.glance():
        assert chain.newest().number == chain.block_number()
        assert chain.now() > 0
        assert len(looks) == 1
        chain.send(engine.accounts[0], engine.accounts[1].address)
        assert chain.newest().number == 1
        assert len(looks) == 2
    chain.now()
    assert len(looks) == 2
