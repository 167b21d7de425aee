"""How long a node rests between two looks at the chain.

Briefly where something has just happened or falls due, and else for longer each time: a rest is
about a third of the time in which nothing happened, so a node notices what others do at most that
much late. It never rests past a moment at which something falls due, and never for more than a
sixth of the policy's shortest window.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from random import SystemRandom
from typing import Final

from fednode.federation import Federation
from fednode.roles.turns import moments
from fednode.roles.watcher import challenge_time
from ledger.headers import PolicyHeader
from ledger.state import FederationState, Phase

GROWTH: Final = 1.5
"""Each rest in which nothing happens is so many times as long as the one before."""
LONGEST: Final = 15.0
"""Seconds that a node rests at most."""
LOOKS: Final = 6
"""In the shortest window a node looks at least so often."""
SPREAD: Final = 0.8
"""The part of a rest that is always taken; the rest of it is drawn, so that nodes which wait for
the same thing do not ask all at once."""

Draw = Callable[[float, float], float]
_OWN: Final = SystemRandom()


class Pace:
    """The rests of one node, at least `poll` seconds each."""

    def __init__(self, federation: Federation, poll: float, draw: Draw = _OWN.uniform) -> None:
        self._federation = federation
        self._poll = poll
        self._draw = draw
        self._rest = poll
        self._seen: tuple[object, int] | None = None

    def looking(self) -> AbstractContextManager[None]:
        """Let one look at the chain serve a whole step."""
        return self._federation.chain.glance()

    def rest(self) -> float:
        """Give the seconds to rest after a step that did nothing."""
        if self._federation.lag is not None:
            return self._poll  # the federation itself asks a node that is behind less often
        state, now = self._federation.state, self._federation.chain.now()
        ahead = [moment - now for moment in _due(state) if moment > now]
        seen = state.h, len(ahead)
        longest = max(self._poll, slowest(state.policy))
        self._rest = min(longest, self._rest * GROWTH) if seen == self._seen else self._poll
        self._seen = seen
        rest = min(self._rest, max(self._poll, min(ahead, default=longest)))
        return self._draw(SPREAD * rest, rest)


def slowest(policy: PolicyHeader) -> float:
    """Give the seconds that a node of this policy rests at most."""
    windows = (
        policy.commit_window,
        policy.reveal_window,
        policy.propose_window,
        policy.attest_window,
        policy.challenge_window,
        policy.answer_window,
    )
    return min(LONGEST, min(windows) / LOOKS)


def _due(state: FederationState) -> Iterator[int]:
    """List the times at which a node may have something to do though nothing has happened."""
    yield from moments(state)
    if state.phase is Phase.PROPOSE and state.round.closed is not None:
        yield state.round.closed.reveal_deadline
    for proposal in state.live():
        yield from challenge_time(state, proposal)
