"""A watcher that cannot see yet what it has sent: the contract has a challenge of it that waits for
its confirmations, or waits for its block. It pays for one challenge, or gets back what it paid.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest

from fednode.claims import claim_all
from fednode.federation import Federation
from fednode.roles.role import Progress, Role
from fednode.roles.watcher import Watcher, _target, challenge_time
from ledger.chain.errors import TransactionPending
from ledger.chain.federations import Federations
from ledger.chain.types import Receipt
from ledger.cid import CID, Codec
from ledger.disputes import Waiting
from ledger.history import ChallengeFailed, DemandOpened, ProofCommitted, ResultDisproved
from ledger.proofs import Computed, Sources, answer
from ledger.round import Outcome as Result
from ledger.state import FederationState
from ledger.types import Digest, Wei
from tests.federations import Cast, Hospital, Peers, play
from tests.fednode.roles.conftest import Found
from tests.fednode.roles.test_disputes import (
    BOND,
    Patient,
    another_model,
    conspiracy,
    disproved,
    history,
)

DEPTH = 12
STEPS = 400


@dataclass
class Lie:
    """A model that is not what the round comes to, told once."""

    told: list[Result] = field(default_factory=list)

    def __call__(self, outcome: Result) -> Result:
        if self.told:
            return outcome
        self.told.append(another_model(outcome))
        return self.told[0]


def blocks(cast: Cast) -> Callable[[FederationState], None]:
    """Let a block be made at each look, so that what is in one gets its confirmations."""
    idler = cast.stage.accounts[-1]
    looks = iter(range(STEPS))

    def make(state: FederationState) -> None:
        next(looks)
        cast.stage.chain.send(idler, idler.address, value=1)

    return make


def besieged(start: Found, lie: Lie, *, confirmations: int) -> tuple[Cast, list[Role], Watcher]:
    """Found a federation in which three of four back a lie, and play until they have accepted it;
    the fourth watches, at a distance of confirmations.
    """
    cast, roles = conspiracy(start, lie, rounds=6)
    play(cast, lambda: roles[:4], until=lambda state: bool(state.lineage))
    honest = cast.hospitals[3]
    view = distant(honest, confirmations)
    return cast, roles[:4], Watcher(view, honest.account, honest.journal, beside=False)


def distant(hospital: Hospital, confirmations: int) -> Federation:
    """Read a federation as it was some blocks ago."""
    view = hospital.view()
    view.replica = view._open(confirmations=confirmations)
    return view


class Watching:
    """A watcher as its process would run it."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher

    def step(self) -> Progress:
        self.watcher._federation.refresh()
        try:
            return self.watcher.step()
        except TransactionPending:
            return Progress.ACTED


def count(cast: Cast, kind: type) -> int:
    return sum(isinstance(event, kind) for event in history(cast))


@pytest.mark.parametrize("confirmations", [1, DEPTH])
def test_one_challenge_is_enough(start: Found, confirmations: int) -> None:
    """However many blocks it takes until a node believes in its own or in another's."""
    cast, roles, watcher = besieged(start, Lie(), confirmations=confirmations)
    crowd = [*roles, Watching(watcher)]
    for account in cast.hospitals[3].account, cast.stage.accounts[8], cast.stage.accounts[9]:
        view = distant(cast.hospitals[3], confirmations)
        crowd.append(Watching(Watcher(view, account)))
    play(cast, lambda: crowd, until=lambda s: bool(disproved(s)), watch=blocks(cast))
    assert count(cast, ProofCommitted) == 1
    assert count(cast, ChallengeFailed) == 0
    assert count(cast, ResultDisproved) == 1


@pytest.mark.slow
def test_a_flood_of_others_challenges_delays_it_and_no_more(start: Found) -> None:
    """Somebody challenges the lie in every block, for nothing: there is always one more than a node
    has read of.
    """
    cast, roles, watcher = besieged(start, Lie(), confirmations=DEPTH)
    flood, made = cast.stage.accounts[8], blocks(cast)
    accepted = cast.state().lineage[0].proposal
    begin, end = challenge_time(cast.state(), accepted)

    def challenge(state: FederationState) -> None:
        made(state)
        if begin <= cast.stage.chain.now() < end:
            commitment, bond = Digest(bytes(32)), Wei(BOND)
            cast.contract.commit_proof(
                flood, cast.federation, accepted.result, commitment=commitment, bond=bond
            )

    cast.stage.engine.hurry(begin)
    honest = cast.hospitals[3].account.address
    state = play(
        cast,
        lambda: [Watching(watcher), *roles],
        until=lambda s: any(c.challenger == honest for p in s.live() for c in p.challenges.all),
        watch=challenge,
    )
    assert state.time < end
    own = [c for p in state.live() for c in p.challenges.all if c.challenger == honest]
    assert len(own) == 1


