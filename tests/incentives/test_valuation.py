from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from incentives.errors import IncentiveError, NotATable, TooManyPlayers, UnknownValuation
from incentives.games import AdditiveGame, AirportGame, Game
from incentives.intervals import contribution_intervals, interval, resamples
from incentives.shapley import DENOMINATOR, shapley_numerators
from incentives.valuation import VALUATIONS, Valuation, gain, valuation

RULES = pytest.mark.parametrize("rule", VALUATIONS, ids=lambda rule: rule.name)


def record(rule: Valuation, game: Game) -> list[int]:
    return [game.value(mask) for mask in rule.coalitions(game.players)]


@RULES
@pytest.mark.parametrize("players", range(6))
def test_record_runs_from_nobody_to_everybody(rule: Valuation, players: int) -> None:
    masks = rule.coalitions(players)
    assert masks[0] == 0
    assert masks[-1] == (1 << players) - 1
    game = AdditiveGame(tuple(range(players)))
    assert gain(record(rule, game)) == sum(range(players))
    assert len(rule.values(record(rule, game), players)) == players


@RULES
def test_no_player_has_one_utility_and_gains_nothing(rule: Valuation) -> None:
    assert rule.coalitions(0) == (0,)
    assert rule.values([77], 0) == []
    assert gain([77]) == gain([]) == 0


@given(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=6))
def test_additive_players_get_their_worth(worths: list[int]) -> None:
    game = AdditiveGame(tuple(worths))
    none, leave_one_out, exact = VALUATIONS
    wanted = [DENOMINATOR * worth for worth in worths]
    assert leave_one_out.values(record(leave_one_out, game), game.players) == wanted
    assert exact.values(record(exact, game), game.players) == wanted
    assert none.values(record(none, game), game.players) == [0] * len(worths)


def test_exact_values_are_numerators() -> None:
    game = AirportGame((1, 2, 3))
    values = VALUATIONS[2].values(record(VALUATIONS[2], game), 3)
    assert [Fraction(value, DENOMINATOR) for value in values] == game.shapley()


@RULES
def test_wrong_length_is_refused(rule: Valuation) -> None:
    with pytest.raises(NotATable):
        rule.values([1, 2, 3, 4, 5, 6], 3)


def test_valuations_are_found_by_number() -> None:
    assert [valuation(number).name for number in range(3)] == ["none", "leave-one-out", "exact"]
    with pytest.raises(UnknownValuation, match="valuation 3 is not known") as error:
        valuation(3)
    assert error.value.number == 3
    with pytest.raises(TooManyPlayers):
        valuation(2).coalitions(13)


def test_interval_is_a_percentile_interval() -> None:
    found = interval([float(k) for k in range(101)], level=0.9)
    assert (found.low, found.high) == pytest.approx((5.0, 95.0))
    assert 50.0 in found
    assert 96.0 not in found
    with pytest.raises(IncentiveError):
        interval([])


def test_resamples_keep_strata_and_follow_the_seed() -> None:
    strata = np.array([0, 0, 0, 1, 1, 7], dtype=np.int64)
    draws = list(resamples(strata, 20, seed=[3, 1]))
    again = list(resamples(strata, 20, seed=[3, 1]))
    assert all(np.array_equal(a, b) for a, b in zip(draws, again, strict=True))
    assert all(np.array_equal(np.sort(strata[rows]), np.sort(strata)) for rows in draws)
    assert len({tuple(rows) for rows in draws}) > 10


def test_contribution_intervals_hold_the_value() -> None:
    rng = np.random.default_rng(0)
    tables = [[0, *(int(x) for x in rng.normal([10, 20, 30], 1))] for _ in range(200)]
    first, second = contribution_intervals(tables, shapley_numerators)
    assert 10 * DENOMINATOR in first
    assert 20 * DENOMINATOR in second
    assert first.high < second.low
