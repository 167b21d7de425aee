"""The chain that a benchmark runs on: anvil, whose receipts give the gas figures, or py-evm."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fednode.testnet import ANVIL_KEYS, Anvil
from ledger.chain.accounts import Account, from_key, new_account
from ledger.chain.client import Chain
from ledger.types import Wei

ETHER = 10**18
FUNDS = Wei(100 * ETHER)


@dataclass(frozen=True, slots=True)
class Engine:
    """A chain with funded accounts; the first one is the creator's."""

    name: str
    chain: Chain
    accounts: Sequence[Account]
    folder: Path
    jump: Callable[[int], None]

    @property
    def creator(self) -> Account:
        return self.accounts[0]

    def members(self, count: int) -> Sequence[Account]:
        return self.accounts[1 : 1 + count]


@contextmanager
def open_engine(name: str, *, members: int) -> Iterator[Engine]:
    """Start a chain on which a creator and some members have money."""
    with tempfile.TemporaryDirectory(prefix="fednode-bench-") as scratch:
        folder = Path(scratch)
        if name == "embedded":
            yield _embedded(folder, members)
        else:
            with Anvil(folder / "anvil").start() as anvil:
                yield _anvil(anvil, folder, members)


def _embedded(folder: Path, members: int) -> Engine:
    accounts = [new_account() for _ in range(1 + members)]
    chain = Chain.embedded([account.address for account in accounts])
    return Engine("py-evm", chain, accounts, folder, chain.wait_until)


def _anvil(anvil: Anvil, folder: Path, members: int) -> Engine:
    chain = Chain.connect(anvil.url)
    creator = from_key(ANVIL_KEYS[0])
    accounts = [creator, *(new_account() for _ in range(members))]
    for account in accounts[1:]:
        chain.send(creator, account.address, value=FUNDS)

    def jump(moment: int) -> None:
        behind = moment - chain.now()
        if behind > 0:
            anvil.rpc("evm_increaseTime", behind)
        chain.wait_until(moment)

    return Engine("anvil", chain, accounts, folder, jump)
