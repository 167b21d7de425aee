"""The rules of a round as a policy chooses them: what `ledger.round` and the audit replay.

Everything here is integer arithmetic on numpy arrays and free of torch, so an auditor needs no
deep-learning library.
"""

from collections.abc import Iterator, Mapping, Sequence

import incentives.rewards
from fednode.aggregation.integers import first_beyond
from fednode.aggregation.registry import rule_numbered
from fednode.aggregation.rule import SummedRule
from fednode.evaluation import shards
from fednode.evaluation.evaluator import Evaluator, agree
from fednode.evaluation.opener import Opener
from fednode.policy import Policy
from incentives.games import Coalition
from incentives.valuation import Valuation, valuation
from ledger.headers import Evaluation, PolicyHeader
from ledger.nodes import Reason
from ledger.round import Exclusion, Int32, Players, RoundContext, Standing
from ledger.stores import ContentStore
from ledger.utilities import first


class FederationRules:
    """One federation's rules: FedAvg or another rule, a metric, a valuation, a reward."""

    def __init__(
        self,
        policy: Policy,
        header: PolicyHeader,
        evaluator: Evaluator | None,
        stated: Sequence[int] = (),
        *,
        opener: Opener | None = None,
    ) -> None:
        self._policy = policy
        self._header = header
        self._rule = rule_numbered(header.rule, int.from_bytes(header.rule_parameters))
        self._evaluator = evaluator
        self._stated = stated
        self._opener = opener

    @property
    def measures(self) -> bool:
        """Whether there are rows to measure models on."""
        return self._evaluator is not None

    def stating(self, utilities: Sequence[int]) -> "FederationRules":
        """Let a result's utilities stand where this node's own measurement agrees with them.

        Only models without the exact forward pass have a tolerance; of all others every machine
        measures the same.
        """
        if self._evaluator is None or self._evaluator.tolerance == 0:
            return self
        return FederationRules(self._policy, self._header, self._evaluator, utilities)

    def opening(self, context: RoundContext, store: ContentStore) -> "FederationRules":
        """Measure on the slice that its holder opened for the round; on nothing where it did not,
        or opened something else.
        """
        if self._opener is None:
            return self
        evaluator = self._opener.open(context, store)
        return FederationRules(self._policy, self._header, evaluator, opener=self._opener)

    def granting(self, utilities: Sequence[int] | None, *, stop: bool) -> "FederationRules":
        """Let a result's utilities, if they are known, and its stop flag stand, whatever this node
        would say: both are the committee's to judge, and no proof can show them to be wrong.
        """
        return _Granted(self._policy, self._header, self._evaluator, utilities, stop)

    def select(self, context: RoundContext, update: Int32) -> Exclusion | None:
        """Exclude an update that has a coordinate beyond the policy's bound, or one that is not the
        round's to write.
        """
        cut, end = context.policy.statistics, context.policy.coordinates
        allowed = slice(0, cut) if context.statistics else slice(cut, end)
        position = first_beyond(update, context.policy.bound, allowed=allowed)
        return None if position is None else Exclusion(Reason.BEYOND_BOUND, position)

    @property
    def summed(self) -> SummedRule | None:
        """The policy's aggregation rule, if it needs no more than the updates' weighted sum."""
        return self._rule if isinstance(self._rule, SummedRule) else None

    def aggregate(self, previous: Int32, updates: Sequence[Int32], weights: Sequence[int]) -> Int32:
        """Make the new model by the policy's aggregation rule."""
        return self._rule.aggregate(previous, updates, weights)

    def utilities(
        self, context: RoundContext, standing: Standing, model: Int32, players: Players
    ) -> tuple[int, ...]:
        """Measure the models of the coalitions that the valuation asks for."""
        if self._evaluator is None:
            return ()
        coalitions = self.coalitions(standing.trained, len(players.participants))
        models = self.models(standing.model, players, coalitions, together=model)
        measured = self._evaluator.utilities(models)
        tolerance = self._evaluator.tolerance
        if tolerance == 0 or len(self._stated) != len(measured):
            return measured
        return tuple(
            one if agree([one], [other], tolerance=tolerance) else other
            for one, other in zip(self._stated, measured, strict=True)
        )

    def coalitions(self, trained: int, players: int) -> tuple[Coalition, ...]:
        """List the coalitions that the valuation asks for."""
        return self.valuation(trained).coalitions(players)

    def models(
        self,
        previous: Int32,
        players: Players,
        coalitions: Sequence[Coalition],
        *,
        together: Int32 | None = None,
    ) -> Iterator[Int32]:
        """Make the coalitions' models one by one; `together` is that of all, where it is known."""
        everybody = (1 << len(players.participants)) - 1
        for coalition in coalitions:
            if together is not None and coalition == everybody and coalition:
                yield together
            else:
                yield self._coalition_model(previous, players, coalition)

    def counted(
        self, context: RoundContext, standing: Standing, reports: Mapping[int, bytes]
    ) -> tuple[int, ...]:
        """Add up what was counted on the shards for the parent result."""
        rule, evaluation = self.valuation(standing.trained - 1), self._policy.evaluation
        found = shards.readable(
            reports,
            context.parent,
            standing.players,
            rule,
            metric=evaluation.metric,
            most_rows=evaluation.rows,
        )
        enough = len(found) >= evaluation.least_shards
        return shards.utilities(found, standing.players, rule) if enough else ()

    def values(self, utilities: Sequence[int], players: int, trained: int) -> tuple[int, ...]:
        """Give each player's value by the policy's valuation; nothing measured is worth nothing."""
        if not utilities:
            return (0,) * players
        return tuple(self.valuation(trained).values(utilities, players))

    def scores(self, values: Sequence[int], scales: Sequence[int]) -> tuple[int, ...]:
        """Give value^a * scale^b."""
        a, b = self._header.value_exponent, self._header.scale_exponent
        return tuple(incentives.rewards.scores(values, scales, a, b))

    def released(self, base: int, gain: int, scores: Sequence[int]) -> int:
        """Release the pool, less what is kept for fees, in proportion to the gain against the
        policy's target.
        """
        return incentives.rewards.released(
            self._header.purse, base, gain=gain, target=self._header.target, scores=sum(scores)
        )

    def split(self, released: int, scores: Sequence[int]) -> tuple[int, ...]:
        """Split by floored prefix sums."""
        return tuple(incentives.rewards.split(released, scores))

    def stop(self, trail: Sequence[int]) -> bool:
        """Stop when the best utility of the last `patience` rounds is not `least gain` above the
        best before them.
        """
        patience = self._policy.stop.patience
        if patience == 0 or len(trail) <= patience:
            return False
        before, newest = trail[:-patience], trail[-patience:]
        return max(newest) < max(before) + self._policy.stop.least_gain

    def valuation(self, trained: int) -> Valuation:
        """Give the valuation of the round that follows so many training results."""
        runs = (trained + 1) % self._policy.valuation.every == 0
        return valuation(self._header.valuation if runs else 0)

    def _coalition_model(self, previous: Int32, players: Players, coalition: int) -> Int32:
        members = [i for i in range(len(players.participants)) if coalition >> i & 1]
        updates = [players.updates[i] for i in members]
        return self.aggregate(previous, updates, [players.weights[i] for i in members])


