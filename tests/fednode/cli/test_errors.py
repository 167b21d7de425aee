"""What users get wrong, command by command: one line that says so, the right exit code, no harm."""

import fcntl
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from ledger.chain.accounts import create_keystore
from ledger.state import Phase
from ledger.stores import DirectoryStore
from tests.fednode.cli.world import PASSWORD, Desk, World, require_one_line

NOBODY = "0x" + "12" * 20
DEPLOYER = "0x4e59b44847b379578588920cA78FbF26c0B4956C"
WRONG_CHECKSUM = "0x70997970C51812dc3A010C7d01b50e0d17dc79c8"
UNKNOWN = "12" * 32
CREATE = "create --account @0.json --policy @open.toml"
JOIN = "join --account @1.json --site north --name North --journal @j/new"
NODE = "participant --account @1.json --site north --journal @j/north"

WRONG = [
    # usage: click's own
    ("nosuch", {}, 2, ["nosuch"]),
    ("create --account @0.json", {}, 2, ["--policy"]),
    ("status --store @password", {}, 2, ["--store", "is a file"]),
    ("testnet --port 70000", {}, 2, ["70000"]),
    (f"{NODE} --poll 0", {}, 2, ["--poll"]),
    (f"{NODE} --poll nan", {}, 2, ["--poll", "nan"]),
    (f"{NODE} --poll inf", {}, 2, ["--poll"]),
    # the chain
    ("status", {"FEDNODE_RPC": "http://127.0.0.1:1"}, 1, ["127.0.0.1:1", "does not answer"]),
    ("status", {"FEDNODE_RPC": "ftp://here"}, 1, ["unknown scheme 'ftp'"]),
    ("status", {"FEDNODE_RPC": "here"}, 1, ["here", "no such socket", "http or https"]),
    (
        "status --rpc mainnet.example/v3/KEYKEYKEY",
        {},
        1,
        ["mainnet.example/***", "begin a URL with its scheme, http or https"],
    ),
    (
        "audit --json --html /dev/stdout --bundle @bundle.car",
        {},
        1,
        ["--html /dev/stdout", "--json prints there"],
    ),
    (
        "status",
        {"FEDNODE_RPC": "http://127.0.0.1:99999"},
        1,
        ["http://127.0.0.1:99999 is no address", "port is no number from 1 to 65535"],
    ),
    ("status --rpc http://127.0.0.1:abc", {}, 1, ["http://127.0.0.1:*** is no address", "port"]),
    ("status --rpc ''", {}, 1, ["'' is no address", "no such socket", "http or https"]),
    ("audit --html ''", {}, 1, ["--html '' names no file"]),
    ("data evaluation --policy @open.toml --out ''", {}, 1, ["--out '' names no file"]),
    ("status --from-block -1", {}, 2, ["--from-block", "-1"]),
    ("status --chain-id 1", {}, 1, ["is chain 31337, expected chain 1"]),
    # the contract
    ("status --ledger 0x12", {}, 1, ["--ledger '0x12'", "not an address"]),
    (f"status --ledger {WRONG_CHECKSUM}", {}, 1, ["--ledger", "checksum is wrong"]),
    (f"status --ledger {NOBODY}", {}, 1, ["no FedNode contract", "there is no contract"]),
    (f"status --ledger {DEPLOYER}", {}, 1, ["no FedNode contract", "does not answer as ours"]),
    (f"{CREATE} --salt 01 --ledger {DEPLOYER}", {}, 1, ["does not answer as ours"]),
    # the federation
    ("status --federation 12", {}, 1, ["--federation '12'", "64 hexadecimal digits"]),
    (f"status --federation {UNKNOWN}", {}, 1, [UNKNOWN, "is not on this contract"]),
    (f"claim --account @1.json --federation {UNKNOWN}", {}, 1, ["is not on this contract"]),
    (f"audit --federation {UNKNOWN}", {}, 1, ["is not on this contract"]),
    # the content store
    ("model export --out @m.st", {"FEDNODE_STORE": None}, 1, ["--store", "neither is set"]),
    ("status --ipfs http://127.0.0.1:1", {}, 1, ["both"]),
    ("status --store @none", {}, 1, ["no such directory"]),
    ("status --ipfs here", {"FEDNODE_STORE": None}, 1, ["http://127.0.0.1:5001"]),
    (
        "status --ipfs http://127.0.0.1:1",
        {"FEDNODE_STORE": None},
        1,
        ["127.0.0.1:1", "unreachable", "Kubo"],
    ),
    ("status --store @empty", {}, 1, ["were not read", "not found", "--store"]),
    # accounts
    (f"{CREATE} --account @none.json", {}, 1, ["none.json", "No such file"]),
    (f"{CREATE} --account @open.toml", {}, 1, ["open.toml", "not a keystore"]),
    (f"{CREATE} --password-file @open.toml", {}, 1, ["wrong password"]),
    (f"{CREATE} --password-file @none", {}, 1, ["none", "password file"]),
    ("account new @new.json --password-file @blank", {}, 1, ["blank", "is empty"]),
    ("account new @0.json", {}, 1, ["0.json", "exists already"]),
    ("account new @password/x.json", {}, 1, ["x.json", "cannot make its folder"]),
    # create
    (CREATE, {}, 1, ["FederationExists", "choose another salt"]),
    (f"{CREATE} --salt zz", {}, 1, ["--salt 'zz'"]),
    (f"{CREATE} --salt 01 --account @poor.json", {}, 1, ["has 0 wei", "send it"]),
    (f"{CREATE} --ancestor 12", {}, 1, ["--ancestor '12'"]),
    (f"{CREATE} --ancestor {UNKNOWN}", {}, 1, [f"--ancestor {UNKNOWN} is not", "check --ancestor"]),
    (f"{CREATE} --policy @none.toml", {}, 1, ["none.toml", "no such file"]),
    (f"{CREATE} --policy @0.json", {}, 1, ["0.json", "not TOML"]),
    (f"{CREATE} --data @none", {}, 1, ["north.csv", "not found"]),
    # join and invite
    (JOIN, {}, 1, ["HasEnded"]),
    (f"{JOIN} --request @r.json", {}, 1, ["is open to everybody"]),
    (f"{JOIN} --policy @policy.toml", {}, 1, ["policy.toml: federation.open", "differs"]),
    (f"{JOIN} --name ''", {}, 1, ["--name", "1 to 200"]),
    (f"{JOIN} --payout {WRONG_CHECKSUM}", {}, 1, ["--payout", "checksum is wrong"]),
    (
        f"{JOIN} --site nort --journal @j/nort",
        {},
        1,
        ["unknown site 'nort'", "did you mean 'north'"],
    ),
    (f"{JOIN} --journal @password/j", {}, 1, ["password/j/secret"]),
    ("invite @none.json --account @0.json --out @i.json", {}, 1, ["none.json cannot be read"]),
    ("invite @0.json --account @0.json --out @i.json", {}, 1, ["0.json is no request to join"]),
    # nodes
    (f"{NODE} --account @5.json", {}, 1, ["signs for no participant", "fednode join"]),
    (f"{NODE} --relay here", {}, 1, ["--relay 'here'", "http://"]),
    (f"{NODE} --site south", {}, 1, ["'south'", "belongs to site 'north'"]),
    (f"{NODE} --journal @j/other", {}, 1, ["secret is not there", "--journal"]),
    (f"{NODE} --journal @j/damaged", {}, 1, ["secret", "damaged"]),
    # ways out
    ("leave --account @1.json", {}, 1, ["HasEnded"]),
    ("leave --account @5.json", {}, 1, ["controls no participant"]),
    ("close --account @1.json", {}, 1, ["HasEnded"]),
    # models
    ("model export --out @m.st --version 9", {}, 1, ["version 9 does not exist", "newest is 1"]),
    ("model export --out @password/m.st", {}, 1, ["m.st cannot be written"]),
    # audits
    ("audit", {"FEDNODE_LEDGER": None}, 1, ["--ledger", "--bundle"]),
    ("audit --html @password/r.html", {}, 1, ["r.html cannot be written"]),
    ("audit --write-bundle @password/b.car", {}, 1, ["b.car cannot be written"]),
    ("audit --deployer 12", {}, 1, ["--deployer '12'"]),
    ("audit --bundle @bundle.car", {}, 1, ["--trust-block"]),
    ("audit --bundle @bundle.car --trust-block 12", {}, 1, ["--trust-block '12'"]),
    (f"audit --bundle @bundle.car --trust-block {UNKNOWN}", {}, 1, ["the trusted block", UNKNOWN]),
    (f"audit --bundle @none.car --trust-block {UNKNOWN}", {}, 1, ["none.car", "No such file"]),
    (f"audit --bundle @0.json --trust-block {UNKNOWN}", {}, 1, ["0.json is no bundle"]),
    (f"audit --bundle @text.md --trust-block {UNKNOWN}", {}, 1, ["text.md is no bundle"]),
    (f"audit --bundle @cut.car --trust-block {UNKNOWN}", {}, 1, ["cut.car", "truncated"]),
]


