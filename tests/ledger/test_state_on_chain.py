"""The fold against the contract itself: after every transaction both must say the same."""

import random

import pytest

from ledger import history as ev
from ledger.chain.errors import ContractRejected
from ledger.chain.federations import Ballot, Dispute
from ledger.credits import Credit
from ledger.disputes import ANSWERS, CONCEDED
from ledger.proceedings import Outcome
from ledger.state import Phase as Folded
from ledger.types import ParticipantId, RoundIndex, Wei
from tests.ledger.chain.samples import digest
from tests.ledger.walk import POOL, SALT, Walk, accounts

STEPS = 200


LIKELY = {
    Folded.FORMING: ("join", "join", "join", "leave", "stake", "data", "amend"),
    Folded.COMMIT: (*["commit"] * 14, "batch", "wait", "join", "leave", "rotate", "data", "amend"),
    Folded.PROPOSE: (*["propose"] * 8, "sponsor", "again", "slice", "wait", "rotate", "leave"),
    Folded.ATTEST: (*["vote"] * 8, "votes", "votes", "wait", "challenge", "dispute", "join", "key"),
    Folded.ENDED: ("wait", "wait", "claim", "claim", "stake", "refund", "dispute", "leave"),
}
ALWAYS = (
    *("advance", "claim", "stake", "close", "refund", "withdraw", "withdraw", "fees", "charge"),
    *("challenge", "challenge", "dispute", "dispute", "expire", "reclaim", "release", "checkpoint"),
)
RELAYED = {"batch_window": 60, "relay_fee": 3}


@pytest.mark.parametrize("seed", [3, 7, 10, 15])
def test_fold_follows_the_contract_through_anything(seed: int) -> None:
    rng = random.Random(seed)
    terms: dict[str, object] = {"statistics": 3 * (seed % 2), "reward_period": seed % 3}
    if seed % 4 >= 2:
        terms |= {"relay": accounts(3)[2].address, "committee_size": 3, "unbonding_window": 4_000}
        terms |= RELAYED
    walk = Walk(rng, attempts=3, **terms)
    for number in range(STEPS):
        if number == STEPS - 25 and walk.state.phase is not Folded.ENDED:
            walk.step("idle")
        often = rng.random() < 0.75
        walk.step(rng.choice(LIKELY[walk.state.phase] if often else ALWAYS))
    assert len(walk.seen) >= 18, sorted(kind.__name__ for kind in walk.seen)


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
        signer = turn.signer_in(walk.state.round.index)
        account = next(s for s in walk.signers if s.address == signer)
    bond = Wei(walk.policy.proposer_bond)
    walk.contract.propose_result(account, walk.header(), digest(8), bond=bond)
    walk.take()


def vote_all(walk: Walk, support: bool) -> None:
    for signer in walk.signers[:2]:
        walk.contract.vote(signer, walk.federation, walk.ballot(support=support))
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
    assert walk.seen[ev.ResultRejected] == 2
    bond = walk.policy.proposer_bond  # silence costs nothing
    expected = [bond - walk.policy.rejection_fee, bond]
    assert [walk.state.credits.of(s.address).ethers for s in walk.signers[:2]] == expected


def test_turns_go_by_who_was_known_when_the_round_opened() -> None:
    walk = ready()
    commit_all(walk)
    walk.step("join")
    assert (walk.state.round.known, len(walk.state.participants)) == (3, 4)
    propose(walk)
    vote_all(walk, support=True)
    assert walk.state.round.index == 1
    assert walk.state.round.seats == 4


def test_a_leavers_turn_is_the_next_ones() -> None:
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
    turn = walk.state.in_turn(walk.state.round)
    assert turn is not None
    assert turn.index == 0
    with pytest.raises(ContractRejected, match="NotInTurn"):
        walk.contract.propose_result(
            walk.signers[1], walk.header(), digest(8), bond=Wei(walk.policy.proposer_bond)
        )
    propose(walk)
    assert walk.state.round.proposal.proposer == walk.signers[0].address


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
    assert walk.state.participants[2].stake == 0


def test_bonds_are_withdrawn_in_one_sum() -> None:
    walk = ready(attempts=4)
    commit_all(walk)
    walk.step("wait")
    for _ in range(2):
        propose(walk)
        vote_all(walk, support=False)
    owner = walk.stranger
    left = 2 * (walk.policy.proposer_bond - walk.policy.rejection_fee)
    assert walk.contract.credit(walk.federation, owner.address) == Credit(ethers=left)
    walk.contract.withdraw(walk.signers[0], walk.federation, owner.address)
    walk.take()
    assert walk.seen[ev.Withdrawn] == 1
    assert walk.contract.credit(walk.federation, owner.address) == Credit()


