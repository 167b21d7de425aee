"""`fednode testnet`: a private chain on this machine, with funded accounts, and Kubo nodes if asked
for.
"""

import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from fednode.cli.edge import Output, json_option
from fednode.errors import FedNodeError
from fednode.files import write_file
from fednode.testnet import ANVIL_KEYS, Anvil, EngineFailed, Kubo, connect_all
from ledger.chain.accounts import create_keystore, from_key

PASSWORD = "testnet"


@click.command()
@click.option(
    "--directory",
    default="testnet",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the chain's state, the keystores and the Kubo nodes lie.",
)
@click.option(
    "--port",
    default=8545,
    show_default=True,
    type=click.IntRange(1, 65535),
    help="Port of the chain's RPC.",
)
@click.option(
    "--chain-id", default=31337, show_default=True, type=click.IntRange(1), help="Id of the chain."
)
@click.option(
    "--kubo",
    default=0,
    type=click.IntRange(0, 64),
    metavar="N",
    help="Start N Kubo nodes, connected to each other.",
)
@json_option
def testnet(directory: Path, port: int, chain_id: int, kubo: int, as_json: bool) -> None:
    """Start anvil with persistent state and keep it running until Ctrl-C.

    Ten funded accounts lie in DIRECTORY/accounts/0.json to 9.json, their password in
    DIRECTORY/password. Their keys are known to everybody: never use them elsewhere.
    """
    with ExitStack() as running:
        running.enter_context(_alone(directory))
        for how in (signal.SIGTERM, signal.SIGINT):
            signal.signal(how, lambda *_: sys.exit(0))
        state = directory / "anvil-state.json"
        anvil = running.enter_context(
            Anvil(directory / "anvil", port=port, state=state, chain_id=chain_id).start()
        )
        _accounts(directory)
        folders = [directory / f"kubo-{i}" for i in range(kubo)]
        nodes = [running.enter_context(Kubo(folder).start()) for folder in folders]
        if len(nodes) > 1:
            connect_all(nodes)
        lines = [f"chain {chain_id}: {anvil.url}"]
        lines += [f"kubo {i}: {node.url}" for i, node in enumerate(nodes)]
        lines.append(f"accounts: {directory / 'accounts'}; password: {directory / 'password'}")
        Output(as_json).result(
            {
                "rpc": anvil.url,
                "chain_id": chain_id,
                "ipfs": [node.url for node in nodes],
                "accounts": str(directory / "accounts"),
                "password_file": str(directory / "password"),
            },
            *lines,
            "running; Ctrl-C stops it, the state is kept",
        )
        _wait(anvil)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep a second testnet out of a folder: it would write over the state of the first."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory, os.O_RDONLY)
    except OSError as error:
        raise FedNodeError(f"--directory {directory}: {error.strerror}") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FedNodeError(
                f"--directory {directory}: a testnet runs there already; stop it, or choose another"
            ) from None
        yield
    finally:
        os.close(handle)


def _accounts(directory: Path) -> None:
    """Write the funded accounts' keystores, once."""
    if not (directory / "password").exists():
        write_file(directory / "password", PASSWORD.encode(), private=True)
    for place, key in enumerate(ANVIL_KEYS):
        path = directory / "accounts" / f"{place}.json"
        if not path.exists():
            create_keystore(path, PASSWORD, account=from_key(key), light=True)


def _wait(anvil: Anvil) -> None:
    while anvil.running():
        time.sleep(0.5)
    raise EngineFailed("anvil", f"it ended by itself; its log is in {anvil.folder}")
