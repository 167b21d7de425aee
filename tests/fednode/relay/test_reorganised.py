"""A relay's books when the chain is reorganised: a round's number may become another round's."""

from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import pytest

from fednode.relay.desk import Desk
from fednode.relay.errors import Refused
from fednode.relay.situation import Collecting, Opening, Situation
from ledger.chain.accounts import Account
from tests.fednode.relay.test_desk import done
from tests.fednode.relay.test_relay import World
from tests.fednode.relay.world import (
    DEADLINE,
    MEMBERS,
    ballot_of,
    collecting,
    commit_of,
    desk_at,
    digest,
    voting,
)

FIRST = Opening(digest(1), digest(11))
AGAIN = Opening(digest(1), digest(12))
ELSEWHERE = Opening(digest(2), digest(13))


def opened(opening: Opening, members: list[Account] = MEMBERS) -> Collecting:
    """Give round 3 in its commit phase, as it was opened by a block."""
    return replace(collecting(3, members), opening=opening)


def see(desk: Desk, opening: Opening, *, deadline: int = DEADLINE) -> None:
    desk.see(Situation(1_000, replace(opened(opening), deadline=deadline)))


def commits(desk: Desk) -> dict[int, bytes]:
    assert desk._book is not None
    return {participant: leaf.digest for participant, leaf in desk._book.leaves.items()}


def test_a_round_that_is_opened_anew_takes_commits_again(tmp_path: Path) -> None:
    """The batch of the first opening was sealed, and posted in a block that is gone."""
    desk = desk_at(tmp_path, opened(FIRST))
    for participant in (0, 1):
        done(desk.commit(commit_of(participant, round_index=3)))
    first = done(desk.seal())
    assert first is not None
    with pytest.raises(Refused, match="is closed"):
        done(desk.commit(commit_of(2, round_index=3)))
    see(desk, AGAIN, deadline=DEADLINE + 7)
    receipt = done(desk.commit(commit_of(2, round_index=3)))
    assert receipt.deadline == DEADLINE + 7
    assert commits(desk) == {2: digest(1), 0: digest(1), 1: digest(1)}
    batch = done(desk.seal())
    assert batch is not None
    assert batch.posted.leaves == 3
    assert desk.receipt(3, 0).deadline == DEADLINE + 7


def test_what_was_carried_over_is_in_the_batch_after_a_crash(tmp_path: Path) -> None:
    desk = desk_at(tmp_path, opened(FIRST))
    done(desk.commit(commit_of(0, round_index=3)))
    see(desk, AGAIN)
    done(desk.commit(commit_of(1, round_index=3)))
    sealed = done(desk.seal())
    assert sealed is not None
    assert desk._book is not None
    desk._book.close()
    again = desk_at(tmp_path, opened(AGAIN))
    resealed = done(again.seal())
    assert resealed is not None
    assert resealed.posted == sealed.posted
    assert sealed.posted.leaves == 2


def test_commits_to_a_round_on_another_parent_are_not_posted(tmp_path: Path) -> None:
    """Their updates name a result that is gone: nobody could count them."""
    desk = desk_at(tmp_path, opened(FIRST))
    done(desk.commit(commit_of(0, round_index=3)))
    see(desk, ELSEWHERE)
    assert commits(desk) == {}
    assert done(desk.seal()) is None
    with pytest.raises(Refused, match=r"opened round 3 anew.* commit again") as refused:
        desk.receipt(3, 0)
    assert refused.value.status == HTTPStatus.GONE
    done(desk.commit(commit_of(0, update=2, round_index=3)))
    assert commits(desk) == {0: digest(2)}
    see(desk, FIRST)
    assert commits(desk) == {0: digest(1)}


def test_a_participant_may_commit_to_another_update_of_the_new_opening(tmp_path: Path) -> None:
    desk = desk_at(tmp_path, opened(FIRST))
    done(desk.commit(commit_of(0, round_index=3)))
    with pytest.raises(Refused, match="another update can only be committed"):
        done(desk.commit(commit_of(0, update=2, round_index=3)))
    see(desk, AGAIN)
    done(desk.commit(commit_of(0, update=2, round_index=3)))
    assert commits(desk) == {0: digest(2)}
    with pytest.raises(Refused, match="another update can only be committed"):
        done(desk.commit(commit_of(0, update=3, round_index=3)))


def test_leaves_bind_who_signs_for_the_participants_now(tmp_path: Path) -> None:
    """The joins were reordered: two of three sign for another index, one for its own."""
    desk = desk_at(tmp_path, opened(FIRST))
    for participant in (0, 1, 2):
        done(desk.commit(commit_of(participant, round_index=3)))
    done(desk.seal())
    other = [MEMBERS[1], MEMBERS[0], *MEMBERS[2:]]
    desk.see(Situation(1_000, opened(AGAIN, other)))
    assert commits(desk) == {2: digest(1)}
    done(desk.commit(commit_of(0, round_index=3, by=MEMBERS[1])))
    assert set(commits(desk)) == {0, 2}


def test_without_a_sign_of_its_opening_a_round_goes_by_its_signers(tmp_path: Path) -> None:
    desk = desk_at(tmp_path, collecting(3))
    for participant in (0, 1, 2):
        done(desk.commit(commit_of(participant, round_index=3)))
    done(desk.seal())
    desk.see(Situation(1_000, collecting(3, [MEMBERS[1], MEMBERS[0], *MEMBERS[2:]])))
    assert commits(desk) == {2: digest(1)}
    done(desk.commit(commit_of(1, round_index=3, by=MEMBERS[0])))


def test_votes_are_in_the_book_of_their_opening(tmp_path: Path) -> None:
    desk = desk_at(tmp_path, replace(voting(3), opening=FIRST))
    done(desk.vote(ballot_of(MEMBERS[0], round_=3)))
    desk.see(Situation(1_200, replace(voting(3), opening=ELSEWHERE)))
    assert desk.votes(voting(3)) == {}
    desk.see(Situation(1_200, replace(voting(3), opening=FIRST)))
    assert set(desk.votes(voting(3))) == {MEMBERS[0].address}


def test_a_book_of_before_is_the_current_openings(tmp_path: Path) -> None:
    """Written by a relay that kept one book a round, whatever had opened it."""
    old = desk_at(tmp_path, collecting(3))
    receipt = done(old.commit(commit_of(0, round_index=3)))
    assert old._book is not None
    old._book.close()
    desk = desk_at(tmp_path, opened(FIRST))
    assert desk.receipt(3, 0) == receipt


def test_a_relay_posts_the_batch_of_the_opening_that_there_is(tmp_path: Path) -> None:
    world = World(tmp_path, opened(FIRST))

    async def all_commit(update: int) -> None:
        for participant in range(len(MEMBERS)):
            await world.step(1_000)
            await world.desk.commit(commit_of(participant, update=update, round_index=3))

    async def run() -> None:
        await all_commit(update=1)
        await world.step(1_000)
        first = world.posted()
        world.ledger.sent.clear()
        world.ledger.phase = opened(ELSEWHERE)
        await all_commit(update=2)
        assert world.sent == []
        await world.step(1_000)
        assert world.posted().posted.root != first.posted.root

    done(run())
