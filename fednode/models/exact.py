"""The exact forward pass: layers whose outputs are the same integers on every machine.

Contributions decide who is paid, so an auditor elsewhere must find the same utilities; float
inference does not give that (architecture, decision 2). Here integers are carried in float64, whose
sums are exact below 2**53 in whatever order a BLAS adds them:

- weights and biases have f fractional bits (20), inputs and activations 16, |activation| < 2**24;
- a product has 16 + f bits, so a bias is scaled by 2**16 before it is added;
- after every linear or convolutional layer, the last one included, the sum is shifted down by f
  bits, towards minus infinity, and clamped to [-(2**24 - 1), 2**24 - 1]; logits are therefore
  integers with 16 fractional bits, below 2**24 in size;
- a layer is admitted if, for every row of its weights, sum|w| * (2**24 - 1) + |b| * 2**16 < 2**53:
  then no sum within it can leave the integers that float64 holds.

Every array has a leading axis of models, so that many coalitions' models are measured in one pass;
it has length 1 as long as all models still see the same input. Images are carried channels last.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fednode.models.errors import ModelDescriptionError
from fednode.models.layout import WEIGHT_BITS

ACTIVATION_BITS = 16
ACTIVATION_LIMIT = (1 << 24) - 1
"""The largest size of an input, an activation or a logit."""

_EXACT = 1 << 53

Shape: TypeAlias = tuple[int, ...]
Reals: TypeAlias = NDArray[np.float64]
Stack: TypeAlias = Mapping[str, Reals]
"""Tensors by name: their int32 as floats, with a leading axis of models."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A dense layer: weight (outputs, inputs) and bias (outputs,).

    Weights start uniformly within sqrt(spread / inputs) of 0: 6 is He's start for a layer before
    ReLU, 0 starts at zero.
    """

    name: str
    inputs: int
    outputs: int
    spread: int = 6
    fraction_bits: int = WEIGHT_BITS

    @property
    def weight_shape(self) -> Shape:
        """Return the shape of the weights, one row per output."""
        return (self.outputs, self.inputs)

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape that this layer makes of `shape`; refuse what does not fit."""
        if shape != (self.inputs,):
            raise ModelDescriptionError(
                self.name or "linear", f"expects {self.inputs} inputs, not shape {shape}"
            )
        return (self.outputs,)

    def forward(self, stack: Stack, x: Reals) -> Reals:
        """Map (models, rows, inputs) to (models, rows, outputs)."""
        weight, bias = parameter_names(self.name)
        return _affine(x, stack[weight].transpose(0, 2, 1), stack[bias], self.fraction_bits)


@dataclass(frozen=True, slots=True)
class Conv2d:
    """A convolution: weight (outputs, inputs, kernel, kernel), zero padding on every side."""

    name: str
    inputs: int
    outputs: int
    kernel: int = 3
    stride: int = 1
    padding: int = 0
    spread: int = 6
    fraction_bits: int = WEIGHT_BITS

    @property
    def weight_shape(self) -> Shape:
        """Return the shape of the weights, one row per output channel."""
        return (self.outputs, self.inputs, self.kernel, self.kernel)

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape that this layer makes of `shape`; refuse what does not fit."""
        if len(shape) != 3 or shape[0] != self.inputs:
            raise ModelDescriptionError(
                self.name, f"expects images of {self.inputs} channels, not shape {shape}"
            )
        sides = tuple(_side(self.name, n + 2 * self.padding, self) for n in shape[1:])
        return (self.outputs, *sides)

    def forward(self, stack: Stack, x: Reals) -> Reals:
        """Map (models, rows, height, width, inputs) to the same of the outputs."""
        weight, bias = parameter_names(self.name)
        models = len(stack[weight])
        matrix = stack[weight].transpose(0, 3, 4, 2, 1).reshape(models, -1, self.outputs)
        columns = _unfold(x, self)
        flat = columns.reshape(len(x), -1, matrix.shape[1])
        y = _affine(flat, matrix, stack[bias], self.fraction_bits)
        return y.reshape(models, *columns.shape[1:4], self.outputs)


@dataclass(frozen=True, slots=True)
class ReLU:
    """max(x, 0), element by element."""

    def output_shape(self, shape: Shape) -> Shape:
        """Return `shape`."""
        return shape

    def forward(self, stack: Stack, x: Reals) -> Reals:
        """Map an array to one of the same shape."""
        return np.maximum(x, 0.0)


@dataclass(frozen=True, slots=True)
class MaxPool2d:
    """The largest value of each window; rows and columns that fill no window are dropped."""

    kernel: int = 2
    stride: int = 2

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape that this layer makes of `shape`; refuse what does not fit."""
        if len(shape) != 3:
            raise ModelDescriptionError("max pooling", f"expects images, not shape {shape}")
        return (shape[0], *(_side("max pooling", n, self) for n in shape[1:]))

    def forward(self, stack: Stack, x: Reals) -> Reals:
        """Map (models, rows, height, width, channels) to the same with smaller sides."""
        high, wide = (_side("max pooling", n, self) for n in x.shape[2:4])
        largest: Reals | None = None
        for i in range(self.kernel):
            for j in range(self.kernel):
                part = _window(x, (i, j), (high, wide), self.stride)
                largest = part.copy() if largest is None else np.maximum(largest, part, out=largest)
        assert largest is not None
        return largest


