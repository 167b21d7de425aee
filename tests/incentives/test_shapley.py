"""The axioms, the games with known answers, and a slow reference by permutations."""

from fractions import Fraction
from itertools import permutations
from math import factorial
from random import Random
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incentives.errors import NotATable, TooManyPlayers
from incentives.games import (
    AdditiveGame,
    AirportGame,
    CachedGame,
    Game,
    GloveGame,
    TabulatedGame,
    VotingGame,
    tabulate,
)
from incentives.leave_one_out import leave_one_out, leave_one_out_numerators
from incentives.shapley import DENOMINATOR, shapley_exact, shapley_numerators

INT64 = st.integers(-(2**63), 2**63 - 1)


@st.composite
def tables(draw: st.DrawFn, most: int = 6) -> list[int]:
    players = draw(st.integers(0, most))
    return draw(st.lists(INT64, min_size=1 << players, max_size=1 << players))


def by_permutations(utilities: list[int]) -> list[Fraction]:
    players = len(utilities).bit_length() - 1
    totals = [0] * players
    for order in permutations(range(players)):
        coalition = 0
        for player in order:
            joined = coalition | 1 << player
            totals[player] += utilities[joined] - utilities[coalition]
            coalition = joined
    return [Fraction(total, factorial(players)) for total in totals]


@given(tables(5))
def test_shapley_equals_average_over_orders(utilities: list[int]) -> None:
    assert shapley_exact(utilities) == by_permutations(utilities)


@given(tables())
def test_shapley_is_efficient(utilities: list[int]) -> None:
    if len(utilities) > 1:
        assert sum(shapley_numerators(utilities)) == DENOMINATOR * (utilities[-1] - utilities[0])


@given(tables(), st.data())
def test_shapley_null_player_gets_nothing(utilities: list[int], data: st.DataObject) -> None:
    players = len(utilities).bit_length()
    null = 1 << data.draw(st.integers(0, players - 1))
    without = [mask for mask in range(1 << players) if not mask & null]
    table = [0] * (1 << players)
    for mask, utility in zip(without, utilities, strict=True):
        table[mask] = table[mask | null] = utility
    assert shapley_numerators(table)[null.bit_length() - 1] == 0


@given(tables(), st.data())
def test_shapley_is_symmetric(utilities: list[int], data: st.DataObject) -> None:
    players = len(utilities).bit_length() - 1
    if players < 2:
        return
    i, j = data.draw(st.permutations(range(players)))[:2]

    def swapped(mask: int) -> int:
        a, b = mask >> i & 1, mask >> j & 1
        return mask ^ ((a ^ b) << i | (a ^ b) << j)

    values = shapley_numerators(utilities)
    mirrored = shapley_numerators([utilities[swapped(m)] for m in range(len(utilities))])
    assert mirrored[i] == values[j]
    assert mirrored[j] == values[i]
    both = [utilities[m] + utilities[swapped(m)] for m in range(len(utilities))]
    assert shapley_numerators(both)[i] == shapley_numerators(both)[j]


@given(st.integers(0, 6), st.data())
def test_shapley_is_additive(players: int, data: st.DataObject) -> None:
    table = st.lists(INT64, min_size=1 << players, max_size=1 << players)
    u, v = data.draw(table), data.draw(table)
    total = shapley_numerators([a + b for a, b in zip(u, v, strict=True)])
    parts = zip(shapley_numerators(u), shapley_numerators(v), strict=True)
    assert total == [a + b for a, b in parts]


@pytest.mark.parametrize(
    "game",
    [
        GloveGame(1, 2),
        GloveGame(4, 1),
        GloveGame(1, 1),
        AirportGame((1, 2, 3)),
        AirportGame((10, 10, 25, 7, 0)),
        AirportGame((5,)),
        VotingGame((4, 3, 2, 1), 6),
        VotingGame((45, 25, 15, 15), 51),
        AdditiveGame((3, -1, 0, 12)),
        AdditiveGame(()),
    ],
)
def test_shapley_of_known_games(
    game: GloveGame | AirportGame | VotingGame | AdditiveGame,
) -> None:
    assert shapley_exact(tabulate(game).utilities) == game.shapley()


def test_shapley_of_the_textbook_examples() -> None:
    glove = shapley_exact(tabulate(GloveGame(1, 2)).utilities)
    assert glove == [Fraction(2, 3), Fraction(1, 6), Fraction(1, 6)]
    airport = shapley_exact(tabulate(AirportGame((8, 11, 13, 18))).utilities)
    assert airport == [2, 3, 4, 9]
    council = shapley_exact(tabulate(VotingGame((5,) * 5 + (1,) * 6, 27)).utilities)
    assert council[0] == Fraction(76, 385)
    assert council[-1] == Fraction(1, 462)


def test_shapley_of_twelve_players_is_exact_and_quick() -> None:
    rng = Random(0)
    utilities = [rng.randint(-(2**63), 2**63 - 1) for _ in range(1 << 12)]
    start = process_time()
    values = shapley_numerators(utilities)
    assert process_time() - start < 1
    assert sum(values) == DENOMINATOR * (utilities[-1] - utilities[0])


@pytest.mark.parametrize("length", [0, 3, 5, 7])
def test_shapley_refuses_what_is_no_table(length: int) -> None:
    with pytest.raises(NotATable) as error:
        shapley_numerators([0] * length)
    assert error.value.length == length
    expected = f"{length} utilities do not make a table: {error.value.wanted}"
    assert str(error.value) == expected


def test_shapley_refuses_thirteen_players() -> None:
    with pytest.raises(TooManyPlayers, match="13 players are more than the 12") as error:
        shapley_numerators([0] * (1 << 13))
    assert (error.value.players, error.value.limit) == (13, 12)


@given(tables())
def test_leave_one_out_is_what_all_lose(utilities: list[int]) -> None:
    everybody = len(utilities) - 1
    if everybody == 0:
        return
    players = range(everybody.bit_length())
    record = [utilities[0], *(utilities[everybody ^ 1 << k] for k in players), utilities[-1]]
    lost = [utilities[-1] - utilities[everybody ^ 1 << k] for k in players]
    assert leave_one_out(record) == lost
    assert leave_one_out_numerators(record) == [27720 * value for value in lost]


def test_leave_one_out_refuses_a_single_utility() -> None:
    with pytest.raises(NotATable):
        leave_one_out([1])


def test_cached_game_asks_once() -> None:
    asked: list[int] = []

    def utility(coalition: int) -> int:
        asked.append(coalition)
        return coalition

    game: Game = CachedGame(3, utility)
    assert tabulate(game) == tabulate(game) == TabulatedGame(tuple(range(8)))
    assert asked == list(range(8))


def test_games_say_how_many_play() -> None:
    games: list[Game] = [
        GloveGame(2, 1),
        AirportGame((1, 2, 3)),
        VotingGame((1, 1, 1), 2),
        AdditiveGame((1, 2, 3)),
        TabulatedGame((0,) * 8),
    ]
    assert [game.players for game in games] == [3] * 5
    with pytest.raises(ValueError, match="exactly one glove"):
        GloveGame(2, 2).shapley()
