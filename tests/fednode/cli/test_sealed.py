"""Sealed federations by the command: keys, what they open, and what is said without them."""

import json
import stat
from pathlib import Path

import pytest

from ledger.sealing import Vault, load_key
from tests.fednode.cli.world import SITES, Desk, World, play, require_one_line


@pytest.fixture(scope="session")
def sealed(world: World, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Play a sealed federation: a key for each member, one for the auditor, one for nobody."""
    desk = world.desk
    for name in (*SITES, "other"):
        desk.ask(f"key new @{name}.key")
    key = desk.ask("key new @auditor.key")["key"]
    text = (desk.folder / "open.toml").read_text(encoding="utf-8")
    text = f'visibility = "members"\n{text}\n[privacy]\nauditors = ["{key}"]\n'
    (desk.folder / "sealed.toml").write_text(text, encoding="utf-8")
    made = desk.ask("create --account @0.json --policy @sealed.toml")
    own = Desk(desk.folder, {**desk.variables, "FEDNODE_FEDERATION": str(made["federation"])})
    for number, site in enumerate(SITES, start=1):
        line = f"join --account @{number}.json --site {site} --name {site} --journal @j/{site}"
        require_one_line(own.run(line), 1, "sealed for its members", "give --key")
        own.ask(f"{line} --key @{site}.key")
    play(own, world.anvil, {s: Vault((load_key(desk.folder / f"{s}.key"),)) for s in SITES})
    return own


def test_keys_are_made_by_the_command(world: World) -> None:
    made = world.desk.ask("key new @mine.key")
    path = Path(str(made["file"]))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert world.desk.ask("key show @mine.key")["key"] == made["key"]
    assert str(made["key"]) in world.desk.run("key show @mine.key").stdout
    require_one_line(world.desk.run("key new @mine.key"), 1, "mine.key", "exists already")
    require_one_line(world.desk.run("key show @0.json"), 1, "0.json", "not an X25519 private key")
    require_one_line(world.desk.run("status --key @none.key"), 1, "none.key", "cannot be read")


def test_an_audit_with_the_key_replays_everything(sealed: Desk) -> None:
    for name in ("north", "south", "auditor"):
        verdict = sealed.ask(f"audit --key @{name}.key")
        assert (verdict["holds"], verdict["verdict"]) == (True, "holds")
    assert "Everything that was checked holds" in sealed.run("audit --key @south.key").stdout


@pytest.mark.parametrize("option", ["", "--key @other.key"])
def test_an_audit_without_it_says_what_it_did_not_check(sealed: Desk, option: str) -> None:
    result = sealed.run(f"audit {option} --html @sealed.html")
    assert result.exit_code == 4
    assert "Holds, except for what is sealed and was not read." in " ".join(result.stdout.split())
    assert "no key to them" in (sealed.folder / "sealed.html").read_text(encoding="utf-8")
    told = json.loads(sealed.run(f"audit {option} --json").stdout)
    assert (told["holds"], told["verdict"]) == (True, "sealed")


def test_a_bundle_made_without_a_key_is_audited_with_one(sealed: Desk) -> None:
    made = sealed.run("audit --write-bundle @sealed.car")
    assert made.exit_code == 4
    trust = made.stdout.split()[-1]
    nothing = dict.fromkeys(sealed.variables)
    line = f"audit --bundle @sealed.car --trust-block {trust}"
    assert sealed.run(line, **nothing).exit_code == 4
    assert sealed.run(f"{line} --key @auditor.key", **nothing).exit_code == 0


def test_models_and_payouts_are_for_who_has_a_key(sealed: Desk) -> None:
    assert sealed.ask("model export --out @sealed.safetensors --key @auditor.key")["version"] == 1
    for line in ("model export --out @x.safetensors", "claim --account @1.json"):
        for key in ("", "--key @other.key"):
            require_one_line(sealed.run(f"{line} {key}"), 1, "sealed for 3 keys", "give --key")
    assert not (sealed.folder / "x.safetensors").exists()
    assert "payout:" in sealed.run("claim --account @1.json --key @auditor.key").stdout


def test_status_shows_what_is_not_sealed(sealed: Desk) -> None:
    outside, inside = sealed.ask("status"), sealed.ask("status --key @auditor.key")
    assert (outside["utility"], outside["released_version"]) == (None, None)
    assert inside["utility"] is not None
    assert outside["head"] == inside["head"]


@pytest.mark.parametrize(
    "line",
    ["participant --site north --journal @j/north", "proposer", "challenge --journal @j/watch"],
)
def test_a_node_does_not_start_without_a_key(sealed: Desk, line: str) -> None:
    require_one_line(sealed.run(f"{line} --account @1.json"), 1, "sealed for its members", "--key")


def test_a_sealed_model_is_no_other_federations_start(sealed: Desk) -> None:
    heir = sealed.variables["FEDNODE_FEDERATION"]
    line = f"create --account @0.json --policy @sealed.toml --ancestor {heir}"
    require_one_line(sealed.run(line), 1, f"--ancestor {heir} is sealed")


FORGET = "forget --account @1.json --site north --journal @j/north"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("", ["give --rounds, --rows or both, or --resume alone"]),
        ("--resume --rows 1", ["or --resume alone"]),
        ("--resume", ["nothing was begun"]),
        ("--rounds 7", ["round 7 is not over"]),
        ("--rounds x", ["--rounds 'x'", "such as 3,5-9"]),
        ("--rounds 3-1", ["3-1 is no range"]),
        ("--rows 0", ["has no row 0"]),
        ("--rows 61", ["has no row 61"]),
        ("--rows 1-60", ["no row would be left"]),
    ],
)
def test_what_cannot_be_forgotten(sealed: Desk, options: str, words: list[str]) -> None:
    require_one_line(sealed.run(f"{FORGET} {options}"), 1, *words)
    assert not (sealed.folder / "j" / "north" / "forgetting.json").exists()


def test_only_a_participant_forgets(sealed: Desk) -> None:
    line = FORGET.replace("@1.json", "@5.json")
    require_one_line(sealed.run(f"{line} --rows 1"), 1, "controls no participant")


def test_updates_and_rows_are_forgotten_and_the_audit_says_so(sealed: Desk) -> None:
    """Last, as it destroys: what is erased is the third verdict, on the real contract."""
    folder = sealed.folder
    line = "forget --account @2.json --site south --journal @j/south"
    told = sealed.ask(f"{line} --rounds all --rows 2,7-9")
    assert told["rounds"] == [0, 1]
    assert not (folder / "j" / "south" / "secret").exists()
    kept = json.loads((folder / "j" / "south" / "rows.json").read_text(encoding="utf-8"))
    assert len(kept["train"]) == told["rows_left"]
    result = sealed.run("audit --key @auditor.key")
    assert result.exit_code == 4
    text = " ".join(result.stdout.split())
    assert "Holds, except for what was erased by south (rounds 0, 1)." in text
    again = sealed.run(f"{line} --rows 2")
    require_one_line(again, 1, "60 rows, and 56 were kept")
    lines = (folder / "south.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "less").mkdir()
    gone = (2, 7, 8, 9)
    rest = [text for number, text in enumerate(lines) if number not in gone]
    (folder / "less" / "south.csv").write_text("".join(rest), encoding="utf-8")
    (folder / "less" / "north.csv").write_bytes((folder / "north.csv").read_bytes())
    require_one_line(sealed.run(f"{line} --data @less --rounds 0 --rows 57"), 1, "has no row 57")


def test_another_key_is_registered(sealed: Desk) -> None:
    desk = sealed
    line = "create --account @0.json --policy @sealed.toml --salt 21"
    made = {"FEDNODE_FEDERATION": str(desk.ask(line)["federation"])}
    joining = "join --account @1.json --site north --name N --journal @j/keys --key @north.key"
    desk.ask(joining, **made)
    new = desk.ask("key register @other.key --account @1.json", **made)["key"]
    assert new == desk.ask("key show @other.key")["key"]
    require_one_line(
        desk.run("key register @other.key --account @5.json", **made), 1, "controls no participant"
    )
