"""From a command's options to the objects that it works on."""

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TypeVar

import click

from fednode.cli.edge import start_block
from fednode.errors import FedNodeError
from fednode.federation import Federation
from fednode.holdings import Holdings
from ledger.address import parse_address
from ledger.chain.accounts import Account, load_keystore, read_password
from ledger.chain.client import Chain
from ledger.chain.federations import Federations, find_deployment
from ledger.lines import one_line
from ledger.members import Participant
from ledger.sealing import Vault, load_key
from ledger.stores import ContentStore, DirectoryStore
from ledger.types import Address, FederationId

T = TypeVar("T")
IPFS_TOKEN = "FEDNODE_IPFS_TOKEN"
IPFS_TOKEN_FILE = "FEDNODE_IPFS_TOKEN_FILE"


def open_account(keystore: Path, password_file: Path | None) -> Account:
    """Unlock a keystore."""
    return load_keystore(keystore, open_password(password_file, f"Password of {keystore}"))


def open_password(password_file: Path | None, prompt: str, *, new: bool = False) -> str:
    """Read a password's file, or ask for it; for a new one twice."""
    if password_file is not None:
        found = read_password(password_file)
        if new and not found:
            raise FedNodeError(f"{password_file}: its first line, the new password, is empty")
        return found
    # Without a terminal there is no echo to hide, and Python would warn in three lines.
    hide = _has_terminal()
    prompt = one_line(prompt)
    try:
        password = click.prompt(prompt, hide_input=hide, confirmation_prompt=new, err=True)
    except click.Abort:
        if not hide:  # click ends the line of a hidden prompt alone
            click.echo(err=True)
        raise FedNodeError("no password: type it, or give --password-file FILE") from None
    return str(password)


def _has_terminal() -> bool:
    """Whether a password can be typed: at standard input, or at the process's own terminal."""
    if sys.stdin.isatty():
        return True
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


class StoreNotNamed(FedNodeError):
    """A command without a content store, or with two."""

    def __init__(self, found: str) -> None:
        super().__init__(
            "give --ipfs URL (your Kubo node) or --store DIR (a directory of blocks): "
            f"{found} set, by options or by FEDNODE_IPFS and FEDNODE_STORE"
        )


def open_content(ipfs: str | None, store: Path | None, *, new: bool = False) -> ContentStore:
    """Open Kubo or a directory of blocks; exactly one must be given. `new`: make the directory if
    it is not there.
    """
    if (ipfs is None) == (store is None):
        raise StoreNotNamed("neither is" if ipfs is None else "both are")
    if store is None:
        from ledger.stores.kubo import KuboStore

        return KuboStore(str(ipfs), token=ipfs_token())
    if not new and not store.is_dir():
        raise FedNodeError(f"--store {store}: no such directory; only `fednode create` makes one")
    return DirectoryStore(store)


def ipfs_token() -> str | None:
    """Give the token that Kubo's API asks for. It is never an option: other users of the machine
    can read the options of a process.
    """
    token, path = os.environ.get(IPFS_TOKEN), os.environ.get(IPFS_TOKEN_FILE)
    if not path:
        return token or None
    if token:
        raise FedNodeError(f"{IPFS_TOKEN} and {IPFS_TOKEN_FILE} are both set: keep one of them")
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise FedNodeError(f"{IPFS_TOKEN_FILE} {path} cannot be read ({reason})") from None
    if not lines or not lines[0].strip():
        raise FedNodeError(f"{IPFS_TOKEN_FILE} {path}: its first line, the token, is empty")
    return lines[0].strip()


def address(text: str, *, option: str) -> Address:
    """Read an address."""
    try:
        return parse_address(text)
    except ValueError as error:
        raise FedNodeError(f"{option} {text!r}: {error}") from None


def federation_id(text: str, *, option: str = "--federation") -> FederationId:
    """Read a federation's id."""
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        value = b""
    if len(value) != 32:
        raise FedNodeError(f"{option} {text!r} is not an id of 64 hexadecimal digits")
    return FederationId(value)


def open_contract(rpc: str, chain_id: int | None, ledger: str) -> Federations:
    """Connect to the contract; refuse an address where another contract is."""
    start = start_block()
    found = address(ledger, option="--ledger")
    contract = Federations(Chain.connect(rpc, chain_id), found, since=start)
    contract.require_known()
    chain = contract.chain
    if start and chain.existed(found, min(start - 1, chain.block_number())):
        raise FedNodeError(
            f"--from-block {start}: the contract was there before, so its first logs would be "
            "missing; give the block of its deployment, as `fednode deploy` prints it"
        )
    return contract


