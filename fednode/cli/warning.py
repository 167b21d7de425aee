"""What a site is warned of on standard error before its rows tell others anything."""

from pathlib import Path

from fednode.cli.edge import warn
from fednode.disclosed import Disclosed
from fednode.federation import Federation
from fednode.policy import shards_warning
from fednode.site import Site


def warn_of_sums(opened: Federation, site: Site, journal: Path) -> None:
    """Warn of earlier statistics rounds over nearly the same rows, if such a round is ahead."""
    if opened.replica.policy.statistics == 0 or opened.state.lineage:
        return
    for overlap in Disclosed(journal).overlapping(site.train, opened.id):
        warn(overlap.text())


def warn_of_counts(opened: Federation, site: Site, journal: Path) -> None:
    """Warn of what members who collude read of the rows that a site holds out, and of rows that
    have answered for earlier federations.
    """
    if opened.policy.evaluation.mode != "shards":
        return
    warn(shards_warning(opened.policy))
    asked = 0 if site.shard is None else Disclosed(journal).asked(site.shard)
    if asked:
        most = opened.policy.shard_models
        warn(
            f"warning: rows of this site's shard have answered {asked} models of at most {most} "
            f"already: after {max(most - asked, 0)} more the site sends its updates without counts"
        )
