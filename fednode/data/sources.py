"""Where rows come from: four hospitals' files, bundled sets, and the formats of a user's own.

A source knows its sites and loads one site's rows as integers. Sources without sites of their own
are cut by the policy's partition, the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from fednode.data.errors import (
    DataError,
    DataMissing,
    DataNotPublic,
    ExtraMissing,
    MalformedData,
    SchemaMismatch,
    UnknownSite,
)
from fednode.data.files import ImageZip, parse_idx, read_bounded, read_csv, read_npz
from fednode.data.partition import PartitionSpec, deal, deal_evenly, shuffled
from fednode.data.paths import SITE, inside, path_fault, resolve
from fednode.data.schema import (
    ExactDecimal,
    ImageSchema,
    Schema,
    Section,
    StrictBool,
    StrictInt,
    TableSchema,
    canonical_token,
)
from fednode.data.table import RawImages, RawTable, Table, encode_images, encode_table

HEART_FILES: Final = {
    "cleveland": "processed.cleveland.data",
    "budapest": "processed.hungarian.data",
    "zurich": "processed.switzerland.data",
    "long-beach": "processed.va.data",
}
HEART_COLUMNS: Final = (
    "age",
    "sex",
    "cp",
    "trestbps",
    "chol",
    "fbs",
    "restecg",
    "thalach",
    "exang",
    "oldpeak",
    "slope",
    "ca",
    "thal",
    "num",
)
_SAMPLE_DOMAIN: Final = 0x5A3B1E
_HELD_DOMAIN: Final = 1
_NEEDS_PATH: Final = ("mnist", "images", "csv", "npz")

SiteName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


def _path(text: str) -> str:
    # A site's name starts with a letter or digit, so it stands for an ordinary part of the path.
    fault = path_fault(text.replace(SITE, "site"))
    if fault is not None:
        raise ValueError(fault)
    return text


DataPath = Annotated[str, AfterValidator(_path)]


def _sites(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= 100_000:
            raise ValueError("a number of sites from 1 to 100000, or a list of names")
        return tuple(f"site-{index}" for index in range(value))
    return value


class SplitSpec(Section):
    """Seed of the three sets and the shares of a site's rows that are not trained on."""

    seed: Annotated[StrictInt, Field(ge=0, lt=1 << 63)] = 0
    valuation: ExactDecimal = Field(default=Decimal("0.2"), ge=0, lt=1)
    test: ExactDecimal = Field(default=Decimal("0.3"), ge=0, lt=1)

    @model_validator(mode="after")
    def _consistent(self) -> SplitSpec:
        if self.valuation + self.test >= 1:
            raise ValueError("valuation: with test, leaves no rows to train on")
        return self

    @property
    def shares(self) -> tuple[Fraction, Fraction]:
        """Valuation and test share as exact fractions."""
        return Fraction(self.valuation), Fraction(self.test)


class DataSpec(Section):
    """The policy's data section: source, sites, and whether their rows may be seen by anybody."""

    source: Literal["heart", "digits", "breast_cancer", "mnist", "images", "csv", "npz"]
    path: DataPath | None = None
    public: StrictBool | tuple[SiteName, ...] = False
    sites: Annotated[tuple[SiteName, ...], BeforeValidator(_sites)] = ()
    partition: PartitionSpec = PartitionSpec()
    split: SplitSpec = SplitSpec()
    rows: Annotated[StrictInt, Field(ge=1, lt=1 << 32)] | None = None
    header: StrictBool = True
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    statistics: StrictBool = True

    @model_validator(mode="after")
    def _consistent(self) -> DataSpec:
        if len(set(self.sites)) != len(self.sites):
            raise ValueError("sites: a site is named twice")
        natural = self.partition.kind == "natural"
        if self.source == "heart":
            strangers = [site for site in self.sites if site not in HEART_FILES]
            if natural and strangers:
                raise ValueError(f"sites: heart has {', '.join(HEART_FILES)}, not {strangers[0]}")
        elif not self.sites:
            raise ValueError("sites: missing; give a list of names, or how many")
        if self.source in _NEEDS_PATH and self.path is None:
            raise ValueError(f"path: missing; source '{self.source}' reads a user's file")
        if natural and self.source in ("digits", "breast_cancer", "mnist", "images"):
            raise ValueError(
                f"partition.kind: '{self.source}' has no natural sites; "
                "set iid, dirichlet or classes"
            )
        if natural and len(self.sites) > 1 and SITE not in (self.path or SITE):
            raise ValueError("path: must contain {site}: with natural sites each has its own file")
        for site in self.sites if natural else ():
            fault = path_fault((self.path or SITE).replace(SITE, site))
            if fault is not None:
                raise ValueError(f"path: of site '{site}' {fault}")
        if natural and self.rows is not None:
            raise ValueError("rows: only partitioned rows can be sampled")
        if isinstance(self.public, tuple):
            for site in self.public:
                if site not in self.site_names:
                    raise ValueError(f"public: '{site}' is not one of the sites")
        return self

    @property
    def site_names(self) -> tuple[str, ...]:
        """The sites, in the order of their indexes."""
        if self.source == "heart" and not self.sites:
            return tuple(HEART_FILES)
        return self.sites

    def is_public(self, site: str) -> bool:
        """Whether the owner allows everybody to see what is computed from the site's rows."""
        return self.public if isinstance(self.public, bool) else site in self.public


