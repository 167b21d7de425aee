"""Keys that artefacts are sealed for: X25519 (RFC 7748), one file each, beside a node's account.

The public half stands on the chain or, of an auditor, in the policy. It comes from strangers: a
point of small order has no shared secret with anybody, and is no key.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ledger.sealing.errors import KeyFileError
from ledger.whole_file import write_new

KEY_SIZE = 32
_ANY_PRIVATE = X25519PrivateKey.from_private_bytes(bytes(range(KEY_SIZE)))
_MOST = 4096


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A private key and the public one that others seal for."""

    private: X25519PrivateKey = field(repr=False)
    public: bytes

    @classmethod
    def of(cls, private: X25519PrivateKey) -> "SealingKey":
        """Take a private key."""
        return cls(private, private.public_key().public_bytes_raw())

    @classmethod
    def from_seed(cls, seed: bytes) -> "SealingKey":
        """Take 32 bytes as the private key."""
        return cls.of(X25519PrivateKey.from_private_bytes(seed))


@lru_cache(maxsize=1 << 14)
def usable(public: bytes) -> bool:
    """Tell whether bytes are a public key that can be sealed for."""
    if len(public) != KEY_SIZE:
        return False
    try:
        _ANY_PRIVATE.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        return False
    return True


def create_key(path: Path | str) -> SealingKey:
    """Write a new key to a file that only its owner can read; never over an existing one."""
    key = X25519PrivateKey.generate()
    data = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        write_new(Path(path), data, mode=0o600)
    except FileExistsError:
        raise KeyFileError(str(path), "exists already; choose another name") from None
    except OSError as error:
        raise KeyFileError(str(path), f"cannot be written ({error.strerror})") from error
    return SealingKey.of(key)


def load_key(path: Path | str) -> SealingKey:
    """Read a key's file."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MOST)
    except OSError as error:
        raise KeyFileError(str(path), f"cannot be read ({error.strerror})") from error
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, X25519PrivateKey):
        raise KeyFileError(str(path), "not an X25519 private key; `fednode key new` makes one")
    return SealingKey.of(key)
