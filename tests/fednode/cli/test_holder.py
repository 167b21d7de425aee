"""`fednode holder`: opens a slice a round while the others play, and refuses what it was not
promised.
"""

from pathlib import Path

import pytest

from fednode.data.salted import SaltedRows
from fednode.evaluation.slices import SliceCommitment, cut
from fednode.site import open_sites, slice_rows
from tests.federations import Cast, found, policy_of
from tests.fednode.cli.stage import CREATOR, STRANGER, desk, meanwhile, stage
from tests.fednode.cli.world import Desk, require_one_line

HOLDER = f"holder --account {CREATOR} --slices @slices --poll 0.05"
ROUNDS = 2


@pytest.fixture
def cast(tmp_path: Path) -> Cast:
    """Found a federation whose creator holds the rows; others' rows lie beside them."""
    policy = policy_of(
        "digits",
        training={"rounds": ROUNDS},
        evaluation={"mode": "slices", "rows": 60},
        reward={"pool": "0"},
    )
    rows = slice_rows(policy, open_sites(policy, public_rows=True))
    for name, secret in (("slices", b"the holder's own secret"), ("others", b"somebody else's")):
        SaltedRows.draw(rows, secret).save(tmp_path / name)
    place = stage(tmp_path)
    root = cut(SaltedRows.load(tmp_path / "slices"), policy.slices).root
    return found(place, policy, slices=SliceCommitment(root, place.accounts[0].address))


@pytest.fixture
def holding(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return desk(cast, monkeypatch)


def test_it_opens_a_slice_a_round(
    cast: Cast, holding: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(cast, cast.roles(), monkeypatch)
    assert holding.ask(HOLDER) == {"opened": ROUNDS}
    state = cast.state()
    assert [len(round_.slices) for round_ in state.rounds] == [1] * ROUNDS
    view = cast.hospitals[0].view()
    readers = [view.replica.reader(accepted) for accepted in state.lineage]
    assert all(reader.measured() for reader in readers)
    assert f"{ROUNDS} slices were opened" in holding.run(HOLDER).stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (f"--account {STRANGER}", ["the holder 0x", "--account"]),
        ("--slices @others", ["the root", "--slices"]),
        ("--slices @none", ["cannot read", "none"]),
        ("--slices @password", ["password"]),
        (f"--federation {'12' * 32}", ["is not on this contract"]),
    ],
)
def test_one_line_says_what_is_wrong(
    cast: Cast, holding: Desk, options: str, words: list[str]
) -> None:
    require_one_line(holding.run(f"{HOLDER} {options}"), 1, *words)


def test_without_slices_there_is_nothing_to_hold(
    cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "public").mkdir()
    other = found(stage(tmp_path / "public"), policy_of("digits", training={"rounds": ROUNDS}))
    line = HOLDER.replace("@slices", str(tmp_path / "slices"))
    require_one_line(desk(other, monkeypatch).run(line), 1, "measures on no slices")
