"""Imputation and scaling from federated means, in integers only.

Each site sends, per numeric column, its count of known values, their sum and sum of squares; the
federation's first result is the plain mean of these over the sites (an ordinary update of weight
1). The site number cancels in the ratios: mean = sum/count, variance = squares/count - mean^2.
A column that fewer than ten of a site's rows know is left out by that site.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fednode.data.errors import DataError
from fednode.data.fixed import (
    FEATURE_BITS,
    FEATURE_LIMIT,
    MISSING,
    ONE,
    divide_half_even,
)
from fednode.data.schema import Schema
from fednode.data.table import Table

STATISTICS_BITS: Final = 12
LEAST_CELL: Final = 10
MOST_ROWS: Final = (1 << (31 - STATISTICS_BITS)) - 1


def local_statistics(
    table: Table, schema: Schema, *, most_rows: int = MOST_ROWS
) -> NDArray[np.int32]:
    """Sum a site's known values: counts, sums and sums of squares, 12 fractional bits.

    Returns three blocks of one int32 per numeric column. A column known in fewer than ten rows is
    zero in all three blocks. DataError: more than `most_rows`, what the policy's bound allows.
    """
    columns = list(schema.numeric)
    if columns and len(table) > min(most_rows, MOST_ROWS):
        raise DataError(
            f"{len(table)} rows are more than a participant's statistics may hold within "
            f"aggregation.bound ({min(most_rows, MOST_ROWS)}): split the site, or sample its rows"
        )
    values = table.features.reshape(len(table), -1)[:, columns].astype(np.int64)
    known = values != int(MISSING)
    values = np.where(known, values, 0)
    counts = known.sum(axis=0, dtype=np.int64)
    sums = values.sum(axis=0, dtype=np.int64)
    squares = (values * values).sum(axis=0, dtype=np.int64)
    blocks = np.stack(
        [
            counts << STATISTICS_BITS,
            divide_half_even(sums, 1 << (FEATURE_BITS - STATISTICS_BITS)),
            divide_half_even(squares, 1 << (2 * FEATURE_BITS - STATISTICS_BITS)),
        ]
    )
    blocks[:, counts < LEAST_CELL] = 0
    return blocks.reshape(-1).astype(np.int32)


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Mean and deviation of each numeric feature, 16 fractional bits, in the schema's units of u.

    `columns` are the feature indexes they belong to. Total: any statistics give some preprocessing.
    """

    columns: tuple[int, ...]
    names: tuple[str, ...]
    means: tuple[int, ...]
    deviations: tuple[int, ...]
    known: tuple[bool, ...]

    @staticmethod
    def from_statistics(values: NDArray[np.int32], schema: Schema) -> Preprocessing:
        """Derive mean and deviation from the federated mean of local statistics."""
        columns = schema.numeric
        if values.shape != (3 * len(columns),):
            raise ValueError(f"{3 * len(columns)} statistics expected, {values.shape} found")
        counts, sums, squares = values.reshape(3, len(columns)).tolist() if columns else ([],) * 3
        moments = [_moments(*cell) for cell in zip(counts, sums, squares, strict=True)]
        names = schema.feature_names
        return Preprocessing(
            columns,
            tuple(names[column] for column in columns),
            tuple(mean for mean, _ in moments),
            tuple(deviation for _, deviation in moments),
            tuple(count > 0 for count in counts),
        )

    @staticmethod
    def identity(schema: Schema) -> Preprocessing:
        """Change nothing but missing values, which become zero."""
        columns = schema.numeric
        names = schema.feature_names
        return Preprocessing(
            columns,
            tuple(names[column] for column in columns),
            (0,) * len(columns),
            (ONE,) * len(columns),
            (True,) * len(columns),
        )

    def apply(self, features: NDArray[np.int32]) -> NDArray[np.int32]:
        """Scale encoded features; missing values become the mean, that is zero.

        A column that no site may speak of is zero in every row. Returns int32 with 16 fractional
        bits and |x| < 2^24, in the shape of `features`.
        """
        if not self.columns:
            return np.array(features, dtype=np.int32, copy=True)
        columns = list(self.columns)
        result = np.array(features, dtype=np.int32, copy=True)
        values = features[:, columns].astype(np.int64)
        absent = (values == int(MISSING)) | ~np.array(self.known, dtype=np.bool_)
        offset = (values - np.array(self.means, dtype=np.int64)) << FEATURE_BITS
        for index, deviation in enumerate(self.deviations):
            offset[:, index] = divide_half_even(offset[:, index], deviation)
        limit = FEATURE_LIMIT - 1
        result[:, columns] = np.where(absent, 0, np.clip(offset, -limit, limit)).astype(np.int32)
        return result

    def record(self) -> dict[str, object]:
        """Return what an export needs to repeat the preprocessing: integers and names."""
        return {
            "fraction_bits": FEATURE_BITS,
            "numeric": [
                {
                    "feature": name,
                    "index": column,
                    "mean": mean,
                    "deviation": deviation,
                    "known": known,
                }
                for name, column, mean, deviation, known in zip(
                    self.names, self.columns, self.means, self.deviations, self.known, strict=True
                )
            ],
            "missing": "numeric: the mean; category: all codes zero",
        }


def _moments(count: int, total: int, squares: int) -> tuple[int, int]:
    """Mean and deviation, 16 fractional bits, of one column, for any three integers."""
    if count <= 0:
        return 0, ONE
    limit = FEATURE_LIMIT - 1
    mean = int(divide_half_even(np.array([total << FEATURE_BITS], dtype=np.int64), count)[0])
    variance = squares * count - total * total
    deviation = isqrt((variance << (2 * FEATURE_BITS)) // (count * count)) if variance > 0 else 0
    return min(max(mean, -limit), limit), min(deviation, limit) or ONE
