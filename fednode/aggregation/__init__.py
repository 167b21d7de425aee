"""Aggregation rules in integers: from updates and weights to the next model version."""

from fednode.aggregation.errors import AggregationError
from fednode.aggregation.fedavg import FedAvg
from fednode.aggregation.integers import (
    add_sums,
    first_beyond,
    round_half_even_div,
    saturating_add,
    weighted_sum,
)
from fednode.aggregation.registry import RULES, rule_named, rule_numbered
from fednode.aggregation.rule import Rule

__all__ = [
    "RULES",
    "AggregationError",
    "FedAvg",
    "Rule",
    "add_sums",
    "first_beyond",
    "round_half_even_div",
    "rule_named",
    "rule_numbered",
    "saturating_add",
    "weighted_sum",
]
