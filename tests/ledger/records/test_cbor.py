"""dag-cbor records: Kubo's encodings, round trips, and hostile bytes."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from dag_cbor.decoding import CBORDecodingError
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import cbor
from ledger.cid import CID, Codec
from ledger.errors import MalformedRecord

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "kubo.json").read_text())
LINK = CID.of(Codec.RAW, b"")
TAGGED = bytes.fromhex("d82a582500") + LINK.to_bytes()

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
CIDS = st.builds(CID.of, st.sampled_from(Codec), st.binary(max_size=4))
SCALARS = st.none() | st.booleans() | INT64 | st.text() | st.binary() | CIDS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def from_dag_json(value: object) -> cbor.Value:
    """Read dag-json, where {"/": text} is a link and {"/": {"bytes": base64}} is bytes."""
    if isinstance(value, list):
        return [from_dag_json(item) for item in value]
    if not isinstance(value, dict):
        assert value is None or isinstance(value, bool | int | str)
        return value
    if set(value) != {"/"}:
        return {key: from_dag_json(item) for key, item in value.items()}
    inner = value["/"]
    return CID.parse(inner) if isinstance(inner, str) else bytes(range(5))


@pytest.mark.parametrize(
    "case", [c for c in VECTORS["dag_cbor"] if c["name"] != "float"], ids=lambda c: c["name"]
)
def test_records_have_kubos_bytes_and_cid(case: dict[str, Any]) -> None:
    value = from_dag_json(json.loads(case["dag_json"]))
    data = cbor.encode(value)
    assert data.hex() == case["hex"]
    assert cbor.decode(data) == value
    assert str(CID.of(Codec.DAG_CBOR, data)) == case["cid"]


def test_kubos_floats_are_refused() -> None:
    case = next(c for c in VECTORS["dag_cbor"] if c["name"] == "float")
    with pytest.raises(MalformedRecord, match="float"):
        cbor.decode(bytes.fromhex(case["hex"]))
    with pytest.raises(MalformedRecord, match="float has no place"):
        cbor.encode(json.loads(case["dag_json"]))


@given(VALUES)
def test_round_trip(value: cbor.Value) -> None:
    assert cbor.decode(cbor.encode(value)) == value


@given(st.dictionaries(st.text(max_size=3), INT64, max_size=6), st.randoms())
def test_a_maps_order_does_not_matter(value: dict[str, int], rng: random.Random) -> None:
    items = list(value.items())
    rng.shuffle(items)
    assert cbor.encode(dict(items)) == cbor.encode(value)


def _head(major: int, length: int) -> bytes:
    return bytes([major << 5 | 27]) + length.to_bytes(8, "big")


BAD = [
    ("", "an item is missing at 0"),
    ("18", "a length is cut off"),
    ("1b00000001000000", "a length is cut off"),
    ("1817", "23 is not in its shortest form"),
    ("1900ff", "255 is not in its shortest form"),
    ("1a0000ffff", "65535 is not in its shortest form"),
    ("1b00000000ffffffff", "4294967295 is not in its shortest form"),
    ("3817", "23 is not in its shortest form"),
    ("5801ff", "1 is not in its shortest form"),
    ("780161", "1 is not in its shortest form"),
    ("9801f6", "1 is not in its shortest form"),
    ("b801616100", "1 is not in its shortest form"),
    ("d9002a" + TAGGED.hex()[4:], "42 is not in its shortest form"),
    ("1b8000000000000000", "9223372036854775808 at 0 does not fit 64 bits signed"),
    ("3b8000000000000000", "9223372036854775808 at 0 does not fit 64 bits signed"),
    ("5f40ff", "indefinite"),
    ("7f60ff", "indefinite"),
    ("9fff", "indefinite"),
    ("bfff", "indefinite"),
    ("1c", "indefinite or reserved"),
    ("1f", "indefinite or reserved"),
    ("f0", "float or unknown simple"),
    ("f7", "float or unknown simple"),
    ("f814", "float or unknown simple"),
    ("f820", "float or unknown simple"),
    ("f93c00", "float"),
    ("fa3f800000", "float"),
    ("fb3ff0000000000000", "float"),
    ("ff", "float or unknown simple"),
    ("0000", "1 bytes after the value"),
    ("a0f6", "1 bytes after the value"),
    ("a1", "2 items announced at 1"),
    ("a16161", "an item is missing at 3"),
    ("8201", "2 items announced at 1"),
    ("a10000", "(?i)key"),
    ("a14000", "(?i)key"),
    ("a1f600", "(?i)key"),
    ("a2616101616102", "(?i)duplicate"),
    ("a2616201616102", "(?i)order"),
    ("a262616101616202", "(?i)order"),
    ("4261", "1 bytes are missing"),
    ("6261", "1 bytes are missing"),
    ("61ff", "(?i)utf|unicode"),
    ("63eda080", "(?i)utf|unicode"),
    ("62c080", "(?i)utf|unicode"),
    ("c000", "tag 0 has no place"),
    ("c11a514b67b0", "tag 1 has no place"),
    ("d82b" + TAGGED.hex()[4:], "tag 43 has no place"),
    ("d82a", "a link at 2 is not 37 bytes"),
    ("d82a00", "a link at 2 is not 37 bytes"),
    ("d82a40", "a link at 2 is not 37 bytes"),
    ("d82a4100", "a link at 2 is not 37 bytes"),
    ("d82a6161", "a link at 2 is not 37 bytes"),
    ("d82ad82a" + TAGGED.hex(), "a link at 2 is not 37 bytes"),
    ("d82a7825" + TAGGED.hex()[8:], "a link at 2 is not 37 bytes"),
    ("d82a582401551220" + "00" * 31, "a link at 2 is not 37 bytes"),
    ("d82a582501" + LINK.to_bytes().hex(), "a link at 2 is not 37 bytes"),
    (TAGGED.hex()[:-2], "malformed CID: 35 bytes"),
    ("d82a58250001701220" + "00" * 32, "prefix 01701220"),
    ("d82a58250001551320" + "00" * 32, "prefix 01551320"),
    ("d82a58250081005512" + "20" + "00" * 31, "prefix 81005512"),
    (_head(2, (1 << 63) - 1).hex(), "bytes are missing"),
    (_head(3, 1 << 40).hex(), "bytes are missing"),
    (_head(4, (1 << 63) - 1).hex(), "items announced"),
    (_head(5, 1 << 62).hex(), "items announced"),
    (_head(2, (1 << 64) - 1).hex(), "does not fit"),
]


@pytest.mark.parametrize(("text", "reason"), BAD)
def test_decode_refuses(text: str, reason: str) -> None:
    with pytest.raises(MalformedRecord, match=reason):
        cbor.decode(bytes.fromhex(text))


def test_what_the_library_says_becomes_a_line_of_bounded_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its texts quote hostile bytes, and end in logs."""

    def refuse(_: bytes) -> None:
        raise CBORDecodingError("a\n  bc " * 100)

    monkeypatch.setattr("ledger.cbor.dag_cbor.decode", refuse)
    with pytest.raises(MalformedRecord) as refused:
        cbor.decode(b"\x00")
    assert refused.value.reason == "a bc " * 60


