"""Cooperative games in integers, among them games whose Shapley value is known in closed form.

A coalition is a bitmask: bit k says whether player k is in it. Utilities are integers, so that
everybody who values the same game finds the same values. The known games are the ground truth of
the tests, and a quick way to try a valuation of one's own: glove (Shapley and Shubik 1969), airport
(Littlechild and Owen 1973), weighted voting (Shapley and Shubik 1954) and additive.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from math import factorial
from typing import Protocol

from incentives.errors import NotATable

Coalition = int


class Game(Protocol):
    """A set of players, and what each coalition of them is worth."""

    @property
    def players(self) -> int:
        """Number of players."""
        ...

    def value(self, coalition: Coalition) -> int:
        """Return the utility of a coalition."""
        ...


@dataclass(frozen=True, slots=True)
class TabulatedGame:
    """A game given by the utility of every coalition, indexed by bitmask."""

    utilities: tuple[int, ...]

    def __post_init__(self) -> None:
        players_of(self.utilities)

    @property
    def players(self) -> int:
        """Number of players."""
        return players_of(self.utilities)

    def value(self, coalition: Coalition) -> int:
        """Return the utility of a coalition."""
        return self.utilities[coalition]


@dataclass(frozen=True, slots=True)
class CachedGame:
    """Asks a costly game for each coalition once."""

    players: int
    utility: Callable[[Coalition], int]
    known: dict[Coalition, int] = field(default_factory=dict)

    def value(self, coalition: Coalition) -> int:
        """Return the utility of a coalition, computed at the first call."""
        if coalition not in self.known:
            self.known[coalition] = self.utility(coalition)
        return self.known[coalition]


@dataclass(frozen=True, slots=True)
class GloveGame:
    """Players own left or right gloves; a coalition is worth its number of pairs."""

    left: int
    right: int

    @property
    def players(self) -> int:
        """Number of players: the left ones come first."""
        return self.left + self.right

    def value(self, coalition: Coalition) -> int:
        """Return the number of pairs that a coalition holds."""
        left = (coalition & ((1 << self.left) - 1)).bit_count()
        return min(left, coalition.bit_count() - left)

    def shapley(self) -> list[Fraction]:
        """Return the Shapley value where one side owns a single glove."""
        if min(self.left, self.right) != 1:
            raise ValueError("the closed form needs a side with exactly one glove")
        many = max(self.left, self.right)
        scarce, common = Fraction(many, many + 1), Fraction(1, many * (many + 1))
        if self.left == 1:
            return [scarce] + [common] * self.right
        return [common] * self.left + [scarce]


@dataclass(frozen=True, slots=True)
class AirportGame:
    """Each player needs a runway of some cost; a coalition pays for its longest."""

    costs: tuple[int, ...]

    @property
    def players(self) -> int:
        """Number of players."""
        return len(self.costs)

    def value(self, coalition: Coalition) -> int:
        """Return what the longest runway of a coalition costs."""
        return max((cost for k, cost in enumerate(self.costs) if coalition >> k & 1), default=0)

    def shapley(self) -> list[Fraction]:
        """Return the Shapley value: each piece of runway is shared by those who need it."""
        return [
            sum(
                (
                    Fraction(upper - lower, sum(c >= upper for c in self.costs))
                    for lower, upper in self._pieces()
                    if upper <= cost
                ),
                Fraction(0),
            )
            for cost in self.costs
        ]

    def _pieces(self) -> list[tuple[int, int]]:
        ends = sorted({0, *self.costs})
        return list(pairwise(ends))


@dataclass(frozen=True, slots=True)
class VotingGame:
    """A coalition is worth 1 if its weights reach the quota, else 0."""

    weights: tuple[int, ...]
    quota: int

    @property
    def players(self) -> int:
        """Number of players."""
        return len(self.weights)

    def value(self, coalition: Coalition) -> int:
        """Return 1 for a winning coalition, else 0."""
        weight = sum(w for k, w in enumerate(self.weights) if coalition >> k & 1)
        return int(weight >= self.quota)

    def shapley(self) -> list[Fraction]:
        """Return the Shapley-Shubik index, counted from the coalitions' (size, weight) pairs."""
        return [self._index(k) for k in range(self.players)]

    def _index(self, player: int) -> Fraction:
        counts: dict[tuple[int, int], int] = {(0, 0): 1}
        for k, weight in enumerate(self.weights):
            if k != player:
                for (size, total), ways in list(counts.items()):
                    key = (size + 1, total + weight)
                    counts[key] = counts.get(key, 0) + ways
        n, own = self.players, self.weights[player]
        pivots = sum(
            ways * factorial(size) * factorial(n - size - 1)
            for (size, total), ways in counts.items()
            if total < self.quota <= total + own
        )
        return Fraction(pivots, factorial(n))


@dataclass(frozen=True, slots=True)
class AdditiveGame:
    """A coalition is worth the sum of what its players are worth alone."""

    worths: tuple[int, ...]

    @property
    def players(self) -> int:
        """Number of players."""
        return len(self.worths)

    def value(self, coalition: Coalition) -> int:
        """Return the sum of a coalition's worths."""
        return sum(worth for k, worth in enumerate(self.worths) if coalition >> k & 1)

    def shapley(self) -> list[Fraction]:
        """Return the Shapley value: to each its own worth."""
        return [Fraction(worth) for worth in self.worths]


def players_of(utilities: Sequence[int]) -> int:
    """Return the number of players of a table with one utility per coalition."""
    players = len(utilities).bit_length() - 1
    if len(utilities) != 1 << max(players, 0):
        raise NotATable(len(utilities), "one is needed for each of the 2^n coalitions")
    return players


def tabulate(game: Game) -> TabulatedGame:
    """Return the table of a game: the utility of every coalition, by bitmask."""
    return TabulatedGame(tuple(game.value(mask) for mask in range(1 << game.players)))
