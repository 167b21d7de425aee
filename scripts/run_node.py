#!/usr/bin/env python3
"""Run one node of a federation: `run_node.py participant ...` or `run_node.py proposer ...`."""

import click

from fednode.cli.edge import Failing
from fednode.cli.node import participant, proposer


@click.group(cls=Failing, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run a node: the participant trains and votes, the proposer aggregates."""


main.add_command(participant)
main.add_command(proposer)

if __name__ == "__main__":
    main()
