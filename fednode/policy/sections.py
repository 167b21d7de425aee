"""The sections of a policy file: one model per table, every key with its type and limits.

A validator's message starts with the key that it is about, so that the reader can name it.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from fednode.data.evaluation_set import MOST_ROWS
from fednode.data.schema import ExactDecimal, Name, Section, StrictBool, StrictInt
from fednode.training.run import TrainingSpec
from ledger.address import parse_address
from ledger.sealing import usable

MOST_COMMITTEE: Final = 128
MOST_PARTICIPANTS: Final = 1 << 15
USUAL_COMMITTEE: Final = 16
MOST_WEIGHT: Final = 1 << 31
MOST_TOLERANCE: Final = 1_000_000
MILLION: Final = 1_000_000
MOST_SLICES: Final = 1 << 20
CREATOR: Final = "creator"
MOST_AUDITORS: Final = 64

UInt32 = Annotated[StrictInt, Field(ge=0, lt=1 << 32)]
Window = Annotated[StrictInt, Field(ge=1, lt=1 << 32)]
Count = Annotated[StrictInt, Field(ge=1, lt=1 << 32)]
Text = Annotated[str, Field(max_length=1000)]

_UNITS: Final = {"wei": 0, "gwei": 9, "ether": 18}


def _wei(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError('an amount is an integer of wei or a text such as "1.5 ether"')
    if isinstance(value, int):
        return value
    number, _, unit = value.strip().partition(" ")
    places = _UNITS.get(unit.strip() or "wei")
    if places is None:
        raise ValueError(f"unknown unit '{unit.strip()}'; write wei, gwei or ether")
    try:
        amount = Decimal(number) if len(number) <= 60 else None
    except ArithmeticError:
        amount = None
    if amount is None or not amount.is_finite() or abs(amount.adjusted()) > 60:
        raise ValueError('an amount is an integer of wei or a text such as "1.5 ether"')
    numerator, denominator = amount.as_integer_ratio()
    whole, part = divmod(numerator * 10**places, denominator)
    if part:
        raise ValueError("an amount must come to whole wei")
    return whole


WeiAmount = Annotated[
    int, BeforeValidator(_wei), Field(ge=0, lt=1 << 96), PlainSerializer(str, return_type=str)
]
AddressText = Annotated[str, AfterValidator(parse_address)]


class FederationSection(Section):
    """Who takes part, and who decides."""

    name: Name
    open: StrictBool = False
    start_participants: Count
    max_participants: Count
    least_updates: Count = 1
    committee_size: Count | None = None
    quorum: ExactDecimal = Field(default=Decimal("0.6"), gt=Decimal("0.5"), le=1)
    relay: AddressText | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.start_participants > self.max_participants:
            raise ValueError("start_participants: above max_participants")
        if self.least_updates > self.start_participants:
            raise ValueError("least_updates: above start_participants, so no round would count")
        if self.max_participants > MOST_PARTICIPANTS:
            raise ValueError(f"max_participants: at most {MOST_PARTICIPANTS}")
        if self.committee > MOST_COMMITTEE:
            raise ValueError(f"committee_size: at most {MOST_COMMITTEE} seats")
        if (Fraction(self.quorum) * 10_000).denominator > 1:
            raise ValueError("quorum: four decimals at most")
        return self

    @property
    def committee(self) -> int:
        """Seats: sixteen, or as many as there may be participants, if these are fewer."""
        if self.committee_size is not None:
            return self.committee_size
        return min(USUAL_COMMITTEE, self.max_participants)

    @property
    def quorum_bps(self) -> int:
        """Quorum in ten-thousandths."""
        return int(Fraction(self.quorum) * 10_000)


def _options(value: object) -> object:
    for key, option in value.items() if isinstance(value, Mapping) else ():
        for item in option if isinstance(option, list | tuple) else [option]:
            if not isinstance(item, bool | int | str):
                raise ValueError(
                    f"{key}: options are integers, texts, true, false or lists of these; "
                    'write a fraction as a text, such as "0.5"'
                )
    return value


OptionInt = Annotated[StrictInt, Field(ge=-(1 << 63), lt=1 << 63)]
Option = (
    Annotated[bool, Field(strict=True)]
    | OptionInt
    | Text
    | tuple[Annotated[bool, Field(strict=True)] | OptionInt | Text, ...]
)


class TaskSection(Section):
    """What is trained: a built-in model by name, or a user's own as `module:factory`."""

    model: str = Field(max_length=200, pattern=r"^([a-z_]+|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$")
    options: Annotated[dict[str, Option], BeforeValidator(_options)] = Field(default_factory=dict)
    private: tuple[Name, ...] = ()

    @property
    def own(self) -> bool:
        """Whether the model is a user's program code."""
        return ":" in self.model


class TrainingSection(Section):
    """Local training: stochastic gradient descent on each participant's rows."""

    rounds: Annotated[StrictInt, Field(ge=1, le=100_000)]
    epochs: Annotated[StrictInt, Field(ge=1, le=10_000)] = 1
    batch_size: Annotated[StrictInt, Field(ge=1, le=1 << 20)] = 16
    learning_rate: ExactDecimal = Field(default=Decimal("0.05"), gt=0, le=1000)
    momentum: ExactDecimal = Field(default=Decimal(0), ge=0, lt=1)
    weight_decay: ExactDecimal = Field(default=Decimal(0), ge=0, le=1000)
    seed: Annotated[StrictInt, Field(ge=0, lt=1 << 63)] = 0

    @property
    def spec(self) -> TrainingSpec:
        """What one local training run does."""
        return TrainingSpec(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=float(self.learning_rate),
            momentum=float(self.momentum),
            weight_decay=float(self.weight_decay),
        )


