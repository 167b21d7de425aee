"""What can break around a federation: each fault strikes, and is healed.

A fault names the moment of a round at which it does most harm; the campaign of random faults lets
it strike at any other.
"""

import json
import shutil
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fednode.roles.journal import PUBLISHED
from fednode.roles.role import attempt
from fednode.testnet import Kubo, connect_all
from ledger.state import FederationState, Phase
from ledger.types import ParticipantId
from tests.chaos.siege import SITES, Siege, dropped, full_disk
from tests.e2e.processes import Command, wait_for

DAY = 86_400
LOOPBACK = "/ip4/127.0.0.0/ipcidr/8"
LEAST = 2
"""Updates that a round needs."""
TRYING = "trying again"
SPIKE = 10**13
"""Wei for a unit of gas, some ten thousand times what anvil starts with."""

Moment = Callable[[Siege, FederationState], bool]


class Fault(Protocol):
    """Something that goes wrong, and is mended."""

    @property
    def moment(self) -> Moment:
        """When it does most harm."""

    def strike(self, siege: Siege) -> None:
        """Let it happen."""

    def heal(self, siege: Siege) -> None:
        """Mend what a person has to mend; the rest is the nodes' own business."""


def committing(least: int) -> Moment:
    """Give the moment at which some have committed and the others have not."""
    return lambda siege, state: state.phase is Phase.COMMIT and _commits(siege, state) >= least


def _commits(siege: Siege, state: FederationState) -> int:
    """Count the commits of a round, those that still lie at the relay included."""
    if siege.relay is None:
        return state.round.slots
    journals = map(siege.journal, range(len(SITES)))
    return sum(j.marked(state.round.index, "commit-receipt") is not None for j in journals)


def lasts(fault: Fault) -> bool:
    """Whether a fault is to last until its round is over."""
    return bool(getattr(fault, "lasting", False))


NOBODY_YET, ONE_COMMIT, TWO_COMMITS = committing(0), committing(1), committing(2)


@dataclass(frozen=True)
class Killed:
    """SIGKILL, and started again."""

    victims: Callable[[Siege], Sequence[Command]]
    moment: Moment = NOBODY_YET

    def strike(self, siege: Siege) -> None:
        for command in self.victims(siege):
            command.kill()

    def heal(self, siege: Siege) -> None:
        for command in self.victims(siege):
            command.start()


@dataclass(frozen=True)
class KuboKilled:
    """A content store dies with what was published into it, and is connected again."""

    place: int
    moment: Moment = ONE_COMMIT

    def strike(self, siege: Siege) -> None:
        siege.kubos[self.place].kill()
        met = complaint(siege.participants[self.place])
        siege.wait(lambda state: met())

    def heal(self, siege: Siege) -> None:
        siege.kubos[self.place].start()
        connect_all(siege.kubos)


@dataclass(frozen=True)
class KuboPartitioned:
    """A content store runs, but hears nobody and is heard by nobody."""

    place: int
    moment: Moment = ONE_COMMIT

    def strike(self, siege: Siege) -> None:
        alone = siege.kubos[self.place]
        ask(alone, "filters/add", LOOPBACK)
        for other in siege.kubos:
            if other is not alone:
                ask(alone, "disconnect", f"/p2p/{other.peer_id()}")
        index, journal = siege.eye.state.round.index, siege.journal(self.place)
        siege.wait(lambda state: journal.marked(index, PUBLISHED) is not None)

    def heal(self, siege: Siege) -> None:
        ask(siege.kubos[self.place], "filters/rm", LOOPBACK)
        connect_all(siege.kubos)


def complaint(command: Command) -> Callable[[], bool]:
    """Give the condition that a node has met what was done to it, and said so, or is not there."""
    before = command.text.count(TRYING)
    return lambda: command.text.count(TRYING) > before or command.child.poll() is not None


def ask(kubo: Kubo, what: str, argument: str) -> None:
    """Tell a Kubo what to do with its connections."""
    url = f"{kubo.url}/api/v0/swarm/{what}?arg={argument}"
    with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=30) as answer:
        answer.read()


