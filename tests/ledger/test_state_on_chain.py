"""The fold against the contract itself: after every transaction both must say the same."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from eth_utils.crypto import keccak

from ledger import history as ev
from ledger import payouts
from ledger.chain.accounts import Account, from_key
from ledger.chain.client import Chain
from ledger.chain.errors import ContractRejected
from ledger.chain.federations import (
    Ballot,
    Federations,
    Invitation,
    Membership,
    PayoutProof,
    Phase,
    deploy,
)
from ledger.headers import RESULT_TAG, Common, ResultHeader
from ledger.history import HistoryReader
from ledger.state import FederationState, Outcome
from ledger.state import Phase as Folded
from ledger.types import ZERO_DIGEST, Digest, ParticipantId, Wei
from tests.ledger.chain.samples import digest, policy

STEPS = 130
POOL = 1000
TARGET = 10
PHASES = {
    Folded.FORMING: Phase.FORMING,
    Folded.COMMIT: Phase.COMMIT,
    Folded.PROPOSE: Phase.PROPOSE,
    Folded.ATTEST: Phase.ATTEST,
    Folded.ENDED: Phase.ENDED,
}


def accounts(count: int) -> list[Account]:
    return [from_key(keccak(text=f"walker {number}")) for number in range(count)]


class Walk:
    """One federation on the embedded chain, driven at random."""

    def __init__(self, rng: random.Random, **terms: object) -> None:
        self.rng = rng
        self.accounts = accounts(60)
        chain = Chain.embedded([a.address for a in self.accounts])
        self.creator, self.stranger, *self.fresh = self.accounts
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
        }
        self.policy = replace(header, **(settled | terms))  # type: ignore[arg-type]
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
        claimable = state.period_ends[-1].result if state.period_ends else ZERO_DIGEST
        assert claimable == view.claimable
        active = [p for p in state.participants if p.until is None]
        assert (len(state.participants), len(active)) == (view.joined, view.active)
        assert sum(p.paid for p in state.participants) == view.paid
        assert (state.refund is not None) == view.refunded
        if state.phase in (Folded.COMMIT, Folded.PROPOSE, Folded.ATTEST):
            self._same_round(state, view.round)

    def _same_round(self, state: FederationState, round_index: int) -> None:
        view, round_ = self.contract.view(self.federation), state.round
        assert (round_.index, round_.attempt) == (round_index, view.attempt)
        assert (round_.seats, round_.known) == (view.seats, view.known)
        assert (len(round_.commits), round_.turn_missed) == (view.commits, view.turn_missed)
        deadline = {
            Folded.COMMIT: round_.commit_deadline,
            Folded.PROPOSE: round_.propose_deadline,
            Folded.ATTEST: round_.proposals[-1].attest_deadline if round_.proposals else 0,
        }[state.phase]
        assert deadline == view.deadline
        if state.phase is Folded.ATTEST:
            proposal = round_.proposal
            votes = (proposal.count(True), proposal.count(False))
            assert (proposal.result, votes) == (
                view.standing,
                (view.votes_for, view.votes_against),
            )

    # -- what may be tried; the contract says no to much of it

    def join(self) -> None:
        account = self.fresh.pop()
        membership = Membership(account.address, account.address, digest(1), digest(2), rows=10)
        self.contract.join(account, self.federation, membership, stake=Wei(self.policy.stake))
        self.members.append(account)
        self.signers.append(account)

    def leave(self) -> None:
        index = self.rng.randrange(len(self.members))
        self.contract.leave(self.members[index], self.federation, ParticipantId(index))

    def rotate(self) -> None:
        index, fresh = self.rng.randrange(len(self.members)), self.fresh.pop()
        self.contract.rotate_signer(
            self.members[index], self.federation, ParticipantId(index), fresh.address
        )
        self.signers[index] = fresh

    def data(self) -> None:
        index = self.rng.randrange(len(self.members))
        address = self.members[index].address
        invitation = Invitation(self.federation, address, digest(1), digest(3), rows=9, expires=0)
        self.contract.commit_dataset(
            self.members[index], invitation, participant=ParticipantId(index)
        )

    def commit(self) -> None:
        signer = self.rng.choice(self.signers)
        self.contract.commit_update(signer, self.federation, self.state.round.index, digest(7))

    def header(self) -> ResultHeader:
        """Make a header that the contract takes, whatever its bytes may be."""
        state = self.state
        head = self.headers.get(state.head)
        ends = bool(state.lineage) and state.ends_period(len(state.lineage), stop=False)
        last = state.period_ends[-1].total if state.period_ends else 0
        base = head.payout_total if head is not None and ends else last
        training = state.training_index(len(state.lineage) + 1) > 0
        gain, scores = self.rng.choice((-1, 0, 1, 4)), self.rng.choice((0, 1))
        paid = training and scores and gain > 0
        released = min(POOL - base, self.policy.pool * gain // TARGET) if paid else 0
        total = base + released
        amounts = [total // 2, total - total // 2, *[0] * (state.round.known - 2)]
        leaves = payouts.payout_leaves(amounts)
        root = payouts.payouts_tree(leaves).root
        number = self.rng.choice((0, len(state.round.commits)))
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

    def vote(self) -> None:
        round_ = self.state.round
        support = self.rng.random() < 0.7
        ballot = Ballot(round_.index, round_.attempt, round_.proposal.result, support)
        self.contract.vote(self.rng.choice(self.signers), self.federation, ballot)

    def advance(self) -> None:
        self.contract.advance(self.stranger, self.federation)

    def wait(self) -> None:
        deadline = self.state.deadline
        if deadline is not None:
            self.contract.chain.wait_until(deadline)
            self.advance()

    def close(self) -> None:
        self.contract.close(self.stranger, self.federation)

    def idle(self) -> None:
        chain = self.contract.chain
        chain.wait_until(chain.now() + self.policy.idle_window)
        self.close()

    def stake(self) -> None:
        index = self.rng.randrange(len(self.members))
        self.contract.withdraw_stake(self.members[index], self.federation, ParticipantId(index))

    def bond(self) -> None:
        account = self.rng.choice([*self.signers, self.stranger])
        self.contract.withdraw_bond(account, self.federation)

    def claim(self) -> None:
        leaves = self.leaves[self.state.period_ends[-1].result]
        leaf = self.rng.choice(leaves)
        path = payouts.prove(leaves, leaf.index)
        proof = PayoutProof(ParticipantId(leaf.index), Wei(leaf.amount), path.hashes, path.sums)
        self.contract.claim(self.stranger, self.federation, proof)

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


LIKELY = {
    Folded.FORMING: ("join", "join", "join", "leave", "stake", "data"),
    Folded.COMMIT: (*["commit"] * 12, "wait", "join", "leave", "rotate", "data", "stake"),
    Folded.PROPOSE: (*["propose"] * 8, "wait", "rotate", "leave", "checkpoint"),
    Folded.ATTEST: (*["vote"] * 12, "wait", "wait", "join", "rotate", "data"),
    Folded.ENDED: ("wait", "claim", "claim", "stake", "refund", "advance", "leave", "join"),
}
ALWAYS = ("advance", "claim", "stake", "close", "refund", "bond", "bond")


@pytest.mark.parametrize("seed", range(3))
def test_fold_follows_the_contract_through_anything(seed: int) -> None:
    rng = random.Random(seed)
    walk = Walk(rng, statistics=3 * (seed % 2), reward_period=seed)
    for number in range(STEPS):
        if number == STEPS - 25 and walk.state.phase is not Folded.ENDED:
            walk.step("idle")
        often = rng.random() < 0.9
        walk.step(rng.choice(LIKELY[walk.state.phase] if often else ALWAYS))
    assert walk.state.phase is Folded.ENDED
    assert len(walk.seen) >= 16


def ready(**terms: object) -> Walk:
    """Give a federation of three in round 0."""
    walk = Walk(random.Random(0), **terms)
    walk.step("join", "join", "join")
    return walk


def commit_all(walk: Walk) -> None:
    round_ = walk.state.round.index
    for signer in walk.signers:
        walk.contract.commit_update(signer, walk.federation, round_, digest(9))
        walk.take()


def propose(walk: Walk) -> None:
    turn = walk.state.in_turn(walk.state.round)
    account = walk.stranger
    if turn is not None:
        account = next(s for s in walk.signers if s.address == turn.signer)
    bond = Wei(walk.policy.proposer_bond)
    walk.contract.propose_result(account, walk.header(), digest(8), bond=bond)
    walk.take()


def vote_all(walk: Walk, support: bool) -> None:
    round_ = walk.state.round
    for signer in walk.signers[:2]:
        ballot = Ballot(round_.index, round_.attempt, round_.proposal.result, support)
        walk.contract.vote(signer, walk.federation, ballot)
        walk.take()


def test_missed_turns_run_out() -> None:
    walk = ready(attempts=2)
    commit_all(walk)
    walk.step("wait")
    assert walk.state.round.turn_missed
    assert walk.state.in_turn(walk.state.round) is None
    walk.step("wait")
    first, second = walk.state.rounds
    assert (first.outcome, first.attempt, first.proposals) == (Outcome.VOID, 2, [])
    assert (second.index, second.outcome) == (1, Outcome.OPEN)
    assert walk.seen[ev.TurnMissed] == 2


def test_rejections_run_out_and_bonds_return() -> None:
    walk = ready(attempts=2)
    commit_all(walk)
    propose(walk)
    vote_all(walk, support=False)
    assert walk.state.phase is Folded.PROPOSE
    propose(walk)
    walk.step("wait")
    assert walk.state.rounds[0].outcome is Outcome.VOID
    assert walk.seen[ev.BondReturned] == walk.seen[ev.ResultRejected] == 2


def test_turns_go_by_who_was_known_when_the_round_opened() -> None:
    walk = ready()
    commit_all(walk)
    walk.step("join")
    assert (walk.state.round.known, len(walk.state.participants)) == (3, 4)
    propose(walk)
    vote_all(walk, support=True)
    assert walk.state.round.index == 1
    assert walk.state.round.seats == 4


def test_a_leaver_in_turn_lets_anybody_propose() -> None:
    walk = ready()
    for leaver in (None, 2):
        if leaver is not None:
            walk.contract.leave(walk.members[leaver], walk.federation, ParticipantId(leaver))
            walk.take()
        commit_all(walk)
        propose(walk)
        vote_all(walk, support=True)
    assert (walk.state.round.index, walk.state.round.seats) == (2, 2)
    walk.signers.pop()
    commit_all(walk)
    assert walk.state.in_turn(walk.state.round) is None
    propose(walk)
    assert walk.state.round.proposal.proposer == walk.stranger.address


def test_idle_close_while_a_result_stands() -> None:
    walk = ready()
    commit_all(walk)
    propose(walk)
    vote_all(walk, support=True)
    walk.step("advance")
    commit_all(walk)
    propose(walk)
    walk.step("idle", "wait", "refund", "stake", "stake", "stake")
    assert walk.state.ended is not None
    assert walk.state.ended.idle
    assert walk.state.rounds[-1].outcome is Outcome.VOID
    assert walk.seen[ev.PeriodEnded] == 1
    assert walk.seen[ev.Refunded] == 1


def test_a_leaver_that_proposes_as_anybody_takes_its_stake() -> None:
    walk = ready()
    leaver = walk.signers[2]
    walk.contract.leave(leaver, walk.federation, ParticipantId(2))
    walk.take()
    commit_all(walk)
    propose(walk)
    vote_all(walk, support=True)
    walk.signers.pop()
    commit_all(walk)
    with pytest.raises(ContractRejected, match="StakeLocked"):
        walk.contract.withdraw_stake(leaver, walk.federation, ParticipantId(2))
    walk.step("wait", "wait")
    assert walk.state.lineage[0].settled
    assert walk.state.round.turn_missed
    walk.contract.propose_result(
        leaver, walk.header(), digest(8), bond=Wei(walk.policy.proposer_bond)
    )
    walk.take()
    assert walk.state.round.proposal.proposer == leaver.address
    walk.contract.withdraw_stake(leaver, walk.federation, ParticipantId(2))
    walk.take()
    assert walk.state.participants[2].stake_returned


def test_bonds_are_withdrawn_in_one_sum() -> None:
    walk = ready(attempts=4)
    commit_all(walk)
    walk.step("wait")
    for _ in range(2):
        propose(walk)
        vote_all(walk, support=False)
    owner = walk.stranger
    assert walk.contract.credit(walk.federation, owner.address) == 2 * walk.policy.proposer_bond
    walk.contract.withdraw_bond(owner, walk.federation)
    walk.take()
    assert walk.seen[ev.BondWithdrawn] == 1
    assert walk.contract.credit(walk.federation, owner.address) == 0


def test_nothing_is_closed_while_it_is_voted_on() -> None:
    walk = ready()
    chain = walk.contract.chain
    chain.wait_until(walk.state.round.commit_deadline - 10)
    commit_all(walk)
    walk.step("wait")
    chain.wait_until(walk.state.round.propose_deadline - 2)
    propose(walk)
    chain.wait_until(walk.state.rounds[0].opened + walk.policy.idle_window)
    with pytest.raises(ContractRejected, match="NotIdle"):
        walk.close()
    assert walk.state.deadline is not None
    chain.wait_until(walk.state.deadline)
    walk.step("close")
    assert walk.state.ended is not None
    assert walk.seen[ev.BondReturned] == 1


def test_idle_close_before_anybody_came() -> None:
    walk = Walk(random.Random(0))
    walk.step("idle", "refund")
    assert walk.state.refund is not None
    assert walk.state.refund.amount == POOL


def test_closing_waits_for_a_result_that_was_voted_for() -> None:
    walk = ready()
    commit_all(walk)
    propose(walk)
    round_ = walk.state.round
    ballot = Ballot(round_.index, round_.attempt, round_.proposal.result, support=True)
    walk.contract.vote(walk.signers[0], walk.federation, ballot)
    walk.contract.vote(walk.signers[1], walk.federation, ballot)
    walk.take()
    assert walk.state.rounds[0].outcome is Outcome.ACCEPTED
