"""Any torch module as a training task: the shortest way to bring a model of one's own.

A module of arbitrary layers has no exact forward pass, so its author states how far two machines'
utilities may differ; see `fednode.evaluation.evaluator` for what follows from that.
"""

from collections.abc import Collection

import numpy as np
import torch
from torch import nn

from fednode.evaluation.metrics import Rows, measure
from fednode.models.exact import ACTIVATION_BITS, ACTIVATION_LIMIT
from fednode.models.layout import WEIGHT_BITS, TensorKind, Tensors, TensorSpec
from fednode.models.start import uniform, within
from fednode.training.run import LocalRun, TrainingError
from fednode.training.sgd import Descent, batches, deterministic_algorithms, loss
from fednode.training.task import Floats

EVALUATION_ROWS = 256


class TorchTask:
    """A module that maps (rows, ...) features to (rows, outputs) logits, one for two classes.

    Every parameter is shared, unless `private` names it. Matrices and kernels start uniformly
    within sqrt(6 / inputs) of 0, biases at 0, other vectors at 1, whatever the module's own start
    is: so it is the same on every machine. Buffers are not tensors of the model: a module that
    needs them (batch normalisation's running means) is refused.
    """

    def __init__(
        self,
        module: nn.Module,
        utility_tolerance: int,
        *,
        private: Collection[str] = (),
        fraction_bits: int = WEIGHT_BITS,
    ) -> None:
        if any(True for _ in module.buffers()):
            raise TrainingError(
                "the module has buffers (batch normalisation does): they would neither be averaged "
                "nor measured; use a layer without them, such as group normalisation"
            )
        self._module = module
        self._tolerance = utility_tolerance
        self._specs = tuple(
            TensorSpec(
                name,
                tuple(parameter.shape),
                TensorKind.PRIVATE if name in private else TensorKind.SHARED,
                fraction_bits,
            )
            for name, parameter in module.named_parameters()
        )

    @property
    def utility_tolerance(self) -> int:
        """Return how far (ppm) two machines' evaluations may differ."""
        return self._tolerance

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """Return a tensor for every parameter of the module."""
        return self._specs

    def initial(self, seed: int) -> Tensors:
        """Return the shared tensors at the start, the same on every machine."""
        return self._start(seed, TensorKind.SHARED)

    def private_initial(self, seed: int = 0) -> Tensors:
        """Return the private tensors at the start."""
        return self._start(seed, TensorKind.PRIVATE)

    def get_tensors(self) -> Floats:
        """Return all parameters."""
        return {
            name: parameter.detach().numpy().astype(np.float64)
            for name, parameter in self._module.named_parameters()
        }

    def set_tensors(self, tensors: Floats) -> None:
        """Set these parameters."""
        with torch.no_grad():
            for name, parameter in self._module.named_parameters():
                if name in tensors:
                    parameter.copy_(torch.from_numpy(np.array(tensors[name])))

    def fit(self, rows: Rows, run: LocalRun) -> None:
        """Train by SGD, as the run says."""
        parameters = list(self._module.parameters())
        descent = Descent(parameters, run.spec)
        features, labels = _features(rows), torch.from_numpy(np.array(rows.labels))
        self._module.train()
        with deterministic_algorithms():
            for batch in batches(len(labels), run):
                descent.step(loss(self._module(features[batch]), labels[batch]))

    def evaluate(self, rows: Rows, metric: str) -> int:
        """Measure the module's logits, rounded to 16 fractional bits."""
        self._module.eval()
        with torch.no_grad():
            parts = [self._module(part) for part in torch.split(_features(rows), EVALUATION_ROWS)]
        logits = torch.cat(parts).double().numpy() * 2.0**ACTIVATION_BITS
        finite = np.nan_to_num(logits, nan=-ACTIVATION_LIMIT)
        fixed = np.rint(np.clip(finite, -ACTIVATION_LIMIT, ACTIVATION_LIMIT)).astype(np.int64)
        return measure(fixed, rows.labels, rows.groups, metric)

    def _start(self, seed: int, kind: TensorKind) -> Tensors:
        tensors: Tensors = {}
        for position, spec in enumerate(self._specs):
            if spec.kind is not kind:
                continue
            if len(spec.shape) > 1:
                bound = within(6, spec)
                tensors[spec.name] = uniform(spec.shape, bound, seed=(seed, position))
            else:
                one = 0 if spec.name.endswith("bias") else 1 << spec.fraction_bits
                tensors[spec.name] = np.full(spec.shape, one, dtype=np.int32)
        return tensors


def _features(rows: Rows) -> torch.Tensor:
    return torch.from_numpy(rows.features.astype(np.float32) * np.float32(2.0**-ACTIVATION_BITS))
