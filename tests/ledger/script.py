"""A federation's history made by hand, event by event, as the contract would emit it."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace

import pytest

from ledger import history as ev
from ledger.headers import PolicyHeader
from ledger.state import FederationState
from ledger.strict import HistoryViolation
from ledger.types import (
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
CHALLENGER, ANSWERER = Address("0x" + "ca" * 20), Address("0x" + "aa" * 20)
RELAY = Address("0x" + "4e" * 20)
SEED = bytes(range(32))


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

    def good(self, kind: type[ev.Event], /, **fields: object) -> ev.Event:
        """Make the valid next event of a kind, or another one by its fields."""
        common = {"meta": self.meta(), "federation": FEDERATION, "h": self.state.h}
        return kind(**(common | self._fields(kind) | fields))  # type: ignore[arg-type]

    def do(self, *kinds: type[ev.Event], **fields: object) -> "Script":
        for kind in kinds:
            self.state.apply(self.good(kind, **fields))
        return self

    def against(self, place: int) -> "Script":
        """Vote against the standing result."""
        return self.do(ev.Voted, ballots=1 << 128 + place)

    def at(self, time: int) -> "Script":
        self.time = time
        return self

    def _fields(self, kind: type[ev.Event]) -> dict[str, object]:
        state, policy = self.state, self.policy
        known = len(state.participants)
        round_ = state.round if state.rounds else None
        index = round_.index if round_ else RoundIndex(0)
        attempt = round_.attempt if round_ else 0
        result = round_.proposal.result if round_ and round_.proposals else digest(5)
        last = attempt + 1 >= policy.attempts
        retry = 0 if last else self.time + policy.propose_window
        waiting = [a for a in state.lineage if not a.settled]
        settled = [a for a in state.lineage if a.settled]
        proposer = address(100 + (index + attempt) % max(1, round_.known if round_ else 1))
        dispute: dict[str, object] = {"result": result, "attempt": attempt, "challenge": 0}
        step = dispute | {"challenger": CHALLENGER}
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
                "key": bytes(32),
                "dataset_root": digest(2),
                "rows": 10,
            },
            ev.ParticipantLeft: {"participant": ParticipantId(0)},
            ev.SignerRotated: {"participant": ParticipantId(0), "signer": address(999)},
            ev.KeyRegistered: {"participant": ParticipantId(0), "key": digest(13)},
            ev.DatasetAmended: {
                "participant": ParticipantId(0),
                "dataset": 1,
                "root": digest(3),
                "rows": 9,
                "erasure": digest(14),
            },
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
                "order": len(round_.commits) if round_ else 0,
                "participant": ParticipantId(len(round_.commits) if round_ else 0),
                "digest": digest(4),
            },
            ev.SeedDrawn: {"round": index, "seed": SEED},
            ev.BatchPosted: {"round": index, "root": digest(15), "leaves": 2, "index": digest(16)},
            ev.CommitClosed: {
                "round": index,
                "slots": round_.slots if round_ else 0,
                "reveal_deadline": self.time + WINDOW,
                "propose_deadline": self.time + 2 * WINDOW,
            },
            ev.SliceOpened: {"round": index, "account": STRANGER, "digest": digest(17)},
            ev.TurnMissed: {"round": index, "attempt": attempt, "propose_deadline": retry},
            ev.ResultProposed: {
                "round": index,
                "attempt": attempt,
                "proposer": proposer,
                "signer": proposer,
                "result": digest(5 + index),
                "index": digest(6),
                "attest_deadline": self.time + WINDOW,
                "challenge_deadline": self.time + CHALLENGE,
            },
            ev.Voted: {
                "round": index,
                "attempt": attempt,
                "result": result,
                "ballots": 1 << (len(round_.proposal.votes) if round_ and round_.proposals else 0),
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
            ev.ProofCommitted: step | {"commitment": digest(20)},
            ev.DemandOpened: step
            | {
                "kind": 3,
                "root": digest(21),
                "total": 0,
                "size": 5,
                "level": 1,
                "position": 2,
            },
            ev.DemandAnswered: dispute | {"answerer": ANSWERER},
            ev.ChallengeConceded: dispute | {"fee": Wei(0)},
            ev.ChallengeFailed: dispute,
            ev.ResultDisproved: dispute | {"round": index, "kind": 0, "propose_deadline": retry},
            ev.FallenDisproved: dispute | {"kind": 1},
            ev.ChallengeReclaimed: dispute,
            ev.BondReleased: {"result": result, "attempt": 0, "proposer": proposer},
            ev.UnavailableCharged: {
                "participant": ParticipantId(0),
                "round": RoundIndex(0),
                "amount": Wei(policy.unavailable_fee),
            },
            ev.FeesCollected: {
                "participant": ParticipantId(0),
                "amount": Wei(policy.attester_fee),
            },
            ev.Withdrawn: {
                "account": address(100),
                "ethers": Wei(policy.proposer_bond),
                "fees": Wei(policy.proposer_fee),
            },
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


def ended(**terms: object) -> Script:
    """Give a federation of one round, all settled."""
    script = accepted(rounds=1, **terms).do(ev.FederationEnded)
    script.at(script.time + CHALLENGE).do(ev.ResultSettled, ev.PeriodEnded)
    return script


def relayed(**terms: object) -> Script:
    """Give a round that a relay may post a batch to within ten seconds."""
    return running(relay=RELAY, batch_window=10, **terms)


def drawing() -> Script:
    """Give a round whose committee will be drawn."""
    return relayed(committee_size=2)


def drawn() -> Script:
    """Give a result on which two of three vote."""
    script = drawing().do(ev.SeedDrawn, *[ev.UpdateCommitted] * 3, ev.CommitClosed)
    return script.do(ev.ResultProposed)


FEES = {"proposer_fee": 4, "attester_fee": 3, "relay_fee": 2, "unavailable_fee": 4}


def paid() -> Script:
    """Give a federation of one round, all settled, whose votes and batch earned fees."""
    script = relayed(rounds=1, **FEES).do(ev.BatchPosted, *[ev.UpdateCommitted] * 3)
    script.do(ev.CommitClosed, ev.ResultProposed, ev.Voted, ev.Voted, ev.ResultAccepted)
    script.do(ev.FederationEnded).at(script.time + CHALLENGE)
    return script.do(ev.ResultSettled, ev.PeriodEnded)


def charged() -> Script:
    """Give a federation in which an update could not be had."""
    return paid().do(ev.UnavailableCharged)


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
    /,
    *,
    wait: int = 0,
    **fields: object,
) -> Broken:
    return Broken(name, so_far, kind, fields, expected, wait)


def require_refused(broken: Broken) -> None:
    """See that an event is refused, named, and changes nothing."""
    script = broken.so_far()
    state = script.at(script.time + broken.wait).state
    event = script.good(broken.kind, **broken.fields)
    before = deepcopy(vars(state))
    with pytest.raises(HistoryViolation) as refused:
        state.apply(event)
    assert broken.expected in refused.value.expected, refused.value.expected
    assert refused.value.event is event
    assert vars(state) == before
