"""A chain's node that balances, prunes, lags or stands still: what is made of each fault."""

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fednode.testnet import Anvil
from ledger.artefacts import raw
from ledger.audit.sources import IncompleteLogs, evidence_from_chain
from ledger.chain.accounts import new_account
from ledger.chain.client import Chain
from ledger.chain.errors import (
    ChainBusy,
    ChainError,
    ChainTooOld,
    ContractRejected,
    MalformedAnswer,
    ReceiptMissing,
)
from ledger.chain.federations import Federations, deploy
from ledger.chain.questions import PATIENCE
from ledger.chain.rpc import RpcEngine
from ledger.chain.transport import transports
from ledger.chain.types import Call
from ledger.history import Checkpoint, HeadBehind, HistoryReader, LogsBehind
from ledger.replica import Origin, Replica
from ledger.stores import Artefact, MemoryStore
from tests.chaos.faulty_rpc import (
    BATCH_LIMITS,
    BUSY,
    RANGE_LIMITS,
    TAKEN_NONCE,
    FaultyRpc,
    Refusal,
)
from tests.engines import Engine, keys
from tests.ledger.chain.samples import Sample, commit, policy, start

COUNT = "eth_getTransactionCount"


@pytest.fixture(scope="module")
def told(anvil: Anvil) -> tuple[Engine, Sample]:
    """Give a history on anvil: two members, and their commits."""
    engine = Engine("anvil", Chain.connect(anvil.url), keys())
    sample = start(engine)
    commit(sample, 0)
    commit(sample, 1)
    return engine, sample


@pytest.fixture
def faulty(anvil: Anvil) -> Iterator[FaultyRpc]:
    with FaultyRpc(anvil.url) as proxy:
        yield proxy


def reader(proxy: FaultyRpc, sample: Sample, *, senders: bool = False) -> HistoryReader:
    chain = Chain.connect(proxy.url)
    return HistoryReader(chain, sample.contract.address, sample.federation, senders=senders)


def seen_from(proxy: FaultyRpc, sample: Sample) -> Federations:
    return Federations(Chain.connect(proxy.url), sample.contract.address)


def test_trailing_logs_are_waited_for(told: tuple[Engine, Sample], faulty: FaultyRpc) -> None:
    """An audit of a federation in which something happened a moment ago asks again, and holds."""
    engine, sample = told
    whole = HistoryReader(engine.chain, sample.contract.address, sample.federation).poll()
    faulty.log_delay = 1.5
    engine.chain.send(engine.accounts[9], engine.accounts[9].address)
    with pytest.raises(LogsBehind, match="lag behind its head by"):
        reader(faulty, sample).poll()
    evidence = evidence_from_chain(seen_from(faulty, sample), sample.federation, MemoryStore())
    assert list(evidence.events) == whole


