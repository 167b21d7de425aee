"""`fednode relay` reads its options, and serves only with the account that the policy names."""

import asyncio
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fednode.cli import main
from fednode.relay import service
from fednode.relay.desk import Desk
from fednode.relay.gas import Gas
from fednode.relay.lanes import most_lost
from fednode.relay.service import Settings
from fednode.relay.situation import Ledger
from fednode.relay.sponsor import Allowance
from ledger.chain.accounts import Account, create_keystore
from ledger.stores import ContentStore, DirectoryStore
from ledger.types import Wei
from tests.accounts import new_account
from tests.fednode.relay.test_on_chain import World, world

__all__ = ["world"]

Run = Callable[..., Result]


@pytest.fixture
def run(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call the command on the embedded chain, with an account of one's choice."""
    blocks = tmp_path / "blocks"
    DirectoryStore(blocks).put(world.artefact())
    monkeypatch.setattr("fednode.cli.relay.open_contract", lambda *_: world.contract)

    def run(account: Account, *more: str) -> Result:
        create_keystore(tmp_path / "key.json", "secret", account=account, light=True)
        (tmp_path / "password").write_text("secret\n")
        given = {
            "rpc": "http://127.0.0.1:1",
            "ledger": world.contract.address,
            "federation": world.federation.hex(),
            "store": str(blocks),
            "account": str(tmp_path / "key.json"),
            "password-file": str(tmp_path / "password"),
            "journal": str(tmp_path / "journal"),
        }
        options = [part for name, value in given.items() for part in (f"--{name}", value)]
        return CliRunner().invoke(main, ["relay", *options, *more])

    return run


def test_another_account_is_refused(run: Run) -> None:
    result = run(new_account())
    assert result.exit_code == 1
    assert result.output.startswith("error: account 0x")
    assert "is not the relay that the policy names" in result.output
    assert len(result.output.splitlines()) == 1


def test_it_serves_where_and_how_it_is_told(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Settings] = []

    async def once(
        ledger: Ledger,
        store: ContentStore,
        desk: Desk,
        settings: Settings,
        ready: Callable[[str], None],
    ) -> None:
        seen.append(settings)
        addresses: list[str] = []
        running = asyncio.create_task(serve(ledger, store, desk, settings, addresses.append))
        while not addresses:
            await asyncio.sleep(0.01)
        answer = await asyncio.to_thread(urllib.request.urlopen, addresses[0], timeout=5)
        assert json.load(answer)["relay"] == world.relay.address
        ready(addresses[0])
        running.cancel()

    serve = service.serve
    monkeypatch.setattr(service, "serve", once)
    more = ["--port", "0", "--margin", "7", "--max-stake", "5", "--max-bond", "6", "--json"]
    result = run(world.relay, *more, "--joins", "--max-loss", "8")
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["url"].startswith("http://127.0.0.1:")
    (settings,) = seen
    assert (settings.margin, settings.port) == (7, 0)
    assert settings.allowance == Allowance(Wei(5), Wei(6), joins=True, loss=Wei(8))
    assert json.loads(result.output)["most_lost_gas"] == most_lost(Gas.of(world.policy), joins=True)


def test_unless_it_is_told_it_sends_no_joins_and_lends_two_bonds(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Settings] = []

    async def never(*arguments: Any) -> None:  # noqa: ANN401
        seen.append(arguments[3])

    monkeypatch.setattr(service, "serve", never)
    assert run(world.relay, "--max-bond", "6").exit_code == 0
    (settings,) = seen
    assert not settings.allowance.joins
    assert settings.allowance.most_lost == 12
