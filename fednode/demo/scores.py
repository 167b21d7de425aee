"""What the models are worth on rows that nobody has looked at: the test sets, opened once.

The demo plays all hospitals, so it opens their test rows together, for the one model version that
the policy releases; the marker file keeps what was measured. In a real federation each site opens
its own (`fednode participant` does, at the end).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fednode.data.splits import TestSet
from fednode.data.statistics import LEAST_CELL
from fednode.data.table import Table
from fednode.demo.baselines import Version, train_alone
from fednode.demo.bootstrap import Measured, figures
from fednode.demo.options import DemoOptions
from fednode.demo.result import METHODS, Figure, Method, Scores
from fednode.evaluation.evaluator import preprocessing_of
from fednode.evaluation.metrics import PPM
from fednode.federation import Federation
from fednode.final_report import marker
from fednode.models.base import Model
from fednode.models.registry import build
from fednode.policy import Policy
from fednode.roles.journal import Journal, private_tensors
from fednode.site import Site
from incentives.intervals import Interval
from ledger.payload import Payload, pad

Versions = Mapping[Method, Sequence[Version]]
Stored = Mapping[str, int]

ALL = "all"
SITE_METRICS = ("auc", "accuracy")
ALL_METRICS = ("auc_within", "auc", "accuracy")


@dataclass(frozen=True, slots=True)
class TestScores:
    """Scores per site and of all sites' rows together, and the test rows per site and class."""

    __test__ = False  # not a pytest class

    sites: tuple[Mapping[Method, Scores], ...]
    overall: Mapping[Method, Scores]
    rows: tuple[tuple[int, ...], ...]


def train_baselines(policy: Policy, sites: Sequence[Site]) -> dict[Method, list[Version]]:
    """Train what the federation is compared with: one version per site and method."""
    model = build(policy.model_spec)
    tables = [site.train for site in sites]
    pooled = train_alone(policy, model, Table.concatenate(tables), place=len(sites))
    local = [train_alone(policy, model, table, place=place) for place, table in enumerate(tables)]
    return {"local": local, "pooled": [pooled] * len(sites)}


def federated_versions(federation: Federation, journals: Sequence[Journal]) -> list[Version]:
    """Give the released version as each site uses it: with its own private tensors."""
    version, book = federation.released_version(), federation.rulebook
    shared = book.layout.unpack(federation.version(version))
    prepared = preprocessing_of(book.layout, shared, book.policy.schema)
    model: Model = build(book.policy.model_spec)
    height = federation.height(version)
    return [
        Version(model, {**shared, **private_tensors(federation, journal, height)}, prepared)
        for journal in journals
    ]


def open_test_sets(
    federation: Federation,
    sites: Sequence[Site],
    journals: Sequence[Journal],
    baselines: Versions,
    options: DemoOptions,
) -> TestScores:
    """Open all test rows for the released version, and measure every method on them."""
    model = federation.version(federation.released_version())
    digest = Payload(pad(model, federation.replica.policy.leaves)).digest
    versions: Versions = {**baselines, "federated": federated_versions(federation, journals)}
    table, indices = _together(sites)
    held = TestSet(table, indices, marker(journals[0]))

    def measure(rows: Table) -> dict[str, int]:
        return score(rows, versions, times=options.resamples, seed=options.seed)

    classes = federation.policy.schema.classes
    return read_scores(held.open(digest, measure), sites=len(sites), classes=classes)


def score(rows: Table, versions: Versions, *, times: int, seed: int) -> dict[str, int]:
    """Measure every method on test rows; names and millionths, as a marker file keeps them."""
    logits = [_logits(rows, versions[method]) for method in METHODS]
    measured = Measured(np.stack(logits), rows.labels, rows.groups)
    stored = _stored(ALL, measured, ALL_METRICS, times, seed)
    for group in range(len(versions["local"])):
        own = measured.of_group(group)
        counts = np.bincount(own.labels, minlength=2).tolist()
        stored |= {f"{group}/rows/{label}": count for label, count in enumerate(counts)}
        if min(counts) >= LEAST_CELL:
            stored |= _stored(str(group), own, SITE_METRICS, times, seed)
    return stored


def read_scores(stored: Stored, *, sites: int, classes: int) -> TestScores:
    """Read what `score` has written."""
    return TestScores(
        sites=tuple(
            {method: _scores(stored, f"{group}/{method}", SITE_METRICS) for method in METHODS}
            for group in range(sites)
        ),
        overall={method: _scores(stored, f"{ALL}/{method}", ALL_METRICS) for method in METHODS},
        rows=tuple(
            tuple(stored.get(f"{group}/rows/{label}", 0) for label in range(classes))
            for group in range(sites)
        ),
    )


def _together(sites: Sequence[Site]) -> tuple[Table, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    starts = np.cumsum([0, *(len(site.table) for site in sites[:-1])])
    indices = [site.splits.test + start for site, start in zip(sites, starts, strict=True)]
    return Table.concatenate([site.table for site in sites]), np.concatenate(indices)


def _logits(
    rows: Table, versions: Sequence[Version]
) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Let each site's version judge its own rows."""
    logits = np.zeros((len(rows), versions[0].model.outputs), dtype=np.int64)
    for group, version in enumerate(versions):
        own = np.flatnonzero(rows.groups == group)
        logits[own] = version.logits(rows.take(own))
    return logits


def _stored(
    place: str, measured: Measured, metrics: Sequence[str], times: int, seed: int
) -> dict[str, int]:
    stored: dict[str, int] = {}
    for metric in metrics:
        found = figures(measured, metric, times=times, seed=seed)
        for method, figure in zip(METHODS, found, strict=True):
            for name, value in (
                ("", figure.value),
                ("/low", figure.interval.low),
                ("/high", figure.interval.high),
            ):
                stored[f"{place}/{method}/{metric}{name}"] = round(value * PPM)
    return stored


def _scores(stored: Stored, prefix: str, metrics: Sequence[str]) -> Scores:
    if f"{prefix}/{metrics[0]}" not in stored:
        return Scores(None)
    return Scores({metric: _figure(stored, f"{prefix}/{metric}") for metric in metrics})


def _figure(stored: Stored, name: str) -> Figure:
    low, high = stored[f"{name}/low"], stored[f"{name}/high"]
    return Figure(stored[name] / PPM, Interval(low / PPM, high / PPM))
