"""Where the demo plays: the one place that knows whether engines are embedded or real.

On the embedded chain everybody gets a fresh account and time jumps over quiet phases. On a real
node a paying account creates the federation and funds four hospitals, whose keys are kept as
keystores beside the results, because money may be left on them; anvil's own chain has accounts that
everybody knows. Voting and challenging are short there, since nobody can jump.
"""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fednode.demo.options import DemoOptions
from fednode.errors import FedNodeError
from fednode.files import write_new
from fednode.policy import Policy, built_in
from fednode.policy.sections import FETCHES
from fednode.policy.worst import QUARTERS, turns
from fednode.testnet import ANVIL_KEYS
from ledger.chain.accounts import (
    Account,
    create_keystore,
    from_key,
    load_keystore,
    new_account,
    read_password,
)
from ledger.chain.client import Chain
from ledger.chain.types import Receipt
from ledger.stores import ContentStore, open_store
from ledger.types import Wei
from ledger.urls import shown

ANVIL_CHAIN_ID = 31337
REST = 0.1
SAFETY = 4


@dataclass(frozen=True, slots=True)
class Stage:
    """Engines and accounts, one account and one content store per hospital."""

    chain: Chain
    creator: Account
    hospitals: tuple[Account, ...]
    locations: tuple[str, ...]
    embedded: bool
    token: str | None = field(default=None, repr=False)

    def store(self, place: int) -> ContentStore:
        """Open the content store of a hospital anew; the creator and the auditor use the first."""
        return open_store(self.locations[place % len(self.locations)], token=self.token)

    def rest(self, moment: int | None) -> None:
        """Let time pass while nobody has anything to do, until a moment if there is one."""
        if self.embedded and moment is not None:
            self.chain.wait_until(moment)
        else:
            time.sleep(REST)

    @property
    def chain_name(self) -> str:
        """Name the chain for people."""
        return "py-evm in this process" if self.embedded else self.chain.endpoint

    @property
    def content_name(self) -> str:
        """Name the content store for people."""
        return ", ".join(shown(place) if "://" in place else place for place in self.locations)

    def fund(self, policy: Policy, receipt: Receipt, gas_per_round: int) -> None:
        """Bring every hospital up to what its transactions and bonds may cost."""
        price = 2 * receipt.effective_gas_price
        rounds = policy.training.rounds + 1
        share = SAFETY * gas_per_round * rounds // len(self.hospitals)
        needed = share * price + policy.stake.proposer_bond * rounds + policy.stake.stake
        for hospital in self.hospitals:
            missing = needed - self.chain.balance(hospital.address)
            if missing > 0:
                self.chain.send(self.creator, hospital.address, value=Wei(missing))


def demo_policy(options: DemoOptions) -> Policy:
    """Give the heart policy with what the options change: rounds, seed, and windows on a node."""
    record = built_in("heart").rest_record()
    changes: list[tuple[str, str, int]] = [("training", "seed", options.seed)]
    if options.rounds is not None:
        changes.append(("training", "rounds", options.rounds))
    if options.rpc is not None:
        changes += _short_windows(options.window, turns=turns(built_in("heart")))
    for section, key, value in changes:
        table = record[section]
        assert isinstance(table, dict)
        table[key] = value
    data = record["data"]
    assert isinstance(data, dict)
    assert isinstance(data["split"], dict)
    data["split"]["seed"] = options.seed
    return Policy.from_record(record, source="the demo's policy")


def _short_windows(window: int, *, turns: int) -> list[tuple[str, str, int]]:
    """Give publishing, voting and challenging a window's time each. Challenging gets at least the
    four quarters that hold the `turns` of all nodes. The policy's time to fetch is for its own
    windows, so it is no longer than what follows from the short ones.
    """
    given = built_in("heart").windows
    windows = {
        "reveal": min(given.reveal, window),
        "attest": window,
        "challenge": max(window + 1, QUARTERS * turns),
        "fetch": min(given.fetching, max(1, window // FETCHES)),
    }
    return [("windows", key, seconds) for key, seconds in windows.items()]


def open_stage(options: DemoOptions, sites: Sequence[str]) -> Stage:
    """Start or connect to the engines; raise where nobody could pay."""
    locations = options.ipfs or (str(options.directory / "blocks"),)
    if options.rpc is None:
        accounts = [new_account() for _ in range(len(sites) + 1)]
        chain = Chain.embedded([account.address for account in accounts])
        hospitals = tuple(accounts[1:])
        return Stage(chain, accounts[0], hospitals, locations, embedded=True, token=options.token)
    chain = Chain.connect(options.rpc)
    if options.account is not None:
        hospitals = _kept_accounts(options.directory / "keystores", sites)
        creator = options.account
        return Stage(chain, creator, hospitals, locations, embedded=False, token=options.token)
    if chain.chain_id != ANVIL_CHAIN_ID or len(sites) >= len(ANVIL_KEYS):
        raise FedNodeError(
            f"the chain at {chain.endpoint} has id {chain.chain_id}: give --account, a keystore "
            "that pays for the demo (only an anvil with its own id 31337 needs none)"
        )
    known = [from_key(key) for key in ANVIL_KEYS[: len(sites) + 1]]
    hospitals = tuple(known[1:])
    return Stage(chain, known[0], hospitals, locations, embedded=False, token=options.token)


def _kept_accounts(folder: Path, sites: Sequence[str]) -> tuple[Account, ...]:
    """Open the hospitals' keystores, or make them at the first run.

    A light key derivation is enough for a password of 128 random bits.
    """
    password_file = folder / "password"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not password_file.exists():
            write_new(password_file, secrets.token_hex(16).encode(), private=True)
    except OSError as error:
        raise FedNodeError(f"{folder} cannot be written: {error.strerror}") from None
    password = read_password(password_file)
    return tuple(_kept(folder / f"{site}.json", password) for site in sites)


def _kept(path: Path, password: str) -> Account:
    return (
        load_keystore(path, password)
        if path.exists()
        else create_keystore(path, password, light=True)
    )
