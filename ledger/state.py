"""What a federation's history comes to: one strict fold over the contract's events.

Nodes act on this state and the audit replays with it, so both read the chain by the same rules. The
fold repeats every rule of the contract that can be seen from its events (order of phases,
deadlines, turns, quorum, lineage); an event that could not have followed raises `HistoryViolation`,
with what was expected and what was found.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from ledger import history as ev
from ledger.errors import LedgerError
from ledger.headers import PolicyHeader
from ledger.types import ZERO_DIGEST, Address, Digest, FederationId, ParticipantId, RoundIndex


class HistoryViolation(LedgerError):
    """An event that the rules do not allow where it stands."""

    def __init__(self, event: ev.Event, expected: str, found: str) -> None:
        self.event = event
        self.expected = expected
        self.found = found
        super().__init__(
            f"{type(event).__name__} in block {event.meta.block_number}: "
            f"expected {expected}, found {found}"
        )


class Phase(Enum):
    """Where a federation's current round stands. BETWEEN exists only inside a transaction."""

    FORMING = "forming"
    BETWEEN = "between rounds"
    COMMIT = "commit"
    PROPOSE = "propose"
    ATTEST = "attest"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data-set commitment; it weighs from round `since` on."""

    root: Digest
    rows: int
    since: RoundIndex


@dataclass(slots=True)
class Participant:
    """A member of the federation, active in rounds `since <= r < until`."""

    index: ParticipantId
    controller: Address
    payout: Address
    identity: Digest
    since: RoundIndex
    signers: list[tuple[RoundIndex, Address]]
    datasets: list[Dataset]
    until: RoundIndex | None = None
    paid: int = 0
    stake_returned: bool = False

    @property
    def signer(self) -> Address:
        """The account that signs for the participant now."""
        return self.signers[-1][1]

    def active(self, round_index: int) -> bool:
        """Whether the participant has a seat in a round."""
        return self.since <= round_index and (self.until is None or round_index < self.until)

    def dataset(self, round_index: int) -> tuple[int, Dataset]:
        """Give the newest commitment made before a round was opened, with its place in the list."""
        place = max(i for i, d in enumerate(self.datasets) if i == 0 or d.since <= round_index)
        return place, self.datasets[place]


@dataclass(frozen=True, slots=True)
class Commit:
    """An update's digest in its slot."""

    slot: int
    participant: ParticipantId
    digest: Digest
    meta: ev.EventMeta


@dataclass(slots=True)
class Proposal:
    """A result that was put to the vote."""

    attempt: int
    proposer: Address
    result: Digest
    index: Digest
    attest_deadline: int
    challenge_deadline: int
    meta: ev.EventMeta
    votes: dict[ParticipantId, bool] = field(default_factory=dict)

    def count(self, support: bool) -> int:
        """Count the votes on one side."""
        return sum(1 for vote in self.votes.values() if vote is support)


class Outcome(Enum):
    """What became of a round."""

    OPEN = "open"
    ACCEPTED = "accepted"
    VOID = "void"


@dataclass(slots=True)
class Round:
    """A round, from its opening to what became of it."""

    index: RoundIndex
    parent: Digest
    seats: int
    known: int
    opened: int
    commit_deadline: int
    commits: list[Commit] = field(default_factory=list)
    closed: ev.CommitClosed | None = None
    propose_deadline: int = 0
    attempt: int = 0
    turn_missed: bool = False
    proposals: list[Proposal] = field(default_factory=list)
    outcome: Outcome = Outcome.OPEN

    @property
    def proposal(self) -> Proposal:
        """The newest proposal."""
        return self.proposals[-1]


@dataclass(slots=True)
class Accepted:
    """A result on the lineage."""

    result: Digest
    round: RoundIndex
    height: int
    proposal: Proposal
    accepted_at: int
    settled: bool = False
    ends_period: bool = False


