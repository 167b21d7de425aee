"""A federation of many who hold no ether: one relay sends everything that they sign.

So a round of any size is a handful of transactions. The relay is the creator's account.
"""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

from ledger.chain.accounts import Account, new_account
from ledger.chain.federations import Ballot, Federations, Membership
from ledger.chain.types import Receipt
from ledger.committee import seat
from ledger.headers import Evaluation, PolicyHeader, ResultHeader, Valuation
from ledger.history import TOPIC_OF, SeedDrawn
from ledger.signatures import Domain, Join, Proposal, Vote
from ledger.types import (
    ZERO_DIGEST,
    Address,
    Digest,
    FederationId,
    ParticipantId,
    RoundIndex,
    Wei,
)
from scripts.bench.engines import Engine
from scripts.bench.gas import POOL, WINDOW, policy

SEATS = 16
FEE = POOL // 10_000
ZERO_BYTE_SAVES = 12
"""Gas by which a zero byte of a transaction's data costs less than any other (EIP-2028)."""

Identities = Callable[[Account], Digest]
"""Gives the digest of an account's identity record."""


def made_up(account: Account) -> Digest:
    """Give an identity behind which there is nothing: the contract does not look."""
    return Digest(sha256(account.address.encode()).digest())


def relayed_policy(
    engine: Engine, ledger: Address, members: int, **changes: object
) -> PolicyHeader:
    """Give the header of an open federation of so many, with a relay, fees for all, no values."""
    header = policy(engine.chain.chain_id, ledger, open_=True)
    settled: dict[str, object] = {
        "start_participants": members,
        "max_participants": members,
        "committee_size": SEATS,
        "batch_window": 5 * WINDOW,
        "relay": engine.creator.address,
        "stake": Wei(0),
        "proposer_fee": FEE,
        "attester_fee": FEE // SEATS,
        "relay_fee": FEE,
        "valuation": Valuation.NONE,
        "evaluation": Evaluation.PUBLIC,
        "reward_period": 0,
        **changes,
    }
    return replace(header, **settled)  # type: ignore[arg-type]


class Relayed:
    """One federation and its members' keys; `joined` is the gas of the dearest `join`."""

    def __init__(
        self,
        engine: Engine,
        contract: Federations,
        federation: FederationId,
        header: PolicyHeader,
        *,
        identity: Identities = made_up,
    ) -> None:
        self.engine = engine
        self.contract = contract
        self.id = federation
        self.header = header
        self.domain = Domain(engine.chain.chain_id, contract.address)
        self.members = [new_account() for _ in range(header.start_participants)]
        self._relay = engine.creator
        self._seed = ZERO_DIGEST
        self.joined = max(self._join(member, identity(member)) for member in self.members)

    def _join(self, member: Account, identity: Digest) -> int:
        consent = Join(
            federation=self.id,
            signer=member.address,
            payout=member.address,
            identity=identity,
            key=ZERO_DIGEST,
            dataset_root=identity,
            rows=100,
        )
        membership = Membership(
            signer=member.address,
            payout=member.address,
            identity=identity,
            dataset_root=identity,
            rows=100,
            controller=member.address,
            consent=self.domain.sign(member, consent).full,
        )
        stake = Wei(self.header.stake)
        return self.contract.join(self._relay, self.id, membership, stake=stake)[1].gas_used

    def batch(self, number: int, *, root: Digest, index: Digest) -> Receipt:
        """Post the commits of all."""
        leaves = len(self.members)
        receipt = self.contract.post_batch(
            self._relay, self.id, RoundIndex(number), root=root, leaves=leaves, index=index
        )
        for log in receipt.logs:
            if log.topics[0] == TOPIC_OF[SeedDrawn]:
                self._seed = Digest(log.data[32:64])
        return receipt

    def close(self) -> Receipt:
        """Wait for the end of the commit phase, and close it."""
        self.engine.jump(self.contract.view(self.id).deadline)
        return self.contract.advance(self._relay, self.id)

    def propose(self, header: ResultHeader, index: Digest, *, attempt: int = 0) -> Receipt:
        """Bring a result to the chain, signed by whose turn it is."""
        round_ = header.common.round
        turn = self.members[(round_ + attempt) % len(self.members)]
        proposal = Proposal(self.id, round_, attempt, header.digest(), index)
        signature = self.domain.sign(turn, proposal).full
        return self.contract.propose_result(
            self._relay, header, index, bond=Wei(self.header.proposer_bond), signature=signature
        )

    def committee(self) -> tuple[ParticipantId, ...]:
        """Give who has a seat in the round."""
        size = self.header.committee_size
        return seat(self._seed, len(self.members), size, lambda _: True).places

    def vote(self, header: ResultHeader, *, attempt: int = 0) -> Receipt:
        """Bring everybody's vote for a result, in one transaction. Its gas is given as if no byte
        of a signature were zero: that is the dearest case, and no keys make it another.
        """
        number, result = RoundIndex(header.common.round), header.digest()
        vote = Vote(self.id, number, attempt, result, True)
        voters = (self.members[place] for place in self.committee())
        signed = [(True, self.domain.sign(voter, vote)) for voter in voters]
        ballot = Ballot(number, attempt, result, support=True)
        receipt = self.contract.post_votes(self._relay, self.id, ballot, signed)
        zeros = sum(signature.compact.count(0) for _, signature in signed)
        return replace(receipt, gas_used=receipt.gas_used + zeros * ZERO_BYTE_SAVES)
