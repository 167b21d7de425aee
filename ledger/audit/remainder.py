"""What can still be computed again of a round of which some updates cannot be read: they were
erased, or are sealed for others.

Chain and headers say of such an update whose it is, what it weighs and whether it is the round's
own; the result's word is taken for whether its coordinates are within the bound. The nodes that it
went into are taken from the result; all others are added up again, and so are model, values and
payouts, from the sums on record. Measured again are the coalitions that it is not in, and that of
all, whose model is known. The rest is not checked, and the audit says so.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ledger import nodes, payload
from ledger.artefacts import ResultReader
from ledger.audit.compare import Difference, PublishedResult, selection
from ledger.audit.verdict import AGGREGATION, SELECTION, TREES, UTILITIES, Step
from ledger.headers import Evaluation, UpdateHeader
from ledger.nodes import FAN_OUT, Entry, Reason
from ledger.proofs.valuing import coalitions, measures, valuation_at
from ledger.round import (
    Exclusion,
    Int32,
    Judged,
    Made,
    Measured,
    Outcome,
    Players,
    RoundContext,
    Rules,
    Slot,
    Standing,
    conclude,
    enough,
    entry_of,
    idle,
    judge,
    last,
    measure,
    players_of,
)
from ledger.types import ZERO_DIGEST


@dataclass(frozen=True)
class Remainder:
    """A round and what its result says; of the updates in the slots `unread` there are headers
    alone.
    """

    context: RoundContext
    standing: Standing
    slots: Sequence[Slot]
    unread: Collection[int]
    published: PublishedResult
    reader: ResultReader
    rules: Rules

    @property
    def expected(self) -> Sequence[Entry]:
        """Give what every slot comes to."""
        return self._judged.entries

    @cached_property
    def _judged(self) -> Judged:
        entries, updates = judge(self.context, self.slots, self.rules)
        seen = [self._seen(at) if at in self.unread else entry for at, entry in enumerate(entries)]
        judged = Judged(seen, updates)
        return idle(judged) if self._carries() else enough(self.context, judged)

    def _seen(self, place: int) -> Entry:
        """Judge an update by its header, and by the result's word that it is beyond the bound."""
        slot, found = self.slots[place], self.published.entries()[place]
        assert slot.published.header is not None
        exclusion = None
        if found.reason == Reason.BEYOND_BOUND:
            end = self.context.policy.leaves * payload.LANES - 1
            exclusion = Exclusion(Reason.BEYOND_BOUND, min(found.position, end))
        root = UpdateHeader.decode(slot.published.header).payload_root
        return entry_of(self.context, slot, root, exclusion)

    def unseen(self) -> Iterator[tuple[int, Step, str]]:
        """Say for each slot what only its update would show."""
        summed = self.rules.summed is not None
        for place in sorted(self.unread):
            yield place, SELECTION, "the bound on the update"
            if self._weighs(place):
                yield place, TREES, "the sums of the node"
                if not summed:
                    yield place, AGGREGATION, "the part in the new model"
            if self.context.by_shards:
                yield place, UTILITIES, "the counts"
            elif self._weighs(place):
                yield place, UTILITIES, "the utilities of coalitions"

    def _weighs(self, place: int) -> bool:
        return self.expected[place].weight > 0

    def differences(self) -> Iterator[Difference]:
        """Compare what can be seen of the updates."""
        yield from selection(self.expected, self.published.entries()[: len(self.slots)])
        yield from self._sums()
        yield self._number()

    def conclusion(self) -> Outcome:
        """Compute what follows from the updates, and from the record where it takes others."""
        model = self._model()
        made = Made(self._levels(), (), model, self.reader.content)
        return conclude(self.context, self.standing, made, self._measured(model), self.rules)

    def _model(self) -> Int32:
        published, previous = self.published, self.standing.model
        if self.rules.summed is not None:
            sums = payload.int64(self._sum(len(nodes.in_order(published.levels)) - 1))
            weight = sum(entry.weight for entry in self.expected)
            return self.rules.summed.step(previous, sums[: previous.size], weight)
        if any(self._weighs(place) for place in self.unread):
            return self.reader.model(self.context.policy.leaves)
        players = self._players()
        return self.rules.aggregate(previous, players.updates, players.weights)

    def _players(self) -> Players:
        """List the updates that count, with zeros for those that were not read."""
        entries, updates = self._judged
        zero = np.zeros_like(self.standing.model)
        filled = [
            zero if at in self.unread and self._weighs(at) else update
            for at, update in enumerate(updates)
        ]
        return players_of(Judged(entries, filled))

    def _measured(self, model: Int32) -> Measured:
        """Measure the coalitions whose models are known; take the record's word for the others, and
        for what was counted on shards.
        """
        if self.context.by_shards:
            return self._counted()
        players, standing = self._players(), self.standing
        measured = measure(self.context, standing, self.rules, model, players)
        hidden = {self.slots[place].participant for place in self.unread}
        mask = sum(1 << rank for rank, who in enumerate(players.participants) if who in hidden)
        if not mask or not measured.utilities:
            return measured
        listed = self.rules.coalitions(standing.trained, len(players.participants))
        recorded = self.published.records.utilities
        utilities = tuple(
            told if coalition & mask and coalition != listed[-1] else mine
            for coalition, mine, told in zip(listed, measured.utilities, recorded, strict=True)
        )
        return measured._replace(utilities=utilities)

    def _counted(self) -> Measured:
        """Give what was counted on shards, on record."""
        recorded, standing = self.published.records.utilities, self.standing
        return Measured(standing.players, standing.trained - 1, recorded)

    def _number(self) -> Difference:
        """Compare how many utilities there are with how many coalitions the policy has measured.
        There may be none where that takes a slice, or counts from shards.
        """
        policy, standing = self.context.policy, self.standing
        found, expected = len(self.published.records.utilities), 0
        results = 0 if self.context.statistics else standing.trained + 1
        height = results + (1 if policy.statistics else 0)
        if measures(policy, height) and (found or policy.evaluation == Evaluation.PUBLIC):
            by_shards = self.context.by_shards
            players = len(standing.players if by_shards else self._players().participants)
            expected = coalitions(valuation_at(policy, height - by_shards), players)
        return Difference(UTILITIES, "number of utilities", expected, found)

    def _carries(self) -> bool:
        """Whether the round only carries counts."""
        shards = self.context.by_shards
        return shards and last(self.context, self.standing, self.rules, self._counted())

    def _levels(self) -> nodes.Levels:
        """Build the nodes again, with the roots on record."""
        roots = iter(node.root for node in nodes.in_order(self.published.levels))
        return nodes.levels(self.expected, sum_root=lambda _: next(roots))

    def _sums(self) -> Iterator[Difference]:
        """Add up again every node that no unread update went into directly."""
        if self.rules.summed is None:
            return
        rooted = all(node.root != ZERO_DIGEST for row in self.published.levels for node in row)
        yield Difference(TREES, "nodes without a sum", False, not rooted)
        start, place = 0, 0
        for level, row in enumerate(self.published.levels):
            for i in range(len(row)):
                part = range(i * FAN_OUT, (i + 1) * FAN_OUT)
                if level or not self._touched(part):
                    children = range(start + part.start, min(start + part.stop, place - i))
                    mine = self._added(children) if level else self._over(part)
                    same = mine == self._sum(place)
                    yield Difference(TREES, f"node {place}, of what is left", True, same)
                place += 1
            start = place - len(row)

    def _touched(self, part: range) -> bool:
        return any(place in part and self._weighs(place) for place in self.unread)

    def _over(self, part: range) -> bytes:
        weighted = [
            (update, entry.weight)
            for place, (entry, update) in enumerate(zip(*self._judged, strict=True))
            if place in part and update is not None
        ]
        leaves = self.context.policy.leaves
        if not weighted:
            return bytes(2 * leaves * payload.LEAF_SIZE)
        assert self.rules.summed is not None
        sums = self.rules.summed.partial_sums([u for u, _ in weighted], [w for _, w in weighted])
        return payload.pad_sums(sums, leaves)

    def _added(self, children: range) -> bytes:
        """Add up the sums of the level below, one at a time."""
        total = sum(payload.int64(self._sum(child)) for child in children)
        assert isinstance(total, np.ndarray)
        return payload.pad_sums(total, self.context.policy.leaves)

    def _sum(self, place: int) -> bytes:
        count = len(nodes.in_order(self.published.levels))
        return self.reader.sum(place, self.context.policy.leaves, count)
