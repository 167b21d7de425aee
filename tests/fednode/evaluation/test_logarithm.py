import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fednode.evaluation.logarithm import exp_minus, natural_log

UNIT = 2**30


@given(st.integers(0, 2**26))
def test_exp_minus_is_close_to_exp(x: int) -> None:
    exact = math.exp(-min(x, 24 << 16) / 2**16) * UNIT
    assert abs(int(exp_minus(np.array([x]))[0]) - exact) <= 2


@given(st.integers(1, 2**62 - 1))
def test_natural_log_is_close_to_ln(x: int) -> None:
    exact = (math.log(x) - 30 * math.log(2)) * UNIT
    assert abs(int(natural_log(np.array([x]))[0]) - exact) <= 48


def test_natural_log_at_powers_of_two() -> None:
    powers = np.array([1 << k for k in range(62)], dtype=np.int64)
    ln2 = round(math.log(2) * UNIT)
    assert natural_log(powers).tolist() == [(k - 30) * ln2 for k in range(62)]
    below = natural_log(powers[2:] - 1)
    assert (below <= natural_log(powers[2:])).all()
    assert (np.diff(natural_log(powers - 1 + (powers == 1))) > -1).all()


def test_exp_minus_at_zero_and_far_away() -> None:
    assert exp_minus(np.array([0])).tolist() == [UNIT]
    assert exp_minus(np.array([24 << 16, (24 << 16) + 1, 2**25])).tolist() == [0, 0, 0]


def test_both_hardly_leave_their_order_and_never_change() -> None:
    x = np.arange(0, 24 << 16, 37, dtype=np.int64)
    assert (np.diff(exp_minus(x)) <= 1).all()
    y = np.arange(1, 1 << 40, (1 << 40) // 5003, dtype=np.int64)
    assert (np.diff(natural_log(y)) >= 0).all()
    assert int(exp_minus(x).sum()) == 1902394847949
    assert int(natural_log(y).sum()) == 31846685205688
