"""Roles on the slow reference of the contract: whole federations without a chain.

The nodes are the product's own; what they send goes to `World`, which has the contract's rules in
Python, and they follow the events that it emits.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from fednode.creation import plan
from fednode.evaluation.slices import SliceCommitment, Slices
from fednode.federation import Federation
from fednode.policy import Policy
from fednode.roles import turns
from fednode.roles.holder import Holder
from fednode.roles.journal import Journal
from fednode.roles.participant import Participant
from fednode.roles.proposer import Proposer
from fednode.roles.role import Progress, Role
from fednode.roles.trainer import Trainer
from fednode.site import Site, evaluation_rows, load_site, open_sites
from fednode.training.task import layout_of, open_task
from ledger import history as ev
from ledger.chain.accounts import Account
from ledger.chain.federations import Ballot, Federations
from ledger.chain.types import Receipt
from ledger.headers import ResultHeader
from ledger.replica import Origin, Replica
from ledger.state import FederationState, Phase
from ledger.types import Address, Digest, FederationId, RoundIndex, Wei
from tests.federations import GivenTask, Peers, Updates, peers
from tests.tamper.policies import Terms
from tests.tamper.world import CHAIN_ID, CREATOR, FIRST_MEMBER, LEDGER, Setting, World, account

SECRET = b"a site's secret, 32 random bytes"
STEPS = 2000


class Clock:
    """The chain, as far as roles ask for it."""

    chain_id = CHAIN_ID

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> int:
        return self._world.time


class Contract:
    """The contract, as far as roles call it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.chain = Clock(world)
        self.address = LEDGER

    def commit_update(
        self, who: Account, federation: FederationId, round_: RoundIndex, digest: Digest
    ) -> Receipt:
        self._world.commit(self._index(who), digest)
        return self._receipt(who)

    def propose_result(
        self, who: Account, header: ResultHeader, index: Digest, *, bond: Wei
    ) -> Receipt:
        assert self._world.refuses(header) is None
        self._world.propose(who.address, header, index)
        return self._receipt(who)

    def vote(self, who: Account, federation: FederationId, ballot: Ballot) -> Receipt:
        self._world.vote(self._index(who), ballot.support)
        return self._receipt(who)

    def advance(self, who: Account, federation: FederationId) -> Receipt:
        self._world.advance(who.address)
        return self._receipt(who)

    def open_slice(
        self, who: Account, federation: FederationId, round_: RoundIndex, digest: Digest
    ) -> Receipt:
        self._world.begin(who.address)
        event = ev.SliceOpened(
            **self._world.base,  # type: ignore[arg-type]
            round=round_,
            account=who.address,
            digest=digest,
        )
        self._world.emit(event)
        return self._receipt(who)

    def _index(self, who: Account) -> int:
        return next(i for i, n in enumerate(self._world.members) if account(n) == who)

    def _receipt(self, who: Account) -> Receipt:
        meta = self._world.events[-1].meta
        return Receipt(
            transaction=meta.transaction,
            transaction_index=0,
            block_number=meta.block_number,
            block_hash=meta.block_hash,
            sender=who.address,
            status=1,
            gas_used=0,
            cumulative_gas_used=0,
            effective_gas_price=Wei(0),
            type=2,
            logs=(),
        )


