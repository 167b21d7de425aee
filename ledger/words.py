"""Structs of constant size in the ABI's encoding, so a contract can open what Python wrote.

A struct is a frozen dataclass whose fields are annotated with their Solidity type (`UInt32`,
`Bytes32` ...) or are such a dataclass themselves; each field fills one 32-byte word. Decoding is
strict: exact length, canonical padding; so one value has one encoding and one digest.

Source: https://docs.soliditylang.org/en/latest/abi-spec.html
"""

import operator
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, ClassVar, Protocol, TypeVar, cast, get_args, get_type_hints

from eth_utils.address import to_checksum_address

from ledger.errors import MalformedRecord
from ledger.types import Address, Digest, FederationId

WORD = 32
T = TypeVar("T")


class WordType(Protocol):
    """A Solidity type that fills one word."""

    @property
    def name(self) -> str:
        """Its name in Solidity."""

    def pack(self, value: object) -> bytes:
        """Encode; raise ValueError for what does not fit."""

    def unpack(self, word: bytes) -> object:
        """Decode; raise ValueError for non-canonical padding."""


@dataclass(frozen=True, slots=True)
class Integer:
    """`uintN` or `intN`."""

    bits: int
    signed: bool

    @property
    def name(self) -> str:
        """`uintN` or `intN`."""
        return f"{'int' if self.signed else 'uint'}{self.bits}"

    def _check(self, value: int) -> int:
        low = -(1 << self.bits - 1) if self.signed else 0
        if not low <= value < low + (1 << self.bits):
            raise ValueError(f"{value} does not fit {self.name}")
        return value

    def pack(self, value: object) -> bytes:
        """Encode big-endian, sign-extended."""
        if not hasattr(value, "__index__") or isinstance(value, bool):
            raise ValueError(f"{value!r} is not an integer")
        number = operator.index(value)
        return self._check(number).to_bytes(WORD, "big", signed=self.signed)

    def unpack(self, word: bytes) -> int:
        """Decode; refuse what is beyond the type's range."""
        return self._check(int.from_bytes(word, "big", signed=self.signed))


@dataclass(frozen=True, slots=True)
class Bytes32Type:
    """`bytes32`."""

    name: ClassVar[str] = "bytes32"

    def pack(self, value: object) -> bytes:
        """Return the 32 bytes."""
        if not isinstance(value, bytes) or len(value) != WORD:
            raise ValueError(f"{value!r} is not 32 bytes")
        return value

    def unpack(self, word: bytes) -> bytes:
        """Return the 32 bytes."""
        return word


@dataclass(frozen=True, slots=True)
class AddressType:
    """`address`, in Python a checksummed text."""

    name: ClassVar[str] = "address"

    def pack(self, value: object) -> bytes:
        """Encode the 20 bytes, left-padded."""
        if not isinstance(value, str) or len(value) != 42 or not value.startswith("0x"):
            raise ValueError(f"{value!r} is not an address")
        return bytes.fromhex(value[2:]).rjust(WORD, b"\0")

    def unpack(self, word: bytes) -> Address:
        """Decode to the checksummed text."""
        if any(word[:12]):
            raise ValueError("an address has nonzero padding")
        return Address(to_checksum_address(word[12:]))


@dataclass(frozen=True, slots=True)
class BoolType:
    """`bool`."""

    name: ClassVar[str] = "bool"

    def pack(self, value: object) -> bytes:
        """Encode as 0 or 1."""
        if not isinstance(value, bool):
            raise ValueError(f"{value!r} is not a bool")
        return int(value).to_bytes(WORD, "big")

    def unpack(self, word: bytes) -> bool:
        """Decode 0 or 1, refuse the rest."""
        if any(word[:-1]) or word[-1] > 1:
            raise ValueError("a bool is neither 0 nor 1")
        return bool(word[-1])


UInt8 = Annotated[int, Integer(8, signed=False)]
UInt16 = Annotated[int, Integer(16, signed=False)]
UInt32 = Annotated[int, Integer(32, signed=False)]
UInt64 = Annotated[int, Integer(64, signed=False)]
UInt128 = Annotated[int, Integer(128, signed=False)]
UInt256 = Annotated[int, Integer(256, signed=False)]
Int64 = Annotated[int, Integer(64, signed=True)]
Int256 = Annotated[int, Integer(256, signed=True)]
Bytes32 = Annotated[Digest, Bytes32Type()]
FederationWord = Annotated[FederationId, Bytes32Type()]
AddressWord = Annotated[Address, AddressType()]
BoolWord = Annotated[bool, BoolType()]


Layout = tuple[tuple[str, "WordType | type"], ...]
_LAYOUTS: dict[type, Layout] = {}
_SIZES: dict[type, int] = {}


def layout(struct: type) -> Layout:
    """List a struct's fields in order, each with its word's type or its own struct."""
    if struct not in _LAYOUTS:
        hints = get_type_hints(struct, include_extras=True)
        _LAYOUTS[struct] = tuple((f.name, _kind(hints[f.name])) for f in fields(struct))
    return _LAYOUTS[struct]


def _kind(hint: object) -> WordType | type:
    if isinstance(hint, type) and is_dataclass(hint):
        return hint
    return cast(WordType, get_args(hint)[1])


def size_of(struct: type) -> int:
    """Return the number of bytes that a struct's encoding has."""
    if struct not in _SIZES:
        parts = [kind for _, kind in layout(struct)]
        _SIZES[struct] = sum(size_of(p) if isinstance(p, type) else WORD for p in parts)
    return _SIZES[struct]


def encode(value: object, *, kind: str) -> bytes:
    """Encode a struct; a field that does not fit is an error that names it."""
    parts = []
    for name, word in layout(type(value)):
        item = getattr(value, name)
        if isinstance(word, type):
            parts.append(encode(item, kind=kind))
            continue
        try:
            parts.append(word.pack(item))
        except ValueError as error:
            raise MalformedRecord(kind, f"{name}: {error}") from error
    return b"".join(parts)


def decode(struct: type[T], data: bytes, *, kind: str) -> T:
    """Decode a struct; refuse every other length and every non-canonical word."""
    if len(data) != size_of(struct):
        raise MalformedRecord(kind, f"{len(data)} bytes, expected {size_of(struct)}")
    values: list[object] = []
    at = 0
    for name, word in layout(struct):
        size = size_of(word) if isinstance(word, type) else WORD
        part = bytes(data[at : at + size])
        at += size
        if isinstance(word, type):
            values.append(decode(word, part, kind=kind))
            continue
        try:
            values.append(word.unpack(part))
        except ValueError as error:
            raise MalformedRecord(kind, f"{name}: {error}") from error
    return struct(*values)
