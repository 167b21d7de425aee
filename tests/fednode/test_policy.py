"""The policy file: what it comes to on the chain, and one line for everything wrong in it."""

from collections.abc import Mapping
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednode.policy import (
    Policy,
    PolicyError,
    built_in,
    load_policy,
    parse_policy,
    predict,
    require_header,
    require_same,
    require_windows,
)
from fednode.policy.sections import PrivacySection, ValuationSection
from fednode.training.run import TrainingSpec
from ledger import cbor
from ledger.headers import PolicyHeader
from ledger.sealing import Envelope, SealingKey
from ledger.types import ZERO_ADDRESS, Address, Digest

LEDGER = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")

BY_SHARDS = '[evaluation]\nmode = "shards"\n'
SMALL = """
[federation]
name = "two"
open = true
start_participants = 2
max_participants = 3

[task]
model = "logistic"

[[schema.columns]]
name = "age"
type = "numeric"
range = [0, 120]

[schema.label]
column = "ill"
codes = { no = 0, yes = 1 }

[data]
source = "csv"
path = "{site}.csv"
sites = ["a", "b"]
public = true

[training]
rounds = 5
"""

MEASURED = SMALL + '[evaluation]\nmode = "public"\n'


def header(policy: Policy) -> PolicyHeader:
    return policy.header(
        31337, LEDGER, initial_model_root=Digest(b"\x01" * 32), rest=Digest(b"\x02" * 32)
    )


def refused(text: str) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, source="p.toml")
    message = str(caught.value)
    assert message.startswith(f"p.toml: {caught.value.key}: ")
    assert "\n" not in message
    return caught.value


@pytest.mark.parametrize("name", ["heart", "mnist", "digits"])
def test_a_policy_survives_its_record(name: str) -> None:
    policy = built_in(name)
    data = cbor.encode(policy.rest_record())
    assert Policy.from_record(cbor.decode(data)) == policy
    require_header(policy, header(policy))
    assert PolicyHeader.decode(header(policy).encode()) == header(policy)
    cost = predict(policy, seconds_per_evaluation=0.1)
    require_windows(policy, cost)
    assert cost.record()["gas_per_round"] == cost.gas_per_round > 0


def test_load_policy_reads_the_file_that_ships(tmp_path: Path) -> None:
    text = resources.files("fednode").joinpath("policies/heart.toml").read_text(encoding="utf-8")
    path = tmp_path / "heart.toml"
    path.write_text(text, encoding="utf-8")
    assert load_policy(path) == built_in("heart")


def test_the_demos_header_says_what_the_file_says() -> None:
    found = header(built_in("heart"))
    assert (found.rule, found.valuation, found.visibility, found.evaluation) == (0, 2, 0, 1)
    assert (found.start_participants, found.max_participants, found.least_updates) == (4, 4, 2)
    assert (found.open, found.committee_size, found.quorum_bps) == (False, 4, 6000)
    assert (found.statistics, found.leaves, found.bound) == (18, 1, 16 << 20)
    assert (found.coordinates, found.valuation_every) == (built_in("heart").layout().size, 1)
    assert found.rule_parameters == bytes(32)
    assert (found.rounds, found.reward_period, found.target) == (10, 0, 300_000)
    assert (found.pool, found.proposer_bond, found.stake) == (10**18, 10**16, 0)
    assert (found.token, found.relay) == (ZERO_ADDRESS, ZERO_ADDRESS)
    assert (found.batch_window, found.unbonding_window, found.staleness) == (0, 0, 0)


def test_the_record_holds_decimals_and_money_as_texts_and_every_default() -> None:
    record = parse_policy(SMALL.replace("rounds = 5", "rounds = 5\nlearning_rate = 0.050"))
    found = record.rest_record()
    training, reward = found["training"], found["reward"]
    assert isinstance(training, Mapping)
    assert isinstance(reward, Mapping)
    assert training["learning_rate"] == "0.05"
    assert training["momentum"] == training["weight_decay"] == "0"
    assert reward["pool"] == "0"


def test_fractions_stay_the_decimals_that_were_written() -> None:
    text = SMALL + "learning_rate = 0.1\nmomentum = 0.30000000000000001\n"
    training = parse_policy(text + "weight_decay = 0.0001\n").training
    assert training.learning_rate == Decimal("0.1")
    assert training.momentum == Decimal("0.30000000000000001")
    assert training.spec == TrainingSpec(1, 16, 0.1, 0.3, 0.0001)


