"""`fednode invite`: a creator attests who may join, and with how many rows."""

from pathlib import Path

import click

from fednode.cli.edge import (
    OutFile,
    Output,
    account_options,
    chain_options,
    json_option,
    ledger_option,
    options,
)
from fednode.cli.open import federation_id, open_account, open_contract, require_not_ended
from fednode.errors import FedNodeError
from fednode.files import write_file
from fednode.membership import invite as sign
from fednode.membership import read_request

ENDED = 4
"""The contract's number of the phase in which no participant can join."""


@click.command()
@click.argument("request", type=click.Path(path_type=Path))
@options(chain_options, ledger_option, account_options)
@click.option("--out", required=True, type=OutFile(), metavar="FILE", help="The invitation.")
@click.option(
    "--hours",
    default=168,
    show_default=True,
    type=click.IntRange(1, 1_000_000),
    help="How long the invitation is good for.",
)
@json_option
def invite(
    request: Path,
    rpc: str,
    chain_id: int | None,
    ledger: str,
    keystore: Path,
    password_file: Path | None,
    out: Path,
    hours: int,
    as_json: bool,
) -> None:
    """Answer REQUEST, a file that `fednode join --request` wrote, with a signed invitation.

    The number of rows in it is what you attest: it becomes the site's weight.
    """
    asked = read_request(request)
    account = open_account(keystore, password_file)
    contract = open_contract(rpc, chain_id, ledger)
    federation = federation_id(asked.federation)
    found = contract.view(federation)
    creator = found.creator
    if creator != account.address:
        raise FedNodeError(
            f"{request} asks to join federation {asked.federation}, whose creator is {creator}, "
            f"not {account.address}: only its creator's invitations count"
        )
    require_not_ended(federation, ended=found.phase == ENDED)
    invitation = sign(
        asked,
        account,
        expires=contract.chain.now() + hours * 3600,
        chain_id=contract.chain.chain_id,
        ledger=contract.address,
    )
    write_file(out, invitation.model_dump_json(indent=2).encode(), private=True)
    Output(as_json).result(
        {"invitation": str(out), "name": asked.name, "rows": asked.rows},
        f"invited {asked.name} ({asked.controller}) with {asked.rows} rows: {out}",
    )
