"""Torch as a task expects it, whatever the rest of the process has set, and back as it was found.

A user's module may draw random numbers (dropout does), and what it computes follows settings that
are the process's: the default generator, data type and device, gradient and autocast modes.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from fednode.training.sgd import deterministic_algorithms


@contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Run torch code whose random numbers follow from `seed`, with torch's own defaults."""
    generator, dtype = torch.default_generator, torch.get_default_dtype()
    state = generator.get_state()
    with ExitStack() as settings:
        settings.enter_context(deterministic_algorithms())
        settings.enter_context(torch.inference_mode(mode=False))
        settings.enter_context(torch.enable_grad())
        settings.enter_context(torch.autocast("cpu", enabled=False))
        if torch.get_default_device().type != "cpu":
            settings.enter_context(torch.device("cpu"))
        try:
            generator.set_state(torch.Generator().manual_seed(seed).get_state())
            torch.set_default_dtype(torch.float32)
            yield
        finally:
            torch.set_default_dtype(dtype)
            generator.set_state(state)
