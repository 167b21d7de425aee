"""A site's promise of which rows it trains on, without showing any of them.

A Merkle tree (RFC 6962, sha-256) with a 16-byte salt per row: whoever holds a row and its salt can
later be asked to open it, and once both are erased the root says nothing about the row.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from fednode.data.table import Table
from ledger import merkle
from ledger.types import Digest

SALT_SIZE: Final = 16
LEAST_SEED: Final = 16


@dataclass(frozen=True, slots=True)
class DatasetCommitment:
    """Root and number of rows, as the chain holds them, and the salts, which stay at the site.

    The salts follow from the seed: a site that may have to erase rows keeps the salts one by one
    and forgets the seed.
    """

    root: Digest
    rows: int
    salts: tuple[bytes, ...] = field(repr=False)

    def path(self, table: Table, row: int) -> tuple[bytes, tuple[Digest, ...]]:
        """Open one row: its leaf and the path to the root."""
        leaves = list(_leaves(table, self.salts))
        return leaves[row], merkle.path(leaves, row)


def commit(table: Table, salts_seed: bytes) -> DatasetCommitment:
    """Commit to a table's encoded rows and labels; the seed is secret, at least 16 bytes."""
    if len(salts_seed) < LEAST_SEED:
        raise ValueError(f"the salts' seed must have at least {LEAST_SEED} random bytes")
    return commit_salted(table, row_salts(salts_seed, len(table)))


def commit_salted(table: Table, salts: tuple[bytes, ...]) -> DatasetCommitment:
    """Commit with salts that were kept one by one, each for its row."""
    return DatasetCommitment(merkle.root(_leaves(table, salts)), len(table), salts)


def row_salts(seed: bytes, rows: int) -> tuple[bytes, ...]:
    """Derive a salt of 16 bytes for each row from a secret seed."""
    return tuple(_salt(seed, row) for row in range(rows))


def _salt(seed: bytes, row: int) -> bytes:
    return hmac.new(seed, row.to_bytes(8, "big"), hashlib.sha256).digest()[:SALT_SIZE]


def _leaves(table: Table, salts: Sequence[bytes]) -> Iterator[bytes]:
    for salt, features, label in zip(salts, table.features, table.labels, strict=True):
        yield salt + features.astype("<i4").tobytes() + int(label).to_bytes(8, "little")
