"""Members who collude read diagnoses that a shard hides: how many, and where the ration ends it.

Two of a shard owner's three fellow members know its patients and not their diagnoses. Each writes
an update that calls exactly one patient ill. Exact counts then differ by one, up or down, from
what they are without that patient, and the direction is the diagnosis.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fednode.data.evaluation_set import EvaluationSet
from fednode.disclosed import AnswersSpent, Disclosed
from fednode.evaluation import shards
from fednode.evaluation.evaluator import open_evaluator, preprocessing_of, scaled
from fednode.models.layout import Layout, dequantise, quantise
from fednode.policy import Policy
from fednode.roles.counting import coalition_counts
from fednode.rounds import FederationRules
from fednode.site import load_site, open_sites
from fednode.training.task import TrainingTask, layout_of, open_task
from incentives.valuation import LeaveOneOut
from ledger import payload
from ledger.round import Int32, Players
from ledger.types import ZERO_ADDRESS, ZERO_DIGEST, Digest, FederationId
from tests.federations import policy_of

ROUNDS = 10
COLLUDERS = (1, 2)
LARGEST = 3.0
PAIR = 2
"""Updates in the mean that is measured without one of three players."""
FEDERATION, OTHER = (FederationId(bytes([number]) * 32) for number in (1, 2))
Floats = NDArray[np.float64]


def policy_with_shards() -> Policy:
    return policy_of(
        "heart",
        task={"private": []},
        training={"rounds": ROUNDS},
        data={"statistics": False},
        evaluation={"mode": "shards", "metric": "accuracy", "rows": 60},
        valuation={"kind": "leave-one-out"},
    )


@dataclass
class Owner:
    """A shard's owner that counts as the product does, and at most what the policy allows."""

    policy: Policy
    task: TrainingTask
    layout: Layout
    shard: EvaluationSet
    disclosed: Disclosed
    federation: FederationId = FEDERATION

    def counts(self, before: Int32, players: Players, result: bytes) -> tuple[int, ...]:
        """Count the leave-one-out models of the others' updates."""
        valuation = LeaveOneOut()
        self.disclosed.answer(
            self.shard,
            self.federation,
            Digest(result),
            models=len(valuation.coalitions(len(players.participants))),
            most=self.policy.shard_models,
        )
        evaluator = open_evaluator(
            self.task, self.layout, schema=self.policy.schema, rows=self.shard, metric="accuracy"
        )
        counted = coalition_counts(self.rules, evaluator, valuation, before, players)
        return shards.count(self.shard, counted, "accuracy").counts

    def models(self, before: Int32, players: Players) -> list[Int32]:
        """Give these models; all updates are public by the time of the counts."""
        coalitions = LeaveOneOut().coalitions(len(players.participants))
        return list(self.rules.models(before, players, coalitions))

    @property
    def rules(self) -> FederationRules:
        """Give the rules of the policy."""
        header = self.policy.header(
            0, ZERO_ADDRESS, initial_model_root=ZERO_DIGEST, rest=ZERO_DIGEST
        )
        return FederationRules(self.policy, header, None)


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    policy = policy_with_shards()
    site = load_site(policy, open_sites(policy, public_rows=True), "cleveland")
    assert site.shard is not None
    task = open_task(policy.model_spec)
    layout = layout_of(task, policy.numeric_columns)
    return Owner(policy, task, layout, site.shard, Disclosed(tmp_path))


@dataclass
class Attack:
    """Members who know a shard's patients, without their diagnoses."""

    layout: Layout
    patients: Floats
    known: dict[int, int] = field(default_factory=dict)

    def isolating(self, patient: int) -> tuple[Floats, float] | None:
        """Give a weight and a bias that call this patient ill and all others well, if there are."""
        centred = self.patients - self.patients.mean(axis=0)
        spread = centred.T @ centred + 0.01 * np.eye(centred.shape[1])
        weight = np.linalg.solve(spread, centred[patient])
        scores = self.patients @ weight
        rival = np.delete(scores, patient).max()
        if scores[patient] - rival <= 0.05 * np.abs(scores).max():
            return None
        bias = -(scores[patient] + rival) / 2
        size = LARGEST / max(np.abs(weight).max(), abs(bias))
        return weight * size, float(bias * size)

    def targets(self) -> Iterator[int]:
        """Give the patients that can be told from all others by one model."""
        return (p for p in range(len(self.patients)) if self.isolating(p) is not None)

    def update(self, patient: int, before: Int32) -> Int32:
        """Write an update towards the model that isolates a patient."""
        found = self.isolating(patient)
        assert found is not None
        weight, bias = found
        start = {k: dequantise(v) for k, v in self.layout.unpack(before).items()}
        wanted = {"weight": weight.reshape(1, -1), "bias": np.array([bias])}
        values = {
            name: quantise(name, PAIR * (wanted[name].reshape(value.shape) - value))
            for name, value in start.items()
        }
        return payload.int32(payload.pad(self.layout.pack(values), self.layout.leaves))

    def ill(self, model: Int32) -> NDArray[np.bool_]:
        """Say whom a model calls ill."""
        tensors = {k: dequantise(v) for k, v in self.layout.unpack(model).items()}
        scores: Floats = self.patients @ tensors["weight"].reshape(-1) + tensors["bias"].reshape(-1)
        return scores > 0

    def learn(self, models: list[Int32], counts: tuple[int, ...], well: int) -> None:
        """Read each model that calls one patient ill; `well` patients are well in all."""
        for model, count in zip(models, counts, strict=True):
            found = np.flatnonzero(self.ill(model))
            if len(found) == 1 and 10 <= count <= len(self.patients) - 10:
                self.known[int(found[0])] = int(count > well)


