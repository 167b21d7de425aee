"""`fednode key`: what sealed artefacts are read with."""

from pathlib import Path

import click

from fednode.cli.edge import (
    NewFile,
    Output,
    account_options,
    chain_options,
    federation_option,
    json_option,
    ledger_option,
    options,
    own_option,
    store_options,
)
from fednode.cli.open import Place, controlled, open_account, placed
from ledger.sealing import create_key, load_key


@click.group()
def key() -> None:
    """Make a key that sealed artefacts are read with."""


@key.command()
@click.argument("file", type=NewFile())
@json_option
def new(file: Path, as_json: bool) -> None:
    """Write a new X25519 key to FILE, which must not exist yet, and print its public half.

    Without the file nothing that was sealed for it can be read any more: keep it, and a copy.
    """
    _print(file, create_key(file).public, as_json=as_json)


@key.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def show(file: Path, as_json: bool) -> None:
    """Print the public half of the key in FILE: what an auditor hands to a policy's author."""
    _print(file, load_key(file).public, as_json=as_json)


@key.command()
@options(
    chain_options, ledger_option, federation_option, store_options, account_options, own_option
)
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@placed
def register(
    place: Place,
    keystore: Path,
    password_file: Path | None,
    file: Path,
    as_json: bool,
) -> None:
    """Have a member's artefacts sealed for the key in FILE from the next round on.

    By the account that joined. Keep the older key as long as older artefacts are to be read.
    """
    public = load_key(file).public
    account = open_account(keystore, password_file)
    opened = place.open()
    opened.contract.register_key(account, opened.id, controlled(opened, account).index, public)
    _print(file, public, as_json=as_json)


def _print(file: Path, public: bytes, *, as_json: bool) -> None:
    Output(as_json).result(
        {"key": public.hex(), "file": str(file)}, f"key {public.hex()} in {file}"
    )
