"""What a participant must not forget and the chain does not know: its updates before they are
public, its private tensors.

One directory a federation, one a round inside it, all of it for its owner alone. A reorganisation
of the chain can give a round's number to another round: what is kept of a round on one parent is
put aside while the chain has it on another, and comes back with its parent. What is in it is
written whole and then renamed into place, so a process that is killed at any moment finds either
all of an entry or nothing; lists grow line by line, and a line that was cut off is none.
"""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import BinaryIO

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from fednode.errors import FedNodeError
from fednode.federation import Federation
from fednode.files import FOLDER_MODE, open_private, private_folder
from fednode.training.task import first_private
from ledger.cid import CID, Codec
from ledger.errors import LedgerError
from ledger.headers import UpdateHeader
from ledger.stores import Artefact
from ledger.stores.car import read_car, require_whole, write_car
from ledger.types import ZERO_DIGEST, Digest, FederationId

log = logging.getLogger("fednode")

Tensors = dict[str, NDArray[np.int32]]

PRIVATE = "private.safetensors"
UPDATE, PARENT, PUBLISHED = "update", "parent", "published"
NEW, OLD = ".new-", ".old-"


class JournalUnwritable(FedNodeError):
    """A journal that nothing can be added to: a full disk, or one that only reads."""

    def __init__(self, path: Path, error: OSError) -> None:
        self.path = path
        super().__init__(
            f"journal {path} cannot be written ({error.strerror or error}); nothing is lost: make "
            "room there, or make it writable, and start again"
        )


class JournalDamaged(FedNodeError):
    """A journal entry that cannot be read."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        super().__init__(
            f"journal entry {path} cannot be read ({reason}): restore it from a copy, or remove it "
            "if its round is over"
        )


class JournalShared(FedNodeError):
    """A journal in which another process has made an entry that this one was to make."""

    def __init__(self, path: Path, error: OSError) -> None:
        self.path = path
        super().__init__(
            f"journal entry {path} cannot be made ({error.strerror}): see that no other process "
            "uses this --journal"
        )


class JournalBehind(FedNodeError):
    """A journal older than the chain: its account has committed to what it does not hold."""

    def __init__(self, path: Path, round_index: int, digest: Digest) -> None:
        self.path = path
        super().__init__(
            f"journal {path} is older than the chain: in round {round_index} this account has "
            f"committed to update {digest.hex()[:16]}, which is not in it; stop this node and put "
            "the newest copy of the journal in its place, or the update counts as withheld; "
            "nothing else is signed for that round"
        )


@dataclass(frozen=True, slots=True)
class PreparedUpdate:
    """An update that is ready to be committed, with the private tensors that training left
    behind.
    """

    digest: Digest
    artefact: Artefact
    private: Tensors

    @property
    def header(self) -> UpdateHeader:
        """What the digest is of."""
        return UpdateHeader.decode(self.artefact.blocks[CID(Codec.RAW, self.digest)])

    @property
    def parent(self) -> Digest:
        """The result that the update's round builds on."""
        return Digest(self.header.common.parent)


