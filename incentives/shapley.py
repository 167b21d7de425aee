"""The Shapley value, exactly: an average of marginal contributions over all orders of arrival.

Shapley, "A value for n-person games" (1953). A coalition of size s weighs 1 / (n * C(n - 1, s));
the least common multiple of these denominators is lcm(1..n), so for up to 12 players every value is
an integer over lcm(1..12) = 27,720. That integer is what a federation's records hold, and what an
auditor compares.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import comb, lcm

from incentives.errors import TooManyPlayers
from incentives.games import players_of

MAX_PLAYERS = 12
DENOMINATOR = lcm(*range(1, MAX_PLAYERS + 1))


def shapley_numerators(utilities: Sequence[int]) -> list[int]:
    """Return the Shapley values in units of 1/27,720 from the utilities by bitmask."""
    players = players_of(utilities)
    if players > MAX_PLAYERS:
        raise TooManyPlayers(players, MAX_PLAYERS)
    weights = [DENOMINATOR // (players * comb(players - 1, size)) for size in range(players)]
    weight_of = [weights[mask.bit_count() - 1] if mask else 0 for mask in range(len(utilities))]
    return [_numerator(utilities, weight_of, player) for player in range(players)]


def shapley_exact(utilities: Sequence[int]) -> list[Fraction]:
    """Return the Shapley values as exact fractions from the utilities by bitmask."""
    return [Fraction(numerator, DENOMINATOR) for numerator in shapley_numerators(utilities)]


def _numerator(utilities: Sequence[int], weight_of: Sequence[int], player: int) -> int:
    bit = 1 << player
    return sum(
        weight_of[mask] * (utilities[mask] - utilities[mask ^ bit])
        for mask in range(len(utilities))
        if mask & bit
    )
