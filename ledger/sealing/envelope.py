"""The envelope: an artefact's content key, wrapped for each of its readers by HPKE (RFC 9180).

Base mode with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and ChaCha20-Poly1305. Each encapsulation's
ephemeral key is derived (`DeriveKeyPair`, section 7.1.3) from the content key and the reader's: the
envelope is a function of the content key and the list of readers. So every reader can write it
again and see that all others open the same key; an author who seals for half of a committee, or
another key for each half, is found out by everybody who can read at all, and unreadable for all.

Readers are listed by their public keys, in ascending order, so anybody can see who can read.
"""

import hashlib
import hmac
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from pyhpke import AEADId, CipherSuite, KDFId, KEMId

from ledger import cbor
from ledger.errors import LedgerError, MalformedRecord
from ledger.sealing.errors import SealBroken
from ledger.sealing.keys import KEY_SIZE, SealingKey, usable

SECRET_SIZE = 32
MAX_READERS = 1024
WRAP_SIZE = KEY_SIZE + SECRET_SIZE + 16
_INFO = b"fednode envelope 1"
_KIND = "envelope"
_LIMIT = 256 * 1024
_BARE = 64
"""Bytes of a record that names no reader, and of what its lists' lengths take, at most."""
_READER = KEY_SIZE + WRAP_SIZE + 4
"""Bytes of a record for each of its readers."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who can open an artefact, and the wrapped content key for each of them."""

    readers: tuple[bytes, ...]
    wraps: tuple[bytes, ...]

    @classmethod
    def seal(cls, secret: bytes, readers: Iterable[bytes]) -> "Envelope":
        """Wrap a content key for all of these keys that are any."""
        keys = tuple(sorted({key for key in readers if usable(key)}))
        if not 0 < len(keys) <= MAX_READERS:
            raise LedgerError(
                f"an artefact is sealed for 1 to {MAX_READERS} keys, not {len(keys)}: members "
                "register theirs when they join"
            )
        return cls(keys, tuple(_wrap(secret, key) for key in keys))

    def record(self) -> dict[str, cbor.Value]:
        """Give the record's value."""
        return {"readers": list(self.readers), "wraps": list(self.wraps)}

    def encode(self) -> bytes:
        """Write the record."""
        return cbor.encode(self.record())

    @staticmethod
    def size(readers: int) -> int:
        """Give the bytes that a record of so many readers has at most."""
        return _BARE + _READER * readers

    @classmethod
    def decode(cls, data: bytes, *, most: int | None = None) -> "Envelope":
        """Read the record; refuse one that is too large, unsorted, or not of one wrap a reader. One
        of more than `most` readers is refused by its length, before it is parsed.
        """
        if most is not None and len(data) > cls.size(most):
            found = f"{len(data)} bytes, and {most} readers take {cls.size(most)} at most"
            raise MalformedRecord(_KIND, found)
        most = MAX_READERS if most is None else most
        record = cbor.decode_map(data, _KIND, ("readers", "wraps"), limit=_LIMIT)
        readers = cbor.strings(record, "readers", KEY_SIZE, kind=_KIND)
        wraps = cbor.strings(record, "wraps", WRAP_SIZE, kind=_KIND)
        if not 0 < len(readers) == len(wraps) <= most:
            found = f"{len(readers)} readers and {len(wraps)} wraps"
            raise MalformedRecord(_KIND, f"{found}, expected 1 to {most} of each")
        if any(a >= b for a, b in pairwise(readers)):
            raise MalformedRecord(_KIND, "readers are not in ascending order")
        return cls(readers, wraps)

    def require(self, readers: Iterable[bytes]) -> None:
        """Refuse an envelope that leaves out somebody who must be able to read."""
        left_out = set(readers).difference(self.readers)
        if left_out:
            first = min(left_out).hex()
            raise MalformedRecord(_KIND, f"not sealed for {len(left_out)} of its readers: {first}")

    def refuse_others(self, allowed: Collection[bytes]) -> None:
        """Refuse an envelope that lets in keys of neither members nor auditors."""
        strangers = set(self.readers).difference(allowed)
        if strangers:
            first = min(strangers).hex()
            raise MalformedRecord(
                _KIND, f"sealed for {len(strangers)} keys of no member or auditor: {first}"
            )

    def digest(self, secret: bytes) -> bytes:
        """Digest the envelope together with a content key: what `verify` is a function of."""
        return hashlib.sha256(b"".join((secret, *self.readers, *self.wraps))).digest()

    def verify(self, secret: bytes) -> None:
        """Refuse an envelope that is not the one which a content key makes for its readers."""
        if len(secret) != SECRET_SIZE or not all(usable(reader) for reader in self.readers):
            raise SealBroken(_KIND, "it wraps no content key, or for a key that is none")
        for reader, found in zip(self.readers, self.wraps, strict=True):
            if _wrap(secret, reader) != found:
                raise SealBroken(_KIND, f"the wrap for {reader.hex()} is not of the same key")

    def open(self, key: SealingKey) -> bytes:
        """Unwrap the content key, and see that every reader unwraps the same."""
        secret = self.unwrap(key)
        self.verify(secret)
        return secret

    def unwrap(self, key: SealingKey) -> bytes:
        """Unwrap the content key; that other readers unwrap the same is for `verify` to see."""
        try:
            wrap = self.wraps[self.readers.index(key.public)]
            return _suite().decrypt(wrap, key.private, _INFO)
        except (InvalidTag, ValueError):
            raise SealBroken(_KIND, f"the wrap for {key.public.hex()} does not open") from None


def _wrap(secret: bytes, reader: bytes) -> bytes:
    suite = _deterministic()
    seed = hmac.digest(secret, b"fednode ephemeral" + reader, hashlib.sha256)
    ephemeral = suite.kem.derive_key_pair(seed)
    public = suite.kem.deserialize_public_key(reader)
    encapsulated, context = suite.create_sender_context(public, _INFO, eks=ephemeral)
    return encapsulated + context.seal(secret)


@cache
def _deterministic() -> CipherSuite:
    """The suite in the library that takes an ephemeral key from its caller."""
    return CipherSuite.new(
        KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.CHACHA20_POLY1305
    )


@cache
def _suite() -> hpke.Suite:
    """The same suite for opening."""
    return hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
