"""Where each tensor of a model lies in the payload, and how floats become integers and back.

Integers, not floats, cross the network (architecture, decision 1): a coordinate is an int32 in
fixed point, `round_half_even(x * 2**f)`, and each tensor may have its own f. A payload is the
tensors that travel, one after the other, each in row-major order: the federation's statistics, then
the shared tensors, then constants and states. So what updates may write is one range, whose end the
policy header holds. Private tensors have no place in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from math import prod
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fednode.models.errors import TensorError

LEAF_VALUES = 256
"""int32 coordinates in one 1,024-byte leaf of a payload tree."""

WEIGHT_BITS = 20
STATISTICS = "statistics"
STATISTICS_BITS = 12
MAX_FRACTION_BITS = 30

_INT32 = np.iinfo(np.int32)

Tensors: TypeAlias = dict[str, NDArray[np.int32]]
FloatTensors: TypeAlias = dict[str, NDArray[np.float64]]


class TensorKind(Enum):
    """Who writes a tensor, and who sees it."""

    SHARED = "shared"
    PRIVATE = "private"
    CONSTANT = "constant"
    STATE = "state"


_ORDER = (TensorKind.SHARED, TensorKind.CONSTANT, TensorKind.STATE)


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor of a model: its name, shape, kind and number of fractional bits."""

    name: str
    shape: tuple[int, ...]
    kind: TensorKind = TensorKind.SHARED
    fraction_bits: int = WEIGHT_BITS

    def __post_init__(self) -> None:
        if not self.name:
            raise TensorError(self.name, "has no name")
        if any(side < 1 for side in self.shape):
            raise TensorError(self.name, f"shape {self.shape} has a side below 1")
        if not 0 <= self.fraction_bits <= MAX_FRACTION_BITS:
            raise TensorError(
                self.name, f"{self.fraction_bits} fractional bits are not in 0..{MAX_FRACTION_BITS}"
            )

    @property
    def size(self) -> int:
        """Count the coordinates."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Layout:
    """The tensors of a model; `payload` has those that travel in the order in which they lie."""

    tensors: tuple[TensorSpec, ...]

    def __post_init__(self) -> None:
        names = [spec.name for spec in self.tensors]
        for name in names:
            if names.count(name) > 1:
                raise TensorError(name, "appears twice in the layout")

    @property
    def payload(self) -> tuple[TensorSpec, ...]:
        """Return the tensors that travel, all but the private ones, in the payload's order."""
        return tuple(
            sorted((s for s in self.tensors if s.kind is not TensorKind.PRIVATE), key=_place)
        )

    @property
    def private(self) -> tuple[TensorSpec, ...]:
        """Return the tensors that never leave their participant."""
        return tuple(spec for spec in self.tensors if spec.kind is TensorKind.PRIVATE)

    @property
    def size(self) -> int:
        """Count the coordinates of a payload, without padding."""
        return sum(spec.size for spec in self.payload)

    @property
    def writable(self) -> int:
        """Count the leading coordinates that updates may write: statistics and shared tensors."""
        return sum(s.size for s in self.payload if _place(s) <= _ORDER.index(TensorKind.SHARED))

    @property
    def leaves(self) -> int:
        """Count the leaves of a payload's tree."""
        return -(-self.size // LEAF_VALUES)

    def pack(self, tensors: Mapping[str, NDArray[np.int32]]) -> NDArray[np.int32]:
        """Lay the travelling tensors out as one payload; tensors of other names are ignored."""
        if not self.payload:
            return np.zeros(0, dtype=np.int32)
        return np.concatenate([_checked(spec, tensors).reshape(-1) for spec in self.payload])

    def pack_update(self, update: Mapping[str, NDArray[np.int32]]) -> NDArray[np.int32]:
        """Lay a change out as one payload; tensors that it does not name are unchanged, zero."""
        return self.pack({**zeros(self.payload), **update})

    def unpack(self, values: NDArray[np.int32]) -> Tensors:
        """Cut a payload into its tensors (copies); coordinates beyond `size` are padding."""
        if values.ndim != 1 or values.dtype != np.int32 or values.size < self.size:
            raise TensorError(
                self.payload[0].name if self.payload else "",
                f"a payload of {values.dtype} in shape {values.shape} is not "
                f"{self.size} int32 coordinates of this layout",
            )
        tensors: Tensors = {}
        start = 0
        for spec in self.payload:
            part = values[start : start + spec.size]
            tensors[spec.name] = part.reshape(spec.shape).copy()
            start += spec.size
        return tensors

    def locate(self, coordinate: int) -> tuple[str, tuple[int, ...]]:
        """Name the tensor, and the position within it, that a payload's coordinate stands for."""
        left = coordinate
        for spec in self.payload:
            if 0 <= left < spec.size:
                return spec.name, tuple(int(i) for i in np.unravel_index(left, spec.shape))
            left -= spec.size
        raise TensorError("", f"coordinate {coordinate} is not one of this layout's {self.size}")


def with_statistics(tensors: Sequence[TensorSpec], numeric: int = 0) -> Layout:
    """Lay out a model's tensors behind the federation's statistics of its numeric columns."""
    if any(spec.name == STATISTICS for spec in tensors):
        raise TensorError(STATISTICS, "is the federation's own: name the model's tensor otherwise")
    if numeric == 0:
        return Layout(tuple(tensors))
    first = TensorSpec(STATISTICS, (3, numeric), TensorKind.CONSTANT, STATISTICS_BITS)
    return Layout((first, *tensors))


def zeros(specs: Sequence[TensorSpec]) -> Tensors:
    """Return a tensor of zeros for every specification."""
    return {spec.name: np.zeros(spec.shape, dtype=np.int32) for spec in specs}


def quantise(name: str, values: NDArray[np.floating], bits: int = WEIGHT_BITS) -> NDArray[np.int32]:
    """Turn floats into int32 fixed point, rounding half to even.

    Raises TensorError, naming the tensor and the first position, for NaN, an infinity, or a
    value outside of int32.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.rint(np.asarray(values, dtype=np.float64) * 2.0**bits)
    bad = ~((scaled >= _INT32.min) & (scaled <= _INT32.max))
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        value = float(np.asarray(values)[first])
        limit = 2.0 ** (31 - bits)
        raise TensorError(
            name,
            f"{value} at {list(first)} does not fit int32 with {bits} fractional bits "
            f"(finite and below {limit:g} in size); a lower learning rate usually mends it",
        )
    return scaled.astype(np.int32)


def dequantise(values: NDArray[np.int32], bits: int = WEIGHT_BITS) -> NDArray[np.float64]:
    """Turn fixed point back into floats, exactly."""
    return values.astype(np.float64) * 2.0**-bits


def _place(spec: TensorSpec) -> int:
    return -1 if spec.name == STATISTICS else _ORDER.index(spec.kind)


def _checked(spec: TensorSpec, tensors: Mapping[str, NDArray[np.int32]]) -> NDArray[np.int32]:
    values = tensors.get(spec.name)
    if values is None:
        raise TensorError(spec.name, "is missing")
    if values.shape != spec.shape or values.dtype != np.int32:
        raise TensorError(
            spec.name, f"is {values.dtype} in shape {values.shape}, not int32 in {spec.shape}"
        )
    return values
