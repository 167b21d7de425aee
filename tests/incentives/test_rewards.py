from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incentives.errors import BadAmount
from incentives.rewards import SCORE_LIMIT, payouts, released, scores, split

UINT128 = st.integers(0, 2**128 - 1)
SCORES = st.lists(st.integers(0, SCORE_LIMIT), max_size=30)


@given(UINT128, SCORES)
def test_split_sums_exactly(amount: int, parts: list[int]) -> None:
    shares = split(amount, parts)
    assert sum(shares) == (amount if sum(parts) else 0)
    assert all(share >= 0 for share in shares)
    assert all(share == 0 for share, score in zip(shares, parts, strict=True) if score == 0)


@given(UINT128, SCORES)
def test_split_is_within_one_unit_of_proportion(amount: int, parts: list[int]) -> None:
    if sum(parts) == 0:
        return
    for share, score in zip(split(amount, parts), parts, strict=True):
        assert abs(share - Fraction(amount * score, sum(parts))) < 1


def test_split_follows_prefix_sums() -> None:
    assert split(100, [1, 1, 1]) == [33, 33, 34]
    assert split(1, [1, 1]) == [0, 1]
    assert split(10, []) == []


def test_payouts_add_to_the_periods_before() -> None:
    assert payouts([5, 0, 7], 10, [1, 0, 1]) == [10, 0, 12]
    assert payouts([5, 0, 7], 10, [0, 0, 0]) == [5, 0, 7]


@given(st.lists(st.tuples(st.integers(-(2**120), 2**120), st.integers(0, 2**31)), max_size=10))
def test_scores_of_exponents_one_and_zero_are_clipped_values(rows: list[tuple[int, int]]) -> None:
    values, scales = [v for v, _ in rows], [s for _, s in rows]
    assert scores(values, scales, 1, 0) == [max(v, 0) for v in values]
    assert scores(values, scales, 1, 1) == [max(v, 0) * s for v, s in rows]
    assert scores(values, scales, 0, 1) == [s if v > 0 else 0 for v, s in rows]


def test_scores_saturate() -> None:
    assert scores([2**100, 1, -5], [1, 1, 1], 255, 255) == [SCORE_LIMIT, 1, 0]


@given(UINT128, st.data())
def test_released_stays_within_the_pool(pool: int, data: st.DataObject) -> None:
    base = data.draw(st.integers(0, pool))
    gain = data.draw(st.integers(-(2**63), 2**63 - 1))
    target = data.draw(st.integers(1, 2**64 - 1))
    amount = released(pool, base, gain=gain, target=target, scores=1)
    assert 0 <= amount <= pool - base
    if gain <= 0:
        assert amount == 0
    assert released(pool, base, gain=gain, target=target, scores=0) == 0


def test_released_is_in_proportion_to_the_gain() -> None:
    assert released(1000, 0, gain=25, target=100, scores=9) == 250
    assert released(1000, 900, gain=25, target=100, scores=9) == 100
    assert released(1000, 0, gain=500, target=100, scores=9) == 1000
    assert released(10, 0, gain=1, target=3, scores=9) == 3
    assert released(0, 0, gain=5, target=0, scores=9) == 0


@pytest.mark.parametrize(
    ("call", "name", "value", "wanted"),
    [
        (lambda: split(-1, [1]), "amount", -1, "0 or more"),
        (lambda: split(1, [1, -3]), "score", -3, "0 or more"),
        (lambda: scores([1], [1], -1, 0), "value exponent", -1, "0 or more"),
        (lambda: scores([1], [1], 0, -1), "scale exponent", -1, "0 or more"),
        (lambda: scores([1], [-2], 1, 0), "scale", -2, "0 or more"),
        (
            lambda: released(5, 6, gain=1, target=1, scores=1),
            *("amount paid before", 6, "from 0 to the pool of 5"),
        ),
        (
            lambda: released(5, -1, gain=1, target=1, scores=1),
            *("amount paid before", -1, "from 0 to the pool of 5"),
        ),
        (lambda: released(5, 0, gain=1, target=0, scores=1), "target", 0, "positive"),
    ],
)
def test_bad_amounts_are_named(
    call: Callable[[], object], name: str, value: int, wanted: str
) -> None:
    with pytest.raises(BadAmount, match=f"^{name} is {value}, but must be {wanted}$") as error:
        call()
    assert (error.value.name, error.value.value, error.value.wanted) == (name, value, wanted)