@pytest.mark.parametrize("restarted", [False, True])
def test_what_was_sent_twice_costs_nothing(
    start: Found, monkeypatch: pytest.MonkeyPatch, restarted: bool
) -> None:
    """The first transaction is reported late, or its process killed, and mined all the same when
    another one has been sent.
    """
    cast, roles, watcher = besieged(start, Lie(), confirmations=1)
    send = Federations.commit_proof
    waiting: list[Callable[[], Receipt]] = []

    def late(*place: object, **terms: object) -> Receipt:
        transaction = partial(send, *place, **terms)  # type: ignore[arg-type]
        if not waiting:
            waiting.append(transaction)
            raise TransactionPending(bytes(32), 0, 180.0)
        waiting[0]()
        return transaction()

    monkeypatch.setattr(Federations, "commit_proof", late)
    honest = cast.hospitals[3]

    def crowd() -> list[Role]:
        if restarted:
            again = Watcher(honest.view(), honest.account, honest.journal, beside=False)
            return [*roles, Watching(again)]
        return [*roles, Watching(watcher)]

    state = play(cast, crowd, until=lambda s: bool(disproved(s)))
    assert count(cast, ProofCommitted) == 2
    assert count(cast, ChallengeFailed) == 0
    (wrong,) = disproved(state)
    assert [c.challenger for c in wrong.challenges.all] == [honest.account.address] * 2
    first, second = wrong.challenges.all
    assert (first.waiting, second.waiting) == (Waiting.NOBODY, Waiting.PROOF)
    claim_all(honest.view(), honest.account)
    assert count(cast, ChallengeFailed) == 0
    assert all(c.resolved for c in disproved(cast.state())[0].challenges.all)


@dataclass
class Discloser:
    """Answers every demand of a lie, as its author could."""

    cast: Cast
    lie: Lie

    def step(self) -> Progress:
        for proposal in self.cast.state().live():
            for challenge in proposal.challenges.all:
                step = challenge.step
                if challenge.waiting is Waiting.ANSWER and isinstance(step, DemandOpened):
                    data = answer(_target(step), Sources.of(Computed.of(self.lie.told[0]), {}, {}))
                    assert data is not None
                    self.cast.contract.answer(self.cast.stage.accounts[8], step, data)
                    return Progress.ACTED
        return Progress.WAITING


def test_a_next_step_that_is_not_seen_yet_is_not_forgotten(start: Found) -> None:
    """The model is shown on demand, the proof committed to; until that is confirmed the node finds
    it due again, and the contract refuses it.
    """
    lie = Lie()
    cast, roles, watcher = besieged(start, lie, confirmations=DEPTH)
    index = cast.state().lineage[0].proposal.index
    for hospital in cast.hospitals:
        assert isinstance(hospital.store, Peers)
        hospital.store.silent.add(CID(Codec.DAG_CBOR, index))
    crowd = [Patient(role) for role in (*roles, Discloser(cast, lie), Watching(watcher))]
    play(cast, lambda: crowd, until=lambda s: bool(disproved(s)), watch=blocks(cast))
    assert count(cast, DemandOpened) >= 1
    assert count(cast, ProofCommitted) == 1
    assert count(cast, ChallengeFailed) == 0
    (shown,) = [event for event in history(cast) if isinstance(event, ResultDisproved)]
    assert shown.kind


def test_a_process_opens_what_another_of_its_account_committed_to(start: Found) -> None:
    """The participant trains, or is gone with its journal: the proposer beside it goes on."""
    cast, roles, watcher = besieged(start, Lie(), confirmations=1)
    honest = cast.hospitals[3]
    first = Watching(watcher)
    play(
        cast,
        lambda: [*roles, first],
        until=lambda s: any(p.challenges.all for p in s.live()),
    )
    beside = Watching(Watcher(honest.view(), honest.account))
    assert beside.step() is Progress.WAITING
    play(cast, lambda: [*roles, beside], until=lambda s: bool(disproved(s)))
    assert count(cast, ProofCommitted) == 1
    assert count(cast, ChallengeFailed) == 0
