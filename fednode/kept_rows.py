"""What a site keeps of its rows after it has forgotten some: the others' salts and places.

Until then all salts follow from one secret, and the cut into three sets from the file. A secret
would bring a forgotten row's salt back, and the file without the row would be cut anew; so the
salts are kept one by one, the places are written down, and the secret is destroyed.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fednode.data.commitment import DatasetCommitment, commit_salted
from fednode.data.salted import SaltedRows, salted
from fednode.data.splits import Splits
from fednode.errors import FedNodeError
from fednode.files import read_private
from fednode.site import Site

KEPT = "rows.json"
Place = Annotated[int, Field(ge=0)]
Salt = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class KeptRows(BaseModel):
    """Places of the rows that are left, as the file without the forgotten ones counts them, and the
    salts of those that are committed to: trained on, or held out as the site's shard.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    train: tuple[Place, ...]
    valuation: tuple[Place, ...]
    test: tuple[Place, ...]
    salts: tuple[Salt, ...]
    shard: tuple[Place, ...] = ()
    shard_salts: tuple[Salt, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        places = [*self.train, *self.valuation, *self.test]
        if len(set(places)) != len(places) or len(self.train) != len(self.salts):
            raise ValueError("a place stands twice, or there is not one salt for each row")
        if len(self.shard) != len(self.shard_salts) or not {*self.shard} <= {*self.valuation}:
            raise ValueError("the shard is not among the valuation rows, or not one salt for each")
        return self

    @classmethod
    def of(cls, site: Site, salts: Iterable[bytes], shard_salts: Iterable[bytes]) -> Self:
        """Write down what a site has."""
        splits = site.splits
        return cls(
            train=tuple(splits.train.tolist()),
            valuation=tuple(splits.valuation.tolist()),
            test=tuple(splits.test.tolist()),
            salts=tuple(salt.hex() for salt in salts),
            shard=() if site.held is None else tuple(site.held.tolist()),
            shard_salts=tuple(salt.hex() for salt in shard_salts),
        )

    def without(self, rows: Collection[int]) -> Self:
        """Leave out rows, by their places, and count the others anew."""
        gone = np.array(sorted(set(rows)), dtype=np.int64)

        def left(places: Iterable[int]) -> tuple[int, ...]:
            kept = np.array([place for place in places if place not in rows], dtype=np.int64)
            moved: NDArray[np.int64] = kept - np.searchsorted(gone, kept)
            return tuple(moved.tolist())

        def beside(places: Iterable[int], salts: Iterable[str]) -> tuple[str, ...]:
            pairs = zip(places, salts, strict=True)
            return tuple(salt for place, salt in pairs if place not in rows)

        return type(self)(
            train=left(self.train),
            valuation=left(self.valuation),
            test=left(self.test),
            salts=beside(self.train, self.salts),
            shard=left(self.shard),
            shard_salts=beside(self.shard, self.shard_salts),
        )

    @property
    def total(self) -> int:
        """How many rows the file must have."""
        return len(self.train) + len(self.valuation) + len(self.test)

    def cut(self, site: Site) -> Site:
        """Cut a site's rows, without the forgotten ones, into the sets that were kept."""
        parts = (self.train, self.valuation, self.test)
        splits = Splits(*(np.array(part, dtype=np.int64) for part in parts))
        held = np.array(self.shard, dtype=np.int64) if self.shard else None
        return replace(site, splits=splits, held=held)

    def commitment(self, site: Site) -> DatasetCommitment:
        """Commit again to a site's rows, with the salts that were kept."""
        training = commit_salted(site.train, _bytes(self.salts))
        if site.held is None:
            return training
        return replace(training, root=self.salted_shard(site).commitment)

    def salted_shard(self, site: Site) -> SaltedRows:
        """Give the site's shard with the salts that were kept."""
        shard = site.shard
        assert shard is not None
        root = commit_salted(site.train, _bytes(self.salts)).root
        return replace(salted(shard, b"".join(_bytes(self.shard_salts))), beside=root)


def read_kept(journal: Path) -> KeptRows | None:
    """Read what a site has kept; None if it never forgot a row."""
    path = journal / KEPT
    try:
        return KeptRows.model_validate_json(read_private(path))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        raise FedNodeError(f"the journal's {path} is damaged: restore it from a copy") from None


def without_forgotten(site: Site, journal: Path) -> Site:
    """Cut a site's rows as its journal says, if it has forgotten some."""
    kept = read_kept(journal)
    if kept is None:
        return site
    if len(site.table) != kept.total:
        raise FedNodeError(
            f"site {site.name!r} has {len(site.table)} rows, and {kept.total} were kept when rows "
            "were forgotten: take the forgotten ones out of its file, and put no others in"
        )
    return kept.cut(site)


def _bytes(salts: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(salt) for salt in salts)
