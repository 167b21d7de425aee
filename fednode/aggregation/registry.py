"""The rules that a policy may name: a new one is added to `RULES`, with a number of its own."""

from typing import Final

from fednode.aggregation.errors import UnknownRule
from fednode.aggregation.fedavg import FedAvg
from fednode.aggregation.rule import Rule

RULES: Final[tuple[Rule, ...]] = (FedAvg(),)


def rule_numbered(number: int) -> Rule:
    """Return the rule that a policy header names."""
    for rule in RULES:
        if rule.number == number:
            return rule
    raise UnknownRule(number, ", ".join(str(rule.number) for rule in RULES))


def rule_named(name: str) -> Rule:
    """Return the rule that a policy file names."""
    for rule in RULES:
        if rule.name == name:
            return rule
    raise UnknownRule(name, ", ".join(rule.name for rule in RULES))
