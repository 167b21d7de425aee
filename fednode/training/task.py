"""Training as a protocol: fit, evaluate, get and set tensors; any framework fits behind it.

A task holds floats and may use them as it likes. What leaves it is taken here as a difference to
what it was given, and turned into fixed point; only that crosses the network. Importing this module
does not import torch, so an auditor's replay does not need it.
"""

import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fednode.evaluation.metrics import Rows, utility
from fednode.models.base import Model, ModelSpec
from fednode.models.errors import OwnModelError, TensorError
from fednode.models.guard import model_code
from fednode.models.layout import (
    FloatTensors,
    Layout,
    TensorKind,
    Tensors,
    TensorSpec,
    dequantise,
    quantise,
    with_statistics,
)
from fednode.models.registry import open_spec, told
from fednode.models.stack import StackModel
from fednode.training.run import LocalRun, TrainingError

Floats = Mapping[str, NDArray[np.floating]]


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a participant's training made: the change to send, and the private tensors to keep."""

    update: Tensors
    private: Tensors


@runtime_checkable
class TrainingTask(Protocol):
    """What the network needs of a training framework."""

    @property
    def utility_tolerance(self) -> int:
        """Return how far (ppm) two machines' evaluations may differ; 0 if they are exact."""
        ...

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """Return the specifications of all tensors, in a fixed order."""
        ...

    def initial(self, seed: int) -> Tensors:
        """Return the travelling tensors at the start, the same on every machine."""
        ...

    def private_initial(self, seed: int = 0) -> Tensors:
        """Return the private tensors at the start."""
        ...

    def get_tensors(self) -> Floats:
        """Return all tensors as they are now."""
        ...

    def set_tensors(self, tensors: Floats) -> None:
        """Take these values; tensors that are not named keep theirs."""
        ...

    def fit(self, rows: Rows, run: LocalRun) -> None:
        """Train on these rows; a function of the tensors, the rows and the run."""
        ...

    def evaluate(self, rows: Rows, metric: str) -> int:
        """Measure the tensors on these rows, in millionths."""
        ...


class SgdTask:
    """The built-in task: an exact model, trained by plain SGD on torch."""

    def __init__(self, model: Model) -> None:
        # No tensor exists before one is asked for: a stranger's policy may describe a model of any
        # size, and is compared with its header first.
        self.model = model
        self._tensors: FloatTensors = {}

    @property
    def utility_tolerance(self) -> int:
        """Return 0: an exact model's utilities are the same everywhere."""
        return 0

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """Return the model's tensors."""
        return self.model.tensors

    def initial(self, seed: int) -> Tensors:
        """Return the travelling tensors at the start, the same on every machine."""
        return self.model.initial(seed)

    def private_initial(self, seed: int = 0) -> Tensors:
        """Return the private tensors at the start."""
        return self.model.private_initial(seed)

    def get_tensors(self) -> FloatTensors:
        """Return all tensors as they are now."""
        if not self._tensors:
            start = {**self.model.initial(0), **self.model.private_initial()}
            self._tensors = _floats(self.model.tensors, start)
        return dict(self._tensors)

    def set_tensors(self, tensors: Floats) -> None:
        """Take these values; tensors that are not named keep theirs."""
        self._tensors = self.get_tensors()
        for spec in self.tensors:
            if spec.name in tensors:
                self._tensors[spec.name] = np.asarray(tensors[spec.name], dtype=np.float64)

    def fit(self, rows: Rows, run: LocalRun) -> None:
        """Train by SGD, as the run says."""
        if not isinstance(self.model, StackModel):
            raise TrainingError(
                f"SGD trains stacks of the built-in layers; {type(self.model).__name__} is none: "
                "let its factory return a training task"
            )
        from fednode.training import sgd

        self._tensors = sgd.fit(self.model, self.get_tensors(), rows, run)

    def evaluate(self, rows: Rows, metric: str) -> int:
        """Measure the tensors on these rows, in millionths."""
        current = self.get_tensors()
        tensors = {
            spec.name: quantise(spec.name, current[spec.name], spec.fraction_bits)
            for spec in self.tensors
        }
        return utility(self.model, tensors, rows, metric)


@runtime_checkable
class Adopted(Protocol):
    """A task that is told what it was made from."""

    def adopt(self, spec: ModelSpec, again: Callable[[int], object]) -> None:
        """Take a description, and a way to call the factory again with another seed. Raise if the
        task cannot be trained on such rows.
        """
        ...


