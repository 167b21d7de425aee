"""What an audit came to: its steps, every check it made, and the first thing that does not hold.

These are plain values, so that the terminal, the JSON output and the HTML report tell the same
story, and so that whoever keeps a verdict can compare two of them field by field.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from fractions import Fraction
from typing import Final

from ledger.types import Address, Digest, FederationId, Wei

UTILITY_UNIT: Final = 1_000_000
"""Utilities are recorded in millionths of the metric's unit."""


@dataclass(frozen=True, slots=True)
class Step:
    """A part of the audit; `question` says in plain words what it asks."""

    name: str
    title: str
    question: str


CONTRACT = Step(
    "contract",
    "The contract",
    "Is the program on the chain the published one, at the address that its code determines?",
)
HISTORY = Step(
    "history",
    "The history",
    "Is the list of events complete: does it hash to the value that the contract itself holds?",
)
ORDER = Step(
    "order",
    "Order and deadlines",
    "Did commits, proposals, votes and settlements come in the right order and in time?",
)
SIGNERS = Step(
    "signers",
    "Signatures",
    "Was everything sent by the account that was entitled to send it?",
)
BYTES = Step(
    "bytes",
    "Published bytes",
    "Are the published bytes exactly those whose fingerprints stand on the chain?",
)
HEADERS = Step(
    "headers",
    "Headers",
    "Does every record name this federation, its round, its predecessor and its author?",
)
SELECTION = Step(
    "selection",
    "Which updates count",
    "Has every update that counts its right weight, and every other one a reason that shows?",
)
TREES = Step(
    "trees",
    "Sums and trees",
    "Do the partial sums add up, under the very roots that were recorded?",
)
AGGREGATION = Step(
    "aggregation",
    "New model",
    "Is the new model, to the last bit, what the policy makes of the updates that count?",
)
UTILITIES = Step(
    "utilities",
    "Model quality",
    "Does measuring the models again give the recorded quality?",
)
CONTRIBUTIONS = Step(
    "contributions",
    "Contributions",
    "Do the recorded contributions follow from the recorded quality?",
)
PAYOUTS = Step(
    "payouts",
    "Payouts",
    "Does each amount follow from the contributions and the policy, and do they sum exactly?",
)
CLAIMS = Step(
    "claims",
    "Claims",
    "Was nobody paid twice, too much, or at another address?",
)
LINEAGE = Step(
    "lineage",
    "Model versions",
    "Does each model version build on the one before it, without a gap?",
)

STEPS: Final = (
    CONTRACT,
    HISTORY,
    ORDER,
    SIGNERS,
    BYTES,
    HEADERS,
    SELECTION,
    TREES,
    AGGREGATION,
    UTILITIES,
    CONTRIBUTIONS,
    PAYOUTS,
    CLAIMS,
    LINEAGE,
)


