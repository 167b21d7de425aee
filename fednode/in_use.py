"""One process at a time in a folder that is a node's memory.

The lock is the operating system's, so it ends with the process that has it, however that ends.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fednode.errors import FedNodeError
from fednode.files import open_private

LOCK = "lock"
MOST_DIGITS = 20


class JournalInUse(FedNodeError):
    """A journal that another process has open."""

    def __init__(self, folder: Path, pid: int | None) -> None:
        self.folder = folder
        self.pid = pid
        other = "another process" if pid is None else f"process {pid}"
        super().__init__(
            f"--journal {folder} is in use by {other}: end that one first, or give the journal of "
            "another account"
        )


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder that is there. Raise JournalInUse."""
    try:
        handle = open_private(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    except OSError as error:
        raise _unusable(folder, error) from error
    try:
        _lock(folder, handle)
        yield
    finally:
        os.close(handle)


def _lock(folder: Path, handle: int) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
    except BlockingIOError:
        raise JournalInUse(folder, _owner(handle)) from None
    except OSError as error:
        raise _unusable(folder, error) from error


def _owner(handle: int) -> int | None:
    """Read which process has the lock."""
    found = os.pread(handle, MOST_DIGITS, 0)
    return int(found) if found.isdigit() else None


def _unusable(folder: Path, error: OSError) -> FedNodeError:
    return FedNodeError(
        f"--journal {folder} cannot be locked ({error.strerror}): make it writable, or move it to "
        "a disk with locks and room"
    )
