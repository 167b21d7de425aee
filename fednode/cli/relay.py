"""`fednode relay`: a federation's relay, as the policy names it."""

import asyncio
import logging
from pathlib import Path

import click

from fednode.cli.edge import (
    Output,
    Seconds,
    account_options,
    chain_options,
    deployer_option,
    federation_option,
    journal_option,
    json_option,
    ledger_option,
    options,
    start_logging,
    store_options,
    verbose_option,
)
from fednode.cli.open import (
    federation_id,
    open_account,
    open_content,
    open_contract,
    require_shipped,
)
from fednode.errors import FedNodeError
from fednode.files import private_folder
from fednode.in_use import alone
from ledger.types import Wei

log = logging.getLogger("fednode")


@click.command()
@options(
    chain_options,
    ledger_option,
    deployer_option,
    federation_option,
    store_options,
    account_options,
    journal_option,
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
    "--joins",
    is_flag=True,
    help="Let sites join through this relay: it pays their gas, and the stake up to --max-stake.",
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
    "--max-loss",
    type=click.IntRange(0),
    metavar="WEI",
    help="The most to lose with bonds in this federation; twice --max-bond unless given.",
)
@click.option(
    "--poll",
    default=0.5,
    show_default=True,
    type=Seconds(0.05, 60),
    metavar="SECONDS",
    help="The shortest rest between two looks at the chain; it grows to four times that while "
    "nothing happens.",
)
@verbose_option
@json_option
@click.pass_context
def relay(
    ctx: click.Context,
    rpc: str,
    chain_id: int | None,
    ledger: str,
    deployers: tuple[str, ...],
    federation: str,
    ipfs: str | None,
    store: Path | None,
    keystore: Path,
    password_file: Path | None,
    journal: Path,
    host: str,
    port: int,
    margin: int,
    joins: bool,
    max_stake: int,
    max_bond: int,
    max_loss: int | None,
    poll: float,
    verbose: bool,
    as_json: bool,
) -> None:
    """Take signed commits and votes over HTTP and post them, until the federation is over.

    May be killed and started again at any time: what it gave a receipt for is in its journal.
    """
    from fednode.relay.chain import OnChain
    from fednode.relay.desk import Desk
    from fednode.relay.lanes import most_lost
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
    reader = HistoryReader(
        chain, contract.address, identity, begins=contract.first_block, senders=False
    )
    replica = Replica(reader, content, origin=Origin(chain.chain_id, contract.address, identity))
    named = replica.whole(chain.rest).policy.relay
    assert replica.state.created is not None
    require_shipped(contract, deployers, [account.address, replica.state.created.creator])
    if named != account.address:
        raise FedNodeError(
            f"account {account.address} is not the relay that the policy names ({named}): start "
            "it with that account"
        )
    private_folder(journal / identity.hex())
    ctx.with_resource(alone(journal / identity.hex()))
    desk = Desk(Domain(chain.chain_id, contract.address), identity, account, journal)
    if max_stake and not joins:
        log.warning("--max-stake has no effect without --joins: this relay sends no joins")
    loss = None if max_loss is None else Wei(max_loss)
    allowance = Allowance(Wei(max_stake), Wei(max_bond), joins, loss)
    settings = Settings(host=host, port=port, poll=poll, margin=margin, allowance=allowance)

    on_chain = OnChain(contract, replica, account)
    most = most_lost(on_chain.gas, joins=joins)

    def ready(url: str) -> None:
        Output(as_json).result(
            {"url": url, "most_lost_gas": most},
            f"listening on {url}; failed transactions cost at most {most} gas a round, or a day of "
            "a longer one",
        )

    asyncio.run(serve(on_chain, content, desk, settings, ready))
