"""Encoding of cells and images: exact, and against a plain float reference."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednode.data.errors import SchemaMismatch
from fednode.data.fixed import MISSING, ONE, divide_half_even, half_even
from fednode.data.schema import (
    Column,
    ImageSchema,
    Label,
    TableSchema,
    canonical_token,
    decimal_or_none,
    plain,
)
from fednode.data.table import (
    RawImages,
    RawTable,
    Table,
    encode_images,
    encode_number,
    encode_table,
)

SCHEMA = TableSchema.model_validate(
    {
        "columns": [
            {"name": "age", "unit": "years", "type": "numeric", "range": [0, 100]},
            {"name": "sex", "type": "category", "codes": [0, 1]},
            {"name": "chol", "type": "numeric", "range": [50, 700], "missing": [0]},
        ],
        "label": {"column": "num", "codes": {"0": 0, "1": 1, "2": 1}},
    }
)
COLUMNS = ("age", "sex", "chol", "num")


def encode(*rows: tuple[str, ...], columns: tuple[str, ...] = COLUMNS) -> Table:
    return encode_table(SCHEMA, RawTable(columns, rows), site="a", group=3)


def test_schema_describes_the_encoded_row() -> None:
    assert SCHEMA.feature_names == ("age", "sex=0", "sex=1", "chol")
    assert (SCHEMA.features, SCHEMA.shape, SCHEMA.numeric) == (4, (4,), (0, 3))
    assert (SCHEMA.classes, SCHEMA.class_names) == (2, ("0", "1"))


def test_encode_table_places_values_codes_and_missing_ones() -> None:
    table = encode(("50", "1.0", "0", "0"), ("25.0", "?", "700", "2"))
    assert table.features.tolist() == [
        [ONE // 2, 0, ONE, MISSING],
        [ONE // 4, 0, 0, ONE],
    ]
    assert table.features.dtype == np.int32
    assert table.labels.tolist() == [0, 1]
    assert table.groups.tolist() == [3, 3]
    assert not table.held.any()


def test_encode_table_takes_columns_by_name() -> None:
    mixed = encode(("2", "x", "1", "50", "?"), columns=("num", "id", "sex", "age", "chol"))
    assert mixed.features.tolist() == encode(("50", "1", "?", "2")).features.tolist()


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        (("101", "1", "60", "0"), "age", "outside the schema's range 0 to 100 years"),
        (("-0.001", "1", "60", "0"), "age", "outside"),
        (("nan", "1", "60", "0"), "age", "not a finite number"),
        (("inf", "1", "60", "0"), "age", "not a finite number"),
        (("1e999999999", "1", "60", "0"), "age", "not a finite number"),
        (("1_0", "1", "60", "0"), "age", "not a finite number"),
        (("5" * 65, "1", "60", "0"), "age", "not a finite number"),
        (("secret", "1", "60", "0"), "age", "not a finite number"),
        (("50", "2", "60", "0"), "sex", "not one of the schema's codes"),
        (("50", "1", "60", "7"), "num", "does not map to a class"),
        (("50", "1", "60", "?"), "num", "does not map to a class"),
    ],
)
def test_encode_table_names_row_and_column_and_no_value(
    row: tuple[str, ...], column: str, reason: str
) -> None:
    with pytest.raises(SchemaMismatch) as caught:
        encode(("50", "1", "60", "0"), row)
    assert (caught.value.row, caught.value.column) == (2, column)
    assert reason in str(caught.value)
    value = row[COLUMNS.index(column)]
    assert len(value) < 3 or value not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_encode_table_refuses_a_row_of_another_width() -> None:
    with pytest.raises(SchemaMismatch, match=r"row 2: 3 cells where 4 are expected"):
        encode(("50", "1", "60", "0"), ("50", "1", "60"))


def test_encode_table_refuses_a_file_without_a_column() -> None:
    with pytest.raises(SchemaMismatch, match="column 'chol': the file has no such column"):
        encode(("50", "1", "0"), columns=("age", "sex", "num"))
    with pytest.raises(SchemaMismatch, match="same name"):
        encode(("50", "1", "0", "1"), columns=("age", "sex", "num", "age"))
    with pytest.raises(SchemaMismatch, match="column 'num': two columns"):
        encode(("50", "1", "9", "0", "1"), columns=("age", "sex", "chol", "num", "num"))
    unused = ("age", "sex", "chol", "num", "", "", "note", "note")
    assert len(encode(("50", "1", "200", "0", "", "", "x", "y"), columns=unused)) == 1


def test_encode_table_of_no_rows() -> None:
    assert encode().features.shape == (0, 4)


@given(
    st.fractions(-1000, 1000),
    st.fractions(-1000, 1000).filter(bool),
    st.fractions(0, 1),
)
def test_encode_number_is_within_half_a_step(low: Fraction, size: Fraction, part: Fraction) -> None:
    high = low + abs(size)
    place = encode_number(low + part * abs(size), low, high)
    assert 0 <= place <= ONE
    assert abs(Fraction(place, ONE) - part) <= Fraction(1, 2 * ONE)


@given(st.lists(st.integers(-(2**50), 2**50), min_size=1), st.integers(1, 2**40))
def test_divide_half_even_is_the_exact_rounding(values: list[int], divisor: int) -> None:
    found = divide_half_even(np.array(values, dtype=np.int64), divisor)
    assert found.tolist() == [half_even(Fraction(value, divisor)) for value in values]


@given(st.decimals(-(10**6), 10**6, places=6))
def test_canonical_token_is_one_for_every_way_of_writing(number: Decimal) -> None:
    texts = [str(number), f" {number:f}", f"{number:f}0" if "." in f"{number:f}" else str(number)]
    assert len({canonical_token(text) for text in texts}) == 1
    found = decimal_or_none(plain(number))
    assert found == number


@pytest.mark.parametrize(
    "column",
    [
        {"name": "a", "type": "numeric"},
        {"name": "a", "type": "numeric", "range": [1, 1]},
        {"name": "a", "type": "numeric", "range": ["nan", 1]},
        {"name": "a", "type": "numeric", "range": [0, 1], "codes": [1]},
        {"name": "a", "type": "category"},
        {"name": "a", "type": "category", "codes": [1, "1.0"]},
        {"name": "a", "type": "category", "codes": [1], "missing": [1]},
        {"name": "a", "type": "category", "codes": [1], "range": [0, 1]},
        {"name": "a\n", "type": "category", "codes": [1]},
        {"name": "a", "type": "number", "range": [0, 1]},
    ],
)
def test_column_refuses(column: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Column.model_validate(column)


@pytest.mark.parametrize("codes", [{"0": 0}, {"0": 0, "1": 2}, {"0": 1, "1": 2}, {"0": 0, "1": 0}])
def test_label_refuses_classes_with_a_gap(codes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="without a gap"):
        Label.model_validate({"column": "y", "codes": codes})


IMAGES = ImageSchema.model_validate(
    {"kind": "image", "shape": [1, 2, 2], "labels": ["a", "b"], "range": [0, 16]}
)


def raw_images(pixels: list[list[int]]) -> RawImages:
    array = np.array(pixels, dtype=np.uint8).reshape(-1, 1, 2, 2)
    return RawImages(array, np.zeros(len(array), np.int64), np.ones(len(array), np.bool_))


def test_encode_images_places_pixels() -> None:
    table = encode_images(IMAGES, raw_images([[0, 4, 8, 16]]), site="a", group=1)
    assert table.features.reshape(-1).tolist() == [0, ONE // 4, ONE // 2, ONE]
    assert table.features.shape == (1, 1, 2, 2)
    assert table.held.all()


def test_encode_images_refuses_pixels_and_shapes_that_do_not_fit() -> None:
    with pytest.raises(SchemaMismatch, match="row 2: a pixel outside the range 0 to 16"):
        encode_images(IMAGES, raw_images([[0, 4, 8, 16], [0, 4, 8, 17]]), site="a", group=1)
    wrong = RawImages(
        np.zeros((1, 3, 2, 2), np.uint8), np.zeros(1, np.int64), np.zeros(1, np.bool_)
    )
    with pytest.raises(SchemaMismatch, match="images are 3x2x2, the schema says 1x2x2"):
        encode_images(IMAGES, wrong, site="a", group=0)


def test_table_keeps_its_columns_together() -> None:
    table = encode(("50", "1", "60", "0"), ("60", "1", "60", "1"), ("70", "1", "60", "2"))
    assert table.take(np.array([2, 0])).labels.tolist() == [1, 0]
    both = Table.concatenate([table, table])
    assert (len(both), both.features.shape) == (6, (6, 4))
    with pytest.raises(ValueError, match="one entry per row"):
        Table(table.features, table.labels[:1], table.groups)
