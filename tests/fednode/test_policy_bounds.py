"""What is read as a policy can be written and read back; no value in it takes long or much."""

import time
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednode.data.schema import canonical_token, decimal_or_none, plain, writable
from fednode.policy import Policy, PolicyError, load_policy, parse_policy
from ledger import cbor
from tests.fednode.test_policy import SMALL

NINES, ONES = "9" * 500_000, "1" * 500_000

TOO_LARGE = [
    ("quorum", "1e999999999", "federation.quorum"),
    ("quorum", "1e-999999999", "federation.quorum"),
    ("quorum", '"1e-999999999"', "federation.quorum"),
    ("quorum", "0.6" + "0" * 62 + "1", "federation.quorum"),
    ("quorum", "0.6" + "0" * 40 + "1", "federation.quorum"),
    ("quorum", f"0.{ONES}", "federation.quorum"),
    ("quorum", f"0x{NINES}", "federation.quorum"),
    ("quorum", f"0b{ONES}", "federation.quorum"),
    ("quorum", "inf", "federation.quorum"),
    ("quorum", "-nan", "federation.quorum"),
    ("quorum", "[" * 200 + "]" * 200, "policy"),
    ("learning_rate", "1e-64", "training.learning_rate"),
    ("learning_rate", f'"{ONES}"', "training.learning_rate"),
    ("momentum", "1e-70", "training.momentum"),
    ("valuation", "0." + "3" * 63, "data.split.valuation"),
    ("range", "[0, 1e64]", "schema.columns[0].range"),
    ("range", "[-1e999999999, 1]", "schema.columns[0].range"),
    ("bound", "1e999999999", "aggregation.bound"),
    ("bound", "1e63", "aggregation.bound"),
    ("trim", "1e-999999999", "aggregation.trim"),
    ("alpha", "1e-999999999", "data.partition.alpha"),
    ("pool", '"1e999999999 ether"', "reward.pool"),
    ("pool", f'"{"1" * 1000} ether"', "reward.pool"),
    ("pool", f"0x{NINES}", "reward.pool"),
    ("pool", "1e999999999", "reward.pool"),
    ("epochs", f"0x{NINES}", "training.epochs"),
    ("seed", str(1 << 63), "data.split.seed"),
    ("commit", str(1 << 32), "windows.commit"),
    ("rows", str(1 << 32), "data.rows"),
    ("hidden", f"[{1 << 63}]", "task.options.hidden"),
    ("hidden", "[30000, 30000]", "task.model"),
    ("measured", str(1 << 21), "evaluation.rows"),
    ("slices", str(1 << 31), "evaluation.slices"),
    ("codes", f'["{ONES}"]', "schema.columns"),
]
PLACES = {
    "quorum": ("start_participants = 2", "start_participants = 2\nquorum = {}"),
    "learning_rate": ("rounds = 5", "rounds = 5\nlearning_rate = {}"),
    "momentum": ("rounds = 5", "rounds = 5\nmomentum = {}"),
    "epochs": ("rounds = 5", "rounds = 5\nepochs = {}"),
    "valuation": ("[training]", "[data.split]\nvaluation = {}\n[training]"),
    "seed": ("[training]", "[data.split]\nseed = {}\n[training]"),
    "alpha": ("[training]", '[data.partition]\nkind = "dirichlet"\nalpha = {}\n[training]'),
    "range": ("range = [0, 120]", "range = {}"),
    "rows": ("[training]", 'partition = {{ kind = "iid" }}\nrows = {}\n[training]'),
    "codes": ("range = [0, 120]", "range = [0, 120]\nmissing = {}"),
    "hidden": ('model = "logistic"', 'model = "mlp"\noptions = {{ hidden = {} }}'),
}
SECTIONS = {
    "bound": "[aggregation]\nbound = {}",
    "trim": '[aggregation]\nrule = "trimmed-mean"\ntrim = {}',
    "pool": "[reward]\npool = {}",
    "commit": "[windows]\ncommit = {}",
    "measured": '[evaluation]\nmode = "public"\nrows = {}',
    "slices": '[evaluation]\nmode = "slices"\nslices = {}',
}


