"""Local engines as child processes: anvil, geth and Kubo, each on free loopback ports.

They are private: no peers, no name resolution, nothing leaves the machine. `fednode testnet` runs
an anvil with persistent state; the tests run all three. Binaries come from the PATH, else from the
project's own folders (`.engines`, `contracts/node_modules`).
"""

import atexit
import contextlib
import json
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from fednode.children import ending_with_us
from fednode.errors import FedNodeError
from fednode.files import write_file

log = logging.getLogger(__name__)

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""An engine on this machine is asked directly, whatever proxy the environment names."""
START_TIMEOUT = 60.0
STOP_TIMEOUT = 10.0
FIRST_PORT, PORTS = 20_000, 12_000
ANVIL_KEYS = (
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    "0x47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
    "0x8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
    "0x92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
    "0x4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
    "0xdbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
    "0x2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6",
)
"""The private keys of anvil's ten funded accounts; everybody knows them."""


class EngineMissing(FedNodeError):
    """An engine's binary is not on this machine."""

    def __init__(self, name: str, advice: str) -> None:
        self.name = name
        self.advice = advice
        super().__init__(f"{name} is not installed: {advice}")


class EngineFailed(FedNodeError):
    """An engine did not start or did not do what it was asked."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"{name} failed: {reason}")


def project_root() -> Path:
    """Give the folder that holds the packages, where a checkout also has its engines."""
    return Path(__file__).resolve().parent.parent


def _find(name: str, candidates: Sequence[Path], advice: str) -> Path:
    on_path = shutil.which(name)
    found = [Path(on_path)] if on_path else [path for path in candidates if path.is_file()]
    if not found:
        raise EngineMissing(name, advice)
    return found[0]


def find_anvil() -> Path:
    """Find anvil's native binary. Raise EngineMissing."""
    folder = project_root() / "contracts" / "node_modules" / "@foundry-rs"
    candidates = sorted(folder.glob("anvil-*/bin/anvil*"))
    return _find("anvil", candidates, "run `npm ci` in contracts/, or install Foundry")


def find_geth() -> Path:
    """Find geth. Raise EngineMissing."""
    return _find("geth", [project_root() / ".engines" / "geth"], "run `make engines` (needs Go)")


def find_kubo() -> Path:
    """Find Kubo's `ipfs`. Raise EngineMissing."""
    return _find("ipfs", [project_root() / ".engines" / "ipfs"], "run `make engines` (needs Go)")


