"""An artefact's content key, and the seals that follow from it.

Every part of an artefact (a payload, a record) has a key of its own, so one can be shown without
the others. Its blocks are encrypted with ChaCha20-Poly1305 (RFC 8439): the nonce is the block's
place, and place and number of blocks are authenticated, so no block can stand for another or be
left off. Leaves are hashed with 16-byte salts, so nobody confirms a guess from a root.

`PLAIN` and `CLEAR` are their counterparts in a public federation: they leave everything as it is.
Code that writes and reads artefacts is given one or the other, and does not ask which.
"""

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count, repeat
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from ledger.cid import Codec
from ledger.sealing.envelope import Envelope
from ledger.sealing.errors import SealBroken
from ledger.stores.base import MAX_BLOCK

SALT_SIZE = 16
TAG_SIZE = 16
SEALED_PIECE = MAX_BLOCK - 1024
"""Clear bytes in a sealed block: whole leaves, with room for the tag."""


class Seal(Protocol):
    """How one part of an artefact is stored and hashed."""

    @property
    def name(self) -> str:
        """What part it is, for errors."""

    @property
    def piece(self) -> int:
        """How many clear bytes a block holds at most."""

    @property
    def tag(self) -> int:
        """How many bytes a stored block has more than its clear bytes."""

    @property
    def salt(self) -> bytes:
        """What the clear bytes are hashed with as a whole."""

    def codec(self, clear: Codec) -> Codec:
        """Say as what a block is stored that is `clear` inside."""

    def close(self, data: bytes, *, place: int = 0, of: int = 1) -> bytes:
        """Give a block's stored bytes."""

    def open(self, data: bytes, *, place: int = 0, of: int = 1) -> bytes:
        """Give a stored block's clear bytes; SealBroken if they are not that block's."""

    def leaf_salts(self) -> Iterator[bytes]:
        """Yield what each leaf is hashed with, in order, without an end."""


@dataclass(frozen=True, slots=True)
class Plain:
    """A part in the clear."""

    name: str = "block"
    piece: int = MAX_BLOCK
    tag: int = 0
    salt: bytes = b""

    def codec(self, clear: Codec) -> Codec:
        """Leave the codec."""
        return clear

    def close(self, data: bytes, *, place: int = 0, of: int = 1) -> bytes:
        """Leave the bytes."""
        return data

    def open(self, data: bytes, *, place: int = 0, of: int = 1) -> bytes:
        """Leave the bytes."""
        return data

    def leaf_salts(self) -> Iterator[bytes]:
        """Yield nothing to hash with."""
        return repeat(b"")


PLAIN = Plain()


@dataclass(frozen=True, slots=True)
class Sealed:
    """A part under its key."""

    name: str
    key: bytes = field(repr=False)
    piece: int = SEALED_PIECE
    tag: int = TAG_SIZE

    @property
    def salt(self) -> bytes:
        """Derive the salt of the part as a whole."""
        return _derive(self.key, b"fednode payload salt")[:SALT_SIZE]

    def codec(self, clear: Codec) -> Codec:
        """Store ciphertext as raw blocks."""
        return Codec.RAW

    def close(self, data: bytes, *, place: int = 0, of: int = 1) -> bytes:
        """Encrypt a block at its place."""
        return self._cipher().encrypt(_nonce(place), data, _place(place, of))

    def open(self, data: bytes, *, place: int = 0, of: int = 1) -> bytes:
        """Decrypt a block at its place."""
        try:
            return self._cipher().decrypt(_nonce(place), data, _place(place, of))
        except InvalidTag:
            raise SealBroken(
                self.name,
                f"block {place} of {of} does not open: altered, cut off, under another key, or "
                "from another place",
            ) from None

    def leaf_salts(self) -> Iterator[bytes]:
        """Derive a salt for each leaf."""
        return (self.leaf_salt(index) for index in count())

    def leaf_salt(self, index: int) -> bytes:
        """Derive one leaf's salt."""
        label = b"fednode leaf salt" + index.to_bytes(8, "big")
        return _derive(self.key, label)[:SALT_SIZE]

    def _cipher(self) -> ChaCha20Poly1305:
        return ChaCha20Poly1305(_derive(self.key, b"fednode block key"))


UNOPENED = Sealed("stored bytes", b"")
"""For whoever measures stored blocks and opens none."""


class Content(Protocol):
    """A whole artefact's side of sealing."""

    @property
    def envelope(self) -> Envelope | None:
        """For whom it is sealed; None in the clear."""

    @property
    def secret(self) -> bytes:
        """The content key; empty in the clear."""

    def part(self, name: str) -> Seal:
        """Give the seal of a part."""


@dataclass(frozen=True, slots=True)
class Clear:
    """An artefact that everybody can read."""

    envelope: None = None
    secret: bytes = b""

    def part(self, name: str) -> Seal:
        """Give no seal."""
        return PLAIN


CLEAR = Clear()


@dataclass(frozen=True, slots=True)
class SealedContent:
    """An artefact under its content key."""

    secret: bytes = field(repr=False)
    envelope: Envelope

    def part(self, name: str) -> Seal:
        """Derive the key of a part."""
        return Sealed(name, _derive(self.secret, b"fednode part " + name.encode()))


def _derive(key: bytes, label: bytes) -> bytes:
    """HMAC-SHA256 as a pseudo-random function (RFC 2104)."""
    return hmac.digest(key, label, hashlib.sha256)


def _nonce(place: int) -> bytes:
    return place.to_bytes(12, "big")


def _place(place: int, of: int) -> bytes:
    return b"fednode block" + place.to_bytes(8, "big") + of.to_bytes(8, "big")
