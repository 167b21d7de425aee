"""The fold is strict: each rule broken once, named, and nothing changed by what was refused."""

import pytest

from ledger import history as ev
from ledger.committee import member
from ledger.credits import Credit
from ledger.headers import Evaluation
from ledger.proceedings import Outcome
from ledger.state import Phase
from ledger.strict import HistoryViolation
from ledger.types import ZERO_ADDRESS, ZERO_DIGEST, FederationId, ParticipantId, Wei
from tests.ledger.chain.samples import CHALLENGE, WINDOW, digest
from tests.ledger.script import (
    CREATOR,
    FEDERATION,
    RELAY,
    SEED,
    START,
    STRANGER,
    Broken,
    Script,
    accepted,
    address,
    case,
    charged,
    closed,
    created,
    drawing,
    drawn,
    ended,
    idle,
    late,
    left,
    missed,
    paid,
    proposed,
    relayed,
    require_refused,
    running,
    second,
)

CASES = [
    case("join first", Script, ev.ParticipantJoined, "FederationCreated first"),
    case("created twice", created, ev.FederationCreated, "FederationCreated first, and once"),
    case("another policy", Script, ev.FederationCreated, "policy", policy=digest(9)),
    case("another pool", Script, ev.FederationCreated, "pool 1000", pool=Wei(1)),
    case(
        "another federation",
        created,
        ev.ParticipantJoined,
        "this federation",
        federation=FederationId(digest(78)),
    ),
    case("back in time", created, ev.ParticipantJoined, "a time from", wait=-1),
    # participants
    case("skipped index", created, ev.ParticipantJoined, "participant 0", participant=1),
    case(
        "no room",
        lambda: running().do(ev.ParticipantJoined),
        ev.ParticipantJoined,
        "room for one more",
    ),
    case("signer twice", running, ev.ParticipantJoined, "a signer", signer=address(100)),
    case("no signer", running, ev.ParticipantJoined, "a signer", signer=ZERO_ADDRESS),
    case("no payout", running, ev.ParticipantJoined, "a payout address", payout=ZERO_ADDRESS),
    case(
        "controller twice", running, ev.ParticipantJoined, "a controller", controller=address(200)
    ),
    case(
        "too much weight",
        lambda: created(open=False, weight_cap=(1 << 31) - 1).do(ev.ParticipantJoined),
        ev.ParticipantJoined,
        "weights below",
        rows=(1 << 31) - 10,
    ),
    case("joined late", ended, ev.ParticipantJoined, "a federation that goes on"),
    case(
        "left twice",
        lambda: running().do(ev.ParticipantLeft),
        ev.ParticipantLeft,
        "a participant that has not left",
    ),
    case("unknown leaver", running, ev.ParticipantLeft, "a known participant", participant=9),
    case("left late", ended, ev.ParticipantLeft, "a federation that goes on"),
    case("signer of old", running, ev.SignerRotated, "a signer", signer=address(101)),
    case("rotated late", ended, ev.SignerRotated, "a federation that goes on"),
    case("data set skipped", running, ev.DatasetCommitted, "data set 1", dataset=2),
    case(
        "data set of a leaver",
        lambda: running().do(ev.ParticipantLeft),
        ev.DatasetCommitted,
        "a participant that has not left",
    ),
    case("data set late", ended, ev.DatasetCommitted, "a federation that goes on"),
    # opening
    case("too early", lambda: created().do(ev.ParticipantJoined), ev.RoundOpened, "something"),
    case("opened twice", running, ev.RoundOpened, "something that it follows from"),
    case(
        "not opened",
        lambda: created().do(*[ev.ParticipantJoined] * 3),
        ev.ParticipantLeft,
        "RoundOpened next",
    ),
    case(
        "opened later",
        lambda: created().do(*[ev.ParticipantJoined] * 3),
        ev.RoundOpened,
        "RoundOpened in the same block",
        wait=1,
    ),
    case("round used twice", accepted, ev.RoundOpened, "round 1", round=0),
    case("wrong parent", accepted, ev.RoundOpened, "parent", parent=ZERO_DIGEST),
    case("wrong seats", accepted, ev.RoundOpened, "seats: 3", seats=4),
    case("wrong deadline", accepted, ev.RoundOpened, "deadline", commit_deadline=1),
    # commits
    case("other round", running, ev.UpdateCommitted, "round 0", round=1),
    case("wrong order", running, ev.UpdateCommitted, "order 0", order=1),
    case("too late", running, ev.UpdateCommitted, "a time before", wait=WINDOW),
    case("unknown owner", running, ev.UpdateCommitted, "a known participant", participant=7),
    case(
        "no seat yet",
        lambda: running().do(ev.ParticipantJoined),
        ev.UpdateCommitted,
        "a seat in the round",
        participant=3,
    ),
    case("seat given up", left, ev.UpdateCommitted, "a seat in the round", participant=2),
    case(
        "committed twice",
        lambda: running().do(ev.UpdateCommitted),
        ev.UpdateCommitted,
        "one commit a round",
        participant=0,
    ),
    case("other phase", closed, ev.UpdateCommitted, "phase commit"),
    case(
        "not closed",
        lambda: running().do(*[ev.UpdateCommitted] * 3),
        ev.Checkpoint,
        "CommitClosed next",
    ),
    case("closed early", lambda: running().do(*[ev.UpdateCommitted] * 2), ev.CommitClosed, "time"),
    case(
        "closed with too few",
        lambda: running().do(ev.UpdateCommitted),
        ev.CommitClosed,
        "at least 2 slots",
        wait=WINDOW,
    ),
    case(
        "miscounted",
        lambda: running().do(*[ev.UpdateCommitted] * 3),
        ev.CommitClosed,
        "slots: 3",
        slots=2,
    ),
    case(
        "wrong reveal deadline",
        lambda: running().do(*[ev.UpdateCommitted] * 3),
        ev.CommitClosed,
        "reveal deadline",
        reveal_deadline=3,
    ),
    # proposals
    case("missed early", closed, ev.TurnMissed, "a time from"),
    case("missed another", closed, ev.TurnMissed, "attempt 0", attempt=1, wait=2 * WINDOW),
    case("wrong retry", closed, ev.TurnMissed, "deadline", wait=2 * WINDOW, propose_deadline=0),
    case("out of turn", closed, ev.ResultProposed, address(100), signer=address(101)),
    case("stranger in turn", closed, ev.ResultProposed, address(100), signer=STRANGER),
    case("wrong attempt", closed, ev.ResultProposed, "attempt 0", attempt=1),
    case("proposed late", closed, ev.ResultProposed, "a time before", wait=2 * WINDOW),
    case("proposed again", proposed, ev.ResultProposed, "phase propose"),
    case(
        "window cut", closed, ev.ResultProposed, "challenge deadline", challenge_deadline=START + 1
    ),
    case(
        "proposed while a slice may come",
        lambda: closed(evaluation=Evaluation.SLICES),
        ev.ResultProposed,
        "a time from",
        wait=WINDOW - 1,
    ),
    # votes
    case("vote on another", proposed, ev.Voted, digest(5).hex(), result=digest(6)),
    case("vote of old", proposed, ev.Voted, "attempt 0", attempt=1),
    case("vote too late", proposed, ev.Voted, "a time before", wait=WINDOW),
    case("no seat to vote", proposed, ev.Voted, "a place below 3", ballots=1 << 3),
    case("no vote", proposed, ev.Voted, "a vote", ballots=0),
    case("voted twice", lambda: proposed().do(ev.Voted), ev.Voted, "one vote a seat", ballots=1),
    case("both ways", proposed, ev.Voted, "one vote a seat", ballots=1 | 1 << 128),
    case("vote after the quorum", lambda: proposed().do(ev.Voted, ev.Voted), ev.Voted, "next"),
    case("no quorum", lambda: proposed().do(ev.Voted), ev.ResultAccepted, "a time from"),
    case(
        "no majority",
        lambda: proposed().do(ev.Voted),
        ev.ResultAccepted,
        "a majority of the votes",
        wait=WINDOW,
    ),
    case(
        "accepted another",
        lambda: proposed().do(ev.Voted, ev.Voted),
        ev.ResultAccepted,
        digest(5).hex(),
        result=digest(6),
    ),
    case(
        "height skipped",
        lambda: proposed().do(ev.Voted, ev.Voted),
        ev.ResultAccepted,
        "height 1",
        height=2,
    ),
    case("rejected early", proposed, ev.ResultRejected, "a time from"),
    case(
        "rejected by nobody",
        lambda: proposed(quorum_bps=9000).do(ev.Voted, ev.Voted),
        ev.ResultRejected,
        "no majority for the result",
        wait=WINDOW,
    ),
    case("rejection's attempt", proposed, ev.ResultRejected, "attempt 0", attempt=1, wait=WINDOW),
    case(
        "rejection's deadline",
        proposed,
        ev.ResultRejected,
        "deadline",
        wait=WINDOW,
        propose_deadline=0,
    ),
    # void, settled, ended
    case(
        "another attempt after the last",
        lambda: proposed(attempts=1).against(0).against(1).do(ev.ResultRejected),
        ev.ResultProposed,
        "RoundVoided next",
    ),
    case("void for nothing", running, ev.RoundVoided, "too few commits at the deadline"),
    case("void between", accepted, ev.RoundVoided, "RoundOpened or FederationEnded next"),
    case("void of another", running, ev.RoundVoided, "round 0", round=3, wait=WINDOW),
    case("void before any", created, ev.RoundVoided, "an open round"),
    case(
        "void although voted for",
        lambda: proposed(quorum_bps=9000).do(ev.Voted, ev.Voted),
        ev.RoundVoided,
        "no majority for the standing result",
        wait=4 * WINDOW,
    ),
    case(
        "void while voted on",
        lambda: proposed(idle_window=WINDOW - 1),
        ev.RoundVoided,
        f"a time from {START + WINDOW} on",
        wait=WINDOW - 1,
    ),
    case(
        "void soon after round 0 opened",
        lambda: late(idle_window=WINDOW - 1),
        ev.RoundVoided,
        f"a time from {START + 2 * WINDOW - 3} on",
        wait=WINDOW - 2,
    ),
    case(
        "goes on after closing",
        lambda: idle(closed()).do(ev.RoundVoided),
        ev.RoundOpened,
        "FederationEnded next",
    ),
    case("settled nothing", closed, ev.ResultSettled, "an accepted result that waits"),
    case("settled early", second, ev.ResultSettled, "a time from"),
    case(
        "settled another",
        second,
        ev.ResultSettled,
        digest(5).hex(),
        result=digest(4),
        wait=CHALLENGE,
    ),
    case("settled a height", second, ev.ResultSettled, "height 1", height=2, wait=CHALLENGE),
    case("period at will", second, ev.PeriodEnded, "something that it follows from"),
    case(
        "period of another",
        lambda: second(reward_period=1).at(START + CHALLENGE).do(ev.ResultSettled),
        ev.PeriodEnded,
        digest(5).hex(),
        result=digest(4),
    ),
    case("idle too early", created, ev.FederationEnded, "a time from", idle=True),
    case(
        "idle with a round open",
        lambda: idle(running()),
        ev.FederationEnded,
        "no open round",
        idle=True,
    ),
    case("ended for nothing", running, ev.FederationEnded, "an accepted result"),
    case(
        "goes on after the last round",
        lambda: accepted(rounds=1),
        ev.RoundOpened,
        "FederationEnded next",
    ),
    case(
        "stops with the statistics",
        lambda: accepted(statistics=3),
        ev.FederationEnded,
        "RoundOpened next",
    ),
    # money
    case("withdrawn before it is owed", proposed, ev.Withdrawn, "in wei of 0"),
    case("withdrawn by another", ended, ev.Withdrawn, "in wei of 0", account=STRANGER),
    case("part of a bond withdrawn", ended, ev.Withdrawn, "in wei of 7", ethers=Wei(6)),
    case("another's fee withdrawn", ended, ev.Withdrawn, "fees of 0, or none", fees=Wei(1)),
    case("withdrawn twice", lambda: ended().do(ev.Withdrawn), ev.Withdrawn, "in wei of 0"),
    case("nothing withdrawn", ended, ev.Withdrawn, "a payment to", account=RELAY, ethers=Wei(0)),
    case("claim before the end", proposed, ev.PayoutClaimed, "a reward period that has ended"),
    case("claim elsewhere", ended, ev.PayoutClaimed, address(300), payout=STRANGER),
    case("claim of nothing", ended, ev.PayoutClaimed, "an amount", amount=Wei(0)),
    case("claims above the total", ended, ev.PayoutClaimed, "at most 600", amount=Wei(601)),
    case("refund too early", second, ev.Refunded, "an ended federation"),
    case("refund too large", ended, ev.Refunded, "400 wei", amount=Wei(401)),
    case("refund to another", ended, ev.Refunded, CREATOR, creator=STRANGER),
    case("refund twice", lambda: ended().do(ev.Refunded), ev.Refunded, "one refund"),
    case("stake of a member", second, ev.StakeWithdrawn, "a participant that is gone"),
    case("stake while unsettled", left, ev.StakeWithdrawn, "is gone", participant=2),
    case(
        "stake twice",
        lambda: ended().do(ev.StakeWithdrawn),
        ev.StakeWithdrawn,
        "a stake not yet returned",
    ),
    case("stake of another size", ended, ev.StakeWithdrawn, "a stake of 5", amount=Wei(6)),
    # signers, keys, data sets
    case("key late", ended, ev.KeyRegistered, "a federation that goes on"),
    case(
        "key of a leaver",
        lambda: running().do(ev.ParticipantLeft),
        ev.KeyRegistered,
        "a participant that has not left",
    ),
    case(
        "signer of a leaver",
        lambda: running().do(ev.ParticipantLeft),
        ev.SignerRotated,
        "a participant that has not left",
    ),
    case("more rows amended", running, ev.DatasetAmended, "at most 10 rows", rows=11),
    case("amendment skipped", running, ev.DatasetAmended, "data set 1", dataset=3),
    # the relay's batch
    case("batch without a relay", running, ev.BatchPosted, "a policy with a relay"),
    case("batch too late", relayed, ev.BatchPosted, "a time before", wait=10),
    case("empty batch", relayed, ev.BatchPosted, "1 to 3 leaves", leaves=0),
    case("too large a batch", relayed, ev.BatchPosted, "1 to 3 leaves", leaves=4),
    case("second batch", lambda: relayed().do(ev.BatchPosted), ev.BatchPosted, "one batch a round"),
    case(
        "batch does not close the phase",
        lambda: relayed().do(ev.BatchPosted).do(ev.UpdateCommitted),
        ev.CommitClosed,
        "a time from",
        wait=20,
    ),
    # a committee that is drawn
    case("seed for everybody", running, ev.SeedDrawn, "a round that waits for its seed"),
    case("commit without a seed", drawing, ev.UpdateCommitted, "SeedDrawn before"),
    case("batch without a seed", drawing, ev.BatchPosted, "SeedDrawn before"),
    case(
        "second seed",
        lambda: drawing().do(ev.SeedDrawn, ev.UpdateCommitted),
        ev.SeedDrawn,
        "a round that waits for its seed",
    ),
    case("place not drawn", drawn, ev.Voted, "a place below 2", ballots=1 << 2),
    # slices
    case("slice while committing", running, ev.SliceOpened, "phase propose"),
    case("slice too late", closed, ev.SliceOpened, "a time before", wait=WINDOW),
    case("slice for a retry", missed, ev.SliceOpened, "attempt 0"),
    # fees
    case("fees of nobody", paid, ev.FeesCollected, "a known participant", participant=8),
    case("no such fee", ended, ev.FeesCollected, "at most 0", amount=Wei(3)),
    case("part of a fee", paid, ev.FeesCollected, "multiples of 3", amount=Wei(2)),
    case("no fee", paid, ev.FeesCollected, "multiples of 3", amount=Wei(0)),
    case("fee of who did not vote", paid, ev.FeesCollected, "at most 0", participant=2),
    case("fee twice", lambda: paid().do(ev.FeesCollected), ev.FeesCollected, "at most 0"),
    case("refund of the fees", paid, ev.Refunded, "388 wei"),
    case("charged before it settles", second, ev.UnavailableCharged, "whose result has settled"),
    case("charged twice", charged, ev.UnavailableCharged, "one charge a round"),
    case("overcharged", paid, ev.UnavailableCharged, "a fee of 4 wei", amount=Wei(5)),
    case(
        "charged for nothing",
        lambda: paid().do(ev.StakeWithdrawn),
        ev.UnavailableCharged,
        "a fee of 0 wei",
        amount=Wei(0),
    ),
    case(
        "stake before its time",
        lambda: ended(unbonding_window=CHALLENGE + 9),
        ev.StakeWithdrawn,
        "a time from",
    ),
    case("checkpoint of another h", running, ev.Checkpoint, "00", h=digest(1)),
]


