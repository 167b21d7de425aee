"""Turns at what anybody may do and somebody must: ending a phase, settling, a challenge, an answer.

A second transaction for the same thing buys nothing and costs its gas, and a node cannot be relied
on to show what waits in its pool. So one process begins, two more may if that does not help, then
four, and so on: first the participants' own, from whose turn it was to propose, then in the same
order the processes that run beside them, and whoever has no seat last of all. Whatever has become
of the others, every process has its turn.
"""

from dataclasses import dataclass

from ledger.members import Participant
from ledger.proceedings import Round
from ledger.state import FederationState, Phase
from ledger.types import ZERO_ADDRESS, Address

LONGEST = 30
"""Seconds from one wave to the next, at the most: time for a block or two."""
SEED = 8
"""The same where a round's seed is to be drawn, which can be done for 256 blocks only."""
PARTS = 32
"""In the shortest window that a delay could eat up, how many pauses there are at least."""


def place(member: Participant, round_: Round) -> int:
    """Count a participant's place from whose turn it was to propose; who joined later comes after
    all others.
    """
    first = round_.index + round_.attempt
    return (member.index - first) % round_.known if member.index < round_.known else member.index


def wave(place: int) -> int:
    """Give the wave that a place is in; they hold 1, 2, 4, ... places."""
    return (place + 1).bit_length() - 1


@dataclass(frozen=True, slots=True)
class Turn:
    """The wave that a process is in, and the last one that there is."""

    wave: int = 0
    last: int = 0

    def between(self, begin: int, end: int) -> int:
        """Give the time from which on it is the process's turn; all have theirs in the first half
        of what there is.
        """
        there = max(0, end - begin)
        return begin + self.wave * min(LONGEST, there // (2 * (self.last + 1)))


def turn_of(state: FederationState, account: Address, *, beside: bool = True) -> Turn:
    """Give the turn of an account's process in the current round and attempt; `beside`: it is not
    the participant's own, which trains and votes.
    """
    return turn_in(state, state.round, account, beside=beside) if state.rounds else Turn()


def turn_in(
    state: FederationState, round_: Round, account: Address, *, beside: bool = True
) -> Turn:
    """Give the turn of an account's process in a round and its current attempt."""
    waves, member = _waves(round_), state.member(account)
    if member is None or not member.active(round_.index):
        return Turn(2 * waves, 2 * waves)
    own = wave(place(member, round_))
    return Turn(own + waves if beside else own, 2 * waves)


def pause(state: FederationState) -> int:
    """Give the seconds from one wave to the next at what a deadline makes due."""
    policy = state.policy
    shortest = min(policy.commit_window, policy.propose_window, policy.attest_window)
    longest = SEED if _waits_for_its_seed(state) else LONGEST
    return max(1, min(longest, shortest // PARTS))


def advances(state: FederationState, turn: Turn) -> int | None:
    """Give the time from which on it is a turn's to move the federation on; a relay, if the policy
    names one, does so before all others.
    """
    if state.advances is None:
        return None
    relayed = state.policy.relay != ZERO_ADDRESS
    return state.advances + (turn.wave + relayed) * pause(state)


def moments(state: FederationState) -> list[int]:
    """List, in order, when a turn comes at what falls due next: for whoever lets time pass until
    somebody has something to do.
    """
    if state.deadline is None:
        return []
    last_behind_a_relay = 2 * _waves(state.round) + 1
    return [state.deadline + late * pause(state) for late in range(last_behind_a_relay + 1)]


def _waves(round_: Round) -> int:
    return wave(round_.known - 1) + 1


def _waits_for_its_seed(state: FederationState) -> bool:
    if state.phase is not Phase.COMMIT:
        return False
    return state.policy.draws(state.round.candidates) and state.round.seed is None
