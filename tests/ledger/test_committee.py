"""The draw of a committee: nobody twice, those who are gone passed over, and no more than fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import committee
from ledger.committee import MOST_PLACES, Committee
from ledger.types import ParticipantId

SEED = bytes(range(32))


@given(st.binary(min_size=32, max_size=32), st.integers(1, 200), st.integers(1, MOST_PLACES))
def test_places_are_a_permutation(seed: bytes, known: int, size: int) -> None:
    drawn = [committee.member(seed, place, known=known, size=size) for place in range(known)]
    assert sorted(drawn) == list(range(known))
    found = [committee.place_of(seed, p, known=known, size=size) for p in drawn]
    assert found == list(range(known))


@given(st.integers(1, 200), st.integers(1, 20), st.sets(st.integers(0, 199)))
def test_who_is_gone_is_passed_over(known: int, size: int, gone: set[int]) -> None:
    drawn = committee.seat(SEED, known, size, lambda index: index not in gone)
    here = [p for p in drawn.places if p not in gone]
    assert drawn.seated == set(here)
    assert drawn.seats <= size
    full = drawn.seats == size and drawn.places[-1] in drawn.seated
    assert full or len(drawn.places) == min(known, MOST_PLACES)


@given(st.integers(1, 400), st.integers(1, MOST_PLACES), st.sets(st.integers(0, 399)))
def test_seats_follow_from_how_many_are_here(known: int, size: int, gone: set[int]) -> None:
    gone = {index for index in gone if index < known}
    here = known - len(gone)
    exact = committee.seat(SEED, known, size, lambda index: index not in gone)
    drawn = committee.seat(SEED, known, size, lambda index: index not in gone, here=here)
    assert (drawn.places, drawn.seated) == (exact.places, exact.seated)
    enough = MOST_PLACES * len(gone) / known <= (MOST_PLACES - size + 1) / 2
    filled = known <= MOST_PLACES or enough
    assert drawn.seats == (min(size, here) if filled else exact.seats)
    assert drawn.seats == exact.seats or known > MOST_PLACES


def test_a_seat_that_cannot_be_filled_may_count() -> None:
    first = [committee.member(SEED, place, known=256, size=128) for place in range(128)]
    drawn = committee.seat(SEED, 256, 128, lambda index: index != first[3], here=255)
    assert (len(drawn.seated), drawn.seats) == (127, 128)
    gone = {first[3], first[4]}
    drawn = committee.seat(SEED, 256, 128, lambda index: index not in gone, here=254)
    assert (len(drawn.seated), drawn.seats) == (126, 126)


@given(st.integers(17, 300), st.sets(st.integers(0, 299)), st.data())
def test_vacant_places_show_who_moved_up(known: int, gone: set[int], data: st.DataObject) -> None:
    drawn = committee.seat(SEED, known, 16, lambda index: index not in gone)
    voters = data.draw(st.sets(st.sampled_from(sorted(drawn.seated) or [ParticipantId(0)])))
    voters &= drawn.seated
    vacant = drawn.vacant(voters)
    named = [place for place in range(MOST_PLACES) if vacant >> place & 1]
    assert all(drawn.places[place] in gone for place in named)
    for place in map(drawn.places.index, voters):
        assert place < 16 + sum(vacancy < place for vacancy in named)
    if all(place < 16 for place in map(drawn.places.index, voters)):
        assert vacant == 0


@pytest.mark.parametrize(
    ("voters", "vacant"),
    [
        ([], 0b0),
        ([7], 0b0),
        ([9], 0b0),
        ([8], 0b10),
        ([6], 0b1010),
        ([9, 8, 7], 0b10),
        ([7, 6, 8], 0b1010),
    ],
)
def test_as_many_vacant_places_are_named_as_voters_moved_up(voters: list[int], vacant: int) -> None:
    places = tuple(map(ParticipantId, (9, 1, 7, 2, 8, 6)))
    drawn = Committee(places, frozenset(places) - {1, 2}, seats=4, size=4)
    assert drawn.vacant(voters) == vacant


def test_everybody_has_a_seat_where_all_fit_in() -> None:
    drawn = committee.seat(b"", 3, 3, lambda _: True)
    assert (list(drawn.places), drawn.seats) == ([0, 1, 2], 3)
    left = committee.seat(b"", 3, 3, lambda index: index != 2)
    assert (list(left.places), sorted(left.seated)) == ([0, 1, 2], [0, 1])


def test_a_walk_ends_after_128_places() -> None:
    drawn = committee.seat(SEED, 1000, 2, lambda _: False)
    assert (len(drawn.places), drawn.seats) == (128, 0)


def test_ballots() -> None:
    drawn = committee.seat(SEED, 300, 16, lambda _: True)
    someone = drawn.places[5]
    votes = drawn.ballot(someone, support=True) | drawn.ballot(drawn.places[0], support=False)
    assert votes == 1 << 5 | 1 << 128
    assert committee.places(votes) == [(5, True), (0, False)]


def test_the_draw_depends_on_the_seed() -> None:
    everybody = [committee.member(SEED, place, known=100, size=16) for place in range(16)]
    other = [committee.member(bytes(32), place, known=100, size=16) for place in range(16)]
    assert everybody != other
