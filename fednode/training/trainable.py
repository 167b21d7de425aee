"""Which torch modules can be trained here: what is refused when a task is made, not in a round.

Every parameter travels as float32 on the CPU, starts as the module has it, and must be able to
move. Whether it takes part in the logits shows in one trial pass.
"""

from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from fednode.models.base import ModelSpec
from fednode.models.errors import TensorError
from fednode.models.layout import TensorKind, TensorSpec, quantise
from fednode.training.run import TrainingError

TRIAL_ROWS = 2


def specifications(
    module: nn.Module, private: Collection[str], fraction_bits: int
) -> tuple[TensorSpec, ...]:
    """Describe the parameters of a module; a tied one is named once.

    `private` names parameters or whole layers. Raise TrainingError for what cannot be trained.
    """
    if not isinstance(module, nn.Module):
        raise TrainingError(f"a {type(module).__name__} is no torch module")
    if any(True for _ in module.buffers()):
        raise TrainingError(
            "the module has buffers (batch normalisation does): they would neither be averaged "
            "nor measured; use a layer without them, such as group normalisation"
        )
    parameters = dict(module.named_parameters())
    if not parameters:
        raise TrainingError("the module has no parameters, so there is nothing to train")
    for name, parameter in parameters.items():
        fault = next(_faults(parameter, fraction_bits), None)
        if fault is not None:
            raise TrainingError(f"parameter {name!r} {fault}")
    _require_separate(parameters)
    unknown = [each for each in private if not any(_named(name, each) for name in parameters)]
    if unknown:
        raise TrainingError(
            f"private names {unknown[0]!r}, but the module has no such parameter or layer: it has "
            f"{', '.join(parameters)}"
        )
    return tuple(
        TensorSpec(
            name,
            tuple(parameter.shape),
            TensorKind.PRIVATE if any(_named(name, p) for p in private) else TensorKind.SHARED,
            fraction_bits,
        )
        for name, parameter in parameters.items()
    )


def require_logits(logits: object, rows: int, outputs: int) -> torch.Tensor:
    """Give a module's answer to a batch. Raise TrainingError if it is not `rows` times `outputs`
    logits.
    """
    if not isinstance(logits, torch.Tensor) or not logits.is_floating_point():
        raise TrainingError(f"the module returns {_told(logits)}, not a tensor of float logits")
    if tuple(logits.shape) != (rows, outputs):
        raise TrainingError(
            f"the module returns {_told(logits)} for {rows} rows, not logits of shape "
            f"({rows}, {outputs}): two classes have one logit, more have one each"
        )
    return logits


def trial_rows(spec: ModelSpec) -> tuple[torch.Tensor, torch.Tensor]:
    """Make the features and labels of a few rows of the right shape."""
    features = torch.rand((TRIAL_ROWS, *spec.input_shape))
    return features, torch.arange(TRIAL_ROWS) % spec.classes


def require_used(module: nn.Module, loss: torch.Tensor) -> None:
    """Raise TrainingError for a parameter that the loss does not depend on."""
    parameters = dict(module.named_parameters())
    if not loss.requires_grad:
        raise TrainingError("the module's logits depend on none of its parameters")
    gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    for name, gradient in zip(parameters, gradients, strict=True):
        if gradient is None:
            raise TrainingError(
                f"parameter {name!r} has no part in the logits, so training cannot move it: "
                "use it in forward, or remove it"
            )


def _faults(parameter: nn.Parameter, fraction_bits: int) -> Iterator[str]:
    """Say what keeps a parameter from being trained."""
    if nn.parameter.is_lazy(parameter):
        yield "has no shape yet (a lazy layer): call the module once before it is made a task"
        return
    if parameter.device.type != "cpu":
        yield f"is on device {parameter.device}, but training runs on the CPU: move the module"
    if parameter.layout is not torch.strided:
        yield f"is {parameter.layout}, not a dense tensor"
    if parameter.dtype is not torch.float32:
        yield f"is {parameter.dtype}, but training is in float32: call module.float()"
    if not parameter.requires_grad:
        yield (
            "is frozen (requires_grad=False), but a federation trains every parameter: unfreeze "
            "it, or compute with it outside of the module"
        )
    if not parameter.numel():
        yield f"is empty (shape {tuple(parameter.shape)})"
        return
    if any(
        step == 0 < side - 1 for step, side in zip(parameter.stride(), parameter.shape, strict=True)
    ):
        yield "repeats one number in memory (an expanded tensor): give it memory of its own"
    values = parameter.detach().numpy().astype(np.float64)
    try:
        quantise("start", values, fraction_bits)
    except TensorError:
        limit = 2.0 ** (31 - fraction_bits)
        yield (
            f"starts with a weight that is not finite or not below {limit:g} in size, which "
            f"{fraction_bits} fractional bits cannot hold (aggregation.fraction_bits)"
        )


def _require_separate(parameters: Mapping[str, nn.Parameter]) -> None:
    """Refuse parameters that share memory and are not one and the same: each step of one would move
    the other.
    """
    spans = sorted(
        (p.data_ptr(), p.data_ptr() + _span(p) * p.element_size(), name)
        for name, p in parameters.items()
    )
    for (_, end, first), (begin, _, second) in pairwise(spans):
        if begin < end:
            raise TrainingError(
                f"parameters {first!r} and {second!r} share memory: tie them as one nn.Parameter, "
                "or clone one"
            )


def _span(parameter: nn.Parameter) -> int:
    """Count the numbers from a tensor's first to its last in memory."""
    steps = zip(parameter.stride(), parameter.shape, strict=True)
    return 1 + sum(step * (side - 1) for step, side in steps)


def _named(name: str, private: str) -> bool:
    return name == private or name.startswith(f"{private}.")


def _told(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return f"a {value.dtype} tensor of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"
