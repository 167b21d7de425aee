"""Writing proofs: each kind from the trees that it opens.

What goes into a proof, and in which order, is what `checking` takes out of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from ledger.headers import Evaluation, PolicyHeader, ResultHeader, Valuation
from ledger.merkle import EMPTY_ROOT
from ledger.nodes import FAN_OUT, shape
from ledger.proofs.periods import begins
from ledger.proofs.records import Case, Kind, Proof
from ledger.proofs.trees import OpenTree, written
from ledger.proofs.valuing import valuation_at
from ledger.types import ZERO_DIGEST


class Opens(Protocol):
    """A tree of which leaves can be opened."""

    def open(self, index: int) -> bytes:
        """Write a leaf and its path."""
        ...


class Listed(Opens, Protocol):
    """A tree of which leaves can be opened, and the number of leaves is known."""

    @property
    def size(self) -> int:
        """Number of leaves."""
        ...


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A result on the lineage before the challenged one: its header, how many participants its
    round knew, how many slots it had, and its trees.
    """

    header: ResultHeader
    known: int
    slots: int
    nodes: OpenTree
    values: OpenTree
    payouts: OpenTree


@dataclass(frozen=True, slots=True)
class Prover:
    """Writes proofs against one result, whose nodes are opened as it published them. `parent` is
    None under the first; `ended` is the result that ended the reward period before, None in the
    first period.
    """

    policy: PolicyHeader
    case: Case
    header: ResultHeader
    nodes: Opens
    parent: Ancestor | None = None
    ended: Ancestor | None = None

    def node(self, index: int) -> bytes:
        """Open a node."""
        return u32(index) + self.nodes.open(index)

    def entry(self, slot: int) -> bytes:
        """Open the node that holds a slot's entry."""
        return _entry(self.nodes, slot)

    def top(self) -> Proof:
        """Show that the header differs from the top node."""
        return self._proof(Kind.TOP, self._top())

    def totals(self, node: int) -> Proof:
        """Show that a node does not add up its entries, or has one that no round has."""
        return self._proof(Kind.NODE_TOTALS, self.node(node))

    def sum(self, node: int, leaf: int, own: bytes, inputs: Iterable[bytes]) -> Proof:
        """Show that a leaf of a node's sums is wrong. `own` opens it, `inputs` the leaves of the
        node's weighted entries that it adds up.
        """
        return self._proof(Kind.NODE_SUM, self.node(node), u32(leaf), own, *inputs)

    def child(self, below: int, node: int) -> Proof:
        """Show that a node's entry differs from the child that it stands for."""
        return self._proof(Kind.NODE_CHILD, self.node(below), self.node(node))

    def step(self, leaf: int, sums: bytes, models: tuple[bytes, bytes]) -> Proof:
        """Show that half a leaf of the model, that of a leaf of sums, is not the rule's step.
        `models` open the previous model and the new one.
        """
        return self._proof(Kind.STEP, self._parent(), u32(leaf), self._top(), sums, *models)

    def step_of(
        self, leaf: int, nodes: OpenTree, inputs: Iterable[bytes], models: tuple[bytes, bytes]
    ) -> Proof:
        """Show that a leaf of the model is not the step of a rule without sums. `inputs` open the
        leaf of every counted update.
        """
        lowest = _lowest(nodes, self.case.slots)
        return self._proof(Kind.STEP, self._parent(), u32(leaf), lowest, *inputs, *models)

    def entry_header(self, slot: int, update: bytes) -> Proof:
        """Show that an entry contradicts its update's header."""
        return self._proof(Kind.ENTRY_HEADER, self.entry(slot), update)

    def entry_slot(self, slot: int, batch_leaf: bytes = b"") -> Proof:
        """Show that an entry contradicts its commit, or the opened leaf of the batch."""
        return self._proof(Kind.ENTRY_SLOT, self.entry(slot), batch_leaf)

    def superseded(self, slot: int, by: int) -> Proof:
        """Show that the slot `by` that an entry names does not count in its place."""
        cannot = by >= self.case.slots or by == slot or slot < by < self.case.batched
        return self._proof(Kind.SUPERSEDED, self.entry(slot), b"" if cannot else self.entry(by))

    def weight(self, slot: int) -> Proof:
        """Show that an entry's weight is not the contract's."""
        return self._proof(Kind.WEIGHT, self.entry(slot))

    def twice(self, slot: int, other: int) -> Proof:
        """Show that two slots stand for one participant."""
        return self._proof(Kind.TWICE, self.entry(slot), self.entry(other))

    def bound(self, slot: int, leaf: int = 0, opening: bytes = b"") -> Proof:
        """Show that an entry is wrong about the bound: by a leaf of its update, or, if it names a
        coordinate behind the last leaf, by nothing else.
        """
        parts = (u32(leaf), opening) if opening else ()
        return self._proof(Kind.BOUND, self.entry(slot), *parts)

    @property
    def valued(self) -> bool:
        """Whether values follow from the utilities: there are some, and a valuation."""
        measured = self.case.height - self._by_shards
        return (
            self.header.utilities != EMPTY_ROOT
            and valuation_at(self.policy, measured) != Valuation.NONE
        )

    def value(self, index: int, values: Opens, nodes: OpenTree, utilities: OpenTree) -> Proof:
        """Show that a value does not follow from the one before and the utilities. `nodes` are the
        result's own; where its participants count on shards, its parent's are taken.
        """
        parts = [u32(index), values.open(index)]
        if self.parent is not None and not begins(self.policy, self.case.height):
            parts += [self.parent.header.encode(), u32(self.parent.known)]
            parts += [self.parent.values.open(index)] if index < self.parent.known else []
            if self._by_shards and self.valued:
                parts += [u32(self.parent.slots), _lowest(self.parent.nodes, self.parent.slots)]
                parts += [utilities.leaf(at) for at in range(utilities.size)]
        if self.valued and not self._by_shards:
            parts += [_lowest(nodes, self.case.slots)]
            parts += [utilities.leaf(at) for at in range(utilities.size)]
        return self._proof(Kind.VALUE, *parts)

    def measured(self) -> Proof:
        """Show that there are utilities where the policy measures nothing, or none where it does
        measure.
        """
        return self._proof(Kind.GAIN)

    def gain(self, utilities: Listed) -> Proof:
        """Show that the gain does not follow from the utilities, of which first and last leaf are
        opened if there are any.
        """
        parts = [] if begins(self.policy, self.case.height) else [self._parent()]
        ends = {0, utilities.size - 1} if utilities.size else set()
        parts += [utilities.open(at) for at in sorted(ends)]
        return self._proof(Kind.GAIN, *parts)

    def score(self, index: int, values: Opens, scale: int) -> Proof:
        """Show that a score does not follow from value and scale, or that the leaf is misplaced."""
        return self._proof(Kind.SCORE, u32(index), values.open(index), u32(scale))

    def payout(self, index: int, payouts: Opens, values: Opens) -> Proof:
        """Show that a payout does not follow from the scores, or that the leaf is misplaced."""
        parts = [u32(index), payouts.open(index), values.open(index)]
        if self.ended is not None:
            header = self.ended.header
            parts += [header.digest(), header.encode(), u32(self.ended.known)]
            parts += [self.ended.payouts.open(index)] if index < self.ended.known else []
        return self._proof(Kind.PAYOUT, *parts)

    @property
    def _by_shards(self) -> bool:
        return self.policy.evaluation == Evaluation.SHARDS

    def _top(self) -> bytes:
        return self.node(sum(shape(self.case.slots)) - 1)

    def _parent(self) -> bytes:
        if self.header.common.parent == ZERO_DIGEST or self.parent is None:
            return b""
        return self.parent.header.encode()

    def _proof(self, kind: Kind, *parts: bytes) -> Proof:
        return Proof(b"".join((bytes([kind]), self.header.encode(), *parts)))


def charge(header: ResultHeader, nodes: Opens, slot: int) -> bytes:
    """Write what `chargeUnavailable` asks for: a slot's entry under the header of its result."""
    return header.encode() + _entry(nodes, slot)


def u32(value: int) -> bytes:
    """Write an index as proofs hold it."""
    return value.to_bytes(4, "big")


def _entry(nodes: Opens, slot: int) -> bytes:
    return u32(slot) + nodes.open(slot // FAN_OUT)


def _lowest(nodes: OpenTree, slots: int) -> bytes:
    """Write all nodes of the lowest level, and the hashes of the others."""
    width = shape(slots)[0]
    hashes = map(written, nodes.levels[0][width:])
    return b"".join((*map(nodes.leaf, range(width)), *hashes))
