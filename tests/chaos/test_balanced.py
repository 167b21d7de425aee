"""Nodes behind an RPC that answers for several: in real time, with the default of one confirmation.

The logs of a new block come a second and a half after the block, and every third answer is of a
node that is a block behind. Rounds come to results all the same, and nobody's update is missing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from fednode.testnet import Anvil
from ledger.proceedings import Outcome
from tests.chaos.faulty_rpc import FaultyRpc
from tests.chaos.siege import SITES, Siege
from tests.chaos.test_chaos import settle_up
from tests.e2e.processes import Network, on_chain, write_accounts

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

DELAY = 1.5
"""Seconds by which the logs trail the head."""
ROUNDS = 2
BLOCK = 1
"""Seconds from one block to the next."""


@dataclass(frozen=True, slots=True)
class Balanced(Network):
    """Engines whose chain is reached through a faulty proxy by all processes."""

    rpc: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """Give what all commands are told."""
        own = {"FEDNODE_PASSWORD_FILE": str(self.password), "FEDNODE_PUBLIC_ROWS": "1"}
        return {"FEDNODE_RPC": self.rpc, **own}


@contextmanager
def balanced(folder: Path) -> Iterator[tuple[Balanced, FaultyRpc]]:
    """Run a chain that makes a block a second, and a proxy in front of it."""
    anvil = Anvil(folder / "anvil", options=("--block-time", str(BLOCK)))
    with anvil.start(), FaultyRpc(anvil.url) as proxy:
        write_accounts(folder)
        yield (
            Balanced(
                engine=on_chain("anvil", anvil.url),
                stores=(("--store", str(folder / "blocks")),),
                accounts=folder / "accounts",
                password=folder / "password",
                anvil=anvil,
                rpc=proxy.url,
            ),
            proxy,
        )


@pytest.mark.timeout(600)
def test_rounds_come_to_results_behind_logs_that_trail_the_head(tmp_path: Path) -> None:
    with balanced(tmp_path / "engines") as (network, proxy):
        siege = Siege(tmp_path / "siege", network, rounds=ROUNDS - 1, relayed=False)
        proxy.log_delay, proxy.backends = DELAY, (0, 0, 1)
        with siege.started():
            siege.wait(lambda state: len(state.lineage) == len(state.rounds) == ROUNDS)
            siege.finish()
        rounds = siege.eye.state.rounds
        assert [round_.outcome for round_ in rounds] == [Outcome.ACCEPTED] * ROUNDS
        for accepted in siege.eye.state.lineage:
            assert siege.eye.replica.reader(accepted).header.number == len(SITES)
        settle_up(siege)
