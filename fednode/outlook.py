"""What a federation waits for, as its state alone tells it: until when, whose turn it is, and which
participants have not acted yet.

`fednode status` prints it, and a node's log says it once for each state.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ledger.audit.wording import short
from ledger.lines import clean
from ledger.members import Participant
from ledger.plain import dated
from ledger.state import FederationState, Phase
from ledger.types import ZERO_ADDRESS

LISTED = 5
"""Participants that a sentence names."""
NAME = 60
"""Characters of a name that are shown."""

Called = Callable[[Participant], str]
"""Gives what a participant is called."""

ACTS = {Phase.COMMIT: "commit", Phase.PROPOSE: "propose", Phase.ATTEST: "vote"}


@dataclass(frozen=True, slots=True)
class Outlook:
    """A phase's own deadline, and who has not acted in it.

    `missing` is None where the chain does not tell: a relay's batch holds commits whose owners only
    its records name. `anybody`: any account may propose, as a turn has passed without a proposal.
    `joins` are the participants that a federation lacks to begin.
    """

    phase: Phase
    round: int | None
    deadline: int | None
    turn: Participant | None = None
    anybody: bool = False
    missing: tuple[Participant, ...] | None = ()
    joins: int = 0

    @classmethod
    def of(cls, state: FederationState) -> "Outlook":
        """Read it from a federation's state."""
        phase, deadline = state.phase, state.phase_deadline
        if phase is Phase.FORMING:
            here = sum(p.left_at is None for p in state.participants)
            return cls(phase, None, None, joins=max(0, state.policy.start_participants - here))
        if phase not in ACTS:
            return cls(phase, state.round.index if state.rounds else None, None)
        number = state.round.index
        if phase is Phase.PROPOSE:
            turn = state.in_turn(state.round)
            missing = () if turn is None else (turn,)
            return cls(phase, number, deadline, turn, turn is None, missing)
        return cls(phase, number, deadline, missing=_missing(state))

    def passed(self, now: int) -> bool:
        """Whether the phase's time is over, and no node has moved the federation on yet."""
        return self.deadline is not None and now >= self.deadline

    def sentence(self, now: int, called: Called) -> str:
        """Say what is waited for."""
        if self.phase is Phase.FORMING:
            return f"waiting for {self.joins} more to join"
        if self.deadline is None:
            return "waiting for the last results to settle"
        until = dated(self.deadline, now)
        if self.passed(now):
            return f"waiting for a node to end the phase, whose time was over at {until}"
        return f"waiting for {self._whom(called)} to {ACTS[self.phase]} until {until}" + (
            ", then any account may propose" if self.turn is not None else ""
        )

    def _whom(self, called: Called) -> str:
        if self.anybody:
            return "any account"
        if self.missing is None:
            return "participants, directly or through the relay,"
        return listed([called(participant) for participant in self.missing]) or "the next block"


def _missing(state: FederationState) -> tuple[Participant, ...] | None:
    """List who has not committed, or not voted."""
    round_ = state.round
    if state.phase is Phase.COMMIT:
        if state.policy.relay != ZERO_ADDRESS:
            return None
        seated = (p for p in state.participants if p.active(round_.index))
        return tuple(p for p in seated if not round_.committed(p.index))
    committee, votes = round_.proposal.committee, round_.proposal.votes
    return tuple(state.participants[i] for i in sorted(committee.seated) if i not in votes)


def listed(names: Sequence[str]) -> str:
    """Join names for a sentence; of many only the first are named."""
    if len(names) > LISTED + 1:
        return f"{', '.join(names[:LISTED])} and {len(names) - LISTED} others"
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def calling(names: Mapping[int, str]) -> Called:
    """Call participants by the names that they have signed, with their accounts; by their numbers
    where no name is known.
    """

    def called(participant: Participant) -> str:
        name = names.get(participant.index)
        known = f"participant {participant.index}" if name is None else clean(name, NAME)
        return f"{known} ({short(participant.signer)})"

    return called


def closing(state: FederationState, now: int) -> str | None:
    """Say how a federation ends whose rounds bring no results any more; None while they do."""
    void = state.void_in_a_row
    if void < 2 or state.phase is Phase.ENDED:
        return None
    since = "the last result" if state.lineage else "the beginning"
    return (
        f"{void} rounds have ended without a result since {since}; if no update can count any "
        "more, such as when training diverges, `fednode close` ends the federation and pays out "
        f"from {dated(state.closable_from, now)} on"
    )
