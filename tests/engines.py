"""Real engines for tests: anvil, geth and Kubo, started once per worker process on free ports.

A test that lacks its engine skips with the reason; with CI=true a missing engine is a failure.
"""

import json
import os
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from fednode.testnet import ANVIL_KEYS, Anvil, EngineMissing, Geth, Kubo
from ledger.chain.accounts import Account, from_key
from ledger.chain.client import Chain


def keys() -> list[Account]:
    """Give ten accounts that are funded on every engine that is started here."""
    return [from_key(key) for key in ANVIL_KEYS]


def missing(error: EngineMissing) -> NoReturn:
    """Skip the test for want of an engine, or fail it where all engines must be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(str(error))
    pytest.skip(str(error))


@dataclass(frozen=True, slots=True)
class Engine:
    """A chain, with ten funded accounts."""

    name: str
    chain: Chain
    accounts: list[Account]

    def hurry(self, moment: int) -> None:
        """Bring chain time to a moment without waiting for it.

        geth cannot jump, but every block is a second later than the one before, at least.
        """
        ahead = moment - self.chain.now()
        if self.name == "anvil" and ahead > 0:
            ask(self.chain.endpoint, "evm_increaseTime", ahead)
        idler = self.accounts[-1]
        while self.name == "geth" and self.chain.now() < moment:
            self.chain.send(idler, idler.address)
        self.chain.wait_until(moment)


def ask(url: str, method: str, *parameters: object) -> None:
    """Send a node a request that only it knows."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert "error" not in json.loads(answer.read()), method


def embedded() -> Engine:
    """Start an embedded chain."""
    accounts = keys()
    return Engine("py-evm", Chain.embedded([a.address for a in accounts]), accounts)


@pytest.fixture(scope="session")
def anvil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Anvil]:
    """Give a running anvil."""
    node = Anvil(tmp_path_factory.mktemp("anvil"))
    try:
        node.start()
    except EngineMissing as error:
        missing(error)
    with node:
        yield node


@pytest.fixture(scope="session")
def geth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Geth]:
    """Give a running geth."""
    funded = [account.address for account in keys()]
    node = Geth(tmp_path_factory.mktemp("geth"), funded=funded)
    try:
        node.start()
    except EngineMissing as error:
        missing(error)
    with node:
        yield node


@pytest.fixture(scope="session", params=["py-evm", "anvil", "geth"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Give each chain engine in turn; its state is shared by the tests of a worker."""
    if request.param == "py-evm":
        return embedded()
    node = request.getfixturevalue(request.param)
    return Engine(request.param, Chain.connect(node.url), keys())


def start_kubo(folder: Path, *, offline: bool = False) -> Kubo:
    """Start a private Kubo, or skip."""
    node = Kubo(folder, offline=offline)
    try:
        return node.start()
    except EngineMissing as error:
        missing(error)
        raise


@pytest.fixture(scope="session")
def kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubo]:
    """Give a running Kubo that knows nobody."""
    with start_kubo(tmp_path_factory.mktemp("kubo"), offline=True) as node:
        yield node


@pytest.fixture(scope="session")
def kubo_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kubo, Kubo]]:
    """Give two running Kubo nodes that are connected to each other."""
    with (
        start_kubo(tmp_path_factory.mktemp("kubo-a")) as first,
        start_kubo(tmp_path_factory.mktemp("kubo-b")) as second,
    ):
        first.connect(second)
        yield first, second
