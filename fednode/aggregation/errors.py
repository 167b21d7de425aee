"""What can go wrong when a rule is called with inputs that no federation can have."""

from fednode.errors import FedNodeError


class AggregationError(FedNodeError):
    """Base of the errors of aggregation."""


class BadInputs(AggregationError):
    """Updates, weights or sums that do not fit together."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"{name} cannot be aggregated: {reason}")


class UnknownRule(AggregationError):
    """An aggregation rule that is not registered."""

    def __init__(self, rule: int, known: str) -> None:
        self.rule = rule
        super().__init__(f"aggregation rule {rule} is not known: use one of {known}")
