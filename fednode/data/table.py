"""Rows as integers: encoded, not yet scaled, so that every site's rows mean the same.

A numeric value is its place in the schema's range with 16 fractional bits, or MISSING; a category
is one feature per code, 0 or one, all zero where missing; a pixel is its place in its range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from fednode.data.errors import SchemaMismatch
from fednode.data.fixed import MISSING, ONE, half_even
from fednode.data.schema import (
    Column,
    ImageSchema,
    TableSchema,
    canonical_token,
    decimal_or_none,
)


@dataclass(frozen=True, slots=True)
class Table:
    """Encoded rows: `features` int32 (rows, *shape), `labels` and `groups` (site) one per row.

    `held` marks the rows that the source itself reserves for testing, as MNIST does.
    """

    features: NDArray[np.int32]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    held: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))

    def __post_init__(self) -> None:
        if not len(self.held):
            object.__setattr__(self, "held", np.zeros(len(self.labels), dtype=np.bool_))
        counts = {len(self.features), len(self.labels), len(self.groups), len(self.held)}
        if len(counts) != 1:
            raise ValueError("features, labels, groups and held must have one entry per row")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> Table:
        """Pick rows, in the order of the indices."""
        return Table(
            self.features[indices], self.labels[indices], self.groups[indices], self.held[indices]
        )

    @staticmethod
    def concatenate(tables: Sequence[Table]) -> Table:
        """Put the rows of several tables one after the other."""
        return Table(
            np.concatenate([table.features for table in tables]),
            np.concatenate([table.labels for table in tables]),
            np.concatenate([table.groups for table in tables]),
            np.concatenate([table.held for table in tables]),
        )


@dataclass(frozen=True, slots=True)
class RawTable:
    """Cells as text, the columns they belong to, and the number of the first row in its file."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    first_row: int = 1


@dataclass(frozen=True, slots=True)
class RawImages:
    """Pixels uint8 (rows, channels, height, width) and the index of each image's class.

    `names` are those of the images' files, if each has one of its own.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    held: NDArray[np.bool_]
    names: tuple[str, ...] = ()


class CellError(ValueError):
    """A cell that its column does not allow; `kind` is for counting, the text for the owner."""

    def __init__(self, kind: str, reason: str) -> None:
        self.kind = kind
        super().__init__(reason)


def encode_cell(schema: TableSchema, column: Column, text: str) -> tuple[int, ...]:
    """Encode one cell as its column's features."""
    token = canonical_token(text)
    missing = schema.is_missing(column, token)
    if column.type == "category":
        if not missing and token not in column.codes:
            raise CellError("unknown_code", "not one of the schema's codes")
        return tuple(ONE if token == code and not missing else 0 for code in column.codes)
    if missing:
        return (int(MISSING),)
    number = decimal_or_none(token)
    if number is None:
        raise CellError("unreadable", "not a finite number, and not one of the missing values")
    lowest, highest = column.bounds
    if not lowest <= number <= highest:
        unit = f" {column.unit}" if column.unit else ""
        raise CellError("out_of_range", f"outside the schema's range {lowest} to {highest}{unit}")
    return (encode_number(Fraction(number), Fraction(lowest), Fraction(highest)),)


def encode_number(value: Fraction, lowest: Fraction, highest: Fraction) -> int:
    """Place a value in its range, 16 fractional bits, ties to even."""
    return half_even((value - lowest) * ONE / (highest - lowest))


def encode_label(schema: TableSchema, text: str) -> int:
    """Map a label's code to its class."""
    token = canonical_token(text)
    if token not in schema.label.codes:
        kind = "missing" if token in schema.missing else "unknown_code"
        raise CellError(kind, "a label that the schema does not map to a class")
    return schema.label.codes[token]


def column_positions(schema: TableSchema, raw: RawTable, site: str) -> tuple[dict[str, int], int]:
    """Find the schema's columns, and the label's, among a file's; the others may be anything."""
    position = {name: index for index, name in enumerate(raw.columns)}
    wanted = [column.name for column in schema.columns] + [schema.label.column]
    for name in wanted:
        if name not in position:
            raise SchemaMismatch(site, None, name, "the file has no such column")
        if raw.columns.count(name) > 1:
            raise SchemaMismatch(site, None, name, "two columns of the file have the same name")
    return position, position[schema.label.column]


def encode_table(schema: TableSchema, raw: RawTable, *, site: str, group: int) -> Table:
    """Encode a site's cells; the first one that does not fit is named by row and column."""
    position, label_position = column_positions(schema, raw, site)
    width = len(raw.columns)
    for offset, row in enumerate(raw.rows):
        if len(row) != width:
            raise SchemaMismatch(
                site, raw.first_row + offset, None, f"{len(row)} cells where {width} are expected"
            )
    blocks = []
    for column in schema.columns:
        where = position[column.name]
        known: dict[str, tuple[int, ...]] = {}
        cells = []
        for offset, row in enumerate(raw.rows):
            text = row[where]
            if text not in known:
                try:
                    known[text] = encode_cell(schema, column, text)
                except CellError as error:
                    raise SchemaMismatch(
                        site, raw.first_row + offset, column.name, str(error)
                    ) from None
            cells.append(known[text])
        blocks.append(np.array(cells, dtype=np.int32).reshape(len(raw.rows), column.width))
    labels = np.empty(len(raw.rows), dtype=np.int64)
    for offset, row in enumerate(raw.rows):
        try:
            labels[offset] = encode_label(schema, row[label_position])
        except CellError as error:
            raise SchemaMismatch(
                site, raw.first_row + offset, schema.label.column, str(error)
            ) from None
    groups = np.full(len(raw.rows), group, dtype=np.int64)
    return Table(np.concatenate(blocks, axis=1), labels, groups)


def encode_images(schema: ImageSchema, raw: RawImages, *, site: str, group: int) -> Table:
    """Encode a site's images through a table of the 256 possible pixels."""
    if raw.pixels.shape[1:] != schema.shape:
        found = "x".join(map(str, raw.pixels.shape[1:]))
        wanted = "x".join(map(str, schema.shape))
        raise SchemaMismatch(site, None, None, f"images are {found}, the schema says {wanted}")
    lowest, highest = schema.range
    flat = raw.pixels.reshape(len(raw.pixels), -1)
    wrong = np.flatnonzero(((flat < lowest) | (flat > highest)).any(axis=1))
    if len(wrong):
        first = int(wrong[0])
        file = f" in {raw.names[first]}" if raw.names else ""
        reason = f"a pixel{file} outside the range {lowest} to {highest}"
        raise SchemaMismatch(site, first + 1, None, reason)
    places = np.array(
        [
            encode_number(
                Fraction(min(max(pixel, lowest), highest)), Fraction(lowest), Fraction(highest)
            )
            for pixel in range(256)
        ],
        dtype=np.int32,
    )
    groups = np.full(len(raw.labels), group, dtype=np.int64)
    return Table(places[raw.pixels], raw.labels, groups, raw.held)
