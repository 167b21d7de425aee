"""Honouring erasures: a node that follows a federation lets go of what participants declare to have
erased.

Anybody with a seat can declare what nobody ever sees, as often as it pays for. So all that may take
long, fetching a record and finding what it covers, is done beside a node's steps, one thing at a
time. Records have an allowance, as all that strangers name (`fednode.strangers`).
"""

import logging
from collections import Counter
from collections.abc import Collection
from concurrent.futures import Executor, Future

from fednode.strangers import MISSES as MISSES
from fednode.strangers import Allowance
from ledger.erasure import Declaration, Erasure, LetGo, Own, declared, find, judge, let_go
from ledger.errors import LedgerError, MalformedRecord
from ledger.replica import Replica
from ledger.state import FederationState
from ledger.stores import ContentStore, RecordingStore
from ledger.types import Digest, ParticipantId, RoundIndex

log = logging.getLogger("fednode")

Update = tuple[ParticipantId, RoundIndex]
Read = tuple[Erasure | None, int]
"""A record, None if it is none, and the size of what was read."""


class Honouring:
    """What one node has learnt of erasures, and is finding out."""

    def __init__(self, store: ContentStore, workers: Executor) -> None:
        self._store = store
        self._workers = workers
        self._records: dict[Digest, Erasure | None] = {}
        self._allowance = Allowance()
        self._failed = False
        self._gone: set[Update] = set()
        self._reading: tuple[Digest, Future[Read]] | None = None
        self._finding: tuple[set[Update], Future[Own]] | None = None

    def step(self, replica: Replica) -> bool:
        """Do the next thing, unless one is being done; say whether any is left for this round.

        A store that fails is asked again in the next round: nothing here may stop a node.
        """
        state = replica.state
        if self._allowance.renew(len(state.rounds)):
            self._failed = False
        try:
            return self._busy(replica) or self._find(replica) or self._read(state)
        except LedgerError as error:
            log.warning("what was erased by declaration is not all let go of yet: %s", error)
            self._failed = True
            return False

    def _busy(self, replica: Replica) -> bool:
        """Take what has been done; say whether something is still being done."""
        if self._reading is not None:
            record, reading = self._reading
            if not reading.done():
                return True
            self._reading = None
            self._learn(record, reading)
        if self._finding is not None:
            updates, finding = self._finding
            if not finding.done():
                return True
            self._finding = None
            # After a reorganisation it may never have been declared.
            if updates <= _updates(self._believed(replica.state)):
                _tell(let_go(self._store, replica, finding.result()))
                self._gone |= updates
        return False

    def _learn(self, record: Digest, reading: Future[Read]) -> None:
        try:
            self._records[record], size = reading.result()
            self._allowance.took(size)
        except LedgerError as error:
            log.info("the erasure %s cannot be read: %s", record.hex()[:16], error)
            self._allowance.missed(record)

    def _believed(self, state: FederationState) -> list[Declaration]:
        """List the declarations that are known and to be believed."""
        known = (
            judge(state.federation, participant, dataset, erasure)
            for participant, dataset, record in declared(state)
            if (erasure := self._records.get(record)) is not None
        )
        return [declaration for declaration in known if declaration.refused is None]

    def _find(self, replica: Replica) -> bool:
        """Begin to look for what was erased and is not gone yet; say whether there is any."""
        believed = self._believed(replica.state)
        updates = _updates(believed) - self._gone
        if not updates or self._failed:
            return False
        self._finding = updates, self._workers.submit(find, self._store, replica, believed)
        return True

    def _read(self, state: FederationState) -> bool:
        """Begin to read a record; say whether there is any that is worth it. Those that were missed
        least come first, and of one participant the oldest: who declares many keeps nobody else's
        waiting.
        """
        places: Counter[ParticipantId] = Counter()
        unread: list[tuple[int, int, Digest]] = []
        for participant, _, record in declared(state):
            places[participant.index] += 1
            if record not in self._records and self._allowance.may_ask(record):
                tries = self._allowance.misses(record)
                unread.append((tries, places[participant.index], record))
        if not unread:
            return False
        record = min(unread)[-1]
        self._reading = record, self._workers.submit(_kept, self._store, record)
        return True


def _kept(store: ContentStore, record: Digest) -> Read:
    """Read a record and keep it: an audit needs it for as long as something is missing."""
    recording, erasure = RecordingStore(store), None
    try:
        erasure = Erasure.read(recording, record)
        store.put(erasure.artefact())
    except MalformedRecord as error:
        log.info("the erasure %s covers nothing: %s", record.hex()[:16], error)
    return erasure, sum(map(len, recording.blocks.values()))


def _updates(declarations: Collection[Declaration]) -> set[Update]:
    return {(d.participant, round_) for d in declarations for round_ in d.rounds}


def _tell(found: LetGo) -> None:
    if found.gone or found.kept:
        log.info(
            "let go of %d blocks that were erased by declaration; %d stay, as other records in the "
            "store link to them",
            found.gone,
            found.kept,
        )
