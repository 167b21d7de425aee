"""Counts from shards: what may be shown, what is believed, and what the sums are worth."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednode.data.evaluation_set import EvaluationSet
from fednode.evaluation.metrics import PPM
from fednode.evaluation.shards import (
    Counts,
    coarse,
    count,
    countable,
    others,
    read,
    readable,
    utilities,
    without,
)
from incentives.valuation import VALUATIONS, ExactShapley, LeaveOneOut
from ledger import cbor
from ledger.errors import MalformedRecord
from ledger.types import Digest

RESULT = Digest(b"r" * 32)
EXACT = ExactShapley()


def rows(labels: list[int]) -> EvaluationSet:
    many = len(labels)
    return EvaluationSet(
        np.zeros((many, 2), np.int32), np.array(labels, np.int64), np.zeros(many, np.int64)
    )


# -- what may be shown


@st.composite
def counted(draw: st.DrawFn) -> tuple[Counts, int]:
    """Draw the cells of a shard that may be shown, and a count on it."""
    cells = draw(
        st.tuples(st.integers(20, 200)) | st.tuples(st.integers(10, 20), st.integers(10, 20))
    )
    whole = Counts(cells, ())
    return whole, draw(
        st.integers(0, whole.total)
        | st.integers(0, 20)
        | st.integers(whole.total - 20, whole.total)
    )


@given(counted())
def test_a_count_and_its_rest_are_never_one_to_nine(case: tuple[Counts, int]) -> None:
    """Of right answers, or of pairs, which count twice each."""
    whole, number = case
    each = len(whole.cells)
    few = range(1, 10 * each)
    allowed = [n for n in range(whole.total + 1) if n not in few and whole.total - n not in few]
    shown = whole.shown(number)
    assert shown in allowed
    assert abs(shown - number) == min(abs(n - number) for n in allowed)
    assert whole.shown(shown) == shown
    if each == 1:
        assert shown == coarse(number, whole.total)


@pytest.mark.parametrize(
    ("labels", "metric", "fits"),
    [
        ([0] * 20, "accuracy", True),
        ([0] * 19, "accuracy", False),
        ([0] * 10 + [1] * 10, "auc_within", True),
        ([0] * 90 + [1] * 9, "auc_within", False),
    ],
)
def test_a_shard_has_enough_rows_in_every_cell(labels: list[int], metric: str, fits: bool) -> None:
    assert countable(rows(labels), metric) is fits


def test_counts_weigh_what_the_metric_counts() -> None:
    assert count(rows([0, 1] * 20), (3, 21), "accuracy") == Counts((40,), (0, 21))
    pairs = count(rows([0] * 12 + [1] * 20), (7, 10, 21, 465, 480), "auc_within")
    assert pairs == Counts((12, 20), (0, 20, 21, 460, 480))
    assert pairs.total == 480


# -- what is believed

GOOD = Counts((40,), (0, 20, 30, 40))


def test_a_record_is_read_back() -> None:
    _, data = GOOD.artefact(RESULT)
    assert read(data, RESULT) == GOOD
    GOOD.check("accuracy", coalitions=4, most_rows=40)


def test_the_smallest_shards_are_believed() -> None:
    Counts((20,), (0, 10, 20)).check("accuracy", coalitions=3, most_rows=20)
    Counts((10, 10), (0, 200)).check("auc_within", coalitions=2, most_rows=20)


BAD = [
    (Counts((40,), (0, 20, 30)), "3 counts of 4"),
    (Counts((40,), (0, 20, 30, 41)), "outside 0 to 40"),
    (Counts((40,), (0, -1, 30, 40)), "outside 0 to 40"),
    (Counts((40,), (0, 20, 30, 3)), "too few"),
    (Counts((40,), (0, 20, 30, 35)), "too few"),
    (Counts((41,), (0, 20, 30, 41)), "at most 40"),
    (Counts((19,), (0, 19, 0, 0)), "cells of"),
    (Counts((9, 31), (0, 0, 0, 0)), "2 cells for accuracy"),
    (Counts((), (0, 0, 0, 0)), "0 cells"),
]


@pytest.mark.parametrize(("counts", "reason"), BAD, ids=[reason for _, reason in BAD])
def test_counts_that_no_shard_can_have(counts: Counts, reason: str) -> None:
    with pytest.raises(MalformedRecord, match=reason):
        counts.check("accuracy", coalitions=4, most_rows=40)


def test_pairs_need_ten_of_each_class() -> None:
    Counts((10, 12), (0, 21, 240)).check("auc_within", coalitions=3, most_rows=22)
    for cells in ((9, 13), (13, 9), (22,), (-10, 32)):
        with pytest.raises(MalformedRecord):
            Counts(cells, (0, 21, 22)).check("auc_within", coalitions=3, most_rows=22)


@pytest.mark.parametrize("few", [1, 3, 19, 221, 239])
def test_ten_pairs_are_the_fewest_that_are_believed(few: int) -> None:
    """A single row may be in ten pairs; what fewer pairs tell is of few rows for certain."""
    with pytest.raises(MalformedRecord, match="too few"):
        Counts((10, 12), (0, few, 240)).check("auc_within", coalitions=3, most_rows=22)
    with pytest.raises(MalformedRecord):
        Counts((10, 12), (0, 7, 241)).check("auc_within", coalitions=3, most_rows=22)


BYTES = [
    (b"", "nothing"),
    (cbor.encode({"result": RESULT, "cells": [40]}), "a key too few"),
    (cbor.encode({"result": b"", "cells": [40], "counts": []}), "another result"),
    (cbor.encode({"result": RESULT, "cells": ["40"], "counts": []}), "text"),
    (cbor.encode({"result": RESULT, "cells": [40], "counts": [True]}), "a boolean"),
    (cbor.encode({"result": RESULT, "cells": 40, "counts": []}), "no list"),
]


@pytest.mark.parametrize(("data", "reason"), BYTES, ids=[reason for _, reason in BYTES])
def test_records_that_are_none(data: bytes, reason: str) -> None:
    with pytest.raises(MalformedRecord):
        read(data, RESULT)


@given(st.dictionaries(st.integers(0, 5), st.binary(max_size=80), max_size=4))
def test_any_bytes_are_read_as_no_shard(reports: dict[int, bytes]) -> None:
    good = {9: GOOD.artefact(RESULT)[1]}
    found = readable(reports | good, RESULT, (0, 9, 2), EXACT, metric="accuracy", most_rows=40)
    assert found == {9: GOOD}


# -- what the sums are worth


@given(st.integers(1, 6), st.data())
def test_a_coalition_without_its_measurer(size: int, data: st.DataObject) -> None:
    players = sorted(data.draw(st.sets(st.integers(0, 9), min_size=size, max_size=size)))
    owner, mask = data.draw(st.integers(0, 9)), data.draw(st.integers(0, (1 << size) - 1))
    kept = [player for player in players if player != owner]
    members = {player for k, player in enumerate(players) if mask >> k & 1} - {owner}
    found = without(mask, players, owner)
    assert {kept[k] for k in range(len(kept)) if found >> k & 1} == members
    assert found < 1 << others(players, owner)


class Game:
    """Shards that count anything at all, and what players are worth on the others' shards."""

    def __init__(self, data: st.DataObject) -> None:
        size = data.draw(st.integers(1, 4))
        self.players = sorted(data.draw(st.sets(st.integers(0, 6), min_size=size, max_size=size)))
        owners = data.draw(st.sets(st.integers(0, 6), min_size=2, max_size=5))
        self.total = {owner: data.draw(st.integers(20, 60)) for owner in owners}
        self.seed = data.draw(st.integers(0, 99))

    def counted(self, owner: int, members: frozenset[int]) -> int:
        key = (self.seed, owner, *sorted(members))
        return int(np.random.default_rng(key).integers(0, self.total[owner] + 1))

    def shards(self) -> dict[int, Counts]:
        return {
            owner: Counts((total,), tuple(self._of(owner))) for owner, total in self.total.items()
        }

    def _of(self, owner: int) -> Iterator[int]:
        kept = [player for player in self.players if player != owner]
        for mask in EXACT.coalitions(len(kept)):
            yield self.counted(owner, frozenset(p for k, p in enumerate(kept) if mask >> k & 1))

    def value(self, player: int) -> Fraction:
        """Average what the player adds to those before it, on everybody else's shard."""
        worth = Fraction(0)
        for owner in self.total:
            kept = [p for p in self.players if p != owner]
            if owner == player:
                continue
            orders = list(permutations(kept))
            for order in orders:
                before = frozenset(order[: order.index(player)])
                added = self.counted(owner, before | {player}) - self.counted(owner, before)
                worth += Fraction(added, len(orders))
        return worth


