"""Metrics as integers, from integer logits: what a model is worth is the same on every machine.

A utility is in millionths (ppm), rounded down. Every metric is a total function of the logits, the
labels and the groups:

- one logit (two classes) says class 1 where it is above 0; several say the class of the largest,
  the first of equals;
- `accuracy` counts right answers, `auc` concordant pairs, a tie as half a pair; of a model with
  several logits every class is a positive class in turn, and all pairs are counted together;
- `auc_within` counts only pairs within one group (one hospital), over all groups;
- `log_loss` is minus the mean loss in nats from tabled exponentials, a row's loss at most 16;
- a label that is no class is a wrong answer, in no pair, and costs 16;
- with no rows, the metric's minimum; with rows but without any pair, half.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from fednode.errors import FedNodeError
from fednode.evaluation.logarithm import UNIT_BITS, exp_minus, natural_log
from fednode.models.base import Model
from fednode.models.exact import ACTIVATION_BITS, ACTIVATION_LIMIT
from fednode.models.layout import Tensors

PPM = 1_000_000
LOSS_CAP = 16
"""The largest loss of one row, in nats."""

Metric: TypeAlias = Literal["accuracy", "auc", "auc_within", "log_loss"]
METRICS: tuple[Metric, ...] = get_args(Metric)

Logits: TypeAlias = NDArray[np.int64]
Labels: TypeAlias = NDArray[np.int64]

_BLOCK_VALUES = 1 << 18
_SPAN = 1 << 26
"""Keys of one group and one model: more than the number of different logits."""


class UnknownMetric(FedNodeError):
    """A metric's name that is none."""

    def __init__(self, metric: str) -> None:
        self.metric = metric
        super().__init__(f"evaluation.metric: {metric!r} is none of {', '.join(METRICS)}")


class Rows(Protocol):
    """Labelled rows; features have 16 fractional bits, groups say which site a row is from."""

    @property
    def features(self) -> NDArray[np.int32]:
        """Return (rows, ...) features."""
        ...

    @property
    def labels(self) -> NDArray[np.int64]:
        """Return (rows,) classes."""
        ...

    @property
    def groups(self) -> NDArray[np.int64]:
        """Return (rows,) groups."""
        ...


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """Rows that are ready for a model: scaled, 16 fractional bits."""

    features: NDArray[np.int32]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]


def minimum(metric: str) -> int:
    """Return the least value of a metric: the utility of a model that is not admissible."""
    return -LOSS_CAP * PPM if known(metric) == "log_loss" else 0


def maximum(metric: str) -> int:
    """Return the largest value of a metric."""
    return 0 if known(metric) == "log_loss" else PPM


def known(metric: str) -> Metric:
    """Return the metric of this name, or say which there are."""
    for name in METRICS:
        if name == metric:
            return name
    raise UnknownMetric(metric)


def utility(model: Model, tensors: Tensors, rows: Rows, metric: str) -> int:
    """Measure one model version; private tensors that are not given have their first values."""
    return utilities(model, [tensors], rows, metric)[0]


def utilities(model: Model, versions: Sequence[Tensors], rows: Rows, metric: str) -> list[int]:
    """Measure many model versions (the coalitions of a round) in one pass."""

    def measured(logits: Logits) -> list[int]:
        return measure_all(logits, rows.labels, rows.groups, metric)

    return _each(model, versions, rows, measured, otherwise=minimum(metric))


def counts(model: Model, versions: Sequence[Tensors], rows: Rows, metric: str) -> list[int]:
    """Count what a metric of many model versions is summed from: right answers, or concordant pairs
    within groups, twice each. A model that is not admissible counts nothing.
    """

    def counted(logits: Logits) -> list[int]:
        logits = np.clip(logits, -ACTIVATION_LIMIT, ACTIVATION_LIMIT)
        if known(metric) == "accuracy":
            return [int(count) for count in _right(logits, rows.labels)]
        return [int(count) for count in _pairs(logits, rows.labels, rows.groups)[0]]

    return _each(model, versions, rows, counted, otherwise=0)


def _each(
    model: Model,
    versions: Sequence[Tensors],
    rows: Rows,
    measure: Callable[[Logits], list[int]],
    *,
    otherwise: int,
) -> list[int]:
    """Measure the logits of the admissible versions, of all at once."""
    values = [otherwise] * len(versions)
    sound = [i for i, version in enumerate(versions) if model.admissible(version)]
    if sound and len(rows.labels):
        logits = model.logits_of_all([versions[i] for i in sound], rows.features)
        for i, value in zip(sound, measure(logits), strict=True):
            values[i] = value
    return values


