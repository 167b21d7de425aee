"""Commands that write in a journal end with one line where another process has it open."""

import pytest

from fednode.files import private_folder
from fednode.in_use import alone
from tests.fednode.cli.world import World, key, require_one_line

LINES = [
    "participant --account @1.json --site north --journal @j/north",
    "challenge --account @0.json --journal @j/north",
    "forget --account @1.json --site north --journal @j/north --rounds all",
]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.split()[0])
def test_a_journal_that_another_process_has(world: World, line: str) -> None:
    folder = world.desk.folder / "j" / "north" / world.ended.removeprefix("0x")
    private_folder(folder)
    with alone(folder):
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        result = world.desk.run(line, FEDNODE_FEDERATION=world.ended)
        require_one_line(result, 1, f"--journal {folder} is in use by process")
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_relay_s_journal_that_another_process_has(world: World) -> None:
    desk = world.desk
    text = (desk.folder / "open.toml").read_text(encoding="utf-8")
    named = text.replace("quorum = 1", f'quorum = 1\nrelay = "{key(0).address}"')
    relayed = named.replace("[windows]", "[windows]\nbatch = 60")
    (desk.folder / "relayed.toml").write_text(relayed, encoding="utf-8")
    federation = str(desk.ask("create --account @0.json --policy @relayed.toml")["federation"])
    folder = desk.folder / "j" / "relay" / federation
    private_folder(folder)
    with alone(folder):
        line = "relay --account @0.json --journal @j/relay --port 0"
        result = desk.run(line, FEDNODE_FEDERATION=federation)
        require_one_line(result, 1, f"--journal {folder} is in use by process")
