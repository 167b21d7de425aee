"""Records as deterministic dag-cbor: one value, one encoding, hence one digest.

Values are None, booleans, 64-bit signed integers, text, bytes, lists, maps with text keys, and
links (`CID`). Floats do not exist: a record is compared by its digest, and a float's text or
rounding would be part of the agreement. Integers beyond 64 bits are written as decimal text.

The dag-cbor library refuses most non-canonical bytes, but recurses once per level and allocates
what a head announces, so a flat scan bounds nesting and lengths before it sees anything; encoding
the result again catches what the library lets through.

Source: https://ipld.io/specs/codecs/dag-cbor/spec/, RFC 8949.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypeVar, cast

import dag_cbor
import multiformats
from dag_cbor.decoding import CBORDecodingError

from ledger.cid import CID
from ledger.errors import MalformedRecord

Value: TypeAlias = bool | int | str | bytes | CID | Sequence["Value"] | Mapping[str, "Value"] | None
T = TypeVar("T")

MAX_DEPTH = 32
MAX_SIZE = 1 << 20
_INT64 = range(-(1 << 63), 1 << 63)
_LINK_TAG = 42


def encode(value: Value) -> bytes:
    """Encode a value; the same value gives the same bytes on every machine."""
    try:
        return dag_cbor.encode(cast(dag_cbor.IPLDKind, _to_library(value, 0)))
    except UnicodeEncodeError as error:
        raise MalformedRecord("dag-cbor", f"text is not valid unicode: {error}") from error


def decode(data: bytes, *, limit: int = MAX_SIZE) -> Value:
    """Decode canonical bytes of at most `limit` bytes and 32 levels; links come back as `CID`."""
    if len(data) > limit:
        raise MalformedRecord("dag-cbor", f"{len(data)} bytes, at most {limit} are allowed")
    data = bytes(data)
    _scan(data)
    try:
        value = _from_library(dag_cbor.decode(data))
    except MalformedRecord:
        raise
    except (CBORDecodingError, ValueError, KeyError, IndexError) as error:
        reason = " ".join(str(error).split())[:300]
        raise MalformedRecord("dag-cbor", reason) from error
    if encode(value) != data:
        raise MalformedRecord("dag-cbor", "the bytes are not the value's canonical encoding")
    return value


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


def _scan(data: bytes) -> None:
    """Walk the heads without recursion; bound the depth, and lengths by the bytes that are left."""
    open_items = [1]
    at = 0
    while open_items:
        if open_items[-1] == 0:
            open_items.pop()
            continue
        open_items[-1] -= 1
        major, argument, at = _head(data, at)
        if major in (2, 3):
            at += argument
        elif major >= 4:
            items = _items(major, argument)
            if items > len(data) - at:
                raise MalformedRecord("dag-cbor", f"truncated: {items} items announced at {at}")
            if items:
                open_items.append(items)
        if at > len(data):
            raise MalformedRecord("dag-cbor", f"truncated: {at - len(data)} bytes are missing")
        if len(open_items) > MAX_DEPTH + 1:
            raise MalformedRecord("dag-cbor", f"nested deeper than {MAX_DEPTH} levels")
    if at != len(data):
        raise MalformedRecord("dag-cbor", f"{len(data) - at} bytes after the value")


def _items(major: int, argument: int) -> int:
    if major == 4:
        return argument
    if major == 5:
        return 2 * argument
    if major == 6 and argument == _LINK_TAG:
        return 1
    if major == 7 and argument in (20, 21, 22):
        return 0
    what = "tag" if major == 6 else "simple value"
    raise MalformedRecord("dag-cbor", f"{what} {argument} has no place in a record")


def _head(data: bytes, at: int) -> tuple[int, int, int]:
    if at >= len(data):
        raise MalformedRecord("dag-cbor", f"truncated: an item is missing at {at}")
    major, short = data[at] >> 5, data[at] & 31
    if short < 24:
        return major, short, at + 1
    if major == 7:
        raise MalformedRecord("dag-cbor", f"a float or unknown simple value at {at}")
    if short > 27:
        raise MalformedRecord("dag-cbor", f"indefinite or reserved length at {at}")
    end = at + 1 + (1 << (short - 24))
    if end > len(data):
        raise MalformedRecord("dag-cbor", f"truncated: a length is cut off at {at}")
    return major, int.from_bytes(data[at + 1 : end], "big"), end
