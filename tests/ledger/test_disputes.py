"""Challenges: whose turn, until when, and what a result that falls takes with it."""

import pytest

from ledger import history as ev
from ledger.credits import Credit
from ledger.disputes import MOST_STEPS, Waiting
from ledger.proceedings import Fate, Outcome
from ledger.state import Phase
from ledger.types import Address, RoundIndex, Wei
from tests.ledger import test_state as state_cases
from tests.ledger.chain.samples import CHALLENGE, WINDOW, digest
from tests.ledger.script import (
    ANSWERER,
    CHALLENGER,
    START,
    STRANGER,
    Broken,
    Script,
    address,
    case,
    proposed,
    require_refused,
    running,
)

BOND = 10
ACCEPT = (ev.Voted, ev.Voted, ev.ResultAccepted)
FIRST = {"result": digest(5), "round": RoundIndex(0), "attempt": 0}
LATER = {"challenge": 1, "challenger": STRANGER}


def disputed(*steps: type[ev.Event], **terms: object) -> Script:
    """Give a proposal to which a challenge was opened."""
    return proposed(challenge_bond=BOND, **terms).do(*steps)


def demanded() -> Script:
    return disputed(ev.DemandOpened)


def answered() -> Script:
    return disputed(ev.DemandOpened, ev.DemandAnswered)


def committed() -> Script:
    return disputed(ev.ProofCommitted)


def voted_down() -> Script:
    """Give a result that was voted down while something was demanded of it."""
    return demanded().against(0).against(1).do(ev.ResultRejected)


def accused(**terms: object) -> Script:
    """Give a result that was voted down by two of three while a proof against it was open."""
    script = disputed(ev.ProofCommitted, **terms)
    return script.do(ev.Voted, ballots=1 << 2).against(0).against(1).do(ev.ResultRejected)


def overtaken(**terms: object) -> Script:
    """Give two accepted results and a third that stands, the first of them challenged."""
    script = disputed(ev.ProofCommitted, *ACCEPT, answer_window=60, **terms)
    for _ in range(2):
        script.do(ev.RoundOpened, *[ev.UpdateCommitted] * 3, ev.CommitClosed, ev.ResultProposed)
        if len(script.state.lineage) < 2:
            script.do(*ACCEPT)
    return script


def fallen(**terms: object) -> Script:
    """Give the same after the first result was proved wrong."""
    script = overtaken(rounds=9, **terms)
    return script.at(START + 30).do(ev.ResultDisproved, kind=2, **FIRST, propose_deadline=RETRY)


RETRY = START + 30 + WINDOW

