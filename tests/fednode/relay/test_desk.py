"""What the relay takes in, what it refuses and with which status, and that it forgets nothing."""

import asyncio
import os
import threading
from collections.abc import Awaitable
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import pytest

from fednode.relay.book import Book
from fednode.relay.desk import Desk, Limits
from fednode.relay.errors import JournalFailed, Refused
from fednode.relay.messages import SignedBallot, SignedCommit
from fednode.relay.situation import Phase, Proposing, Situation
from ledger.batch import Leaf
from ledger.signatures import Domain, Signature
from ledger.types import Address, FederationId, RoundIndex
from tests.fednode.relay.world import (
    DEADLINE,
    DOMAIN,
    FEDERATION,
    MEMBERS,
    RELAY,
    STRANGER,
    ballot_of,
    collecting,
    commit_of,
    desk_at,
    digest,
    voting,
)

T = TypeVar("T")


def done(work: Awaitable[T]) -> T:
    async def run() -> T:
        return await work

    return asyncio.run(run())


def test_a_receipt_is_the_relays_word(tmp_path: Path) -> None:
    desk = desk_at(tmp_path, collecting())
    receipt = done(desk.commit(commit_of(2, update=6)))
    assert receipt.content.participant == 2
    assert receipt.content.digest == digest(6)
    assert receipt.content.deadline == DEADLINE
    signed = Signature.of(receipt.signature)
    assert DOMAIN.signer(receipt.content, signed) == RELAY.address
    assert desk.receipt(0, 2) == receipt


def test_the_same_commit_again_gets_the_same_receipt(tmp_path: Path) -> None:
    desk = desk_at(tmp_path, collecting())
    first = done(desk.commit(commit_of(2)))
    assert done(desk.commit(commit_of(2))) == first
    batch = done(desk.seal())
    assert batch is not None
    assert batch.posted.leaves == 1
    assert done(desk.commit(commit_of(2))) == first


ALIEN = FederationId(bytes([2]) * 32)
EARLY = Proposing(RoundIndex(0), 0, None)
REFUSED_COMMITS: dict[str, tuple[SignedCommit, HTTPStatus, str]] = {
    "another federation": (commit_of(1, federation=ALIEN), HTTPStatus.NOT_FOUND, "not served here"),
    "a round to come": (commit_of(1, round_index=4), HTTPStatus.TOO_EARLY, "not open yet"),
    "a round that is over": (commit_of(1, round_index=2), HTTPStatus.GONE, "is over"),
    "another's signature": (
        commit_of(1, round_index=3, by=MEMBERS[2]),
        HTTPStatus.FORBIDDEN,
        "not that of participant 1",
    ),
    "a stranger's signature": (
        commit_of(1, round_index=3, by=STRANGER),
        HTTPStatus.FORBIDDEN,
        "not that of",
    ),
    "a participant beyond all": (
        commit_of(9, round_index=3, by=STRANGER),
        HTTPStatus.FORBIDDEN,
        "not that of",
    ),
    "signed for another contract": (
        commit_of(1, round_index=3, domain=Domain(31337, Address("0x" + "Cd" * 20))),
        HTTPStatus.FORBIDDEN,
        "not that of",
    ),
    "signed for another chain": (
        commit_of(1, round_index=3, domain=Domain(1, DOMAIN.ledger)),
        HTTPStatus.FORBIDDEN,
        "not that of",
    ),
    "replayed from another round": (
        commit_of(1, round_index=2).model_copy(update={"round": 3}),
        HTTPStatus.FORBIDDEN,
        "not that of",
    ),
}


@pytest.mark.parametrize(
    ("message", "status", "reason"), REFUSED_COMMITS.values(), ids=REFUSED_COMMITS
)
def test_a_commit_that_is_refused(
    tmp_path: Path, message: SignedCommit, status: HTTPStatus, reason: str
) -> None:
    desk = desk_at(tmp_path, collecting(3))
    with pytest.raises(Refused, match=reason) as refused:
        done(desk.commit(message))
    assert refused.value.status == status
    assert (refused.value.retry_after is not None) == (status == HTTPStatus.TOO_EARLY)
    assert done(desk.seal()) is None


