"""A content store without a server: a directory with one file per CID.

A file appears under its name only when all its bytes are on the disk: it is written next to it,
synced and renamed. The roots of an artefact come last, so whoever finds a root finds what was put
with it. There is no garbage collection, hence no pins: every block is kept for its own sake.
"""

import contextlib
import os
import tempfile
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ledger.cid import CID, Codec
from ledger.errors import MalformedRecord
from ledger.stores.base import (
    MAX_BLOCK,
    Artefact,
    BlockCorrupt,
    BlockNotFound,
    BlockUnavailable,
    StoreUnreachable,
    verified,
)
from ledger.stores.car import needed

WRITERS = 8


class DirectoryStore:
    """Blocks as files under `path`, spread over folders by two characters of the CID."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnreachable(str(self.path), _reason(error)) from error

    def get(self, cid: CID) -> bytes:
        """Return a block's verified bytes."""
        try:
            with self._file(cid).open("rb") as file:
                data = file.read(MAX_BLOCK + 1)
        except FileNotFoundError as error:
            raise BlockNotFound(cid, str(self.path)) from error
        except OSError as error:
            raise BlockCorrupt(cid, str(self.path), _reason(error)) from error
        return verified(cid, data, store=str(self.path))

    def put(self, artefact: Artefact) -> None:
        """Store all blocks, the roots last; a file that holds other bytes is replaced.

        The disk is waited for all files at once: one after the other takes four times as long.
        """
        missing = {
            file: artefact.blocks[cid]
            for cid in artefact.leaves_first()
            if not _holds(file := self._file(cid), artefact.blocks[cid])
        }
        if not missing:
            return
        folders = {self.path, *(file.parent for file in missing)}
        try:
            with contextlib.ExitStack() as leftovers, ThreadPoolExecutor(WRITERS) as pool:
                staged = []
                for file in missing:
                    file.parent.mkdir(exist_ok=True)
                    staged.append(leftovers.enter_context(_beside(file)))
                list(pool.map(_write, staged, missing.values()))
                for new, file in zip(staged, missing, strict=True):
                    new.replace(file)
                list(pool.map(_sync_folder, folders))
        except OSError as error:
            raise StoreUnreachable(str(self.path), f"cannot write: {_reason(error)}") from error

    def has(self, cid: CID) -> bool:
        """Tell whether the block's file is here."""
        return self._file(cid).is_file()

    def sized(self, size: int) -> Iterator[tuple[CID, bytes]]:
        """Yield the raw blocks of a size; one that cannot be read is passed over."""
        for cid in self.cids():
            with contextlib.suppress(OSError, BlockUnavailable):
                if cid.codec is Codec.RAW and self._file(cid).stat().st_size == size:
                    yield cid, self.get(cid)

    def remove(self, cids: Sequence[CID], *, roots: Collection[CID] = ()) -> list[CID]:
        """Delete the files of blocks that no record which stays links to."""
        here = [cid for cid in cids if self.has(cid)]
        staying = needed(here, self.cids(), self.get) if here else set()
        files = [self._file(cid) for cid in here if cid not in staying]
        try:
            for file in files:
                file.unlink(missing_ok=True)
            for folder in {file.parent for file in files}:
                _sync_folder(folder)
        except OSError as error:
            raise StoreUnreachable(str(self.path), f"cannot delete: {_reason(error)}") from error
        return [cid for cid in here if cid in staying]

    def cids(self) -> Iterator[CID]:
        """List all blocks; files with other names are passed over."""
        for file in sorted(self.path.glob("??/b*")):
            with contextlib.suppress(MalformedRecord):
                yield CID.parse(file.name)

    def _file(self, cid: CID) -> Path:
        text = str(cid)
        return self.path / text[-3:-1] / text


def _holds(file: Path, data: bytes) -> bool:
    try:
        return file.stat().st_size == len(data) and file.read_bytes() == data
    except OSError:
        return False


@contextlib.contextmanager
def _beside(file: Path) -> Iterator[Path]:
    """Make a file next to another; remove it in the end unless it has been renamed."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".")
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make renames last; some systems cannot open a folder, and need no such call."""
    with contextlib.suppress(PermissionError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
