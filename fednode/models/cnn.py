"""A small convolutional network: 3x3 convolutions, each pooled by 2, then dense layers."""

from math import prod
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from fednode.models.base import ModelSpec
from fednode.models.errors import ModelDescriptionError
from fednode.models.exact import Conv2d, Flatten, Layer, Linear, MaxPool2d, ReLU
from fednode.models.stack import StackModel

Width = Annotated[int, Field(ge=1, le=1 << 16)]


class CnnOptions(BaseModel):
    """Channels of the convolutions, width of the dense layer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: tuple[Width, ...] = Field(default=(8, 16), min_length=1, max_length=8)
    dense: Width = 64


def cnn(spec: ModelSpec, options: CnnOptions) -> StackModel:
    """Build layers `conv1`, `conv2`, ..., `dense` and `output`."""
    if len(spec.input_shape) != 3:
        raise ModelDescriptionError(
            "task.model", f"'cnn' needs images, the schema's rows have shape {spec.input_shape}"
        )
    bits = spec.fraction_bits
    layers: list[Layer] = []
    inputs, high, wide = spec.input_shape
    for number, channels in enumerate(options.channels, start=1):
        convolution = Conv2d(f"conv{number}", inputs, channels, padding=1, fraction_bits=bits)
        layers += [convolution, ReLU(), MaxPool2d()]
        inputs, high, wide = channels, high // 2, wide // 2
    layers += [
        Flatten(),
        Linear(
            "dense", prod((inputs, max(high, 1), max(wide, 1))), options.dense, fraction_bits=bits
        ),
        ReLU(),
        Linear("output", options.dense, spec.outputs, spread=1, fraction_bits=bits),
    ]
    return StackModel(tuple(layers), spec.input_shape, spec.private)