@pytest.fixture(scope="session")
def desk(world: World) -> Desk:
    """Add to the world what is wrong in it."""
    folder = world.desk.folder
    (folder / "empty").mkdir()
    (folder / "blank").write_text("\n")
    (folder / "j" / "damaged").mkdir()
    (folder / "j" / "damaged" / "secret").write_bytes(b"short")
    (folder / "text.md").write_bytes(b"# Text\n\nA page whose first byte announces 35 more.\n")
    (folder / "cut.car").write_bytes((folder / "bundle.car").read_bytes()[:-1])
    create_keystore(folder / "poor.json", PASSWORD, light=True)
    return world.desk


def test_a_password_that_nobody_gives(desk: Desk) -> None:
    result = desk.run(CREATE, FEDNODE_PASSWORD_FILE=None)
    assert result.exit_code == 1
    assert result.stderr.endswith("\nerror: no password: type it, or give --password-file FILE\n")


def test_a_testnet_where_another_one_runs(desk: Desk, tmp_path: Path) -> None:
    other = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        require_one_line(
            desk.run(f"testnet --directory {tmp_path}"), 1, str(tmp_path), "runs there already"
        )
    finally:
        os.close(other)
    assert not list(tmp_path.iterdir())


def listing(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "anvil" not in path.name}


