"""What participants declared to be erased, as an audit asks for it: read beside the replay, and
waited for only where an update cannot be read that may have been erased.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial

from ledger.audit.aside import Aside, Task
from ledger.audit.facts import Facts
from ledger.erasure import Declaration, declaration, declared
from ledger.members import Dataset, Participant
from ledger.state import FederationState

LISTED = 16
"""Notes of one kind that are written out."""


class Erasures:
    """The declarations of one federation, by participant."""

    def __init__(self, aside: Aside, facts: Facts) -> None:
        self._aside = aside
        self._facts = facts
        self._tasks: dict[int, list[Task[Declaration]]] = {}
        self._refused = 0

    def look_ahead(self, state: FederationState) -> None:
        """Begin to read every record, of each participant the oldest first."""
        places: Counter[int] = Counter()
        found: list[tuple[int, Participant, Dataset]] = []
        for participant, dataset, _ in declared(state):
            found.append((places[participant.index], participant, dataset))
            places[participant.index] += 1
        for _, participant, dataset in sorted(found, key=lambda one: (one[0], one[1].index)):
            assert dataset.erasure is not None
            name = f"erasure {dataset.erasure.hex()[:16]} of participant {participant.index}"
            read = partial(declaration, self._aside.store, state.federation, participant, dataset)
            task = self._aside.later("erasures", name, read, self._note)
            self._tasks.setdefault(participant.index, []).append(task)

    def cover(self, participant: int, round_: int) -> bool:
        """Whether a participant declared its update of a round to be erased. A stranger's bad
        record must not end an audit: it only excuses nothing.
        """
        tasks = self._tasks.get(participant, [])
        if any(not task.outcome.done() for task in tasks):
            self._aside.need(tasks)
        done = [task.outcome for task in tasks if task.outcome.done()]
        return any(round_ in one.result().rounds for one in done if not one.cancelled())

    def finish(self) -> None:
        """Say how many more are not believed than were named."""
        if self._refused > LISTED:
            self._facts.note(f"{self._refused - LISTED} more erasures are not believed.")

    def _note(self, read: Callable[[], Declaration]) -> None:
        try:
            found = read()
        except Exception:
            # No finding rests on a note. Where one does, `cover` raises what the store raised.
            return
        if found.rounds:
            named = ", ".join(map(str, found.rounds))
            self._facts.note(
                f"Participant {found.participant} declared its updates of rounds {named} to be "
                "erased. What could still be had of them was checked."
            )
        if found.refused is not None:
            self._refused += 1
            if self._refused <= LISTED:
                whose = f"{found.record.hex()[:16]} of participant {found.participant}"
                self._facts.note(f"The erasure {whose} is not believed: {found.refused}.")
