"""Evaluation by shards: every participant measures the others on rows that it never shows.

A participant counts, for the coalitions of the *other* players of a round, what the metric is
summed from on its own shard. All that leaves it are these counts; each of them, and the rest of
each, is zero, or ten or more. They rest on its word; the cap on a shard's rows bounds what a lie
can do.

A count is exact in between, and two models that differ on one row show that row's label. So shards
take leave-one-out alone, whose models are few, and a shard answers a bounded number of them.

Nobody is valued on its own shard: on shard k a coalition S counts what S without k does, so k is a
null player of its own shard's game, and the sum over the shards is one game like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fednode.data.evaluation_set import EvaluationSet
from fednode.data.statistics import LEAST_CELL
from fednode.evaluation.metrics import PPM
from incentives.shapley import DENOMINATOR
from incentives.valuation import Valuation
from ledger import cbor
from ledger.artefacts import MAX_RECORD, record
from ledger.cid import CID
from ledger.errors import MalformedRecord
from ledger.sealing import PLAIN, Seal
from ledger.types import Digest

KIND: Final = "evaluation record"
METRICS: Final = ("accuracy", "auc_within")
LEAST_ROWS: Final = 2 * LEAST_CELL
VALUATIONS: Final = ("leave-one-out",)
"""The valuations whose models are few enough to be counted on hidden rows."""
_KEYS: Final = ("result", "cells", "counts")


@dataclass(frozen=True, slots=True)
class Counts:
    """What a shard's owner counted: the rows of each of its cells, and one count per coalition of
    the others, in the valuation's order.

    Of `accuracy` there is one cell, and a count is of right answers; of `auc_within` the cells are
    the classes, and a count is of concordant pairs, twice each.
    """

    cells: tuple[int, ...]
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """The largest possible count: what a shard weighs."""
        return self.cells[0] if len(self.cells) == 1 else 2 * self.cells[0] * self.cells[1]

    def shown(self, count: int) -> int:
        """Move a count to the nearest one that may be shown: both it and its rest are of no right
        answer, or pair, or of ten at least.
        """
        return coarse(count, self.total, LEAST_CELL if len(self.cells) == 1 else 2 * LEAST_CELL)

    def artefact(self, result: Digest, seal: Seal = PLAIN) -> tuple[CID, bytes]:
        """Write the record of what was counted for a result."""
        return record({"result": result, "cells": self.cells, "counts": self.counts}, seal)

    def check(self, metric: str, *, coalitions: int, most_rows: int) -> None:
        """Refuse counts that no shard within the policy's cap can have."""
        if len(self.cells) != (1 if metric == "accuracy" else 2):
            raise MalformedRecord(KIND, f"{len(self.cells)} cells for {metric}")
        rows = sum(self.cells)
        if min(self.cells) < LEAST_CELL or not LEAST_ROWS <= rows <= most_rows:
            raise MalformedRecord(KIND, f"cells of {self.cells}, at most {most_rows} rows in all")
        if len(self.counts) != coalitions:
            raise MalformedRecord(KIND, f"{len(self.counts)} counts of {coalitions} coalitions")
        if not all(
            0 <= count <= self.total and self.shown(count) == count for count in self.counts
        ):
            raise MalformedRecord(KIND, f"a count outside 0 to {self.total}, or of too few")


def read(data: bytes, result: Digest) -> Counts:
    """Read a record of what was counted for a result."""
    fields = cbor.decode_map(data, KIND, _KEYS, limit=MAX_RECORD)
    if fields["result"] != result:
        raise MalformedRecord(KIND, "it counts for another result")
    cells, counts = (cbor.integers(fields, name, kind=KIND) for name in ("cells", "counts"))
    return Counts(cells, counts)


def count(rows: EvaluationSet, counted: Sequence[int], metric: str) -> Counts:
    """Make counts fit to be shown; `counted` is what the evaluator counted on the rows."""
    positives = int((rows.labels == 1).sum())
    cells = (len(rows),) if metric == "accuracy" else (len(rows) - positives, positives)
    whole = Counts(cells, ())
    return Counts(cells, tuple(whole.shown(one) for one in counted))


def countable(rows: EvaluationSet, metric: str) -> bool:
    """Whether a shard has enough rows for counts of it to be shown."""
    cells = count(rows, (), metric).cells
    return min(cells) >= LEAST_CELL and sum(cells) >= LEAST_ROWS


def most_models(rounds: int, participants: int) -> int:
    """Count the models that a shard answers at most: in each training round those of a
    leave-one-out valuation of as many players as there may be.

    An owner is no player on its own shard, so each round leaves one model for what is counted anew:
    after an attempt that fell, a void round, or a reorganisation.
    """
    return rounds * (participants + 2)


def coarse(number: int, total: int, least: int = LEAST_CELL) -> int:
    """Move a count to the nearest one that leaves both it and its rest at zero, or at `least` or
    more.
    """
    if 0 < number < least:
        return least if 2 * number >= least else 0
    rest = total - number
    return total - coarse(rest, total, least) if 0 < rest < least else number


def others(players: Sequence[int], owner: int) -> int:
    """Count the players whose coalitions a shard's owner measures."""
    return len(players) - (owner in players)


def utilities(
    shards: Mapping[int, Counts], players: Sequence[int], valuation: Valuation
) -> tuple[int, ...]:
    """Add up at least two owners' counts to the utilities of all coalitions.

    A player is measured on fewer rows the larger its own shard is. So that nobody is better off
    with a smaller one, or with none, what such a player adds is scaled down to the rows that the
    owner of the largest shard is measured on.
    """
    coalitions = valuation.coalitions(len(players))
    sums = [0] * len(coalitions)
    for owner, shard in shards.items():
        known = dict(zip(valuation.coalitions(others(players, owner)), shard.counts, strict=True))
        for place, coalition in enumerate(coalitions):
            sums[place] += known[without(coalition, players, owner)]
    own = [shards[player].total if player in shards else 0 for player in players]
    rows, largest = sum(s.total for s in shards.values()), max(s.total for s in shards.values())
    surplus = [
        value * (largest - mine) * PPM // (DENOMINATOR * rows * (rows - mine))
        for value, mine in zip(valuation.values(sums, len(players)), own, strict=True)
    ]
    return tuple(
        total * PPM // rows - sum(part for k, part in enumerate(surplus) if coalition >> k & 1)
        for coalition, total in zip(coalitions, sums, strict=True)
    )


def without(coalition: int, players: Sequence[int], owner: int) -> int:
    """Give a coalition of all players as one of the players without a shard's owner."""
    if owner not in players:
        return coalition
    place = players.index(owner)
    below, above = coalition % (1 << place), coalition >> (place + 1)
    return below | above << place


def readable(
    reports: Mapping[int, bytes],
    result: Digest,
    players: Sequence[int],
    valuation: Valuation,
    *,
    metric: str,
    most_rows: int,
) -> dict[int, Counts]:
    """Read everybody's records; what is none is left out, as if there were no such shard."""
    found = {}
    for owner, data in reports.items():
        try:
            counts = read(data, result)
            coalitions = len(valuation.coalitions(others(players, owner)))
            counts.check(metric, coalitions=coalitions, most_rows=most_rows)
        except MalformedRecord:
            continue
        found[owner] = counts
    return found
