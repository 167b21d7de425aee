"""Erasures by declaration: an update's own blocks go and nothing else, whatever its header says."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fednode.auditing import run_audit
from ledger import cbor
from ledger.artefacts import ResultReader
from ledger.cid import CID, Codec
from ledger.erasure import Erasure, LetGo, declarations, find, honour, let_go
from ledger.headers import UpdateHeader
from ledger.payload import Index
from ledger.stores import Artefact, BlockNotFound, ContentStore, MemoryStore
from ledger.stores.kubo import KuboStore
from ledger.types import Digest, FederationId, ParticipantId, RoundIndex
from tests.engines import start_kubo
from tests.ledger.sealing.scene import AUDITOR, Scene, vault
from tests.ledger.sealing.test_audit import declare, record_of
from tests.tamper.world import identity

HOSTILE, VICTIM, OTHER = 1, 0, 2
Forge = Callable[["Play"], Digest]


def word(scene: Scene) -> str:
    return run_audit(scene.world.evidence(), vault=vault(AUDITOR)).word


def honoured(scene: Scene, store: ContentStore) -> LetGo:
    replica = scene.world.replica
    return honour(store, replica, list(declarations(store, replica.state)))


def header_of(artefact: Artefact) -> UpdateHeader:
    return UpdateHeader.decode(artefact.blocks[artefact.roots[0]])


def index_of(scene: Scene, artefact: Artefact) -> Index:
    data = artefact.blocks[CID(Codec.DAG_CBOR, header_of(artefact).index)]
    return Index.decode(data, enveloped=bool(scene.world.header.visibility))


@dataclass(slots=True)
class Play:
    """A scene in whose second round a hostile participant's header names what it likes."""

    scene: Scene
    foreign: Artefact

    @classmethod
    def begin(cls, *, sealed: bool) -> "Play":
        scene = Scene.form(sealed=sealed)
        for index in (VICTIM, HOSTILE, OTHER):
            scene.commit(index)
        scene.propose()
        # Another federation's update in the same store: only its federation tells it apart.
        digest, artefact = scene.update(OTHER, scene.world.replica.fresh(scene.round))
        header = header_of(artefact)
        common = replace(header.common, federation=FederationId(bytes(32)))
        head = Artefact.of(Codec.RAW, replace(header, common=common).encode())
        blocks = {cid: data for cid, data in artefact.blocks.items() if cid.digest != digest}
        foreign = Artefact((*head.roots, *artefact.roots[1:]), {**head.blocks, **blocks})
        scene.world.store.put(foreign)
        return cls(scene, foreign)

    def attack(self, *, index: Digest | None = None, record: Digest | None = None) -> Artefact:
        """Play on with a header that names other things; its author declares it erased."""
        scene = self.scene
        self.scene.commit(VICTIM)
        _, artefact = scene.update(HOSTILE, scene.world.replica.fresh(scene.round))
        header = header_of(artefact)
        header = replace(
            header,
            index=index or header.index,
            training=record or header.training,
            evaluation=record or header.evaluation,
        )
        head = Artefact.of(Codec.RAW, header.encode())
        scene.world.store.put(artefact)
        scene.world.store.put(head)
        scene.world.commit(HOSTILE, head.roots[0].digest)
        scene.commit(OTHER)
        scene.propose()
        scene.settle()
        declare(scene, HOSTILE, [1])
        return artefact

    def link(self, name: str) -> CID:
        """Give a link in the first result's index."""
        index = self.scene.world.replica.state.lineage[0].proposal.index
        record = cbor.decode(self.scene.world.store.get(CID(Codec.DAG_CBOR, index)))
        assert isinstance(record, dict)
        link = record[name]
        link = link[0] if isinstance(link, list) else link
        assert isinstance(link, CID)
        return link


def _victims_header(play: Play) -> Digest:
    return play.scene.updates[0, VICTIM].roots[0].digest


def _victims_training(play: Play) -> Digest:
    return header_of(play.scene.updates[0, VICTIM]).training


def _identity(play: Play) -> Digest:
    return play.scene.world.replica.state.participants[OTHER].identity


def _erasure_record(play: Play) -> Digest:
    """Name a record that somebody will declare only later."""
    return record_of(play.scene, OTHER, []).roots[0].digest


