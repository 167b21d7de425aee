"""The fold is strict: each rule broken once, named, and nothing changed by what was refused."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace

import pytest

from ledger import history as ev
from ledger.headers import PolicyHeader
from ledger.state import FederationState, HistoryViolation, Outcome, Phase
from ledger.types import (
    ZERO_ADDRESS,
    ZERO_DIGEST,
    Address,
    FederationId,
    ParticipantId,
    RoundIndex,
    Wei,
)
from tests.ledger.chain.samples import CHALLENGE, WINDOW, digest, policy

LEDGER = Address("0x" + "42" * 20)
FEDERATION = FederationId(digest(77))
START = 1_000_000
CREATOR, STRANGER = Address("0x" + "c0" * 20), Address("0x" + "99" * 20)


def address(number: int) -> Address:
    return Address(f"0x{number:040x}")


def header() -> PolicyHeader:
    terms = policy(1, LEDGER, members=4)
    return replace(terms, start_participants=3, least_updates=2, attempts=2, pool=1000, rounds=3)


class Script:
    """Applies the events that the contract would emit; `good` makes the next one of a kind."""

    def __init__(self, **terms: object) -> None:
        self.policy = replace(header(), **terms)  # type: ignore[arg-type]
        self.state = FederationState(FEDERATION, self.policy)
        self.time = START

    def meta(self, sender: Address = STRANGER) -> ev.EventMeta:
        return ev.EventMeta(7, digest(7), self.time, digest(self.time), 0, sender)

    def good(self, kind: type[ev.Event], **fields: object) -> ev.Event:
        """Make the valid next event of a kind, or another one by its fields."""
        common = {"meta": self.meta(), "federation": FEDERATION, "h": self.state.h}
        return kind(**(common | self._fields(kind) | fields))  # type: ignore[arg-type]

    def do(self, *kinds: type[ev.Event], **fields: object) -> "Script":
        for kind in kinds:
            self.state.apply(self.good(kind, **fields))
        return self

    def at(self, time: int) -> "Script":
        self.time = time
        return self

    def _fields(self, kind: type[ev.Event]) -> dict[str, object]:
        state, policy = self.state, self.policy
        known = len(state.participants)
        round_ = state.rounds[-1] if state.rounds else None
        index = round_.index if round_ else RoundIndex(0)
        attempt = round_.attempt if round_ else 0
        result = round_.proposal.result if round_ and round_.proposals else digest(5)
        last = attempt + 1 >= policy.attempts
        retry = 0 if last else self.time + policy.propose_window
        waiting = [a for a in state.lineage if not a.settled]
        settled = [a for a in state.lineage if a.settled]
        proposer = address(100 + (index + attempt) % max(1, round_.known if round_ else 1))
        fields: dict[type[ev.Event], dict[str, object]] = {
            ev.FederationCreated: {
                "creator": CREATOR,
                "policy": policy.digest(),
                "salt": ZERO_DIGEST,
                "pool": Wei(policy.pool),
            },
            ev.ParticipantJoined: {
                "participant": ParticipantId(known),
                "signer": address(100 + known),
                "controller": address(200 + known),
                "payout": address(300 + known),
                "identity": digest(1),
                "dataset_root": digest(2),
                "rows": 10,
            },
            ev.ParticipantLeft: {"participant": ParticipantId(0)},
            ev.SignerRotated: {"participant": ParticipantId(0), "signer": address(999)},
            ev.DatasetCommitted: {
                "participant": ParticipantId(0),
                "dataset": 1,
                "root": digest(3),
                "rows": 20,
            },
            ev.StakeWithdrawn: {"participant": ParticipantId(0), "amount": Wei(policy.stake)},
            ev.RoundOpened: {
                "round": RoundIndex(len(state.rounds)),
                "parent": state.head,
                "seats": sum(p.until is None for p in state.participants),
                "commit_deadline": self.time + WINDOW,
            },
            ev.UpdateCommitted: {
                "round": index,
                "slot": len(round_.commits) if round_ else 0,
                "participant": ParticipantId(len(round_.commits) if round_ else 0),
                "digest": digest(4),
            },
            ev.CommitClosed: {
                "round": index,
                "commits": len(round_.commits) if round_ else 0,
                "reveal_deadline": self.time + WINDOW,
                "propose_deadline": self.time + 2 * WINDOW,
            },
            ev.TurnMissed: {"round": index, "attempt": attempt, "propose_deadline": retry},
            ev.ResultProposed: {
                "round": index,
                "attempt": attempt,
                "proposer": proposer,
                "result": digest(5 + index),
                "index": digest(6),
                "attest_deadline": self.time + WINDOW,
                "challenge_deadline": self.time + CHALLENGE,
            },
            ev.Voted: {
                "round": index,
                "attempt": attempt,
                "participant": ParticipantId(
                    len(round_.proposal.votes) if round_ and round_.proposals else 0
                ),
                "result": result,
                "support": True,
            },
            ev.ResultAccepted: {
                "round": index,
                "result": result,
                "height": len(state.lineage) + 1,
            },
            ev.ResultRejected: {
                "round": index,
                "attempt": attempt,
                "result": result,
                "propose_deadline": retry,
            },
            ev.RoundVoided: {"round": index},
            ev.ResultSettled: {
                "result": waiting[0].result if waiting else digest(5),
                "height": waiting[0].height if waiting else 1,
            },
            ev.PeriodEnded: {
                "result": settled[-1].result if settled else digest(5),
                "payouts": digest(8),
                "total": Wei(600),
            },
            ev.FederationEnded: {"idle": False},
            ev.PayoutClaimed: {
                "participant": ParticipantId(0),
                "payout": address(300),
                "amount": Wei(400),
            },
            ev.Refunded: {"creator": CREATOR, "amount": Wei(400)},
            ev.BondReturned: {
                "proposer": state._creditor,
                "amount": Wei(policy.proposer_bond),
            },
            ev.BondWithdrawn: {"proposer": address(100), "amount": Wei(policy.proposer_bond)},
            ev.Checkpoint: {},
        }
        return fields[kind]


# -- how far things have come


def created(**terms: object) -> Script:
    return Script(**terms).do(ev.FederationCreated)


def running(**terms: object) -> Script:
    return created(**terms).do(*[ev.ParticipantJoined] * 3, ev.RoundOpened)


def late(**terms: object) -> Script:
    """Give a federation whose last participant joined just before it would have been idle."""
    script = created(**terms).do(*[ev.ParticipantJoined] * 2)
    return script.at(START + script.policy.idle_window - 1).do(ev.ParticipantJoined, ev.RoundOpened)


def closed(**terms: object) -> Script:
    return running(**terms).do(*[ev.UpdateCommitted] * 3, ev.CommitClosed)


def missed(**terms: object) -> Script:
    script = closed(**terms)
    return script.at(script.time + 2 * WINDOW).do(ev.TurnMissed)


def proposed(**terms: object) -> Script:
    return closed(**terms).do(ev.ResultProposed)


def accepted(**terms: object) -> Script:
    return proposed(**terms).do(ev.Voted, ev.Voted, ev.ResultAccepted)


def second(**terms: object) -> Script:
    return accepted(**terms).do(ev.RoundOpened)


def ended() -> Script:
    """Give a federation of one round, all settled."""
    script = accepted(rounds=1).do(ev.FederationEnded)
    script.at(script.time + CHALLENGE).do(ev.ResultSettled, ev.BondReturned, ev.PeriodEnded)
    return script


def rejected() -> Script:
    """Give a federation whose first result was just rejected, its bond due."""
    script = proposed()
    return script.at(script.time + WINDOW).do(ev.ResultRejected)


def idle(script: Script) -> Script:
    return script.at(script.time + script.policy.idle_window)


def left(**terms: object) -> Script:
    """Give a federation whose participant 2 left in round 0; round 1 is open."""
    script = proposed(**terms).do(ev.ParticipantLeft, participant=ParticipantId(2))
    return script.do(ev.Voted, ev.Voted, ev.ResultAccepted, ev.RoundOpened)


@dataclass(frozen=True)
class Broken:
    """An event that cannot follow, and what is said about it."""

    name: str
    so_far: Callable[[], Script]
    kind: type[ev.Event]
    fields: dict[str, object]
    expected: str
    wait: int = 0


def case(
    name: str,
    so_far: Callable[[], Script],
    kind: type[ev.Event],
    expected: str,
    *,
    wait: int = 0,
    **fields: object,
) -> Broken:
    return Broken(name, so_far, kind, fields, expected, wait)


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
    case("wrong seats", accepted, ev.RoundOpened, "3 seats", seats=4),
    case("wrong deadline", accepted, ev.RoundOpened, "deadline", commit_deadline=1),
    # commits
    case("other round", running, ev.UpdateCommitted, "round 0", round=1),
    case("wrong slot", running, ev.UpdateCommitted, "slot 0", slot=1),
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
        "at least 2 commits",
        wait=WINDOW,
    ),
    case(
        "miscounted",
        lambda: running().do(*[ev.UpdateCommitted] * 3),
        ev.CommitClosed,
        "3 commits",
        commits=2,
    ),
    case(
        "wrong reveal deadline",
        lambda: running().do(*[ev.UpdateCommitted] * 3),
        ev.CommitClosed,
        "deadlines",
        reveal_deadline=3,
    ),
    # proposals
    case("missed early", closed, ev.TurnMissed, "a time from"),
    case("missed another", closed, ev.TurnMissed, "attempt 0", attempt=1, wait=2 * WINDOW),
    case("wrong retry", closed, ev.TurnMissed, "deadline", wait=2 * WINDOW, propose_deadline=0),
    case("out of turn", closed, ev.ResultProposed, address(100), proposer=address(101)),
    case("stranger in turn", closed, ev.ResultProposed, address(100), proposer=STRANGER),
    case("wrong attempt", closed, ev.ResultProposed, "attempt 0", attempt=1),
    case("proposed late", closed, ev.ResultProposed, "a time before", wait=2 * WINDOW),
    case("proposed again", proposed, ev.ResultProposed, "phase propose"),
    case("window cut", closed, ev.ResultProposed, "deadlines", challenge_deadline=START + 1),
    # votes
    case("vote on another", proposed, ev.Voted, digest(5).hex(), result=digest(6)),
    case("vote of old", proposed, ev.Voted, "attempt 0", attempt=1),
    case("vote too late", proposed, ev.Voted, "a time before", wait=WINDOW),
    case("no seat to vote", proposed, ev.Voted, "a known participant", participant=5),
    case(
        "voted twice", lambda: proposed().do(ev.Voted), ev.Voted, "one vote a seat", participant=0
    ),
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
        lambda: second(reward_period=1).at(START + CHALLENGE).do(ev.ResultSettled, ev.BondReturned),
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
    case("bond of another", rejected, ev.BondReturned, address(100), proposer=STRANGER),
    case("bond too large", rejected, ev.BondReturned, "7 wei", amount=Wei(8)),
    case("bond withdrawn before it is returned", proposed, ev.BondWithdrawn, "a credit of 0 wei"),
    case("bond of another withdrawn", ended, ev.BondWithdrawn, "of 0 wei", proposer=STRANGER),
    case("part of a bond withdrawn", ended, ev.BondWithdrawn, "of 7 wei", amount=Wei(6)),
    case("nothing withdrawn", second, ev.BondWithdrawn, "a credit of 0 wei", amount=Wei(0)),
    case(
        "bond withdrawn twice",
        lambda: ended().do(ev.BondWithdrawn),
        ev.BondWithdrawn,
        "a credit of 0 wei",
    ),
    case("bond out of nothing", proposed, ev.BondReturned, "something that it follows from"),
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
    case("stake of another size", ended, ev.StakeWithdrawn, "a stake of 5 wei", amount=Wei(6)),
    case("checkpoint of another h", running, ev.Checkpoint, "00", h=digest(1)),
]


@pytest.mark.parametrize("broken", CASES, ids=lambda one: one.name)
def test_rule_broken(broken: Broken) -> None:
    script = broken.so_far()
    state = script.at(script.time + broken.wait).state
    event = script.good(broken.kind, **broken.fields)
    before = deepcopy(vars(state))
    with pytest.raises(HistoryViolation) as refused:
        state.apply(event)
    assert broken.expected in refused.value.expected, refused.value.expected
    assert refused.value.event is event
    assert vars(state) == before


def test_every_kind_of_event_is_broken_somewhere() -> None:
    assert {broken.kind for broken in CASES} == set(ev.EVENTS)


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
    script = proposed().do(ev.Voted, support=False).do(ev.Voted, support=False)
    script.do(ev.ResultRejected, ev.BondReturned)
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
    script = idle(proposed()).do(ev.RoundVoided, ev.BondReturned).do(ev.FederationEnded, idle=True)
    assert script.state.settled
    assert script.do(ev.Refunded, amount=Wei(1000)).state.refund is not None


def test_idle_head_that_settled_ends_its_period() -> None:
    script = second()
    script.at(script.time + CHALLENGE).do(ev.ResultSettled, ev.BondReturned)
    idle(script).do(ev.RoundVoided).do(ev.FederationEnded, idle=True).do(ev.PeriodEnded)
    assert script.state.lineage[0].ends_period


def test_bonds_add_up_until_they_are_withdrawn() -> None:
    script = missed(attempts=4)
    for _ in range(2):
        script.do(ev.ResultProposed, proposer=STRANGER)
        script.do(ev.Voted, support=False).do(ev.Voted, support=False)
        script.do(ev.ResultRejected, ev.BondReturned)
    script.do(ev.BondWithdrawn, proposer=STRANGER, amount=Wei(14))


def test_a_signer_may_change_within_a_round() -> None:
    script = closed().do(ev.SignerRotated)
    turn = script.state.in_turn(script.state.round)
    assert turn is not None
    assert turn.signer == address(999)
    member = script.state.member(address(999))
    assert member is not None
    assert member.index == 0
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
