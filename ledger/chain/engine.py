"""What a chain engine does, whichever it is: the embedded py-evm or a node behind JSON-RPC."""

from collections.abc import Sequence
from typing import Protocol

from ledger.chain.accounts import Account
from ledger.chain.types import Block, Call, Log, Receipt, Transaction
from ledger.types import Address


class Engine(Protocol):
    """Blocking access to one chain; safe for several threads."""

    @property
    def chain_id(self) -> int:
        """Give the chain's id."""
        ...

    @property
    def endpoint(self) -> str:
        """Name the engine in messages."""
        ...

    def pending_timestamp(self) -> int:
        """Give the timestamp that the next block would have."""
        ...

    def wait_until(self, moment: int, *, timeout: float | None) -> None:
        """Return once the pending block's timestamp is `moment` or later."""
        ...

    def rest(self, seconds: float) -> None:
        """Wait before the chain is asked again for what its node did not have."""
        ...

    def block_number(self) -> int:
        """Give the number of the newest block."""
        ...

    def newest(self) -> Block:
        """Give the newest block."""
        ...

    def look(self) -> tuple[Block, int]:
        """Give the newest block, and the timestamp that the next one would have."""
        ...

    def block(self, which: int | bytes) -> Block | None:
        """Give a block by number or hash."""
        ...

    def blocks(self, hashes: Sequence[bytes]) -> list[Block | None]:
        """Give blocks by their hashes."""
        ...

    def transaction(self, transaction: bytes) -> Transaction | None:
        """Give a mined transaction."""
        ...

    def transactions(self, hashes: Sequence[bytes]) -> list[Transaction | None]:
        """Give mined transactions."""
        ...

    def receipt(self, transaction: bytes) -> Receipt | None:
        """Give a mined transaction's receipt."""
        ...

    def receipts(self, block: bytes) -> list[Receipt]:
        """Give all receipts of a block, in order."""
        ...

    def logs(
        self,
        address: Address,
        topics: Sequence[bytes | None],
        from_block: int,
        to_block: int,
    ) -> list[Log]:
        """Give an address's logs in a range of blocks, both ends included."""
        ...

    def first_block(self, address: Address) -> int:
        """Give the block that a contract was created in, or one before it."""
        ...

    def existed(self, address: Address, block: int) -> bool | None:
        """Say whether a contract was there after a block; None if the chain does not tell."""
        ...

    def balance(self, address: Address) -> int:
        """Give an account's balance in wei."""
        ...

    def affords(self, address: Address, gas: int, value: int) -> bool:
        """Say whether an account can pay a value and this much gas now."""
        ...

    def code(self, address: Address) -> bytes:
        """Give a contract's code, empty if there is none."""
        ...

    def call(self, call: Call) -> bytes:
        """Execute a message on the pending state, without effect. Raise Reverted."""
        ...

    def estimate(self, call: Call) -> int:
        """Say how much gas a message needs on the pending state. Raise Reverted."""
        ...

    def send(self, account: Account, call: Call, *, gas: int | None, timeout: float) -> Receipt:
        """Simulate, sign, send and wait for a transaction. Raise Reverted before sending."""
        ...
