"""The relay's journal: what was promised is found again, whatever happens to the file's end."""

import asyncio
import errno
import os
import threading
from pathlib import Path

import pytest

from fednode.relay.errors import JournalFailed
from fednode.relay.journal import MAX_RECORD, Journal

RECORDS = [b"first", b"2", b"third" * 100]


def write(path: Path, records: list[bytes]) -> None:
    async def run() -> None:
        journal = Journal(path)
        await asyncio.gather(*(journal.append(record) for record in records))
        journal.close()

    asyncio.run(run())


def read(path: Path) -> list[bytes]:
    journal = Journal(path)
    journal.close()
    return journal.records


def test_records_are_found_again_in_order(tmp_path: Path) -> None:
    write(tmp_path / "deep" / "j", RECORDS)
    assert read(tmp_path / "deep" / "j") == RECORDS
    write(tmp_path / "deep" / "j", [b"more"])
    assert read(tmp_path / "deep" / "j") == [*RECORDS, b"more"]


@pytest.mark.parametrize("cut", [1, 7, 8, 9, 100, 508])
def test_a_torn_end_is_cut_off(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "j"
    write(path, RECORDS)
    os.truncate(path, path.stat().st_size - cut)
    assert read(path) == RECORDS[:2]
    write(path, [b"after"])
    assert read(path) == [*RECORDS[:2], b"after"]


@pytest.mark.parametrize("at", [0, 4, 8])
def test_what_was_altered_is_cut_off_with_all_behind_it(tmp_path: Path, at: int) -> None:
    path = tmp_path / "j"
    write(path, RECORDS)
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    assert read(path) == []
    assert path.stat().st_size == 0


def test_a_length_beyond_any_record_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_bytes(b"\xff" * 4096)
    assert read(path) == []
    for record in bytes(MAX_RECORD + 1), b"":
        with pytest.raises(ValueError, match="a record of"):
            write(tmp_path / f"{len(record)}", [record])


@pytest.mark.parametrize("zeros", [1, 7, 8, 9, 16, 4096])
def test_zeros_that_a_loss_of_power_left_are_no_records(tmp_path: Path, zeros: int) -> None:
    """The file had its new length on the disk before its new contents."""
    path = tmp_path / "j"
    write(path, RECORDS)
    with path.open("ab") as file:
        file.write(bytes(zeros))
    assert read(path) == RECORDS
    write(path, [b"after"])
    assert read(path) == [*RECORDS, b"after"]


@pytest.mark.parametrize("start", [0, 3, 4, 8, 20])
def test_a_hole_ends_the_records(tmp_path: Path, start: int) -> None:
    """Of a group that was on its way, a later page may reach the disk without an earlier one."""
    path = tmp_path / "j"
    write(path, RECORDS)
    kept = path.stat().st_size
    write(path, [b"lost" * 8, b"behind it"])
    data = path.read_bytes()
    hole = kept + start
    path.write_bytes(data[:hole] + bytes(10) + data[hole + 10 :])
    assert read(path) == RECORDS
    assert path.stat().st_size == kept


def test_one_process_at_a_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    with pytest.raises(JournalFailed, match="another process has it open"):
        Journal(tmp_path / "j")
    journal.close()
    Journal(tmp_path / "j").close()


def test_a_journal_that_is_closed_first_writes_what_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing of it lands in the file that is opened next."""
    gate = threading.Event()
    real = os.pwrite

    def slow(handle: int, data: bytes, at: int) -> int:
        assert gate.wait(20)
        return real(handle, data, at)

    async def run() -> None:
        journal = Journal(tmp_path / "old")
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", slow)
            waiting = [journal.append(b"first")]
            await asyncio.sleep(0.05)
            waiting.append(journal.append(b"second"))
            journal.close()
            Journal(tmp_path / "new").close()
            following = Journal(tmp_path / "new")
            gate.set()
            await asyncio.gather(*waiting)
        following.close()

    asyncio.run(run())
    assert read(tmp_path / "old") == [b"first", b"second"]
    assert read(tmp_path / "new") == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalFailed, match="cannot be used"):
        Journal(tmp_path / "file" / "j")


def test_records_are_synchronised_in_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand at once cost a few synchronisations, not a thousand."""
    syncs = []
    real = os.fdatasync

    def counted(handle: int) -> None:
        syncs.append(handle)
        real(handle)

    monkeypatch.setattr(os, "fdatasync", counted)
    write(tmp_path / "j", [bytes([n % 256]) for n in range(1000)])
    assert len(syncs) <= 3
    assert len(read(tmp_path / "j")) == 1000


def test_a_full_disk_promises_nothing_and_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the group is written when the disk is full; nothing of it is left behind."""
    path = tmp_path / "j"
    real = os.pwrite

    def full(handle: int, data: bytes, at: int) -> int:
        if at > 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(handle, bytes(data)[: len(data) // 2], at)

    async def run() -> None:
        journal = Journal(path)
        await journal.append(b"kept")
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            lost = [journal.append(b"lost" * 8), journal.append(b"too")]
            found = await asyncio.gather(*lost, return_exceptions=True)
        assert [str(error) for error in found if isinstance(error, JournalFailed)] == [
            f"the relay's journal {path} cannot be used (No space left on device): free some space "
            "there, or see that no other process uses it"
        ] * 2
        assert path.stat().st_size > len(b"kept") + 8
        await journal.append(b"k")
        journal.close()

    asyncio.run(run())
    assert read(path) == [b"kept", b"k"]
