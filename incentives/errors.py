"""What can go wrong in valuation and rewards."""


class IncentiveError(Exception):
    """Base of every error that the incentives package raises."""


class NotATable(IncentiveError):
    """A sequence of utilities whose length does not fit what is to be computed from it."""

    def __init__(self, length: int, wanted: str) -> None:
        self.length = length
        self.wanted = wanted
        super().__init__(f"{length} utilities do not make a table: {wanted}")


class TooManyPlayers(IncentiveError):
    """More players than an exact method can value."""

    def __init__(self, players: int, limit: int) -> None:
        self.players = players
        self.limit = limit
        super().__init__(
            f"{players} players are more than the {limit} that can be valued exactly: "
            "use leave-one-out, or fewer participants"
        )


class UnknownValuation(IncentiveError):
    """A valuation number that no valuation here answers to."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"valuation {number} is not known: use 0 (none), 1 or 2")


class BadAmount(IncentiveError):
    """An amount, score or exponent outside of its range."""

    def __init__(self, name: str, value: int, wanted: str) -> None:
        self.name = name
        self.value = value
        self.wanted = wanted
        super().__init__(f"{name} is {value}, but must be {wanted}")
