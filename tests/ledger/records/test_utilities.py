"""Utilities as bytes and as a root."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import merkle, utilities
from ledger.errors import MalformedRecord

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)


@given(st.lists(INT64, max_size=300))
def test_round_trip_and_root(values: list[int]) -> None:
    data = utilities.encode(values)
    assert data == b"".join(v.to_bytes(8, "little", signed=True) for v in values)
    assert utilities.decode(data) == tuple(values)
    leaves = [data[i : i + 1024].ljust(1024, b"\0") for i in range(0, len(data), 1024)]
    assert utilities.root(values) == merkle.root(leaves)


def test_nothing_measured_is_the_root_of_no_leaves() -> None:
    assert utilities.root(()) == merkle.EMPTY_ROOT
    assert utilities.root((0,)) != merkle.EMPTY_ROOT


@pytest.mark.parametrize("value", [1 << 63, -(1 << 63) - 1])
def test_encode_refuses(value: int) -> None:
    with pytest.raises(MalformedRecord, match="coalition 1 beyond int64"):
        utilities.encode([0, value])


@pytest.mark.parametrize("size", [1, 7, 9, 8 * 4096 + 8])
def test_decode_refuses(size: int) -> None:
    with pytest.raises(MalformedRecord, match=f"{size} bytes"):
        utilities.decode(bytes(size))
