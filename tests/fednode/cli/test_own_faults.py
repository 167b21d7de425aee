"""What is wrong on the auditor's side ends an audit with exit code 1 and advice, never with 3."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from ledger.chain.client import Chain
from ledger.chain.errors import RpcRefused
from ledger.chain.federations import Federations
from ledger.chain.types import Block, Log, Transaction
from ledger.cid import CID, Codec
from ledger.stores import DirectoryStore
from ledger.types import Address
from tests.fednode.cli.test_console import audit
from tests.fednode.cli.test_console import bundle as bundle
from tests.fednode.cli.world import Desk, require_one_line
from tests.tamper.live import Live
from tests.tamper.test_on_chain import BENT, Bend, rebuilt, told
from tests.tamper.world import LEDGER


class Faulty(Chain):
    """A node that does not have all that a chain has."""

    def __init__(self, sound: Chain) -> None:
        super().__init__(sound._engine)


def refused(method: str) -> RpcRefused:
    return RpcRefused(method, -32000, "missing trie node: state is pruned")


class NoState(Faulty):
    def call(
        self,
        to: Address | None,
        data: bytes,
        *,
        value: int = 0,
        sender: Address | None = None,
        block: int | None = None,
    ) -> bytes:
        if block is not None:
            raise refused("eth_call")
        return super().call(to, data, value=value, sender=sender)


class NoLogs(Faulty):
    def logs(
        self, address: Address, topics: Sequence[bytes | None], from_block: int, to_block: int
    ) -> list[Log]:
        raise refused("eth_getLogs")


class CutLogs(Faulty):
    """A node that has lost some of its logs."""

    def kept(self, logs: list[Log]) -> list[Log]:
        raise NotImplementedError

    def logs(
        self, address: Address, topics: Sequence[bytes | None], from_block: int, to_block: int
    ) -> list[Log]:
        return self.kept(super().logs(address, topics, from_block, to_block))


class LateLogs(CutLogs):
    def kept(self, logs: list[Log]) -> list[Log]:
        return logs[:-1]


class EarlyLogsGone(CutLogs):
    def kept(self, logs: list[Log]) -> list[Log]:
        return logs[2:]


class AllLogsGone(CutLogs):
    def kept(self, logs: list[Log]) -> list[Log]:
        return []


class HoleInLogs(CutLogs):
    def kept(self, logs: list[Log]) -> list[Log]:
        return logs[:3] + logs[4:]


class NoTransactions(Faulty):
    def transactions(self, hashes: Sequence[bytes]) -> list[Transaction | None]:
        return [None for _ in hashes]


class NoBlocks(Faulty):
    def block(self, which: int | bytes) -> Block | None:
        return None

    def blocks(self, hashes: Sequence[bytes]) -> list[Block | None]:
        return [None for _ in hashes]


FAULTS = [LateLogs, EarlyLogsGone, AllLogsGone, HoleInLogs, NoLogs, NoTransactions, NoBlocks]


def desk(live: Live, chain: Chain, folder: Path, patch: pytest.MonkeyPatch) -> Desk:
    """Let the command find a contract on a chain, and everything in a store."""
    store = DirectoryStore(folder / "store")
    for cid, data in live.store.blocks.items():
        file = store.path / str(cid)[-3:-1] / str(cid)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    contract = Federations(chain, live.contract.address)
    patch.setattr("fednode.cli.audit.open_contract", lambda *_: contract)
    variables = {
        "FEDNODE_RPC": "http://127.0.0.1:1",
        "FEDNODE_LEDGER": str(live.contract.address),
        "FEDNODE_FEDERATION": live.federation.hex(),
        "FEDNODE_STORE": str(folder / "store"),
    }
    return Desk(folder, variables)


def test_a_sound_node_is_audited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live = told()
    assert desk(live, live.chain, tmp_path, monkeypatch).run("audit").exit_code == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_a_node_without_history_accuses_nobody(
    fault: type[Faulty], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = told()
    result = desk(live, fault(live.chain), tmp_path, monkeypatch).run("audit")
    require_one_line(result, 1)
    assert not any(member.address in result.stderr for member in live.members)


def test_a_pruned_state_is_no_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest block's state may still be there under another name."""
    live = told()
    result = desk(live, NoState(live.chain), tmp_path, monkeypatch).run("audit")
    assert result.exit_code in (0, 1)


def test_another_contract_or_federation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live = told()
    at = desk(live, live.chain, tmp_path, monkeypatch)
    require_one_line(at.run(f"audit --federation {'12' * 32}"), 1, "federation")
    monkeypatch.undo()
    monkeypatch.setattr("fednode.cli.open.Chain.connect", lambda *_: live.chain)
    require_one_line(at.run(f"audit --ledger {LEDGER}"), 1, "no FedNode contract")


def test_a_store_without_any_block_accuses_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = told()
    at = desk(live, live.chain, tmp_path, monkeypatch)
    (tmp_path / "empty").mkdir()
    result = at.run("audit", FEDNODE_STORE=str(tmp_path / "empty"))
    require_one_line(result, 1, "none of this federation's blocks", "check --ipfs or --store")
    assert not any(member.address in result.stderr for member in live.members)


def test_a_finding_about_bytes_says_whose_store_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = told()
    at = desk(live, live.chain, tmp_path, monkeypatch)
    result = live.replica.state.lineage[-1].result
    block = CID(Codec.RAW, result)
    (tmp_path / "store" / str(block)[-3:-1] / str(block)).unlink()
    ran = at.run(f"audit --html {tmp_path / 'report.html'}")
    assert ran.exit_code == 3
    advice = "asked for at this audit's own content store"
    assert advice in " ".join(ran.stdout.replace("\u2502", " ").split())
    assert "own content store" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", BENT)
def test_a_bent_bundle_is_refused_in_one_line(
    name: str, bundle: tuple[Path, str], tmp_path: Path
) -> None:
    path, trust = bundle
    bend: Bend = BENT[name][0]
    rebuilt(path, tmp_path / "bent.car", bend)
    ran = audit((tmp_path / "bent.car", trust), "--json")
    assert ran.returncode == 1
    assert b"error" in ran.stdout
    assert ran.stderr.count(b"\n") == 1
    assert not any(member.address.encode() in ran.stderr for member in told().members)