@dataclass
class ChainKilled:
    """The chain's node dies (SIGKILL) and comes back with an older state than it had: what was
    mined last is gone, as if the chain had been reorganised.
    """

    moment: Moment = ONE_COMMIT
    _now: int = 0

    def strike(self, siege: Siege) -> None:
        state = siege.anvil.state
        assert state is not None
        kept = state.with_suffix(".kept")
        wait_for(lambda: _copied(state, kept), siege.commands)
        self._now = siege.engine.chain.now()
        siege.anvil.kill()
        kept.replace(state)
        wait_for(complaint(siege.participants[0]), siege.commands)

    def heal(self, siege: Siege) -> None:
        siege.anvil.start(now=self._now)


def _copied(state: Path, kept: Path) -> bool:
    """Copy the chain's state, which its node writes again and again; say whether it was whole."""
    try:
        shutil.copyfile(state, kept)
        json.loads(kept.read_bytes())
    except (OSError, ValueError):
        return False
    return True


@dataclass
class Reorganised:
    """The chain forgets its last blocks, back to the first commit of the round, and goes on without
    what was in them.
    """

    moment: Moment = TWO_COMMITS

    def strike(self, siege: Siege) -> None:
        chain, commits = siege.engine.chain, siege.eye.state.round.commits
        first = min((commit.meta.block_number for commit in commits), default=chain.block_number())
        siege.anvil.rpc("evm_setAutomine", False)
        siege.anvil.rpc("anvil_reorg", chain.block_number() - first + 1, [])
        assert not any(chain.receipt(commit.meta.transaction) for commit in commits)

    def heal(self, siege: Siege) -> None:
        """Let blocks be made again; nodes see for themselves what is missing."""
        siege.anvil.rpc("evm_setAutomine", True)
        siege.anvil.rpc("evm_mine")


@dataclass(frozen=True)
class PriceSpike:
    """Blocks come to cost far more than what waits for them offers; the chain's node drops it."""

    moment: Moment = NOBODY_YET

    def strike(self, siege: Siege) -> None:
        siege.anvil.rpc("evm_setAutomine", False)
        siege.wait(lambda state: _waiting(siege) > 0)
        siege.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(SPIKE))
        siege.anvil.rpc("evm_mine")

    def heal(self, siege: Siege) -> None:
        """Let blocks be made again; their price falls as slowly as on any chain."""
        siege.anvil.rpc("evm_setAutomine", True)
        siege.anvil.rpc("evm_mine")


def _waiting(siege: Siege) -> int:
    status = siege.anvil.rpc("txpool_status")
    assert isinstance(status, dict)
    return int(status["pending"], 16)


@dataclass(frozen=True)
class Twins:
    """A participant's journal is copied and run twice, and so is its proposer."""

    place: int
    moment: Moment = NOBODY_YET
    lasting = True

    def strike(self, siege: Siege) -> None:
        journal = siege.folder / siege.sites[self.place]
        copy = siege.folder / f"{journal.name}-twin"
        shutil.rmtree(copy, ignore_errors=True)
        siege.participants[self.place].pause()
        shutil.copytree(journal, copy)
        siege.participants[self.place].resume()
        self.heal(siege)
        siege.guests = [siege.participant(self.place, copy)]
        siege.guests += [siege.proposer_of(self.place, "twin")]
        for guest in siege.guests:
            guest.start()

    def heal(self, siege: Siege) -> None:
        for guest in siege.guests:
            guest.kill()


