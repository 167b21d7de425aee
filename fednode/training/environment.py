"""On what an update was trained: floats differ between processors and libraries, so the training
record says it.
"""

import platform
import sys
from importlib.metadata import version

import numpy as np


def environment() -> dict[str, str | int]:
    """Name processor and versions; where torch was used, its threads and instruction set too."""
    found: dict[str, str | int] = {
        "platform": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": version("torch"),
    }
    if "torch" in sys.modules:
        import torch

        found["threads"] = torch.get_num_threads()
        found["instructions"] = torch.backends.cpu.get_cpu_capability()
    return found
