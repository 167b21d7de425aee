"""A small federation whose nodes, relay, stores and chain are processes, and that is under attack.

It is founded in the test's own process, since that is not what is attacked; everything after that
is done by `fednode` processes.
"""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fednode.federation import Federation
from fednode.roles.journal import PUBLISHED
from fednode.testnet import Anvil, Kubo, free_port
from ledger.proceedings import Outcome
from ledger.state import FederationState, Phase
from ledger.stores import open_store
from tests.chaos.books import Books
from tests.e2e.processes import Command, Network, Nodes
from tests.engines import Engine
from tests.federations import Cast, Stage, found, let_time_pass, policy_of

FAULTY = Path(__file__).with_name("faulty")
SITES = ("cleveland", "budapest", "zurich")
RELAY = 5
Condition = Callable[[FederationState], bool]
PATIENCE = 30.0
"""Seconds that a random fault may take to show."""
QUIET = 4.0
"""Seconds without news after which time jumps to the next moment at which something is due."""

MILLI = 10**15
"""A thousandth of an ether, in wei."""

WINDOWS = {
    "commit": 3600,
    "batch": 1800,
    "reveal": 1200,
    "propose": 1200,
    "attest": 2400,
    "challenge": 7300,
    "answer": 600,
    "idle": 90_000,
    "unbonding": 2400,
    "attempts": 4,
}
PRICES = {
    "stake": str(50 * MILLI),
    "proposer_bond": str(20 * MILLI),
    "challenge_bond": str(10 * MILLI),
    "rejection_fee": str(1 * MILLI),
    "unavailable_fee": str(2 * MILLI),
}
FEES = {"proposer": str(3 * MILLI), "attester": str(1 * MILLI), "relay": str(4 * MILLI)}


def full_disk(command: Command) -> Path:
    """Name the file whose presence fills the disk of a process."""
    return command.path.with_suffix(".full")


def dropped(relay: Command) -> Path:
    """Name the file with the number of the participant that a relay leaves out."""
    return relay.path.with_suffix(".dropped")


class Siege(Nodes):
    """Three hospitals, each with a Kubo and a proposer of its own; commits and votes go through a
    relay if there is one.
    """

    def __init__(self, folder: Path, network: Network, *, rounds: int, relayed: bool) -> None:
        super().__init__(folder, network, SITES)
        self.hasty = False
        self.relay: Command | None = None
        self.guests: list[Command] = []
        self.books = Books(network.engine)
        self._news = (b"", 0.0)
        self.cast = self._found(rounds, relayed=relayed)
        self.environment["FEDNODE_LEDGER"] = str(self.cast.contract.address)
        self.environment["FEDNODE_FEDERATION"] = self.cast.federation.hex()
        if relayed:
            self.relay = self._relay()
        self.enlist(range(len(SITES)))
        self.eye = self.view()

    def _found(self, rounds: int, *, relayed: bool) -> Cast:
        accounts = self.network.engine.accounts
        policy = policy_of(
            "heart",
            federation={
                "start_participants": len(SITES),
                "max_participants": len(SITES),
                "quorum": "0.6",
                **({"relay": accounts[RELAY].address} if relayed else {}),
            },
            data={"sites": list(SITES)},
            training={"rounds": rounds, "epochs": 1},
            stake=PRICES,
            fees=FEES if relayed else {**FEES, "relay": "0"},
            windows={**WINDOWS, "batch": WINDOWS["batch"] if relayed else 0},
        )
        stores = [open_store(url) for _, url in self.network.stores]
        return found(Stage(self.network.engine, stores, self.folder), policy)

    def _relay(self) -> Command:
        port = str(free_port())
        self.environment["FEDNODE_RELAY"] = f"http://127.0.0.1:{port}"
        place = (*self.account(RELAY), *self.content(0), "--journal", self.folder / "relay")
        made = self.node("relay", "relay", *place, "--port", port)
        made.environment["DROPPED"] = str(dropped(made))
        return made

    @property
    def residents(self) -> list[Command]:
        """Give the processes that are there from the beginning."""
        return [*super().commands, *([self.relay] if self.relay else [])]

    @property
    def commands(self) -> list[Command]:
        """Give all long-lived processes."""
        return [*self.residents, *self.guests]

    @property
    def engine(self) -> Engine:
        """Give the chain, with its accounts."""
        return self.network.engine

    @property
    def slowest(self) -> Command:
        """Give the participant that a test holds up, so that a round's last commit is missing."""
        return self.participants[-1]

    @property
    def anvil(self) -> Anvil:
        """Give the chain's node."""
        assert self.network.anvil is not None
        return self.network.anvil

    @property
    def kubos(self) -> Sequence[Kubo]:
        """Give the content stores' nodes."""
        return self.network.kubos

    def node(self, command: str, name: str, *arguments: str | Path) -> Command:
        """Make a long-lived process on a machine that may become faulty."""
        made = super().node(command, name, *arguments)
        path = os.pathsep.join([str(FAULTY), os.environ.get("PYTHONPATH", "")])
        made.environment |= {"PYTHONPATH": path, "FULL_DISK": str(full_disk(made))}
        return made

    def until(
        self, view: Federation, condition: Condition, *, hold: bool = False
    ) -> FederationState:
        """Wait until the federation is in a state. On hold, too, a commit phase ends in which
        everybody has committed: those that go through a relay wait for nothing else.
        """

        def met(state: FederationState) -> bool:
            found = condition(state)
            if not found and state.phase is Phase.COMMIT and state.round.slots == len(SITES):
                self.engine.hurry(state.round.commit_deadline)
            return found

        return super().until(view, met, hold=hold)

    def hurry(self, view: Federation, state: FederationState) -> None:
        """Go to the next moment at which something is due once there was no news for a while."""
        now = time.monotonic()
        if state.h != self._news[0]:
            self._news = (state.h, now)
        elif now - self._news[1] > QUIET:
            let_time_pass(self.cast.stage, state)
            self._news = (state.h, now)

    def hasten(self) -> None:
        """Let time go on, whatever nodes miss; who starts while chain or store are down is started
        again.
        """
        self.hasty = True
        for command in self.commands:
            command.supervised = True

    def wait(self, condition: Condition) -> FederationState:
        """Wait until the federation is in a state, and keep the chain's time from going on: nodes
        that miss something have all the time in the world to make it good. In a campaign at random
        time goes on, and nothing is waited for for long.
        """
        if not self.hasty:
            return self.until(self.eye, condition, hold=True)
        end = time.monotonic() + PATIENCE
        return self.until(
            self.eye,
            lambda state: condition(state) or state.settled or time.monotonic() > end,
        )

    def finish(self) -> FederationState:
        """Let time go on until the federation has settled."""
        return self.until(self.eye, lambda state: state.settled)

    def through(self, index: int) -> None:
        """Wait until a round has a result in which everybody's update counts. The slowest
        participant stops before the next round opens; the others are enough to vote.
        """
        journal = self.journal(len(SITES) - 1)
        self.wait(lambda state: journal.marked(index, PUBLISHED) is not None)
        self.slowest.pause()
        state = self.wait(lambda state: state.rounds[index].outcome is Outcome.ACCEPTED)
        (accepted,) = (a for a in state.lineage if a.round == index)
        assert self.eye.replica.reader(accepted).header.number == len(SITES)
