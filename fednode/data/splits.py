"""Three disjoint sets: one to train on, one to value contributions on, one opened once at the end.

The cut is stratified by label and depends on the seed and the site alone. Rows that a source
itself reserves for testing stay its test set.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fednode.data.errors import DataError, TestSetOpened
from fednode.data.fixed import half_even
from fednode.data.partition import shuffled
from fednode.data.table import Table
from fednode.files import open_private

SPLIT_DOMAIN = 0x5B117
DEFAULT_VALUATION = Fraction(1, 5)
DEFAULT_TEST = Fraction(3, 10)


@dataclass(frozen=True, slots=True)
class Splits:
    """Row indexes of the three sets, ascending and disjoint."""

    train: NDArray[np.int64]
    valuation: NDArray[np.int64]
    test: NDArray[np.int64]


def split(
    table: Table,
    seed: int,
    site_index: int,
    *,
    valuation: Fraction = DEFAULT_VALUATION,
    test: Fraction = DEFAULT_TEST,
) -> Splits:
    """Cut a site's rows; `valuation` and `test` are shares of all rows, rounded per class."""
    if valuation < 0 or test < 0 or valuation + test >= 1:
        raise ValueError("valuation and test must be shares that leave rows to train on")
    indices = np.arange(len(table), dtype=np.int64)
    reserved = bool(table.held.any())
    parts: tuple[list[NDArray[np.int64]], ...] = ([], [], [])
    for label in np.unique(table.labels):
        rows = indices[(table.labels == label) & ~table.held]
        rows = shuffled(rows, SPLIT_DOMAIN, seed, site_index, int(label))
        tests = 0 if reserved else half_even(len(rows) * test)
        values = half_even(len(rows) * valuation)
        parts[2].append(rows[:tests])
        parts[1].append(rows[tests : tests + values])
        parts[0].append(rows[tests + values :])
    parts[2].append(indices[table.held])
    train, value, tested = (
        np.sort(np.concatenate([*part, np.empty(0, dtype=np.int64)])) for part in parts
    )
    return Splits(train, value, tested)


@dataclass(frozen=True, slots=True)
class TestSet:
    """Test rows behind a marker file: measured once, for one model.

    Opening writes the model's digest into the marker before anything is measured, so that no
    second model can be chosen after looking; the same model gets the stored result again.
    """

    __test__ = False  # not a pytest class

    table: Table
    indices: NDArray[np.int64]
    marker: Path

    def open(self, model: bytes, measure: Callable[[Table], Mapping[str, int]]) -> dict[str, int]:
        """Measure a model on the test rows, or return what was measured for it before."""
        stored = self._claim(model)
        if stored is not None:
            return stored
        result = {name: int(value) for name, value in measure(self._rows()).items()}
        partial = self.marker.with_name(self.marker.name + ".partial")
        _write(partial, {"model": model.hex(), "result": result}, os.O_TRUNC)
        partial.replace(self.marker)
        return result

    def _rows(self) -> Table:
        return self.table.take(self.indices)

    def _claim(self, model: bytes) -> dict[str, int] | None:
        try:
            _write(self.marker, {"model": model.hex(), "result": None}, os.O_EXCL)
        except FileExistsError:
            pass
        except OSError as error:
            raise DataError(f"cannot write the marker {self.marker}: {error.strerror}") from None
        else:
            return None
        opened, result = _read(self.marker)
        if opened != model.hex():
            raise TestSetOpened(opened, model.hex())
        return result


def _write(path: Path, content: Mapping[str, object], flag: int) -> None:
    descriptor = open_private(path, os.O_WRONLY | os.O_CREAT | flag)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> tuple[str, dict[str, int] | None]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        opened, result = str(content["model"]), content["result"]
        return opened, None if result is None else {str(k): int(v) for k, v in result.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise DataError(
            f"the test set's marker {path} is damaged, so nobody can tell which model opened it: "
            "cut new splits (data.split.seed) in a new federation"
        ) from None
