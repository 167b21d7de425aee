"""Logistic regression: the heart demo's model, there with a private bias per hospital."""

from math import prod

from pydantic import BaseModel, ConfigDict

from fednode.models.base import ModelSpec
from fednode.models.exact import Flatten, Layer, Linear
from fednode.models.stack import StackModel


class LogisticOptions(BaseModel):
    """Logistic regression has none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def logistic(spec: ModelSpec, options: LogisticOptions) -> StackModel:
    """Build one linear layer, tensors `weight` and `bias`, which starts at zero."""
    inputs = prod(spec.input_shape)
    linear = Linear("", inputs, spec.outputs, spread=0, fraction_bits=spec.fraction_bits)
    layers: tuple[Layer, ...] = (linear,)
    if len(spec.input_shape) > 1:
        layers = (Flatten(), linear)
    return StackModel(layers, spec.input_shape, spec.private)