class FederationState:
    """A federation as its events tell it. `apply` checks an event against the rules, then takes it
    in.
    """

    def __init__(self, federation: FederationId, policy: PolicyHeader) -> None:
        self.federation = federation
        self.policy = policy
        self.created: ev.FederationCreated | None = None
        self.phase = Phase.FORMING
        self.participants: list[Participant] = []
        self.rounds: list[Round] = []
        self.lineage: list[Accepted] = []
        self.ended: ev.FederationEnded | None = None
        self.period_ends: list[ev.PeriodEnded] = []
        self.claims: list[ev.PayoutClaimed] = []
        self.refund: ev.Refunded | None = None
        self.h = ZERO_DIGEST
        self.time = 0

    # -- what nodes ask

    @property
    def round(self) -> Round:
        """The newest round."""
        return self.rounds[-1]

    @property
    def head(self) -> Digest:
        """The result that the next one builds on; zero before the first."""
        return self.lineage[-1].result if self.lineage else ZERO_DIGEST

    @property
    def deadline(self) -> int | None:
        """The time at which `advance` has something to do even if nobody acts; None = never."""
        due = [a.proposal.challenge_deadline for a in self.lineage if not a.settled][:1]
        if self.phase is Phase.COMMIT:
            due.append(self.round.commit_deadline)
        elif self.phase is Phase.PROPOSE:
            due.append(self.round.propose_deadline)
        elif self.phase is Phase.ATTEST:
            due.append(self.round.proposal.attest_deadline)
        return min(due) if due else None

    @property
    def settled(self) -> bool:
        """Whether the federation has ended and nothing can change its payouts any more."""
        return self.phase is Phase.ENDED and all(a.settled for a in self.lineage)

    def statistics_round(self, parent: Digest) -> bool:
        """Whether a round with this parent gathers the federation's statistics."""
        return self.policy.statistics > 0 and parent == ZERO_DIGEST

    def training_index(self, height: int) -> int:
        """Give the number of training results up to a height of the lineage."""
        return height - (1 if self.policy.statistics > 0 else 0)

    def ends_period(self, height: int, stop: bool) -> bool:
        """Whether a result at a height ends a reward period by the policy."""
        t = self.training_index(height)
        every = self.policy.reward_period
        return t > 0 and (stop or t == self.policy.rounds or (every > 0 and t % every == 0))

    def weight(self, participant: int, round_: Round) -> int:
        """Give the weight of a participant's update in a round, by the contract's own lists."""
        if self.policy.open or self.statistics_round(round_.parent):
            return 1
        return self.scale(participant, round_)

    def scale(self, participant: int, round_: Round) -> int:
        """Give the capped attested rows that enter a participant's score; 1 in an open
        federation.
        """
        if self.policy.open:
            return 1
        _, dataset = self.participants[participant].dataset(round_.index)
        return min(dataset.rows, self.policy.weight_cap)

    def in_turn(self, round_: Round) -> Participant | None:
        """Give the only participant that may propose now; None = anybody may."""
        candidate = self.participants[(round_.index + round_.attempt) % round_.known]
        return None if round_.turn_missed or not candidate.active(round_.index) else candidate

    def member(self, signer: Address) -> Participant | None:
        """Find the participant that an account signs for."""
        return next((p for p in self.participants if p.signer == signer), None)

    # -- the fold

    def apply(self, event: ev.Event) -> None:
        """Take in the next event. Raises HistoryViolation and changes nothing where it cannot
        follow.
        """
        handler = _HANDLERS.get(type(event))
        if handler is None:
            raise HistoryViolation(event, "an event of the contract", type(event).__name__)
        if (self.created is None) != isinstance(event, ev.FederationCreated):
            raise HistoryViolation(event, "FederationCreated first, and once", type(event).__name__)
        _require(
            event, event.federation == self.federation, "this federation", event.federation.hex()
        )
        if event.meta.timestamp < self.time:
            raise HistoryViolation(event, f"a time from {self.time} on", str(event.meta.timestamp))
        handler(self, event)
        self.h = event.h
        self.time = event.meta.timestamp

    def _created(self, event: ev.FederationCreated) -> None:
        digest = self.policy.digest()
        _require(event, event.policy == digest, f"policy {digest.hex()}", event.policy.hex())
        _require(event, event.pool == self.policy.pool, f"pool {self.policy.pool}", str(event.pool))
        self.created = event

    def _joined(self, event: ev.ParticipantJoined) -> None:
        known = len(self.participants)
        _require(event, event.participant == known, f"participant {known}", str(event.participant))
        _require(event, known < self.policy.max_participants, "room for one more", "none left")
        _require(event, self.phase is not Phase.ENDED, "a federation that goes on", "it has ended")
        used = {s for p in self.participants for _, s in p.signers}
        _require(event, event.signer not in used, "a signer of its own", event.signer)
        since = self._next_round
        self.participants.append(
            Participant(
                index=ParticipantId(event.participant),
                controller=event.controller,
                payout=event.payout,
                identity=event.identity,
                since=since,
                signers=[(since, event.signer)],
                datasets=[Dataset(event.dataset_root, event.rows, since)],
            )
        )

    def _left(self, event: ev.ParticipantLeft) -> None:
        participant = self._participant(event, event.participant)
        _require(event, participant.until is None, "a participant that has not left", "it has")
        participant.until = self._next_round

    def _rotated(self, event: ev.SignerRotated) -> None:
        participant = self._participant(event, event.participant)
        used = {s for p in self.participants for _, s in p.signers}
        _require(event, event.signer not in used, "a signer of its own", event.signer)
        participant.signers.append((self._next_round, event.signer))

    def _dataset(self, event: ev.DatasetCommitted) -> None:
        participant = self._participant(event, event.participant)
        count = len(participant.datasets)
        _require(event, event.dataset == count, f"data set {count}", str(event.dataset))
        participant.datasets.append(Dataset(event.root, event.rows, self._next_round))

    def _stake(self, event: ev.StakeWithdrawn) -> None:
        participant = self._participant(event, event.participant)
        _require(event, not participant.stake_returned, "a stake not yet returned", "it was")
        _require(
            event, event.amount == self.policy.stake, f"{self.policy.stake} wei", str(event.amount)
        )
        participant.stake_returned = True

    def _opened(self, event: ev.RoundOpened) -> None:
        forming = self.phase is Phase.FORMING
        _require(event, forming or self.phase is Phase.BETWEEN, "no open round", self.phase.value)
        _require(
            event, event.round == len(self.rounds), f"round {len(self.rounds)}", str(event.round)
        )
        _require(event, event.parent == self.head, f"parent {self.head.hex()}", event.parent.hex())
        if forming:
            start = self.policy.start_participants
            active = sum(p.until is None for p in self.participants)
            _require(event, active >= start, f"{start} participants", str(active))
        seats = sum(p.active(event.round) for p in self.participants)
        _require(event, event.seats == seats, f"{seats} seats", str(event.seats))
        deadline = event.meta.timestamp + self.policy.commit_window
        _require(
            event,
            event.commit_deadline == deadline,
            f"deadline {deadline}",
            str(event.commit_deadline),
        )
        self.rounds.append(
            Round(
                index=RoundIndex(event.round),
                parent=event.parent,
                seats=seats,
                known=len(self.participants),
                opened=event.meta.timestamp,
                commit_deadline=deadline,
            )
        )
        self.phase = Phase.COMMIT

    def _committed(self, event: ev.UpdateCommitted) -> None:
        round_ = self._in(event, Phase.COMMIT, event.round)
        participant = self._participant(event, event.participant)
        slot = len(round_.commits)
        _require(event, event.slot == slot, f"slot {slot}", str(event.slot))
        _require(event, participant.active(event.round), "a seat in the round", "none")
        repeated = any(c.participant == event.participant for c in round_.commits)
        _require(event, not repeated, "one commit a round", "a second one")
        _before(event, round_.commit_deadline)
        round_.commits.append(
            Commit(event.slot, ParticipantId(event.participant), event.digest, event.meta)
        )

    def _commit_closed(self, event: ev.CommitClosed) -> None:
        round_ = self._in(event, Phase.COMMIT, event.round)
        count = len(round_.commits)
        _require(event, event.commits == count, f"{count} commits", str(event.commits))
        least = self.policy.least_updates
        _require(event, count >= least, f"at least {least} commits", str(count))
        if count < round_.seats:
            _after(event, round_.commit_deadline)
        reveal = event.meta.timestamp + self.policy.reveal_window
        propose = reveal + self.policy.propose_window
        _require(
            event,
            (event.reveal_deadline, event.propose_deadline) == (reveal, propose),
            f"deadlines {reveal} and {propose}",
            f"{event.reveal_deadline} and {event.propose_deadline}",
        )
        round_.closed = event
        round_.propose_deadline = propose
        self.phase = Phase.PROPOSE

    def _turn_missed(self, event: ev.TurnMissed) -> None:
        round_ = self._in(event, Phase.PROPOSE, event.round)
        _require(
            event, event.attempt == round_.attempt, f"attempt {round_.attempt}", str(event.attempt)
        )
        _after(event, round_.propose_deadline)
        round_.turn_missed = True
        self._next_attempt(event, round_, event.propose_deadline)

    def _proposed(self, event: ev.ResultProposed) -> None:
        round_ = self._in(event, Phase.PROPOSE, event.round)
        _require(
            event, event.attempt == round_.attempt, f"attempt {round_.attempt}", str(event.attempt)
        )
        turn = self.in_turn(round_)
        if turn is not None:
            _require(event, event.proposer == turn.signer, turn.signer, event.proposer)
        _before(event, round_.propose_deadline)
        attest = event.meta.timestamp + self.policy.attest_window
        challenge = event.meta.timestamp + self.policy.challenge_window
        _require(
            event,
            (event.attest_deadline, event.challenge_deadline) == (attest, challenge),
            f"deadlines {attest} and {challenge}",
            f"{event.attest_deadline} and {event.challenge_deadline}",
        )
        round_.proposals.append(
            Proposal(
                attempt=event.attempt,
                proposer=event.proposer,
                result=event.result,
                index=event.index,
                attest_deadline=attest,
                challenge_deadline=challenge,
                meta=event.meta,
            )
        )
        self.phase = Phase.ATTEST

    def _voted(self, event: ev.Voted) -> None:
        round_ = self._in(event, Phase.ATTEST, event.round)
        participant = self._participant(event, event.participant)
        proposal = round_.proposal
        _require(event, participant.active(event.round), "a seat in the round", "none")
        _require(event, event.participant not in proposal.votes, "one vote a seat", "a second one")
        _require(event, event.result == proposal.result, proposal.result.hex(), event.result.hex())
        _before(event, proposal.attest_deadline)
        proposal.votes[participant.index] = event.support

    def _accepted(self, event: ev.ResultAccepted) -> None:
        round_ = self._in(event, Phase.ATTEST, event.round)
        proposal = round_.proposal
        _require(event, event.result == proposal.result, proposal.result.hex(), event.result.hex())
        if not self._quorum(round_, support=True):
            _after(event, proposal.attest_deadline)
            _require(event, self._majority(round_), "a majority of the votes", "none")
        height = len(self.lineage) + 1
        _require(event, event.height == height, f"height {height}", str(event.height))
        round_.outcome = Outcome.ACCEPTED
        self.lineage.append(
            Accepted(event.result, round_.index, height, proposal, event.meta.timestamp)
        )
        self.phase = Phase.BETWEEN

    def _rejected(self, event: ev.ResultRejected) -> None:
        round_ = self._in(event, Phase.ATTEST, event.round)
        proposal = round_.proposal
        _require(event, event.result == proposal.result, proposal.result.hex(), event.result.hex())
        if not self._quorum(round_, support=False):
            _after(event, proposal.attest_deadline)
            _require(event, not self._majority(round_), "no majority for the result", "one")
        self.phase = Phase.PROPOSE
        self._next_attempt(event, round_, event.propose_deadline)

    def _voided(self, event: ev.RoundVoided) -> None:
        _require(event, bool(self.rounds), "an open round", "none")
        round_ = self.round
        _require(event, event.round == round_.index, f"round {round_.index}", str(event.round))
        _require(event, round_.outcome is Outcome.OPEN, "an open round", round_.outcome.value)
        exhausted = round_.attempt >= self.policy.attempts
        idle = event.meta.timestamp >= self._last_progress + self.policy.idle_window
        if self.phase is Phase.COMMIT and len(round_.commits) < self.policy.least_updates:
            if not idle:
                _after(event, round_.commit_deadline)
        else:
            _require(
                event, exhausted or idle, "attempts that ran out, or the idle window", "neither"
            )
        round_.outcome = Outcome.VOID
        self.phase = Phase.BETWEEN

    def _settled(self, event: ev.ResultSettled) -> None:
        waiting = [a for a in self.lineage if not a.settled]
        _require(event, bool(waiting), "an accepted result that waits", "none")
        first = waiting[0]
        _require(event, event.result == first.result, first.result.hex(), event.result.hex())
        _require(event, event.height == first.height, f"height {first.height}", str(event.height))
        _after(event, first.proposal.challenge_deadline)
        first.settled = True

    def _period_ended(self, event: ev.PeriodEnded) -> None:
        found = [a for a in self.lineage if a.result == event.result]
        _require(event, bool(found), "a result on the lineage", event.result.hex())
        _require(event, found[0].settled, "a settled result", "one that is not")
        found[0].ends_period = True
        self.period_ends.append(event)

    def _ended(self, event: ev.FederationEnded) -> None:
        _require(event, self.phase is not Phase.ENDED, "a federation that goes on", "it has ended")
        if event.idle:
            _after(event, self._last_progress + self.policy.idle_window)
        else:
            _require(event, self.phase is Phase.BETWEEN, "the end of a round", self.phase.value)
        self.ended = event
        self.phase = Phase.ENDED

    def _claimed(self, event: ev.PayoutClaimed) -> None:
        participant = self._participant(event, event.participant)
        _require(event, bool(self.period_ends), "a reward period that has ended", "none")
        _require(event, event.payout == participant.payout, participant.payout, event.payout)
        participant.paid += event.amount
        total = self.period_ends[-1].total
        paid = sum(p.paid for p in self.participants)
        _require(event, paid <= total, f"claims of at most {total}", str(paid))
        self.claims.append(event)

    def _refunded(self, event: ev.Refunded) -> None:
        _require(event, self.settled, "an ended federation, all settled", "one that is not")
        _require(event, self.refund is None, "one refund", "a second one")
        total = self.period_ends[-1].total if self.period_ends else 0
        expected = self.policy.pool - total
        _require(event, event.amount == expected, f"{expected}", str(event.amount))
        self.refund = event

    def _no_change(self, event: ev.BondReturned | ev.Checkpoint) -> None:
        """Bonds and checkpoints change no decision."""

    # -- helpers of the fold

    @property
    def _next_round(self) -> RoundIndex:
        return RoundIndex(len(self.rounds))

    @property
    def _last_progress(self) -> int:
        assert self.created is not None
        return self.lineage[-1].accepted_at if self.lineage else self.created.meta.timestamp

    def _next_attempt(
        self, event: ev.TurnMissed | ev.ResultRejected, round_: Round, deadline: int
    ) -> None:
        round_.attempt += 1
        last = round_.attempt >= self.policy.attempts
        expected = 0 if last else event.meta.timestamp + self.policy.propose_window
        _require(event, deadline == expected, f"deadline {expected}", str(deadline))
        round_.propose_deadline = deadline

    def _in(self, event: ev.Event, phase: Phase, round_index: int) -> Round:
        _require(event, self.phase is phase, f"phase {phase.value}", self.phase.value)
        current = self.round.index
        _require(event, round_index == current, f"round {current}", str(round_index))
        return self.round

    def _participant(self, event: ev.Event, index: int) -> Participant:
        _require(event, index < len(self.participants), "a known participant", str(index))
        return self.participants[index]

    def _quorum(self, round_: Round, *, support: bool) -> bool:
        votes = round_.proposal.count(support)
        return votes * 10_000 >= self.policy.quorum_bps * round_.seats

    def _majority(self, round_: Round) -> bool:
        proposal = round_.proposal
        enough = 2 * len(proposal.votes) >= round_.seats
        return enough and proposal.count(True) > proposal.count(False)


