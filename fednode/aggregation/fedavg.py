"""Federated averaging: the new model is the old one plus the weighted mean of the updates.

McMahan et al., "Communication-efficient learning of deep networks from decentralized data" (2017),
in fixed-point integers: an int64 sum, a division that rounds half to even, a step that saturates.
Total weight 0 leaves the model as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fednode.aggregation.errors import BadInputs
from fednode.aggregation.integers import Sums, Values, add_mean, weighted_sum


@dataclass(frozen=True, slots=True)
class FedAvg:
    """The weighted mean."""

    def aggregate(
        self, previous: Values, updates: Sequence[Values], weights: Sequence[int]
    ) -> Values:
        """Return the model that all updates together make."""
        sums = weighted_sum(updates, weights, size=len(previous))
        return self.step(previous, sums, sum(weights))

    def partial_sums(self, updates: Sequence[Values], weights: Sequence[int]) -> Sums:
        """Return the int64 weighted sum of int32 updates (at least one, all of one size)."""
        if not updates:
            raise BadInputs("updates", "there are none, so their size is unknown")
        return weighted_sum(updates, weights, size=len(updates[0]))

    def step(self, previous: Values, sums: Sums, weight: int) -> Values:
        """Return clamp_int32(previous + sums / weight), the quotient rounded half to even."""
        return add_mean(previous, sums, weight)
