"""Models of one's own: what `model = "own_model:narrow"` or `"own_model:smooth"` in a policy runs.

A factory gets the model's description (shape of the rows, classes, the policy's options and private
tensors) and returns either a stack of exact layers, whose utilities are the same on every machine,
or any torch module with the tolerance within which its utilities are. This file is program code: a
node runs it only where its owner says `--allow-model own_model:narrow`, and finds it through
PYTHONPATH. The policy pins the digest of this file: every node and every audit needs the same one.
"""

from math import prod

from torch import nn

from fednode.models.base import ModelSpec
from fednode.models.exact import Linear, ReLU
from fednode.models.stack import StackModel
from fednode.training.torch_task import TorchTask

TOLERANCE = 1_000
"""Millionths of the metric; the policy's evaluation.utility_tolerance must say the same."""


def narrow(spec: ModelSpec) -> StackModel:
    """Make a network of exact layers: as many hidden units as the policy's options say."""
    hidden = spec.options.get("hidden", 4)
    if not isinstance(hidden, int):
        raise ValueError("options.hidden must be a number of units")
    inputs = prod(spec.input_shape)
    layers = (Linear("first", inputs, hidden), ReLU(), Linear("last", hidden, spec.outputs))
    return StackModel(layers, spec.input_shape, spec.private)


def smooth(spec: ModelSpec) -> TorchTask:
    """Make a torch module with layers that have no exact forward pass."""
    module = nn.Sequential(
        nn.Linear(prod(spec.input_shape), 4), nn.Tanh(), nn.Linear(4, spec.outputs)
    )
    return TorchTask(module, TOLERANCE, private=spec.private, fraction_bits=spec.fraction_bits)
