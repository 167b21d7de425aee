"""Where a published result differs from what its inputs come to, and in which step of the audit
that belongs.

The comparison goes from the updates to the payouts, so the first difference is the cause and what
follows from it is not blamed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

from ledger import nodes
from ledger.artefacts import ResultReader
from ledger.audit.verdict import (
    AGGREGATION,
    CONTRIBUTIONS,
    PAYOUTS,
    SELECTION,
    TREES,
    UTILITIES,
    Step,
)
from ledger.headers import ResultHeader
from ledger.nodes import Entry, in_order
from ledger.round import Outcome, Records


@dataclass(frozen=True, slots=True)
class PublishedResult:
    """A result as its proposer published it; what its header commits to was checked when it was
    read.
    """

    records: Records
    levels: nodes.Levels

    @classmethod
    def read(cls, reader: ResultReader, *, leaves: int, slots: int) -> "PublishedResult":
        """Read everything that a result published, its model and sums included."""
        levels = reader.levels(slots)
        reader.check_sums(leaves, levels)
        reader.model(leaves)
        return cls(reader.records(), levels)

    @property
    def header(self) -> ResultHeader:
        """The result's header."""
        return self.records.header

    def entries(self) -> list[Entry]:
        """Give the lowest nodes' entries: commit slots in order, then padding."""
        return [entry for node in self.levels[0] for entry in node.entries]


class Difference(NamedTuple):
    """One comparison."""

    step: Step
    subject: str
    expected: object
    found: object


def comparisons(outcome: Outcome, published: PublishedResult) -> Iterator[Difference]:
    """Compare a result with its recomputation, from the updates to the payouts."""
    ours = [entry for node in outcome.levels[0] for entry in node.entries]
    yield from selection(ours, published.entries())
    count = sum(entry != Entry() for entry in ours)
    yield Difference(SELECTION, f"{count} commit slots", count, count)
    yield from _trees(outcome, published)
    for step, name, subject in _MODEL:
        yield _field(step, name, subject, outcome, published)
    mine, theirs = outcome.records, published.records
    yield from _lists(UTILITIES, "utility of coalition", mine.utilities, theirs.utilities)
    for step, name, subject in _MEASURED:
        yield _field(step, name, subject, outcome, published)
    yield from _lists(CONTRIBUTIONS, "value of participant", mine.values, theirs.values)
    for step, name, subject in _VALUED:
        yield _field(step, name, subject, outcome, published)
    yield from _lists(PAYOUTS, "payout of participant", mine.payouts, theirs.payouts)
    for step, name, subject in _PAID:
        yield _field(step, name, subject, outcome, published)


_MODEL = (
    (TREES, "nodes", "root of the partial sums"),
    (AGGREGATION, "weight", "sum of the weights"),
    (AGGREGATION, "number", "number of updates that count"),
    (AGGREGATION, "model_root", "root of the new model"),
    (AGGREGATION, "model_digest", "digest of the new model"),
)
_MEASURED = (
    (UTILITIES, "utilities", "root of the utilities"),
    (UTILITIES, "gain", "utility gained in the period"),
    (UTILITIES, "stop", "whether training ends here"),
)
_VALUED = (
    (CONTRIBUTIONS, "values", "root of the values"),
    (CONTRIBUTIONS, "scores", "sum of the scores"),
)
_PAID = (
    (PAYOUTS, "payouts", "root of the payouts"),
    (PAYOUTS, "payout_total", "sum of the payouts"),
)


def selection(ours: Sequence[Entry], theirs: Sequence[Entry]) -> Iterator[Difference]:
    """Say where entries differ from what their slots come to."""
    for slot, (expected, found) in enumerate(zip(ours, theirs, strict=True)):
        if expected != found:
            name = _first_difference(expected, found)
            subject = f"slot {slot}, participant {expected.participant}: {name}"
            yield Difference(SELECTION, subject, getattr(expected, name), getattr(found, name))


def _trees(outcome: Outcome, published: PublishedResult) -> Iterator[Difference]:
    pairs = zip(in_order(outcome.levels), in_order(published.levels), strict=True)
    for position, (expected, found) in enumerate(pairs):
        subject = f"node {position} of the partial sums"
        yield Difference(TREES, subject, expected.root, found.root)
        yield Difference(TREES, f"{subject}, whole", expected.digest(), found.digest())


def _lists(
    step: Step, what: str, ours: Sequence[object], theirs: Sequence[object]
) -> Iterator[Difference]:
    for place, (expected, found) in enumerate(zip(ours, theirs, strict=False)):
        if expected != found:
            yield Difference(step, f"{what} {place}", expected, found)
    yield Difference(step, f"{what}: how many", len(ours), len(theirs))


def _field(
    step: Step, name: str, subject: str, outcome: Outcome, published: PublishedResult
) -> Difference:
    return Difference(step, subject, getattr(outcome.header, name), getattr(published.header, name))


def _first_difference(expected: Entry, found: Entry) -> str:
    names = [field.name for field in fields(Entry)]
    return next(name for name in names if getattr(expected, name) != getattr(found, name))
