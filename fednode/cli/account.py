"""`fednode account`: keystore files."""

from pathlib import Path

import click

from fednode.cli.edge import NewFile, Output, json_option
from fednode.cli.open import open_password
from ledger.chain.accounts import create_keystore


@click.group()
def account() -> None:
    """Make an account for a node to sign with."""


@account.command()
@click.argument("file", type=NewFile())
@click.option(
    "--password-file",
    envvar="FEDNODE_PASSWORD_FILE",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File with the password; asked for without it. [FEDNODE_PASSWORD_FILE]",
)
@json_option
def new(file: Path, password_file: Path | None, as_json: bool) -> None:
    """Write a new keystore to FILE, which must not exist yet."""
    made = create_keystore(file, open_password(password_file, "New password", new=True))
    Output(as_json).result(
        {"account": made.address, "keystore": str(file)}, f"account {made.address} in {file}"
    )
