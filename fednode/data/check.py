"""Whether a site's file fits the schema, told without telling anything about a patient.

Only counts leave this module, and a count of one to nine is shown as "<10". Where all that is
hidden of a column comes to less than ten, the next smallest is hidden too: else the sum would give
it away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from fednode.data.errors import PartitionError, SchemaMismatch
from fednode.data.schema import Column, TableSchema, canonical_token
from fednode.data.sources import DealtTable, NaturalTables, Source
from fednode.data.table import (
    CellError,
    RawTable,
    column_positions,
    encode_cell,
    encode_label,
)

LEAST_SHOWN: Final = 10
HIDDEN: Final = f"<{LEAST_SHOWN}"
ALSO_HIDDEN: Final = f">={LEAST_SHOWN}"
CELLS: Final = ("present", "missing", "out_of_range", "unknown_code", "unreadable")
FAULTS: Final = CELLS[2:]
EMPTY: Final = "the site has no rows: check data.path and the file"


@dataclass(frozen=True, slots=True)
class ColumnReport:
    """Counts of one column's cells, small ones hidden, and whether all of them fit."""

    name: str
    unit: str
    expected: str
    counts: Mapping[str, str]
    conforms: bool

    def record(self) -> dict[str, object]:
        """Return the report for JSON."""
        return {
            "name": self.name,
            "unit": self.unit,
            "expected": self.expected,
            "counts": dict(self.counts),
            "conforms": self.conforms,
        }


@dataclass(frozen=True, slots=True)
class Conformance:
    """How a site's file stands against the schema; no value and no small count is in it.

    `problems` are faults of the file as a whole, `faults` the first cells that do not fit, by row
    and column.
    """

    site: str
    rows: str
    columns: tuple[ColumnReport, ...]
    classes: Mapping[str, str]
    problems: tuple[str, ...]
    faults: tuple[str, ...]

    @property
    def conforms(self) -> bool:
        """Whether every row can be used as it is."""
        return not self.problems and all(column.conforms for column in self.columns)

    def record(self) -> dict[str, object]:
        """Return the report for JSON."""
        return {
            "site": self.site,
            "conforms": self.conforms,
            "rows": self.rows,
            "columns": [column.record() for column in self.columns],
            "classes": dict(self.classes),
            "problems": list(self.problems),
            "faults": list(self.faults),
        }


def check(source: Source, site: str, *, most_faults: int = 20) -> Conformance:
    """Compare a site's file with the schema and report every column.

    For a partitioned source the file holds the rows of all its sites. A missing or unreadable file
    raises its DataError.
    """
    if isinstance(source, NaturalTables | DealtTable):
        found = _check_cells(source.schema, source.raw(site), site, most_faults)
        return _check_deal(source, found) if isinstance(source, DealtTable) else found
    try:
        table = source.load(site)
    except SchemaMismatch as error:
        return Conformance(site, "0", (), {}, (error.finding,), ())
    if not len(table):
        return Conformance(site, "0", (), {}, (EMPTY,), ())
    counts = Counter(table.labels.tolist())
    return Conformance(site, show(len(table)), (), _classes(counts), (), ())


def show(count: int) -> str:
    """Write a count, hiding one to nine."""
    return HIDDEN if 0 < count < LEAST_SHOWN else str(count)


def show_cells(counts: Mapping[str, int]) -> dict[str, str]:
    """Write counts whose sum may be known, so that none of one to nine follows from the others."""
    shown = {name: show(count) for name, count in counts.items()}
    hidden = [name for name, text in shown.items() if text == HIDDEN]
    if hidden and sum(counts[name] for name in hidden) < LEAST_SHOWN:
        others = [name for name in counts if counts[name] >= LEAST_SHOWN]
        if others:
            shown[min(others, key=lambda name: counts[name])] = ALSO_HIDDEN
    return shown


def _classes(counts: Mapping[int, int], unmapped: int = 0) -> dict[str, str]:
    """Write the classes' counts; `unmapped` rows have none, and follow from no sum either."""
    cells = {str(label): counts[label] for label in sorted(counts)}
    shown = show_cells({**cells, "": unmapped})
    return {label: shown[label] for label in cells}


def _check_deal(source: DealtTable, found: Conformance) -> Conformance:
    """Say of rows that fit whether the partition leaves enough of them to each site."""
    if found.conforms:
        try:
            source.load(found.site)
        except PartitionError as error:
            return replace(found, problems=(str(error),))
    return found


def _check_cells(schema: TableSchema, raw: RawTable, site: str, most_faults: int) -> Conformance:
    rows = show(sum(map(_filled, raw.rows)))
    if not raw.rows:
        return Conformance(site, rows, (), {}, (EMPTY,), ())
    try:
        position, label_position = column_positions(schema, raw, site)
        _same_width(raw, site)
    except SchemaMismatch as error:
        return Conformance(site, rows, (), {}, (error.finding,), ())
    faults: list[str] = []
    reports = [
        _check_column(schema, column, raw, position[column.name], faults)
        for column in schema.columns
    ]
    label, classes = _check_label(schema, raw, label_position, faults)
    return Conformance(site, rows, (*reports, label), classes, (), _first(faults, most_faults))


def _filled(row: tuple[str, ...]) -> bool:
    """Whether a row is more than a blank line."""
    return len(row) > 1 or bool("".join(row).strip())


def _first(faults: list[str], most: int) -> tuple[str, ...]:
    return tuple(faults[:most]) + (("...",) if len(faults) > most else ())


def _same_width(raw: RawTable, site: str) -> None:
    for offset, row in enumerate(raw.rows):
        if len(row) != len(raw.columns):
            raise SchemaMismatch(
                site,
                raw.first_row + offset,
                None,
                f"{len(row)} cells where {len(raw.columns)} are expected",
            )


def _check_column(
    schema: TableSchema, column: Column, raw: RawTable, where: int, faults: list[str]
) -> ColumnReport:
    counts = dict.fromkeys(CELLS, 0)
    for offset, row in enumerate(raw.rows):
        try:
            encode_cell(schema, column, row[where])
        except CellError as error:
            counts[error.kind] += 1
            faults.append(f"row {raw.first_row + offset}, column '{column.name}': {error}")
        else:
            missing = schema.is_missing(column, canonical_token(row[where]))
            counts["missing" if missing else "present"] += 1
    if column.range is not None:
        expected = f"{column.range[0]} to {column.range[1]}"
    else:
        expected = ", ".join(column.codes)
    conforms = not any(counts[name] for name in FAULTS)
    return ColumnReport(column.name, column.unit, expected, show_cells(counts), conforms)


def _check_label(
    schema: TableSchema, raw: RawTable, where: int, faults: list[str]
) -> tuple[ColumnReport, dict[str, str]]:
    counts = dict.fromkeys(CELLS, 0)
    classes: Counter[int] = Counter()
    name = schema.label.column
    for offset, row in enumerate(raw.rows):
        try:
            classes[encode_label(schema, row[where])] += 1
        except CellError as error:
            counts[error.kind] += 1
            faults.append(f"row {raw.first_row + offset}, column '{name}': {error}")
        else:
            counts["present"] += 1
    report = ColumnReport(
        name,
        "",
        ", ".join(schema.label.codes),
        show_cells(counts),
        counts["present"] == len(raw.rows),
    )
    return report, _classes(classes, len(raw.rows) - counts["present"])
