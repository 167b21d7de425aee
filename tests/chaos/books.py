"""Where every wei went: the chain's own accounts against what the federation's events say.

Read from the chain as it ends up, whatever was reorganised on the way. Three things must come out
to the wei: the contract holds what it owes; nobody's account differs from what it sent, received
and paid for gas; and nothing was made or lost.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ledger.chain.federations import Federations
from ledger.history import (
    Event,
    HistoryReader,
    PayoutClaimed,
    Refunded,
    StakeWithdrawn,
    Withdrawn,
)
from ledger.state import FederationState
from ledger.types import Address, FederationId
from tests.engines import Engine

BURNED = Address("0x000000000000000000000000000000000000dEaD")


def owed(state: FederationState, events: Sequence[Event], accounts: Sequence[Address]) -> int:
    """Add up what the contract owes: what is left of the pool, stakes, bonds, credits."""
    policy = state.policy
    paid = sum(event.amount for event in events if isinstance(event, PayoutClaimed | Refunded))
    fees = sum(event.fees for event in events if isinstance(event, Withdrawn))
    proposals = [proposal for round_ in state.rounds for proposal in round_.proposals]
    bonds = sum(p.bonded for p in proposals)
    challenges = sum(not c.resolved for p in proposals for c in p.challenges.all)
    return (
        policy.pool
        - paid
        - fees
        + sum(participant.stake for participant in state.participants)
        + bonds * policy.proposer_bond
        + challenges * policy.challenge_bond
        + sum(state.credits.of(account).ethers for account in accounts)
    )


def received(state: FederationState, events: Sequence[Event]) -> Counter[Address]:
    """Add up what the contract paid to whom."""
    got: Counter[Address] = Counter()
    for event in events:
        match event:
            case PayoutClaimed():
                got[event.payout] += event.amount
            case Refunded():
                got[event.creator] += event.amount
            case StakeWithdrawn():
                got[state.participants[event.participant].controller] += event.amount
            case Withdrawn():
                got[event.account] += event.ethers + event.fees
    return got


@dataclass(frozen=True, slots=True)
class Traffic:
    """What accounts sent to the contract and to each other, and what they paid for gas."""

    sent: Counter[Address]
    given: Counter[Address]
    gas: Counter[Address]


class Books:
    """The books of a chain on which one federation plays, opened before anything happened."""

    def __init__(self, engine: Engine) -> None:
        self._chain = engine.chain
        self.accounts = [account.address for account in engine.accounts]
        self._opening = {account: self._chain.balance(account) for account in self.accounts}

    def traffic(self, contract: Address) -> Traffic:
        """Read every transaction of the chain."""
        sent, given, gas = Counter[Address](), Counter[Address](), Counter[Address]()
        for number in range(1, self._chain.block_number() + 1):
            block = self._chain.block(number)
            assert block is not None
            for receipt in self._chain.receipts(block.hash) if block.transactions else ():
                found = self._chain.transaction(receipt.transaction)
                assert found is not None
                gas[receipt.sender] += receipt.gas_used * receipt.effective_gas_price
                if receipt.status == 1 and found.value:
                    assert found.to is not None
                    sent[receipt.sender] += found.value
                    given[found.to] += found.value
        return Traffic(sent, given, gas)

    def check(self, contract: Federations, state: FederationState) -> int:
        """Balance the books; give what the contract still holds."""
        events = HistoryReader(self._chain, contract.address, state.federation).poll()
        traffic, got = self.traffic(contract.address), received(state, events)
        for account in self.accounts:
            sent = traffic.sent[account] + traffic.gas[account]
            expected = self._opening[account] - sent + traffic.given[account] + got[account]
            assert self._chain.balance(account) == expected, account
        held, burned = self._chain.balance(contract.address), self._chain.balance(BURNED)
        assert held == owed(state, events, self.accounts)
        assert traffic.given[contract.address] == held + burned + got.total()
        now = sum(self._chain.balance(account) for account in self.accounts)
        assert sum(self._opening.values()) == now + held + burned + traffic.gas.total()
        return held


def accumulated(contract: Federations, federation: FederationId) -> bool:
    """Whether the history that can be read is the one that the contract keeps."""
    reader = HistoryReader(contract.chain, contract.address, federation)
    reader.poll()
    return reader.h == contract.accumulator(federation)
