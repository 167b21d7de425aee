"""`fednode leave` and `fednode close`: the ways out of a federation that is not over yet."""

from pathlib import Path

import click

from fednode.cli.edge import (
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
from fednode.cli.open import Place, controlled, federation_id, open_account, open_contract, placed


@click.command()
@options(
    chain_options, ledger_option, federation_option, store_options, account_options, own_option
)
@json_option
@placed
def leave(
    place: Place,
    keystore: Path,
    password_file: Path | None,
    as_json: bool,
) -> None:
    """Give up the seat that the account controls, from the next round on.

    The stake can be claimed once the rounds that the participant acted in are settled.
    """
    account = open_account(keystore, password_file)
    opened = place.holdings()
    seat = controlled(opened, account).index
    receipt = opened.contract.leave(account, opened.id, seat)
    Output(as_json).result(
        {"participant": seat, "gas": receipt.gas_used},
        f"participant {seat} has left ({receipt.gas_used} gas)",
    )


@click.command()
@options(chain_options, ledger_option, federation_option, account_options)
@json_option
def close(
    rpc: str,
    chain_id: int | None,
    ledger: str,
    federation: str,
    keystore: Path,
    password_file: Path | None,
    as_json: bool,
) -> None:
    """End a federation that has accepted nothing for its idle window; anybody may.

    Payouts, stakes and what is left of the pool can then be claimed.
    """
    account = open_account(keystore, password_file)
    contract = open_contract(rpc, chain_id, ledger)
    receipt = contract.close(account, federation_id(federation))
    Output(as_json).result(
        {"gas": receipt.gas_used}, f"the federation is closed ({receipt.gas_used} gas)"
    )