def written(where: str, value: str) -> str:
    if where in SECTIONS:
        return f"{SMALL}\n{SECTIONS[where].format(value)}\n"
    before, after = PLACES[where]
    assert before in SMALL, where
    return SMALL.replace(before, after.format(value), 1)


def refused_at_once(text: str) -> PolicyError:
    """Require that a text is refused within a moment; gigabytes would take longer."""
    started = time.process_time()
    with pytest.raises(PolicyError) as caught:
        parse_policy(text)
    assert time.process_time() - started < 2
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    return caught.value


@pytest.mark.parametrize(("where", "value", "key"), TOO_LARGE)
def test_a_value_beyond_its_limit_is_refused_at_once(where: str, value: str, key: str) -> None:
    assert refused_at_once(written(where, value)).key.startswith(key)


@pytest.mark.parametrize(
    "text",
    [
        f"x = {ONES}",
        "x = " + "[" * 400_000,
        "x = " + "{a=" * 10_000,
        "a" + ".a" * 400_000 + " = 1",
        '"a,"' + '."a,"' * 100_000 + " = 1",
        "\n".join(f"x{index}" + ".a" * 7 + " = 1" for index in range(50_000)),
        "x = [" + "1," * 400_000 + "]",
        '"\\"' * 200_000,
        "a" * 900_000,
        f'x = "{ONES}"',
    ],
)
def test_a_text_of_any_shape_is_refused_at_once(text: str) -> None:
    refused_at_once(f"{SMALL}\n{text}\n")


NUMBERS = st.one_of(
    st.from_regex(r"-?[0-9]{1,70}(\.[0-9]{1,70})?([eE][+-]?[0-9]{1,10})?", fullmatch=True),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
)


@given(NUMBERS, st.sampled_from(["learning_rate", "momentum", "range", "bound", "quorum"]))
def test_what_is_accepted_comes_back_from_its_record(number: str, where: str) -> None:
    value = f'[-1, "{number}"]' if where == "range" else f'"{number}"'
    try:
        policy = parse_policy(written(where, value))
    except PolicyError:
        return
    record = cbor.decode(cbor.encode(policy.rest_record()))
    assert Policy.from_record(record) == policy


@given(NUMBERS)
def test_a_writable_number_is_read_back(text: str) -> None:
    number = Decimal(text)
    if writable(number):
        found = decimal_or_none(plain(number))
        assert found == number
        assert plain(found) == plain(number)
    token = canonical_token(text)
    assert canonical_token(token) == token


@pytest.mark.parametrize("name", ["\u00e9", "e\u0301", "𝔘", "a" * 100])
def test_names_come_back_as_they_were_written(name: str) -> None:
    policy = parse_policy(SMALL.replace('name = "two"', f'name = "{name}"'))
    record = cbor.decode(cbor.encode(policy.rest_record()))
    assert Policy.from_record(record).federation.name == name


def test_a_byte_order_mark_is_no_part_of_a_policy(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(SMALL, encoding="utf-8-sig", newline="\r\n")
    assert load_policy(path) == parse_policy(SMALL)


def test_a_blank_name_is_refused() -> None:
    with pytest.raises(PolicyError, match=r"federation\.name: must not be blank"):
        parse_policy(SMALL.replace('name = "two"', 'name = "  "'))


@pytest.mark.parametrize(
    ("key", "name"),
    [
        *(("federation.name", rf"\u{code}") for code in ("0007", "200b", "202e", "feff", "00a0")),
        ("schema.label.names[0]", r"\u0007"),
        ("schema.label.column", r"\u007f"),
    ],
)
def test_unprintable_names_are_refused_in_the_same_words(key: str, name: str) -> None:
    before, after = {
        "federation.name": ('name = "two"', f'name = "{name}"'),
        "schema.label.names[0]": ('column = "ill"', f'column = "ill"\nnames = ["{name}", "b"]'),
        "schema.label.column": ('column = "ill"', f'column = "{name}"'),
    }[key]
    with pytest.raises(PolicyError) as refused:
        parse_policy(SMALL.replace(before, after))
    assert refused.value.key == key
    words = f"must be one line of printable characters: character 1 is U+{name[2:].upper()}"
    assert refused.value.reason.startswith(words)
