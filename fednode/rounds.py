"""The rules of a round as a policy chooses them: what `ledger.round` and the audit replay.

Everything here is integer arithmetic on numpy arrays and free of torch, so an auditor needs no
deep-learning library.
"""

from collections.abc import Sequence

import incentives.rewards
from fednode.aggregation.integers import first_beyond
from fednode.aggregation.registry import rule_numbered
from fednode.evaluation.evaluator import Evaluator, agree
from fednode.policy import Policy
from incentives.valuation import Valuation, valuation
from ledger.headers import PolicyHeader
from ledger.nodes import Reason
from ledger.round import Exclusion, Int32, Int64, Players, RoundContext, Standing


class FederationRules:
    """One federation's rules: FedAvg or another rule, a metric, a valuation, a reward."""

    def __init__(
        self,
        policy: Policy,
        header: PolicyHeader,
        evaluator: Evaluator | None,
        stated: Sequence[int] = (),
    ) -> None:
        self._policy = policy
        self._header = header
        self._rule = rule_numbered(header.rule)
        self._evaluator = evaluator
        self._stated = stated

    def stating(self, utilities: Sequence[int]) -> "FederationRules":
        """Let a result's utilities stand where this node's own measurement agrees with them.

        Only models without the exact forward pass have a tolerance; of all others every machine
        measures the same.
        """
        if self._evaluator is None or self._evaluator.tolerance == 0:
            return self
        return FederationRules(self._policy, self._header, self._evaluator, utilities)

    def select(self, context: RoundContext, update: Int32) -> Exclusion | None:
        """Exclude an update that has a coordinate beyond the policy's bound, or one that is not the
        round's to write.
        """
        cut, end = context.policy.statistics, context.policy.coordinates
        allowed = slice(0, cut) if context.statistics else slice(cut, end)
        position = first_beyond(update, context.policy.bound, allowed=allowed)
        return None if position is None else Exclusion(Reason.BEYOND_BOUND, position)

    def partial_sums(self, updates: Sequence[Int32], weights: Sequence[int]) -> Int64:
        """Add up weighted updates by the policy's aggregation rule."""
        return self._rule.partial_sums(updates, weights)

    def step(self, previous: Int32, sums: Int64, weight: int) -> Int32:
        """Make the new model by the policy's aggregation rule."""
        return self._rule.step(previous, sums, weight)

    def utilities(
        self, context: RoundContext, standing: Standing, model: Int32, players: Players
    ) -> tuple[int, ...]:
        """Measure the models of the coalitions that the valuation asks for."""
        if self._evaluator is None:
            return ()
        everybody = (1 << len(players.participants)) - 1
        coalitions = self._valuation(standing.trained).coalitions(len(players.participants))
        models = (
            model
            if coalition == everybody and coalition
            else self._coalition_model(standing.model, players, coalition)
            for coalition in coalitions
        )
        measured = self._evaluator.utilities(models)
        tolerance = self._evaluator.tolerance
        stands = tolerance > 0 and agree(self._stated, measured, tolerance=tolerance)
        return tuple(self._stated) if stands else measured

    def values(self, utilities: Sequence[int], players: int, trained: int) -> tuple[int, ...]:
        """Give each player's value by the policy's valuation; nothing measured is worth nothing."""
        if not utilities:
            return (0,) * players
        return tuple(self._valuation(trained).values(utilities, players))

    def scores(self, values: Sequence[int], scales: Sequence[int]) -> tuple[int, ...]:
        """Give value^a * scale^b."""
        a, b = self._header.value_exponent, self._header.scale_exponent
        return tuple(incentives.rewards.scores(values, scales, a, b))

    def released(self, base: int, gain: int, scores: Sequence[int]) -> int:
        """Release the pool in proportion to the gain against the policy's target."""
        return incentives.rewards.released(
            self._header.pool, base, gain=gain, target=self._header.target, scores=sum(scores)
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

    def _valuation(self, trained: int) -> Valuation:
        runs = (trained + 1) % self._policy.valuation.every == 0
        return valuation(self._header.valuation if runs else 0)

    def _coalition_model(self, previous: Int32, players: Players, coalition: int) -> Int32:
        members = [i for i in range(len(players.participants)) if coalition >> i & 1]
        if not members:
            return previous
        weights = [players.weights[i] for i in members]
        sums = self.partial_sums([players.updates[i] for i in members], weights)
        return self.step(previous, sums, sum(weights))
