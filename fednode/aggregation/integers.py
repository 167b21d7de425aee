"""The integer arithmetic of every aggregation: sums, a rounded division, a saturating step.

Integer addition is associative, so the same updates give the same bytes in any order, on any
machine and in any number of threads. Weights below 2^31 in total keep the sum of int32 updates
within int64. All functions walk through the arrays in chunks that stay in a core's cache: a 40 MB
tensor would otherwise travel to memory and back at each step.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fednode.aggregation.errors import BadInputs

Values = NDArray[np.int32]
Sums = NDArray[np.int64]

CHUNK: Final = 1 << 14
WEIGHT_LIMIT: Final = 1 << 31
_INT32: Final = np.iinfo(np.int32)


def weighted_sum(updates: Sequence[Values], weights: Sequence[int], *, size: int) -> Sums:
    """Return the int64 sum of weight * update over int32 updates of `size` coordinates.

    The updates may be memory-mapped: each is read once, a chunk at a time.
    """
    check_updates(updates, weights, size)
    counted = [(u, w) for u, w in zip(updates, weights, strict=True) if w]
    sums = np.zeros(size, dtype=np.int64)
    product = np.empty(min(CHUNK, size), dtype=np.int64)
    for chunk in chunks(size):
        total = sums[chunk]
        for update, weight in counted:
            scaled = product[: len(total)]
            np.multiply(update[chunk], weight, out=scaled, dtype=np.int64)
            np.add(total, scaled, out=total)
    return sums


def round_half_even_div(sums: Sums, weight: int) -> Sums:
    """Return sums / weight rounded half to even, exactly, or zeros if the weight is 0."""
    _check_weight(weight)
    if weight == 0:
        return np.zeros_like(sums)
    means = np.empty_like(sums)
    for chunk in chunks(len(sums)):
        means[chunk] = _rounded(sums[chunk], weight)
    return means


def saturating_add(values: Values, change: Sums) -> Values:
    """Return values + change, clamped to int32."""
    _check(values, np.dtype(np.int32), len(change), "the previous model")
    new = np.empty(len(values), dtype=np.int32)
    for chunk in chunks(len(values)):
        new[chunk] = _clamped(values[chunk], change[chunk])
    return new


def add_mean(values: Values, sums: Sums, weight: int) -> Values:
    """Return clamp_int32(values + round_half_even(sums / weight)) in one pass."""
    _check_weight(weight)
    _check(values, np.dtype(np.int32), len(sums), "the previous model")
    if weight == 0:
        return values.copy()
    new = np.empty(len(values), dtype=np.int32)
    for chunk in chunks(len(values)):
        new[chunk] = _clamped(values[chunk], _rounded(sums[chunk], weight))
    return new


def first_beyond(values: Values, bound: int, *, allowed: slice) -> int | None:
    """Return the first coordinate that is beyond the bound, or None.

    Coordinates within `allowed` (a slice of step 1) must lie in [-bound, bound], all others must be
    0.
    """
    start, stop, _ = allowed.indices(len(values))
    for chunk in chunks(len(values)):
        part = values[chunk]
        bad = (part > bound) | (part < -bound)
        inside = slice(max(start - chunk.start, 0), max(stop - chunk.start, 0))
        outside = np.ones(len(part), dtype=np.bool_)
        outside[inside] = False
        bad |= outside & (part != 0)
        if bad.any():
            first: int = chunk.start
            return first + int(bad.argmax())
    return None


def chunks(size: int, *, rows: int = 1) -> Iterator[slice]:
    """Cut arrays into slices of which `rows` at a time stay in the cache."""
    step = max(1, CHUNK // rows)
    return (slice(start, min(start + step, size)) for start in range(0, size, step))


def check_updates(updates: Sequence[Values], weights: Sequence[int], size: int) -> None:
    """Refuse updates that are not int32 of one size, and weights that they cannot have."""
    if len(updates) != len(weights):
        raise BadInputs("updates", f"{len(updates)} of them have {len(weights)} weights")
    for weight in weights:
        _check_weight(weight)
    _check_weight(sum(weights))
    for update in updates:
        _check(update, np.dtype(np.int32), size, "an update")


def _rounded(sums: Sums, weight: int) -> Sums:
    quotient: Sums = np.floor_divide(sums, weight)
    twice = (sums - quotient * weight) * 2
    up: NDArray[np.bool_] = (twice > weight) | ((twice == weight) & ((quotient & 1) == 1))
    np.add(quotient, up, out=quotient)
    return quotient


def _clamped(values: Values, change: Sums) -> Sums:
    # A change beyond 2^32 saturates whatever it is added to; clipping it first spares int64.
    reachable: Sums = np.clip(change, -(1 << 32), 1 << 32)
    clamped: Sums = np.clip(reachable + values, _INT32.min, _INT32.max)
    return clamped


def _check_weight(weight: int) -> None:
    if not 0 <= weight < WEIGHT_LIMIT:
        raise BadInputs("weights", f"{weight} is not from 0 to below 2^31")


def _check(array: Values | Sums, dtype: np.dtype[np.generic], size: int, name: str) -> None:
    if array.dtype != dtype or array.shape != (size,):
        raise BadInputs(name, f"{array.dtype}{array.shape} is not {dtype}({size},)")
