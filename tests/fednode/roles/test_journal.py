"""The journal under SIGKILL: a child process is ended at every file operation in turn, and what it
leaves must be all of an entry or nothing.
"""

import errno
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from fednode.errors import FedNodeError
from fednode.roles.journal import Journal, JournalDamaged, JournalUnwritable, PreparedUpdate
from ledger import artefacts
from ledger.headers import Common, UpdateHeader
from ledger.payload import Payload
from ledger.stores.car import car_parts, write_car
from ledger.types import ZERO_ADDRESS, ZERO_DIGEST, Digest, FederationId, RoundIndex

FEDERATION = FederationId(bytes(range(32)))
PARENT = Digest(bytes([7] * 32))
OPERATIONS = 60
KILLED, DONE = 9, 0


def prepared(
    fill: int = 1, *, parent: Digest = PARENT, evaluation: Digest = ZERO_DIGEST
) -> PreparedUpdate:
    data = Payload(bytes([fill]) * 1024)
    training = artefacts.record({"seed": fill})
    header = UpdateHeader(
        common=Common(
            tag=Digest(UpdateHeader.TAG),
            chain_id=1,
            ledger=ZERO_ADDRESS,
            federation=FEDERATION,
            round=RoundIndex(3),
            parent=parent,
        ),
        participant=0,
        base=parent,
        payload_root=data.root,
        dataset=0,
        index=data.index_digest,
        training=training[0].digest,
        evaluation=evaluation,
    )
    private = {"bias": np.array([fill], dtype=np.int32)}
    return PreparedUpdate(
        header.digest(), artefacts.update_artefact(header, data, training), private
    )


def same(found: PreparedUpdate | None, expected: PreparedUpdate) -> bool:
    return (
        found is not None
        and found.digest == expected.digest
        and found.artefact == expected.artefact
        and {k: v.tolist() for k, v in found.private.items()}
        == {k: v.tolist() for k, v in expected.private.items()}
    )


def killed_at(operation: int, folder: Path, action: Callable[[], object]) -> bool:
    """Run an action in a child that dies before its file operation of this number; say whether it
    got that far.
    """
    child = os.fork()
    if child == 0:
        seen = 0

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal seen
            touches = any(str(folder) in str(a) for a in arguments if isinstance(a, str | Path))
            if touches or event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir"):
                if seen == operation:
                    os._exit(KILLED)
                seen += 1

        sys.addaudithook(watch)
        try:
            action()
        except BaseException:
            os._exit(1)
        os._exit(DONE)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (KILLED, DONE)
    return code == KILLED


def at_every_operation(folder: Path, check: Callable[[Path, int], bool]) -> int:
    """Call a check with a fresh folder for each operation, until the action got to its end."""
    for operation in range(OPERATIONS):
        fresh = folder / str(operation)
        fresh.mkdir()
        if not check(fresh, operation):
            return operation
    raise AssertionError("the action never ended")


def test_update_survives(tmp_path: Path) -> None:
    journal = Journal(tmp_path, FEDERATION)
    update = prepared()
    assert journal.update(3) is None
    journal.save_update(3, update)
    found = Journal(tmp_path, FEDERATION).update(3)
    assert same(found, update)
    assert found is not None
    assert found.parent == PARENT


def test_saving_is_all_or_nothing(tmp_path: Path) -> None:
    update = prepared()

    def check(folder: Path, operation: int) -> bool:
        Journal(folder, FEDERATION)
        killed = killed_at(
            operation, folder, lambda: Journal(folder, FEDERATION).save_update(3, update)
        )
        found = Journal(folder, FEDERATION).update(3)
        assert found is None or same(found, update)
        assert killed or found is not None
        if found is None:
            Journal(folder, FEDERATION).save_update(3, update)
            assert same(Journal(folder, FEDERATION).update(3), update)
        return killed

    assert at_every_operation(tmp_path, check) >= 6


def test_forgetting_is_all_or_nothing(tmp_path: Path) -> None:
    old, new = prepared(1), prepared(2)

    def check(folder: Path, operation: int) -> bool:
        Journal(folder, FEDERATION).save_update(3, old)
        killed = killed_at(operation, folder, lambda: Journal(folder, FEDERATION).forget_update(3))
        found = Journal(folder, FEDERATION).update(3)
        assert found is None or same(found, old)
        assert killed or found is None
        Journal(folder, FEDERATION).forget_update(3)
        Journal(folder, FEDERATION).save_update(3, new)
        assert same(Journal(folder, FEDERATION).update(3), new)
        return killed

    assert at_every_operation(tmp_path, check) >= 4


