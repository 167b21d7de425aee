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
from fednode.cli.open import Place, placed
from fednode.errors import FedNodeError
from fednode.in_use import alone
from fednode.roles.pace import Pace
from fednode.roles.pulse import Pulse
from fednode.roles.role import OUTAGES, PASSING, run


@click.command()
@options(node_options, journal_option, own_option, poll_option)
@click.option("--stay", is_flag=True, help="Go on until the federation has ended and settled.")
@verbose_option
@json_option
@click.pass_context
@placed
def challenge(
    ctx: click.Context,
    place: Place,
    keystore: Path,
    password_file: Path | None,
    journal: Path,
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
    opened, account = place.open_to_pay(keystore, password_file)
    own_journal = Journal(journal, opened.id)
    ctx.with_resource(alone(own_journal.folder))
    guard = Guard(opened, account, own_journal, stay=stay)
    passing = PASSING if stay else OUTAGES
    run(guard, poll=poll, pace=Pace(opened, poll), passing=passing, look=Pulse(opened).look)
    found = [
        {"round": p.round, "result": p.result.hex(), "fate": p.fate.value}
        for round_ in opened.state.rounds
        for p in round_.proposals
        if any(c.challenger == account.address for c in p.challenges.all)
    ]
    lines = [f"round {f['round']}: result {f['result']} is {f['fate']}" for f in found]
    for result, reason in guard.unjudged.items():
        raise FedNodeError(f"result {result.hex()} was not judged: {reason}")
    Output(as_json).result({"challenged": found}, *(lines or ["nothing to challenge"]))
