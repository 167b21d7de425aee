"""What a federation's history comes to: one strict fold over the contract's events.

Nodes act on this state and the audit replays with it, so both read the chain by the same rules. The
fold repeats every rule of the contract that can be seen from its events (order of phases,
deadlines, turns, quorum, lineage, money); an event that could not have followed raises
`HistoryViolation`, with what was expected and what was found. What one transaction must bring about
together (a quorum and its acceptance, say) is due next and nothing else may come between.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from ledger import history as ev
from ledger.errors import LedgerError
from ledger.headers import PolicyHeader
from ledger.types import (
    ZERO_ADDRESS,
    ZERO_DIGEST,
    Address,
    Digest,
    FederationId,
    ParticipantId,
    RoundIndex,
)

WEIGHT_LIMIT = 1 << 31


Kinds = tuple[type[ev.Event], ...]
Ballot = ev.Voted | ev.ResultAccepted | ev.ResultRejected


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
        self.credits: dict[Address, int] = {}
        self.h = ZERO_DIGEST
        self.time = 0
        self._due: list[Kinds] = []
        self._creditor = ZERO_ADDRESS

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
        was_due = self._check_due(event)
        handler(self, event)
        if was_due:
            del self._due[0]
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
        self._going_on(event)
        self._fresh_signer(event, event.signer)
        _require(event, event.payout != ZERO_ADDRESS, "a payout address", event.payout)
        used = {p.controller for p in self.participants}
        _require(event, event.controller not in used, "a controller of its own", event.controller)
        self._check_weights(event, event.rows)
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
        active = sum(p.until is None for p in self.participants)
        if self.phase is Phase.FORMING and active == self.policy.start_participants:
            self._due.append((ev.RoundOpened,))

    def _left(self, event: ev.ParticipantLeft) -> None:
        participant = self._staying(event, event.participant)
        self._going_on(event)
        participant.until = self._next_round

    def _rotated(self, event: ev.SignerRotated) -> None:
        participant = self._participant(event, event.participant)
        self._going_on(event)
        self._fresh_signer(event, event.signer)
        participant.signers.append((self._next_round, event.signer))

    def _dataset(self, event: ev.DatasetCommitted) -> None:
        participant = self._staying(event, event.participant)
        self._going_on(event)
        count = len(participant.datasets)
        _require(event, event.dataset == count, f"data set {count}", str(event.dataset))
        self._check_weights(event, event.rows, instead_of=participant)
        participant.datasets.append(Dataset(event.root, event.rows, self._next_round))

    def _stake(self, event: ev.StakeWithdrawn) -> None:
        participant = self._participant(event, event.participant)
        _require(event, not participant.stake_returned, "a stake not yet returned", "it was")
        stake = self.policy.stake
        _require(event, event.amount == stake > 0, f"a stake of {stake} wei", str(event.amount))
        _require(
            event,
            self._released(participant),
            "a participant that is gone, its rounds settled or void",
            "one that is still bound",
        )
        participant.stake_returned = True

    def _opened(self, event: ev.RoundOpened) -> None:
        _require(
            event, event.round == len(self.rounds), f"round {len(self.rounds)}", str(event.round)
        )
        _require(event, event.parent == self.head, f"parent {self.head.hex()}", event.parent.hex())
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
        if self.policy.least_updates <= len(round_.commits) == round_.seats:
            self._due.append((ev.CommitClosed,))

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
        deadline = self._retry_deadline(event, round_)
        round_.turn_missed = True
        self._retry(round_, deadline)

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
        proposal = self._standing(event, round_)
        _require(event, participant.active(event.round), "a seat in the round", "none")
        _require(event, event.participant not in proposal.votes, "one vote a seat", "a second one")
        _before(event, proposal.attest_deadline)
        proposal.votes[participant.index] = event.support
        if self._quorum(round_, support=event.support):
            self._due.append((ev.ResultAccepted if event.support else ev.ResultRejected,))

    def _accepted(self, event: ev.ResultAccepted) -> None:
        round_ = self._in(event, Phase.ATTEST, event.round)
        proposal = self._standing(event, round_)
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
        trained = self.training_index(height)
        if trained == self.policy.rounds:
            self._due.append((ev.FederationEnded,))
        else:
            self._due.append((ev.RoundOpened, ev.FederationEnded) if trained else (ev.RoundOpened,))

    def _rejected(self, event: ev.ResultRejected) -> None:
        round_ = self._in(event, Phase.ATTEST, event.round)
        proposal = self._standing(event, round_)
        if not self._quorum(round_, support=False):
            _after(event, proposal.attest_deadline)
            _require(event, not self._majority(round_), "no majority for the result", "one")
        deadline = self._retry_deadline(event, round_)
        self.phase = Phase.PROPOSE
        self._owe_bond(proposal)
        self._retry(round_, deadline)

    def _voided(self, event: ev.RoundVoided) -> None:
        going = self.phase in (Phase.COMMIT, Phase.PROPOSE, Phase.ATTEST)
        _require(event, going, "an open round", self.phase.value)
        round_ = self.round
        _require(event, event.round == round_.index, f"round {round_.index}", str(event.round))
        exhausted = round_.attempt >= self.policy.attempts
        scarce = (
            self.phase is Phase.COMMIT
            and len(round_.commits) < self.policy.least_updates
            and event.meta.timestamp >= round_.commit_deadline
        )
        if not (exhausted or scarce):
            self._idle(event, "too few commits at the deadline, attempts that ran out, or")
            if self.phase is Phase.ATTEST:
                self._owe_bond(round_.proposal)
        follows: Kinds = (ev.RoundOpened,) if exhausted else (ev.FederationEnded,)
        self._due.append((ev.RoundOpened, ev.FederationEnded) if scarce else follows)
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
        self._owe_bond(first.proposal)
        last = self.phase is Phase.ENDED and first is self.lineage[-1]
        if last or self.ends_period(first.height, stop=False):
            self._due.append((ev.PeriodEnded,))

    def _period_ended(self, event: ev.PeriodEnded) -> None:
        settled = [a for a in self.lineage if a.settled][-1]
        _require(event, event.result == settled.result, settled.result.hex(), event.result.hex())
        settled.ends_period = True
        self.period_ends.append(event)

    def _ended(self, event: ev.FederationEnded) -> None:
        self._going_on(event)
        if event.idle:
            void = self.phase is Phase.BETWEEN and self.round.outcome is Outcome.VOID
            between = void or self.phase is Phase.FORMING
            _require(event, between, "no open round", self.phase.value)
            self._idle(event, "")
        else:
            accepted = self.phase is Phase.BETWEEN and self.round.outcome is Outcome.ACCEPTED
            _require(event, accepted, "an accepted result", self.phase.value)
        self.ended = event
        self.phase = Phase.ENDED
        if event.idle and self.lineage and self.settled and not self.lineage[-1].ends_period:
            self._due.append((ev.PeriodEnded,))

    def _claimed(self, event: ev.PayoutClaimed) -> None:
        participant = self._participant(event, event.participant)
        _require(event, bool(self.period_ends), "a reward period that has ended", "none")
        _require(event, event.payout == participant.payout, participant.payout, event.payout)
        total = self.period_ends[-1].total
        paid = sum(p.paid for p in self.participants) + event.amount
        _require(event, event.amount > 0, "an amount", "0")
        _require(event, paid <= total, f"claims of at most {total}", str(paid))
        participant.paid += event.amount
        self.claims.append(event)

    def _refunded(self, event: ev.Refunded) -> None:
        _require(event, self.settled, "an ended federation, all settled", "one that is not")
        _require(event, self.refund is None, "one refund", "a second one")
        assert self.created is not None
        creator = self.created.creator
        _require(event, event.creator == creator, creator, event.creator)
        total = self.period_ends[-1].total if self.period_ends else 0
        expected = self.policy.pool - total
        _require(event, event.amount == expected > 0, f"{expected} wei", str(event.amount))
        self.refund = event

    def _bond_returned(self, event: ev.BondReturned) -> None:
        bond = self.policy.proposer_bond
        _require(event, event.proposer == self._creditor, self._creditor, event.proposer)
        _require(event, event.amount == bond, f"{bond} wei", str(event.amount))
        self.credits[event.proposer] = self.credits.get(event.proposer, 0) + event.amount

    def _bond_withdrawn(self, event: ev.BondWithdrawn) -> None:
        credit = self.credits.get(event.proposer, 0)
        _require(event, event.amount == credit > 0, f"a credit of {credit} wei", str(event.amount))
        del self.credits[event.proposer]

    def _checkpoint(self, event: ev.Checkpoint) -> None:
        """Repeats the accumulator, which no event may change but by following from it."""
        _require(event, event.h == self.h, self.h.hex(), event.h.hex())

    # -- helpers of the fold

    def _check_due(self, event: ev.Event) -> bool:
        """Say whether an event is one that had to come next; refuse it if another had to."""
        kind = type(event)
        if not self._due:
            _require(event, kind not in _CONSEQUENCES, "something that it follows from", "nothing")
            return False
        names = " or ".join(k.__name__ for k in self._due[0])
        _require(event, kind in self._due[0], f"{names} next", kind.__name__)
        _require(
            event,
            event.meta.timestamp == self.time,
            f"{names} in the same block, at {self.time}",
            str(event.meta.timestamp),
        )
        return True

    @property
    def _next_round(self) -> RoundIndex:
        return RoundIndex(len(self.rounds))

    @property
    def _last_progress(self) -> int:
        assert self.created is not None
        started = self.rounds[0].opened if self.rounds else self.created.meta.timestamp
        return self.lineage[-1].accepted_at if self.lineage else started

    def _idle(self, event: ev.Event, otherwise: str) -> None:
        """Require that a federation may be closed: nothing accepted for long, nothing voted on or
        about to be accepted.
        """
        until = self._last_progress + self.policy.idle_window
        at = event.meta.timestamp
        _require(event, at >= until, f"{otherwise} a time from {until} on".strip(), str(at))
        if self.phase is Phase.ATTEST:
            _after(event, self.round.proposal.attest_deadline)
            carried = self._majority(self.round)
            _require(event, not carried, "no majority for the standing result", "one")

    def _owe_bond(self, proposal: Proposal) -> None:
        """Expect a proposal's bond to be returned next."""
        self._creditor = proposal.proposer
        if self.policy.proposer_bond > 0:
            self._due.append((ev.BondReturned,))

    def _retry_deadline(self, event: ev.TurnMissed | ev.ResultRejected, round_: Round) -> int:
        """Check the deadline of the next attempt; 0 if there is none."""
        last = round_.attempt + 1 >= self.policy.attempts
        expected = 0 if last else event.meta.timestamp + self.policy.propose_window
        found = event.propose_deadline
        _require(event, found == expected, f"deadline {expected}", str(found))
        return expected

    def _retry(self, round_: Round, deadline: int) -> None:
        round_.attempt += 1
        round_.propose_deadline = deadline
        if deadline == 0:
            self._due.append((ev.RoundVoided,))

    def _released(self, participant: Participant) -> bool:
        """Whether every round that a participant had a seat in is settled or void."""
        current = self.rounds[-1].index if self.rounds else 0
        until = participant.until
        if self.phase is not Phase.ENDED and (until is None or current < until):
            return False
        waiting = [a for a in self.lineage if not a.settled]
        return not waiting or (until is not None and waiting[0].round >= until)

    def _going_on(self, event: ev.Event) -> None:
        _require(event, self.phase is not Phase.ENDED, "a federation that goes on", "it has ended")

    def _fresh_signer(self, event: ev.Event, signer: Address) -> None:
        used = {s for p in self.participants for _, s in p.signers}
        fresh = signer not in used and signer != ZERO_ADDRESS
        _require(event, fresh, "a signer of its own", signer)

    def _check_weights(
        self, event: ev.Event, rows: int, *, instead_of: Participant | None = None
    ) -> None:
        """Require that the weights of all who have not left stay below 2^31."""
        others = (p for p in self.participants if p.until is None and p is not instead_of)
        all_rows = [rows, *(p.datasets[-1].rows for p in others)]
        capped = (1 if self.policy.open else min(r, self.policy.weight_cap) for r in all_rows)
        total = sum(capped)
        _require(event, total < WEIGHT_LIMIT, f"weights below {WEIGHT_LIMIT}", str(total))

    def _standing(self, event: Ballot, round_: Round) -> Proposal:
        """Give the standing proposal, which an event must be about."""
        proposal = round_.proposal
        _require(event, event.result == proposal.result, proposal.result.hex(), event.result.hex())
        if not isinstance(event, ev.ResultAccepted):
            attempt = round_.attempt
            _require(event, event.attempt == attempt, f"attempt {attempt}", str(event.attempt))
        return proposal

    def _staying(self, event: ev.Event, index: int) -> Participant:
        participant = self._participant(event, index)
        _require(event, participant.until is None, "a participant that has not left", "it has")
        return participant

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
    _require(event, at < deadline, f"a time before {deadline}", str(at))


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
    ev.BondReturned: FederationState._bond_returned,
    ev.BondWithdrawn: FederationState._bond_withdrawn,
    ev.Checkpoint: FederationState._checkpoint,
}

_CONSEQUENCES = frozenset({ev.RoundOpened, ev.PeriodEnded, ev.BondReturned})