@pytest.mark.parametrize(
    ("pool", "wei"),
    [
        ("1", 1),
        ('"1 wei"', 1),
        ('"1.5 ether"', 15 * 10**17),
        ('"0.000000000000000001 ether"', 1),
        ('"3 gwei"', 3 * 10**9),
        ('"100000000000000000000"', 10**20),
    ],
)
def test_money_is_whole_wei(pool: str, wei: int) -> None:
    text = MEASURED + f'[valuation]\nkind = "exact"\n[reward]\npool = {pool}\n'
    policy = parse_policy(text)
    assert policy.reward.pool == wei
    assert Policy.from_record(policy.rest_record()).reward.pool == wei


@pytest.mark.parametrize(
    ("change", "key", "reason"),
    [
        (("rounds = 5", "rouns = 5"), "training.rounds", "missing"),
        (("rounds = 5", "rounds = 5\nepoch = 2"), "training.epoch", "did you mean 'epochs'?"),
        (("rounds = 5", "rounds = 5\nzzz = 2"), "training.zzz", "known here: batch_size, "),
        (("rounds = 5", "rounds = 5\n[wndows]\nidle = 1"), "wndows", "did you mean 'windows'?"),
        (("range =", "rang ="), "schema.columns[0].rang", "did you mean 'range'?"),
        (("[schema.label]", "[schema.lable]"), "schema.label", "missing"),
        (("codes = {", "names = ['x'] \ncode = {"), "schema.label.codes", "missing"),
        (("sites = [", "site = ["), "data.site", "did you mean 'sites'?"),
        (("public = true", "publik = true"), "data.publik", "did you mean 'public'?"),
    ],
)
def test_a_wrong_key_is_named(change: tuple[str, str], key: str, reason: str) -> None:
    error = refused(SMALL.replace(*change))
    assert error.key == key
    assert reason in error.reason


@pytest.mark.parametrize(
    ("change", "key", "reason"),
    [
        (("rounds = 5", 'rounds = "5"'), "training.rounds", "valid integer"),
        (("rounds = 5", "rounds = 5.0"), "training.rounds", "valid integer"),
        (("rounds = 5", "rounds = true"), "training.rounds", "valid integer"),
        (("rounds = 5", "rounds = 0"), "training.rounds", "greater than or equal to 1 (found 0)"),
        (("rounds = 5", "rounds = 5\nlearning_rate = nan"), "training.learning_rate", "finite"),
        (("rounds = 5", "rounds = 5\nlearning_rate = inf"), "training.learning_rate", "finite"),
        (("rounds = 5", "rounds = 5\nlearning_rate = 0"), "training.learning_rate", "greater"),
        (("rounds = 5", "rounds = 5\nmomentum = 1"), "training.momentum", "less than 1"),
        (("rounds = 5", "rounds = 5\nweight_decay = -1"), "training.weight_decay", "greater"),
        (("rounds = 5", "rounds = 5\nweight_decay = nan"), "training.weight_decay", "finite"),
        (("rounds = 5", "rounds = 5\nweight_decay = 1001"), "training.weight_decay", "1000"),
        (
            ("rounds = 5", "rounds = 5\nweight_decay = 21"),  # times 0.05
            "training.weight_decay",
            "times training.learning_rate is above 1",
        ),
        (("open = true", 'open = "yes"'), "federation.open", "boolean"),
        (("open = true", "quorum = 0.5"), "federation.quorum", "greater than 0.5"),
        (("open = true", "quorum = 0.66667"), "federation.quorum", "four decimals"),
        (("open = true", "least_updates = 3"), "federation.least_updates", "no round would count"),
        (
            ("max_participants = 3", "max_participants = 1"),
            "federation.start_participants",
            "above",
        ),
        (
            ("max_participants = 3", "max_participants = 300\ncommittee_size = 129"),
            "federation.committee_size",
            "128",
        ),
        (
            ("max_participants = 3", "max_participants = 32769"),
            "federation.max_participants",
            "32768",
        ),
        (("open = true", 'relay = "0x12"'), "federation.relay", "not an address"),
        (("[0, 120]", "[120, 0]"), "schema.columns[0].range", "lowest < highest"),
        (("[0, 120]", '["a", 1]'), "schema.columns[0].range[0]", "not a finite decimal"),
        (("[0, 120]", "[0]"), "schema.columns[0].range[1]", "missing"),
        (("yes = 1", "yes = 2"), "schema.label.codes", "without a gap"),
        (('column = "ill"', 'column = "age"'), "schema.label", "also a feature"),
        (('model = "logistic"', 'model = "tree"'), "task.model", "'tree' is none of"),
        (('model = "logistic"', 'model = "a b"'), "task.model", "pattern"),
        (('"logistic"', '"logistic"\nprivate = ["bais"]'), "task.private", "bais"),
        (('"logistic"', '"logistic"\noptions = {a = 0.5}'), "task.options.a", "as a text"),
        (('"logistic"', '"logistic"\noptions = {a = 1}'), "task.options.a", ""),
        (('["a", "b"]', '["a", "b", "c", "d"]'), "data.sites", "max_participants = 3"),
        (('source = "csv"', 'source = "sql"'), "data.source", "'heart'"),
        (('sites = ["a", "b"]', ""), "data.sites", "missing"),
    ],
)
def test_a_wrong_value_is_named(change: tuple[str, str], key: str, reason: str) -> None:
    assert change[0] in SMALL
    error = refused(SMALL.replace(*change))
    assert error.key == key
    assert reason in error.reason