def test_a_second_update_is_refused_and_the_first_stays(tmp_path: Path) -> None:
    desk = desk_at(tmp_path, collecting())
    done(desk.commit(commit_of(2, update=6)))
    with pytest.raises(Refused, match="has committed to") as refused:
        done(desk.commit(commit_of(2, update=7)))
    assert refused.value.status == HTTPStatus.CONFLICT
    assert desk.receipt(0, 2).digest == digest(6)


@pytest.mark.parametrize("late", ["deadline", "sealed", "posted"])
def test_a_commit_that_comes_too_late(tmp_path: Path, late: str) -> None:
    desk = desk_at(tmp_path, collecting())
    done(desk.commit(commit_of(0)))
    batch = done(desk.seal()) if late != "deadline" else None
    if late == "deadline":
        desk.see(Situation(DEADLINE, collecting()))
    if batch is not None and late == "posted":
        desk.see(Situation(1_000, replace(collecting(), posted=batch.posted)))
    with pytest.raises(Refused, match="commit by a transaction") as refused:
        done(desk.commit(commit_of(1)))
    assert refused.value.status == HTTPStatus.GONE


def test_nobody_without_a_seat(tmp_path: Path) -> None:
    phase = collecting()
    known = [None, *phase.signers.known[1:]]
    desk = desk_at(tmp_path, replace(phase, signers=replace(phase.signers, known=known)))
    with pytest.raises(Refused) as refused:
        done(desk.commit(commit_of(0)))
    assert refused.value.status == HTTPStatus.FORBIDDEN


def test_no_more_than_a_rounds_commits(tmp_path: Path) -> None:
    desk = desk_at(tmp_path, collecting(), limits=Limits(commits=2))
    for participant in range(2):
        done(desk.commit(commit_of(participant)))
    with pytest.raises(Refused, match="no more are taken") as refused:
        done(desk.commit(commit_of(2)))
    assert refused.value.status == HTTPStatus.TOO_MANY_REQUESTS
    assert refused.value.retry_after == DEADLINE - 1_000
    assert done(desk.commit(commit_of(1)))


def test_no_more_than_the_disk_takes(tmp_path: Path) -> None:
    """Who is refused may come again; nobody waits in a queue without end."""

    async def run() -> tuple[int, list[BaseException]]:
        desk = desk_at(tmp_path, collecting(), limits=Limits(waiting=3))
        found = await asyncio.gather(
            *(desk.commit(commit_of(n)) for n in range(5)), return_exceptions=True
        )
        refused = [error for error in found if isinstance(error, BaseException)]
        await desk.commit(commit_of(4))
        return len(found) - len(refused), refused

    taken, refused = asyncio.run(run())
    assert taken == 3
    for error in refused:
        assert isinstance(error, Refused)
        assert (error.status, error.retry_after) == (HTTPStatus.SERVICE_UNAVAILABLE, 1)


def test_before_anything_is_known(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="not open yet"):
        done(desk_at(tmp_path).commit(commit_of(0)))


@pytest.mark.parametrize(
    ("phase", "status"), [(EARLY, HTTPStatus.GONE), (voting(), HTTPStatus.GONE)]
)
def test_a_commit_after_its_phase(tmp_path: Path, phase: Phase, status: HTTPStatus) -> None:
    with pytest.raises(Refused, match="past that phase") as refused:
        done(desk_at(tmp_path, phase).commit(commit_of(0)))
    assert refused.value.status == status


# -- votes


def test_a_votes_receipt_names_the_vote(tmp_path: Path) -> None:
    desk = desk_at(tmp_path, voting())
    message = ballot_of(MEMBERS[3], support=False)
    receipt = done(desk.vote(message)).content
    assert receipt.participant == 3
    assert receipt.digest == DOMAIN.digest(message.content)
    assert receipt.deadline == voting().deadline
    assert [vote.support for vote in desk.votes(voting()).values()] == [False]


REFUSED_VOTES: dict[str, tuple[Phase, SignedBallot, HTTPStatus]] = {
    "before the proposal": (EARLY, ballot_of(MEMBERS[0]), HTTPStatus.TOO_EARLY),
    "while commits come": (collecting(), ballot_of(MEMBERS[0]), HTTPStatus.TOO_EARLY),
    "in a round to come": (voting(), ballot_of(MEMBERS[0], round_=1), HTTPStatus.TOO_EARLY),
    "in an attempt to come": (voting(), ballot_of(MEMBERS[0], attempt=1), HTTPStatus.TOO_EARLY),
    "in a round that is over": (voting(1), ballot_of(MEMBERS[0]), HTTPStatus.GONE),
    "on another result": (voting(), ballot_of(MEMBERS[0], result=digest(8)), HTTPStatus.CONFLICT),
    "by a stranger": (voting(), ballot_of(STRANGER), HTTPStatus.FORBIDDEN),
    "turned round": (
        voting(),
        ballot_of(MEMBERS[0]).model_copy(update={"support": False}),
        HTTPStatus.FORBIDDEN,
    ),
}


