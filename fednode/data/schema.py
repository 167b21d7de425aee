"""What a site's rows look like: the part of the policy that every site's file is checked against.

A table's schema names each column's unit, range, codes and missing values; an image's schema its
shape and classes. From it alone follow the names, order and width of the encoded features.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    model_validator,
)

DEFAULT_MISSING = ("", "?")

StrictInt = Annotated[int, Strict()]
StrictBool = Annotated[bool, Strict()]


def canonical_token(text: str) -> str:
    """Write a cell's text in one way, so that "1", "1.0" and " 01" are one code."""
    stripped = text.strip()
    number = decimal_or_none(stripped)
    return stripped if number is None else plain(number)


MOST_DIGITS = 64


def decimal_or_none(text: str) -> Decimal | None:
    """Parse a finite decimal of at most 64 characters; None for anything else."""
    if len(text) > MOST_DIGITS or "_" in text or not text.isascii():
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number.adjusted()) <= MOST_DIGITS else None


def writable(number: Decimal) -> bool:
    """Whether a decimal, written without an exponent, is one that `decimal_or_none` reads.

    The size is looked at before anything is written: `1e999999999` would take a gigabyte.
    """
    if not number.is_finite() or abs(number.adjusted()) > MOST_DIGITS:
        return False
    return len(number.as_tuple().digits) <= MOST_DIGITS and len(plain(number)) <= MOST_DIGITS


