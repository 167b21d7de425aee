"""`fednode holder`: the long-lived process that opens slices of evaluation rows."""

from pathlib import Path

import click

from fednode.cli.edge import (
    Output,
    json_option,
    options,
    own_option,
    start_logging,
    verbose_option,
)
from fednode.cli.node import node_options, poll_option
from fednode.cli.open import open_account, open_content, open_contract, open_federation
from fednode.roles.role import run


@click.command()
@options(node_options)
@click.option(
    "--slices",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The rows that `fednode data evaluation` wrote before the federation was created.",
)
@options(own_option, poll_option, verbose_option)
@json_option
def holder(
    rpc: str,
    chain_id: int | None,
    ledger: str,
    federation: str,
    ipfs: str | None,
    store: Path | None,
    keystore: Path,
    password_file: Path | None,
    slices: Path,
    own: tuple[str, ...],
    poll: float,
    verbose: bool,
    as_json: bool,
) -> None:
    """Publish one slice a round, between the last commit and the reveal deadline, until the end.

    Keep the file from everybody, participants above all: who knows a slice before its round can
    train on it.
    """
    from fednode.data.salted import SaltedRows
    from fednode.evaluation.slices import cut
    from fednode.roles.holder import Holder

    start_logging(verbose=verbose)
    opened = open_federation(
        open_contract(rpc, chain_id, ledger), federation, open_content(ipfs, store), own=own
    )
    parts = cut(SaltedRows.load(slices), opened.policy.slices)
    run(Holder(opened, open_account(keystore, password_file), parts), poll=poll)
    used = sum(opened.announced(round_) is not None for round_ in opened.state.rounds)
    Output(as_json).result({"opened": used}, f"the federation has ended: {used} slices were opened")
