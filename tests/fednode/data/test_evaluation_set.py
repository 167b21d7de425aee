"""Evaluation rows through a store: the same back, and nothing else accepted."""

from collections.abc import Callable

import numpy as np
import pytest

from fednode.data.errors import DataError, DataNotPublic
from fednode.data.evaluation_set import EvaluationSet, gather
from fednode.data.fixed import MISSING, ONE
from fednode.data.schema import TableSchema
from fednode.data.sources import DataSpec, open_source
from fednode.policy import built_in
from ledger import cbor
from ledger.cid import CID, Codec
from ledger.errors import MalformedRecord
from ledger.stores import Artefact, BlockNotFound, MemoryStore
from ledger.types import Digest

SCHEMA = TableSchema.model_validate(
    {
        "columns": [
            {"name": "a", "type": "numeric", "range": [0, 1]},
            {"name": "c", "type": "category", "codes": ["x", "y"]},
        ],
        "label": {"column": "y", "codes": {"0": 0, "1": 1}},
    }
)


def rows(count: int = 4) -> EvaluationSet:
    features = np.zeros((count, 3), dtype=np.int32)
    features[:, 0] = MISSING
    features[:, 2] = ONE
    return EvaluationSet(features, np.arange(count) % 2, np.arange(count) % 3)


def test_an_evaluation_set_comes_back_from_the_store() -> None:
    store = MemoryStore()
    for wanted in (rows(), rows(100_000)):
        store.put(wanted.artefact())
        found = EvaluationSet.fetch(store, wanted.digest, schema=SCHEMA)
        assert (found.features == wanted.features).all()
        assert (found.labels == wanted.labels).all()
        assert (found.groups == wanted.groups).all()
        assert found.features.dtype.name == "int32"
        assert found.labels.dtype.name == "int64"


def test_a_missing_block_is_the_stores_error() -> None:
    with pytest.raises(BlockNotFound):
        EvaluationSet.fetch(MemoryStore(), rows().digest)


def _set(key: str, value: cbor.Value) -> Callable[[dict[str, cbor.Value]], None]:
    def change(record: dict[str, cbor.Value]) -> None:
        record[key] = value

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_set("rows", 5), "block 0 has"),
        (_set("rows", 0), "rows must be from 1 to 1048576"),
        (_set("rows", -1), "rows must be from 1 to 1048576"),
        (_set("rows", 1 << 40), "rows must be from 1 to 1048576"),
        (_set("rows", True), "must be int"),
        (_set("shape", []), "one to three"),
        (_set("shape", [3, 0]), "shape must be numbers from 1"),
        (_set("shape", [1 << 20, 1 << 20]), "too many"),
        (_set("shape", ["3"]), "shape must be numbers from 1"),
        (_set("features", []), "one link per MiB"),
        (_set("labels", [1]), "labels must be raw links"),
        (_set("more", 1), "more"),
    ],
)
def test_fetch_refuses_a_record(
    change: Callable[[dict[str, cbor.Value]], None], reason: str
) -> None:
    store = MemoryStore()
    artefact = rows().artefact()
    store.put(artefact)
    record = cbor.decode(artefact.blocks[artefact.roots[0]])
    assert isinstance(record, dict)
    change(record)
    data = cbor.encode(record)
    cid = CID.of(Codec.DAG_CBOR, data)
    store.put(Artefact((cid,), {cid: data}))
    with pytest.raises(MalformedRecord, match=reason):
        EvaluationSet.fetch(store, cid.digest)


@pytest.mark.parametrize(
    ("features", "label", "group", "reason"),
    [
        ([0, 0, 0, 0], 0, 0, "shape"),
        ([ONE + 1, 0, 0], 0, 0, "outside 0..1"),
        ([0, -1, 0], 0, 0, "outside 0..1"),
        ([0, int(MISSING), 0], 0, 0, "missing value outside"),
        ([0, 0, 0], 2, 0, "label"),
        ([0, 0, 0], -1, 0, "label"),
        ([0, 0, 0], 0, -1, "site"),
    ],
)
def test_check_refuses_rows_that_the_schema_cannot_have_made(
    features: list[int], label: int, group: int, reason: str
) -> None:
    wrong = EvaluationSet(
        np.array([features], np.int32), np.array([label], np.int64), np.array([group], np.int64)
    )
    with pytest.raises(MalformedRecord, match=reason):
        wrong.check(SCHEMA)


def test_gather_takes_every_hospitals_valuation_rows() -> None:
    policy = built_in("heart")
    source = open_source(policy.data, policy.data_schema)
    whole = gather(source, policy.data, most_rows=1000)
    assert len(whole) == 138
    assert np.bincount(whole.groups).tolist() == [46, 44, 18, 30]
    whole.check(policy.data_schema)
    some = gather(source, policy.data, most_rows=50)
    assert len(some) == 50
    assert some.digest == gather(source, policy.data, most_rows=50).digest
    assert some.digest != whole.digest


def test_gather_refuses_sites_that_are_not_public() -> None:
    policy = built_in("heart")
    spec = policy.data.model_copy(update={"public": ("cleveland",)})
    with pytest.raises(DataNotPublic, match="budapest"):
        gather(open_source(spec, policy.data_schema), spec, most_rows=10)


def test_gather_refuses_a_policy_without_valuation_rows() -> None:
    policy = built_in("heart")
    spec = DataSpec.model_validate(
        {"source": "heart", "public": True, "split": {"valuation": 0, "test": "0.3"}}
    )
    with pytest.raises(DataError, match=r"raise data\.split\.valuation"):
        gather(open_source(spec, policy.data_schema), spec, most_rows=10)


def test_digest_is_a_digest() -> None:
    assert rows().digest == Digest(rows().artefact().roots[0].digest)
