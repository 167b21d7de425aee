"""Disputes on the real contract: a majority that lies, and one that does not."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from fednode.auditing import run_audit
from fednode.roles.journal import PreparedUpdate
from fednode.roles.participant import Participant
from fednode.roles.proposer import Proposer
from fednode.roles.role import OUTAGES, Progress, Role
from fednode.roles.trainer import Trainer
from fednode.roles.watcher import Guard, Watcher
from ledger import payouts
from ledger.audit.sources import evidence_from_chain
from ledger.cid import CID, Codec
from ledger.disputes import Challenge
from ledger.errors import MalformedRecord
from ledger.headers import UpdateHeader
from ledger.history import (
    ChallengeFailed,
    DemandOpened,
    Event,
    FallenDisproved,
    HistoryReader,
    ResultDisproved,
    ResultRejected,
)
from ledger.members import Participant as Member
from ledger.payload import Payload, pad
from ledger.proceedings import Fate, Proposal, Round
from ledger.proofs import Kind, Wanted
from ledger.round import Outcome as Result
from ledger.round import Published
from ledger.state import FederationState, Phase
from ledger.stores import Artefact, BlockUnavailable
from ledger.stores.base import MAX_BLOCK
from ledger.types import Digest, Wei
from tests.federations import Cast, Changes, Hospital, Peers, opened, play
from tests.fednode.roles.conftest import Found
from tests.fednode.roles.test_rounds import Dishonest, Forge

STAKE, BOND = 10**17, 10**16
PRICES = {
    "stake": str(STAKE),
    "proposer_bond": str(BOND),
    "challenge_bond": str(BOND),
    "rejection_fee": str(10**15),
}
WINDOWS = {"challenge": 4000, "answer": 300}


class Accomplice(Participant):
    """Votes for whatever is proposed first, and never disputes."""

    def step(self) -> Progress:
        voting = self._voting

        def judge(round_: Round, proposal: Proposal) -> bool | None:
            return proposal.attempt == 0 or type(voting).judge(voting, round_, proposal)

        voting.judge = judge  # type: ignore[method-assign]
        self._watcher.step = lambda: Progress.WAITING  # type: ignore[method-assign]
        return super().step()


class Patient:
    """A role that outlives what cannot be had or read, as its process would."""

    def __init__(self, role: Role) -> None:
        self._role = role

    def step(self) -> Progress:
        try:
            return self._role.step()
        except (BlockUnavailable, MalformedRecord):
            return Progress.WAITING


def accomplice(hospital: Hospital) -> Accomplice:
    honest = hospital.participant()
    trainer = honest._committing.trainer
    return Accomplice(honest._federation, honest._account, trainer, honest._journal)


def another_model(outcome: Result) -> Result:
    """Change one coordinate of the model, and commit to that."""
    model = outcome.model.copy()
    model[3] += 1
    data = Payload(pad(model, model.size // 256), outcome.content.part("model"))
    header = replace(outcome.header, model_root=data.root, model_digest=data.digest)
    return replace(outcome, model=model, records=replace(outcome.records, header=header))


def another_value(outcome: Result) -> Result:
    """Give who has earned something more of it."""
    best = max(outcome.records.values, key=lambda leaf: leaf.score)
    more = replace(best, value=best.value + 7, score=best.score + 7)
    leaves = tuple(more if leaf is best else leaf for leaf in outcome.records.values)
    root = payouts.values_tree(leaves).root
    header = replace(outcome.header, values=root.hash, scores=root.sum)
    return replace(outcome, records=replace(outcome.records, values=leaves, header=header))


def conspiracy(
    start: Found, forge: Forge, *, rounds: int = 2, stake: Changes = PRICES
) -> tuple[Cast, list[Role]]:
    """Found a federation in which three of four back whatever the first proposer forges."""
    cast = start(rounds=rounds, stake=stake, windows=WINDOWS)
    crowd: list[Role] = [accomplice(hospital) for hospital in cast.hospitals[:3]]
    honest = cast.hospitals[3]
    liar = Dishonest(cast.hospitals[0], forge)
    return cast, [Patient(role) for role in (*crowd, liar, honest.participant(), honest.proposer())]


def made_good(state: FederationState, index: int) -> bool:
    """Whether a round whose result was disproved has another, accepted one. Who voted for the first
    has no seat any more, so too few are left for another round.
    """
    return bool(disproved(state)) and state.rounds[index].proposal.fate is Fate.ACCEPTED


def history(cast: Cast) -> list[Event]:
    reader = HistoryReader(cast.stage.chain, cast.contract.address, cast.federation)
    return list(reader.poll())


def disproved(state: FederationState) -> list[Proposal]:
    return [p for r in state.rounds for p in r.proposals if p.fate is Fate.DISPROVED]


@pytest.mark.parametrize(
    ("forge", "kind"),
    [
        (another_model, Kind.STEP),
        (another_value, Kind.VALUE),
    ],
)
def test_one_honest_participant_disproves_a_majority(
    start: Found, forge: Callable[[Result], Result], kind: Kind
) -> None:
    """The lie is told as soon as there is something to lie about."""
    told: list[int] = []

    def once(outcome: Result) -> Result:
        if told or (kind is Kind.VALUE and outcome.header.scores == 0):
            return outcome
        told.append(outcome.header.common.round)
        return forge(outcome)

    cast, roles = conspiracy(start, once, rounds=6)
    honest = cast.hospitals[3].account.address
    state = play(cast, lambda: roles, until=lambda s: bool(told) and made_good(s, told[0]))
    (wrong,) = disproved(state)
    assert wrong.round == told[0]
    assert wrong.challenges.all[0].challenger == honest
    assert [p.slashed for p in state.participants] == [True, True, True, False]
    credit = cast.contract.credit(cast.federation, honest)
    assert credit.ethers >= BOND + BOND // 2 + 3 * (STAKE // 2)
    shown = [e.kind for e in history(cast) if isinstance(e, ResultDisproved)]
    assert shown == [kind]


class Waiter(Participant):
    """Votes against the first result, once a proof against it is open."""

    def step(self) -> Progress:
        voting = self._voting

        def judge(round_: Round, proposal: Proposal) -> bool | None:
            if proposal.attempt > 0:
                return type(voting).judge(voting, round_, proposal)
            return False if proposal.challenges.proofs else None

        voting.judge = judge  # type: ignore[method-assign]
        return super().step()


class Turncoat(Waiter):
    """Votes its own side's result down, and never disputes."""

    def step(self) -> Progress:
        self._watcher.step = lambda: Progress.WAITING  # type: ignore[method-assign]
        return super().step()


