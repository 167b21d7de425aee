"""Taking out of a federation what is due to an account: payouts, fees, bonds, stakes, the creator's
refund.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from fednode.errors import FedNodeError
from ledger import payouts
from ledger.chain.accounts import Account
from ledger.chain.errors import ContractRejected
from ledger.chain.federations import Dispute, Federations, PayoutProof
from ledger.chain.types import Receipt
from ledger.errors import MalformedRecord
from ledger.members import Participant
from ledger.proceedings import Fate
from ledger.replica import Replica
from ledger.sealing import NotForUs
from ledger.state import FederationState
from ledger.stores import StoreError
from ledger.types import Address, Digest, FederationId, Wei

log = logging.getLogger("fednode")

AT_ONCE = 32
"""Payouts of one transaction: 0.9M gas."""
Send = Callable[[], Receipt]
Due = tuple[dict[str, int], Send]
"""What a transaction pays, by kind, and how to send it."""


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
    """One amount that was taken out."""

    kind: str
    amount: int
    receipt: Receipt


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
    """Take everything that is due to an account now; nothing twice. `everybody`: send the others
    theirs, too, which anybody may.

    What the contract still holds back, such as the stake of rounds that wait for their settlement,
    is left for the next time. Raise PayoutsUnreadable, with what was taken, where the list of
    payouts cannot be read.
    """
    state = federation.whole()
    members = list(state.participants) if everybody else _own(federation, account)
    for what, send in _credits(federation, account, members, everybody=everybody):
        _try(what, send)
    unread: StoreError | MalformedRecord | NotForUs | None = None
    claimed: list[Claimed] = []
    try:
        claimed += _pay(federation, account, members)
    except (StoreError, MalformedRecord, NotForUs) as error:
        unread = error
    owners = federation.whole().credits.owed() if everybody else [account.address]
    for amounts, send in _due(federation, account, members, owners):
        receipt = _try(" and ".join(f"{kind} of {amounts[kind]}" for kind in amounts), send)
        if receipt is not None:
            claimed += [Claimed(kind, amount, receipt) for kind, amount in amounts.items()]
    if unread is not None:
        raise PayoutsUnreadable(state.period_ends[-1].result, unread, claimed)
    return claimed


def _try(what: str, send: Send) -> Receipt | None:
    try:
        return send()
    except ContractRejected as rejected:
        log.warning("%s is held back: %s", what, rejected)
        return None


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
        if proposal.fate is Fate.DROPPED and ours:
            yield "a bond", partial(contract.release_bond, account, id_, proposal.result)
        for challenge in proposal.challenges.all if proposal.fallen else ():
            ours = everybody or challenge.challenger == account.address
            if ours and not challenge.resolved:
                which = Dispute(id_, proposal.result, challenge.number)
                attempt = proposal.attempt
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


def _pay(federation: Holding, account: Account, members: Sequence[Participant]) -> list[Claimed]:
    """Send what members may claim, many at once. A payee that refuses takes back the others of its
    transaction: then each is paid by itself.
    """
    tree = PayoutTree.read(federation)
    claimants = [p for p in members if tree.due(p)]

    def send(some: Sequence[Participant]) -> list[Claimed]:
        amount, proofs = sum(map(tree.due, some)), [tree.proof(p) for p in some]
        claim = partial(federation.contract.claim, account, federation.id, leaves=len(tree.leaves))
        receipt = _try(f"payout of {amount}", lambda: claim(proofs))
        return [] if receipt is None else [Claimed("payout", amount, receipt)]

    claimed = []
    for start in range(0, len(claimants), AT_ONCE):
        some = claimants[start : start + AT_ONCE]
        alone = [] if len(some) == 1 else [[p] for p in some]
        claimed += send(some) or [c for each in alone for c in send(each)]
    return claimed


def _due(
    federation: Holding,
    account: Account,
    members: Sequence[Participant],
    owners: Sequence[Address],
) -> Iterator[Due]:
    contract, state = federation.contract, federation.state
    for participant in members:
        gone = participant.until is not None or state.settled
        if gone and participant.stake:
            stake = partial(contract.withdraw_stake, account, federation.id, participant.index)
            yield {"stake": participant.stake}, stake
    for owner in owners:
        credit = contract.credit(federation.id, owner)
        waiting = {"bond": credit.ethers, "fees": credit.fees}
        if any(waiting.values()):
            amounts = {kind: amount for kind, amount in waiting.items() if amount}
            yield amounts, partial(contract.withdraw, account, federation.id, owner)
    assert state.created is not None
    ours = state.created.creator == account.address and state.refund is None
    if ours and state.settled and state.left:
        yield {"refund": state.left}, partial(contract.refund, account, federation.id)


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
