"""A participant's way through the relay, and past it in every way that a relay can fail."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import cast

import pytest

from fednode.relay.carrier import Relayed, Setting
from fednode.relay.client import RelayClient
from fednode.relay.errors import Refused, RelayDown
from fednode.relay.messages import SignedReceipt
from ledger.batch import Batch, Leaf
from ledger.chain.accounts import Account
from ledger.chain.errors import Unfunded
from ledger.chain.federations import Ballot
from ledger.committee import Committee
from ledger.disputes import Challenges
from ledger.history import EventMeta
from ledger.proceedings import Commit as Committed
from ledger.proceedings import Proposal, Round
from ledger.signatures import Commit, Receipt, Vote
from ledger.stores import MemoryStore
from ledger.types import ZERO_ADDRESS, ZERO_DIGEST, Digest, ParticipantId, RoundIndex
from tests.fednode.relay.world import DOMAIN, FEDERATION, MEMBERS, RELAY, RESULT, STRANGER, digest

ME = ParticipantId(2)
MINE = digest(6)
META = EventMeta(1, bytes(32), 1_200, bytes(32), 0, ZERO_ADDRESS)
BALLOT = Ballot(RoundIndex(0), 0, RESULT, support=True)
OPENED, BATCH, COMMITS = 1_000, 100, 300
PATIENCE = OPENED + BATCH + (COMMITS - BATCH) // 3


@dataclass
class Client:
    """The relay's client: gives good receipts, or fails."""

    failing: bool = False
    conflict: bool = False
    taken: list[object] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    domain = DOMAIN
    account = MEMBERS[ME]

    def commit(self, commit: Commit, deadline: int, *, within: float) -> SignedReceipt:
        self.times.append(within)
        return self._take(commit, Receipt(FEDERATION, 0, ME, commit.digest, deadline))

    def vote(
        self, vote: Vote, participant: ParticipantId, deadline: int, *, within: float
    ) -> SignedReceipt:
        self.times.append(within)
        content = Receipt(FEDERATION, 0, participant, DOMAIN.digest(vote), deadline)
        return self._take(vote, content)

    def _take(self, message: object, receipt: Receipt) -> SignedReceipt:
        if self.failing:
            raise RelayDown("url", "no connection")
        if self.conflict:
            raise Refused(HTTPStatus.CONFLICT, "participant 2 has committed to another update")
        self.taken.append(message)
        return SignedReceipt.of(receipt, DOMAIN.sign(RELAY, receipt))


@dataclass
class Own:
    """Transactions of one's own, which a sponsored participant cannot pay."""

    sent: list[str] = field(default_factory=list)
    poor: bool = False

    def commit(self, round_: Round, participant: ParticipantId, digest: Digest) -> bool:
        self._pay("commit")
        round_.commits.append(Committed(0, participant, digest, META))
        return True

    def vote(self, round_: Round, participant: ParticipantId, ballot: Ballot) -> bool:
        self._pay("vote")
        return True

    def _pay(self, what: str) -> None:
        if self.poor:
            raise Unfunded(ZERO_ADDRESS, 0, 1)
        self.sent.append(what)


class Notes:
    """A journal in memory."""

    def __init__(self) -> None:
        self.noted: dict[tuple[int, str], object] = {}

    def mark(self, round_index: int, name: str, value: object = True) -> None:
        self.noted[round_index, name] = value

    def marked(self, round_index: int, name: str) -> object | None:
        return self.noted.get((round_index, name))


class World:
    """A participant, a round and the time."""

    def __init__(self) -> None:
        self.now = OPENED
        self.store = MemoryStore()
        self.client, self.own, self.notes = Client(), Own(), Notes()
        self.round = Round(
            index=RoundIndex(0),
            parent=ZERO_DIGEST,
            seats=5,
            known=5,
            candidates=5,
            opened=OPENED,
            commit_deadline=OPENED + COMMITS,
        )
        self.restart()

    def restart(self) -> None:
        setting = Setting(FEDERATION, BATCH, 80, self.store, lambda: self.now)
        client = cast(RelayClient, self.client)
        self.carrier = Relayed(setting, client, self.own, self.notes)

    def commit(self, now: int) -> bool:
        self.now = now
        return self.carrier.commit(self.round, ME, MINE)

    def post(self, *leaves: Leaf, published: bool = True) -> Batch:
        batch = Batch.of(leaves)
        self.round.batched, self.round.batch_root = batch.posted.leaves, batch.posted.root
        self.round.batch_index = batch.posted.index
        if published:
            self.store.put(batch.artefact())
        return batch

    def vote(self, now: int) -> bool:
        self.now = now
        return self.carrier.vote(self.round, ME, BALLOT)