def free_port() -> int:
    """Give a TCP port on the loopback interface that is free now.

    It is not one of those that systems give to outgoing connections: such a one may be gone before
    a server listens there, or while it is down.
    """
    while True:
        port = FIRST_PORT + secrets.randbelow(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def require_free(name: str, port: int, advice: str = "choose another one") -> None:
    """Refuse a port that is taken: what listens there would pass for the engine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise EngineFailed(
                name, f"port {port} cannot be used ({error.strerror}): {advice}"
            ) from None


class Process:
    """A child process that writes its output to a file and ends with this one."""

    name = "process"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Give the child's process id."""
        if self._child is None or not self.running():
            raise EngineFailed(self.name, "not running")
        return self._child.pid

    def running(self) -> bool:
        """Say whether the child lives."""
        return self._child is not None and self._child.poll() is None

    def stop(self) -> None:
        """End the child: ask, then kill."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the child at once (SIGKILL)."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        child, self._child = self._child, None
        if child is None or child.poll() is not None:
            return
        child.send_signal(how)
        try:
            child.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def _spawn(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._log_path().open("ab") as output:
            self._child = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
                preexec_fn=ending_with_us(),
            )
        atexit.register(self._end, signal.SIGKILL)

    def _await(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if not self.running():
                self._child = None
                raise EngineFailed(self.name, f"it ended at once: {self._tail()}")
            if ready():
                return
            time.sleep(0.05)
        self.kill()
        raise EngineFailed(self.name, f"no answer in {START_TIMEOUT:.0f} s: {self._tail()}")

    def _log_path(self) -> Path:
        return self.folder / f"{self.name}.log"

    def _tail(self) -> str:
        try:
            text = self._log_path().read_text(encoding="utf-8", errors="replace")
        except OSError:
            return "no output"
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return " / ".join(lines[-5:]) if lines else "no output"


def _post(url: str, body: bytes, timeout: float = 5.0) -> bytes:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with _DIRECT.open(request, timeout=timeout) as answer:
        return bytes(answer.read())


def _rpc(url: str, method: str, *params: object) -> object:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = json.loads(_post(url, json.dumps(body).encode()))
    if "error" in answer:
        raise EngineFailed(method, str(answer["error"]))
    return answer.get("result")


def _answers(url: str) -> bool:
    try:
        return _rpc(url, "eth_blockNumber") is not None
    except (OSError, ValueError, FedNodeError):
        return False


class Anvil(Process):
    """An anvil with the limits of the real network; `state` keeps its chain over restarts."""

    name = "anvil"

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        state: Path | None = None,
        chain_id: int = 31337,
        hardfork: str = "osaka",
        options: Sequence[str] = (),
    ) -> None:
        super().__init__(folder)
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.state = state
        self._hardfork = hardfork
        self._chain_id = chain_id
        self._options = tuple(options)

    def start(self, now: int | None = None) -> Self:
        """Start it and wait until it answers. With kept state its clock is the wall's again, unless
        it is told what time it is.
        """
        require_free(self.name, self.port)
        command = [str(find_anvil()), "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--chain-id", str(self._chain_id)]
        command += ["--hardfork", self._hardfork, "--enable-tx-gas-limit"]
        # Nobody asks for old states, and anvil leaves them under the home folder when it is killed.
        command += ["--max-persisted-states", "0"]
        if self.state is not None:
            self.state.parent.mkdir(parents=True, exist_ok=True)
            command += ["--state", str(self.state), "--state-interval", "1"]
        if now is not None:
            command += ["--timestamp", str(now)]
        self._spawn([*command, *self._options])
        self._await(lambda: _answers(self.url))
        return self

    def rpc(self, method: str, *params: object) -> object:
        """Send anvil a request of its own, such as evm_increaseTime."""
        return _rpc(self.url, method, *params)


GETH_GAS_LIMIT = 60_000_000
GETH_CHAIN_ID = 1337


class Geth(Process):
    """A `geth --dev` of today's fork, with a 60M block and our accounts funded.

    geth's own dev genesis runs a fork that is not released and a small block, so the genesis is
    dumped, mended and written first.
    """

    name = "geth"

    def __init__(
        self, folder: Path, *, funded: Sequence[str] = (), port: int | None = None
    ) -> None:
        super().__init__(folder)
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._funded = tuple(funded)

    def start(self) -> Self:
        """Write the genesis if there is none yet, start geth and wait until it answers."""
        binary = str(find_geth())
        data = self.folder / "data"
        if not (data / "geth").exists():
            self._initialise(binary, data)
        command = [binary, "--dev", "--datadir", str(data), "--http", "--http.addr", "127.0.0.1"]
        command += ["--http.port", str(self.port), "--http.api", "eth,net,web3,debug,dev"]
        command += ["--port", "0", "--authrpc.port", str(free_port()), "--ipcdisable"]
        command += ["--nodiscover", "--maxpeers", "0", "--nat", "none", "--verbosity", "2"]
        self._spawn(command)
        self._await(lambda: _answers(self.url))
        return self

    def _initialise(self, binary: str, data: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        dump = subprocess.run(
            [binary, "--dev", "dumpgenesis"], capture_output=True, check=False, timeout=60
        )
        if dump.returncode:
            raise EngineFailed(self.name, dump.stderr.decode(errors="replace")[-300:])
        genesis = json.loads(dump.stdout)
        genesis["config"].pop("bogotaTime", None)
        genesis["gasLimit"] = hex(GETH_GAS_LIMIT)
        for address in self._funded:
            genesis["alloc"][address.removeprefix("0x").lower()] = {"balance": hex(10**24)}
        path = self.folder / "genesis.json"
        path.write_text(json.dumps(genesis), encoding="utf-8")
        made = subprocess.run(
            [binary, "--datadir", str(data), "init", str(path)],
            capture_output=True,
            check=False,
            timeout=60,
        )
        if made.returncode:
            raise EngineFailed(self.name, made.stderr.decode(errors="replace")[-300:])


@dataclass(frozen=True, slots=True)
class KuboPorts:
    """The loopback ports of a Kubo node."""

    api: int
    gateway: int
    swarm: int

    @classmethod
    def free(cls) -> Self:
        """Give ports that are free now."""
        return cls(free_port(), free_port(), free_port())


class Kubo(Process):
    """A private Kubo node: no bootstrap, no routing, no name service, loopback only."""

    name = "ipfs"

    def __init__(
        self, folder: Path, *, offline: bool = False, ports: KuboPorts | None = None
    ) -> None:
        super().__init__(folder)
        ports = ports or KuboPorts.free()
        self.api_port, self.swarm_port, self._gateway_port = ports.api, ports.swarm, ports.gateway
        self.url = f"http://127.0.0.1:{self.api_port}"
        self.multiaddr = f"/ip4/127.0.0.1/tcp/{self.api_port}"
        self._repo = folder / "repo"
        self._offline = offline

    def start(self) -> Self:
        """Make the repository if there is none yet, start the daemon and wait until it answers."""
        if not (self._repo / "config").exists():
            self._initialise()
        self._configure()
        command = [str(find_kubo()), "daemon", "--migrate=false"]
        self._spawn(command + (["--offline"] if self._offline else []), self._environment())
        self._await(self._ready)
        return self

    def peer_id(self) -> str:
        """Give the node's peer id."""
        return str(json.loads(_post(f"{self.url}/api/v0/id", b""))["ID"])

    def connect(self, other: "Kubo") -> None:
        """Connect to another node on loopback; blocks travel both ways from then on."""
        address = f"/ip4/127.0.0.1/tcp/{other.swarm_port}/p2p/{other.peer_id()}"
        try:
            _post(f"{self.url}/api/v0/swarm/connect?arg={address}", b"", timeout=20.0)
        except urllib.error.URLError as error:
            raise EngineFailed(self.name, f"no connection to {address} ({error})") from error

    def _initialise(self) -> None:
        """Make the repository, all of it or nothing: a kill can come at any moment. Blocks without
        a config stay.
        """
        fresh = not self._repo.exists()
        repo = self.folder / "repo.new" if fresh else self._repo
        if fresh:
            shutil.rmtree(repo, ignore_errors=True)
        self._ipfs(repo, "init", "--profile", "server", "--empty-repo")
        repo.rename(self._repo)

    def _configure(self) -> None:
        path = self._repo / "config"
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise EngineFailed(
                self.name, f"{path} cannot be read ({error}): restore it, or remove {self._repo}"
            ) from error
        config["Bootstrap"] = []
        config["AutoConf"] = {"Enabled": False}
        config["DNS"] = {"Resolvers": {}}
        config["Routing"] = {"Type": "none"}
        config["Ipns"] = {**config.get("Ipns", {}), "DelegatedPublishers": []}
        config["AutoTLS"] = {"Enabled": False}
        config["Discovery"] = {"MDNS": {"Enabled": False}}
        config["Addresses"] = {
            **config["Addresses"],
            "API": self.multiaddr,
            "Gateway": f"/ip4/127.0.0.1/tcp/{self._gateway_port}",
            "Swarm": [f"/ip4/127.0.0.1/tcp/{self.swarm_port}"],
        }
        config["Swarm"]["AddrFilters"] = []
        config["Swarm"]["DisableNatPortMap"] = True
        write_file(path, json.dumps(config, indent=2).encode(), private=True)

    def _environment(self, repo: Path | None = None) -> dict[str, str]:
        return {"IPFS_PATH": str(repo or self._repo), "IPFS_TELEMETRY": "off"}

    def _ipfs(self, repo: Path, *arguments: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [str(find_kubo()), *arguments],
            env={**os.environ, **self._environment(repo)},
            capture_output=True,
            check=False,
            timeout=60,
        )
        if done.returncode:
            raise EngineFailed(self.name, done.stderr.decode(errors="replace")[-300:])

    def _ready(self) -> bool:
        try:
            return bool(self.peer_id())
        except (OSError, ValueError, KeyError):
            return False


def connect_all(nodes: Sequence[Kubo]) -> None:
    """Connect every Kubo node with every other."""
    for index, node in enumerate(nodes):
        for other in nodes[:index]:
            node.connect(other)
