"""What the folder of a `fednode testnet` keeps over restarts: its ports, its chain, its children.

A chain's state is written over in place by anvil, so a kill can leave half of one. A copy of the
last whole state lies next to it.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fednode.children import Child, end
from fednode.errors import FedNodeError
from fednode.files import write_file
from fednode.testnet import STOP_TIMEOUT, KuboPorts, Process, require_free

log = logging.getLogger("fednode")

RECORD = "testnet.json"
STATE, KEPT = "anvil-state.json", "anvil-state.kept.json"
PORT, CHAIN_ID = 8545, 31337
MOST_RECORD = 1 << 20


class Record(BaseModel):
    """The file `testnet.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    port: int = Field(default=PORT, ge=1, le=65535)
    chain_id: int = Field(default=CHAIN_ID, ge=1)
    nodes: int = Field(default=0, ge=0, le=64)
    kubo: list[KuboPorts] = Field(default_factory=list, max_length=64)
    children: list[Child] = Field(default_factory=list, max_length=65)


@dataclass(slots=True)
class TestnetFolder:
    """The folder of a testnet, for the one process that has it."""

    path: Path
    record: Record = field(default_factory=Record)

    __test__ = False

    @property
    def state(self) -> Path:
        """Give where the chain's state is."""
        return self.path / STATE

    def open(self, port: int | None, chain_id: int | None, nodes: int | None) -> None:
        """Read what an earlier testnet has left, and end its children. What is given differs from
        what it had; what is not given stays.
        """
        before = self._read()
        end(before.children, STOP_TIMEOUT)
        made = self.state.exists()
        if made and chain_id not in (None, before.chain_id):
            raise FedNodeError(
                f"--chain-id {chain_id}: the chain in {self.path} has id {before.chain_id}; leave "
                "the option out, or give another --directory"
            )
        wanted = before.nodes if nodes is None else nodes
        kubo = list(before.kubo) + [KuboPorts.free() for _ in range(wanted - len(before.kubo))]
        self.record = Record(
            port=port or before.port, chain_id=chain_id or before.chain_id, nodes=wanted, kubo=kubo
        )
        self._require_free()
        _restore(self.state, self.path / KEPT)
        self._write()

    @property
    def kubo(self) -> Sequence[KuboPorts]:
        """Give the ports of the Kubo nodes that run."""
        return self.record.kubo[: self.record.nodes]

    def note(self, process: Process) -> None:
        """Remember a child, for a later process that finds it running without a parent."""
        children = [*self.record.children, Child.of(process.pid)]
        self.record = self.record.model_copy(update={"children": children})
        self._write()

    def _require_free(self) -> None:
        anew = "end the program that listens there, or"
        require_free("anvil", self.record.port, f"{anew} give another --port")
        for ports in self.kubo:
            for port in (ports.api, ports.gateway, ports.swarm):
                require_free("ipfs", port, f"{anew} remove {self.path / RECORD} to get other ports")

    def _read(self) -> Record:
        path = self.path / RECORD
        try:
            with path.open("rb") as file:
                return Record.model_validate_json(file.read(MOST_RECORD))
        except FileNotFoundError:
            return Record()
        except OSError as error:
            raise FedNodeError(f"{path} cannot be read: {error.strerror}") from error
        except ValidationError as error:
            raise FedNodeError(
                f"{path} is damaged ({error.errors()[0]['msg']}): remove it, and the next testnet "
                "there gets other ports"
            ) from error

    def _write(self) -> None:
        write_file(self.path / RECORD, self.record.model_dump_json(indent=2).encode())


class StateKeeper:
    """Copies a chain's state whenever a whole one is there."""

    def __init__(self, folder: Path) -> None:
        self._state, self._kept = folder / STATE, folder / KEPT
        self._seen = b""

    def look(self) -> None:
        """Copy the state, if it is whole and another than before."""
        try:
            data = self._state.read_bytes()
        except OSError:
            return
        seen = hashlib.sha256(data).digest()
        if seen != self._seen and _whole(data):
            write_file(self._kept, data)
            self._seen = seen


def _restore(state: Path, kept: Path) -> None:
    """Put the copy in the place of a state that was cut off. Where the state was removed, a new
    chain begins.
    """
    if not state.exists():
        kept.unlink(missing_ok=True)
        return
    if _whole(state.read_bytes()):
        return
    if not kept.exists() or not _whole(kept.read_bytes()):
        raise FedNodeError(
            f"{state} is not whole, and there is no copy of it: remove it to begin a new chain"
        )
    log.warning("%s was cut off: the chain goes on from %s", state, kept.name)
    write_file(state, kept.read_bytes())


def _whole(data: bytes) -> bool:
    try:
        return isinstance(json.loads(data), dict)
    except (ValueError, RecursionError):
        return False
