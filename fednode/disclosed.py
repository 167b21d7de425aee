"""What a site's rows have told others: the models that were counted on them, and the federations
that summed them up.

A count on hidden rows answers whatever a crafted model asks. Counts or sums over nearly the same
rows show the rows in between as a difference. Both add up over rounds, attempts, reorganisations
and federations, so one file in the journal's folder keeps them by row. Rows stand in it as keyed
digests. An answer is in the file before it leaves the site, so a killed node has told no more than
the file says.
"""

import fcntl
import hashlib
import os
import secrets
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fednode.data.statistics import LEAST_CELL
from fednode.errors import FedNodeError
from fednode.files import open_private, private_folder, read_private
from ledger.types import Digest, FederationId
from ledger.whole_file import write_whole

DISCLOSED: Final = "disclosed.json"
LOCK: Final = "disclosed.lock"
MARK: Final = b"kept\n"
"""What the lock's file says once there is a record, so that a lost one is noticed."""
ROW_BYTES: Final = 8
NEARLY: Final = 10
"""Sets of rows are nearly the same if at most one row in so many is in one of them only."""

RowDigest = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class AnswersSpent(FedNodeError):
    """Rows that have answered as many models as a policy allows."""

    def __init__(self, asked: int, models: int, most: int) -> None:
        self.asked = asked
        self.models = models
        self.most = most
        super().__init__(
            f"the shard's rows have answered {asked} models in all federations, {models} more are "
            f"asked, and the policy allows {most}: this site counts no more on them"
        )


class Rows(Protocol):
    """Encoded rows with their labels."""

    @property
    def features(self) -> NDArray[np.int32]:
        """One row of features each."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """One label each."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RowSet(_Entry):
    """Rows that were asked about together. One that a row was taken out of is not `whole`: the same
    question about the rest is another question.
    """

    rows: tuple[RowDigest, ...]
    whole: bool = True


class Answer(_Entry):
    """Models that were counted on a set of rows for one result."""

    rows: Count
    federation: Hex32
    result: Hex32
    models: Count


class Summed(_Entry):
    """A statistics round that a set of rows went into."""

    rows: Count
    federation: Hex32


class _Record(_Entry):
    key: Hex32
    sets: tuple[RowSet, ...] = ()
    answers: tuple[Answer, ...] = ()
    summed: tuple[Summed, ...] = ()


@dataclass(frozen=True, slots=True)
class Overlap:
    """Nearly the same rows that have told an earlier federation something: how many rows there are
    now, how many are in one of both sets only, and whether others of the earlier set were forgotten
    since.
    """

    federation: str
    rows: int
    differing: int
    forgotten: bool

    @classmethod
    def between(cls, now: Sequence[str], earlier: RowSet, federation: str) -> Self | None:
        """Compare two sets of rows; None if they are the same, or are not nearly the same."""
        own, other = Counter(now), Counter(earlier.rows)
        common, differing = (own & other).total(), ((own - other) + (other - own)).total()
        nearly = differing < LEAST_CELL or NEARLY * differing <= max(own.total(), other.total())
        same = differing == 0 and earlier.whole
        if same or not nearly or common <= differing:
            return None
        return cls(federation, own.total(), differing, not earlier.whole)

    def sums_text(self) -> str:
        """Warn in one line of sums."""
        return (
            f"warning: the statistics round of federation {self.federation} was over nearly the "
            f"same rows ({self._difference}): the difference of the two sums shows these rows. A "
            f"federation that is created with --ancestor {self.federation} sums nothing again, and "
            "one with data.statistics = false sums nothing at all"
        )

    def counts_text(self) -> str:
        """Warn in one line of counts."""
        return (
            f"warning: the shard of federation {self.federation} had nearly the same rows "
            f"({self._difference}): members who bring the same models again read these rows from "
            "the difference of the counts. Take part without shards (evaluation.mode), with "
            "another data.split.seed, or without all rows of the earlier shard"
        )

    @property
    def _difference(self) -> str:
        forgotten = " and those forgotten since" if self.forgotten else ""
        return f"{self.differing}{forgotten} are in one of both only, of {self.rows} here"


