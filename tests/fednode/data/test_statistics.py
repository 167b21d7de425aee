"""Federated mean and deviation against numpy's floats, and for hostile integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nst
from numpy.typing import NDArray

from fednode.data.errors import DataError
from fednode.data.fixed import FEATURE_LIMIT, MISSING, ONE
from fednode.data.schema import ImageSchema, TableSchema
from fednode.data.sources import DataSpec, open_source
from fednode.data.statistics import STATISTICS_BITS, Preprocessing, local_statistics
from fednode.data.table import Table
from fednode.policy import built_in
from fednode.site import load_site

SCHEMA = TableSchema.model_validate(
    {
        "columns": [
            {"name": "a", "type": "numeric", "range": [0, 1]},
            {"name": "c", "type": "category", "codes": ["x", "y"]},
            {"name": "b", "type": "numeric", "range": [0, 1]},
        ],
        "label": {"column": "y", "codes": {"0": 0, "1": 1}},
    }
)


def table_of(numeric: NDArray[np.int32]) -> Table:
    rows = len(numeric)
    features = np.zeros((rows, 4), dtype=np.int32)
    features[:, [0, 3]] = numeric
    features[:, 1] = ONE
    return Table(features, np.zeros(rows, np.int64), np.zeros(rows, np.int64))


def federated(tables: list[Table]) -> NDArray[np.int32]:
    total = sum(local_statistics(table, SCHEMA).astype(np.int64) for table in tables)
    return np.rint(np.asarray(total) / len(tables)).astype(np.int32)


values = st.one_of(st.integers(0, ONE), st.just(int(MISSING)))


@given(
    st.lists(
        nst.arrays(np.int32, st.tuples(st.integers(10, 60), st.just(2)), elements=values),
        min_size=1,
        max_size=4,
    )
)
def test_preprocessing_agrees_with_a_float_scaler(sites: list[NDArray[np.int32]]) -> None:
    preprocessing = Preprocessing.from_statistics(federated([table_of(s) for s in sites]), SCHEMA)
    for index in range(2):
        columns = [site[:, index] for site in sites]
        known = [c[c != MISSING] for c in columns]
        pooled = np.concatenate([k for k in known if len(k) >= 10] or [np.empty(0)]) / ONE
        assert preprocessing.known[index] == (len(pooled) > 0)
        if not len(pooled):
            continue
        assert preprocessing.means[index] / ONE == pytest.approx(pooled.mean(), abs=2e-4)
        deviation = preprocessing.deviations[index] / ONE
        if pooled.std() > 0.05:
            assert deviation == pytest.approx(pooled.std(), abs=5e-3)
            scaled = preprocessing.apply(table_of(sites[0]).features)[:, (0, 3)[index]] / ONE
            mean = preprocessing.means[index] / ONE
            reference = (sites[0][:, index] / ONE - mean) / deviation
            expected = np.where(sites[0][:, index] == MISSING, 0, reference)
            np.testing.assert_allclose(scaled, expected, atol=2e-5)


@given(nst.arrays(np.int32, 6), nst.arrays(np.int32, (3, 2), elements=values))
def test_preprocessing_is_total(statistics: NDArray[np.int32], rows: NDArray[np.int32]) -> None:
    preprocessing = Preprocessing.from_statistics(statistics, SCHEMA)
    scaled = preprocessing.apply(table_of(rows).features)
    assert scaled.dtype == np.int32
    assert (np.abs(scaled.astype(np.int64)) < FEATURE_LIMIT).all()
    assert (scaled[:, 1] == ONE).all()
    assert all(deviation > 0 for deviation in preprocessing.deviations)


def test_local_statistics_leaves_out_a_column_known_in_fewer_than_ten_rows() -> None:
    rows = np.full((30, 2), MISSING, dtype=np.int32)
    rows[:10, 0] = ONE // 2
    rows[:9, 1] = ONE // 2
    one = 1 << STATISTICS_BITS
    found = local_statistics(table_of(rows), SCHEMA)
    assert found.tolist() == [10 * one, 0, 5 * one, 0, 10 * one // 4, 0]


def test_a_column_that_no_site_may_speak_of_is_zero_everywhere() -> None:
    rows = np.full((30, 2), MISSING, dtype=np.int32)
    rows[:, 0] = np.arange(30) * 1000
    rows[:9, 1] = ONE // 2
    table = table_of(rows)
    preprocessing = Preprocessing.from_statistics(local_statistics(table, SCHEMA), SCHEMA)
    assert preprocessing.known == (True, False)
    assert not preprocessing.apply(table.features)[:, 3].any()


def test_identity_only_fills_missing_values() -> None:
    rows = np.array([[5, MISSING], [MISSING, 7]], dtype=np.int32)
    scaled = Preprocessing.identity(SCHEMA).apply(table_of(rows).features)
    assert scaled.tolist() == [[5, ONE, 0, 0], [0, ONE, 0, 7]]


def test_a_constant_column_is_centred_and_not_blown_up() -> None:
    table = table_of(np.full((20, 2), ONE // 4, dtype=np.int32))
    preprocessing = Preprocessing.from_statistics(local_statistics(table, SCHEMA), SCHEMA)
    assert not preprocessing.apply(table.features)[:, [0, 3]].any()


def test_too_many_rows_for_the_bound_are_refused() -> None:
    table = table_of(np.zeros((11, 2), dtype=np.int32))
    with pytest.raises(DataError, match=r"11 rows .* aggregation\.bound \(10\)"):
        local_statistics(table, SCHEMA, most_rows=10)


def test_images_have_no_statistics() -> None:
    schema = ImageSchema.model_validate({"kind": "image", "shape": [1, 1, 2], "labels": [0, 1]})
    features = np.array([[[[1, 2]]]], dtype=np.int32)
    table = Table(features, np.zeros(1, np.int64), np.zeros(1, np.int64))
    statistics = local_statistics(table, schema)
    assert statistics.shape == (0,)
    preprocessing = Preprocessing.from_statistics(statistics, schema)
    assert preprocessing.apply(features).tolist() == features.tolist()


def test_the_wrong_number_of_statistics_is_refused() -> None:
    with pytest.raises(ValueError, match="6 statistics expected"):
        Preprocessing.from_statistics(np.zeros(5, np.int32), SCHEMA)


def test_the_hospitals_rows_come_out_standardised() -> None:
    policy = built_in("heart")
    source = open_source(DataSpec(source="heart", public=True), policy.data_schema)
    tables = [source.load(site) for site in source.sites]
    schema = policy.data_schema
    total = sum(local_statistics(table, schema).astype(np.int64) for table in tables)
    mean = np.rint(np.asarray(total) / 4).astype(np.int32)
    preprocessing = Preprocessing.from_statistics(mean, schema)
    for name, column in zip(preprocessing.names, preprocessing.columns, strict=True):
        encoded = np.concatenate([table.features[:, column] for table in tables])
        scaled = np.concatenate([preprocessing.apply(t.features)[:, column] for t in tables]) / ONE
        known = scaled[encoded != MISSING]
        if name != "ca":  # three hospitals know it of too few patients to say so
            assert known.mean() == pytest.approx(0, abs=2e-3)
            assert known.std() == pytest.approx(1, abs=2e-3)
        assert not scaled[encoded == MISSING].any()
    exported = preprocessing.record()
    assert isinstance(exported["numeric"], list)
    assert len(exported["numeric"]) == 6


def test_two_sums_show_the_row_in_between_and_one_shows_none() -> None:
    """What a federation with an ancestor does not publish again: every patient of the four
    hospitals can be told from the sums over a hospital's training rows with and without it.
    """
    policy = built_in("heart")
    source = open_source(policy.data, policy.schema)
    columns = list(policy.schema.numeric)
    shown = patients = 0
    for name in source.sites:
        table = load_site(policy, source, name).train
        own = local_statistics(table, policy.schema).reshape(3, -1)
        few = own[0] == 0
        for row in range(len(table)):
            rest = table.take(np.delete(np.arange(len(table)), row))
            counts, sums, _ = own - local_statistics(rest, policy.schema).reshape(3, -1)
            values = table.features.reshape(len(table), -1)[row, columns]
            known = (values != int(MISSING)) & ~few
            patients += 1
            told = np.array_equal(counts > 0, known)
            near = np.abs(sums - (values.astype(np.int64) >> 4)) <= 1
            shown += told and bool(near[known].all())
    assert (shown, patients) == (507, 507)
