"""What a federation's history comes to: one strict fold over the contract's events.

Nodes act on this state and the audit replays with it, so both read the chain by the same rules. The
fold repeats every rule of the contract that can be seen from its events (order of phases,
deadlines, turns, quorum, lineage, challenges, money); an event that could not have followed raises
`HistoryViolation`, with what was expected and what was found. What one transaction must bring about
together (a quorum and its acceptance, say) is due next and nothing else may come between.
"""

from collections.abc import Callable, Iterator
from enum import Enum
from itertools import takewhile

from ledger import committee, disputes
from ledger import history as ev
from ledger.committee import Committee
from ledger.credits import Credits
from ledger.disputes import Challenge, Challenges
from ledger.headers import Evaluation, PolicyHeader
from ledger.members import Members, Participant
from ledger.proceedings import LIVE, Accepted, Commit, Fate, Outcome, Proposal, Round
from ledger.strict import HistoryViolation, after, before, require, require_equal
from ledger.types import (
    ZERO_ADDRESS,
    ZERO_DIGEST,
    Address,
    Digest,
    FederationId,
    ParticipantId,
    RoundIndex,
)

MOST_PASSED_OVER = 16
"""So many who have left a turn passes over; behind them it is anybody's."""

Kinds = tuple[type[ev.Event], ...]
Verdict = ev.ResultAccepted | ev.ResultRejected
Retry = ev.TurnMissed | ev.ResultRejected | ev.ResultDisproved


class Phase(Enum):
    """Where a federation's current round stands. BETWEEN exists only inside a transaction."""

    FORMING = "forming"
    BETWEEN = "between rounds"
    COMMIT = "commit"
    PROPOSE = "propose"
    ATTEST = "attest"
    ENDED = "ended"