@pytest.mark.parametrize(
    ("section", "key", "reason"),
    [
        ("[windows]\nattest = 0", "windows.attest", "greater than or equal to 1"),
        ("[windows]\nattest = 3600", "windows.challenge", "longer than windows.attest"),
        ("[windows]\nattest = 119", "windows.attest", "at least windows.reveal"),
        ("[windows]\nattempts = 256", "windows.attempts", "255"),
        ("[windows]\nidle = 60", "windows.idle", "closed as idle"),
        ("[windows]\nbatch = 1", "windows.batch", "needs federation.relay"),
        ("[windows]\nanswer = 0", "windows.answer", "greater than or equal to 1"),
        ("[windows]\npropose = 4294967295", "windows.challenge", "longer than a contract"),
        ("[fees]\nattester = 1", "reward.pool", "may come to 18"),
        ("[fees]\nrelay = 1\n[reward]\npool = 6", "fees.relay", "needs federation.relay"),
        ("[fees]\nproposer = 1\n[reward]\npool = 7", "reward.pool", "pool = 6"),
        ("[stake]\nrejection_fee = 1", "stake.rejection_fee", "from stake.proposer_bond"),
        ("[stake]\nunavailable_fee = 1", "stake.unavailable_fee", "from stake.stake"),
        ("[stake]\nstake = 1\nunavailable_fee = 1", "windows.unbonding", "takes its stake away"),
        (f"[stake]\nstake = {1 << 96}", "stake.stake", "less than"),
        ("[stake]\nstake = -1", "stake.stake", "greater than or equal to 0"),
        ('[stake]\nstake = "1 euro"', "stake.stake", "unknown unit 'euro'"),
        ('[stake]\nstake = "0.5 wei"', "stake.stake", "whole wei"),
        ("[stake]\nstake = 0.5", "stake.stake", "an amount is an integer of wei"),
        ('[stake]\nstake = "1e999999 ether"', "stake.stake", "an amount is"),
        ('[stake]\nstake = "nan"', "stake.stake", "an amount is"),
        ('[reward]\ntoken = "0x12"', "reward.token", "not an address"),
        (
            '[reward]\ntoken = "0x5fbDB2315678afecb367f032d93F642f64180aa3"',
            "reward.token",
            "checksum is wrong",
        ),
        ("[reward]\npool = 1", "reward.pool", "nothing but fees is ever paid"),
        ("[reward]\nperiod = 6", "reward.period", "longer than the 5"),
        ("[reward]\ntarget = 0", "reward.target", "greater than or equal to 1"),
        ("[stop]\npatience = 1", "stop.patience", "needs evaluation.mode"),
        ('[valuation]\nkind = "exact"', "valuation.kind", "needs evaluation.mode"),
        ('[valuation]\nkind = "banzhaf"', "valuation.kind", "'none', 'leave-one-out' or 'exact'"),
        ("[aggregation]\nstaleness = 256", "aggregation.staleness", "less than 256"),
        ('[aggregation]\nrule = "trimmed-mean"', "aggregation.trim", "such as 0.1"),
        ("[aggregation]\ntrim = 0.1", "aggregation.trim", "only for rule = 'trimmed-mean'"),
        ('[aggregation]\nrule = "median"\ntrim = 0.1', "aggregation.trim", "only for"),
        (
            '[aggregation]\nrule = "trimmed-mean"\ntrim = 0.5',
            "aggregation.trim",
            "less than 0.5",
        ),
        (
            '[aggregation]\nrule = "trimmed-mean"\ntrim = 0.1234567',
            "aggregation.trim",
            "six decimals",
        ),
        ('[evaluation]\nmode = "slices"\nholder = "c"', "evaluation.holder", "one of data.sites"),
        ('[evaluation]\nmode = "slices"\nslices = 4', "evaluation.slices", "fewer than the 5"),
        (BY_SHARDS + 'metric = "log_loss"', "evaluation.metric", "choose accuracy or auc_within"),
        (BY_SHARDS + "rows = 19", "evaluation.rows", "at least 20 rows"),
        (BY_SHARDS + "least_shards = 4", "evaluation.least_shards", "max_participants (3)"),
        (BY_SHARDS + "least_shards = 1", "evaluation.least_shards", "greater than or equal to 2"),
        (BY_SHARDS + "utility_tolerance = 1", "evaluation.utility_tolerance", "exact forward"),
        (BY_SHARDS + "[reward]\nperiod = 1", "reward.period", "only carries counts"),
        ("[aggregation]\nbound = 2048", "aggregation.bound", "2^(31 - fraction_bits)"),
        ("[aggregation]\nbound = 0.03", "aggregation.bound", "statistics of even ten rows"),
        ('[aggregation]\nrule = "krum"', "aggregation.rule", "'fedavg'"),
    ],
)
def test_what_the_contract_would_refuse_is_refused(section: str, key: str, reason: str) -> None:
    error = refused(SMALL + section + "\n")
    assert error.key == key
    assert reason in error.reason


