"""Where weights start: the same integers on every machine, from a seed.

numpy may change how a Generator makes floats of its words, and a platform how it rounds; the words
of PCG64 and integer arithmetic stay what they are.
"""

from math import isqrt, prod

import numpy as np
from numpy.typing import NDArray

from fednode.models.layout import TensorSpec

_INT32_MAX = (1 << 31) - 1


def within(spread: int, spec: TensorSpec) -> int:
    """Return sqrt(spread / inputs) in the tensor's fixed point; its first axis is the outputs."""
    inputs = prod(spec.shape[1:])
    return min(isqrt((spread << (2 * spec.fraction_bits)) // inputs), _INT32_MAX)


def uniform(shape: tuple[int, ...], bound: int, *, seed: tuple[int, int]) -> NDArray[np.int32]:
    """Draw integers from -bound to bound, all but equally likely."""
    words = np.random.PCG64(np.random.SeedSequence(seed)).random_raw(prod(shape))
    draws = ((words >> np.uint64(33)) * np.uint64(2 * bound + 1)) >> np.uint64(31)
    return (draws.astype(np.int64) - bound).astype(np.int32).reshape(shape)
