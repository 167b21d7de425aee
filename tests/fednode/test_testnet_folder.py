"""A testnet's folder over restarts and kills: ports, the chain's state, and children."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from fednode.children import LINUX, Child, identity
from fednode.errors import FedNodeError
from fednode.testnet import EngineFailed, EngineMissing, find_anvil, find_kubo, free_port
from fednode.testnet_folder import KEPT, RECORD, STATE, StateKeeper, TestnetFolder
from tests.engines import missing

WHOLE, NEWER = b'{"block": {"number": "0x5"}}', b'{"block": {"number": "0x6"}}'


def opened(
    path: Path, *, port: int | None = None, chain: int | None = None, nodes: int | None = None
) -> TestnetFolder:
    folder = TestnetFolder(path)
    folder.open(port, chain, nodes)
    return folder


def test_ports_and_chain_stay_unless_others_are_asked_for(tmp_path: Path) -> None:
    port, other = free_port(), free_port()
    first = opened(tmp_path, port=port, chain=77, nodes=2)
    again = opened(tmp_path)
    assert again.record == first.record
    assert (again.record.port, again.record.chain_id, len(again.kubo)) == (port, 77, 2)
    fewer = opened(tmp_path, nodes=1)
    assert list(fewer.kubo) == list(first.kubo)[:1]
    more = opened(tmp_path, port=other, nodes=3)
    assert list(more.kubo)[:2] == list(first.kubo)
    assert opened(tmp_path).record.port == other


@pytest.mark.parametrize("what", ["anvil", "api", "gateway", "swarm"])
def test_a_port_that_is_taken_is_named(tmp_path: Path, what: str) -> None:
    folder = opened(tmp_path, port=free_port(), nodes=2)
    port = folder.record.port if what == "anvil" else int(getattr(folder.kubo[1], what))
    before = (tmp_path / RECORD).read_bytes()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        advice = "--port" if what == "anvil" else f"remove {tmp_path / RECORD}"
        with pytest.raises(EngineFailed, match=f"port {port} cannot be used.*{advice}"):
            opened(tmp_path)
    assert (tmp_path / RECORD).read_bytes() == before


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"port": "8545"}', '{"port": 0}', '{"more": 1}', '{"kubo": [{}]}']
)
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / RECORD).write_text(text)
    with pytest.raises(FedNodeError, match=f"{RECORD} is damaged .*: remove it") as caught:
        opened(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_chain_keeps_its_id(tmp_path: Path) -> None:
    opened(tmp_path, port=free_port(), chain=5)
    opened(tmp_path, chain=6)  # no chain was made yet
    (tmp_path / STATE).write_bytes(WHOLE)
    opened(tmp_path, chain=6)
    with pytest.raises(FedNodeError, match=r"--chain-id 7: .* has id 6"):
        opened(tmp_path, chain=7)


@pytest.mark.parametrize("torn", [b"", NEWER[:-1], b"[]", b"\xff", b"[" * 200_000])
def test_a_state_that_was_cut_off_gives_way_to_its_copy(tmp_path: Path, torn: bytes) -> None:
    state, kept, port = tmp_path / STATE, tmp_path / KEPT, free_port()
    keeper = StateKeeper(tmp_path)
    keeper.look()
    state.write_bytes(WHOLE)
    keeper.look()
    state.write_bytes(torn)
    keeper.look()
    opened(tmp_path, port=port)
    assert state.read_bytes() == kept.read_bytes() == WHOLE
    state.write_bytes(NEWER)
    opened(tmp_path)
    assert state.read_bytes() == NEWER
    state.write_bytes(torn)
    kept.unlink()
    with pytest.raises(FedNodeError, match="no copy of it: remove it"):
        opened(tmp_path)
    assert state.read_bytes() == torn


def test_a_state_that_was_removed_begins_a_new_chain(tmp_path: Path) -> None:
    (tmp_path / KEPT).write_bytes(WHOLE)
    opened(tmp_path, port=free_port())
    assert not (tmp_path / KEPT).exists()


def test_what_an_earlier_testnet_left_is_ended_and_nothing_else(tmp_path: Path) -> None:
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1); time.sleep(60)"
    with (
        subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE) as left,
        subprocess.Popen(["sleep", "60"]) as other,
    ):
        assert left.stdout is not None
        left.stdout.readline()
        folder = opened(tmp_path, port=free_port())
        reused = Child(other.pid, "1 anvil")
        children = [Child.of(left.pid), reused]
        folder.record = folder.record.model_copy(update={"children": children})
        folder._write()
        assert not reused.lives()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("fednode.testnet_folder.STOP_TIMEOUT", 0.2)
            opened(tmp_path)
        assert left.wait(5) == -signal.SIGKILL
        assert other.poll() is None
        other.kill()


PARENT = """
import sys, time
from pathlib import Path
from fednode.testnet import Process

class Sleeper(Process):
    name = "sleeper"

child = Sleeper(Path(sys.argv[1]))
child._spawn(["sleep", "60"])
print(child.pid, flush=True)
time.sleep(60)
"""


def gone(pid: int, *, within: float = 5.0) -> bool:
    deadline = time.monotonic() + within
    while identity(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    return identity(pid) is None


@pytest.mark.skipif(not LINUX, reason="the system ends no children there")
def test_a_child_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert identity(pid) is not None
        parent.kill()
        assert gone(pid)


MAIN = "from fednode.cli import main; main()"


def told(path: Path, *options: str) -> tuple[subprocess.Popen[bytes], dict[str, object]]:
    """Start a testnet and read what it prints."""
    command = [sys.executable, "-c", MAIN, "testnet", "--directory", str(path), "--json"]
    log = path.with_suffix(".log").open("wb")
    with log:
        child = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=log)
    assert child.stdout is not None
    lines = b""
    while not lines.endswith(b"\n}\n"):
        line = child.stdout.readline()
        assert line, path.with_suffix(".log").read_text()
        lines += line
    child.stdout.close()
    found: dict[str, object] = json.loads(lines)
    return child, found


def asked(url: object, method: str, *params: object) -> object:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(str(url), body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)["result"]


def killed(child: subprocess.Popen[bytes], pids: list[int]) -> None:
    """Kill a testnet and its children at the same moment."""
    for pid in (child.pid, *pids):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    child.wait()


def ended(child: subprocess.Popen[bytes], pids: list[int]) -> None:
    """Close a testnet's terminal."""
    child.send_signal(signal.SIGHUP)
    assert child.wait(30) == 0


@pytest.mark.e2e
@pytest.mark.slow
def test_a_killed_testnet_goes_on_where_it_was(tmp_path: Path) -> None:
    try:
        find_anvil()
        find_kubo()
    except EngineMissing as error:
        missing(error)
    path = tmp_path / "net"
    options = ("--kubo", "1", "--port", str(free_port()))
    stops: list[Callable[[subprocess.Popen[bytes], list[int]], None]] = [killed, ended, ended]
    first: dict[str, object] = {}
    for number, stop in enumerate(stops):
        child, found = told(path, *(options if not number else ()))
        first = first or found
        pids = [each["pid"] for each in json.loads((path / RECORD).read_text())["children"]]
        try:
            assert found == first
            assert len(pids) == 2
            assert int(str(asked(found["rpc"], "eth_blockNumber")), 16) == number * 4
            asked(found["rpc"], "anvil_mine", "0x4")
            time.sleep(2.5)  # the state is written every second
        finally:
            stop(child, pids)
        assert all(gone(pid) for pid in pids)