def _result(play: Play) -> Digest:
    return play.scene.world.replica.state.lineage[0].result


def _results_index(play: Play) -> Digest:
    return play.scene.world.replica.state.lineage[0].proposal.index


def _utilities(play: Play) -> Digest:
    return play.link("utilities").digest


def _policy(play: Play) -> Digest:
    return play.scene.world.header.digest()


def _rest(play: Play) -> Digest:
    return play.scene.world.header.rest


def _foreign_training(play: Play) -> Digest:
    return header_of(play.foreign).training


def _foreign_header(play: Play) -> Digest:
    return play.foreign.roots[0].digest


def _foreign_identity(play: Play) -> Digest:
    record = identity(99)
    play.scene.world.store.put(record)
    return record.roots[0].digest


def _foreign_erasure(play: Play) -> Digest:
    erasure = Erasure(FederationId(bytes(32)), ParticipantId(0), (RoundIndex(0),), 0)
    play.scene.world.store.put(erasure.artefact())
    return erasure.artefact().roots[0].digest


RECORDS = [
    _victims_header,
    _victims_training,
    _identity,
    _erasure_record,
    _result,
    _results_index,
    _utilities,
    _policy,
    _rest,
    _foreign_training,
    _foreign_header,
    _foreign_identity,
    _foreign_erasure,
]


def _victims_payload(play: Play) -> Digest:
    return header_of(play.scene.updates[0, VICTIM]).index


def _foreign_payload(play: Play) -> Digest:
    return header_of(play.foreign).index


def _initial_model(play: Play) -> Digest:
    return play.scene.world.replica.link("initial")


def _models_payload(play: Play) -> Digest:
    return play.link("model").digest


def _copied_index(source: Forge) -> Forge:
    """Make an index of one's own over the blocks that another one lists."""

    def forge(play: Play) -> Digest:
        store = play.scene.world.store
        record = cbor.decode(store.get(CID(Codec.DAG_CBOR, source(play))))
        assert isinstance(record, dict)
        listed = record["blocks"]
        size = record["size"]
        if play.scene.world.header.visibility:
            own = play.scene.updates[0, HOSTILE]
            copied = {
                "size": size,
                "blocks": listed,
                "envelope": index_of(play.scene, own).envelope,
            }
        else:
            # Text keys in another order would be the same record.
            copied = {"size": size, "blocks": listed}
        artefact = Artefact.of(Codec.DAG_CBOR, cbor.encode(copied))
        store.put(artefact)
        return artefact.roots[0].digest

    return forge


PAYLOADS = [_victims_payload, _foreign_payload, _initial_model, _models_payload]


@pytest.mark.parametrize("sealed", [False, True], ids=["clear", "sealed"])
@pytest.mark.parametrize("forge", RECORDS, ids=lambda forge: forge.__name__)
def test_nobody_erases_what_is_not_its_updates_own_record(forge: Forge, sealed: bool) -> None:
    play = Play.begin(sealed=sealed)
    named = forge(play)
    own = play.attack(record=named)
    scene = play.scene
    later = record_of(scene, OTHER, [])
    scene.world.store.put(later)
    scene.world.amend_dataset(OTHER, erasure=later.roots[0].digest)
    before, said = dict(scene.world.store.blocks), word(scene)
    assert said in ("holds", "erased")
    honoured(scene, scene.world.store)
    assert set(before) - set(scene.world.store.blocks) <= set(own.blocks) - {own.roots[0]}
    assert word(scene) == said


@pytest.mark.parametrize("sealed", [False, True], ids=["clear", "sealed"])
@pytest.mark.parametrize("copied", [False, True], ids=["theirs", "copied"])
@pytest.mark.parametrize("forge", PAYLOADS, ids=lambda forge: forge.__name__)
def test_nobody_erases_what_is_not_its_updates_own_payload(
    forge: Forge, copied: bool, sealed: bool
) -> None:
    play = Play.begin(sealed=sealed)
    named = (_copied_index(forge) if copied else forge)(play)
    own = play.attack(index=named)
    scene = play.scene
    before, said = dict(scene.world.store.blocks), word(scene)
    assert said in ("holds", "erased")
    honoured(scene, scene.world.store)
    gone = set(before) - set(scene.world.store.blocks)
    assert gone <= {CID(Codec.DAG_CBOR, named)} | set(own.blocks) - {own.roots[0]}
    assert word(scene) == said


