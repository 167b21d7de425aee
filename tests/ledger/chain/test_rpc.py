"""Sending through a node that is made to fail: lost answers, taken nonces, odd forms."""

import contextlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
import rlp
from eth_abi.abi import encode as abi_encode
from eth_account import Account as EthAccount
from eth_utils.crypto import keccak

from ledger.chain.accounts import Account
from ledger.chain.answers import Json
from ledger.chain.client import Chain
from ledger.chain.errors import (
    ChainError,
    ChainUnreachable,
    MalformedAnswer,
    Reverted,
    RpcRefused,
    TransactionFailed,
    TransactionPending,
    TransactionTooLarge,
    Unfunded,
)
from ledger.chain.questions import ATTEMPTS, TransportFailure
from ledger.chain.rpc import RpcEngine
from ledger.chain.sending import DISTINCT
from tests.accounts import new_account

TARGET = new_account().address
HASH = "0x" + "ab" * 32


@dataclass
class Node:
    """A node in a few lines: it mines at once what it takes. `faults` go first, one a request."""

    sender: str
    base_fee: int | None = 7
    nonce: int = 0
    mined: dict[str, int] = field(default_factory=dict)
    pool: dict[int, str] = field(default_factory=dict)
    faults: list[Callable[[str, Sequence[object]], Json | None]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    raws: list[str] = field(default_factory=list)
    status: str = "0x1"
    mining: bool = True
    prices: dict[str, int] = field(default_factory=dict)
    blocks: int = 0
    called: list[Json] = field(default_factory=list)
    funds: int = 10**18
    suggested: int = 9
    limit: int | None = None
    strict: bool = False
    """Whether it takes no transaction that the next block could not hold."""

    def __call__(self, method: str, params: Sequence[object]) -> Json:
        self.requests.append(method)
        if self.faults and method == "eth_sendRawTransaction":
            answer = self.faults.pop(0)(method, params)
            if answer is not None:
                return answer
        found = getattr(self, method)(*params)
        return found if isinstance(found, dict) and "error" in found else {"result": found}

    def eth_chainId(self) -> str:
        return "0x539"

    def eth_getBlockByNumber(self, tag: str, full: bool) -> Json:
        fee = {} if self.base_fee is None else {"baseFeePerGas": hex(self.base_fee)}
        limit = {} if self.limit is None else {"gasLimit": hex(self.limit)}
        return {"timestamp": "0x10", **fee, **limit}

    def eth_getBalance(self, address: str, tag: str) -> str:
        return hex(self.funds)

    def eth_maxPriorityFeePerGas(self) -> str:
        return "0x1"

    def eth_gasPrice(self) -> str:
        return hex(self.suggested)

    def eth_estimateGas(self, call: Json, tag: str) -> str:
        return hex(50_000)

    def eth_getTransactionCount(self, address: str, tag: str) -> str:
        pooled = len([n for n in self.pool if n >= self.nonce]) if tag == "pending" else 0
        return hex(self.nonce + pooled)

    def eth_sendRawTransaction(self, raw: str) -> object:
        self.raws.append(raw)
        hash_ = "0x" + keccak(hexstr=raw).hex()
        nonce = self.nonce_of(raw)
        if hash_ in self.pool.values():
            return {"error": {"code": -32000, "message": "already known"}}
        if nonce < self.nonce:
            return {"error": {"code": -32000, "message": "nonce too low: next nonce 1"}}
        price = self.price_of(raw)
        if self.strict and price < (self.base_fee or 0):
            text = "max fee per gas less than block base fee"
            return {"error": {"code": -32003, "message": text}}
        if nonce in self.pool and price * 10 < self.prices.get(self.pool[nonce], price) * 11:
            text = "replacement transaction underpriced"
            return {"error": {"code": -32000, "message": text}}
        self.pool[nonce] = hash_
        self.prices[hash_] = price
        if self.mining:
            self.mine()
        return hash_

    def eth_blockNumber(self) -> str:
        return hex(self.blocks)

    def mine(self) -> None:
        self.blocks += 1
        while self.nonce in self.pool:
            if self.prices.get(self.pool[self.nonce], 1 << 99) < (self.base_fee or 0):
                return
            self.mined[self.pool.pop(self.nonce)] = self.nonce
            self.nonce += 1

    def eth_getTransactionReceipt(self, hash_: str) -> Json | None:
        if hash_ not in self.mined:
            return None
        return {
            "transactionHash": hash_,
            "transactionIndex": "0x0",
            "blockNumber": "0x1",
            "blockHash": HASH,
            "from": self.sender,
            "status": self.status,
            "gasUsed": "0x5208",
            "cumulativeGasUsed": "0x5208",
            "logs": [],
        }

    def eth_getTransactionByHash(self, hash_: str) -> Json | None:
        known = hash_ in self.mined or hash_ in self.pool.values()
        return {"hash": hash_} if known else None

    def eth_call(self, call: Json, tag: str) -> object:
        self.called.append(call)
        data = "0x08c379a0" + "20".rjust(64, "0") + "02".rjust(64, "0") + "6e6f".ljust(64, "0")
        return {"error": {"code": 3, "message": "execution reverted: no", "data": data}}

    @staticmethod
    def nonce_of(raw: str) -> int:
        typed, items = Node.fields_of(raw)
        return int.from_bytes(items[1 if typed else 0], "big")

    @staticmethod
    def price_of(raw: str) -> int:
        typed, items = Node.fields_of(raw)
        return int.from_bytes(items[3 if typed else 1], "big")

    @staticmethod
    def gas_of(raw: str) -> int:
        typed, items = Node.fields_of(raw)
        return int.from_bytes(items[4 if typed else 2], "big")

    @staticmethod
    def fields_of(raw: str) -> tuple[bool, list[bytes]]:
        data = bytes.fromhex(raw[2:])
        typed = data[0] < 0xC0
        return typed, rlp.decode(data[1:] if typed else data)


def setup(**options: object) -> tuple[Node, Chain, Account]:
    account = new_account()
    node = Node(account.address, **options)  # type: ignore[arg-type]
    return node, Chain(RpcEngine(node, "test", pause=lambda seconds: None)), account


def test_plain_send_signs_once() -> None:
    node, chain, account = setup()
    receipt = chain.send(account, TARGET, b"\1")
    assert receipt.status == 1
    assert len(node.raws) == 1
    assert EthAccount.recover_transaction(node.raws[0]) == account.address


def test_answer_lost_after_the_node_took_it() -> None:
    node, chain, account = setup()

    def lose(method: str, params: Sequence[object]) -> None:
        node.eth_sendRawTransaction(str(params[0]))
        raise TransportFailure("connection lost", sent=True)

    node.faults = [lose]
    chain.send(account, TARGET)
    assert len(set(node.raws)) == 1
    assert len(node.mined) == 1


def test_answer_lost_before_the_node_got_it() -> None:
    node, chain, account = setup()

    def lose(method: str, params: Sequence[object]) -> None:
        node.raws.append(str(params[0]))
        raise TransportFailure("connection lost", sent=True)

    node.faults = [lose, lose, lose]
    chain.send(account, TARGET)
    assert len(node.raws) == 4
    assert len(set(node.raws)) == 1
    assert len(node.mined) == 1


@pytest.mark.parametrize("where", ["mined", "pool"])
def test_nonce_taken_by_another_transaction(where: str) -> None:
    node, chain, account = setup()

    def take(method: str, params: Sequence[object]) -> None:
        node.pool[node.nonce] = "0x" + "cd" * 32
        if where == "mined":
            node.mine()

    node.faults = [take]
    chain.send(account, TARGET)
    assert [node.nonce_of(raw) for raw in node.raws] == [0, 1]
    assert len(node.mined) == 2


def test_replaced_in_the_pool_is_sent_again() -> None:
    """Another process outbids us at our nonce: ours cannot be mined, so the next is signed."""
    node, _, account = setup(mining=False)
    clock = itertools.count()

    def pause(seconds: float) -> None:
        step = next(clock)
        if step == 3:
            node.pool[0] = "0x" + "cd" * 32
        if step >= 3:
            node.mine()

    engine = RpcEngine(node, "test", pause=pause, look_after=0.0)
    Chain(engine).send(account, TARGET)
    assert [node.nonce_of(raw) for raw in node.raws] == [0, 1]


def test_late_transaction_is_pending_not_replaced() -> None:
    node, chain, account = setup(mining=False)
    with pytest.raises(TransactionPending) as late:
        chain.send(account, TARGET, timeout=0.05)
    assert late.value.nonce == 0
    assert len(set(node.raws)) == 1


@dataclass
class Clockwork:
    """Does at its n-th pause what is due then, and lets the node mine at every one from then on."""

    node: Node
    due: int
    act: Callable[[], None]
    pauses: int = 0

    def __call__(self, seconds: float) -> None:
        self.pauses += 1
        if self.pauses == self.due:
            self.act()
        if self.pauses >= self.due:
            self.node.mine()


@pytest.mark.parametrize("drops", [False, True])
@pytest.mark.parametrize("strict", [False, True])
def test_price_that_rises_is_followed_at_the_same_nonce(strict: bool, drops: bool) -> None:
    """What was sent is too cheap from some block on; some nodes drop it, some keep it for ever."""
    node, _, account = setup(mining=False)

    def spike() -> None:
        node.base_fee = 1000
        node.strict = strict
        if drops:
            node.pool.clear()

    pause = Clockwork(node, 3, spike)
    receipt = Chain(RpcEngine(node, "test", pause=pause, look_after=0.0)).send(account, TARGET)
    assert {node.nonce_of(raw) for raw in node.raws} == {0}
    assert list(node.mined) == ["0x" + receipt.transaction.hex()]
    assert node.price_of(node.raws[-1]) >= 1000


@pytest.mark.parametrize("base_fee", [7, None])
def test_price_that_stays_is_not_outbid(base_fee: int | None) -> None:
    node, _, account = setup(mining=False, base_fee=base_fee)
    pause = Clockwork(node, 200, lambda: None)
    Chain(RpcEngine(node, "test", pause=pause, look_after=0.0)).send(account, TARGET)
    assert len(set(node.raws)) == 1


def test_price_beyond_our_means_is_waited_out() -> None:
    node, _, account = setup(mining=False)
    steps = itertools.count()

    def pause(seconds: float) -> None:
        step = next(steps)
        node.base_fee = 10**18 if 3 <= step < 40 else 7
        if step >= 3:
            node.mine()

    engine = RpcEngine(node, "test", pause=pause, look_after=0.0)
    assert Chain(engine).send(account, TARGET).status == 1
    assert len(set(node.raws)) == 1


def test_what_may_arrive_yet_is_outbid_and_not_forgotten() -> None:
    """An answer was lost, the price rose, and the first transaction is mined after all."""
    node, _, account = setup(strict=True, mining=False)
    lost: list[str] = []

    def lose(method: str, params: Sequence[object]) -> Json:
        lost.append(str(params[0]))
        raise TransportFailure("connection lost", sent=True)

    def spike(method: str, params: Sequence[object]) -> None:
        node.base_fee = 1000

    def arrive() -> None:
        node.pool[0] = "0x" + keccak(hexstr=lost[0]).hex()

    node.faults = [lose, spike]
    pause = Clockwork(node, 2, arrive)
    receipt = Chain(RpcEngine(node, "test", pause=pause, look_after=9.0)).send(account, TARGET)
    assert "0x" + receipt.transaction.hex() == "0x" + keccak(hexstr=lost[0]).hex()
    assert list(node.mined.values()) == [0]


def test_price_that_rises_before_the_node_has_it_is_asked_for_again() -> None:
    node, chain, account = setup(strict=True)

    def spike(method: str, params: Sequence[object]) -> None:
        node.base_fee = 1000

    node.faults = [spike]
    chain.send(account, TARGET)
    assert [node.nonce_of(raw) for raw in node.raws] == [0, 0]
    assert len(node.mined) == 1


@pytest.mark.parametrize("dropped", [False, True])
def test_nonce_that_a_killed_process_left_behind_is_used_up(dropped: bool) -> None:
    """What lies below us is too cheap, or was dropped: nothing after it would ever be mined."""
    node, _, account = setup(mining=False)
    node.pool[0] = "0x" + "cd" * 32
    node.prices[node.pool[0]] = 1
    pause = Clockwork(node, 3, node.pool.clear if dropped else lambda: None)
    engine = RpcEngine(node, "test", pause=pause, look_after=0.0, clear_after=0.0)
    receipt = Chain(engine).send(account, TARGET, b"\1")
    assert node.mined["0x" + receipt.transaction.hex()] == 1
    assert sorted(node.mined.values()) == [0, 1]


def test_dropped_from_the_pool_is_broadcast_again() -> None:
    node, _, account = setup(mining=False)
    clock = itertools.count()

    def pause(seconds: float) -> None:
        step = next(clock)
        if step == 2:
            node.pool.clear()
        if step > 6:
            node.mine()

    engine = RpcEngine(node, "test", pause=pause, look_after=0.0)
    Chain(engine).send(account, TARGET)
    assert len(node.raws) == 2
    assert len(set(node.raws)) == 1


def test_node_gone_is_unreachable_or_pending() -> None:
    node, chain, account = setup()

    def refuse(method: str, params: Sequence[object]) -> None:
        raise TransportFailure("connection refused", sent=False)

    def lose(method: str, params: Sequence[object]) -> None:
        raise TransportFailure("timed out", sent=True)

    node.faults = [refuse] * ATTEMPTS
    with pytest.raises(ChainUnreachable, match="connection refused"):
        chain.send(account, TARGET)
    node.faults = [lose] * ATTEMPTS
    with pytest.raises(TransactionPending):
        chain.send(account, TARGET)


def test_legacy_chain_without_base_fee() -> None:
    node, chain, account = setup(base_fee=None)
    chain.send(account, TARGET)
    assert bytes.fromhex(node.raws[0][2:])[0] >= 0xC0


def test_mined_without_effect_says_why() -> None:
    node, chain, account = setup(status="0x0")
    with pytest.raises(TransactionFailed, match="no") as failed:
        chain.send(account, TARGET, b"\1")
    assert failed.value.gas_used == 21_000
    # Why it failed is asked with no more gas: the code of strangers may have run.
    assert int(str(node.called[0]["gas"]), 16) < 1_000_000


@pytest.mark.parametrize("base_fee", [7, None])
def test_fixed_gas_is_simulated_at_the_price_that_is_offered(base_fee: int | None) -> None:
    node, chain, account = setup(base_fee=base_fee)
    with pytest.raises(Reverted):
        chain.send(account, TARGET, b"\1", gas=600_000)
    assert node.raws == []
    assert "eth_estimateGas" not in node.requests
    (call,) = node.called
    prices = {"gasPrice": "0x9"}
    if base_fee is not None:
        prices = {"maxFeePerGas": hex(2 * base_fee + 1), "maxPriorityFeePerGas": "0x1"}
    assert prices.items() <= call.items()
    assert call["from"] == account.address
    assert 600_000 <= int(str(call["gas"]), 16) <= 600_000 + DISTINCT


@pytest.mark.parametrize("words", ["insufficient funds", "Upfront cost exceeds balance", ""])
@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"funds": 5}, Unfunded),
        ({"limit": 50_000}, TransactionTooLarge),
        ({}, RpcRefused),
    ],
)
def test_what_a_refusal_means_is_the_nodes_state(
    change: dict[str, int], kind: type[Exception], words: str
) -> None:
    node, chain, account = setup()

    def refuse(method: str, params: Sequence[object]) -> Json:
        for name, value in change.items():
            setattr(node, name, value)
        return {"error": {"code": -32000, "message": words}}

    node.faults = [refuse] * ATTEMPTS
    with pytest.raises(kind):
        chain.send(account, TARGET)


