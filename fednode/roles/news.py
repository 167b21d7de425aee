"""What a node's log says of the federation itself: where it stands at the start, and each round
that ended without a result.
"""

import logging

from fednode.federation import Federation
from fednode.outlook import Outlook, calling, closing
from ledger.members import Participant
from ledger.plain import dated
from ledger.proceedings import Outcome, Round
from ledger.state import FederationState, Phase
from ledger.types import Address

log = logging.getLogger("fednode")

HELD = 5
"""Looks for which a process waits for the first names."""


def where(state: FederationState) -> str:
    """Return the current round and phase in words."""
    phase = f"phase {state.phase.value}"
    return f"round {state.round.index}, {phase}" if state.rounds else phase


class News:
    """Logs what is new to this process; what happened before its start is not."""

    def __init__(self) -> None:
        self._known: set[int] | None = None
        self._waits: object = None
        self._held = 0

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
                advice = closing(state, federation.chain.now())
                if advice is not None:
                    log.warning("%s", advice)

    def wait(
        self, federation: Federation, own: Address, *, proposes: bool = False, coming: bool = False
    ) -> None:
        """Log what the federation waits for, once for each phase and attempt. `own` is this
        process's account; `proposes`: the process is a proposer, else a participant; `coming`:
        names are on their way, so that the line is worth a few looks of delay.
        """
        if coming and self._held < HELD:
            self._held += 1
            return
        state = federation.state
        outlook, attempt = Outlook.of(state), state.round.attempt if state.rounds else 0
        now = federation.chain.now()
        situation = (outlook.phase, outlook.round, attempt, outlook.joins, outlook.passed(now))
        if situation == self._waits:
            return
        self._waits = situation
        called = calling(federation.names())

        def named(participant: Participant) -> str:
            if participant.signer != own:
                return called(participant)
            return _ours(outlook.phase, proposes=proposes)

        place = "" if outlook.round is None else f"round {outlook.round}: "
        log.info("%s%s", place, outlook.sentence(now, named))


def _ours(phase: Phase, *, proposes: bool) -> str:
    """Name the process of this account that acts in a phase: a proposer neither commits nor votes,
    and a participant does not propose.
    """
    if phase is Phase.PROPOSE:
        return "this node" if proposes else "this account (with `fednode proposer`)"
    return "this account's participant" if proposes else "this node"


def _deadline(federation: Federation) -> str:
    deadline = federation.state.deadline
    if deadline is None:
        return ""
    what = "deadline" if deadline == federation.state.phase_deadline else "next due"
    return f", {what} {dated(deadline, federation.chain.now())}"


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
