"""Key files: written once, for their owner alone."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ledger.sealing import create_key, load_key
from ledger.sealing.errors import KeyFileError


def test_a_key_is_read_back_and_only_its_owner_can_do_so(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    made = create_key(path)
    assert load_key(path).public == made.public
    assert len(made.public) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert create_key(tmp_path / "other.key").public != made.public


def test_an_existing_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    create_key(path)
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match="exists already"):
        create_key(path)
    assert path.read_bytes() == before


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be written"):
        create_key(tmp_path / "nowhere" / "node.key")


OTHER_KIND = Ed25519PrivateKey.generate().private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
)


@pytest.mark.parametrize(
    "data", [b"", b"\xff" * 40, b"-----BEGIN PRIVATE KEY-----\n", OTHER_KIND, b"{" * 10_000]
)
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "node.key"
    path.write_bytes(data)
    with pytest.raises(KeyFileError, match="not an X25519 private key"):
        load_key(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be read"):
        load_key(tmp_path / "node.key")
