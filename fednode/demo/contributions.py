"""How sure each hospital's contribution is: all rounds' coalitions, measured on resampled rows.

The whole history is replayed once more, with an evaluator that keeps the logits of every
coalition's model; a resample of the valuation rows then gives new utilities for all rounds at once,
and the policy's valuation turns them into values. No payment depends on it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from fednode.auditing import terms
from fednode.data.evaluation_set import EvaluationSet
from fednode.data.schema import Schema
from fednode.demo.bootstrap import Int64, Measured, in_units
from fednode.errors import FedNodeError
from fednode.evaluation.evaluator import Payload, preprocessing_of
from fednode.evaluation.metrics import PPM
from fednode.federation import read_rulebook
from fednode.models.base import Model
from fednode.models.layout import Layout
from fednode.models.registry import build
from fednode.rounds import FederationRules
from incentives.intervals import Interval, contribution_intervals
from ledger.audit.evidence import Evidence
from ledger.audit.replay import Rulebook, audit
from ledger.audit.summary import VALUE_UNIT
from ledger.audit.verdict import Verdict
from ledger.replica import Replica


@dataclass(slots=True)
class Recorder:
    """An evaluator that keeps the logits of what it measures, round by round."""

    model: Model
    layout: Layout
    schema: Schema
    rows: EvaluationSet
    metric: str
    rounds: list[Int64] = field(default_factory=list)
    tolerance: int = 0

    def utilities(self, models: Iterable[Payload]) -> tuple[int, ...]:
        """Measure the models of a round, and keep their logits."""
        versions = [self.layout.unpack(model) for model in models]
        if not all(self.model.admissible(version) for version in versions):
            raise FedNodeError("a coalition's model is beyond exact measurement: no intervals")
        prepared = preprocessing_of(self.layout, versions[0], self.schema)
        self.rounds.append(self.model.logits_of_all(versions, prepared.apply(self.rows.features)))
        return tuple(self._measured(self.rounds[-1]).utilities(self.metric))

    def all_rounds(self) -> Measured:
        """Give the logits of all rounds' models, one after the other."""
        return self._measured(np.concatenate(self.rounds))

    def _measured(self, logits: Int64) -> Measured:
        return Measured(logits, self.rows.labels, self.rows.groups)


def intervals(evidence: Evidence, *, times: int, seed: int) -> list[Interval]:
    """Give each participant's interval, in units of the metric."""
    made: list[tuple[FederationRules, Recorder]] = []

    def rulebook(replica: Replica) -> Rulebook:
        book = read_rulebook(replica, evidence.store)
        digest = replica.link("evaluation")
        rows = EvaluationSet.fetch(evidence.store, digest, schema=book.policy.schema)
        metric = book.policy.evaluation.metric
        model = build(book.policy.model_spec)
        recorder = Recorder(model, book.layout, book.policy.schema, rows, metric)
        rules = FederationRules(book.policy, replica.policy, recorder)
        made.append((rules, recorder))
        return Rulebook(rules, terms(book.policy, exact=True))

    verdict = audit(evidence, rulebook)
    if not verdict.holds:
        raise FedNodeError("contributions cannot be resampled: the audit does not hold")
    rules, recorder = made[0]
    resampling = _Resampling(rules, _players(verdict), [len(r) for r in recorder.rounds])
    draws = recorder.all_rounds().draws(times, seed=seed)
    tables = (draw.utilities(recorder.metric) for draw in draws)
    found = contribution_intervals(
        tables, lambda table: resampling.values(table, len(verdict.participants))
    )
    return [in_units(bounds, VALUE_UNIT * PPM) for bounds in found]


def _players(verdict: Verdict) -> list[list[int]]:
    """List who counted in each measured round, in the order of the record."""
    return [
        sorted(entry.participant for entry in summary.counted)
        for summary in verdict.rounds
        if summary.result is not None and not summary.statistics
    ]


@dataclass(frozen=True, slots=True)
class _Resampling:
    """Turns the utilities of all rounds, one after the other, into the participants' values."""

    rules: FederationRules
    players: Sequence[Sequence[int]]
    sizes: Sequence[int]

    def values(self, table: Sequence[int], participants: int) -> list[int]:
        values = [0] * participants
        for trained, (players, measured) in enumerate(
            zip(self.players, self._cut(table), strict=True)
        ):
            gained = self.rules.values(measured, len(players), trained)
            for participant, value in zip(players, gained, strict=True):
                values[participant] += value
        return values

    def _cut(self, table: Sequence[int]) -> Iterator[Sequence[int]]:
        start = 0
        for size in self.sizes:
            yield table[start : start + size]
            start += size
