"""The odds of a committee's draw, against enumeration, the draw itself, and a grinder."""

import random
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fednode.policy import Policy, odds
from fednode.policy.odds import capture, least_committee, majority, within
from ledger import committee
from tests.federations import policy_of

TRIES = 812
"""Headers after which 20 of 100 participants were once seen to hold 9 of 16 seats."""


@given(st.integers(1, 9), st.data())
def test_one_draw_is_enumerated(participants: int, data: st.DataObject) -> None:
    colluding = data.draw(st.integers(0, participants))
    size = data.draw(st.integers(1, 10))
    seats = data.draw(st.integers(0, 10))
    draws = list(combinations(range(participants), min(size, participants)))
    hits = sum(sum(member < colluding for member in draw) >= seats for draw in draws)
    assert capture(participants, colluding, size, seats=seats) == Fraction(hits, len(draws))


def test_a_block_maker_that_grinds_gets_a_majority_as_often_as_said() -> None:
    """The contract's own draw, by seeds of 32 bits: a grinder of 812 headers has three chances in
    ten to get 9 of 16 seats for 20 of 100 participants. 30 of 100 are counted, which takes fewer
    draws.
    """
    once = capture(100, 20, 16, seats=9)
    rng = random.Random(1)
    hits, draws = 0, 3_000
    for _ in range(draws):
        seed = rng.getrandbits(32).to_bytes(32, "big")
        seats = [committee.member(seed, place, known=100, size=16) for place in range(16)]
        hits += sum(seat < 30 for seat in seats) >= 9
    expected = draws * float(capture(100, 30, 16, seats=9))
    assert abs(hits - expected) < 5 * expected**0.5, (hits, expected)
    assert 2_268 < 1 / once < 2_269
    assert 0.30 < within(once, TRIES) < 0.31


@example(Fraction(10**20 - 1, 10**20), 2)
@example(Fraction(1, 10**400), 300)
@given(st.fractions(0, 1), st.integers(1, 300))
def test_tries_add_up(once: Fraction, tries: int) -> None:
    assert within(once, tries) == pytest.approx(float(1 - (1 - once) ** tries), abs=1e-9)


@pytest.mark.parametrize(("participants", "colluding"), [(100, 20), (100, 33), (1_000, 200)])
def test_the_least_committee_is_the_least(participants: int, colluding: int) -> None:
    at_most = Fraction(1, 1_000)
    least = least_committee(participants, colluding, tries=TRIES, at_most=at_most)
    assert least is not None
    for size in range(1, least + 1):
        once = capture(participants, colluding, size, seats=majority(size))
        assert (TRIES * once <= at_most) == (size == least)
        assert size < least or within(once, TRIES) <= at_most


def test_a_majority_of_all_cannot_be_kept_small() -> None:
    assert least_committee(10, 6, tries=1, at_most=Fraction(1, 100)) is None
    assert least_committee(10, 4, tries=10**12, at_most=Fraction(1, 10**12)) == 8


def crowd(**federation: object) -> Policy:
    return policy_of(
        federation=federation,
        valuation={"kind": "none"},
        evaluation={"mode": "none"},
        reward={"pool": "0"},
    )


def test_create_says_what_colluders_get() -> None:
    drawn = crowd(max_participants=100, committee_size=16)
    first, second = odds.explain(drawn)
    for text in ("16 of up to 100", "9 seats", "20 colluding", "33 colluding", "committee_size = "):
        assert text in first
    assert "10,000,000,000" in second
    fifth, third = odds.odds(drawn)
    assert fifth.once == capture(100, 20, 16, seats=9)
    assert (fifth.record()["seats"], third.record()["colluding"]) == (9, 33)
    everyone = crowd(max_participants=4, committee_size=16)
    assert list(odds.explain(everyone)) == ["committee: all participants vote, so none is drawn"]
