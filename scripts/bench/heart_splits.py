"""How good the heart demo is on average: its policy's pipeline without a chain, over many splits.

One split of 275 test rows says little (the spread is .014 to .026), so claims are made of means.
Prints, per method: AUC within hospitals, pooled AUC and pooled accuracy on the test rows.
"""

import argparse
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fednode.aggregation.fedavg import FedAvg
from fednode.data.statistics import local_statistics
from fednode.data.table import Table
from fednode.demo.baselines import Version, train_alone
from fednode.evaluation.evaluator import preprocessing_of, scaled
from fednode.evaluation.metrics import PPM, measure
from fednode.models.base import Model
from fednode.models.layout import STATISTICS, Layout, Tensors
from fednode.models.registry import build
from fednode.policy import Policy, built_in
from fednode.site import Site, load_site, open_sites
from fednode.training.run import LocalRun
from fednode.training.task import SgdTask, train

METRICS = ("auc_within", "auc", "accuracy")
Int32 = NDArray[np.int32]


def with_seed(policy: Policy, seed: int) -> Policy:
    record = policy.rest_record()
    assert isinstance(record["data"], dict)
    assert isinstance(record["data"]["split"], dict)
    record["data"]["split"]["seed"] = seed
    return Policy.from_record(record)


def federated(policy: Policy, model: Model, sites: Sequence[Site]) -> tuple[Tensors, list[Tensors]]:
    """Run the policy's rounds; return the travelling tensors and each site's private ones."""
    layout, rule = model.layout(policy.numeric_columns), FedAvg()
    tables = [site.train for site in sites]
    weights = [len(table) for table in tables]
    start = {**model.initial(policy.training.seed), **_no_statistics(layout)}
    first = [_statistics(policy, layout, table) for table in tables]
    ones = [1] * len(sites)
    state = rule.aggregate(layout.pack(start), first, ones)
    private = [model.private_initial() for _ in sites]
    for round_ in range(1, policy.training.rounds + 1):
        shared = layout.unpack(state)
        updates = []
        for place, table in enumerate(tables):
            rows = scaled(table, preprocessing_of(layout, shared, policy.schema))
            run = LocalRun(policy.training.spec, policy.training.seed, round_, place)
            fitted = train(SgdTask(model), {**shared, **private[place]}, rows, run)
            updates.append(layout.pack_update(fitted.update))
            private[place] = fitted.private
        state = rule.aggregate(state, updates, weights)
    return layout.unpack(state), private


def _no_statistics(layout: Layout) -> Tensors:
    return {
        spec.name: np.zeros(spec.shape, dtype=np.int32)
        for spec in layout.payload
        if spec.name == STATISTICS
    }


def _statistics(policy: Policy, layout: Layout, table: Table) -> Int32:
    values = np.zeros(layout.size, dtype=np.int32)
    own = local_statistics(table, policy.schema)
    values[: own.size] = own
    return values


def versions(policy: Policy, sites: Sequence[Site]) -> dict[str, list[Version]]:
    """Train every method; one version per site."""
    model = build(policy.model_spec)
    pooled = train_alone(
        policy, model, Table.concatenate([site.train for site in sites]), place=len(sites)
    )
    shared, private = federated(policy, model, sites)
    prepared = preprocessing_of(model.layout(policy.numeric_columns), shared, policy.schema)
    return {
        "pooled training": [pooled] * len(sites),
        "local only": [train_alone(policy, model, s.train, place=i) for i, s in enumerate(sites)],
        "federated": [Version(model, shared, prepared)] * len(sites),
        "federated + private bias": [
            Version(model, {**shared, **own}, prepared) for own in private
        ],
    }


def figures(policy: Policy) -> dict[str, list[float]]:
    """Measure one split."""
    source = open_sites(policy, public_rows=True)
    sites = [load_site(policy, source, name) for name in source.sites]
    tests = [site.table.take(site.splits.test) for site in sites]
    rows = Table.concatenate(tests)
    measured = {}
    for name, own in versions(policy, sites).items():
        logits = np.concatenate([v.logits(t) for v, t in zip(own, tests, strict=True)])
        measured[name] = [measure(logits, rows.labels, rows.groups, m) / PPM for m in METRICS]
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=10, help="how many split seeds, from 0")
    parser.add_argument("--rounds", type=int, help="rounds, if not the policy's")
    arguments = parser.parse_args()
    started = time.perf_counter()
    policy = built_in("heart")
    results = [figures(with_seed(policy, seed)) for seed in range(arguments.splits)]
    print(f"{arguments.splits} splits, {policy.training.rounds} rounds: mean (deviation)")
    print(f"{'':26}{'AUC within':>14}{'pooled AUC':>14}{'accuracy':>14}")
    for name in results[0]:
        table = np.array([result[name] for result in results])
        cells = zip(table.mean(axis=0), table.std(axis=0), strict=True)
        print(f"{name:26}" + "".join(f"{m:8.3f} ({s:.3f})"[-14:].rjust(14) for m, s in cells))
    print(f"{time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
