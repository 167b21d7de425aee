"""What a relay must know of the chain, and the few things it does there: a narrow seam, so that the
relay is tested without a chain and changes only where the contract does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ledger.batch import Posted, Signers
from ledger.chain.types import Receipt
from ledger.headers import ResultHeader
from ledger.signatures import Invitation, Join, Signature
from ledger.types import ZERO_DIGEST, Address, Digest, ParticipantId, RoundIndex, Wei


@dataclass(frozen=True, slots=True)
class Opening:
    """What tells a round from another of the same number, which a reorganisation of the chain can
    put in its place: its parent, and the block that opened it.
    """

    parent: Digest = ZERO_DIGEST
    block: Digest = ZERO_DIGEST


UNKNOWN = Opening()


@dataclass(frozen=True, slots=True)
class Collecting:
    """A round in its commit phase. `deadline` is the batch's."""

    signers: Signers
    opened: int
    deadline: int
    direct: frozenset[int] = frozenset()
    posted: Posted | None = None
    opening: Opening = field(default=UNKNOWN, compare=False)

    @property
    def round(self) -> RoundIndex:
        """The round's number."""
        return self.signers.round


@dataclass(frozen=True, slots=True)
class Proposing:
    """A round that waits for a result; `signer` None = every account may propose, in its own name.
    `lost` is what bonds that the relay lent have cost it so far; `barred`: it lost one with a
    result of the participant whose turn it is.
    """

    round: RoundIndex
    attempt: int
    signer: Address | None
    lost: int = 0
    barred: bool = False
    opening: Opening = field(default=UNKNOWN, compare=False)


@dataclass(frozen=True, slots=True)
class Voting:
    """A proposal that is voted on. `committee` are the signers of its seats, `voted` those of them
    whose votes the chain has, and `quorum` votes on one side decide. `vacant` are the bits of
    vacant places that show the contract who has moved up.
    """

    round: RoundIndex
    attempt: int
    result: Digest
    committee: Mapping[Address, ParticipantId]
    voted: Mapping[Address, bool]
    quorum: int
    opened: int
    deadline: int
    vacant: int = 0
    opening: Opening = field(default=UNKNOWN, compare=False)


Phase = Collecting | Proposing | Voting


@dataclass(frozen=True, slots=True)
class Situation:
    """Where a federation stands. `due`: `advance` has something to do; `over`: never again;
    `able`: the relay can send what it gives its word for.
    """

    now: int
    phase: Phase | None
    due: bool = False
    over: bool = False
    able: bool = True


@dataclass(frozen=True, slots=True)
class SignedVote:
    """One side of the standing proposal, signed."""

    support: bool
    signature: Signature


@dataclass(frozen=True, slots=True)
class Application:
    """A site that joins through a sponsor: what its controller signed, and its papers."""

    join: Join
    controller: Address
    consent: Signature
    invitation: bytes
    expires: int

    @property
    def invited(self) -> Invitation:
        """What the creator signs in the invitation."""
        return Invitation(
            self.join.federation,
            self.controller,
            self.join.identity,
            self.join.dataset_root,
            rows=self.join.rows,
            expires=self.expires,
        )


@dataclass(frozen=True, slots=True)
class SignedResult:
    """A result that its proposer signed, with the digest of its index."""

    header: ResultHeader
    index: Digest
    signature: Signature


class Ledger(Protocol):
    """The contract as a relay uses it. It waits for what it sends; raises ContractRejected."""

    @property
    def stake(self) -> Wei:
        """What joining costs."""

    @property
    def bond(self) -> Wei:
        """What proposing costs."""

    def situation(self) -> Situation:
        """Look where the federation stands now."""

    def refusal(self, application: Application) -> str | None:
        """Say why the contract would refuse a join, as far as the history tells."""

    def runs_code(self, application: Application) -> bool:
        """Say whether an account's code may run in a join."""

    def post_batch(self, round_index: RoundIndex, posted: Posted) -> Receipt:
        """Post the round's batch."""

    def post_votes(self, voting: Voting, votes: Sequence[SignedVote]) -> Receipt:
        """Post votes on the standing proposal."""

    def propose(self, result: SignedResult) -> Receipt:
        """Propose a result in its signer's name, with a bond of the relay's."""

    def join(self, application: Application) -> Receipt:
        """Let a site join, with a stake of the relay's."""

    def advance(self) -> Receipt:
        """Do what is due."""