@pytest.mark.parametrize("words", ["FeeTooLow", "gas price below configured minimum"])
def test_a_price_that_the_node_names_is_offered(words: str) -> None:
    """Besu at a base fee of 0 takes no tip below its minimum, which it suggests as a price."""
    node, chain, account = setup(base_fee=0, suggested=1000)
    asked = []

    def refuse(method: str, params: Sequence[object]) -> Json | None:
        asked.append(node.price_of(str(params[0])))
        return {"error": {"code": -32009, "message": words}} if asked[-1] < 1000 else None

    node.faults = [refuse] * 3
    chain.send(account, TARGET)
    assert asked == [1, 1000]
    assert [node.nonce_of(raw) for raw in node.raws] == [0]


@pytest.mark.parametrize(("limit", "most"), [(300_000, 300_000), (60_000, 60_000), (None, 400_000)])
def test_gas_stays_below_the_blocks_limit(limit: int | None, most: int) -> None:
    node, chain, account = setup(limit=limit)
    chain.send(account, TARGET, b"\1")
    assert 50_000 <= node.gas_of(node.raws[0]) <= most
    if limit is not None:
        with pytest.raises(TransactionTooLarge) as refused:
            chain.send(account, TARGET, gas=limit + 1)
        assert refused.value.limit == limit
    node.limit = 49_999
    with pytest.raises(TransactionTooLarge, match=r"at least 50000 gas, the limit is 49999"):
        chain.send(account, TARGET, b"\1")
    assert len(node.raws) == 1


