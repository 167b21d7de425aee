"""Partitions: nothing twice, nothing lost, the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednode.data.errors import PartitionError
from fednode.data.partition import PartitionSpec, deal, deal_evenly, shuffled

LABELS = np.repeat(np.arange(10), 60)

SPECS = [
    PartitionSpec(kind="iid", seed=1),
    PartitionSpec.model_validate({"kind": "dirichlet", "alpha": "0.5", "seed": 1}),
    PartitionSpec(kind="classes", classes=4, seed=1),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_deal_gives_every_row_once(spec: PartitionSpec) -> None:
    parts = deal(LABELS, 5, spec)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(LABELS)))
    again = deal(LABELS, 5, spec)
    assert all((one == other).all() for one, other in zip(parts, again, strict=True))
    other = deal(LABELS, 5, spec.model_copy(update={"seed": 2}))
    assert any(one.tolist() != two.tolist() for one, two in zip(parts, other, strict=True))


def test_classes_gives_each_site_its_number_of_classes() -> None:
    parts = deal(LABELS, 7, PartitionSpec(kind="classes", classes=2))
    assert [len(np.unique(LABELS[part])) for part in parts] == [2] * 7


def test_dirichlet_is_more_uneven_for_a_small_alpha() -> None:
    def spread(alpha: str) -> float:
        spec = PartitionSpec.model_validate({"kind": "dirichlet", "alpha": alpha, "least_rows": 1})
        parts = deal(LABELS, 5, spec)
        counts = np.array([np.bincount(LABELS[part], minlength=10) for part in parts])
        return float(counts.std())

    assert spread("0.1") > spread("1") > spread("100")


def test_deal_refuses_what_leaves_a_site_too_few_rows() -> None:
    with pytest.raises(PartitionError, match="least_rows = 10"):
        deal(LABELS[:60], 10, PartitionSpec(kind="iid"))
    spec = PartitionSpec.model_validate({"kind": "dirichlet", "alpha": "0.001"})
    with pytest.raises(PartitionError, match="least_rows = 10"):
        deal(LABELS[:100], 9, spec)
    with pytest.raises(PartitionError, match="have 10 classes"):
        deal(LABELS, 2, PartitionSpec(kind="classes", classes=11))
    with pytest.raises(PartitionError, match="no natural sites"):
        deal(LABELS, 2, PartitionSpec())


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "dirichlet"},
        {"kind": "dirichlet", "alpha": 0},
        {"kind": "iid", "alpha": 1},
        {"kind": "classes"},
        {"kind": "iid", "classes": 1},
        {"kind": "random"},
        {"kind": "iid", "seed": -1},
        {"kind": "iid", "seed": True},
    ],
)
def test_partition_spec_refuses(spec: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        PartitionSpec.model_validate(spec)


@given(st.integers(0, 50), st.integers(1, 9), st.integers(0, 2**63 - 1))
def test_deal_evenly_differs_by_one_row_at_most(rows: int, sites: int, seed: int) -> None:
    parts = deal_evenly(rows, sites, seed)
    assert sorted(row for part in parts for row in part.tolist()) == list(range(rows))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_the_order_of_rows_is_pinned() -> None:
    order = shuffled(np.arange(8, dtype=np.int64), 1, 2, 3)
    assert order.tolist() == PINNED


PINNED = [1, 2, 4, 6, 5, 0, 7, 3]
