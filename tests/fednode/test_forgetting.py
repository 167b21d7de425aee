"""Forgetting: declared first, destroyed then, and nothing of others'."""

import json
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from fednode.data.commitment import commit, commit_salted
from fednode.data.splits import Splits
from fednode.data.table import Table
from fednode.errors import FedNodeError
from fednode.federation import Federation
from fednode.forgetting import Plan, begin, done, finish, lost, pending, plan, updates_of
from fednode.kept_rows import KeptRows, read_kept, without_forgotten
from fednode.membership import (
    SECRET,
    committed,
    require_committed,
    shown_shard,
    site_secret,
)
from fednode.roles.journal import Journal, PreparedUpdate, private_tensors
from fednode.site import Site
from ledger.cid import CID, Codec
from ledger.erasure import Erasure, declarations, honour
from ledger.headers import UpdateHeader
from ledger.members import Dataset, Participant
from ledger.replica import Replica
from ledger.state import FederationState
from ledger.stores import Artefact, MemoryStore
from ledger.types import Digest, FederationId, ParticipantId, RoundIndex
from tests.ledger.sealing.scene import Scene, vault

ROWS = 20
OWNER = 1


def table(rows: int = ROWS) -> Table:
    features = np.arange(3 * rows, dtype=np.int32).reshape(rows, 3)
    return Table(features, np.arange(rows) % 2, np.zeros(rows, dtype=np.int64))


def site_of(rows: Table) -> Site:
    places = np.arange(len(rows), dtype=np.int64)
    return Site("north", rows, Splits(places[::2], places[1::4], places[3::4]))


@dataclass
class Desk:
    """A participant's node beside the scene: its journal, its rows, and the chain as it sees it."""

    scene: Scene
    journal: Path
    site: Site
    honoured: int = 0
    mined: bool = True
    sent: list[Plan] = field(default_factory=list)

    @property
    def id(self) -> FederationId:
        return self.scene.world.federation

    @property
    def store(self) -> MemoryStore:
        return self.scene.world.store

    @property
    def state(self) -> FederationState:
        return self.scene.world.replica.state

    @property
    def member(self) -> Participant:
        return self.state.participants[OWNER]

    def refresh(self) -> FederationState:
        return self.state

    @property
    def replica(self) -> Replica:
        return self.scene.world.replica

    def declare(self, left: Plan, erasure: Digest) -> None:
        self.sent.append(left)
        if self.mined:
            root = Digest(bytes.fromhex(left.root))
            self.scene.world.amend_dataset(OWNER, root=root, rows=left.rows, erasure=erasure)

    def plan(self, rounds: list[int], rows: list[int]) -> Plan:
        return plan(self.state, self.member, self.site, self.journal, rounds=rounds, rows=rows)

    def finish(self, planned: Plan) -> Digest:
        done = finish(self, self.journal, planned, self.declare)
        self.honoured += done.blocks.gone
        return done.record


