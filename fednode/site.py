"""A site's own rows, cut into the three disjoint sets and committed to."""

from dataclasses import dataclass
from pathlib import Path

from fednode.data.commitment import DatasetCommitment, commit
from fednode.data.evaluation_set import EvaluationSet, gather
from fednode.data.sources import Source, open_source, require_public, site_index
from fednode.data.splits import Splits, split
from fednode.data.table import Table
from fednode.policy import Policy


@dataclass(frozen=True, slots=True)
class Site:
    """One site's rows: what it trains on, what the federation values models on, what it
    tests with.
    """

    name: str
    table: Table
    splits: Splits

    @property
    def train(self) -> Table:
        """The rows that updates are computed from."""
        return self.table.take(self.splits.train)

    @property
    def valuation(self) -> Table:
        """The rows that utilities are measured on."""
        return self.table.take(self.splits.valuation)

    def commitment(self, secret: bytes) -> DatasetCommitment:
        """Commit to the training rows, salted from a secret that the site keeps."""
        return commit(self.train, secret)


def open_sites(policy: Policy, base_dir: Path | str = ".") -> Source:
    """Open the policy's source; refuse sites whose owners have not marked their data public."""
    require_public(policy.data)
    return open_source(policy.data, policy.schema, base_dir)


def load_site(policy: Policy, source: Source, name: str) -> Site:
    """Read and cut one site's rows."""
    require_public(policy.data, name)
    table = source.load(name)
    valuation, test = policy.data.split.shares
    index = site_index(policy.data, name)
    cut = split(table, policy.data.split.seed, index, valuation=valuation, test=test)
    return Site(name, table, cut)


def evaluation_rows(policy: Policy, source: Source) -> EvaluationSet | None:
    """Give the rows that the federation measures utilities on, if it measures any."""
    if policy.evaluation.mode == "none":
        return None
    return gather(source, policy.data, most_rows=policy.evaluation.rows)
