"""The utilities of a round's coalitions, as bytes and as a Merkle root.

An array of little-endian int64, one per coalition in the order that the valuation fixes, cut into
leaves of 1,024 bytes, the last one zero-padded. A round that measured nothing has no leaves.
"""

from collections.abc import Sequence

from ledger.errors import MalformedRecord
from ledger.merkle import root_of_bytes
from ledger.payload import LEAF_SIZE
from ledger.types import Digest

WIDTH = 8
MAX_COALITIONS = 1 << 12
_INT64 = range(-(1 << 63), 1 << 63)


def encode(utilities: Sequence[int]) -> bytes:
    """Write utilities as int64, without padding: the raw block that is stored."""
    for coalition, utility in enumerate(utilities):
        if utility not in _INT64:
            raise MalformedRecord("utilities", f"{utility} of coalition {coalition} beyond int64")
    return b"".join(int(u).to_bytes(WIDTH, "little", signed=True) for u in utilities)


def decode(data: bytes) -> tuple[int, ...]:
    """Read utilities, at most 4,096."""
    if len(data) % WIDTH or len(data) > WIDTH * MAX_COALITIONS:
        raise MalformedRecord("utilities", f"{len(data)} bytes are not at most 4,096 int64")
    parts = (data[at : at + WIDTH] for at in range(0, len(data), WIDTH))
    return tuple(int.from_bytes(part, "little", signed=True) for part in parts)


def first(utilities: Sequence[int], count: int) -> tuple[int, ...] | None:
    """Read the first `count` utilities as the contract does, which looks at nothing behind them in
    the last leaf; None if the list fills another number of leaves than so many do.
    """
    lanes = LEAF_SIZE // WIDTH
    if -(-len(utilities) // lanes) != -(-count // lanes):
        return None
    return (*utilities, *(0,) * (count - len(utilities)))[:count]


def root(utilities: Sequence[int]) -> Digest:
    """Compute the root that the result header holds."""
    data = encode(utilities)
    return root_of_bytes(data + bytes(-len(data) % LEAF_SIZE), LEAF_SIZE)
