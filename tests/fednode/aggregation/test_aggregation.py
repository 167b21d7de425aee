"""Against Python's own integers: the same numbers, whatever the order, chunks and extremes."""

import tracemalloc
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fednode.aggregation import (
    MEDIAN,
    FedAvg,
    SummedRule,
    TrimmedMean,
    first_beyond,
    integers,
    round_half_even_div,
    rule_numbered,
    saturating_add,
    weighted_sum,
)
from fednode.aggregation.errors import BadInputs, UnknownRule
from fednode.aggregation.integers import CHUNK, Sums, Values

LOW, HIGH = -(2**31), 2**31 - 1
INT32 = st.one_of(st.integers(LOW, HIGH), st.sampled_from([LOW, LOW + 1, -1, 0, 1, HIGH]))
INT64 = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.integers(-10, 10), st.sampled_from([-(2**63), 2**63 - 1])
)
WEIGHT = st.one_of(st.integers(0, 2**31 - 1), st.integers(0, 6))


@st.composite
def rounds(draw: st.DrawFn) -> tuple[list[list[int]], list[int]]:
    size, number = draw(st.integers(0, 5)), draw(st.integers(1, 6))
    row = st.lists(INT32, min_size=size, max_size=size)
    updates = draw(st.lists(row, min_size=number, max_size=number))
    weights, left = [], 2**31 - 1
    for _ in range(number):
        weights.append(min(draw(WEIGHT), left))
        left -= weights[-1]
    return updates, weights


def int32(values: list[int]) -> Values:
    return np.array(values, dtype=np.int32)


def int64(values: list[int]) -> Sums:
    return np.array(values, dtype=np.int64)


@given(rounds())
def test_partial_sums_are_the_weighted_sums(inputs: tuple[list[list[int]], list[int]]) -> None:
    updates, weights = inputs
    sums = FedAvg().partial_sums([int32(update) for update in updates], weights)
    wanted = [
        sum(w * x for w, x in zip(weights, column, strict=True))
        for column in zip(*updates, strict=True)
    ]
    assert sums.dtype == np.int64
    assert sums.tolist() == wanted


@given(st.lists(INT64, max_size=6), WEIGHT)
def test_division_rounds_half_to_even(sums: list[int], weight: int) -> None:
    wanted = [round(Fraction(total, weight)) if weight else 0 for total in sums]
    assert round_half_even_div(int64(sums), weight).tolist() == wanted


def test_division_of_ties() -> None:
    sums = int64([-5, -3, -1, 1, 3, 5])
    assert round_half_even_div(sums, 2).tolist() == [-2, -2, 0, 0, 2, 2]


@given(st.lists(st.tuples(INT32, INT64), max_size=6), WEIGHT)
def test_step_adds_the_mean_and_saturates(rows: list[tuple[int, int]], weight: int) -> None:
    previous, sums = int32([p for p, _ in rows]), int64([s for _, s in rows])
    means = [round(Fraction(s, weight)) if weight else 0 for _, s in rows]
    wanted = [min(max(p + mean, LOW), HIGH) for (p, _), mean in zip(rows, means, strict=True)]
    stepped = FedAvg().step(previous, sums, weight)
    assert stepped.dtype == np.int32
    assert stepped.tolist() == wanted
    assert saturating_add(previous, round_half_even_div(sums, weight)).tolist() == wanted


def test_step_of_no_weight_keeps_the_model() -> None:
    previous = int32([LOW, 0, HIGH])
    stepped = FedAvg().step(previous, int64([1, 2, 3]), 0)
    assert stepped.tolist() == previous.tolist()
    assert stepped is not previous


