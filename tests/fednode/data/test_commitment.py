"""Commitments to rows: openable one by one, silent without the salts."""

import numpy as np
import pytest

from fednode.data.commitment import commit
from fednode.data.table import Table
from ledger import merkle
from ledger.types import Digest

SEED = b"sixteen bytes or"


def table_of(rows: int = 5) -> Table:
    features = np.arange(rows * 3, dtype=np.int32).reshape(rows, 3)
    return Table(features, np.arange(rows) % 2, np.zeros(rows, np.int64))


def test_commit_opens_every_row() -> None:
    table = table_of()
    commitment = commit(table, SEED)
    assert commitment.rows == 5
    for row in range(5):
        leaf, path = commitment.path(table, row)
        assert leaf[:16] == commitment.salts[row]
        assert leaf[16:28] == table.features[row].astype("<i4").tobytes()
        assert len(leaf) == 16 + 12 + 8
        hashes = [merkle.leaf_hash(merkle_leaf) for merkle_leaf in _leaves(table)]
        assert _climb(hashes, row, leaf, path) == commitment.root


def _leaves(table: Table) -> list[bytes]:
    commitment = commit(table, SEED)
    return [commitment.path(table, row)[0] for row in range(len(table))]


def _climb(hashes: list[Digest], row: int, leaf: bytes, path: tuple[Digest, ...]) -> Digest:
    """Climb an RFC 6962 path by splitting the tree, an independent reference."""
    if len(hashes) == 1:
        assert not path
        return merkle.leaf_hash(leaf)
    half = 1
    while half * 2 < len(hashes):
        half *= 2
    if row < half:
        return merkle.node_hash(_climb(hashes[:half], row, leaf, path[:-1]), path[-1])
    return merkle.node_hash(path[-1], _climb(hashes[half:], row - half, leaf, path[:-1]))


def test_commit_depends_on_rows_order_labels_and_seed() -> None:
    table = table_of()
    roots = {
        commit(table, SEED).root,
        commit(table, SEED + b"x").root,
        commit(table.take(np.array([1, 0, 2, 3, 4])), SEED).root,
        commit(Table(table.features, 1 - table.labels, table.groups), SEED).root,
        commit(table.take(np.arange(4)), SEED).root,
    }
    assert len(roots) == 5
    assert len(set(commit(table, SEED).salts)) == 5


def test_salts_stay_out_of_the_representation() -> None:
    assert commit(table_of(), SEED).salts[0].hex() not in repr(commit(table_of(), SEED))
    assert "salts" not in repr(commit(table_of(), SEED))


def test_commit_refuses_a_short_seed() -> None:
    with pytest.raises(ValueError, match="at least 16 random bytes"):
        commit(table_of(), b"short")
