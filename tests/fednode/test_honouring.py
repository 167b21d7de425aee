"""Nodes let go of what was erased beside their steps: nothing that is declared keeps one from going
on.
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from types import SimpleNamespace
from typing import ParamSpec, TypeVar, cast

import pytest

from fednode.honouring import MISSES, Honouring
from fednode.strangers import BYTES, Identities
from ledger.cid import CID, Codec
from ledger.state import FederationState
from ledger.stores import Artefact, BlockNotFound, MemoryStore, StoreUnreachable
from ledger.types import Digest
from tests.ledger.sealing.scene import Scene
from tests.ledger.sealing.test_audit import declare, record_of

OWNER, HOSTILE = 0, 1
P = ParamSpec("P")
T = TypeVar("T")


class AtOnce(ThreadPoolExecutor):
    """Does what is submitted before it returns."""

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future = super().submit(function, *args, **kwargs)
        future.exception()
        return future


@dataclass
class Node(MemoryStore):
    """A node's store: what it lacks its peers are asked for, and it counts how often."""

    peers: dict[CID, bytes] = field(default_factory=dict)
    asked: Counter[CID] = field(default_factory=Counter)
    down: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    def get(self, cid: CID) -> bytes:
        if cid not in self.blocks:
            self.asked[cid] += 1
            if cid not in self.peers:
                raise BlockNotFound(cid, "peers")
            self.blocks[cid] = self.peers[cid]
        return super().get(cid)

    def remove(self, cids: Sequence[CID], *, roots: Collection[CID] = ()) -> list[CID]:
        if self.down:
            raise StoreUnreachable("node", "connection refused")
        return super().remove(cids, roots=roots)


def node_of(scene: Scene) -> Node:
    node = Node()
    node.blocks = dict(scene.world.store.blocks)
    return node


def settle(honouring: Honouring, scene: Scene) -> int:
    """Step until nothing is left for this round; give the number of steps."""
    for steps in range(1, 100):
        if not honouring.step(scene.world.replica):
            return steps
    raise AssertionError("it never comes to an end")


def unknown(number: int) -> Digest:
    return Digest(number.to_bytes(32, "big"))


def played() -> Scene:
    scene = Scene.form(sealed=False).play(1)
    scene.settle()
    return scene


def test_records_that_nobody_has_are_asked_for_a_few_times() -> None:
    scene = played()
    for number in range(1, 31):
        scene.world.amend_dataset(HOSTILE, erasure=unknown(number))
    node = node_of(scene)
    honouring = Honouring(node, AtOnce())
    settle(honouring, scene)
    assert sum(node.asked.values()) == MISSES
    settle(honouring, scene)
    assert sum(node.asked.values()) == MISSES
    scene.play(1)
    settle(honouring, scene)
    assert sum(node.asked.values()) == 2 * MISSES
    assert max(node.asked.values()) == 1, "those that were not asked for come first"


def test_who_declares_many_keeps_nobody_elses_waiting() -> None:
    scene = played()
    for number in range(1, 31):
        scene.world.amend_dataset(HOSTILE, erasure=unknown(number))
    declare(scene, OWNER, [0])
    node = node_of(scene)
    record = record_of(scene, OWNER, [0])
    del node.blocks[record.roots[0]]
    node.peers.update(record.blocks)
    settle(Honouring(node, AtOnce()), scene)
    index = CID(Codec.DAG_CBOR, _index(scene))
    assert not node.has(index)
    assert node.has(record.roots[0]), "an audit needs it"


def _index(scene: Scene) -> Digest:
    artefact = scene.updates[0, OWNER]
    return next(root.digest for root in artefact.roots if root.codec is Codec.DAG_CBOR)


