"""What may be wrong with a node that is not what it should be, and the proofs that may show it.

These are candidates: whether one holds is for `checking` to say.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ledger.nodes import FAN_OUT, NODE_SIZE, Reason
from ledger.payload import LANES
from ledger.proofs.disputed import Disputed, Seen, Wanting
from ledger.proofs.entries import READ
from ledger.proofs.proving import Prover
from ledger.proofs.reading import Place, RawEntry, RawNode, place_of
from ledger.proofs.records import Demand, Proof, Wanted

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

    def candidates(self) -> Iterator[Proof | Demand]:
        """Give proofs to try, lowest nodes first, and demands where bytes are missing."""
        try:
            for index in self.nodes.differing():
                yield from self._in_node(place_of(index, self.disputed.case.slots))
        except Wanting as missing:
            yield missing.demand

    def _in_node(self, place: Place) -> Iterator[Proof | Demand]:
        seen = RawNode.of(self.nodes.open(place.node)[:NODE_SIZE])
        right = RawNode.of(self.nodes.right.leaf(place.node))
        pairs = zip(seen.entries, right.entries, strict=True)
        differing = [i for i, (one, other) in enumerate(pairs) if one != other]
        for i in differing[: place.children]:
            try:
                if place.level:
                    yield self.prover.child(place.first + i, place.node)
                else:
                    yield from self._of_entry(place.first + i, seen.entries[i], right.entries[i])
            except Wanting as missing:
                yield missing.demand
        yield self.prover.totals(place.node)
        if not differing and seen.root != right.root:
            yield from self._of_sums(place, seen)

    def _of_sums(self, place: Place, node: RawNode) -> Iterator[Proof]:
        """Compare a node's sums with those of its entries, which are right."""
        trees, index = self.disputed.right.sums, place.node
        way = self.prover.node(index)
        full = self.disputed.published.sums.get(index)
        sums = self.disputed.seen(Wanted.SUM, trees[index], full, way=way)
        leaf = next(sums.differing())
        weighted = [place.first + i for i, e in enumerate(node.entries) if e.weight]
        if place.level:
            inputs = [trees[child].open(leaf) for child in weighted]
        else:
            inputs = [self.disputed.inputs[slot].open(leaf // 2) for slot in weighted]
        yield self.prover.sum(index, leaf, sums.open(leaf), inputs)

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
            answers = self.disputed.answers
            shown = {t.position for t in answers if (t.kind, t.root) == (Wanted.INPUT, seen.root)}
            hidden = [at for at in range(self.disputed.policy.leaves) if at not in shown]
            if hidden:
                at = hidden[self.disputed.draw(len(hidden))]
                yield self._demand(Wanted.INPUT, slot, position=at)

    def _demand(self, kind: Wanted, slot: int, *, position: int = 0) -> Demand:
        way = slot.to_bytes(4, "big") + self.nodes.open(slot // FAN_OUT)
        seen = self.disputed.seen(kind, self.nodes.right, None, way=way)
        return seen.demand(0, position)
