"""Commands that write in a journal end with one line where another process has it open."""

import pytest

from fednode.files import private_folder
from fednode.in_use import alone
from tests.fednode.cli.world import World, require_one_line

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
