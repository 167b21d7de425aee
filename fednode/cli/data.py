"""`fednode data`: whether a site's file fits the policy, without showing a value of a patient."""

from pathlib import Path

import click

from fednode.cli.edge import FAILED, Output, json_option, options, site_options
from fednode.data.check import Conformance
from fednode.data.check import check as check_site
from fednode.data.sources import open_source
from fednode.policy import load_policy


@click.group()
def data() -> None:
    """Look at a site's own data."""


@data.command()
@click.option(
    "--policy",
    "policy_file",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The policy (TOML).",
)
@options(site_options)
@json_option
@click.pass_context
def check(ctx: click.Context, policy_file: Path, site: str, data_dir: Path, as_json: bool) -> None:
    """Print how a site's rows conform to the policy's schema; exit code 1 where they do not."""
    policy = load_policy(policy_file)
    found = check_site(open_source(policy.data, policy.schema, data_dir), site)
    Output(as_json).result(found.record(), _text(found))
    if not found.conforms:
        ctx.exit(FAILED)


def _text(found: Conformance) -> str:
    lines = [f"{found.site}: {found.rows} rows, {_verdict(found.conforms)}"]
    for column in found.columns:
        counts = ", ".join(f"{name} {count}" for name, count in column.counts.items())
        lines.append(
            f"  {column.name} ({column.unit or 'no unit'}; {column.expected}): {counts}; "
            f"{_verdict(column.conforms)}"
        )
    if found.classes:
        lines.append("  classes: " + ", ".join(f"{k}: {n}" for k, n in found.classes.items()))
    return "\n".join([*lines, *found.problems, *found.faults])


def _verdict(conforms: bool) -> str:
    return "fits the schema" if conforms else "does not fit the schema"