@pytest.mark.parametrize("broken", CASES, ids=lambda one: one.name)
def test_rule_broken(broken: Broken) -> None:
    require_refused(broken)


def test_something_that_is_no_event_is_refused() -> None:
    state = created().state
    with pytest.raises(HistoryViolation, match="an event of the contract"):
        state.apply(ev.Event(meta=Script().meta(), federation=FEDERATION, h=ZERO_DIGEST))


# -- what may follow


def test_too_few_commits_at_the_deadline_void_the_round() -> None:
    script = running().do(ev.UpdateCommitted)
    script.at(script.time + WINDOW).do(ev.RoundVoided, ev.RoundOpened)
    assert [r.outcome for r in script.state.rounds] == [Outcome.VOID, Outcome.OPEN]


def test_commits_close_at_the_deadline() -> None:
    script = running().do(*[ev.UpdateCommitted] * 2)
    script.at(script.time + WINDOW).do(ev.CommitClosed)
    assert script.state.phase is Phase.PROPOSE


def test_a_seat_that_fits_no_place_counts_in_a_round_that_keeps_its_committee() -> None:
    script = created(start_participants=256, max_participants=300, committee_size=128)
    script.do(*[ev.ParticipantJoined] * 256, ev.RoundOpened, ev.SeedDrawn)
    gone = member(SEED, 3, known=256, size=128)
    script.do(ev.ParticipantLeft, participant=gone).do(ev.ParticipantJoined)
    script.at(script.time + WINDOW).do(ev.RoundVoided, ev.RoundOpened)
    round_ = script.state.round
    assert (round_.known, round_.candidates, round_.seats) == (257, 256, 256)
    drawn = script.state.committee(round_)
    assert (len(drawn.seated), drawn.seats) == (127, 128)


