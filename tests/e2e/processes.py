"""FedNode's commands as processes on real engines, and a hand on the chain's clock.

Nobody waits for a window to run out: as soon as nodes can only wait, the chain's time jumps. So
windows may be as long as a busy machine needs, and what happens does not depend on how fast it is.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Self

from fednode.federation import Federation
from fednode.policy import Policy, built_in, load_policy
from fednode.roles.journal import PUBLISHED, Journal
from fednode.roles.role import PASSING
from fednode.testnet import (
    ANVIL_KEYS,
    Anvil,
    EngineMissing,
    Kubo,
    connect_all,
    find_anvil,
    find_kubo,
    free_port,
)
from ledger.chain.accounts import create_keystore, from_key
from ledger.chain.client import Chain
from ledger.chain.federations import Federations
from ledger.proceedings import Outcome
from ledger.state import FederationState, Phase
from ledger.stores import ContentStore, open_store
from ledger.types import FederationId
from tests.engines import Engine, embedded, keys, missing
from tests.federations import Stage, Story, found, one_thread, peers, play, story

SITES = ("cleveland", "budapest", "zurich", "long-beach")
PROPOSER = 0
PASSWORD = "testnet"
FEDNODE = Path(sys.executable).with_name("fednode")
LIMIT = 240.0
"""Seconds that anything may take on a machine that is busy with other tests."""

OUTAGES = ("does not answer", "is unreachable", "check --ipfs or --store")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def write_policy(path: Path, *, rounds: int, sites: Sequence[str] = SITES, windows: str) -> Policy:
    """Write the heart policy for other rounds, sites and windows."""
    old = built_in("heart")
    text = _source("heart").partition("[windows]")[0]
    changes = {
        f"rounds = {old.training.rounds}": f"rounds = {rounds}",
        f"start_participants = {len(SITES)}": f"start_participants = {len(sites)}",
        f"max_participants = {len(SITES)}": f"max_participants = {len(sites)}",
        f"quorum = {old.federation.quorum}": "quorum = 0.75",
        f"sites = {json.dumps(SITES)}": f"sites = {json.dumps(sites)}",
    }
    for before, after in changes.items():
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    path.write_text(f"{text}[windows]\n{windows}\n", encoding="utf-8")
    return load_policy(path)


def _source(name: str) -> str:
    return (resources.files("fednode") / "policies" / f"{name}.toml").read_text("utf-8")


class Command:
    """A command that runs on its own until it is stopped."""

    def __init__(self, log: Path, environment: dict[str, str], *arguments: str | Path) -> None:
        self.path = log
        self.down = True
        """Whether it is not expected to run: a test has killed it, or will have it end."""
        self.supervised = False
        """Whether it is started again where it found no chain or store: a service manager would."""
        self._arguments = [str(FEDNODE), *map(str, arguments)]
        self.environment = {**os.environ, **ONE_THREAD, **environment}
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it, or start it again: there is only one of it."""
        self.kill()
        self.down = False
        with self.path.open("ab") as output:
            self._child = subprocess.Popen(
                self._arguments,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self.environment,
                start_new_session=True,
            )
        atexit.register(self.kill)
        return self

    @property
    def child(self) -> subprocess.Popen[bytes]:
        """Give the running or ended process."""
        assert self._child is not None
        return self._child

    def pause(self) -> None:
        """Hold it where it is (SIGSTOP)."""
        self.child.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        self.child.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self.down = True
        if self._child is not None:
            self._child.kill()
            self._child.wait()

    def stop(self) -> None:
        """Ask it to end, and see that it does."""
        if self._child is None or self._child.poll() is not None:
            return
        self._child.terminate()
        try:
            self._child.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()

    def check(self) -> None:
        """Fail with its last words if it ended with an error, and was to run."""
        if self.down or not self.child.poll():
            return
        if self.supervised and any(sign in str(self).splitlines()[-1] for sign in OUTAGES):
            self.start()
        else:
            raise AssertionError(f"{self._arguments[1]} ended with {self.child.returncode}\n{self}")

    def result(self) -> dict[str, object]:
        """Wait for its end and read the JSON object that it printed last."""
        assert self.child.wait(LIMIT) == 0, str(self)
        found: dict[str, object] = json.loads(self.text[self.text.rindex("\n{") :])
        return found

    @property
    def text(self) -> str:
        """Read all that it has printed and logged."""
        return self.path.read_text("utf-8", errors="replace")

    def __str__(self) -> str:
        return "\n".join(self.text.splitlines()[-30:])


