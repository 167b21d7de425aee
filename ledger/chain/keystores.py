"""Keystore files of version 3, opened only if every field is what the format says.

Sources: https://ethereum.org/developers/docs/data-structures-and-encoding/web3-secret-storage/
(versions 1 and 3), EIP-2335 (version 4, keys of validators).
"""

import json
from collections.abc import Mapping
from typing import Any, cast

from eth_account import Account as EthAccount
from eth_account.signers.local import LocalAccount

from ledger.utf8 import NotUtf8, decode

MOST_MEMORY = 1 << 31
"""Bytes that scrypt may take; keystores of usual strength take 2^28."""
MOST_PASSES = 1 << 26
"""Passes of PBKDF2; keystores of usual strength take 2^20."""
MOST_LANES = 16
_OTHERS = {
    "1": "version 1 was written by clients of 2015",
    "4": "version 4 holds the key of a validator (EIP-2335), not of an account",
}


class KeystoreRefused(ValueError):
    """A keystore that is not opened; says why, and repeats no part of it."""


def open_keystore(data: bytes, password: str) -> LocalAccount:
    """Return the account of a keystore file's bytes. Raise KeystoreRefused."""
    content = _content(data)
    _require_version(content)
    _require_crypto(content.get("crypto"))
    try:
        key = cast("LocalAccount", EthAccount.from_key(EthAccount.decrypt(content, password)))
    except ValueError as error:
        wrong = "MAC mismatch" in str(error)
        raise KeystoreRefused("wrong password" if wrong else "not a keystore file") from None
    except Exception:  # the libraries' own, whose texts may quote the file
        raise KeystoreRefused("not a keystore file") from None
    _require_address(content.get("address"), key)
    return key


def _content(data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(decode(data))
    except NotUtf8 as error:
        raise KeystoreRefused(f"not a keystore file: it {error}") from None
    except (ValueError, RecursionError):
        raise KeystoreRefused("not a keystore file (no JSON)") from None
    if not isinstance(content, dict):
        raise KeystoreRefused("not a keystore file (no JSON object)")
    return _lowered(content)


def _lowered(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Give fields with names in lower case: older clients wrote `Crypto`."""
    return {
        name.lower(): _lowered(value) if isinstance(value, dict) else value
        for name, value in fields.items()
    }


def _require_version(content: Mapping[str, Any]) -> None:
    if "encseed" in content:
        raise KeystoreRefused(
            "not a keystore file of version 3: it is a wallet of the presale of 2014; import it "
            "with an Ethereum client, and export the account"
        )
    if "crypto" not in content:
        raise KeystoreRefused("not a keystore file (JSON with a 'crypto' object)")
    version = content.get("version")
    if type(version) is not int or version != 3:
        why = _OTHERS.get(str(version), "its version is missing or another")
        raise KeystoreRefused(
            f"not a keystore file of version 3 ({why}): import the key with an Ethereum client, "
            "and export the account as version 3"
        )


def _require_crypto(crypto: object) -> None:
    if not isinstance(crypto, dict):
        raise KeystoreRefused("not a keystore file (its 'crypto' is no object)")
    kdf, given = crypto.get("kdf"), crypto.get("kdfparams")
    if crypto.get("cipher") != "aes-128-ctr":
        raise KeystoreRefused("not a keystore file that is read: its cipher is not aes-128-ctr")
    if kdf not in ("scrypt", "pbkdf2") or not isinstance(given, dict):
        raise KeystoreRefused("not a keystore file that is read: its kdf is not scrypt or pbkdf2")
    try:
        work = _scrypt_work(given) if kdf == "scrypt" else _pbkdf2_work(given)
    except (KeyError, TypeError):
        raise KeystoreRefused("not a keystore file (its kdfparams are not whole)") from None
    if given.get("dklen") != 32 or (kdf == "pbkdf2" and given.get("prf") != "hmac-sha256"):
        raise KeystoreRefused("not a keystore file that is read: its kdfparams are unusual")
    if work > 1:
        raise KeystoreRefused("its kdfparams ask for more work than those of any usual keystore")


def _scrypt_work(given: Mapping[str, Any]) -> float:
    """Return scrypt's memory or time, as a share of the most that is allowed."""
    n, r, p = (_positive(given[name]) for name in "nrp")
    return max(128 * r * max(n, p) / MOST_MEMORY, p / MOST_LANES)


def _pbkdf2_work(given: Mapping[str, Any]) -> float:
    return _positive(given["c"]) / MOST_PASSES


def _positive(value: object) -> int:
    if type(value) is not int or value < 1:
        raise TypeError("no positive integer")
    return value


def _require_address(named: object, key: LocalAccount) -> None:
    """Refuse a file that says it is another account's. Wallets may leave the address out."""
    if named is None or named == "":
        return
    if str(named).lower().removeprefix("0x") != key.address.lower().removeprefix("0x"):
        raise KeystoreRefused(
            f"its address is not that of its key, which is {key.address}: the file was changed, so "
            "restore it from a copy"
        )
