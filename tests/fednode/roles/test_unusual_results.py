"""Majorities that lie in bytes nobody expects, or keep them back, on the real contract: one honest
participant shows it all the same, and nothing that they publish keeps it from going on.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fednode.federation import Federation
from fednode.roles.proposer import Proposer
from fednode.roles.role import Progress, Role
from fednode.roles.watcher import Guard, Watcher, _target
from ledger import payouts, utilities
from ledger.artefacts import raw
from ledger.disputes import Waiting
from ledger.errors import MalformedRecord
from ledger.history import DemandOpened, ResultDisproved
from ledger.merkle_sum import Summed
from ledger.nodes import in_order, nodes_root
from ledger.proceedings import Proposal, Round
from ledger.proofs import Computed, Kind, OpenTree, Sources, Wanted, answer
from ledger.round import NOTHING, Slot
from ledger.round import Outcome as Result
from ledger.state import FederationState, Phase
from ledger.types import Digest, Wei
from tests.engines import embedded
from tests.federations import Cast, Hospital, Stage, found, in_phase, peers, play, policy_of
from tests.fednode.roles.conftest import Found
from tests.fednode.roles.test_disputes import (
    BOND,
    PRICES,
    WINDOWS,
    Patient,
    accomplice,
    another_model,
    conspiracy,
    disproved,
    history,
    made_good,
)
from tests.fednode.roles.test_kept_back_on_chain import terms
from tests.fednode.roles.test_reveal import store
from tests.fednode.roles.test_rounds import Dishonest, Forge

LEAST, MOST = -(1 << 63), (1 << 63) - 1
Lie = Callable[[Result], Result]


class Once:
    """Forges the first result that there is something to forge in, and others of its round."""

    def __init__(self, lie: Lie) -> None:
        self._lie = lie
        self.told: list[int] = []

    def __call__(self, outcome: Result) -> Result:
        index = outcome.header.common.round
        if self.told not in ([], [index]) or len(outcome.records.utilities) < 2:
            return outcome
        self.told = [index]
        return self._lie(outcome)


def shown(cast: Cast) -> list[int]:
    """Give the kinds of the proofs by which results fell; 0 stands for an unanswered demand."""
    return [event.kind for event in history(cast) if isinstance(event, ResultDisproved)]


def kinds(proposal: Proposal) -> list[Wanted]:
    """Give what was demanded of a result, step by step."""
    steps = [step for challenge in proposal.challenges.all for step in challenge.taken]
    return [Wanted(step.kind) for step in steps if isinstance(step, DemandOpened)]


def with_utilities(outcome: Result, measured: tuple[int, ...], *, gain: int = 0) -> Result:
    """State other utilities, and so much more gain."""
    header = outcome.header
    header = replace(header, utilities=utilities.root(measured), gain=header.gain + gain)
    return replace(outcome, records=replace(outcome.records, utilities=measured, header=header))


def with_values(outcome: Result, leaves: tuple[payouts.ValueLeaf, ...]) -> Result:
    root: Summed = payouts.values_tree(leaves).root
    header = replace(outcome.header, values=root.hash, scores=root.sum)
    return replace(outcome, records=replace(outcome.records, values=leaves, header=header))


def extreme(outcome: Result) -> Result:
    """State a gain that fits no header, and change the model."""
    between = len(outcome.records.utilities) - 2
    return another_model(with_utilities(outcome, (LEAST, *(0,) * between, MOST)))


def one_more(outcome: Result) -> Result:
    """State a utility that no coalition has, in a leaf that has room for it, and a gain."""
    return with_utilities(outcome, (*outcome.records.utilities, 5), gain=1)


def many_more(outcome: Result) -> Result:
    """State more utilities than fit in as many leaves, and a gain."""
    return with_utilities(outcome, outcome.records.utilities + (0,) * 200, gain=1)


def a_value_more(outcome: Result) -> Result:
    """Value somebody who is not there."""
    values = outcome.records.values
    return with_values(outcome, (*values, payouts.ValueLeaf(len(values), 0, 0)))


def a_value_less(outcome: Result) -> Result:
    """Leave the last participant without a value."""
    return with_values(outcome, outcome.records.values[:-1])


def a_payout_more(outcome: Result) -> Result:
    """Pay somebody who is not there nothing."""
    leaves = outcome.records.payouts
    leaves = (*leaves, payouts.PayoutLeaf(len(leaves), 0))
    header = replace(outcome.header, payouts=payouts.payouts_tree(leaves).root.hash)
    return replace(outcome, records=replace(outcome.records, payouts=leaves, header=header))


@pytest.mark.parametrize(
    ("lie", "kind"),
    [
        (extreme, Kind.GAIN),
        (one_more, Kind.GAIN),
        (many_more, 0),
        (a_value_more, 0),
        (a_value_less, 0),
        (a_payout_more, 0),
    ],
)
def test_unusual_bytes_shield_no_lie_and_end_no_node(start: Found, lie: Lie, kind: int) -> None:
    """Nobody can answer for a tree with other leaves than it should have."""
    once = Once(lie)
    cast, roles = conspiracy(start, once, rounds=6)
    state = play(
        cast, lambda: roles, until=lambda s: bool(once.told) and made_good(s, once.told[0])
    )
    (wrong,) = disproved(state)
    assert wrong.round == once.told[0]
    assert wrong.challenges.all[0].challenger == cast.hospitals[3].account.address
    assert shown(cast) == [kind]


def test_who_cannot_go_on_from_a_result_still_ends_it(start: Found) -> None:
    """Nobody else expires a demand, and the round that builds on the result cannot be joined."""
    once = Once(a_value_more)
    cast, roles = conspiracy(start, once, rounds=6)
    state = play(cast, lambda: roles[:4], until=lambda s: bool(once.told) and _is_head(s, once))
    honest = cast.hospitals[3].participant()
    alone = Patient(honest)
    with pytest.raises(MalformedRecord, match="5 values, expected 4"):
        honest.step()
    state = play(cast, lambda: [alone], until=lambda s: bool(disproved(s)))
    assert disproved(state)[0].round == once.told[0]


def _is_head(state: FederationState, once: Once) -> bool:
    return bool(state.lineage) and state.lineage[-1].round == once.told[0]


@pytest.mark.parametrize("mode", ["public", "shards"])
@pytest.mark.parametrize("honest", [True, False], ids=["right utilities", "other utilities"])
def test_a_gain_that_does_not_follow_from_what_was_measured(
    tmp_path: Path, mode: str, honest: bool
) -> None:
    """Whether the utilities are right is for votes to say, what follows from them is not."""

    def lie(outcome: Result) -> Result:
        first, second, *rest = outcome.records.utilities
        return with_utilities(outcome, (first, second + (not honest), *rest), gain=1)

    once, changes = Once(lie), terms(mode, rounds=6)
    changes["reward"] = {"pool": "1000", "target": 50_000_000}
    policy = policy_of("digits", **changes, stake=PRICES, windows=WINDOWS)
    cast = found(Stage(embedded(), peers(4), tmp_path), policy)
    roles = backing(cast, once)
    state = play(cast, lambda: roles, until=lambda s: bool(disproved(s)))
    assert disproved(state)[0].round == once.told[0]
    assert shown(cast) == [Kind.GAIN]


def with_owner(owner: int) -> Lie:
    """Count the last slot as an update of somebody else."""

    def lie(outcome: Result) -> Result:
        (node,) = outcome.levels[0]
        place = max(at for at, entry in enumerate(node.entries) if entry.weight)
        entries = list(node.entries)
        entries[place] = replace(entries[place], participant=owner)
        levels = ((replace(node, entries=tuple(entries)),),)
        header = replace(outcome.header, nodes=nodes_root(levels))
        return replace(outcome, levels=levels, records=replace(outcome.records, header=header))

    return lie


@pytest.mark.parametrize("owner", [0, 9, (1 << 32) - 1], ids=["counted twice", "9", "the last"])
def test_counts_for_nobody_end_no_node(tmp_path: Path, owner: int) -> None:
    """By shards the next round values whom the result counts."""
    policy = policy_of("digits", **terms("shards", rounds=6), stake=PRICES, windows=WINDOWS)
    cast = found(Stage(embedded(), peers(4), tmp_path), policy)
    lie = with_owner(owner)
    crowd = [accomplice(hospital) for hospital in cast.hospitals[:3]]
    liar = Dishonest(cast.hospitals[0], lie)
    play(cast, lambda: [*crowd, liar], until=lambda s: bool(s.lineage))
    honest = cast.hospitals[3].participant()
    with pytest.raises(MalformedRecord, match="it counts updates of nobody, or two of one"):
        honest.step()
    alone = [Patient(honest)]
    state = play(cast, lambda: alone, until=lambda s: bool(disproved(s)))
    assert disproved(state)[0].round == 0


def backing(cast: Cast, forge: Forge) -> list[Role]:
    """Let three of four back whatever the first proposer forges."""
    crowd: list[Role] = [accomplice(hospital) for hospital in cast.hospitals[:3]]
    honest = cast.hospitals[3]
    liar = Dishonest(cast.hospitals[0], forge)
    return [Patient(role) for role in (*crowd, liar, honest.participant(), honest.proposer())]


# -- what is kept back, and shown on demand alone


class Reticent(Proposer):
    """Publishes what it forges, hides some of it again, and answers for all of it."""

    def __init__(self, hospital: Hospital, lie: Callable[["Reticent", Round], Result]) -> None:
        super().__init__(hospital.view(), hospital.account)
        self._hospital, self._lie = hospital, lie
        self.made: dict[Digest, Sources] = {}

    def slots(self, round_: Round) -> list[Slot]:
        """Read all that a round is made from."""
        return self._federation.slots(round_)

    @property
    def federation(self) -> Federation:
        """Its view of the federation."""
        return self._federation

    def _prepared(self, round_: Round) -> tuple[Result, Digest] | None:
        ready = super()._prepared(round_)
        if ready is None or round_.attempt > 0:
            return ready
        outcome = self._lie(self, round_)
        artefact, index = self._federation.bundle(outcome)
        self._federation.store.put(artefact)
        slots = enumerate(self._federation.slots(round_))
        published = {at: slot.published for at, slot in slots}
        inputs = {at: OpenTree.of_payload(p.payload) for at, p in published.items() if p.payload}
        headers = {at: p.header for at, p in published.items() if p.header}
        self.made[outcome.header.digest()] = Sources.of(Computed.of(outcome), inputs, headers)
        return outcome, index

    def hide(self, *blocks: bytes) -> None:
        """Give some blocks to nobody any more."""
        store(self._hospital).silent |= {raw(data)[0] for data in blocks}

    def answer(self) -> bool:
        """Answer a demand of what it has forged."""
        for proposal in self._federation.refresh().live():
            for challenge in proposal.challenges.all:
                step = challenge.step
                asked = challenge.waiting is Waiting.ANSWER and isinstance(step, DemandOpened)
                if asked and proposal.result in self.made:
                    data = answer(_target(step), self.made[proposal.result])
                    assert data is not None
                    assert isinstance(step, DemandOpened)
                    self._federation.contract.answer(self._account, step, data)
                    return True
        return False

    def step(self) -> Progress:
        return Progress.ACTED if self.answer() else super().step()


def reticent(start: Found, lie: Callable[[Reticent, Round], Result]) -> tuple[Cast, list[Role]]:
    """Let three of four back what the first forges and keeps back."""
    cast, roles = conspiracy(start, lambda outcome: outcome, rounds=6)
    liar = Reticent(cast.hospitals[0], lie)
    return cast, [*roles[:3], Patient(liar), *roles[4:]]


def without_nodes(liar: Reticent, round_: Round) -> Result:
    """Call an update unavailable, change the model, and hide the nodes that say so."""
    slots = liar.slots(round_)
    slots[1] = replace(slots[1], published=NOTHING)
    outcome = another_model(liar.federation.compose(round_, slots))
    liar.hide(*(node.encode() for node in in_order(outcome.levels)))
    return outcome


def test_hidden_nodes_hide_no_wrong_model(start: Found) -> None:
    """What they say when they are demanded is conceded, and the search goes on behind them."""
    cast, roles = reticent(start, without_nodes)
    state = play(cast, lambda: roles, until=lambda s: bool(disproved(s)))
    (wrong,) = disproved(state)
    assert kinds(wrong) == [Wanted.NODE]
    assert shown(cast) == [Kind.STEP]


@pytest.mark.parametrize("answered", [True, False])
def test_hidden_utilities_hide_no_wrong_gain(start: Found, answered: bool) -> None:
    def lie(liar: Reticent, round_: Round) -> Result:
        outcome = liar.federation.compose(round_, liar.slots(round_))
        measured = outcome.records.utilities
        if len(measured) < 2:
            return outcome
        outcome = with_utilities(outcome, (*measured[:-1], measured[-1] + 1), gain=9)
        liar.hide(utilities.encode(outcome.records.utilities))
        if not answered:
            liar.answer = lambda: False  # type: ignore[method-assign]
        return outcome

    cast, roles = reticent(start, lie)
    state = play(cast, lambda: roles, until=lambda s: bool(disproved(s)))
    (wrong,) = disproved(state)
    assert kinds(wrong) == [Wanted.UTILITIES]
    assert shown(cast) == [Kind.GAIN if answered else 0]


@pytest.mark.parametrize("how", ["hidden", "longer", "by shards"])
def test_a_value_that_does_not_follow_from_what_is_stated(
    start: Found, tmp_path: Path, how: str
) -> None:
    """The utilities are others than everybody else measures, so every value differs from theirs;
    but of those that follow only one is wrong.
    """

    def lie(liar: Reticent, round_: Round) -> Result:
        outcome = liar.federation.compose(round_, liar.slots(round_))
        measured = outcome.records.utilities
        if len(measured) < 2:
            return outcome
        measured = (*measured[:-1], measured[-1] + 1)
        if how == "hidden":
            liar.hide(utilities.encode(measured))
        stated = (*measured, 5) if how == "longer" else measured
        return with_utilities(misvalued(outcome), stated, gain=1)

    if how == "by shards":
        changes = terms("shards", rounds=6)
        changes["reward"] = {"pool": "1000", "target": 50_000_000}
        policy = policy_of("digits", **changes, stake=PRICES, windows=WINDOWS)
        cast = found(Stage(embedded(), peers(4), tmp_path / "digits"), policy)
        roles = backing(cast, lambda outcome: outcome)
        roles[3] = Patient(Reticent(cast.hospitals[0], lie))
    else:
        cast, roles = reticent(start, lie)
    state = play(cast, lambda: roles, until=lambda s: bool(disproved(s)))
    (wrong,) = disproved(state)
    assert kinds(wrong) == ([Wanted.UTILITIES] if how == "hidden" else [])
    assert shown(cast) == [Kind.VALUE]


def misvalued(outcome: Result) -> Result:
    """Give everybody its share of one more in the utility of all, and the last one more than that,
    with the scores that they deserve.
    """
    old, measured = outcome.records.values, len(outcome.records.utilities)
    assert measured in (1 << len(old), len(old) + 2)
    # By leave-one-out everybody gets all of it.
    share = 27_720 // len(old) if measured == 1 << len(old) else 27_720
    values = [leaf.value + share + 7 * (leaf is old[-1]) for leaf in old]
    return with_values(outcome, payouts.value_leaves(values, [max(v, 0) for v in values]))


def test_who_was_answered_in_vain_may_still_prove(start: Found) -> None:
    """An update cannot be had, is demanded and shown; then it comes, and with it the proof."""
    cast, roles = reticent(
        start,
        lambda liar, round_: another_model(liar.federation.compose(round_, liar.slots(round_))),
    )
    crowd = roles[:4]
    play(cast, lambda: crowd, until=in_phase(Phase.PROPOSE))
    update = cast.hospitals[1].journal.update(0)
    assert update is not None
    own = store(cast.hospitals[3])
    own.deaf |= set(update.artefact.blocks)
    state = play(cast, lambda: crowd, until=lambda s: bool(s.lineage))
    stranger = replace(cast.hospitals[3], account=cast.stage.accounts[9])
    guard = Guard(stranger.view(), stranger.account, stranger.journal, stay=True)
    cast.stage.engine.hurry(state.lineage[0].proposal.attest_deadline)
    both = [guard, crowd[3]]
    play(cast, lambda: both, until=lambda s: s.rounds[0].proposals[0].challenges.past == 1)
    own.deaf.clear()
    state = play(cast, lambda: both, until=lambda s: bool(disproved(s)))
    first, second = disproved(state)[0].challenges.all
    assert (first.challenger, second.challenger) == (stranger.account.address,) * 2
    assert isinstance(first.step, DemandOpened)
    assert shown(cast) == [Kind.STEP]


def test_a_result_that_cannot_be_judged_shields_none_behind_it(
    start: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast = start(rounds=2, stake=PRICES, windows=WINDOWS)
    roles = cast.roles()
    state = play(cast, lambda: roles, until=lambda s: len(s.lineage) > 1)
    first, second = state.live()
    stranger = replace(cast.hospitals[3], account=cast.stage.accounts[9])
    watcher = Watcher(stranger.view(), stranger.account, stranger.journal)
    late = demanded(cast, second) - 5
    concede = Federation.concede

    def unless_first(
        federation: Federation, round_: Round, *rest: object, **more: object
    ) -> object:
        if round_.index == first.round:
            raise MalformedRecord("result", "its parent is none")
        return concede(federation, round_, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Federation, "concede", unless_first)
    cast.stage.engine.hurry(late)
    watcher._federation.refresh()
    assert watcher.step() is Progress.ACTED
    (challenge,) = second_of(cast).challenges.all
    assert challenge.answerer == stranger.account.address


def second_of(cast: Cast) -> Proposal:
    return list(cast.state().live())[1]


def demanded(cast: Cast, proposal: Proposal) -> int:
    """Demand a leaf of a result's model, for nothing; give until when it has to be answered."""
    view = cast.hospitals[0].view()
    header = view.replica.proposed(view.state.rounds[proposal.round], proposal).header
    place = (cast.stage.accounts[8], cast.federation, proposal.result)
    evidence = bytes([Wanted.MODEL, 0]) + bytes(4) + header.encode()
    cast.contract.demand(*place, evidence=evidence, bond=Wei(BOND))
    deadline = second_of(cast).challenges.all[0].deadline
    assert deadline is not None
    return deadline
