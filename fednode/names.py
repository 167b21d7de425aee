"""Names that participants have signed for themselves, as far as a store has the records.

A name ties to the account that controls a seat; another participant's record is not believed.
"""

from collections.abc import Iterable

from ledger.errors import LedgerError
from ledger.identity import read_identity
from ledger.members import Participant
from ledger.stores import ContentStore
from ledger.stores.budget import Budget, BudgetedStore, spending

PATIENCE = 5.0
"""Seconds that all names together may take."""


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