TAKEN_WORDS = ["nonce too low", "OldNonce", "ReplacementNotAllowed", "invalid transaction", ""]
"""What nodes say if another transaction has the nonce: geth, Nethermind twice, and others."""


@pytest.mark.parametrize("where", ["mined", "pool"])
@pytest.mark.parametrize("words", TAKEN_WORDS)
def test_a_taken_nonce_is_known_by_the_nodes_state(words: str, where: str) -> None:
    node, chain, account = setup()

    def take(method: str, params: Sequence[object]) -> Json:
        node.pool[node.nonce] = "0x" + "cd" * 32
        if where == "mined":
            node.mine()
        return {"error": {"code": -32010, "message": words}}

    node.faults = [take]
    chain.send(account, TARGET)
    assert [node.nonce_of(raw) for raw in node.raws] == [1]


KNOWN_WORDS = ["already known", "AlreadyKnown", "Known transaction", "invalid transaction"]


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("words", KNOWN_WORDS)
def test_our_own_transaction_is_never_signed_twice(words: str, hidden: bool) -> None:
    """The node took it and its answer was lost; it may not show what waits in its pool."""
    node, _, account = setup(mining=False)

    def lose(method: str, params: Sequence[object]) -> Json:
        node.eth_sendRawTransaction(str(params[0]))
        raise TransportFailure("connection lost", sent=True)

    def refuse(method: str, params: Sequence[object]) -> Json:
        return {"error": {"code": -32000, "message": words}}

    def transport(method: str, params: Sequence[object]) -> Json:
        if hidden and method == "eth_getTransactionByHash":
            return {"result": None}
        return node(method, params)

    node.faults = [lose, refuse, refuse]
    pause = Clockwork(node, 5, lambda: None)
    Chain(RpcEngine(transport, "test", pause=pause, look_after=0.0)).send(account, TARGET)
    assert len(set(node.raws)) == 1


