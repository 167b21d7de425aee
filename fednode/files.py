"""Writing files so that nobody ever finds half of one."""

import os
import tempfile
from pathlib import Path

from fednode.errors import FedNodeError

NEW = ".new-"


def write_file(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write a file whole, replacing an older one; `private` lets only its owner read it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=NEW)
        try:
            _fill(descriptor, data)
            if not private:
                Path(scratch).chmod(0o644)
            Path(scratch).replace(path)
        except BaseException:
            Path(scratch).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise FedNodeError(f"{path} cannot be written: {error.strerror}") from None


def write_new(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write a file that must not exist yet; `private` lets only its owner read it."""
    mode = 0o600 if private else 0o644
    _fill(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), data)


def sweep(folder: Path) -> None:
    """Remove what killed calls of `write_file` left in a folder that nobody writes to now."""
    for scratch in folder.glob(f"{NEW}*"):
        if scratch.is_file():
            scratch.unlink()


def _fill(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
