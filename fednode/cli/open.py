"""From a command's options to the objects that it works on."""

from collections.abc import Collection
from pathlib import Path

import click

from fednode.errors import FedNodeError
from fednode.federation import Federation
from ledger.chain.accounts import Account, load_keystore, read_password
from ledger.chain.client import Chain
from ledger.chain.federations import Federations
from ledger.stores import ContentStore, open_store
from ledger.types import FederationId


def open_account(keystore: Path, password_file: Path | None) -> Account:
    """Unlock a keystore."""
    if password_file is not None:
        return load_keystore(keystore, read_password(password_file))
    try:
        password = click.prompt(f"Password of {keystore}", hide_input=True, err=True)
    except click.Abort:
        raise FedNodeError(
            f"no password of {keystore} was given: type it, or give --password-file FILE"
        ) from None
    return load_keystore(keystore, password)


def open_content(ipfs: str | None, store: Path | None) -> ContentStore:
    """Open Kubo or a directory of blocks; exactly one must be given."""
    if (ipfs is None) == (store is None):
        raise FedNodeError("give either --ipfs URL (your Kubo node) or --store DIR (a directory)")
    return open_store(ipfs if ipfs is not None else str(store))


def federation_id(text: str) -> FederationId:
    """Read a federation's id."""
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        value = b""
    if len(value) != 32:
        raise FedNodeError(f"--federation {text!r} is not an id of 64 hexadecimal digits")
    return FederationId(value)


def open_contract(rpc: str, chain_id: int | None, ledger: str) -> Federations:
    """Connect to the contract."""
    return Federations(Chain.connect(rpc, chain_id), ledger)


def open_federation(
    contract: Federations, federation: str, store: ContentStore, *, own: Collection[str] = ()
) -> Federation:
    """Open a federation on the contract."""
    return Federation(contract, federation_id(federation), store, own=own)
