"""Whose money a federation holds for the taking: what its events come to, account by account."""

from dataclasses import dataclass, field

from ledger import history as ev
from ledger.strict import require, require_equal
from ledger.types import Address


@dataclass(frozen=True, slots=True)
class Credit:
    """What an account may withdraw: ether (bonds, shares of what was slashed) and the pool's
    currency (fees).
    """

    ethers: int = 0
    fees: int = 0


@dataclass(slots=True)
class Credits:
    """All accounts' credits."""

    _credits: dict[Address, Credit] = field(default_factory=dict)

    def of(self, account: Address) -> Credit:
        """Give what an account may withdraw."""
        return self._credits.get(account, Credit())

    def owed(self) -> list[Address]:
        """List the accounts that may withdraw anything."""
        return [account for account, owed in self._credits.items() if owed != Credit()]

    def add(self, account: Address, *, ethers: int = 0, fees: int = 0) -> None:
        """Owe an account more."""
        owed = self.of(account)
        self._credits[account] = Credit(owed.ethers + ethers, owed.fees + fees)

    def withdrawn(self, event: ev.Withdrawn) -> None:
        """Take in that an account was paid; fees in a token that failed stay owed."""
        owed = self.of(event.account)
        require(event, event.ethers + event.fees > 0, f"a payment to {event.account}", "none")
        require_equal(event, "an amount in wei of", owed.ethers, event.ethers)
        all_or_nothing = event.fees in (0, owed.fees)
        require(event, all_or_nothing, f"fees of {owed.fees}, or none", str(event.fees))
        self._credits[event.account] = Credit(fees=owed.fees - event.fees)