@pytest.mark.parametrize(("mode", "kind"), [("slices", "exact"), ("shards", "leave-one-out")])
def test_rows_that_are_kept_back_are_a_mode_of_their_own(mode: str, kind: str) -> None:
    policy = parse_policy(SMALL + f'[evaluation]\nmode = "{mode}"\n[valuation]\nkind = "{kind}"\n')
    assert policy.slices == policy.training.rounds == 5
    again = Policy.from_record(cbor.decode(cbor.encode(policy.rest_record())))
    assert again == policy


KINDS = get_args(ValuationSection.model_fields["kind"].annotation)


@pytest.mark.parametrize("kind", sorted({*KINDS} - {"leave-one-out"}))
def test_shards_take_leave_one_out_alone(kind: str) -> None:
    """Every kind that a policy can name is tried, so a new one has to be allowed on purpose."""
    error = refused(SMALL + BY_SHARDS + f'[valuation]\nkind = "{kind}"\n')
    assert error.key == "valuation.kind"
    assert "choose leave-one-out" in error.reason
    allowed = parse_policy(SMALL + BY_SHARDS + '[valuation]\nkind = "leave-one-out"\n')
    assert allowed.shard_models == 5 * (3 + 2)


def test_by_shards_one_round_is_too_few() -> None:
    text = SMALL.replace("rounds = 5", "rounds = 1") + BY_SHARDS
    assert refused(text).key == "training.rounds"


def test_top_level_keys() -> None:
    assert refused('release = "best"\n' + SMALL).key == "release"
    assert refused('release = "first"\n' + SMALL).key == "release"
    assert refused('visibility = "nobody"\n' + SMALL).key == "visibility"
    assert parse_policy('visibility = "members"\n' + SMALL).visibility == "members"
    assert parse_policy('release = "best"\n' + MEASURED).release == "best"


KEY = SealingKey.from_seed(bytes(range(32))).public.hex()