@pytest.mark.parametrize("opening", [b"\x81", b"\xa1\x61a"])
@pytest.mark.parametrize("depth", [33, 1_000, 100_000])
def test_deep_nesting_is_refused(opening: bytes, depth: int) -> None:
    with pytest.raises(MalformedRecord, match="nested deeper than 32"):
        cbor.decode(opening * depth + b"\xf6")


def test_nesting_up_to_the_limit_is_read_and_written() -> None:
    data = b"\x81" * cbor.MAX_DEPTH + b"\xf6"
    assert cbor.encode(cbor.decode(data)) == data
    with pytest.raises(MalformedRecord, match="deeper"):
        cbor.encode([cbor.decode(data)])


def test_encode_refuses_endless_nesting() -> None:
    endless: list[cbor.Value] = []
    endless.append(endless)
    with pytest.raises(MalformedRecord, match="deeper"):
        cbor.encode(endless)


def test_the_size_is_bounded() -> None:
    assert cbor.decode(cbor.encode(b"x" * 10), limit=11) == b"x" * 10
    with pytest.raises(MalformedRecord, match="11 bytes, at most 10"):
        cbor.decode(cbor.encode(b"x" * 10), limit=10)
    with pytest.raises(MalformedRecord, match="at most 1048576"):
        cbor.decode(b"\x5a\x00\x10\x00\x00" + bytes(1 << 20))
    with pytest.raises(MalformedRecord, match="at most 1048576"):
        cbor.encode(bytes(1 << 20))
    with pytest.raises(MalformedRecord, match="over 65536 items"):
        cbor.encode([None] * cbor.MAX_ITEMS)