@pytest.mark.parametrize(("phase", "message", "status"), REFUSED_VOTES.values(), ids=REFUSED_VOTES)
def test_a_vote_that_is_refused(
    tmp_path: Path, phase: Phase, message: SignedBallot, status: HTTPStatus
) -> None:
    desk = desk_at(tmp_path, phase)
    with pytest.raises(Refused) as refused:
        done(desk.vote(message))
    assert refused.value.status == status


BALLOT = ballot_of(MEMBERS[0])


def test_nobody_votes_twice(tmp_path: Path) -> None:
    desk = desk_at(tmp_path, voting())
    first = done(desk.vote(ballot_of(MEMBERS[0])))
    assert done(desk.vote(ballot_of(MEMBERS[0]))) == first
    with pytest.raises(Refused, match="the other way") as refused:
        done(desk.vote(ballot_of(MEMBERS[0], support=False)))
    assert refused.value.status == HTTPStatus.CONFLICT
    assert len(desk.votes(voting())) == 1


def test_votes_that_the_chain_has_or_would_refuse_are_not_posted(tmp_path: Path) -> None:
    desk = desk_at(tmp_path, voting())
    for member in MEMBERS:
        done(desk.vote(ballot_of(member)))
    smaller = dict(list(voting().committee.items())[:3])
    now = replace(voting(), voted={MEMBERS[0].address: False}, committee=smaller)
    assert list(desk.votes(now)) == [MEMBERS[1].address, MEMBERS[2].address]
    assert desk.votes(replace(voting(), attempt=1)) == {}
    assert desk.votes(replace(voting(), result=digest(3))) == {}


# -- what lasts


def reopened(desk: Desk, folder: Path, phase: Phase) -> Desk:
    assert desk._book is not None
    desk._book.close()
    return desk_at(folder, phase)


def test_a_relay_that_was_killed_holds_what_it_held(tmp_path: Path) -> None:
    desk = desk_at(tmp_path, collecting())
    receipts = [done(desk.commit(commit_of(n))) for n in (3, 0, 2)]
    again = reopened(desk, tmp_path, collecting())
    assert [again.receipt(0, n) for n in (3, 0, 2)] == receipts
    with pytest.raises(Refused, match="has committed"):
        done(again.commit(commit_of(0, update=9)))
    done(again.commit(commit_of(1)))
    batch = done(again.seal())
    assert batch is not None
    leaves = [Leaf.decode(data).participant for data in batch.leaves() if data is not None]
    assert leaves == [3, 0, 2, 1]
    last = reopened(again, tmp_path, collecting())
    with pytest.raises(Refused, match="closed"):
        done(last.commit(commit_of(4)))
    assert done(last.seal()) == batch


def test_votes_are_held_through_a_restart(tmp_path: Path) -> None:
    desk = desk_at(tmp_path, voting())
    done(desk.vote(ballot_of(MEMBERS[1])))
    done(desk.vote(ballot_of(MEMBERS[2], support=False)))
    before = desk.votes(voting())
    assert reopened(desk, tmp_path, voting()).votes(voting()) == before


def test_every_round_has_a_book_of_its_own(tmp_path: Path) -> None:
    desk = desk_at(tmp_path, collecting())
    done(desk.commit(commit_of(0)))
    desk.see(Situation(2_000, collecting(1)))
    assert done(desk.seal()) is None
    desk.see(Situation(3_000, collecting(0)))
    assert desk.receipt(0, 0).digest == digest(1)


