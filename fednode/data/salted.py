"""Evaluation rows that somebody committed to and keeps back: slices before they are opened, shards.

A leaf is a row's salt, features, label and group, so the root says nothing about any row. Rows and
salts lie in one private file (safetensors); whoever gets it can check it against the root.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeAlias, TypeVar

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from fednode.data.commitment import SALT_SIZE, row_salts
from fednode.data.errors import MalformedData
from fednode.data.evaluation_set import EvaluationSet
from fednode.errors import FedNodeError
from fednode.files import write_new
from ledger import merkle
from ledger.types import ZERO_DIGEST, Digest

BESIDE: Final = "beside"
Tensors: TypeAlias = dict[str, NDArray[Any]]
Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, slots=True)
class SaltedRows:
    """Rows with a salt each, (rows, 16) bytes. `beside` is the root of the rows that a shard's
    owner trains on, which its commitment holds beside the shard's; zero where there is none.
    """

    rows: EvaluationSet
    salts: NDArray[np.uint8]
    beside: Digest = ZERO_DIGEST

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def draw(cls, rows: EvaluationSet, secret: bytes, *, beside: Digest = ZERO_DIGEST) -> Self:
        """Salt rows from a secret."""
        joined = b"".join(row_salts(secret, len(rows)))
        return cls(rows, _salts(joined), beside)

    def take(self, indices: NDArray[np.int64]) -> SaltedRows:
        """Pick rows, in the order of the indices."""
        rows = self.rows
        picked = EvaluationSet(rows.features[indices], rows.labels[indices], rows.groups[indices])
        return SaltedRows(picked, self.salts[indices], self.beside)

    @property
    def root(self) -> Digest:
        """The root over the rows."""
        return merkle.root(self._leaves())

    @property
    def commitment(self) -> Digest:
        """What the chain holds of a shard: the root over its owner's rows and the shard's."""
        return beside(self.beside, self.root)

    def _leaves(self) -> Iterator[bytes]:
        rows = self.rows
        for salt, features, label, group in zip(
            self.salts, rows.features, rows.labels, rows.groups, strict=True
        ):
            yield b"".join(
                (
                    salt.tobytes(),
                    features.astype("<i4").tobytes(),
                    int(label).to_bytes(8, "little"),
                    int(group).to_bytes(8, "little"),
                )
            )

    def save(self, path: Path) -> None:
        """Write rows and salts to a new private file."""
        tensors: Tensors = {
            "features": self.rows.features,
            "labels": self.rows.labels,
            "groups": self.rows.groups,
            "salts": self.salts,
            BESIDE: np.frombuffer(self.beside, dtype=np.uint8),
        }
        try:
            write_new(path, safetensors.numpy.save(tensors), private=True)
        except OSError as error:
            raise FedNodeError(f"{path} cannot be written: {error.strerror}") from None

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read rows and salts from their file."""
        try:
            tensors = safetensors.numpy.load(path.read_bytes())
            rows = EvaluationSet(
                _typed(tensors, "features", np.int32),
                _typed(tensors, "labels", np.int64),
                _typed(tensors, "groups", np.int64),
            )
            salts = _typed(tensors, "salts", np.uint8)
            root = _typed(tensors, BESIDE, np.uint8)
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise MalformedData(path, f"no file of evaluation rows ({reason})") from None
        if salts.shape != (len(rows), SALT_SIZE) or root.shape != (32,) or rows.features.ndim < 2:
            raise MalformedData(path, "no file of evaluation rows (shapes do not fit)")
        return cls(rows, salts, Digest(root.tobytes()))


def beside(training: Digest, shard: Digest) -> Digest:
    """Commit to the rows that are trained on and to the shard that is held out, in one root."""
    return merkle.root((training, shard))


def salted(rows: EvaluationSet, salts: bytes) -> SaltedRows:
    """Put rows beside their salts, one after the other; ValueError where they are not as many."""
    if len(salts) != SALT_SIZE * len(rows):
        raise ValueError(f"{len(salts)} bytes of salts for {len(rows)} rows")
    return SaltedRows(rows, _salts(salts))


def _salts(joined: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(joined, dtype=np.uint8).reshape(-1, SALT_SIZE)


def _typed(tensors: Tensors, name: str, kind: type[Scalar]) -> NDArray[Scalar]:
    tensor = tensors[name]
    if tensor.dtype != kind:
        raise ValueError(f"{name} is {tensor.dtype}")
    return tensor.view(kind)
