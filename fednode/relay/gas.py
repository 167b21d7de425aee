"""The gas of a relay's transactions: a fixed amount for each purpose.

A transaction is simulated with this amount and sent with it, so the code of an account that the
relay does not know can use no more. The amounts are two to four times what was measured
(`contracts/snapshots/Gas.json`), by the sizes in the federation's policy: unused gas costs nothing,
and a chain may price storage higher.
"""

from dataclasses import dataclass
from typing import Self

from ledger.headers import PolicyHeader

MOST_PLACES = 128
"""Places of a committee that the contract looks up at most."""
MOST_SETTLED = 16
"""Results that one `advance` settles at most."""
SPREAD = 1 << 14
"""Gas that the chain layer may add, which gives each transaction a hash of its own."""


@dataclass(frozen=True, slots=True)
class Gas:
    """Amounts for one federation."""

    batch: int
    votes: int
    proposal: int
    join: int

    @classmethod
    def of(cls, policy: PolicyHeader) -> Self:
        """Derive the amounts from a policy's sizes."""
        members, seats = policy.max_participants, policy.committee_size
        drawn = MOST_PLACES if members > seats else 0
        return cls(
            batch=300_000,
            votes=500_000 + 25_000 * min(members, seats) + 6_000 * drawn,
            proposal=400_000 + 8_000 * min(members, MOST_PLACES),
            join=600_000,
        )

    def advance(self, unsettled: int) -> int:
        """Give the amount for an `advance` while this many accepted results are not settled."""
        return 500_000 + 200_000 * min(unsettled, MOST_SETTLED)
