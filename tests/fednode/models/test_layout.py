import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fednode.models.errors import TensorError
from fednode.models.layout import (
    STATISTICS,
    Layout,
    TensorKind,
    TensorSpec,
    dequantise,
    quantise,
    with_statistics,
    zeros,
)

INT32 = hnp.from_dtype(np.dtype(np.int32))

shapes = hnp.array_shapes(min_dims=1, max_dims=3, max_side=4)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    parts = draw(st.lists(st.tuples(shapes, st.sampled_from(TensorKind)), min_size=1, max_size=5))
    return Layout(tuple(TensorSpec(f"t{i}", s, kind) for i, (s, kind) in enumerate(parts)))


@given(layouts(), st.data())
def test_unpack_pack_returns_every_travelling_tensor(layout: Layout, data: st.DataObject) -> None:
    tensors = {
        spec.name: data.draw(hnp.arrays(np.int32, spec.shape, elements=INT32))
        for spec in layout.tensors
    }
    payload = layout.pack(tensors)
    assert payload.dtype == np.int32
    assert payload.shape == (layout.size,)
    padded = np.concatenate([payload, np.zeros(layout.leaves * 256 - layout.size, dtype=np.int32)])
    if layout.payload:
        back = layout.unpack(padded)
        assert set(back) == {s.name for s in layout.tensors if s.kind is not TensorKind.PRIVATE}
        assert all(np.array_equal(back[name], tensors[name]) for name in back)
    for coordinate in range(layout.size):
        name, place = layout.locate(coordinate)
        assert tensors[name][place] == payload[coordinate]


def test_private_tensors_have_no_place_and_statistics_come_first() -> None:
    layout = with_statistics(
        (TensorSpec("weight", (1, 5)), TensorSpec("bias", (1,), TensorKind.PRIVATE)), 4
    )
    assert [spec.name for spec in layout.payload] == [STATISTICS, "weight"]
    assert layout.payload[0] == TensorSpec(STATISTICS, (3, 4), TensorKind.CONSTANT, 12)
    assert (layout.size, layout.leaves) == (17, 1)
    assert [spec.name for spec in layout.private] == ["bias"]
    change = layout.pack_update({"weight": np.full((1, 5), 7, dtype=np.int32)})
    assert change.tolist() == [0] * 12 + [7] * 5


def test_updates_write_one_range_statistics_and_shared_tensors() -> None:
    layout = with_statistics(
        (
            TensorSpec("state", (3,), TensorKind.STATE),
            TensorSpec("first", (2,)),
            TensorSpec("mask", (4,), TensorKind.CONSTANT),
            TensorSpec("bias", (7,), TensorKind.PRIVATE),
            TensorSpec("last", (5,)),
        ),
        2,
    )
    names = [STATISTICS, "first", "last", "mask", "state"]
    assert [spec.name for spec in layout.payload] == names
    assert (layout.writable, layout.size) == (6 + 2 + 5, 6 + 2 + 5 + 4 + 3)
    assert layout.locate(layout.writable) == ("mask", (0,))
    assert Layout(layout.tensors[1:]).writable == 7


@given(layouts())
def test_shared_tensors_end_where_writing_ends(layout: Layout) -> None:
    for coordinate in range(layout.size):
        name, _ = layout.locate(coordinate)
        kind = next(spec.kind for spec in layout.tensors if spec.name == name)
        assert (kind is TensorKind.SHARED) == (coordinate < layout.writable)


def test_unpack_returns_copies() -> None:
    layout = Layout((TensorSpec("w", (2,)),))
    payload = np.zeros(2, dtype=np.int32)
    layout.unpack(payload)["w"][0] = 1
    assert payload.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.zeros(3, dtype=np.int32), "4 int32 coordinates"),
        (np.zeros(4, dtype=np.int64), "int64"),
        (np.zeros((2, 2), dtype=np.int32), r"\(2, 2\)"),
    ],
)
def test_unpack_refuses_other_arrays(values: np.ndarray, reason: str) -> None:
    with pytest.raises(TensorError, match=reason):
        Layout((TensorSpec("w", (2, 2)),)).unpack(values)


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({}, "missing"),
        ({"w": np.zeros(3, dtype=np.int32)}, "shape"),
        ({"w": np.zeros(4, dtype=np.float32)}, "float32"),
    ],
)
def test_pack_names_the_tensor_that_does_not_fit(
    tensors: dict[str, np.ndarray], reason: str
) -> None:
    with pytest.raises(TensorError, match=reason) as caught:
        Layout((TensorSpec("w", (4,)),)).pack(tensors)
    assert caught.value.tensor == "w"


def test_layouts_refuse_what_makes_no_sense() -> None:
    with pytest.raises(TensorError, match="twice"):
        Layout((TensorSpec("w", (1,)), TensorSpec("w", (2,))))
    with pytest.raises(TensorError, match="the federation's own"):
        with_statistics((TensorSpec(STATISTICS, (1,)),))
    with pytest.raises(TensorError, match="below 1"):
        TensorSpec("w", (0,))
    with pytest.raises(TensorError, match="fractional bits"):
        TensorSpec("w", (1,), fraction_bits=31)
    with pytest.raises(TensorError, match="no name"):
        TensorSpec("", (1,))
    with pytest.raises(TensorError, match="coordinate 5"):
        Layout((TensorSpec("w", (2,)),)).locate(5)


@given(hnp.arrays(np.int32, 5, elements=INT32), st.integers(0, 30))
def test_quantise_inverts_dequantise(values: np.ndarray, bits: int) -> None:
    assert np.array_equal(quantise("w", dequantise(values, bits), bits), values)


def test_quantise_rounds_half_to_even() -> None:
    halves = np.array([0.5, 1.5, 2.5, -0.5, -1.5, -2.5])
    assert quantise("w", halves, 0).tolist() == [0, 2, 2, 0, -2, -2]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2048.0, -2048.001, 1e308])
def test_quantise_names_the_tensor_and_the_position(bad: float) -> None:
    values = np.zeros((2, 3))
    values[1, 2] = bad
    with pytest.raises(TensorError, match=r"\[1, 2\]") as caught:
        quantise("conv1.weight", values, 20)
    assert caught.value.tensor == "conv1.weight"


def test_quantise_takes_the_ends_of_int32() -> None:
    ends = np.array([-2048.0, 2048.0 - 2.0**-20])
    assert quantise("w", ends, 20).tolist() == [-(2**31), 2**31 - 1]


def test_zeros() -> None:
    made = zeros([TensorSpec("w", (2, 3))])
    assert made["w"].shape == (2, 3)
    assert not made["w"].any()
