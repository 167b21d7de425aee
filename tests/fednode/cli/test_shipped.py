"""What pays is sent to this package's program alone: no file is written and nothing is sent before
the contract's address was derived.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
from click.testing import CliRunner

from fednode.cli import main
from ledger import contracts
from ledger.chain.accounts import create_keystore
from ledger.chain.client import Chain
from ledger.chain.federations import Federations, deploy
from ledger.stores import DirectoryStore
from ledger.types import Address, FederationId
from tests.engines import Engine, embedded
from tests.federations import Stage, found, policy_of

COMMANDS = {
    "join": ("--site", "cleveland", "--name", "Mallory"),
    "participant": ("--site", "cleveland"),
    "proposer": (),
    "challenge": ("--journal", "journal"),
}


@contextmanager
def altered(name: str) -> Iterator[None]:
    """Let a contract be deployed whose code differs in one byte."""
    real = contracts.artifact

    def artifact(asked: str) -> contracts.Artifact:
        shipped = real(asked)
        last = bytes([shipped.bytecode[-1] ^ 1])
        differs = replace(shipped, bytecode=shipped.bytecode[:-1] + last)
        return differs if asked == name else shipped

    with patch.object(contracts, "artifact", artifact):
        yield


def proxy_of(chain: Chain, engine: Engine, target: Address) -> Address:
    """Deploy an EIP-1167 proxy: it behaves as its target, in a storage of its own."""
    runtime = bytes.fromhex(f"363d3d373d3d3d363d73{target[2:]}5af43d82803e903d91602b57fd5bf3")
    init = bytes.fromhex("3d602d80600a3d3981f3") + runtime
    created = chain.send(engine.accounts[0], None, init).contract
    assert created is not None
    return created


def prefilled(chain: Chain, engine: Engine, target: Address) -> Address:
    """Deploy the shipped code behind a constructor that writes into its storage first."""
    init = bytes.fromhex(f"600160005573{target[2:]}803b8060006000843c6000f3")
    created = chain.send(engine.accounts[0], None, init).contract
    assert created is not None
    assert chain.code(created) == chain.code(target)
    return created


def played(engine: Engine, folder: Path, contract: Address) -> FederationId:
    """Create a federation of the heart policy on a contract."""
    stage = Stage(engine, [DirectoryStore(folder / "blocks")], folder / "hospitals")
    with patch("tests.federations.deploy", lambda *_: contract):
        return found(stage, policy_of()).federation


def run(engine: Engine, folder: Path, *words: str) -> tuple[int, str]:
    """Run a command against the engine's chain, as its tenth account."""
    keystore, password = folder / "account.json", folder / "password"
    if not keystore.exists():
        password.write_text("secret\n")
        create_keystore(keystore, "secret", account=engine.accounts[9], light=True)
    fixed = ["--rpc", "http://127.0.0.1:1", "--account", str(keystore)]
    fixed += ["--password-file", str(password), "--store", str(folder / "blocks")]
    with patch.object(Chain, "connect", lambda *_: engine.chain):
        done = CliRunner().invoke(main, [*words, *fixed])
    return done.exit_code, done.stderr


@pytest.fixture(scope="module")
def engine() -> Engine:
    return embedded()


@pytest.mark.parametrize("library", ["Federations", "Members"])
def test_one_byte_is_noticed_before_a_stake_is_sent(
    engine: Engine, tmp_path: Path, library: str
) -> None:
    with altered(library):
        fake = deploy(engine.chain, engine.accounts[0])
    federation = played(engine, tmp_path, fake)
    before = engine.chain.balance(engine.accounts[9].address)
    for command, options in COMMANDS.items():
        journal = tmp_path / command
        names = ("--ledger", fake, "--federation", federation.hex())
        others = tuple(str(journal) if word == "journal" else word for word in options)
        if command in ("join", "participant"):
            others += ("--journal", str(journal))
        code, text = run(engine, tmp_path, command, *others, *names)
        assert code == 1, text
        assert text.startswith("error: ")
        assert "is not this package's program" in text
        assert text.count("\n") == 1
        assert not journal.exists()
    assert engine.chain.balance(engine.accounts[9].address) == before


def test_a_pool_is_not_sent_to_a_proxy(engine: Engine, tmp_path: Path) -> None:
    real = deploy(engine.chain, engine.accounts[0])
    policy = Path("fednode/policies/heart.toml").resolve()
    store = tmp_path / "blocks"
    for make in (proxy_of, prefilled):
        fake = make(engine.chain, engine, real)
        code, text = run(
            engine, tmp_path, "create", "--policy", str(policy), "--ledger", fake, "--public-rows"
        )
        assert code == 1, text
        assert "is not this package's program" in text
        assert not store.exists()


def test_the_shipped_program_is_joined(engine: Engine, tmp_path: Path) -> None:
    contract = Federations(engine.chain, deploy(engine.chain, engine.accounts[0]))
    federation = played(engine, tmp_path, contract.address)
    names = ("--ledger", contract.address, "--federation", federation.hex())
    options = (*COMMANDS["join"], "--public-rows", "--journal", str(tmp_path / "journal"))
    code, text = run(engine, tmp_path, "join", *options, *names)
    assert code == 1
    assert "invitation" in text
    assert "is not this package's program" not in text
