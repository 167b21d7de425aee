"""`fednode status` in each phase: until when, whose turn it is, who is missing; and what a claim
pays to whom.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.proceedings import Outcome
from ledger.state import FederationState, Phase
from tests.federations import Cast, found, in_phase, opened, play, policy_of
from tests.fednode.cli.stage import desk as open_desk
from tests.fednode.cli.stage import stage
from tests.fednode.cli.world import Desk

SITES = ("cleveland", "budapest", "zurich", "long-beach")


@pytest.fixture
def cast(tmp_path: Path) -> Cast:
    return found(stage(tmp_path), policy_of("heart", training={"rounds": 1}))


@pytest.fixture
def desk(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Let the machine's clock agree with the chain's."""
    clock = cast.stage.chain.now
    monkeypatch.setattr("fednode.cli.status.time.time", lambda: float(clock()))
    return open_desk(cast, monkeypatch)


def named(value: object) -> list[str]:
    assert isinstance(value, list)
    return [person["name"] for person in value]


def until(phase: Phase, missed: int = 0) -> Callable[[FederationState], bool]:
    """Whether a round stands in a phase, after so many turns that passed."""
    there = in_phase(phase)
    return lambda state: there(state) and state.round.attempt == missed


def test_each_phase_tells_its_deadline_and_who_is_missing(cast: Cast, desk: Desk) -> None:
    people = [h.participant() for h in cast.hospitals]
    proposer = cast.hospitals[2].proposer()
    play(cast, lambda: people[:2], until=lambda s: bool(s.rounds) and s.round.slots == 2)
    committing = desk.ask("status")
    assert named(committing["waiting_for"]) == list(SITES[2:])
    text = desk.run("status").stdout
    assert "not committed yet: zurich (0x" in text
    assert "deadline of the phase: 20" in text
    assert "UTC (in " in text

    play(cast, lambda: people, until=until(Phase.PROPOSE))
    proposing = desk.ask("status")
    assert isinstance(proposing["turn"], dict)
    assert (proposing["turn"]["name"], proposing["passed"]) == ("cleveland", False)
    state = cast.state()
    assert proposing["deadline"] == state.round.propose_deadline
    cast.stage.engine.hurry(state.round.propose_deadline + 130)
    assert desk.ask("status")["passed"] is True
    text = desk.run("status").stdout
    assert "turn to propose: cleveland (0x" in text
    assert ", which has passed" in text
    assert "(2 min ago)" in text

    play(cast, lambda: people, until=until(Phase.PROPOSE, missed=1))
    assert desk.ask("status")["turn_is_anybodys"] is True
    assert "turn to propose: any account" in desk.run("status").stdout
    play(cast, lambda: [*people, proposer], until=until(Phase.ATTEST, missed=1))
    people[1].step()
    voting = desk.ask("status")
    assert "budapest" not in named(voting["waiting_for"])
    assert "not voted yet: cleveland (0x" in desk.run("status").stdout


def test_status_and_claim_need_neither_store_nor_model(
    cast: Cast, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(cast, lambda: [cast.hospitals[0].participant()], until=in_phase(Phase.COMMIT))

    def built(*_: object, **__: object) -> None:
        raise AssertionError("a model is built")

    monkeypatch.setattr("fednode.federation.open_task", built)
    monkeypatch.setattr("fednode.training.task.open_task", built)
    assert desk.run("status").exit_code == 0
    bare = desk.run("status", FEDNODE_STORE=None)
    assert bare.exit_code == 0
    assert bare.stderr.startswith("note: names, policy and quality were not read: give --ipfs")
    assert "participant 1: 0x" in bare.stdout
    assert "not committed yet: participant 0 (0x" in bare.stdout
    fields = desk.ask("status", FEDNODE_STORE=None)
    assert (fields["name"], fields["phase"]) == (None, "commit")
    assert "were not read" in str(fields["unread"])
    assert desk.run("claim --account @0.json", FEDNODE_STORE=None).exit_code == 0


def test_a_chain_that_stands_still_is_told_of(
    cast: Cast, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = cast.stage.chain.now()
    for ahead, words in ((700, "11 min behind this machine's clock"), (-700, "11 min ahead of")):
        monkeypatch.setattr("fednode.cli.status.time.time", lambda late=ahead: float(now + late))
        assert words in desk.run("status").stdout


def test_rounds_that_end_without_results_point_to_the_way_out(cast: Cast, desk: Desk) -> None:
    alone = [cast.hospitals[0].participant()]
    play(cast, lambda: alone, until=opened(2))
    state = cast.state()
    assert [r.outcome for r in state.rounds[:2]] == [Outcome.VOID] * 2
    text = desk.run("status").stdout
    assert "2 rounds void" in text
    assert "`fednode close` ends the federation and pays out from 20" in text
    fields = desk.ask("status")
    assert (fields["void"], fields["void_in_a_row"]) == (2, 2)
    assert fields["closable_from"] == state.closable_from


def test_a_claim_for_everybody_tells_who_was_paid(cast: Cast, desk: Desk) -> None:
    roles = cast.roles()
    play(cast, lambda: roles)
    told = desk.run("claim --everybody --account @9.json")
    assert told.exit_code == 0, told.stderr
    paid = [line for line in told.stdout.splitlines() if ": bond of 0.01 ether" in line]
    assert {line.split(" (0x")[0] for line in paid} == {"cleveland", "budapest"}
    assert len(set(told.stdout.splitlines())) == told.stdout.count("\n")
    assert "gas)" not in told.stdout