def require_not_ended(federation: FederationId, *, ended: bool) -> None:
    """Refuse to prepare for a federation that no participant can join any more."""
    if ended:
        raise FedNodeError(
            f"federation {federation.hex()} has ended, so no participant can join it: check "
            "--federation, or ask its creator for the one that goes on from it"
        )


def deploying(deployers: Iterable[str]) -> list[Address]:
    """Read the addresses of those that may have deployed the contract."""
    return [address(deployer, option="--deployer") for deployer in deployers]


def require_shipped(
    contract: Federations, deployers: Iterable[str], accounts: Iterable[Address]
) -> None:
    """Refuse to send ether or tokens to a contract that is not this package's program.

    CREATE2 gives an address to one program, its constructor included: equal code at another address
    may have started from a state of its deployer's choice. `accounts` may have deployed it.
    """
    named = deploying(deployers)
    if find_deployment(contract.address, deployers=named, accounts=[*named, *accounts]) is None:
        raise FedNodeError(
            f"--ledger {contract.address} is not this package's program, so nothing is sent to it: "
            "check the address with the federation's creator, install the release that it was "
            "deployed with, or name in --deployer the account that deployed it"
        )


def open_vault(key_files: Iterable[Path]) -> Vault:
    """Read the keys that sealed artefacts are opened with."""
    return Vault(tuple(load_key(path) for path in key_files))


@dataclass(frozen=True, slots=True)
class Place:
    """A federation, as a command's options name it: where it is, and what it is read with."""

    rpc: str
    chain_id: int | None
    ledger: str
    federation: str
    ipfs: str | None
    store: Path | None
    own: tuple[str, ...] = ()
    key_files: tuple[Path, ...] = ()
    deployers: tuple[str, ...] = ()

    def open(self, *, keyed: bool = False) -> Federation:
        """Open the federation; `keyed`: only with a key to read with, if its artefacts are
        sealed.
        """
        vault = open_vault(self.key_files)
        contract = open_contract(self.rpc, self.chain_id, self.ledger)
        content = open_content(self.ipfs, self.store)
        federation = federation_id(self.federation)
        opened = Federation(contract, federation, content, own=self.own, vault=vault)
        if keyed and opened.policy.visibility == "members" and not vault.keys:
            raise FedNodeError(
                "this federation's artefacts are sealed for its members: give --key with the file "
                "of the member's key; `fednode key new` makes one"
            )
        return opened

    def holdings(self) -> Holdings:
        """Open what the chain alone tells of the federation; a store may be left out."""
        contract = open_contract(self.rpc, self.chain_id, self.ledger)
        vault = open_vault(self.key_files)
        return Holdings(contract, federation_id(self.federation), self.content(), vault=vault)

    def content(self) -> ContentStore | None:
        """Open the store, if one was given."""
        none = self.ipfs is None and self.store is None
        return None if none else open_content(self.ipfs, self.store)

    def open_to_pay(self, keystore: Path, password_file: Path | None) -> tuple[Federation, Account]:
        """Open the federation, with its key, for an account that will pay stakes or bonds; refuse a
        contract that is not this package's program.
        """
        opened = self.open(keyed=True)
        account = open_account(keystore, password_file)
        created = opened.state.created
        creators = [] if created is None else [created.creator, created.meta.sender]
        require_shipped(opened.contract, self.deployers, [account.address, *creators])
        return opened, account


def placed(command: Callable[..., T]) -> Callable[..., T]:
    """Hand a command the options that name a federation as one `Place`."""
    names = {field.name for field in fields(Place)}

    @wraps(command)
    def called(*args: object, **given: object) -> T:
        place = {name: given.pop(name) for name in names & set(given)}
        return command(*args, place=Place(**place), **given)  # type: ignore[arg-type]

    return called


def controlled(federation: Federation | Holdings, account: Account) -> Participant:
    """Find the participant that an account controls."""
    for participant in federation.state.participants:
        if participant.controller == account.address:
            return participant
    raise FedNodeError(f"account {account.address} controls no participant of this federation")