def test_numbers_of_items_and_links_are_bounded() -> None:
    for items, data in [
        (cbor.MAX_ITEMS - 1, b"\xf6"),
        (cbor.MAX_LINKS, TAGGED),
    ]:
        head = b"\x99" + items.to_bytes(2, "big")
        assert cbor.decode(head + data * items) == [cbor.decode(data)] * items
        with pytest.raises(MalformedRecord, match="over 65536 items or 4096 links"):
            cbor.decode(b"\x82" + data + head + data * items)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (1.0, "float has no place"),
        ([float("nan")], "float has no place"),
        ({1: 2}, "keys are text"),
        ({"a": {3}}, "set has no place"),
        (1 << 63, "decimal text"),
        (-(1 << 63) - 1, "decimal text"),
        ("\ud800", "unicode"),
        ({"\ud800": 1}, "unicode"),
    ],
)
def test_encode_refuses(value: cbor.Value, reason: str) -> None:
    with pytest.raises(MalformedRecord, match=reason):
        cbor.encode(value)


@settings(max_examples=300)
@given(st.binary(max_size=64))
def test_any_bytes_are_one_value_or_an_error(data: bytes) -> None:
    try:
        value = cbor.decode(data)
    except MalformedRecord:
        return
    assert cbor.encode(value) == data


@settings(max_examples=300)
@given(VALUES, st.integers(0, 1 << 16), st.integers(0, 7))
def test_an_altered_record_is_another_value_or_an_error(
    value: cbor.Value, where: int, bit: int
) -> None:
    data = bytearray(cbor.encode(value))
    data[where % len(data)] ^= 1 << bit
    try:
        other = cbor.decode(bytes(data))
    except MalformedRecord:
        return
    assert cbor.encode(other) == data
    assert other != value or type(other) is not type(value)


@given(VALUES, st.integers(0, 1 << 16))
def test_a_truncated_record_is_an_error(value: cbor.Value, cut: int) -> None:
    data = cbor.encode(value)
    with pytest.raises(MalformedRecord):
        cbor.decode(data[: cut % len(data)])


RECORD = cbor.encode({"a": 1, "b": True, "c": [LINK]})


def test_maps_with_known_keys() -> None:
    record = cbor.decode_map(RECORD, "record", ("a", "b", "c"))
    assert cbor.field(record, "a", int, kind="record") == 1
    assert cbor.field(record, "b", bool, kind="record") is True
    assert cbor.field(record, "c", list, kind="record") == [LINK]


@pytest.mark.parametrize(
    ("data", "keys", "reason"),
    [
        (RECORD, ("a", "b"), "malformed record: keys missing or unknown: c"),
        (RECORD, ("a", "b", "c", "d"), "malformed record: keys missing or unknown: d"),
        (cbor.encode([1]), ("a",), "expected a map, found list"),
    ],
)
def test_decode_map_refuses(data: bytes, keys: Sequence[str], reason: str) -> None:
    with pytest.raises(MalformedRecord, match=reason):
        cbor.decode_map(data, "record", keys)


