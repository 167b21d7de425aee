"""Integers of payloads in plain Python: the slow twin of the contract's lanes and rules."""

import struct
from collections.abc import Sequence

from ledger.headers import PolicyHeader, Rule

MILLION = 1_000_000


def int32s(data: bytes) -> list[int]:
    """Read little-endian int32."""
    return list(struct.unpack(f"<{len(data) // 4}i", data))


def int64s(data: bytes) -> list[int]:
    """Read little-endian int64."""
    return list(struct.unpack(f"<{len(data) // 8}q", data))


def wrapped(value: int) -> int:
    """Reduce to int64 mod 2^64, as numpy does."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def rounded(total: int, divisor: int) -> int:
    """Divide, rounding half to even; a divisor above zero."""
    quotient, rest = divmod(total, divisor)
    up = 2 * rest > divisor or (2 * rest == divisor and quotient % 2 == 1)
    return quotient + up


def clamped(value: int, bits: int = 32) -> int:
    """Saturate to a signed integer of so many bits."""
    return max(-(1 << bits - 1), min((1 << bits - 1) - 1, value))


def trimmed_mean(policy: PolicyHeader, values: Sequence[int]) -> int:
    """Average what is left after cutting off both ends; nothing of nothing."""
    count = len(values)
    if not count:
        return 0
    share = int.from_bytes(policy.rule_parameters, "big")
    cut = (count - 1) // 2 if policy.rule == Rule.MEDIAN else count * share // MILLION
    rest = sorted(values)[cut : count - cut]
    return rounded(sum(rest), len(rest))
