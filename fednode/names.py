"""Names that participants have signed for themselves, as far as a store has the records.

A name ties to the account that controls a seat; another participant's record is not believed.
"""

from collections.abc import Iterable, Sequence

from ledger.errors import LedgerError
from ledger.identity import read_identity
from ledger.members import Participant
from ledger.stores import ContentStore
from ledger.stores.budget import Budget, BudgetedStore, spending
from ledger.types import Address, Digest

PATIENCE = 5.0
"""Seconds that all names together may take."""


class KnownNames:
    """Names that a store gave once: they are kept, however slow the store is later."""

    def __init__(self) -> None:
        self._known: dict[tuple[Address, Digest], str] = {}

    def read(self, participants: Sequence[Participant], store: ContentStore) -> dict[int, str]:
        """Read the names that are not known yet; return all by the participants' numbers."""
        people: dict[int, tuple[Address, Digest]]
        people = {p.index: (p.controller, p.identity) for p in participants}
        missing = [p for p in participants if people[p.index] not in self._known]
        found = read_names(missing, store)
        self._known |= {people[index]: name for index, name in found.items()}
        return {index: self._known[key] for index, key in people.items() if key in self._known}


def read_names(participants: Iterable[Participant], store: ContentStore) -> dict[int, str]:
    """Read the names by the participants' numbers. A record that cannot be had has no name here."""
    names: dict[int, str] = {}
    asked = BudgetedStore(store)
    with spending(Budget(PATIENCE)) as budget:
        for participant in participants:
            if budget.left <= 0:
                break
            try:
                identity = read_identity(asked, participant.identity)
            except LedgerError:
                continue
            if identity.controller == participant.controller:
                names[participant.index] = identity.name
    return names
