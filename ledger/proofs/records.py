"""The words of a dispute: proofs, demands, and what a verifier leaves to be looked up.

Mirrors of `contracts/src/verifier/Types.sol`; a policy's terms are those of its header.
"""

from dataclasses import dataclass
from enum import IntEnum

from ledger.errors import LedgerError
from ledger.types import ZERO_ADDRESS, ZERO_DIGEST, Address, Digest, FederationId


class Kind(IntEnum):
    """What a proof shows to be wrong."""

    NODE_TOTALS = 1  # a node's sums, padding, or an entry that no round has
    NODE_SUM = 2  # a leaf of a node's sums
    NODE_CHILD = 3  # an upper entry that differs from the child it names
    TOP = 4  # weight or number in the header
    STEP = 5  # a leaf of the model
    ENTRY_HEADER = 6  # an entry that the update's header contradicts
    ENTRY_SLOT = 7  # an entry that the commit or the batch's leaf contradicts
    SUPERSEDED = 8  # the slot that is named instead does not count instead
    WEIGHT = 9  # a weight that is not the contract's
    TWICE = 10  # two slots that stand for one participant
    BOUND = 11  # a coordinate beyond the bound that is not named, or one within it that is
    VALUE = 12
    GAIN = 13
    SCORE = 14
    PAYOUT = 15


class Wanted(IntEnum):
    """Which tree a demand is about."""

    INPUT = 0
    SUM = 1
    MODEL = 2
    NODE = 3
    BATCH = 4
    UTILITIES = 5
    VALUES = 6
    PAYOUTS = 7
    HEADER = 8


class Ask(IntEnum):
    """Which fact of the contract's own records a proof depends on."""

    NOTHING = 0
    COMMIT = 1
    WEIGHT = 2
    SCALE = 3
    SIGNER = 4
    HEADER = 5
    ANCESTOR = 6


@dataclass(frozen=True, slots=True)
class Case:
    """The challenged result, as the contract knows it: its height on the lineage (the first one's
    is 1), its round's commit slots, the first `batched` of them the batch's, and how many
    participants were known when the round was opened.
    """

    federation: FederationId
    result: Digest
    round: int
    height: int
    slots: int
    batched: int
    batch_root: Digest
    known: int


@dataclass(frozen=True, slots=True)
class Question:
    """A fraud is shown if what is asked holds and `holds`, or does not and not `holds`."""

    ask: Ask = Ask.NOTHING
    holds: bool = True
    participant: int = 0
    number: int = 0
    height: int = 0
    slots: int = 0
    digest: Digest = ZERO_DIGEST
    signer: Address = ZERO_ADDRESS


@dataclass(frozen=True, slots=True)
class Target:
    """The node of a tree over the leaves from `position << level` up to the next position's."""

    kind: Wanted
    root: Digest
    total: int
    size: int
    level: int
    position: int


@dataclass(frozen=True, slots=True)
class Proof:
    """The bytes that show a fraud in one transaction."""

    data: bytes

    @property
    def kind(self) -> Kind:
        """What it shows to be wrong."""
        return Kind(self.data[0])


@dataclass(frozen=True, slots=True)
class Demand:
    """Evidence of which bytes are wanted, and what would answer it."""

    evidence: bytes
    target: Target


class NoProof(LedgerError):
    """Bytes that show no fraud, and where that came out."""

    def __init__(self, check: str, reason: str) -> None:
        self.check = check
        self.reason = reason
        super().__init__(f"no proof: {check}: {reason}")
