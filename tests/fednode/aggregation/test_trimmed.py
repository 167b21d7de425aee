"""The trimmed mean and the median against sorted lists and fractions."""

import statistics
from collections.abc import Sequence
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednode.aggregation import MEDIAN, FedAvg, TrimmedMean, integers
from fednode.aggregation.errors import BadInputs
from fednode.aggregation.integers import Values

LOW, HIGH = -(2**31), 2**31 - 1
INT32 = st.one_of(
    st.integers(LOW, HIGH), st.integers(-3, 3), st.sampled_from([LOW, LOW + 1, HIGH - 1, HIGH])
)
SHARE = st.one_of(st.integers(0, 499_999), st.sampled_from([0, 100_000, 333_333, 499_999]))


@st.composite
def rounds(draw: st.DrawFn) -> tuple[list[list[int]], list[int], list[int]]:
    """Draw updates, weights and a previous model."""
    size, number = draw(st.integers(0, 4)), draw(st.integers(0, 9))
    row = st.lists(INT32, min_size=size, max_size=size)
    updates = draw(st.lists(row, min_size=number, max_size=number))
    weights = draw(st.lists(st.integers(0, 3), min_size=number, max_size=number))
    return updates, weights, draw(row)


def int32(values: Sequence[int]) -> Values:
    return np.array(values, dtype=np.int32)


def trimmed(values: Sequence[int], share: int) -> int:
    """Round the mean of what a trim leaves, in fractions."""
    cut = int(Fraction(share, 10**6) * len(values))
    left = sorted(values)[cut : len(values) - cut]
    return round(Fraction(sum(left), len(left)))


def clamped(value: int) -> int:
    return min(max(value, LOW), HIGH)


@given(rounds(), SHARE, st.integers(1, 12))
def test_the_trimmed_mean_of_every_coordinate(
    inputs: tuple[list[list[int]], list[int], list[int]], share: int, chunk: int
) -> None:
    updates, weights, previous = inputs
    counted = [u for u, w in zip(updates, weights, strict=True) if w]
    wanted = [
        clamped(old + (trimmed([u[i] for u in counted], share) if counted else 0))
        for i, old in enumerate(previous)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(integers, "CHUNK", chunk)
        model = TrimmedMean(share).aggregate(int32(previous), [int32(u) for u in updates], weights)
    assert model.dtype == np.int32
    assert model.tolist() == wanted


@given(st.lists(INT32, min_size=1, max_size=70))
def test_the_median(values: list[int]) -> None:
    found = MEDIAN.aggregate(int32([0]), [int32([v]) for v in values], [1] * len(values))
    low, high = statistics.median_low(values), statistics.median_high(values)
    assert found.tolist() == [round(Fraction(low + high, 2))]


@pytest.mark.parametrize("number", [1, 2, 3, 63, 64, 499_999, 500_000])
def test_the_largest_trim_leaves_the_middle(number: int) -> None:
    assert number * MEDIAN.share // 10**6 == (number - 1) // 2


@given(rounds(), SHARE, st.randoms(use_true_random=False))
def test_order_does_not_matter(
    inputs: tuple[list[list[int]], list[int], list[int]], share: int, random: Random
) -> None:
    pairs = list(zip([int32(u) for u in inputs[0]], inputs[1], strict=True))
    previous, rule = int32(inputs[2]), TrimmedMean(share)
    whole = rule.aggregate(previous, [u for u, _ in pairs], [w for _, w in pairs])
    random.shuffle(pairs)
    again = rule.aggregate(previous, [u for u, _ in pairs], [w for _, w in pairs])
    assert np.array_equal(whole, again)


def test_one_update_beyond_all_measure_moves_little() -> None:
    updates = [int32([v]) for v in (1, 2, 3, 4, HIGH)]
    weights = [1, 1, 1, 1, 10**6]
    previous = int32([0])
    assert TrimmedMean(200_000).aggregate(previous, updates, weights).tolist() == [3]
    assert MEDIAN.aggregate(previous, updates, weights).tolist() == [3]
    assert FedAvg().aggregate(previous, updates, weights)[0] > 10**9


def test_ties_round_to_even_and_the_model_saturates() -> None:
    halves = [int32([1, -1, 3]), int32([2, -2, 4])]
    assert MEDIAN.aggregate(int32([0, 0, HIGH]), halves, [1, 1]).tolist() == [2, -2, HIGH]


def test_nobody_leaves_the_model() -> None:
    previous = int32([LOW, 0, HIGH])
    kept = TrimmedMean(1).aggregate(previous, [int32([1, 2, 3])], [0])
    assert kept.tolist() == previous.tolist()
    assert kept is not previous
    assert MEDIAN.aggregate(previous, [], []).tolist() == previous.tolist()


@pytest.mark.parametrize("size", [0, 1, 5461, 5462, 16_384, 40_000])
def test_chunks_cover_every_coordinate(size: int) -> None:
    rng = np.random.default_rng(size)
    updates = [rng.integers(LOW, HIGH, size, dtype=np.int32, endpoint=True) for _ in range(3)]
    found = MEDIAN.aggregate(np.zeros(size, dtype=np.int32), updates, [1, 1, 1])
    assert np.array_equal(found, np.median(np.stack(updates), axis=0).astype(np.int32))


def test_inputs_are_left_alone() -> None:
    updates, previous = [int32([3, 1]), int32([1, 2]), int32([2, 3])], int32([5, 6])
    MEDIAN.aggregate(previous, updates, [1, 1, 1])
    assert [u.tolist() for u in updates] == [[3, 1], [1, 2], [2, 3]]
    assert previous.tolist() == [5, 6]


@pytest.mark.parametrize("share", [-1, 500_000, 10**6])
def test_a_trim_that_leaves_nothing_is_refused(share: int) -> None:
    with pytest.raises(BadInputs, match="leave nothing"):
        TrimmedMean(share)


@pytest.mark.parametrize(
    ("updates", "weights", "name"),
    [
        ([int32([1])], [1, 2], "updates"),
        ([int32([1, 2])], [1], "an update"),
        ([np.array([1.0])], [1], "an update"),
        ([int32([1])], [-1], "weights"),
    ],
)
def test_inputs_that_no_federation_has_are_refused(
    updates: list[Values], weights: list[int], name: str
) -> None:
    with pytest.raises(BadInputs) as error:
        MEDIAN.aggregate(int32([0]), updates, weights)
    assert error.value.name == name
