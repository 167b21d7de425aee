"""The world that the command's tests share; each worker process makes its own."""

from collections.abc import Iterator

import pytest

from fednode.testnet import Anvil, EngineMissing
from tests.engines import missing
from tests.fednode.cli.world import World, build


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Give the world, on an anvil of its own whose clock is nobody else's."""
    folder = tmp_path_factory.mktemp("command")
    try:
        anvil = Anvil(folder / "anvil").start()
    except EngineMissing as error:
        missing(error)
    with anvil:
        yield build(folder, anvil)
