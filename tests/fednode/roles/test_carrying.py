"""Work that missed its round: it is committed to in the next one where it can still count, under
that round's header, and nothing is trained or shown twice.
"""

from dataclasses import replace

import pytest

from fednode.evaluation import shards
from fednode.roles.carrying import carried_over
from fednode.roles.journal import PreparedUpdate
from fednode.roles.role import Progress, Role
from ledger.cid import CID, Codec
from ledger.nodes import Reason
from ledger.proceedings import Outcome
from ledger.replica import Replica
from ledger.state import FederationState, Phase
from ledger.types import ZERO_DIGEST, Digest
from tests.federations import Cast, Hospital, in_phase, opened, play
from tests.fednode.roles.conftest import Found
from tests.fednode.roles.test_restarts import Killed, _dies
from tests.fednode.roles.test_reveal import reasons

SLOW = 2


def miss(cast: Cast, patch: pytest.MonkeyPatch) -> PreparedUpdate:
    """Let one hospital train in round 1, and not get to commit."""
    roles = cast.roles()
    play(cast, lambda: roles, until=in_phase(Phase.COMMIT, 1))
    hospital = cast.hospitals[SLOW]
    with patch.context() as dying:
        dying.setattr(type(hospital.contract), "commit_update", _dies)
        with pytest.raises(Killed):
            hospital.participant().step()
    return journaled(hospital, 1)


def journaled(hospital: Hospital, round_index: int) -> PreparedUpdate:
    update = hospital.journal.update(round_index)
    assert update is not None
    return update


def without_the_slow(cast: Cast, round_index: int) -> FederationState:
    """Play until the next round is opened; one hospital sleeps."""
    roles = [role for place, role in enumerate(cast.roles()) if place % 4 != SLOW]
    return play(cast, lambda: roles, until=opened(round_index + 1))


def nobody(cast: Cast, round_index: int) -> None:
    """Let a round pass in which nobody does anything."""
    while (state := cast.state()).round.index == round_index:
        assert state.deadline is not None
        cast.stage.engine.hurry(state.deadline)
        outsider = cast.stage.accounts[9]
        cast.contract.advance(outsider, cast.federation)


def carries(old: PreparedUpdate, new: PreparedUpdate, parent: Digest) -> bool:
    """Whether an update is another one under a header for a round with this parent."""
    common = replace(new.header.common, parent=parent)
    assert new.header.common.round > old.header.common.round
    return new.header == replace(old.header, common=common) and new.private.keys() == (
        old.private.keys()
    )


def lenient(replica: Replica, parent: Digest) -> tuple[Digest, ...]:
    """Give the versions that a policy with a staleness of 1 allows."""
    results = [accepted.result for accepted in replica.state.lineage]
    place = results.index(parent) if parent in results else 0
    return (parent, *results[max(0, place - 1) : place])


def test_an_update_counts_in_the_round_after_the_one_that_it_missed(
    start: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Replica, "_bases", lenient)
    cast = start(rounds=3)
    missed = miss(cast, monkeypatch)
    state = without_the_slow(cast, 1)
    assert [len(r.commits) for r in state.rounds] == [4, 3, 0]
    roles = cast.roles()
    play(cast, lambda: roles, until=opened(3))
    state = cast.state()
    late = journaled(cast.hospitals[SLOW], 2)
    assert carries(missed, late, parent=state.rounds[2].parent)
    assert late.header.base == state.rounds[1].parent != state.rounds[2].parent
    assert state.rounds[2].committed(SLOW)
    assert reasons(cast, 3)[SLOW] is Reason.COUNTED
    play(cast, lambda: roles, until=in_phase(Phase.PROPOSE, 3))
    newest = journaled(cast.hospitals[SLOW], 3)
    assert newest.header.base == cast.state().round.parent
    assert newest.header.payload_root != missed.header.payload_root


def test_by_shards_it_brings_the_counts_of_its_new_round(
    start: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Replica, "_bases", lenient)
    cast = start(
        rounds=4,
        data={"split": {"seed": 0, "valuation": "0.3", "test": "0.2"}},
        evaluation={"mode": "shards", "metric": "accuracy", "rows": 40},
        valuation={"kind": "leave-one-out"},
    )
    missed = miss(cast, monkeypatch)
    assert missed.header.evaluation == ZERO_DIGEST
    parent = without_the_slow(cast, 1).round.parent
    assert cast.hospitals[SLOW].participant().step() is Progress.ACTED
    late = journaled(cast.hospitals[SLOW], 2)
    common = replace(late.header.common, parent=parent)
    counted = Digest(late.header.evaluation)
    assert late.header == replace(missed.header, common=common, evaluation=counted)
    record = late.artefact.blocks[CID(Codec.DAG_CBOR, counted)]
    assert len(shards.read(record, parent).counts) == 5
    roles = cast.roles()
    play(cast, lambda: roles, until=opened(3))
    assert reasons(cast, 3)[SLOW] is Reason.COUNTED