def test_a_step_waits_for_no_record() -> None:
    scene = played()
    scene.world.amend_dataset(HOSTILE, erasure=unknown(1))
    node, come = node_of(scene), Event()
    waiting = node.get

    def get(cid: CID) -> bytes:
        assert come.wait(20)
        return waiting(cid)

    node.get = get  # type: ignore[method-assign]
    honouring = Honouring(node, ThreadPoolExecutor(1))
    assert [honouring.step(scene.world.replica) for _ in range(9)] == [True] * 9
    come.set()


def test_a_record_that_comes_late_is_honoured() -> None:
    scene = played()
    declare(scene, OWNER, [0])
    node, record = node_of(scene), record_of(scene, OWNER, [0])
    del node.blocks[record.roots[0]]
    honouring = Honouring(node, AtOnce())
    settle(honouring, scene)
    index = CID(Codec.DAG_CBOR, _index(scene))
    assert node.has(index)
    node.peers.update(record.blocks)
    scene.play(1)
    settle(honouring, scene)
    assert not node.has(index)


def test_nothing_is_done_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = played()
    declare(scene, OWNER, [0])
    node, looked = node_of(scene), Counter[str]()
    sized = node.sized

    def counted(size: int) -> Iterator[tuple[CID, bytes]]:
        looked["sized"] += 1
        return sized(size)

    monkeypatch.setattr(node, "sized", counted)
    honouring = Honouring(node, AtOnce())
    for _ in range(3):
        settle(honouring, scene)
    assert looked["sized"] == 1


@pytest.mark.parametrize("bad", [b"\xff", b"\xa0", b"\xa1\x61a\xd8\x2a"], ids=["no", "map", "cut"])
def test_what_is_no_record_is_read_once(bad: bytes) -> None:
    scene = played()
    record = Artefact.of(Codec.DAG_CBOR, bad)
    scene.world.amend_dataset(HOSTILE, erasure=record.roots[0].digest)
    node = node_of(scene)
    node.peers.update(record.blocks)
    honouring = Honouring(node, AtOnce())
    settle(honouring, scene)
    scene.play(1)
    settle(honouring, scene)
    assert node.asked[record.roots[0]] == 1


def test_what_is_no_record_counts_by_its_bytes() -> None:
    """Blocks of no use are as long as a stranger likes."""
    scene = played()
    size = BYTES // 4
    large = [Artefact.of(Codec.DAG_CBOR, bytes([number]) * size) for number in range(30)]
    for record in large:
        scene.world.amend_dataset(HOSTILE, erasure=record.roots[0].digest)
    node = node_of(scene)
    for record in large:
        node.peers.update(record.blocks)
    honouring = Honouring(node, AtOnce())
    settle(honouring, scene)
    assert sum(node.asked.values()) == 4
    identities = Identities(node, AtOnce())
    named = [SimpleNamespace(identity=record.roots[0].digest, until=None) for record in large[9:]]
    state = cast("FederationState", SimpleNamespace(rounds=[], participants=named))
    while identities.step(state):
        pass
    assert sum(node.asked.values()) == 8


def test_a_store_that_fails_is_asked_again_in_the_next_round(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene = played()
    declare(scene, OWNER, [0])
    node, index = node_of(scene), CID(Codec.DAG_CBOR, _index(scene))
    node.down = True
    honouring = Honouring(node, AtOnce())
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            settle(honouring, scene)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    node.down = False
    settle(honouring, scene)
    assert node.has(index)
    scene.play(1)
    settle(honouring, scene)
    assert not node.has(index)


def test_what_a_reorganisation_took_back_stays() -> None:
    scene = played()
    declare(scene, OWNER, [0])
    node, index = node_of(scene), CID(Codec.DAG_CBOR, _index(scene))
    honouring = Honouring(node, AtOnce())
    while honouring._finding is None:
        honouring.step(scene.world.replica)
    dataset = scene.world.replica.state.participants[OWNER].datasets.pop()
    assert not honouring.step(scene.world.replica)
    assert node.has(index)
    scene.world.replica.state.participants[OWNER].datasets.append(dataset)
    settle(honouring, scene)
    assert not node.has(index)