def acting_as(kind: type[Participant], hospital: Hospital) -> Participant:
    honest = hospital.participant()
    honest.__class__ = kind
    return honest


def test_voting_a_lie_down_does_not_save_who_voted_for_it(start: Found) -> None:
    """The proof is committed to, the liars turn, and it is opened all the same."""
    cast, _ = conspiracy(start, another_model)
    believer, *turncoats = cast.hospitals[:3]
    crowd: list[Role] = [accomplice(believer)]
    crowd += [acting_as(Turncoat, hospital) for hospital in turncoats]
    liar, honest = Dishonest(cast.hospitals[0], another_model), cast.hospitals[3]
    everyone: list[Role] = [liar, acting_as(Waiter, honest), honest.proposer(), *crowd]
    roles: list[Role] = [Patient(role) for role in everyone]
    first: list[Proposal] = []

    def proven(state: FederationState) -> bool:
        first[:] = [p for r in state.rounds[:1] for p in r.proposals[:1]]
        return bool(first) and first[0].proven

    state = play(cast, lambda: roles, until=proven)
    (wrong,) = first
    kinds = [type(event) for event in history(cast)]
    assert kinds.index(ResultRejected) < kinds.index(FallenDisproved)
    assert ResultDisproved not in kinds
    assert [p.slashed for p in state.participants] == [
        wrong.votes.get(p.index, False) for p in state.participants
    ]
    assert [p.slashed for p in state.participants].count(True) == 1
    credit = cast.contract.credit(cast.federation, honest.account.address)
    assert credit.ethers >= BOND + BOND // 2 + STAKE // 2
    assert not wrong.bonded
    deployers = [cast.stage.accounts[0].address]
    own, id_ = honest.store, cast.federation
    verdict = run_audit(evidence_from_chain(cast.contract, id_, own, deployers=deployers))
    assert verdict.holds, verdict.finding
    assert any("had fallen when a proof" in note for note in verdict.notes)


def test_what_nobody_opens_costs_the_proposer_its_bond(start: Found) -> None:
    """The model is right, or wrong: nobody but the liar has it, and that is enough."""
    cast, roles = conspiracy(start, another_model)
    liar = cast.hospitals[0].store
    assert isinstance(liar, Peers)

    def hide(state: FederationState) -> None:
        proposals = [p for r in state.rounds for p in r.proposals if p.attempt == 0]
        liar.silent |= {CID(Codec.DAG_CBOR, p.index) for p in proposals}

    state = play(cast, lambda: roles, until=lambda s: made_good(s, 0), watch=hide)
    (wrong,) = disproved(state)
    assert wrong.challenges.all[0].taken
    assert not any(participant.slashed for participant in state.participants)


