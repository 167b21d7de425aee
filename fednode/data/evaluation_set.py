"""The rows that utilities are measured on, published and committed to before training starts.

A dag-cbor record names the shape and lists the raw blocks of three little-endian arrays: encoded
features int32, labels int32, groups int32. Every member and every auditor measures on these bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from fednode.data.errors import DataError
from fednode.data.fixed import MISSING, ONE
from fednode.data.partition import shuffled
from fednode.data.schema import Schema
from fednode.data.sources import DataSpec, Source, require_public, site_index
from fednode.data.splits import split
from fednode.data.table import Table
from ledger import cbor
from ledger.cid import CID, Codec
from ledger.errors import MalformedRecord
from ledger.stores import Artefact, ContentStore
from ledger.types import Digest

KIND: Final = "evaluation set"
BLOCK_SIZE: Final = 1 << 20
MOST_BYTES: Final = 1 << 28
MOST_ROWS: Final = 1 << 20
GATHER_DOMAIN: Final = 0x6A74E2
_KEYS: Final = ("rows", "shape", "features", "labels", "groups")


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Encoded rows: `features` int32 (rows, *shape), `labels` and `groups` (site) int64."""

    features: NDArray[np.int32]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]

    def __post_init__(self) -> None:
        if not len(self.features) == len(self.labels) == len(self.groups):
            raise ValueError("features, labels and groups must have one entry per row")

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def of(cls, table: Table) -> Self:
        """Publish a table's rows."""
        return cls(table.features, table.labels, table.groups)

    def artefact(self) -> Artefact:
        """Return the record, as the root, and its blocks."""
        blocks: dict[CID, bytes] = {}
        record: dict[str, cbor.Value] = {
            "rows": len(self),
            "shape": list(self.features.shape[1:]),
            "features": _blocks(self.features, blocks),
            "labels": _blocks(self.labels, blocks),
            "groups": _blocks(self.groups, blocks),
        }
        data = cbor.encode(record)
        root = CID.of(Codec.DAG_CBOR, data)
        return Artefact((root,), {root: data, **blocks})

    @property
    def digest(self) -> Digest:
        """Digest of the record: what a policy commits to."""
        return self.artefact().roots[0].digest

    @classmethod
    def fetch(
        cls,
        store: ContentStore,
        digest: Digest,
        *,
        schema: Schema | None = None,
        most_rows: int = MOST_ROWS,
    ) -> Self:
        """Read committed rows from a store; `schema` also checks that they are rows of its kind.
        Size and shape are checked before any row is fetched.

        MalformedRecord: the record or a block is not what an evaluation set has.
        """
        record = cbor.decode_map(store.get(CID(Codec.DAG_CBOR, digest)), KIND, _KEYS)
        rows, shape = _dimensions(record, most_rows)
        if schema is not None and shape != schema.shape:
            raise MalformedRecord(KIND, f"rows of shape {shape}, the schema's are {schema.shape}")
        features = _fetch(store, record, "features", rows * prod(shape)).reshape(rows, *shape)
        labels = _fetch(store, record, "labels", rows).astype(np.int64)
        groups = _fetch(store, record, "groups", rows).astype(np.int64)
        found = cls(features, labels, groups)
        if schema is not None:
            found.check(schema)
        return found

    def check(self, schema: Schema) -> None:
        """Refuse rows that the schema's encoding cannot have made."""
        if self.features.shape[1:] != schema.shape:
            raise MalformedRecord(KIND, f"rows of shape {self.features.shape[1:]}")
        missing = self.features == MISSING
        if missing.any():
            others = np.ones(schema.features, dtype=np.bool_)
            others[list(schema.numeric)] = False
            if missing.reshape(len(self), -1)[:, others].any():
                raise MalformedRecord(KIND, "a missing value outside the numeric columns")
        if (((self.features < 0) | (self.features > ONE)) & ~missing).any():
            raise MalformedRecord(KIND, "a feature outside 0..1")
        if ((self.labels < 0) | (self.labels >= schema.classes)).any():
            raise MalformedRecord(KIND, "a label that the schema does not have")
        if (self.groups < 0).any():
            raise MalformedRecord(KIND, "a negative site")


def _blocks(
    array: NDArray[np.int32] | NDArray[np.int64], blocks: dict[CID, bytes]
) -> list[cbor.Value]:
    data = array.astype("<i4").tobytes()
    links: list[cbor.Value] = []
    for start in range(0, len(data), BLOCK_SIZE):
        piece = data[start : start + BLOCK_SIZE]
        cid = CID.of(Codec.RAW, piece)
        blocks[cid] = piece
        links.append(cid)
    return links


def _dimensions(record: Mapping[str, cbor.Value], most_rows: int) -> tuple[int, tuple[int, ...]]:
    rows = cbor.integer(record, "rows", kind=KIND, least=1, most=most_rows)
    shape = cbor.integers(record, "shape", kind=KIND, least=1, most=MOST_ROWS)
    if not 1 <= len(shape) <= 3:
        raise MalformedRecord(KIND, "shape must be one to three positive integers")
    if rows * prod(shape) * 4 > MOST_BYTES:
        raise MalformedRecord(KIND, f"{rows} rows of shape {shape} are too many")
    return rows, shape


def _fetch(
    store: ContentStore, record: Mapping[str, cbor.Value], name: str, count: int
) -> NDArray[np.int32]:
    size = 4 * count
    links = cbor.links(record, name, Codec.RAW, kind=KIND)
    if len(links) != -(-size // BLOCK_SIZE):
        raise MalformedRecord(KIND, f"{name} must be one link per MiB")
    parts = []
    for position, link in enumerate(links):
        part = store.get(link)
        if len(part) != min(BLOCK_SIZE, size - position * BLOCK_SIZE):
            raise MalformedRecord(KIND, f"{name}: block {position} has {len(part)} bytes")
        parts.append(part)
    return np.frombuffer(b"".join(parts), dtype="<i4").astype(np.int32)


def gather(source: Source, spec: DataSpec, *, most_rows: int) -> EvaluationSet:
    """Collect every site's valuation rows, all of them public, down to a number of rows.

    The rows that are left out are drawn by the split's seed, so that anybody with the data gathers
    the same set.
    """
    require_public(spec)
    valuation, test = spec.split.shares
    pieces = []
    for site in spec.site_names:
        table = source.load(site)
        group = site_index(spec, site)
        chosen = split(table, spec.split.seed, group, valuation=valuation, test=test)
        pieces.append(table.take(chosen.valuation))
    table = Table.concatenate(pieces)
    if not len(table):
        raise DataError("no valuation rows: raise data.split.valuation")
    if len(table) > most_rows:
        order = shuffled(np.arange(len(table), dtype=np.int64), GATHER_DOMAIN, spec.split.seed)
        table = table.take(np.sort(order[:most_rows]))
    return EvaluationSet.of(table)
