"""Leave-one-out: a player is worth what the coalition of all loses without it.

Cheap (n + 2 utilities instead of 2^n) and exact, but not efficient: the values need not add up to
the gain, and two players who hold the same data are each worth nothing.
"""

from collections.abc import Sequence

from incentives.errors import NotATable
from incentives.shapley import DENOMINATOR


def leave_one_out(utilities: Sequence[int]) -> list[int]:
    """Return v(all) - v(all without k) for each player k.

    `utilities` are v(empty), v(all without 0), ..., v(all without n - 1), v(all).
    """
    if len(utilities) < 2:
        raise NotATable(len(utilities), "leave-one-out needs one per player and two more")
    return [utilities[-1] - without for without in utilities[1:-1]]


def leave_one_out_numerators(utilities: Sequence[int]) -> list[int]:
    """Return the leave-one-out values in units of 1/27,720, as they are recorded."""
    return [DENOMINATOR * value for value in leave_one_out(utilities)]