def test_a_commit_to_somebody_elses_header_erases_nothing() -> None:
    """The header says whose update it is, and of which round."""
    scene = Scene.form(sealed=False)
    for index in (VICTIM, HOSTILE, OTHER):
        scene.commit(index)
    scene.propose()
    scene.world.commit(HOSTILE, scene.updates[0, VICTIM].roots[0].digest)
    scene.commit(VICTIM)
    scene.commit(OTHER)
    scene.propose()
    scene.settle()
    declare(scene, HOSTILE, [1])
    assert honoured(scene, scene.world.store) == LetGo(0, 0)


def test_who_cannot_open_an_update_leaves_its_records() -> None:
    """They may be anybody's, and nobody reads them once the envelope is gone."""
    scene = Scene.form(sealed=True).play()
    declare(scene, HOSTILE, [1])
    scene.world.replica._vault = vault()
    artefact = scene.updates[1, HOSTILE]
    training = CID(Codec.RAW, header_of(artefact).training)
    honoured(scene, scene.world.store)
    left = {cid for cid in artefact.blocks if scene.world.store.has(cid)}
    assert left == {artefact.roots[0], training}
    replica = scene.world.replica
    known = list(declarations(scene.world.store, replica.state))
    assert honour(scene.world.store, replica, known, made=[training]) == LetGo(1, 0)


def test_what_an_update_has_come_to_refer_to_since_stays() -> None:
    scene = Scene.form(sealed=False).play(2)
    scene.settle()
    declare(scene, VICTIM, [0])
    store, replica = scene.world.store, scene.world.replica
    found = find(store, replica, list(declarations(store, replica.state)))
    theirs = header_of(scene.updates[0, VICTIM])
    assert CID(Codec.DAG_CBOR, theirs.index) in found.indexes
    _, artefact = scene.update(HOSTILE, replica.fresh(scene.round))
    copy = replace(header_of(artefact), index=theirs.index, payload_root=theirs.payload_root)
    head = Artefact.of(Codec.RAW, copy.encode())
    store.put(head)
    scene.world.commit(HOSTILE, head.roots[0].digest)
    assert let_go(store, replica, found).kept == 0
    kept = index_of(scene, scene.updates[0, VICTIM]).blocks
    assert all(store.has(cid) for cid in (*kept, CID(Codec.DAG_CBOR, theirs.index)))
    assert not store.has(CID(Codec.DAG_CBOR, theirs.training))


class Interrupted(MemoryStore):
    """A store that stops after a number of removals."""

    def __init__(self, blocks: dict[CID, bytes], left: int) -> None:
        super().__init__()
        self.blocks = dict(blocks)
        self.left = left

    def remove(self, cids: Sequence[CID], *, roots: Collection[CID] = ()) -> list[CID]:
        return super().remove(cids[: self.left], roots=roots)


@pytest.mark.parametrize("sealed", [False, True], ids=["clear", "sealed"])
def test_who_was_stopped_finds_the_rest_again(sealed: bool) -> None:
    scene = Scene.form(sealed=sealed).play()
    declare(scene, HOSTILE, [0, 1])
    whole = Interrupted(scene.world.store.blocks, 1000)
    total = honoured(scene, whole).gone
    for stop in range(total):
        store = Interrupted(scene.world.store.blocks, stop)
        honoured(scene, store)
        store.left = 1000
        honoured(scene, store)
        assert set(store.blocks) == set(whole.blocks)


class Lonely(MemoryStore):
    """A store whose node asks its peers, for long and in vain; has none of what was asked for."""

    def get(self, cid: CID) -> bytes:
        assert self.has(cid), "asked its peers"
        return super().get(cid)


def test_nothing_is_fetched_to_be_erased() -> None:
    scene = Scene.form(sealed=False).play()
    declare(scene, HOSTILE, [0, 1])
    replica = scene.world.replica
    known = list(declarations(scene.world.store, replica.state))
    for missing in scene.updates[0, HOSTILE].blocks:
        store = Lonely()
        store.blocks = {c: d for c, d in scene.world.store.blocks.items() if c != missing}
        honour(store, replica, known)
    assert honour(Lonely(), replica, known) == LetGo(0, 0)


# -- on Kubo