INDEXING: Json = {"error": {"code": -32000, "message": "transaction indexing is in progress"}}
ASKED = [
    "eth_getTransactionByHash",
    "eth_getTransactionReceipt",
    "eth_getTransactionCount",
    "eth_blockNumber",
]


UNANSWERED: list[Json | TransportFailure] = [
    INDEXING,
    {"result": "soon"},
    TransportFailure("connection refused", sent=False),
]


@pytest.mark.parametrize("unanswered", UNANSWERED, ids=["refused", "nonsense", "unreachable"])
@pytest.mark.parametrize("method", ASKED)
@pytest.mark.parametrize("late", [False, True], ids=["taken", "late"])
def test_a_question_that_is_not_answered_is_asked_again(
    method: str, late: bool, unanswered: Json | TransportFailure
) -> None:
    """geth refuses some while it builds its index; so may any node any question."""
    node, _, account = setup(mining=not late)
    refusals = iter([unanswered] * 9)

    def transport(asked: str, params: Sequence[object]) -> Json:
        early = not node.raws and not node.mined
        if asked == method and not early and (refusal := next(refusals, None)):
            if isinstance(refusal, TransportFailure):
                raise refusal
            return refusal
        return node(asked, params)

    def take(asked: str, params: Sequence[object]) -> Json:
        node.mined["0x" + "cd" * 32] = node.nonce
        node.nonce += 1
        return {"error": {"code": -32000, "message": "nonce too low"}}

    node.faults = [] if late else [take]
    pause = Clockwork(node, 30, lambda: None)
    Chain(RpcEngine(transport, "test", pause=pause, look_after=0.0)).send(account, TARGET)
    assert list(node.mined.values()) == ([0] if late else [0, 1])