class Journal:
    """A participant's own memory of one federation."""

    def __init__(self, root: Path, federation: FederationId) -> None:
        self.root = root
        self.folder = root / federation.hex()
        self._parents: dict[int, Digest] = {}
        try:
            private_folder(root, whole=False)
            private_folder(self.folder)
        except OSError as error:
            raise FedNodeError(
                f"journal folder {root} cannot be made ({error.strerror}): give another --journal"
            ) from error

    def align(self, parents: Mapping[int, Digest]) -> None:
        """Turn to rounds by number and parent, as the chain has them now. Nothing is destroyed:
        what was kept of another round of the same number is put aside, or comes back.
        """
        for index, parent in parents.items():
            if self._parents.get(index) != parent:
                with self._writing():
                    self._turn(index, parent)
                self._parents[index] = parent

    def _turn(self, index: int, parent: Digest) -> None:
        folder = self._round(index)
        if folder.exists():
            known = self._built_on(index)
            if known in (None, parent):
                _write(folder / PARENT, parent.hex().encode())
                return
            folder.rename(_free(self._aside(index, known)))
        aside = self._aside(index, parent)
        if aside.exists():
            aside.rename(folder)

    def _built_on(self, index: int) -> Digest | None:
        """Give the parent of the round that a folder is of; None if it does not say."""
        with suppress(FileNotFoundError, ValueError):
            parent = bytes.fromhex((self._round(index) / PARENT).read_text()[:64])
            # A crash can leave an empty file.
            if len(parent) == len(ZERO_DIGEST):
                return Digest(parent)
        update = self.usable(index)
        return None if update is None else update.parent

    def save_update(self, round_index: int, update: PreparedUpdate) -> None:
        """Keep a round's update, all of it or nothing."""
        target = self._round(round_index) / UPDATE
        with self._scratch(NEW) as scratch:
            entry = scratch / UPDATE
            private_folder(entry)
            files = {
                entry / "artefact.car": write_car(update.artefact),
                entry / "digest": update.digest.hex().encode(),
                entry / PRIVATE: safetensors.numpy.save(update.private),
            }
            with ThreadPoolExecutor(len(files)) as pool:  # waits for the disk once, not thrice
                list(pool.map(_write, files, files.values()))
            self._make(round_index)
            try:
                entry.rename(target)
            except OSError as error:
                raise JournalShared(target, error) from error

    def update(self, round_index: int) -> PreparedUpdate | None:
        """Give a round's update, if there is one."""
        entry = self._round(round_index) / UPDATE
        if not entry.exists():
            return None
        try:
            return _read(entry)
        except (OSError, ValueError, SafetensorError, LedgerError) as error:
            raise JournalDamaged(entry, str(error)) from error

    def usable(self, round_index: int) -> PreparedUpdate | None:
        """Give a round's update, if there is one that can be read; half of one is none, and must
        not keep a node from its other duties.
        """
        try:
            return self.update(round_index)
        except JournalDamaged as error:
            log.error("round %d: %s", round_index, error)
            return None

    def fitting(
        self, round_index: int, fits: Callable[[PreparedUpdate], bool]
    ) -> PreparedUpdate | None:
        """Give the round's update that fits the chain as it is now: the newest, or one that was put
        aside and takes its place again.
        """
        update = self.usable(round_index)
        if update is not None and fits(update):
            return update
        for entry in self._others(round_index):
            with suppress(OSError, ValueError, SafetensorError, LedgerError):
                other = _read(entry)
                if fits(other):
                    self.put_aside(round_index)
                    with self._writing():
                        entry.rename(self._round(round_index) / UPDATE)
                    return other
        return None

    def put_aside(self, round_index: int) -> None:
        """Make room for another update of a round. One that can be read is kept: it may have been
        committed, and must be had again if the chain goes back to it.
        """
        self.unmark(round_index, PUBLISHED)
        update = self.usable(round_index)
        if update is None:
            self._drop(self._round(round_index) / UPDATE)
            return
        with self._writing():
            entry = self._round(round_index) / UPDATE
            entry.rename(_free(entry.with_name(f"{UPDATE}-{update.digest.hex()}")))

    def all_updates(self, round_index: int) -> list[PreparedUpdate]:
        """Give every update that is kept of a round's number, as far as they can be read."""
        found = []
        for folder in self._folders(round_index):
            for entry in folder.glob(f"{UPDATE}*"):
                with suppress(OSError, ValueError, SafetensorError, LedgerError):
                    found.append(_read(entry))
        return found

    def private(self, round_index: int) -> Tensors:
        """Give the private tensors that a round's update left, also of one that was forgotten."""
        folder = self._round(round_index)
        for path in (folder / UPDATE / PRIVATE, folder / PRIVATE):
            try:
                return _read_private(path)
            except FileNotFoundError:
                continue
            except (OSError, ValueError, SafetensorError) as error:
                raise JournalDamaged(path, str(error)) from error
        return {}

    def mark(self, round_index: int, name: str, value: object = True) -> None:
        """Note a small fact about a round."""
        path = self._mark(round_index, name)
        with self._writing():
            self._make(round_index)
        self._replace(path, json.dumps(value).encode())

    def marked(self, round_index: int, name: str) -> object | None:
        """Give a fact that was noted, if it was."""
        path = self._mark(round_index, name)
        try:
            value: object = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError) as error:
            raise JournalDamaged(path, str(error)) from error
        return value

    def append(self, round_index: int, name: str, entries: Iterable[str]) -> None:
        """Add to a list about a round: words without line breaks. Of what a crash cuts off, whole
        entries stay.
        """
        path = self._list(round_index, name)
        with self._writing():
            self._make(round_index)
            with os.fdopen(open_private(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), "a+b") as file:
                file.truncate(_end(file))
                file.write("".join(f"{entry}\n" for entry in entries).encode())
                file.flush()
                os.fsync(file.fileno())

    def listed(self, round_index: int, name: str) -> list[str]:
        """Give a list about a round, in the order in which it grew."""
        path = self._list(round_index, name)
        try:
            return _whole(path.read_bytes()).decode().split()
        except FileNotFoundError:
            return []
        except ValueError as error:
            raise JournalDamaged(path, str(error)) from error

    def rounds(self) -> list[int]:
        """List the rounds that something is kept of."""
        return sorted(int(entry.name) for entry in self.folder.iterdir() if entry.name.isdigit())

    def updates(self) -> list[int]:
        """List the rounds that an update is kept of."""
        return [index for index in self.rounds() if (self._round(index) / UPDATE).exists()]

    def unmark(self, round_index: int, name: str) -> None:
        """Forget that a fact was noted."""
        with self._writing():
            self._mark(round_index, name).unlink(missing_ok=True)

    def forget_update(self, round_index: int, *, keep_private: bool = False) -> None:
        """Drop a round's update, and those of its number that were put aside; its private tensors
        too, unless they are to stay: they are part of the site's model.
        """
        entry = self._round(round_index) / UPDATE
        if keep_private and entry.exists() and self.private(round_index):
            self._replace(self._round(round_index) / PRIVATE, (entry / PRIVATE).read_bytes())
        for folder in self._folders(round_index):
            for each in folder.glob(f"{UPDATE}*"):
                self._drop(each)

    def _drop(self, entry: Path) -> None:
        if entry.exists():
            with self._scratch(OLD) as scratch:
                entry.rename(scratch / UPDATE)

    def sweep(self) -> None:
        """Remove what a killed process left half made or half dropped; for the only process that
        writes here.
        """
        with self._writing():
            for prefix in (NEW, OLD):
                for left in self.folder.glob(f"{prefix}*"):
                    shutil.rmtree(left)

    def _round(self, round_index: int) -> Path:
        return self.folder / f"{round_index:06d}"

    def _aside(self, round_index: int, parent: Digest) -> Path:
        return self.folder / f"{round_index:06d}-{parent.hex()}"

    def _folders(self, round_index: int) -> list[Path]:
        """List the folders of a round's number, those that were put aside included."""
        return sorted(self.folder.glob(f"{round_index:06d}")) + sorted(
            self.folder.glob(f"{round_index:06d}-*")
        )

    def _others(self, round_index: int) -> list[Path]:
        return sorted(self._round(round_index).glob(f"{UPDATE}-*"))

    def _make(self, round_index: int) -> None:
        """Make a round's folder, and note in it which parent the round has."""
        folder, parent = self._round(round_index), self._parents.get(round_index)
        made = not folder.exists()
        private_folder(folder, whole=False)
        if made and parent is not None:
            _write(folder / PARENT, parent.hex().encode())

    def _mark(self, round_index: int, name: str) -> Path:
        return self._round(round_index) / f"{name}.json"

    def _list(self, round_index: int, name: str) -> Path:
        return self._round(round_index) / f"{name}.list"

    def _replace(self, path: Path, data: bytes) -> None:
        """Write a file whole in place of an older one."""
        scratch = path.with_suffix(".new")
        with self._writing():
            private_folder(path.parent, whole=False)
            try:
                _write(scratch, data)
                scratch.replace(path)
            except OSError:
                scratch.unlink(missing_ok=True)
                raise

    @contextmanager
    def _scratch(self, prefix: str) -> Iterator[Path]:
        """Make a folder to prepare things in; whatever is left in it goes."""
        with self._writing(), tempfile.TemporaryDirectory(dir=self.folder, prefix=prefix) as folder:
            Path(folder).chmod(FOLDER_MODE)
            yield Path(folder)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise JournalUnwritable(self.folder, error) from error