def _require(event: ev.Event, holds: bool, expected: str, found: str) -> None:
    if not holds:
        raise HistoryViolation(event, expected, found)


def _before(event: ev.Event, deadline: int) -> None:
    at = event.meta.timestamp
    _require(event, at <= deadline, f"a time up to {deadline}", str(at))


def _after(event: ev.Event, deadline: int) -> None:
    at = event.meta.timestamp
    _require(event, at >= deadline, f"a time from {deadline} on", str(at))


_HANDLERS: dict[type, Callable[..., None]] = {
    ev.FederationCreated: FederationState._created,
    ev.ParticipantJoined: FederationState._joined,
    ev.ParticipantLeft: FederationState._left,
    ev.SignerRotated: FederationState._rotated,
    ev.DatasetCommitted: FederationState._dataset,
    ev.StakeWithdrawn: FederationState._stake,
    ev.RoundOpened: FederationState._opened,
    ev.UpdateCommitted: FederationState._committed,
    ev.CommitClosed: FederationState._commit_closed,
    ev.TurnMissed: FederationState._turn_missed,
    ev.ResultProposed: FederationState._proposed,
    ev.Voted: FederationState._voted,
    ev.ResultAccepted: FederationState._accepted,
    ev.ResultRejected: FederationState._rejected,
    ev.RoundVoided: FederationState._voided,
    ev.ResultSettled: FederationState._settled,
    ev.PeriodEnded: FederationState._period_ended,
    ev.FederationEnded: FederationState._ended,
    ev.PayoutClaimed: FederationState._claimed,
    ev.Refunded: FederationState._refunded,
    ev.BondReturned: FederationState._no_change,
    ev.Checkpoint: FederationState._no_change,
}