@pytest.mark.parametrize("fault", ["trailing", "truncated", "pruned", "dropped"])
def test_an_audit_asks_for_another_node(
    told: tuple[Engine, Sample],
    faulty: FaultyRpc,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Logs that stay incomplete are the node's fault, and no federation's."""
    engine, sample = told
    whole = HistoryReader(engine.chain, sample.contract.address, sample.federation).poll()
    middle = whole[len(whole) // 2].meta.block_number
    if fault == "trailing":
        faulty.logs_until = middle
    elif fault == "truncated":
        faulty.most_logs = len(whole) - 1
    elif fault == "pruned":
        faulty.logs_from = middle
    else:
        faulty.dropped = lambda log: int(log["blockNumber"], 16) == middle
    contract = seen_from(faulty, sample)
    monkeypatch.setattr(contract.chain, "rest", lambda seconds: None)
    with pytest.raises(IncompleteLogs, match="this node's logs are incomplete, ask another: "):
        evidence_from_chain(contract, sample.federation, MemoryStore())


def test_a_replica_takes_what_is_shown_and_says_what_lags(
    told: tuple[Engine, Sample], faulty: FaultyRpc
) -> None:
    _, sample = told
    replica = follow(faulty, sample)
    whole = follow(faulty, sample).refresh()
    faulty.most_logs = 5
    replica.refresh()
    assert isinstance(replica.lag, LogsBehind)
    assert [c.participant for c in replica.state.round.commits] == [0]
    faulty.most_logs = None
    assert [c.participant for c in replica.refresh().round.commits] == [0, 1]
    assert replica.lag is None
    assert replica.state.h == whole.h


def follow(proxy: FaultyRpc, sample: Sample) -> Replica:
    """Follow the federation through the proxy; its policy needs no store."""
    chain_id, ledger = sample.contract.chain.chain_id, sample.contract.address
    cid, data = raw(policy(chain_id, ledger).encode())
    store = MemoryStore()
    store.put(Artefact((cid,), {cid: data}))
    origin = Origin(chain_id, ledger, sample.federation)
    return Replica(reader(proxy, sample), store, origin=origin)


def test_a_backend_that_is_behind_is_no_reorganisation(
    told: tuple[Engine, Sample], faulty: FaultyRpc
) -> None:
    """Requests go to several nodes in turn, of which one is some blocks behind the others."""
    _, sample = told
    replica = follow(faulty, sample)
    replica.refresh()
    h, state = replica.state.h, replica.state
    resets: list[None] = []
    replica._source.reset = lambda: resets.append(None)  # type: ignore[method-assign]
    for behind in [(0, 3), (3, 0), (0, 1, 2), (0, 0, 5)]:
        faulty.backends = behind
        for _ in range(7):
            assert replica.refresh() is state
            assert replica.state.h == h
    assert resets == []


def test_a_head_that_stays_behind_is_a_chain_that_lost_its_blocks(
    told: tuple[Engine, Sample], faulty: FaultyRpc
) -> None:
    _, sample = told
    replica = follow(faulty, sample)
    whole = replica.refresh()
    first = whole.round.commits[0].meta.block_number
    faulty.head = first
    assert replica.refresh() is whole
    assert isinstance(replica.lag, HeadBehind)
    assert replica.refresh() is whole
    assert [c.participant for c in replica.refresh().round.commits] == [0]
    assert replica.lag is None


@pytest.mark.parametrize("pending", [None, "method not supported"], ids=["null", "error"])
def test_a_node_without_pending_block_is_asked_for_its_newest(
    told: tuple[Engine, Sample],
    faulty: FaultyRpc,
    pending: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine, sample = told
    faulty.pending = pending
    contract = seen_from(faulty, sample)
    with caplog.at_level(logging.WARNING, "fednode"):
        assert contract.chain.now() == engine.chain.newest().timestamp
        known = sample.contract.accumulator(sample.federation)
        assert contract.accumulator(sample.federation) == known
        assert contract.chain.balance(engine.accounts[7].address) > 0
        with pytest.raises(ContractRejected, match="NothingToDo"):
            contract.advance(engine.accounts[3], sample.federation)
        contract.checkpoint(engine.accounts[3], sample.federation)
    assert caplog.text.count("has no pending block") == 1


def test_a_mined_transaction_is_found_without_its_index(
    told: tuple[Engine, Sample], faulty: FaultyRpc
) -> None:
    """The node knows it neither by its hash nor its receipt, but its block, and all receipts there:
    nothing is sent twice.
    """
    engine, sample = told
    contract = seen_from(faulty, sample)
    faulty.transactions = False
    faulty.lone_receipts = False
    before = engine.chain.block_number()
    receipt = contract.checkpoint(engine.accounts[4], sample.federation)
    assert receipt.block_number == before + 1 == engine.chain.block_number()
    assert len(receipt.logs) == 1


def test_pruned_receipts_are_named_and_nothing_is_sent_twice(
    told: tuple[Engine, Sample], faulty: FaultyRpc
) -> None:
    engine, sample = told
    contract = seen_from(faulty, sample)
    faulty.transactions = faulty.receipts = False
    before = engine.chain.block_number()
    with pytest.raises(ReceiptMissing, match=f"mined in block {before + 1}, .* pruned or lost"):
        contract.checkpoint(engine.accounts[4], sample.federation)
    assert engine.chain.block_number() == before + 1
    faulty.transactions = True
    with pytest.raises(ReceiptMissing, match="has no receipt of it"):
        evidence_from_chain(contract, sample.federation, MemoryStore())
    with pytest.raises(ReceiptMissing, match="has no receipt of it"):
        contract.chain.receipts(engine.chain.newest().hash)


def test_a_node_without_old_states_proves_its_newest(
    told: tuple[Engine, Sample], faulty: FaultyRpc
) -> None:
    engine, sample = told
    faulty.states = lambda block: False
    told_by = [e for e in reader(faulty, sample).poll() if not isinstance(e, Checkpoint)]
    whole = HistoryReader(engine.chain, sample.contract.address, sample.federation, senders=False)
    assert told_by == [e for e in whole.poll() if not isinstance(e, Checkpoint)]
    faulty.most_logs = len(told_by) - 1
    with pytest.raises(LogsBehind):
        reader(faulty, sample).poll()


def test_logs_come_in_real_time(told: tuple[Engine, Sample], faulty: FaultyRpc) -> None:
    """The proxy does what it says: a block's logs are there a while after the block."""
    _, sample = told
    faulty.log_delay = 60.0
    follower = reader(faulty, sample)
    with pytest.raises(LogsBehind):
        follower.poll()
    faulty.log_delay = 0.2
    time.sleep(1.0)
    assert follower.poll()


def asking(proxy: FaultyRpc, pauses: list[float]) -> RpcEngine:
    """Ask through the proxy; pauses are noted, and not made."""
    transport, batch = transports(proxy.url)
    return RpcEngine(transport, proxy.url, batch=batch, pause=pauses.append)


@pytest.mark.parametrize("said", RANGE_LIMITS.values(), ids=RANGE_LIMITS)
def test_a_range_that_is_refused_is_asked_for_in_parts(
    told: tuple[Engine, Sample], faulty: FaultyRpc, said: Refusal
) -> None:
    engine, sample = told
    whole = HistoryReader(engine.chain, sample.contract.address, sample.federation).poll()
    pauses: list[float] = []
    chain = Chain(asking(faulty, pauses))
    faulty.span = (3, said)
    assert HistoryReader(chain, sample.contract.address, sample.federation).poll() == whole
    assert pauses == []
    served = [(first, last) for first, last in faulty.spans if last - first < 3]
    assert [first for first, _ in served[1:]] == [last + 1 for _, last in served[:-1]]
    assert len(faulty.spans) < 2 * len(served)
    faulty.span = (0, said)
    with pytest.raises(ChainError) as refused:
        HistoryReader(chain, sample.contract.address, sample.federation).poll()
    assert said.message in str(refused.value) or f"HTTP status {said.status}" in str(refused.value)
    assert faulty.spans[-1][0] == faulty.spans[-1][1]


@pytest.mark.parametrize(("said", "seconds"), BUSY.values(), ids=BUSY)
def test_a_busy_node_is_asked_later(
    told: tuple[Engine, Sample], faulty: FaultyRpc, said: Refusal, seconds: float | None
) -> None:
    engine, _ = told
    pauses: list[float] = []
    node = asking(faulty, pauses)
    faulty.refusals["eth_blockNumber"].extend([said] * 2)
    assert node.block_number() == engine.chain.block_number()
    assert pauses == ([seconds] * 2 if seconds else [0.5, 1.0])
    faulty.refusals["eth_blockNumber"].extend([said] * 99)
    with pytest.raises(ChainBusy, match="limits requests"):
        node.block_number()
    assert sum(pauses[2:]) <= PATIENCE


@pytest.mark.parametrize("head", ["3600", "99999999999", "Mon, 30 Nov 2026 13:00:00 GMT"])
def test_no_node_is_waited_for_longer_than_there_is_time(faulty: FaultyRpc, head: str) -> None:
    pauses: list[float] = []
    node = asking(faulty, pauses)
    headers = {"Retry-After": head, "Date": "Mon, 30 Nov 2026 12:00:00 GMT"}
    said = Refusal(None, "", status=429, headers=headers)
    account = keys()[5]
    for method, refused in [
        ("eth_gasPrice", node.gas_price),
        ("eth_estimateGas", lambda: Chain(node).send(account, account.address, timeout=30)),
        ("eth_sendRawTransaction", lambda: Chain(node).send(account, account.address, timeout=30)),
    ]:
        faulty.refusals[method].append(said)
        with pytest.raises(ChainBusy, match=r"HTTP status 429, .* again in"):
            refused()
    assert pauses == []
    said = Refusal(None, "", status=429, headers={"Retry-After": "20"})
    faulty.refusals["eth_estimateGas"].append(said)
    with pytest.raises(ChainBusy, match="again in 20 s"):
        Chain(node).send(account, account.address, timeout=10)


@pytest.mark.parametrize("said", BATCH_LIMITS.values(), ids=BATCH_LIMITS)
@pytest.mark.parametrize("most", [1, 3])
def test_a_batch_that_is_refused_is_made_smaller(
    told: tuple[Engine, Sample], faulty: FaultyRpc, said: Refusal, most: int
) -> None:
    engine, _ = told
    blocks = [engine.chain.block(number % 5) for number in range(20)]
    hashes = [block.hash for block in blocks if block is not None]
    node = asking(faulty, [])
    faulty.batch = (most, said)
    assert node.blocks(hashes) == blocks
    assert max(size for size in faulty.sizes if size <= most) == most
    assert len(faulty.sizes) < 40


@pytest.mark.parametrize("words", TAKEN_NONCE.values(), ids=TAKEN_NONCE)
def test_a_nonce_that_another_process_took_is_known_in_every_language(
    told: tuple[Engine, Sample], faulty: FaultyRpc, words: tuple[int, str]
) -> None:
    engine, _ = told
    account, target = engine.accounts[6], new_account().address
    faulty.words = words

    def first(method: str) -> None:
        if method == "eth_sendRawTransaction":
            faulty.before = lambda method: None
            engine.chain.send(account, target, value=1)

    faulty.before = first
    Chain(asking(faulty, [])).send(account, target, value=1)
    assert engine.chain.balance(target) == 2


def test_logs_begin_with_the_contracts_deployment(
    told: tuple[Engine, Sample], faulty: FaultyRpc, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where the node has no states any more from before it."""
    engine, sample = told
    address, newest = sample.contract.address, engine.chain.block_number()
    first = engine.chain.first_block(address)
    count = [asking(faulty, []).integer(COUNT, [address, hex(first - n)]) for n in (0, 1)]
    assert 0 < first <= newest
    assert count == [1, 0]
    contract = seen_from(faulty, sample)
    whole = evidence_from_chain(contract, sample.federation, MemoryStore())
    assert min(begin for begin, _ in faulty.spans) == first
    for oldest, found in [(first - 1, first), (first, 0), (newest + 1, 0)]:
        faulty.states = lambda block, oldest=oldest: block >= oldest  # type: ignore[misc]
        assert Chain.connect(faulty.url).first_block(address) == found
    named = Federations(Chain.connect(faulty.url), address, since=first - 1)
    assert evidence_from_chain(named, sample.federation, MemoryStore()).events == whole.events
    assert faulty.spans[-1][0] == first - 1


NUMBERS = [
    ("eth_blockNumber", hex(1 << 300), lambda node: node.block_number()),
    ("eth_blockNumber", hex(1 << 64), lambda node: node.block_number()),
    ("eth_blockNumber", "0x-1", lambda node: node.block_number()),
    ("eth_blockNumber", "0x1_0", lambda node: node.block_number()),
    ("eth_blockNumber", 7, lambda node: node.block_number()),
    ("eth_gasPrice", hex(1 << 255), lambda node: node.gas_price()),
    ("eth_getBalance", hex(1 << 256), lambda node: node.balance(keys()[0].address)),
    ("eth_getBalance", True, lambda node: node.balance(keys()[0].address)),
    ("eth_estimateGas", hex(1 << 64), lambda node: node.estimate(Call(None, b""))),
]


@pytest.mark.parametrize(("method", "value", "read"), NUMBERS)
def test_a_number_is_bounded_where_it_is_read(
    faulty: FaultyRpc, method: str, value: object, read: Callable[[RpcEngine], int]
) -> None:
    node = asking(faulty, [])
    faulty.results[method] = value
    with pytest.raises(MalformedAnswer, match=r"hex number|2\^"):
        read(node)
    faulty.results[method] = "0x0007"
    assert read(node) == 7


BLOCK_FIELDS = [
    ("timestamp", hex(1 << 60), "after the year 9999"),
    ("number", hex(1 << 64), r"2\^64 or more"),
    ("hash", "0x12", "is not 32 hex bytes"),
    ("parentHash", None, "is not 32 hex bytes"),
    ("gasLimit", "many", "is not a hex number"),
    ("extraData", "0xzz", "is not hex bytes"),
    ("transactions", ["0x12"], "is not 32 hex bytes"),
]


@pytest.mark.parametrize(("name", "value", "reason"), BLOCK_FIELDS)
def test_a_blocks_fields_are_checked(
    told: tuple[Engine, Sample], faulty: FaultyRpc, name: str, value: object, reason: str
) -> None:
    node = asking(faulty, [])
    whole = node.ask.request("eth_getBlockByNumber", ["latest", False])
    assert isinstance(whole, dict)
    faulty.results["eth_getBlockByNumber"] = whole | {name: value}
    with pytest.raises(MalformedAnswer, match=reason):
        node.newest()


@pytest.mark.parametrize(
    ("hardfork", "lacks"), [("cancun", None), ("shanghai", "MCOPY"), ("paris", "PUSH0")]
)
def test_a_chain_older_than_cancun_is_refused_by_name(
    hardfork: str, lacks: str | None, tmp_path: Path
) -> None:
    with Anvil(tmp_path, hardfork=hardfork).start() as node:
        chain = Chain.connect(node.url)
        if lacks is None:
            assert chain.code(deploy(chain, keys()[0]))
            return
        with pytest.raises(ChainTooOld, match=f"instruction {lacks}, .* needs a chain with Cancun"):
            deploy(chain, keys()[0])
        assert chain.block_number() == 0
