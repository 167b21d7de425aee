"""exp(-x) and ln(x) in integers, for a log-loss that is the same on every machine.

A platform's libm may differ from another's in the last bit, and one bit is one too many. The tables
come from `decimal`, whose exp and ln are correctly rounded by specification; what is read from
them is integer arithmetic.
"""

from decimal import Context, Decimal, localcontext
from functools import cache

import numpy as np
from numpy.typing import NDArray

UNIT_BITS = 30
"""Fractional bits of what these functions return."""

ARGUMENT_BITS = 16
"""Fractional bits of the argument of `exp_minus`: those of a logit."""

_FINE_BITS = 8
_FARTHEST = 24 << ARGUMENT_BITS
_LN_BITS = 12
_EXACT = Context(prec=40)


def exp_minus(x: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return exp(-x) for x >= 0 (16 fractional bits); beyond 24 it counts as 24.

    The product of a coarse and a fine table, rounded down: off by less than 2 units.
    """
    coarse, fine = _exp_tables()
    near = np.minimum(x, _FARTHEST)
    product = coarse[near >> _FINE_BITS] * fine[near & ((1 << _FINE_BITS) - 1)]
    return np.asarray(product >> UNIT_BITS, dtype=np.int64)


def natural_log(x: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ln(x) for 1 <= x < 2**62 (30 fractional bits), by linear interpolation of a table."""
    table, ln2 = _ln_table(), _scaled(Decimal(2).ln(_EXACT))
    exponent = np.frexp(x.astype(np.float64))[1].astype(np.int64) - 1
    exponent -= (np.left_shift(1, exponent) > x).astype(np.int64)
    mantissa = np.where(
        exponent > UNIT_BITS,
        x >> np.maximum(exponent - UNIT_BITS, 0),
        x << np.maximum(UNIT_BITS - exponent, 0),
    ) - (1 << UNIT_BITS)
    shift = UNIT_BITS - _LN_BITS
    place, rest = mantissa >> shift, mantissa & ((1 << shift) - 1)
    low = table[place]
    step = ((table[place + 1] - low) * rest) >> shift
    return np.asarray((exponent - UNIT_BITS) * ln2 + low + step, dtype=np.int64)


@cache
def _exp_tables() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    coarse_step, fine_step = 1 << _FINE_BITS, 1
    return (
        _exp_table((_FARTHEST >> _FINE_BITS) + 1, coarse_step),
        _exp_table(1 << _FINE_BITS, fine_step),
    )


def _exp_table(length: int, step: int) -> NDArray[np.int64]:
    with localcontext(_EXACT):
        unit = Decimal(step) / (1 << ARGUMENT_BITS)
        return np.array([_scaled((-k * unit).exp()) for k in range(length)], dtype=np.int64)


@cache
def _ln_table() -> NDArray[np.int64]:
    size = 1 << _LN_BITS
    with localcontext(_EXACT):
        ratios = (1 + Decimal(k) / size for k in range(size + 1))
        return np.array([_scaled(ratio.ln()) for ratio in ratios], dtype=np.int64)


def _scaled(value: Decimal) -> int:
    return int(_EXACT.multiply(value, Decimal(1 << UNIT_BITS)).to_integral_value(context=_EXACT))
