"""Local SGD on torch: the built-in training of a stack of exact layers.

Its outcome is a function of the start, the rows and (seed, round, participant) on one machine with
one number of threads; across machines floats differ, which is why nobody is asked to repeat it
(architecture, decision 1). No global seed is read or set.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from fednode.evaluation.metrics import Rows
from fednode.models.exact import ACTIVATION_BITS
from fednode.models.layout import FloatTensors
from fednode.models.stack import StackModel
from fednode.models.torch_stack import forward
from fednode.training.run import LocalRun, TrainingSpec


def fit(model: StackModel, tensors: FloatTensors, rows: Rows, run: LocalRun) -> FloatTensors:
    """Run the epochs of one round and return all tensors as they are then.

    The loss is binary cross-entropy for one logit, else cross-entropy. A tensor comes back
    as its start plus the change, so what is not trained stays as it was to the last bit.
    """
    parameters = {
        name: torch.tensor(values, dtype=torch.float32, requires_grad=True)
        for name, values in tensors.items()
    }
    start = {name: value.detach().clone() for name, value in parameters.items()}
    features = torch.from_numpy(
        rows.features.astype(np.float32) * np.float32(2.0**-ACTIVATION_BITS)
    )
    labels = torch.from_numpy(np.array(rows.labels))
    descent = Descent(list(parameters.values()), run.spec)
    with deterministic_algorithms():
        for batch in batches(len(labels), run):
            logits = forward(model, parameters, features[batch])
            descent.step(loss(logits, labels[batch]))
    return {
        name: tensors[name] + (value.detach() - start[name]).numpy().astype(np.float64)
        for name, value in parameters.items()
    }


def batches(rows: int, run: LocalRun) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of every batch: each epoch permutes anew, its last batch may be short."""
    generator = run.generator()
    for _ in range(run.spec.epochs):
        order = generator.permutation(rows)
        for first in range(0, rows, run.spec.batch_size):
            yield order[first : first + run.spec.batch_size]


def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean loss of a batch.

    Binary cross-entropy is written out: torch's own starts its threads for a batch of any size,
    which costs small models ten times the time of the step.
    """
    if logits.shape[1] == 1:
        logit = logits[:, 0]
        return (functional.softplus(logit) - labels.to(logit.dtype) * logit).mean()
    return functional.cross_entropy(logits, labels)


@contextmanager
def deterministic_algorithms() -> Iterator[None]:
    """Let torch use deterministic algorithms only, for the time being.

    Set as a debug mode, which means the same: `use_deterministic_algorithms` imports torch's
    compiler, several seconds that plain training has no use for.
    """
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)


class Descent:
    """SGD with momentum and weight decay, as torch.optim.SGD, which takes a second to import."""

    def __init__(self, parameters: Sequence[torch.Tensor], spec: TrainingSpec) -> None:
        self._parameters = list(parameters)
        self._velocities = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._spec = spec

    def step(self, batch_loss: torch.Tensor) -> None:
        """Move every parameter against its gradient; one that had no part in the loss stays."""
        gradients = torch.autograd.grad(batch_loss, self._parameters, allow_unused=True)
        with torch.no_grad():
            for parameter, velocity, gradient in zip(
                self._parameters, self._velocities, gradients, strict=True
            ):
                if gradient is None:
                    continue
                if gradient.layout is not torch.strided:
                    gradient = gradient.to_dense()
                if self._spec.weight_decay:
                    gradient = gradient.add(parameter, alpha=self._spec.weight_decay)
                if self._spec.momentum:
                    gradient = velocity.mul_(self._spec.momentum).add_(gradient)
                parameter.sub_(gradient, alpha=self._spec.learning_rate)
