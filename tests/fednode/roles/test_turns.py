"""Whose turn it is at what anybody may do: one transaction where one is enough, and always one."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednode.roles import turns
from fednode.roles.role import Progress, Role, advance_if_due
from fednode.roles.turns import Turn, moments, turn_of, wave
from ledger.chain.calls import call
from ledger.chain.errors import ContractRejected
from ledger.chain.federations import Federations
from ledger.chain.refusals import naming_errors
from ledger.chain.types import Receipt
from ledger.proceedings import Outcome
from ledger.state import FederationState, Phase
from tests.federations import Cast, in_phase, let_time_pass, opened, play
from tests.fednode.roles.conftest import Found

STEPS = 400


class Pool:
    """A node that shows nothing of what waits in its pool: whoever asks it whether `advance` has
    something to do before the next block is told that it has.
    """

    def __init__(self, cast: Cast, patch: pytest.MonkeyPatch) -> None:
        self._cast = cast
        self._waiting: list[Callable[[], Receipt]] = []
        self.mined, self.in_vain = 0, 0
        send = Federations.advance

        def advance(*place: object) -> Receipt:
            sender = place[1].address  # type: ignore[attr-defined]
            data = call("advance", cast.federation)
            with naming_errors():
                cast.stage.chain.estimate(sender, cast.contract.address, data)
            self._waiting.append(lambda: send(*place))  # type: ignore[arg-type]
            return self._receipt

        patch.setattr(Federations, "advance", advance)

    @property
    def _receipt(self) -> Receipt:
        """Give a receipt of something else."""
        chain = self._cast.stage.chain
        receipt = chain.receipt(chain.newest().transactions[0])
        assert receipt is not None
        return receipt

    def mine(self) -> None:
        """Take what waits into a block."""
        for send in self._waiting:
            try:
                send()
                self.mined += 1
            except ContractRejected:
                self.in_vain += 1
        self._waiting.clear()

    def play(
        self, roles: Sequence[Role], until: Callable[[FederationState], bool]
    ) -> FederationState:
        """Let everybody step once a block; time goes on when nobody has anything to do."""
        for _ in range(STEPS):
            acted = Progress.ACTED in {role.step() for role in roles}
            self.mine()
            state = self._cast.state()
            if until(state):
                return state
            if not acted:
                let_time_pass(self._cast.stage, state)
        raise AssertionError(f"no end after {STEPS} steps")


def test_one_advance_is_mined_for_a_deadline(start: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight processes are there for everything that falls due; one of them sees to it."""
    cast = start()
    pool = Pool(cast, monkeypatch)
    state = pool.play(cast.roles(), lambda state: state.settled)
    assert [round_.outcome for round_ in state.rounds] == [Outcome.ACCEPTED] * 3
    assert pool.mined > 0
    assert pool.in_vain == 0


@pytest.mark.parametrize("dead", [0, 1, 2, 3])
def test_the_next_come_where_the_first_is_dead(
    start: Found, monkeypatch: pytest.MonkeyPatch, dead: int
) -> None:
    """They are two, so that one may send in vain, but not all."""
    cast = start()
    pool = Pool(cast, monkeypatch)
    roles = [role for place, role in enumerate(cast.roles()) if place != dead]
    state = pool.play(roles, lambda state: state.settled)
    assert [round_.outcome for round_ in state.rounds] == [Outcome.ACCEPTED] * 3
    assert pool.in_vain <= pool.mined


@pytest.mark.parametrize("alive", range(8))
def test_one_process_is_enough(start: Found, monkeypatch: pytest.MonkeyPatch, alive: int) -> None:
    """A participant's or a proposer's: round after round passes, if only without a result."""
    cast = start()
    pool = Pool(cast, monkeypatch)
    state = pool.play([cast.roles()[alive]], opened(2))
    assert [round_.outcome for round_ in state.rounds[:2]] == [Outcome.VOID] * 2
    assert (pool.mined, pool.in_vain) == (2, 0)


def test_whoever_has_no_seat_comes_last(start: Found) -> None:
    cast = start()
    roles = cast.roles()
    play(cast, lambda: roles[:2], until=in_phase(Phase.COMMIT))
    view, stranger = cast.hospitals[0].view(), cast.stage.accounts[9]
    state = view.state
    own = [turn_of(state, h.account.address, beside=False).wave for h in cast.hospitals]
    beside = [turn_of(state, h.account.address).wave for h in cast.hospitals]
    last = turn_of(state, stranger.address)
    assert (own, beside) == ([0, 1, 1, 2], [3, 4, 4, 5])
    assert last == Turn(6, 6)
    due = state.round.commit_deadline
    assert moments(state) == [due + late * turns.pause(state) for late in range(8)]
    cast.stage.engine.hurry(moments(state)[last.wave] - 1)
    assert not advance_if_due(view, stranger, last)
    cast.stage.engine.hurry(moments(state)[last.wave])
    assert advance_if_due(view, stranger, last)


def test_turns_begin_with_who_was_to_propose(start: Found) -> None:
    """So gas is shared, and an attempt that was missed moves on to the next."""
    cast = start()
    roles = cast.roles()
    play(cast, lambda: roles, until=opened(1))
    state = cast.state()

    def own() -> list[int]:
        return [turn_of(state, h.account.address, beside=False).wave for h in cast.hospitals]

    assert own() == [2, 0, 1, 1]
    state.round.attempt = 1
    assert own() == [1, 2, 0, 1]
    state.participants[2].slashed = True
    assert own() == [1, 2, 6, 1]


def test_a_relay_goes_before_all(start: Found) -> None:
    cast = start()
    state = play(cast, cast.roles, until=in_phase(Phase.COMMIT))
    due = turns.advances(state, Turn())
    assert due == state.advances
    state.policy = replace(state.policy, relay=cast.stage.accounts[9].address)
    assert turns.advances(state, Turn()) == moments(state)[1]


@given(st.integers(0, 1 << 16))
def test_waves_double(place: int) -> None:
    first = (1 << wave(place)) - 1
    assert first <= place < 2 * first + 1


@given(st.integers(1, 40), st.data())
def test_everybody_has_a_turn_in_the_first_half(last: int, data: st.DataObject) -> None:
    begin, length = data.draw(st.integers(0, 1 << 32)), data.draw(st.integers(0, 1 << 20))
    times = [Turn(late, last).between(begin, begin + length) for late in range(last + 1)]
    assert times[0] == begin
    assert times == sorted(times)
    assert times[-1] - begin <= length // 2
