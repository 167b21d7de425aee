"""Taking out of a federation what is due to an account: payouts, bonds, stakes, the creator's
refund.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from fednode.federation import Federation
from ledger import payouts
from ledger.chain.accounts import Account
from ledger.chain.errors import ContractRejected
from ledger.chain.federations import PayoutProof
from ledger.chain.types import Receipt
from ledger.state import Participant
from ledger.types import ParticipantId, Wei

log = logging.getLogger("fednode")

Due = tuple[str, int, Callable[[], Receipt]]


@dataclass(frozen=True, slots=True)
class Claimed:
    """One amount that was taken out."""

    kind: str
    amount: int
    receipt: Receipt


def claim_all(federation: Federation, account: Account) -> list[Claimed]:
    """Take everything that is due to an account now; nothing twice.

    What the contract still holds back, such as the stake of rounds that wait for their settlement,
    is left for the next time.
    """
    federation.refresh()
    claimed = []
    for kind, amount, send in _due(federation, account):
        try:
            claimed.append(Claimed(kind, amount, send()))
        except ContractRejected as rejected:
            log.warning("%s of %d wei is held back: %s", kind, amount, rejected)
    return claimed


def payout_proof(federation: Federation, participant: int) -> PayoutProof | None:
    """Prove what a participant may have claimed in all; None where no period has ended for it."""
    state = federation.state
    if not state.period_ends:
        return None
    result = state.period_ends[-1].result
    accepted = next(a for a in state.lineage if a.result == result)
    leaves = federation.replica.reader(accepted).records().payouts
    if participant >= len(leaves):
        return None
    path = payouts.prove(leaves, participant)
    return PayoutProof(
        ParticipantId(participant), Wei(leaves[participant].amount), path.hashes, path.sums
    )


def _due(federation: Federation, account: Account) -> Iterator[Due]:
    contract, state = federation.contract, federation.state
    for participant in _own(federation, account):
        proof = payout_proof(federation, participant.index)
        if proof is not None and proof.amount > participant.paid:
            send = partial(contract.claim, account, federation.id, proof)
            yield "payout", proof.amount - participant.paid, send
        gone = participant.until is not None or state.settled
        waiting = state.policy.stake > 0 and not participant.stake_returned
        if gone and waiting and participant.controller == account.address:
            send = partial(contract.withdraw_stake, account, federation.id, participant.index)
            yield "stake", state.policy.stake, send
    bond = contract.credit(federation.id, account.address)
    if bond:
        yield "bond", bond, partial(contract.withdraw_bond, account, federation.id)
    left = _left(federation, account)
    if left:
        yield "refund", left, partial(contract.refund, account, federation.id)


def _left(federation: Federation, account: Account) -> int:
    """Give what the creator may take back of the pool now."""
    state = federation.state
    assert state.created is not None
    if state.created.creator != account.address or not state.settled or state.refund is not None:
        return 0
    return state.policy.pool - (state.period_ends[-1].total if state.period_ends else 0)


def _own(federation: Federation, account: Account) -> list[Participant]:
    return [
        p
        for p in federation.state.participants
        if account.address in (p.signer, p.controller, p.payout)
    ]
