"""The float forward pass of a stack of exact layers, on torch: what local training differentiates.

Both passes are built from one description, so they cannot drift apart: only rounding differs.
"""

from collections.abc import Mapping

import torch
from torch.nn import functional

from fednode.models.exact import Conv2d, Flatten, Linear, MaxPool2d, ReLU, parameter_names
from fednode.models.stack import StackModel


def forward(
    model: StackModel, parameters: Mapping[str, torch.Tensor], x: torch.Tensor
) -> torch.Tensor:
    """Map (rows, ...) features to (rows, outputs) logits."""
    for layer in model.layers:
        match layer:
            case Linear(name=name):
                weight, bias = parameter_names(name)
                x = functional.linear(x, parameters[weight], parameters[bias])
            case Conv2d(name=name, stride=stride, padding=padding):
                weight, bias = parameter_names(name)
                x = functional.conv2d(x, parameters[weight], parameters[bias], stride, padding)
            case ReLU():
                x = functional.relu(x)
            case MaxPool2d(kernel=kernel, stride=stride):
                x = functional.max_pool2d(x, kernel, stride)
            case Flatten():
                x = torch.flatten(x, 1)
    return x
