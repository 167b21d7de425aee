"""Accounts that sign locally: keystore files (Web3 Secret Storage, version 3) and plain keys.

A key never leaves the process: nodes get signed transactions only.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from coincurve import PrivateKey
from eth_account import Account as EthAccount
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount

from ledger.chain.errors import AccountError
from ledger.chain.keystores import KeystoreRefused, open_keystore
from ledger.types import Address, Digest
from ledger.utf8 import NotUtf8, decode
from ledger.whole_file import write_new

FRAMES = 3000
"""Calls inside each other that a process allows. A library imported above raises that to 100,000,
more than a stack holds: endless recursion in a user's model would end the process.
"""
EVM_FRAMES = 12 << 10
"""What py-evm needs for 1,024 calls of contracts inside each other; it asks for that itself."""
sys.setrecursionlimit(EVM_FRAMES if "eth" in sys.modules else FRAMES)

MOST_BYTES = 1 << 16
"""Bytes of a keystore, or of a password's file, that are read."""
LIGHT_SCRYPT = 4096
"""scrypt's work factor in geth's light keystores."""


class Account:
    """A key pair that signs transactions and EIP-712 messages."""

    def __init__(self, key: LocalAccount) -> None:
        self._key = key
        self._secret = PrivateKey(bytes(key.key))
        self.address = Address(key.address)

    def __repr__(self) -> str:
        return f"Account({self.address})"

    def sign_transaction(self, fields: Mapping[str, object]) -> bytes:
        """Sign a transaction given by its JSON-RPC fields; return its raw bytes."""
        signed = self._key.sign_transaction(cast("dict[str, Any]", dict(fields)))
        return bytes(signed.raw_transaction)

    def sign_typed(self, message: Mapping[str, object]) -> bytes:
        """Sign an EIP-712 message in eth_signTypedData's form; return r, s, v (65 bytes)."""
        return bytes(
            self._key.sign_message(encode_typed_data(full_message=dict(message))).signature
        )

    def sign_digest(self, digest: Digest) -> bytes:
        """Sign a digest as it is; return r, s, v (65 bytes). One digest has one signature
        (RFC 6979), s in the lower half.

        What is signed must be told from a transaction by how the digest was made, as EIP-712 does.
        """
        signature = self._secret.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes([27 + signature[64]])

    def keystore(self, password: str, *, light: bool = False) -> dict[str, object]:
        """Encrypt the key under a password; `light` takes moments, for keys worth nothing."""
        work = LIGHT_SCRYPT if light else None
        return cast("dict[str, object]", EthAccount.encrypt(self._key.key, password, None, work))


def from_key(key: bytes | str) -> Account:
    """Use a private key (32 bytes or hex). Raise AccountError if it is none."""
    try:
        return Account(EthAccount.from_key(key))
    except Exception:
        # Neither the key nor the library's text, which may quote it, is repeated.
        raise AccountError("private key", "not a valid key (32 bytes, as hex)") from None


def recover_typed(message: Mapping[str, object], signature: bytes) -> Address | None:
    """Give the account that signed an EIP-712 message; None where the signature is none."""
    try:
        signable = encode_typed_data(full_message=dict(message))
        return Address(EthAccount.recover_message(signable, signature=signature))
    except Exception:
        # Whatever hostile bytes make the library raise, they are no signature.
        return None


def new_account() -> Account:
    """Make an account from the system's randomness."""
    return Account(EthAccount.create())


def load_keystore(path: Path | str, password: str) -> Account:
    """Open a keystore file. Raise AccountError if it is none or the password is wrong."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MOST_BYTES)
    except OSError as error:
        raise AccountError(
            str(path), f"cannot read the keystore file ({_reason(error)})"
        ) from error
    try:
        return Account(open_keystore(data, password))
    except KeystoreRefused as error:
        raise AccountError(str(path), str(error)) from None


def create_keystore(
    path: Path | str, password: str, *, account: Account | None = None, light: bool = False
) -> Account:
    """Write a new keystore file that only its owner can read; never over an existing one.

    A `light` one opens in milliseconds instead of seconds, and so does a guess at its password.
    """
    target = Path(path)
    if target.exists():
        raise AccountError(str(target), "exists already; choose another name")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AccountError(str(target), f"cannot make its folder ({_reason(error)})") from error
    account = account or new_account()
    content = json.dumps(account.keystore(password, light=light)).encode()
    try:
        write_new(target, content, mode=0o600)
    except FileExistsError:
        raise AccountError(str(target), "exists already; choose another name") from None
    except OSError as error:
        raise AccountError(
            str(target), f"cannot write the keystore file ({_reason(error)})"
        ) from error
    return account


def read_password(path: Path | str) -> str:
    """Read a password file: its first line, without the line's end."""
    try:
        with Path(path).open("rb") as file:
            text = decode(file.read(MOST_BYTES))
    except OSError as error:
        raise AccountError(
            str(path), f"cannot read the password file ({_reason(error)})"
        ) from error
    except NotUtf8 as error:
        raise AccountError(str(path), f"cannot read the password file: it {error}") from None
    # Other characters at which Python ends a line may be part of a password.
    return text.partition("\n")[0].removesuffix("\r")


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
