"""Merkle trees over sha-256 with RFC 6962 prefixes: one tree per payload serves every proof.

Paths are verified as in RFC 9162 2.1.3.2 with index, size, exact path length and exact leaf length.
Walking index bits alone would let the last leaf of an unbalanced tree verify at a wrong index.

Source: RFC 6962 section 2.1, RFC 9162 section 2.1.3.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat

from ledger.errors import LedgerError
from ledger.types import Digest

LEAF_PREFIX = b"\x00"
NODE_PREFIX = b"\x01"
EMPTY_ROOT = Digest(hashlib.sha256().digest())
UNSALTED = repeat(b"")


def leaf_hash(leaf: bytes) -> Digest:
    """Hash a leaf, so that no node can be taken for it."""
    return Digest(hashlib.sha256(LEAF_PREFIX + leaf).digest())


def node_hash(left: bytes, right: bytes) -> Digest:
    """Hash two children."""
    return Digest(hashlib.sha256(NODE_PREFIX + left + right).digest())


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree with all its levels, leaf hashes first; for whoever needs many paths."""

    levels: tuple[tuple[bytes, ...], ...]

    @classmethod
    def of(cls, leaves: Iterable[bytes]) -> "Tree":
        """Build the tree over leaves of any length."""
        return cls.over(tuple(leaf_hash(leaf) for leaf in leaves))

    @classmethod
    def of_bytes(cls, data: bytes, leaf_size: int, salts: Iterable[bytes] = UNSALTED) -> "Tree":
        """Build the tree over a buffer cut into leaves of `leaf_size` bytes, each behind its
        salt.
        """
        return cls.over(tuple(_leaf_hashes(data, leaf_size, salts)))

    @classmethod
    def over(cls, hashes: tuple[bytes, ...]) -> "Tree":
        """Build the levels above leaf hashes, or above the roots of subtrees of 2^k leaves each, of
        which the last may have fewer.
        """
        levels = [hashes]
        while len(levels[-1]) > 1:
            levels.append(tuple(_next_level(levels[-1])))
        return cls(tuple(levels))

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self.levels[0])

    @property
    def root(self) -> Digest:
        """Root; of no leaves it is sha-256 of nothing."""
        return Digest(self.levels[-1][0]) if self.size else EMPTY_ROOT

    def path(self, index: int) -> tuple[Digest, ...]:
        """Return the siblings from the leaf up; a node that has none is passed over."""
        if not 0 <= index < self.size:
            raise LedgerError(f"leaf {index} of a tree of {self.size} leaves does not exist")
        path = []
        for level in self.levels[:-1]:
            sibling = index ^ 1
            if sibling < len(level):
                path.append(Digest(level[sibling]))
            index >>= 1
        return tuple(path)


def root(leaves: Iterable[bytes]) -> Digest:
    """Compute the root over leaves of any length."""
    return _reduce([leaf_hash(leaf) for leaf in leaves])


def root_of_bytes(data: bytes, leaf_size: int, salts: Iterable[bytes] = UNSALTED) -> Digest:
    """Compute the root over a buffer cut into leaves, each behind its salt; the buffer's length is
    a multiple of `leaf_size`.
    """
    return _reduce(_leaf_hashes(data, leaf_size, salts))


def path(leaves: Sequence[bytes], index: int) -> tuple[Digest, ...]:
    """Return the audit path of one leaf."""
    return Tree.of(leaves).path(index)


def verify(
    root: bytes, leaf: bytes, *, index: int, size: int, path: Sequence[bytes], leaf_size: int
) -> bool:
    """Tell whether `leaf`, of exactly `leaf_size` bytes, is leaf `index` of `size` under `root`."""
    if len(leaf) != leaf_size:
        return False
    directions = sides(index, size)
    if directions is None or len(directions) != len(path) or any(len(p) != 32 for p in path):
        return False
    digest: bytes = leaf_hash(leaf)
    for sibling, on_the_left in zip(path, directions, strict=True):
        digest = node_hash(sibling, digest) if on_the_left else node_hash(digest, sibling)
    return digest == root


def sides(index: int, size: int) -> tuple[bool, ...] | None:
    """Tell which elements of a leaf's path stand on the left; None if there is no such leaf.

    RFC 9162 2.1.3.2: `last` is the index of the last node of the level; a node without a sibling
    moves up unchanged.
    """
    if not 0 <= index < size:
        return None
    result = []
    last = size - 1
    while last:
        if index & 1 or index != last:
            result.append(bool(index & 1))
        index >>= 1
        last >>= 1
    return tuple(result)


def _leaf_hashes(data: bytes, leaf_size: int, salts: Iterable[bytes]) -> list[bytes]:
    if leaf_size <= 0 or len(data) % leaf_size:
        raise LedgerError(f"{len(data)} bytes do not make whole leaves of {leaf_size}")
    view = memoryview(data)
    sha256 = hashlib.sha256
    starts = range(0, len(data), leaf_size)
    return [
        sha256(LEAF_PREFIX + salt + view[at : at + leaf_size]).digest()
        for at, salt in zip(starts, salts, strict=False)
    ]


def _next_level(hashes: Sequence[bytes]) -> list[bytes]:
    sha256 = hashlib.sha256
    pairs = zip(hashes[::2], hashes[1::2], strict=False)
    level = [sha256(NODE_PREFIX + left + right).digest() for left, right in pairs]
    if len(hashes) & 1:
        level.append(hashes[-1])
    return level


def _reduce(hashes: list[bytes] | list[Digest]) -> Digest:
    level: Sequence[bytes] = hashes
    while len(level) > 1:
        level = _next_level(level)
    return Digest(level[0]) if level else EMPTY_ROOT
