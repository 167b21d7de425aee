"""Taking out of a federation what is due to an account: payouts, fees, bonds, stakes, the creator's
refund.

A payee may be a contract that refuses, burns gas, or acts otherwise than when it was simulated. So
each payment has a fixed amount of gas, at which it is simulated as it is sent, and a payee that
fails is named and stops no other.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from fednode.errors import FedNodeError
from ledger import payouts
from ledger.chain.accounts import Account
from ledger.chain.errors import (
    ChainError,
    ContractRejected,
    Reverted,
    TransactionFailed,
    TransactionTooLarge,
)
from ledger.chain.federations import PAYEE_GAS, TOKEN_GAS, Dispute, Federations, PayoutProof
from ledger.chain.types import Receipt
from ledger.disputes import Waiting
from ledger.errors import MalformedRecord
from ledger.members import Participant
from ledger.replica import Replica
from ledger.sealing import NotForUs
from ledger.state import FederationState
from ledger.stores import StoreError
from ledger.types import ZERO_ADDRESS, Address, Digest, FederationId, Wei

log = logging.getLogger("fednode")

AT_ONCE = 16
"""Payouts of one transaction: 0.5M gas, and 1.6M more if all payees burn what they may."""
CALL_GAS = 120_000
"""What a payment needs itself: 78,000 are measured, with a proof that opens 32,768 leaves."""
PAYOUT_GAS = 75_000
"""What each payout of several needs: 38,000 are measured, and 25,000 for a new account."""
FAILURES = 8
"""Failed payments to the code of strangers that an account pays gas for, by default."""
Send = Callable[[], Receipt]
Pay = Callable[[Federations], Receipt]
"""Sends by a contract whose transactions have a fixed amount of gas."""
LATER = frozenset({"StakeLocked", "RefundLocked", "NothingToWithdraw", "NothingToClaim"})
"""Refusals of the contract itself: what is not free yet, or was paid out since."""


class Holding(Protocol):
    """A federation whose money is taken out: `Federation`, or `Holdings` from the chain alone."""

    @property
    def contract(self) -> Federations:
        """The contract that holds the money."""

    @property
    def id(self) -> FederationId:
        """The federation."""

    @property
    def state(self) -> FederationState:
        """The federation as of the last `refresh`."""

    @property
    def replica(self) -> Replica:
        """What reads its results."""

    def whole(self) -> FederationState:
        """Take in what has happened since the last call, and wait for logs that trail the head."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """One amount that was taken out, and who was paid it."""

    kind: str
    amount: int
    receipt: Receipt
    payee: Address


@dataclass(frozen=True, slots=True)
class Failed:
    """A payment that did not reach its payee; it stays due."""

    what: str
    payee: Address
    reason: str

    def __str__(self) -> str:
        return f"{self.what} to {self.payee} failed: {self.reason}"

    def record(self) -> dict[str, object]:
        """Return it for JSON."""
        return {"what": self.what, "payee": self.payee, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Due:
    """One transaction's payment: the amounts by kind, and how to send it."""

    amounts: dict[str, int]
    payee: Address
    pay: Pay

    @property
    def what(self) -> str:
        """Name the amounts."""
        return " and ".join(f"{kind} of {amount}" for kind, amount in self.amounts.items())


class PayoutsUnreadable(FedNodeError):
    """The list of payouts cannot be read, so that none can be proved; all else was taken out."""

    def __init__(self, result: Digest, error: Exception, claimed: Sequence[Claimed]) -> None:
        self.result = result
        self.claimed = tuple(claimed)
        super().__init__(
            f"payouts were not claimed, as the list in result {result.hex()[:16]} cannot be read "
            f"({error}): give --ipfs or --store with a store that has it, and --key if it is sealed"
        )


def claim_all(federation: Holding, account: Account, *, everybody: bool = False) -> list[Claimed]:
    """Take everything that is due to an account now, as `Claims` does. Raise PayoutsUnreadable,
    with what was taken, where the list of payouts cannot be read.
    """
    taken = Claims(federation, account, everybody=everybody).take()
    if taken.unread is not None:
        raise taken.unread
    return taken.claimed


