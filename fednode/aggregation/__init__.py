"""Aggregation rules in integers: from updates and weights to the next model version."""

from fednode.aggregation.errors import AggregationError
from fednode.aggregation.fedavg import FedAvg
from fednode.aggregation.integers import (
    first_beyond,
    round_half_even_div,
    saturating_add,
    weighted_sum,
)
from fednode.aggregation.registry import RULES, rule_numbered
from fednode.aggregation.rule import Rule, SummedRule
from fednode.aggregation.trimmed import MEDIAN, TrimmedMean

__all__ = [
    "MEDIAN",
    "RULES",
    "AggregationError",
    "FedAvg",
    "Rule",
    "SummedRule",
    "TrimmedMean",
    "first_beyond",
    "round_half_even_div",
    "rule_numbered",
    "saturating_add",
    "weighted_sum",
]
