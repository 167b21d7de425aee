"""Three disjoint sets, and a test set that is opened once."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednode.data.errors import DataError, TestSetOpened
from fednode.data.sources import open_source
from fednode.data.splits import TestSet, split
from fednode.data.table import Table
from fednode.policy import built_in

shares = st.fractions(0, Fraction(49, 100), max_denominator=100)


def table_of(labels: list[int], held: list[bool] | None = None) -> Table:
    rows = len(labels)
    return Table(
        np.arange(rows, dtype=np.int32)[:, None],
        np.array(labels, dtype=np.int64),
        np.zeros(rows, np.int64),
        np.array(held or [False] * rows, dtype=np.bool_),
    )


@given(st.lists(st.integers(0, 3), max_size=80), st.integers(0, 9), shares, shares)
def test_split_is_disjoint_complete_and_stratified(
    labels: list[int], seed: int, valuation: Fraction, test: Fraction
) -> None:
    table = table_of(labels)
    cut = split(table, seed, 0, valuation=valuation, test=test)
    rows = [*cut.train.tolist(), *cut.valuation.tolist(), *cut.test.tolist()]
    assert sorted(rows) == list(range(len(labels)))
    for label in set(labels):
        count = labels.count(label)
        assert (table.labels[cut.test] == label).sum() == round(count * test)
        assert (table.labels[cut.valuation] == label).sum() == round(count * valuation)


def test_split_depends_on_seed_and_site_alone() -> None:
    table = table_of([0, 1] * 50)
    one, again = split(table, 1, 0), split(table, 1, 0)
    assert (one.train == again.train).all()
    for other in (split(table, 2, 0), split(table, 1, 1)):
        assert other.train.tolist() != one.train.tolist()


def test_split_keeps_the_rows_that_the_source_reserves() -> None:
    held = [False] * 40 + [True] * 10
    cut = split(table_of([0, 1] * 25, held), 0, 0)
    assert cut.test.tolist() == list(range(40, 50))
    assert (len(cut.train), len(cut.valuation)) == (32, 8)


def test_split_refuses_shares_that_leave_nothing_to_train_on() -> None:
    with pytest.raises(ValueError, match="leave rows to train on"):
        split(table_of([0]), 0, 0, valuation=Fraction(1, 2), test=Fraction(1, 2))


def test_the_hospitals_test_sets_have_the_documented_sizes() -> None:
    policy = built_in("heart")
    source = open_source(policy.data, policy.data_schema)
    cuts = [split(source.load(site), 0, index) for index, site in enumerate(source.sites)]
    assert [len(cut.test) for cut in cuts] == [91, 88, 36, 60]


def count(table: Table) -> Mapping[str, int]:
    return {"rows": len(table), "sum": int(table.features.sum())}


def test_test_set_opens_once_and_remembers(tmp_path: Path) -> None:
    tests = TestSet(table_of([0, 1] * 5), np.array([1, 3]), tmp_path / "test-set.json")
    assert tests.open(b"\x01" * 32, count) == {"rows": 2, "sum": 4}

    def never(_: Table) -> Mapping[str, int]:
        raise AssertionError("measured twice")

    assert tests.open(b"\x01" * 32, never) == {"rows": 2, "sum": 4}
    with pytest.raises(TestSetOpened, match="a test set is opened once") as caught:
        tests.open(b"\x02" * 32, count)
    assert caught.value.opened == "01" * 32


def test_test_set_stays_with_its_model_after_a_crash(tmp_path: Path) -> None:
    tests = TestSet(table_of([0, 1]), np.array([1]), tmp_path / "test-set.json")

    def crash(_: Table) -> Mapping[str, int]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tests.open(b"\x01" * 32, crash)
    with pytest.raises(TestSetOpened):
        tests.open(b"\x02" * 32, count)
    assert tests.open(b"\x01" * 32, count)["rows"] == 1


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model": "00"}', '{"model": 1, "result": 2}'])
def test_test_set_refuses_a_damaged_marker(tmp_path: Path, content: str) -> None:
    marker = tmp_path / "test-set.json"
    marker.write_text(content)
    tests = TestSet(table_of([0, 1]), np.array([1]), marker)
    with pytest.raises(DataError, match="damaged"):
        tests.open(bytes(32), count)


def test_test_set_names_a_marker_that_cannot_be_written(tmp_path: Path) -> None:
    tests = TestSet(table_of([0]), np.array([0]), tmp_path / "none" / "marker")
    with pytest.raises(DataError, match="cannot write the marker"):
        tests.open(bytes(32), count)