@pytest.mark.parametrize(("line", "variables", "code", "words"), WRONG)
def test_one_line_says_what_is_wrong(
    desk: Desk, line: str, variables: dict[str, str | None], code: int, words: list[str]
) -> None:
    require_one_line(desk.run(line, **variables), code, *words)


def test_nothing_is_left_behind_by_what_fails(desk: Desk) -> None:
    before = listing(desk.folder)
    for line in (
        f"{CREATE} --store @new --policy @none.toml",
        f"{JOIN} --policy @policy.toml --request @r.json",
        "model export --out @m.st --version 9",
        f"audit --html @r.html --bundle @bundle.car --trust-block {UNKNOWN}",
        "status --store @none",
        f"{NODE} --journal @j/none",
    ):
        assert desk.run(line).exit_code == 1
    assert listing(desk.folder) == before


@pytest.mark.parametrize("line", ["status --federation 12", "create --account @0.json", "nosuch"])
def test_with_json_an_error_is_an_object(desk: Desk, line: str) -> None:
    result = desk.run(f"{line} --json")
    assert result.stderr.splitlines()[-1].lower().startswith("error: ")
    if line == "nosuch":  # no command, so no option of its own
        assert not result.stdout
        return
    assert set(json.loads(result.stdout)["error"]) == {"type", "message"}


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("quorum", "quorun", ["federation.quorun", "did you mean 'quorum'"]),
        ("public = true", "public = false", ["site 'north'", "data.public", "visibility"]),
        ('"logistic"', '"mine:make"', ["mine:make", "--allow-model mine:make"]),
        ("propose = 60", "propose = 1", ["windows.propose", "1 s"]),
        ("range = [0, 120]", "range = [0, 12]", ["site 'north'", "column 'age'", "data check"]),
        ('name = "kind"', 'name = "sort"', ["column 'sort'", "no such column"]),
        (
            "target = 1",
            f'target = 1\ntoken = "{NOBODY}"',
            [f"token {NOBODY}", "there is no contract"],
        ),
        (
            "target = 1",
            f'target = 1\ntoken = "{DEPLOYER}"',
            [f"token {DEPLOYER}", "does not answer as an ERC-20"],
        ),
    ],
)
def test_a_policy_that_cannot_be(desk: Desk, before: str, after: str, words: list[str]) -> None:
    text = (desk.folder / "open.toml").read_text(encoding="utf-8")
    assert before in text
    (desk.folder / "wrong.toml").write_text(text.replace(before, after, 1), encoding="utf-8")
    require_one_line(desk.run(f"{CREATE} --policy @wrong.toml --salt 02"), 1, *words)


