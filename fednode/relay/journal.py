"""An append-only file of what a relay has given its word for.

A record counts once it is on the disk. Records that arrive while the disk is busy wait and are then
written and synchronised together, so the number of accepted commits a second does not depend on
how long one synchronisation takes. A record is framed by its length and its CRC: what a killed
process left half-written at the end had no receipt, and is cut off. No record is empty: a loss of
power can leave zeros where nothing was written yet, and eight of them would be the frame of one.
"""

import asyncio
import fcntl
import logging
import os
import struct
import zlib
from pathlib import Path

from fednode.files import open_private, private_folder
from fednode.relay.errors import JournalFailed

log = logging.getLogger("fednode")

MAX_RECORD = 1 << 12
_FRAME = struct.Struct(">II")


class Journal:
    """One file, for one process at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._end = 0
        self._torn = False
        try:
            private_folder(path.parent)
            self._file = open_private(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        except OSError as error:
            raise JournalFailed(path, error.strerror or str(error)) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.records = self._read()
            _sync_folder(path.parent)
        except BlockingIOError:
            os.close(self._file)
            raise JournalFailed(path, "another process has it open") from None
        except OSError as error:
            os.close(self._file)
            raise JournalFailed(path, error.strerror or str(error)) from error
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._closing = False

    def __len__(self) -> int:
        """Number of records that wait for the disk."""
        return len(self._waiting)

    def append(self, record: bytes) -> asyncio.Future[None]:
        """Write a record; the future is done when it is on the disk, or holds JournalFailed.

        Records reach the disk in the order in which they were appended.
        """
        if not 0 < len(record) <= MAX_RECORD:
            raise ValueError(f"a record of {len(record)} bytes")
        assert not self._closing
        loop = asyncio.get_running_loop()
        saved: asyncio.Future[None] = loop.create_future()
        self._waiting.append((_FRAME.pack(len(record), zlib.crc32(record)) + record, saved))
        if self._writer is None:
            self._writer = loop.create_task(self._write_all())
        return saved

    def close(self) -> None:
        """Take no more records, and let another process have the file once what waits is written.

        Only who writes may close: a descriptor's number is given to the next file that is opened,
        and a thread that still writes would write into that one.
        """
        self._closing = True
        if self._writer is None:
            os.close(self._file)

    async def _write_all(self) -> None:
        """Write what waits, group by group, until nothing does."""
        while self._waiting:
            group, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._write, b"".join(frame for frame, _ in group))
            except OSError as error:
                failed = JournalFailed(self._path, error.strerror or str(error))
                log.error("%s", failed)
                for _, saved in group:
                    if not saved.cancelled():
                        saved.set_exception(failed)
            else:
                for _, saved in group:
                    if not saved.cancelled():
                        saved.set_result(None)
        self._writer = None
        if self._closing:
            os.close(self._file)

    def _write(self, data: bytes) -> None:
        if self._torn:
            self._cut()
        self._torn = True
        view = memoryview(data)
        at = self._end
        while view:
            written = os.pwrite(self._file, view, at)
            view, at = view[written:], at + written
        os.fdatasync(self._file)
        self._end = at
        self._torn = False

    def _cut(self) -> None:
        """Take off what lies behind the last whole record: it was promised to nobody."""
        os.ftruncate(self._file, self._end)
        os.fdatasync(self._file)

    def _read(self) -> list[bytes]:
        """Read the records up to the first that is not whole, and cut off the rest."""
        records = records_of(self._path)
        self._end = sum(_FRAME.size + len(record) for record in records)
        torn = self._path.stat().st_size - self._end
        if torn:
            log.warning("%s: %d bytes at its end were not whole", self._path, torn)
            self._cut()
        return records


def records_of(path: Path) -> list[bytes]:
    """Read the whole records of a journal that another round's book may still be writing."""
    data, records, at = path.read_bytes(), [], 0
    while (record := _record(data, at)) is not None:
        records.append(record)
        at += _FRAME.size + len(record)
    return records


def _record(data: bytes, at: int) -> bytes | None:
    start = at + _FRAME.size
    if start > len(data):
        return None
    length, crc = _FRAME.unpack_from(data, at)
    record = data[start : start + length]
    whole = 0 < length <= MAX_RECORD and len(record) == length and zlib.crc32(record) == crc
    return record if whole else None


def _sync_folder(folder: Path) -> None:
    """See that a new file is found again after a loss of power."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
