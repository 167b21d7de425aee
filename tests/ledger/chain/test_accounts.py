"""Keystores: what was written opens with its password alone; what is no keystore says so."""

import json
import stat
from pathlib import Path

import pytest
from eth_account import Account as EthAccount

from ledger.chain.accounts import (
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
