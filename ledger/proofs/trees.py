"""Trees whose leaves are at hand: what openings and answers are cut from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from ledger import merkle, merkle_sum, payouts, utilities
from ledger.batch import Batch
from ledger.merkle_sum import SumLeaf, Summed
from ledger.payload import LEAF_SIZE, Payload
from ledger.stores import StoreError
from ledger.types import Digest

DESCENT = 8
"""Levels of a tree that one answer descends."""

Levels = Sequence[Sequence[bytes] | Sequence[Summed]]


@dataclass(frozen=True)
class OpenTree:
    """A tree, plain or of sums. Its hashes are computed when they are first asked for."""

    leaf: Callable[[int], bytes]
    grow: Callable[[], Levels]

    @classmethod
    def of(cls, leaves: Sequence[bytes]) -> "OpenTree":
        """Make a plain tree over leaves."""
        return cls(leaves.__getitem__, lambda: merkle.Tree.of(leaves).levels)

    @classmethod
    def of_payload(cls, payload: Payload) -> "OpenTree":
        """Make a payload's tree."""
        return cls(payload.leaf, lambda: payload.tree().levels)

    @classmethod
    def of_sums(cls, leaves: Sequence[bytes]) -> "OpenTree":
        """Make a Merkle-sum tree over leaves whose last word is what is summed."""
        summed = [SumLeaf(leaf, int.from_bytes(leaf[-32:], "big")) for leaf in leaves]
        return cls(leaves.__getitem__, lambda: merkle_sum.SumTree.of(summed).levels)

    @classmethod
    def of_utilities(cls, measured: Sequence[int]) -> "OpenTree":
        """Make the tree of a round's utilities."""
        data = utilities.encode(measured)
        data += bytes(-len(data) % LEAF_SIZE)
        return cls.of([data[at : at + LEAF_SIZE] for at in range(0, len(data), LEAF_SIZE)])

    @classmethod
    def of_values(cls, leaves: Sequence[payouts.ValueLeaf]) -> "OpenTree":
        """Make the tree of values."""
        data, size = payouts.encode_values(leaves), payouts.VALUE_SIZE
        return cls.of_sums([data[at : at + size] for at in range(0, len(data), size)])

    @classmethod
    def of_payouts(cls, leaves: Sequence[payouts.PayoutLeaf]) -> "OpenTree":
        """Make the tree of payouts."""
        data, size = payouts.encode_payouts(leaves), payouts.PAYOUT_SIZE
        return cls.of_sums([data[at : at + size] for at in range(0, len(data), size)])

    @cached_property
    def levels(self) -> Levels:
        """All hashes, those of the leaves first."""
        return self.grow()

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self.levels[0])

    @property
    def root(self) -> Digest:
        """The root's hash."""
        top = self.levels[-1][0] if self.size else merkle.EMPTY_ROOT
        return top.hash if isinstance(top, Summed) else Digest(top)

    def open(self, index: int) -> bytes:
        """Write a leaf and its path."""
        return self.leaf(index) + self.path(0, index)

    def path(self, level: int, position: int) -> bytes:
        """Write the path of a node of a level."""
        siblings = []
        for nodes in self.levels[level:-1]:
            if position ^ 1 < len(nodes):
                siblings.append(written(nodes[position ^ 1]))
            position >>= 1
        return b"".join(siblings)

    def answer(self, level: int, position: int) -> bytes:
        """Write what answers a demand: a leaf, or the nodes below one, and the path. Above the root
        each level has one node, the root.
        """
        if level == 0:
            return self.open(position)
        descent = min(level, DESCENT)
        nodes = self.levels[min(level - descent, len(self.levels) - 1)]
        below = nodes[position << descent : (position + 1) << descent]
        return b"".join(map(written, below)) + self.path(level, position)


@dataclass(frozen=True)
class OpenBatch:
    """A relay's batch, of which leaves may be missing: the others can be opened all the same."""

    batch: Batch

    def open(self, index: int) -> bytes:
        """Write a leaf that is there, and its path."""
        leaf = self.batch.leaf(index)
        if leaf is None:
            raise StoreError(f"leaf {index} of the batch is not in the store any more")
        return leaf + b"".join(self.batch.path(index))

    def answer(self, level: int, position: int) -> bytes | None:
        """Write what answers a demand, which is for a leaf; None if it is missing."""
        there = level == 0 and self.batch.leaf(position) is not None
        return self.open(position) if there else None


def written(node: bytes | Summed) -> bytes:
    """Write a node as paths and answers list it."""
    return node.hash + node.sum.to_bytes(32, "big") if isinstance(node, Summed) else node