class StopSection(Section):
    """When to stop early: no gain of `least_gain` utility units within `patience` rounds."""

    patience: UInt32 = 0
    least_gain: Annotated[StrictInt, Field(ge=0, lt=1 << 62)] = 0


class AggregationSection(Section):
    """How updates become a model, in fixed point; `bound` limits a coordinate of an update, `trim`
    is the share of its values that the trimmed mean cuts off at each end.
    """

    rule: Literal["fedavg", "trimmed-mean", "median"] = "fedavg"
    trim: ExactDecimal = Field(default=Decimal(0), ge=0, lt=Decimal("0.5"))
    fraction_bits: Annotated[StrictInt, Field(ge=8, le=30)] = 20
    bound: ExactDecimal = Field(default=Decimal(16), gt=0)
    weight_cap: Annotated[StrictInt, Field(ge=1, lt=MOST_WEIGHT)] = 1_000_000
    staleness: Annotated[StrictInt, Field(ge=0, lt=256)] = 0

    @model_validator(mode="after")
    def _trims(self) -> Self:
        if self.rule == "trimmed-mean" and self.trim == 0:
            raise ValueError("trim: missing; say what share to cut off at each end, such as 0.1")
        if self.rule != "trimmed-mean" and self.trim > 0:
            raise ValueError("trim: only for rule = 'trimmed-mean'")
        if (Fraction(self.trim) * MILLION).denominator > 1:
            raise ValueError("trim: six decimals at most")
        return self

    @property
    def rule_parameter(self) -> int:
        """The rule's parameter: the trimmed mean's share in millionths."""
        return int(Fraction(self.trim) * MILLION)

    @property
    def bound_units(self) -> int:
        """Bound of a coordinate in units of 2^-fraction_bits."""
        return int(Fraction(self.bound) * (1 << self.fraction_bits))


class EvaluationSection(Section):
    """Which rows utilities are measured on, and how: at most `rows` in all, in a slice, or in a
    participant's shard.
    """

    mode: Literal["none", "public", "slices", "shards"] = "none"
    metric: Literal["accuracy", "auc", "auc_within", "log_loss"] = "accuracy"
    rows: Annotated[StrictInt, Field(ge=1, le=MOST_ROWS)] = 1000
    holder: Name = CREATOR
    slices: Annotated[StrictInt, Field(ge=0, le=MOST_SLICES)] = 0
    least_shards: Annotated[StrictInt, Field(ge=2, lt=1 << 32)] = 2
    utility_tolerance: Annotated[StrictInt, Field(ge=0, le=MOST_TOLERANCE)] = 0


class ValuationSection(Section):
    """How contributions are computed, and every how many rounds."""

    kind: Literal["none", "leave-one-out", "exact"] = "none"
    every: Count = 1


class RewardSection(Section):
    """What there is to earn: score = value^a * scale^b, pool * gain / target is released."""

    pool: WeiAmount = 0
    token: AddressText | None = None
    target: Annotated[StrictInt, Field(ge=1, lt=1 << 63)] = 100_000
    value_exponent: Annotated[StrictInt, Field(ge=0, le=4)] = 1
    scale_exponent: Annotated[StrictInt, Field(ge=0, le=4)] = 0
    period: UInt32 = 0


class StakeSection(Section):
    """What participants, proposers and challengers put at stake, in ether; and what they lose."""

    stake: WeiAmount = 0
    proposer_bond: WeiAmount = 0
    challenge_bond: WeiAmount = 0
    rejection_fee: WeiAmount = 0
    unavailable_fee: WeiAmount = 0


class FeesSection(Section):
    """What a settled result earns those who made it, out of the pool and in its currency."""

    proposer: WeiAmount = 0
    attester: WeiAmount = 0
    relay: WeiAmount = 0


def _sealing_key(text: str) -> str:
    if not usable(bytes.fromhex(text)):
        raise ValueError("not a public key that can be sealed for; `fednode key new` prints one")
    return text


KeyText = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$"), AfterValidator(_sealing_key)]


class PrivacySection(Section):
    """Who may read sealed artefacts beside the members: keys as `fednode key new` prints them."""

    auditors: Annotated[tuple[KeyText, ...], Field(max_length=MOST_AUDITORS)] = ()


LONGEST_FETCH = 30
"""Seconds that `windows.fetch` is by default, where the windows are long enough."""
FETCHES = 16
"""How often that fits into the shortest of `attest`, `challenge` and `answer` at least."""
LEAST_FETCHES = 8
"""How often any `windows.fetch` fits there, in a policy that `fednode create` takes."""


class WindowsSection(Section):
    """How long each phase may take, in seconds of chain time."""

    commit: Window = 600
    reveal: Window = 120
    propose: Window = 240
    attest: Window = 600
    challenge: Window = 3600
    answer: Window = 3600
    idle: Window = 86_400
    batch: UInt32 = 0
    unbonding: UInt32 = 0
    fetch: UInt32 = 0
    attempts: Annotated[StrictInt, Field(ge=1, le=255)] = 3
    confirmations: Annotated[StrictInt, Field(ge=1, le=1000)] = 1

    @property
    def fetching(self) -> int:
        """Seconds that one piece of work may wait for all bytes that it needs."""
        return self.fetch or max(1, min(LONGEST_FETCH, self._shortest // FETCHES))

    @property
    def patience(self) -> int:
        """The same, as a node waits: where a policy's windows do not hold it, for less."""
        return max(1, min(self.fetching, self._shortest // LEAST_FETCHES))

    @property
    def _shortest(self) -> int:
        return min(self.attest, self.challenge, self.answer)

    @property
    def least_idle(self) -> int:
        """Seconds that a round's first proposal may take: less is not idle."""
        return self.commit + self.reveal + self.propose + self.attest