@pytest.mark.parametrize("message", ["commit", "vote"])
def test_a_round_that_ends_while_a_message_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    """It is in its own round's journal and not in the next one's, and no word is given for it."""
    gate = threading.Event()
    real = os.pwrite

    def slow(handle: int, data: bytes, at: int) -> int:
        assert gate.wait(20)
        return real(handle, data, at)

    async def run() -> None:
        desk = desk_at(tmp_path, collecting() if message == "commit" else voting())
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", slow)
            coming = desk.commit(commit_of(0)) if message == "commit" else desk.vote(BALLOT)
            waiting = asyncio.create_task(coming)
            await asyncio.sleep(0.05)
            desk.see(Situation(1_000, collecting(1)))
            gate.set()
            with pytest.raises(Refused, match="round 0 ended before") as refused:
                await waiting
        assert refused.value.status == HTTPStatus.GONE
        await desk.commit(commit_of(1, round_index=1))
        assert desk.receipt(1, 1).round == 1
        assert desk._book is not None
        desk._book.close()

    asyncio.run(run())
    books = [Book(tmp_path / FEDERATION.hex(), RoundIndex(n)) for n in (0, 1)]
    assert list(books[0].leaves) == ([0] if message == "commit" else [])
    assert len(books[0].votes(voting())) == (message == "vote")
    assert list(books[1].leaves) == [1]


def test_zeros_at_its_end_do_not_keep_a_book_shut(tmp_path: Path) -> None:
    desk = desk_at(tmp_path, collecting())
    receipt = done(desk.commit(commit_of(0)))
    assert desk._book is not None
    desk._book.close()
    (path,) = tmp_path.rglob("*.journal")
    with path.open("ab") as file:
        file.write(bytes(4096))
    assert desk_at(tmp_path, collecting()).receipt(0, 0) == receipt


def test_a_book_that_cannot_be_opened_is_opened_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, news = desk_at(tmp_path, collecting()), Situation(1_000, collecting(1))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "full")))
        for _ in range(2):
            with pytest.raises(JournalFailed, match="full"):
                desk.see(news)
            with pytest.raises(Refused, match="not open yet"):
                done(desk.commit(commit_of(0, round_index=1)))
    desk.see(news)
    done(desk.commit(commit_of(0, round_index=1)))
    assert desk.receipt(1, 0).digest == digest(1)


def test_what_did_not_reach_the_disk_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No receipt, no leaf in the batch; and the same commit may come again when there is room."""

    def full(_handle: int, _data: bytes, _at: int) -> int:
        raise OSError(28, "No space left on device")

    async def run() -> None:
        desk = desk_at(tmp_path, collecting())
        await desk.commit(commit_of(0))
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            same = [commit_of(1), commit_of(1), commit_of(2)]
            found = await asyncio.gather(*map(desk.commit, same), return_exceptions=True)
        assert [type(error) for error in found] == [JournalFailed] * 3
        await desk.commit(commit_of(2))
        batch = await desk.seal()
        assert batch is not None
        assert [Leaf.decode(d).participant for d in batch.leaves() if d is not None] == [0, 2]

    asyncio.run(run())


def test_a_seal_that_cannot_be_written_does_not_stop_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its leaves are on the disk; the next try posts them."""

    async def run() -> None:
        desk = desk_at(tmp_path, collecting())
        await desk.commit(commit_of(0))
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
            with pytest.raises(JournalFailed):
                await desk.seal()
        batch = await desk.seal()
        assert batch is not None
        assert batch.posted.leaves == 1

    asyncio.run(run())


def test_who_is_missing(tmp_path: Path) -> None:
    desk = desk_at(tmp_path, collecting())
    for participant in range(3):
        done(desk.commit(commit_of(participant)))
    assert not desk.full(replace(collecting(), direct=frozenset({4})))
    assert desk.full(replace(collecting(), direct=frozenset({3, 4})))


def test_status(tmp_path: Path) -> None:
    desk = desk_at(tmp_path, collecting(3))
    done(desk.commit(commit_of(0, round_index=3)))
    assert desk.status() == {
        "federation": FEDERATION.hex(),
        "chain_id": 31337,
        "ledger": DOMAIN.ledger,
        "relay": RELAY.address,
        "round": 3,
        "phase": "collecting",
        "commits": 1,
        "waiting": 0,
    }
    batch = done(desk.seal())
    assert batch is not None
    assert desk.batch(3) == {
        "round": 3,
        "sealed": True,
        "leaves": 1,
        "root": batch.posted.root.hex(),
        "index": batch.posted.index.hex(),
    }
    for wrong in (lambda: desk.batch(2), lambda: desk.receipt(3, 1)):
        with pytest.raises(Refused) as refused:
            wrong()
        assert refused.value.status == HTTPStatus.NOT_FOUND
