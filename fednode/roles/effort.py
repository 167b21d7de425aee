"""What attesting costs a participant, round by round: bytes through its store, CPU seconds.

It is measured where the work is done - fetching, verifying, recomputing, keeping; neither training
nor waiting for the chain - and noted in the journal when the round's ballot is decided.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from fednode.roles.journal import Journal
from ledger.stores import CountingStore

ATTESTED = "attested"


@dataclass(frozen=True, slots=True)
class Effort:
    """Bytes read from the node's store, bytes written to it, and CPU seconds of its process."""

    read: int = 0
    written: int = 0
    seconds: float = 0.0

    def __add__(self, other: "Effort") -> "Effort":
        return Effort(
            self.read + other.read, self.written + other.written, self.seconds + other.seconds
        )

    def __str__(self) -> str:
        return (
            f"{self.read:,} bytes read, {self.written:,} written, {self.seconds:.3f} s of processor"
        )

    def record(self) -> dict[str, object]:
        """Return it for JSON."""
        return {
            "bytes_read": self.read,
            "bytes_written": self.written,
            "cpu_seconds": round(self.seconds, 6),
        }

    @classmethod
    def of_record(cls, record: object) -> "Effort":
        """Read what `record` returned; anything else was no effort."""
        if not isinstance(record, Mapping):
            return cls()
        read, written = record.get("bytes_read"), record.get("bytes_written")
        seconds = record.get("cpu_seconds")
        if isinstance(read, int) and isinstance(written, int) and isinstance(seconds, float):
            return cls(read, written, seconds)
        return cls()


class Meter:
    """Adds up a node's effort of the round that it is in."""

    def __init__(self, store: CountingStore, journal: Journal) -> None:
        self._store = store
        self._journal = journal
        self._round = -1
        self.spent = Effort()

    @contextmanager
    def running(self, round_index: int) -> Iterator[None]:
        """Measure what is done inside for a round. What was spent on one that others decided is
        noted when the next begins.
        """
        if round_index != self._round:
            if self.spent.read:
                self.note()
            self._round, self.spent = round_index, Effort()
        read, written, started = self._store.read, self._store.written, time.process_time()
        try:
            yield
        finally:
            self.spent += Effort(
                self._store.read - read,
                self._store.written - written,
                time.process_time() - started,
            )

    def note(self) -> None:
        """Keep the round's effort in the journal; a round that is judged again counts in all."""
        self._journal.mark(self._round, ATTESTED, self.spent.record())


def attested(journal: Journal) -> dict[int, Effort]:
    """Give the effort of each round that this node attested, as its journal has it."""
    noted = ((number, journal.marked(number, ATTESTED)) for number in journal.rounds())
    return {number: Effort.of_record(value) for number, value in noted if value is not None}


def summary(efforts: Mapping[int, Effort]) -> str:
    """Sum up for people."""
    return f"attesting {len(efforts)} rounds took {sum(efforts.values(), Effort())}"


def total(efforts: Mapping[int, Effort]) -> dict[str, object]:
    """Sum up for JSON."""
    return {"rounds": len(efforts), **sum(efforts.values(), Effort()).record()}
