"""`fednode relay`: a federation's relay, as the policy names it."""

import asyncio
from pathlib import Path

import click

from fednode.cli.edge import (
    Output,
    account_options,
    chain_options,
    federation_option,
    journal_option,
    json_option,
    ledger_option,
    options,
    start_logging,
    store_options,
    verbose_option,
)
from fednode.cli.open import federation_id, open_account, open_content, open_contract
from fednode.errors import FedNodeError
from ledger.types import Wei


@click.command()
@options(
    chain_options, ledger_option, federation_option, store_options, account_options, journal_option
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8600,
    show_default=True,
    type=click.IntRange(0, 65535),
    metavar="N",
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--margin",
    default=60,
    show_default=True,
    type=click.IntRange(0),
    metavar="SECONDS",
    help="How long before a deadline to post; of a short window a quarter at most.",
)
@click.option(
    "--max-stake",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    metavar="WEI",
    help="The most to pay for the stake of a site that joins through this relay.",
)
@click.option(
    "--max-bond",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    metavar="WEI",
    help="The most to pay for the bond of a result proposed through this relay.",
)
@click.option(
    "--poll",
    default=0.5,
    show_default=True,
    type=click.FloatRange(0.05, 60),
    metavar="SECONDS",
    help="How often to look at the chain.",
)
@verbose_option
@json_option
def relay(
    rpc: str,
    chain_id: int | None,
    ledger: str,
    federation: str,
    ipfs: str | None,
    store: Path | None,
    keystore: Path,
    password_file: Path | None,
    journal: Path,
    host: str,
    port: int,
    margin: int,
    max_stake: int,
    max_bond: int,
    poll: float,
    verbose: bool,
    as_json: bool,
) -> None:
    """Take signed commits and votes over HTTP and post them, until the federation is over.

    May be killed and started again at any time: what it gave a receipt for is in its journal.
    """
    from fednode.relay.chain import OnChain
    from fednode.relay.desk import Desk
    from fednode.relay.service import Settings, serve
    from fednode.relay.sponsor import Allowance
    from ledger.history import HistoryReader
    from ledger.replica import Origin, Replica
    from ledger.signatures import Domain

    start_logging(verbose=verbose)
    contract = open_contract(rpc, chain_id, ledger)
    content = open_content(ipfs, store)
    account = open_account(keystore, password_file)
    identity = federation_id(federation)
    chain = contract.chain
    reader = HistoryReader(chain, contract.address, identity, senders=False)
    replica = Replica(reader, content, origin=Origin(chain.chain_id, contract.address, identity))
    named = replica.refresh().policy.relay
    if named != account.address:
        raise FedNodeError(
            f"account {account.address} is not the relay that the policy names ({named}): start "
            "it with that account"
        )
    desk = Desk(Domain(chain.chain_id, contract.address), identity, account, journal)
    allowance = Allowance(Wei(max_stake), Wei(max_bond))
    settings = Settings(host=host, port=port, poll=poll, margin=margin, allowance=allowance)

    def ready(url: str) -> None:
        Output(as_json).result({"url": url}, f"listening on {url}")

    asyncio.run(serve(OnChain(contract, replica, account), content, desk, settings, ready))
