"""What strangers name and nobody has, and what a user's model raises, take no vote away."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Event, current_thread, main_thread

import pytest

from fednode.evaluation.evaluator import ExactEvaluator
from fednode.evaluation.metrics import Rows
from fednode.membership import NO_KEY, make_request, membership, site_secret
from fednode.models.guard import model_code
from fednode.roles.participant import Participant
from fednode.roles.role import Progress, Role
from fednode.roles.voting import KEEPING
from fednode.strangers import AT_ONCE, MISSES, Allowance
from fednode.training.run import LocalRun
from fednode.training.task import SgdTask
from ledger.chain.federations import Federations
from ledger.cid import CID, Codec
from ledger.round import Int32
from ledger.state import Phase
from ledger.stores import Artefact, StoreUnreachable
from ledger.types import Digest, ParticipantId, Wei
from tests.federations import Cast, GivenTask, Peers, in_phase, opened, play
from tests.fednode.roles.conftest import Found

GHOSTS = range(5, 10)


def ghost(number: int) -> Digest:
    return Digest(number.to_bytes(32, "big"))


def haunt(cast: Cast) -> None:
    """Let five strangers join an open federation under identities that nobody has, and leave."""
    hospital = cast.hospitals[0]
    for number in GHOSTS:
        account = cast.stage.accounts[number]
        secret = site_secret(hospital.folder / str(number))
        request, _ = make_request(
            cast.federation, account, name="ghost", site=hospital.site, secret=secret
        )
        own = account.address
        terms = membership(request, None, signer=own, payout=own, key=NO_KEY)
        terms = replace(terms, identity=ghost(number))
        cast.contract.join(account, cast.federation, terms, stake=Wei(0))
        index = len(cast.state().participants) - 1
        cast.contract.leave(account, cast.federation, ParticipantId(index))


@contextmanager
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[Digest]]:
    """Let the stores look for what ghosts named until the test is over; count what was asked."""
    asked: Counter[Digest] = Counter()
    over, get = Event(), Peers.get
    ghosts = {ghost(number) for number in GHOSTS}

    def slow(peer: Peers, cid: CID) -> bytes:
        if cid.digest in ghosts:
            asked[cid.digest] += 1
            assert current_thread() is not main_thread(), "a step waits for a stranger's record"
            over.wait(120)
        return get(peer, cid)

    monkeypatch.setattr(Peers, "get", slow)
    try:
        yield asked
    finally:
        over.set()


def test_ghosts_delay_no_vote(start: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    cast = start(rounds=1, federation={"open": True, "max_participants": 9, "quorum": "0.9"})
    haunt(cast)
    roles = cast.roles()
    with hanging(monkeypatch) as asked:
        state = play(cast, lambda: roles)
        for round_ in state.rounds:
            proposal = round_.proposals[-1]
            seated = set(proposal.committee.seated)
            assert seated <= set(proposal.votes), "everybody with a seat votes"
        assert sum(asked.values()) <= len(cast.hospitals) * AT_ONCE


def test_misses_are_remembered_and_capped() -> None:
    allowance, asked = Allowance(), Counter[int]()
    records = [Digest(n.to_bytes(32, "big")) for n in range(100)]
    for round_ in range(64):
        allowance.renew(round_)
        due = sorted(filter(allowance.may_ask, records), key=allowance.misses)
        for record in due:
            if allowance.may_ask(record):
                allowance.missed(record)
                asked[round_] += 1
    assert max(asked.values()) == MISSES
    alone, tries = Allowance(), []
    for round_ in range(64):
        alone.renew(round_)
        if alone.may_ask(records[0]):
            alone.missed(records[0])
            tries.append(round_)
    assert tries == [0, 1, 3, 7, 15, 31, 63]


def test_bytes_of_strangers_are_capped() -> None:
    allowance = Allowance(size=100)
    allowance.renew(0)
    allowance.took(100)
    assert not allowance.may_ask(ghost(1))
    allowance.renew(1)
    assert allowance.may_ask(ghost(1))


def attesting(start: Found) -> tuple[Cast, list[Role]]:
    cast = start(rounds=1, federation={"quorum": "0.9"})
    roles = cast.roles()
    play(cast, lambda: roles, until=in_phase(Phase.ATTEST))
    return cast, roles


def test_a_vote_is_sent_before_anything_is_kept(
    start: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that takes nothing costs no vote; a restart keeps what the vote promised."""
    cast, _ = attesting(start)
    hospital, voter = cast.hospitals[2], cast.hospitals[2].participant()
    with monkeypatch.context() as patch:

        def refuse(*_: object) -> None:
            raise StoreUnreachable("store", "connection refused")

        patch.setattr(Peers, "put", refuse)
        while 2 not in cast.state().round.proposals[0].votes:
            voter.step()
        assert hospital.journal.marked(0, KEEPING) is not None
    proposal = cast.state().rounds[0].proposals[0]
    assert proposal.votes[ParticipantId(2)] is True
    index = CID(Codec.DAG_CBOR, proposal.index)
    store = hospital.store
    assert isinstance(store, Peers)
    assert not store.has(index)
    again = hospital.participant()
    for _ in range(50):
        if hospital.journal.marked(0, KEEPING) is None:
            break
        again.step()
        Event().wait(0.05)
    assert store.has(index)
    assert hospital.journal.marked(0, KEEPING) is None
    for commit in cast.state().rounds[0].commits:
        assert store.has(CID(Codec.RAW, commit.digest))