@pytest.fixture
def world() -> World:
    return World()


def leaf(participant: int, update: Digest, by: Account) -> Leaf:
    message = Commit(FEDERATION, 0, participant, update)
    return Leaf(participant, update, DOMAIN.sign(by, message))


GOOD = leaf(ME, MINE, MEMBERS[ME])
OTHER = leaf(1, digest(3), MEMBERS[1])
FORGED = leaf(ME, digest(9), STRANGER)
OLDER = leaf(ME, digest(9), MEMBERS[ME])


def test_a_commit_in_the_batch_needs_no_transaction(world: World) -> None:
    assert world.commit(OPENED)
    assert not world.commit(OPENED + 1)
    world.post(OTHER, FORGED, GOOD)
    assert not world.commit(OPENED + BATCH)
    assert world.client.taken == [Commit(FEDERATION, 0, ME, MINE)]
    assert world.own.sent == []


def test_a_receipt_is_kept_and_not_asked_for_twice(world: World) -> None:
    world.commit(OPENED)
    world.restart()
    assert not world.commit(OPENED + 1)
    assert len(world.client.taken) == 1
    kept = SignedReceipt.model_validate(world.notes.marked(0, "commit-receipt"))
    assert kept.content == Receipt(FEDERATION, 0, ME, MINE, OPENED + BATCH)


def test_another_update_is_handed_in_anew(world: World) -> None:
    """After a reorganisation: what was trained on another result counts for nothing."""
    world.commit(OPENED)
    assert world.carrier.commit(world.round, ME, digest(7))
    assert len(world.client.taken) == 2


DROPPED: dict[str, tuple[Leaf, ...]] = {
    "not there": (OTHER,),
    "forged only": (OTHER, FORGED),
    "an older one before it": (OLDER, GOOD),
}


@pytest.mark.parametrize("leaves", DROPPED.values(), ids=DROPPED)
def test_who_is_dropped_sends_its_own(world: World, leaves: tuple[Leaf, ...]) -> None:
    world.commit(OPENED)
    world.post(*leaves)
    assert world.commit(OPENED + 90)
    assert not world.commit(OPENED + 91)
    assert world.own.sent == ["commit"]


def test_a_batch_that_nobody_has_is_waited_for_and_then_not(world: World) -> None:
    world.commit(OPENED)
    batch = world.post(GOOD, published=False)
    assert not world.commit(PATIENCE - 1)
    assert world.own.sent == []
    assert world.commit(PATIENCE)
    assert world.own.sent == ["commit"]
    world.store.put(batch.artefact())
    assert not world.commit(PATIENCE + 1)


def test_a_batch_that_comes_late_is_read(world: World) -> None:
    world.commit(OPENED)
    batch = world.post(GOOD, published=False)
    world.commit(OPENED + BATCH)
    world.store.put(batch.artefact())
    assert not world.commit(PATIENCE)
    assert world.own.sent == []


def test_a_batch_that_is_not_what_was_posted_is_not_waited_for(world: World) -> None:
    world.commit(OPENED)
    world.post(GOOD)
    world.round.batch_root = digest(4)
    assert world.commit(OPENED + BATCH)
    assert world.own.sent == ["commit"]


def test_a_batch_that_is_never_posted(world: World) -> None:
    world.commit(OPENED)
    assert not world.commit(PATIENCE - 1)
    assert world.commit(PATIENCE)
    assert world.own.sent == ["commit"]


def test_a_relay_that_is_down(world: World) -> None:
    world.client.failing = True
    assert world.commit(OPENED)
    assert not world.commit(OPENED + 1)
    assert world.own.sent == ["commit"]


def test_a_commit_that_the_journal_does_not_know_is_waited_for(world: World) -> None:
    """The relay says that it holds another commit of ours: after a restored backup that is true."""
    world.client.conflict = True
    for now in (OPENED, OPENED + BATCH, PATIENCE - 1):
        assert not world.commit(now)
    assert (len(world.client.times), world.own.sent) == (1, [])
    assert world.commit(PATIENCE)
    assert world.own.sent == ["commit"]