@dataclass(frozen=True, slots=True)
class Disclosed:
    """The record in a journal's folder, for all federations that a site takes part in with it."""

    folder: Path

    def answer(
        self, rows: Rows, federation: FederationId, result: Digest, *, models: int, most: int
    ) -> int:
        """Enter models that are about to be counted on rows for a result; give how many the rows
        have answered then, each row in all federations together.

        The same question about the same rows has the same answer, and is entered once. About
        other rows, if only one is gone, it is a new question for each of them. Raise
        AnswersSpent, with nothing entered, if any of the rows would answer more than `most`.
        """
        with self._changing() as book:
            digests = book.digests(rows)
            place = book.place(digests)
            entry = Answer(
                rows=place, federation=federation.hex(), result=result.hex(), models=models
            )
            asked = book.most_asked(digests)
            if entry in book.answers:
                return asked
            if asked + models > most:
                raise AnswersSpent(asked, models, most)
            book.answers.append(entry)
            return asked + models

    def answered(self, federation: FederationId) -> int:
        """Count the models that were counted for a federation."""
        return sum(a.models for a in self._read().answers if a.federation == federation.hex())

    def most_asked(self) -> int:
        """Count the models that the row which was asked most has answered, in all federations."""
        book = _Book(self._read())
        return book.most_asked([digest for one in book.sets for digest in one.rows])

    def asked(self, rows: Rows) -> int:
        """Count the models that the most asked of these rows has answered, in all federations."""
        book = _Book(self._read())
        return book.most_asked(book.digests(rows))

    def nearly_summed(self, rows: Rows) -> list[Overlap]:
        """List the statistics rounds over nearly these rows, but not over the same."""
        book = _Book(self._read())
        return book.nearly(book.digests(rows), book.summed)

    def nearly_counted(self, rows: Rows) -> list[Overlap]:
        """List the shards of nearly these rows, but not the same, that models were counted on."""
        book = _Book(self._read())
        return book.nearly(book.digests(rows), book.answers)

    @property
    def exists(self) -> bool:
        """Whether there is a record."""
        return self._path.exists()

    def sum_up(self, rows: Rows, federation: FederationId) -> None:
        """Enter the statistics round that rows are about to go into."""
        with self._changing() as book:
            digests = book.digests(rows)
            known = any(
                one.federation == federation.hex() and book.sets[one.rows].rows == digests
                for one in book.summed
            )
            if not known:
                place = book.place(digests)
                book.summed.append(Summed(rows=place, federation=federation.hex()))

    def digests(self, rows: Rows) -> tuple[str, ...]:
        """Give the digests that rows stand under here; none if nothing was ever entered."""
        return _Book(self._read()).digests(rows) if self.exists else ()

    def forget(self, digests: Collection[str]) -> None:
        """Take rows out of the record."""
        if digests and self.exists:
            with self._changing() as book:
                book.forget(set(digests))

    @property
    def _path(self) -> Path:
        return self.folder / DISCLOSED

    def _read(self) -> _Record:
        try:
            return _Record.model_validate_json(read_private(self._path))
        except FileNotFoundError:
            self._require_never_kept()
            return _Record(key=secrets.token_hex(32))
        except (OSError, ValidationError):
            raise FedNodeError(
                f"{self._path} cannot be read, and it says what this site's rows have told others: "
                "restore it from a copy"
            ) from None

    def _require_never_kept(self) -> None:
        """Refuse to count from 0 again where there was a record."""
        lock = self.folder / LOCK
        if lock.exists() and lock.stat().st_size:
            raise FedNodeError(
                f"{self._path} is missing, and it says what this site's rows have told others: "
                f"restore it from a copy (if there is none, remove {lock} too: the count then "
                "starts at 0)"
            )

    @contextmanager
    def _changing(self) -> Iterator["_Book"]:
        """Change the record, whole or not at all; another process of the site waits."""
        try:
            private_folder(self.folder, whole=False)
            lock = open_private(self.folder / LOCK, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise self._unwritable(error) from None
        with os.fdopen(lock, "r+b", buffering=0) as file:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = self._read()
            book = _Book(before)
            yield book
            after = book.record()
            try:
                if after != before:
                    write_whole(self._path, [after.model_dump_json().encode()], mode=0o600)
                if self.exists and not os.fstat(lock).st_size:
                    file.write(MARK)
            except OSError as error:
                raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> FedNodeError:
        return FedNodeError(
            f"{self._path} cannot be written ({error.strerror}): make room, or make the journal "
            "writable"
        )


class _Book:
    """The record while it is changed."""

    def __init__(self, record: _Record) -> None:
        self.key = record.key
        self.sets = list(record.sets)
        self.answers = list(record.answers)
        self.summed = list(record.summed)

    def record(self) -> _Record:
        """Give the record as it is to be kept."""
        return _Record(
            key=self.key,
            sets=tuple(self.sets),
            answers=tuple(self.answers),
            summed=tuple(self.summed),
        )

    def digests(self, rows: Rows) -> tuple[str, ...]:
        """Digest rows under the record's key, in ascending order; equal rows stand twice."""
        key = bytes.fromhex(self.key)
        pairs = zip(rows.features.astype("<i4"), rows.labels.tolist(), strict=True)
        return tuple(sorted(_digest(key, features, label) for features, label in pairs))

    def place(self, digests: tuple[str, ...]) -> int:
        """Give the place of a set of rows, a new one if it was not asked about before."""
        wanted = RowSet(rows=digests)
        if wanted not in self.sets:
            self.sets.append(wanted)
        return self.sets.index(wanted)

    def most_asked(self, digests: Iterable[str]) -> int:
        """Count the models that the most asked of these rows has answered."""
        models = Counter[int]()
        for answer in self.answers:
            models[answer.rows] += answer.models
        asked = Counter[str]()
        wanted = set(digests)
        for place, number in models.items():
            for digest in wanted.intersection(self.sets[place].rows):
                asked[digest] += number
        return max(asked.values(), default=0)

    def nearly(self, digests: Sequence[str], told: Iterable[Answer | Summed]) -> list[Overlap]:
        """Compare rows with the sets that were told of, each once for each federation."""
        places = dict.fromkeys((one.rows, one.federation) for one in told)
        found = (Overlap.between(digests, self.sets[rows], whose) for rows, whose in places)
        return [overlap for overlap in found if overlap is not None]

    def forget(self, digests: set[str]) -> None:
        """Take rows out of all sets."""
        self.sets = [
            RowSet(rows=tuple(d for d in one.rows if d not in digests), whole=False)
            if digests.intersection(one.rows)
            else one
            for one in self.sets
        ]


def _digest(key: bytes, features: NDArray[np.int32], label: int) -> str:
    data = features.tobytes() + label.to_bytes(8, "little", signed=True)
    return hashlib.blake2b(data, digest_size=ROW_BYTES, key=key).hexdigest()
