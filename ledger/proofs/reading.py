"""Reading proofs: a cursor over tight bytes, and the openings that proofs are made of.

The twin of the contract's `Openings`, `Merkle`, `Nodes`, `Lanes` and `Leaves`: whoever is about to
stake a bond on a proof learns here what the contract will say.
"""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

from ledger import merkle, merkle_sum
from ledger.errors import MalformedRecord
from ledger.headers import PolicyHeader, ResultHeader, Visibility
from ledger.merkle_sum import Summed
from ledger.nodes import ENTRY_SIZE, FAN_OUT, NODE_SIZE, shape
from ledger.payload import LEAF_SIZE
from ledger.proofs.records import Case, NoProof
from ledger.types import Digest

SALT_SIZE = 16
VALUE_SIZE = 96
PAYOUT_SIZE = 64


class RawEntry(NamedTuple):
    """An entry as whole words: a liar's need not be canonical."""

    digest: Digest
    root: Digest
    participant: int
    weight: int
    number: int
    reason: int
    position: int


class RawNode(NamedTuple):
    """A node as whole words, and the bytes that it was read from."""

    entries: tuple[RawEntry, ...]
    root: Digest
    weight: int
    number: int
    data: bytes

    @classmethod
    def of(cls, data: bytes) -> "RawNode":
        """Read a node's 3,680 bytes."""
        starts = range(0, FAN_OUT * ENTRY_SIZE, ENTRY_SIZE)
        entries = tuple(_entry(data[at : at + ENTRY_SIZE]) for at in starts)
        root, weight, number = _words(data[FAN_OUT * ENTRY_SIZE :])
        return cls(entries, root, number_of(weight), number_of(number), data)


class Place(NamedTuple):
    """Where a node stands: its index, level and position in it, its first child (a slot, or a
    node's index), and how many of its entries are not padding.
    """

    node: int
    level: int
    position: int
    first: int
    children: int


class SumsAt(NamedTuple):
    """What a path of a Merkle-sum tree proves: the sum of all leaves, and of those before."""

    total: int
    before: int


