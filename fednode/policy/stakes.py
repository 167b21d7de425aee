"""What a watcher can lose in a run in which every result is right, but bytes are withheld from it.

It demands what it lacks, is answered, and concedes: a fixed part of its bond burns, and each answer
is paid for, up to another part (contracts/src/libraries/Disputes.sol). It pays one bond for an
attempt at a result, and the gas of its transactions, which is not counted here.
"""

from dataclasses import dataclass

from ledger.disputes import ANSWERS, CONCEDED, MOST_STEPS
from ledger.headers import PolicyHeader


@dataclass(frozen=True, slots=True)
class WorstLoss:
    """Wei that one attempt at a result costs a watcher at most, and all attempts at all results of
    a run. Rounds that end without a result come on top.
    """

    attempt: int
    run: int

    def record(self) -> dict[str, object]:
        """Give the figures as JSON."""
        return {"attempt_wei": self.attempt, "run_wei": self.run}


def worst_loss(policy: PolicyHeader) -> WorstLoss:
    """Give the most that a watcher loses which is awake, and concedes what was answered."""
    bond = policy.challenge_bond
    attempt = bond // CONCEDED + MOST_STEPS * (bond // ANSWERS)
    results = policy.rounds + (1 if policy.statistics > 0 else 0)
    return WorstLoss(attempt, results * policy.attempts * attempt)