def test_private_tensors_are_never_lost(tmp_path: Path) -> None:
    update = prepared(1)

    def check(folder: Path, operation: int) -> bool:
        journal = Journal(folder, FEDERATION)
        journal.save_update(3, update)
        killed = killed_at(
            operation,
            folder,
            lambda: Journal(folder, FEDERATION).forget_update(3, keep_private=True),
        )
        assert journal.private(3)["bias"].tolist() == [1]
        found = journal.update(3)
        assert found is None or same(found, update)
        assert killed or found is None
        journal.forget_update(3, keep_private=True)
        journal.sweep()
        assert journal.update(3) is None
        assert journal.private(3)["bias"].tolist() == [1]
        kept = [path.name for path in folder.rglob("*") if path.is_file()]
        assert set(kept) <= {"private.safetensors", "private.new"}
        return killed

    assert at_every_operation(tmp_path, check) >= 6


def test_what_is_half_made_or_half_dropped_is_swept(tmp_path: Path) -> None:
    def check(folder: Path, operation: int) -> bool:
        journal = Journal(folder, FEDERATION)
        killed = killed_at(operation, folder, lambda: journal.save_update(3, prepared(1)))
        journal.sweep()
        found = journal.update(3)
        assert found is None or same(found, prepared(1))
        assert not list(journal.folder.glob(".*"))
        return killed

    assert at_every_operation(tmp_path, check) >= 6


def test_private_tensors_that_cannot_be_read_are_said_to_be(tmp_path: Path) -> None:
    journal = Journal(tmp_path, FEDERATION)
    assert journal.private(3) == {}
    journal.save_update(3, prepared(1))
    (journal.folder / "000003" / "update" / "private.safetensors").write_bytes(b"\x10" + bytes(30))
    with pytest.raises(JournalDamaged, match=r"private\.safetensors"):
        journal.private(3)
    with pytest.raises(JournalDamaged):
        journal.forget_update(3, keep_private=True)


def test_marks_are_old_or_new(tmp_path: Path) -> None:
    def check(folder: Path, operation: int) -> bool:
        Journal(folder, FEDERATION).mark(3, "effort", ["a"])
        killed = killed_at(
            operation, folder, lambda: Journal(folder, FEDERATION).mark(3, "effort", ["a", "b"])
        )
        found = Journal(folder, FEDERATION).marked(3, "effort")
        assert found == ["a", "b"] or (killed and found == ["a"])
        return killed

    assert at_every_operation(tmp_path, check) >= 2


@given(st.lists(st.lists(st.text("0123456789abcdef/", min_size=1)), min_size=1), st.data())
def test_lists_grow_and_lose_only_what_was_cut_off(
    tmp_path_factory: pytest.TempPathFactory, lists: list[list[str]], data: st.DataObject
) -> None:
    journal = Journal(tmp_path_factory.mktemp("journal"), FEDERATION)
    assert journal.listed(3, "held") == []
    for entries in lists:
        journal.append(3, "held", entries)
    everything = [entry for entries in lists for entry in entries]
    assert journal.listed(3, "held") == everything
    path = journal.folder / "000003" / "held.list"
    cut = data.draw(st.integers(0, path.stat().st_size))
    os.truncate(path, cut)
    left = journal.listed(3, "held")
    assert left == everything[: len(left)]
    assert sum(len(entry) + 1 for entry in everything[: len(left) + 1]) > cut or left == everything
    journal.append(3, "held", ["more", "words"])
    assert journal.listed(3, "held") == [*left, "more", "words"]


def test_two_processes_with_one_journal_are_told_apart(tmp_path: Path) -> None:
    """The one that comes second must not replace what the first has committed to."""
    Journal(tmp_path, FEDERATION).save_update(3, prepared(1))
    with pytest.raises(FedNodeError, match="no other process"):
        Journal(tmp_path, FEDERATION).save_update(3, prepared(2))
    assert same(Journal(tmp_path, FEDERATION).update(3), prepared(1))


def test_forgetting_nothing_is_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path, FEDERATION)
    journal.forget_update(0)
    assert journal.update(0) is None
    assert journal.marked(0, "published") is None


def _truncate(entry: Path) -> None:
    car = entry / "artefact.car"
    car.write_bytes(car.read_bytes()[:-5])


def _cut_between_blocks(kept: int) -> Callable[[Path], None]:
    """Keep so many of a CAR's blocks."""

    def cut(entry: Path) -> None:
        parts = list(car_parts(prepared().artefact))  # a header, then two for each block
        (entry / "artefact.car").write_bytes(b"".join(parts[: 1 + 2 * kept]))

    return cut


def _flip(entry: Path) -> None:
    car = entry / "artefact.car"
    data = bytearray(car.read_bytes())
    data[-1] ^= 1
    car.write_bytes(data)


def _another_digest(entry: Path) -> None:
    (entry / "digest").write_text("00" * 32)


def _no_hex(entry: Path) -> None:
    (entry / "digest").write_text("zz")


def _short_digest(entry: Path) -> None:
    (entry / "digest").write_text("00" * 31)


