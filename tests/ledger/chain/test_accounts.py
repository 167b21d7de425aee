"""Keystores: what was written opens with its password alone; what is no keystore says so."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from eth_account import Account as EthAccount

from ledger.chain.accounts import (
    EVM_FRAMES,
    create_keystore,
    from_key,
    load_keystore,
    new_account,
    read_password,
)
from ledger.chain.errors import AccountError


@pytest.fixture(scope="module")
def keystore(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("keys") / "inner" / "hospital.json"
    return path, create_keystore(path, "secret", light=True).address


def test_round_trip(keystore: tuple[Path, str]) -> None:
    path, address = keystore
    assert load_keystore(path, "secret").address == address
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["hospital.json"]


def test_ordinary_keystore_is_dear_to_guess(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    create_keystore(path, "secret")
    assert json.loads(path.read_text())["crypto"]["kdfparams"]["n"] == 1 << 18


def test_wrong_password(keystore: tuple[Path, str]) -> None:
    with pytest.raises(AccountError, match="wrong password"):
        load_keystore(keystore[0], "other")


def test_never_over_an_existing_file(keystore: tuple[Path, str]) -> None:
    path, address = keystore
    with pytest.raises(AccountError, match="exists already"):
        create_keystore(path, "secret")
    assert load_keystore(path, "secret").address == address
    assert len(list(path.parent.iterdir())) == 1


NOT_KEYSTORES = ["", "{}", "[]", "5", '{"crypto": 5}', '{"crypto": {}}', "\0", '{"version": 3}']


@pytest.mark.parametrize("text", NOT_KEYSTORES)
def test_not_a_keystore(text: str, tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_text(text)
    with pytest.raises(AccountError, match="not a keystore"):
        load_keystore(path, "secret")


def altered(keystore: tuple[Path, str], folder: Path, *path: str, value: object) -> Path:
    """Write a keystore with one field of another value; None takes it out."""
    content = json.loads(keystore[0].read_text())
    fields = content
    for name in path[:-1]:
        fields = fields[name]
    if value is None:
        fields.pop(path[-1], None)
    else:
        fields[path[-1]] = value
    copy = folder / "copy.json"
    copy.write_text(json.dumps(content))
    return copy


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("version", 1, "version 1 was written by clients of 2015"),
        ("version", "1", "version 1 was written by clients of 2015"),
        ("version", 2, "of version 3 (its version is missing or another)"),
        ("version", 4, "holds the key of a validator (EIP-2335)"),
        ("version", None, "its version is missing"),
        ("version", True, "of version 3"),
        ("version", "3", "of version 3"),
        ("encseed", "00", "a wallet of the presale of 2014"),
        ("crypto.cipher", "aes-128-cbc", "its cipher is not aes-128-ctr"),
        ("crypto.kdf", "argon2id", "its kdf is not scrypt or pbkdf2"),
        ("crypto.kdf", ["scrypt"], "its kdf is not scrypt or pbkdf2"),
        ("crypto.kdfparams.n", 1 << 40, "more work"),
        ("crypto.kdfparams.p", 1 << 20, "more work"),
        ("crypto.kdfparams.n", -1, "not whole"),
        ("crypto.kdfparams.r", "8", "not whole"),
        ("crypto.kdfparams.dklen", 16, "unusual"),
        ("crypto.mac", None, "not a keystore file"),
        ("address", "0x" + "11" * 20, "its address is not that of its key, which is 0x"),
        ("address", 5, "its address is not that of its key"),
    ],
)
def test_keystores_that_are_refused(
    path: str, value: object, reason: str, keystore: tuple[Path, str], tmp_path: Path
) -> None:
    copy = altered(keystore, tmp_path, *path.split("."), value=value)
    with pytest.raises(AccountError) as refused:
        load_keystore(copy, "secret")
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_keystore_of_pbkdf2_has_bounds_too(keystore: tuple[Path, str], tmp_path: Path) -> None:
    copy = tmp_path / "copy.json"
    content = EthAccount.encrypt(EthAccount.create().key, "secret", "pbkdf2", 100)
    copy.write_text(json.dumps(content))
    assert load_keystore(copy, "secret").address
    content["crypto"]["kdfparams"]["c"] = 1 << 40
    copy.write_text(json.dumps(content))
    with pytest.raises(AccountError, match="more work"):
        load_keystore(copy, "secret")


def test_keystores_of_other_writers_open(keystore: tuple[Path, str], tmp_path: Path) -> None:
    path, address = keystore
    text = path.read_text()
    copy = tmp_path / "copy.json"
    for bytes_ in (
        b"\xef\xbb\xbf" + text.encode(),
        text.replace('"crypto"', '"Crypto"').replace("\n", "\r\n").encode(),
        text.replace(address[2:], address).encode(),
        text.replace(address[2:], address[2:].upper()).encode(),
    ):
        copy.write_bytes(bytes_)
        assert load_keystore(copy, "secret").address == address
    for absent in (None, ""):
        copy = altered(keystore, tmp_path, "address", value=absent)
        assert load_keystore(copy, "secret").address == address
    copy.write_bytes(text.encode("utf-16"))
    with pytest.raises(AccountError, match="not a keystore file: it is UTF-16 text"):
        load_keystore(copy, "secret")


def test_truncated_keystore(keystore: tuple[Path, str], tmp_path: Path) -> None:
    content = json.loads(keystore[0].read_text())
    content["crypto"].pop("mac")
    path = tmp_path / "key.json"
    path.write_text(json.dumps(content))
    with pytest.raises(AccountError, match="not a keystore"):
        load_keystore(path, "secret")


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(AccountError, match="cannot read"):
        load_keystore(tmp_path / "none.json", "secret")
    with pytest.raises(AccountError, match="cannot read"):
        read_password(tmp_path / "none.txt")


def test_password_file(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("two words \nmore\n")
    assert read_password(path) == "two words "
    path.write_text("")
    assert read_password(path) == ""
    path.write_bytes(b"\xef\xbb\xbfa\x0cb\xc2\x85c\r\nmore")
    assert read_password(path) == "a\x0cb\x85c"
    path.write_bytes("secret".encode("utf-16"))
    with pytest.raises(AccountError, match="cannot read the password file: it is UTF-16"):
        read_password(path)


def test_keys(tmp_path: Path) -> None:
    key = EthAccount.create()
    assert from_key(key.key).address == from_key(key.key.hex()).address == key.address
    for wrong in ("", "0x12", b"1", "zz" * 32, bytes(32)):
        with pytest.raises(AccountError) as refused:
            from_key(wrong)
        assert refused.value.__cause__ is None
        assert not wrong or str(wrong) not in str(refused.value)
    assert new_account().address != new_account().address
    assert "0x" in repr(new_account())


@pytest.mark.parametrize(
    "imports", ["ledger.chain.embedded", "ledger.chain.accounts, ledger.chain.embedded"]
)
def test_libraries_leave_calls_a_limit_that_a_stack_holds(imports: str) -> None:
    """In whatever order they are imported: one of them raises it to 100,000."""
    script = f"import {imports}, sys; print(sys.getrecursionlimit())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert int(done.stdout) == EVM_FRAMES