class Hollow(Accomplice):
    """Commits to bytes that are no update's header, and too long for any transaction."""

    def _take_part(self, member: Member, round_: Round) -> bool:
        if self._federation.state.phase is not Phase.COMMIT:
            return super()._take_part(member, round_)
        if round_.committed(member.index):
            return False
        bytes_ = Artefact.of(Codec.RAW, b"\1" * MAX_BLOCK)
        self._federation.store.put(bytes_)
        place, digest = (self._account, self._federation.id), bytes_.roots[0].digest
        self._federation.contract.commit_update(*place, round_.index, digest)
        return True


class Inventor(Proposer):
    """Counts an update for the first participant, whatever lies behind its digest."""

    def _prepared(self, round_: Round) -> tuple[Result, Digest] | None:
        ready = super()._prepared(round_)
        if ready is None or round_.attempt > 0:
            return ready
        slots = self._federation.slots(round_)
        own, other = sorted(slots, key=lambda slot: slot.participant)[:2]
        assert other.published.header is not None
        header = replace(UpdateHeader.decode(other.published.header), participant=own.participant)
        invented = Published(header.encode(), other.published.payload)
        slots[slots.index(own)] = replace(own, published=invented)
        outcome = self._federation.compose(round_, slots)
        assert outcome.header.number == len(slots)
        artefact, index = self._federation.bundle(outcome)
        self._federation.store.put(artefact)
        return outcome, index


def test_a_header_too_long_to_be_opened_is_demanded(start: Found) -> None:
    """Or else nobody could show that it is none."""
    cast, roles = conspiracy(start, lambda outcome: outcome)
    first, honest = cast.hospitals[0], cast.hospitals[3]
    hollow = accomplice(first)
    hollow.__class__ = Hollow
    inventor = Inventor(first.view(), first.account)
    crowd = [hollow, *roles[1:3], inventor, honest.participant(), honest.proposer()]
    state = play(cast, lambda: crowd, until=lambda s: bool(disproved(s)))
    (wrong,) = disproved(state)
    (step,) = (s for s in wrong.challenges.all[0].taken if isinstance(s, DemandOpened))
    assert step.kind == Wanted.HEADER
    assert not any(participant.slashed for participant in state.participants)


class Hider(Proposer):
    """Proposes what is right, under an index that is none."""

    def _prepared(self, round_: Round) -> tuple[Result, Digest] | None:
        ready = super()._prepared(round_)
        return None if ready is None else (ready[0], Digest(b"\7" * 32))


def test_a_right_result_that_is_hidden_stops_nobody(start: Found) -> None:
    """No proof shows that its index is none; but who has computed it needs no index."""
    cast, roles = conspiracy(start, lambda outcome: outcome)
    first, honest = cast.hospitals[0], cast.hospitals[3]
    hider = Hider(first.view(), first.account)
    last = honest.participant()
    crowd = [*roles[:3], hider, Patient(last)]
    state = play(cast, lambda: crowd, until=lambda s: bool(s.lineage))
    with pytest.raises(BlockUnavailable):
        last.step()
    cast.stage.engine.hurry(state.lineage[0].proposal.attest_deadline)
    for _ in range(3):
        Patient(last).step()
    assert cast.state().round.index == 1
    assert cast.state().round.committed(3)