@pytest.mark.parametrize(("name", "type_"), [("b", int), ("a", bool), ("a", str), ("z", int)])
def test_field_refuses_other_types(name: str, type_: type) -> None:
    record = cbor.decode(RECORD)
    assert isinstance(record, Mapping)
    with pytest.raises(MalformedRecord, match=f"{name} must be {type_.__name__}"):
        cbor.field(record, name, type_, kind="record")


# -- the readers of fields

READERS: dict[str, Callable[[Mapping[str, cbor.Value]], object]] = {
    "integer": lambda r: cbor.integer(r, "x", kind="k"),
    "integer in bounds": lambda r: cbor.integer(r, "x", kind="k", least=-2, most=3),
    "integers": lambda r: cbor.integers(r, "x", kind="k"),
    "integers in bounds": lambda r: cbor.integers(r, "x", kind="k", least=-2, most=3),
    "string": lambda r: cbor.string(r, "x", 2, 4, kind="k"),
    "strings": lambda r: cbor.strings(r, "x", 2, kind="k"),
    "link": lambda r: cbor.link(r, "x", Codec.RAW, kind="k"),
    "links": lambda r: cbor.links(r, "x", Codec.RAW, kind="k"),
}
RECORD_LINK = CID.of(Codec.DAG_CBOR, b"")
MOST = (1 << 63) - 1


@pytest.mark.parametrize(
    ("reader", "value"),
    [
        *(("integer", value) for value in (0, 1, MOST)),
        *(("integer in bounds", value) for value in (-2, 0, 3)),
        *(("integers", value) for value in ([], [0, MOST], [7, 7])),
        ("integers in bounds", [-2, 3]),
        *(("string", value) for value in (b"12", b"1234")),
        *(("strings", value) for value in ([], [b"12", b"34"])),
        ("link", LINK),
        *(("links", value) for value in ([], [LINK, LINK])),
    ],
)
def test_a_field_that_fits_is_read(reader: str, value: cbor.Value) -> None:
    expected = tuple(value) if isinstance(value, list) else value
    assert READERS[reader]({"x": value, "y": 5}) == expected


@pytest.mark.parametrize(
    ("reader", "value", "reason"),
    [
        ("integer", -1, f"x must be from 0 to {MOST}, found -1"),
        ("integer", MOST + 1, f"x must be from 0 to {MOST}, found {MOST + 1}"),
        ("integer", True, "x must be int, found bool"),
        ("integer in bounds", -3, "x must be from -2 to 3, found -3"),
        ("integer in bounds", 4, "x must be from -2 to 3, found 4"),
        *(
            ("integers", value, f"x must be numbers from 0 to {MOST}")
            for value in ([0, -1], [MOST + 1, 0], [0, True], [b"1"])
        ),
        ("integers", 5, "x must be list, found int"),
        *(
            ("integers in bounds", value, "x must be numbers from -2 to 3")
            for value in ([0, -3], [4, 0])
        ),
        *(
            ("string", value, f"x must have 2 or 4 bytes, found {len(value)}")
            for value in (b"", b"1", b"123", b"12345")
        ),
        ("string", "12", "x must be bytes, found str"),
        *(
            ("strings", value, "x must be strings of 2 bytes")
            for value in ([b"12", b"1"], [b"123", b"12"], [b"12", "12"])
        ),
        ("link", RECORD_LINK, "x must be a raw link"),
        ("link", b"1", "x must be CID, found bytes"),
        *(
            ("links", value, "x must be raw links")
            for value in ([LINK, RECORD_LINK], [RECORD_LINK, LINK], [b"1"])
        ),
        ("links", LINK, "x must be list, found CID"),
    ],
)
def test_a_field_that_does_not_fit_is_refused(reader: str, value: cbor.Value, reason: str) -> None:
    with pytest.raises(MalformedRecord) as refused:
        READERS[reader]({"x": value})
    assert str(refused.value) == f"malformed k: {reason}"


def test_the_widest_numbers_are_written_and_read() -> None:
    for value in (-(1 << 63), MOST):
        assert cbor.decode(cbor.encode(value)) == value
