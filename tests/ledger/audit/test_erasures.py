"""Which records of erasures an audit reads, in which order, and what it says of them."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import pytest

from ledger.audit.aside import Aside, Task
from ledger.audit.erasures import LISTED, Erasures
from ledger.audit.facts import Facts
from ledger.erasure import Declaration
from ledger.replica import Replica
from ledger.state import FederationState
from ledger.stores import MemoryStore, StoreUnreachable
from ledger.types import ZERO_DIGEST, Digest, ParticipantId, RoundIndex
from tests.ledger.sealing.scene import Scene
from tests.ledger.sealing.test_audit import record_of

Read = Callable[[], Declaration]


@dataclass
class Beside:
    """What is read beside an audit, with the outcomes in the hands of a test."""

    store: MemoryStore = field(default_factory=MemoryStore)
    tasks: list[Task[Declaration]] = field(default_factory=list)
    needed: list[list[str]] = field(default_factory=list)

    def later(
        self, kind: str, subject: str, read: Read, then: Callable[[Read], None]
    ) -> Task[Declaration]:
        assert kind == "erasures"
        task = Task(subject, read, then, Future[Declaration]())
        self.tasks.append(task)
        return task

    def need(self, tasks: list[Task[Declaration]]) -> None:
        self.needed.append([task.subject for task in tasks])


def digest(number: int) -> Digest:
    return Digest(bytes([number]) * 32)


def state(*amended: tuple[int, ...]) -> FederationState:
    """Give participants with data sets, each with the number of its erasure; 0 for none."""
    participants = [
        SimpleNamespace(
            index=index,
            datasets=[
                SimpleNamespace(erasure=digest(number) if number else ZERO_DIGEST)
                for number in numbers
            ],
        )
        for index, numbers in enumerate(amended)
    ]
    return cast(FederationState, SimpleNamespace(participants=participants, federation=b"f"))


def looked(*amended: tuple[int, ...]) -> tuple[Erasures, Beside, Facts]:
    beside, facts = Beside(), Facts(cast(Replica, None))
    found = Erasures(cast(Aside, beside), facts)
    found.look_ahead(state(*amended))
    return found, beside, facts


def told(*rounds: int, refused: str | None = None) -> Declaration:
    numbers = tuple(map(RoundIndex, rounds))
    return Declaration(ParticipantId(2), digest(9), numbers, refused)


def test_of_each_participant_the_oldest_record_is_read_first() -> None:
    _, beside, _ = looked((4, 0, 5, 6), (), (7,), (8, 9))
    expected = [(4, 0), (7, 2), (8, 3), (5, 0), (9, 3), (6, 0)]
    assert [task.subject for task in beside.tasks] == [
        f"erasure {digest(number).hex()[:16]} of participant {index}" for number, index in expected
    ]


def test_a_round_is_covered_by_what_its_own_participant_declared() -> None:
    found, beside, _ = looked((4, 5), (), (7,))
    for task, rounds in zip(beside.tasks, ([1], [3], [2, 4]), strict=True):
        task.outcome.set_result(told(*rounds))
    covered = {(who, n) for who in range(4) for n in range(6) if found.cover(who, n)}
    assert covered == {(0, 1), (0, 2), (0, 4), (2, 3)}
    assert beside.needed == [], "all was read already"


def test_what_is_not_read_is_waited_for_and_excuses_nothing() -> None:
    found, beside, _ = looked((4, 5, 6), (7,))
    oldest, _, cancelled, waiting = beside.tasks
    oldest.outcome.set_result(told(1))
    cancelled.outcome.cancel()
    assert (found.cover(0, 1), found.cover(0, 2)) == (True, False)
    own = [task.subject for task in (oldest, cancelled, waiting)]
    assert beside.needed == [own, own]


def test_what_a_store_raised_is_raised_where_it_decides_and_noted_nowhere() -> None:
    found, beside, facts = looked((4,))
    (task,) = beside.tasks
    task.outcome.set_exception(StoreUnreachable("s", "no answer"))
    with pytest.raises(StoreUnreachable):
        found.cover(0, 1)
    task.then(task.outcome.result)
    assert facts.notes == []


def test_what_is_declared_is_noted() -> None:
    _, beside, facts = looked((4,))
    beside.tasks[0].then(lambda: told(1, 3))
    beside.tasks[0].then(told)
    (note,) = facts.notes
    assert note.startswith("Participant 2 declared its updates of rounds 1, 3 to be erased.")


@pytest.mark.parametrize("more", [-1, 0, 1, 5])
def test_records_that_are_not_believed_are_listed_up_to_a_number(more: int) -> None:
    found, beside, facts = looked((4,))
    for _ in range(LISTED + more):
        beside.tasks[0].then(lambda: told(refused="it is none"))
    found.finish()
    named = f"The erasure {digest(9).hex()[:16]} of participant 2 is not believed: it is none."
    rest = [f"{more} more erasures are not believed."] if more > 0 else []
    assert facts.notes == [named] * min(LISTED + more, LISTED) + rest


def test_a_record_on_the_chain_is_read_from_the_store() -> None:
    scene = Scene.form(sealed=False).play(1)
    scene.settle()
    record = record_of(scene, 1, [0])
    scene.world.store.put(record)
    scene.world.amend_dataset(1, erasure=record.roots[0].digest)
    facts = Facts(scene.world.replica)
    found = Erasures(Aside(scene.world.store), facts)
    found.look_ahead(scene.world.replica.state)
    assert [(n, found.cover(n, 0), found.cover(n, 1)) for n in range(3)] == [
        (0, False, False),
        (1, True, False),
        (2, False, False),
    ]
