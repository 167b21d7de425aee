"""The chain as a relay and its participants see it: phases from the history, transactions to the
contract.
"""

from collections.abc import Sequence

from fednode.relay.situation import (
    Application,
    Collecting,
    Phase,
    Proposing,
    SignedResult,
    SignedVote,
    Situation,
    Voting,
)
from ledger.batch import Posted
from ledger.chain.accounts import Account
from ledger.chain.federations import Ballot, Federations, Membership
from ledger.chain.types import Receipt
from ledger.replica import Replica
from ledger.signatures import Domain
from ledger.slots import posted, signers
from ledger.state import FederationState
from ledger.state import Phase as Stage
from ledger.types import RoundIndex, Wei


def collecting(state: FederationState, domain: Domain) -> Collecting:
    """Describe the current round in its commit phase."""
    round_ = state.round
    return Collecting(
        signers=signers(state, round_, domain),
        opened=round_.opened,
        deadline=round_.opened + state.policy.batch_window,
        direct=frozenset(commit.participant for commit in round_.commits),
        posted=posted(round_),
    )


def voting(state: FederationState) -> Voting:
    """Describe the vote on the standing proposal."""
    round_, policy = state.round, state.policy
    proposal = round_.proposal
    signer = {i: state.participants[i].signer_in(round_.index) for i in proposal.committee.seated}
    return Voting(
        round=round_.index,
        attempt=proposal.attempt,
        result=proposal.result,
        committee={address: index for index, address in signer.items()},
        voted={signer[index]: support for index, support in proposal.votes.items()},
        quorum=-(-policy.quorum_bps * proposal.committee.seats // 10_000),
        opened=proposal.meta.timestamp,
        deadline=proposal.attest_deadline,
        vacant=proposal.committee.vacant(proposal.committee.seated),
    )


def phase_of(state: FederationState, domain: Domain) -> Phase | None:
    """Describe what a federation waits for; None where a relay can do nothing about it."""
    if state.phase is Stage.COMMIT:
        return collecting(state, domain)
    if state.phase is Stage.PROPOSE:
        round_ = state.round
        turn = state.in_turn(round_)
        signer = None if turn is None else turn.signer_in(round_.index)
        return Proposing(round_.index, round_.attempt, signer)
    return voting(state) if state.phase is Stage.ATTEST else None


class OnChain:
    """One federation on the contract, with the relay's account."""

    def __init__(self, contract: Federations, replica: Replica, account: Account) -> None:
        self._contract = contract
        self._replica = replica
        self._account = account
        self._federation = replica.origin.federation
        self._domain = Domain(contract.chain.chain_id, contract.address)
        policy = replica.refresh().policy
        self.stake = Wei(policy.stake)
        self.bond = Wei(policy.proposer_bond)

    def situation(self) -> Situation:
        """Look where the federation stands now."""
        state = self._replica.refresh()
        now = self._contract.chain.now()
        return Situation(
            now=now,
            phase=phase_of(state, self._domain),
            due=state.advances is not None and now >= state.advances,
            over=state.settled,
        )

    def post_batch(self, round_index: RoundIndex, posted: Posted) -> Receipt:
        """Post the round's batch."""
        return self._contract.post_batch(
            self._account,
            self._federation,
            round_index,
            root=posted.root,
            leaves=posted.leaves,
            index=posted.index,
        )

    def post_votes(self, voting: Voting, votes: Sequence[SignedVote]) -> Receipt:
        """Post votes on the standing proposal."""
        which = (voting.round, voting.attempt, voting.result)
        ballot = Ballot(*which, support=True, vacant=voting.vacant)
        signed = [(vote.support, vote.signature) for vote in votes]
        return self._contract.post_votes(self._account, self._federation, ballot, signed)

    def propose(self, result: SignedResult) -> Receipt:
        """Propose a result in its signer's name, with a bond of the relay's."""
        signature = result.signature.full
        return self._contract.propose_result(
            self._account, result.header, result.index, bond=self.bond, signature=signature
        )

    def join(self, application: Application) -> Receipt:
        """Let a site join, with a stake of the relay's."""
        join = application.join
        membership = Membership(
            signer=join.signer,
            payout=join.payout,
            identity=join.identity,
            dataset_root=join.dataset_root,
            rows=join.rows,
            expires=application.expires,
            invitation=application.invitation,
            key=join.key,
            controller=application.controller,
            consent=application.consent.full,
        )
        _, receipt = self._contract.join(
            self._account, self._federation, membership, stake=self.stake
        )
        return receipt

    def advance(self) -> Receipt:
        """Do what is due."""
        return self._contract.advance(self._account, self._federation)