def test_a_question_that_stays_refused_ends_with_the_timeout() -> None:
    node, _, account = setup()

    def transport(method: str, params: Sequence[object]) -> Json:
        return INDEXING if method == "eth_getTransactionByHash" else node(method, params)

    node.faults = [lambda method, params: {"error": {"code": 1, "message": "OldNonce"}}] * 10**6
    chain = Chain(RpcEngine(transport, "test", pause=lambda seconds: None))
    with pytest.raises(RpcRefused, match="OldNonce"):
        chain.send(account, TARGET, timeout=0.05)


REVERTS = [
    {"code": 3, "message": "execution reverted", "data": "0x01020304"},
    {"code": -32000, "message": "execution reverted", "data": {"data": "0x01020304"}},
    {"code": -32603, "message": "VM error", "data": {"data": {"result": "0x01020304"}}},
    {"code": -32000, "message": "execution reverted", "data": "Reverted 0x01020304"},
]


@pytest.mark.parametrize("error", REVERTS)
def test_revert_data_wherever_a_node_puts_it(error: Json) -> None:
    engine = RpcEngine(
        lambda method, params: {"result": "0x1"} if method == "eth_chainId" else {"error": error},
        "test",
    )
    with pytest.raises(Reverted) as reverted:
        Chain(engine).call(TARGET, b"")
    assert reverted.value.data == b"\1\2\3\4"


