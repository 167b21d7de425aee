"""The rules that a policy may name: a new one is added to `RULES`, under a number of its own."""

from collections.abc import Callable, Mapping
from typing import Final

from fednode.aggregation.errors import UnknownRule
from fednode.aggregation.fedavg import FedAvg
from fednode.aggregation.rule import Rule
from fednode.aggregation.trimmed import MEDIAN, TrimmedMean
from ledger import headers

RULES: Final[Mapping[int, Callable[[int], Rule]]] = {
    headers.Rule.WEIGHTED_MEAN: lambda _: FedAvg(),
    headers.Rule.TRIMMED_MEAN: TrimmedMean,
    headers.Rule.MEDIAN: lambda _: MEDIAN,
}
"""How a rule is made from its parameter; those that have none ignore it."""


def rule_numbered(number: int, parameter: int = 0) -> Rule:
    """Return the rule that a policy header names."""
    if number not in RULES:
        raise UnknownRule(number, ", ".join(str(int(known)) for known in RULES))
    return RULES[number](parameter)