@given(st.data())
def test_nobody_is_valued_on_its_own_shard(data: st.DataObject) -> None:
    """Everybody's value is what it adds per row of the others' shards, times one number for all."""
    game = Game(data)
    found = EXACT.values(utilities(game.shards(), game.players, EXACT), len(game.players))
    rows_in_all, largest = sum(game.total.values()), max(game.total.values())
    for player, value in zip(game.players, found, strict=True):
        own = game.total.get(player, 0)
        share = Fraction(rows_in_all - largest, rows_in_all * (rows_in_all - own))
        assert abs(Fraction(value, 27_720) - PPM * game.value(player) * share) < 4


@given(st.data())
def test_of_equal_shards_the_utilities_are_plain_rates(data: st.DataObject) -> None:
    game = Game(data)
    for player in game.players:
        game.total[player] = 30
    game.total = dict.fromkeys(game.total, 30)
    found = utilities(game.shards(), game.players, EXACT)
    for mask, utility in enumerate(found):
        members = frozenset(p for k, p in enumerate(game.players) if mask >> k & 1)
        counted = sum(game.counted(owner, members - {owner}) for owner in game.total)
        assert utility == counted * PPM // (30 * len(game.total))


@given(st.data())
def test_leave_one_out_agrees_with_the_table_of_all(data: st.DataObject) -> None:
    game = Game(data)
    players, rule = game.players, LeaveOneOut()
    shards = {}
    for owner, counts in game.shards().items():
        table = dict(enumerate(counts.counts))
        wanted = rule.coalitions(others(players, owner))
        shards[owner] = Counts(counts.cells, tuple(table[mask] for mask in wanted))
    found = rule.values(utilities(shards, players, rule), len(players))
    everybody = frozenset(players)
    rows_in_all, largest = sum(game.total.values()), max(game.total.values())
    for player, value in zip(players, found, strict=True):
        added = sum(
            game.counted(owner, everybody - {owner})
            - game.counted(owner, everybody - {owner, player})
            for owner in game.total
        )
        own = game.total.get(player, 0)
        share = Fraction(rows_in_all - largest, rows_in_all * (rows_in_all - own))
        assert abs(Fraction(value, 27_720) - PPM * added * share) < 4


@pytest.mark.parametrize("rule", VALUATIONS, ids=lambda rule: rule.name)
def test_a_single_player_is_valued_by_others_alone(rule: ExactShapley) -> None:
    """On its own shard a lone player's model is the one before it."""
    alone = len(rule.coalitions(0))
    shards = {
        3: Counts((20,), (20,) * alone),
        5: Counts((20,), tuple(10 * (mask > 0) for mask in rule.coalitions(1))),
    }
    found = utilities(shards, (3,), rule)
    assert (found[0], found[-1]) == (500_000, 750_000)