@dataclass(frozen=True, slots=True)
class Network:
    """Engines that run: a chain, a content store per participant and one for everybody else.

    Stores are written as a command's options.
    """

    engine: Engine
    stores: tuple[tuple[str, str], ...]
    accounts: Path
    password: Path
    anvil: Anvil | None = None
    kubos: tuple[Kubo, ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        """Give what all commands are told."""
        rpc = self.engine.chain.endpoint
        own = {"FEDNODE_PASSWORD_FILE": str(self.password), "FEDNODE_PUBLIC_ROWS": "1"}
        return {"FEDNODE_RPC": rpc, **own}


@contextmanager
def local_testnet(folder: Path, *, kubo: int) -> Iterator[Network]:
    """Run `fednode testnet`."""
    try:
        find_anvil()
        find_kubo()
    except EngineMissing as error:
        missing(error)
    arguments = ("--directory", folder, "--port", str(free_port()), "--kubo", str(kubo), "--json")
    command = Command(folder.with_suffix(".log"), {}, "testnet", *arguments).start()
    try:
        wait_for(lambda: "password_file" in command.path.read_text("utf-8"), [command])
        told = json.loads(command.path.read_text("utf-8"))
        yield Network(
            engine=on_chain("anvil", told["rpc"]),
            stores=tuple(("--ipfs", url) for url in told["ipfs"]),
            accounts=Path(told["accounts"]),
            password=Path(told["password_file"]),
        )
    finally:
        command.stop()


@contextmanager
def engines(folder: Path, *, kubo: int) -> Iterator[Network]:
    """Run the engines of a testnet one by one, so that a test can kill any of them."""
    with ExitStack() as running:
        try:
            anvil = running.enter_context(
                Anvil(folder / "anvil", state=folder / "anvil-state.json").start()
            )
            nodes = [Kubo(folder / f"kubo-{i}") for i in range(kubo)]
            for node in nodes:
                running.callback(node.stop)
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda node: node.start(), nodes))
        except EngineMissing as error:
            missing(error)
        connect_all(nodes)
        write_accounts(folder)
        yield Network(
            engine=on_chain("anvil", anvil.url),
            stores=tuple(("--ipfs", node.url) for node in nodes),
            accounts=folder / "accounts",
            password=folder / "password",
            anvil=anvil,
            kubos=tuple(nodes),
        )


def on_chain(name: str, url: str) -> Engine:
    """Connect to a chain's node."""
    return Engine(name, Chain.connect(url), keys())


