"""Who earned what, as trees: values summed over the period, payouts cumulative over periods.

Both are Merkle-sum trees with one leaf per participant index. A value's leaf sums its score, so one
path proves the prefix sums from which a payout follows; a payout's leaf sums its amount, so one
path is a claim.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from ledger import words
from ledger.errors import MalformedRecord
from ledger.merkle_sum import SumLeaf, Summed, SumPath, SumTree, verify
from ledger.words import Int256, UInt32, UInt128, UInt256


@dataclass(frozen=True, slots=True)
class ValueLeaf:
    """A participant's value, summed over the period, and its score."""

    index: UInt32
    value: Int256
    score: UInt256


@dataclass(frozen=True, slots=True)
class PayoutLeaf:
    """What a participant may have claimed in all by now."""

    index: UInt32
    amount: UInt128


VALUE_SIZE = words.size_of(ValueLeaf)
PAYOUT_SIZE = words.size_of(PayoutLeaf)
L = TypeVar("L", ValueLeaf, PayoutLeaf)


def value_leaves(values: Sequence[int], scores: Sequence[int]) -> tuple[ValueLeaf, ...]:
    """Number values and scores by participant."""
    pairs = enumerate(zip(values, scores, strict=True))
    return tuple(ValueLeaf(index, value, score) for index, (value, score) in pairs)


def payout_leaves(amounts: Sequence[int]) -> tuple[PayoutLeaf, ...]:
    """Number amounts by participant."""
    return tuple(PayoutLeaf(index, amount) for index, amount in enumerate(amounts))


def values_tree(leaves: Sequence[ValueLeaf]) -> SumTree:
    """Build the tree of values; its root holds the sum of scores."""
    return SumTree.of(_value(leaf) for leaf in leaves)


def payouts_tree(leaves: Sequence[PayoutLeaf]) -> SumTree:
    """Build the tree of payouts; its root holds the total."""
    return SumTree.of(_payout(leaf) for leaf in leaves)


def prove(leaves: Sequence[PayoutLeaf], index: int) -> SumPath:
    """Return the path that claims a participant's payout."""
    return payouts_tree(leaves).path(index)


def verify_payout(root: Summed, leaf: PayoutLeaf, *, size: int, path: SumPath) -> bool:
    """Tell whether this is the payout of participant `leaf.index` among `size`."""
    return verify(root, _payout(leaf), index=leaf.index, size=size, path=path)


def verify_value(root: Summed, leaf: ValueLeaf, *, size: int, path: SumPath) -> bool:
    """Tell whether this is the value of participant `leaf.index` among `size`."""
    return verify(root, _value(leaf), index=leaf.index, size=size, path=path)


def encode_values(leaves: Sequence[ValueLeaf]) -> bytes:
    """Write all leaves, one after the other, as a raw block."""
    return b"".join(words.encode(leaf, kind="value") for leaf in leaves)


def encode_payouts(leaves: Sequence[PayoutLeaf]) -> bytes:
    """Write all leaves, one after the other, as a raw block."""
    return b"".join(words.encode(leaf, kind="payout") for leaf in leaves)


def decode_values(data: bytes) -> tuple[ValueLeaf, ...]:
    """Read all leaves; leaf i is participant i's."""
    return _decode(ValueLeaf, data, "values")


def decode_payouts(data: bytes) -> tuple[PayoutLeaf, ...]:
    """Read all leaves; leaf i is participant i's."""
    return _decode(PayoutLeaf, data, "payouts")


def _decode(struct: type[L], data: bytes, kind: str) -> tuple[L, ...]:
    size = words.size_of(struct)
    if len(data) % size:
        raise MalformedRecord(kind, f"{len(data)} bytes, expected a multiple of {size}")
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    leaves = tuple(words.decode(struct, part, kind=kind) for part in parts)
    for position, leaf in enumerate(leaves):
        if leaf.index != position:
            raise MalformedRecord(kind, f"leaf {position} is of participant {leaf.index}")
    return leaves


def _value(leaf: ValueLeaf) -> SumLeaf:
    return SumLeaf(words.encode(leaf, kind="value"), leaf.score)


def _payout(leaf: PayoutLeaf) -> SumLeaf:
    return SumLeaf(words.encode(leaf, kind="payout"), leaf.amount)
