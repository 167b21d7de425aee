"""Records as deterministic dag-cbor: one value, one encoding, hence one digest.

Values are None, booleans, 64-bit signed integers, text, bytes, lists, maps with text keys, and
links (`CID`). Floats do not exist: a record is compared by its digest, and a float's text or
rounding would be part of the agreement. Integers beyond 64 bits are written as decimal text.

The dag-cbor library refuses wrong order and wrong text, but recurses once per level, allocates what
a head announces and is slow, so a flat scan bounds nesting, lengths and numbers before it sees
anything, and checks the form of heads and links.

Records come from strangers. A decoder reads each field with one of the functions below, which
answer a value of the type, range and length that was asked for, or MalformedRecord.

Source: https://ipld.io/specs/codecs/dag-cbor/spec/, RFC 8949.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, TypeVar, cast

import dag_cbor
import multiformats
from dag_cbor.decoding import CBORDecodingError

from ledger.cid import CID, CID_SIZE, Codec
from ledger.errors import MalformedRecord

Value: TypeAlias = bool | int | str | bytes | CID | Sequence["Value"] | Mapping[str, "Value"] | None
T = TypeVar("T")

MAX_DEPTH = 32
MAX_SIZE = 1 << 20
MAX_ITEMS = 1 << 16
MAX_LINKS = 1 << 12
MOST_INT = (1 << 63) - 1
_INT64 = range(-(1 << 63), 1 << 63)
_LINK_TAG = 42
_LINK_HEAD = b"\x58\x25\x00"


def encode(value: Value) -> bytes:
    """Encode a value, within what `decode` accepts; it gives the same bytes on every machine."""
    try:
        data = dag_cbor.encode(cast(dag_cbor.IPLDKind, _to_library(value, 0)))
    except UnicodeEncodeError as error:
        raise MalformedRecord("dag-cbor", f"text is not valid unicode: {error}") from error
    _scan(data)
    return data


def decode(data: bytes, *, limit: int = MAX_SIZE) -> Value:
    """Decode canonical bytes of at most `limit` bytes and 32 levels; links come back as `CID`."""
    data = bytes(data)
    _scan(data, limit)
    try:
        return _from_library(dag_cbor.decode(data))
    except CBORDecodingError as error:
        reason = " ".join(str(error).split())[:300]
        raise MalformedRecord("dag-cbor", reason) from error


def decode_map(
    data: bytes, kind: str, keys: Sequence[str], *, limit: int = MAX_SIZE
) -> Mapping[str, Value]:
    """Decode a map that has exactly these keys; `kind` names the record in errors."""
    value = decode(data, limit=limit)
    if not isinstance(value, dict):
        raise MalformedRecord(kind, f"expected a map, found {type(value).__name__}")
    if set(value) != set(keys):
        wrong = sorted(set(value) ^ set(keys))
        raise MalformedRecord(kind, f"keys missing or unknown: {', '.join(wrong)[:200]}")
    return value


def field(record: Mapping[str, Value], name: str, type_: type[T], *, kind: str) -> T:
    """Return a field of exactly this type."""
    value = record.get(name)
    if not isinstance(value, type_) or (isinstance(value, bool) and type_ is not bool):
        raise MalformedRecord(
            kind, f"{name} must be {type_.__name__}, found {type(value).__name__}"
        )
    return value


def integer(
    record: Mapping[str, Value], name: str, *, kind: str, least: int = 0, most: int = MOST_INT
) -> int:
    """Return a field that is a number from `least` to `most`. True is none."""
    value = field(record, name, int, kind=kind)
    if not least <= value <= most:
        raise MalformedRecord(kind, f"{name} must be from {least} to {most}, found {value}")
    return value


def items(
    record: Mapping[str, Value],
    name: str,
    type_: type[T],
    *,
    kind: str,
    what: str,
    fits: Callable[[T], bool] = lambda _: True,
) -> tuple[T, ...]:
    """Return a field that is a list of values of exactly this type that fit; `what` says which."""
    values: list[Value] = field(record, name, list, kind=kind)
    found = tuple(value for value in values if type(value) is type_)
    if len(found) != len(values) or not all(map(fits, found)):
        raise MalformedRecord(kind, f"{name} must be {what}")
    return found


def integers(
    record: Mapping[str, Value], name: str, *, kind: str, least: int = 0, most: int = MOST_INT
) -> tuple[int, ...]:
    """Return a field that is a list of numbers from `least` to `most`. True is none."""
    what, fits = f"numbers from {least} to {most}", lambda value: least <= value <= most
    return items(record, name, int, kind=kind, what=what, fits=fits)


def string(record: Mapping[str, Value], name: str, *sizes: int, kind: str) -> bytes:
    """Return a field that is a string of bytes of one of these lengths."""
    value = field(record, name, bytes, kind=kind)
    if len(value) not in sizes:
        raise MalformedRecord(kind, f"{name} must have {_either(sizes)} bytes, found {len(value)}")
    return value


def strings(record: Mapping[str, Value], name: str, size: int, *, kind: str) -> tuple[bytes, ...]:
    """Return a field that is a list of strings of exactly `size` bytes."""
    what = f"strings of {size} bytes"
    return items(record, name, bytes, kind=kind, what=what, fits=lambda value: len(value) == size)


def link(record: Mapping[str, Value], name: str, codec: Codec, *, kind: str) -> CID:
    """Return a field that links to a block of this codec."""
    cid = field(record, name, CID, kind=kind)
    if cid.codec is not codec:
        raise MalformedRecord(kind, f"{name} must be a {_name(codec)} link")
    return cid


def links(record: Mapping[str, Value], name: str, codec: Codec, *, kind: str) -> tuple[CID, ...]:
    """Return a field that is a list of links to blocks of this codec."""
    what = f"{_name(codec)} links"
    return items(record, name, CID, kind=kind, what=what, fits=lambda cid: cid.codec is codec)


def _name(codec: Codec) -> str:
    return codec.name.lower().replace("_", "-")


def _either(sizes: Sequence[int]) -> str:
    return " or ".join(map(str, sizes))


def _to_library(value: Value, depth: int) -> object:
    if depth > MAX_DEPTH:
        raise MalformedRecord("dag-cbor", f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, CID):
        return multiformats.CID("base32", 1, value.codec, ("sha2-256", value.digest))
    if value is None or isinstance(value, bool | str | bytes):
        return value
    if isinstance(value, int):
        if value not in _INT64:
            raise MalformedRecord(
                "dag-cbor", f"{value} does not fit 64 bits signed: write it as decimal text"
            )
        return int(value)
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise MalformedRecord("dag-cbor", "a map's keys are text")
        return {key: _to_library(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_library(item, depth + 1) for item in value]
    raise MalformedRecord("dag-cbor", f"{type(value).__name__} has no place in a record")


def _from_library(value: object) -> Value:
    if isinstance(value, multiformats.CID):
        return CID.from_bytes(bytes(value))
    if isinstance(value, dict):
        return {key: _from_library(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_from_library(item) for item in value]
    if value is None or isinstance(value, bool | int | str | bytes):
        return value
    raise MalformedRecord("dag-cbor", f"{type(value).__name__} has no place in a record")


def _scan(data: bytes, limit: int = MAX_SIZE) -> None:
    """Walk the heads without recursion: bound depth, number and lengths; check heads and links."""
    if len(data) > limit:
        raise MalformedRecord("dag-cbor", f"{len(data)} bytes, at most {limit} are allowed")
    open_items = [1]
    at = found = links = 0
    while open_items:
        if open_items[-1] == 0:
            open_items.pop()
            continue
        open_items[-1] -= 1
        found += 1
        major, argument, at = _head(data, at)
        if major in (2, 3):
            at += argument
        elif major == 6:
            at = _link(data, at, argument)
            links += 1
        elif major in (4, 5):
            items = argument * (major - 3)
            if items > len(data) - at:
                raise MalformedRecord("dag-cbor", f"truncated: {items} items announced at {at}")
            open_items.append(items)
        if at > len(data):
            raise MalformedRecord("dag-cbor", f"truncated: {at - len(data)} bytes are missing")
        if len(open_items) > MAX_DEPTH + 1:
            raise MalformedRecord("dag-cbor", f"nested deeper than {MAX_DEPTH} levels")
        if found > MAX_ITEMS or links > MAX_LINKS:
            raise MalformedRecord("dag-cbor", f"over {MAX_ITEMS} items or {MAX_LINKS} links")
    if at != len(data):
        raise MalformedRecord("dag-cbor", f"{len(data) - at} bytes after the value")


def _head(data: bytes, at: int) -> tuple[int, int, int]:
    """Read an item's kind and argument, in the shortest form only, and where they end."""
    if at >= len(data):
        raise MalformedRecord("dag-cbor", f"truncated: an item is missing at {at}")
    major, short = data[at] >> 5, data[at] & 31
    if major == 7:
        if short not in (20, 21, 22):
            raise MalformedRecord("dag-cbor", f"a float or unknown simple value at {at}")
        return major, short, at + 1
    if short < 24:
        return major, short, at + 1
    if short > 27:
        raise MalformedRecord("dag-cbor", f"indefinite or reserved length at {at}")
    width = 1 << (short - 24)
    end = at + 1 + width
    if end > len(data):
        raise MalformedRecord("dag-cbor", f"truncated: a length is cut off at {at}")
    argument = int.from_bytes(data[at + 1 : end], "big")
    if argument < (24 if width == 1 else 1 << 4 * width):
        raise MalformedRecord("dag-cbor", f"{argument} is not in its shortest form at {at}")
    if argument >> 63:
        raise MalformedRecord("dag-cbor", f"{argument} at {at} does not fit 64 bits signed")
    return major, argument, end


def _link(data: bytes, at: int, tag: int) -> int:
    """Check the one form that a link has: tag 42, 37 bytes, a zero, a CID of ours."""
    if tag != _LINK_TAG:
        raise MalformedRecord("dag-cbor", f"tag {tag} has no place in a record")
    start = at + len(_LINK_HEAD)
    if data[at:start] != _LINK_HEAD:
        raise MalformedRecord("dag-cbor", f"a link at {at} is not 37 bytes that start with zero")
    CID.from_bytes(data[start : start + CID_SIZE])
    return start + CID_SIZE
