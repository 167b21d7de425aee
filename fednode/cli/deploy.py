"""`fednode deploy`: the contract, once for everybody on a chain."""

from pathlib import Path

import click

from fednode.cli.edge import Output, account_options, chain_options, json_option
from fednode.cli.open import open_account
from ledger.chain import federations
from ledger.chain.client import Chain


@click.command()
@chain_options
@account_options
@json_option
def deploy(
    rpc: str, chain_id: int | None, keystore: Path, password_file: Path | None, as_json: bool
) -> None:
    """Deploy the contract by CREATE2, or find it where it was deployed before."""
    chain = Chain.connect(rpc, chain_id)
    address = federations.deploy(chain, open_account(keystore, password_file))
    block = chain.first_block(address)
    Output(as_json).result(
        {"ledger": address, "chain_id": chain.chain_id, "block": block},
        f"contract {address} on chain {chain.chain_id}; logs from block {block} on",
    )
