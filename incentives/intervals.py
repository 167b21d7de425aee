"""How sure a contribution is: percentile intervals from resampled evaluation rows.

A contribution is measured on a few hundred rows; other rows of the same kind would have given
another one, and often another order of participants. Efron's percentile bootstrap ("Bootstrap
methods", 1979) shows by how much. It is for reports alone: no payment depends on it, so floats may
appear.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from incentives.errors import IncentiveError


@dataclass(frozen=True, slots=True)
class Interval:
    """Bounds between which a share `level` of the resampled values lies."""

    low: float
    high: float
    level: float = 0.95

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def resamples(
    strata: NDArray[np.int64], times: int, *, seed: int | Sequence[int]
) -> Iterator[NDArray[np.int64]]:
    """Draw rows with replacement within each stratum, `times` times.

    `strata` holds one label per row; a draw is an array of as many row indices. Pass a stratum per
    class (and hospital) to keep every one at its size, as a metric over pairs needs.
    """
    generator = np.random.default_rng(seed)
    members = [np.flatnonzero(strata == label) for label in np.unique(strata)]
    for _ in range(times):
        yield np.concatenate([generator.choice(rows, len(rows)) for rows in members])


def interval(samples: Sequence[float], *, level: float = 0.95) -> Interval:
    """Return the percentile interval of a statistic's resampled values."""
    if not samples or not 0 < level < 1:
        raise IncentiveError("an interval needs at least one sample and a level between 0 and 1")
    low, high = np.quantile(
        np.asarray(samples, dtype=np.float64), [(1 - level) / 2, (1 + level) / 2]
    )
    return Interval(float(low), float(high), level)


def contribution_intervals(
    tables: Iterable[Sequence[int]],
    values: Callable[[Sequence[int]], Sequence[int]],
    *,
    level: float = 0.95,
) -> list[Interval]:
    """Return an interval per player from one table of utilities per resample.

    `values` turns a table into the players' values (such as `shapley_numerators`); the intervals
    are in its unit.
    """
    samples = [list(values(table)) for table in tables]
    return [interval(column, level=level) for column in zip(*samples, strict=True)]