CASES = [
    case("proof of nothing", running, ev.ProofCommitted, "a proposed result"),
    case("demand too late", proposed, ev.DemandOpened, "a time before", wait=CHALLENGE),
    case("demand skipped", demanded, ev.DemandOpened, "challenge 1", challenge=2),
    case("demand while answers are due", demanded, ev.DemandOpened, "waits for: challenger"),
    case(
        "redemand of another",
        answered,
        ev.DemandOpened,
        f"challenger {CHALLENGER}",
        challenger=STRANGER,
    ),
    case("redemand too late", answered, ev.DemandOpened, "a time before", wait=WINDOW),
    case(
        "proof after a rejection",
        voted_down,
        ev.ProofCommitted,
        "that can be challenged",
        attempt=0,
    ),
    case("answer to a proof", committed, ev.DemandAnswered, "waits for: answer"),
    case("answer too late", demanded, ev.DemandAnswered, "a time before", wait=WINDOW),
    case("answer to nobody", proposed, ev.DemandAnswered, "a challenge that was opened"),
    case("answered twice", answered, ev.DemandAnswered, "waits for: answer"),
    case("failed early", committed, ev.ChallengeFailed, "a time from"),
    case("failed unanswered", demanded, ev.ChallengeFailed, "for its challenger", wait=WINDOW),
    case(
        "failed out of order",
        lambda: committed().do(ev.ProofCommitted, **LATER),
        ev.ChallengeFailed,
        "challenge 0",
        challenge=1,
        wait=WINDOW,
    ),
    case("proved a demand", demanded, ev.ResultDisproved, "waits for: proof", kind=1),
    case("proved too late", committed, ev.ResultDisproved, "a time before", kind=1, wait=WINDOW),
    case("unanswered early", demanded, ev.ResultDisproved, "a time from"),
    case(
        "unanswered although answered",
        answered,
        ev.ResultDisproved,
        "an unanswered demand",
        wait=WINDOW,
    ),
    case("disproved in another round", committed, ev.ResultDisproved, "round 0", kind=1, round=1),
    case(
        "disproved to another end",
        committed,
        ev.ResultDisproved,
        "deadline",
        kind=1,
        propose_deadline=0,
    ),
    case("reclaimed while it stands", committed, ev.ChallengeReclaimed, "a result that fell"),
    case(
        "reclaimed twice",
        lambda: voted_down().do(ev.ChallengeReclaimed, attempt=0),
        ev.ChallengeReclaimed,
        "an open challenge",
        attempt=0,
    ),
    case("conceded without an answer", demanded, ev.ChallengeConceded, "waits for: challenger"),
    case("conceded too late", answered, ev.ChallengeConceded, "a time before", wait=WINDOW),
    case("conceded for more", answered, ev.ChallengeConceded, "at most 0 wei", fee=Wei(1)),
    case(
        "conceded what fell", voted_down, ev.ChallengeConceded, "that can be challenged", attempt=0
    ),
    case("proved late what stands", committed, ev.FallenDisproved, "a result that fell"),
    case("proved late a demand", voted_down, ev.FallenDisproved, "the first proof", attempt=0),
    case("proved too late", accused, ev.FallenDisproved, "a time before", attempt=0, wait=WINDOW),
    case("reclaimed a proof", accused, ev.ChallengeReclaimed, "proved wrong", attempt=0),
    case("failed while it may hold", accused, ev.ChallengeFailed, "a time from", attempt=0),
    case("failed a demand that ended", voted_down, ev.ChallengeFailed, "first proof", attempt=0),
    case(
        "released while it may hold",
        accused,
        ev.BondReleased,
        "a time from",
        proposer=address(100),
    ),
    case("released what stands", proposed, ev.BondReleased, "whose bond is held"),
    case("released what was voted down", voted_down, ev.BondReleased, "whose bond is held"),
    case("released nothing", running, ev.BondReleased, "a proposed result"),
    case(
        "released to another",
        fallen,
        ev.BondReleased,
        f"proposer {address(101)}",
        result=digest(6),
        proposer=STRANGER,
    ),
    case(
        "settled while challenged",
        lambda: disputed(ev.DemandOpened, *ACCEPT, ev.RoundOpened),
        ev.ResultSettled,
        "no open challenge",
        wait=CHALLENGE,
    ),
]


@pytest.mark.parametrize("broken", CASES, ids=lambda one: one.name)
def test_rule_broken(broken: Broken) -> None:
    require_refused(broken)


def credit(script: Script, account: Address) -> int:
    return script.state.credits.of(account).ethers


def running_clock(script: Script) -> tuple[Waiting, int | None]:
    challenge = script.state.round.proposal.challenges.running
    assert challenge is not None
    return challenge.waiting, challenge.deadline


def test_every_step_starts_the_clock_anew() -> None:
    script = demanded()
    assert running_clock(script) == (Waiting.ANSWER, START + WINDOW)
    script.at(START + 5).do(ev.DemandAnswered)
    assert running_clock(script) == (Waiting.CHALLENGER, START + 5 + WINDOW)
    script.at(START + 9).do(ev.ProofCommitted)
    assert running_clock(script) == (Waiting.PROOF, START + 9 + WINDOW)


def test_one_bond_buys_eight_steps() -> None:
    script = demanded()
    for _ in range(MOST_STEPS - 1):
        script.do(ev.DemandAnswered, ev.DemandOpened)
    script.do(ev.DemandAnswered)
    require_refused(case("a ninth", lambda: script, ev.DemandOpened, "at most 8 steps"))


def test_clocks_run_one_after_the_other() -> None:
    script = committed().do(ev.DemandOpened, **LATER)
    second = script.state.round.proposal.challenges.all[1]
    assert second.deadline is None
    script.do(ev.DemandAnswered, challenge=1)
    assert second.deadline is None
    script.at(START + WINDOW).do(ev.ChallengeFailed)
    assert second.deadline == START + 2 * WINDOW
    assert script.state.deadline == START + WINDOW


def test_a_proof_that_is_never_opened_pays_the_proposer() -> None:
    script = committed()
    script.at(START + WINDOW).do(ev.ChallengeFailed)
    assert credit(script, address(100)) == BOND // 2


