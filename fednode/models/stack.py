"""A model as a stack of exact layers: the form of every built-in model, and of most users' own."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from fednode.models.errors import ModelDescriptionError, TensorError
from fednode.models.exact import (
    Conv2d,
    Layer,
    Linear,
    Parametric,
    Reals,
    Shape,
    Stack,
    admissible,
    enter,
    parameter_names,
)
from fednode.models.layout import Layout, TensorKind, Tensors, TensorSpec, with_statistics
from fednode.models.start import uniform, within

CONVOLUTION_ROWS = 32
"""Rows in a batch of a convolutional stack; larger batches fall out of the cache."""

_BLOCK_VALUES = 1 << 19


@dataclass(frozen=True, slots=True)
class StackModel:
    """Layers one after the other; `private` names tensors or whole layers."""

    layers: tuple[Layer, ...]
    input_shape: Shape
    private: tuple[str, ...] = ()
    shapes: tuple[Shape, ...] = field(init=False)

    def __post_init__(self) -> None:
        shapes = [self.input_shape]
        for layer in self.layers:
            shapes.append(layer.output_shape(shapes[-1]))
        if len(shapes[-1]) != 1:
            raise ModelDescriptionError("model", f"ends in shape {shapes[-1]}, not in logits")
        object.__setattr__(self, "shapes", tuple(shapes[1:]))
        self._check_private()

    @property
    def outputs(self) -> int:
        """Count the logits."""
        return self.shapes[-1][0]

    @property
    def parametric(self) -> tuple[Parametric, ...]:
        """Return the layers that have weights."""
        return tuple(layer for layer in self.layers if isinstance(layer, Linear | Conv2d))

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """Return weight and bias of every layer, in the order of the layers."""
        return tuple(spec for layer in self.parametric for spec in self._specs(layer))

    def layout(self, numeric: int = 0) -> Layout:
        """Lay out the payload, behind the statistics of `numeric` columns where there are any."""
        return with_statistics(self.tensors, numeric)

    def initial(self, seed: int) -> Tensors:
        """Return the travelling tensors at the start, the same on every machine."""
        return self._start(seed, self.layout().payload)

    def private_initial(self, seed: int = 0) -> Tensors:
        """Return the private tensors at the start: biases are zero."""
        return self._start(seed, self.layout().private)

    def admissible(self, tensors: Tensors) -> bool:
        """Tell whether every sum of the exact forward pass stays exact."""
        stack = self._stack([tensors])
        return all(bool(admissible(layer, stack)[0]) for layer in self.parametric)

    def logits(self, tensors: Tensors, features: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return (rows, outputs) logits, 16 fractional bits, for features of 16 such bits."""
        first: NDArray[np.int64] = self.logits_of_all([tensors], features)[0]
        return first

    def logits_of_all(
        self, versions: Sequence[Tensors], features: NDArray[np.int32]
    ) -> NDArray[np.int64]:
        """Return (versions, rows, outputs) logits of many admissible versions at once."""
        self._check_features(features)
        logits = np.empty((len(versions), len(features), self.outputs), dtype=np.int64)
        height, depth = self._block(len(features))
        for first in range(0, len(versions), depth):
            models = slice(first, first + depth)
            stack = self._stack(versions[models])
            for start in range(0, len(features), height):
                rows = slice(start, start + height)
                logits[models, rows] = self._forward(stack, enter(features[rows]))
        return logits

    def _forward(self, stack: Stack, x: Reals) -> Reals:
        for layer in self.layers:
            x = layer.forward(stack, x)
        return x

    def _block(self, rows: int) -> tuple[int, int]:
        """Choose how many rows, and how many models, pass at once and stay in the cache."""
        convolutional = any(isinstance(layer, Conv2d) for layer in self.layers)
        width = max(prod(shape) for shape in (self.input_shape, *self.shapes))
        height = CONVOLUTION_ROWS if convolutional else max(1, _BLOCK_VALUES // width)
        return height, max(1, _BLOCK_VALUES // (width * min(max(rows, 1), height)))

    def _stack(self, versions: Sequence[Tensors]) -> dict[str, Reals]:
        """Put the versions' tensors side by side; absent private ones have their first values."""
        absent = self.private_initial() if self.private else {}
        return {
            spec.name: np.stack(
                [_tensor(spec, {**absent, **version}) for version in versions]
            ).astype(np.float64)
            for spec in self.tensors
        }

    def _specs(self, layer: Parametric) -> tuple[TensorSpec, TensorSpec]:
        weight, bias = parameter_names(layer.name)
        return (
            self._spec(layer, weight, layer.weight_shape),
            self._spec(layer, bias, (layer.outputs,)),
        )

    def _spec(self, layer: Parametric, name: str, shape: Shape) -> TensorSpec:
        hidden = name in self.private or (layer.name and layer.name in self.private)
        kind = TensorKind.PRIVATE if hidden else TensorKind.SHARED
        return TensorSpec(name, shape, kind, layer.fraction_bits)

    def _start(self, seed: int, specs: Sequence[TensorSpec]) -> Tensors:
        names = {spec.name for spec in specs}
        tensors: Tensors = {}
        for position, layer in enumerate(self.parametric):
            weight, bias = parameter_names(layer.name)
            if weight in names:
                bound = within(layer.spread, self._spec(layer, weight, layer.weight_shape))
                tensors[weight] = uniform(layer.weight_shape, bound, seed=(seed, position))
            if bias in names:
                tensors[bias] = np.zeros(layer.outputs, dtype=np.int32)
        return tensors

    def _check_private(self) -> None:
        known = [spec.name for spec in self.tensors]
        layers = [layer.name for layer in self.parametric if layer.name]
        for name in self.private:
            if name not in known and name not in layers:
                raise ModelDescriptionError(
                    "private", f"no tensor or layer {name!r}; there are {', '.join(known)}"
                )
        if all(spec.kind is TensorKind.PRIVATE for spec in self.tensors):
            raise ModelDescriptionError("private", "nothing is left that would be shared")

    def _check_features(self, features: NDArray[np.int32]) -> None:
        if features.shape[1:] != self.input_shape:
            raise TensorError(
                "features",
                f"rows of shape {features.shape[1:]}, the model's are {self.input_shape}",
            )


def _tensor(spec: TensorSpec, version: Tensors) -> NDArray[np.int32]:
    values = version.get(spec.name)
    if values is None:
        raise TensorError(spec.name, "is missing from the model version")
    if values.shape != spec.shape or values.dtype != np.int32:
        raise TensorError(
            spec.name, f"is {values.dtype} in shape {values.shape}, not int32 in {spec.shape}"
        )
    return values
