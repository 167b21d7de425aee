"""Evaluation by shards: an update brings what its owner counted for the round before."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from ledger import nodes
from ledger.headers import Evaluation, UpdateHeader
from ledger.nodes import Reason
from ledger.payload import Payload, pad
from ledger.round import (
    Int32,
    Outcome,
    Players,
    Published,
    RoundContext,
    Slot,
    Standing,
    compose,
    follow,
)
from ledger.types import ZERO_DIGEST
from tests.ledger.chain.samples import digest
from tests.ledger.test_round import (
    LEAVES,
    SEATS,
    PlainRules,
    context,
    header_of,
    slot_of,
    standing,
    values_of,
    with_header,
)

TERMS = {"evaluation": Evaluation.SHARDS, "rounds": 9, "reward_period": 0, "statistics": 0}
AT = context(SEATS, **TERMS)


class Shards(PlainRules):
    """Measures nothing itself."""

    def utilities(
        self, context: RoundContext, standing: Standing, model: Int32, players: Players
    ) -> tuple[int, ...]:
        raise AssertionError("nobody measures a round by shards but the owners of the shards")

    def stop(self, trail: Sequence[int]) -> bool:
        return len(trail) > 1 and trail[-1] < 0


RULES = Shards()
BEFORE = replace(standing(), players=(1, 3), trained=2)


def carrying(owner: int, record: bytes, at: RoundContext = AT) -> Slot:
    data = Payload(pad(values_of(owner), LEAVES))
    header = replace(header_of(owner, data, at), evaluation=digest(50 + owner))
    return Slot(owner, header.digest(), Published(header.encode(), data, evaluation=record))


def run(
    *slots: Slot, at: RoundContext = AT, before: Standing = BEFORE, rules: Shards = RULES
) -> Outcome:
    return compose(at, before, slots, rules)


def reasons(outcome: Outcome, count: int) -> list[int]:
    return [entry.reason for entry in outcome.levels[0][0].entries[:count]]


def test_counts_value_the_players_of_the_round_before() -> None:
    outcome = run(carrying(0, b"\1\2\3\7"), carrying(2, b"\1\1\1\1"), slot_of(4, at=AT))
    assert outcome.records.utilities == (2, 3, 4, 8)
    earned = RULES.values((2, 3, 4, 8), 2, 1)
    values = [leaf.value - 27_720 for leaf in outcome.records.values]
    assert values == [0, earned[0], 0, earned[1], 0]
    assert outcome.header.gain == BEFORE.gain + 6
    assert outcome.header.number == 3
    assert reasons(outcome, 3) == [Reason.COUNTED] * 3


def test_an_update_may_carry_nothing() -> None:
    outcome = run(slot_of(0, at=AT), carrying(2, b"\1\1\1\1"))
    assert outcome.records.utilities == ()
    assert outcome.header.gain == BEFORE.gain
    assert [leaf.value for leaf in outcome.records.values] == [27_720] * 5
    assert outcome.header.number == 2
    assert not np.array_equal(outcome.model, BEFORE.model)


def test_only_good_updates_carry() -> None:
    bad = with_header(carrying(2, b"\1\1\1\1"), base=digest(9))
    assert run(carrying(0, b"\1\2\3\7"), bad).records.utilities == ()
    few = context(SEATS, **TERMS, least_updates=3)
    counted = run(carrying(0, b"\1\2\3\7", few), carrying(2, b"\1\1\1\1", few), at=few)
    assert reasons(counted, 2) == [Reason.TOO_FEW] * 2
    assert counted.records.utilities == (2, 3, 4, 8)


def test_records_belong_to_shards_alone() -> None:
    public = context(SEATS, evaluation=Evaluation.PUBLIC)
    outcome = compose(public, standing(), [carrying(0, b"", public)], PlainRules())
    assert reasons(outcome, 1) == [Reason.FOREIGN]


def test_nothing_is_carried_by_the_first_round() -> None:
    fresh = replace(standing(), players=(), trained=0)
    outcome = run(carrying(0, b"\1"), carrying(2, b"\2"), before=fresh)
    assert outcome.records.utilities == ()
    assert outcome.header.number == 2


@pytest.mark.parametrize(
    ("terms", "rules"),
    [({"rounds": 3}, Shards()), ({"reward_period": 3}, Shards())],
    ids=["the last round", "a period's last round"],
)
def test_a_periods_last_round_only_carries_counts(terms: dict[str, int], rules: Shards) -> None:
    at = context(SEATS, **TERMS | terms)
    slots = [carrying(0, b"\1\2\3\7", at), carrying(2, b"\1\1\1\1", at), slot_of(4, at=at)]
    missing = Slot(3, digest(3), Published(None, None))
    outcome = run(*slots, missing, at=at, rules=rules)
    assert reasons(outcome, 4) == [Reason.IDLE] * 3 + [Reason.UNAVAILABLE]
    assert (outcome.header.number, outcome.header.weight) == (0, 0)
    assert np.array_equal(outcome.model, BEFORE.model)
    assert outcome.records.utilities == (2, 3, 4, 8)
    assert outcome.header.gain == BEFORE.gain + 6


def test_a_round_that_stops_only_carries_counts() -> None:
    worse = replace(BEFORE, trail=(3, 3, 3))
    slots = [carrying(0, b"\7\1\1\1"), carrying(2, b"\1\1\1\1")]
    outcome = run(*slots, before=worse)
    assert outcome.header.stop
    assert reasons(outcome, 2) == [Reason.IDLE] * 2
    assert np.array_equal(outcome.model, BEFORE.model)


def test_a_periods_last_round_is_idle_however_few_its_updates_are() -> None:
    """Where none counts, no proof can tell whether they were enough."""
    at = context(SEATS, **TERMS | {"rounds": 3}, least_updates=2)
    outcome = run(slot_of(0, at=at), at=at)
    assert reasons(outcome, 1) == [Reason.IDLE]
    assert (outcome.header.number, outcome.header.weight) == (0, 0)


def test_a_result_leaves_its_players_behind() -> None:
    outcome = run(carrying(4, b"\1\1\1\1"), carrying(0, b"\1\1\1\1"))
    players = tuple(entry.participant for entry in nodes.counted(outcome.levels))
    left = follow(
        BEFORE, outcome.records, outcome.model, trained=3, ends_period=False, players=players
    )
    assert left.players == (0, 4)
    over = follow(
        BEFORE, outcome.records, outcome.model, trained=3, ends_period=True, players=players
    )
    gathered = follow(
        BEFORE, outcome.records, outcome.model, trained=0, ends_period=False, players=players
    )
    assert over.players == gathered.players == ()


def test_statistics_are_neither_valued_nor_idle() -> None:
    at = replace(context(SEATS, **TERMS | {"rounds": 1, "statistics": 3}), parent=ZERO_DIGEST)
    at = replace(at, bases=(ZERO_DIGEST,))
    data = Payload(pad(values_of(0), LEAVES))
    header = replace(header_of(0, data, at), base=ZERO_DIGEST)
    assert isinstance(header, UpdateHeader)
    slot = Slot(0, header.digest(), Published(header.encode(), data))
    outcome = run(slot, at=at, before=replace(standing(), gain=0, trail=(), trained=0))
    assert reasons(outcome, 1) == [Reason.COUNTED]
    assert outcome.records.utilities == ()
