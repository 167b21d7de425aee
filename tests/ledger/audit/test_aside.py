"""Records of strangers cost an audit a fixed time in all, and decide nothing."""

import random
import time
from concurrent.futures import Future
from dataclasses import replace
from threading import Event, active_count

import pytest

from fednode.auditing import run_audit
from ledger import cbor
from ledger.audit import aside
from ledger.audit.aside import Aside, Rationed, Task
from ledger.audit.verdict import Verdict
from ledger.cid import CID, Codec
from ledger.stores import Artefact, BlockNotFound, MemoryStore
from ledger.types import Digest
from tests.ledger.sealing.scene import Scene
from tests.ledger.sealing.test_audit import declare
from tests.tamper.policies import draw, terms
from tests.tamper.world import Setting, World

PATIENCE = 0.5
GHOSTS = 1000


class Hanging(MemoryStore):
    """Looks for what it lacks until it is told to stop."""

    def __init__(self, blocks: dict[CID, bytes], *, lacks: set[Digest]) -> None:
        super().__init__()
        self.blocks = {cid: data for cid, data in blocks.items() if cid.digest not in lacks}
        self.over = Event()

    def get(self, cid: CID) -> bytes:
        if cid not in self.blocks:
            self.over.wait(60)
            raise BlockNotFound(cid, "peers")
        return super().get(cid)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "PATIENCE", PATIENCE)


@pytest.fixture
def world() -> World:
    world = World(
        Setting.draw(
            random.Random(1),
            terms(draw(random.Random(1), open="true", most=GHOSTS + 2, valuation="none")),
        )
    )
    world.create()
    world.join(2, 10)
    return world


def ghosts(world: World, count: int) -> set[Digest]:
    """Let strangers join and leave under identities that nobody has."""
    named = set()
    for number in range(count):
        record = Artefact.of(Codec.DAG_CBOR, cbor.encode({"ghost": number}))
        world.join(100 + number, 10, record=record)
        world.leave(len(world.members) - 1)
        named.add(record.roots[0].digest)
    return named


def timed(world: World, lacks: set[Digest]) -> tuple[Verdict, float]:
    store = Hanging(world.store.blocks, lacks=lacks)
    started = time.monotonic()
    try:
        return run_audit(replace(world.evidence(), store=store)), time.monotonic() - started
    finally:
        store.over.set()


@pytest.mark.parametrize("count", [1, GHOSTS])
def test_ghosts_cost_an_audit_a_fixed_time(world: World, count: int) -> None:
    lacks = ghosts(world, count)
    plain = time.monotonic()
    run_audit(world.evidence())
    plain = time.monotonic() - plain
    verdict, took = timed(world, lacks)
    assert verdict.holds, verdict.finding
    assert took < 3 * plain + PATIENCE + 5
    assert verdict.participants[0].name == "Hospital 2", "who stayed is read first"
    (unread,) = (note for note in verdict.notes if note.startswith("Not read in the time"))
    assert "the identity of participant 1" in unread
    assert len(unread) < 1000
    assert (f"and {GHOSTS - 16} more" in unread) == (count == GHOSTS)


def test_a_store_that_knows_at_once_that_it_has_nothing_costs_no_time(world: World) -> None:
    lacks = ghosts(world, 40)
    store = MemoryStore()
    store.blocks = {
        cid: data for cid, data in world.store.blocks.items() if cid.digest not in lacks
    }
    verdict = run_audit(replace(world.evidence(), store=store))
    assert verdict.holds
    told = [note for note in verdict.notes if "not to be believed" in note]
    assert len(told) == 17, "16 of them, and how many more"
    assert told[-1] == "24 more identities are not to be believed."


def test_an_invited_participant_must_be_known() -> None:
    world = World(Setting.draw(random.Random(1), terms(draw(random.Random(1), open="false"))))
    world.create()
    world.join(2, 10)
    cid = next(cid for cid, data in world.store.blocks.items() if b"Hospital 2" in data)
    del world.store.blocks[cid]
    verdict = run_audit(world.evidence())
    assert verdict.finding is not None
    assert verdict.finding.subject == "the identity of participant 0"


def test_erasures_that_nobody_has_cost_a_fixed_time() -> None:
    scene = Scene.form(sealed=False).play(1)
    scene.settle()
    for number in range(1, 60):
        scene.world.amend_dataset(1, erasure=Digest(number.to_bytes(32, "big")))
    verdict, took = timed(scene.world, set())
    assert verdict.holds, verdict.finding
    assert took < PATIENCE + 5
    assert any(note.startswith("Not read in the time") for note in verdict.notes)


def test_an_erasure_is_waited_for_where_it_excuses() -> None:
    """Behind many that nobody has, too."""
    scene = Scene.form(sealed=False).play(1)
    scene.settle()
    for number in range(1, 60):
        scene.world.amend_dataset(1, erasure=Digest(number.to_bytes(32, "big")))
    declare(scene, 0, [0])
    gone = {cid.digest for cid in scene.updates[0, 0].blocks} - {
        scene.updates[0, 0].roots[0].digest
    }
    verdict, took = timed_without(scene, gone)
    assert (verdict.word, verdict.finding) == ("erased", None)
    assert took < 20


def timed_without(scene: Scene, gone: set[Digest]) -> tuple[Verdict, float]:
    """What was erased is known at once not to be there; what was only named is looked for."""

    class Erased(Hanging):
        def get(self, cid: CID) -> bytes:
            if cid.digest in gone:
                raise BlockNotFound(cid, "here")
            return super().get(cid)

    store = Erased(scene.world.store.blocks, lacks=gone)
    started = time.monotonic()
    try:
        verdict = run_audit(replace(scene.world.evidence(), store=store))
        return verdict, time.monotonic() - started
    finally:
        store.over.set()


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_record_is_read_once_though_two_threads_come_to_it(cancelled: bool) -> None:
    """The one of its kind, and one that was started because a finding depends on it."""
    read = list[int]()
    task = Task("x", lambda: read.append(1), lambda _: None, Future[None]())
    if cancelled:
        task.outcome.cancel()
    for _ in range(2):
        task.run()
    assert read == ([] if cancelled else [1])
    assert task.outcome.cancelled() == cancelled


def test_what_is_read_for_notes_is_rationed_and_only_read() -> None:
    whole = MemoryStore()
    blocks = [Artefact.of(Codec.RAW, bytes([n]) * 4) for n in range(3)]
    for artefact in blocks[:2]:
        whole.put(artefact)
    first, second, absent = (artefact.roots[0] for artefact in blocks)
    store = Rationed(whole, 5)
    assert [store.has(cid) for cid in (first, second, absent)] == [True, True, False]
    assert list(store.sized(4)) == list(whole.sized(4))
    # A block is given while any byte is left.
    assert (store.get(first), store.get(second)) == (bytes([0] * 4), bytes([1] * 4))
    with pytest.raises(BlockNotFound, match="too much was read for notes before it"):
        store.get(first)
    for write in (lambda: store.put(blocks[2]), lambda: store.remove([first])):
        with pytest.raises(NotImplementedError):
            write()
    assert whole.has(first)
    assert not whole.has(absent)


def test_no_thread_is_left_where_all_is_read() -> None:
    threads = active_count()
    beside, read = Aside(MemoryStore()), list[int]()
    for number in range(200):
        beside.later("names", "x", lambda number=number: number, lambda found: read.append(found()))  # type: ignore[misc]
    assert beside.finish() == []
    assert read == list(range(200))
    for _ in range(100):
        if active_count() <= threads:
            break
        time.sleep(0.02)
    assert active_count() <= threads