def measure(logits: Logits, labels: Labels, groups: Labels, metric: str) -> int:
    """Measure (rows, outputs) logits."""
    return measure_all(logits[None], labels, groups, metric)[0]


def measure_all(logits: Logits, labels: Labels, groups: Labels, metric: str) -> list[int]:
    """Measure (versions, rows, outputs) logits, a few versions at a time."""
    name = known(metric)
    if not len(labels):
        return [minimum(metric)] * len(logits)
    groups = groups if name == "auc_within" else np.zeros_like(labels)
    depth = max(1, _BLOCK_VALUES // max(1, logits[0].size)) if len(logits) else 1
    values: list[int] = []
    for first in range(0, len(logits), depth):
        block = np.clip(logits[first : first + depth], -ACTIVATION_LIMIT, ACTIVATION_LIMIT)
        if name == "accuracy":
            values += _accuracy(block, labels)
        elif name == "log_loss":
            values += _log_loss(block, labels)
        else:
            values += _auc(block, labels, groups)
    return values


def concordance(scores: Logits, positive: NDArray[np.bool_], groups: Labels) -> tuple[Logits, int]:
    """Count concordant pairs within groups, twice each, a tie once, by sorting.

    scores (versions, rows), positive and groups (rows,). Returns the doubled counts (versions,) and
    the number of pairs.
    """
    number, group = _compact(groups)
    stride = _SPAN * number
    keys = scores + group * _SPAN + (np.arange(len(scores)) * stride)[:, None]
    negative = np.sort(keys[:, ~positive], axis=1)
    queries = np.sort(keys[:, positive], axis=1)
    below = np.searchsorted(negative.reshape(-1), queries.reshape(-1), side="left")
    upto = np.searchsorted(negative.reshape(-1), queries.reshape(-1), side="right")
    doubled = (below + upto).reshape(queries.shape).sum(axis=1)

    negatives = np.bincount(group[~positive], minlength=number)
    positives = np.bincount(group[positive], minlength=number)
    before = np.cumsum(negatives) - negatives
    skipped = np.arange(len(scores)) * negatives.sum() * positives.sum() + before @ positives
    return doubled - 2 * skipped, int(negatives @ positives)


def _accuracy(logits: Logits, labels: Labels) -> list[int]:
    return [int(count) * PPM // len(labels) for count in _right(logits, labels)]


def _right(logits: Logits, labels: Labels) -> Labels:
    several = logits.shape[2] > 1
    said = logits.argmax(axis=2) if several else (logits[:, :, 0] > 0).astype(np.int64)
    right: Labels = (said == labels).sum(axis=1)
    return right


def _auc(logits: Logits, labels: Labels, groups: Labels) -> list[int]:
    doubled, pairs = _pairs(logits, labels, groups)
    if pairs == 0:
        return [PPM // 2] * len(logits)
    return [int(count) * PPM // (2 * pairs) for count in doubled]


def _pairs(logits: Logits, labels: Labels, groups: Labels) -> tuple[Labels, int]:
    """Count concordant pairs, twice each, per version, and all pairs."""
    outputs = logits.shape[2]
    real = (labels >= 0) & (labels < max(outputs, 2))
    classes = range(outputs) if outputs > 1 else range(1, 2)
    doubled, pairs = np.zeros(len(logits), dtype=np.int64), 0
    for column, positive_class in enumerate(classes):
        positive = labels[real] == positive_class
        counted, of = concordance(logits[:, real, column], positive, groups[real])
        doubled, pairs = doubled + counted, pairs + of
    return doubled, pairs


def _log_loss(logits: Logits, labels: Labels) -> list[int]:
    if logits.shape[2] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=2)
    real = (labels >= 0) & (labels < logits.shape[2])
    largest = logits.max(axis=2)
    total = exp_minus(largest[:, :, None] - logits).sum(axis=2)
    index = np.where(real, labels, 0)[None, :, None]
    own = np.take_along_axis(logits, index, axis=2)[:, :, 0]
    loss = natural_log(total) + ((largest - own) << (UNIT_BITS - ACTIVATION_BITS))
    cap = LOSS_CAP << UNIT_BITS
    loss = np.where(real, np.minimum(loss, cap), cap)
    return [-(int(nats) * PPM) // (len(labels) << UNIT_BITS) for nats in loss.sum(axis=1)]


def _compact(groups: Labels) -> tuple[int, Labels]:
    names, group = np.unique(groups, return_inverse=True)
    return max(len(names), 1), np.asarray(group, dtype=np.int64).reshape(-1)