def test_a_commit_that_the_journal_knows_is_replaced_at_once(world: World) -> None:
    world.commit(OPENED)
    world.client.conflict = True
    assert world.carrier.commit(world.round, ME, digest(7))
    assert world.own.sent == ["commit"]


def test_too_late_for_the_batch(world: World) -> None:
    assert world.commit(OPENED + BATCH)
    assert (world.client.taken, world.own.sent) == ([], ["commit"])


@pytest.mark.parametrize(
    ("window", "last"), [(300, OPENED + BATCH), (110, OPENED + 97), (101, OPENED + 89)]
)
def test_a_relay_may_take_the_time_of_the_batch_but_not_our_own(
    world: World, window: int, last: int
) -> None:
    """Of a commit window that hardly outlasts the batch's an eighth is kept for a transaction."""
    world.round.commit_deadline = OPENED + window
    world.client.failing = True
    world.commit(OPENED + 20)
    assert world.client.times == [last - OPENED - 20]
    world.round.commits.clear()
    world.commit(last)
    assert len(world.client.times) == 1
    assert world.own.sent == ["commit", "commit"]


def test_who_has_no_ether_asks_the_relay_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.client.failing = world.own.poor = True
    assert not world.commit(OPENED)
    assert "we cannot go on alone" in caplog.text
    world.client.failing = False
    assert world.commit(OPENED + 1)
    assert len(world.client.taken) == 1


# -- votes


@pytest.fixture
def voting(world: World) -> World:
    world.round.proposals.append(
        Proposal(
            round=RoundIndex(0),
            attempt=0,
            proposer=ZERO_ADDRESS,
            signer=ZERO_ADDRESS,
            result=RESULT,
            index=ZERO_DIGEST,
            attest_deadline=1_280,
            challenge_deadline=2_000,
            committee=Committee((ME,), frozenset({ME}), seats=1, size=1),
            challenges=Challenges(10),
            meta=META,
        )
    )
    return world


def test_a_vote_is_handed_in_once(voting: World) -> None:
    assert voting.vote(1_200)
    voting.restart()
    assert not voting.vote(1_201)
    voting.round.proposal.votes[ME] = True
    assert not voting.vote(1_279)
    assert len(voting.client.taken) == 1
    assert voting.own.sent == []


def test_a_vote_that_does_not_count_in_time_is_sent(voting: World) -> None:
    voting.vote(1_200)
    assert not voting.vote(1_269)
    assert voting.vote(1_270)
    assert voting.own.sent == ["vote"]


def test_a_relay_may_not_take_the_time_of_our_own_vote(voting: World) -> None:
    voting.client.failing = True
    voting.vote(1_200)
    assert voting.client.times == [1_270 - 1_200]


def test_a_vote_past_a_relay_that_is_down(voting: World) -> None:
    voting.client.failing = True
    assert voting.vote(1_200)
    assert voting.own.sent == ["vote"]


def test_a_vote_on_the_next_attempt_is_another(voting: World) -> None:
    voting.vote(1_200)
    again = replace(voting.round.proposal, attempt=1)
    voting.round.proposals.append(again)
    ballot = Ballot(RoundIndex(0), 1, RESULT, support=True)
    assert voting.carrier.vote(voting.round, ME, ballot)
    assert len(voting.client.taken) == 2


def test_a_journal_is_all_the_memory_it_needs(tmp_path: Path) -> None:
    from fednode.roles.journal import Journal

    mark: Callable[[int, str, object], None] = Journal(tmp_path, FEDERATION).mark
    mark(0, "commit-receipt", {"digest": MINE.hex()})
    world = World()
    setting = Setting(FEDERATION, BATCH, 80, world.store, lambda: OPENED)
    journal = Journal(tmp_path, FEDERATION)
    carrier = Relayed(setting, cast(RelayClient, world.client), world.own, journal)
    assert not carrier.commit(world.round, ME, MINE)
    assert world.client.taken == []


def test_a_receipt_of_a_round_that_was_opened_anew_is_none() -> None:
    """The relay's word has a deadline; after a reorganisation the round has another."""
    world = World()
    assert world.commit(OPENED)
    assert not world.commit(OPENED + 1)
    world.round.opened += 7
    world.round.commit_deadline += 7
    assert world.commit(OPENED + 8)
    assert not world.commit(OPENED + 9)
    assert len(world.client.taken) == 2
