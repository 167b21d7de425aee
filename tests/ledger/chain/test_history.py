"""The history reader: pages, depth, reorganisations, and events that do not hash."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.chain.client import Chain
from ledger.chain.errors import RpcRefused
from ledger.chain.types import Block, Log, Transaction
from ledger.errors import MalformedRecord
from ledger.history import (
    TOPIC_OF,
    TOPICS,
    BrokenHistory,
    Checkpoint,
    Event,
    EventMeta,
    FederationEnded,
    HeadBehind,
    HistoryReader,
    LogsBehind,
    ParticipantJoined,
    Reorganised,
    TransactionMissing,
    UpdateCommitted,
    Voted,
    accumulate,
    decode,
)
from ledger.types import ZERO_ADDRESS, ZERO_DIGEST, Address, FederationId
from tests.engines import Engine, embedded
from tests.ledger.chain.samples import Sample, commit, start

META = EventMeta(1, bytes(32), 2, bytes(32), 0, ZERO_ADDRESS)


class Served:
    """A chain as a node serves it, with room for lies."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self.head: int | None = None
        self.known: int | None = None
        self.change: Callable[[list[Log]], list[Log]] = lambda logs: logs
        self.ranges: list[int] = []
        self.fork: dict[int, bytes] = {}
        self.states: Callable[[int | None], bool] = lambda block: True
        self.endpoint = chain.endpoint

    def call(self, to: Address, data: bytes, *, block: int | None = None) -> bytes:
        if not self.states(block):
            raise RpcRefused("eth_call", -32000, "missing trie node")
        return self._chain.call(to, data, block=block)

    def newest(self) -> Block:
        last = self._chain.block_number()
        head = next((head for head in (self.head, self.known) if head is not None), last)
        block = self.block(min(head, last))
        assert block is not None
        return replace(block, number=head)

    def block(self, which: int | bytes) -> Block | None:
        block = self._chain.block(which)
        if block is None or (self.known is not None and block.number > self.known):
            return None
        own, parent = self.fork.get(block.number), self.fork.get(block.number - 1)
        return replace(block, hash=own or block.hash, parent=parent or block.parent)

    def blocks(self, hashes: Sequence[bytes]) -> list[Block | None]:
        return [self.block(hash_) for hash_ in hashes]

    def transaction(self, transaction: bytes) -> Transaction | None:
        return self._chain.transaction(transaction)

    def transactions(self, hashes: Sequence[bytes]) -> list[Transaction | None]:
        return self._chain.transactions(hashes)

    def logs(
        self, address: Address, topics: Sequence[bytes | None], from_block: int, to_block: int
    ) -> list[Log]:
        self.ranges.append(to_block - from_block + 1)
        return self.change(self._chain.logs(address, topics, from_block, to_block))


@pytest.fixture(scope="module")
def told() -> tuple[Engine, Sample]:
    """Give a history of eight events on a chain with blocks of others between them."""
    engine = embedded()
    other = start(engine)
    sample = start(engine)
    commit(other, 0)
    commit(sample, 0)
    commit(sample, 1)
    sample.contract.checkpoint(engine.accounts[3], sample.federation)
    other.contract.checkpoint(engine.accounts[3], other.federation)
    return engine, sample


def reader(
    served: Served, sample: Sample, *, confirmations: int = 1, begins: int = 0
) -> HistoryReader:
    return HistoryReader(
        served,
        sample.contract.address,
        sample.federation,
        confirmations=confirmations,
        begins=lambda: begins,
    )


def test_logs_are_read_from_the_first_block_on(told: tuple[Engine, Sample]) -> None:
    """A first block that is too late is noticed."""
    engine, sample = told
    whole = reader(Served(engine.chain), sample).poll()
    first = whole[0].meta.block_number
    served = Served(engine.chain)
    assert reader(served, sample, begins=first).poll() == whole
    assert served.ranges == [engine.chain.block_number() - first + 1]
    with pytest.raises(BrokenHistory):
        reader(Served(engine.chain), sample, begins=first + 1).poll()


def test_cursor_reads_each_event_once(told: tuple[Engine, Sample]) -> None:
    engine, sample = told
    served = Served(engine.chain)
    whole = reader(served, sample).poll()
    follower = reader(served, sample)
    seen = []
    for head in range(engine.chain.block_number() + 1):
        served.head = head
        seen += follower.poll()
    assert seen == whole
    assert sum(served.ranges[1:]) <= engine.chain.block_number() + 1


