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

Step = ev.ProofCommitted | ev.DemandOpened
Event = Step | ev.DemandAnswered | ev.ChallengeFailed | ev.ResultDisproved | ev.ChallengeReclaimed


class Waiting(Enum):
    """What a challenge waits for."""

    PROOF = "proof"
    ANSWER = "answer"
    CHALLENGER = "challenger"
    NOBODY = "nobody"


@dataclass(slots=True)
class Challenge:
    """A challenge, as its newest step left it. No deadline: an older one's clock runs."""

    number: int
    challenger: Address
    step: Step
    taken: list[Step] = field(default_factory=list)
    deadline: int | None = None
    answerer: Address | None = None
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
    """All challenges to a result in one attempt; the first `past` came to nothing."""

    answer_window: int
    all: list[Challenge] = field(default_factory=list)
    past: int = 0

    @property
    def running(self) -> Challenge | None:
        """The challenge whose clock runs: the first that is open."""
        return self.all[self.past] if self.past < len(self.all) else None

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
        challenge.resolved = True
        self.past += 1
        self._restart(event, self.past)
        return challenge

    def reclaim(self, event: ev.ChallengeReclaimed) -> Challenge:
        """Take in that a challenge ended with its result."""
        challenge = self._known(event)
        require(event, not challenge.resolved, "an open challenge", "one that is over")
        challenge.resolved = True
        return challenge

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
