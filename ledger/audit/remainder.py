"""What can still be computed again of a round after some of its updates were erased.

Every other update is judged as ever. The nodes that an erased update went into are taken from the
result; those above them are added up again, and so are model, values and payouts, from the sums and
the utilities on record. What an erased update alone could show (its own entry, its node's sum, the
utilities of coalitions it is in) is not checked, and the audit says so.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ledger import nodes, payload
from ledger.artefacts import ResultReader
from ledger.audit.compare import Difference, PublishedResult
from ledger.audit.verdict import SELECTION, TREES, UTILITIES
from ledger.headers import Evaluation
from ledger.nodes import FAN_OUT, Entry, Reason
from ledger.proofs.valuing import coalitions, measures, valuation_at
from ledger.round import (
    GOOD,
    Int32,
    Made,
    Measured,
    Outcome,
    RoundContext,
    Rules,
    Slot,
    Standing,
    conclude,
    idle,
    judge,
    last,
)
from ledger.types import ZERO_DIGEST


@dataclass(frozen=True)
class Remainder:
    """A round, the slots whose updates were erased, and what its result says."""

    context: RoundContext
    standing: Standing
    slots: Sequence[Slot]
    erased: Collection[int]
    published: PublishedResult
    reader: ResultReader
    rules: Rules

    @property
    def judged(self) -> Sequence[Entry]:
        """Give what the slots come to, an erased one as if it had never been there."""
        return self._judgement[0]

    @cached_property
    def _judgement(self) -> tuple[Sequence[Entry], Sequence[Int32 | None]]:
        return judge(self.context, self.slots, self.rules)

    def differences(self) -> Iterator[Difference]:
        """Compare what the updates that are left show."""
        good = [entry for entry in self.entries if self._good(entry)]
        short = len(good) < self.context.policy.least_updates
        carries = self._carries()
        for slot, (mine, found) in enumerate(zip(self.judged, self.entries, strict=True)):
            if slot not in self.erased:
                expected = self._among(mine, short=short, carries=carries)
                subject = f"slot {slot}, participant {expected.participant}"
                yield Difference(SELECTION, subject, expected, found)
        yield from self._sums()
        yield self._number()

    def conclusion(self) -> Outcome:
        """Compute what follows from the sums and utilities on record."""
        published = self.published
        top = published.levels[-1][0]
        if self.rules.summed is None:
            model = self.reader.model(self.context.policy.leaves)
        else:
            sums = payload.int64(self._sum(len(nodes.in_order(published.levels)) - 1))
            size = self.standing.model.size
            model = self.rules.summed.step(self.standing.model, sums[:size], top.weight)
        made = Made(self._levels(), (), model, self.reader.content)
        return conclude(self.context, self.standing, made, self._measured(), self.rules)

    def _measured(self) -> Measured:
        """Give the utilities on record, with those whose they are."""
        recorded, standing = self.published.records.utilities, self.standing
        if self.context.by_shards:
            return Measured(standing.players, standing.trained - 1, recorded)
        players = sorted(entry.participant for entry in self.entries if entry.weight > 0)
        return Measured(tuple(players), standing.trained, recorded)

    def _number(self) -> Difference:
        """Compare how many utilities there are with how many coalitions the policy has measured.
        There may be none where that takes a slice, or counts from shards.
        """
        policy, measured = self.context.policy, self._measured()
        found, expected = len(measured.utilities), 0
        results = 0 if self.context.statistics else self.standing.trained + 1
        height = results + (1 if policy.statistics else 0)
        if measures(policy, height) and (found or policy.evaluation == Evaluation.PUBLIC):
            at = measured.trained + height - self.standing.trained
            expected = coalitions(valuation_at(policy, at), len(measured.players))
        return Difference(UTILITIES, "number of utilities", expected, found)

    def _carries(self) -> bool:
        """Whether the round only carries counts."""
        shards = self.context.by_shards
        return shards and last(self.context, self.standing, self.rules, self._measured())

    @property
    def entries(self) -> list[Entry]:
        """Give what the result says of each slot."""
        return self.published.entries()[: len(self.slots)]

    def _levels(self) -> nodes.Levels:
        """Build the nodes again over the entries on record, with the roots on record."""
        roots = iter(node.root for node in nodes.in_order(self.published.levels))
        return nodes.levels(self.entries, sum_root=lambda _: next(roots))

    def _sums(self) -> Iterator[Difference]:
        """Add up again every node that no erased update went into directly."""
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
        return any(slot in part for slot in self.erased)

    def _over(self, part: range) -> bytes:
        weighted = [
            (update, self.entries[slot].weight)
            for slot, update in enumerate(self._judgement[1])
            if slot in part and update is not None and self.entries[slot].weight
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

    def _good(self, entry: Entry) -> bool:
        return (
            entry.reason in (*GOOD, Reason.IDLE)
            and self.context.seats[entry.participant].weight > 0
        )

    def _among(self, entry: Entry, *, short: bool, carries: bool) -> Entry:
        """Give an entry as it is beside the erased ones; whether these were enough for all to count
        rests on what the result says of them.
        """
        if entry.reason not in GOOD:
            return entry
        if short:
            return replace(entry, weight=0, reason=Reason.TOO_FEW)
        weight = self.context.seats[entry.participant].weight
        counted = replace(entry, weight=weight, reason=Reason.COUNTED)
        return idle(counted) if carries else counted
