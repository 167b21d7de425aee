"""What can go wrong with a model: how it is described, what its tensors hold, how it is stored."""

from pathlib import Path

from fednode.errors import FedNodeError
from ledger.types import Digest


class ModelError(FedNodeError):
    """Base of every error about a model, its tensors or its description."""


class ModelDescriptionError(ModelError):
    """A model's description (the policy's task section) that describes no model."""

    def __init__(self, key: str, reason: str) -> None:
        self.key = key
        self.reason = reason
        super().__init__(f"{key}: {reason}")


class OwnModelError(ModelDescriptionError):
    """A user's own model whose code on this machine cannot be used. It says nothing about whoever
    wrote the policy.
    """


class SourceDiffers(OwnModelError):
    """A copy of a user's own model that is not the one that the policy's records pin."""

    def __init__(self, model: str, path: Path, *, expected: Digest, found: Digest) -> None:
        self.expected = expected
        self.found = found
        super().__init__(
            "task.model",
            f"your copy of {model!r} in {path} has digest {found.hex()}, which differs from the "
            f"policy's {expected.hex()}: get the files that the federation was created with",
        )


class ModelNotAllowed(ModelError):
    """A policy asks for a user's own model that this node's owner has not allowed to run."""

    def __init__(self, factory: str) -> None:
        self.factory = factory
        super().__init__(
            f"the policy's model is the program code {factory!r}: read it, and if you trust it, "
            f"allow it by that very name (--allow-model {factory})"
        )


class TensorError(ModelError):
    """A tensor that does not hold what its specification says."""

    def __init__(self, tensor: str, reason: str) -> None:
        self.tensor = tensor
        self.reason = reason
        super().__init__(f"tensor {tensor!r}: {reason}")


class ExportError(ModelError):
    """A file that is not an exported model version."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")