def test_a_demand_in_vain_pays_who_answered() -> None:
    script = answered()
    script.at(START + WINDOW).do(ev.ChallengeFailed)
    assert credit(script, ANSWERER) == BOND // 2
    assert list(script.state.disputed()) == []


def test_an_unanswered_demand_costs_the_proposer_and_no_voter() -> None:
    script = demanded().do(ev.Voted)
    script.at(START + WINDOW).do(ev.ResultDisproved)
    state = script.state
    assert (state.phase, state.round.attempt) == (Phase.PROPOSE, 1)
    assert state.round.proposal.fate is Fate.DISPROVED
    assert credit(script, CHALLENGER) == BOND + 3
    assert state.participants[0].stake == state.policy.stake
    assert state.participants[0].active(0)


def test_a_proof_costs_proposer_and_voters() -> None:
    script = committed().do(ev.Voted).against(1)
    script.do(ev.ResultDisproved, kind=4)
    state = script.state
    assert credit(script, CHALLENGER) == BOND + 3 + 2
    guilty, honest = state.participants[:2]
    assert (guilty.stake, guilty.slashed, guilty.left_at) == (0, True, START)
    assert not guilty.active(0)
    assert (honest.stake, honest.active(0)) == (5, True)
    assert state.committee(state.round).seated == {1, 2}


def test_who_left_before_keeps_when_it_left() -> None:
    script = committed().do(ev.ParticipantLeft, ev.Voted).at(START + 5)
    script.do(ev.ResultDisproved, kind=4)
    guilty = script.state.participants[0]
    assert (guilty.left_at, guilty.until, guilty.slashed) == (START, 1, True)


def test_any_challenge_in_the_queue_may_prove() -> None:
    script = demanded().do(ev.ProofCommitted, **LATER)
    script.do(ev.ResultDisproved, kind=1, challenge=1)
    assert credit(script, STRANGER) == BOND + 3
    script.do(ev.ChallengeReclaimed, attempt=0)
    assert credit(script, CHALLENGER) == BOND


def test_a_proof_against_what_was_voted_down_costs_bond_and_stakes() -> None:
    script = accused(quorum_bps=6000)
    (proposal,) = list(script.state.fallen())
    script.at(START + WINDOW - 1).do(ev.FallenDisproved, attempt=0)
    guilty = script.state.participants[2]
    assert (guilty.stake, guilty.slashed, script.state.round.thinned) == (0, True, True)
    assert credit(script, CHALLENGER) == BOND + 3 + 2
    assert (proposal.fate, proposal.bonded, proposal.proven) == (Fate.DISPROVED, False, True)
    assert list(script.state.fallen()) == []
    held = case("slashed", lambda: script, ev.BondReleased, "bond is held", proposer=address(100))
    require_refused(held)


def test_a_second_proof_finds_nothing_left_to_take() -> None:
    script = disputed(ev.ProofCommitted).do(ev.ProofCommitted, **LATER)
    script.do(ev.Voted, ballots=1 << 2).against(0).against(1).do(ev.ResultRejected)
    assert [proposal.fate for proposal in script.state.fallen()] == [Fate.REJECTED]
    script.do(ev.FallenDisproved, attempt=0)
    assert list(script.state.fallen()) == []
    script.do(ev.ChallengeReclaimed, attempt=0, challenge=1)
    assert credit(script, STRANGER) == BOND


def test_a_commitment_that_is_not_opened_is_lost_after_one_window() -> None:
    script = accused(rejection_fee=2)
    assert script.state.held_until == START + WINDOW
    assert credit(script, address(100)) == 0
    script.at(START + WINDOW).do(ev.ChallengeFailed, attempt=0)
    assert credit(script, address(100)) == BOND // 2
    script.do(ev.BondReleased, proposer=address(100))
    assert credit(script, address(100)) == BOND // 2 + 7 - 2
    assert credit(script, CHALLENGER) == 0


def test_what_fell_with_another_is_answerable_for_one_window() -> None:
    script = overtaken(rounds=9)
    second = {"result": script.state.lineage[1].result, "attempt": 0}
    script.do(ev.ProofCommitted, **second)
    script.do(ev.ResultDisproved, kind=2, **FIRST, propose_deadline=START + WINDOW)
    assert script.state.answerable_until(script.state.rounds[1].proposal) == START + 60
    owned: dict[str, object] = {"proposer": address(101), **second}
    early = Broken("early", lambda: script, ev.BondReleased, owned, "a time from")
    require_refused(early)
    script.do(ev.FallenDisproved, **second)
    assert [p.slashed for p in script.state.participants] == [True, True, False]
    assert script.state.rounds[1].proposal.fate is Fate.DISPROVED


