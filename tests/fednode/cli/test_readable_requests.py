"""A creator signs no request whose identity record every node would refuse."""

import json

import pytest

from tests.fednode.cli.world import World, require_one_line


@pytest.mark.parametrize(
    ("field", "change", "word"),
    [
        ("controller", str.lower, "no address"),
        ("name", lambda name: name + "x", "signature"),
        ("name", lambda _: "x\ny", "name"),
        ("name", lambda _: "x" * 201, "name"),
        ("signature", lambda text: "00" * 65, "signature"),
        ("rows", lambda _: 1 << 32, "rows"),
    ],
)
def test_a_request_that_no_node_reads_is_not_signed(
    world: World, field: str, change: object, word: str
) -> None:
    desk, chosen = world.desk, {"FEDNODE_FEDERATION": world.forming}
    ask = "join --account @3.json --site north --name Read --journal @j/read --request @read.json"
    assert desk.run(ask, **chosen).exit_code == 0
    request = json.loads((desk.folder / "read.json").read_bytes())
    assert callable(change)
    changed = {**request, field: change(request[field])}
    (desk.folder / "unreadable.json").write_text(json.dumps(changed), encoding="utf-8")
    result = desk.run("invite @unreadable.json --account @0.json --out @unreadable-inv.json")
    require_one_line(result, 1, word)
    assert not (desk.folder / "unreadable-inv.json").exists()