@given(rounds(), st.randoms(use_true_random=False), st.integers(1, 3))
def test_order_and_grouping_do_not_matter(
    inputs: tuple[list[list[int]], list[int]],
    random: Random,
    group: int,
) -> None:
    updates, weights = [int32(u) for u in inputs[0]], inputs[1]
    size = len(updates[0])
    order = list(range(len(updates)))
    random.shuffle(order)
    nodes = [
        weighted_sum([updates[k] for k in part], [weights[k] for k in part], size=size)
        for part in (order[i : i + group] for i in range(0, len(order), group))
    ]
    whole = FedAvg().partial_sums(updates, weights)
    assert np.array_equal(np.sum(nodes, axis=0), whole)
    previous = np.arange(size, dtype=np.int32)
    stepped = FedAvg().step(previous, whole, sum(weights))
    assert np.array_equal(FedAvg().aggregate(previous, updates, weights), stepped)


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
def test_chunks_cover_every_coordinate(size: int) -> None:
    rng = np.random.default_rng(size)
    updates = [rng.integers(LOW, HIGH, size, dtype=np.int32, endpoint=True) for _ in range(3)]
    weights = [3, 0, 2**30]
    previous = rng.integers(LOW, HIGH, size, dtype=np.int32, endpoint=True)
    wanted = sum(u.astype(np.int64) * w for u, w in zip(updates, weights, strict=True))
    sums = FedAvg().partial_sums(updates, weights)
    assert np.array_equal(sums, wanted)
    means = round_half_even_div(sums, sum(weights))
    new = FedAvg().step(previous, sums, sum(weights))
    assert np.array_equal(new, np.clip(previous + means, LOW, HIGH).astype(np.int32))


def test_memory_stays_near_the_output() -> None:
    size = 2_000_000
    updates = [np.full(size, k, dtype=np.int32) for k in range(4)]
    tracemalloc.start()
    FedAvg().partial_sums(updates, [1, 2, 3, 4])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * size + (1 << 20)


def test_inputs_are_left_alone() -> None:
    updates, previous = [int32([1, 2]), int32([3, 4])], int32([5, 6])
    sums = FedAvg().partial_sums(updates, [1, 1])
    FedAvg().step(previous, sums, 2)
    assert [u.tolist() for u in updates] == [[1, 2], [3, 4]]
    assert (previous.tolist(), sums.tolist()) == ([5, 6], [4, 6])


@given(
    st.lists(st.one_of(st.just(0), INT32), max_size=12),
    st.integers(0, HIGH),
    st.integers(0, 12),
    st.integers(0, 12),
    st.integers(1, 5),
)
@settings(max_examples=200)
def test_first_beyond_finds_the_first(
    values: list[int], bound: int, start: int, stop: int, chunk: int
) -> None:
    limits = [bound if start <= k < stop else 0 for k in range(len(values))]
    bad = [k for k, v in enumerate(values) if abs(v) > limits[k]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(integers, "CHUNK", chunk)
        found = first_beyond(int32(values), bound, allowed=slice(start, stop))
    assert found == (bad[0] if bad else None)


@pytest.mark.parametrize(
    ("updates", "weights", "name"),
    [
        ([], [], "updates"),
        ([int32([1])], [1, 2], "updates"),
        ([int32([1]), int32([1, 2])], [1, 1], "an update"),
        ([np.array([1.0])], [1], "an update"),
        ([int32([1])], [-1], "weights"),
        ([int32([1]), int32([1])], [2**30, 2**30], "weights"),
    ],
)
def test_inputs_that_no_federation_has_are_refused(
    updates: list[Values], weights: list[int], name: str
) -> None:
    with pytest.raises(BadInputs) as error:
        FedAvg().partial_sums(updates, weights)
    assert error.value.name == name


def test_step_refuses_another_size() -> None:
    with pytest.raises(BadInputs):
        FedAvg().step(int32([1]), int64([1, 2]), 1)


def test_rules_are_found_by_number() -> None:
    assert rule_numbered(0, 7) == FedAvg()
    assert rule_numbered(1, 100_000) == TrimmedMean(100_000)
    assert rule_numbered(2) == MEDIAN
    with pytest.raises(UnknownRule, match="use one of 0, 1, 2"):
        rule_numbered(9)


def test_only_the_mean_has_a_tree_of_sums() -> None:
    assert [isinstance(rule_numbered(n), SummedRule) for n in (0, 1, 2)] == [True, False, False]
