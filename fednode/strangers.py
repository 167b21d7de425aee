"""Records of strangers that a node keeps for audits, and never needs itself.

A seat in an open federation lets a stranger name records that no store has. So they are fetched
beside a node's steps, some at a time. Each kind of record has an allowance: so many misses and
bytes in a round, and ever longer pauses between two tries of the same record.
"""

import logging
from collections.abc import Iterable
from concurrent.futures import Executor, Future

from ledger.errors import LedgerError, MalformedRecord
from ledger.identity import identity_artefact, read_identity
from ledger.members import Participant
from ledger.state import FederationState
from ledger.stores import ContentStore, RecordingStore
from ledger.types import Digest

log = logging.getLogger("fednode")

MISSES = 4
"""Records of a kind that are asked for in vain in a round."""
BYTES = 4 << 20
"""Bytes of a kind that are taken in a round."""
AT_ONCE = 4
"""Identities that are fetched at a time."""


class Allowance:
    """What a node spends on one kind of record."""

    def __init__(self, misses: int = MISSES, size: int = BYTES) -> None:
        self._most = (misses, size)
        self._round = -1
        self._left = [misses, size]
        self._missed: dict[Digest, int] = {}
        self._due: dict[Digest, int] = {}

    def renew(self, round_: int) -> bool:
        """Give a new round its allowance; say whether it is new."""
        if self._round == round_:
            return False
        self._round, self._left = round_, list(self._most)
        return True

    def misses(self, record: Digest) -> int:
        """Count how often a record was asked for in vain."""
        return self._missed.get(record, 0)

    def may_ask(self, record: Digest, pending: int = 0) -> bool:
        """Whether a record may be asked for while `pending` others are."""
        misses, size = self._left
        return misses > pending and size > 0 and self._due.get(record, 0) <= self._round

    def missed(self, record: Digest) -> None:
        """Note a miss: the next try is 1, 2, 4, 8 ... rounds away."""
        self._left[0] -= 1
        times = self._missed[record] = self.misses(record) + 1
        self._due[record] = self._round + (1 << min(times - 1, 16))

    def took(self, size: int) -> None:
        """Note what was taken."""
        self._left[1] -= size


class Identities:
    """Who participants say they are, kept in a node's own store."""

    def __init__(self, store: ContentStore, workers: Executor) -> None:
        self._store = store
        self._workers = workers
        self._allowance = Allowance()
        self._done: set[Digest] = set()
        self._coming: dict[Digest, Future[int]] = {}

    def step(self, state: FederationState) -> bool:
        """Take what has come, and ask for more within the allowance; say whether any is coming."""
        self._allowance.renew(len(state.rounds))
        for record in [record for record, coming in self._coming.items() if coming.done()]:
            self._take(record, self._coming.pop(record))
        for record in self._wanted(state.participants):
            if len(self._coming) >= AT_ONCE:
                break
            if self._allowance.may_ask(record, len(self._coming)):
                self._coming[record] = self._workers.submit(_kept, self._store, record)
        return bool(self._coming)

    def _wanted(self, participants: Iterable[Participant]) -> list[Digest]:
        """List what is missing: of seated participants first, then what was missed least."""
        known = self._done | self._coming.keys()
        missing = [p for p in participants if p.identity not in known]
        missing.sort(key=lambda p: (p.until is not None, self._allowance.misses(p.identity)))
        return list(dict.fromkeys(p.identity for p in missing))

    def _take(self, record: Digest, coming: Future[int]) -> None:
        try:
            self._allowance.took(coming.result())
        except LedgerError as error:
            log.info("the identity %s cannot be had: %s", record.hex()[:16], error)
            self._allowance.missed(record)
            return
        self._done.add(record)


def _kept(store: ContentStore, record: Digest) -> int:
    """Read an identity and keep it, if it is one; give the size of what was read."""
    recording = RecordingStore(store)
    try:
        store.put(identity_artefact(read_identity(recording, record)))
    except MalformedRecord as error:
        log.info("the identity %s is not kept: %s", record.hex()[:16], error)
    return sum(map(len, recording.blocks.values()))
