"""Numbers and bytes of a node's JSON, bounded before they are made.

Quantities have the width that Ethereum gives them, so that no number of a node's is larger than
what is made of it. Leading zeros are taken: some nodes write them.

Source: execution-apis `src/schemas/base-types.yaml`; EIP-1474.
"""

import re
from typing import Final

from ledger.chain.errors import MalformedAnswer

COUNT: Final = 64
"""Bits of block numbers, nonces, indices and amounts of gas."""
PRICE: Final = 128
"""Bits of the price of a unit of gas: with any amount of gas the fee stays below 2^256."""
WORD: Final = 256
HASH: Final = 32

_QUANTITY = re.compile(r"0[xX][0-9a-fA-F]+")


def data(value: object, where: str, *, size: int | None = None, most: int | None = None) -> bytes:
    """Read bytes: of a given number if there is one, and at most so many."""
    if most is not None and isinstance(value, str) and len(value) > 2 * most + 2:
        raise MalformedAnswer(where, f"more than {most} bytes")
    try:
        if isinstance(value, str) and value.startswith("0x"):
            found = bytes.fromhex(value[2:])
            if size is None or len(found) == size:
                return found
    except ValueError:
        pass
    wanted = "hex bytes" if size is None else f"{size} hex bytes"
    raise MalformedAnswer(where, f"{str(value)[:40]!r} is not {wanted}")


def number(value: object, where: str, *, bits: int = COUNT) -> int:
    """Read a quantity below 2^bits."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise MalformedAnswer(where, f"{str(value)[:40]!r} is not a hex number")
    digits = value[2:].lstrip("0") or "0"
    if 4 * len(digits) > bits + 3 or (found := int(digits, 16)) >> bits:
        raise MalformedAnswer(where, f"{value[:20]}... is 2^{bits} or more")
    return found
