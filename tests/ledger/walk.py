"""One federation on the embedded chain, driven at random: after every transaction the fold and the
contract must say the same.

Proofs and answers are taken as they come: a verifier that believes everything stands in for the
real one, so that whatever follows from a proof can be reached without making one.
"""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak

from ledger import contracts, payouts
from ledger import history as ev
from ledger.chain.accounts import Account, from_key
from ledger.chain.client import Chain
from ledger.chain.errors import ContractRejected
from ledger.chain.federations import (
    Ballot,
    Dispute,
    Federations,
    Membership,
    PayoutProof,
    deploy,
)
from ledger.chain.refusals import Phase
from ledger.disputes import Waiting
from ledger.headers import RESULT_TAG, Common, ResultHeader
from ledger.history import HistoryReader
from ledger.proceedings import Fate
from ledger.signatures import Domain, Invitation, Proposal, Vote
from ledger.state import FederationState
from ledger.state import Phase as Folded
from ledger.types import Digest, ParticipantId, Wei
from tests.ledger.chain.samples import digest, policy

POOL = 10_000
TARGET = 10
PHASES = {
    Folded.FORMING: Phase.FORMING,
    Folded.COMMIT: Phase.COMMIT,
    Folded.PROPOSE: Phase.PROPOSE,
    Folded.ATTEST: Phase.ATTEST,
    Folded.ENDED: Phase.ENDED,
}
STATUS = (None, Fate.STANDING, Fate.ACCEPTED, Fate.SETTLED, Fate.REJECTED, Fate.RELEASED)
"""What becomes of results as the contract numbers it; it does not write down what fell with
another.
"""
SALT = digest(99)
# Whatever it is asked it answers with the words 1, 0, 0 ...: an open demand's answer is right, the
# question behind a proof has the answer that shows a fraud, and participant 1 was unavailable.
BELIEVER = bytes.fromhex("600b600c600039600b6000f3") + bytes.fromhex("60016000526101006000f3")


@contextmanager
def believing() -> Iterator[None]:
    """Let the contract be linked with a verifier that believes everything."""
    real = contracts.artifact

    def artifact(name: str) -> contracts.Artifact:
        found = real(name)
        return replace(found, bytecode=BELIEVER, links={}) if name == "Verifier" else found

    with patch.object(contracts, "artifact", artifact):
        yield


def accounts(count: int) -> list[Account]:
    return [from_key(keccak(text=f"walker {number}")) for number in range(count)]


