"""Utilities of model versions as they lie in payloads: what a round's rules and an audit ask for.

Evaluation rows are committed encoded but not scaled; how they are scaled is part of the model
version itself (its statistics), so each version is measured as it would be used.

A model without the exact forward pass states a tolerance t. Its utilities stand in the result as
multiples of 2t; a second measurement, at most t away, then lands on the same multiple or on its
neighbour, and either is accepted (architecture, decision 2).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fednode.data.schema import Schema
from fednode.data.statistics import Preprocessing
from fednode.evaluation.metrics import LabelledRows, Rows, counts, known, minimum, utilities
from fednode.models.base import Model
from fednode.models.guard import model_code
from fednode.models.layout import STATISTICS, Layout, Tensors, dequantise
from fednode.training.task import SgdTask, TrainingTask

Payload = NDArray[np.int32]
Measure = Callable[[Model, Sequence[Tensors], Rows, str], list[int]]

_CHUNK_VALUES = 1 << 24


class Evaluator(Protocol):
    """Measures model versions; a total function of their payloads."""

    @property
    def tolerance(self) -> int:
        """Return how far (ppm) two machines' measurements may differ; 0 if they are exact."""
        ...

    def utilities(self, models: Iterable[Payload]) -> tuple[int, ...]:
        """Measure these model versions, in millionths."""
        ...


def open_evaluator(
    model: Model | TrainingTask, layout: Layout, *, schema: Schema, rows: Rows, metric: str
) -> Evaluator:
    """Make the evaluator of a model or of a user's task; `rows` are encoded, not scaled."""
    scaling = Scaling(layout, schema, LabelledRows(rows.features, rows.labels, rows.groups))
    if isinstance(model, SgdTask):
        model = model.model
    if isinstance(model, Model):
        return ExactEvaluator(model, scaling, known(metric))
    return TolerantEvaluator(model, scaling, known(metric))


def preprocessing_of(layout: Layout, tensors: Tensors, schema: Schema) -> Preprocessing:
    """Return the imputation and scaling that a model version carries."""
    if layout.tensors[0].name != STATISTICS:
        return Preprocessing.identity(schema)
    return Preprocessing.from_statistics(tensors[STATISTICS].reshape(-1), schema)


def scaled(rows: Rows, preprocessing: Preprocessing) -> LabelledRows:
    """Scale encoded rows for a model."""
    return LabelledRows(preprocessing.apply(rows.features), rows.labels, rows.groups)


def agree(stated: Sequence[int], measured: Sequence[int], *, tolerance: int) -> bool:
    """Tell whether a result's utilities may stand, given our own measurement of them."""
    if len(stated) != len(measured):
        return False
    step = 2 * tolerance
    if step == 0:
        return list(stated) == list(measured)
    return all(
        one % step == 0 and abs(one - other) <= step
        for one, other in zip(stated, measured, strict=True)
    )


@dataclass(frozen=True, slots=True)
class Scaling:
    """Encoded rows, and how model versions scale them."""

    layout: Layout
    schema: Schema
    rows: LabelledRows

    def of(self, tensors: Tensors) -> LabelledRows:
        """Scale the rows as this model version does."""
        return scaled(self.rows, preprocessing_of(self.layout, tensors, self.schema))


@dataclass(frozen=True, slots=True)
class ExactEvaluator:
    """Measures an exact model: the same integers on every machine."""

    model: Model
    scaling: Scaling
    metric: str

    @property
    def tolerance(self) -> int:
        """Return 0."""
        return 0

    def utilities(self, models: Iterable[Payload]) -> tuple[int, ...]:
        """Measure these model versions, a few at a time."""
        return self._all(models, utilities)

    def counts(self, models: Iterable[Payload]) -> tuple[int, ...]:
        """Count what the metric of these model versions is summed from."""
        return self._all(models, counts)

    def _all(self, models: Iterable[Payload], measure: Measure) -> tuple[int, ...]:
        logits = len(self.scaling.rows.labels) * self.model.outputs
        size = max(1, _CHUNK_VALUES // max(1, self.scaling.layout.size, logits))
        left = iter(models)
        values: list[int] = []
        while chunk := list(islice(left, size)):
            values += self._chunk(chunk, measure)
        return tuple(values)

    def _chunk(self, models: Sequence[Payload], measure: Measure) -> list[int]:
        """Measure model versions; those that scale rows alike in one pass."""
        alike: dict[bytes, list[int]] = {}
        versions = [self.scaling.layout.unpack(model) for model in models]
        for i, version in enumerate(versions):
            alike.setdefault(_statistics(version), []).append(i)
        values = [0] * len(models)
        for members in alike.values():
            group = [versions[i] for i in members]
            rows = self.scaling.of(group[0])
            with model_code("evaluation"):
                measured = measure(self.model, group, rows, self.metric)
            for i, value in zip(members, measured, strict=True):
                values[i] = value
        return values


@dataclass(frozen=True, slots=True)
class TolerantEvaluator:
    """Measures a user's task: within its tolerance on every machine."""

    task: TrainingTask
    scaling: Scaling
    metric: str

    @property
    def tolerance(self) -> int:
        """Return the task's tolerance."""
        return self.task.utility_tolerance

    def utilities(self, models: Iterable[Payload]) -> tuple[int, ...]:
        """Measure these model versions one by one; ModelFailed where the task's code raises."""
        versions = map(self.scaling.layout.unpack, models)
        return tuple(self._utility(version) for version in versions)

    def _utility(self, version: Tensors) -> int:
        rows = self.scaling.of(version)
        with model_code("evaluation"):
            measured = self._measured(version, rows)
        step = 2 * self.tolerance
        return (measured + self.tolerance) // step * step

    def _measured(self, version: Tensors, rows: LabelledRows) -> int:
        tensors = {**self.task.private_initial(), **version}
        self.task.set_tensors(
            {
                spec.name: dequantise(tensors[spec.name], spec.fraction_bits)
                for spec in self.task.tensors
            }
        )
        try:
            return int(self.task.evaluate(rows, self.metric))
        except (ArithmeticError, ValueError):
            return minimum(self.metric)


def _statistics(version: Tensors) -> bytes:
    statistics = version.get(STATISTICS)
    return b"" if statistics is None else statistics.tobytes()
