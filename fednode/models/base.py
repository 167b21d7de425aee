"""What the network asks of a model: where its tensors lie, how it starts, its exact logits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fednode.models.layout import WEIGHT_BITS, Layout, Tensors, TensorSpec


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Everything that a model is built from; a user's own factory gets one of these.

    `private` names tensors ("bias", "output.bias") or whole layers ("output").
    """

    model: str
    input_shape: tuple[int, ...]
    classes: int
    options: Mapping[str, object] = field(default_factory=dict)
    private: tuple[str, ...] = ()
    fraction_bits: int = WEIGHT_BITS

    @property
    def outputs(self) -> int:
        """Count the logits: one for two classes, else one per class."""
        return 1 if self.classes == 2 else self.classes


@runtime_checkable
class Model(Protocol):
    """A model whose forward pass is exact, so that its utility is the same on every machine."""

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """Return the model's own tensors, without the federation's statistics."""
        ...

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Return the shape of one row of features."""
        ...

    @property
    def outputs(self) -> int:
        """Count the logits; two classes have one, positive for class 1."""
        ...

    def layout(self, numeric: int = 0) -> Layout:
        """Lay out the payload, behind the statistics of `numeric` columns where there are any."""
        ...

    def initial(self, seed: int) -> Tensors:
        """Return the travelling tensors at the start, the same on every machine."""
        ...

    def private_initial(self, seed: int = 0) -> Tensors:
        """Return the private tensors at the start; these also stand in where none are given."""
        ...

    def admissible(self, tensors: Tensors) -> bool:
        """Tell whether every sum of the exact forward pass stays exact."""
        ...

    def logits(self, tensors: Tensors, features: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return (rows, outputs) logits, 16 fractional bits, for features of 16 such bits."""
        ...

    def logits_of_all(
        self, versions: Sequence[Tensors], features: NDArray[np.int32]
    ) -> NDArray[np.int64]:
        """Return (versions, rows, outputs) logits of many admissible versions at once."""
        ...
