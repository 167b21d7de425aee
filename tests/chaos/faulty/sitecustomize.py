"""What is wrong with the machine of a process that finds this folder on its PYTHONPATH.

SKEW seconds are added to its wall clock. While the file FULL_DISK is there, nothing more reaches
the disk: half of a file does, and then no space is left, as where a quota or a partition runs out.
It needs no rights and no file system of its own, and spares the process's log; a limit of file
sizes (`ulimit -f`) would not. A relay leaves the participant out of its batches whose number is in
the file DROPPED, while that is there. With BLIND its chain's node tells it nothing of what waits
for a block, as many nodes do: whatever it asks is asked of the newest block.
"""

import errno
import os
import time
from collections.abc import Callable, Sequence
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


def _dropping() -> None:
    """Let batches be made without somebody's leaves."""
    from ledger.batch import Batch, Leaf

    made, dropped = Batch.of, Path(os.environ["DROPPED"])

    def of(leaves: Sequence[Leaf]) -> Batch:
        number = int(dropped.read_text()) if dropped.exists() else None
        return made([leaf for leaf in leaves if leaf.participant != number])

    Batch.of = of  # type: ignore[method-assign]


def _of_the_newest_block() -> None:
    from ledger.chain.answers import Json
    from ledger.chain.questions import Questions

    once = Questions.once

    def asked(
        self: Questions, method: str, params: Sequence[object], *, narrowable: bool = False
    ) -> Json:
        if method in ("eth_call", "eth_estimateGas"):
            params = ["latest" if param == "pending" else param for param in params]
        return once(self, method, params, narrowable=narrowable)

    Questions.once = asked  # type: ignore[method-assign]


if _SKEW:
    time.time = _shifted
if "DROPPED" in os.environ:
    _dropping()
if "FULL_DISK" in os.environ:
    os.fsync = _failing(os.fsync)  # type: ignore[assignment]
    os.fdatasync = _failing(os.fdatasync)  # type: ignore[assignment]
if "BLIND" in os.environ:
    _of_the_newest_block()