def write_accounts(folder: Path) -> None:
    """Write the keystores of anvil's accounts, whose keys everybody knows."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "password").write_text(PASSWORD)
    for place, key in enumerate(ANVIL_KEYS[:6]):
        path = folder / "accounts" / f"{place}.json"
        create_keystore(path, PASSWORD, account=from_key(key), light=True)


def wait_for(
    condition: Callable[[], bool], commands: Sequence[Command], *, limit: float = LIMIT
) -> None:
    """Wait until a condition holds; fail as soon as one of the commands does."""
    end = time.monotonic() + limit
    while not condition():
        for command in commands:
            command.check()
        if time.monotonic() > end:
            logs = "\n\n".join(f"--- {command.path.name}\n{command}" for command in commands)
            raise AssertionError(f"not in {limit:.0f} s\n{logs}")
        time.sleep(0.1)


class Nodes(ABC):
    """A federation's long-lived processes, a participant a site and some proposers, and what a test
    sees of it. Account 0 is the creator's, 1 and on are the hospitals'.
    """

    def __init__(self, folder: Path, network: Network, sites: Sequence[str]) -> None:
        self.folder = folder
        self.network = network
        self.sites = sites
        self.environment = network.environment
        self.participants: list[Command] = []
        self.proposers: list[Command] = []
        folder.mkdir(parents=True, exist_ok=True)

    def account(self, place: int) -> tuple[str, Path]:
        """Name a keystore; 0 is the creator's, 1 and on are the hospitals'."""
        return "--account", self.network.accounts / f"{place}.json"

    def content(self, place: int) -> tuple[str, str]:
        """Name a content store; the last one is nobody's own."""
        return self.network.stores[place % len(self.network.stores)]

    def site(self, place: int, journal: Path | None = None) -> tuple[str | Path, ...]:
        """Name a hospital's site and journal."""
        folder = self.folder / self.sites[place] if journal is None else journal
        return "--site", self.sites[place], "--public-rows", "--journal", folder

    # -- what a user types

    def run(self, command: str, *arguments: str | Path) -> dict[str, object]:
        """Run a command to its end and read what it printed."""
        code, found = self.attempt(command, *arguments)
        assert code == 0, found
        return found

    def attempt(self, command: str, *arguments: str | Path) -> tuple[int, dict[str, object]]:
        """Run a command to its end, whatever that is."""
        done = subprocess.run(
            [str(FEDNODE), *command.split(), *map(str, arguments), "--json"],
            env={**os.environ, **ONE_THREAD, **self.environment},
            capture_output=True,
            check=False,
            timeout=LIMIT,
        )
        if not done.stdout:
            raise AssertionError(f"fednode {command}: {done.stderr.decode(errors='replace')}")
        found: dict[str, object] = json.loads(done.stdout)
        return done.returncode, found

    # -- what runs

    def enlist(self, proposing: Sequence[int]) -> None:
        """Make all long-lived processes; `proposing` are the hospitals that propose, too."""
        self.participants = [self.participant(place) for place in range(len(self.sites))]
        self.proposers = [self.proposer_of(place) for place in proposing]

    @property
    def commands(self) -> list[Command]:
        """Give all long-lived processes."""
        return [*self.participants, *self.proposers]

    @contextmanager
    def started(self) -> Iterator[None]:
        """Start all of them, and end them whatever happens."""
        try:
            for command in self.commands:
                command.start()
            yield
        finally:
            for command in self.commands:
                command.kill()

    def participant(self, place: int, journal: Path | None = None) -> Command:
        """Make a participant's process."""
        name = self.sites[place] if journal is None else journal.name
        return self.node(
            "participant",
            name,
            *self.account(1 + place),
            *self.content(place),
            *self.site(place, journal),
        )

    def proposer_of(self, place: int, name: str = "proposer") -> Command:
        """Make a proposer's process."""
        return self.node("proposer", f"{name}-{place}", *self.account(1 + place), *self.content(-1))

    def node(self, command: str, name: str, *arguments: str | Path) -> Command:
        """Make a long-lived process."""
        log = self.folder / f"{name}.log"
        return Command(log, self.environment, command, *arguments, "--poll", "0.2", "--json")

    # -- what the test sees

    def view(self) -> Federation:
        """Read the federation as anybody can."""
        chain = self.network.engine.chain
        contract = Federations(chain, self.environment["FEDNODE_LEDGER"])
        return Federation(contract, self.federation, self.store(-1))

    def store(self, place: int) -> ContentStore:
        """Open one of the content stores."""
        return open_store(self.content(place)[1])

    def journal(self, place: int) -> Journal:
        """Look into a hospital's journal."""
        return Journal(self.folder / self.sites[place], self.federation)

    @property
    def federation(self) -> FederationId:
        """Give the federation's id."""
        return FederationId(bytes.fromhex(self.environment["FEDNODE_FEDERATION"]))

    def until(
        self, view: Federation, condition: Callable[[FederationState], bool], *, hold: bool = False
    ) -> FederationState:
        """Wait until the federation is in a state; time jumps where nodes can only wait, unless it
        is on hold.
        """

        def reached() -> bool:
            try:
                state = view.refresh()
            except PASSING:
                return False
            if condition(state):
                return True
            if not hold:
                self.hurry(view, state)
            return False

        wait_for(reached, self.commands)
        return view.state

    @abstractmethod
    def hurry(self, view: Federation, state: FederationState) -> None:
        """Let time jump if nobody has anything to do."""