def plain(number: Decimal) -> str:
    """Write a decimal without exponent or trailing zeros, exactly."""
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _decimal(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a number, not true or false")
    if isinstance(value, float):
        value = repr(value)
    if isinstance(value, int):
        value = Decimal(value)
    if isinstance(value, str):
        value = decimal_or_none(value.strip())
    if not isinstance(value, Decimal) or not value.is_finite():
        raise ValueError(f"not a finite decimal number of at most {MOST_DIGITS} characters")
    if not writable(value):
        raise ValueError(f"has more than {MOST_DIGITS} characters, written out without an exponent")
    return value


def _trim(value: Decimal) -> Decimal:
    return Decimal(plain(value))


def _token(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError("a text or a number")
    return canonical_token(str(value))


ExactDecimal = Annotated[
    Decimal, BeforeValidator(_decimal), AfterValidator(_trim), Field(allow_inf_nan=False)
]
"""A decimal fraction that is kept as written; a float never enters a policy."""

Token = Annotated[str, BeforeValidator(_token), Field(max_length=200)]
"""A cell's text in canonical form."""


def _one_line(text: str) -> str:
    for place, character in enumerate(text):
        if character < " " or character == "\x7f":
            raise ValueError(
                "must be one line of printable characters: "
                f"character {place + 1} is U+{ord(character):04X}"
            )
    return text


MOST_NAME: Final = 100
Name = Annotated[str, Field(min_length=1, max_length=MOST_NAME), AfterValidator(_one_line)]


class Section(BaseModel):
    """A part of the policy: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(Section):
    """One column: numbers within a range, or one of a few codes."""

    name: Name
    unit: str = Field(default="", max_length=50)
    type: Literal["numeric", "category"]
    range: tuple[ExactDecimal, ExactDecimal] | None = None
    codes: tuple[Token, ...] = Field(default=(), max_length=1000)
    missing: tuple[Token, ...] = Field(default=(), max_length=100)

    @model_validator(mode="after")
    def _consistent(self) -> Column:
        if self.type == "numeric":
            if self.range is None:
                raise ValueError("range: a numeric column needs range = [lowest, highest]")
            if self.range[0] >= self.range[1]:
                raise ValueError("range: must be [lowest, highest] with lowest < highest")
            if self.codes:
                raise ValueError("codes: belong to a column of type 'category'")
            return self
        if self.range is not None:
            raise ValueError("range: belongs to a column of type 'numeric'")
        if not self.codes:
            raise ValueError("codes: a category column needs them")
        if len(set(self.codes)) != len(self.codes):
            raise ValueError("codes: a code is named twice")
        if set(self.codes) & set(self.missing):
            raise ValueError("missing: one of the codes is also named as missing")
        return self

    @property
    def bounds(self) -> tuple[Decimal, Decimal]:
        """Lowest and highest value of a numeric column."""
        assert self.range is not None
        return self.range

    @property
    def width(self) -> int:
        """Encoded features of this column."""
        return 1 if self.type == "numeric" else len(self.codes)


def _codes(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    return {canonical_token(str(key)): code for key, code in value.items()}


class Label(Section):
    """The column to predict, and the class that each of its codes stands for."""

    column: Name
    codes: Annotated[
        dict[str, Annotated[int, Strict(), Field(ge=0, lt=1000)]], BeforeValidator(_codes)
    ]
    names: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Label:
        used = sorted(set(self.codes.values()))
        if len(used) < 2 or used != list(range(len(used))):
            raise ValueError("codes: must map to classes 0, 1, ... without a gap, at least two")
        if self.names and len(self.names) != len(used):
            raise ValueError(f"names: must name each of the {len(used)} classes")
        return self


class TableSchema(Section):
    """Rows of named columns and a label."""

    kind: Literal["table"] = "table"
    columns: tuple[Column, ...] = Field(min_length=1, max_length=4096)
    label: Label
    missing: tuple[Token, ...] = DEFAULT_MISSING

    @model_validator(mode="after")
    def _consistent(self) -> TableSchema:
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise ValueError("columns: two have the same name")
        if self.label.column in names:
            raise ValueError(f"label: '{self.label.column}' is also a feature column")
        return self

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the encoded features, in order."""
        return tuple(
            name
            for column in self.columns
            for name in (
                (column.name,)
                if column.type == "numeric"
                else tuple(f"{column.name}={code}" for code in column.codes)
            )
        )

    @property
    def features(self) -> int:
        """Width of an encoded row."""
        return sum(column.width for column in self.columns)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an encoded row."""
        return (self.features,)

    @property
    def numeric(self) -> tuple[int, ...]:
        """Indexes of the encoded features that come from numeric columns."""
        indexes, position = [], 0
        for column in self.columns:
            if column.type == "numeric":
                indexes.append(position)
            position += column.width
        return tuple(indexes)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in order."""
        count = len(set(self.label.codes.values()))
        return self.label.names or tuple(str(index) for index in range(count))

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def is_missing(self, column: Column, token: str) -> bool:
        """Whether a canonical token stands for a value that was not recorded."""
        return token in self.missing or token in column.missing


class ImageSchema(Section):
    """Images of one shape, pixels in a range of integers, one class each."""

    kind: Literal["image"]
    shape: tuple[
        Annotated[int, Strict(), Field(ge=1, le=4)],
        Annotated[int, Strict(), Field(ge=1, le=1024)],
        Annotated[int, Strict(), Field(ge=1, le=1024)],
    ]
    labels: tuple[Token, ...] = Field(min_length=2, max_length=1000)
    range: tuple[
        Annotated[int, Strict(), Field(ge=0, le=255)],
        Annotated[int, Strict(), Field(ge=0, le=255)],
    ] = (0, 255)

    @model_validator(mode="after")
    def _consistent(self) -> ImageSchema:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels: a label is named twice")
        if self.range[0] >= self.range[1]:
            raise ValueError("range: must be [lowest, highest] with lowest < highest")
        return self

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the encoded features, in order."""
        channels, height, width = self.shape
        return tuple(
            f"pixel[{c},{y},{x}]"
            for c in range(channels)
            for y in range(height)
            for x in range(width)
        )

    @property
    def features(self) -> int:
        """Number of values of an encoded image."""
        channels, height, width = self.shape
        return channels * height * width

    @property
    def numeric(self) -> tuple[int, ...]:
        """No pixel is imputed or scaled by statistics."""
        return ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in order."""
        return self.labels

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.labels)


def _kind(value: Any) -> Any:  # noqa: ANN401 - pydantic hands over whatever the file holds
    if isinstance(value, dict) and "kind" not in value:
        return {**value, "kind": "table"}
    return value


Schema: TypeAlias = TableSchema | ImageSchema
"""The schema of a federation's rows."""

SchemaField = Annotated[
    Annotated[TableSchema | ImageSchema, Field(discriminator="kind")], BeforeValidator(_kind)
]
"""A schema as a field of a policy: `kind` chooses, and may be left out for a table."""
