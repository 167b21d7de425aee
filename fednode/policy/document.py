"""A whole policy, what the contract is told of it, and how it is rebuilt from the chain.

The contract enforces the header; the record holds every section, defaults included, so any node
rebuilds the policy from chain and store and compares it with its own file. No float enters:
fractions are decimals as written, money is integer wei, both texts in the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fednode.data.evaluation_set import MOST_BYTES
from fednode.data.schema import Schema, SchemaField, plain
from fednode.data.sources import DataSpec
from fednode.data.statistics import LEAST_CELL, STATISTICS_BITS
from fednode.evaluation.shards import LEAST_ROWS, most_models
from fednode.evaluation.shards import METRICS as SHARD_METRICS
from fednode.evaluation.shards import VALUATIONS as SHARD_VALUATIONS
from fednode.evaluation.slices import MOST_ROWS as MOST_SLICE_ROWS
from fednode.models.base import ModelSpec
from fednode.models.layout import Layout
from fednode.models.registry import build, describe
from fednode.policy.errors import PolicyError
from fednode.policy.messages import first_error
from fednode.policy.sections import (
    CREATOR,
    MOST_WEIGHT,
    AggregationSection,
    EvaluationSection,
    FederationSection,
    FeesSection,
    PrivacySection,
    RewardSection,
    StakeSection,
    StopSection,
    TaskSection,
    TrainingSection,
    ValuationSection,
    WindowsSection,
)
from ledger import cbor
from ledger.headers import POLICY_TAG, Common, Evaluation, PolicyHeader, Rule, Valuation, Visibility
from ledger.sealing import MAX_READERS
from ledger.types import ZERO_ADDRESS, ZERO_DIGEST, Address, Digest, FederationId

MOST_EXACT_PLAYERS: Final = 12
MOST_TRIMMED: Final = 64
MOST_TRIMMED_RELAYED: Final = 48
MOST_LEFT_OUT: Final = 128
MOST_LEAVES: Final = 1 << 20
NO_FEDERATION: Final = FederationId(bytes(32))

_RULES: Final = {
    "fedavg": Rule.WEIGHTED_MEAN,
    "trimmed-mean": Rule.TRIMMED_MEAN,
    "median": Rule.MEDIAN,
}
_VALUATIONS: Final = {
    "none": Valuation.NONE,
    "leave-one-out": Valuation.LEAVE_ONE_OUT,
    "exact": Valuation.EXACT,
}
_EVALUATIONS: Final = {
    "none": Evaluation.NONE,
    "public": Evaluation.PUBLIC,
    "slices": Evaluation.SLICES,
    "shards": Evaluation.SHARDS,
}
_VISIBILITIES: Final = {"public": Visibility.PUBLIC, "members": Visibility.MEMBERS}


class Policy(BaseModel):
    """Everything that a federation agrees on before it starts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    federation: FederationSection
    task: TaskSection
    data_schema: SchemaField = Field(alias="schema")
    data: DataSpec
    training: TrainingSection
    stop: StopSection = StopSection()
    release: Literal["last", "best"] = "last"
    visibility: Literal["public", "members"] = "public"
    privacy: PrivacySection = PrivacySection()
    aggregation: AggregationSection = AggregationSection()
    evaluation: EvaluationSection = EvaluationSection()
    valuation: ValuationSection = ValuationSection()
    reward: RewardSection = RewardSection()
    stake: StakeSection = StakeSection()
    fees: FeesSection = FeesSection()
    windows: WindowsSection = WindowsSection()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for key, wrong, reason in self._contradictions():
            if wrong:
                raise ValueError(f"{key}: {reason}")
        return self

    def _contradictions(self) -> tuple[tuple[str, bool, str], ...]:
        unmeasured = self.evaluation.mode == "none"
        most = self.federation.max_participants
        needs = "needs evaluation.mode = 'public', 'slices' or 'shards'"
        auditors = self.privacy.auditors
        return (
            (
                "privacy.auditors",
                bool(auditors) and self.visibility == "public",
                "everybody can read a public federation; set visibility = 'members'",
            ),
            ("privacy.auditors", len(set(auditors)) < len(auditors), "a key is named twice"),
            (
                "federation.max_participants",
                self.visibility == "members" and 2 * most + len(auditors) > MAX_READERS,
                f"an artefact is sealed for at most {MAX_READERS} keys, two of each participant "
                "(it may take another one in any round) and those of the auditors; lower it",
            ),
            ("valuation.kind", self.valuation.kind != "none" and unmeasured, needs),
            ("stop.patience", self.stop.patience > 0 and unmeasured, needs),
            ("release", self.release == "best" and unmeasured, f"'best' {needs}"),
            (
                "valuation.kind",
                self.valuation.kind == "exact" and most > MOST_EXACT_PLAYERS,
                f"exact Shapley values are for at most {MOST_EXACT_PLAYERS} participants; "
                "lower federation.max_participants or choose leave-one-out",
            ),
            (
                "valuation.kind",
                self.valuation.kind == "leave-one-out" and most > MOST_LEFT_OUT,
                f"leave-one-out values are for at most {MOST_LEFT_OUT} participants; "
                "lower federation.max_participants or choose none",
            ),
            (
                "reward.pool",
                self.reward.pool < self.reserve,
                f"the fees of all rounds may come to {self.reserve}; put at least that in the pool",
            ),
            (
                "reward.pool",
                self.reward.pool > self.reserve and self.valuation.kind == "none",
                "nothing but fees is ever paid out without a valuation; set valuation.kind or "
                f"pool = {self.reserve}",
            ),
            (
                "reward.period",
                self.reward.period > self.training.rounds,
                f"longer than the {self.training.rounds} training rounds; 0 means all of them",
            ),
            (
                "evaluation.metric",
                self.evaluation.metric in ("auc", "auc_within") and self.data_schema.classes != 2,
                f"'{self.evaluation.metric}' is for two classes, "
                f"the schema has {self.data_schema.classes}",
            ),
            (
                "evaluation.rows",
                not unmeasured and self.measured_bytes > MOST_BYTES,
                f"rows of {self.data_schema.features} features come to {self.measured_bytes} "
                f"bytes, and no node reads more than {MOST_BYTES}; lower it",
            ),
            *self._measured_apart(),
            (
                "windows.attest",
                self.windows.attest < self.windows.reveal,
                "must be at least windows.reveal, or votes could be over before the last update "
                "has to be readable",
            ),
            (
                "windows.challenge",
                self.windows.challenge <= self.windows.attest,
                "must be longer than windows.attest, or a result could settle before its votes",
            ),
            (
                "windows.challenge",
                max(self.windows.reveal + self.windows.propose, self.windows.challenge) >= 1 << 32,
                "the windows are longer than a contract can hold",
            ),
            (
                "windows.batch",
                self.windows.batch > 0 and self.federation.relay is None,
                "needs federation.relay, whose batch it is",
            ),
            (
                "windows.batch",
                self.federation.relay is not None
                and not 0 < self.windows.batch < self.windows.commit,
                "must be above 0 and shorter than windows.commit, so that whoever the relay leaves "
                "out can still commit",
            ),
            (
                "fees.relay",
                self.fees.relay > 0 and self.federation.relay is None,
                "needs federation.relay, who earns it",
            ),
            (
                "stake.rejection_fee",
                self.stake.rejection_fee > self.stake.proposer_bond,
                "is taken from stake.proposer_bond and cannot be above it",
            ),
            (
                "stake.unavailable_fee",
                self.stake.unavailable_fee > self.stake.stake,
                "is taken from stake.stake and cannot be above it",
            ),
            (
                "windows.unbonding",
                self.stake.unavailable_fee > 0 and self.windows.unbonding < self.windows.attest,
                "must be at least windows.attest, or who leaves takes its stake away before "
                "anybody can charge stake.unavailable_fee",
            ),
            (
                "windows.idle",
                self.windows.idle < self.windows.least_idle,
                f"must be at least the {self.windows.least_idle} s of windows.commit, reveal, "
                "propose and attest, or a round that is on time could be closed as idle",
            ),
            (
                "aggregation.bound",
                not 1 <= self.aggregation.bound_units < 1 << 31,
                "must lie between 2^-fraction_bits and 2^(31 - fraction_bits)",
            ),
            (
                "aggregation.bound",
                self.statistics > 0 and self.most_rows < LEAST_CELL,
                "too small for the statistics of even ten rows; raise it",
            ),
            (
                "aggregation.rule",
                self.aggregation.rule != "fedavg" and most > MOST_TRIMMED,
                f"'{self.aggregation.rule}' is for at most {MOST_TRIMMED} participants, whose "
                "updates one proof can open; lower federation.max_participants or choose 'fedavg'",
            ),
            (
                "aggregation.weight_cap",
                not self.federation.open and most * self.aggregation.weight_cap >= MOST_WEIGHT,
                f"{most} participants of this weight reach 2^31; lower it",
            ),
            (
                "data.sites",
                len(self.data.site_names) > most,
                f"{len(self.data.site_names)} sites, but federation.max_participants = {most}",
            ),
        )

    def _measured_apart(self) -> tuple[tuple[str, bool, str], ...]:
        """Say what slices and shards cannot go together with."""
        evaluation, rounds = self.evaluation, self.training.rounds
        by_shards, most = evaluation.mode == "shards", self.federation.max_participants
        return (
            (
                "evaluation.mode",
                evaluation.mode == "slices" and self.visibility == "members",
                "a slice is opened to everybody; choose 'shards', or visibility = 'public'",
            ),
            (
                "evaluation.rows",
                evaluation.mode == "slices" and evaluation.rows > MOST_SLICE_ROWS,
                f"a slice has at most {MOST_SLICE_ROWS} rows; lower it",
            ),
            (
                "evaluation.holder",
                evaluation.holder not in (CREATOR, *self.data.site_names),
                f"must be '{CREATOR}' or one of data.sites",
            ),
            (
                "evaluation.slices",
                0 < evaluation.slices < rounds,
                f"fewer than the {rounds} training rounds; 0 means one for each of them",
            ),
            (
                "evaluation.metric",
                by_shards and evaluation.metric not in SHARD_METRICS,
                f"'{evaluation.metric}' is no sum over shards of counts that may be shown; "
                f"choose {' or '.join(SHARD_METRICS)}",
            ),
            (
                "evaluation.rows",
                by_shards and evaluation.rows < LEAST_ROWS,
                f"a shard needs at least {LEAST_ROWS} rows, or its counts would tell of single "
                "rows; raise it",
            ),
            (
                "evaluation.least_shards",
                by_shards and evaluation.least_shards > most,
                f"above federation.max_participants ({most}), so nothing would ever be valued",
            ),
            (
                "evaluation.utility_tolerance",
                by_shards and evaluation.utility_tolerance > 0,
                "shards are counted with the exact forward pass, which this model does not have",
            ),
            (
                "training.rounds",
                by_shards and rounds == 1,
                "by shards the last round only carries counts; set at least 2",
            ),
            (
                "reward.period",
                by_shards and self.reward.period == 1,
                "by shards a period's last round only carries counts; set 0 or at least 2",
            ),
            (
                "valuation.kind",
                by_shards and self.valuation.kind not in SHARD_VALUATIONS,
                f"'{self.valuation.kind}' is not for shards, whose exact counts tell members of "
                f"hidden rows; choose {' or '.join(SHARD_VALUATIONS)}, or another evaluation.mode",
            ),
        )

    @property
    def slices(self) -> int:
        """Slices that evaluation rows are cut into: one a training round, or more."""
        return self.evaluation.slices or self.training.rounds

    @property
    def shard_models(self) -> int:
        """Models that each row of a shard answers at most."""
        return most_models(self.training.rounds, self.federation.max_participants)

    @property
    def schema(self) -> Schema:  # type: ignore[override]
        """The schema of the rows."""
        return self.data_schema

    @property
    def shows_rows(self) -> bool:
        """Whether everyone can read rows, or what is computed from them."""
        return self.visibility == "public" or self.evaluation.mode in ("public", "slices")

    @property
    def numeric_columns(self) -> int:
        """Numeric columns that the first result averages statistics of."""
        return len(self.data_schema.numeric) if self.data.statistics else 0

    @property
    def statistics(self) -> int:
        """Leading payload coordinates that hold the federation's statistics."""
        return 3 * self.numeric_columns

    @property
    def reserve(self) -> int:
        """The most that the fees of all results can come to."""
        results = self.training.rounds + (1 if self.statistics else 0)
        ballots = self.federation.committee * self.fees.attester
        return results * (self.fees.proposer + ballots + self.fees.relay)

    @property
    def measured_bytes(self) -> int:
        """Bytes of the features of all rows that utilities are measured on at a time."""
        return 4 * self.evaluation.rows * self.data_schema.features

    @property
    def most_rows(self) -> int:
        """Rows whose statistics a participant's update can hold within the bound."""
        return self.aggregation.bound_units >> STATISTICS_BITS

    @property
    def model_spec(self) -> ModelSpec:
        """What the model is built from."""
        return describe(self.task, self.data_schema, fraction_bits=self.aggregation.fraction_bits)

    def layout(self) -> Layout:
        """Lay out a payload, for a built-in model."""
        return build(self.model_spec).layout(self.numeric_columns)

    def leaves(self) -> int:
        """Count a payload's leaves, for a built-in model."""
        return self.layout().leaves

    def rest_record(self) -> dict[str, cbor.Value]:
        """Return the whole policy as dag-cbor: decimals and wei as texts, defaults spelled out."""
        record = _record(self.model_dump(mode="python", by_alias=True))
        assert isinstance(record, dict)
        return record

    @classmethod
    def from_record(cls, record: cbor.Value, *, source: str = "policy record") -> Self:
        """Rebuild a policy from its record; PolicyError if it is none, or not canonical."""
        if not isinstance(record, Mapping):
            raise PolicyError("policy", "not a map", source=source)
        try:
            policy = cls.model_validate(dict(record))
        except ValidationError as error:
            raise first_error(cls, error, record, source=source) from None
        if policy.rest_record() != record:
            raise PolicyError("policy", "not written canonically", source=source)
        return policy

    def header(
        self,
        chain_id: int,
        ledger: Address,
        *,
        initial_model_root: Digest,
        rest: Digest,
        leaves: int | None = None,
        coordinates: int | None = None,
        ancestor: FederationId = NO_FEDERATION,
        parent: Digest = ZERO_DIGEST,
    ) -> PolicyHeader:
        """Write what the contract enforces.

        `rest` is the digest of the record that holds this policy; `leaves` and `coordinates`, those
        that updates may write, must be given for a user's own model; `ancestor` and `parent` name
        the federation and the settled result that this one goes on from. Its statistics stay then,
        so there is no round for them.
        """
        leaves = self.leaves() if leaves is None else leaves
        require_leaves(leaves)
        windows, stake, fees, reward = self.windows, self.stake, self.fees, self.reward
        relay = self.federation.relay
        return PolicyHeader(
            common=Common(POLICY_TAG, chain_id, ledger, NO_FEDERATION, 0, parent),
            ancestor=ancestor,
            initial_model_root=initial_model_root,
            rest=rest,
            rule=_RULES[self.aggregation.rule],
            rule_parameters=Digest(self.aggregation.rule_parameter.to_bytes(32, "big")),
            leaves=leaves,
            coordinates=self.layout().writable if coordinates is None else coordinates,
            bound=self.aggregation.bound_units,
            weight_cap=self.aggregation.weight_cap,
            start_participants=self.federation.start_participants,
            max_participants=self.federation.max_participants,
            least_updates=self.federation.least_updates,
            open=self.federation.open,
            statistics=self.statistics if ancestor == NO_FEDERATION else 0,
            committee_size=self.federation.committee,
            quorum_bps=self.federation.quorum_bps,
            attempts=windows.attempts,
            commit_window=windows.commit,
            reveal_window=windows.reveal,
            propose_window=windows.propose,
            attest_window=windows.attest,
            challenge_window=windows.challenge,
            idle_window=windows.idle,
            batch_window=windows.batch,
            unbonding_window=windows.unbonding,
            answer_window=windows.answer,
            relay=ZERO_ADDRESS if relay is None else Address(relay),
            stake=stake.stake,
            proposer_bond=stake.proposer_bond,
            challenge_bond=stake.challenge_bond,
            proposer_fee=fees.proposer,
            attester_fee=fees.attester,
            relay_fee=fees.relay,
            unavailable_fee=stake.unavailable_fee,
            rejection_fee=stake.rejection_fee,
            rounds=self.training.rounds,
            reward_period=reward.period,
            token=ZERO_ADDRESS if reward.token is None else Address(reward.token),
            pool=reward.pool,
            target=reward.target,
            value_exponent=reward.value_exponent,
            scale_exponent=reward.scale_exponent,
            valuation=_VALUATIONS[self.valuation.kind],
            valuation_every=self.valuation.every,
            visibility=_VISIBILITIES[self.visibility],
            evaluation=_EVALUATIONS[self.evaluation.mode],
            staleness=self.aggregation.staleness,
        )


