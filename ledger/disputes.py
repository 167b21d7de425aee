"""Challenges to a result: the part of the fold that is about whose turn it is, and until when.

Challenges are numbered in the order in which they were opened, and their clocks run one after the
other, so whoever answers has each one's time. What a proof shows, or an answer opens, was checked
by the contract; an audit computes results anew and need not believe either.
"""

from dataclasses import dataclass, field
from enum import Enum

from ledger import history as ev
from ledger.strict import after, before, require, require_equal
from ledger.types import Address

MOST_STEPS = 8
ANSWERS = 32
"""The part of a challenge's bond that one answer costs at most, if the challenger concedes."""
CONCEDED = 8
"""The part of a challenge's bond that a concession burns."""

Step = ev.ProofCommitted | ev.DemandOpened
Disproof = ev.ResultDisproved | ev.FallenDisproved
Fallen = ev.FallenDisproved | ev.ChallengeFailed | ev.ChallengeReclaimed
Event = Step | ev.DemandAnswered | ev.ChallengeConceded | ev.ResultDisproved | Fallen


class Waiting(Enum):
    """What a challenge waits for."""

    PROOF = "proof"
    ANSWER = "answer"
    CHALLENGER = "challenger"
    NOBODY = "nobody"


@dataclass(slots=True)
class Challenge:
    """A challenge, as its newest step left it. No deadline: an older one's clock runs. `answers`
    are those that its answerer gave since another account did.
    """

    number: int
    challenger: Address
    step: Step
    taken: list[Step] = field(default_factory=list)
    deadline: int | None = None
    answerer: Address | None = None
    answers: int = 0
    answered: bool = False
    resolved: bool = False

    @property
    def waiting(self) -> Waiting:
        """What has to happen next."""
        if self.resolved:
            return Waiting.NOBODY
        if isinstance(self.step, ev.ProofCommitted):
            return Waiting.PROOF
        return Waiting.CHALLENGER if self.answered else Waiting.ANSWER


@dataclass(slots=True)
class Challenges:
    """All challenges to a result in one attempt; the first `past` are over."""

    answer_window: int
    all: list[Challenge] = field(default_factory=list)
    past: int = 0

    @property
    def running(self) -> Challenge | None:
        """The challenge whose clock runs: the first that is open."""
        return self.all[self.past] if self.past < len(self.all) else None

    @property
    def proofs(self) -> int:
        """Number of commitments to a proof that may still be opened."""
        return sum(1 for challenge in self.all if challenge.waiting is Waiting.PROOF)

    def take(self, event: Step, *, until: int) -> None:
        """Take in a step: the first one, before the challenge window ends, or one after an
        answer.
        """
        if event.challenge < len(self.all):
            self._go_on(event)
            return
        require_equal(event, "challenge", len(self.all), event.challenge)
        before(event, until)
        self.all.append(Challenge(event.challenge, event.challenger, event, [event]))
        self._restart(event)

    def answer(self, event: ev.DemandAnswered) -> None:
        """Take in that somebody opened what was demanded."""
        challenge = self._waiting(event, Waiting.ANSWER)
        challenge.answered = True
        challenge.answers = challenge.answers + 1 if challenge.answerer == event.answerer else 1
        challenge.answerer = event.answerer
        self._restart(event)

    def prove(self, event: ev.ResultDisproved) -> Challenge:
        """Take in that a challenge holds."""
        if event.kind:
            challenge = self._waiting(event, Waiting.PROOF)
        else:
            challenge = self._run_out(event)
            unanswered = challenge.waiting is Waiting.ANSWER
            require(event, unanswered, "an unanswered demand", challenge.waiting.value)
        challenge.resolved = True
        return challenge

    def fail(self, event: ev.ChallengeFailed) -> Challenge:
        """Take in that the first open challenge came to nothing."""
        challenge = self._run_out(event)
        blamed = challenge.waiting is not Waiting.ANSWER
        require(event, blamed, "a challenge that waits for its challenger", "an unanswered demand")
        self._end(event, challenge)
        return challenge

    def concede(self, event: ev.ChallengeConceded, bond: int) -> Challenge:
        """Take in that a challenger gave in after an answer. What one costs follows from the base
        fee of its block, which the history does not name, up to a part of the bond.
        """
        challenge = self._waiting(event, Waiting.CHALLENGER)
        most = challenge.answers * (bond // ANSWERS)
        require(event, event.fee <= most, f"a fee of at most {most} wei", str(event.fee))
        self._end(event, challenge)
        return challenge

    def end_fallen(self, event: Fallen, *, proven: bool, until: int) -> Challenge:
        """Take in what became of a challenge after its result fell: a proof is opened before
        `until`, unless one was before; a bond is lost from then on if none was; others return.
        """
        challenge = self._known(event)
        require(event, not challenge.resolved, "an open challenge", "one that is over")
        proof = challenge.waiting is Waiting.PROOF
        lost = proof and not proven
        if isinstance(event, ev.ChallengeReclaimed):
            require(event, not lost, "a demand, or a result that was proved wrong", "neither")
        else:
            require(event, lost, "a commitment to the first proof", challenge.waiting.value)
            in_time = isinstance(event, ev.FallenDisproved)
            (before if in_time else after)(event, until)
        challenge.resolved = True
        return challenge

    def _end(self, event: Event, challenge: Challenge) -> None:
        """End a challenge, and start the clock of the first that is open then."""
        challenge.resolved = True
        first = self.past
        while self.past < len(self.all) and self.all[self.past].resolved:
            self.past += 1
        if self.past > first:
            self._restart(event, self.past)

    def _go_on(self, event: Step) -> None:
        challenge = self._waiting(event, Waiting.CHALLENGER)
        require_equal(event, "challenger", challenge.challenger, event.challenger)
        require(event, len(challenge.taken) < MOST_STEPS, f"at most {MOST_STEPS} steps", "another")
        challenge.step = event
        challenge.taken.append(event)
        challenge.answered = False
        self._restart(event)

    def _waiting(self, event: Event, waiting: Waiting) -> Challenge:
        """Give the challenge of an event, which must wait for it, and in time."""
        challenge = self._known(event)
        found = challenge.waiting
        require(
            event, found is waiting, f"a challenge that waits for: {waiting.value}", found.value
        )
        if challenge.deadline is not None:
            before(event, challenge.deadline)
        return challenge

    def _run_out(self, event: Event) -> Challenge:
        challenge = self._known(event)
        require_equal(event, "challenge", self.past, event.challenge)
        assert challenge.deadline is not None
        after(event, challenge.deadline)
        return challenge

    def _known(self, event: Event) -> Challenge:
        number = event.challenge
        require(event, number < len(self.all), "a challenge that was opened", str(number))
        return self.all[number]

    def _restart(self, event: Event, number: int | None = None) -> None:
        """Start the clock of a challenge anew if it is the first open one."""
        which = event.challenge if number is None else number
        if which == self.past < len(self.all):
            self.all[which].deadline = event.meta.timestamp + self.answer_window
