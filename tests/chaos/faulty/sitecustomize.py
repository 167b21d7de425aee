"""What is wrong with the machine of a process that finds this folder on its PYTHONPATH.

SKEW seconds are added to its wall clock. While the file FULL_DISK is there, nothing more reaches
the disk: half of a file does, and then no space is left, as where a quota or a partition runs out.
It needs no rights and no file system of its own, and spares the process's log; a limit of file
sizes (`ulimit -f`) would not.
"""

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

_time = time.time
_SKEW = float(os.environ.get("SKEW", "0"))


def _shifted() -> float:
    return _time() + _SKEW


def _failing(reach: Callable[[int], None]) -> Callable[[int], None]:
    """Let a file reach the disk only while there is room."""

    def synchronise(handle: int) -> None:
        if Path(os.environ["FULL_DISK"]).exists():
            os.ftruncate(handle, os.fstat(handle).st_size // 2)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        reach(handle)

    return synchronise


if _SKEW:
    time.time = _shifted
if "FULL_DISK" in os.environ:
    os.fsync = _failing(os.fsync)  # type: ignore[assignment]
    os.fdatasync = _failing(os.fdatasync)  # type: ignore[assignment]
