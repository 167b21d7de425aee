"""What happens in a federation, as records: rounds, commits, proposals, and the results that were
accepted.
"""

from dataclasses import dataclass, field
from enum import Enum

from ledger import history as ev
from ledger.committee import Committee
from ledger.disputes import Challenges
from ledger.types import ZERO_DIGEST, Address, Digest, ParticipantId, RoundIndex


@dataclass(frozen=True, slots=True)
class Commit:
    """An update's digest that its owner sent itself, as the `order`-th of the round."""

    order: int
    participant: ParticipantId
    digest: Digest
    meta: ev.EventMeta


class Fate(Enum):
    """What has become of a proposed result. DROPPED: its round ended without it; RELEASED: and its
    bond was given back.
    """

    STANDING = "standing"
    ACCEPTED = "accepted"
    SETTLED = "settled"
    REJECTED = "rejected"
    DISPROVED = "disproved"
    DROPPED = "dropped"
    RELEASED = "released"


LIVE = (Fate.STANDING, Fate.ACCEPTED)


@dataclass(slots=True)
class Proposal:
    """A result that was put to the vote: its proposer answers for it, its signer's turn it was.
    `bonded`: the contract has its bond; `fee`: what a bond that is held after a rejection owes;
    `answerable_until`: of a rejected one, until when open proofs against it count.
    """

    round: RoundIndex
    attempt: int
    proposer: Address
    signer: Address
    result: Digest
    index: Digest
    attest_deadline: int
    challenge_deadline: int
    committee: Committee
    challenges: Challenges
    meta: ev.EventMeta
    votes: dict[ParticipantId, bool] = field(default_factory=dict)
    fate: Fate = Fate.STANDING
    bonded: bool = True
    fee: int = 0
    proven: bool = False
    answerable_until: int = 0

    @property
    def key(self) -> tuple[Digest, int, bytes]:
        """What tells it from every other proposal, and from itself before a reorganisation, which
        may have changed what its result is to be made from.
        """
        return self.result, self.attempt, self.meta.block_hash

    @property
    def fallen(self) -> bool:
        """Whether the result can never settle."""
        return self.fate not in (*LIVE, Fate.SETTLED)

    def count(self, support: bool) -> int:
        """Count the votes on one side."""
        return sum(1 for vote in self.votes.values() if vote is support)

    def majority(self) -> bool:
        """Whether half of the seats voted, and more for the result than against it."""
        return self._decides and self.count(True) > self.count(False)

    @property
    def voted_down(self) -> bool:
        """Whether half of the seats voted, and more against the result than for it."""
        return self._decides and self.count(False) > self.count(True)

    @property
    def silent(self) -> bool:
        """Whether fewer than half of the seats voted."""
        return not self._decides

    @property
    def _decides(self) -> bool:
        return 2 * len(self.votes) >= self.committee.seats


class Outcome(Enum):
    """What became of a round."""

    OPEN = "open"
    ACCEPTED = "accepted"
    VOID = "void"


@dataclass(slots=True)
class Round:
    """A round, from its opening to what became of it. Its slots are those of the relay's batch,
    then the direct commits. Its committee is drawn from the first `candidates` of the `known`
    participants: a round keeps seed and number of the void round before it, unless that `redraws`.
    `opening` is the hash of the block that opened it: after a reorganisation another round may have
    the same number, parent and members.
    """

    index: RoundIndex
    parent: Digest
    seats: int
    known: int
    candidates: int
    opened: int
    commit_deadline: int
    seed: bytes | None = None
    batched: int = 0
    batch_root: Digest = ZERO_DIGEST
    batch_index: Digest = ZERO_DIGEST
    commits: list[Commit] = field(default_factory=list)
    closed: ev.CommitClosed | None = None
    slices: list[ev.SliceOpened] = field(default_factory=list)
    propose_deadline: int = 0
    attempt: int = 0
    turn_missed: bool = False
    thinned: bool = False
    proposals: list[Proposal] = field(default_factory=list)
    redraws: bool = False
    outcome: Outcome = Outcome.OPEN
    opening: Digest = ZERO_DIGEST

    @property
    def slots(self) -> int:
        """Number of commit slots so far."""
        return self.batched + len(self.commits)

    def committed(self, participant: int) -> bool:
        """Whether a participant has committed directly."""
        return any(commit.participant == participant for commit in self.commits)

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
    settled_at: int | None = None
    ends_period: bool = False

    @property
    def settled(self) -> bool:
        """Whether nothing can be held against the result any more."""
        return self.proposal.fate is Fate.SETTLED