def test_anybody_may_announce_a_slice() -> None:
    script = closed().do(ev.SliceOpened, account=CREATOR, digest=digest(6))
    script.do(ev.SliceOpened, digest=digest(6)).do(ev.SliceOpened, digest=digest(8))
    found = [(event.account, event.digest) for event in script.state.round.slices]
    assert found == [(CREATOR, digest(6)), (STRANGER, digest(6)), (STRANGER, digest(8))]


def test_a_round_whose_slice_may_have_been_opened_uses_it_up() -> None:
    script = missed().at(START + 10 * WINDOW).do(ev.TurnMissed, ev.RoundVoided, ev.RoundOpened)
    script.at(script.time + WINDOW).do(ev.RoundVoided, ev.RoundOpened)
    numbers = [script.state.slice_number(round_) for round_ in script.state.rounds]
    assert [round_.closed is not None for round_ in script.state.rounds] == [True, False, False]
    assert numbers == [0, 1, 1]


def test_after_a_missed_turn_anybody_proposes() -> None:
    script = missed()
    assert script.state.in_turn(script.state.round) is None
    script.do(ev.ResultProposed, proposer=STRANGER)
    assert script.state.round.proposal.attempt == 1


def test_attempts_run_out() -> None:
    script = missed()
    script.at(script.time + WINDOW).do(ev.TurnMissed, ev.RoundVoided, ev.RoundOpened)
    assert script.state.round.index == 1
    assert script.state.head == ZERO_DIGEST


