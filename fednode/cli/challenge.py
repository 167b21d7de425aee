"""`fednode challenge`: hold live results against what their rounds come to."""

from pathlib import Path

import click

from fednode.cli.edge import (
    Output,
    journal_option,
    json_option,
    options,
    own_option,
    start_logging,
    verbose_option,
)
from fednode.cli.node import node_options, poll_option
from fednode.cli.open import (
    open_account,
    open_content,
    open_contract,
    open_federation,
    open_vault,
    require_key,
)
from fednode.roles.role import run


@click.command()
@options(node_options, journal_option, own_option, poll_option)
@click.option("--stay", is_flag=True, help="Go on until the federation has ended and settled.")
@verbose_option
@json_option
def challenge(
    rpc: str,
    chain_id: int | None,
    ledger: str,
    federation: str,
    ipfs: str | None,
    store: Path | None,
    keystore: Path,
    password_file: Path | None,
    key_files: tuple[Path, ...],
    journal: Path,
    own: tuple[str, ...],
    poll: float,
    stay: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Challenge results that are wrong, and answer for those that are right.

    The account pays the policy's bond for each challenge and gets it back with a reward if the
    challenge holds; `fednode claim` takes it out.
    """
    from fednode.roles.journal import Journal
    from fednode.roles.watcher import Guard

    start_logging(verbose=verbose)
    vault = open_vault(key_files)
    opened = open_federation(
        open_contract(rpc, chain_id, ledger),
        federation,
        open_content(ipfs, store),
        own=own,
        vault=vault,
    )
    require_key(opened, vault)
    account = open_account(keystore, password_file)
    run(Guard(opened, account, Journal(journal, opened.id), stay=stay), poll=poll)
    found = [
        {"round": p.round, "result": p.result.hex(), "fate": p.fate.value}
        for round_ in opened.state.rounds
        for p in round_.proposals
        if any(c.challenger == account.address for c in p.challenges.all)
    ]
    lines = [f"round {f['round']}: result {f['result']} is {f['fate']}" for f in found]
    Output(as_json).result({"challenged": found}, "\n".join(lines) or "nothing to challenge")
