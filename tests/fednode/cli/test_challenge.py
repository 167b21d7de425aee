"""`fednode challenge` against the real contract: what it wins, and how it says that it cannot."""

from pathlib import Path

import pytest

from ledger.cid import CID, Codec
from ledger.plain import ether
from ledger.proceedings import Fate
from tests.federations import Cast, Changes, found, play, policy_of
from tests.fednode.cli.stage import STRANGER, desk, meanwhile, stage
from tests.fednode.cli.world import Desk, require_one_line
from tests.fednode.roles.conftest import Found
from tests.fednode.roles.test_disputes import (
    BOND,
    PRICES,
    STAKE,
    WINDOWS,
    another_model,
    conspiracy,
    disproved,
)

CHALLENGE = f"challenge --account {STRANGER} --journal @watch --poll 0.05"


@pytest.fixture
def start(tmp_path: Path) -> Found:
    def start(*, rounds: int = 2, **sections: Changes) -> Cast:
        return found(stage(tmp_path), policy_of("heart", training={"rounds": rounds}, **sections))

    return start


@pytest.fixture
def wronged(start: Found) -> Cast:
    """Give a federation whose majority has accepted a wrong model, and rests."""
    cast, roles = conspiracy(start, another_model)
    state = play(cast, lambda: roles[:4], until=lambda s: bool(s.lineage))
    cast.stage.engine.hurry(state.lineage[0].proposal.attest_deadline)
    return cast


@pytest.fixture
def wrong(wronged: Cast, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return desk(wronged, monkeypatch)


def test_it_proves_what_is_wrong_and_is_paid(wronged: Cast, wrong: Desk) -> None:
    told = wrong.ask(CHALLENGE)
    state = wronged.state()
    (fallen,) = disproved(state)
    result = fallen.result.hex()
    assert told["challenged"] == [{"round": 0, "result": result, "fate": "disproved"}]
    assert [p.slashed for p in state.participants] == [True, True, True, False]
    due = wronged.contract.credit(wronged.federation, wronged.stage.accounts[9].address).ethers
    assert due == BOND + BOND // 2 + 3 * (STAKE // 2)
    assert f"bond: {ether(due)} (" in wrong.run(f"claim --account {STRANGER}").stdout
    again = wrong.run(CHALLENGE)
    assert (again.exit_code, again.stdout) == (0, f"round 0: result {result} is disproved\n")


def test_it_waits_for_an_answer_that_does_not_come(
    start: Found, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A demand takes an answer window; the command sees it through."""
    cast, roles = conspiracy(start, another_model)
    state = play(cast, lambda: roles[:4], until=lambda s: bool(s.lineage))
    proposal = state.lineage[0].proposal
    own = desk(cast, monkeypatch)
    for file in (tmp_path / "store").rglob("*"):
        if file.is_file() and file.name == str(CID(Codec.DAG_CBOR, proposal.index)):
            file.unlink()
    meanwhile(cast, [cast.hospitals[3].proposer()], monkeypatch)
    assert "is disproved" in own.run(CHALLENGE).stdout
    (fallen,) = disproved(cast.state())
    assert fallen.challenges.all[0].taken
    assert not any(p.slashed for p in cast.state().participants)


def test_where_all_is_right_it_says_so_and_pays_nothing(
    start: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast = start(rounds=1, stake=PRICES, windows=WINDOWS)
    roles = cast.roles()
    state = play(cast, lambda: roles, until=lambda s: len(s.lineage) == 2)
    cast.stage.engine.hurry(state.lineage[1].proposal.attest_deadline)
    own = desk(cast, monkeypatch)
    result = own.run(CHALLENGE)
    assert (result.exit_code, result.stdout) == (0, "nothing to challenge\n")
    assert own.ask(CHALLENGE) == {"challenged": []}
    meanwhile(cast, roles, monkeypatch)
    assert own.ask(f"{CHALLENGE} --stay") == {"challenged": []}
    state = cast.state()
    assert state.settled
    assert all(p.fate is Fate.SETTLED for r in state.rounds for p in r.proposals)
    assert not any(p.challenges.all for r in state.rounds for p in r.proposals)


@pytest.mark.parametrize(
    ("options", "variables", "words"),
    [
        ("--federation 12", {}, ["--federation '12'", "64 hexadecimal digits"]),
        (f"--federation {'12' * 32}", {}, ["12" * 32, "is not on this contract"]),
        ("--account @poor.json", {}, ["has 0 wei", "send it"]),
        ("--account @none.json", {}, ["none.json"]),
        ("--journal @password/j", {}, ["password/j"]),
        ("--key @none.key", {}, ["none.key", "cannot be read"]),
        ("", {"FEDNODE_STORE": None}, ["--ipfs", "--store", "neither"]),
    ],
)
def test_one_line_says_what_is_wrong(
    wronged: Cast, wrong: Desk, options: str, variables: dict[str, str | None], words: list[str]
) -> None:
    require_one_line(wrong.run(f"{CHALLENGE} {options}", **variables), 1, *words)
    assert not any(proposal.challenges.all for proposal in wronged.state().live())


def test_too_late_is_an_error(wronged: Cast, wrong: Desk) -> None:
    """Nobody has settled the wrong result yet, but it can be challenged no more."""
    proposal = wronged.state().lineage[0].proposal
    wronged.stage.engine.hurry(proposal.challenge_deadline)
    result = wrong.run(CHALLENGE)
    require_one_line(result, 1, proposal.result.hex(), "challenge window is over")