def test_a_rejected_result_goes_back_to_its_round() -> None:
    script = proposed().against(0).against(1)
    script.do(ev.ResultRejected)
    turn = script.state.in_turn(script.state.round)
    assert turn is not None
    assert turn.index == 1
    script.do(ev.ResultProposed, ev.Voted, ev.Voted, ev.ResultAccepted)
    assert [p.result for p in script.state.round.proposals] == [digest(5)] * 2


def test_a_majority_decides_at_the_deadline() -> None:
    script = proposed(quorum_bps=9000).do(ev.Voted, ev.Voted)
    script.at(script.time + WINDOW).do(ev.ResultAccepted)
    assert script.state.head == digest(5)


def test_idle_with_a_standing_result() -> None:
    script = idle(proposed()).do(ev.RoundVoided).do(ev.FederationEnded, idle=True)
    assert script.state.settled
    assert script.do(ev.Refunded, amount=Wei(1000)).state.refund is not None


def test_idle_head_that_settled_ends_its_period() -> None:
    script = second()
    script.at(script.time + CHALLENGE).do(ev.ResultSettled)
    idle(script).do(ev.RoundVoided).do(ev.FederationEnded, idle=True).do(ev.PeriodEnded)
    assert script.state.lineage[0].ends_period


def test_bonds_add_up_until_they_are_withdrawn() -> None:
    script = missed(attempts=4)
    for _ in range(2):
        script.do(ev.ResultProposed, proposer=STRANGER)
        script.against(0).against(1)
        script.do(ev.ResultRejected)
    script.do(ev.Withdrawn, account=STRANGER, ethers=Wei(14))