@dataclass(slots=True)
class Claims:
    """What is due to an account, taken once. `everybody`: send the others theirs, too, which any
    account may.

    What the contract still holds back, such as the stake of rounds that wait for their settlement,
    is left for the next time. `gas` is what one payee's code may use.
    """

    federation: Holding
    account: Account
    everybody: bool = False
    gas: int = PAYEE_GAS
    claimed: list[Claimed] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    unread: PayoutsUnreadable | None = None
    wasted: int = 0

    def take(self) -> "Claims":
        """Send all transactions. Raises ChainError only for what no payee can cause."""
        federation, account, everybody = self.federation, self.account, self.everybody
        state = federation.whole()
        members = list(state.participants) if everybody else _own(federation, account)
        for what, send in _credits(federation, account, members, everybody=everybody):
            self._credit(what, send)
        unread: Exception | None = None
        try:
            self._pay(members)
        except (StoreError, MalformedRecord, NotForUs) as error:
            unread = error
        owners = federation.whole().credits.owed() if everybody else [account.address]
        for due in self._harmless_first(_due(federation, account, members, owners)):
            self._send(due)
        if unread is not None:
            result = state.period_ends[-1].result
            self.unread = PayoutsUnreadable(result, unread, self.claimed)
        return self

    def _credit(self, what: str, send: Send) -> None:
        """Send what runs no payee's code."""
        try:
            send()
        except (ContractRejected, TransactionFailed) as refused:
            log.warning("%s is held back: %s", what, refused)

    def _pay(self, members: Sequence[Participant]) -> None:
        """Send payouts, many at once: the contract passes over a payee that fails. Such a payee is
        tried alone if more gas is allowed than the contract gives each of several.
        """
        tree = PayoutTree.read(self.federation)
        waiting = [p for p in members if tree.due(p)]
        while waiting:
            count = self._fitting(waiting)
            some, waiting = waiting[:count], waiting[count:]
            paid = self._pay_some(tree, some)
            left = [p for p in some if p.index not in (paid or ())] if count > 1 else []
            for payee in left:
                if paid is None or self.gas > self._share:
                    self._pay_some(tree, [payee])
                else:
                    self._fail(f"payout of {tree.due(payee)}", payee.payout, "the payee refuses")

    def _pay_some(self, tree: "PayoutTree", some: Sequence[Participant]) -> set[int] | None:
        """Pay participants in one transaction; return the indices of those that were paid, None if
        nothing was sent or all of it failed.
        """
        federation, contract = self.federation, self.federation.contract
        proofs = [tree.proof(p) for p in some]
        limited = contract.limited(self._batch_gas(len(some)))
        claim = partial(limited.claim, self.account, federation.id, proofs, leaves=len(tree.leaves))
        try:
            receipt = claim()
        except (Reverted, ContractRejected, TransactionFailed, TransactionTooLarge) as error:
            if len(some) == 1:
                self._stopped(f"payout of {tree.due(some[0])}", some[0].payout, error)
            return None
        paid = contract.payouts(receipt)
        payees = {p.index: p.payout for p in some}
        self.claimed += [
            Claimed("payout", amount, receipt, payees[index]) for index, amount in paid.items()
        ]
        return set(paid)

    def _fitting(self, waiting: Sequence[Participant]) -> int:
        """Say how many payouts of one transaction the account can pay the gas of."""
        count = min(AT_ONCE, len(waiting))
        chain, sender = self.federation.contract.chain, self.account.address
        while count > 1 and not chain.affords(sender, self._batch_gas(count)):
            count //= 2
        return count

    @property
    def _share(self) -> int:
        """Gas that the contract gives each of several payees."""
        return PAYEE_GAS if self._token == ZERO_ADDRESS else TOKEN_GAS

    @property
    def _token(self) -> Address:
        return self.federation.state.policy.token

    def _batch_gas(self, count: int) -> int:
        if count == 1:
            return self._single_gas
        return CALL_GAS + count * (PAYOUT_GAS + self._share)

    @property
    def _single_gas(self) -> int:
        return CALL_GAS + max(self.gas, self._share)

    def _send(self, due: Due) -> None:
        """Send one payment, or name its payee."""
        strange = self._strange(due)
        if strange and self.wasted >= FAILURES:
            self._fail(due.what, due.payee, f"left out after {FAILURES} payments failed for gas")
            return
        try:
            receipt = due.pay(self.federation.contract.limited(self._single_gas))
        except (Reverted, ContractRejected, TransactionFailed, TransactionTooLarge) as error:
            self.wasted += strange and isinstance(error, TransactionFailed)
            self._stopped(due.what, due.payee, error)
            return
        self.claimed += [
            Claimed(kind, amount, receipt, due.payee) for kind, amount in due.amounts.items()
        ]

    def _strange(self, due: Due) -> bool:
        """Whether a payment runs the code of a stranger."""
        chain = self.federation.contract.chain
        return due.payee != self.account.address and bool(chain.code(due.payee))

    def _harmless_first(self, payments: Iterator[Due]) -> list[Due]:
        """Order payments so that those which run no code are not held up by those which do."""
        return sorted(payments, key=self._strange)

    def _stopped(self, what: str, payee: Address, error: ChainError) -> None:
        """Say why a payment was not made: it is not free yet, or its payee failed."""
        if isinstance(error, ContractRejected) and error.name in LATER:
            log.warning("%s is held back: %s", what, error)
        else:
            self._fail(what, payee, str(error))

    def _fail(self, what: str, payee: Address, reason: str) -> None:
        self.failed.append(Failed(what, payee, reason))
        log.warning("%s", self.failed[-1])