def test_a_proof_takes_the_lineage_back() -> None:
    walk = ready(attempts=3)
    for _ in range(2):
        commit_all(walk)
        propose(walk)
        vote_all(walk, support=True)
    first, second = (a.result for a in walk.state.lineage)
    walk.rng = random.Random(1)
    commitment = walk._commitment(walk.stranger)
    bond = Wei(walk.policy.challenge_bond)
    walk.contract.commit_proof(
        walk.stranger, walk.federation, first, commitment=commitment, bond=bond
    )
    walk.take()
    which = Dispute(walk.federation, first)
    walk.contract.open_proof(walk.stranger, which, b"\x01proof", attempt=0, salt=SALT)
    walk.take()
    assert walk.state.lineage == []
    assert walk.state.round.index == 0
    assert [p.slashed for p in walk.state.participants] == [True, True, False]
    walk.contract.release_bond(walk.stranger, walk.federation, second, attempt=0)
    walk.take()
    assert walk.contract.view(walk.federation).last_round == 2


def test_an_unanswered_demand_costs_no_voter() -> None:
    walk = ready(attempts=3)
    commit_all(walk)
    propose(walk)
    walk.contract.demand(
        walk.stranger,
        walk.federation,
        walk.state.round.proposal.result,
        evidence=b"!",
        bond=Wei(walk.policy.challenge_bond),
    )
    walk.take()
    vote_all(walk, support=True)
    walk.step("wait")
    assert walk.seen[ev.ResultDisproved] == 1
    assert not any(p.slashed for p in walk.state.participants)


def accused(**terms: object) -> tuple[Walk, Dispute]:
    """Give a standing result, and an open commitment to a proof against it."""
    walk = ready(attempts=3, **terms)
    commit_all(walk)
    walk.rng = random.Random(1)  # for the header
    propose(walk)
    result = walk.state.round.proposal.result
    walk.contract.commit_proof(
        walk.stranger,
        walk.federation,
        result,
        commitment=walk._commitment(walk.stranger),
        bond=Wei(walk.policy.challenge_bond),
    )
    walk.take()
    return walk, Dispute(walk.federation, result)


def open_proof(walk: Walk, which: Dispute, *, attempt: int = 0) -> None:
    proof = b"\x01proof"
    walk.contract.open_proof(walk.stranger, which, proof, attempt=attempt, salt=SALT)
    walk.take()


@pytest.mark.parametrize("again", [False, True])
def test_an_open_proof_outlives_the_votes_and_the_same_header(again: bool) -> None:
    walk, which = accused()
    walk.contract.vote(walk.signers[2], walk.federation, walk.ballot(support=True))
    walk.take()
    vote_all(walk, support=False)
    old = walk.state.round.proposals[0]
    assert (old.bonded, walk.state.credits.of(old.proposer).ethers) == (True, 0)
    if again:
        walk.rng = random.Random(1)
        propose(walk)
        assert walk.state.round.proposal.result == old.result
        assert walk.contract.result(walk.federation, old.result).attempt == 1
    walk.step("release", "reclaim")  # too early, both
    assert walk.seen[ev.BondReleased] == 0
    open_proof(walk, which)
    assert [p.slashed for p in walk.state.participants] == [False, False, True]
    reward = walk.policy.challenge_bond + walk.policy.proposer_bond // 2 + walk.policy.stake // 2
    assert walk.state.credits.of(walk.stranger.address).ethers == reward
    assert (old.bonded, old.proven, walk.state.round.attempt) == (False, True, 1)
    if again:
        assert walk.state.round.proposal.bonded


def test_a_commitment_that_is_not_opened_costs_its_bond_after_one_window() -> None:
    walk, which = accused()
    vote_all(walk, support=False)
    proposal = walk.state.round.proposals[0]
    until = walk.state.answerable_until(proposal)
    assert (until, list(walk.state.fallen())) == (walk.state.held_until, [proposal])
    walk.contract.chain.wait_until(until)
    with pytest.raises(ContractRejected, match="ChallengeNotOpen"):
        open_proof(walk, which)
    walk.contract.reclaim_challenge(walk.stranger, which, attempt=0)
    walk.take()
    walk.contract.release_bond(walk.stranger, walk.federation, which.result, attempt=0)
    walk.take()
    assert (walk.seen[ev.ChallengeFailed], walk.seen[ev.BondReleased]) == (1, 1)
    rest = walk.policy.proposer_bond - walk.policy.rejection_fee
    owed = walk.state.credits.of(proposal.proposer).ethers
    assert owed == rest + walk.policy.challenge_bond // 2
    assert walk.state.credits.of(walk.stranger.address).ethers == 0