def site_index(spec: DataSpec, site: str) -> int:
    """Find a site's index among the policy's sites."""
    if site not in spec.site_names:
        raise UnknownSite(site, spec.site_names)
    return spec.site_names.index(site)


def require_public(spec: DataSpec, *sites: str) -> None:
    """Refuse sites (all, if none is named) whose owner has not marked their data public."""
    for site in sites or spec.site_names:
        site_index(spec, site)
        if not spec.is_public(site):
            raise DataNotPublic(site)


class Source(Protocol):
    """A set of sites, each with its own rows."""

    @property
    def sites(self) -> Sequence[str]:
        """Names of the sites; a site's index here is the group of its rows."""

    def load(self, site: str) -> Table:
        """Read and encode a site's rows."""


def open_source(spec: DataSpec, schema: Schema, base_dir: Path | str = ".") -> Source:
    """Make the policy's source; relative paths start at `base_dir`. Files are read by `load`."""
    base = Path(base_dir)
    if spec.source in ("digits", "mnist", "images"):
        if not isinstance(schema, ImageSchema):
            raise _wrong_kind(spec.source, "image")
        return ImageSource(spec, schema, _image_rows(spec, schema, base))
    if spec.source == "npz" and isinstance(schema, ImageSchema):
        if spec.partition.kind == "natural":
            return NaturalImages(spec, schema, lambda site: _npz_images(spec, schema, base, site))
        return ImageSource(spec, schema, lambda: _npz_images(spec, schema, base, ""))
    if not isinstance(schema, TableSchema):
        raise _wrong_kind(spec.source, "table")
    if spec.partition.kind == "natural":
        return NaturalTables(spec, schema, _table_reader(spec, schema, base))
    return DealtTable(spec, schema, _table_reader(spec, schema, base))


def _wrong_kind(source: str, kind: str) -> DataError:
    return DataError(f"data.source '{source}' holds {kind} rows: set schema.kind = \"{kind}\"")


@dataclass(frozen=True)
class NaturalTables:
    """One file of cells per site."""

    spec: DataSpec
    schema: TableSchema
    read: Callable[[str], RawTable]

    @property
    def sites(self) -> Sequence[str]:
        """Names of the sites."""
        return self.spec.site_names

    def raw(self, site: str) -> RawTable:
        """Read a site's cells."""
        site_index(self.spec, site)
        return self.read(site)

    def load(self, site: str) -> Table:
        """Read and encode a site's rows."""
        group = site_index(self.spec, site)
        return encode_table(self.schema, self.read(site), site=site, group=group)


@dataclass(frozen=True)
class DealtTable:
    """One file of cells, dealt to the sites by the partition."""

    spec: DataSpec
    schema: TableSchema
    read: Callable[[str], RawTable]

    @property
    def sites(self) -> Sequence[str]:
        """Names of the sites."""
        return self.spec.site_names

    @cached_property
    def _all(self) -> tuple[Table, list[NDArray[np.int64]]]:
        table = encode_table(self.schema, self.read(""), site="all", group=0)
        return table, _deal(table.labels, table.held, self.spec)

    def raw(self, site: str) -> RawTable:
        """Read the cells of all sites: the partition needs their labels."""
        site_index(self.spec, site)
        return self.read("")

    def load(self, site: str) -> Table:
        """Take a site's rows."""
        group = site_index(self.spec, site)
        table, parts = self._all
        rows = table.take(parts[group])
        return Table(rows.features, rows.labels, np.full(len(rows), group), rows.held)