def private_tensors(federation: Federation, journal: Journal, height: int) -> Tensors:
    """Give the private tensors that the lineage up to a height left with a participant."""
    start = first_private(federation.rulebook.task)
    for accepted in reversed(federation.state.lineage[:height]) if start else ():
        private = journal.private(accepted.round)
        if private:
            return private
    return start


def federations_with_counts(root: Path) -> Iterator[FederationId]:
    """Give the federations for which a journal holds an update that came with counts on a shard."""
    for folder in sorted(root.glob("[0-9a-f]" * 64)):
        federation = FederationId(bytes.fromhex(folder.name))
        journal = Journal(root, federation)
        updates = chain.from_iterable(map(journal.all_updates, journal.rounds()))
        if any(update.header.evaluation != ZERO_DIGEST for update in updates):
            yield federation


def _free(path: Path) -> Path:
    """Give a name that is not taken yet: after a backup was restored, the first one may be."""
    names = (path.with_name(f"{path.name}-{number}") for number in count(2))
    return next(name for name in chain((path,), names) if not name.exists())


def _read(entry: Path) -> PreparedUpdate:
    """Read an entry, as far as anybody will rely on it later."""
    digest = Digest(bytes.fromhex((entry / "digest").read_text()))
    artefact = require_whole(read_car((entry / "artefact.car").read_bytes()))
    header = artefact.blocks.get(CID(Codec.RAW, digest))
    if header is None:
        raise ValueError("its digest is not that of a header in it")
    UpdateHeader.decode(header)
    return PreparedUpdate(digest, artefact, _read_private(entry / PRIVATE))


def _read_private(path: Path) -> Tensors:
    private = safetensors.numpy.load(path.read_bytes())
    if any(tensor.dtype != np.int32 for tensor in private.values()):
        raise ValueError("its private tensors are not int32")
    return private


def _whole(data: bytes) -> bytes:
    """Leave out a last line that was cut off."""
    return data[: data.rfind(b"\n") + 1]


def _end(file: BinaryIO) -> int:
    """Find where the last whole line ends, and read no more than that takes."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - 1, 0))
    if file.read(1) in (b"", b"\n"):
        return size
    file.seek(0)
    return len(_whole(file.read()))


def _write(path: Path, data: bytes) -> None:
    with os.fdopen(open_private(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
