"""Merkle-sum trees: one path proves a leaf, the sum of all leaves, and the sum of those before it.

Shape and prefixes are RFC 6962's; a node hashes its children's hashes and sums, so no sum can be
moved between leaves. The root is a pair, and the header stores both halves. Sums are unsigned
256-bit integers: one that overflows proves nothing.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ledger.errors import LedgerError
from ledger.merkle import EMPTY_ROOT, NODE_PREFIX, leaf_hash, sides
from ledger.types import Digest

MAX_SUM = (1 << 256) - 1


@dataclass(frozen=True, slots=True)
class Summed:
    """A hash and the sum of the leaves under it; of the whole tree, its root."""

    hash: Digest
    sum: int


@dataclass(frozen=True, slots=True)
class SumLeaf:
    """A leaf's bytes, and the amount that the verifier reads from them."""

    data: bytes
    sum: int


@dataclass(frozen=True, slots=True)
class SumPath:
    """Siblings from the leaf up."""

    hashes: tuple[Digest, ...]
    sums: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """What a valid path proves: the root, and the sum of the leaves before the opened one."""

    root: Summed
    before: int


@dataclass(frozen=True, slots=True)
class SumTree:
    """A tree with all its levels, leaves first."""

    levels: tuple[tuple[Summed, ...], ...]

    @classmethod
    def of(cls, leaves: Iterable[SumLeaf]) -> "SumTree":
        """Build the tree."""
        level = tuple(_summed(leaf) for leaf in leaves)
        levels = [level]
        while len(level) > 1:
            level = tuple(_next_level(level))
            levels.append(level)
        return cls(tuple(levels))

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self.levels[0])

    @property
    def root(self) -> Summed:
        """Root; of no leaves it is sha-256 of nothing, and 0."""
        return self.levels[-1][0] if self.size else Summed(EMPTY_ROOT, 0)

    def path(self, index: int) -> SumPath:
        """Return the path of one leaf."""
        if not 0 <= index < self.size:
            raise LedgerError(f"leaf {index} of a tree of {self.size} leaves does not exist")
        siblings = []
        for level in self.levels[:-1]:
            if index ^ 1 < len(level):
                siblings.append(level[index ^ 1])
            index >>= 1
        return SumPath(tuple(s.hash for s in siblings), tuple(s.sum for s in siblings))


def node(left: Summed, right: Summed) -> Summed:
    """Join two children."""
    total = left.sum + right.sum
    if total > MAX_SUM:
        raise LedgerError(f"a sum of {total} does not fit 256 bits")
    packed = left.hash + left.sum.to_bytes(32, "big") + right.hash + right.sum.to_bytes(32, "big")
    return Summed(Digest(hashlib.sha256(NODE_PREFIX + packed).digest()), total)


def open_path(leaf: SumLeaf, *, index: int, size: int, path: SumPath) -> Opened | None:
    """Walk a path to the root that it implies; None if leaf `index` of `size` has no such path."""
    directions = sides(index, size)
    if directions is None or not len(directions) == len(path.hashes) == len(path.sums):
        return None
    if any(len(h) != 32 for h in path.hashes) or not 0 <= leaf.sum <= MAX_SUM:
        return None
    top, before = _summed(leaf), 0
    for digest, amount, on_the_left in zip(path.hashes, path.sums, directions, strict=True):
        if not 0 <= amount <= MAX_SUM - top.sum:
            return None
        sibling = Summed(digest, amount)
        before += amount if on_the_left else 0
        top = node(sibling, top) if on_the_left else node(top, sibling)
    return Opened(top, before)


def verify(root: Summed, leaf: SumLeaf, *, index: int, size: int, path: SumPath) -> bool:
    """Tell whether `leaf` is leaf `index` of the `size` leaves under `root`."""
    opened = open_path(leaf, index=index, size=size, path=path)
    return opened is not None and opened.root == root


def _summed(leaf: SumLeaf) -> Summed:
    if not 0 <= leaf.sum <= MAX_SUM:
        raise LedgerError(f"a leaf's amount of {leaf.sum} does not fit 256 bits unsigned")
    return Summed(leaf_hash(leaf.data), leaf.sum)


def _next_level(level: Sequence[Summed]) -> list[Summed]:
    upper = [node(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
    return upper + list(level[len(level) & ~1 :])