@dataclass(frozen=True, slots=True)
class Flatten:
    """Images to vectors, channel by channel, row by row."""

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the vectors."""
        return (int(np.prod(shape)),)

    def forward(self, stack: Stack, x: Reals) -> Reals:
        """Map (models, rows, height, width, channels) to (models, rows, values)."""
        if x.ndim == 5:
            x = x.transpose(0, 1, 4, 2, 3)
        return x.reshape(x.shape[0], x.shape[1], -1)


Parametric: TypeAlias = Linear | Conv2d
Layer: TypeAlias = Linear | Conv2d | ReLU | MaxPool2d | Flatten


def parameter_names(layer: str) -> tuple[str, str]:
    """Return the names of a layer's weight and bias; a layer without a name adds no prefix."""
    prefix = f"{layer}." if layer else ""
    return f"{prefix}weight", f"{prefix}bias"


def admissible(layer: Parametric, stack: Stack) -> NDArray[np.bool_]:
    """Tell, for each model, whether the layer's sums stay exact for every possible input."""
    weight, bias = parameter_names(layer.name)
    rows = np.abs(stack[weight].astype(np.int64)).reshape(*stack[bias].shape, -1).sum(axis=2)
    offset = np.abs(stack[bias].astype(np.int64)) << ACTIVATION_BITS
    fits: NDArray[np.bool_] = (rows <= (_EXACT - 1 - offset) // ACTIVATION_LIMIT).all(axis=1)
    return fits


def enter(features: NDArray[np.int32]) -> Reals:
    """Turn (rows, ...) features with 16 fractional bits into the first layer's input."""
    x = np.clip(features.astype(np.float64), -ACTIVATION_LIMIT, ACTIVATION_LIMIT)[None]
    return np.ascontiguousarray(x.transpose(0, 1, 3, 4, 2)) if x.ndim == 5 else x


def _affine(x: Reals, matrix: Reals, bias: Reals, fraction_bits: int) -> Reals:
    """Multiply, add the scaled bias, shift down and clamp.

    x (1 or models, rows, inputs), matrix (models, inputs, outputs), bias (models, outputs).
    """
    models, inputs, outputs = matrix.shape
    if len(x) == 1 and models > 1:
        wide = x[0] @ matrix.transpose(1, 0, 2).reshape(inputs, models * outputs)
        y = np.ascontiguousarray(wide.reshape(-1, models, outputs).transpose(1, 0, 2))
    else:
        y = np.matmul(x, matrix)
    y += bias[:, None, :] * 2.0**ACTIVATION_BITS
    y *= 2.0**-fraction_bits
    np.floor(y, out=y)
    return np.clip(y, -ACTIVATION_LIMIT, ACTIVATION_LIMIT, out=y)


def _unfold(x: Reals, layer: Conv2d) -> Reals:
    """Gather every window: (models, rows, high, wide, kernel, kernel, channels)."""
    if layer.padding:
        side = (layer.padding, layer.padding)
        x = np.pad(x, ((0, 0), (0, 0), side, side, (0, 0)))
    models, rows, *sides, channels = x.shape
    high, wide = (_side(layer.name, n, layer) for n in sides)
    kernel = layer.kernel
    columns = np.empty((models, rows, high, wide, kernel, kernel, channels))
    for i in range(kernel):
        for j in range(kernel):
            columns[:, :, :, :, i, j] = _window(x, (i, j), (high, wide), layer.stride)
    return columns


def _window(x: Reals, start: tuple[int, int], size: tuple[int, int], stride: int) -> Reals:
    """View the pixels that lie at one place of their windows."""
    (i, j), (high, wide) = start, size
    return x[
        :, :, i : i + stride * (high - 1) + 1 : stride, j : j + stride * (wide - 1) + 1 : stride
    ]


def _side(name: str, length: int, layer: Conv2d | MaxPool2d) -> int:
    side = (length - layer.kernel) // layer.stride + 1
    if length < layer.kernel or side < 1:
        raise ModelDescriptionError(name, f"its window of {layer.kernel} is larger than {length}")
    return side
