"""When the relay posts what, and in which order."""

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import pytest

from fednode.relay.desk import Desk
from fednode.relay.errors import Refused
from fednode.relay.lanes import OWN, Lanes
from fednode.relay.relay import Relay, decides
from fednode.relay.situation import Collecting, Phase, SignedVote, Voting
from ledger.batch import Batch, Leaf, Posted, read_batch
from ledger.chain.errors import ContractRejected, TransactionFailed
from ledger.stores import Artefact, MemoryStore, StoreUnreachable
from tests.fednode.relay.world import (
    DEADLINE,
    MEMBERS,
    FakeLedger,
    ballot_of,
    collecting,
    commit_of,
    desk_at,
    voting,
)


class World:
    """A relay with its desk, its store and a chain that obeys."""

    def __init__(self, folder: Path, phase: Phase | None) -> None:
        self.store = MemoryStore()
        self.ledger = FakeLedger(phase)
        self.desk: Desk = desk_at(folder)
        self.relay = Relay(self.ledger, self.store, self.desk, Lanes(), margin=10)

    async def step(self, now: int) -> bool:
        self.ledger.now = now
        return await self.relay.step()

    @property
    def sent(self) -> list[str]:
        return [what for what, _ in self.ledger.sent]

    def posted(self) -> Batch:
        (batch,) = [value for what, value in self.ledger.sent if what == "batch"]
        assert isinstance(batch, Posted)
        return read_batch(self.store, batch)


Start = Callable[..., World]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    return lambda phase=None: World(tmp_path, phase)


def participants(batch: Batch) -> list[int]:
    return [Leaf.decode(data).participant for data in batch.leaves() if data is not None]


def test_a_batch_is_posted_shortly_before_its_deadline(start: Start) -> None:
    async def run() -> None:
        world = start(collecting())
        await world.step(1_000)
        for participant in (2, 0):
            await world.desk.commit(commit_of(participant))
        await world.step(DEADLINE - 11)
        assert world.sent == []
        await world.step(DEADLINE - 10)
        await world.step(DEADLINE - 9)
        assert world.sent == ["batch"]
        assert participants(world.posted()) == [2, 0]

    asyncio.run(run())


def test_of_a_short_window_only_a_quarter_is_waited_for(start: Start) -> None:
    async def run() -> None:
        world = start(replace(collecting(), opened=DEADLINE - 8))
        await world.step(DEADLINE - 8)
        await world.desk.commit(commit_of(0))
        await world.step(DEADLINE - 3)
        assert world.sent == []
        await world.step(DEADLINE - 2)
        assert world.sent == ["batch"]

    asyncio.run(run())


def test_a_batch_does_not_wait_when_everybody_is_in(start: Start) -> None:
    async def run() -> None:
        world = start(replace(collecting(), direct=frozenset({4})))
        await world.step(1_000)
        assert world.sent == []
        for participant in range(4):
            await world.desk.commit(commit_of(participant))
        await world.step(1_001)
        assert world.sent == ["batch"]

    asyncio.run(run())


def test_without_commits_nothing_is_posted_and_nothing_is_closed(start: Start) -> None:
    async def run() -> None:
        world = start(collecting())
        await world.step(DEADLINE - 5)
        await world.desk.commit(commit_of(0))
        await world.step(DEADLINE - 4)
        assert participants(world.posted()) == [0]

    asyncio.run(run())


def test_after_the_deadline_no_batch_is_tried(start: Start) -> None:
    async def run() -> None:
        world = start(collecting())
        await world.step(1_000)
        await world.desk.commit(commit_of(0))
        await world.step(DEADLINE)
        assert world.sent == []

    asyncio.run(run())


def test_the_leaves_are_published_before_the_root_is_posted(start: Start) -> None:
    async def run() -> None:
        world = start(collecting())
        found: list[int] = []
        world.ledger.before = lambda what: found.append(len(world.store.blocks))
        await world.step(1_000)
        await world.desk.commit(commit_of(0))
        await world.step(DEADLINE - 5)
        assert found == [2]

    asyncio.run(run())