def test_a_signer_changes_with_the_next_round() -> None:
    script = closed().do(ev.SignerRotated)
    turn = script.state.in_turn(script.state.round)
    assert turn is not None
    assert turn.signer_in(0) == address(100)
    assert turn.signer_in(1) == turn.signer == address(999)
    for account in (address(100), address(999)):
        assert script.state.member(account) is script.state.participants[0]
    script.do(ev.ResultProposed, ev.Voted, ev.Voted, ev.ResultAccepted, ev.RoundOpened)
    assert script.state.member(address(100)) is None


def test_weights_follow_the_newest_data_set_before_the_round() -> None:
    script = running(open=False, weight_cap=15, statistics=3).do(ev.DatasetCommitted)
    first = script.state.round
    assert script.state.weight(0, first) == 1
    assert script.state.scale(0, first) == 10
    script.do(*[ev.UpdateCommitted] * 3, ev.CommitClosed, ev.ResultProposed)
    script.do(ev.Voted, ev.Voted, ev.ResultAccepted, ev.RoundOpened)
    assert script.state.weight(0, script.state.round) == 15
    assert script.state.weight(1, script.state.round) == 10


def test_the_next_deadline() -> None:
    script = created()
    assert script.state.deadline is None
    assert running().state.deadline == START + WINDOW
    assert closed().state.deadline == START + 2 * WINDOW
    assert proposed().state.deadline == START + WINDOW
    assert ended().state.deadline is None