def test_the_queue_passes_over_what_was_conceded() -> None:
    script = disputed(ev.DemandOpened)
    for number in (1, 2, 3):
        step = {"challenge": number, "challenger": STRANGER}
        script.do(ev.DemandOpened, **step).do(ev.DemandAnswered, challenge=number)
    for number in (2, 1):
        script.do(ev.ChallengeConceded, challenge=number)
    assert credit(script, STRANGER) == 2 * (BOND - BOND // 8)
    script.do(ev.DemandAnswered).at(START + WINDOW).do(ev.ChallengeFailed)
    running_ = script.state.round.proposal.challenges.running
    assert running_ is not None
    assert (running_.number, running_.deadline) == (3, START + 2 * WINDOW)


def test_a_result_that_falls_takes_the_lineage_with_it() -> None:
    state = fallen().state
    assert state.lineage == []
    assert [r.outcome for r in state.rounds] == [Outcome.OPEN, Outcome.VOID, Outcome.VOID]
    assert (state.phase, state.round.index, state.round.attempt) == (Phase.PROPOSE, 0, 1)
    assert state.deadline == RETRY
    assert [r.proposal.fate for r in state.rounds] == [Fate.DISPROVED, Fate.DROPPED, Fate.DROPPED]
    assert list(state.live()) == []


def test_bonds_of_what_fell_with_it_are_released_once() -> None:
    script = fallen()
    for number in (1, 2):
        script.do(ev.BondReleased, result=digest(5 + number), proposer=address(100 + number))
        assert script.state.credits.of(address(100 + number)) == Credit(ethers=7)
    again = case("again", lambda: script, ev.BondReleased, "bond is held", result=digest(6))
    require_refused(again)


def test_rounds_go_on_behind_the_newest_number() -> None:
    script = fallen()
    script.do(ev.ResultProposed, proposer=address(102), signer=address(102), result=digest(50))
    script.do(ev.Voted, ballots=1 << 2)
    state = script.state
    assert state.round.proposal.committee.seats == 1
    script.do(ev.ResultAccepted, ev.RoundOpened)
    assert (state.round.index, state.round.seats, len(state.rounds)) == (3, 1, 4)
    assert state.round.parent == digest(50)


def test_attempts_run_out_by_proof() -> None:
    script = overtaken(rounds=9, attempts=1)
    script.do(ev.ResultDisproved, kind=1, **FIRST, propose_deadline=0)
    script.do(ev.RoundVoided, ev.RoundOpened)
    assert [r.outcome for r in script.state.rounds[:3]] == [Outcome.VOID] * 3
    assert script.state.round.index == 3


def test_a_federation_that_had_ended_goes_on() -> None:
    script = disputed(*ACCEPT, ev.FederationEnded, ev.ProofCommitted, rounds=1)
    script.do(ev.ResultDisproved, kind=1)
    assert script.state.ended is None
    assert script.state.phase is Phase.PROPOSE
    until = START + script.policy.idle_window
    script.at(until).do(ev.RoundVoided).do(ev.FederationEnded, idle=True)
    assert script.do(ev.Refunded, amount=Wei(1000)).state.refund is not None


def test_the_time_without_progress_counts_from_the_fall() -> None:
    script = fallen(attempts=4)
    script.at(START + script.policy.idle_window)
    require_refused(case("too early", lambda: script, ev.RoundVoided, "a time from"))


def test_a_result_settles_when_its_last_challenge_is_over() -> None:
    script = disputed(ev.ProofCommitted, *ACCEPT, ev.RoundOpened)
    clock = START + WINDOW
    assert script.state.deadline == clock
    script.at(clock).do(ev.ChallengeFailed, **{k: v for k, v in FIRST.items() if k != "round"})
    assert script.state.advances == clock
    script.at(START + CHALLENGE).do(ev.ResultSettled)
    assert script.state.lineage[0].settled


def test_every_kind_of_event_is_broken_somewhere() -> None:
    kinds = {broken.kind for broken in [*CASES, *state_cases.CASES]}
    assert kinds == set(ev.EVENTS)
