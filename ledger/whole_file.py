"""Writing a file so that half of one is never found, and every place stays what it is.

A plain file is written beside its place and renamed. A link stays a link: its target is written. A
file with several names is refused: the others would keep the older bytes. What is no plain file (a
device, a pipe) is written into, since a rename would put a file in its place.
"""

import errno
import os
import stat
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

NEW = ".new-"
"""How the names of files begin that are not whole yet."""
READER_WAIT = 2.0
"""Seconds in which a program must begin to read a pipe."""
STANDARD_OUTPUT = Path("/dev/stdout")
_OURS = {"/dev/stdout": 1, "/dev/stderr": 2}
_OUR_FOLDERS = ("/dev/fd", "/proc/self/fd")


class NoReader(OSError):
    """A pipe that no program reads."""

    def __init__(self, path: Path) -> None:
        super().__init__(errno.ENXIO, "a pipe that no program reads: start its reader", str(path))


def write_whole(
    path: Path, parts: Iterable[bytes], *, mode: int = 0o644, linked: bool = False
) -> None:
    """Write a file, or nothing; missing folders are made. A file that is there keeps its owner, and
    its mode unless `mode` is for its owner alone. Raise OSError.

    `linked`: replace a file of several names, too. A backup may share those of a journal.
    """
    if _is_stream(path):
        with os.fdopen(_open_stream(path), "wb") as stream:
            stream.writelines(parts)
        return
    place = _target(path)
    found = _replaceable(place, linked=linked)
    place.parent.mkdir(parents=True, exist_ok=True)
    descriptor, scratch = tempfile.mkstemp(dir=place.parent, prefix=NEW)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if found is not None:
                with suppress(PermissionError):
                    os.fchown(descriptor, found.st_uid, found.st_gid)
            keeps = found is not None and mode & 0o077
            os.fchmod(descriptor, stat.S_IMODE(found.st_mode) if found and keeps else mode)
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        Path(scratch).replace(place)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def write_new(path: Path, data: bytes, *, mode: int) -> None:
    """Write a file whole that must not exist yet. Raise OSError, FileExistsError where it does."""
    descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=NEW)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)  # whatever the umask
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        os.link(scratch, path)
    finally:
        Path(scratch).unlink()


def require_writable(path: Path) -> None:
    """See that a file can be written, before there is anything to write. Raise OSError."""
    if _is_stream(path):
        if not os.access(path, os.W_OK):
            raise _refused(errno.EACCES, path)
        return
    place = _target(path)
    _replaceable(place, linked=False)
    folder = place.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise _refused(errno.ENOTDIR, path)
    with tempfile.TemporaryFile(dir=folder):
        pass


def is_standard_output(path: Path) -> bool:
    """Whether what is written to a path comes out where results are printed."""
    return _descriptor(path) == 1


def _target(path: Path) -> Path:
    """Give the file that a path leads to. It need not be there, but a ring of links has none."""
    place = Path(os.path.realpath(path))
    if place.is_symlink():
        raise _refused(errno.ELOOP, path)
    return place


def _replaceable(place: Path, *, linked: bool) -> os.stat_result | None:
    """Give what is known of a file that is to be written anew; None if there is none yet."""
    try:
        found = place.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise _refused(errno.EISDIR, place)
    if not os.access(place, os.W_OK):  # a rename would not ask
        raise _refused(errno.EACCES, place)
    if found.st_nlink > 1 and not linked:
        raise OSError(errno.EMLINK, "has other names (hard links): remove it first", str(place))
    return found


def _refused(number: int, path: Path) -> OSError:
    return OSError(number, os.strerror(number), str(path))


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
    if ours is not None:
        return os.dup(ours)
    if stat.S_ISFIFO(path.stat().st_mode):
        return _open_pipe(path)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOCTTY)


def _open_pipe(path: Path) -> int:
    """Open a pipe. Without a reader that would wait for ever, and say nothing."""
    for left in range(int(READER_WAIT * 20), -1, -1):
        try:
            pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
        else:
            os.set_blocking(pipe, True)
            return pipe
        if left:
            time.sleep(0.05)
    raise NoReader(path)


def _descriptor(path: Path) -> int | None:
    """Give the number of an open file that a path names. Opened anew it would be written from its
    start again, over what is printed.
    """
    if str(path.parent) in _OUR_FOLDERS and path.name.isdecimal():
        return int(path.name)
    if str(path) in _OURS:
        return _OURS[str(path)]
    return next((number for number in _OURS.values() if _is_open_as(path, number)), None)


def _is_open_as(path: Path, number: int) -> bool:
    """Whether a path is the plain file or pipe that a descriptor writes to."""
    try:
        here, there = path.stat(), os.fstat(number)
    except OSError:
        return False
    return not stat.S_ISCHR(there.st_mode) and os.path.samestat(here, there)