def test_logs_that_the_node_does_not_give_are_an_outage(
    start: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as those of a block that was reorganised away a moment ago."""
    cast, roles = conspiracy(start, another_model)
    play(cast, lambda: roles[:4], until=lambda s: bool(s.lineage))
    accepted = cast.state().lineage[0].proposal
    liar = cast.hospitals[0].store
    assert isinstance(liar, Peers)
    for hospital in cast.hospitals:
        assert isinstance(hospital.store, Peers)
        hospital.store.silent.add(CID(Codec.DAG_CBOR, accepted.index))
    honest = cast.hospitals[3].participant()
    cast.stage.engine.hurry(accepted.attest_deadline)
    with monkeypatch.context() as patch:
        patch.setattr(type(cast.contract), "evidence", lambda *_: [])
        with pytest.raises(OUTAGES, match="--rpc"):
            honest.step()
    assert honest.step() is Progress.ACTED
    assert cast.state().lineage[0].proposal.challenges.all


@dataclass
class Bother:
    """A stranger who demands a leaf of the first model, for nothing."""

    cast: Cast
    leaf: int = 0
    demanded: bool = False

    def __call__(self, state: FederationState) -> None:
        for proposal in state.live():
            if not self.demanded:
                view = self.cast.hospitals[0].view()
                header = view.replica.proposed(state.rounds[proposal.round], proposal).header
                asked = bytes([Wanted.MODEL, 0]) + self.leaf.to_bytes(4, "big")
                place = (self.cast.stage.accounts[9], self.cast.federation, proposal.result)
                self.cast.contract.demand(*place, evidence=asked + header.encode(), bond=Wei(BOND))
                self.demanded = True


def require_paid_for(cast: Cast, challenge: Challenge) -> None:
    """Require that a demand was answered and ended, and that half of its bond is the answerer's."""
    assert challenge.resolved
    assert challenge.answerer is not None
    assert cast.contract.credit(cast.federation, challenge.answerer).ethers >= BOND // 2
    assert cast.contract.credit(cast.federation, challenge.challenger).ethers == 0
    assert [type(e) for e in history(cast)].count(ChallengeFailed) == 1


def test_demands_of_a_right_result_are_answered(start: Found) -> None:
    """Somebody who demands for nothing pays for it; the result settles."""
    cast = start(rounds=1, stake=PRICES, windows=WINDOWS)
    roles = cast.roles()
    state = play(cast, lambda: roles, watch=Bother(cast))
    require_paid_for(cast, state.rounds[0].proposals[0].challenges.all[0])
    assert state.rounds[0].proposals[0].fate is Fate.SETTLED


def demanded(start: Found) -> Cast:
    """Play until the next round commits; then a stranger demands a leaf of the result before."""
    cast = start(rounds=1, stake=PRICES, windows=WINDOWS)
    roles = cast.roles()
    play(cast, lambda: roles, until=opened(1))
    Bother(cast)(cast.state())
    return cast


def test_a_proposer_answers_while_its_participant_trains(start: Found) -> None:
    """However long that takes: a demand must not cost it the bond of a right result."""
    cast = demanded(start)
    proposer = cast.hospitals[0].proposer()
    state = play(
        cast, lambda: [proposer], until=lambda s: s.rounds[0].proposal.challenges.all[0].resolved
    )
    assert state.rounds[0].proposal.fate is Fate.ACCEPTED
    require_paid_for(cast, state.rounds[0].proposal.challenges.all[0])


def test_a_participant_answers_before_it_trains(
    start: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training may take longer than the clock that runs."""
    cast = demanded(start)
    node = cast.hospitals[0].participant()
    prepare = Trainer.prepare

    def after_the_answer(*place: object) -> PreparedUpdate:
        assert cast.state().rounds[0].proposal.challenges.all[0].answered
        return prepare(*place)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "prepare", after_the_answer)
    assert [node.step() for _ in range(2)] == [Progress.ACTED] * 2
    assert cast.state().round.committed(0)


def test_who_cannot_pay_for_a_challenge_goes_on(
    start: Found, caplog: pytest.LogCaptureFixture
) -> None:
    """Its node takes part all the same; the result stands, as nobody else says a word."""
    cast, roles = conspiracy(start, another_model, stake={**PRICES, "challenge_bond": str(10**28)})
    state = play(cast, lambda: roles, until=lambda s: bool(s.lineage))
    cast.stage.engine.hurry(state.lineage[0].proposal.attest_deadline)
    for _ in range(3):
        cast.hospitals[3].participant().step()
    assert "by us:" in caplog.text
    assert not any(proposal.challenges.all for proposal in cast.state().live())


def test_a_watcher_needs_no_seat(start: Found) -> None:
    """Anybody with a bond may watch."""
    cast, roles = conspiracy(start, another_model)
    stranger = replace(cast.hospitals[3], account=cast.stage.accounts[9])
    watcher = Watcher(stranger.view(), stranger.account, stranger.journal)

    class Watching:
        def step(self) -> Progress:
            watcher._federation.refresh()
            return watcher.step()

    state = play(cast, lambda: [*roles[:4], Watching()], until=lambda s: bool(disproved(s)))
    assert disproved(state)[0].challenges.all[0].challenger == stranger.account.address


def test_a_guard_goes_when_all_is_judged(start: Found) -> None:
    """It proves what is wrong, sees its challenge through, and is done."""
    cast, roles = conspiracy(start, another_model)
    play(cast, lambda: roles[:4], until=lambda s: bool(s.lineage))
    stranger = replace(cast.hospitals[3], account=cast.stage.accounts[9])
    guard = Guard(stranger.view(), stranger.account, stranger.journal, stay=False)
    play(cast, lambda: [guard], until=lambda s: bool(disproved(s)))
    (wrong,) = disproved(cast.state())
    assert wrong.challenges.all[0].resolved
    assert guard.step() is Progress.DONE
