"""What a node's log says of the federation itself: where it stands at the start, and each round
that ended without a result.
"""

import logging

from fednode.federation import Federation
from ledger.proceedings import Outcome, Round
from ledger.state import FederationState

log = logging.getLogger("fednode")


def where(state: FederationState) -> str:
    """Return the current round and phase in words."""
    phase = f"phase {state.phase.value}"
    return f"round {state.round.index}, {phase}" if state.rounds else phase


class News:
    """Logs what is new to this process; what happened before its start is not."""

    def __init__(self) -> None:
        self._known: set[int] | None = None

    def tell(self, federation: Federation, who: str) -> None:
        """Log where the federation stands, once, and each round that has ended without a result."""
        state = federation.state
        void = [round_ for round_ in state.rounds if round_.outcome is Outcome.VOID]
        if self._known is None:
            log.info("%s: %s%s", who, where(state), _deadline(federation))
            self._known = {round_.index for round_ in void}
        for round_ in void:
            if round_.index not in self._known:
                self._known.add(round_.index)
                log.warning(
                    "round %d ended without a result: %s", round_.index, _cause(state, round_)
                )


def _deadline(federation: Federation) -> str:
    deadline = federation.state.deadline
    if deadline is None:
        return ""
    left = max(0, deadline - federation.chain.now())
    return f", deadline {deadline} in chain time, {left} s from now"


def _cause(state: FederationState, round_: Round) -> str:
    """Return why a round is void, as its events show it."""
    policy = state.policy
    if round_.attempt >= policy.attempts:
        return f"no result was accepted in {round_.attempt} attempts"
    if round_.closed is None and round_.slots < policy.least_updates:
        return f"updates committed {round_.slots}, at least {policy.least_updates} needed"
    if round_.closed is None:
        return "its commits were not closed in time"
    return "the federation was closed"