def test_signed_slots_come_before_the_direct_ones() -> None:
    script = relayed().do(ev.BatchPosted, ev.UpdateCommitted)
    assert (script.state.round.slots, script.state.round.commits[0].order) == (3, 0)
    script.at(script.time + WINDOW).do(ev.CommitClosed)
    assert script.state.round.batch_root == digest(15)


def test_all_who_commit_themselves_close_the_phase() -> None:
    script = relayed().do(ev.BatchPosted, *[ev.UpdateCommitted] * 3, ev.CommitClosed)
    assert script.state.round.slots == 5


def test_a_round_whose_seed_is_lost_is_void_at_once() -> None:
    script = drawing().do(ev.RoundVoided, ev.RoundOpened)
    assert script.state.rounds[0].outcome is Outcome.VOID


def test_the_drawn_vote_and_nobody_else() -> None:
    script = drawn()
    committee = script.state.round.proposal.committee
    assert (len(committee.places), committee.seats) == (2, 2)
    script.do(ev.Voted, ballots=3).do(ev.ResultAccepted)
    assert set(script.state.rounds[0].proposal.votes) == set(committee.places)


def test_one_event_may_carry_many_votes() -> None:
    script = proposed().do(ev.Voted, ballots=0b101)
    assert script.do(ev.ResultAccepted).state.rounds[0].proposal.votes == {0: True, 2: True}


