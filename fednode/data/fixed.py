"""Exact rounding, so that every machine encodes a row as the same integers.

Features are fixed-point int32 with 16 fractional bits, the width of the exact forward pass.
"""

from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

FEATURE_BITS: Final = 16
ONE: Final = 1 << FEATURE_BITS
FEATURE_LIMIT: Final = 1 << 24
MISSING: Final = np.int32(np.iinfo(np.int32).min)


def half_even(value: Fraction) -> int:
    """Round to the nearest integer, ties to the even one."""
    return round(value)


def divide_half_even(numerator: NDArray[np.int64], denominator: int) -> NDArray[np.int64]:
    """Divide by a positive integer and round half to even."""
    quotient, remainder = np.divmod(numerator, np.int64(denominator))
    twice = 2 * remainder
    up = (twice > denominator) | ((twice == denominator) & (quotient % 2 != 0))
    return np.asarray(quotient + up, dtype=np.int64)