def test_a_vote_precedes_the_store(start: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    cast, _ = attesting(start)
    voter, order = cast.hospitals[2].participant(), list[str]()
    vote, put = Federations.vote, Peers.put

    def voting(*arguments: object) -> object:
        order.append("vote")
        return vote(*arguments)  # type: ignore[arg-type]

    def putting(peer: Peers, artefact: Artefact) -> None:
        order.append("put")
        put(peer, artefact)

    monkeypatch.setattr(Federations, "vote", voting)
    monkeypatch.setattr(Peers, "put", putting)
    while "vote" not in order:
        assert voter.step() is not Progress.DONE
    assert order[0] == "vote"
    assert "put" in order, "it is kept in the step that sent the vote"


class Raising(GivenTask):
    """A user's model whose training raises from the second round on."""

    error: BaseException = RuntimeError("CUDA error: device-side assert triggered")

    def fit(self, rows: Rows, run: LocalRun) -> None:
        if run.round > 0:
            raise self.error
        super().fit(rows, run)


def sick(cast: Cast, error: BaseException) -> Participant:
    node = cast.hospitals[0].participant()
    task = node._committing.trainer.task
    assert isinstance(task, SgdTask)
    view = cast.hospitals[0].view()
    raising = Raising(task, view.rulebook.layout, {})
    raising.error = error
    node._committing.trainer = replace(node._committing.trainer, task=raising)
    return node


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error"), SystemExit(1)], ids=lambda error: type(error).__name__
)
def test_a_model_that_raises_costs_an_update_and_no_vote(
    start: Found, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    cast = start(rounds=1, federation={"quorum": "0.9"})
    node = sick(cast, error)
    roles = [node, *cast.roles()[1:]]
    state = play(cast, lambda: roles)
    assert list(node.failures) == [1]
    assert type(error).__name__ in node.failures[1]
    assert any(record.exc_info for record in caplog.records), "the log holds the traceback"
    assert [sorted(c.participant for c in r.commits) for r in state.rounds] == [
        [0, 1, 2, 3],
        [1, 2, 3],
    ]
    assert all(0 in round_.proposal.votes for round_ in state.rounds)


def test_a_model_that_cannot_be_measured_costs_this_vote_alone(
    start: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its node commits, publishes and moves the federation on; the others' votes decide."""
    cast = start(rounds=1)
    roles = cast.roles()
    play(cast, lambda: roles, until=opened(1))
    node, measure = cast.hospitals[0].participant(), ExactEvaluator.utilities
    stepping: list[bool] = []

    def failing(measuring: ExactEvaluator, models: Iterable[Int32]) -> tuple[int, ...]:
        with model_code("evaluation"):
            if stepping:
                raise RuntimeError("no such device")
        return measure(measuring, models)

    monkeypatch.setattr(ExactEvaluator, "utilities", failing)

    class Sick:
        def step(self) -> Progress:
            stepping.append(True)
            try:
                return node.step()
            finally:
                stepping.clear()

    state = play(cast, lambda: [Sick(), *roles[1:]])
    assert 0 in [c.participant for c in state.rounds[1].commits]
    assert 0 not in state.rounds[1].proposal.votes
    assert len(state.lineage) == 2
    assert node.outages["voting"] >= 1
    assert "committing" not in node.outages
