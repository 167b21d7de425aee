"""The chain as a relay and its participants see it: phases from the history, transactions to the
contract.
"""

from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from threading import Lock

from fednode.relay.admission import refusal
from fednode.relay.errors import SHORT_OF_ETHER, Refused
from fednode.relay.gas import Gas
from fednode.relay.situation import (
    Application,
    Collecting,
    Opening,
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
from ledger.errors import LedgerError, MalformedRecord
from ledger.members import Participant
from ledger.proceedings import Fate, Round
from ledger.replica import Replica
from ledger.signatures import Domain, Signature
from ledger.slots import posted, signers
from ledger.state import FederationState
from ledger.state import Phase as Stage
from ledger.types import Address, RoundIndex, Wei

DELEGATION = b"\xef\x01\x00"
"""Code of an account that has a key and lets a contract act for it begins so (EIP-7702)."""
FUNDS_SECONDS = 10
"""Chain time from one look at what the relay can pay for to the next."""


def collecting(state: FederationState, domain: Domain) -> Collecting:
    """Describe the current round in its commit phase."""
    round_ = state.round
    return Collecting(
        signers=signers(state, round_, domain),
        opened=round_.opened,
        deadline=round_.opened + state.policy.batch_window,
        direct=frozenset(commit.participant for commit in round_.commits),
        posted=posted(round_),
        opening=_opening(round_),
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
        opening=_opening(round_),
    )


def proposing(state: FederationState, relay: Address) -> Proposing:
    """Describe the turn in which a result may be proposed, and what lent bonds have cost."""
    round_, policy = state.round, state.policy
    turn = state.in_turn(round_)
    if turn is None:
        return Proposing(round_.index, round_.attempt, None, opening=_opening(round_))
    lent = [p for r in state.rounds for p in r.proposals if p.proposer == relay]
    disproved = [p for p in lent if p.fate is Fate.DISPROVED]
    fined = [p for p in lent if p.fate is Fate.REJECTED and p.voted_down]
    return Proposing(
        round_.index,
        round_.attempt,
        turn.signer_in(round_.index),
        lost=policy.proposer_bond * len(disproved) + policy.rejection_fee * len(fined),
        barred=any(_signs(turn, p.signer) for p in disproved),
        opening=_opening(round_),
    )


def _opening(round_: Round) -> Opening:
    return Opening(round_.parent, round_.opening)


def _signs(participant: Participant, signer: Address) -> bool:
    return any(signer == address for _, address in participant.signers)


def phase_of(state: FederationState, domain: Domain, relay: Address) -> Phase | None:
    """Describe what a federation waits for; None where a relay can do nothing about it."""
    if state.phase is Stage.COMMIT:
        return collecting(state, domain)
    if state.phase is Stage.PROPOSE:
        return proposing(state, relay)
    return voting(state) if state.phase is Stage.ATTEST else None


class OnChain:
    """One federation on the contract, with the relay's account. All that it sends has a fixed
    amount of gas.
    """

    def __init__(self, contract: Federations, replica: Replica, account: Account) -> None:
        self._contract = contract
        self._replica = replica
        self._account = account
        self._federation = replica.origin.federation
        self._domain = Domain(contract.chain.chain_id, contract.address)
        self._state = replica.whole(contract.chain.rest)
        self.gas = Gas.of(self._state.policy)
        self.stake = Wei(self._state.policy.stake)
        self.bond = Wei(self._state.policy.proposer_bond)
        assert self._state.created is not None
        code = contract.chain.code(self._state.created.creator)
        # A contract's signatures only itself can check; a delegated account has a key of its own.
        self._contract_invites = bool(code) and not code.startswith(DELEGATION)
        self._reading = Lock()  # the history changes in place
        self._able = True
        self._looked = self._now = 0

    def situation(self) -> Situation:
        """Look where the federation stands now.

        While the chain's node does not show all that has happened no word is given for a phase, and
        nothing is due.
        """
        with self._reading, self._contract.chain.glance():
            state = self._state = self._replica.refresh()
            now = self._now = self._contract.chain.now()
            if self._replica.lag is not None:
                return Situation(now=now, phase=None, able=self._able)
            if not self._looked <= now < self._looked + FUNDS_SECONDS:
                most = max(self.gas.batch, self.gas.votes)
                self._able = self._contract.chain.affords(self._account.address, most)
                self._looked = now
            return Situation(
                now=now,
                phase=phase_of(state, self._domain, self._account.address),
                due=state.advances is not None and now >= state.advances,
                over=state.settled,
                able=self._able,
            )

    def refusal(self, application: Application) -> str | None:
        """Say why the contract would refuse a join, as far as the history tells."""
        invited = self._is_invited(application) or self._contract_invites
        return refusal(self._state, application, invited=invited, now=self._now)

    def runs_code(self, application: Application) -> bool:
        """Say whether an account's code may run in a join: the controller's, or that of a creator
        that is a contract. A contract that tries ECDSA first runs neither here.
        """
        return not self._is_invited(application) or bool(
            self._contract.chain.code(application.controller)
        )

    def _is_invited(self, application: Application) -> bool:
        """Whether the creator's key signed the invitation, or none is needed."""
        if self._state.policy.open:
            return True
        created = self._state.created
        assert created is not None
        try:
            signature = Signature.of(application.invitation)
        except MalformedRecord:
            return False
        invitation = application.invited
        return self._domain.signer(invitation, signature) == created.creator

    def post_batch(self, round_index: RoundIndex, posted: Posted) -> Receipt:
        """Post the round's batch."""
        return self._contract.limited(self.gas.batch).post_batch(
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
        contract = self._contract.limited(self.gas.votes)
        return contract.post_votes(self._account, self._federation, ballot, signed)

    def propose(self, result: SignedResult) -> Receipt:
        """Propose a result in its signer's name, with a bond of the relay's."""
        self._check_reserve(self.gas.proposal, self.bond)
        signature = result.signature.full
        return self._contract.limited(self.gas.proposal).propose_result(
            self._account, result.header, result.index, bond=self.bond, signature=signature
        )

    def join(self, application: Application) -> Receipt:
        """Let a site join, with a stake of the relay's."""
        self._check_reserve(self.gas.join, self.stake)
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
        contract = self._contract.limited(self.gas.join)
        try:
            _, receipt = contract.join(
                self._account, self._federation, membership, stake=self.stake
            )
        finally:
            # What it came to, the next one is refused for without a simulation.
            with suppress(LedgerError), self._reading:
                self._state = self._replica.refresh()
        return receipt

    def advance(self) -> Receipt:
        """Do what is due."""
        contract = self._contract.limited(self._advance_gas)
        return contract.advance(self._account, self._federation)

    @property
    def _advance_gas(self) -> int:
        return self.gas.advance(sum(not accepted.settled for accepted in self._state.lineage))

    def _check_reserve(self, gas: int, value: Wei) -> None:
        """Keep what a round's batch, votes and moving on cost: receipts were given for them."""
        kept = self.gas.batch + self.gas.votes + self._advance_gas
        address = self._account.address
        if not self._contract.chain.affords(address, kept + gas, value=value):
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "the relay keeps the ether that it has for batches and votes; send the transaction "
                "yourself",
                retry_after=SHORT_OF_ETHER,
            )