class _Granted(FederationRules):
    """Rules under which utilities and stop flag are given."""

    def __init__(
        self,
        policy: Policy,
        header: PolicyHeader,
        evaluator: Evaluator | None,
        given: Sequence[int] | None,
        stop: bool,
    ) -> None:
        super().__init__(policy, header, evaluator)
        self._given = given
        self._stop = stop

    @property
    def measures(self) -> bool:
        """Whether there is anything that was measured."""
        return bool(self._given) or super().measures

    def utilities(
        self, context: RoundContext, standing: Standing, model: Int32, players: Players
    ) -> tuple[int, ...]:
        """Take the given utilities, if they are of as many coalitions as the valuation asks for."""
        given = self._of(standing.trained, len(players.participants))
        measures = context.policy.evaluation != Evaluation.NONE
        if given is not None and measures:
            return given
        return super().utilities(context, standing, model, players)

    def counted(
        self, context: RoundContext, standing: Standing, reports: Mapping[int, bytes]
    ) -> tuple[int, ...]:
        """Take the given utilities in the place of what the records count, or that there are none;
        what was counted on a shard is its owner's word.
        """
        given = self._of(standing.trained - 1, len(standing.players))
        if given is not None:
            return given
        return () if self._given == () else super().counted(context, standing, reports)

    def stop(self, trail: Sequence[int]) -> bool:
        """Take the given flag."""
        return self._stop

    def _of(self, trained: int, players: int) -> tuple[int, ...] | None:
        if not self._given:
            return None
        return first(self._given, len(self.coalitions(trained, players)))
