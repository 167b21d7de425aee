"""Metrics against references that look at every pair, and at cases with known answers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednode.evaluation.metrics import (
    METRICS,
    LabelledRows,
    UnknownMetric,
    concordance,
    counts,
    maximum,
    measure,
    measure_all,
    minimum,
    utilities,
    utility,
)
from fednode.models.base import ModelSpec
from fednode.models.registry import build

LIMIT = 2**24 - 1


@dataclass(frozen=True)
class Case:
    logits: list[list[int]]
    labels: list[int]
    groups: list[int]

    def measure(self, metric: str) -> int:
        return measure(
            np.array(self.logits, dtype=np.int64),
            np.array(self.labels, dtype=np.int64),
            np.array(self.groups, dtype=np.int64),
            metric,
        )


def cases(outputs: int, least: int = 1) -> st.SearchStrategy[Case]:
    near = st.integers(-4, 4) | st.integers(-(2**18), 2**18) | st.integers(-LIMIT, LIMIT)
    row = st.tuples(
        st.lists(near, min_size=outputs, max_size=outputs),
        st.integers(-1, max(outputs, 2)),
        st.integers(0, 3) | st.just(2**40),
    )
    return st.lists(row, min_size=least, max_size=25).map(
        lambda rows: Case([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])
    )


any_case = st.integers(1, 4).flatmap(cases)


def slow_accuracy(case: Case) -> int:
    right = 0
    for logits, label in zip(case.logits, case.labels, strict=True):
        said = logits.index(max(logits)) if len(logits) > 1 else int(logits[0] > 0)
        right += said == label
    return right * 10**6 // len(case.labels)


def slow_auc(case: Case, *, within: bool) -> int:
    outputs = len(case.logits[0])
    classes = range(outputs) if outputs > 1 else [1]
    last = max(outputs, 2)
    doubled = pairs = 0
    rows = list(zip(case.logits, case.labels, case.groups, strict=True))
    real = [row for row in rows if 0 <= row[1] < last]
    for column, positive in enumerate(classes):
        for one, other in product(real, real):
            if one[1] != positive or other[1] == positive or (within and one[2] != other[2]):
                continue
            pairs += 1
            high, low = one[0][column], other[0][column]
            doubled += 2 if high > low else int(high == low)
    return doubled * 10**6 // (2 * pairs) if pairs else 500_000


def float_log_loss(case: Case) -> float:
    total = 0.0
    for logits, label in zip(case.logits, case.labels, strict=True):
        z = [0.0, logits[0] / 2**16] if len(logits) == 1 else [v / 2**16 for v in logits]
        if not 0 <= label < len(z):
            total += 16
            continue
        top = max(z)
        total += min(16.0, top - z[label] + math.log(sum(math.exp(v - top) for v in z)))
    return -total / len(case.labels)


@given(any_case)
def test_accuracy_counts_right_answers(case: Case) -> None:
    assert case.measure("accuracy") == slow_accuracy(case)


@given(any_case)
def test_auc_counts_concordant_pairs(case: Case) -> None:
    assert case.measure("auc") == slow_auc(case, within=False)
    assert case.measure("auc_within") == slow_auc(case, within=True)


@given(any_case)
def test_log_loss_is_close_to_its_float(case: Case) -> None:
    assert case.measure("log_loss") == pytest.approx(float_log_loss(case) * 10**6, abs=2)


@given(any_case, st.sampled_from(METRICS))
def test_every_metric_stays_within_its_range(case: Case, metric: str) -> None:
    assert minimum(metric) <= case.measure(metric) <= maximum(metric)


@given(any_case, st.sampled_from(METRICS), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(case: Case, metric: str, random: object) -> None:
    order = list(range(len(case.labels)))
    random.shuffle(order)  # type: ignore[attr-defined]
    again = Case(
        [case.logits[i] for i in order],
        [case.labels[i] for i in order],
        [case.groups[i] for i in order],
    )
    assert again.measure(metric) == case.measure(metric)


@given(st.integers(0, 2**32), st.integers(1, 3), st.sampled_from(METRICS))
def test_many_versions_at_once_equal_one_by_one(seed: int, outputs: int, metric: str) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.integers(-20, 20, (7, 30, outputs))
    labels, groups = rng.integers(0, 3, 30), rng.integers(0, 3, 30)
    together = measure_all(logits, labels, groups, metric)
    assert together == [measure(one, labels, groups, metric) for one in logits]


def test_large_blocks_are_cut_without_a_trace() -> None:
    rng = np.random.default_rng(0)
    logits = rng.integers(-LIMIT, LIMIT, (300, 2000, 1))
    labels, groups = rng.integers(0, 2, 2000), rng.integers(0, 4, 2000)
    for metric in METRICS:
        together = measure_all(logits, labels, groups, metric)
        for i in (0, 130, 131, 132, 299):
            assert together[i] == measure(logits[i], labels, groups, metric)


@pytest.mark.parametrize(
    ("scores", "labels", "expected"),
    [
        ([1, 2, 3, 4], [0, 0, 1, 1], 1_000_000),
        ([4, 3, 2, 1], [0, 0, 1, 1], 0),
        ([1, 1, 1, 1], [0, 0, 1, 1], 500_000),
        ([1, 2, 2, 3], [0, 0, 1, 1], 875_000),
        ([1, 2], [1, 1], 500_000),
    ],
)
def test_auc_of_known_answer(scores: list[int], labels: list[int], expected: int) -> None:
    case = Case([[s] for s in scores], labels, [0] * len(labels))
    assert case.measure("auc") == expected
    assert case.measure("auc_within") == expected


def test_knowing_the_hospital_earns_nothing_within_hospitals() -> None:
    groups, labels = [0] * 10 + [1] * 10, [0] * 8 + [1] * 2 + [0] * 2 + [1] * 8
    case = Case([[g] for g in groups], labels, groups)
    assert case.measure("auc") > 700_000
    assert case.measure("auc_within") == 500_000


def test_a_group_of_one_class_has_no_pair() -> None:
    case = Case([[1], [2], [9], [0]], [0, 1, 1, 1], [0, 0, 1, 1])
    assert case.measure("auc_within") == 1_000_000


def test_a_tie_at_zero_says_class_0() -> None:
    assert Case([[0]], [0], [0]).measure("accuracy") == 1_000_000
    assert Case([[1]], [1], [0]).measure("accuracy") == 1_000_000
    assert Case([[3, 3, 3]], [0], [0]).measure("accuracy") == 1_000_000


def test_one_logit_equals_two_of_which_the_first_is_zero() -> None:
    rng = np.random.default_rng(0)
    z = rng.integers(-(2**20), 2**20, (50, 1))
    both = np.concatenate([np.zeros_like(z), z], axis=1)
    labels, groups = rng.integers(0, 2, 50), np.zeros(50, dtype=np.int64)
    for metric in ("accuracy", "log_loss"):
        assert measure(z, labels, groups, metric) == measure(both, labels, groups, metric)


def test_indifference_costs_ln_2() -> None:
    assert Case([[0]], [1], [0]).measure("log_loss") == -math.ceil(math.log(2) * 10**6)
    assert Case([[0, 0, 0]], [2], [0]).measure("log_loss") == -math.ceil(math.log(3) * 10**6)


def test_a_row_costs_16_at_most() -> None:
    assert Case([[-LIMIT]], [1], [0]).measure("log_loss") == minimum("log_loss")
    assert Case([[LIMIT]], [1], [0]).measure("log_loss") == 0


@pytest.mark.parametrize("metric", METRICS)
def test_no_rows_give_the_minimum(metric: str) -> None:
    empty = np.zeros(0, dtype=np.int64)
    assert measure(np.zeros((0, 1), dtype=np.int64), empty, empty, metric) == minimum(metric)
    model = build(ModelSpec("logistic", (3,), 2))
    rows = LabelledRows(np.zeros((0, 3), dtype=np.int32), empty, empty)
    assert utility(model, model.initial(0), rows, metric) == minimum(metric)
    assert utilities(model, [], rows, metric) == []


def test_an_unknown_metric_is_named() -> None:
    for ask in (minimum, maximum):
        with pytest.raises(UnknownMetric, match="'f1' is none of accuracy") as refused:
            ask("f1")
        assert refused.value.metric == "f1"


def test_an_inadmissible_model_has_the_minimum_and_spoils_no_other() -> None:
    rng = np.random.default_rng(3)
    model = build(ModelSpec("mlp", (3,), 2))
    sound = model.initial(1)
    weight = np.full((16, 3), 2**31 - 1, dtype=np.int32)
    unsound = {**sound, "hidden1.weight": weight}
    assert not model.admissible(unsound)
    rows = LabelledRows(
        rng.integers(-(2**17), 2**17, (40, 3)).astype(np.int32),
        rng.integers(0, 2, 40),
        rng.integers(0, 2, 40),
    )
    for metric in METRICS:
        measured = utilities(model, [sound, unsound, sound], rows, metric)
        assert measured == [
            utility(model, sound, rows, metric),
            minimum(metric),
            utility(model, sound, rows, metric),
        ]


@given(
    st.lists(
        st.tuples(st.integers(-3, 3), st.booleans(), st.integers(0, 2)), min_size=0, max_size=30
    )
)
def test_concordance_counts_every_pair(rows: Sequence[tuple[int, bool, int]]) -> None:
    scores = np.array([[r[0] for r in rows], [-r[0] for r in rows]], dtype=np.int64)
    positive = np.array([r[1] for r in rows], dtype=np.bool_)
    groups = np.array([r[2] for r in rows], dtype=np.int64)
    counted, pairs = concordance(scores, positive, groups)
    expected = [0, 0]
    total = 0
    for one, other in product(rows, rows):
        if one[1] and not other[1] and one[2] == other[2]:
            total += 1
            expected[0] += 2 * (one[0] > other[0]) + (one[0] == other[0])
            expected[1] += 2 * (one[0] < other[0]) + (one[0] == other[0])
    assert (counted.tolist(), pairs) == (expected, total)


@pytest.mark.parametrize("classes", [2, 3])
def test_counts_are_what_metrics_are_summed_from(classes: int) -> None:
    rng = np.random.default_rng(classes)
    model = build(ModelSpec("logistic", (4,), classes))
    rows = LabelledRows(
        rng.integers(-(1 << 16), 1 << 16, (50, 4)).astype(np.int32),
        rng.integers(0, classes, 50),
        np.zeros(50, dtype=np.int64),
    )
    versions = [
        {
            spec.name: rng.integers(-(1 << 20), 1 << 20, spec.shape).astype(np.int32)
            for spec in model.tensors
        }
        for _ in range(5)
    ]
    versions.append({spec.name: np.full(spec.shape, 1 << 30, np.int32) for spec in model.tensors})
    right = counts(model, versions, rows, "accuracy")
    assert [n * 1_000_000 // 50 for n in right] == utilities(model, versions, rows, "accuracy")
    if classes == 2:
        positives = int(rows.labels.sum())
        total = 2 * positives * (50 - positives)
        pairs = counts(model, versions, rows, "auc_within")
        measured = [n * 1_000_000 // total for n in pairs]
        assert measured == utilities(model, versions, rows, "auc_within")
