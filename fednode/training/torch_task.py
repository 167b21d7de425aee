"""Any torch module as a training task: the shortest way to bring a model of one's own.

A module of arbitrary layers has no exact forward pass, so its author states how far two machines'
utilities may differ; see `fednode.evaluation.evaluator` for what follows from that.
"""

from collections.abc import Callable, Collection
from copy import deepcopy

import numpy as np
import torch
from torch import nn

from fednode.evaluation.metrics import Rows, measure
from fednode.models.base import ModelSpec
from fednode.models.errors import TensorError
from fednode.models.exact import ACTIVATION_BITS, ACTIVATION_LIMIT
from fednode.models.layout import (
    WEIGHT_BITS,
    FloatTensors,
    TensorKind,
    Tensors,
    TensorSpec,
    quantise,
)
from fednode.training.isolation import isolated
from fednode.training.run import LocalRun, TrainingError
from fednode.training.sgd import Descent, batches, loss
from fednode.training.task import Floats
from fednode.training.trainable import (
    require_logits,
    require_used,
    specifications,
    trial_rows,
)

EVALUATION_ROWS = 256
NO_RUN = 0
"""Seeds what a module draws outside of a training run."""


class TorchTask:
    """A module that maps (rows, ...) features to (rows, outputs) logits, one for two classes.

    The federation starts with the module's weights, such as those of a trained model. What the
    policy's factory draws with torch instead follows from the policy's seed. Every parameter is
    shared, unless `private` names it or its layer. A module with buffers (batch normalisation's
    running means), a frozen parameter or anything else that cannot be trained is refused with a
    TrainingError. The task works on copies: the module stays as it was given.
    """

    def __init__(
        self,
        module: nn.Module,
        utility_tolerance: int,
        *,
        private: Collection[str] = (),
        fraction_bits: int = WEIGHT_BITS,
    ) -> None:
        self._tolerance = utility_tolerance
        self._specs = specifications(module, private, fraction_bits)
        with isolated(NO_RUN):
            self._module = _copy(module)
        self._given = {
            name: parameter.detach().numpy().astype(np.float64)
            for name, parameter in self._module.named_parameters()
        }
        self._tensors: FloatTensors = dict(self._given)
        self._again: Callable[[int], object] | None = None
        self._starts: dict[int, FloatTensors] = {}

    @property
    def utility_tolerance(self) -> int:
        """Return how far (ppm) two machines' evaluations may differ."""
        return self._tolerance

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """Return a tensor for every parameter of the module."""
        return self._specs

    def initial(self, seed: int) -> Tensors:
        """Return the shared weights at the start: given ones, or those that the seed draws."""
        return self._start(seed, TensorKind.SHARED)

    def private_initial(self, seed: int = 0) -> Tensors:
        """Return the private weights at the start."""
        return self._start(seed, TensorKind.PRIVATE)

    def get_tensors(self) -> Floats:
        """Return all parameters."""
        return dict(self._tensors)

    def set_tensors(self, tensors: Floats) -> None:
        """Set these parameters."""
        for spec in self._specs:
            if spec.name in tensors:
                values = np.array(tensors[spec.name], dtype=np.float64)
                if values.shape != spec.shape:
                    raise TensorError(spec.name, f"is of shape {values.shape}, not {spec.shape}")
                self._tensors[spec.name] = values

    def fit(self, rows: Rows, run: LocalRun) -> None:
        """Train by SGD, as the run says: the tensors, the rows and the run give the outcome, on one
        machine with one number of threads.
        """
        with isolated(run.word()):
            module = self._loaded().train()
            start = {n: p.detach().clone() for n, p in module.named_parameters()}
            descent = Descent(list(module.parameters()), run.spec)
            features, labels = _features(rows), torch.from_numpy(np.array(rows.labels))
            classes = int(labels.max()) + 1 if len(labels) else 0
            for batch in batches(len(labels), run):
                logits = _logits(module(features[batch]), len(batch), classes)
                descent.step(loss(logits, labels[batch]))
            self._tensors = {
                name: self._tensors[name] + (p.detach() - start[name]).numpy().astype(np.float64)
                for name, p in module.named_parameters()
            }

    def evaluate(self, rows: Rows, metric: str) -> int:
        """Measure the module's logits, rounded to 16 fractional bits."""
        with isolated(NO_RUN), torch.no_grad():
            module = self._loaded().eval()
            parts = [module(part) for part in torch.split(_features(rows), EVALUATION_ROWS)]
            logits = torch.cat(parts).double().numpy() * 2.0**ACTIVATION_BITS
        finite = np.nan_to_num(logits, nan=-ACTIVATION_LIMIT)
        fixed = np.rint(np.clip(finite, -ACTIVATION_LIMIT, ACTIVATION_LIMIT)).astype(np.int64)
        return measure(fixed, rows.labels, rows.groups, metric)

    def adopt(self, spec: ModelSpec, again: Callable[[int], object]) -> None:
        """Take what the task was made from: `again` calls its factory with another seed. Raise
        TrainingError if the module cannot be trained on rows of this description.
        """
        self._again = again
        with isolated(NO_RUN):
            module = self._loaded().train()
            features, labels = trial_rows(spec)
            logits = require_logits(module(features), len(labels), spec.outputs)
            require_used(module, loss(logits, labels))

    def _start(self, seed: int, kind: TensorKind) -> Tensors:
        given = self._drawn(seed)
        return {
            spec.name: quantise(spec.name, given[spec.name], spec.fraction_bits)
            for spec in self._specs
            if spec.kind is kind
        }

    def _drawn(self, seed: int) -> FloatTensors:
        """Give the weights that the factory makes from a seed, or those of the module as given."""
        if self._again is None:
            return self._given
        if seed not in self._starts:
            made = self._again(seed)
            if not isinstance(made, TorchTask) or made.tensors != self._specs:
                raise TrainingError("the model's factory makes another module from another seed")
            self._starts[seed] = made._given
        return self._starts[seed]

    def _loaded(self) -> nn.Module:
        """Copy the module as it was given, with the tensors as they are now: what a module keeps of
        an earlier pass, and its mode, have no part in the next.
        """
        module = _copy(self._module)
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                parameter.copy_(torch.from_numpy(self._tensors[name]))
        return module


def _copy(module: nn.Module) -> nn.Module:
    try:
        return deepcopy(module)
    except (RuntimeError, TypeError) as error:
        raise TrainingError(
            f"the module cannot be copied ({error}): keep only parameters, layers and plain values "
            "in it"
        ) from error


def _logits(found: object, rows: int, classes: int) -> torch.Tensor:
    """Give a batch's logits: one for two classes, else one for each label at least."""
    width = found.shape[-1] if isinstance(found, torch.Tensor) and found.ndim == 2 else 1
    return require_logits(found, rows, 1 if classes <= 2 and width == 1 else max(width, classes))


def _features(rows: Rows) -> torch.Tensor:
    return torch.from_numpy(rows.features.astype(np.float32) * np.float32(2.0**-ACTIVATION_BITS))
