"""What the exact Shapley value costs one evaluator: 2^n models measured, then exact integers."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from fednode.evaluation.evaluator import open_evaluator
from fednode.policy import Policy
from fednode.rounds import FederationRules
from fednode.training.task import layout_of, open_task
from ledger import payload
from ledger.headers import PolicyHeader
from ledger.replica import first_standing
from ledger.round import Int32, Players, RoundContext
from ledger.types import ZERO_ADDRESS, ZERO_DIGEST, FederationId, RoundIndex
from scripts.bench.plain import Plain
from scripts.bench.workload import Data, Size, load

ROWS = 500
NOWHERE = FederationId(bytes(32))


@dataclass(frozen=True, slots=True)
class ShapleyLine:
    """One evaluator's work in a round of n players."""

    players: int
    models: int
    rows: int
    parameters: int
    measuring: float
    solving: float
    values: tuple[int, ...]


def measure_shapley(folder: Path | None, players: int) -> ShapleyLine:
    """Train one round of n participants with the MLP and value all of them."""
    data = load(folder, Size(players, 1, ROWS, 1), model="mlp", valued=True)
    assert data.evaluation is not None
    plain = Plain(data)
    leaves = data.policy.leaves()
    before = _padded(plain.model(), leaves)
    updates = [_padded(update, leaves) for update in plain.updates()]
    team = Players(tuple(range(players)), tuple(updates), (1,) * players)
    header = _header(data.policy)
    rules = _rules(data, header)
    nothing = (ZERO_DIGEST, (), (ZERO_DIGEST,))
    context = RoundContext(0, ZERO_ADDRESS, NOWHERE, header, RoundIndex(0), *nothing)
    standing = replace(first_standing(), model=before)
    model = rules.aggregate(before, updates, team.weights)

    start = time.perf_counter()
    measured = rules.utilities(context, standing, model, team)
    middle = time.perf_counter()
    values = rules.values(measured, players, 0)
    end = time.perf_counter()
    return ShapleyLine(
        players=players,
        models=len(measured),
        rows=len(data.evaluation),
        parameters=plain.model().size,
        measuring=middle - start,
        solving=end - middle,
        values=values,
    )


def _rules(data: Data, header: PolicyHeader) -> FederationRules:
    assert data.evaluation is not None
    task = open_task(data.policy.model_spec)
    evaluator = open_evaluator(
        task,
        layout_of(task),
        schema=data.policy.schema,
        rows=data.evaluation,
        metric=data.policy.evaluation.metric,
    )
    return FederationRules(data.policy, header, evaluator)


def _header(policy: Policy) -> PolicyHeader:
    return policy.header(0, ZERO_ADDRESS, initial_model_root=ZERO_DIGEST, rest=ZERO_DIGEST)


def _padded(values: Int32, leaves: int) -> Int32:
    return payload.int32(payload.pad(values, leaves))
