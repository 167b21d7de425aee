"""Evaluation by slices: rows that nobody but their holder knows, a fresh part of them every round.

The holder cuts its salted rows into slices. The policy commits to an RFC 6962 tree whose leaf t is
the root of slice t's own tree of rows; a slice is opened with its rows, salts and path. Nobody can
train on rows that are not open yet, and what is open is never measured on again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from eth_utils.address import is_hex_address

from fednode.data.evaluation_set import EvaluationSet
from fednode.data.salted import SaltedRows, salted
from fednode.data.schema import Schema
from fednode.errors import FedNodeError
from ledger import cbor, merkle
from ledger.artefacts import raw, record
from ledger.cid import CID, Codec
from ledger.errors import MalformedRecord
from ledger.stores import MAX_BLOCK, Artefact, ContentStore
from ledger.types import Address, Digest

KIND: Final = "slice"
LINK: Final = "slices"
MOST_ROWS: Final = MAX_BLOCK // 16
_KEYS: Final = ("rows", "salts", "path")


@dataclass(frozen=True, slots=True)
class SliceCommitment:
    """What a policy's records say about slices: their root, and the account that opens them."""

    root: Digest
    holder: Address

    def record(self) -> cbor.Value:
        """Return what the rest of a policy holds."""
        return {"root": self.root, "holder": self.holder}

    @classmethod
    def from_record(cls, value: cbor.Value) -> Self:
        """Read what the rest of a policy holds."""
        if not isinstance(value, Mapping) or set(value) != {"root", "holder"}:
            raise MalformedRecord("policy", f"its rest does not say what {LINK!r} are")
        holder = cbor.field(value, "holder", str, kind="policy")
        if not is_hex_address(holder):
            raise MalformedRecord("policy", "the holder of its slices is no address")
        return cls(Digest(cbor.string(value, "root", 32, kind="policy")), Address(holder))


@dataclass(frozen=True, slots=True)
class SliceTree:
    """A commitment with the number of its slices and the schema of its rows: what everybody needs
    to tell a slice from anything else.
    """

    commitment: SliceCommitment
    slices: int
    schema: Schema

    def announced(self, slices: Mapping[Address, Digest]) -> Digest | None:
        """Give what the holder announced, among all announcements of a round."""
        return slices.get(self.commitment.holder)

    def read(self, store: ContentStore, digest: Digest, *, number: int) -> EvaluationSet:
        """Read a slice that was opened; MalformedRecord if it is not the one of this number."""
        fields = cbor.decode_map(store.get(CID(Codec.DAG_CBOR, digest)), KIND, _KEYS)
        link = cbor.link(fields, "rows", Codec.DAG_CBOR, kind=KIND)
        salted_by = cbor.link(fields, "salts", Codec.RAW, kind=KIND)
        path = cbor.strings(fields, "path", 32, kind=KIND)
        rows = EvaluationSet.fetch(store, link.digest, schema=self.schema, most_rows=MOST_ROWS)
        salts = store.get(salted_by)
        try:
            root = salted(rows, salts).root
        except ValueError as error:
            raise MalformedRecord(KIND, str(error)) from None
        if not self._holds(root, number, path):
            raise MalformedRecord(KIND, f"its rows are not those of slice {number}")
        return rows

    def _holds(self, root: Digest, number: int, path: Sequence[bytes]) -> bool:
        committed, size = self.commitment.root, self.slices
        return merkle.verify(committed, root, index=number, size=size, path=path, leaf_size=32)


@dataclass(frozen=True, slots=True)
class Slices:
    """All slices, as their holder has them."""

    parts: tuple[SaltedRows, ...]

    @property
    def root(self) -> Digest:
        """What the policy commits to."""
        return self._tree().root

    def opened(self, number: int) -> Artefact:
        """Bundle a slice with its salts and path, as it is published; its first root is what the
        holder announces.
        """
        part = self.parts[number]
        rows = part.rows.artefact()
        salts = raw(part.salts.tobytes())
        path: list[cbor.Value] = list(self._tree().path(number))
        cid, data = record({"rows": rows.roots[0], "salts": salts[0], "path": path})
        return Artefact((cid, *rows.roots), {**rows.blocks, cid: data, salts[0]: salts[1]})

    def _tree(self) -> merkle.Tree:
        return merkle.Tree.of(part.root for part in self.parts)


def cut(rows: SaltedRows, slices: int) -> Slices:
    """Cut rows into slices of about the same size, each with its share of every site's classes.

    Within a site and class the secret salts order the rows, so nobody else can tell beforehand
    which slice a row will be in.
    """
    if len(rows) < slices:
        raise FedNodeError(
            f"{len(rows)} evaluation rows cannot be cut into {slices} slices: raise "
            "data.split.valuation, or lower training.rounds or evaluation.slices"
        )
    if -(-len(rows) // slices) > MOST_ROWS:
        raise FedNodeError(f"a slice has at most {MOST_ROWS} rows: lower evaluation.rows")
    salts = rows.salts.view("S16").reshape(-1)
    order = np.lexsort((salts, rows.rows.labels, rows.rows.groups))
    return Slices(tuple(rows.take(np.sort(order[place::slices])) for place in range(slices)))