class Walk:
    """The federation, those who act in it, and what they remember."""

    def __init__(self, rng: random.Random, **terms: object) -> None:
        self.rng = rng
        self.accounts = accounts(60)
        chain = Chain.embedded([a.address for a in self.accounts])
        self.creator, self.stranger, self.relay, *self.fresh = self.accounts
        with believing():
            self.contract = Federations(chain, deploy(chain, self.creator))
        header = policy(chain.chain_id, self.contract.address, members=5)
        settled: dict[str, object] = {
            "start_participants": 3,
            "least_updates": 2,
            "attempts": 2,
            "pool": POOL,
            "target": TARGET,
            "reward_period": 2,
            "rounds": 6,
            "statistics": 3,
            "quorum_bps": 6000,
            "challenge_bond": 11,
            "rejection_fee": 3,
            "unavailable_fee": 4,
            "unbonding_window": header.attest_window,
            "proposer_fee": 5,
            "attester_fee": 2,
        }
        self.policy = replace(header, **(settled | terms))  # type: ignore[arg-type]
        self.domain = Domain(chain.chain_id, self.contract.address)
        self.federation, _ = self.contract.create(self.creator, self.policy)
        self.reader = HistoryReader(chain, self.contract.address, self.federation)
        self.state = FederationState(self.federation, self.policy)
        self.members: list[Account] = []
        self.signers: list[Account] = []
        self.leaves: dict[Digest, tuple[payouts.PayoutLeaf, ...]] = {}
        self.headers: dict[Digest, ResultHeader] = {}
        self.seen: Counter[type[ev.Event]] = Counter()
        self.take()

    # -- after every transaction

    def take(self) -> None:
        """Take in what has happened; fold and contract must agree."""
        for event in self.reader.poll():
            self.seen[type(event)] += 1
            assert ev.follows(self.state.h, event) == event.h
            self.state.apply(event)
        state, view = self.state, self.contract.view(self.federation)
        assert PHASES[state.phase] == view.phase
        assert state.h == self.contract.accumulator(self.federation)
        assert (state.head, len(state.lineage)) == (view.head, view.head_height)
        assert sum(a.settled for a in state.lineage) == view.settled_height
        staying = [p for p in state.participants if p.left_at is None]
        assert (len(state.participants), len(staying)) == (view.joined, view.active)
        assert sum(p.paid for p in state.participants) == view.paid
        assert (state.fees, state.refund is not None) == (view.fees, view.refunded)
        if state.phase in (Folded.COMMIT, Folded.PROPOSE, Folded.ATTEST):
            self._same_round()
        self._same_members()
        self._same_results()
        self._solvent()

    def _same_round(self) -> None:
        state, view, round_ = self.state, self.contract.view(self.federation), self.state.round
        assert (round_.index, round_.attempt) == (view.round, view.attempt)
        assert (round_.known, len(state.rounds)) == (view.known, view.last_round + 1)
        assert (len(round_.commits), round_.batched) == (view.commits, view.batched)
        assert round_.turn_missed == view.turn_missed
        deadline = {
            Folded.COMMIT: round_.commit_deadline,
            Folded.PROPOSE: round_.propose_deadline,
            Folded.ATTEST: round_.proposals[-1].attest_deadline if round_.proposals else 0,
        }[state.phase]
        assert deadline == view.deadline
        if state.phase is Folded.COMMIT:
            assert round_.seats == view.seats
        if state.phase is Folded.ATTEST:
            proposal = round_.proposal
            assert (proposal.result, proposal.committee.seats) == (view.standing, view.seats)

    def _same_members(self) -> None:
        for p in self.state.participants:
            view = self.contract.participant(self.federation, p.index)
            assert (p.signer, p.controller, p.payout) == (view.signer, view.controller, view.payout)
            assert (p.stake, p.slashed, p.paid) == (view.stake, view.slashed, view.paid)
            until = (1 << 32) - 1 if p.until is None else p.until
            assert (p.since, until, p.left_at or 0) == (
                view.active_from,
                view.active_until,
                view.left_at,
            )
            assert len(p.datasets) == view.datasets

    def _same_results(self) -> None:
        for result in {p.result for r in self.state.rounds for p in r.proposals}:
            view = self.contract.result(self.federation, result)
            proposal = self.state.proposal(result, view.attempt)
            assert proposal is not None
            fate = Fate.REJECTED if proposal.fate is Fate.DISPROVED else proposal.fate
            if fate is not Fate.DROPPED:
                assert STATUS[view.status] is fate
            challenges = proposal.challenges
            assert (len(challenges.all), challenges.past) == (view.challenges, view.resolved)
        for proposal in (p for r in self.state.rounds for p in r.proposals):
            view = self.contract.result(self.federation, proposal.result, attempt=proposal.attempt)
            held = proposal.fate is Fate.REJECTED and proposal.bonded
            assert (view.held, view.proofs) == (held, proposal.challenges.proofs)
            if view.held or view.proofs:
                assert (view.proposer, view.proven) == (proposal.proposer, proposal.proven)

    def _solvent(self) -> None:
        """Credits are those of the contract, and it holds what it owes."""
        owed = 0
        for account in self.accounts[:20]:
            credit = self.state.credits.of(account.address)
            assert credit == self.contract.credit(self.federation, account.address)
            owed += credit.ethers + credit.fees
        owed += sum(p.stake for p in self.state.participants)
        proposals = [p for r in self.state.rounds for p in r.proposals]
        owed += self.policy.proposer_bond * sum(p.bonded for p in proposals)
        challenges = [c for p in proposals for c in p.challenges.all]
        owed += self.policy.challenge_bond * sum(not c.resolved for c in challenges)
        assert self.contract.chain.balance(self.contract.address) >= owed

    # -- what may be tried; the contract says no to much of it

    def someone(self) -> int:
        return self.rng.randrange(len(self.members))

    def join(self) -> None:
        account = self.fresh.pop(0)
        membership = Membership(account.address, account.address, digest(1), digest(2), rows=10)
        invitation = Invitation(self.federation, account.address, digest(1), digest(2), 10, 1 << 40)
        if not self.policy.open:
            signed = self.domain.sign(self.creator, invitation).full
            membership = replace(membership, invitation=signed, expires=1 << 40)
        self.contract.join(account, self.federation, membership, stake=Wei(self.policy.stake))
        self.members.append(account)
        self.signers.append(account)

    def leave(self) -> None:
        index = self.someone()
        self.contract.leave(self.members[index], self.federation, ParticipantId(index))

    def rotate(self) -> None:
        index, fresh = self.someone(), self.fresh.pop()
        self.contract.rotate_signer(
            self.members[index], self.federation, ParticipantId(index), fresh.address
        )
        self.signers.append(fresh)

    def key(self) -> None:
        index = self.someone()
        self.contract.register_key(
            self.members[index], self.federation, ParticipantId(index), digest(12)
        )

    def data(self) -> None:
        index = self.someone()
        member = self.members[index]
        dataset = len(self.state.participants[index].datasets)
        invitation = Invitation(
            self.federation, member.address, digest(1), digest(3), 9, 1 << 40, dataset=dataset
        )
        signed = b"" if self.policy.open else self.domain.sign(self.creator, invitation).full
        self.contract.commit_dataset(
            member, invitation, participant=ParticipantId(index), signature=signed
        )

    def amend(self) -> None:
        index = self.someone()
        self.contract.amend_dataset(
            self.members[index], self.federation, ParticipantId(index), root=digest(4), rows=8
        )

    def commit(self) -> None:
        signer = self.rng.choice(self.signers)
        self.contract.commit_update(signer, self.federation, self.state.round.index, digest(7))

    def batch(self) -> None:
        leaves = self.rng.randrange(1, 4)
        self.contract.post_batch(
            self.relay,
            self.federation,
            self.state.round.index,
            root=digest(5),
            leaves=leaves,
            index=digest(6),
        )

    def slice(self) -> None:
        index = self.state.round.index
        self.contract.open_slice(self.stranger, self.federation, index, digest(9))

    def header(self) -> ResultHeader:
        """Make a header that the contract takes, whatever its bytes may be."""
        state = self.state
        height = len(state.lineage) + 1
        ends = [a for a in state.lineage if state.ends_period(a.height, stop=False)]
        base = self.headers[ends[-1].result].payout_total if ends else 0
        training = state.training_index(height) > 0
        gain, scores = self.rng.choice((-1, 0, 1, 4)), self.rng.choice((0, 1))
        paid = training and scores and gain > 0
        purse = self.policy.purse
        released = min(purse - base, purse * gain // TARGET) if paid else 0
        total = base + released
        amounts = [total // 2, total - total // 2, *[0] * (state.round.known - 2)]
        leaves = payouts.payout_leaves(amounts)
        root = payouts.payouts_tree(leaves).root
        number = self.rng.choice((0, state.round.slots))
        header = ResultHeader(
            common=Common(
                RESULT_TAG,
                self.policy.common.chain_id,
                self.contract.address,
                self.federation,
                state.round.index,
                state.round.parent,
            ),
            nodes=digest(self.rng.randrange(1 << 30)),
            weight=number,
            number=number,
            model_root=digest(2),
            model_digest=digest(3),
            utilities=digest(4),
            gain=gain,
            values=digest(5),
            scores=scores,
            payouts=root.hash,
            payout_total=root.sum,
            stop=training and self.rng.random() < 0.05,
        )
        self.leaves[header.digest()] = leaves
        self.headers[header.digest()] = header
        return header

    def propose(self) -> None:
        account = self.rng.choice([*self.signers, self.stranger])
        bond = Wei(self.policy.proposer_bond)
        self.contract.propose_result(account, self.header(), digest(8), bond=bond)

    def sponsor(self) -> None:
        """Propose for somebody who only signs."""
        header, round_ = self.header(), self.state.round
        message = Proposal(
            self.federation, round_.index, round_.attempt, header.digest(), digest(8)
        )
        signed = self.domain.sign(self.rng.choice(self.signers), message).full
        bond = Wei(self.policy.proposer_bond)
        self.contract.propose_result(self.stranger, header, digest(8), bond=bond, signature=signed)

    def again(self) -> None:
        """Propose what was rejected."""
        header = self.headers[self.state.round.proposal.result]
        account = self.rng.choice([*self.signers, self.stranger])
        bond = Wei(self.policy.proposer_bond)
        self.contract.propose_result(account, header, digest(8), bond=bond)

    def ballot(self, *, support: bool) -> Ballot:
        round_ = self.state.round
        committee = round_.proposal.committee
        vacant = committee.vacant(committee.seated)
        return Ballot(round_.index, round_.attempt, round_.proposal.result, support, vacant)

    def vote(self) -> None:
        ballot = self.ballot(support=self.rng.random() < 0.7)
        self.contract.vote(self.rng.choice(self.signers), self.federation, ballot)

    def votes(self) -> None:
        """Post signed votes, of members who may have voted themselves meanwhile."""
        ballot = self.ballot(support=True)
        signed = []
        for signer in self.rng.sample(self.signers, min(2, len(self.signers))):
            support = self.rng.random() < 0.7
            vote = Vote(self.federation, ballot.round, ballot.attempt, ballot.result, support)
            signed.append((support, self.domain.sign(signer, vote)))
        self.contract.post_votes(self.stranger, self.federation, ballot, signed)

    def advance(self) -> None:
        self.contract.advance(self.stranger, self.federation)

    def wait(self) -> None:
        deadline = self.state.deadline
        if deadline is not None:
            self.contract.chain.wait_until(deadline)
            for proposal, challenge in list(self.state.disputed()):
                if challenge.deadline == deadline:
                    self.contract.expire_challenge(self.stranger, self.federation, proposal.result)
                    return
            self.advance()

    def close(self) -> None:
        self.contract.close(self.stranger, self.federation)

    def idle(self) -> None:
        chain = self.contract.chain
        chain.wait_until(chain.now() + self.policy.idle_window)
        self.close()

    # disputes

    def challenge(self) -> None:
        proposal = self.rng.choice(list(self.state.live()))
        bond = Wei(self.policy.challenge_bond)
        account = self.rng.choice(self.members)
        if self.rng.random() < 0.5:
            self.contract.demand(
                account, self.federation, proposal.result, evidence=b"!", bond=bond
            )
        else:
            self.contract.commit_proof(
                account,
                self.federation,
                proposal.result,
                commitment=self._commitment(account),
                bond=bond,
            )

    def _commitment(self, account: Account) -> Digest:
        content = [account.address, keccak(b"\x01proof"), SALT]
        return Digest(keccak(abi_encode(["address", "bytes32", "bytes32"], content)))

    def dispute(self) -> None:
        """Take the next step of some challenge."""
        disputed = [*self.state.live(), *self.state.fallen()]
        proposal = self.rng.choice([p for p in disputed if p.challenges.all])
        challenge = self.rng.choice(proposal.challenges.all)
        which = Dispute(self.federation, proposal.result, challenge.number)
        account = next(a for a in self.accounts if a.address == challenge.challenger)
        if challenge.waiting is Waiting.ANSWER:
            assert isinstance(challenge.step, ev.DemandOpened)
            self.contract.answer(self.rng.choice(self.members), challenge.step, b"?")
        elif challenge.waiting is Waiting.PROOF and self.rng.random() < 0.6:
            self.contract.open_proof(
                account, which, b"\x01proof", attempt=proposal.attempt, salt=SALT
            )
        elif self.rng.random() < 0.3:
            self.contract.concede(account, which)
        elif self.rng.random() < 0.5:
            self.contract.redemand(account, which, b"!")
        else:
            self.contract.recommit_proof(account, which, self._commitment(account))

    def expire(self) -> None:
        proposal = self.rng.choice(list(self.state.live()))
        self.contract.expire_challenge(self.stranger, self.federation, proposal.result)

    def reclaim(self) -> None:
        proposal = self.rng.choice([p for r in self.state.rounds for p in r.proposals])
        challenge = self.rng.choice(proposal.challenges.all)
        which = Dispute(self.federation, proposal.result, challenge.number)
        self.contract.reclaim_challenge(self.stranger, which, attempt=proposal.attempt)

    def release(self) -> None:
        proposal = self.rng.choice([p for r in self.state.rounds for p in r.proposals])
        result, attempt = proposal.result, proposal.attempt
        self.contract.release_bond(self.stranger, self.federation, result, attempt=attempt)

    def charge(self) -> None:
        settled = self.rng.choice([a for a in self.state.lineage if a.settled])
        self.contract.charge_unavailable(self.stranger, self.federation, settled.result, b"!")

    # money

    def stake(self) -> None:
        index = self.someone()
        self.contract.withdraw_stake(self.members[index], self.federation, ParticipantId(index))

    def fees(self) -> None:
        settled = [a.result for a in self.state.lineage if a.settled]
        index = ParticipantId(self.someone())
        self.contract.collect_fees(self.stranger, self.federation, index, settled)

    def withdraw(self) -> None:
        account = self.rng.choice(self.accounts[:20])
        self.contract.withdraw(self.stranger, self.federation, account.address)

    def claim(self) -> None:
        leaves = self.leaves[self.state.period_ends[-1].result]
        chosen = self.rng.sample(leaves, self.rng.randrange(1, 3))
        proofs = []
        for leaf in chosen:
            path = payouts.prove(leaves, leaf.index)
            index, amount = ParticipantId(leaf.index), Wei(leaf.amount)
            proofs.append(PayoutProof(index, amount, path.hashes, path.sums))
        self.contract.claim(self.stranger, self.federation, proofs, leaves=len(leaves))

    def refund(self) -> None:
        self.contract.refund(self.stranger, self.federation)

    def checkpoint(self) -> None:
        self.contract.checkpoint(self.stranger, self.federation)

    def step(self, *names: str) -> None:
        """Try some of the actions in turn; what the contract refuses did not happen."""
        for name in names:
            try:
                getattr(self, name)()
            except (ContractRejected, IndexError, ValueError):
                continue
            self.take()