@pytest.mark.parametrize("kind", ["cut", "altered", "too long", "another's"])
def test_blocks_that_are_not_what_they_should_be(desk: Desk, kind: str) -> None:
    shutil.rmtree(desk.folder / "bad-store", ignore_errors=True)
    shutil.copytree(desk.folder / "store", desk.folder / "bad-store")
    store = DirectoryStore(desk.folder / "bad-store")
    for cid in store.cids():
        file = store.path / str(cid)[-3:-1] / str(cid)
        data = file.read_bytes()
        bad = {
            "cut": data[:-1],
            "altered": bytes([data[0] ^ 1]) + data[1:] if data else b"x",
            "too long": data + bytes(1 << 21),
            "another's": b"another block",
        }
        file.write_bytes(bad[kind])
    require_one_line(desk.run("status --store @bad-store"), 1, "block b", "bad-store")
    # Wrong bytes are the store's own fault.
    require_one_line(desk.run("audit --store @bad-store"), 1, "check --ipfs or --store")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["is no invitation"]),
        ("{", ["Invalid JSON"]),
        ('{"request": {}, "expires": 1, "signature": "00"}', ["request.federation"]),
        ("[" * 100_000, ["is no invitation"]),
    ],
)
def test_invitations_that_are_none(
    world: World, desk: Desk, content: str, words: list[str]
) -> None:
    (desk.folder / "none-inv.json").write_text(content, encoding="utf-8")
    line = f"{JOIN} --federation {world.forming} --invitation @none-inv.json"
    require_one_line(desk.run(line), 1, *words)


def test_the_way_in_by_invitation(
    world: World, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = {"FEDNODE_FEDERATION": world.forming}
    require_one_line(desk.run(JOIN, **chosen), 1, "--request", "--invitation")
    assert desk.run(f"{JOIN} --request @ask.json", **chosen).exit_code == 0
    line = "invite @ask.json --out @inv.json --account"
    require_one_line(desk.run(f"{line} @5.json"), 1, "creator", "invitations count")
    assert desk.run(f"{line} @0.json").exit_code == 0
    joining = f"{JOIN} --invitation @inv.json"
    require_one_line(desk.run(f"{joining} --name Other", **chosen), 1, "for another request")
    invitation = json.loads((desk.folder / "inv.json").read_text(encoding="utf-8"))
    for field, value, word in (
        ("expires", 1, "InvitationExpired"),
        ("signature", "00" * 65, "InvitationRefused"),
    ):
        text = json.dumps({**invitation, field: value})
        (desk.folder / "bad-inv.json").write_text(text, encoding="utf-8")
        result = desk.run(f"{JOIN} --invitation @bad-inv.json", **chosen)
        require_one_line(result, 1, word)
    assert desk.run(joining, **chosen).exit_code == 0
    require_one_line(desk.run(joining, **chosen), 1, "ControllerTaken")
    export = desk.run("model export --out @m.st", **chosen)
    require_one_line(export, 1, "no model version yet")
    assert not (desk.folder / "m.st").exists()
    late = {**json.loads((desk.folder / "ask.json").read_text()), "federation": world.ended}
    (desk.folder / "late.json").write_text(json.dumps(late), encoding="utf-8")
    invited = desk.run("invite @late.json --out @late-inv.json --account @0.json")
    require_one_line(invited, 1, "has ended", "no participant can join it")
    monkeypatch.setattr("fednode.cli.join.Phase", SimpleNamespace(ENDED=Phase.FORMING))
    asked = desk.run(f"{JOIN} --request @late-ask.json", **chosen)
    require_one_line(asked, 1, "has ended", "no participant can join it")
    assert not list(desk.folder.glob("late-[ai]*"))
