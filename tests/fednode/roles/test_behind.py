"""Roles behind a chain's node that shows less than there is: what rests on the absence of an event
waits, what an event asks for goes on, and a warning says what lags.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from fednode.claims import claim_all
from fednode.federation import BEHIND, LONGEST_REST
from fednode.relay.chain import OnChain
from fednode.roles.journal import Journal
from fednode.roles.participant import NotAMember
from fednode.roles.pulse import EVERY, STILL, Pulse
from fednode.roles.role import Progress, advance_if_due, finished
from fednode.roles.watcher import Guard
from ledger.chain.client import Chain
from ledger.chain.types import Log
from ledger.history import LogsBehind
from ledger.state import Phase
from ledger.types import ParticipantId
from tests.federations import Cast, in_phase, play
from tests.fednode.roles.conftest import Found


@dataclass
class Hidden:
    """Hides the logs of a chain's newest blocks for as long as it is set."""

    chain: Chain
    patch: pytest.MonkeyPatch
    last: int | None = None
    asked: int = 0
    rests: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        read: Callable[..., list[Log]] = self.chain.logs

        def logs(*query: object) -> list[Log]:
            self.asked += 1
            found = read(*query)
            return [log for log in found if self.last is None or log.block_number <= self.last]

        self.patch.setattr(self.chain, "logs", logs)
        self.patch.setattr(self.chain, "rest", self.rests.append)


@pytest.fixture
def cast(start: Found) -> Cast:
    return start(rounds=1)