def test_what_failed_is_tried_again_with_the_same_leaves(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """First the store is away, then the chain refuses, then a reorganisation drops the batch."""

    async def run() -> None:
        world = start(collecting())
        await world.step(1_000)
        await world.desk.commit(commit_of(0))

        def away(_artefact: Artefact) -> None:
            raise StoreUnreachable("store", "away")

        with monkeypatch.context() as patch:
            patch.setattr(world.store, "put", away)
            with pytest.raises(StoreUnreachable):
                await world.step(DEADLINE - 8)
        world.ledger.refusing = "WrongPhase"
        await world.step(DEADLINE - 7)
        assert world.sent == []
        world.ledger.refusing = ""
        await world.step(DEADLINE - 6)
        first = world.posted()
        assert isinstance(world.ledger.phase, Collecting)
        world.ledger.phase = replace(world.ledger.phase, posted=None)
        world.ledger.sent.clear()
        await world.step(DEADLINE - 5)
        assert world.posted() == first

    asyncio.run(run())
    assert "Traceback" not in caplog.text


def test_outages_are_outlived_until_the_federation_is_over(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        world = start(None)
        looks = iter([StoreUnreachable("store", "away"), ZeroDivisionError("a fault"), None])
        real = world.ledger.situation

        def situation() -> object:
            error = next(looks)
            if error is not None:
                raise error
            world.ledger.over = True
            return real()

        world.ledger.situation = situation  # type: ignore[method-assign, assignment]
        await asyncio.wait_for(world.relay.run(poll=0.01), 5)

    with caplog.at_level(logging.WARNING, logger="fednode"):
        asyncio.run(run())
    assert "trying again: content store store is unreachable: away" in caplog.text
    assert "ZeroDivisionError: a fault" in caplog.text


def test_rests_grow_while_nothing_happens_and_end_where_to_post(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, rests = start(collecting()), list[float]()
    clock, poll = [float(DEADLINE - 40)], 0.5

    async def sleep(seconds: float) -> None:
        rests.append(seconds)
        clock[0] += seconds
        if len(rests) == 9:
            world.ledger.phase = None
        world.ledger.over = len(rests) > 10
        world.ledger.now = int(clock[0])

    monkeypatch.setattr("fednode.relay.relay.asyncio.sleep", sleep)
    world.ledger.now = int(clock[0])
    asyncio.run(world.relay.run(poll=poll))
    assert rests[:2] == [poll, 1.5 * poll]
    assert rests[:9] == sorted(rests[:9])
    assert rests[8] == 4 * poll
    assert rests[9] == poll


def test_what_is_due_is_advanced(start: Start) -> None:
    async def run() -> None:
        world = start(collecting())
        world.ledger.due = True
        assert not await world.step(1_000)
        assert world.sent == ["advance"]

    asyncio.run(run())


# -- votes


@pytest.mark.parametrize(
    ("cast", "held", "decided"),
    [
        ("", "++", False),
        ("", "+++", True),
        ("", "---", True),
        ("", "++--", False),
        ("", "++--+", True),
        ("+", "+", False),
        ("+", "++", True),
        ("--", "++", False),
        ("--", "++-", True),
    ],
)
def test_when_votes_decide(cast: str, held: str, decided: bool) -> None:
    """Five seats, three decide."""
    marks = [mark == "+" for mark in cast + held]
    signed = dict(zip([member.address for member in MEMBERS], marks, strict=False))
    on_chain = dict(list(signed.items())[: len(cast)])
    rest = dict(list(signed.items())[len(cast) :])
    assert decides(replace(voting(), voted=on_chain), rest) is decided


def test_split_votes_are_decided_once_all_are_in() -> None:
    four = dict(list(voting().committee.items())[:4])
    phase = replace(voting(), committee=four)
    addresses = [member.address for member in MEMBERS]
    assert decides(phase, dict(zip(addresses, [True, True, False, False], strict=False)))


def test_votes_are_posted_together_when_they_decide(start: Start) -> None:
    async def run() -> None:
        world = start(voting())
        await world.step(1_200)
        for member in MEMBERS[:2]:
            await world.desk.vote(ballot_of(member))
        await world.step(1_201)
        assert world.sent == []
        await world.desk.vote(ballot_of(MEMBERS[2]))
        await world.step(1_202)
        await world.step(1_203)
        assert world.sent == ["votes"]
        ((_, votes),) = world.ledger.sent
        assert isinstance(votes, list)
        assert len(votes) == 3
        assert all(isinstance(vote, SignedVote) and vote.support for vote in votes)

    asyncio.run(run())


def test_votes_that_do_not_decide_are_posted_shortly_before_the_end(start: Start) -> None:
    async def run() -> None:
        world = start(voting())
        await world.step(1_200)
        await world.desk.vote(ballot_of(MEMBERS[0], support=False))
        await world.step(1_289)
        assert world.sent == []
        await world.step(1_290)
        assert world.sent == ["votes"]
        phase = world.ledger.phase
        assert isinstance(phase, Voting)
        assert phase.voted == {MEMBERS[0].address: False}
        await world.desk.vote(ballot_of(MEMBERS[1]))
        await world.step(1_291)
        assert world.sent == ["votes", "votes"]
        await world.step(1_300)
        assert world.sent == ["votes", "votes"]

    asyncio.run(run())


def test_an_advance_that_waits_delays_no_batch(start: Start) -> None:
    """It has a lane of its own."""
    posted = threading.Event()

    async def run() -> None:
        world = start(collecting())
        await world.step(1_000)
        await world.desk.commit(commit_of(0))
        world.ledger.due = True
        world.ledger.before = lambda what: posted.set() if what == "batch" else wait(posted)
        await world.step(DEADLINE - 1)
        assert world.sent == ["batch", "advance"]

    asyncio.run(run())


def wait(event: threading.Event) -> None:
    assert event.wait(20)


FAILED = TransactionFailed(bytes(32), 100_000, "the state changed before it was mined")


def test_its_own_failures_have_a_limit_too(start: Start) -> None:
    """After it, no word is given that the relay would not keep."""
    tried: list[str] = []

    async def run() -> None:
        world = start(voting(quorum=1))
        await world.step(1_200)
        await world.desk.vote(ballot_of(MEMBERS[0]))
        world.ledger.failure, world.ledger.before = FAILED, tried.append
        for _ in range(OWN.all_losses):
            await world.step(1_201)
        for _ in range(3):
            with pytest.raises(Refused, match="too many posted votes have failed"):
                await world.step(1_202)
        assert len(tried) == OWN.all_losses
        with pytest.raises(Refused, match="send yours yourself") as refused:
            await world.desk.vote(ballot_of(MEMBERS[1]))
        assert refused.value.status == HTTPStatus.SERVICE_UNAVAILABLE
        assert refused.value.retry_after == 60

    asyncio.run(run())


def test_what_others_made_needless_is_no_failure(start: Start) -> None:
    async def run() -> None:
        world = start(collecting())
        world.ledger.failure = ContractRejected("NothingToDo", {})
        for _ in range(300):
            world.ledger.due = True
            await world.step(1_000)
        world.ledger.failure, world.ledger.due = None, True
        await world.step(1_000)
        assert world.sent == ["advance"]

    asyncio.run(run())


def test_without_ether_no_word_is_given(start: Start) -> None:
    async def run() -> None:
        world = start(collecting())
        world.ledger.able = False
        await world.step(1_000)
        with pytest.raises(Refused, match="short of ether") as refused:
            await world.desk.commit(commit_of(0))
        assert refused.value.retry_after == 60
        world.ledger.able = True
        await world.step(1_001)
        await world.desk.commit(commit_of(0))

    asyncio.run(run())