@pytest.mark.parametrize(
    ("auditors", "visibility", "key", "reason"),
    [
        (f'["{KEY}"]', "public", "privacy.auditors", "set visibility = 'members'"),
        (f'["{KEY}", "{KEY}"]', "members", "privacy.auditors", "named twice"),
        (f'["{KEY.upper()}"]', "members", "privacy.auditors[0]", "pattern"),
        (f'["{"0" * 64}"]', "members", "privacy.auditors[0]", "not a public key"),
        ('["00"]', "members", "privacy.auditors[0]", "pattern"),
        ("[" + f'"{KEY}", ' * 65 + "]", "members", "privacy.auditors", "at most 64"),
    ],
)
def test_auditors_are_keys_of_a_sealed_federation(
    auditors: str, visibility: str, key: str, reason: str
) -> None:
    error = refused(f'visibility = "{visibility}"\n{SMALL}[privacy]\nauditors = {auditors}\n')
    assert error.key == key
    assert reason in error.reason


def test_a_sealed_federation_has_room_for_everybodys_keys() -> None:
    text = f'visibility = "members"\n{SMALL}[privacy]\nauditors = ["{KEY}"]\n'
    assert parse_policy(text).privacy.auditors == (KEY,)
    many = text.replace("max_participants = 3", "max_participants = 512\ncommittee_size = 512")
    assert refused(many).key in ("federation.max_participants", "federation.committee_size")


def test_exact_values_are_for_twelve_participants_at_most() -> None:
    text = MEASURED.replace("max_participants = 3", "max_participants = 13")
    assert refused(text + '[valuation]\nkind = "exact"\n').key == "valuation.kind"
    parse_policy(text + '[valuation]\nkind = "leave-one-out"\n')


def test_weights_must_stay_below_the_sums_limit() -> None:
    text = SMALL.replace("open = true", "") + "[aggregation]\nweight_cap = 1000000000\n"
    assert refused(text).key == "aggregation.weight_cap"
    parse_policy(text.replace('name = "two"', 'name = "two"\nopen = true'))


@pytest.mark.parametrize(
    ("section", "number", "parameter"),
    [
        ('rule = "fedavg"', 0, 0),
        ('rule = "trimmed-mean"\ntrim = 0.1', 1, 100_000),
        ('rule = "trimmed-mean"\ntrim = 0.333333', 1, 333_333),
        ('rule = "median"', 2, 0),
    ],
)
def test_a_rule_and_its_parameter_reach_the_header(
    section: str, number: int, parameter: int
) -> None:
    policy = parse_policy(SMALL + f"[aggregation]\n{section}\nstaleness = 2\n")
    assert Policy.from_record(policy.rest_record()) == policy
    found = header(policy)
    assert (found.rule, int.from_bytes(found.rule_parameters)) == (number, parameter)
    assert found.staleness == 2


def test_rules_without_sums_are_for_64_participants_at_most() -> None:
    text = SMALL + '[aggregation]\nrule = "median"\n'
    parse_policy(text.replace("max_participants = 3", "max_participants = 64"))
    error = refused(text.replace("max_participants = 3", "max_participants = 65"))
    assert (error.key, "at most 64" in error.reason) == ("aggregation.rule", True)
    parse_policy(SMALL.replace("max_participants = 3", "max_participants = 65"))


def test_a_rule_without_sums_publishes_less_and_computes_longer() -> None:
    costs = [
        predict(parse_policy(SMALL + f'[aggregation]\nrule = "{rule}"\n'), seconds_per_evaluation=0)
        for rule in ("fedavg", "median")
    ]
    leaves = parse_policy(SMALL).leaves()
    assert costs[0].bytes_per_round - costs[1].bytes_per_round == 2 * 1024 * leaves
    assert costs[0].seconds_per_evaluator < costs[1].seconds_per_evaluator


def test_auc_needs_two_classes() -> None:
    text = MEASURED.replace("yes = 1", "yes = 1, maybe = 2") + 'metric = "auc"\n'
    assert refused(text).key == "evaluation.metric"


def test_several_errors_are_counted() -> None:
    text = SMALL.replace("rounds = 5", "rounds = 0\nepochs = 0\nseed = -1")
    assert refused(text).reason.endswith("(and 2 more)")