@dataclass(frozen=True)
class MissedTurn:
    """Whose turn it is to propose is away until everybody may, and then all others do at once: of
    what waits for a block their chain's node tells them nothing.
    """

    moment: Moment = NOBODY_YET

    def strike(self, siege: Siege) -> None:
        round_ = siege.eye.state.round
        late = siege.proposers[(round_.index + round_.attempt) % len(SITES)]
        late.kill()
        others = [proposer for proposer in siege.proposers if proposer is not late]
        for other in others:
            other.environment["BLIND"] = ""
            other.start()
        state = siege.wait(lambda state: state.rounds[round_.index].closed is not None)
        if state.phase is Phase.PROPOSE:
            siege.anvil.rpc("evm_setAutomine", False)
            siege.engine.hurry(state.round.propose_deadline)
            siege.wait(lambda state: _waiting(siege) > 0)
            siege.anvil.rpc("evm_mine")
            siege.wait(lambda state: state.rounds[round_.index].attempt > 0)
            siege.wait(lambda state: _waiting(siege) >= len(others))
            siege.anvil.rpc("evm_mine")
            chain = siege.engine.chain
            found = sorted(receipt.status for receipt in chain.receipts(chain.newest().hash))
            assert siege.hasty or found == [0] * (len(others) - 1) + [1]
        late.start()

    def heal(self, siege: Siege) -> None:
        """Let blocks be made again, and give the proposers another chain's node."""
        siege.anvil.rpc("evm_setAutomine", True)
        siege.anvil.rpc("evm_mine")
        for proposer in siege.proposers:
            if proposer.environment.pop("BLIND", None) is not None:
                proposer.start()


@dataclass(frozen=True)
class Leaves:
    """A participant gives up its seat, as long as enough stay for a round."""

    place: int
    moment: Moment = NOBODY_YET

    def strike(self, siege: Siege) -> None:
        contract, state = siege.cast.contract, siege.eye.refresh()
        if sum(member.left_at is None for member in state.participants) > LEAST:
            account, seat = siege.engine.accounts[1 + self.place], ParticipantId(self.place)
            attempt("left", lambda: contract.leave(account, siege.federation, seat))

    def heal(self, siege: Siege) -> None:
        """Nothing: it is not coming back."""


@dataclass(frozen=True)
class Skewed:
    """One wall clock is a day ahead, one is a day behind, and the chain's own agrees with neither:
    it has jumped by many windows.
    """

    moment: Moment = NOBODY_YET
    lasting = True

    def strike(self, siege: Siege) -> None:
        for command, skew in (siege.proposers[-1], DAY), (siege.participants[0], -DAY):
            command.environment["SKEW"] = str(skew)
            command.start()

    def heal(self, siege: Siege) -> None:
        """Nothing: they go on like that."""


@dataclass(frozen=True)
class DiskFull:
    """A participant's disk is full; with room it is started again."""

    place: int
    moment: Moment = NOBODY_YET

    def strike(self, siege: Siege) -> None:
        command = siege.participants[self.place]
        command.down = True
        full_disk(command).touch()
        siege.wait(lambda state: command.child.poll() is not None)
        if siege.hasty and command.child.poll() in (None, 0):
            return  # it had nothing to write
        assert command.child.poll() == 1, str(command)
        last = str(command).splitlines()[-1]
        assert last.startswith("error: journal "), last
        assert "No space left on device" in last
        journal = siege.journal(self.place).folder
        assert not [path for path in journal.rglob("*") if ".new" in path.name]

    def heal(self, siege: Siege) -> None:
        command = siege.participants[self.place]
        full_disk(command).unlink()
        command.start()


@dataclass(frozen=True)
class RelayDiskFull:
    """The relay's disk is full for a round, and nobody does anything about it."""

    moment: Moment = NOBODY_YET
    lasting = True

    def strike(self, siege: Siege) -> None:
        if siege.relay is not None:
            full_disk(siege.relay).touch()

    def heal(self, siege: Siege) -> None:
        if siege.relay is not None:
            assert siege.hasty or "journal" in siege.relay.text
            full_disk(siege.relay).unlink()


@dataclass
class RelayDrops:
    """The relay gives its word for a participant's commit, and leaves it out of its batch."""

    place: int
    moment: Moment = NOBODY_YET
    lasting = True
    _round: int = 0

    def strike(self, siege: Siege) -> None:
        assert siege.relay is not None
        self._round = siege.eye.state.round.index
        dropped(siege.relay).write_text(str(self.place))

    def heal(self, siege: Siege) -> None:
        """See that the participant has the relay's word, and committed by itself."""
        assert siege.relay is not None
        dropped(siege.relay).unlink()
        round_ = siege.eye.refresh().rounds[self._round]
        assert siege.journal(self.place).marked(self._round, "commit-receipt") is not None
        assert round_.batched == len(SITES) - 1
        assert [commit.participant for commit in round_.commits] == [self.place]
