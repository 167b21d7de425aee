"""Headers mirror the Solidity structs and encode as `abi.encode` does."""

import re
from dataclasses import fields, replace
from enum import IntEnum
from pathlib import Path
from typing import Any, cast

import pytest
from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from ledger import words
from ledger.cid import Codec
from ledger.errors import MalformedRecord
from ledger.headers import (
    POLICY_TAG,
    RESULT_TAG,
    UPDATE_TAG,
    Common,
    Evaluation,
    PolicyHeader,
    ResultHeader,
    Rule,
    UpdateHeader,
    Valuation,
    Visibility,
    federation_id,
)
from ledger.types import ZERO_ADDRESS, Address, Digest
from ledger.words import AddressType, BoolType, Bytes32Type, Integer
from tests.ledger.chain.samples import policy

SOLIDITY = Path(__file__).parents[3] / "contracts" / "src" / "Headers.sol"
Header = PolicyHeader | UpdateHeader | ResultHeader
HEADERS: list[type[Header]] = [PolicyHeader, UpdateHeader, ResultHeader]
SIZES = {PolicyHeader: 53 * 32, UpdateHeader: 13 * 32, ResultHeader: 18 * 32}


def solidity_structs() -> dict[str, list[tuple[str, str]]]:
    source = SOLIDITY.read_text()
    bodies = re.findall(r"struct (\w+) \{(.*?)\}", source, flags=re.DOTALL)
    return {name: re.findall(r"(\w+) (\w+);", body) for name, body in bodies}


def solidity_type(word: object) -> str:
    if isinstance(word, Integer):
        return f"{'int' if word.signed else 'uint'}{word.bits}"
    if isinstance(word, type):
        return word.__name__
    return {Bytes32Type: "bytes32", AddressType: "address", BoolType: "bool"}[type(word)]


def snake(name: str) -> str:
    return re.sub(r"([A-Z])", lambda match: "_" + match[1].lower(), name)


@pytest.mark.parametrize("struct", [Common, *HEADERS], ids=lambda s: s.__name__)
def test_fields_are_the_solidity_structs(struct: type) -> None:
    expected = [(snake(name), kind) for kind, name in solidity_structs()[struct.__name__]]
    assert [(name, solidity_type(word)) for name, word in words.layout(struct)] == expected


def test_tags_are_the_solidity_constants() -> None:
    source = SOLIDITY.read_text()
    tags = {"POLICY_TAG": POLICY_TAG, "UPDATE_TAG": UPDATE_TAG, "RESULT_TAG": RESULT_TAG}
    for name, tag in tags.items():
        match = re.search(rf'{name} = keccak256\("(.*?)"\)', source)
        assert match is not None
        assert tag == keccak(text=match[1])


def test_the_numbers_of_choices_are_the_contracts() -> None:
    source = (SOLIDITY.parent / "libraries" / "Policies.sol").read_text()
    written = dict(re.findall(r"uint8 internal constant (\w+) = (\d+);", source))
    enums = (Rule, Valuation, Visibility, Evaluation)
    named = [choice for enum in enums for choice in enum if choice.name in written]
    assert {choice: int(written[choice.name]) for choice in named} == {c: c.value for c in named}
    # The contract knows the zeros by no name.
    assert [[choice.value for choice in enum] for enum in enums] == [
        list(range(len(enum))) for enum in enums
    ]


def values_of(word: object) -> st.SearchStrategy[Any]:
    if isinstance(word, Integer):
        low = -(1 << word.bits - 1) if word.signed else 0
        return st.integers(low, low + (1 << word.bits) - 1)
    if isinstance(word, BoolType):
        return st.booleans()
    if isinstance(word, AddressType):
        return st.binary(min_size=20, max_size=20).map(lambda b: word.unpack(bytes(12) + b))
    return st.binary(min_size=32, max_size=32)


@st.composite
def headers(draw: st.DrawFn, kinds: list[type[Header]] = HEADERS) -> Header:
    cls = draw(st.sampled_from(kinds))
    common = Common(*(draw(values_of(word)) for _, word in words.layout(Common)))
    rest: list[Any] = [draw(values_of(word)) for _, word in words.layout(cls)[1:]]
    return cls(replace(common, tag=cls.TAG), *rest)


@given(headers())
def test_round_trip_and_eth_abi(header: Header) -> None:
    data = header.encode()
    assert type(header).decode(data) == header
    assert len(data) == SIZES[type(header)]
    types, values = [], []
    for struct, source in ((Common, header.common), (type(header), header)):
        for name, word in words.layout(struct):
            if not isinstance(word, type):
                types.append(solidity_type(word))
                values.append(getattr(source, name))
    assert data == abi_encode(types, values)


@given(headers())
def test_a_header_is_a_raw_block(header: Header) -> None:
    cid = header.cid()
    assert (cid.codec, cid.digest) == (Codec.RAW, header.digest())
    assert cid.names(header.encode())


@given(headers(), st.integers(0, 1 << 16), st.integers(1, 255))
def test_an_altered_header_is_another_header_or_an_error(
    header: Header, where: int, flip: int
) -> None:
    data = bytearray(header.encode())
    data[where % len(data)] ^= flip
    try:
        other = type(header).decode(bytes(data))
    except MalformedRecord:
        return
    assert other.encode() == data
    assert other != header


