"""Which joins the contract refuses, by the history alone.

The contract decides. But a relay simulates for every applicant, and accounts cost nothing: what the
history already shows is refused without the chain's node, and costs a signature's check.
"""

from fednode.relay.situation import Application
from ledger.members import WEIGHT_LIMIT
from ledger.state import FederationState, Phase
from ledger.types import ZERO_ADDRESS


def refusal(
    state: FederationState, application: Application, *, invited: bool, now: int
) -> str | None:
    """Say why the contract would refuse a join; None if only a simulation can tell."""
    join, policy, members = application.join, state.policy, state.participants
    if state.phase is Phase.ENDED:
        return "the federation has ended"
    if len(members) >= policy.max_participants:
        return f"the federation has its {policy.max_participants} participants"
    if ZERO_ADDRESS in (join.signer, join.payout):
        return "signer and payout address must be given"
    if any(p.controller == application.controller for p in members):
        return f"{application.controller} controls a participant already"
    if any(join.signer == signer for p in members for _, signer in p.signers):
        return f"{join.signer} is or was a signer here"
    if policy.open and application.invitation:
        return "the federation is open and takes no invitation"
    if not policy.open and now > application.expires:
        return "the invitation has expired"
    if not invited:
        return "the creator did not sign this invitation"
    weights = [join.rows, *(p.datasets[-1].rows for p in members if p.left_at is None)]
    if sum(1 if policy.open else min(w, policy.weight_cap) for w in weights) >= WEIGHT_LIMIT:
        return "the sum of all weights would reach 2^31"
    return None