@pytest.fixture
def hidden(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> Hidden:
    return Hidden(cast.stage.chain, monkeypatch)


def happen(cast: Cast) -> None:
    """Let something happen that changes nothing but the history."""
    owner = cast.hospitals[1].account
    cast.contract.register_key(owner, cast.federation, ParticipantId(1), b"\7" * 32)


def test_nothing_is_moved_on_and_nobody_ends_on_a_part(cast: Cast, hidden: Hidden) -> None:
    """All has settled: the node that is shown a part of it does not end, the others do."""
    roles = cast.roles()
    play(cast, lambda: roles)
    view = cast.hospitals[0].view()
    assert finished(view)
    behind = cast.hospitals[0].view()
    hidden.last = cast.stage.chain.block_number()
    cast.contract.refund(cast.stage.accounts[0], cast.federation)
    state = behind.refresh()
    assert isinstance(behind.lag, LogsBehind)
    assert state.settled
    assert state.phase is Phase.ENDED
    assert not finished(behind)
    guard = Guard(behind, cast.hospitals[0].account, journal(cast), stay=False)
    assert guard.step() is Progress.WAITING
    hidden.last = None
    while behind.lag is not None:
        behind.refresh()
    assert finished(behind)


def journal(cast: Cast) -> Journal:
    return cast.hospitals[0].journal


def test_a_deadline_passes_on_complete_logs_only(cast: Cast, hidden: Hidden) -> None:
    """A round in which all have committed is not ended as one in which nobody has."""
    roles = cast.roles()
    play(cast, lambda: roles, until=in_phase(Phase.COMMIT))
    view = cast.hospitals[0].view()
    hidden.last = cast.stage.chain.block_number()
    happen(cast)
    view.refresh()
    assert view.lag is not None
    cast.stage.engine.hurry(view.state.round.commit_deadline + 3600)
    before = cast.stage.chain.block_number()
    assert not advance_if_due(view, cast.hospitals[0].account)
    assert cast.stage.chain.block_number() == before
    hidden.last = None
    while view.lag is not None:
        view.refresh()
    assert advance_if_due(view, cast.hospitals[0].account)


def test_a_commit_that_may_have_been_sent_waits_for_the_logs(cast: Cast, hidden: Hidden) -> None:
    """A node that was started again is not shown its own commit. In the last quarter of the window
    it asks the contract, which has it.
    """
    roles = cast.roles()
    play(cast, lambda: roles, until=in_phase(Phase.COMMIT))
    node = cast.hospitals[0].participant()
    hidden.last = cast.stage.chain.block_number()
    assert cast.hospitals[0].participant().step() is Progress.ACTED
    head = cast.stage.chain.block_number()
    sent: list[object] = []
    commit = cast.contract.commit_update

    def counted(*terms: object) -> object:
        sent.append(terms)
        return commit(*terms)  # type: ignore[arg-type]

    hidden.patch.setattr(type(cast.contract), "commit_update", lambda _, *terms: counted(*terms))
    assert node.step() is Progress.WAITING
    assert sent == []
    round_ = node._federation.state.round
    assert not round_.committed(0)
    last = round_.commit_deadline - (round_.commit_deadline - round_.opened) // 4
    cast.stage.engine.hurry(last)
    assert node.step() is Progress.WAITING
    assert len(sent) == 1
    assert cast.stage.chain.block_number() == head


def test_a_lag_is_warned_of_once_and_asked_about_at_growing_intervals(
    cast: Cast, hidden: Hidden, caplog: pytest.LogCaptureFixture
) -> None:
    view = cast.hospitals[0].view()
    hidden.last = cast.stage.chain.block_number()
    happen(cast)
    warned = []
    with caplog.at_level(logging.WARNING, "fednode"):
        for _ in range(100):
            view.refresh()
            warned.append(caplog.text.count("lag behind its head"))
    assert warned[BEHIND - 2 : BEHIND] == [0, 1]
    assert warned[-1] == 1
    assert view.chain.endpoint in caplog.text
    asked = hidden.asked
    for _ in range(2 * LONGEST_REST):
        view.refresh()
    assert 1 <= hidden.asked - asked <= 3
    hidden.last = None
    for _ in range(LONGEST_REST + 1):
        view.refresh()
    assert view.lag is None


def test_commands_wait_for_complete_logs_and_then_say_what_lags(cast: Cast, hidden: Hidden) -> None:
    """`status`, `claim` and all others that open a federation, and money above all."""
    view = cast.hospitals[0].view()
    replica = cast.hospitals[0].view().replica
    hidden.last = cast.stage.chain.block_number()
    happen(cast)
    for command in (
        cast.hospitals[0].view,
        lambda: claim_all(view, cast.hospitals[0].account),
        lambda: OnChain(cast.contract, replica, cast.stage.accounts[5]),
    ):
        hidden.rests.clear()
        with pytest.raises(LogsBehind, match="or give another --rpc"):
            command()
        assert len(hidden.rests) >= 5
        assert sum(hidden.rests) > 10
    late = hidden.rests

    def come(seconds: float) -> None:
        late.append(seconds)
        if len(late) > 2:
            hidden.last = None

    late.clear()
    hidden.patch.setattr(cast.stage.chain, "rest", come)
    assert cast.hospitals[0].view().state.participants
    assert len(late) == 3


def test_a_member_whose_joining_is_not_shown_is_no_stranger(cast: Cast, hidden: Hidden) -> None:
    node = cast.hospitals[3].participant()
    stranger = cast.hospitals[3].participant()
    stranger._account = cast.stage.accounts[9]
    hidden.last = cast.stage.chain.block_number() - 1
    for federation in (node._federation, stranger._federation):
        federation.replica._source.reset()
        federation.replica._forget()
    assert node.step() is Progress.WAITING
    assert stranger.step() is Progress.WAITING
    hidden.last = None
    assert node.step() is not Progress.DONE
    with pytest.raises(NotAMember):
        stranger.step()


def test_a_chain_that_stands_still_is_named(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    roles = cast.roles()
    play(cast, lambda: roles, until=in_phase(Phase.COMMIT))
    view, clock = cast.hospitals[0].view(), [0.0]
    pulse = Pulse(view, now=lambda: clock[0])

    def pass_by(seconds: float) -> str:
        caplog.clear()
        for _ in range(int(seconds / EVERY)):
            clock[0] += EVERY
            pulse.look()
        return caplog.text

    with caplog.at_level(logging.WARNING, "fednode"):
        assert pass_by(STILL) == ""
        assert pass_by(10 * STILL).count("chain time at the embedded chain has stood still") == 1
        cast.stage.engine.hurry(view.chain.now() + 5)
        assert pass_by(STILL) == ""
        assert "chain time" in pass_by(STILL)
        ticking = iter(range(1 << 40, 1 << 41))
        monkeypatch.setattr(view.chain, "now", lambda: next(ticking))
        assert pass_by(10 * STILL) == ""
        head = view.chain.block_number()
        monkeypatch.setattr(view.chain, "block_number", lambda: head)
        happen(cast)
        told = pass_by(10 * STILL)
        assert told.count(f"has made no block after block {head}") == 1