@pytest.fixture
def node(tmp_path: Path) -> Iterator[KuboStore]:
    """Start a node of the test's own: what another test pins there would stay."""
    with start_kubo(tmp_path) as kubo:
        store = KuboStore(kubo.multiaddr, timeout=5)
        yield store


def mirrored(scene: Scene, store: KuboStore) -> None:
    """Give a node what the scene's store has, everything pinned, whatever links to what."""
    blocks = scene.world.store.blocks
    store.put(Artefact(tuple(blocks), blocks))


def test_what_another_root_pins_stops_nobody(node: KuboStore) -> None:
    """A header names what a record of somebody else's links to, and pins."""
    play = Play.begin(sealed=False)
    child = Artefact.of(Codec.DAG_CBOR, cbor.encode(["somebody's", "record"]))
    above = Artefact.of(Codec.DAG_CBOR, cbor.encode([child.roots[0]]))
    pinned = Artefact(above.roots, {**above.blocks, **child.blocks})
    play.scene.world.store.put(pinned)
    play.attack(record=child.roots[0].digest)
    node.put(pinned)
    blocks = {c: d for c, d in play.scene.world.store.blocks.items() if c not in child.blocks}
    node.put(Artefact(tuple(blocks), {**blocks, **child.blocks}))
    for _ in range(2):
        assert honoured(play.scene, node).kept == 1
    assert node.get(child.roots[0]) == child.blocks[child.roots[0]]


@pytest.mark.parametrize("forge", [_foreign_payload, _victims_payload, _foreign_training])
def test_what_another_federation_pins_stays_pinned(forge: Forge, node: KuboStore) -> None:
    play = Play.begin(sealed=False)
    named = forge(play)
    if forge is _foreign_training:
        play.attack(record=named)
    else:
        play.attack(index=named)
    mirrored(play.scene, node)
    before = set(node._pinned())
    honoured(play.scene, node)
    for artefact in (play.foreign, play.scene.updates[0, VICTIM]):
        assert set(artefact.roots) <= before & set(node._pinned())
        assert all(node.has(cid) for cid in artefact.blocks)


@pytest.mark.parametrize("forge", [_initial_model, _models_payload])
def test_what_a_node_has_only_fetched_stays_too(forge: Forge, node: KuboStore) -> None:
    """Nodes pin neither the policy's records nor results that they did not vote for."""
    play = Play.begin(sealed=False)
    named = forge(play)
    play.attack(index=named)
    mirrored(play.scene, node)
    for cid in node._pinned():
        node._unpin(cid)
    honoured(play.scene, node)
    data = play.scene.world.store.get(CID(Codec.DAG_CBOR, named))
    assert all(node.has(cid) for cid in Index.decode(data).blocks)


@pytest.mark.parametrize("sealed", [False, True], ids=["clear", "sealed"])
def test_an_erased_update_leaves_kubo(sealed: bool, node: KuboStore) -> None:
    scene = Scene.form(sealed=sealed).play()
    declare(scene, HOSTILE, [1])
    for artefact in scene.updates.values():
        node.put(artefact)
    mine = scene.updates[1, HOSTILE]
    scene.world.store.put(record_of(scene, HOSTILE, [1]))
    replica = scene.world.replica
    known = list(declarations(scene.world.store, replica.state))
    assert honour(node, replica, known) == LetGo(len(mine.blocks) - 1, 0)
    assert [cid for cid in mine.blocks if node.has(cid)] == [mine.roots[0]]
    for (round_, index), artefact in scene.updates.items():
        if (round_, index) != (1, HOSTILE):
            assert all(node.has(cid) for cid in artefact.blocks)
    with pytest.raises(BlockNotFound):
        node.get(CID(Codec.DAG_CBOR, header_of(mine).index))


def test_results_are_still_read(node: KuboStore) -> None:
    """What a result links to is its own, also where an update's header names it."""
    play = Play.begin(sealed=False)
    play.attack(index=_models_payload(play))
    mirrored(play.scene, node)
    honoured(play.scene, node)
    state = play.scene.world.replica.state
    accepted = state.lineage[0]
    known = state.rounds[accepted.round].known
    reader = ResultReader(node, accepted.result, accepted.proposal.index, participants=known)
    assert len(reader.model(play.scene.world.header.leaves))
