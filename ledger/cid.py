"""Content identifiers: the digest on the chain is the address on IPFS.

Only one shape of CID exists here: version 1, raw or dag-cbor, sha2-256, written in base32. It
equals what Kubo computes for the same bytes. Every text and every byte string names at most one
CID, and every CID has one text: the last base32 character carries unused bits, so a text is
decoded, encoded again and compared.

Source: https://github.com/multiformats/cid, RFC 4648 section 6.
"""

import base64
import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from ledger.errors import MalformedRecord
from ledger.types import Digest

CID_SIZE = 36
_PREFIX_SIZE = 4
_TEXT_SIZE = 59


class Codec(IntEnum):
    """How a block's bytes are to be read."""

    RAW = 0x55
    DAG_CBOR = 0x71


_PREFIXES = {codec: bytes((1, codec, 0x12, 0x20)) for codec in Codec}
_CODECS = {prefix: codec for codec, prefix in _PREFIXES.items()}


@dataclass(frozen=True, slots=True, order=True)
class CID:
    """Name of a block by its codec and the sha2-256 digest of its bytes."""

    codec: Codec
    digest: Digest

    def __post_init__(self) -> None:
        if len(self.digest) != 32:
            raise MalformedRecord("CID", f"a digest has 32 bytes, got {len(self.digest)}")

    def __str__(self) -> str:
        return "b" + base64.b32encode(self.to_bytes()).decode().rstrip("=").lower()

    def to_bytes(self) -> bytes:
        """Return the binary CID: version, codec, hash function, hash length, digest."""
        return _PREFIXES[self.codec] + self.digest

    def names(self, data: bytes) -> bool:
        """Tell whether this is the CID of `data`."""
        return hashlib.sha256(data).digest() == self.digest

    @classmethod
    def of(cls, codec: Codec, data: bytes) -> Self:
        """Compute the CID of a block."""
        return cls(codec, Digest(hashlib.sha256(data).digest()))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a binary CID; refuse every other version, codec, hash function and length."""
        if len(data) != CID_SIZE:
            raise MalformedRecord("CID", f"{len(data)} bytes, expected {CID_SIZE}")
        codec = _CODECS.get(bytes(data[:_PREFIX_SIZE]))
        if codec is None:
            found = bytes(data[:_PREFIX_SIZE]).hex()
            raise MalformedRecord(
                "CID", f"prefix {found} is not CIDv1 with raw or dag-cbor and sha2-256"
            )
        return cls(codec, Digest(bytes(data[_PREFIX_SIZE:])))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a CID's text; refuse every text that is not the one `str` gives."""
        if len(text) != _TEXT_SIZE or not text.startswith("b"):
            raise MalformedRecord(
                "CID", f"{text[:64]!r} is not base32 of {_TEXT_SIZE} characters starting with b"
            )
        try:
            data = base64.b32decode(text[1:].upper() + "======")
        except ValueError as error:
            raise MalformedRecord("CID", f"{text!r} is not base32: {error}") from error
        cid = cls.from_bytes(data)
        if str(cid) != text:
            raise MalformedRecord("CID", f"{text!r} is not canonical, write {cid}")
        return cid
