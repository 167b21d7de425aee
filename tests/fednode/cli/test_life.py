"""The commands as they should be used, on a federation that has run its course."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from fednode.data.evaluation_set import EvaluationSet
from fednode.disclosed import DISCLOSED, LOCK, Disclosed
from fednode.federation import Federation
from fednode.models.export import read_export
from fednode.policy import load_policy
from fednode.roles.journal import Journal
from fednode.site import load_site, open_sites
from ledger.chain.client import Chain
from ledger.chain.federations import Federations
from ledger.stores import DirectoryStore
from ledger.types import Digest, FederationId
from tests.fednode.cli.world import World, require_one_line
from tests.fednode.roles.test_journal import prepared

ETHER = 10**18


def test_status_tells_where_it_stands(world: World) -> None:
    fields = world.desk.ask("status")
    assert (fields["phase"], fields["results"], fields["settled"]) == ("ended", 2, 2)
    assert fields["released_version"] == 1
    text = world.desk.run("status").stdout
    assert "phase: ended" in text
    assert "now: all is over" in text
    assert "to be trained" not in text
    assert "None" not in text
    assert "attesting" not in text
    waiting = world.desk.ask("status", FEDNODE_FEDERATION=world.forming)
    assert (waiting["phase"], waiting["round"]) == ("forming", None)
    forming = world.desk.run("status", FEDNODE_FEDERATION=world.forming).stdout
    assert "1 results are to be trained" in forming


def test_status_tells_what_attesting_cost(world: World) -> None:
    rounds = world.desk.ask("status --journal @j/north")["attesting"]
    assert isinstance(rounds, list)
    assert [line["round"] for line in rounds] == [0, 1]
    assert all(line["bytes_read"] > 0 and line["cpu_seconds"] > 0 for line in rounds)
    text = world.desk.run("status --journal @j/north").stdout
    assert f"attesting round 1: {rounds[1]['bytes_read']:,} bytes read" in text
    assert world.desk.ask("status --journal @nowhere")["attesting"] == []
    assert not (world.desk.folder / "nowhere").exists()


def test_what_is_due_can_be_taken_once(world: World) -> None:
    def claims(number: int) -> dict[str, int]:
        claimed = world.desk.ask(f"claim --account @{number}.json")["claimed"]
        assert isinstance(claimed, list)
        return {entry["kind"]: int(entry["amount"]) for entry in claimed}

    assert claims(1) == {"payout": ETHER, "stake": 5, "bond": 7}
    assert claims(2) == {"stake": 5, "bond": 7}
    assert [claims(number) for number in (0, 1, 2, 5)] == [{}, {}, {}, {}]
    assert "nothing is due" in world.desk.run("claim --account @1.json").stdout
    assert world.desk.run("audit").exit_code == 0


def test_a_participant_opens_its_test_set_once(world: World) -> None:
    desk = world.desk
    line = "participant --account @1.json --site north --journal @j/north"
    first = desk.ask(line)
    assert (first["released_version"], first["failures"]) == (1, {})
    attesting = first["attesting"]
    assert isinstance(attesting, dict)
    assert attesting["rounds"] == 2
    assert f"attesting 2 rounds took {attesting['bytes_read']:,} bytes" in desk.run(line).stdout
    assert desk.ask(line) == first
    marker = desk.folder / "j" / "north" / world.ended / "test-set.json"
    marker.write_text("{", encoding="utf-8")
    require_one_line(desk.run(line), 1, "test-set.json", "damaged")
    marker.unlink()
    done = desk.ask("proposer --account @5.json")
    assert done["results"] == 2


def test_export_gives_a_version_with_its_preprocessing(world: World) -> None:
    for version, option in ((1, ""), (0, "--version 0")):
        assert world.desk.ask(f"model export --out @deep/m.st {option}")["version"] == version
        made = read_export(world.desk.folder / "deep" / "m.st")
        assert made.provenance["federation"] == world.ended
        assert made.preprocessing


def test_audit_of_chain_and_bundle_agree(world: World) -> None:
    desk = world.desk
    chain = desk.ask("audit")
    nothing = dict.fromkeys(desk.variables)
    bundle = desk.ask(f"audit --bundle @bundle.car --trust-block {world.trust}", **nothing)
    assert chain["holds"] is bundle["holds"] is True
    assert chain["rounds"] == bundle["rounds"]
    assert "<html" in (desk.folder / "report.html").read_text(encoding="utf-8")
    again = desk.run("audit --html @r2.html --write-bundle @b2.car --json")
    json.loads(again.stdout)
    assert "trust-block" in again.stderr


def test_a_dry_run_creates_nothing(world: World) -> None:
    store = world.desk.folder / "store"
    before = len(list(store.rglob("*")))
    line = "create --account @0.json --policy @open.toml --salt 09 --dry-run"
    cost = world.desk.ask(line)["cost"]
    assert isinstance(cost, dict)
    assert cost["evaluations"] == 5
    assert len(list(store.rglob("*"))) == before
    told = world.desk.run(line).stdout
    assert "nothing was created" in told
    assert "warning: stake.challenge_bond is 0" in told
    assert "the reward pool is 1 ether" in told
    assert "costs the round 2 min" in told
    text = (world.desk.folder / "open.toml").read_text(encoding="utf-8")
    paid = text.replace("stake = 5", 'stake = 5\nchallenge_bond = "0.01 ether"')
    (world.desk.folder / "paid.toml").write_text(paid, encoding="utf-8")
    paid_told = world.desk.run(line.replace("@open.toml", "@paid.toml")).stdout
    assert "warning" not in paid_told
    assert "worst case, with everything withheld: a node waits 3 s" in paid_told
    assert "it loses at most 0.00375 ether of its bond" in paid_told


@pytest.mark.parametrize("given", [[], ["FEDNODE_RPC"], ["FEDNODE_RPC", "FEDNODE_LEDGER"]])
def test_a_dry_run_needs_neither_store_nor_account_nor_chain(
    world: World, given: list[str]
) -> None:
    variables = ("FEDNODE_RPC", "FEDNODE_LEDGER", "FEDNODE_STORE", "FEDNODE_IPFS")
    nothing = {name: None for name in variables if name not in given}
    found = world.desk.ask("create --policy @open.toml --dry-run", **nothing)
    assert found["cost"]
    unchecked = found["not_checked"]
    assert isinstance(unchecked, list)
    assert ("the store" in unchecked, "the chain and the contract" in unchecked) == (
        True,
        len(given) < 2,
    )
    new = world.desk.folder / "not-there-yet"
    told = world.desk.run(f"create --policy @open.toml --dry-run --store {new}", **nothing)
    assert (told.exit_code, new.exists()) == (0, False)
    assert "nothing was created; not checked: the account and its funds" in told.stdout


@pytest.mark.parametrize(
    ("line", "code", "missing"),
    [
        ("create --policy @open.toml", 2, "--rpc"),
        (f"create --policy @open.toml --dry-run --ancestor {'12' * 32}", 2, "--rpc"),
        ("create --policy @open.toml --dry-run --store @s --ipfs http://127.0.0.1:1", 1, "both"),
    ],
)
def test_what_a_run_does_need_is_named(world: World, line: str, code: int, missing: str) -> None:
    nothing = dict.fromkeys(("FEDNODE_RPC", "FEDNODE_LEDGER", "FEDNODE_STORE"))
    result = world.desk.run(line, **nothing)
    assert (result.exit_code, missing in result.stderr) == (code, True)


def test_windows_that_do_not_hold_the_worst_case_are_refused(world: World) -> None:
    text = (world.desk.folder / "open.toml").read_text(encoding="utf-8")
    slow = text.replace("commit = 600", "commit = 600\nfetch = 30")
    (world.desk.folder / "slow.toml").write_text(slow, encoding="utf-8")
    line = "create --account @0.json --policy @slow.toml --salt 09 --dry-run"
    require_one_line(world.desk.run(line), 1, "windows.propose: 60 s do not hold", "at least 1")


@pytest.mark.parametrize(("holder", "warned"), [("creator", False), ("north", True)])
def test_a_holder_that_trains_is_warned_of(world: World, holder: str, warned: bool) -> None:
    folder = world.desk.folder
    text = (folder / "open.toml").read_text(encoding="utf-8")
    kept = f'mode = "slices"\nholder = "{holder}"'
    (folder / "kept.toml").write_text(text.replace('mode = "public"', kept), encoding="utf-8")
    line = f"create --account @0.json --policy @kept.toml --slices {'12' * 32} --dry-run"
    told = world.desk.run(line)
    assert told.exit_code == 0, told.stderr
    assert ("warning: evaluation.holder is 'north'" in told.stdout) is warned


def test_slices_that_are_missing_are_asked_for(world: World) -> None:
    folder = world.desk.folder
    text = (folder / "open.toml").read_text(encoding="utf-8")
    kept = text.replace('mode = "public"', 'mode = "slices"\nholder = "creator"')
    (folder / "unpromised.toml").write_text(kept, encoding="utf-8")
    line = "create --account @0.json --salt 09 --policy"
    found = world.desk.ask(f"{line} @unpromised.toml --dry-run")
    assert "not yet: --slices is missing" in str(found["notes"])
    assert "the slices" in str(found["not_checked"])
    require_one_line(world.desk.run(f"{line} @unpromised.toml"), 1, "--slices is missing")
    surplus = world.desk.run(f"{line} @open.toml --slices {'12' * 32}")
    require_one_line(surplus, 1, "evaluation.mode", "leave it out")


def test_by_shards_what_colluders_read_is_said_and_counted(world: World) -> None:
    """Four rounds of three participants at most are twenty models that a row answers."""
    desk = world.desk
    text = (desk.folder / "open.toml").read_text(encoding="utf-8")
    by_shards = text.replace('mode = "public"', 'mode = "shards"')
    by_shards = by_shards.replace("rounds = 1", "rounds = 4")
    by_shards = by_shards.replace("[training]", f"{LARGER_SHARDS}\n[training]")
    (desk.folder / "shards.toml").write_text(by_shards, encoding="utf-8")
    exact = by_shards.replace("leave-one-out", "exact")
    (desk.folder / "exact.toml").write_text(exact, encoding="utf-8")
    create = "create --account @0.json --policy @shards.toml"
    refused = desk.run(create.replace("shards", "exact"))
    require_one_line(refused, 1, "valuation.kind", "choose leave-one-out")
    warning = "members who collude can read rows that a site holds out"
    told = desk.run(f"{create} --dry-run").stdout
    assert warning in told
    assert "answers at most 20 models" in told
    made = desk.ask(create)
    assert made["shard_models"] == 20
    here = {"FEDNODE_FEDERATION": str(made["federation"])}
    join = "join --account @{}.json --site north --name N --journal @j/shards"
    joining = desk.run(join.format(1), **here)
    assert (joining.exit_code, warning in joining.stderr) == (0, True)
    assert "have answered" not in joining.stderr
    disclosed = Disclosed(desk.folder / "j" / "shards")
    shard, federation = held(world), FederationId(bytes.fromhex(str(made["federation"])))
    disclosed.answer(shard, federation, Digest(bytes(32)), models=5, most=20)
    disclosed.answer(shard, FederationId(bytes(32)), Digest(bytes(32)), models=4, most=20)
    fields = desk.ask("status --journal @j/shards", **here)
    assert [fields[f"shard_models{name}"] for name in ("", "_in_all", "_at_most")] == [5, 9, 20]
    assert (
        "models that the shard has answered here: 5"
        in desk.run("status --journal @j/shards", **here).stdout
    )


def test_a_shard_of_nearly_the_same_rows_is_warned_of(world: World) -> None:
    """The difference of the counts would show the row that was taken out. Without the record of
    what was counted there is an error, or a warning where only an update tells of it.
    """
    desk, journal = world.desk, world.desk.folder / "j" / "differ"
    text = (desk.folder / "open.toml").read_text(encoding="utf-8")
    text = text.replace('mode = "public"', 'mode = "shards"').replace(*WITHOUT_STATISTICS)
    text = text.replace("rounds = 1", "rounds = 4")
    text = text.replace("[training]", f"{LARGER_SHARDS}\n[training]")
    (desk.folder / "shards.toml").write_text(text, encoding="utf-8")
    with without_last_row(desk.folder / "north.csv"):
        less = held(world)
    made = desk.ask("create --account @0.json --policy @shards.toml --salt 31")
    here = {"FEDNODE_FEDERATION": str(made["federation"])}
    disclosed = Disclosed(journal)
    for number, rows in ((8, held(world)), (9, less)):
        old = FederationId(bytes([number]) * 32)
        disclosed.answer(rows, old, Digest(bytes(32)), models=1, most=20)
    told = desk.run("join --account @1.json --site north --name N --journal @j/differ", **here)
    warning = f"warning: the shard of federation {'09' * 32} had nearly the same rows"
    assert (told.exit_code, told.stderr.count("nearly the same rows")) == (0, 1)
    assert warning in told.stderr
    world.anvil.rpc("evm_increaseTime", 3601)
    world.anvil.rpc("evm_mine")
    desk.ask("close --account @5.json", **here)
    participant = "participant --account @1.json --site north --journal @j/differ"
    assert warning in desk.run(participant, **here).stderr
    (journal / DISCLOSED).unlink()
    require_one_line(desk.run(participant, **here), 1, DISCLOSED, "missing", "from a copy")
    (journal / LOCK).unlink()
    assert "holds counts" not in desk.run(participant, **here).stderr
    Journal(journal, old).save_update(3, prepared(evaluation=Digest(bytes([1]) * 32)))
    told = desk.run(participant, **here)
    assert f"holds counts for federation {'09' * 32} and no {DISCLOSED}" in told.stderr


LARGER_SHARDS = "[data.split]\nvaluation = 0.4\ntest = 0.2\n"


def held(world: World) -> EvaluationSet:
    policy = load_policy(world.desk.folder / "shards.toml")
    source = open_sites(policy, world.desk.folder, public_rows=True)
    shard = load_site(policy, source, "north").shard
    assert shard is not None
    return shard


def test_a_second_statistics_round_over_nearly_the_same_rows_is_warned_of(world: World) -> None:
    """The difference of the two sums would show the row that was taken out."""
    desk, warning = world.desk, f"federation {world.ended} was over nearly the same rows"
    same, new = (
        str(desk.ask(f"create --account @0.json --policy @open.toml --salt {salt}")["federation"])
        for salt in (20, 21)
    )
    line = "join --account @1.json --site north --name N --journal @j/north"
    quiet = desk.run(line, FEDNODE_FEDERATION=same)
    assert (quiet.exit_code, quiet.stderr) == (0, "")
    with without_last_row(desk.folder / "north.csv"):
        told = desk.run(line, FEDNODE_FEDERATION=new)
    assert told.exit_code == 0
    assert told.stderr.count("\n") == 1
    assert (warning in told.stderr, f"--ancestor {world.ended}" in told.stderr) == (True, True)
    policy = (desk.folder / "open.toml").read_text(encoding="utf-8")
    (desk.folder / "bare.toml").write_text(policy.replace(*WITHOUT_STATISTICS), encoding="utf-8")
    for salt, options in (
        ("22", f"--policy @open.toml --ancestor {world.ended}"),
        ("23", "--policy @bare.toml"),
    ):
        made = desk.ask(f"create --account @0.json --salt {salt} {options}")
        quiet = desk.run(line, FEDNODE_FEDERATION=str(made["federation"]))
        assert (quiet.exit_code, quiet.stderr) == (0, "")


WITHOUT_STATISTICS = ('source = "csv"', 'source = "csv"\nstatistics = false')


@contextmanager
def without_last_row(file: Path) -> Iterator[None]:
    text = file.read_text(encoding="utf-8")
    file.write_text("\n".join([*text.splitlines()[:-1], ""]), encoding="utf-8")
    try:
        yield
    finally:
        file.write_text(text, encoding="utf-8")


def test_a_federation_goes_on_from_an_ancestor(world: World) -> None:
    """Its statistics stay and are locked, in the last model and in the one before any training."""
    desk, ended = world.desk, followed(world, world.ended)
    line = f"create --account @0.json --policy @open.toml --ancestor {world.ended}"
    for height, options in ((2, ""), (1, " --untrained")):
        heir = str(desk.ask(line + options)["federation"])
        assert heir not in (world.ended, world.forming)
        assert desk.ask("status", FEDNODE_FEDERATION=heir)["phase"] == "forming"
        made = followed(world, heir)
        assert (made.replica.policy.statistics, made.replica.locked()) == (0, 3)
        assert np.array_equal(made.replica.initial_model(), ended.replica.model(height))
        assert made.replica.initial_model()[:3].any()
    text = (desk.folder / "open.toml").read_text(encoding="utf-8")
    for name, changes, reason in (
        ("mlp", ("logistic", "mlp"), "another model"),
        ("range", ("range = [0, 120]", "range = [0, 130]"), "another [schema]"),
    ):
        (desk.folder / f"{name}.toml").write_text(text.replace(*changes), encoding="utf-8")
        require_one_line(desk.run(f"{line} --policy @{name}.toml"), 1, reason)
    young = f"create --account @0.json --policy @open.toml --ancestor {heir}"
    require_one_line(desk.run(young), 1, "no settled result")
    lonely = "create --account @0.json --policy @open.toml --untrained"
    require_one_line(desk.run(lonely), 1, "give --ancestor")


def followed(world: World, federation: str) -> Federation:
    desk = world.desk
    contract = Federations(Chain.connect(world.anvil.url), desk.variables["FEDNODE_LEDGER"])
    store = DirectoryStore(desk.folder / "store")
    return Federation(contract, FederationId(bytes.fromhex(federation)), store)


def test_a_federation_that_stalls_lets_everybody_out(world: World) -> None:
    desk, chosen = world.desk, "create --account @0.json --policy @open.toml --salt 11"
    stalled = {"FEDNODE_FEDERATION": str(desk.ask(chosen)["federation"])}
    joining = "join --account @1.json --site north --name N --journal @j/stalled"
    desk.ask(joining, **stalled)
    early = desk.run("close --account @5.json", **stalled)
    require_one_line(early, 1, "the federation can be closed from 20", "UTC on", "(NotIdle)")
    assert desk.ask("leave --account @1.json", **stalled)["participant"] == 0
    assert desk.run("leave --account @1.json", **stalled).exit_code == 1
    world.anvil.rpc("evm_increaseTime", 3601)
    world.anvil.rpc("evm_mine")
    desk.ask("close --account @5.json", **stalled)
    assert desk.ask("status", **stalled)["phase"] == "ended"
    assert "stake: 5 wei" in desk.run("claim --account @1.json", **stalled).stdout
    assert "refund: 1 ether" in desk.run("claim --account @0.json", **stalled).stdout
    assert desk.run("audit", **stalled).exit_code == 0


def test_accounts_are_made_by_the_command(world: World) -> None:
    made = world.desk.ask("account new @fresh/mine.json")
    path = Path(str(made["keystore"]))
    assert path.stat().st_mode & 0o077 == 0
    assert "nothing is due" in world.desk.run(f"claim --account {path}").stdout


def test_data_check_shows_no_value(world: World) -> None:
    desk = world.desk
    rows = ["age,kind,sick", *["50,a,no"] * 30, "777,secret,maybe"]
    (desk.folder / "bad").mkdir()
    (desk.folder / "bad" / "north.csv").write_text("\n".join(rows), encoding="utf-8")
    line = "data check --policy @open.toml --site north"
    assert "fits the schema" in desk.run(line).stdout
    for shown in (
        desk.run(f"{line} --data @bad"),
        desk.run(f"{line} --data @bad --json"),
    ):
        assert shown.exit_code == 1
        assert not [word for word in ("777", "secret", "maybe") if word in shown.output]
        assert "row 32" in shown.output
