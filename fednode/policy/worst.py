"""The worst case that a policy's windows must hold: every byte of a result is withheld, and honest
nodes still vote, challenge and answer in time.

A node acts in one step: it waits for bytes (`windows.fetch`, once for all of them), computes, and
sends a transaction, which is given as long as a fetch and 12 s for each confirmation after the
first. Votes, challenges and answers of the last node fall due when three quarters of their window
have passed (`fednode/roles/participant.py`, `watcher.py`), so a quarter must hold one step.

In the challenge window the quarters are: until bytes are due, until half of the window (a watcher
leaves it to a challenge that is open already), the turns, the step.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Final

from fednode.policy.cost import Cost
from fednode.policy.document import Policy
from fednode.policy.errors import PolicyError
from ledger.disputes import MOST_STEPS

SECONDS_PER_BLOCK: Final = 12
QUARTERS: Final = 4
DESCENT: Final = 8  # levels of a tree that one answer shows


@dataclass(frozen=True, slots=True)
class WorstCase:
    """Seconds of chain time, with everything withheld. `least` are the windows that hold it."""

    fetch: int
    step: int
    turns: int
    vote: int
    challenge: int
    answer: int
    demands: int
    dispute: int
    least: dict[str, int]

    def record(self) -> dict[str, object]:
        """Return it for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def turns(policy: Policy) -> int:
    """Return the seconds until each node has had its turn: one for each wave of participants, of
    their other processes, and of strangers.
    """
    return 2 * policy.federation.max_participants.bit_length() + 1


def worst_case(policy: Policy, cost: Cost, *, leaves: int | None = None) -> WorstCase:
    """Compute the worst case of a policy: by when the last honest node has voted and challenged
    after a proposal, and answered after a demand.

    `leaves` must be given for a user's own model.
    """
    windows, people = policy.windows, policy.federation.max_participants
    fetch = windows.fetching
    transaction = fetch + (windows.confirmations - 1) * SECONDS_PER_BLOCK
    step = ceil(fetch + cost.seconds_per_voter + transaction)
    slots = people if policy.federation.relay is None else 2 * people
    payload = policy.leaves() if leaves is None else leaves
    demands = min(MOST_STEPS, _descents(slots) + _descents(2 * payload))
    quarter = max(step, turns(policy))
    least = {
        "propose": 2 * step,
        "attest": QUARTERS * step,
        "challenge": QUARTERS * quarter,
        "answer": QUARTERS * step,
    }
    return WorstCase(
        fetch=fetch,
        step=step,
        turns=turns(policy),
        vote=_last(windows.attest) + step,
        challenge=_last(windows.challenge) + step,
        answer=_last(windows.answer) + step,
        demands=demands,
        dispute=2 * MOST_STEPS * windows.answer,
        least=least,
    )


def require_worst_case(policy: Policy, worst: WorstCase) -> None:
    """Refuse a policy with windows that do not hold its worst case; name all of them, each with
    what decides its length.
    """
    found = [(name, getattr(policy.windows, name), least) for name, least in worst.least.items()]
    short = [part for part in found if part[1] < part[2]]
    if not short:
        return
    (first, window, least), *others = short
    further = "".join(
        f"; windows.{name}: {seconds} s, {_needed(name, needed, worst)}"
        for name, seconds, needed in others
    )
    lower = {_lower(name, worst): None for name, _, _ in short}
    raise PolicyError(
        f"windows.{first}",
        f"{window} s do not hold the worst case, in which all bytes are withheld, "
        f"{_needed(first, least, worst)}{further}; lengthen what is too short, or lower "
        + " and ".join(lower),
    )


def _needed(window: str, least: int, worst: WorstCase) -> str:
    by_step = _decided_by_step(window, worst)
    cause = f"one step of a node takes {worst.step}" if by_step else f"all turns take {worst.turns}"
    return f"and {cause} s: it needs at least {least}"


def _lower(window: str, worst: WorstCase) -> str:
    if _decided_by_step(window, worst):
        return "windows.fetch, windows.confirmations or what a round computes"
    return "federation.max_participants"


def _decided_by_step(window: str, worst: WorstCase) -> bool:
    return window != "challenge" or worst.step >= worst.turns


def _last(window: int) -> int:
    """Give when the turn of the last node has come."""
    return window - window // QUARTERS


def _descents(leaves: int) -> int:
    """Count the demands that lead from a tree's root to one of so many leaves, and show it."""
    return ceil((leaves - 1).bit_length() / DESCENT) + 1
