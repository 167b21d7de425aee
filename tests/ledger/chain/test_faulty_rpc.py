"""A chain's node that balances, prunes, lags or stands still: what is made of each fault."""

import logging
import time
from collections.abc import Iterator

import pytest

from fednode.testnet import Anvil
from ledger.artefacts import raw
from ledger.audit.sources import IncompleteLogs, evidence_from_chain
from ledger.chain.client import Chain
from ledger.chain.errors import ContractRejected, ReceiptMissing
from ledger.chain.federations import Federations
from ledger.history import Checkpoint, HeadBehind, HistoryReader, LogsBehind
from ledger.replica import Origin, Replica
from ledger.stores import Artefact, MemoryStore
from tests.chaos.faulty_rpc import FaultyRpc
from tests.engines import Engine, keys
from tests.ledger.chain.samples import Sample, commit, policy, start


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
