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

    `h` is the accumulator that the trusted block vouches for; `broken` says why the events do not
    hash to what they carry, where they do not. `gas` has what a transaction used, where known.
    """

    origin: Origin
    block: TrustedBlock
    deployment: Deployment
    events: Sequence[Event]
    h: Digest
    store: ContentStore
    gas: Mapping[bytes, int]
    broken: str | None = None
