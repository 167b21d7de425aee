"""What may be wrong with a node that is not what it should be, and the proofs that may show it.

These are candidates: whether one holds is for `checking` to say.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ledger.nodes import FAN_OUT, Reason
from ledger.payload import LANES
from ledger.proofs.disputed import Disputed, Seen, Wanting, pursued
from ledger.proofs.entries import READ
from ledger.proofs.proving import Prover
from ledger.proofs.reading import Place, RawEntry, RawNode, place_of
from ledger.proofs.records import Demand, Proof, Wanted
from ledger.types import Digest

_BY_HEADER = {Reason.MALFORMED, Reason.FOREIGN}
_DEMANDABLE = READ | {Reason.FOREIGN}
_LACKING = {Reason.UNAVAILABLE, Reason.MISSING}
_LONGEST = 1 << 16
"""Bytes behind a digest that a transaction opens. Of more nobody can show that they are no header;
but nobody can answer for them with one, either.
"""


@dataclass(frozen=True)
class NodeSearch:
    """Looks through the nodes of a disputed result."""

    disputed: Disputed
    nodes: Seen
    prover: Prover

    @classmethod
    def of(cls, disputed: Disputed) -> "NodeSearch":
        """Look at the nodes as they were published."""
        nodes = disputed.seen(Wanted.NODE, disputed.right.nodes, disputed.published.nodes)
        return cls(disputed, nodes, disputed.prover(nodes))

    @property
    def only_salted(self) -> bool:
        """Whether all nodes are there, and differ in nothing but roots of sums that we lack the key
        for, and what follows from these roots.
        """
        places = (place_of(index, self.disputed.case.slots) for index in range(self.nodes.size))
        try:
            return all(map(self._only_salted, places))
        except Wanting:
            return False

    def _only_salted(self, place: Place) -> bool:
        seen, right = self._pair(place)
        if not self._is_alike(place, seen, right):
            return False
        if seen.root == right.root:
            return True
        summed = place.node in self.disputed.right.sums
        return summed and self.disputed.sums(place.node, self.nodes).salted

    def candidates(self) -> Iterator[Proof | Demand]:
        """Give proofs to try, lowest nodes first, and demands where bytes are missing."""
        yield from pursued(self._in_nodes())

    def _in_nodes(self) -> Iterator[Proof | Demand]:
        for index in self.nodes.differing():
            yield from pursued(self._in_node(place_of(index, self.disputed.case.slots)))

    def _in_node(self, place: Place) -> Iterator[Proof | Demand]:
        seen, right = self._pair(place)
        pairs = zip(seen.entries, right.entries, strict=True)
        differing = [i for i, (one, other) in enumerate(pairs) if one != other]
        for i in differing[: place.children]:
            if place.level:
                yield from pursued(self._of_child(place.first + i, place.node))
            else:
                entries = seen.entries[i], right.entries[i]
                yield from pursued(self._of_entry(place.first + i, *entries))
        yield self.prover.totals(place.node)
        if seen.root != right.root and self._is_alike(place, seen, right):
            yield from self._of_sums(place, seen)

    def _of_child(self, below: int, node: int) -> Iterator[Proof | Demand]:
        yield self.prover.child(below, node)

    def _pair(self, place: Place) -> tuple[RawNode, RawNode]:
        """Give a node as it was published, or shown, and as it should be."""
        return RawNode.of(self.nodes.leaf(place.node)), RawNode.of(
            self.nodes.right.leaf(place.node)
        )

    def _is_alike(self, place: Place, seen: RawNode, right: RawNode) -> bool:
        """Whether a node is right but for its sums, and what it repeats of those of its children,
        whose business they are.
        """
        theirs = seen.entries
        if place.level:
            pairs = zip(theirs, right.entries, strict=True)
            theirs = tuple(e._replace(digest=r.digest, root=r.root) for e, r in pairs)
        return (theirs, seen.weight, seen.number) == (right.entries, right.weight, right.number)

    def _of_sums(self, place: Place, node: RawNode) -> Iterator[Proof | Demand]:
        """Compare a node's sums with those of its entries."""
        sums = self.disputed.sums(place.node, self.nodes)
        weighted = [(place.first + i, e.root) for i, e in enumerate(node.entries) if e.weight]
        for leaf in sums.differing():
            own = sums.open(leaf)
            inputs = [self._input(place, below, root, leaf) for below, root in weighted]
            yield self.prover.sum(place.node, leaf, own, inputs)

    def _input(self, place: Place, below: int, root: Digest, leaf: int) -> bytes:
        """Open what a leaf of a node's sums adds up, of a slot's update or of a node below."""
        if not place.level:
            return self.disputed.inputs[below].open(leaf // 2)
        right = self.disputed.right.sums[below]
        return (right if right.root == root else self.disputed.sums(below, self.nodes)).open(leaf)

    def _of_entry(self, slot: int, seen: RawEntry, right: RawEntry) -> Iterator[Proof | Demand]:
        yield from self._of_slot(slot, seen, right)
        if seen.reason == Reason.SUPERSEDED:
            yield self.prover.superseded(slot, seen.position)
        if right.reason == Reason.SUPERSEDED:
            yield self.prover.twice(slot, right.position)
        lacking = right.reason in _LACKING and seen.reason in _DEMANDABLE
        update = self._header(slot, lacking=lacking)
        if update is not None and {seen.reason, right.reason} & (_BY_HEADER | READ):
            if len(update) > _LONGEST and seen.reason in _DEMANDABLE:
                yield self._demand(Wanted.HEADER, slot)
                return
            yield self.prover.entry_header(slot, update)
        if seen.reason == Reason.BEYOND_BOUND or right.reason == Reason.BEYOND_BOUND:
            yield from self._of_bound(slot, seen, right)
        yield self.prover.weight(slot)
        if lacking:
            yield from self._wanting(slot, seen, update)

    def _of_slot(self, slot: int, seen: RawEntry, right: RawEntry) -> Iterator[Proof]:
        """Compare an entry with what was committed in its slot."""
        batch = self.disputed.batch
        if slot >= self.disputed.case.batched:
            yield self.prover.entry_slot(slot)
        elif right.reason != Reason.MISSING and batch is not None:
            yield self.prover.entry_slot(slot, batch.open(slot))
        elif seen.reason != Reason.MISSING:
            wanted = self._demand(Wanted.BATCH, slot, position=slot)
            if wanted.target not in self.disputed.answers:
                raise Wanting(wanted)
            yield self.prover.entry_slot(slot, self.disputed.answers[wanted.target])

    def _of_bound(self, slot: int, seen: RawEntry, right: RawEntry) -> Iterator[Proof]:
        """Open the leaves of the coordinates that either says are beyond the bound."""
        update = self.disputed.inputs.get(slot)
        for entry in (seen, right):
            leaf = entry.position // LANES
            if entry.reason != Reason.BEYOND_BOUND:
                continue
            if leaf >= self.disputed.policy.leaves:
                yield self.prover.bound(slot)
            elif update is not None:
                yield self.prover.bound(slot, leaf, update.open(leaf))

    def _header(self, slot: int, *, lacking: bool) -> bytes | None:
        """Give an update's header: one that could not be had may be an answer's by now."""
        known = self.disputed.headers.get(slot)
        if known is None and lacking:
            return self.disputed.answers.get(self._demand(Wanted.HEADER, slot).target)
        return known

    def _wanting(self, slot: int, seen: RawEntry, header: bytes | None) -> Iterator[Demand]:
        """Demand what nobody here could have: a header, then leaves of the payload it names. Which
        ones is drawn, so that nobody can tell beforehand which leaves to make up a root for.
        """
        if header is None:
            yield self._demand(Wanted.HEADER, slot)
        elif seen.reason in READ:
            hidden = self.disputed.hidden(self._demand(Wanted.INPUT, slot).target)
            if hidden:
                at = hidden[self.disputed.draw(len(hidden))]
                yield self._demand(Wanted.INPUT, slot, position=at)

    def _demand(self, kind: Wanted, slot: int, *, position: int = 0) -> Demand:
        way = slot.to_bytes(4, "big") + self.nodes.open(slot // FAN_OUT)
        return self.disputed.demand(kind, (0, position), way=way)