class ImageRows(Protocol):
    """Images that are decoded only when a site asks for them."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class of each image."""

    @property
    def held(self) -> NDArray[np.bool_]:
        """Whether the source reserves each image for testing."""

    def pixels(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return some images, (rows, channels, height, width)."""

    def names(self, indices: NDArray[np.int64]) -> tuple[str, ...]:
        """Return the names of some images' files; of images in one array none."""


@dataclass(frozen=True)
class ArrayRows:
    """Images that are already in memory."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    held: NDArray[np.bool_]

    def pixels(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return some images."""
        return self.images[indices]

    def names(self, indices: NDArray[np.int64]) -> tuple[str, ...]:
        """Return no names."""
        return ()


@dataclass(frozen=True)
class ZipRows:
    """Images in an archive."""

    archive: ImageZip
    labels: NDArray[np.int64]
    held: NDArray[np.bool_]

    def pixels(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Decode some images."""
        return self.archive.pixels(indices)

    def names(self, indices: NDArray[np.int64]) -> tuple[str, ...]:
        """Return some members' names."""
        return tuple(self.archive.members[index][0] for index in indices.tolist())


@dataclass(frozen=True)
class ImageSource:
    """One collection of images, dealt to the sites by the partition."""

    spec: DataSpec
    schema: ImageSchema
    read: Callable[[], ImageRows]

    @property
    def sites(self) -> Sequence[str]:
        """Names of the sites."""
        return self.spec.site_names

    @cached_property
    def _all(self) -> tuple[ImageRows, list[NDArray[np.int64]]]:
        rows = self.read()
        return rows, _deal(rows.labels, rows.held, self.spec)

    def load(self, site: str) -> Table:
        """Decode and encode a site's images."""
        group = site_index(self.spec, site)
        rows, parts = self._all
        mine = parts[group]
        raw = RawImages(rows.pixels(mine), rows.labels[mine], rows.held[mine], rows.names(mine))
        return encode_images(self.schema, raw, site=site, group=group)


@dataclass(frozen=True)
class NaturalImages:
    """One file of images per site."""

    spec: DataSpec
    schema: ImageSchema
    read: Callable[[str], ArrayRows]

    @property
    def sites(self) -> Sequence[str]:
        """Names of the sites."""
        return self.spec.site_names

    def load(self, site: str) -> Table:
        """Read and encode a site's images."""
        group = site_index(self.spec, site)
        rows = self.read(site)
        raw = RawImages(rows.images, rows.labels, rows.held)
        return encode_images(self.schema, raw, site=site, group=group)


def _deal(
    labels: NDArray[np.int64], held: NDArray[np.bool_], spec: DataSpec
) -> list[NDArray[np.int64]]:
    """Deal training rows by the partition and reserved test rows evenly."""
    chosen = np.arange(len(labels), dtype=np.int64)
    if spec.rows is not None and spec.rows < len(chosen):
        chosen = np.sort(shuffled(chosen, _SAMPLE_DOMAIN, spec.partition.seed)[: spec.rows])
    training, reserved = chosen[~held[chosen]], chosen[held[chosen]]
    sites = len(spec.site_names)
    parts = deal(labels[training], sites, spec.partition)
    tests = deal_evenly(len(reserved), sites, spec.partition.seed, domain=_HELD_DOMAIN)
    return [
        np.concatenate([training[part], reserved[test]])
        for part, test in zip(parts, tests, strict=True)
    ]


def _resolve(spec: DataSpec, base: Path, site: str) -> Path:
    assert spec.path is not None
    return resolve(base, spec.path, site)


def _table_reader(spec: DataSpec, schema: TableSchema, base: Path) -> Callable[[str], RawTable]:
    if spec.source == "heart":
        return _heart
    if spec.source == "breast_cancer":
        return lambda site: _breast_cancer()
    if spec.source == "npz":
        return lambda site: _npz_table(schema, _resolve(spec, base, site))
    return lambda site: _csv(spec, schema, _resolve(spec, base, site))


def _heart(site: str) -> RawTable:
    folder = resources.files("fednode.data").joinpath("heart")
    rows: list[tuple[str, ...]] = []
    for name in [HEART_FILES[site]] if site else HEART_FILES.values():
        rows += read_csv(folder.joinpath(name).read_bytes(), name)
    return RawTable(HEART_COLUMNS, tuple(rows))


def _csv(spec: DataSpec, schema: TableSchema, path: Path) -> RawTable:
    rows = read_csv(read_bounded(path), path, delimiter=spec.delimiter)
    if spec.header:
        if len(rows) == 1:
            raise MalformedData(path, "no rows below the header")
        return RawTable(tuple(name.strip() for name in rows[0]), tuple(rows[1:]), first_row=2)
    names = (*(column.name for column in schema.columns), schema.label.column)
    return RawTable(names, tuple(rows))


def _breast_cancer() -> RawTable:
    try:
        from sklearn.datasets import load_breast_cancer
    except ImportError:
        raise ExtraMissing("scikit-learn", "breast_cancer") from None
    bunch = load_breast_cancer()
    names = (*(str(name) for name in bunch.feature_names), "target")
    rows = zip(bunch.data.tolist(), bunch.target.tolist(), strict=True)
    return RawTable(names, tuple((*map(repr, row), str(label)) for row, label in rows))


def _npz_arrays(path: Path) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    arrays = read_npz(path)
    for name in ("x", "y"):
        if name not in arrays:
            raise DataMissing(path, f"array '{name}'", "save it with numpy.savez(file, x=, y=)")
    x, y = arrays["x"], arrays["y"]
    if y.ndim != 1 or x.ndim < 2 or len(x) != len(y) or not len(y):
        raise MalformedData(path, "x must have one row, and y one label, per example")
    return x, y


def _npz_table(schema: TableSchema, path: Path) -> RawTable:
    x, y = _npz_arrays(path)
    names = tuple(column.name for column in schema.columns)
    if x.ndim != 2 or x.shape[1] != len(names):
        raise MalformedData(path, f"x must have the schema's {len(names)} columns")
    rows = zip(x.tolist(), y.tolist(), strict=True)
    return RawTable(
        (*names, schema.label.column),
        tuple((*map(str, row), str(label)) for row, label in rows),
    )


def _npz_images(spec: DataSpec, schema: ImageSchema, base: Path, site: str) -> ArrayRows:
    path = _resolve(spec, base, site)
    x, y = _npz_arrays(path)
    if x.dtype.kind not in "iu":
        raise MalformedData(path, "image pixels in x must be integers")
    images = x.astype(np.int64)
    if images.size and not 0 <= images.min() <= images.max() <= 255:
        raise MalformedData(path, "image pixels in x must lie in 0..255")
    if images.ndim == 3:
        images = images[:, None]
    labels = _label_indexes(schema, [str(label) for label in y.tolist()], site or "all")
    return ArrayRows(images.astype(np.uint8), labels, np.zeros(len(labels), dtype=np.bool_))


def _image_rows(spec: DataSpec, schema: ImageSchema, base: Path) -> Callable[[], ImageRows]:
    if spec.source == "digits":
        return lambda: _digits(schema)
    if spec.source == "mnist":
        return lambda: _mnist(schema, _resolve(spec, base, ""))
    return lambda: _zip(schema, _resolve(spec, base, ""))


def _digits(schema: ImageSchema) -> ImageRows:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ExtraMissing("scikit-learn", "digits") from None
    bunch = load_digits()
    labels = _label_indexes(schema, [str(label) for label in bunch.target.tolist()], "all")
    images = bunch.images.astype(np.uint8)[:, None]
    return ArrayRows(images, labels, np.zeros(len(labels), dtype=np.bool_))


def _mnist(schema: ImageSchema, folder: Path) -> ImageRows:
    images, labels = [], []
    for part in ("train", "t10k"):
        pixels = _idx(folder, f"{part}-images", "idx3-ubyte")
        names = _idx(folder, f"{part}-labels", "idx1-ubyte")
        if pixels.ndim != 3 or names.ndim != 1 or len(pixels) != len(names):
            raise MalformedData(folder, f"{part}: images and labels do not belong together")
        images.append(pixels[:, None])
        labels.append(names)
    if images[0].shape[1:] != images[1].shape[1:]:
        raise MalformedData(folder, "training and test images differ in size")
    held = np.concatenate([np.zeros(len(labels[0]), np.bool_), np.ones(len(labels[1]), np.bool_)])
    texts = [str(label) for part in labels for label in part.tolist()]
    return ArrayRows(np.concatenate(images), _label_indexes(schema, texts, "all"), held)


def _idx(folder: Path, stem: str, kind: str) -> NDArray[np.uint8]:
    for separator in ("-", "."):
        for suffix in ("", ".gz"):
            path = inside(folder, f"{stem}{separator}{kind}{suffix}")
            if path.is_file():
                return parse_idx(read_bounded(path), path)
    raise DataMissing(
        folder / f"{stem}-{kind}", "IDX file", "data.path must be the folder of the four files"
    )


def _zip(schema: ImageSchema, path: Path) -> ImageRows:
    archive = ImageZip(path, schema.shape)
    for name, label, _ in archive.members:
        if canonical_token(label) not in schema.labels:
            raise MalformedData(path, f"{name}: its folder is no class of schema.labels")
    labels = _label_indexes(schema, [name for _, name, _ in archive.members], "all")
    held = np.array([test for _, _, test in archive.members], dtype=np.bool_)
    return ZipRows(archive, labels, held)


def _label_indexes(schema: ImageSchema, names: Sequence[str], site: str) -> NDArray[np.int64]:
    index = {label: position for position, label in enumerate(schema.labels)}
    labels = np.empty(len(names), dtype=np.int64)
    for row, name in enumerate(names):
        position = index.get(canonical_token(name))
        if position is None:
            raise SchemaMismatch(site, row + 1, None, "a class that schema.labels does not name")
        labels[row] = position
    return labels
