"""What can go wrong in valuation and rewards."""


class IncentiveError(Exception):
    """Base of every error that the incentives package raises."""
