"""`fednode account`: keystore files."""

from pathlib import Path

import click

from fednode.cli.edge import Output, json_option
from ledger.chain.accounts import create_keystore, read_password


@click.group()
def account() -> None:
    """Make an account for a node to sign with."""


@account.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--password-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File with the password; asked for without it.",
)
@json_option
def new(file: Path, password_file: Path | None, as_json: bool) -> None:
    """Write a new keystore to FILE, which must not exist yet."""
    if password_file is not None:
        password = read_password(password_file)
    else:
        password = click.prompt("New password", hide_input=True, confirmation_prompt=True, err=True)
    made = create_keystore(file, password)
    Output(as_json).result(
        {"account": made.address, "keystore": str(file)}, f"account {made.address} in {file}"
    )
