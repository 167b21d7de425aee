"""What an aggregation rule is: pure functions on integers, replayed to the bit by everybody.

A rule's state, such as the moments of a server-side optimiser, lives in the payload itself, as
tensors of kind `state`: the initial model holds the initial state, and a rule returns the next of
both. So a model version is all that a proposer, a voter, an auditor or a contract needs to make the
next one. It must work coordinate by coordinate if a contract is to be able to recompute one leaf.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from fednode.aggregation.integers import Sums, Values


class Rule(Protocol):
    """An aggregation rule."""

    def aggregate(
        self, previous: Values, updates: Sequence[Values], weights: Sequence[int]
    ) -> Values:
        """Return the next int32 payload from the previous one and weighted updates of its size."""
        ...


@runtime_checkable
class SummedRule(Rule, Protocol):
    """A rule that needs the weighted sum alone: a round's result commits to a tree of such sums,
    so that a proof opens one node of it, however many updates there are.
    """

    def partial_sums(self, updates: Sequence[Values], weights: Sequence[int]) -> Sums:
        """Return the int64 weighted sum of int32 updates (at least one, all of one size)."""
        ...

    def step(self, previous: Values, sums: Sums, weight: int) -> Values:
        """Return the next int32 payload from the previous one, the sum and the weight."""
        ...
