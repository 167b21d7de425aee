"""What every chain engine returns: blocks, logs, receipts; plain values from any node."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ledger.types import Address, Wei

MAX_GAS = 1 << 24
"""The most gas of one transaction (EIP-7825)."""

MAX_TRANSACTION_BYTES = 128 * 1024
"""The largest transaction that geth's pool takes."""

GENESIS_TIME = 1_767_225_600
"""When an embedded chain begins unless it is told otherwise: 2026-01-01, 0:00 UTC."""


@dataclass(frozen=True, slots=True)
class Log:
    """An event as a receipt holds it, with its place in the chain; with its block's timestamp where
    the node tells it.
    """

    address: Address
    topics: tuple[bytes, ...]
    data: bytes
    block_number: int
    block_hash: bytes
    transaction: bytes
    log_index: int
    timestamp: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a mined transaction did. `status` 1 is success; `type` as in EIP-2718, 0 for legacy."""

    transaction: bytes
    transaction_index: int
    block_number: int
    block_hash: bytes
    sender: Address
    status: int
    gas_used: int
    cumulative_gas_used: int
    effective_gas_price: Wei
    type: int
    logs: tuple[Log, ...]
    contract: Address | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """A block's header by its JSON-RPC names, and the hashes of its transactions."""

    number: int
    hash: bytes
    parent: bytes
    timestamp: int
    header: Mapping[str, bytes]
    transactions: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Transaction:
    """A mined transaction: who signed it, to whom, with what data."""

    hash: bytes
    sender: Address
    to: Address | None
    nonce: int
    value: Wei
    data: bytes
    raw: bytes | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A message to a contract; `to` None creates one. `block` reads a past state, else the pending
    one.
    """

    to: Address | None
    data: bytes
    value: int = 0
    sender: Address | None = None
    block: int | None = None