class FederationState:
    """A federation as its events tell it. `apply` checks an event against the rules, then takes it
    in.
    """

    def __init__(self, federation: FederationId, policy: PolicyHeader) -> None:
        self.federation = federation
        self.policy = policy
        self.created: ev.FederationCreated | None = None
        self.phase = Phase.FORMING
        self.rounds: list[Round] = []
        self.lineage: list[Accepted] = []
        self.ended: ev.FederationEnded | None = None
        self.period_ends: list[ev.PeriodEnded] = []
        self.claims: list[ev.PayoutClaimed] = []
        self.refund: ev.Refunded | None = None
        self.credits = Credits()
        self.fees = 0
        self.h = ZERO_DIGEST
        self.time = 0
        self.held_until = 0
        self._members = Members(policy)
        self._proposals: dict[Digest, list[Proposal]] = {}
        self._current = 0
        self._last_progress = 0
        self._due: list[Kinds] = []

    # -- what nodes ask

    @property
    def participants(self) -> list[Participant]:
        """Everybody who ever joined, by index."""
        return self._members.all

    @property
    def round(self) -> Round:
        """The current round: the newest, or an older one whose result was disproved."""
        return self.rounds[self._current]

    @property
    def head(self) -> Digest:
        """The result that the next one builds on; zero before the first."""
        return self.lineage[-1].result if self.lineage else ZERO_DIGEST

    @property
    def advances(self) -> int | None:
        """The time at which `advance` has something to do even if nobody acts; None = never."""
        due = []
        waiting = self._waiting
        if waiting is not None and waiting.proposal.challenges.running is None:
            due.append(waiting.proposal.challenge_deadline)
        if self.phase is Phase.COMMIT:
            seedless = self._seedless(self.round)
            due.append(self.round.opened if seedless else self.round.commit_deadline)
        elif self.phase is Phase.PROPOSE:
            due.append(self.round.propose_deadline)
        elif self.phase is Phase.ATTEST:
            due.append(self.round.proposal.attest_deadline)
        return min(due, default=None)

    @property
    def deadline(self) -> int | None:
        """The next time at which something falls due even if nobody acts; None = never."""
        clocks = [clock.deadline for _, clock in self.disputed() if clock.deadline is not None]
        if self.advances is not None:
            clocks.append(self.advances)
        return min(clocks, default=None)

    @property
    def phase_deadline(self) -> int | None:
        """The time at which the current phase ends; None where it has none."""
        if self.phase is Phase.COMMIT:
            return self.round.commit_deadline
        if self.phase is Phase.PROPOSE:
            return self.round.propose_deadline
        return self.round.proposal.attest_deadline if self.phase is Phase.ATTEST else None

    @property
    def closable_from(self) -> int:
        """The time from which on `close` may end the federation if nothing more is accepted."""
        return self._last_progress + self.policy.idle_window

    @property
    def void_in_a_row(self) -> int:
        """How many rounds have ended without a result since the last that was accepted."""
        over = (r for r in reversed(self.rounds) if r.outcome is not Outcome.OPEN)
        return sum(1 for _ in takewhile(lambda r: r.outcome is Outcome.VOID, over))

    def disputed(self) -> Iterator[tuple[Proposal, Challenge]]:
        """List the live results that are challenged, each with the challenge whose clock runs."""
        for proposal in self.live():
            running = proposal.challenges.running
            if running is not None:
                yield proposal, running

    def live(self) -> Iterator[Proposal]:
        """List the results that can still be challenged or disproved, oldest first."""
        yield from (a.proposal for a in self.lineage if not a.settled)
        if self.phase is Phase.ATTEST:
            yield self.round.proposal

    @property
    def settled(self) -> bool:
        """Whether the federation has ended and nothing can change its payouts any more."""
        return self.phase is Phase.ENDED and all(a.settled for a in self.lineage)

    @property
    def left(self) -> int:
        """What payouts and fees leave of the pool, once all has settled."""
        paid_out = self.period_ends[-1].total if self.period_ends else 0
        return self.policy.pool - paid_out - self.fees

    @property
    def over(self) -> RoundIndex:
        """The first round whose bytes may still be asked for."""
        if self.settled:
            return self._next_round
        return RoundIndex(max((a.round + 1 for a in self.lineage if a.settled), default=0))

    def statistics_round(self, parent: Digest) -> bool:
        """Whether a round with this parent gathers the federation's statistics."""
        return self.policy.statistics > 0 and parent == ZERO_DIGEST

    def training_index(self, height: int) -> int:
        """Give the number of training results up to a height of the lineage."""
        return height - (1 if self.policy.statistics > 0 else 0)

    def ends_period(self, height: int, stop: bool) -> bool:
        """Whether a result at a height ends a reward period by the policy."""
        trained = self.training_index(height)
        return self.policy.ends_period(trained) or (stop and trained > 0)

    def slice_number(self, round_: Round) -> int:
        """Give the slice of evaluation rows that is a round's own. What may have been opened in an
        earlier round is never a later one's, whatever became of that round.
        """
        return sum(
            earlier.closed is not None and not self.statistics_round(earlier.parent)
            for earlier in self.rounds[: round_.index]
        )

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
        """Give the only participant that may propose now; None = anybody may. A turn passes over
        so many who have left.
        """
        if round_.turn_missed:
            return None
        first = round_.index + round_.attempt
        passed = range(first, first + min(round_.known, MOST_PASSED_OVER))
        turns = (self.participants[turn % round_.known] for turn in passed)
        return next((p for p in turns if p.active(round_.index)), None)

    def member(self, signer: Address) -> Participant | None:
        """Find the participant that an account signs for, or will from the next round on."""
        now = self.round.index if self.rounds else 0
        return next((p for p in self.participants if signer in (p.signer_in(now), p.signer)), None)

    def committee(self, round_: Round) -> Committee:
        """Give who votes on a result that is proposed now."""
        return committee.seat(
            round_.seed or b"",
            round_.candidates,
            self.policy.committee_size,
            lambda index: self.participants[index].active(round_.index),
            here=self._here(round_),
        )

    def proposal(self, result: Digest, attempt: int) -> Proposal | None:
        """Find a proposed result; one may be proposed again in a later attempt."""
        proposed = self._proposals.get(result, [])
        return next((p for p in proposed if p.attempt == attempt), None)

    def fallen(self) -> Iterator[Proposal]:
        """List the attempts that fell, and that open proofs still count against."""
        proposals = (p for round_ in self.rounds for p in round_.proposals if p.fallen)
        yield from (p for p in proposals if p.challenges.proofs and not p.proven)

    def answerable(self, proposal: Proposal) -> bool:
        """Whether a bond of a result that fell has to wait: a proof may be opened, or it was
        rejected when one could be.
        """
        return proposal.fate is Fate.REJECTED or bool(proposal.challenges.proofs)

    def answerable_until(self, proposal: Proposal) -> int:
        """Give the time until which proofs against an attempt that fell may be opened: one answer
        window after its own fall, or after the newest fall if it went with what it was built on.
        """
        alone = proposal.fate in (Fate.REJECTED, Fate.DISPROVED)
        return proposal.answerable_until if alone else self.held_until

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
        require(
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
        require_equal(event, "policy", self.policy.digest(), event.policy)
        require_equal(event, "pool", self.policy.pool, event.pool)
        self.created = event
        self._last_progress = event.meta.timestamp

    # participants

    def _joined(self, event: ev.ParticipantJoined) -> None:
        self._going_on(event)
        self._members.join(event, self._next_round)
        enough = len(self._members.staying) == self.policy.start_participants
        if self.phase is Phase.FORMING and enough:
            self._due.append((ev.RoundOpened,))

    def _left(self, event: ev.ParticipantLeft) -> None:
        self._going_on(event)
        self._members.leave(event, self._next_round)

    def _rotated(self, event: ev.SignerRotated) -> None:
        self._going_on(event)
        self._members.rotate(event, self._next_round)

    def _key_registered(self, event: ev.KeyRegistered) -> None:
        self._going_on(event)
        self._members.register_key(event, self._next_round)

    def _dataset(self, event: ev.DatasetCommitted) -> None:
        self._going_on(event)
        self._members.commit_dataset(event, self._next_round)

    def _amended(self, event: ev.DatasetAmended) -> None:
        self._members.amend_dataset(event, self._next_round, over=self.over)

    def _stake(self, event: ev.StakeWithdrawn) -> None:
        participant = self._members.known(event, event.participant)
        bound = "one that is still bound"
        gone = self._released(participant)
        require(event, gone, "a participant that is gone, its rounds settled or void", bound)
        after(event, self.held_until)
        self._members.withdraw_stake(event, since=self._free_since(participant))

    # commits

    def _opened(self, event: ev.RoundOpened) -> None:
        require_equal(event, "round", len(self.rounds), event.round)
        require_equal(event, "parent", self.head, event.parent)
        require_equal(event, "seats:", len(self._members.staying), event.seats)
        deadline = event.meta.timestamp + self.policy.commit_window
        require_equal(event, "deadline", deadline, event.commit_deadline)
        if not self.rounds:
            self._last_progress = event.meta.timestamp
        known = len(self.participants)
        kept = self._kept
        self.rounds.append(
            Round(
                index=event.round,
                parent=event.parent,
                seats=event.seats,
                known=known,
                candidates=known if kept is None else kept.candidates,
                seed=None if kept is None else kept.seed,
                opened=event.meta.timestamp,
                commit_deadline=deadline,
                opening=Digest(event.meta.block_hash),
            )
        )
        self._current = event.round
        self.phase = Phase.COMMIT

    def _seed_drawn(self, event: ev.SeedDrawn) -> None:
        round_ = self._in(event, Phase.COMMIT, event.round)
        require(event, self._seedless(round_), "a round that waits for its seed", "none")
        round_.seed = event.seed

    def _batch_posted(self, event: ev.BatchPosted) -> None:
        round_ = self._in(event, Phase.COMMIT, event.round)
        require(event, self.policy.relay != ZERO_ADDRESS, "a policy with a relay", "none")
        require(event, not self._seedless(round_), "SeedDrawn before", "no seed")
        require(event, round_.batched == 0, "one batch a round", "another")
        before(event, round_.opened + self.policy.batch_window)
        fits = 0 < event.leaves <= round_.known
        require(event, fits, f"1 to {round_.known} leaves", str(event.leaves))
        round_.batched = event.leaves
        round_.batch_root, round_.batch_index = event.root, event.index

    def _committed(self, event: ev.UpdateCommitted) -> None:
        round_ = self._in(event, Phase.COMMIT, event.round)
        participant = self._members.known(event, event.participant)
        require(event, not self._seedless(round_), "SeedDrawn before", "no seed")
        require_equal(event, "order", len(round_.commits), event.order)
        require(event, participant.active(event.round), "a seat in the round", "none")
        repeated = any(c.participant == event.participant for c in round_.commits)
        require(event, not repeated, "one commit a round", "a second one")
        before(event, round_.commit_deadline)
        round_.commits.append(Commit(event.order, event.participant, event.digest, event.meta))
        if self.policy.least_updates <= len(round_.commits) == round_.seats:
            self._due.append((ev.CommitClosed,))

    def _commit_closed(self, event: ev.CommitClosed) -> None:
        round_ = self._in(event, Phase.COMMIT, event.round)
        require_equal(event, "slots:", round_.slots, event.slots)
        least = self.policy.least_updates
        require(event, event.slots >= least, f"at least {least} slots", str(event.slots))
        if not self.policy.least_updates <= len(round_.commits) == round_.seats:
            after(event, round_.commit_deadline)
        reveal = event.meta.timestamp + self.policy.reveal_window
        propose = reveal + self.policy.propose_window
        require_equal(event, "reveal deadline", reveal, event.reveal_deadline)
        require_equal(event, "propose deadline", propose, event.propose_deadline)
        round_.closed = event
        round_.propose_deadline = propose
        self.phase = Phase.PROPOSE

    def _slice_opened(self, event: ev.SliceOpened) -> None:
        """Note who announced which slice. Anybody may; whose counts is the policy's to say."""
        round_ = self._in(event, Phase.PROPOSE, event.round)
        require_equal(event, "attempt", 0, round_.attempt)
        assert round_.closed is not None
        before(event, round_.closed.reveal_deadline)
        round_.slices.append(event)

    # results

    def _turn_missed(self, event: ev.TurnMissed) -> None:
        round_ = self._in(event, Phase.PROPOSE, event.round)
        require_equal(event, "attempt", round_.attempt, event.attempt)
        after(event, round_.propose_deadline)
        self._check_retry(event, round_)
        round_.turn_missed = True
        self._retry(event, round_)

    def _proposed(self, event: ev.ResultProposed) -> None:
        round_ = self._in(event, Phase.PROPOSE, event.round)
        require_equal(event, "attempt", round_.attempt, event.attempt)
        turn = self.in_turn(round_)
        if turn is not None:
            require_equal(event, "", turn.signer_in(event.round), event.signer)
        before(event, round_.propose_deadline)
        if self.policy.evaluation == Evaluation.SLICES and round_.attempt == 0:
            assert round_.closed is not None
            after(event, round_.closed.reveal_deadline)
        attest = event.meta.timestamp + self.policy.attest_window
        challenge = event.meta.timestamp + self.policy.challenge_window
        require_equal(event, "attest deadline", attest, event.attest_deadline)
        require_equal(event, "challenge deadline", challenge, event.challenge_deadline)
        proposal = Proposal(
            round=event.round,
            attempt=event.attempt,
            proposer=event.proposer,
            signer=event.signer,
            result=event.result,
            index=event.index,
            attest_deadline=attest,
            challenge_deadline=challenge,
            committee=self.committee(round_),
            challenges=Challenges(self.policy.answer_window),
            meta=event.meta,
        )
        round_.proposals.append(proposal)
        self._proposals.setdefault(event.result, []).append(proposal)
        self.phase = Phase.ATTEST

    def _voted(self, event: ev.Voted) -> None:
        round_ = self._in(event, Phase.ATTEST, event.round)
        proposal = self._standing(event, round_)
        require_equal(event, "attempt", proposal.attempt, event.attempt)
        before(event, proposal.attest_deadline)
        votes = self._ballots(event, proposal)
        proposal.votes |= votes
        if self._quorum(proposal, support=True):
            self._due.append((ev.ResultAccepted,))
        elif self._quorum(proposal, support=False):
            self._due.append((ev.ResultRejected,))

    def _ballots(self, event: ev.Voted, proposal: Proposal) -> dict[ParticipantId, bool]:
        """Read the votes of an event: at least one, one a seat, of seats that have not voted."""
        votes: dict[ParticipantId, bool] = {}
        for place, support in committee.places(event.ballots):
            places = proposal.committee.places
            require(event, place < len(places), f"a place below {len(places)}", str(place))
            seated = places[place] in proposal.committee.seated
            require(event, seated, "a seat of the committee", f"none at place {place}")
            voted = places[place] in votes or places[place] in proposal.votes
            require(event, not voted, "one vote a seat", "a second one")
            votes[places[place]] = support
        require(event, bool(votes), "a vote", "none")
        return votes

    def _accepted(self, event: ev.ResultAccepted) -> None:
        round_ = self._in(event, Phase.ATTEST, event.round)
        proposal = self._standing(event, round_)
        if not self._quorum(proposal, support=True):
            after(event, proposal.attest_deadline)
            require(event, proposal.majority(), "a majority of the votes", "none")
        height = len(self.lineage) + 1
        require_equal(event, "height", height, event.height)
        round_.outcome = Outcome.ACCEPTED
        proposal.fate = Fate.ACCEPTED
        self.lineage.append(
            Accepted(event.result, round_.index, height, proposal, event.meta.timestamp)
        )
        self._last_progress = event.meta.timestamp
        self.phase = Phase.BETWEEN
        trained = self.training_index(height)
        if trained == self.policy.rounds:
            self._due.append((ev.FederationEnded,))
        else:
            self._due.append((ev.RoundOpened, ev.FederationEnded) if trained else (ev.RoundOpened,))

    def _rejected(self, event: ev.ResultRejected) -> None:
        round_ = self._in(event, Phase.ATTEST, event.round)
        proposal = self._standing(event, round_)
        require_equal(event, "attempt", proposal.attempt, event.attempt)
        if not self._quorum(proposal, support=False):
            after(event, proposal.attest_deadline)
            require(event, not proposal.majority(), "no majority for the result", "one")
        self._check_retry(event, round_)
        self._retry(event, round_)
        proposal.fate = Fate.REJECTED
        # A committee that does not vote, or whose seats are mostly empty, must not hold up the
        # rounds to come.
        empty = 2 * proposal.committee.seats < self.policy.committee_size
        round_.redraws = round_.redraws or proposal.silent or empty
        proposal.fee = self.policy.rejection_fee if proposal.voted_down else 0
        if proposal.challenges.proofs:
            proposal.answerable_until = self._hold(event)
        else:
            self._release(proposal)

    def _voided(self, event: ev.RoundVoided) -> None:
        going = self.phase in (Phase.COMMIT, Phase.PROPOSE, Phase.ATTEST)
        require(event, going, "an open round", self.phase.value)
        round_ = self.round
        require_equal(event, "round", round_.index, event.round)
        exhausted = round_.attempt >= self.policy.attempts
        scarce = self.phase is Phase.COMMIT and self._hopeless(round_, event.meta.timestamp)
        if not (exhausted or scarce):
            self._idle(event, "too few commits at the deadline, attempts that ran out, or")
        follows: Kinds = (ev.RoundOpened,) if exhausted else (ev.FederationEnded,)
        self._due.append((ev.RoundOpened, ev.FederationEnded) if scarce else follows)
        if self.phase is Phase.ATTEST and round_.proposal.challenges.proofs:
            self._hold(event)
        self._void(round_)
        self.phase = Phase.BETWEEN

    def _settled(self, event: ev.ResultSettled) -> None:
        first = self._waiting
        if first is None:
            raise HistoryViolation(event, "an accepted result that waits", "none")
        require_equal(event, "", first.result, event.result)
        require_equal(event, "height", first.height, event.height)
        after(event, first.proposal.challenge_deadline)
        undisputed = first.proposal.challenges.running is None
        require(event, undisputed, "no open challenge", "one")
        first.proposal.fate = Fate.SETTLED
        first.settled_at = event.meta.timestamp
        self._pay_fees(self.rounds[first.round], first.proposal)
        last = self.phase is Phase.ENDED and first is self.lineage[-1]
        if last or self.ends_period(first.height, stop=False):
            self._due.append((ev.PeriodEnded,))

    def _pay_fees(self, round_: Round, proposal: Proposal) -> None:
        """Owe a settled result's fees; voters collect theirs later."""
        policy = self.policy
        relay_fee = policy.relay_fee if round_.batched else 0
        bond, fee = policy.proposer_bond, policy.proposer_fee
        proposal.bonded = False
        self.credits.add(proposal.proposer, ethers=bond, fees=fee)
        self.credits.add(policy.relay, fees=relay_fee)
        for index in proposal.votes:
            self.participants[index].fees += policy.attester_fee
        self.fees += fee + relay_fee + len(proposal.votes) * policy.attester_fee

    def _period_ended(self, event: ev.PeriodEnded) -> None:
        settled = [a for a in self.lineage if a.settled][-1]
        require_equal(event, "", settled.result, event.result)
        settled.ends_period = True
        self.period_ends.append(event)

    def _ended(self, event: ev.FederationEnded) -> None:
        self._going_on(event)
        if event.idle:
            void = self.phase is Phase.BETWEEN and self.round.outcome is Outcome.VOID
            between = void or self.phase is Phase.FORMING
            require(event, between, "no open round", self.phase.value)
            self._idle(event, "")
        else:
            accepted = self.phase is Phase.BETWEEN and self.round.outcome is Outcome.ACCEPTED
            require(event, accepted, "an accepted result", self.phase.value)
        self.ended = event
        self.phase = Phase.ENDED
        if event.idle and self.lineage and self.settled and not self.lineage[-1].ends_period:
            self._due.append((ev.PeriodEnded,))

    # disputes

    def _challenged(self, event: disputes.Step) -> None:
        proposal = self._disputable(event)
        proposal.challenges.take(event, until=proposal.challenge_deadline)

    def _answered(self, event: ev.DemandAnswered) -> None:
        self._disputable(event).challenges.answer(event)

    def _conceded(self, event: ev.ChallengeConceded) -> None:
        bond = self.policy.challenge_bond
        challenge = self._disputable(event).challenges.concede(event, bond)
        assert challenge.answerer is not None
        self.credits.add(challenge.answerer, ethers=event.fee)
        rest = bond - bond // disputes.CONCEDED - event.fee
        self.credits.add(challenge.challenger, ethers=rest)

    def _failed(self, event: ev.ChallengeFailed) -> None:
        proposal = self._named(event)
        if proposal.fallen:
            self._end_fallen(event, proposal)
            self.credits.add(proposal.proposer, ethers=self.policy.challenge_bond // 2)
            return
        challenge = self._disputable(event).challenges.fail(event)
        unopened = isinstance(challenge.step, ev.ProofCommitted)
        answerer = None if unopened else challenge.answerer
        self.credits.add(answerer or proposal.proposer, ethers=self.policy.challenge_bond // 2)

    def _disproved(self, event: ev.ResultDisproved) -> None:
        proposal = self._disputable(event)
        require_equal(event, "round", proposal.round, event.round)
        round_ = self.rounds[proposal.round]
        self._check_retry(event, round_)
        challenge = proposal.challenges.prove(event)
        self._slash(event, proposal, challenge)
        if not event.kind and proposal.challenges.proofs:
            proposal.answerable_until = self._hold(event)
        if proposal.fate is Fate.ACCEPTED:
            self._hold(event)
            self._fall_back(round_, event.meta.timestamp)
        proposal.fate = Fate.DISPROVED
        self._retry(event, round_)

    def _fallen_disproved(self, event: ev.FallenDisproved) -> None:
        proposal = self._named(event)
        require(event, proposal.fallen, "a result that fell", proposal.fate.value)
        self._slash(event, proposal, self._end_fallen(event, proposal))
        proposal.fate = Fate.DISPROVED

    def _slash(self, event: disputes.Disproof, proposal: Proposal, challenge: Challenge) -> None:
        """Take the bond, if it is still here, and, for a proof, the stakes of who voted for the
        result; the challenger gets half.
        """
        reward = self.policy.challenge_bond
        if proposal.bonded:
            reward += self.policy.proposer_bond // 2
        if event.kind:
            voters = [index for index, support in proposal.votes.items() if support]
            reward += self._members.slash(voters, self._next_round, event.meta.timestamp)
            self.round.thinned = True
        proposal.bonded, proposal.proven = False, event.kind != 0
        self.credits.add(challenge.challenger, ethers=reward)

    def _end_fallen(self, event: disputes.Fallen, proposal: Proposal) -> Challenge:
        until = self.answerable_until(proposal)
        return proposal.challenges.end_fallen(event, proven=proposal.proven, until=until)

    def _hold(self, event: ev.Event) -> int:
        """Hold all stakes for one answer window, in which what has just fallen is answerable."""
        self.held_until = event.meta.timestamp + self.policy.answer_window
        return self.held_until

    def _release(self, proposal: Proposal) -> None:
        """Owe a proposer its bond, less what it owes for a rejection."""
        proposal.bonded = False
        amount = self.policy.proposer_bond - proposal.fee
        self.credits.add(proposal.proposer, ethers=amount)

    def _fall_back(self, round_: Round, at: int) -> None:
        """Take the lineage back to a round's parent, and go on with that round."""
        height = next(a.height for a in self.lineage if a.round == round_.index)
        del self.lineage[height - 1 :]
        for later in self.rounds[round_.index + 1 :]:
            self._void(later)
        round_.outcome = Outcome.OPEN
        round_.redraws = False
        self._current = round_.index
        self._last_progress = at
        self.ended = None

    def _reclaimed(self, event: ev.ChallengeReclaimed) -> None:
        proposal = self._named(event)
        require(event, proposal.fallen, "a result that fell", proposal.fate.value)
        challenge = self._end_fallen(event, proposal)
        self.credits.add(challenge.challenger, ethers=self.policy.challenge_bond)

    def _bond_released(self, event: ev.BondReleased) -> None:
        proposal = self._named(event)
        held = proposal.fallen and proposal.bonded
        require(event, held, "a result that fell, and whose bond is held", proposal.fate.value)
        require_equal(event, "proposer", proposal.proposer, event.proposer)
        if self.answerable(proposal):
            after(event, self.answerable_until(proposal))
        if proposal.fate is Fate.DROPPED:
            proposal.fate = Fate.RELEASED
        self._release(proposal)

    def _charged(self, event: ev.UnavailableCharged) -> None:
        settled = any(a.round == event.round and a.settled for a in self.lineage)
        require(event, settled, "a round whose result has settled", str(event.round))
        self._members.charge(event, self._next_round)

    # money

    def _claimed(self, event: ev.PayoutClaimed) -> None:
        participant = self._members.known(event, event.participant)
        require(event, bool(self.period_ends), "a reward period that has ended", "none")
        require_equal(event, "", participant.payout, event.payout)
        total = self.period_ends[-1].total
        paid = sum(p.paid for p in self.participants) + event.amount
        require(event, event.amount > 0, "an amount", "0")
        require(event, paid <= total, f"claims of at most {total}", str(paid))
        participant.paid += event.amount
        self.claims.append(event)

    def _refunded(self, event: ev.Refunded) -> None:
        require(event, self.settled, "an ended federation, all settled", "one that is not")
        require(event, self.refund is None, "one refund", "a second one")
        assert self.created is not None
        require_equal(event, "", self.created.creator, event.creator)
        expected = self.left
        require(event, event.amount == expected > 0, f"{expected} wei", str(event.amount))
        self.refund = event

    def _fees_collected(self, event: ev.FeesCollected) -> None:
        participant = self._members.known(event, event.participant)
        earned, fee = participant.fees, self.policy.attester_fee
        most = f"at most {earned}, in multiples of {fee}"
        multiple = fee > 0 and event.amount % fee == 0
        require(event, multiple and 0 < event.amount <= earned, most, str(event.amount))
        participant.fees -= event.amount
        self.credits.add(participant.payout, fees=event.amount)

    def _withdrawn(self, event: ev.Withdrawn) -> None:
        self.credits.withdrawn(event)

    def _checkpoint(self, event: ev.Checkpoint) -> None:
        """Repeats the accumulator, which no event may change but by following from it."""
        require_equal(event, "", self.h, event.h)

    # -- helpers of the fold

    def _check_due(self, event: ev.Event) -> bool:
        """Say whether an event is one that had to come next; refuse it if another had to."""
        kind = type(event)
        if not self._due:
            require(event, kind not in _CONSEQUENCES, "something that it follows from", "nothing")
            return False
        names = " or ".join(k.__name__ for k in self._due[0])
        require(event, kind in self._due[0], f"{names} next", kind.__name__)
        require(
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
    def _waiting(self) -> Accepted | None:
        """The next result to settle."""
        return next((a for a in self.lineage if not a.settled), None)

    @property
    def _kept(self) -> Round | None:
        """The round whose committee the next one keeps: a void one, else a minority that makes
        rounds void would draw until a committee suits it. None = the next round draws anew.
        """
        if not self.rounds or self.round.outcome is not Outcome.VOID or self.round.redraws:
            return None
        drawn = self.policy.draws(self.round.candidates) and self.round.seed is not None
        return self.round if drawn else None

    def _here(self, round_: Round) -> int | None:
        """Count the candidates that are still here, where the contract fills its seats by that
        number alone. Of fewer candidates than are known, at most as many have left as of all.
        """
        here = round_.candidates - (round_.known - round_.seats)
        exact = round_.candidates == round_.known
        enough = exact or here >= self.policy.committee_size
        first = round_.attempt == 0 and not round_.thinned
        return here if first and enough else None

    def _seedless(self, round_: Round) -> bool:
        return self.policy.draws(round_.candidates) and round_.seed is None

    def _hopeless(self, round_: Round, at: int) -> bool:
        """Whether nothing can come of a round that commits: too few did in time, or its seed is
        lost.
        """
        scarce = round_.slots < self.policy.least_updates and at >= round_.commit_deadline
        return scarce or self._seedless(round_)

    def _void(self, round_: Round) -> None:
        """End a round without a result, and whatever stood in it."""
        round_.outcome = Outcome.VOID
        for proposal in round_.proposals:
            if proposal.fate in LIVE:
                proposal.fate = Fate.DROPPED

    def _idle(self, event: ev.Event, otherwise: str) -> None:
        """Require that a federation may be closed: nothing accepted for long, nothing voted on or
        about to be accepted.
        """
        until = self._last_progress + self.policy.idle_window
        at = event.meta.timestamp
        require(event, at >= until, f"{otherwise} a time from {until} on".strip(), str(at))
        if self.phase is Phase.ATTEST:
            after(event, self.round.proposal.attest_deadline)
            carried = self.round.proposal.majority()
            require(event, not carried, "no majority for the standing result", "one")

    def _check_retry(self, event: Retry, round_: Round) -> None:
        """Require the right deadline for the next attempt, or 0 if there is none."""
        last = round_.attempt + 1 >= self.policy.attempts
        deadline = 0 if last else event.meta.timestamp + self.policy.propose_window
        require_equal(event, "deadline", deadline, event.propose_deadline)

    def _retry(self, event: Retry, round_: Round) -> None:
        """Go on with the next attempt, or end the round if there is none."""
        round_.attempt += 1
        round_.propose_deadline = event.propose_deadline
        self.phase = Phase.PROPOSE
        if round_.attempt >= self.policy.attempts:
            self._due.append((ev.RoundVoided,))

    def _released(self, participant: Participant) -> bool:
        """Whether every round that a participant had a seat in is settled or void."""
        current = self.round.index if self.rounds else 0
        until = participant.until
        if self.phase is not Phase.ENDED and (until is None or current < until):
            return False
        waiting = self._waiting
        return waiting is None or (until is not None and waiting.round >= until)

    def _free_since(self, participant: Participant) -> int:
        """Give the time from which a participant's unbonding counts: it has left, or the federation
        has ended, and the last result of its rounds has settled.
        """
        left, until = participant.left_at, participant.until
        if left is None:
            assert self.ended is not None
            left = self.ended.meta.timestamp
        own = (a for a in self.lineage if until is None or a.round < until)
        return max([left, *(a.settled_at for a in own if a.settled_at is not None)])

    def _going_on(self, event: ev.Event) -> None:
        require(event, self.phase is not Phase.ENDED, "a federation that goes on", "it has ended")

    def _standing(self, event: ev.Voted | Verdict, round_: Round) -> Proposal:
        """Give the standing proposal, which an event must be about."""
        require_equal(event, "", round_.proposal.result, event.result)
        return round_.proposal

    def _named(self, event: disputes.Event | ev.BondReleased) -> Proposal:
        """Give the proposal that a dispute's event names."""
        proposal = self.proposal(event.result, event.attempt)
        if proposal is None:
            text = f"{event.result.hex()} in attempt {event.attempt}"
            raise HistoryViolation(event, "a proposed result", text)
        return proposal

    def _disputable(self, event: disputes.Event) -> Proposal:
        """Give the proposal that a dispute's event names, which must not have fallen or settled."""
        proposal = self._named(event)
        live = proposal.fate in LIVE
        require(event, live, "a result that can be challenged", proposal.fate.value)
        return proposal

    def _in(self, event: ev.Event, phase: Phase, round_index: int) -> Round:
        require_equal(event, "phase", phase.value, self.phase.value)
        require_equal(event, "round", self.round.index, round_index)
        return self.round

    def _quorum(self, proposal: Proposal, *, support: bool) -> bool:
        votes = proposal.count(support)
        needed = self.policy.quorum_bps * proposal.committee.seats
        return votes > 0 and votes * 10_000 >= needed


_HANDLERS: dict[type, Callable[..., None]] = {
    ev.FederationCreated: FederationState._created,
    ev.ParticipantJoined: FederationState._joined,
    ev.ParticipantLeft: FederationState._left,
    ev.SignerRotated: FederationState._rotated,
    ev.KeyRegistered: FederationState._key_registered,
    ev.DatasetCommitted: FederationState._dataset,
    ev.DatasetAmended: FederationState._amended,
    ev.StakeWithdrawn: FederationState._stake,
    ev.RoundOpened: FederationState._opened,
    ev.SeedDrawn: FederationState._seed_drawn,
    ev.BatchPosted: FederationState._batch_posted,
    ev.UpdateCommitted: FederationState._committed,
    ev.CommitClosed: FederationState._commit_closed,
    ev.SliceOpened: FederationState._slice_opened,
    ev.TurnMissed: FederationState._turn_missed,
    ev.ResultProposed: FederationState._proposed,
    ev.Voted: FederationState._voted,
    ev.ResultAccepted: FederationState._accepted,
    ev.ResultRejected: FederationState._rejected,
    ev.RoundVoided: FederationState._voided,
    ev.ResultSettled: FederationState._settled,
    ev.PeriodEnded: FederationState._period_ended,
    ev.FederationEnded: FederationState._ended,
    ev.ProofCommitted: FederationState._challenged,
    ev.DemandOpened: FederationState._challenged,
    ev.DemandAnswered: FederationState._answered,
    ev.ChallengeConceded: FederationState._conceded,
    ev.ChallengeFailed: FederationState._failed,
    ev.ResultDisproved: FederationState._disproved,
    ev.FallenDisproved: FederationState._fallen_disproved,
    ev.ChallengeReclaimed: FederationState._reclaimed,
    ev.BondReleased: FederationState._bond_released,
    ev.UnavailableCharged: FederationState._charged,
    ev.PayoutClaimed: FederationState._claimed,
    ev.Refunded: FederationState._refunded,
    ev.FeesCollected: FederationState._fees_collected,
    ev.Withdrawn: FederationState._withdrawn,
    ev.Checkpoint: FederationState._checkpoint,
}

_CONSEQUENCES = frozenset({ev.RoundOpened, ev.PeriodEnded})