@pytest.fixture(params=[False, True], ids=["clear", "sealed"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    scene = Scene.form(sealed=request.param).play()
    site = site_of(table())
    left = commit(site.train, site_secret(tmp_path))
    member = scene.world.replica.state.participants[OWNER]
    member.datasets[-1] = Dataset(left.root, left.rows, RoundIndex(0))
    journal = Journal(tmp_path, scene.world.federation)
    for round_ in range(3):
        artefact = scene.updates[round_, OWNER]
        digest = artefact.roots[0].digest
        journal.save_update(round_, PreparedUpdate(digest, artefact, {}))
    return Desk(scene, tmp_path, site)


def let_go(store: MemoryStore, desk: Desk) -> int:
    """Let a node with a store of its own honour what was declared."""
    known = list(declarations(store, desk.state))
    return honour(store, desk.replica, known).gone


def blocks_of(desk: Desk, participant: int, round_: int) -> set[CID]:
    return set(desk.scene.updates[round_, participant].blocks)


def header_of(desk: Desk, participant: int, round_: int) -> CID:
    return desk.scene.updates[round_, participant].roots[0]


# -- several federations


def test_another_federations_erasure_is_not_declared_in_this_one(desk: Desk) -> None:
    """Sites keep one journal for all their federations: places and rounds are numbered alike."""
    forget(desk, 2)
    kept = done(desk.journal)
    assert kept[0].federation == desk.id.hex()
    elsewhere = cast("Federation", SimpleNamespace(id=FederationId(bytes(32)), state=desk.state))
    desk.member.datasets.pop()
    assert [each.participant for each in lost(desk, desk.journal)] == [OWNER]
    assert lost(elsewhere, desk.journal) == []


def test_another_federations_plan_is_not_carried_out_in_this_one(desk: Desk) -> None:
    planned = desk.plan([1], [])
    begin(desk.journal, planned.model_copy(update={"federation": "00" * 32}))
    found = pending(desk.journal)
    assert found is not None
    with pytest.raises(FedNodeError, match="0000: run `fednode forget --resume` with that"):
        desk.finish(found)
    assert not desk.sent
    assert Journal(desk.journal, desk.id).update(1) is not None


# -- updates


def test_updates_are_erased_and_declared(desk: Desk) -> None:
    before = set(desk.store.blocks)
    planned = desk.plan([0, 2], [])
    begin(desk.journal, planned)
    digest = desk.finish(planned)
    record = Erasure.read(desk.store, digest)
    assert (record.participant, record.rounds, record.rows) == (OWNER, (0, 2), 0)
    gone = before - set(desk.store.blocks)
    expected = blocks_of(desk, OWNER, 0) | blocks_of(desk, OWNER, 2)
    assert gone == expected - {header_of(desk, OWNER, 0), header_of(desk, OWNER, 2)}
    journal = Journal(desk.journal, desk.id)
    assert [journal.update(round_) is None for round_ in range(3)] == [True, False, True]
    # The rows are the same, so the secret is still needed.
    assert (desk.journal / SECRET).exists()
    assert [left.rows for left in desk.sent] == [desk.member.datasets[0].rows]
    assert pending(desk.journal) is None


def test_every_other_node_lets_go_too(desk: Desk) -> None:
    other = MemoryStore()
    other.blocks.update(desk.store.blocks)
    planned = desk.plan([1], [])
    begin(desk.journal, planned)
    digest = desk.finish(planned)
    assert let_go(other, desk) == 0  # the record has not come to it yet
    other.put(Erasure.read(desk.store, digest).artefact())
    assert let_go(other, desk) == desk.honoured > 0
    assert set(other.blocks) == set(desk.store.blocks)
    assert let_go(other, desk) == 0


def test_nothing_is_destroyed_before_the_declaration_is_mined(desk: Desk) -> None:
    desk.mined = False
    before = dict(desk.store.blocks)
    planned = desk.plan([1], [0])
    begin(desk.journal, planned)
    with pytest.raises(FedNodeError, match="nothing was destroyed: run `fednode forget --resume`"):
        desk.finish(planned)
    assert before.items() <= desk.store.blocks.items()
    assert (desk.journal / SECRET).exists()
    with pytest.raises(FedNodeError, match="something else is being forgotten"):
        begin(desk.journal, desk.plan([2], []))
    desk.mined = True
    resumed = pending(desk.journal)
    assert resumed == planned
    desk.finish(planned)
    assert not (desk.journal / SECRET).exists()


def test_what_was_declared_is_not_declared_again(desk: Desk) -> None:
    planned = desk.plan([1], [4])
    begin(desk.journal, planned)
    desk.finish(planned)
    # Stopped before the plan was done with.
    begin(desk.journal, planned)
    desk.finish(planned)
    assert len(desk.sent) == 1


@pytest.mark.parametrize(
    ("rounds", "rows", "reason"),
    [
        ([3], [], "round 3 is not over"),
        ([0, 99], [], "round 99 is not over"),
        ([], [ROWS], "has no row 21"),
        ([], [-1], "has no row 0"),
        ([], list(range(ROWS)), "no row would be left"),
    ],
)
def test_what_cannot_be_declared_is_refused(
    desk: Desk, rounds: list[int], rows: list[int], reason: str
) -> None:
    with pytest.raises(FedNodeError, match=reason):
        desk.plan(rounds, rows)


def test_a_round_that_may_be_disputed_is_refused(tmp_path: Path) -> None:
    scene = Scene.form(sealed=False).play(1)
    desk = Desk(scene, tmp_path, site_of(table()))
    with pytest.raises(FedNodeError, match="round 0 is not over"):
        desk.plan([0], [])
    assert updates_of(desk.state, OWNER) == []
    scene.settle()
    assert updates_of(desk.state, OWNER) == [0]


def test_a_round_without_an_update_of_ours_is_refused(tmp_path: Path) -> None:
    scene = Scene.form(sealed=False)
    scene.commit(0)
    scene.commit(2)
    scene.settle()
    scene.propose()
    scene.settle()
    desk = Desk(scene, tmp_path, site_of(table()))
    with pytest.raises(FedNodeError, match="no update of yours in round 0"):
        desk.plan([0], [])


def test_what_others_refer_to_stays(desk: Desk) -> None:
    """Whoever names another's payload in its own header cannot erase it by that."""
    scene = Scene.form(sealed=bool(desk.scene.world.header.visibility))
    theirs = scene.commit(0)
    header = UpdateHeader.decode(scene.world.store.get(CID(Codec.RAW, theirs)))
    copy = replace(header, participant=OWNER)
    head = Artefact.of(Codec.RAW, copy.encode())
    scene.world.store.put(head)
    scene.world.commit(OWNER, head.roots[0].digest)
    scene.commit(2)
    scene.propose()
    scene.settle()
    record = Erasure(scene.world.federation, ParticipantId(OWNER), (RoundIndex(0),), 0).artefact()
    scene.world.store.put(record)
    scene.world.amend_dataset(OWNER, erasure=record.roots[0].digest)
    assert let_go(scene.world.store, Desk(scene, desk.journal, desk.site)) == 0
    assert all(scene.world.store.has(cid) for cid in scene.updates[0, 0].blocks)


def leftovers(desk: Desk) -> list[str]:
    found = (path.relative_to(desk.journal) for path in desk.journal.rglob(".*"))
    return sorted(map(str, found))


def test_what_a_killed_call_left_is_swept(desk: Desk) -> None:
    """Between a rename and the deletion after it, an update lies under another name."""
    planned = desk.plan([0, 1], [2])
    begin(desk.journal, planned)
    own = Journal(desk.journal, desk.id).folder
    for name, source in ((".old-x", "000000/update"), (".new-y", "000001/update")):
        (own / name).mkdir()
        (own / source).rename(own / name / "update")
    (desk.journal / ".new-z").write_text("the salts of the rows that are left", encoding="utf-8")
    assert len(leftovers(desk)) == 3
    resumed = pending(desk.journal)
    assert resumed == planned
    desk.finish(planned)
    assert leftovers(desk) == []
    assert [path.parts[-3] for path in own.rglob("artefact.car")] == ["000002"]
    assert pending(desk.journal) is None


def test_salts_are_private_from_the_start(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    replace_ = Path.replace

    def seen(path: Path, target: Path) -> Path:
        modes.append(stat.S_IMODE(path.stat().st_mode))
        return replace_(path, target)

    monkeypatch.setattr(Path, "replace", seen)
    forget(desk, 0)
    assert modes == [0o600]


def test_an_update_that_was_never_committed_is_dropped_too(tmp_path: Path) -> None:
    scene = Scene.form(sealed=False)
    scene.commit(0)
    _, missed = scene.update(OWNER, scene.world.replica.fresh(scene.round))
    scene.commit(2)
    scene.settle()
    scene.propose()
    scene.settle()
    site = site_of(table())
    left = commit(site.train, site_secret(tmp_path))
    desk = Desk(scene, tmp_path, site)
    desk.member.datasets[-1] = Dataset(left.root, left.rows, RoundIndex(0))
    journal = Journal(tmp_path, desk.id)
    journal.save_update(0, PreparedUpdate(missed.roots[0].digest, missed, {}))
    assert updates_of(desk.state, OWNER, kept=journal.updates()) == [0]
    planned = desk.plan([0], [])
    begin(desk.journal, planned)
    desk.finish(planned)
    assert journal.updates() == []
    assert desk.honoured == 0


def test_private_tensors_stay(desk: Desk) -> None:
    """They were never published: without them the site's model is another."""
    journal = Journal(desk.journal, desk.id)
    lineage = [a.round for a in desk.state.lineage]
    for round_ in range(3):
        update = journal.update(round_)
        assert update is not None
        private = {"bias": np.array([round_ + 1], dtype=np.int32)}
        journal.forget_update(round_)
        journal.save_update(round_, replace(update, private=private))
    task = SimpleNamespace(private_initial=lambda: {"bias": np.array([0], dtype=np.int32)})
    view = cast(Federation, SimpleNamespace(rulebook=SimpleNamespace(task=task), state=desk.state))

    def kept() -> list[list[int]]:
        heights = range(len(lineage) + 1)
        return [private_tensors(view, journal, height)["bias"].tolist() for height in heights]

    before = kept()
    assert before[-1] == [3]
    planned = desk.plan([0, 2], [])
    begin(desk.journal, planned)
    desk.finish(planned)
    assert journal.updates() == [1]
    assert kept() == before


def test_a_sealed_record_goes_though_its_owner_has_lost_the_key(tmp_path: Path) -> None:
    """Its journal says that the record is its own."""
    scene = Scene.form(sealed=True).play()
    scene.world.replica._vault = vault()
    site = site_of(table())
    left = commit(site.train, site_secret(tmp_path))
    desk = Desk(scene, tmp_path, site)
    desk.member.datasets[-1] = Dataset(left.root, left.rows, RoundIndex(0))
    artefact = scene.updates[1, OWNER]
    journal = Journal(tmp_path, desk.id)
    journal.save_update(1, PreparedUpdate(artefact.roots[0].digest, artefact, {}))
    planned = desk.plan([1], [])
    begin(desk.journal, planned)
    desk.finish(planned)
    assert [cid for cid in artefact.blocks if desk.store.has(cid)] == [artefact.roots[0]]


# -- rows


def test_rows_and_their_salts_are_forgotten(desk: Desk) -> None:
    before = committed(desk.site, desk.journal)
    planned = desk.plan([], [0, 3, 4, 6])  # 3 is no training row
    begin(desk.journal, planned)
    desk.finish(planned)
    assert (desk.member.datasets[-1].rows, planned.erased) == (before.rows - 3, 3)
    assert not (desk.journal / SECRET).exists()
    kept = read_kept(desk.journal)
    assert kept is not None
    assert stat.S_IMODE((desk.journal / "rows.json").stat().st_mode) == 0o600
    remembered = "".join(path.read_text() for path in desk.journal.glob("*.json"))
    for place, salt in zip(desk.site.splits.train.tolist(), before.salts, strict=True):
        assert (salt.hex() in remembered) == (place not in (0, 4, 6))


def test_the_node_goes_on_with_the_file_without_the_rows(desk: Desk) -> None:
    gone = [0, 3, 4, 6]
    planned = desk.plan([], gone)
    begin(desk.journal, planned)
    desk.finish(planned)
    root = desk.member.datasets[-1].root
    with pytest.raises(FedNodeError, match="20 rows, and 16 were kept"):
        without_forgotten(desk.site, desk.journal)
    left = table().take(np.array([i for i in range(ROWS) if i not in gone]))
    site = without_forgotten(site_of(left), desk.journal)
    require_committed(site, desk.journal, root)
    for before, after in (
        (desk.site.train, site.train),
        (desk.site.valuation, site.valuation),
    ):
        kept = [tuple(row) for row in before.features.tolist() if row[0] // 3 not in gone]
        assert [tuple(row) for row in after.features.tolist()] == kept
    others = table().take(np.array([i for i in range(ROWS) if i not in (0, 3, 4, 8)]))
    with pytest.raises(FedNodeError, match="are not those that this account joined with"):
        require_committed(without_forgotten(site_of(others), desk.journal), desk.journal, root)


def test_more_can_be_forgotten_later(desk: Desk) -> None:
    first = desk.plan([], [0])
    begin(desk.journal, first)
    desk.finish(first)
    rest = table().take(np.arange(1, ROWS))
    desk.site = without_forgotten(site_of(rest), desk.journal)
    second = desk.plan([0], [1])  # row 2 of the first file
    begin(desk.journal, second)
    desk.finish(second)
    last = without_forgotten(site_of(rest.take(np.array([0, *range(2, ROWS - 1)]))), desk.journal)
    require_committed(last, desk.journal, desk.member.datasets[-1].root)
    assert last.train.features[:, 0].tolist() == [3 * i for i in range(4, ROWS, 2)]


def test_other_rows_than_those_on_the_chain_are_refused(desk: Desk) -> None:
    desk.site = site_of(table(ROWS - 2))
    with pytest.raises(FedNodeError, match="are not those on the chain"):
        desk.plan([], [0])


def test_the_salts_that_are_left_give_the_same_leaves() -> None:
    site = site_of(table())
    whole = commit(site.train, bytes(32))
    assert commit_salted(site.train, whole.salts) == whole


KEPT = {"train": [0, 1], "valuation": [2], "test": [], "salts": ["00" * 16, "11" * 16]}


@pytest.mark.parametrize(
    "change",
    [
        {"salts": ["00" * 16]},
        {"salts": ["00" * 15, "11" * 16]},
        {"train": [0, 2]},
        {"train": [0, -1]},
        {"more": 1},
        {"test": None},
    ],
)
def test_a_damaged_journal_is_said_to_be(tmp_path: Path, change: dict[str, object]) -> None:
    (tmp_path / "rows.json").write_text(json.dumps(KEPT))
    assert read_kept(tmp_path) == KeptRows.model_validate(KEPT)
    (tmp_path / "rows.json").write_text(json.dumps({**KEPT, **change}))
    with pytest.raises(FedNodeError, match=r"rows\.json is damaged"):
        read_kept(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "{", '{"participant": 0}'])
def test_a_damaged_plan_is_said_to_be(tmp_path: Path, text: str) -> None:
    (tmp_path / "forgetting.json").write_text(text)
    with pytest.raises(FedNodeError, match=r"forgetting\.json is damaged"):
        pending(tmp_path)


# -- a shard that is held out


def forget(desk: Desk, row: int) -> None:
    planned = desk.plan([], [row])
    begin(desk.journal, planned)
    desk.finish(planned)


def test_a_shard_forgets_rows_too(desk: Desk) -> None:
    """Its root stands beside that of the training rows, before and after."""
    held = desk.site.splits.valuation[:4]
    desk.site = replace(desk.site, held=held)
    before = desk.site.commitment(site_secret(desk.journal))
    desk.member.datasets[-1] = Dataset(before.root, before.rows, RoundIndex(0))
    shown = shown_shard(desk.site, desk.journal)
    assert shown.commitment == before.root
    gone = int(held[1])
    forget(desk, gone)
    assert desk.member.datasets[-1].rows == before.rows
    assert not (desk.journal / SECRET).exists()
    rest = table().take(np.delete(np.arange(ROWS), gone))
    left = without_forgotten(site_of(rest), desk.journal)
    require_committed(left, desk.journal, desk.member.datasets[-1].root)
    again = shown_shard(left, desk.journal)
    assert again.commitment == desk.member.datasets[-1].root != before.root
    assert np.array_equal(again.salts, np.delete(shown.salts, 1, axis=0))
    assert np.array_equal(again.rows.features, np.delete(shown.rows.features, 1, axis=0))
    assert again.beside == shown.beside


def test_a_training_row_leaves_the_shard_alone(desk: Desk) -> None:
    desk.site = replace(desk.site, held=desk.site.splits.valuation)
    before = desk.site.commitment(site_secret(desk.journal))
    desk.member.datasets[-1] = Dataset(before.root, before.rows, RoundIndex(0))
    shown = shown_shard(desk.site, desk.journal)
    forget(desk, 0)
    assert desk.member.datasets[-1].rows == before.rows - 1
    left = without_forgotten(site_of(table().take(np.arange(1, ROWS))), desk.journal)
    again = shown_shard(left, desk.journal)
    assert again.root == shown.root
    assert again.commitment == desk.member.datasets[-1].root != before.root


@pytest.mark.parametrize(
    ("shard", "salts"),
    [([1], []), ([0], ["00" * 16]), ([1], ["00" * 16, "01" * 16])],
    ids=["no salt", "a training row", "too many salts"],
)
def test_a_shard_that_does_not_fit_is_refused(
    tmp_path: Path, shard: list[int], salts: list[str]
) -> None:
    kept = {"train": [0], "valuation": [1], "test": [2], "salts": ["00" * 16]}
    (tmp_path / "rows.json").write_text(json.dumps({**kept, "shard": shard, "shard_salts": salts}))
    with pytest.raises(FedNodeError, match="damaged"):
        read_kept(tmp_path)
