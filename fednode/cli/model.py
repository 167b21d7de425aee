"""`fednode model`: a model version for use outside of the federation."""

from pathlib import Path

import click

from fednode.cli.edge import (
    OutFile,
    Output,
    chain_options,
    federation_option,
    json_option,
    key_option,
    ledger_option,
    options,
    own_option,
    store_options,
)
from fednode.cli.open import Place, placed
from fednode.exporting import export_version
from fednode.models.export import write_export


@click.group()
def model() -> None:
    """Take models out of a federation."""


@model.command()
@options(chain_options, ledger_option, federation_option, store_options, key_option)
@click.option(
    "--version", type=int, metavar="N", help="Which one; without it, the one the policy releases."
)
@click.option(
    "--out",
    required=True,
    type=OutFile(),
    metavar="FILE",
    help="The safetensors file to write.",
)
@own_option
@json_option
@placed
def export(
    place: Place,
    version: int | None,
    out: Path,
    as_json: bool,
) -> None:
    """Write a model version as safetensors, with its preprocessing in the metadata."""
    opened = place.open()
    chosen = opened.released_version() if version is None else version
    made = export_version(opened, chosen)
    write_export(out, made)
    Output(as_json).result(
        {"version": chosen, "file": str(out)}, f"model version {chosen} in {out}"
    )
