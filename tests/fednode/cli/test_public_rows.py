"""A policy cannot declare a site's rows public: the site says it, once."""

import json
from pathlib import Path

import pytest

from tests.fednode.cli.world import World, require_one_line

SILENT = {"FEDNODE_PUBLIC_ROWS": None}
ASK = "join --account @4.json --site north --name North --request @word-ask.json --journal @j/word"


def test_no_command_takes_the_policys_word(world: World) -> None:
    desk = world.desk
    before = {path for path in desk.folder.rglob("*") if "anvil" not in path.name}
    for line in (
        "create --account @0.json --policy @open.toml --salt 77",
        ASK,
        "participant --account @1.json --site north --journal @j/nobody",
        "data evaluation --policy @open.toml --out @word-rows",
    ):
        chosen = world.ended if line.startswith("participant") else world.forming
        result = desk.run(line, **SILENT, FEDNODE_FEDERATION=chosen)
        require_one_line(result, 1, "--public-rows", "the policy cannot decide that")
    after = {path for path in desk.folder.rglob("*") if "anvil" not in path.name}
    assert after == before


def test_it_is_said_once_and_kept_for_this_site(world: World) -> None:
    desk, chosen = world.desk, {**SILENT, "FEDNODE_FEDERATION": world.forming}
    assert desk.run(f"{ASK} --public-rows", **chosen).exit_code == 0
    assert desk.run(ASK, **chosen).exit_code == 0
    word = desk.folder / "j" / "word" / "site.json"
    assert json.loads(word.read_bytes()) == {"site": "north", "public_rows": True}
    assert word.stat().st_mode & 0o777 == 0o600
    other = ASK.replace("north", "south")
    for line in (other, f"{other} --public-rows"):
        require_one_line(desk.run(line, **chosen), 1, "j/word belongs to site 'north'", "'south'")
    assert json.loads(word.read_bytes()) == {"site": "north", "public_rows": True}
    word.write_text('{"site": "north", "public_rows": "yes"}')
    require_one_line(desk.run(ASK, **chosen), 1, "site.json", "damaged")


def test_the_price_is_told_without_it(world: World) -> None:
    line = "create --account @0.json --policy @open.toml --salt 77 --dry-run"
    result = world.desk.run(line, **SILENT)
    assert result.exit_code == 0
    assert "not yet: " in result.stdout
    assert "--public-rows" in result.stdout
    fields = world.desk.ask(line, **SILENT)
    assert "not yet: " in str(fields["notes"])
    assert fields["not_checked"]
    said = world.desk.ask(f"{line} --public-rows", **SILENT)
    assert "not yet" not in str(said["notes"])


def test_looking_at_ones_own_rows_needs_no_word(world: World) -> None:
    line = "data check --policy @open.toml --site north"
    assert world.desk.run(line, **SILENT).exit_code == 0


@pytest.mark.parametrize("path", ["../north.csv", "/etc/hostname", "~/x.csv", "C:/x.csv"])
def test_a_policys_path_outside_the_folder(world: World, path: str) -> None:
    desk = world.desk
    text = (desk.folder / "open.toml").read_text(encoding="utf-8")
    sites = text.replace('sites = ["north", "south"]', 'sites = ["north"]')
    wrong = sites.replace('path = "{site}.csv"', f'path = "{path}"')
    (desk.folder / "outside.toml").write_text(wrong, encoding="utf-8")
    for line in ("create --account @0.json --salt 78", "data check --site north"):
        require_one_line(desk.run(f"{line} --policy @outside.toml"), 1, "data.path", "must")


def test_one_file_may_stand_for_the_folder_of_one_site(world: World, tmp_path: Path) -> None:
    desk = world.desk
    own = tmp_path / "mine.csv"
    own.write_bytes((desk.folder / "north.csv").read_bytes())
    check = f"data check --policy @open.toml --site north --data {own}"
    assert desk.run(check).exit_code == 0
    line = f"create --account @0.json --policy @open.toml --salt 79 --data {own}"
    require_one_line(desk.run(line), 1, "--data", "is one file", "2 sites")