class Events:
    """Reads a world's events by cursor."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.reset()

    def reset(self) -> None:
        self._read = 0

    def poll(self) -> Sequence[ev.Event]:
        found = self._world.events[self._read :]
        self._read += len(found)
        return found


class View(Federation):
    """A federation that follows a world instead of a chain."""

    def __init__(self, world: World, store: Peers) -> None:
        self._world, self._peers = world, store
        super().__init__(cast(Federations, Contract(world)), world.federation, store)

    def _open(self, *, confirmations: int) -> Replica:
        origin = Origin(CHAIN_ID, LEDGER, self._world.federation)
        return Replica(Events(self._world), self._peers, origin=origin)


@dataclass(slots=True)
class Theatre:
    """A federation on a world: its sites, and the holder's rows where there are slices."""

    world: World
    policy: Policy
    sites: tuple[Site, ...]
    stores: list[Peers]
    folder: Path
    updates: Updates

    @classmethod
    def found(
        cls,
        policy: Policy,
        folder: Path,
        *,
        slices: Slices | None = None,
        updates: Updates | None = None,
    ) -> "Theatre":
        """Create a federation and let every site join with what it commits to."""
        source = open_sites(policy, public_rows=True)
        task = open_task(policy.model_spec)
        holder = account(CREATOR).address
        planned = plan(
            policy,
            task,
            evaluation_rows(policy, source),
            chain_id=CHAIN_ID,
            ledger=LEDGER,
            slices=SliceCommitment(slices.root, holder) if slices else None,
        )
        layout = layout_of(task, policy.numeric_columns)
        terms = Terms(policy, task, layout)
        world = World(Setting(terms, None, planned.header, planned.artefact))
        sites = tuple(load_site(policy, source, name) for name in source.sites)
        stores = peers(len(sites) + 1)
        stores[-1].put(planned.artefact)
        world.create()
        for place, site in enumerate(sites):
            root = site.commitment(SECRET).root
            world.join(FIRST_MEMBER + place, len(site.train), root=root)
        stores[-1].own.blocks.update(world.store.blocks)
        return cls(world, policy, sites, stores, folder, updates or {})

    def view(self, place: int = 0) -> View:
        """Read the federation as a new process of a site does."""
        return View(self.world, self.stores[place])

    def participant(self, place: int, *, shard: bool = True) -> Participant:
        """Start a site's participant."""
        view, site = self.view(place), self.sites[place]
        task = GivenTask(open_task(self.policy.model_spec), view.rulebook.layout, self.updates)
        trainer = Trainer(task, site.train, site.shard if shard else None)
        journal = Journal(self.folder / site.name, self.world.federation)
        return Participant(view, account(FIRST_MEMBER + place), trainer, journal)

    def proposer(self, place: int) -> Proposer:
        """Start a site's proposer."""
        return Proposer(self.view(place), account(FIRST_MEMBER + place))

    def holder(self, slices: Slices, *, who: int = CREATOR) -> Holder:
        """Start the holder of the slices."""
        return Holder(self.view(len(self.sites)), account(who), slices)

    def roles(self) -> list[Role]:
        """Start everybody's participant and proposer."""
        places = range(len(self.sites))
        return [*map(self.participant, places), *map(self.proposer, places)]

    def play(
        self,
        roles: Iterable[Role],
        *,
        until: Callable[[FederationState], bool] = lambda state: state.settled,
    ) -> FederationState:
        """Step the roles until a state; time goes on when nobody has anything to do."""
        roles = list(roles)
        state = self.world.replica.state
        for _ in range(STEPS):
            acted = False
            for role in roles:
                if until(state):
                    return state
                acted = role.step() is Progress.ACTED or acted
            if not acted:
                self._wait(state)
        raise AssertionError(f"no end: {state.phase}, round {state.round.index}")

    def _wait(self, state: FederationState) -> None:
        moments = turns.moments(state)
        if state.phase in (Phase.PROPOSE, Phase.ATTEST):
            assert state.round.closed is not None
            moments.append(state.round.closed.reveal_deadline)
        if state.phase is Phase.ATTEST:
            moments.append(state.round.proposal.attest_deadline - state.policy.attest_window // 4)
        later = [moment for moment in moments if moment > self.world.time]
        self.world.time = min(later, default=self.world.time + 1)

    @property
    def blocks(self) -> Peers:
        """Give a store that has everything."""
        return self.stores[-1]


def address(place: int) -> Address:
    """Give a site's account."""
    return account(FIRST_MEMBER + place).address