def _credits(
    federation: Holding, account: Account, members: Sequence[Participant], *, everybody: bool
) -> Iterator[tuple[str, Send]]:
    """Have credited to the account what the contract credits only when it is asked: fees of votes,
    bonds of results and challenges whose round became void.
    """
    contract, state, id_ = federation.contract, federation.state, federation.id
    for participant in members:
        if participant.fees:
            votes = _votes(federation, participant)
            index = participant.index
            yield "fees", partial(contract.collect_fees, account, id_, index, votes)
    for proposal in (p for round_ in state.rounds for p in round_.proposals):
        ours = everybody or proposal.proposer == account.address
        result, attempt = proposal.result, proposal.attempt
        over = contract.chain.now() >= state.answerable_until(proposal)
        free = over or not state.answerable(proposal)
        if proposal.fallen and proposal.bonded and ours and free:
            yield "a bond", partial(contract.release_bond, account, id_, result, attempt=attempt)
        for challenge in proposal.challenges.all if proposal.fallen else ():
            if challenge.waiting is Waiting.NOBODY:
                continue
            lost = challenge.waiting is Waiting.PROOF and not proposal.proven
            owner = proposal.proposer if lost else challenge.challenger
            if (everybody or owner == account.address) and (over or not lost):
                which = Dispute(id_, result, challenge.number)
                yield "a bond", partial(contract.reclaim_challenge, account, which, attempt=attempt)


@dataclass(frozen=True, slots=True)
class PayoutTree:
    """The payouts of the newest reward period that has ended."""

    leaves: tuple[payouts.PayoutLeaf, ...]

    @classmethod
    def read(cls, federation: Holding) -> "PayoutTree":
        """Read it from the result that ended the period; it has no leaves before the first end."""
        state = federation.state
        if not state.period_ends:
            return cls(())
        result = state.period_ends[-1].result
        accepted = next(a for a in state.lineage if a.result == result)
        return cls(federation.replica.reader(accepted).paid())

    def due(self, participant: Participant) -> int:
        """Give what a participant may claim now."""
        if participant.index >= len(self.leaves):
            return 0
        return max(0, self.leaves[participant.index].amount - participant.paid)

    def proof(self, participant: Participant) -> PayoutProof:
        """Prove what a participant may have claimed in all."""
        path = payouts.prove(self.leaves, participant.index)
        amount = Wei(self.leaves[participant.index].amount)
        return PayoutProof(participant.index, amount, path.hashes, path.sums)


def _due(
    federation: Holding,
    account: Account,
    members: Sequence[Participant],
    owners: Sequence[Address],
) -> Iterator[Due]:
    contract, state, id_ = federation.contract, federation.state, federation.id
    for participant in members:
        gone = participant.until is not None or state.settled
        if gone and participant.stake:
            stake = partial(Federations.withdraw_stake, account=account, federation=id_)
            send = partial(stake, participant=participant.index)
            yield Due({"stake": participant.stake}, participant.controller, send)
    for owner in owners:
        credit = contract.credit(federation.id, owner)
        waiting = {"bond": credit.ethers, "fees": credit.fees}
        if any(waiting.values()):
            amounts = {kind: amount for kind, amount in waiting.items() if amount}
            send = partial(Federations.withdraw, account=account, federation=id_, owner=owner)
            yield Due(amounts, owner, send)
    assert state.created is not None
    ours = state.created.creator == account.address and state.refund is None
    if ours and state.settled and state.left:
        refund = partial(Federations.refund, account=account, federation=id_)
        yield Due({"refund": state.left}, account.address, refund)


def _votes(federation: Holding, participant: Participant) -> list[Digest]:
    """List the settled results that a participant voted on."""
    lineage = federation.state.lineage
    return [a.result for a in lineage if a.settled and participant.index in a.proposal.votes]


def _own(federation: Holding, account: Account) -> list[Participant]:
    return [
        p
        for p in federation.state.participants
        if account.address in (p.signer, p.controller, p.payout)
    ]
