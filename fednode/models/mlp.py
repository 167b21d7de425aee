"""A multilayer perceptron with ReLU between its layers."""

from math import prod
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from fednode.models.base import ModelSpec
from fednode.models.exact import Flatten, Layer, Linear, ReLU
from fednode.models.stack import StackModel

Width = Annotated[int, Field(ge=1, le=1 << 20)]


class MlpOptions(BaseModel):
    """The widths of the hidden layers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hidden: tuple[Width, ...] = Field(default=(16,), min_length=1, max_length=16)


def mlp(spec: ModelSpec, options: MlpOptions) -> StackModel:
    """Build layers `hidden1`, `hidden2`, ... and `output`."""
    width = prod(spec.input_shape)
    layers: list[Layer] = [Flatten()] if len(spec.input_shape) > 1 else []
    for number, hidden in enumerate(options.hidden, start=1):
        name = f"hidden{number}"
        layers += [Linear(name, width, hidden, fraction_bits=spec.fraction_bits), ReLU()]
        width = hidden
    layers.append(Linear("output", width, spec.outputs, spread=1, fraction_bits=spec.fraction_bits))
    return StackModel(tuple(layers), spec.input_shape, spec.private)