@pytest.mark.parametrize(
    ("text", "reason"),
    [("[a", "not TOML"), ("a = 1\na = 2", "not TOML"), ("a = " + "[" * 5000, "not TOML")],
)
def test_text_that_is_not_toml(text: str, reason: str) -> None:
    error = refused(text)
    assert (error.key, reason in error.reason) == ("policy", True)


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PolicyError, match="no such file"):
        load_policy(tmp_path / "none.toml")
    with pytest.raises(PolicyError, match="directory"):
        load_policy(tmp_path)
    path = tmp_path / "p.toml"
    path.write_bytes(b"\xff")
    with pytest.raises(PolicyError, match="not UTF-8"):
        load_policy(path)
    path.write_bytes(b'# one\nname = "caf\xe9"\n')
    with pytest.raises(PolicyError, match=r"at byte 17 \(line 2, byte 12 of it\): save it"):
        load_policy(path)
    path.write_bytes("a = 1".encode("utf-16"))
    with pytest.raises(PolicyError, match="is UTF-16 text: save it as UTF-8"):
        load_policy(path)
    monkeypatch.setattr("fednode.policy.load.MOST_BYTES", 0)
    with pytest.raises(PolicyError, match="larger than 0 bytes"):
        load_policy(path)
    with pytest.raises(PolicyError, match="there are digits, heart, mnist"):
        built_in("hearts")
    with pytest.raises(PolicyError):
        built_in("../policies/heart")


def _changed(path: str, value: cbor.Value) -> cbor.Value:
    record: Any = cbor.decode(cbor.encode(parse_policy(SMALL).rest_record()))
    inner = record
    *sections, last = path.split(".")
    for section in sections:
        inner = inner[section]
    if value == "drop":
        del inner[last]
    else:
        inner[last] = value
    found: cbor.Value = record
    return found


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("training.learning_rate", "0.050", "not written canonically"),
        ("training.learning_rate", "nan", "finite"),
        ("training.learning_rate", 1, "not written canonically"),
        ("reward.pool", 0, "not written canonically"),
        ("reward.pool", "0 ether", "not written canonically"),
        ("training.epochs", "drop", "not written canonically"),
        ("training.rounds", "drop", "missing"),
        ("training.rounds", "5", "valid integer"),
        ("training.extra", 1, "unknown key"),
        ("data.sites", 2, "not written canonically"),
        ("windows.batch", 7, "needs federation.relay"),
        ("schema.kind", "drop", "not written canonically"),
        ("schema.kind", "tree", "schema"),
        ("schema", None, "schema"),
    ],
)
def test_a_record_from_the_chain_is_strict(path: str, value: cbor.Value, reason: str) -> None:
    with pytest.raises(PolicyError, match=reason) as caught:
        Policy.from_record(_changed(path, value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("record", [None, 1, [], "x", {}, {"federation": 1}])
def test_records_of_another_kind_are_refused(record: cbor.Value) -> None:
    with pytest.raises(PolicyError):
        Policy.from_record(record)


def test_a_file_that_differs_from_the_chain_is_named_by_key() -> None:
    mine, other = parse_policy(SMALL), parse_policy(SMALL.replace("[0, 120]", "[0, 130]"))
    require_same(mine, parse_policy(SMALL), source="p.toml")
    with pytest.raises(PolicyError, match=r"p.toml: schema\.columns\[0\]\.range\[1\]: differs"):
        require_same(mine, other, source="p.toml")
    longer = parse_policy(SMALL.replace('["a", "b"]', '["a", "b", "c"]'))
    with pytest.raises(PolicyError, match=r"data\.sites: differs"):
        require_same(mine, longer, source="p.toml")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("rounds = 6", "header.rounds"),
        ("rounds = 5\n[aggregation]\nbound = 8", "header.bound"),
        ("rounds = 5\n[windows]\ncommit = 5", "header.commit_window"),
    ],
)
def test_a_header_that_contradicts_its_record_is_refused(change: str, key: str) -> None:
    policy, other = parse_policy(SMALL), parse_policy(SMALL.replace("rounds = 5", change))
    with pytest.raises(PolicyError) as caught:
        require_header(policy, header(other))
    assert caught.value.key == key


