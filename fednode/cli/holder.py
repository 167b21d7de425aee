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
from fednode.cli.open import Place, open_account, placed
from fednode.roles.pace import Pace
from fednode.roles.pulse import Pulse
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
@placed
def holder(
    place: Place,
    keystore: Path,
    password_file: Path | None,
    slices: Path,
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
    opened = place.open()
    parts = cut(SaltedRows.load(slices), opened.policy.slices)
    holding = Holder(opened, open_account(keystore, password_file), parts)
    run(holding, poll=poll, pace=Pace(opened, poll), look=Pulse(opened).look)
    used = sum(opened.announced(round_) is not None for round_ in opened.state.rounds)
    Output(as_json).result({"opened": used}, f"the federation has ended: {used} slices were opened")