def require_leaves(leaves: int) -> None:
    """Refuse a model whose payload has too many leaves, before anything of its size is made."""
    if leaves > MOST_LEAVES:
        raise PolicyError("task.model", f"its payload has {leaves} KiB, at most {MOST_LEAVES}")


def require_same(mine: Policy, published: Policy, *, source: str) -> None:
    """Refuse a policy file that is not the one on the chain, naming the first difference."""
    key = _difference(mine.rest_record(), published.rest_record())
    if key is not None:
        raise PolicyError(
            key,
            "differs from the federation's policy on the chain; get the file from its creator, "
            "or leave the file out and use the chain's",
            source=source,
        )


def require_header(
    policy: Policy,
    header: PolicyHeader,
    *,
    leaves: int | None = None,
    coordinates: int | None = None,
) -> None:
    """Refuse a chain's header that does not say what the policy in its record says."""
    expected = policy.header(
        header.common.chain_id,
        header.common.ledger,
        initial_model_root=header.initial_model_root,
        rest=header.rest,
        leaves=leaves,
        coordinates=coordinates,
        ancestor=header.ancestor,
        parent=header.common.parent,
    )
    for field in fields(PolicyHeader):
        wanted, found = getattr(expected, field.name), getattr(header, field.name)
        if wanted != found:
            raise PolicyError(
                f"header.{field.name}",
                f"the chain says {found}, the policy's record {wanted}: do not join this one",
            )


def _record(value: object) -> cbor.Value:
    if isinstance(value, Mapping):
        return {str(key): _record(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_record(item) for item in value]
    if isinstance(value, Decimal):
        return plain(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"{type(value).__name__} in a policy")


def _difference(left: cbor.Value, right: cbor.Value, key: str = "") -> str | None:
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        for name in sorted({*left, *right}):
            inner = f"{key}.{name}" if key else name
            if name not in left or name not in right:
                return inner
            found = _difference(left[name], right[name], inner)
            if found is not None:
                return found
        return None
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            found = _difference(one, other, f"{key}[{index}]")
            if found is not None:
                return found
        return None
    return None if left == right and type(left) is type(right) else key