def open_task(spec: ModelSpec, *, own: Collection[str] = ()) -> TrainingTask:
    """Open the policy's model as a training task; `own` names the users' factories that may run.

    A user's factory returns an exact model, or a task with a utility tolerance. What it draws with
    torch follows from a seed.
    """

    def make(seed: int) -> object:
        return open_spec(spec, own=own, around=partial(_seeded, seed))

    made = make(0)
    if isinstance(made, Model):
        return SgdTask(made)
    if not isinstance(made, TrainingTask):
        raise OwnModelError(
            "task.model",
            f"{spec.model!r} makes a {type(made).__name__}: neither an exact model nor a training "
            "task (utility_tolerance, tensors, initial, private_initial, get_tensors, set_tensors, "
            "fit, evaluate)",
        )
    if made.utility_tolerance < 1:
        raise OwnModelError(
            "task.model",
            f"{spec.model!r} states a utility tolerance of {made.utility_tolerance} ppm; a model "
            "without the exact forward pass needs at least 1",
        )
    _require_private(spec, made)
    if isinstance(made, Adopted):
        try:
            made.adopt(spec, make)
        except TrainingError as error:
            raise OwnModelError(
                "task.model", f"{spec.model!r} cannot be trained: {error}"
            ) from error
        except (Exception, SystemExit) as error:
            raise OwnModelError(
                "task.model", f"{spec.model!r} fails on rows of this shape: {told(error)}"
            ) from error
    return made


def _require_private(spec: ModelSpec, task: TrainingTask) -> None:
    """Refuse a factory that shares what the policy keeps at each site."""
    kept = [tensor.name for tensor in task.tensors if tensor.kind is TensorKind.PRIVATE]
    for name in spec.private:
        if not any(each == name or each.startswith(f"{name}.") for each in kept):
            raise OwnModelError(
                "task.private",
                f"the policy keeps {name!r} private, but {spec.model!r} has no such tensor or "
                "shares it: let the factory pass spec.private on",
            )


def _seeded(seed: int) -> AbstractContextManager[None]:
    """Seed a factory's draws, if its module has imported torch."""
    if "torch" not in sys.modules:
        return nullcontext()
    from fednode.training.isolation import isolated

    return isolated(seed)


def layout_of(task: TrainingTask, numeric: int = 0) -> Layout:
    """Lay out a task's payload, behind the statistics of `numeric` columns where there are any."""
    with model_code("naming its tensors"):
        return with_statistics(task.tensors, numeric)


def first_private(task: TrainingTask) -> Tensors:
    """Give a task's private tensors at the start."""
    with model_code("making its private tensors"):
        return task.private_initial()


def train(task: TrainingTask, start: Tensors, rows: Rows, run: LocalRun) -> Fitted:
    """Train from `start` (all tensors, private ones too) and return the change in fixed point.

    Raises TrainingError without rows, and TensorError, naming the tensor, where the change is not
    finite or does not fit.
    """
    if not len(rows.labels):
        raise TrainingError("there is no row to train on: check the data and its split")
    task.set_tensors(_floats(task.tensors, start))
    before = {name: np.array(values) for name, values in task.get_tensors().items()}
    task.fit(rows, run)
    after = task.get_tensors()
    update: Tensors = {}
    private: Tensors = {}
    for spec in task.tensors:
        change = _difference(spec, before, after)
        if spec.kind is TensorKind.SHARED:
            update[spec.name] = quantise(spec.name, change, spec.fraction_bits)
        elif spec.kind is TensorKind.PRIVATE:
            value = dequantise(start[spec.name], spec.fraction_bits) + change
            private[spec.name] = quantise(spec.name, value, spec.fraction_bits)
    return Fitted(update, private)


def _difference(spec: TensorSpec, before: Floats, after: Floats) -> NDArray[np.float64]:
    new = after.get(spec.name)
    if new is None or new.shape != spec.shape:
        found = "missing" if new is None else f"of shape {new.shape}"
        raise TensorError(spec.name, f"is {found} after training, not of shape {spec.shape}")
    with np.errstate(invalid="ignore"):
        return np.asarray(new, dtype=np.float64) - np.asarray(before[spec.name], dtype=np.float64)


def _floats(specs: Collection[TensorSpec], tensors: Tensors) -> FloatTensors:
    missing = [spec.name for spec in specs if spec.name not in tensors]
    if missing:
        raise TensorError(missing[0], "is missing from the model version")
    return {spec.name: dequantise(tensors[spec.name], spec.fraction_bits) for spec in specs}
