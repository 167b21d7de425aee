"""The chain as the rest of the project sees it: one class over both engines.

It loads py-evm only when an embedded chain is started, and what speaks HTTP only when a node is
connected to: the imports cost seconds.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from ledger.chain.accounts import Account
from ledger.chain.engine import Engine
from ledger.chain.glance import Glance
from ledger.chain.rpc import RpcEngine
from ledger.chain.transport import transports
from ledger.chain.types import GENESIS_TIME, Block, Call, Log, Receipt, Transaction
from ledger.types import Address, Wei
from ledger.urls import shown

ETHER: Final = 10**18
SEND_TIMEOUT: Final = 180.0


class Chain:
    """One chain. Reads are of the pending state, time is the pending block's."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.chain_id = engine.chain_id
        self.endpoint = engine.endpoint
        self._glance: Glance | None = None

    @classmethod
    def embedded(
        cls,
        funded_accounts: Iterable[Address] | Mapping[Address, int] = (),
        *,
        genesis_time: int = GENESIS_TIME,
    ) -> "Chain":
        """Start a chain in the process; the accounts have 1,000 ether each unless it says."""
        from ledger.chain.embedded import EmbeddedEngine

        if not isinstance(funded_accounts, Mapping):
            funded_accounts = dict.fromkeys(funded_accounts, 1_000 * ETHER)
        return cls(EmbeddedEngine(funded_accounts, genesis_time=genesis_time))

    @classmethod
    def connect(cls, url: str, expected_chain_id: int | None = None) -> "Chain":
        """Connect to a node. Raise ChainUnreachable or WrongChain."""
        transport, batch = transports(url)
        engine = RpcEngine(transport, shown(url), batch=batch, expected_chain_id=expected_chain_id)
        return cls(engine)

    def now(self) -> int:
        """Give chain time: the timestamp that the next block would have."""
        glance = self._glance
        return self._engine.pending_timestamp() if glance is None else glance()[1]

    @contextmanager
    def glance(self) -> Iterator[None]:
        """Inside, let one look at newest block and chain time hold for a moment: for a node's step,
        which asks for them at many places.
        """
        self._glance = Glance(self._engine.look)
        try:
            yield
        finally:
            self._glance = None

    def wait_until(self, moment: int, *, timeout: float | None = None) -> None:
        """Wait for chain time (the embedded chain jumps). Raise ChainTimeout after `timeout` s."""
        self._engine.wait_until(moment, timeout=timeout)
        self._look_again()

    def rest(self, seconds: float) -> None:
        """Wait before the chain's node is asked again for what it did not have."""
        self._engine.rest(seconds)
        self._look_again()

    def block_number(self) -> int:
        """Give the number of the newest block."""
        glance = self._glance
        return self._engine.block_number() if glance is None else glance()[0].number

    def newest(self) -> Block:
        """Give the newest block."""
        glance = self._glance
        return self._engine.newest() if glance is None else glance()[0]

    def block(self, which: int | bytes) -> Block | None:
        """Give a block by number or hash, None if the chain has none."""
        return self._engine.block(which)

    def blocks(self, hashes: Sequence[bytes]) -> list[Block | None]:
        """Give blocks by their hashes, all at once where the node can."""
        return self._engine.blocks(hashes)

    def transaction(self, transaction: bytes) -> Transaction | None:
        """Give a mined transaction by its hash."""
        return self._engine.transaction(transaction)

    def transactions(self, hashes: Sequence[bytes]) -> list[Transaction | None]:
        """Give mined transactions by their hashes, all at once where the node can."""
        return self._engine.transactions(hashes)

    def receipt(self, transaction: bytes) -> Receipt | None:
        """Give a mined transaction's receipt."""
        return self._engine.receipt(transaction)

    def receipts(self, block: bytes) -> list[Receipt]:
        """Give all receipts of the block with this hash, in order."""
        return self._engine.receipts(block)

    def logs(
        self, address: Address, topics: Sequence[bytes | None], from_block: int, to_block: int
    ) -> list[Log]:
        """Give an address's logs in a range of blocks, both ends included; a None topic is any."""
        return self._engine.logs(address, topics, from_block, to_block)

    def first_block(self, address: Address) -> int:
        """Give the block that a contract was created in; 0 if the chain's node does not tell."""
        return self._engine.first_block(address)

    def existed(self, address: Address, block: int) -> bool | None:
        """Say whether a contract was there after a block; None if the chain does not tell."""
        return self._engine.existed(address, block)

    def balance(self, address: Address) -> Wei:
        """Give an account's balance."""
        return Wei(self._engine.balance(address))

    def code(self, address: Address) -> bytes:
        """Give a contract's code, empty if there is none."""
        return self._engine.code(address)

    def call(
        self,
        to: Address | None,
        data: bytes,
        *,
        value: int = 0,
        sender: Address | None = None,
        block: int | None = None,
    ) -> bytes:
        """Execute a message without effect, on the pending state or a block's; `to` None executes
        what creates a contract. Raise Reverted.
        """
        return self._engine.call(Call(to, data, value, sender, block))

    def affords(self, address: Address, gas: int, *, value: int = 0) -> bool:
        """Say whether an account can pay a value and this much gas, at the price that it would
        offer now.
        """
        return self._engine.affords(address, gas, value)

    def estimate(self, sender: Address, to: Address | None, data: bytes, *, value: int = 0) -> int:
        """Say how much gas a message needs on the pending state. Raise Reverted."""
        return self._engine.estimate(Call(to, data, value, sender))

    def send(
        self,
        account: Account,
        to: Address | None,
        data: bytes = b"",
        *,
        value: int = 0,
        gas: int | None = None,
        timeout: float = SEND_TIMEOUT,
    ) -> Receipt:
        """Send one transaction and wait until it is mined; `to` None creates a contract.

        It is simulated first: Reverted means that nothing was sent. If `gas` is given, this amount
        at the offered price is what is simulated and what is sent, and no gas is estimated: the
        code of strangers can use no more. Raises Unfunded, TransactionTooLarge, TransactionFailed
        (mined without effect) and TransactionPending (sent, not mined in `timeout` seconds).
        """
        call = Call(to, data, value, account.address)
        try:
            return self._engine.send(account, call, gas=gas, timeout=timeout)
        finally:
            self._look_again()

    def _look_again(self) -> None:
        glance = self._glance
        if glance is not None:
            glance.forget()
