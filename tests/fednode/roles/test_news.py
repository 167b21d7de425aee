"""A node's log says where the federation stands, and that a round ended without a result."""

import logging
import time

import numpy as np
import pytest

from fednode.evaluation.metrics import Rows
from fednode.roles.role import Progress
from fednode.training.run import LocalRun
from ledger.proceedings import Outcome
from ledger.state import Phase
from tests.federations import GivenTask, in_phase, opened, play
from tests.fednode.roles.conftest import Found


def test_start_void_rounds_and_advances_are_logged(
    start: Found, caplog: pytest.LogCaptureFixture
) -> None:
    """One of two participants is awake in the first round, so too few commit."""
    caplog.set_level(logging.INFO, "fednode")
    cast = start()
    alone = [cast.hospitals[0].participant()]
    play(cast, lambda: alone, until=opened(1))
    assert cast.state().rounds[0].outcome is Outcome.VOID
    play(cast, lambda: alone, until=opened(2))
    alone[0].step()
    lines = [record.getMessage() for record in caplog.records]

    def count(text: str) -> int:
        return sum(text in line for line in lines)

    assert count("participant 0: round 0, phase commit, deadline 20") == 1
    for number in (0, 1):
        text = f"round {number} ended without a result: updates committed 1, at least 2"
        assert count(text) == 1
        assert count(f"advanced round {number}, phase commit (block") == 1

    caplog.clear()
    cast.hospitals[0].proposer().step()
    lines = [record.getMessage() for record in caplog.records]
    assert count("proposer: round 2, phase commit, deadline 20") == 1
    assert count("ended without a result") == 0


def test_a_node_says_once_what_it_waits_for(start: Found, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fednode")
    cast = start(rounds=1)
    people = [hospital.participant() for hospital in cast.hospitals]
    proposer = cast.hospitals[2].proposer()
    play(cast, lambda: people, until=opened(0))
    proposer.step()
    assert "this account's participant" in caplog.messages[-1]
    play(cast, lambda: people, until=in_phase(Phase.PROPOSE))
    for _ in range(10):
        people[0].step()
    own = [line for line in caplog.messages if "waiting for this account (with `fednode" in line]
    assert len(own) == 1, caplog.messages
    assert "`fednode proposer`) to propose until" in own[0]
    federation = people[2]._federation
    while federation.gather():  # as its participant does when nothing else is due
        time.sleep(0.01)
    for _ in range(40):
        proposer.step()
    lines = [record.getMessage() for record in caplog.records]
    waiting = [line for line in lines if "to propose until" in line and "cleveland" in line]
    assert len(waiting) == 1, lines
    assert waiting[0].startswith("round 0: waiting for cleveland (0x")
    assert " UTC (in " in waiting[0]
    assert waiting[0].endswith("), then any account may propose")
    cast.stage.engine.hurry(cast.state().round.propose_deadline)
    caplog.clear()
    proposer.step()
    play(cast, lambda: [*people, proposer], until=in_phase(Phase.ATTEST))
    lines = [record.getMessage() for record in caplog.records]
    assert any("waiting for a node to end the phase" in line for line in lines), lines


def test_a_name_once_read_is_kept(start: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    cast = start(rounds=1)
    view = cast.hospitals[0].view()
    view.refresh()
    while view.gather():
        time.sleep(0.01)
    assert set(view.names().values()) == {h.site.name for h in cast.hospitals}
    monkeypatch.setattr("fednode.names.PATIENCE", 0.0)  # a store that is too slow now
    assert set(view.names().values()) == {h.site.name for h in cast.hospitals}
    assert cast.hospitals[0].view().names() == {}


def test_after_the_end_no_phase_has_a_deadline(
    start: Found, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "fednode")
    cast = start(rounds=1)
    roles = cast.roles()
    play(cast, lambda: roles, until=in_phase(Phase.ENDED, 1))
    caplog.clear()
    cast.hospitals[0].proposer().step()
    assert "phase ended, next due 20" in caplog.messages[0]
    assert "deadline" not in caplog.messages[0]


def test_void_rounds_in_a_row_point_to_the_way_out(
    start: Found, caplog: pytest.LogCaptureFixture
) -> None:
    cast = start()
    alone = [cast.hospitals[0].participant()]
    play(cast, lambda: alone, until=opened(2))
    alone[0].step()
    lines = [record.getMessage() for record in caplog.records]
    assert [line for line in lines if "`fednode close` ends the federation" in line]


@pytest.mark.parametrize("value", [1 << 40, np.inf], ids=["beyond the bound", "no number"])
def test_training_that_diverges_points_to_the_way_out(
    start: Found, value: float, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast = start(rounds=1)
    people = [hospital.participant() for hospital in cast.hospitals]
    roles = cast.roles()
    play(cast, lambda: roles, until=opened(1))

    def fit(task: GivenTask, _rows: Rows, _run: LocalRun) -> None:
        now = task.get_tensors()
        task.set_tensors({name: np.full_like(values, value) for name, values in now.items()})

    monkeypatch.setattr(GivenTask, "fit", fit)
    while people[0].step() is not Progress.WAITING:
        pass
    assert "no update of ours: " in caplog.text
    assert "`fednode close` ends this federation after its idle window" in people[0].failures[1]
