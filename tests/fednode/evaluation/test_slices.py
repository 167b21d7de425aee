"""Slices: what the policy commits to, what is opened, and everything else that is not it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednode.data.errors import MalformedData
from fednode.data.evaluation_set import EvaluationSet
from fednode.data.fixed import ONE
from fednode.data.salted import SaltedRows
from fednode.data.schema import ImageSchema
from fednode.errors import FedNodeError
from fednode.evaluation import slices as evaluation_slices
from fednode.evaluation.slices import SliceCommitment, Slices, SliceTree, cut
from ledger import cbor
from ledger.artefacts import record
from ledger.cid import CID, Codec
from ledger.errors import MalformedRecord
from ledger.stores import Artefact, BlockNotFound, MemoryStore
from ledger.types import Address, Digest

SCHEMA = ImageSchema.model_validate(
    {"kind": "image", "shape": [1, 1, 3], "range": [0, 1], "labels": ["0", "1"]}
)
HOLDER = Address("0x" + "ab" * 20)
SECRET = b"s" * 32


def drawn(count: int = 30, seed: int = 1, secret: bytes = SECRET) -> SaltedRows:
    rng = np.random.default_rng(seed)
    rows = EvaluationSet(
        rng.integers(0, ONE, (count, 1, 1, 3)).astype(np.int32),
        rng.integers(0, 2, count),
        rng.integers(0, 3, count),
    )
    return SaltedRows.draw(rows, secret)


def tree(slices: Slices) -> SliceTree:
    return SliceTree(SliceCommitment(slices.root, HOLDER), len(slices.parts), SCHEMA)


def stored(artefact: Artefact) -> tuple[MemoryStore, Digest]:
    store = MemoryStore()
    store.put(artefact)
    return store, artefact.roots[0].digest


@given(st.integers(1, 12), st.integers(12, 40), st.integers(0, 50))
def test_every_slice_is_what_was_promised(parts: int, count: int, seed: int) -> None:
    rows = drawn(count, seed)
    slices = cut(rows, parts)
    assert sum(len(part) for part in slices.parts) == count
    assert max(map(len, slices.parts)) - min(map(len, slices.parts)) <= 1
    seen = [tuple(row.ravel()) for part in slices.parts for row in part.rows.features]
    assert sorted(seen) == sorted(tuple(row.ravel()) for row in rows.rows.features)
    for number, part in enumerate(slices.parts):
        store, digest = stored(slices.opened(number))
        found = tree(slices).read(store, digest, number=number)
        assert np.array_equal(found.features, part.rows.features)
        assert np.array_equal(found.labels, part.rows.labels)
        assert np.array_equal(found.groups, part.rows.groups)


def test_every_slice_has_its_share_of_a_sites_classes() -> None:
    rows = drawn(120)
    strata = rows.rows.groups * 2 + rows.rows.labels
    for part in cut(rows, 5).parts:
        inside = np.bincount(part.rows.groups * 2 + part.rows.labels, minlength=6)
        assert np.all(np.abs(inside - np.bincount(strata, minlength=6) / 5) <= 1)


def test_a_slice_has_no_more_rows_than_may_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation_slices, "MOST_ROWS", 10)
    assert [len(part) for part in cut(drawn(30), 3).parts] == [10] * 3
    with pytest.raises(FedNodeError, match="a slice has at most 10 rows"):
        cut(drawn(31), 3)


def test_the_secret_decides_which_slice_a_row_is_in() -> None:
    one, other = cut(drawn(), 3), cut(drawn(secret=b"t" * 32), 3)
    assert not all(
        np.array_equal(a.rows.features, b.rows.features)
        for a, b in zip(one.parts, other.parts, strict=True)
    )
    assert one.root != other.root


@pytest.mark.parametrize("number", [0, 2, 3, 5, -1])
def test_a_slice_is_good_for_its_own_number_alone(number: int) -> None:
    slices = cut(drawn(), 5)
    store, digest = stored(slices.opened(1))
    with pytest.raises(MalformedRecord, match="not those of slice"):
        tree(slices).read(store, digest, number=number)


def changed(**fields: cbor.Value) -> tuple[MemoryStore, Digest]:
    """Open slice 1 with some fields of its record changed."""
    artefact = cut(drawn(), 5).opened(1)
    found = cbor.decode(artefact.blocks[artefact.roots[0]])
    assert isinstance(found, dict)
    cid, data = record(found | fields)
    store, _ = stored(artefact)
    store.blocks[cid] = data
    return store, cid.digest


def other_rows() -> CID:
    return drawn(6, seed=9).rows.artefact().roots[0]


WRONG: list[tuple[dict[str, cbor.Value], str]] = [
    ({"path": []}, "no path"),
    ({"path": [b"x" * 32] * 3}, "another path"),
    ({"path": ["x"]}, "a path of texts"),
    ({"path": 7}, "a path that is none"),
    ({"salts": b"x"}, "salts that are no link"),
    ({"rows": "rows"}, "rows that are no link"),
    ({"more": 1}, "a key too many"),
]


@pytest.mark.parametrize(("fields", "reason"), WRONG, ids=[reason for _, reason in WRONG])
def test_records_that_are_no_slice(fields: dict[str, cbor.Value], reason: str) -> None:
    store, digest = changed(**fields)
    with pytest.raises(MalformedRecord):
        tree(cut(drawn(), 5)).read(store, digest, number=1)


@pytest.mark.parametrize("salts", [b"x" * 96, b"x" * 95, b""])
def test_other_salts_are_another_slice(salts: bytes) -> None:
    link = CID.of(Codec.RAW, salts)
    store, digest = changed(salts=link)
    store.blocks[link] = salts
    with pytest.raises(MalformedRecord):
        tree(cut(drawn(), 5)).read(store, digest, number=1)


def test_other_rows_are_another_slice_and_missing_ones_are_missing() -> None:
    store, digest = changed(rows=other_rows())
    with pytest.raises(BlockNotFound):
        tree(cut(drawn(), 5)).read(store, digest, number=1)
    store.put(drawn(6, seed=9).rows.artefact())
    with pytest.raises(MalformedRecord, match="not those of slice 1"):
        tree(cut(drawn(), 5)).read(store, digest, number=1)


def test_the_leaf_holds_all_that_is_measured() -> None:
    rows = drawn(5)
    features, labels, groups = rows.rows.features, rows.rows.labels, rows.rows.groups
    others = [
        EvaluationSet(features + 1, labels, groups),
        EvaluationSet(features, 1 - labels, groups),
        EvaluationSet(features, labels, groups + 1),
    ]
    roots = {replace(rows, rows=other).root for other in others}
    roots |= {rows.root, replace(rows, salts=rows.salts ^ np.uint8(1)).root}
    assert len(roots) == 5


def test_only_the_holders_announcement_counts() -> None:
    slices = tree(cut(drawn(), 5))
    ours, theirs = Digest(b"o" * 32), Digest(b"t" * 32)
    assert slices.announced({Address("0x" + "cd" * 20): theirs}) is None
    assert slices.announced({Address("0x" + "cd" * 20): theirs, HOLDER: ours}) == ours


RECORDS: list[cbor.Value] = [
    None,
    {},
    {"root": b"x" * 32},
    {"root": b"x" * 31, "holder": HOLDER},
    {"root": b"x" * 32, "holder": 5},
]


@pytest.mark.parametrize("value", RECORDS)
def test_a_policy_that_promises_no_slices(value: cbor.Value) -> None:
    with pytest.raises(MalformedRecord):
        SliceCommitment.from_record(value)


def test_a_promise_is_read_back() -> None:
    promised = SliceCommitment(Digest(b"x" * 32), HOLDER)
    assert SliceCommitment.from_record(promised.record()) == promised


def test_too_few_rows_cannot_be_cut() -> None:
    with pytest.raises(FedNodeError, match="4 evaluation rows cannot be cut into 5 slices"):
        cut(drawn(4), 5)


def test_rows_and_salts_lie_in_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    rows = replace(drawn(), beside=Digest(b"b" * 32))
    rows.save(path)
    assert path.stat().st_mode & 0o077 == 0
    found = SaltedRows.load(path)
    assert (found.root, found.commitment) == (rows.root, rows.commitment)
    assert cut(found, 5).root == cut(rows, 5).root
    with pytest.raises(FedNodeError, match="cannot be written"):
        rows.save(path)


@pytest.mark.parametrize("content", [b"", b"{}", b"\x08" + bytes(7) + b'{"a":0}'])
def test_files_that_hold_no_rows(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rows"
    path.write_bytes(content)
    with pytest.raises(MalformedData):
        SaltedRows.load(path)
    with pytest.raises(MalformedData, match="No such file"):
        SaltedRows.load(tmp_path / "none")