def test_windows_that_cannot_hold_the_valuation_are_refused() -> None:
    policy = built_in("heart")
    cost = predict(policy, seconds_per_evaluation=20)
    assert cost.evaluations == 16
    with pytest.raises(PolicyError, match="about 641 s for 16 models") as caught:
        require_windows(policy, cost)
    assert caught.value.key == "windows.propose"


def test_by_shards_participants_measure_each_other_before_they_commit() -> None:
    heart = built_in("heart").rest_record()
    assert isinstance(heart["evaluation"], dict)
    public = predict(Policy.from_record(heart), seconds_per_evaluation=20)
    apart: dict[str, Any] = {
        **heart,
        "evaluation": {**heart["evaluation"], "mode": "shards"},
        "valuation": {"kind": "leave-one-out", "every": 1},
    }
    policy = Policy.from_record(apart)
    cost = predict(policy, seconds_per_evaluation=20)
    assert (cost.evaluations, public.evaluations) == (5, 16)
    assert cost.seconds_per_voter < 2 < public.seconds_per_voter == public.seconds_per_evaluator
    require_windows(policy, cost)
    with pytest.raises(PolicyError, match="about 641 s for 5 models") as caught:
        require_windows(policy, predict(policy, seconds_per_evaluation=64))
    assert caught.value.key == "windows.commit"


def test_a_prediction_counts_the_envelopes_of_sealed_updates() -> None:
    """By what an envelope really takes for two keys of each participant and one of an auditor."""
    keys = [SealingKey.from_seed(number.to_bytes(32, "big")).public for number in range(1, 8)]
    policy = parse_policy(SMALL)
    sealed = policy.model_copy(
        update={"visibility": "members", "privacy": PrivacySection(auditors=(keys[0].hex(),))}
    )
    clear, cost = (predict(each, seconds_per_evaluation=0) for each in (policy, sealed))
    assert (clear.readers, cost.readers) == (0, 7)
    envelope = len(Envelope.seal(bytes(32), keys).encode())
    assert envelope <= cost.bytes_per_update - clear.bytes_per_update <= envelope + 64
    added = cost.bytes_per_round - clear.bytes_per_round
    assert added == (3 + 1) * (cost.bytes_per_update - clear.bytes_per_update)
    assert cost.seconds_per_voter > clear.seconds_per_voter


@given(st.integers(1, 12), st.integers(1, 100_000))
def test_cost_grows_with_participants_and_leaves(players: int, leaves: int) -> None:
    text = MEASURED.replace("max_participants = 3", f"max_participants = {players}")
    text = text.replace("start_participants = 2", "start_participants = 1")
    text = text.replace('["a", "b"]', '["a"]') + '[valuation]\nkind = "exact"\n'
    cost = predict(parse_policy(text), seconds_per_evaluation=0.01, leaves=leaves)
    assert cost.evaluations == 1 << players
    assert cost.seconds_per_evaluator > 0.01 * cost.evaluations
    assert cost.bytes_per_round > (players + 3) * leaves * 1024


def test_an_own_model_needs_its_leaves() -> None:
    policy = parse_policy(SMALL.replace('"logistic"', '"my.module:make"'))
    assert policy.task.own
    found = policy.header(
        1,
        LEDGER,
        initial_model_root=Digest(bytes(32)),
        rest=Digest(bytes(32)),
        leaves=9,
        coordinates=2000,
    )
    assert (found.leaves, found.coordinates) == (9, 2000)
    with pytest.raises(PolicyError, match=r"task\.model: its payload has 1048577 KiB"):
        policy.header(
            1,
            LEDGER,
            initial_model_root=Digest(bytes(32)),
            rest=Digest(bytes(32)),
            leaves=(1 << 20) + 1,
            coordinates=2000,
        )


def test_statistics_can_be_left_out() -> None:
    policy = parse_policy(SMALL)
    assert (policy.numeric_columns, policy.statistics, policy.most_rows) == (1, 3, 4096)
    without = parse_policy(SMALL.replace("public = true", "public = true\nstatistics = false"))
    assert (without.numeric_columns, without.statistics) == (0, 0)


def test_slices_are_not_for_members_alone() -> None:
    error = refused('visibility = "members"\n' + SMALL + '[evaluation]\nmode = "slices"\n')
    assert error.key == "evaluation.mode"
    assert "a slice is opened to everybody" in error.reason
