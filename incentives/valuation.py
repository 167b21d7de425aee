"""How participants are valued: which coalitions are measured, and what follows from that.

A policy names a valuation by number. Each one lists the coalitions of n players whose utilities
stand in a round's record, in the record's order, from the empty coalition to the one of all; and
turns these utilities into one integer per player, in units of 1/27,720. With no player at all, the
record holds the empty coalition's utility alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from incentives.errors import NotATable, TooManyPlayers, UnknownValuation
from incentives.games import Coalition
from incentives.leave_one_out import leave_one_out_numerators
from incentives.shapley import MAX_PLAYERS, shapley_numerators


class Valuation(Protocol):
    """A rule from utilities of coalitions to values of players."""

    @property
    def number(self) -> int:
        """Number by which a policy header names it."""
        ...

    @property
    def name(self) -> str:
        """Name by which a policy file names it."""
        ...

    def coalitions(self, players: int) -> tuple[Coalition, ...]:
        """Return the coalitions to measure, in the order of the record."""
        ...

    def values(self, utilities: Sequence[int], players: int) -> list[int]:
        """Return the players' values in units of 1/27,720."""
        ...


@dataclass(frozen=True, slots=True)
class NoValuation:
    """Measures what a round gained, and gives no player a value."""

    number: int = 0
    name: str = "none"

    def coalitions(self, players: int) -> tuple[Coalition, ...]:
        """Return the empty coalition and the one of all."""
        return (0, _everybody(players)) if players else (0,)

    def values(self, utilities: Sequence[int], players: int) -> list[int]:
        """Return zero for each player."""
        _check(self, utilities, players)
        return [0] * players


@dataclass(frozen=True, slots=True)
class LeaveOneOut:
    """Values a player by what all lose without it."""

    number: int = 1
    name: str = "leave-one-out"

    def coalitions(self, players: int) -> tuple[Coalition, ...]:
        """Return the empty coalition, all without each player in turn, and all."""
        everybody = _everybody(players)
        without = tuple(everybody ^ (1 << player) for player in range(players))
        return (0, *without, everybody) if players else (0,)

    def values(self, utilities: Sequence[int], players: int) -> list[int]:
        """Return 27,720 times what is lost without each player."""
        _check(self, utilities, players)
        return leave_one_out_numerators(utilities) if players else []


@dataclass(frozen=True, slots=True)
class ExactShapley:
    """Values a player by its exact Shapley value."""

    number: int = 2
    name: str = "exact"

    def coalitions(self, players: int) -> tuple[Coalition, ...]:
        """Return all 2^n coalitions by bitmask."""
        if players > MAX_PLAYERS:
            raise TooManyPlayers(players, MAX_PLAYERS)
        return tuple(range(1 << players))

    def values(self, utilities: Sequence[int], players: int) -> list[int]:
        """Return the exact Shapley value of each player in units of 1/27,720."""
        _check(self, utilities, players)
        return shapley_numerators(utilities)


VALUATIONS: Final[tuple[Valuation, ...]] = (NoValuation(), LeaveOneOut(), ExactShapley())


def valuation(number: int) -> Valuation:
    """Return the valuation that a policy header names by number."""
    for known in VALUATIONS:
        if known.number == number:
            return known
    raise UnknownValuation(number)


def gain(utilities: Sequence[int]) -> int:
    """Return what the coalition of all has over the empty one."""
    return utilities[-1] - utilities[0] if utilities else 0


def _everybody(players: int) -> Coalition:
    return (1 << players) - 1


def _check(rule: Valuation, utilities: Sequence[int], players: int) -> None:
    wanted = len(rule.coalitions(players))
    if len(utilities) != wanted:
        raise NotATable(len(utilities), f"{rule.name} of {players} players needs {wanted}")
