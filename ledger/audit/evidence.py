"""What an audit runs from, wherever it comes from: a node's RPC, or an evidence bundle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ledger.audit.verdict import TrustedBlock
from ledger.history import Event
from ledger.replica import Origin
from ledger.stores import ContentStore
from ledger.types import Address, Digest


@dataclass(frozen=True, slots=True)
class Deployment:
    """Whether the contract's address is the one that the shipped program determines, and why."""

    ours: bool
    expected: str
    found: str
    deployers: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """A federation's history up to a trusted block, and a store that has (or has not) the bytes.

    `h` is the accumulator that the trusted block vouches for. `gas` has what a transaction used,
    where known. If the evidence is `bundled`, a file vouches for what the accumulator does not
    cover, and what does not fit is the file's fault.
    """

    origin: Origin
    block: TrustedBlock
    deployment: Deployment
    events: Sequence[Event]
    h: Digest
    store: ContentStore
    gas: Mapping[bytes, int]
    bundled: bool = False