NONSENSE: list[object] = [None, 5, "", "0x", "0xzz", "12", [], {}, {"number": "0x1"}, True, "0x-1"]


@pytest.mark.parametrize("answer", NONSENSE)
def test_nonsense_is_a_malformed_answer(answer: object) -> None:
    def transport(method: str, params: Sequence[object]) -> Json:
        return {"result": "0x1" if method == "eth_chainId" else answer}

    chain = Chain(RpcEngine(transport, "test", pause=lambda seconds: None))
    with pytest.raises(MalformedAnswer):
        chain.block_number()
    for read in (chain.block, chain.receipt, chain.transaction):
        with contextlib.suppress(MalformedAnswer):
            assert read(bytes(32)) is None
    with contextlib.suppress(MalformedAnswer):
        assert chain.logs(TARGET, [], 0, 1) == []


LONG: list[object] = ["x" * 1_000_000, ["x" * 9_000] * 900, {"x": "y" * 9_000_000}]


@pytest.mark.parametrize("words", LONG)
@pytest.mark.parametrize("code", [-32000, 429, 3, 10**4000])
def test_an_error_of_many_words_keeps_address_and_advice(words: object, code: int) -> None:
    text = abi_encode(["string"], ["z" * 90_000]).hex() if code == 3 else "12" * 90_000
    told = {"code": code, "message": words, "data": f"0x08c379a0{text}"}

    def transport(method: str, params: Sequence[object]) -> Json:
        return {"result": "0x1"} if method == "eth_chainId" else {"error": told}

    chain = Chain(RpcEngine(transport, "http://node.example", pause=lambda seconds: None))
    for asked in (chain.block_number, lambda: chain.call(TARGET, b"")):
        with pytest.raises(ChainError) as refused:
            asked()
        line = str(refused.value)
        assert len(line) < 1_500
        assert code != 429 or ("node.example" in line and line.endswith("another --rpc"))