@pytest.mark.parametrize(
    ("quorum_bps", "enough"), [(1, 1), (3333, 1), (3334, 2), (6666, 2), (6667, 3), (10_000, 3)]
)
def test_a_quorum_is_reached_by_the_least_number_that_is_its_part(
    quorum_bps: int, enough: int
) -> None:
    for votes in range(4):
        for against, end in ((0, ev.ResultAccepted), (128, ev.ResultRejected)):
            script = proposed(quorum_bps=quorum_bps)
            script.do(ev.Voted, ballots=(1 << votes) - 1 << against) if votes else None
            if votes >= enough:
                script.do(end)
            else:
                with pytest.raises(HistoryViolation, match="a time from"):
                    script.do(end)


@pytest.mark.parametrize(
    ("size", "seats", "redraws"), [(4, 3, False), (4, 2, False), (4, 1, True), (5, 2, True)]
)
def test_a_rejection_by_a_mostly_empty_committee_lets_another_be_drawn(
    size: int, seats: int, redraws: bool
) -> None:
    members = size + 1
    script = created(
        start_participants=members, max_participants=10, committee_size=size, attempts=1
    )
    script.do(*[ev.ParticipantJoined] * members, ev.RoundOpened, ev.SeedDrawn)
    for participant in (0, 2, 3, 4)[: members - seats]:
        script.do(ev.ParticipantLeft, participant=participant).do(ev.ParticipantJoined)
    script.at(script.time + WINDOW).do(ev.RoundVoided, ev.RoundOpened)
    for participant in (1, 5):
        script.do(ev.UpdateCommitted, participant=participant)
    script.at(script.time + WINDOW).do(ev.CommitClosed, ev.ResultProposed)
    committee = script.state.round.proposal.committee
    assert committee.seats == len(committee.seated) == seats
    ballots = [committee.ballot(member, support=False) for member in committee.seated]
    script.do(ev.Voted, ballots=sum(ballots)).do(ev.ResultRejected)
    assert script.state.round.redraws == redraws
    again = script.do(ev.RoundVoided, ev.RoundOpened).state.round
    assert (again.seed is None, again.candidates) == (redraws, again.known if redraws else members)


def test_a_silent_committee_is_drawn_anew_whoever_votes_later() -> None:
    script = proposed(attempts=2, committee_size=3)
    script.at(script.time + WINDOW).do(ev.ResultRejected)
    assert script.state.round.redraws
    script.do(ev.ResultProposed, ev.Voted).against(1).against(2).do(ev.ResultRejected)
    assert script.state.round.redraws


def test_bytes_of_all_rounds_may_be_asked_for_until_a_result_settles() -> None:
    script = accepted()
    assert running().state.over == script.state.over == 0
    script.do(ev.RoundOpened).at(script.time + CHALLENGE + 7).do(ev.ResultSettled)
    assert script.state.over == 1


