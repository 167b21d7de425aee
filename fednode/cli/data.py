"""`fednode data`: whether a site's file fits the policy, without showing a value of a patient."""

import secrets
from pathlib import Path

import click

from fednode.cli.edge import (
    FAILED,
    NewFile,
    Output,
    data_option,
    json_option,
    options,
    policy_option,
    public_option,
    site_options,
)
from fednode.data.check import Conformance
from fednode.data.check import check as check_site
from fednode.data.salted import SaltedRows
from fednode.data.sources import Source, open_source
from fednode.errors import FedNodeError
from fednode.membership import shown_shard
from fednode.own_word import says_public
from fednode.policy import Policy, load_policy
from fednode.site import evaluation_rows, load_site, open_sites, require_folder, slice_rows


@click.group()
def data() -> None:
    """Look at a site's own data."""


@data.command()
@options(policy_option, site_options)
@json_option
@click.pass_context
def check(ctx: click.Context, policy_file: Path, site: str, data_dir: Path, as_json: bool) -> None:
    """Print how a site's rows conform to the policy's schema; exit code 1 where they do not."""
    policy = load_policy(policy_file)
    found = check_site(open_source(policy.data, policy.schema, data_dir), site)
    Output(as_json).result(found.record(), *_lines(found))
    if not found.conforms:
        ctx.exit(FAILED)


@data.command()
@policy_option
@click.option("--site", metavar="NAME", help="By shards: the site whose shard it is.")
@data_option
@click.option(
    "--journal",
    envvar="FEDNODE_JOURNAL",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="By shards: the journal that the site joins with. [FEDNODE_JOURNAL]",
)
@public_option
@click.option(
    "--out",
    required=True,
    type=NewFile(),
    metavar="FILE",
    help="Write rows and salts here, readable by you alone.",
)
@json_option
def evaluation(
    policy_file: Path,
    site: str | None,
    data_dir: Path,
    journal: Path | None,
    public_rows: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Write the rows that a federation is, or was, measured on, for their holder or an auditor.

    By slices the holder runs this once, before `fednode create --slices` is given the root that it
    prints, and keeps the file for `fednode holder`: other salts are drawn each time.
    """
    from fednode.evaluation.slices import cut

    policy = load_policy(policy_file)
    require_folder(policy, data_dir)
    public = says_public(journal, site, now=public_rows)
    source = open_sites(policy, data_dir, public_rows=public)
    rows = _rows(policy, source, site, journal)
    by_slices = policy.evaluation.mode == "slices"
    root = cut(rows, policy.slices).root if by_slices else rows.commitment
    rows.save(out)
    # The root is promised, and paid for, long before the file is read again.
    if SaltedRows.load(out).root != rows.root:
        raise FedNodeError(f"{out} does not hold the rows that were written: write it elsewhere")
    Output(as_json).result(
        {"root": root.hex(), "rows": len(rows), "file": str(out)},
        f"wrote {out}: {len(rows)} rows, root {root.hex()}; show it to auditors only",
    )


def _rows(policy: Policy, source: Source, site: str | None, journal: Path | None) -> SaltedRows:
    if policy.evaluation.mode == "slices":
        return SaltedRows.draw(slice_rows(policy, source), secrets.token_bytes(32))
    if policy.evaluation.mode == "public":
        rows = evaluation_rows(policy, source)
        assert rows is not None
        return SaltedRows.draw(rows, secrets.token_bytes(32))
    if policy.evaluation.mode == "none":
        raise FedNodeError("evaluation.mode is 'none': this federation measures on no rows")
    if site is None or journal is None:
        raise FedNodeError("by shards every site has its own: give --site and --journal")
    own = load_site(policy, source, site)
    if own.shard is None:
        raise FedNodeError(f"site {site!r} has too few rows for a shard: it measures nobody")
    return shown_shard(own, journal)


def _lines(found: Conformance) -> list[str]:
    lines = [f"{found.site}: {found.rows} rows, {_verdict(found.conforms)}"]
    for column in found.columns:
        counts = ", ".join(f"{name} {count}" for name, count in column.counts.items())
        lines.append(
            f"  {column.name} ({column.unit or 'no unit'}; {column.expected}): {counts}; "
            f"{_verdict(column.conforms)}"
        )
    if found.classes:
        lines.append("  classes: " + ", ".join(f"{k}: {n}" for k, n in found.classes.items()))
    return [*lines, *found.problems, *found.faults]


def _verdict(conforms: bool) -> str:
    return "fits the schema" if conforms else "does not fit the schema"
