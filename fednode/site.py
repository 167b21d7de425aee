"""A site's own rows, cut into the three disjoint sets and committed to."""

import hmac
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fednode.data.commitment import DatasetCommitment, commit
from fednode.data.errors import DataError, RowsNotPublic
from fednode.data.evaluation_set import EvaluationSet, gather
from fednode.data.partition import shuffled
from fednode.data.salted import SaltedRows
from fednode.data.sources import Source, open_source, require_public, site_index
from fednode.data.splits import Splits, split
from fednode.data.table import Table
from fednode.evaluation.shards import countable
from fednode.policy import CREATOR, Policy

SHARD_DOMAIN = 0x54A2D


@dataclass(frozen=True, slots=True)
class Site:
    """One site's rows: what it trains on, what the federation values models on, what it
    tests with; by shards, the places of what it holds out to value others on.
    """

    name: str
    table: Table
    splits: Splits
    held: NDArray[np.int64] | None = None

    @property
    def shard(self) -> EvaluationSet | None:
        """The rows that the site counts the others' models on, if it has any."""
        return None if self.held is None else EvaluationSet.of(self.table.take(self.held))

    @property
    def train(self) -> Table:
        """The rows that updates are computed from."""
        return self.table.take(self.splits.train)

    @property
    def valuation(self) -> Table:
        """The rows that utilities are measured on."""
        return self.table.take(self.splits.valuation)

    def commitment(self, secret: bytes) -> DatasetCommitment:
        """Commit to the training rows, and to the shard if there is one, salted from a secret that
        the site keeps.
        """
        training = commit(self.train, secret)
        if self.shard is None:
            return training
        return replace(training, root=self.salted_shard(secret).commitment)

    def salted_shard(self, secret: bytes) -> SaltedRows:
        """Give the shard as an auditor would have to be shown it."""
        shard = self.shard
        assert shard is not None
        own = hmac.digest(secret, b"shard", "sha256")
        return SaltedRows.draw(shard, own, beside=commit(self.train, secret).root)


def open_sites(policy: Policy, base_dir: Path | str = ".", *, public_rows: bool = False) -> Source:
    """Open the policy's source, for the site that owns the rows, or for who publishes them.

    `public_rows` is that site's own word that everyone may see its rows. Without it rows are
    refused wherever everyone can read what is computed from them: the policy only says what its
    author expects.
    """
    if policy.shows_rows:
        require_public(policy.data)
        if not public_rows:
            raise RowsNotPublic
    return open_source(policy.data, policy.schema, base_dir)


def load_site(policy: Policy, source: Source, name: str) -> Site:
    """Read and cut one site's rows."""
    table = source.load(name)
    if not len(table):
        raise DataError(f"site {name!r} has no rows: run 'fednode data check'")
    valuation, test = policy.data.split.shares
    index = site_index(policy.data, name)
    cut = split(table, policy.data.split.seed, index, valuation=valuation, test=test)
    shuffle = shuffled(cut.valuation, SHARD_DOMAIN, policy.data.split.seed, index)
    held = shuffle[: policy.evaluation.rows]
    shard = EvaluationSet.of(table.take(held))
    fits = policy.evaluation.mode == "shards" and countable(shard, policy.evaluation.metric)
    return Site(name, table, cut, held if fits else None)


def require_folder(policy: Policy, base_dir: Path) -> None:
    """Refuse one file in place of a folder where the files of several sites are read."""
    several = policy.data.partition.kind == "natural" and len(policy.data.site_names) > 1
    if several and policy.data.path is not None and base_dir.is_file():
        raise DataError(
            f"--data {base_dir} is one file, and the rows of {len(policy.data.site_names)} sites "
            "are read here: give the folder of their files"
        )


def published_rows(policy: Policy, base_dir: Path, *, public_rows: bool) -> EvaluationSet | None:
    """Read the rows that creating a federation publishes, if it publishes any.

    `public_rows` is the word of the site that runs the command that everyone may see them.
    """
    if policy.visibility == "public":
        require_public(policy.data)
    if policy.evaluation.mode != "public":
        return None
    require_folder(policy, base_dir)
    return evaluation_rows(policy, open_sites(policy, base_dir, public_rows=public_rows))


def evaluation_rows(policy: Policy, source: Source) -> EvaluationSet | None:
    """Give the public rows that the federation measures utilities on, if there are any."""
    if policy.evaluation.mode != "public":
        return None
    return gather(source, policy.data, most_rows=policy.evaluation.rows)


def slice_rows(policy: Policy, source: Source) -> EvaluationSet:
    """Give the rows that are cut into slices: all sites', or those of the site that holds them."""
    most, holder = policy.evaluation.rows * policy.slices, policy.evaluation.holder
    if holder == CREATOR:
        return gather(source, policy.data, most_rows=most)
    rows = load_site(policy, source, holder).valuation
    return EvaluationSet.of(rows.take(np.arange(min(len(rows), most), dtype=np.int64)))