def test_between_rounds_time_settles_a_result() -> None:
    state = accepted().state
    assert state.advances == state.lineage[0].proposal.challenge_deadline
    assert ended().state.advances is None


def test_a_stake_is_bound_from_when_the_last_own_round_settles() -> None:
    script = left(unbonding_window=50)
    script.do(*[ev.UpdateCommitted] * 2, ev.CommitClosed, ev.ResultProposed, ev.Voted, ev.Voted)
    script.do(ev.ResultAccepted, ev.RoundOpened).at(START + CHALLENGE + 7).do(ev.ResultSettled)
    own = script.time
    script.at(own + 20).do(ev.ResultSettled).at(own + 49)
    stake: dict[str, object] = {"participant": ParticipantId(2), "amount": Wei(5)}
    require_refused(Broken("early", lambda: script, ev.StakeWithdrawn, stake, f"from {own + 50} "))
    script.at(own + 50).do(ev.StakeWithdrawn, **stake)
    assert script.state.participants[2].stake == 0


def test_fees_are_owed_by_settled_results() -> None:
    script = paid()
    state = script.state
    assert (state.fees, state.left) == (12, 388)
    assert state.credits.of(address(100)) == Credit(ethers=7, fees=4)
    assert state.credits.of(RELAY) == Credit(fees=2)
    script.do(ev.FeesCollected)
    assert state.credits.of(address(300)) == Credit(fees=3)
    assert script.do(ev.Refunded, amount=Wei(388)).state.refund is not None


def test_claims_add_up_to_the_total() -> None:
    script = ended().do(ev.PayoutClaimed, amount=Wei(1))
    script.do(ev.PayoutClaimed, amount=Wei(599))
    assert script.state.participants[0].paid == 600
    with pytest.raises(HistoryViolation, match="claims of at most 600"):
        script.do(ev.PayoutClaimed, amount=Wei(1))


def test_a_proposer_that_is_voted_down_pays_a_fee() -> None:
    script = proposed(rejection_fee=3).against(0).against(1).do(ev.ResultRejected)
    assert script.state.credits.of(address(100)) == Credit(ethers=4)


def test_a_charge_leaves_no_more_than_the_stake_pays() -> None:
    script = charged()
    assert script.state.participants[0].stake == 1
    script.do(ev.StakeWithdrawn, amount=Wei(1))
    assert script.state.participants[0].stake == 0


def test_who_has_left_may_still_erase() -> None:
    script = running().do(ev.ParticipantLeft, ev.DatasetAmended)
    assert script.state.participants[0].datasets[-1].erasure == digest(14)


def test_a_key_holds_from_the_next_round_on() -> None:
    participant = running().do(ev.KeyRegistered).state.participants[0]
    assert participant.keys == [(0, bytes(32)), (1, digest(13))]
    assert participant.key == digest(13)


def test_a_stake_waits_for_its_unbonding_time() -> None:
    script = ended(unbonding_window=CHALLENGE + 9)
    script.at(script.time + CHALLENGE + 9).do(ev.StakeWithdrawn)
    assert script.state.participants[0].stake == 0


def test_unbonding_counts_from_the_last_settlement() -> None:
    script = ended(unbonding_window=9)
    with pytest.raises(HistoryViolation, match=f"a time from {script.time + 9} on"):
        script.at(script.time + 8).do(ev.StakeWithdrawn)


def test_fees_in_a_token_that_fails_stay_owed() -> None:
    script = paid().do(ev.Withdrawn, fees=Wei(0))
    assert script.state.credits.of(address(100)) == Credit(fees=4)


def test_a_seed_is_due_from_the_opening_on() -> None:
    script = drawing()
    assert script.state.advances == START
    assert script.at(START + 3).do(ev.SeedDrawn).state.advances == START + WINDOW


def test_a_result_measured_on_a_slice_waits_for_it() -> None:
    script = closed(evaluation=Evaluation.SLICES).do(ev.SliceOpened)
    script.at(START + WINDOW).do(ev.ResultProposed)
    assert [opened.digest for opened in script.state.round.slices] == [digest(17)]