@dataclass(slots=True)
class Reader:
    """A cursor over a proof."""

    data: bytes
    at: int = 0

    def take(self, size: int) -> bytes:
        """Take the next bytes."""
        part = self.data[self.at : self.at + size]
        if len(part) < size:
            raise NoProof("length", f"{size - len(part)} bytes are missing at {self.at}")
        self.at += size
        return part

    def rest(self) -> bytes:
        """Take all that is left."""
        return self.take(len(self.data) - self.at)

    def number(self, size: int) -> int:
        """Take a big-endian integer."""
        return number_of(self.take(size))

    def digest(self) -> Digest:
        """Take a hash."""
        return Digest(self.take(32))

    def close(self) -> None:
        """Refuse bytes that nothing asked for."""
        if self.at != len(self.data):
            raise NoProof("length", f"{len(self.data) - self.at} bytes too many")

    def climb(self, hashed: Digest, index: int, size: int) -> Digest:
        """Take a path; give the root that it implies."""
        for on_the_left in _sides(index, size):
            sibling = self.digest()
            pair = (sibling, hashed) if on_the_left else (hashed, sibling)
            hashed = merkle.node_hash(*pair)
        return hashed

    def under(self, hashed: Digest, index: int, size: int, root: bytes) -> None:
        """Take a path that must lead to a root."""
        if self.climb(hashed, index, size) != root:
            raise NoProof("path", f"leaf {index} of {size} does not lie under {root.hex()}")

    def climb_sums(self, leaf: Summed, index: int, size: int) -> tuple[Summed, int]:
        """Take a path of a Merkle-sum tree; give its root and the sum before the leaf."""
        top, before = leaf, 0
        for on_the_left in _sides(index, size):
            sibling = Summed(self.digest(), self.number(32))
            before += sibling.sum if on_the_left else 0
            top = _pair(sibling, top) if on_the_left else _pair(top, sibling)
        return top, before

    def result(self, digest: bytes) -> ResultHeader:
        """Take the header of a result."""
        data = self.take(_RESULT_SIZE)
        if hashlib.sha256(data).digest() != digest:
            raise NoProof("header", f"it is not that of {digest.hex()}")
        try:
            return ResultHeader.decode(data)
        except MalformedRecord as error:
            raise NoProof("header", str(error)) from error

    def node(self, case: Case, header: ResultHeader) -> tuple[Place, RawNode]:
        """Take an index, the node there, and its path."""
        index = self.number(4)
        place = place_of(index, case.slots)
        data = self.take(NODE_SIZE)
        self.under(merkle.leaf_hash(data), index, sum(shape(case.slots)), header.nodes)
        return place, RawNode.of(data)

    def entry(self, case: Case, header: ResultHeader) -> tuple[int, RawEntry]:
        """Take a slot, the node that holds its entry, and the node's path."""
        slot = self.number(4)
        if slot >= case.slots:
            raise NoProof("place", f"there is no slot {slot} of {case.slots}")
        data = self.take(NODE_SIZE)
        size = sum(shape(case.slots))
        self.under(merkle.leaf_hash(data), slot // FAN_OUT, size, header.nodes)
        return slot, RawNode.of(data).entries[slot % FAN_OUT]

    def lowest(self, slots: int, root: bytes) -> list[RawEntry]:
        """Take all nodes of the lowest level and the hashes of the others; give the slots'
        entries.
        """
        sizes = shape(slots)
        nodes = [self.take(NODE_SIZE) for _ in range(sizes[0])]
        hashes = [merkle.leaf_hash(node) for node in nodes]
        hashes += [self.digest() for _ in range(sum(sizes[1:]))]
        if merkle.Tree.over(tuple(hashes)).root != root:
            raise NoProof("nodes", f"they do not lie under {root.hex()}")
        return [entry for node in nodes for entry in RawNode.of(node).entries][:slots]

    def lanes(
        self, policy: PolicyHeader, index: int, size: int, root: bytes, *, salted: bool = True
    ) -> bytes:
        """Take a leaf of a payload and its path; give its 1,024 bytes. `salted`: as all payloads
        are where the policy seals.
        """
        leaf = self.take(payload_leaf_size(policy) if salted else LEAF_SIZE)
        self.under(merkle.leaf_hash(leaf), index, size, root)
        return leaf[-LEAF_SIZE:]

    def value(self, index: int, size: int, header: ResultHeader) -> tuple[list[int], SumsAt]:
        """Take a leaf of the values and its path; give the leaf's words."""
        return self._summed(VALUE_SIZE, index, size, header.values)

    def payout(self, index: int, size: int, header: ResultHeader) -> tuple[list[int], SumsAt]:
        """Take a leaf of the payouts and its path; give the leaf's words."""
        return self._summed(PAYOUT_SIZE, index, size, header.payouts)

    def _summed(self, length: int, index: int, size: int, root: bytes) -> tuple[list[int], SumsAt]:
        leaf = self.take(length)
        values = [number_of(word) for word in _words(leaf)]
        top, before = self.climb_sums(Summed(merkle.leaf_hash(leaf), values[-1]), index, size)
        if top.hash != root:
            raise NoProof("path", f"leaf {index} of {size} does not lie under {root.hex()}")
        return values, SumsAt(top.sum, before)


_RESULT_SIZE = 576


def number_of(data: bytes) -> int:
    """Read a big-endian unsigned integer."""
    return int.from_bytes(data, "big")


def payload_leaf_size(policy: PolicyHeader) -> int:
    """Return how many bytes of a payload's leaf are hashed: in a sealed one a salt comes first."""
    return LEAF_SIZE + (SALT_SIZE if policy.visibility != Visibility.PUBLIC else 0)


def place_of(index: int, slots: int) -> Place:
    """Say where a node stands; NoProof if there is no such node."""
    start = first = 0
    below = slots
    for level, width in enumerate(shape(slots)):
        if index < start + width:
            before = (index - start) * FAN_OUT
            children = min(FAN_OUT, below - before)
            return Place(index, level, index - start, first + before, children)
        first, start, below = start, start + width, width
    raise NoProof("place", f"there is no node {index} over {slots} slots")


def join(level: list[Summed]) -> Summed:
    """Join the nodes of a level of a Merkle-sum tree."""
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        level = [_pair(left, right) for left, right in pairs] + level[len(level) & ~1 :]
    return level[0]


def _pair(left: Summed, right: Summed) -> Summed:
    if left.sum + right.sum > merkle_sum.MAX_SUM:
        raise NoProof("path", "its sums exceed 256 bits")
    return merkle_sum.node(left, right)


def _sides(index: int, size: int) -> tuple[bool, ...]:
    sides = merkle.sides(index, size)
    if sides is None:
        raise NoProof("place", f"there is no leaf {index} of {size}")
    return sides


def _entry(data: bytes) -> RawEntry:
    digest, root, *numbers = _words(data)
    return RawEntry(digest, root, *map(number_of, numbers))


def _words(data: bytes) -> list[Digest]:
    return [Digest(data[at : at + 32]) for at in range(0, len(data), 32)]
