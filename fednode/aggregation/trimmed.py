"""The trimmed mean and the median: a few updates, however large, move no coordinate far.

Yin et al., "Byzantine-robust distributed learning: towards optimal statistical rates" (2018), in
fixed-point integers: of n values of a coordinate, floor(n * share) are cut off at each end, and the
mean of the others is rounded half to even. Every update with a weight is one value, whatever the
weight: rows must not buy a majority. What is cut off follows from all updates, so no sum over a
part of them leads there; a proof opens them all, which bounds their number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from fednode.aggregation.errors import BadInputs
from fednode.aggregation.integers import Sums, Values, add_mean, check_updates, chunks

WHOLE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class TrimmedMean:
    """The mean without `share` millionths of the values at each end."""

    share: int

    def __post_init__(self) -> None:
        if not 0 <= 2 * self.share < WHOLE:
            raise BadInputs("share", f"{self.share} millionths at each end leave nothing")

    def aggregate(
        self, previous: Values, updates: Sequence[Values], weights: Sequence[int]
    ) -> Values:
        """Return clamp_int32(previous + the mean of what is left of the updates with a weight)."""
        check_updates(updates, weights, len(previous))
        counted = [update for update, weight in zip(updates, weights, strict=True) if weight]
        cut = len(counted) * self.share // WHOLE
        return add_mean(previous, _middle(counted, cut, len(previous)), len(counted) - 2 * cut)


MEDIAN: Final = TrimmedMean(WHOLE // 2 - 1)
"""The largest trim leaves the middle value, or the two in the middle, of up to 500,000."""


def _middle(updates: Sequence[Values], cut: int, size: int) -> Sums:
    """Sum what is left of each coordinate's values without the `cut` least and greatest."""
    sums = np.zeros(size, dtype=np.int64)
    for chunk in chunks(size, rows=len(updates)) if updates else ():
        ranked = np.stack([update[chunk] for update in updates], axis=1)
        ranked.sort(axis=1)
        np.sum(ranked[:, cut : len(updates) - cut], axis=1, dtype=np.int64, out=sums[chunk])
    return sums
