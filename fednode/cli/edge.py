"""What all commands share: their options, how they print, and how an error ends them."""

import json
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from fednode.errors import FedNodeError
from incentives.errors import IncentiveError
from ledger.errors import LedgerError

FAILED = 1
DOES_NOT_HOLD = 3
Command = TypeVar("Command", bound=Callable[..., object])


class Failing(click.Group):
    """A group that ends with one line and exit code 1 where the project's own errors are raised."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401
        """Run a command; turn an error of ours into one line."""
        try:
            return super().invoke(ctx)
        except (FedNodeError, LedgerError, IncentiveError) as error:
            fail(error)
        except KeyboardInterrupt:
            raise click.Abort from None


def fail(error: Exception) -> NoReturn:
    """End with one line that says what was wrong; as JSON, too, where that was asked for."""
    text = " ".join(str(error).split())
    if "--json" in sys.argv:
        click.echo(json.dumps({"error": {"type": type(error).__name__, "message": text}}))
    click.echo(f"error: {text}", err=True)
    sys.exit(FAILED)


@dataclass(frozen=True, slots=True)
class Output:
    """Prints for people, or one JSON object."""

    as_json: bool

    def result(self, fields: Mapping[str, object], text: str) -> None:
        """Print a command's result."""
        click.echo(json.dumps(fields, indent=2) if self.as_json else text)

    def note(self, text: str) -> None:
        """Print what a person may like to know meanwhile."""
        if not self.as_json:
            click.echo(text)


def options(*decorators: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Join options, in the order in which the help shows them."""

    def joined(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return joined


def start_logging(*, verbose: bool) -> None:
    """Log to standard error; results alone go to standard output."""
    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.getLogger("fednode").setLevel(level)


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
verbose_option = click.option("--verbose", is_flag=True, help="Log every step.")
chain_options = options(
    click.option(
        "--rpc",
        envvar="FEDNODE_RPC",
        required=True,
        metavar="URL",
        help="JSON-RPC endpoint of a chain node. [FEDNODE_RPC]",
    ),
    click.option("--chain-id", type=int, metavar="N", help="Refuse a node of any other chain."),
)
ledger_option = click.option(
    "--ledger",
    envvar="FEDNODE_LEDGER",
    required=True,
    metavar="ADDRESS",
    help="Address of the contract. [FEDNODE_LEDGER]",
)
federation_option = click.option(
    "--federation",
    envvar="FEDNODE_FEDERATION",
    required=True,
    metavar="ID",
    help="The federation's id, as `fednode create` printed it. [FEDNODE_FEDERATION]",
)
store_options = options(
    click.option(
        "--ipfs",
        envvar="FEDNODE_IPFS",
        metavar="URL",
        help="RPC address of your Kubo node. [FEDNODE_IPFS]",
    ),
    click.option(
        "--store",
        envvar="FEDNODE_STORE",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="A directory of blocks instead of Kubo. [FEDNODE_STORE]",
    ),
)
account_options = options(
    click.option(
        "--account",
        "keystore",
        envvar="FEDNODE_ACCOUNT",
        required=True,
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Keystore of the account that signs. [FEDNODE_ACCOUNT]",
    ),
    click.option(
        "--password-file",
        envvar="FEDNODE_PASSWORD_FILE",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="File with the keystore's password; asked for without it. [FEDNODE_PASSWORD_FILE]",
    ),
)
site_options = options(
    click.option("--site", required=True, metavar="NAME", help="The site, as the policy names it."),
    click.option(
        "--data",
        "data_dir",
        envvar="FEDNODE_DATA",
        default=".",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Where the policy's relative paths of data start. [FEDNODE_DATA]",
    ),
)
journal_option = click.option(
    "--journal",
    envvar="FEDNODE_JOURNAL",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="This node's own memory; keep it private and keep it. [FEDNODE_JOURNAL]",
)
own_option = click.option(
    "--allow-model",
    "own",
    multiple=True,
    metavar="MODULE:FACTORY",
    help="Let a policy run this model of your own; its code runs on this machine.",
)
