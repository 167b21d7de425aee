"""Figures with intervals: metrics of fixed logits on resampled rows.

Rows are drawn with replacement within each class of each site (Efron 1979, stratified), so every
draw has the pairs that a metric counts.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fednode.demo.result import Figure
from fednode.evaluation.metrics import PPM, measure_all
from incentives.intervals import Interval, interval, resamples

Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Measured:
    """Logits (versions, rows, outputs) of several models on the same labelled rows."""

    logits: Int64
    labels: Int64
    groups: Int64

    def take(self, rows: Int64) -> "Measured":
        """Pick rows, some of them more than once."""
        return Measured(self.logits[:, rows], self.labels[rows], self.groups[rows])

    def of_group(self, group: int) -> "Measured":
        """Pick one site's rows."""
        return self.take(np.flatnonzero(self.groups == group))

    def utilities(self, metric: str) -> list[int]:
        """Measure every version, in millionths."""
        return measure_all(self.logits, self.labels, self.groups, metric)

    def draws(self, times: int, *, seed: int) -> Iterator["Measured"]:
        """Draw rows anew, within each class of each site."""
        strata = self.groups * (1 + int(self.labels.max(initial=0))) + self.labels
        return (self.take(rows) for rows in resamples(strata, times, seed=seed))


def figures(measured: Measured, metric: str, *, times: int, seed: int) -> list[Figure]:
    """Give every version's metric with its interval, in units of the metric."""
    values = measured.utilities(metric)
    samples = np.array([draw.utilities(metric) for draw in measured.draws(times, seed=seed)])
    return [
        Figure(value / PPM, in_units(interval(column.tolist())))
        for value, column in zip(values, samples.T, strict=True)
    ]


def in_units(bounds: Interval, unit: float = PPM) -> Interval:
    """Turn an interval of millionths into one of the metric's own unit."""
    return Interval(bounds.low / unit, bounds.high / unit, bounds.level)
