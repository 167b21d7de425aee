"""RLP from strangers: the depth of its lists is bounded before the library sees it.

The library recurses once per level, and `eth_account` raises Python's recursion limit so far that
deep nesting can end the process.
"""

import rlp

from ledger.errors import MalformedRecord

MAX_DEPTH = 8
"""A receipt's topics are on the fourth level, an access list's keys on the fifth."""
LIST = 0xC0


def decode_list(data: bytes) -> list[object]:
    """Decode a list. Raise MalformedRecord for everything else."""
    _bound_depth(data)
    try:
        found = rlp.decode(data)
    except Exception as error:
        # The bytes are anybody's, and the library raises more than its own errors for some.
        raise MalformedRecord("RLP", type(error).__name__) from error
    if not isinstance(found, list):
        raise MalformedRecord("RLP", "not a list")
    return found


def _bound_depth(data: bytes) -> None:
    """Walk the heads of all lists, without recursion."""
    ends, at = [len(data)], 0
    while at < len(data):
        while at >= ends[-1]:
            ends.pop()
        at, end = _item(data, at)
        if end > ends[-1]:
            raise MalformedRecord("RLP", "an item is longer than its list")
        if at < end:
            ends.append(end)
        if len(ends) > MAX_DEPTH:
            raise MalformedRecord("RLP", f"lists nested deeper than {MAX_DEPTH}")


def _item(data: bytes, at: int) -> tuple[int, int]:
    """Give where to go on after a head: into a list, or behind a string; and the item's end."""
    head = data[at]
    if head < 0x80:
        return at + 1, at + 1
    base = LIST if head >= LIST else 0x80
    start, size = at + 1, head - base
    if size > 55:
        start += size - 55
        size = int.from_bytes(data[at + 1 : start], "big")
    end = start + size
    return (start if head >= LIST else end), end