class Lack(Enum):
    """Why a check could not be made, though nothing was found wrong."""

    ERASED = "erased"
    SEALED = "sealed"


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison of the audit; `round` is None where it concerns the whole federation, `lack`
    says why it was not made, if it was not.
    """

    step: Step
    round: int | None
    detail: str
    ok: bool
    lack: Lack | None = None

    @property
    def failed(self) -> bool:
        """Whether it was made and does not hold."""
        return not self.ok and self.lack is None


@dataclass(frozen=True, slots=True)
class Erased:
    """What a participant erased by a declaration on the chain, and the audit missed."""

    participant: int
    name: str
    rounds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """The first thing that does not hold, and who signed it."""

    step: Step
    round: int | None
    subject: str
    expected: str
    found: str
    signer: Address | None


class Outcome(Enum):
    """What became of a round."""

    OPEN = "open"
    VOID = "void"
    ACCEPTED = "accepted"
    SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class Entry:
    """An update in a round's result; `reason` 0 counts, others are the reasons of the nodes'
    entries.
    """

    participant: int
    weight: int
    reason: int


@dataclass(frozen=True, slots=True)
class RoundSummary:
    """A round as the chain and the records tell it.

    `version` is the number of the model version that it made. Utilities are in millionths, those of
    the model before and after the round; None where nothing was measured. `gas` is what its
    transactions used in all.
    """

    round: int
    outcome: Outcome
    opened_at: int
    ended_at: int | None = None
    version: int | None = None
    result: Digest | None = None
    proposer: Address | None = None
    statistics: bool = False
    attempts: int = 1
    seats: int = 0
    votes_for: int = 0
    votes_against: int = 0
    entries: tuple[Entry, ...] = ()
    utility_before: int | None = None
    utility_after: int | None = None
    gas: int | None = None

    @property
    def counted(self) -> tuple[Entry, ...]:
        """The updates that count."""
        return tuple(entry for entry in self.entries if entry.reason == 0)

    @property
    def excluded(self) -> tuple[Entry, ...]:
        """The updates that do not."""
        return tuple(entry for entry in self.entries if entry.reason != 0)


@dataclass(frozen=True, slots=True)
class ParticipantSummary:
    """A participant, what it contributed, what it is due and what it has claimed of that.

    `value` is the contribution in millionths of a utility unit, summed over all rounds; `interval`
    its bounds in the same unit, where they were estimated; `share` its part of all
    payouts.
    """

    index: int
    signer: Address
    name: str
    identity: Digest
    weight: int
    value: Fraction
    share: Fraction
    payout: Wei
    claimed: Wei
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What the policy says, in the words of its file. `token` is None where payouts are in
    ether. `evaluation` is the rows' mode, empty where it is not known.
    """

    name: str
    rule: str
    metric: str
    valuation: str
    pool: Wei
    token: Address | None = None
    exact: bool = True
    evaluation: str = ""


@dataclass(frozen=True, slots=True)
class TrustedBlock:
    """The one block that the audit takes for granted."""

    number: int
    hash: Digest
    timestamp: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Everything that an audit found. It holds if no step failed; it is complete if, beside that,
    nothing was erased or sealed from it. `remeasured` says how many records of quality were
    measured again on original rows that the audit was shown.
    """

    federation: FederationId
    chain_id: int
    contract: Address
    trusted_block: TrustedBlock
    terms: Terms
    rounds: tuple[RoundSummary, ...]
    participants: tuple[ParticipantSummary, ...]
    checks: tuple[Check, ...]
    finding: Finding | None = None
    notes: tuple[str, ...] = ()
    erased: tuple[Erased, ...] = ()
    remeasured: int = 0

    @property
    def holds(self) -> bool:
        """Whether everything that was checked holds."""
        return self.finding is None and not any(check.failed for check in self.checks)

    @property
    def lacks(self) -> tuple[Lack, ...]:
        """Why checks could not be made."""
        found = {check.lack for check in self.checks}
        return tuple(lack for lack in Lack if lack in found)

    @property
    def word(self) -> str:
        """Return the verdict in one word: holds, erased, sealed or fails."""
        return "fails" if not self.holds else self.lacks[0].value if self.lacks else "holds"

    @property
    def due(self) -> int:
        """The sum of all payouts, claimed or not."""
        return sum(participant.payout for participant in self.participants)

    @property
    def claimed(self) -> int:
        """What participants have taken of their payouts."""
        return sum(participant.claimed for participant in self.participants)

    def who(self, address: Address | None) -> str | None:
        """Return the name of the participant that signs with an address, if one does."""
        names = (p.name for p in self.participants if address and p.signer == address)
        return next(names, None)

    def to_json(self) -> dict[str, object]:
        """Return the verdict as JSON values: digests in hex, amounts and fractions as strings."""
        return {"holds": self.holds, "verdict": self.word, **_fields(self)}


_AMOUNTS: Final = frozenset({"pool", "payout", "claimed"})


def _fields(value: object) -> dict[str, object]:
    if not is_dataclass(value):
        raise TypeError(f"{type(value).__name__} is not a dataclass")
    pairs = ((field.name, getattr(value, field.name)) for field in fields(value))
    return {name: str(item) if name in _AMOUNTS else _plain(item) for name, item in pairs}


def _plain(value: object) -> object:
    match value:
        case Step():
            return value.name
        case Enum():
            return value.value
        case bytes():
            return f"0x{value.hex()}"
        case Fraction():
            return str(value)
        case tuple():
            return [_plain(item) for item in value]
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
    return _fields(value) if is_dataclass(value) else value
