"""Local engines: they start on free ports, are private, and end with us."""

import json
import urllib.request
from pathlib import Path

import pytest

from fednode import testnet
from fednode.testnet import Anvil, EngineFailed, EngineMissing, Kubo, Process, free_port
from tests.engines import missing


def api(node: Kubo, path: str, body: bytes = b"") -> bytes:
    request = urllib.request.Request(f"{node.url}/api/v0/{path}", body, method="POST")
    with urllib.request.urlopen(request, timeout=20) as answer:
        return bytes(answer.read())


def multipart(data: bytes) -> tuple[bytes, dict[str, str]]:
    head = b'--x\r\nContent-Disposition: form-data; name="data"; filename="data"\r\n\r\n'
    return head + data + b"\r\n--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}


def find_anvil_or_skip() -> Path:
    try:
        return testnet.find_anvil()
    except EngineMissing as error:
        missing(error)


def test_blocks_travel_between_connected_nodes(kubo_pair: tuple[Kubo, Kubo]) -> None:
    first, second = kubo_pair
    body, headers = multipart(b"travels over bitswap")
    request = urllib.request.Request(f"{first.url}/api/v0/block/put", body, headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        key = json.loads(answer.read())["Key"]
    assert api(second, f"block/get?arg={key}") == b"travels over bitswap"


def test_an_engine_of_ours_is_asked_without_a_proxy(
    kubo: Kubo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert kubo.peer_id()


def test_kubo_is_private(kubo: Kubo) -> None:
    assert json.loads(api(kubo, "bootstrap/list"))["Peers"] == []
    assert kubo.peer_id()
    assert kubo.running()


def test_anvil_names_its_failure(tmp_path: Path) -> None:
    node = Anvil(tmp_path, options=["--no-such-option"])
    try:
        with pytest.raises(EngineFailed, match="no-such-option"):
            node.start()
    except EngineMissing as error:
        missing(error)
    assert not node.running()
    with pytest.raises(EngineFailed, match="not running"):
        _ = node.pid


def test_anvil_takes_requests_of_its_own(anvil: Anvil) -> None:
    assert anvil.pid > 0
    assert str(anvil.rpc("web3_clientVersion")).startswith("anvil")
    with pytest.raises(EngineFailed):
        anvil.rpc("no_such_method")


def test_a_killed_anvil_leaves_no_states_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    binary = find_anvil_or_skip()
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setattr(testnet, "find_anvil", lambda: binary)
    monkeypatch.setenv("HOME", str(home))
    with Anvil(tmp_path / "anvil").start() as node:
        node.rpc("anvil_mine", hex(600))
        node.kill()
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_missing_engine_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(testnet, "project_root", lambda: tmp_path)
    for find in (testnet.find_anvil, testnet.find_geth, testnet.find_kubo):
        with pytest.raises(EngineMissing, match="run `"):
            find()


def test_missing_engine_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception):
        missing(EngineMissing("geth", "build it"))
    monkeypatch.setenv("CI", "false")
    with pytest.raises(pytest.skip.Exception):
        missing(EngineMissing("geth", "build it"))


def test_ports_and_processes(tmp_path: Path) -> None:
    assert free_port() != free_port()
    process = Process(tmp_path)
    process.stop()
    process.kill()
