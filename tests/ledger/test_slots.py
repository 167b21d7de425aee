"""Which of a participant's slots counts: the batch's leaves in order, then the direct commits."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ledger.nodes import Entry, Reason
from ledger.round import NOTHING, Slot, compose
from ledger.types import ZERO_DIGEST, Digest
from tests.ledger.chain.samples import digest
from tests.ledger.test_round import CONTEXT, Quick, entries, slot_of, standing

GOOD = [slot_of(owner) for owner in range(5)]
RULES = Quick()
UNKNOWN = 4_000_000_000


def judged(slots: Sequence[Slot], *, batched: int) -> list[Entry]:
    """Give the entries of slots, the first of which are a batch's."""
    outcome = compose(replace(CONTEXT, batched=batched), standing(), slots, RULES)
    assert not any(entry != Entry() for entry in entries(outcome)[len(slots) :])
    return entries(outcome)[: len(slots)]


def reasons(slots: Sequence[Slot], *, batched: int) -> list[tuple[Reason, int]]:
    return [(Reason(e.reason), e.position) for e in judged(slots, batched=batched)]


def test_a_leaf_that_binds_counts_like_a_commit() -> None:
    assert judged([GOOD[1], GOOD[2]], batched=1) == judged([GOOD[1], GOOD[2]], batched=0)


def test_a_direct_commit_stands_for_every_leaf() -> None:
    slots = [GOOD[1], GOOD[2], replace(GOOD[1], digest=digest(5)), GOOD[1]]
    found = reasons(slots, batched=3)
    assert found[0] == found[2] == (Reason.SUPERSEDED, 3)
    assert found[1] == found[3] == (Reason.COUNTED, 0)


def test_of_leaves_the_first_counts() -> None:
    found = reasons([GOOD[3], GOOD[1], GOOD[1], GOOD[3]], batched=4)
    assert [reason for reason, _ in found] == [Reason.COUNTED] * 2 + [Reason.SUPERSEDED] * 2
    assert [position for _, position in found] == [0, 0, 1, 0]


def test_what_is_superseded_says_whose_it_was_and_no_more() -> None:
    first, second = judged([GOOD[1], GOOD[1]], batched=1)
    assert first == Entry(GOOD[1].digest, participant=1, reason=Reason.SUPERSEDED, position=1)
    assert second.number == 1


def test_a_slot_stands_for_others_whatever_its_bytes_are() -> None:
    slots = [GOOD[1], replace(GOOD[1], published=NOTHING)]
    assert reasons(slots, batched=1) == [(Reason.SUPERSEDED, 1), (Reason.UNAVAILABLE, 0)]


def test_leaves_that_bind_nobody() -> None:
    slots = [Slot.unsigned(1, digest(1)), Slot.missing(), Slot.unsigned(0, ZERO_DIGEST), GOOD[1]]
    found = judged(slots, batched=4)
    assert found[:3] == [
        Entry(digest(1), participant=1, reason=Reason.UNSIGNED),
        Entry(reason=Reason.MISSING),
        Entry(reason=Reason.UNSIGNED),
    ]
    assert found[3].reason == Reason.COUNTED


def test_a_leaf_may_name_a_participant_that_never_was() -> None:
    slots = [Slot.unsigned(UNKNOWN, digest(1)), GOOD[0]]
    assert judged(slots, batched=1)[0].participant == UNKNOWN


# -- against a slow reference

SLOT = st.one_of(
    st.integers(0, 4).map(lambda owner: GOOD[owner]),
    st.builds(replace, st.sampled_from(GOOD), published=st.just(NOTHING)),
    st.builds(
        Slot.unsigned,
        st.integers(0, 4) | st.just(UNKNOWN),
        st.binary(min_size=32, max_size=32).map(Digest),
    ),
    st.builds(Slot.missing),
)


def reference(slots: Sequence[Slot], batched: int) -> list[tuple[Reason, int]]:
    found = []
    for place, slot in enumerate(slots):
        rivals = [
            other
            for other, rival in enumerate(slots)
            if rival.unbound is None and rival.participant == slot.participant
        ]
        direct = [other for other in rivals if other >= batched]
        if slot.unbound is not None:
            found.append((slot.unbound, 0))
        elif place != (direct or rivals)[0]:
            found.append((Reason.SUPERSEDED, (direct or rivals)[0]))
        elif slot.published is NOTHING:
            found.append((Reason.UNAVAILABLE, 0))
        else:
            found.append((Reason.COUNTED, 0))
    return found


@given(st.lists(SLOT, max_size=20), st.integers(0, 20))
def test_every_slot_has_its_reason(slots: list[Slot], batched: int) -> None:
    batched = min(batched, len(slots))
    assert reasons(slots, batched=batched) == reference(slots, batched)
    for entry in judged(slots, batched=batched):
        assert entry.number == int(entry.reason == Reason.COUNTED)
        assert (entry.weight > 0) == (entry.number == 1)
        assert (entry.root == ZERO_DIGEST) == (entry.number == 0)
