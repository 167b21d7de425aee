"""The attacks on the evaluation: every lie is one that would be believed, and the table adds up."""

import pytest

from fednode.evaluation.shards import Counts
from scripts.bench.evaluation_attacks import ATTACKS, Attack, Line, Paid, Shard, tried

COUNTS = Counts((60,), tuple(range(20, 36)))
KNOWN = Shard(tuple(range(16)), friend=0, most_rows=120)
LIARS = [attack for attack in ATTACKS if attack.mode == "shards"]


@pytest.mark.parametrize("attack", LIARS, ids=lambda attack: attack.name)
def test_every_lie_would_be_believed(attack: Attack) -> None:
    told = attack.lie(COUNTS, KNOWN)
    if told is not None:
        told.check("accuracy", coalitions=16, most_rows=120)
    assert (told == COUNTS) == attack.trains


def test_a_line_compares_the_same_splits() -> None:
    pairs = [(Paid((10.0, 20.0)), Paid((14.0, 20.0))), (Paid((20.0, 20.0)), Paid((22.0, 10.0)))]
    line = Line.of(ATTACKS[0], pairs)
    assert (line.honest, line.attacking, line.gain) == (15.0, 18.0, 3.0)
    assert (line.friends_gain, line.released, line.released_attacking) == (-2.0, 35.0, 33.0)
    assert "+3.0" in line.text()


def test_who_favours_a_friend_raises_it() -> None:
    (friendly,) = [attack for attack in ATTACKS if attack.name == "favours a friend"]
    ((before, after),) = tried(friendly, splits=1, rounds=1)
    assert after.payouts[1] > before.payouts[1] + 10
    assert after.payouts[0] < before.payouts[0] + 1
