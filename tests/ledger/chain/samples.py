"""Federations for the chain tests: the smallest policies and histories that are taken."""

from dataclasses import dataclass

from ledger.chain.accounts import Account
from ledger.chain.federations import Federations, Membership, deploy
from ledger.headers import POLICY_TAG, Common, PolicyHeader
from ledger.types import (
    ZERO_ADDRESS,
    ZERO_DIGEST,
    Address,
    Digest,
    FederationId,
    ParticipantId,
    RoundIndex,
    Wei,
)
from tests.engines import Engine

WINDOW = 3600
CHALLENGE = WINDOW + 1


def digest(number: int) -> Digest:
    return Digest(number.to_bytes(32, "big"))


def policy(chain_id: int, ledger: Address, *, members: int = 2, pool: int = 0) -> PolicyHeader:
    """Give the header of a small open federation, or of one by invitation if it has a pool."""
    return PolicyHeader(
        common=Common(
            tag=POLICY_TAG,
            chain_id=chain_id,
            ledger=ledger,
            federation=FederationId(bytes(32)),
            round=0,
            parent=ZERO_DIGEST,
        ),
        ancestor=FederationId(bytes(32)),
        initial_model_root=digest(1),
        rest=digest(2),
        rule=0,
        rule_parameters=ZERO_DIGEST,
        leaves=1,
        coordinates=200,
        bound=1 << 20,
        weight_cap=1000,
        start_participants=members,
        max_participants=members,
        least_updates=1,
        open=pool == 0,
        statistics=0,
        committee_size=16,
        quorum_bps=5001,
        attempts=2,
        commit_window=WINDOW,
        reveal_window=WINDOW,
        propose_window=WINDOW,
        attest_window=WINDOW,
        challenge_window=CHALLENGE,
        idle_window=4 * WINDOW,
        batch_window=0,
        unbonding_window=0,
        answer_window=WINDOW,
        relay=ZERO_ADDRESS,
        stake=5,
        proposer_bond=7,
        challenge_bond=0,
        proposer_fee=0,
        attester_fee=0,
        relay_fee=0,
        unavailable_fee=0,
        rejection_fee=0,
        rounds=2,
        reward_period=0,
        token=ZERO_ADDRESS,
        pool=pool,
        target=1,
        value_exponent=1,
        scale_exponent=0,
        valuation=0,
        valuation_every=1,
        visibility=0,
        evaluation=0,
        staleness=0,
    )


@dataclass(frozen=True, slots=True)
class Sample:
    """A federation in round 0, with its contract and its first two members."""

    contract: Federations
    federation: FederationId
    members: tuple[Account, Account]


_SALTS = iter(range(1, 1 << 30))


def start(engine: Engine) -> Sample:
    """Create an open federation and let two participants join."""
    creator, first, second = engine.accounts[:3]
    contract = Federations(engine.chain, deploy(engine.chain, creator))
    header = policy(engine.chain.chain_id, contract.address)
    federation, _ = contract.create(creator, header, salt=digest(next(_SALTS)))
    for number, account in enumerate((first, second)):
        membership = Membership(
            signer=account.address,
            payout=account.address,
            identity=digest(10 + number),
            dataset_root=digest(20 + number),
            rows=100,
        )
        index, _ = contract.join(account, federation, membership, stake=Wei(5))
        assert index == ParticipantId(number)
    return Sample(contract, federation, (first, second))


def commit(sample: Sample, member: int, round_index: int = 0) -> None:
    """Let a member commit to some update."""
    sample.contract.commit_update(
        sample.members[member],
        sample.federation,
        RoundIndex(round_index),
        digest(1000 + member),
    )
