"""A node that was killed goes on where it was: from the chain and its journal alone."""

from dataclasses import replace

import numpy as np
import pytest

from fednode.roles.journal import Journal, PreparedUpdate
from fednode.roles.participant import NotAMember
from fednode.roles.role import Progress, Role
from fednode.training.run import LocalRun
from fednode.training.task import SgdTask
from ledger.cid import CID, Codec
from ledger.proceedings import Outcome
from ledger.state import FederationState, Phase
from ledger.stores import Artefact
from ledger.stores.car import read_car, write_car
from tests.engines import embedded
from tests.federations import Cast, Stage, found, in_phase, peers, play, story
from tests.fednode.roles.conftest import Found


def commits(state: FederationState) -> list[list[int]]:
    """Give the participants that committed in each round."""
    return [sorted(commit.participant for commit in round_.commits) for round_ in state.rounds]


def settled(cast: Cast) -> FederationState:
    roles = cast.roles()
    return play(cast, lambda: roles)


@pytest.mark.slow
def test_fresh_processes_each_step_come_to_the_same(
    start: Found, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lasting = start()
    state = settled(lasting)
    folder = tmp_path_factory.mktemp("fresh")
    forgetful = found(Stage(embedded(), peers(4), folder), lasting.policy, updates={})
    again = play(forgetful, lambda: forgetful.roles())
    assert commits(state) == commits(again) == [[0, 1, 2, 3]] * 3
    assert all(round_.outcome is Outcome.ACCEPTED for round_ in again.rounds)
    assert story(lasting.hospitals[0].view()) == story(forgetful.hospitals[0].view())


def test_committed_is_what_the_journal_holds(start: Found) -> None:
    cast = start()
    play(cast, lambda: cast.roles(), until=lambda state: state.phase is Phase.ENDED)
    for round_ in cast.state().rounds:
        for commit in round_.commits:
            update = cast.hospitals[commit.participant].journal.update(round_.index)
            assert update is not None
            assert update.digest == commit.digest


class Unrepeatable(SgdTask):
    """Training that comes out different each time, as on another machine."""

    runs = 0

    def fit(self, rows: object, run: LocalRun) -> None:
        Unrepeatable.runs += 1
        weights = self.get_tensors()["weight"]
        self.set_tensors({"weight": weights + Unrepeatable.runs / 1024})


def test_an_update_is_trained_once(start: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between journal and commit, a node commits to what it had; even if training again
    would not give it again.
    """
    cast = start()
    roles = cast.roles()
    play(cast, lambda: roles, until=in_phase(Phase.COMMIT, 1))
    hospital = cast.hospitals[2]

    def unrepeatable() -> Role:
        role = hospital.participant()
        trainer = role._committing.trainer
        assert isinstance(trainer.task, SgdTask)
        role._committing.trainer = replace(trainer, task=Unrepeatable(trainer.task.model))
        return role

    killed = unrepeatable()
    monkeypatch.setattr(type(hospital.contract), "commit_update", _dies)
    with pytest.raises(Killed):
        killed.step()
    monkeypatch.undo()
    first = hospital.journal.update(1)
    assert first is not None
    assert unrepeatable().step() is Progress.ACTED
    assert unrepeatable().step() is Progress.WAITING
    assert Unrepeatable.runs == 1
    committed = [c.digest for c in cast.state().round.commits if c.participant == 2]
    assert committed == [first.digest]


class Killed(BaseException):
    """What a test ends a node with."""


def _dies(*_: object, **__: object) -> None:
    raise Killed


def test_killed_before_it_knows_that_it_committed(
    start: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast = start()
    hospital = cast.hospitals[1]
    contract = type(hospital.contract)
    commit = contract.commit_update

    def commit_and_die(*arguments: object) -> None:
        commit(*arguments)  # type: ignore[arg-type]
        raise Killed

    killed = hospital.participant()
    monkeypatch.setattr(contract, "commit_update", commit_and_die)
    with pytest.raises(Killed):
        killed.step()
    monkeypatch.undo()
    assert hospital.participant().step() is Progress.WAITING
    state = settled(cast)
    assert commits(state) == [[0, 1, 2, 3]] * 3


def test_killed_between_publishing_and_noting_it(
    start: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast = start()
    participants = [hospital.participant() for hospital in cast.hospitals]
    play(cast, lambda: participants, until=in_phase(Phase.PROPOSE, 0))
    hospital = cast.hospitals[3]
    monkeypatch.setattr("fednode.roles.journal.Journal.mark", _dies)
    with pytest.raises(Killed):
        hospital.participant().step()
    monkeypatch.undo()
    assert hospital.journal.marked(0, "published") is None
    assert hospital.participant().step() is Progress.ACTED
    assert hospital.journal.marked(0, "published") is True
    assert commits(settled(cast)) == [[0, 1, 2, 3]] * 3


def test_killed_between_publishing_and_proposing(
    start: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was published is computed again, and comes to the same."""
    cast = start()
    participants = [hospital.participant() for hospital in cast.hospitals]
    play(cast, lambda: participants, until=lambda s: bool(s.rounds) and s.round.closed is not None)
    while Progress.ACTED in [participant.step() for participant in participants]:
        continue
    hospital = cast.hospitals[0]
    killed = hospital.proposer()
    monkeypatch.setattr(type(hospital.contract), "propose_result", _dies)
    with pytest.raises(Killed):
        killed.step()
    monkeypatch.undo()
    assert killed._ready is not None
    published = CID(Codec.DAG_CBOR, killed._ready[2])
    assert hospital.store.has(published)
    assert cast.state().phase is Phase.PROPOSE
    assert hospital.proposer().step() is Progress.ACTED
    assert cast.state().round.proposal.index == published.digest
    assert commits(settled(cast)) == [[0, 1, 2, 3]] * 3


def test_reorganised_update_is_trained_again(start: Found) -> None:
    """What was trained on a result that the chain has forgotten is dropped."""
    cast = start()
    roles = cast.roles()
    play(cast, lambda: roles, until=in_phase(Phase.COMMIT, 1))
    hospital = cast.hospitals[0]
    old = cast.hospitals[1].journal.update(0)
    assert isinstance(old, PreparedUpdate)
    hospital.journal.save_update(1, old)
    hospital.journal.mark(1, "published")
    assert hospital.participant().step() is Progress.ACTED
    new = hospital.journal.update(1)
    assert new is not None
    assert new.parent == cast.state().head
    assert hospital.journal.marked(1, "published") is None
    assert commits(settled(cast))[1] == [0, 1, 2, 3]


def test_stranger_is_told_to_join(start: Found) -> None:
    cast = start()
    stranger = replace(cast.hospitals[0], account=cast.stage.accounts[9])
    with pytest.raises(NotAMember, match="fednode join"):
        stranger.participant().step()


def test_one_that_cannot_train_sits_out_and_votes(start: Found) -> None:
    cast = start()
    roles = cast.roles()
    play(cast, lambda: roles, until=in_phase(Phase.COMMIT, 1))
    sick = cast.hospitals[0].participant()
    trainer = sick._committing.trainer
    none = trainer.rows.take(np.array([], dtype=np.int64))
    sick._committing.trainer = replace(trainer, rows=none)
    state = play(cast, lambda: [sick, *roles[1:]])
    assert commits(state) == [[0, 1, 2, 3], [1, 2, 3], [1, 2, 3]]
    assert list(sick.failures) == [1, 2]
    assert all(0 in round_.proposal.votes for round_ in state.rounds[1:])
    assert cast.hospitals[0].journal.update(1) is None


def cut(journal: Journal, round_index: int) -> None:
    """Cut a journal's update between two blocks, as a disk that lost its tail does."""
    car = next(journal.folder.glob(f"{round_index:06d}/update/artefact.car"))
    artefact = read_car(car.read_bytes())
    last = max(cid for cid in artefact.blocks if cid not in artefact.roots)
    left = {cid: data for cid, data in artefact.blocks.items() if cid != last}
    car.write_bytes(write_car(Artefact(artefact.roots, left)))


def test_half_an_update_is_trained_again(start: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    cast = start()
    hospital = cast.hospitals[0]
    with monkeypatch.context() as patch:
        patch.setattr(type(hospital.contract), "commit_update", _dies)
        with pytest.raises(Killed):
            hospital.participant().step()
    cut(hospital.journal, 0)
    play(cast, lambda: cast.roles(), until=in_phase(Phase.PROPOSE, 0))
    assert [c.participant for c in cast.state().round.commits] == [0, 1, 2, 3]
    assert hospital.journal.update(0) is not None


def test_half_a_committed_update_is_not_published_and_stops_nothing(start: Found) -> None:
    cast = start()
    hospital = cast.hospitals[0]
    roles = cast.roles()
    play(cast, lambda: roles, until=lambda state: len(state.round.commits) == 4)
    update = hospital.journal.update(0)
    assert update is not None
    cut(hospital.journal, 0)
    state = play(cast, lambda: cast.roles(), until=in_phase(Phase.COMMIT, 1))
    assert not hospital.store.has(CID(Codec.RAW, update.digest))
    assert 0 in state.rounds[0].proposal.votes
