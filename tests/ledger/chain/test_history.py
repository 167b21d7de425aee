"""The history reader: pages, depth, reorganisations, and events that do not hash."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

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
    EventMeta,
    FederationEnded,
    HistoryReader,
    ParticipantJoined,
    Reorganised,
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
        self.change: Callable[[list[Log]], list[Log]] = lambda logs: logs
        self.longest = 1 << 30
        self.ranges: list[int] = []
        self.fork: dict[int, bytes] = {}

    def newest(self) -> Block:
        last = self._chain.block_number()
        head = last if self.head is None else self.head
        block = self.block(min(head, last))
        assert block is not None
        return replace(block, number=head)

    def block(self, which: int | bytes) -> Block | None:
        block = self._chain.block(which)
        if block is None:
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
        if to_block - from_block + 1 > self.longest:
            raise RpcRefused("eth_getLogs", -32005, "query returned more than 10000 results")
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
    served: Served, sample: Sample, *, confirmations: int = 1, page: int = 10_000
) -> HistoryReader:
    return HistoryReader(
        served, sample.contract.address, sample.federation, confirmations=confirmations, page=page
    )


@pytest.mark.parametrize("page", [1, 2, 3, 7, 10_000])
@pytest.mark.parametrize("longest", [1, 2, 5])
def test_pages_shrink_until_the_node_serves_them(
    page: int, longest: int, told: tuple[Engine, Sample]
) -> None:
    engine, sample = told
    served = Served(engine.chain)
    whole = reader(served, sample).poll()
    served.longest = longest
    paged = reader(served, sample, page=page)
    assert paged.poll() == whole
    assert len(whole) == 8
    assert paged.h == sample.contract.accumulator(sample.federation)


def test_a_node_that_refuses_single_blocks_is_an_error(told: tuple[Engine, Sample]) -> None:
    engine, sample = told
    served = Served(engine.chain)
    served.longest = 0
    with pytest.raises(RpcRefused):
        reader(served, sample).poll()


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


def test_reading_150_blocks_is_fast() -> None:
    engine = embedded()
    sample = start(engine)
    for _ in range(150):
        sample.contract.checkpoint(engine.accounts[3], sample.federation)
    wall = time.monotonic()
    events = HistoryReader(engine.chain, sample.contract.address, sample.federation).poll()
    took = time.monotonic() - wall
    assert len(events) == 154
    assert took < 0.5


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
