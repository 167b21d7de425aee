"""Every error of the contracts reads as a sentence."""

import re

import pytest
from eth_abi.abi import encode

from ledger.chain.errors import ContractRejected, Reverted
from ledger.chain.refusals import CONTRACT, LIBRARY, MOMENTS, errors_of, naming_errors
from ledger.plain import dated, distance, ether, moment, span
from ledger.types import ZERO_ADDRESS

AT = 1_780_000_000
"""2026-05-28, a time that no sentence may show as a number."""
SAMPLES: dict[str, object] = {
    "address": ZERO_ADDRESS,
    "bytes32": b"bound".ljust(32, b"\0"),
    "string": "text",
    "enum Phase": 3,
}
ERRORS = [
    (contract, selector, name, inputs)
    for contract in (CONTRACT, LIBRARY)
    for selector, (name, inputs) in errors_of(contract).items()
]


def sample(field: str, kind: str, internal: str) -> object:
    if field in MOMENTS:
        return AT
    return SAMPLES.get(internal, SAMPLES.get(kind, 7))


@pytest.mark.parametrize(
    ("contract", "selector", "name", "inputs"), ERRORS, ids=[f"{e[0]}.{e[2]}" for e in ERRORS]
)
def test_an_error_is_a_sentence(
    contract: str, selector: bytes, name: str, inputs: tuple[tuple[str, str, str], ...]
) -> None:
    data = selector + encode([kind for _, kind, _ in inputs], [sample(*i) for i in inputs])
    kind = ContractRejected if contract == CONTRACT else Reverted
    with pytest.raises(kind) as told, naming_errors():
        raise Reverted(data, "execution reverted")
    text = str(told.value)
    assert re.search(r": .{15,} \(" + name + r"\)$", text), text
    assert not re.search(r"[{}=]|\d{9,}|\w\(", text.replace(ZERO_ADDRESS, "")), text
    if any(field in MOMENTS for field, _, _ in inputs):
        assert "2026-05-28 20:26:40 UTC" in text


def test_other_reverts_stay_as_they_are() -> None:
    with pytest.raises(Reverted, match="of another contract"), naming_errors():
        raise Reverted(b"\1\2\3\4", "of another contract")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (89, "89 s"), (90, "1 min"), (3600, "60 min"), (7200, "2 h"), (172_800, "2 days")],
)
def test_a_span_has_the_unit_that_suits_it(seconds: int, text: str) -> None:
    assert span(seconds) == text
    if seconds:
        assert distance(AT + seconds, AT) == f"in {text}"
        assert distance(AT - seconds, AT) == f"{text} ago"


def test_a_time_that_no_calendar_has_is_told() -> None:
    assert moment(1 << 60) == f"second {1 << 60}"
    assert dated(AT, AT) == "2026-05-28 20:26:40 UTC (now)"


@pytest.mark.parametrize(
    ("wei", "text"),
    [
        (0, "0 ether"),
        (5, "5 wei"),
        (10**9, "0.000000001 ether"),
        (10**18, "1 ether"),
        (1_234 * 10**18 + 1, "1,234.000000000000000001 ether"),
    ],
)
def test_an_amount_is_exact(wei: int, text: str) -> None:
    assert ether(wei) == text