def test_reads_are_retried() -> None:
    failures = iter([True, True, False, False])

    def transport(method: str, params: Sequence[object]) -> Json:
        if next(failures):
            raise TransportFailure("connection lost", sent=True)
        return {"result": "0x5"}

    chain = Chain(RpcEngine(transport, "test", pause=lambda seconds: None))
    assert (chain.chain_id, chain.block_number()) == (5, 5)


def test_receipts_one_by_one_where_a_node_has_no_other_way() -> None:
    node, chain, account = setup()
    receipt = chain.send(account, TARGET)
    hash_ = "0x" + receipt.transaction.hex()

    def transport(method: str, params: Sequence[object]) -> Json:
        if method == "eth_getBlockReceipts":
            return {"error": {"code": -32601, "message": "no such method"}}
        if method == "eth_getBlockByHash":
            fields = {"number": "0x1", "timestamp": "0x1", "hash": HASH, "parentHash": HASH}
            return {"result": {**fields, "transactions": [hash_]}}
        return node(method, params)

    assert Chain(RpcEngine(transport, "test")).receipts(bytes(32)) == [receipt]


def test_proof_of_authority_block_is_read() -> None:
    """Clique puts a seal into extraData, 97 bytes and more, and its headers end with the nonce."""
    extra = "0x" + "ab" * 97
    fields = {"number": "0x1", "timestamp": "0x5", "hash": HASH, "parentHash": HASH}
    block = {**fields, "extraData": extra, "difficulty": "0x2", "transactions": []}
    chain = Chain(
        RpcEngine(
            lambda method, params: {"result": "0x1" if method == "eth_chainId" else block}, "test"
        )
    )
    found = chain.block(1)
    assert found is not None
    assert found.header["extraData"] == b"\xab" * 97
    assert found.header["difficulty"] == b"\2"
    assert "baseFeePerGas" not in found.header


BLOCK = {"number": "0x1", "hash": HASH, "parentHash": HASH, "timestamp": "0x10", "transactions": []}
HASHES = [bytes([n]) * 32 for n in range(1, 6)]


def _whole(requests: Sequence[tuple[str, Sequence[object]]]) -> list[Json]:
    return [{"result": {**BLOCK, "hash": params[0]}} for _, params in requests]


LIMIT: Json = {"error": {"code": -32005, "message": "limit"}}
SINGLY = [5, 2, 1, 1, 1, 1, 1]


def _lost(answers: list[Json]) -> list[Json]:
    raise TransportFailure("lost", sent=True)


def _without_connection(answers: list[Json]) -> list[Json]:
    raise TransportFailure("no connection", sent=False)


