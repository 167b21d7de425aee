"""What a site is warned of on standard error before its rows tell others anything."""

from pathlib import Path

from fednode.cli.edge import warn
from fednode.disclosed import DISCLOSED, Disclosed
from fednode.federation import Federation
from fednode.policy import shards_warning
from fednode.site import Site


def warn_of_differences(opened: Federation, site: Site, journal: Path) -> None:
    """Warn of earlier federations over nearly the same rows: those of the statistics round or of
    the shard that is ahead.
    """
    disclosed = Disclosed(journal)
    if opened.replica.policy.statistics and not opened.state.lineage:
        for overlap in disclosed.nearly_summed(site.train):
            warn(overlap.sums_text())
    if site.shard is not None:
        _warn_of_lost_record(disclosed)
        for overlap in disclosed.nearly_counted(site.shard):
            warn(overlap.counts_text())


def _warn_of_lost_record(disclosed: Disclosed) -> None:
    """Warn if updates with counts are kept, and no record of what was counted."""
    from fednode.roles.journal import federations_with_counts

    federation = None if disclosed.exists else next(federations_with_counts(disclosed.folder), None)
    if federation is not None:
        warn(
            f"warning: {disclosed.folder} holds counts for federation {federation.hex()} and no "
            f"{DISCLOSED}: what the shard's rows have answered before is not counted. Restore the "
            "file from a copy"
        )


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
