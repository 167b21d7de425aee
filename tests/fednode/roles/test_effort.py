"""A participant says what attesting cost it, and keeps it where a restart finds it again."""

import logging
import time
from pathlib import Path

import pytest

from fednode.roles import effort
from fednode.roles.effort import Effort, Meter, attested, summary, total
from fednode.roles.journal import Journal
from ledger.artefacts import gather_update
from ledger.cid import Codec
from ledger.payload import LEAF_SIZE
from ledger.stores import Artefact, CountingStore, MemoryStore
from ledger.types import FederationId
from tests.federations import play
from tests.fednode.roles.conftest import Found

BLOCK = Artefact.of(Codec.RAW, bytes(1000))


def journal(folder: Path) -> Journal:
    return Journal(folder, FederationId(bytes(32)))


def test_every_voter_notes_every_round(start: Found, caplog: pytest.LogCaptureFixture) -> None:
    """It read all updates and wrote them together with the result, at least once."""
    caplog.set_level(logging.INFO, logger="fednode")
    cast = start(rounds=2)
    roles = cast.roles()
    state = play(cast, lambda: roles)
    view = cast.hospitals[0].view()
    leaves = view.replica.policy.leaves
    voters = 0
    for index, hospital in enumerate(cast.hospitals):
        efforts = attested(hospital.journal)
        assert set(efforts) <= {0, 1, 2}
        for round_ in state.rounds:
            if index not in round_.proposal.votes:
                continue  # the quorum was there before it came to judge
            voters += 1
            found = [gather_update(view.store, c.digest, leaves)[1] for c in round_.commits]
            updates = sum(len(block) for artefact in found for block in artefact.blocks.values())
            spent = efforts[round_.index]
            assert spent.read >= updates
            assert spent.written >= updates + leaves * LEAF_SIZE
            assert spent.seconds > 0
            said = f"round {round_.index}: attesting took {spent}"
            assert said in [record.getMessage() for record in caplog.records]
    assert voters >= 9


def test_what_is_done_in_between_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([10.0, 10.5, 20.0, 20.25, 30.0, 31.0])
    monkeypatch.setattr(time, "process_time", lambda: next(clock))
    store = CountingStore(MemoryStore())
    kept = journal(tmp_path)
    meter = Meter(store, kept)
    store.put(BLOCK)
    with meter.running(3):
        store.get(BLOCK.roots[0])
    store.get(BLOCK.roots[0])
    with meter.running(3):
        store.get(BLOCK.roots[0])
        store.put(BLOCK)
    assert meter.spent == Effort(2000, 1000, 0.75)
    meter.note()
    with meter.running(4):
        store.get(BLOCK.roots[0])
    meter.note()
    efforts = attested(journal(tmp_path))
    assert efforts == {3: Effort(2000, 1000, 0.75), 4: Effort(1000, 0, 1.0)}
    assert total(efforts) == {
        "rounds": 2,
        "bytes_read": 3000,
        "bytes_written": 1000,
        "cpu_seconds": 1.75,
    }
    assert summary(efforts) == (
        "attesting 2 rounds took 3,000 bytes read, 1,000 written, 1.750 s of processor"
    )


def test_what_fails_was_spent_all_the_same(tmp_path: Path) -> None:
    store = CountingStore(MemoryStore())
    meter = Meter(store, journal(tmp_path))
    store.put(BLOCK)

    def fails() -> None:
        with meter.running(0):
            store.get(BLOCK.roots[0])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert meter.spent.read == 1000


@pytest.mark.parametrize("noted", [1, [], {}, {"bytes_read": "1", "bytes_written": 2}])
def test_what_is_no_effort_counts_for_nothing(tmp_path: Path, noted: object) -> None:
    kept = journal(tmp_path)
    kept.mark(0, effort.ATTESTED, noted)
    assert attested(kept) == {0: Effort()}


def test_rounds_are_those_that_something_is_kept_of(tmp_path: Path) -> None:
    kept = journal(tmp_path)
    for number in (7, 2):
        kept.mark(number, "published")
    (kept.folder / "test-set.json").write_text("{}", encoding="utf-8")
    assert kept.rounds() == [2, 7]
    assert attested(kept) == {}


def test_a_counting_store_passes_everything_on() -> None:
    inner = MemoryStore()
    store = CountingStore(inner)
    store.put(BLOCK)
    root = BLOCK.roots[0]
    assert store.has(root)
    assert store.get(root) == bytes(1000)
    store.remove([root])
    assert not inner.has(root)
    assert (store.read, store.written) == (1000, 1000)
