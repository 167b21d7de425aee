"""Writing a file so that half of one is never found.

A plain file is written beside its place and renamed. A link stays a link. What is no plain file (a
device, a pipe) is written into, since a rename would put a file in its place.
"""

import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

NEW = ".new-"
"""How the names of files begin that are not whole yet."""
_OURS = {"/dev/stdout": 1, "/dev/stderr": 2}
_OUR_FOLDERS = ("/dev/fd", "/proc/self/fd")


def write_whole(path: Path, parts: Iterable[bytes], *, mode: int = 0o644) -> None:
    """Write a file, or nothing; missing folders are made. Raise OSError."""
    if _is_stream(path):
        with os.fdopen(_open_stream(path), "wb") as stream:
            stream.writelines(parts)
        return
    place = Path(os.path.realpath(path)) if path.is_symlink() else path
    place.parent.mkdir(parents=True, exist_ok=True)
    descriptor, scratch = tempfile.mkstemp(dir=place.parent, prefix=NEW)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.writelines(parts)
            file.flush()
            os.fsync(descriptor)
        Path(scratch).replace(place)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def require_writable(path: Path) -> None:
    """See that a file can be written, before there is anything to write. Raise OSError."""
    if _is_stream(path):
        if not os.access(path, os.W_OK):
            raise PermissionError(13, os.strerror(13), str(path))
        return
    place = Path(os.path.realpath(path))
    if place.is_dir():
        raise IsADirectoryError(21, os.strerror(21), str(path))
    folder = place.parent
    while not folder.exists():
        folder = folder.parent
    with tempfile.TemporaryFile(dir=folder):
        pass


def _is_stream(path: Path) -> bool:
    """Whether a path is no plain file and no folder, or what this process has open already."""
    if _descriptor(path) is not None:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _open_stream(path: Path) -> int:
    ours = _descriptor(path)
    return os.open(path, os.O_WRONLY | os.O_APPEND) if ours is None else os.dup(ours)


def _descriptor(path: Path) -> int | None:
    """Give the number of an open file that a path names. Opened anew it would be written from its
    start again, over what is printed.
    """
    if str(path.parent) in _OUR_FOLDERS and path.name.isdecimal():
        return int(path.name)
    return _OURS.get(str(path))
