"""Writing files whole, and keeping private what only its owner may read.

The modes of private files and folders do not depend on the umask: they are set from creation on.
"""

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from fednode.errors import FedNodeError
from ledger import whole_file
from ledger.whole_file import NEW, write_whole

log = logging.getLogger("fednode")

FOLDER_MODE = 0o700
FILE_MODE = 0o600
_OTHERS = 0o077


def private_folder(path: Path, *, whole: bool = True) -> None:
    """Make a folder that only its owner can enter, with the folders above it that are missing.

    A folder that others can enter is closed, with everything in it if it is `whole`ly ours, and
    the log says so. Raise OSError.
    """
    missing = []
    folder = path
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for folder in reversed(missing):
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
        folder.chmod(FOLDER_MODE)
    if missing:
        return
    if not path.is_dir():
        raise NotADirectoryError(20, os.strerror(20), str(path))
    found = [path, *(_below(path) if whole else ())]
    if sum(map(_closed, found)):
        log.warning("others could read %s: closed to all but its owner", path)


def _below(folder: Path) -> Iterator[Path]:
    for at, folders, files in os.walk(folder):
        yield from (Path(at, name) for name in (*folders, *files))


def _closed(path: Path) -> bool:
    """Close a file or folder to others; say whether it was open to them."""
    try:
        mode = path.lstat().st_mode
        # A folder that is shared by design, such as /tmp, is no journal's own.
        if stat.S_ISLNK(mode) or mode & stat.S_ISVTX or not mode & _OTHERS:
            return False
        path.chmod(stat.S_IMODE(mode) & ~_OTHERS)
    except FileNotFoundError:
        return False
    except OSError as error:
        log.warning("others can read %s, and it cannot be closed: %s", path, error.strerror)
        return False
    return True


def read_private(path: Path) -> bytes:
    """Read a file that only its owner may read; close it and its folder to others. Raise
    OSError.
    """
    data = path.read_bytes()
    private_folder(path.parent, whole=False)
    if _closed(path):
        log.warning("others could read %s: closed to all but its owner", path)
    return data


def open_private(path: Path, flags: int) -> int:
    """Open a file that only its owner can read; give its descriptor."""
    descriptor = os.open(path, flags, FILE_MODE)
    os.fchmod(descriptor, FILE_MODE)
    return descriptor


def write_file(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write a user's file whole, replacing an older one; `private` lets only its owner read it."""
    try:
        write_whole(path, [data], mode=FILE_MODE if private else 0o644)
    except OSError as error:
        raise _unwritable(path, error) from None


def write_own(path: Path, data: bytes) -> None:
    """Write a journal's file whole, for its owner alone."""
    try:
        write_whole(path, [data], mode=FILE_MODE, linked=True)
    except OSError as error:
        raise _unwritable(path, error) from None


def require_writable(path: Path) -> None:
    """Refuse a file that cannot be written, before work is done for it."""
    try:
        whole_file.require_writable(path)
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> FedNodeError:
    return FedNodeError(f"{path} cannot be written: {error.strerror}")


def write_new(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write a file that must not exist yet; `private` lets only its owner read it."""
    whole_file.write_new(path, data, mode=FILE_MODE if private else 0o644)


def sweep(folder: Path) -> None:
    """Remove what killed calls of `write_file` left in a folder that nobody writes to now."""
    for scratch in folder.glob(f"{NEW}*"):
        if scratch.is_file():
            scratch.unlink()
