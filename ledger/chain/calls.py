"""Calls of a contract's functions as bytes."""

from functools import cache
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from ledger.contracts import artifact


def call_data(signature: str, *arguments: object) -> bytes:
    """Encode a call of a function given by its Solidity signature, without structs."""
    kinds = signature[signature.index("(") + 1 : -1]
    return _selector(signature) + abi_encode(kinds.split(",") if kinds else [], arguments)


def call(name: str, *arguments: object) -> bytes:
    """Encode a call of one of `Federations`' own functions; a struct is a tuple of its fields."""
    selector, kinds = _function(name)
    return selector + abi_encode(kinds, arguments)


def arguments(name: str, data: bytes) -> tuple[Any, ...] | None:
    """Read a call's arguments; None where it is no call of this function of `Federations`."""
    selector, kinds = _function(name)
    if data[:4] != selector:
        return None
    try:
        return abi_decode(kinds, data[4:])
    except DecodingError:
        return None


def selector_of(name: str) -> bytes:
    """Give the selector of one of `Federations`' own functions."""
    return _function(name)[0]


@cache
def _selector(signature: str) -> bytes:
    return keccak(text=signature)[:4]


@cache
def _function(name: str) -> tuple[bytes, list[str]]:
    entries = artifact("Federations").abi
    entry = next(e for e in entries if e["type"] == "function" and e["name"] == name)
    kinds = [_collapse(item) for item in entry["inputs"]]
    return _selector(f"{name}({','.join(kinds)})"), kinds


def _collapse(item: dict[str, object]) -> str:
    kind = str(item["type"])
    components = item.get("components")
    if not kind.startswith("tuple") or not isinstance(components, list):
        return kind
    return f"({','.join(_collapse(c) for c in components)}){kind.removeprefix('tuple')}"
