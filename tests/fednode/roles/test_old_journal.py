"""A journal that is older than the chain: its node says so, signs nothing anew, and goes on."""

import shutil

import pytest

from fednode.roles.carrying import carried_over
from fednode.roles.role import Progress
from ledger.nodes import Reason
from ledger.round import Slot
from ledger.state import Phase
from ledger.stores import StoreUnreachable
from ledger.types import Digest
from tests.federations import Cast, Hospital, in_phase, play
from tests.fednode.roles.conftest import Found
from tests.fednode.roles.test_carrying import journaled, miss, without_the_slow

OWN = 2
UNKNOWN = Digest(b"\x0b" * 32)


def in_round_1(cast: Cast) -> Hospital:
    """Bring a federation to the commits of round 1; give the hospital whose journal it is about."""
    roles = cast.roles()
    play(cast, lambda: roles, until=in_phase(Phase.COMMIT, 1))
    return cast.hospitals[OWN]


def test_what_was_committed_and_is_not_in_the_journal_is_one_line(
    start: Found, caplog: pytest.LogCaptureFixture
) -> None:
    cast = start(rounds=3)
    hospital = in_round_1(cast)
    hospital.journal.mark(1, "published")  # by a chain that was reset
    assert hospital.participant().step() is Progress.ACTED
    assert hospital.journal.marked(1, "published") is None
    committed = journaled(hospital, 1).digest
    shutil.rmtree(hospital.journal.folder / "000001")
    roles = cast.roles()
    assert roles[OWN].step() is Progress.WAITING
    state = play(cast, lambda: roles, until=in_phase(Phase.COMMIT, 2))
    assert [c.digest for c in state.rounds[1].commits if c.participant == OWN] == [committed]
    said = [r.getMessage() for r in caplog.records if "older than the chain" in r.getMessage()]
    assert len(said) == 1
    assert str(hospital.journal.folder) in said[0]
    assert f"in round 1 this account has committed to update {committed.hex()[:16]}" in said[0]
    assert hospital.journal.marked(1, "published") is None
    assert roles[OWN].step() is Progress.ACTED
    assert cast.state().round.committed(OWN)


def test_a_batch_that_binds_us_to_what_the_journal_does_not_hold(
    start: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay has posted what was signed before the backup was restored."""
    cast = start()
    hospital = in_round_1(cast)
    node = hospital.participant()
    view = node._federation
    member = view.state.member(hospital.account.address)
    assert member is not None
    leaves: list[Slot | None] = []

    def claims(*_: object) -> list[Slot]:
        if None in leaves:
            raise StoreUnreachable("store", "down")
        return [leaf for leaf in leaves if leaf is not None]

    monkeypatch.setattr(type(view.replica), "claims", claims)
    others = Slot(OWN + 1, UNKNOWN), Slot(OWN, UNKNOWN, unbound=Reason.UNSIGNED), Slot.missing()
    for leaves[:] in [None], [*others], []:
        assert not node._committing._unknown(member, view.state.round)
    leaves[:] = *others, Slot(OWN, UNKNOWN)
    assert [node.step() for _ in range(2)] == [Progress.WAITING] * 2
    leaves[:] = others
    assert node.step() is Progress.ACTED
    assert cast.state().round.committed(OWN)


def test_an_update_before_a_commit_that_is_not_known_is_not_carried_over(
    start: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was committed may have been that very update, and its bytes may be public."""
    cast = start(rounds=3)
    miss(cast, monkeypatch)
    without_the_slow(cast, 1)
    hospital = cast.hospitals[OWN]
    view = hospital.view()
    member = view.state.member(hospital.account.address)
    assert member is not None
    trainer = hospital.trainer(view)
    round_ = view.state.round
    monkeypatch.setattr("fednode.roles.carrying._allows", lambda *_: True)
    assert carried_over(view, member, round_, hospital.journal, trainer) is not None
    shutil.move(hospital.journal.folder / "000001", hospital.journal.folder / "000000")
    monkeypatch.setattr(type(view.replica), "committed", lambda _, r, *__: r.index == 1)
    assert carried_over(view, member, round_, hospital.journal, trainer) is None
