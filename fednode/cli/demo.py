"""`fednode demo`: four hospitals train one model, everybody is paid, and all of it is audited."""

from pathlib import Path

import click

from fednode.cli.edge import DOES_NOT_HOLD, Output, json_option
from fednode.cli.open import ipfs_token, open_account
from fednode.demo import DemoOptions, DemoResult, run_demo
from fednode.demo.options import NODE_WINDOW


@click.command()
@click.option("--rounds", type=int, metavar="N", help="Training rounds; else the policy's 10.")
@click.option("--rpc", metavar="URL", help="Play on this chain node, not in the process.")
@click.option(
    "--ipfs",
    multiple=True,
    metavar="URL",
    help="Store in this Kubo node instead of a directory; several are shared among the hospitals.",
)
@click.option(
    "--account",
    "keystore",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With --rpc: keystore of the account that creates the federation and funds the hospitals.",
)
@click.option(
    "--password-file", type=click.Path(path_type=Path), metavar="FILE", help="Its password."
)
@click.option(
    "--directory",
    default="demo",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the picture, the report, the bundle and the blocks go.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of the bootstrap intervals.")
@click.option(
    "--window",
    default=NODE_WINDOW,
    show_default=True,
    metavar="SECONDS",
    help="With --rpc: how long votes and challenges may take.",
)
@json_option
@click.pass_context
def demo(
    ctx: click.Context,
    rounds: int | None,
    rpc: str | None,
    ipfs: tuple[str, ...],
    keystore: Path | None,
    password_file: Path | None,
    directory: Path,
    seed: int,
    window: int,
    as_json: bool,
) -> None:
    """Four hospitals train a heart-disease model for ten rounds, on a chain that anyone can audit.

    920 real patients (UCI Heart Disease). Exit code 3 if the audit at the end does not hold.
    """
    options = DemoOptions(
        rounds=rounds,
        rpc=rpc,
        ipfs=ipfs,
        directory=directory,
        seed=seed,
        account=open_account(keystore, password_file) if keystore else None,
        window=window,
        token=ipfs_token(),
    )
    result = _quiet(options) if as_json else _watched(options)
    if not result.holds:
        ctx.exit(DOES_NOT_HOLD)


def _quiet(options: DemoOptions) -> DemoResult:
    result = run_demo(options)
    Output(as_json=True).result(result.record())
    return result


def _watched(options: DemoOptions) -> DemoResult:
    from fednode.cli.screen import Screen
    from fednode.demo.terminal import show, watching

    console = Screen()
    with watching(console) as watch:
        result = run_demo(options, watch)
    show(console, result)
    return result
