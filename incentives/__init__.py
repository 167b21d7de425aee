"""Contribution and reward: cooperative games, the Shapley value, exact splits."""

from incentives.errors import IncentiveError
from incentives.games import CachedGame, Coalition, Game, TabulatedGame, tabulate
from incentives.leave_one_out import leave_one_out
from incentives.rewards import payouts, released, scores, split
from incentives.shapley import DENOMINATOR, MAX_PLAYERS, shapley_exact, shapley_numerators
from incentives.valuation import VALUATIONS, Valuation, gain, valuation

__all__ = [
    "DENOMINATOR",
    "MAX_PLAYERS",
    "VALUATIONS",
    "CachedGame",
    "Coalition",
    "Game",
    "IncentiveError",
    "TabulatedGame",
    "Valuation",
    "gain",
    "leave_one_out",
    "payouts",
    "released",
    "scores",
    "shapley_exact",
    "shapley_numerators",
    "split",
    "tabulate",
    "valuation",
]
