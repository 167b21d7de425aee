"""A small world for the command: a chain, a directory of blocks, keystores, two federations.

Everything in it was made by the command itself, but for the rounds, which are played in the test's
own process: no torch, and time jumps instead of passing.
"""

import json
import os
import random
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from click.testing import CliRunner, Result

from fednode.cli import main
from fednode.federation import Federation
from fednode.roles.journal import Journal
from fednode.roles.participant import Participant
from fednode.roles.proposer import Proposer
from fednode.roles.role import Progress, Role
from fednode.roles.trainer import Trainer
from fednode.site import load_site, open_sites
from fednode.testnet import ANVIL_KEYS, Anvil
from fednode.training.task import open_task
from ledger.chain.accounts import Account, create_keystore, from_key
from ledger.chain.client import Chain
from ledger.chain.federations import Federations
from ledger.sealing import NO_KEYS, Vault
from ledger.stores import DirectoryStore
from ledger.types import FederationId
from tests.federations import GivenTask

PASSWORD = "testnet"
SITES = ("north", "south")
AGE = {"north": 1 << 20, "south": -(1 << 18)}
CREATOR, NORTH, SOUTH, STRANGER = 0, 1, 2, 5

POLICY = """
release = "best"

[federation]
name = "Two sites"
open = {open}
start_participants = 2
max_participants = 3
quorum = 1

[task]
model = "logistic"

[schema]
kind = "table"

[[schema.columns]]
name = "age"
type = "numeric"
range = [0, 120]

[[schema.columns]]
name = "kind"
type = "category"
codes = ["a", "b"]

[schema.label]
column = "sick"
codes = {{ no = 0, yes = 1 }}

[data]
source = "csv"
path = "{{site}}.csv"
public = true
sites = ["north", "south"]

[training]
rounds = 1

[evaluation]
mode = "public"
metric = "accuracy"

[valuation]
kind = "leave-one-out"

[reward]
pool = "1 ether"
target = 1

[stake]
stake = 5
proposer_bond = 7

[windows]
commit = 600
reveal = 60
propose = 60
attest = 60
challenge = 90
idle = 3600
"""


@dataclass(frozen=True, slots=True)
class Desk:
    """A folder in which somebody runs commands, and the variables that are set there."""

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def run(self, line: str, **variables: str | None) -> Result:
        """Run a command; `@name` in it stands for a file of the folder."""
        words = [
            str(self.folder / word[1:]) if word.startswith("@") else word
            for word in shlex.split(line)
        ]
        unset = {name: None for name in os.environ if name.startswith("FEDNODE_")}
        return CliRunner().invoke(
            main, words, env={**unset, **self.variables, **variables}, input=""
        )

    def ask(self, line: str, **variables: str | None) -> dict[str, object]:
        """Run a command that must succeed; give its JSON."""
        result = self.run(f"{line} --json", **variables)
        assert result.exit_code == 0, result.stderr
        answer = json.loads(result.stdout)
        assert isinstance(answer, dict)
        return answer


def require_one_line(result: Result, code: int, *words: str) -> None:
    """Require that a command failed as commands fail: one line that says what was wrong."""
    assert result.exit_code == code, (result.stdout, result.stderr)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    last = result.stderr.splitlines()[-1]
    assert last.lower().startswith("error: ")
    if code != 2:
        assert result.stderr.count("\n") == 1, result.stderr
    assert [word for word in words if word not in last] == [], last


@dataclass(frozen=True, slots=True)
class World:
    """Federation `ended` is over and settled, `forming` waits for participants by invitation."""

    desk: Desk
    anvil: Anvil
    ended: str
    forming: str
    trust: str


def key(number: int) -> Account:
    """Give one of the accounts that have money from the start."""
    return from_key(ANVIL_KEYS[number])


def write_site(path: Path, seed: int, rows: int = 60) -> None:
    """Write a site's file of made-up rows, whose label follows from the age."""
    rng = random.Random(seed)
    lines = ["age,kind,sick"]
    for _ in range(rows):
        age = rng.randrange(120)
        lines.append(f"{age},{rng.choice('ab')},{'yes' if age > 60 else 'no'}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def build(folder: Path, anvil: Anvil) -> World:
    """Make the world; everything by the command, but for the rounds."""
    (folder / "password").write_text(PASSWORD, encoding="utf-8")
    for number in range(6):
        create_keystore(folder / f"{number}.json", PASSWORD, account=key(number), light=True)
    for seed, site in enumerate(SITES):
        write_site(folder / f"{site}.csv", seed)
    (folder / "open.toml").write_text(POLICY.format(open="true"), encoding="utf-8")
    (folder / "policy.toml").write_text(POLICY.format(open="false"), encoding="utf-8")
    variables = {
        "FEDNODE_RPC": anvil.url,
        "FEDNODE_STORE": str(folder / "store"),
        "FEDNODE_DATA": str(folder),
        "FEDNODE_PUBLIC_ROWS": "1",
        "FEDNODE_PASSWORD_FILE": str(folder / "password"),
    }
    desk = Desk(folder, variables)
    variables["FEDNODE_LEDGER"] = str(desk.ask("deploy --account @0.json")["ledger"])
    ended = str(desk.ask("create --account @0.json --policy @open.toml")["federation"])
    forming = str(desk.ask("create --account @0.json --policy @policy.toml")["federation"])
    variables["FEDNODE_FEDERATION"] = ended
    for number, site in enumerate(SITES, start=NORTH):
        desk.ask(f"join --account @{number}.json --site {site} --name {site} --journal @j/{site}")
    play(desk, anvil)
    result = desk.run("audit --html @report.html --write-bundle @bundle.car")
    assert result.exit_code == 0, result.output
    return World(desk, anvil, ended, forming, result.stdout.split()[-1])


def play(desk: Desk, anvil: Anvil, vaults: Mapping[str, Vault] | None = None) -> None:
    """Play the federation until all has settled; time jumps when everybody waits.

    The first site's update is right about the age, the other's wrong: so the first is paid.
    """
    chain = Chain.connect(anvil.url)
    contract = Federations(chain, desk.variables["FEDNODE_LEDGER"])
    federation = FederationId(bytes.fromhex(desk.variables["FEDNODE_FEDERATION"]))
    store = DirectoryStore(desk.folder / "store")
    roles: list[Role] = []
    for number, site in enumerate(SITES, start=NORTH):
        vault = (vaults or {}).get(site, NO_KEYS)
        view = Federation(contract, federation, store, vault=vault)
        source = open_sites(view.policy, desk.folder, public_rows=True)
        rows = load_site(view.policy, source, site)
        layout = view.rulebook.layout
        update = layout.pack_update({"weight": np.array([[AGE[site], 0, 0]], dtype=np.int32)})
        task = GivenTask(open_task(view.policy.model_spec), layout, {(1, number - 1): update})
        journal = Journal(desk.folder / "j" / site, federation)
        roles.append(Participant(view, key(number), Trainer(task, rows.train, rows.shard), journal))
        other = Federation(contract, federation, store, vault=vault)
        roles.append(Proposer(other, key(number)))
    for _ in range(200):
        progress = {role.step() for role in roles}
        if progress == {Progress.DONE}:
            return
        if Progress.ACTED not in progress:
            anvil.rpc("evm_increaseTime", 10)
            anvil.rpc("evm_mine")
    raise AssertionError("the federation did not end")