@pytest.mark.parametrize("confirmations", [1, 2, 5])
def test_confirmations_hold_events_back(confirmations: int, told: tuple[Engine, Sample]) -> None:
    engine, sample = told
    served = Served(engine.chain)
    whole = reader(served, sample).poll()
    last = whole[-1].meta.block_number
    deep = reader(served, sample, confirmations=confirmations)
    served.head = last + confirmations - 2
    assert whole[-1] not in deep.poll()
    served.head = last + confirmations - 1
    assert deep.poll()[-1:] == whole[-1:]


def test_confirmations_start_at_one(told: tuple[Engine, Sample]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        reader(Served(told[0].chain), told[1], confirmations=0)


def test_reorganisation_is_noticed(told: tuple[Engine, Sample]) -> None:
    engine, sample = told
    served = Served(engine.chain)
    follower = reader(served, sample)
    served.head = engine.chain.block_number() - 2
    follower.poll()
    served.fork[served.head] = bytes(32)
    served.head += 1
    with pytest.raises(Reorganised) as noticed:
        follower.poll()
    assert noticed.value.found == bytes(32)
    served.fork.clear()
    served.head = None
    follower.reset()
    assert len(follower.poll()) == 8


def test_a_chain_that_got_shorter_is_a_reorganisation(told: tuple[Engine, Sample]) -> None:
    engine, sample = told
    follower = reader(Served(engine.chain), sample)
    follower.poll()
    shorter = Served(embedded().chain)
    follower._chain = shorter
    with pytest.raises(Reorganised, match="missing"):
        follower.poll()


def heads(served: Served) -> range:
    """Give every block that may be the newest."""
    return range(served._chain.block_number() + 1)


@pytest.mark.parametrize("confirmations", [1, 3])
@pytest.mark.parametrize("behind", [1, 2, 5, 100])
@pytest.mark.parametrize("states", [True, False], ids=["states", "no old states"])
def test_trailing_logs_are_no_history(
    told: tuple[Engine, Sample], behind: int, confirmations: int, states: bool
) -> None:
    """What the logs do not hold yet is never taken for what has not happened, and nothing is passed
    over: every event is read once, however far logs trail the head.
    """
    engine, sample = told
    served = Served(engine.chain)
    whole = reader(served, sample).poll()
    follower = reader(served, sample, confirmations=confirmations)
    seen: list[Event] = []
    served.states = lambda block: states or block is None
    for head in heads(served):
        served.head = head
        served.change = partial(up_to, head - behind)
        events, lag = look(follower)
        seen += events
        if lag is not None:
            assert lag.head == head - confirmations + 1
            assert 0 <= lag.answered <= lag.head
        passed = [e for e in told_by(whole) if e.meta.block_number < follower.cursor]
        assert told_by(seen)[: len(passed)] == passed
    served.change, served.head, served.states = lambda logs: logs, None, lambda block: True
    follower._depth = 0
    assert told_by(seen + follower.poll()) == told_by(whole)
    assert follower.h == sample.contract.accumulator(sample.federation)


@pytest.mark.parametrize(
    "refusal",
    [
        "header not found",
        "Block not found",
        "block 0x2a could not be found",
        "unknown block",
        "BlockOutOfRangeError: block height is 41 but requested was 42",
    ],
)
def test_a_node_that_lacks_the_newest_block_does_not_vouch_for_it(
    told: tuple[Engine, Sample], monkeypatch: pytest.MonkeyPatch, refusal: str
) -> None:
    """Behind one address, one node names the head, and one without that block answers the rest."""
    engine, sample = told
    served = Served(engine.chain)
    whole = reader(served, sample).poll()
    newest = told_by(whole)[-1].meta.block_number
    served.head = newest
    served.change = partial(up_to, newest - 1)

    def call(to: Address, data: bytes, *, block: int | None = None) -> bytes:
        if block is not None and block >= newest:
            raise RpcRefused("eth_call", -32000, refusal)
        return engine.chain.call(to, data, block=newest - 1 if block is None else block)

    monkeypatch.setattr(served, "call", call)
    follower = reader(served, sample)
    with pytest.raises(LogsBehind):
        follower.poll()
    monkeypatch.undo()
    served.change = lambda logs: logs
    assert told_by(follower.poll())[-1].meta.block_number == newest


def up_to(last: int, logs: list[Log]) -> list[Log]:
    return [log for log in logs if log.block_number <= last]


def look(follower: HistoryReader) -> tuple[list[Event], LogsBehind | None]:
    """Give what a node shows, and what it lacks."""
    try:
        return follower.poll(), None
    except LogsBehind as lag:
        return list(lag.events), lag


def told_by(events: list[Event]) -> list[Event]:
    """Leave out checkpoints, which say nothing new."""
    return [event for event in events if not isinstance(event, Checkpoint)]


def test_a_block_whose_logs_are_cut_is_read_again() -> None:
    """The last events of one transaction are left out, and come later."""
    engine = embedded()
    sample = start(engine)
    served = Served(engine.chain)
    whole = reader(served, sample).poll()
    crowded = [n for n in heads(served) if sum(e.meta.block_number == n for e in whole) > 1]
    assert crowded
    for number in crowded:
        in_it = sum(e.meta.block_number == number for e in whole)
        before = sum(e.meta.block_number < number for e in whole)
        for kept in range(before + 1, before + in_it):
            served.change = lambda logs, kept=kept: logs[:kept]  # type: ignore[misc]
            follower = reader(served, sample)
            with pytest.raises(LogsBehind) as lag:
                follower.poll()
            served.change = lambda logs: logs
            assert [*lag.value.events, *follower.poll()] == whole
            assert [log.data[-32:] for log in follower.logs] == [event.h for event in whole]


def test_lost_first_logs_do_not_hash(told: tuple[Engine, Sample]) -> None:
    """A node that has pruned old logs gives an empty answer, and no error."""
    engine, sample = told
    served = Served(engine.chain)
    served.change = lambda logs: []
    empty = reader(served, sample)
    with pytest.raises(LogsBehind) as lag:
        empty.poll()
    assert lag.value.events == ()
    assert (empty.cursor, empty.h) == (0, ZERO_DIGEST)


def test_the_warning_names_the_last_block_that_was_answered(told: tuple[Engine, Sample]) -> None:
    engine, sample = told
    served = Served(engine.chain)
    last = reader(served, sample).poll()[-1].meta.block_number
    changed = sample.contract.accumulator(sample.federation, block=last - 1)
    assert changed == sample.contract.accumulator(sample.federation), "a checkpoint comes last"
    whole = reader(served, sample).poll()
    newest = max(e.meta.block_number for e in whole if not isinstance(e, Checkpoint))
    served.change = lambda logs: [log for log in logs if log.block_number < newest]
    with pytest.raises(LogsBehind) as lag:
        reader(served, sample).poll()
    head = engine.chain.block_number()
    assert lag.value.head == head
    assert newest - (head - newest) - 1 <= lag.value.answered < newest
    assert f"answered up to block {lag.value.answered}" in str(lag.value)


def test_a_federation_that_is_not_there_yet_is_no_lag(told: tuple[Engine, Sample]) -> None:
    engine, sample = told
    nobody = HistoryReader(engine.chain, sample.contract.address, FederationId(bytes(32)))
    assert nobody.poll() == []
    nowhere = HistoryReader(engine.chain, engine.accounts[8].address, sample.federation)
    assert nowhere.poll() == []


def test_a_lost_index_of_transactions_is_named(
    told: tuple[Engine, Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, sample = told
    served = Served(engine.chain)
    monkeypatch.setattr(served, "transactions", lambda hashes: [None for _ in hashes])
    with pytest.raises(TransactionMissing, match="index of transactions is pruned or lost"):
        reader(served, sample).poll()


def test_a_head_that_went_back_names_the_block_that_is_missing(
    told: tuple[Engine, Sample],
) -> None:
    engine, sample = told
    served = Served(engine.chain)
    follower = reader(served, sample)
    whole = follower.poll()
    head = engine.chain.block_number()
    served.known = head - 1
    with pytest.raises(HeadBehind, match=f"block {head}.* is missing: .* is block {head - 1}"):
        follower.poll()
    served.known = None
    assert follower.poll() == []
    assert len(whole) == 8


LIES: dict[str, Callable[[list[Log]], list[Log]]] = {
    "left out": lambda logs: logs[:2] + logs[3:],
    "first left out": lambda logs: logs[1:],
    "repeated": lambda logs: [*logs[:3], logs[2], *logs[3:]],
    "altered": lambda logs: [
        *logs[:2],
        replace(logs[2], data=logs[2].data[:31] + b"\7" + logs[2].data[32:]),
        *logs[3:],
    ],
    "swapped": lambda logs: [
        replace(logs[1], block_number=logs[0].block_number, block_hash=logs[0].block_hash),
        replace(logs[0], log_index=5),
        *logs[2:],
    ],
}


@pytest.mark.parametrize("lie", LIES)
def test_lies_do_not_hash(lie: str, told: tuple[Engine, Sample]) -> None:
    engine, sample = told
    served = Served(engine.chain)
    served.change = LIES[lie]
    liar = reader(served, sample)
    with pytest.raises(BrokenHistory):
        liar.poll()
    assert (liar.cursor, liar.h) == (0, ZERO_DIGEST)
    served.change = lambda logs: logs
    assert len(liar.poll()) == 8


def test_foreign_logs_are_not_ours(told: tuple[Engine, Sample]) -> None:
    """Another contract may emit our events for our federation: its address is not ours."""
    engine, sample = told
    served = Served(engine.chain)
    stranger = engine.accounts[9].address
    served.change = lambda logs: [replace(log, address=stranger) for log in logs] + logs
    assert len(reader(served, sample).poll()) == 8


def test_checkpoint_leaves_h_alone() -> None:
    h = type(ZERO_DIGEST)(b"\7" * 32)
    assert accumulate(h, 5, TOPIC_OF[Checkpoint], h) == h
    assert accumulate(h, 5, TOPIC_OF[Voted], h) != h


def log_of(topic: bytes, data: bytes) -> Log:
    return Log(ZERO_ADDRESS, (topic, bytes(32)), data, 1, bytes(32), bytes(32), 0)


WRONG: list[tuple[type, bytes, str]] = [
    (Checkpoint, b"", "of 0 bytes"),
    (Checkpoint, bytes(33), "of 33 bytes"),
    (UpdateCommitted, (1 << 32).to_bytes(32, "big") + bytes(128), "not a uint32"),
    (FederationEnded, (2).to_bytes(32, "big") + bytes(32), "not a bool"),
    (ParticipantJoined, bytes(32) + b"\1" * 32 + bytes(224), "not an address"),
]


@pytest.mark.parametrize(("kind", "data", "reason"), WRONG)
def test_malformed_events(kind: type, data: bytes, reason: str) -> None:
    with pytest.raises(MalformedRecord, match=reason):
        decode(log_of(TOPIC_OF[kind], data), META)


def test_unknown_topics() -> None:
    with pytest.raises(MalformedRecord, match="unknown topics"):
        decode(log_of(bytes(32), bytes(32)), META)
    odd = replace(log_of(TOPIC_OF[Checkpoint], bytes(32)), topics=(TOPIC_OF[Checkpoint],))
    with pytest.raises(MalformedRecord, match="unknown topics"):
        decode(odd, META)


@given(st.sampled_from(sorted(TOPICS)), st.binary(max_size=400))
def test_any_bytes_decode_or_are_malformed(topic: bytes, data: bytes) -> None:
    try:
        event = decode(log_of(topic, data), META)
    except MalformedRecord:
        return
    assert event.federation == FederationId(bytes(32))
    assert event.h == data[-32:]


def test_senders_are_looked_up_only_where_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = embedded()
    sample = start(engine)
    events = HistoryReader(engine.chain, sample.contract.address, sample.federation).poll()
    assert {event.meta.sender for event in events} == {a.address for a in engine.accounts[:3]}
    asked: list[bytes] = []

    def transactions(hashes: Sequence[bytes]) -> list[Transaction | None]:
        asked.extend(hashes)
        return []

    monkeypatch.setattr(engine.chain, "transactions", transactions)
    reader = HistoryReader(engine.chain, sample.contract.address, sample.federation, senders=False)
    found = reader.poll()
    assert [type(event) for event in found] == [type(event) for event in events]
    assert {event.meta.sender for event in found} == {ZERO_ADDRESS}
    assert asked == []