@given(headers(), st.binary(max_size=3000))
def test_any_other_bytes_are_an_error(header: Header, data: bytes) -> None:
    with pytest.raises(MalformedRecord):
        type(header).decode(data)


@pytest.mark.parametrize("cls", HEADERS)
@pytest.mark.parametrize("change", [-1, 1, -32, 32])
def test_a_header_has_one_length(cls: type[Header], change: int) -> None:
    size = SIZES[cls] + change
    with pytest.raises(MalformedRecord, match=f"{cls.KIND}: {size} bytes, expected {SIZES[cls]}"):
        cls.decode((bytes(cls.TAG) + bytes(SIZES[cls]))[:size])


def test_no_kind_is_read_as_another() -> None:
    for cls in HEADERS:
        for other in HEADERS:
            data = bytes(other.TAG) + bytes(SIZES[cls] - 32)
            if other is cls:
                assert cls.decode(data).encode() == data
                continue
            with pytest.raises(MalformedRecord, match="of another kind"):
                cls.decode(data)


ZERO = UpdateHeader.decode(bytes(UPDATE_TAG) + bytes(12 * 32))
RESULT = ResultHeader.decode(bytes(RESULT_TAG) + bytes(17 * 32))


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (replace(ZERO, participant=1 << 32), "participant: 4294967296 does not fit uint32"),
        (replace(ZERO, participant=-1), "participant: -1 does not fit uint32"),
        (replace(ZERO, participant=True), "participant: True is not an integer"),
        (replace(ZERO, dataset=cast(int, 1.5)), "dataset: 1.5 is not an integer"),
        (replace(ZERO, base=Digest(b"short")), "base: b'short' is not 32 bytes"),
        (replace(ZERO, common=replace(ZERO.common, tag=RESULT_TAG)), "tag"),
        (replace(ZERO, common=replace(ZERO.common, ledger=Address("0x12"))), "ledger: '0x12'"),
        (replace(RESULT, gain=1 << 63), "gain: .* does not fit int64"),
        (replace(RESULT, stop=cast(bool, 1)), "stop: 1 is not a bool"),
    ],
)
def test_encode_names_the_field(header: Header, reason: str) -> None:
    with pytest.raises(MalformedRecord, match=reason):
        header.encode()


def test_padding_is_canonical() -> None:
    data = bytearray(RESULT.encode())
    data[-1] = 2
    with pytest.raises(MalformedRecord, match="stop: a bool is neither 0 nor 1"):
        ResultHeader.decode(bytes(data))
    data = bytearray(RESULT.encode())
    data[2 * 32] = 1
    with pytest.raises(MalformedRecord, match="ledger: an address has nonzero padding"):
        ResultHeader.decode(bytes(data))


def test_negative_gains_are_sign_extended() -> None:
    data = replace(RESULT, gain=-2).encode()
    at = 32 * (6 + [f.name for f in fields(ResultHeader)].index("gain") - 1)
    assert data[at : at + 32] == b"\xff" * 31 + b"\xfe"


def test_federation_id() -> None:
    ledger, creator = Address("0x" + "11" * 20), Address("0x" + "22" * 20)
    policy, salt = Digest(b"\x33" * 32), Digest(b"\x44" * 32)
    packed = abi_encode(
        ["uint256", "address", "address", "bytes32", "bytes32"],
        [31337, ledger, creator, policy, salt],
    )
    found = federation_id(31337, ledger, creator=creator, policy=policy, salt=salt)
    assert found == keccak(packed)


# -- what a policy's header says of fees and periods


POLICY = policy(1, ZERO_ADDRESS)


@pytest.mark.parametrize(("statistics", "results"), [(0, 7), (1, 8), (5, 8)])
def test_each_result_reserves_its_fees(statistics: int, results: int) -> None:
    header = replace(
        POLICY,
        rounds=7,
        statistics=statistics,
        committee_size=3,
        proposer_fee=100,
        attester_fee=10,
        relay_fee=1,
        pool=1_000,
    )
    assert header.reserve == results * 131
    assert header.purse == 1_000 - results * 131


def test_a_committee_is_drawn_if_not_all_fit_in() -> None:
    header = replace(POLICY, committee_size=3)
    assert [known for known in range(6) if header.draws(known)] == [4, 5]


@pytest.mark.parametrize(
    ("every", "ends"), [(0, [7]), (1, [1, 2, 3, 4, 5, 6, 7]), (3, [3, 6, 7]), (7, [7]), (9, [7])]
)
def test_a_period_ends_every_so_often_and_with_the_last_result(every: int, ends: list[int]) -> None:
    header = replace(POLICY, rounds=7, reward_period=every)
    assert [trained for trained in range(8) if header.ends_period(trained)] == ends


NUMBERS: dict[type[IntEnum], list[str]] = {
    Rule: ["WEIGHTED_MEAN", "TRIMMED_MEAN", "MEDIAN"],
    Valuation: ["NONE", "LEAVE_ONE_OUT", "EXACT"],
    Visibility: ["PUBLIC", "MEMBERS"],
    Evaluation: ["NONE", "PUBLIC", "SLICES", "SHARDS"],
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_choices_keep_their_numbers(kind: type[IntEnum]) -> None:
    """Policies on chains hold them."""
    found = {name: int(member) for name, member in kind.__members__.items()}
    assert found == {name: number for number, name in enumerate(NUMBERS[kind])}