def _up_to(most: int) -> Callable[[list[Json]], list[Json]]:
    return lambda answers: answers if len(answers) <= most else [LIMIT]


@pytest.mark.parametrize(
    ("broken", "sizes"),
    [
        (lambda answers: answers[:-1], SINGLY),
        (lambda answers: [*answers, answers[0]], SINGLY),
        (lambda answers: [{"error": {"code": -32600, "message": "no batches"}}], SINGLY),
        (_lost, SINGLY),
        (_without_connection, [5, 1, 4, 1, 3, 1, 2, 1, 1]),
        (_up_to(3), [5, 2, 3]),
        (lambda answers: [*answers[:3], *[LIMIT] * len(answers[3:])], [5, 2]),
        (lambda answers: [*answers[:1], *[LIMIT] * len(answers[1:])], [5, 2, 1, 1, 1]),
    ],
)
def test_a_batch_is_made_smaller_until_the_node_takes_it(
    broken: Callable[[list[Json]], list[Json]], sizes: list[int]
) -> None:
    asked: list[int] = []

    def single(method: str, params: Sequence[object]) -> Json:
        asked.append(1)
        return {"result": "0x1"} if method == "eth_chainId" else _whole([(method, params)])[0]

    def batch(requests: Sequence[tuple[str, Sequence[object]]]) -> Sequence[Json]:
        asked.append(len(requests))
        return broken(_whole(requests))

    engine = RpcEngine(single, "node", batch=batch, pause=lambda seconds: None)
    found = engine.blocks(HASHES)
    assert [block.hash for block in found if block is not None] == HASHES
    assert asked[1:] == sizes


def test_a_batch_grows_again() -> None:
    sizes: list[int] = []
    most = 1

    def batch(requests: Sequence[tuple[str, Sequence[object]]]) -> Sequence[Json]:
        sizes.append(len(requests))
        return _whole(requests) if len(requests) <= most else [LIMIT]

    def single(method: str, params: Sequence[object]) -> Json:
        return {"result": "0x1"} if method == "eth_chainId" else _whole([(method, params)])[0]

    engine = RpcEngine(single, "node", batch=batch, pause=lambda seconds: None)
    engine.blocks(HASHES * 8)
    most = 100
    sizes.clear()
    engine.blocks(HASHES * 8)
    assert sizes == [2, 3, 4, 5, 6, 7, 5]


def test_many_things_take_few_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def batch(requests: Sequence[tuple[str, Sequence[object]]]) -> Sequence[Json]:
        sizes.append(len(requests))
        return _whole(requests)

    monkeypatch.setattr("ledger.chain.questions.BATCH", 2)
    engine = RpcEngine(lambda method, params: {"result": "0x1"}, "node", batch=batch)
    found = engine.blocks(HASHES[:4])
    assert [block.hash for block in found if block is not None] == HASHES[:4]
    assert sizes == [2, 2]
    assert engine.blocks([]) == []


@pytest.mark.parametrize("base_fee", [7, None])
def test_what_a_transaction_has_to_know_takes_one_request(base_fee: int | None) -> None:
    node, _, account = setup(base_fee=base_fee)
    node.nonce = 3

    def batch(requests: Sequence[tuple[str, Sequence[object]]]) -> Sequence[Json]:
        answers = [node(method, params) for method, params in requests]
        del node.requests[-len(requests) :]
        node.requests.append("batch")
        return answers

    chain = Chain(RpcEngine(node, "test", batch=batch, pause=lambda seconds: None))
    node.requests.clear()
    chain.send(account, TARGET)
    fees = ["eth_gasPrice"] if base_fee is None else []
    assert node.requests == [
        "eth_estimateGas",
        "batch",
        *fees,
        "eth_sendRawTransaction",
        "eth_getTransactionReceipt",
    ]
    assert [node.nonce_of(raw) for raw in node.raws] == [3]
