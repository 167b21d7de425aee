"""What a node keeps for itself can be read by its owner alone, whatever the umask."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from fednode.files import private_folder, write_file, write_new
from fednode.kept_rows import KeptRows, read_kept
from fednode.membership import site_secret
from fednode.own_word import keep_word, says_public
from fednode.relay.journal import Journal as RelayJournal
from fednode.roles.journal import Journal, PreparedUpdate
from ledger.chain.accounts import create_keystore
from ledger.cid import Codec
from ledger.errors import LedgerError
from ledger.sealing.keys import create_key
from ledger.stores import Artefact
from ledger.types import Digest, FederationId

FEDERATION = FederationId(bytes(32))


@pytest.fixture(params=[0o000, 0o022, 0o277])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(folder: Path) -> set[tuple[bool, int]]:
    """Give the modes of a folder and of all in it, with whether each is a folder."""
    found = [folder, *folder.rglob("*")]
    return {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in found}


PRIVATE = {(True, 0o700), (False, 0o600)}


@pytest.mark.usefixtures("umask")
def test_a_journal_is_its_owners_alone(tmp_path: Path) -> None:
    root = tmp_path / "journals" / "north"
    site_secret(root)
    journal = Journal(root, FEDERATION)
    artefact = Artefact.of(Codec.RAW, b"header")
    update = PreparedUpdate(Digest(artefact.roots[0].digest), artefact, {"bias": np.zeros(1, "i4")})
    journal.save_update(1, update)
    journal.save_update(2, update)
    journal.append(1, "held", ["a"])
    journal.append(1, "held", ["b"])
    journal.mark(3, "published")
    journal.mark(3, "published", value=2)
    journal.forget_update(2, keep_private=False)
    write_file(root / "rows.json", b"{}", private=True)
    write_new(root / "forgetting.json", b"{}", private=True)
    RelayJournal(tmp_path / "journals" / "relay" / "round.journal").close()
    create_key(tmp_path / "journals" / "north.key")
    assert modes(tmp_path / "journals") == PRIVATE


def test_one_that_others_could_read_is_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path / "j", FEDERATION)
    journal.mark(1, "published")
    for path in [tmp_path / "j", *(tmp_path / "j").rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"")
    elsewhere.chmod(0o644)
    (journal.folder / "link").symlink_to(elsewhere)
    Journal(tmp_path / "j", FEDERATION)
    assert modes(tmp_path / "j") - {(False, 0o644)} == PRIVATE
    assert elsewhere.stat().st_mode & 0o777 == 0o644
    assert "others could read" in caplog.text
    caplog.clear()
    Journal(tmp_path / "j", FEDERATION)
    assert not caplog.text


def test_what_a_command_reads_is_closed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = tmp_path / "j"
    readers: dict[str, Callable[[], object]] = {
        "secret": lambda: site_secret(journal),
        "site.json": lambda: says_public(journal, "north", now=False),
        "rows.json": lambda: read_kept(journal),
    }
    site_secret(journal)
    keep_word(journal, "north", public_rows=True)
    kept = KeptRows(train=(0,), valuation=(), test=(), salts=("00" * 16,))
    write_file(journal / "rows.json", kept.model_dump_json().encode(), private=True)
    for name, read in readers.items():
        journal.chmod(0o755)
        (journal / name).chmod(0o644)
        caplog.clear()
        read()
        assert modes(journal) == PRIVATE
        assert f"others could read {journal / name}" in caplog.text
        caplog.clear()
        read()
        assert not caplog.text


def test_a_file_that_was_open_is_closed_when_it_is_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", FEDERATION)
    journal.append(1, "held", ["a"])
    file = next(journal.folder.rglob("held.list"))
    file.chmod(0o666)
    journal.append(1, "held", ["b"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_shared_folder_is_left_as_it_is(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    private_folder(shared, whole=False)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777


@pytest.mark.parametrize("way", [write_new, create_key, create_keystore])
def test_a_disk_that_fails_leaves_no_part_of_a_new_file(
    way: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    more = () if way is create_key else (b"x",) if way is write_new else ("password",)
    light = {"light": True} if way is create_keystore else {}
    with pytest.raises((OSError, LedgerError), match="No space left"):
        way(tmp_path / "new", *more, **light)
    assert list(tmp_path.iterdir()) == []