def _no_header(entry: Path) -> None:
    car, digest = entry / "artefact.car", entry / "digest"
    data = artefacts.raw(b"no header")
    artefact = artefacts.update_artefact(
        UpdateHeader.decode(prepared().artefact.blocks[prepared().artefact.roots[0]]),
        Payload(bytes(1024)),
        artefacts.record({}),
    )
    blocks = {**artefact.blocks, data[0]: data[1]}
    car.write_bytes(write_car(type(artefact)((data[0],), blocks)))
    digest.write_text(data[0].digest.hex())


def _lose(name: str) -> Callable[[Path], None]:
    return lambda entry: (entry / name).unlink()


def _no_tensors(entry: Path) -> None:
    (entry / "private.safetensors").write_bytes(b"\x10" + bytes(30))


def _floats(entry: Path) -> None:
    tensors = {"bias": np.array([0.5], dtype=np.float32)}
    (entry / "private.safetensors").write_bytes(safetensors.numpy.save(tensors))


DAMAGES = [
    _truncate,
    *(_cut_between_blocks(kept) for kept in range(len(prepared().artefact.blocks))),
    _flip,
    _another_digest,
    _no_hex,
    _short_digest,
    _no_header,
    _lose("artefact.car"),
    _lose("digest"),
    _lose("private.safetensors"),
    _no_tensors,
    _floats,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_entry_is_one_line(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    journal = Journal(tmp_path, FEDERATION)
    journal.save_update(3, prepared())
    damage(journal.folder / "000003" / "update")
    with pytest.raises(JournalDamaged) as caught:
        Journal(tmp_path, FEDERATION).update(3)
    assert "\n" not in str(caught.value)
    assert str(caught.value.path) in str(caught.value)
    assert Journal(tmp_path, FEDERATION).usable(3) is None


@pytest.mark.parametrize("text", ["", "{", "[1,", "\udcff"])
def test_damaged_mark_is_one_line(tmp_path: Path, text: str) -> None:
    journal = Journal(tmp_path, FEDERATION)
    journal.mark(3, "held", ["a"])
    path = journal.folder / "000003" / "held.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(JournalDamaged) as caught:
        journal.marked(3, "held")
    assert "\n" not in str(caught.value)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Let the disk be full from the n-th file on that is written to it; half of that file fits."""
    real = os.fsync
    room = 0

    def fsync(handle: int) -> None:
        nonlocal room
        room -= 1
        if room < 0:
            os.ftruncate(handle, os.fstat(handle).st_size // 2)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    def fill(files: int) -> None:
        nonlocal room
        room = files
        monkeypatch.setattr("os.fsync", fsync)

    yield fill
    monkeypatch.undo()


@pytest.mark.parametrize("files", [0, 1, 2])
def test_a_full_disk_leaves_nothing_half_written(
    tmp_path: Path, full_disk: Callable[[int], None], files: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, FEDERATION)
    journal.mark(2, "held", ["a"])
    before = sorted(tmp_path.rglob("*"))
    full_disk(files)
    with pytest.raises(JournalUnwritable, match="No space left on device") as caught:
        journal.save_update(3, prepared())
    full_disk(0)
    with pytest.raises(JournalUnwritable):
        journal.mark(2, "held", ["a", "b"])
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before
    monkeypatch.undo()
    assert journal.marked(2, "held") == ["a"]
    journal.save_update(3, prepared())
    assert same(journal.update(3), prepared())


def test_marks_are_taken_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path, FEDERATION)
    journal.mark(3, "published")
    journal.unmark(3, "published")
    journal.unmark(3, "published")
    assert journal.marked(3, "published") is None


def test_marks_are_json(tmp_path: Path) -> None:
    journal = Journal(tmp_path, FEDERATION)
    journal.mark(3, "published")
    assert json.loads((journal.folder / "000003" / "published.json").read_text()) is True


OTHER = Digest(bytes([9] * 32))


def test_a_rounds_number_may_be_another_rounds(tmp_path: Path) -> None:
    """What is kept of a round is put aside while the chain has it on another parent."""
    journal = Journal(tmp_path, FEDERATION)
    journal.align({3: PARENT})
    journal.save_update(3, prepared(1))
    journal.mark(3, "published")
    journal.append(3, "held", ["a"])
    for kept in (journal, Journal(tmp_path, FEDERATION)):
        kept.align({3: OTHER})
        assert kept.update(3) is None
        assert kept.private(3) == {}
        assert kept.marked(3, "published") is None
        assert kept.listed(3, "held") == []
    journal.save_update(3, prepared(2, parent=OTHER))
    assert journal.rounds() == journal.updates() == [3]
    for kept in (journal, Journal(tmp_path, FEDERATION)):
        kept.align({3: PARENT})
        assert same(kept.update(3), prepared(1))
        assert kept.marked(3, "published") is True
        assert kept.listed(3, "held") == ["a"]
        kept.align({3: OTHER})
        assert same(kept.update(3), prepared(2, parent=OTHER))


def test_a_journal_of_before_is_read(tmp_path: Path) -> None:
    """It does not say which parent its rounds have; the updates in it do."""
    journal = Journal(tmp_path, FEDERATION)
    journal.save_update(3, prepared(1))
    journal.mark(2, "published")
    kept = Journal(tmp_path, FEDERATION)
    kept.align({2: OTHER, 3: PARENT})
    assert same(kept.update(3), prepared(1))
    assert kept.marked(2, "published") is True
    moved = Journal(tmp_path, FEDERATION)
    moved.align({2: PARENT, 3: OTHER})
    assert moved.update(3) is None
    assert moved.marked(2, "published") is None
    moved.align({2: OTHER})
    assert moved.marked(2, "published") is True


def test_turning_to_another_parent_survives_a_crash(tmp_path: Path) -> None:
    def check(folder: Path, operation: int) -> bool:
        journal = Journal(folder, FEDERATION)
        journal.align({3: OTHER})
        journal.save_update(3, prepared(2, parent=OTHER))
        journal.align({3: PARENT})
        journal.save_update(3, prepared(1))
        killed = killed_at(operation, folder, lambda: Journal(folder, FEDERATION).align({3: OTHER}))
        for parent, fill in ((PARENT, 1), (OTHER, 2), (PARENT, 1)):
            after = Journal(folder, FEDERATION)
            after.align({3: parent})
            assert same(after.update(3), prepared(fill, parent=parent))
        return killed

    assert at_every_operation(tmp_path, check) >= 2


def test_an_update_that_fits_again_comes_back(tmp_path: Path) -> None:
    """It may have been committed: nothing else is signed for the same place."""
    journal = Journal(tmp_path, FEDERATION)
    first, second = prepared(1), prepared(2)
    journal.save_update(3, first)
    journal.mark(3, "published")
    assert journal.fitting(3, lambda update: update.digest == second.digest) is None
    assert same(journal.update(3), first)
    journal.put_aside(3)
    assert (journal.update(3), journal.marked(3, "published")) == (None, None)
    journal.save_update(3, second)
    journal.mark(3, "published")
    found = journal.fitting(3, lambda update: update.digest == first.digest)
    assert same(found, first)
    assert same(journal.update(3), first)
    assert journal.marked(3, "published") is None
    assert {u.digest for u in journal.all_updates(3)} == {first.digest, second.digest}


def test_forgetting_leaves_no_copy_that_was_put_aside(tmp_path: Path) -> None:
    journal = Journal(tmp_path, FEDERATION)
    journal.align({3: OTHER})
    journal.save_update(3, prepared(2, parent=OTHER))
    journal.align({3: PARENT})
    journal.save_update(3, prepared(3))
    journal.put_aside(3)
    journal.save_update(3, prepared(1))
    assert len(journal.all_updates(3)) == 3
    journal.forget_update(3, keep_private=True)
    assert journal.all_updates(3) == []
    assert journal.private(3)["bias"].tolist() == [1]
    assert not list(tmp_path.rglob("*.car"))


@pytest.mark.parametrize("left", [b"", b"01", b"\xff"])
def test_a_note_of_the_parent_that_was_cut_off_moves_nothing(tmp_path: Path, left: bytes) -> None:
    """A power cut while the note is written leaves an empty file."""
    journal = Journal(tmp_path, FEDERATION)
    journal.align({3: PARENT})
    update = prepared()
    journal.save_update(3, update)
    (journal.folder / "000003" / "parent").write_bytes(left)
    again = Journal(tmp_path, FEDERATION)
    again.align({3: PARENT})
    assert same(again.update(3), update)
    again.align({3: OTHER})
    assert again.update(3) is None


def test_a_backup_that_was_restored_over_a_journal_ends_no_node(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", FEDERATION)
    journal.align({3: PARENT})
    update = prepared()
    journal.save_update(3, update)
    shutil.copytree(tmp_path / "journal", tmp_path / "backup")
    journal.put_aside(3)
    journal.align({3: OTHER})
    shutil.copytree(tmp_path / "backup", tmp_path / "journal", dirs_exist_ok=True)
    again = Journal(tmp_path / "journal", FEDERATION)
    again.align({3: OTHER})
    assert again.update(3) is None
    again.align({3: PARENT})
    assert same(again.fitting(3, lambda kept: kept.digest == update.digest), update)
    shutil.copytree(tmp_path / "backup", tmp_path / "journal", dirs_exist_ok=True)
    again.put_aside(3)
    again.save_update(3, update)
    again.put_aside(3)
    assert {kept.digest for kept in again.all_updates(3)} == {update.digest}
