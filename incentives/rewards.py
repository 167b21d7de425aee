"""What a period pays: integer wei from values and scales, with nothing lost to rounding.

score = max(value, 0)^a * scale^b; what is released grows with the gain against the target, up to
what is left of the pool; a participant gets the difference of two floored prefix sums, so the
amounts add up to what is released exactly, and one leaf of a tree with prefix sums proves a wrong
one.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Final

from incentives.errors import BadAmount

SCORE_LIMIT: Final = 2**223
"""Scores saturate here, so that the sum over 2^32 participants fits 256 bits with room to spare."""


def scores(values: Sequence[int], scales: Sequence[int], a: int, b: int) -> list[int]:
    """Return each participant's score, max(value, 0)^a * scale^b, saturated at 2^223.

    A value that is not positive scores nothing, whatever the exponents are.
    """
    _not_negative("value exponent", a)
    _not_negative("scale exponent", b)
    for scale in scales:
        _not_negative("scale", scale)
    return [
        min(value**a * scale**b, SCORE_LIMIT) if value > 0 else 0
        for value, scale in zip(values, scales, strict=True)
    ]


def released(pool: int, base: int, *, gain: int, target: int, scores: int) -> int:
    """Return what a period releases of a pool of which `base` was paid by the periods before.

    `gain` is the utility gained in the period and `target` the gain at which the whole pool is
    released, in the same unit; `scores` is the sum of all scores. No gain, no score or
    nothing left releases nothing, whatever the target is.
    """
    if not 0 <= base <= pool:
        raise BadAmount("amount paid before", base, f"from 0 to the pool of {pool}")
    if gain <= 0 or scores <= 0 or base == pool:
        return 0
    if target <= 0:
        raise BadAmount("target", target, "positive")
    return min(pool - base, pool * gain // target)


def split(amount: int, scores: Sequence[int]) -> list[int]:
    """Split an amount in proportion to scores as differences of floored prefix sums.

    The parts sum to the amount exactly, or to 0 if no score is positive.
    """
    _not_negative("amount", amount)
    for score in scores:
        _not_negative("score", score)
    total = sum(scores)
    if total == 0:
        return [0] * len(scores)
    bounds = [amount * prefix // total for prefix in accumulate(scores, initial=0)]
    return [upper - lower for lower, upper in pairwise(bounds)]


def payouts(before: Sequence[int], amount: int, scores: Sequence[int]) -> list[int]:
    """Return cumulative payouts: those of the periods before plus the parts of an amount."""
    parts = split(amount, scores)
    return [old + part for old, part in zip(before, parts, strict=True)]


def _not_negative(name: str, value: int) -> None:
    if value < 0:
        raise BadAmount(name, value, "0 or more")
