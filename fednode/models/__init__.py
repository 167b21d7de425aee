"""Models whose quality can be measured to the bit: layouts, exact layers, built-in stacks, exports.

Nothing here imports torch, except the modules whose name starts with `torch_`.
"""

from fednode.models.base import Model, ModelSpec
from fednode.models.layout import Layout, TensorKind, TensorSpec
from fednode.models.registry import describe, open_model
from fednode.models.stack import StackModel

__all__ = [
    "Layout",
    "Model",
    "ModelSpec",
    "StackModel",
    "TensorKind",
    "TensorSpec",
    "describe",
    "open_model",
]