def test_too_stale_is_trained_anew(start: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without staleness, nothing from before the newest result is carried over it."""
    cast = start()
    missed = miss(cast, monkeypatch)
    without_the_slow(cast, 1)
    assert cast.hospitals[SLOW].participant().step() is Progress.ACTED
    new = journaled(cast.hospitals[SLOW], 2)
    assert new.header.base == cast.state().round.parent
    assert new.header.payload_root != missed.header.payload_root


def test_a_void_round_costs_no_training(start: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next round builds on the same result, so what was made for the void one is as good."""
    cast = start()
    missed = miss(cast, monkeypatch)
    nobody(cast, 1)
    nobody(cast, 2)
    for hospital in cast.hospitals:
        assert hospital.participant().step() is Progress.ACTED
    late = journaled(cast.hospitals[SLOW], 3)
    assert carries(missed, late, parent=missed.header.base)
    assert late.artefact.roots[0].digest == late.digest
    assert len(late.artefact.blocks) == len(missed.artefact.blocks)
    roles = cast.roles()
    state = play(cast, lambda: roles)
    outcomes = [round_.outcome for round_ in state.rounds]
    assert outcomes == [Outcome.ACCEPTED] + [Outcome.VOID] * 2 + [Outcome.ACCEPTED] * 2
    assert reasons(cast, 2)[SLOW] is Reason.COUNTED


def test_what_was_shown_is_not_used_again(start: Found) -> None:
    """Others may have copied what was published in a round that came to nothing."""
    cast = start()
    roles: list[Role] = cast.roles()
    play(cast, lambda: roles, until=in_phase(Phase.COMMIT, 1))
    play(cast, lambda: roles[:4], until=opened(2))
    play(cast, lambda: roles, until=in_phase(Phase.PROPOSE, 2))
    for hospital in cast.hospitals:
        shown, new = journaled(hospital, 1), journaled(hospital, 2)
        assert new.header.base == shown.header.base
        assert new.header.payload_root != shown.header.payload_root


@pytest.mark.parametrize("field", ["dataset", "statistics"])
def test_what_was_made_of_other_rows_is_trained_anew(
    start: Found, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    cast = start()
    missed = miss(cast, monkeypatch)
    nobody(cast, 1)
    hospital = cast.hospitals[SLOW]
    view = hospital.view()
    trainer = hospital.trainer(view)
    state = view.refresh()
    member, round_ = state.participants[SLOW], state.round
    found = carried_over(view, member, round_, hospital.journal, trainer)
    assert found is not None
    assert carries(missed, found, parent=round_.parent)
    context = view.replica.context(round_)
    if field == "dataset":
        seats = tuple(replace(seat, dataset=seat.dataset + 1) for seat in context.seats)
        monkeypatch.setattr(Replica, "context", lambda *_: replace(context, seats=seats))
    else:
        monkeypatch.setattr(FederationState, "statistics_round", lambda *_: True)
    assert carried_over(view, member, round_, hospital.journal, trainer) is None


def test_at_the_deadline_it_is_too_late(start: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deadline is the first moment that is too late: a node that has it moves the round on."""
    cast = start()
    participants = [hospital.participant() for hospital in cast.hospitals]
    play(
        cast, lambda: participants[:3], until=lambda s: bool(s.rounds and len(s.round.commits) == 3)
    )
    cast.stage.chain.wait_until(cast.state().round.commit_deadline)
    monkeypatch.setattr(type(cast.contract), "commit_update", _dies)
    assert participants[3].step() is Progress.WAITING
    assert participants[0].step() is Progress.ACTED
    assert cast.state().phase is Phase.PROPOSE
    for participant in participants:
        participant.step()
    cast.stage.chain.wait_until(cast.state().round.propose_deadline)
    monkeypatch.setattr(type(cast.contract), "propose_result", _dies)
    assert cast.hospitals[0].proposer().step() is Progress.WAITING
    assert participants[0].step() is Progress.ACTED
    assert cast.state().round.turn_missed
    monkeypatch.undo()
    assert cast.hospitals[0].proposer().step() is Progress.ACTED
    cast.stage.chain.wait_until(cast.state().round.proposal.attest_deadline)
    monkeypatch.setattr(type(cast.contract), "vote", _dies)
    assert participants[1].step() is Progress.ACTED
    assert cast.state().round.proposal.votes == {}
