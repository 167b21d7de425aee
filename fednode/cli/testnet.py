"""`fednode testnet`: a private chain on this machine, with funded accounts, and Kubo nodes if asked
for.
"""

import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import click

from fednode.cli.edge import Output, json_option
from fednode.errors import FedNodeError
from fednode.files import write_file
from fednode.testnet import ANVIL_KEYS, Anvil, EngineFailed, Kubo, Process, connect_all
from fednode.testnet_folder import CHAIN_ID, PORT, StateKeeper, TestnetFolder
from ledger.chain.accounts import create_keystore, from_key

PASSWORD = "testnet"
KEEPING = 5
"""Seconds between two copies of the chain's state."""


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
    type=click.IntRange(1, 65535),
    help=f"Port of the chain's RPC: at first {PORT}, then what it was.",
)
@click.option(
    "--chain-id",
    type=click.IntRange(1),
    help=f"Id of a new chain; {CHAIN_ID} if it is not given.",
)
@click.option(
    "--kubo",
    type=click.IntRange(0, 64),
    metavar="N",
    help="Start N Kubo nodes, connected to each other; at first none, then as many as there were.",
)
@json_option
def testnet(
    directory: Path, port: int | None, chain_id: int | None, kubo: int | None, as_json: bool
) -> None:
    """Start anvil with persistent state and keep it running until Ctrl-C.

    Started again with the same DIRECTORY it has the same chain, blocks and ports, also after a
    kill. Ten funded accounts lie in DIRECTORY/accounts/0.json to 9.json, their password in
    DIRECTORY/password. Their keys are known to everybody: never use them elsewhere.
    """
    with ExitStack() as running:
        running.enter_context(_alone(directory))
        _end_on_signals()
        folder = TestnetFolder(directory)
        folder.open(port, chain_id, kubo)
        anvil, nodes = _start(folder, running)
        _accounts(directory)
        chain = folder.record.chain_id
        lines = [f"chain {chain}: {anvil.url}"]
        lines += [f"kubo {i}: {node.url}" for i, node in enumerate(nodes)]
        lines.append(f"accounts: {directory / 'accounts'}; password: {directory / 'password'}")
        Output(as_json).result(
            {
                "rpc": anvil.url,
                "chain_id": chain,
                "ipfs": [node.url for node in nodes],
                "accounts": str(directory / "accounts"),
                "password_file": str(directory / "password"),
            },
            *lines,
            "running; Ctrl-C stops it, the state is kept",
        )
        _wait(directory, [anvil, *nodes])


def _end_on_signals() -> None:
    """End the command, and with it its children, once it is asked to; asked twice it does not end
    sooner.
    """
    asked = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def ended(*_: object) -> None:
        for how in asked:
            signal.signal(how, signal.SIG_IGN)
        sys.exit(0)

    for how in asked:
        if signal.getsignal(how) is not signal.SIG_IGN:  # as nohup leaves SIGHUP
            signal.signal(how, ended)


def _start(folder: TestnetFolder, running: ExitStack) -> tuple[Anvil, list[Kubo]]:
    """Start the engines, with the ports that the folder has for them."""
    anvil = Anvil(
        folder.path / "anvil",
        port=folder.record.port,
        state=folder.state,
        chain_id=folder.record.chain_id,
    )
    nodes = [
        Kubo(folder.path / f"kubo-{place}", ports=ports) for place, ports in enumerate(folder.kubo)
    ]
    engines: list[Anvil | Kubo] = [anvil, *nodes]
    for engine in engines:
        running.enter_context(engine)  # before it starts: a signal may come meanwhile
        engine.start()
        folder.note(engine)
    connect_all(nodes)
    return anvil, nodes


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


def _wait(directory: Path, engines: Sequence[Process]) -> None:
    """Keep copies of the chain's state until an engine ends."""
    keeper = StateKeeper(directory)
    for second in count():
        if not all(engine.running() for engine in engines):
            break
        if second % KEEPING == 0:
            keeper.look()
        time.sleep(1)
    ended = next(engine for engine in engines if not engine.running())
    raise EngineFailed(ended.name, f"it ended by itself; its log is in {ended.folder}")