def play(owner: Owner, attack: Attack, rounds: int) -> int:
    """Play a run in which two of three collude; give how many rounds were answered."""
    rng = np.random.default_rng(1)
    before: Int32 = np.zeros(owner.layout.leaves * payload.LANES, dtype=np.int32)
    queue = attack.targets()
    well = None
    for number in range(rounds):
        aims = [target for _, target in zip(COLLUDERS, queue, strict=False)]
        honest = np.zeros_like(before)
        honest[: owner.layout.size] = rng.integers(-20_000, 20_000, owner.layout.size)
        updates = [*(attack.update(aim, before) for aim in aims), honest]
        players = Players(tuple(range(len(updates))), tuple(updates), (1,) * len(updates))
        try:
            counts = owner.counts(before, players, number.to_bytes(32, "big"))
        except AnswersSpent:
            return number
        models = owner.models(before, players)
        if well is None:
            # The first model is zero, which calls all patients well.
            well = counts[0]
        attack.learn(models, counts, well)
        before = models[-1]
    return rounds


def patients(owner: Owner) -> Floats:
    tensors = owner.layout.unpack(np.zeros(owner.layout.leaves * payload.LANES, dtype=np.int32))
    rows = scaled(owner.shard, preprocessing_of(owner.layout, tensors, owner.policy.schema))
    return rows.features.reshape(len(owner.shard), -1).astype(np.float64) / (1 << 16)


def test_two_who_collude_read_two_diagnoses_a_round(owner: Owner) -> None:
    """The figures of docs/privacy.md: 18 of 46 in ten rounds, 24 before the ration ends."""
    attack = Attack(owner.layout, patients(owner))
    assert len(owner.shard) == 46
    assert play(owner, attack, ROUNDS - 1) == ROUNDS - 1
    assert attack.known == {p: int(owner.shard.labels[p]) for p in attack.known}
    assert len(attack.known) == 18


def test_the_ration_ends_the_attack(owner: Owner) -> None:
    """Rounds that are played again, also in another federation, ask the same rows."""
    attack = Attack(owner.layout, patients(owner))
    most = owner.policy.shard_models
    assert most == ROUNDS * (4 + 2)
    assert play(owner, attack, 100) == most // 5
    assert len(attack.known) == 24
    other = Attack(owner.layout, patients(owner))
    assert play(replace(owner, federation=OTHER), other, 100) == 0


def test_a_shard_less_one_row_shows_that_row(owner: Owner) -> None:
    """The same models, counted again without a patient: the difference says of each whether it is
    right about that patient. Both questions count, and the site can know before it answers.
    """
    patient, size = 3, owner.layout.leaves * payload.LANES
    rng = np.random.default_rng(2)
    updates = [rng.integers(-90_000, 90_000, size).astype(np.int32) for _ in range(3)]
    before: Int32 = np.zeros(size, dtype=np.int32)
    players = Players((0, 1, 2), tuple(updates), (1, 1, 1))
    kept = np.delete(np.arange(len(owner.shard)), patient)
    rest = EvaluationSet(
        owner.shard.features[kept], owner.shard.labels[kept], owner.shard.groups[kept]
    )
    heir = replace(owner, shard=rest, federation=OTHER)
    old = owner.counts(before, players, bytes(32))
    (warned,) = owner.disclosed.nearly_counted(heir.shard)
    assert f"federation {FEDERATION.hex()}" in warned.counts_text()
    assert "(1 are in one of both only, of 45 here)" in warned.counts_text()
    new = heir.counts(before, players, bytes(32))
    attack = Attack(owner.layout, patients(owner))
    right = [
        int(attack.ill(model)[patient] == owner.shard.labels[patient])
        for model in owner.models(before, players)
    ]
    assert [a - b for a, b in zip(old, new, strict=True)] == right
    assert 0 < sum(right) < len(right)
    assert owner.disclosed.asked(heir.shard) == 2 * len(old)