class Town(Nodes):
    """A federation whose every part is a process. The first account's hospital also proposes."""

    def __init__(self, folder: Path, network: Network, policy: Path) -> None:
        super().__init__(folder, network, load_policy(policy).data.sites)
        self._policy = policy
        self._jumps: set[int] = set()

    def found(self) -> None:
        """Deploy, create, ask, invite, join."""
        everybody = self.content(-1)
        self.environment["FEDNODE_LEDGER"] = str(self.run("deploy", *self.account(0))["ledger"])
        created = self.run("create", "--policy", self._policy, *self.account(0), *everybody)
        self.environment["FEDNODE_FEDERATION"] = str(created["federation"])
        with ThreadPoolExecutor(2) as pool:
            invitations = list(pool.map(self._invited, range(len(self.sites))))
        for place, invitation in enumerate(invitations):
            joined = self.run("join", *self._joining(place), "--invitation", invitation)
            assert joined["participant"] == place

    def _invited(self, place: int) -> Path:
        request, invitation = (self.folder / f"{kind}-{place}.json" for kind in ("ask", "invite"))
        self.run("join", *self._joining(place), "--request", request)
        self.run("invite", request, *self.account(0), "--out", invitation)
        return invitation

    def _joining(self, place: int) -> tuple[str | Path, ...]:
        name = f"Hospital {self.sites[place]}"
        member = (*self.account(1 + place), *self.content(place), *self.site(place))
        return (*member, "--name", name, "--policy", self._policy)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start everybody's long-lived processes, and end them whatever happens."""
        self.enlist([PROPOSER])
        with self.started():
            yield

    @property
    def proposer(self) -> Command:
        """Give the only proposer."""
        return self.proposers[0]

    def hurry(self, view: Federation, state: FederationState) -> None:
        """Jump to the next deadline where nodes can only wait for it."""
        deadline = state.deadline
        if deadline is None or not (self.only_waiting(view, state) or state.ended is not None):
            return
        if deadline not in self._jumps:
            self._jumps.add(deadline)
            self.network.engine.hurry(deadline)

    def only_waiting(self, view: Federation, state: FederationState) -> bool:
        """Whether all updates are published and it is the turn of one that runs no proposer."""
        if state.phase is not Phase.PROPOSE:
            return False
        turn = state.in_turn(state.round)
        if turn is None or turn.index == PROPOSER:
            return False
        index = state.round.index
        committed = [commit.participant for commit in state.round.commits]
        if not all(self.journal(place).marked(index, PUBLISHED) for place in committed):
            return False
        return all(published.final for published in map(view.published, state.round.commits))


def in_one_process(policy: Policy, folder: Path) -> Story:
    """Play a federation in this process on py-evm, training as the processes do."""
    cast = found(Stage(embedded(), peers(len(policy.data.sites)), folder), policy)
    roles = cast.roles(train=True)
    with one_thread():
        play(cast, lambda: roles)
    return story(cast.hospitals[0].view())


def check_results(town: Town, view: Federation, expected: Story) -> None:
    """Every round had everybody's update, once, and came to what it comes to in one process."""
    everybody = list(range(len(town.sites)))
    for round_ in view.state.rounds:
        assert sorted(commit.participant for commit in round_.commits) == everybody
        assert round_.outcome is Outcome.ACCEPTED
    assert len(view.state.rounds) == len(expected.models)
    told = story(view)
    assert told.models == expected.models
    assert told.utilities == expected.utilities
    assert told.values == expected.values
    assert told.payouts == expected.payouts
    released = [command.result() for command in town.participants]
    assert {report["model_digest"] for report in released} == {expected.models[-1]}