def test_a_demand_ends_with_its_result() -> None:
    walk, which = accused()
    bond = Wei(walk.policy.challenge_bond)
    walk.contract.demand(walk.members[0], walk.federation, which.result, evidence=b"!", bond=bond)
    walk.take()
    vote_all(walk, support=False)
    demand = Dispute(walk.federation, which.result, 1)
    walk.contract.reclaim_challenge(walk.stranger, demand, attempt=0)
    walk.take()
    assert walk.state.credits.of(walk.members[0].address).ethers >= bond


def test_who_concedes_pays_an_eighth_and_the_answer() -> None:
    walk = ready(attempts=3)
    commit_all(walk)
    propose(walk)
    result = walk.state.round.proposal.result
    bond = walk.policy.challenge_bond
    walk.contract.demand(walk.stranger, walk.federation, result, evidence=b"!", bond=Wei(bond))
    walk.take()
    step = walk.state.round.proposal.challenges.all[0].step
    assert isinstance(step, ev.DemandOpened)
    walk.contract.answer(walk.members[1], step, b"?")
    walk.take()
    walk.contract.concede(walk.stranger, Dispute(walk.federation, result))
    walk.take()
    (challenge,) = walk.state.round.proposal.challenges.all
    assert (challenge.resolved, walk.state.round.proposal.challenges.running) == (True, None)
    credits = walk.state.credits
    fee = credits.of(walk.members[1].address).ethers
    assert fee <= bond // ANSWERS
    assert credits.of(walk.stranger.address).ethers == bond - bond // CONCEDED - fee


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
    assert walk.seen[ev.RoundVoided] == 1


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


def vote_of_seats(walk: Walk, votes: int) -> None:
    """Let so many of the seats vote against what stands, and the window end."""
    committee = walk.state.round.proposal.committee
    for index in sorted(committee.seated)[:votes]:
        signer = walk.state.participants[index].signer_in(walk.state.round.index)
        account = next(s for s in walk.signers if s.address == signer)
        walk.contract.vote(account, walk.federation, walk.ballot(support=False))
        walk.take()
    walk.step("wait")


@pytest.mark.parametrize("votes", [0, 1])
def test_void_rounds_keep_a_committee_that_votes(votes: int) -> None:
    """One vote is half of the two seats. Too few commits and missed turns say nothing of it."""
    walk = ready(committee_size=2, attempts=2)
    walk.contract.commit_update(walk.signers[0], walk.federation, RoundIndex(0), digest(9))
    walk.take()
    walk.step("join", "wait")
    commit_all(walk)
    walk.step("wait", "wait")
    commit_all(walk)
    first = walk.state.rounds[0]
    assert first.seed is not None
    for kept in walk.state.rounds[1:]:
        assert (kept.seed, kept.candidates, kept.known) == (first.seed, 3, 4)
    assert walk.seen[ev.SeedDrawn] == 1
    propose(walk)
    assert set(walk.state.round.proposal.committee.places) <= {0, 1, 2}
    vote_of_seats(walk, 1)
    propose(walk)
    vote_of_seats(walk, votes)
    assert [r.outcome for r in walk.state.rounds] == [*[Outcome.VOID] * 3, Outcome.OPEN]
    expected = (first.seed, 3) if votes else (None, 4)
    assert (walk.state.round.seed, walk.state.round.candidates) == expected
    commit_all(walk)
    assert walk.seen[ev.SeedDrawn] == (1 if votes else 2)


def test_a_disproved_result_brings_its_committee_back() -> None:
    walk = ready(committee_size=2, attempts=2)
    commit_all(walk)
    propose(walk)
    for index in sorted(walk.state.round.proposal.committee.seated):
        signer = walk.state.participants[index].signer_in(RoundIndex(0))
        account = next(s for s in walk.signers if s.address == signer)
        walk.contract.vote(account, walk.federation, walk.ballot(support=True))
        walk.take()
    first = walk.state.rounds[0]
    walk.step("join")
    walk.contract.commit_update(walk.signers[0], walk.federation, RoundIndex(1), digest(9))
    walk.take()
    assert walk.state.round.seed not in (None, first.seed)
    bond = Wei(walk.policy.challenge_bond)
    walk.contract.demand(walk.stranger, walk.federation, walk.state.head, evidence=b"!", bond=bond)
    walk.take()
    walk.contract.chain.wait_until(walk.contract.chain.now() + walk.policy.answer_window)
    walk.contract.expire_challenge(walk.stranger, walk.federation, first.proposal.result)
    walk.take()
    assert walk.state.round is first
    walk.step("wait")
    assert (walk.state.round.index, first.outcome) == (2, Outcome.VOID)
    assert (walk.state.round.seed, walk.state.round.candidates) == (first.seed, 3)
