"""Reading a user's files with a bound on everything: bytes, members, pixels, dimensions.

Formats: CSV (RFC 4180), IDX (Y. LeCun, MNIST), NPZ without pickles, zip archives of an image
folder. A file that claims more than its bytes hold is refused before anything is allocated.
"""

from __future__ import annotations

import csv
import gzip
import io
import logging
import re
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fednode.data.errors import DataMissing, MalformedData
from fednode.data.pictures import MODES, PictureRefused, pillow, pixels_of
from ledger.utf8 import NotUtf8, decode

log = logging.getLogger("fednode")

MOST_BYTES: Final = 1 << 29
MOST_IMAGE_BYTES: Final = 1 << 24
MOST_IMAGES: Final = 2_000_000
MOST_COLUMNS: Final = 5000

_MEMBER = re.compile(r"(train|test)/([^/\\]+)/[^/\\]+\.(jpg|jpeg|png)", re.IGNORECASE)
_CLASS = re.compile(r"(train|test)/[^/\\]+/", re.IGNORECASE)
_LITTER: Final = frozenset({".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
_IDX_UNSIGNED_BYTE = 0x08
# numpy reads the header of an NPY file with Python's tokenizer and literal_eval.
_NPY_ERRORS = (
    ValueError,
    EOFError,
    SyntaxError,
    TypeError,
    KeyError,
    OverflowError,
    MemoryError,
    RecursionError,
    tokenize.TokenError,
)


def read_bounded(path: Path, *, limit: int = MOST_BYTES) -> bytes:
    """Read a file, unpacking gzip by its name, up to a number of bytes."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        raise DataMissing(path, "data file") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise MalformedData(path, f"damaged gzip file ({error})") from None
    except OSError as error:
        raise MalformedData(path, error.strerror or "cannot be opened") from None
    if len(data) > limit:
        raise MalformedData(path, f"more than {limit} bytes")
    return data


def read_csv(data: bytes, path: Path | str, *, delimiter: str = ",") -> list[tuple[str, ...]]:
    """Split CSV text into rows of cells; blank lines at the end are dropped."""
    try:
        text = decode(data)
    except NotUtf8 as error:
        raise MalformedData(path, str(error)) from None
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[tuple[str, ...]] = []
    try:
        for row in reader:
            if len(row) > MOST_COLUMNS:
                raise MalformedData(path, f"row {len(rows) + 1} has over {MOST_COLUMNS} cells")
            rows.append(tuple(row))
    except csv.Error as error:
        raise MalformedData(path, f"not CSV near row {len(rows) + 1} ({error})") from None
    while rows and not any(cell.strip() for cell in rows[-1]):
        rows.pop()
    if not rows:
        raise MalformedData(path, "no rows")
    return rows


def parse_idx(data: bytes, path: Path | str) -> NDArray[np.uint8]:
    """Read an IDX array of unsigned bytes; its dimensions must account for every byte."""
    if len(data) < 4 or data[:2] != b"\0\0":
        raise MalformedData(path, "not an IDX file (it must start with two zero bytes)")
    kind, dimensions = data[2], data[3]
    if kind != _IDX_UNSIGNED_BYTE:
        raise MalformedData(path, f"IDX element type 0x{kind:02x}; only unsigned bytes are read")
    start = 4 + 4 * dimensions
    if not 1 <= dimensions <= 4 or len(data) < start:
        raise MalformedData(path, f"IDX header with {dimensions} dimensions is cut short or odd")
    shape = tuple(
        int.from_bytes(data[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(dimensions)
    )
    if prod(shape) != len(data) - start:
        raise MalformedData(
            path, f"IDX header promises {prod(shape)} bytes, {len(data) - start} follow"
        )
    return np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape)


def read_npz(path: Path) -> dict[str, NDArray[np.generic]]:
    """Read the arrays of an NPZ file, never a pickled object."""
    arrays: dict[str, NDArray[np.generic]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > MOST_BYTES:
                raise MalformedData(path, f"arrays of more than {MOST_BYTES} bytes")
            for member in archive.infolist():
                if is_litter(member.filename):
                    continue
                with archive.open(member) as file:
                    data = file.read(member.file_size + 1)
                arrays[member.filename.removesuffix(".npy")] = parse_npy(data, path)
    except FileNotFoundError:
        raise DataMissing(path, "NPZ file") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise MalformedData(path, f"damaged NPZ file ({error})") from None
    except OSError as error:
        raise MalformedData(path, error.strerror or "cannot be opened") from None
    return arrays


def parse_npy(data: bytes, path: Path | str) -> NDArray[np.generic]:
    """Read one NPY array whose header promises no more than the bytes that follow it."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
        else:
            raise MalformedData(path, f"NPY version {version} is not read")
        if dtype.hasobject or dtype.kind not in "biufU":
            raise MalformedData(path, f"arrays of {dtype} are not read; save numbers or texts")
        if prod(shape) * dtype.itemsize != len(data) - stream.tell():
            raise MalformedData(path, "an NPY header does not match its bytes")
        stream.seek(0)
        array: NDArray[np.generic] = np.lib.format.read_array(stream, allow_pickle=False)
    except _NPY_ERRORS as error:
        raise MalformedData(path, f"damaged NPY array ({type(error).__name__})") from None
    return array


def is_litter(name: str) -> bool:
    """Whether a member of an archive is what file managers of macOS and Windows leave there."""
    parts = name.lower().split("/")
    return "__macosx" in parts or parts[-1] in _LITTER or parts[-1].startswith("._")


@dataclass(frozen=True)
class ImageZip:
    """A zip archive of `train/<class>/<name>.jpg` and `test/<class>/<name>.jpg` (or .png)."""

    path: Path
    shape: tuple[int, int, int]

    @cached_property
    def members(self) -> list[tuple[str, str, bool]]:
        """Name, class and whether it is a test image, sorted by name."""
        found = []
        with self._archive() as archive:
            infos = archive.infolist()
            if len(infos) > MOST_IMAGES:
                raise MalformedData(self.path, f"more than {MOST_IMAGES} members")
            for info in infos:
                if info.is_dir() or is_litter(info.filename):
                    continue
                match = _MEMBER.fullmatch(info.filename)
                if match is None:
                    raise MalformedData(
                        self.path,
                        f"member {info.filename[:80]!r} is not train|test/<class>/<name>.jpg|.png",
                    )
                if info.file_size > MOST_IMAGE_BYTES:
                    raise MalformedData(self.path, f"{info.filename} is larger than 16 MiB")
                found.append((info.filename, match[2], match[1].lower() == "test"))
        if not found:
            raise MalformedData(self.path, "no images")
        self._require_filled([info.filename for info in infos if info.is_dir()], found)
        return sorted(found)

    def _require_filled(self, folders: list[str], found: list[tuple[str, str, bool]]) -> None:
        """Refuse a class whose folder is there without a picture."""
        filled = {name.rpartition("/")[0] + "/" for name, _, _ in found}
        for folder in folders:
            if _CLASS.fullmatch(folder) and folder not in filled and not is_litter(folder[:-1]):
                raise MalformedData(
                    self.path, f"folder {folder[:80]!r} has no images: fill it, or take it out"
                )

    def pixels(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Decode some images, (rows, channels, height, width)."""
        if self.shape[0] not in MODES:
            raise MalformedData(
                self.path, f"no image has {self.shape[0]} channels: mend schema.shape"
            )
        image = pillow("images")
        result = np.empty((len(indices), *self.shape), dtype=np.uint8)
        coloured = []
        with self._archive() as archive:
            for row, index in enumerate(indices.tolist()):
                name = self.members[index][0]
                result[row], luma = self._decode(archive, image, name)
                coloured += [name] if luma else []
        if coloured:
            log.warning(
                "%s: %d images have colours and are read as grey (ITU-R 601 luma), the first is "
                "%s: schema.shape has 1 channel",
                self.path,
                len(coloured),
                coloured[0],
            )
        return result

    def _archive(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except FileNotFoundError:
            raise DataMissing(self.path, "image archive") from None
        except (zipfile.BadZipFile, zlib.error) as error:
            raise MalformedData(self.path, f"damaged zip archive ({error})") from None
        except OSError as error:
            raise MalformedData(self.path, error.strerror or "cannot be opened") from None

    def _decode(
        self, archive: zipfile.ZipFile, image: ModuleType, name: str
    ) -> tuple[NDArray[np.uint8], bool]:
        try:
            with archive.open(name) as file:
                return pixels_of(file.read(MOST_IMAGE_BYTES + 1), self.shape, image)
        except PictureRefused as refused:
            raise MalformedData(self.path, f"{name} {refused}") from None
        except (OSError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise MalformedData(self.path, f"{name} is not an image ({error})") from None
