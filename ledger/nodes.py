"""The tree of partial sums: a proof opens one node of 16 inputs, and never all inputs.

At the lowest level, entry i mod 16 of node i div 16 is commit slot i; above, an entry repeats a
child. A node's root is the payload root of the int64 weighted sum of the counted entries under it,
or zero where the aggregation rule needs no sums. All nodes, level by level from the lowest, are the
leaves of one RFC 6962 tree whose root stands in the result header.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from ledger import words
from ledger.cid import CID, Codec
from ledger.errors import LedgerError, MalformedRecord
from ledger.merkle import Tree
from ledger.types import ZERO_DIGEST, Digest
from ledger.words import Bytes32, UInt32, UInt64

FAN_OUT = 16
_KIND = "node"


class Reason(IntEnum):
    """Why a commit slot counts or does not."""

    COUNTED = 0
    UNAVAILABLE = 1  # its bytes could not be had
    MALFORMED = 2  # not a canonical header
    FOREIGN = 3  # names another federation, round, parent, base, participant or data set
    BEYOND_BOUND = 4  # `position` is the coordinate
    SUPERSEDED = 5  # of the same participant another slot counts: `position`
    TOO_FEW = 6  # would count, but fewer such entries than the policy's least number do
    MISSING = 7  # a leaf of the batch that could not be had, so nothing is known of it
    UNSIGNED = 8  # a leaf of the batch that binds nobody: not its participant's signature
    IDLE = 9  # would count, but the round carries evaluation records alone


@dataclass(frozen=True, slots=True)
class Entry:
    """One input of a node: a commit slot, or, above the lowest level, a child node.

    A slot's `number` is 1 if it passed every test but maybe that of the least number, and has a
    weight by the contract; its `weight` is 0 unless it counts.
    """

    digest: Bytes32 = ZERO_DIGEST
    root: Bytes32 = ZERO_DIGEST
    participant: UInt32 = 0
    weight: UInt64 = 0
    number: UInt32 = 0
    reason: UInt32 = 0
    position: UInt32 = 0


@dataclass(frozen=True, slots=True)
class _Totals:
    root: Bytes32
    weight: UInt64
    number: UInt32


ENTRY_SIZE = words.size_of(Entry)
NODE_SIZE = FAN_OUT * ENTRY_SIZE + words.size_of(_Totals)


@dataclass(frozen=True, slots=True)
class Node:
    """Up to 16 entries, padded with zero entries, and what they sum to."""

    entries: tuple[Entry, ...]
    root: Digest
    weight: int
    number: int

    def __post_init__(self) -> None:
        if len(self.entries) != FAN_OUT:
            raise MalformedRecord(_KIND, f"{len(self.entries)} entries, expected {FAN_OUT}")

    @classmethod
    def of(cls, entries: Sequence[Entry], root: Digest) -> Self:
        """Pad the entries and add up their weights and numbers."""
        padding = (Entry(),) * (FAN_OUT - len(entries))
        weight = sum(entry.weight for entry in entries)
        number = sum(entry.number for entry in entries)
        return cls((*entries, *padding), root, weight, number)

    def encode(self) -> bytes:
        """Return the node's 3,680 bytes."""
        entries = b"".join(words.encode(entry, kind=_KIND) for entry in self.entries)
        return entries + words.encode(_Totals(self.root, self.weight, self.number), kind=_KIND)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a node; refuse any other length or padding. Its sums are not checked here."""
        if len(data) != NODE_SIZE:
            raise MalformedRecord(_KIND, f"{len(data)} bytes, expected {NODE_SIZE}")
        starts = range(0, FAN_OUT * ENTRY_SIZE, ENTRY_SIZE)
        parts = [data[at : at + ENTRY_SIZE] for at in starts]
        entries = tuple(words.decode(Entry, part, kind=_KIND) for part in parts)
        totals = words.decode(_Totals, data[FAN_OUT * ENTRY_SIZE :], kind=_KIND)
        return cls(entries, totals.root, totals.weight, totals.number)

    def digest(self) -> Digest:
        """Return sha-256 of the encoding."""
        return Digest(hashlib.sha256(self.encode()).digest())

    def cid(self) -> CID:
        """Return the raw block's CID."""
        return CID(Codec.RAW, self.digest())

    def as_entry(self) -> Entry:
        """Repeat the node as an entry of the level above."""
        return Entry(self.digest(), self.root, weight=self.weight, number=self.number)


Levels = tuple[tuple[Node, ...], ...]


def levels(slots: Sequence[Entry], *, sum_root: Callable[[range], Digest]) -> Levels:
    """Build all nodes over the commit slots, lowest level first, up to a single node.

    `sum_root(slots)` gives the payload root of the weighted sum over a range of commit slots; it is
    called once per node.
    """
    entries = list(slots)
    span = FAN_OUT
    result: list[tuple[Node, ...]] = []
    while True:
        groups = [entries[at : at + FAN_OUT] for at in range(0, max(len(entries), 1), FAN_OUT)]
        covered = [range(i * span, min((i + 1) * span, len(slots))) for i in range(len(groups))]
        level = tuple(
            Node.of(group, sum_root(part)) for group, part in zip(groups, covered, strict=True)
        )
        result.append(level)
        if len(level) == 1:
            return tuple(result)
        entries = [node.as_entry() for node in level]
        span *= FAN_OUT


def in_order(levels: Levels) -> tuple[Node, ...]:
    """List all nodes in the order of the nodes' tree."""
    return tuple(node for level in levels for node in level)


def nodes_tree(levels: Levels) -> Tree:
    """Build the tree over all nodes; its leaves are the nodes' encodings."""
    return Tree.of(node.encode() for node in in_order(levels))


def counted(levels: Levels) -> tuple[Entry, ...]:
    """List the commit slots that count, in ascending order of their participants."""
    entries = (entry for node in levels[0] for entry in node.entries if entry.weight > 0)
    return tuple(sorted(entries, key=lambda entry: entry.participant))


def nodes_root(levels: Levels) -> Digest:
    """Compute the root that the result header holds."""
    return nodes_tree(levels).root


def shape(slots: int) -> tuple[int, ...]:
    """Return how many nodes each level has over this many commit slots."""
    sizes = [max(1, -(-slots // FAN_OUT))]
    while sizes[-1] > 1:
        sizes.append(-(-sizes[-1] // FAN_OUT))
    return tuple(sizes)


def regroup(nodes: Sequence[Node], slots: int) -> Levels:
    """Cut nodes in the tree's order back into their levels."""
    sizes = shape(slots)
    if len(nodes) != sum(sizes):
        raise LedgerError(f"{len(nodes)} nodes over {slots} slots, expected {sum(sizes)}")
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return tuple(tuple(nodes[at : at + size]) for at, size in zip(starts, sizes, strict=True))
