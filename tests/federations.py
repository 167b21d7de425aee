"""A whole federation in the test's own process, step by step, on whatever chain and stores it is
given.

Only hospitals' journals, the chain and the stores last from one step to the next if a test asks for
fresh nodes each time: that is what a node is after it was killed.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fednode.creation import create, plan
from fednode.evaluation.metrics import Rows
from fednode.evaluation.slices import SliceCommitment
from fednode.federation import Federation
from fednode.membership import (
    NO_KEY,
    JoinRequest,
    SignedInvitation,
    invite,
    make_request,
    membership,
    site_secret,
)
from fednode.models.layout import Layout, dequantise
from fednode.policy import Policy, built_in
from fednode.roles import turns
from fednode.roles.journal import Journal
from fednode.roles.participant import Participant
from fednode.roles.proposer import Proposer
from fednode.roles.role import Progress, Role
from fednode.roles.trainer import Trainer
from fednode.roles.watcher import challenge_time
from fednode.site import Site, evaluation_rows, load_site, open_sites
from fednode.training.run import LocalRun
from fednode.training.task import SgdTask, TrainingTask, open_task
from ledger.artefacts import read_update
from ledger.chain.accounts import Account
from ledger.chain.client import Chain
from ledger.chain.federations import Federations, deploy
from ledger.cid import CID
from ledger.payload import int32
from ledger.sealing import NO_KEYS, Vault
from ledger.state import FederationState, Phase
from ledger.stores import Artefact, BlockNotFound, ContentStore, MemoryStore
from ledger.types import Address, FederationId, Wei
from tests.engines import Engine

Changes = Mapping[str, object]
Updates = dict[tuple[int, int], NDArray[np.int32]]
"""Payloads by round and participant."""

LONG = 86_400
STEPS = 4000


def policy_of(name: str = "heart", **sections: Changes) -> Policy:
    """Give a built-in policy with some sections' keys changed."""
    record = built_in(name).rest_record()
    for section, changes in sections.items():
        table = record.setdefault(section, {})
        assert isinstance(table, dict)
        table.update(changes)
    return Policy.from_record(record, source="the test's policy")


class Peers:
    """One node's store among others': what it lacks it asks the others for.

    What it is silent about nobody gets from it; what it is deaf to it gets from nobody.
    """

    def __init__(self, others: "list[Peers]") -> None:
        self.own = MemoryStore()
        self.silent: set[CID] = set()
        self.deaf: set[CID] = set()
        self._others = others
        others.append(self)

    def get(self, cid: CID) -> bytes:
        if self.own.has(cid):
            return self.own.get(cid)
        for other in self._others:
            if cid not in self.deaf and cid not in other.silent and other.own.has(cid):
                data = other.own.get(cid)
                self.own.blocks[cid] = data
                return data
        raise BlockNotFound(cid, "peers")

    def put(self, artefact: Artefact) -> None:
        self.own.put(artefact)

    def has(self, cid: CID) -> bool:
        return self.own.has(cid)

    def sized(self, size: int) -> Iterator[tuple[CID, bytes]]:
        return self.own.sized(size)

    def remove(self, cids: Sequence[CID], *, roots: Collection[CID] = ()) -> list[CID]:
        return self.own.remove(cids, roots=roots)


def peers(count: int) -> list[Peers]:
    """Give stores that are connected to each other."""
    network: list[Peers] = []
    return [Peers(network) for _ in range(count)]


@contextmanager
def one_thread() -> Iterator[None]:
    """Train on one thread: as other processes do, and fast while other tests take the rest."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class GivenTask(SgdTask):
    """A task whose training is a table: the update of every round and participant is given.

    A round or participant that is not in the table makes small numbers of its own, so no torch is
    needed.
    """

    def __init__(self, task: TrainingTask, layout: Layout, updates: Updates) -> None:
        assert isinstance(task, SgdTask)
        super().__init__(task.model)
        self._layout = layout
        self._updates = updates

    def fit(self, rows: Rows, run: LocalRun) -> None:
        given = self._updates.get((run.round, run.participant))
        change = run.generator().integers(-(1 << 15), 1 << 15, self._layout.size, dtype=np.int32)
        tensors = self._layout.unpack(change if given is None else given[: self._layout.size])
        now = self.get_tensors()
        self.set_tensors(
            {
                spec.name: now[spec.name] + dequantise(tensors[spec.name], spec.fraction_bits)
                for spec in self.tensors
                if spec.name in tensors
            }
        )


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a federation plays. Account 0 creates it, 1 and on are the hospitals'."""

    engine: Engine
    stores: Sequence[ContentStore]
    folder: Path

    @property
    def chain(self) -> Chain:
        """Give the chain."""
        return self.engine.chain

    @property
    def accounts(self) -> Sequence[Account]:
        """Give the accounts."""
        return self.engine.accounts


@dataclass(frozen=True, slots=True)
class Hospital:
    """One site: what outlives its processes, and how to start them."""

    contract: Federations
    federation: FederationId
    store: ContentStore
    account: Account
    site: Site
    folder: Path
    updates: Updates
    own: tuple[str, ...] = ()
    vault: Vault = NO_KEYS

    @property
    def journal(self) -> Journal:
        """Open the journal as a new process does."""
        return Journal(self.folder, self.federation)

    def view(self) -> Federation:
        """Read the federation as a new process does."""
        return Federation(
            self.contract, self.federation, self.store, own=self.own, vault=self.vault
        )

    def participant(self, *, train: bool = False) -> Participant:
        """Start a participant; it trains with torch only if it is told to."""
        view = self.view()
        return Participant(view, self.account, self.trainer(view, train=train), self.journal)

    def trainer(self, view: Federation, *, train: bool = False) -> Trainer:
        """Give what trains on the site's rows, and counts on its shard."""
        task = open_task(view.policy.model_spec, own=self.own)
        if not train:
            task = GivenTask(task, view.rulebook.layout, self.updates)
        return Trainer(task, self.site.train, self.site.shard)

    def proposer(self) -> Proposer:
        """Start a proposer."""
        return Proposer(self.view(), self.account)


@dataclass(frozen=True, slots=True)
class Cast:
    """A federation's creator and its hospitals, in the order in which they joined."""

    stage: Stage
    contract: Federations
    federation: FederationId
    policy: Policy
    hospitals: tuple[Hospital, ...]

    def state(self) -> FederationState:
        """Read the federation's state anew."""
        return self.hospitals[0].view().state

    def roles(self, *, train: bool = False, propose: bool = True) -> list[Role]:
        """Start everybody's participant, and everybody's proposer."""
        roles: list[Role] = [hospital.participant(train=train) for hospital in self.hospitals]
        return roles + [h.proposer() for h in self.hospitals] if propose else roles


def found(
    stage: Stage,
    policy: Policy,
    *,
    updates: Updates | None = None,
    sites: Sequence[str] | None = None,
    own: tuple[str, ...] = (),
    slices: SliceCommitment | None = None,
    vaults: Sequence[Vault] = (NO_KEYS,),
    payouts: Mapping[int, Address] | None = None,
) -> Cast:
    """Deploy, create, and let every site join; `vaults` go round among the sites. `payouts` are
    paid instead of the accounts at their places.
    """
    creator = stage.accounts[0]
    contract = Federations(stage.chain, deploy(stage.chain, creator))
    source = open_sites(policy, public_rows=True)
    planned = plan(
        policy,
        open_task(policy.model_spec, own=own),
        evaluation_rows(policy, source),
        chain_id=stage.chain.chain_id,
        ledger=contract.address,
        slices=slices,
    )
    federation, _ = create(contract, creator, planned, stage.stores[0])
    names = list(sites or source.sites)[: policy.federation.max_participants]
    hospitals = [
        Hospital(
            contract=contract,
            federation=federation,
            store=stage.stores[place % len(stage.stores)],
            account=stage.accounts[1 + place],
            site=load_site(policy, source, name),
            folder=stage.folder / name,
            updates=updates or {},
            own=own,
            vault=vaults[place % len(vaults)],
        )
        for place, name in enumerate(names)
    ]
    for place, hospital in enumerate(hospitals[: policy.federation.start_participants]):
        named = {} if payouts is None or place not in payouts else {"payout": payouts[place]}
        join(hospital, creator, **named)
    return Cast(stage, contract, federation, policy, tuple(hospitals))


def join(hospital: Hospital, creator: Account, *, payout: Address | None = None) -> None:
    """Let a site join, by the creator's invitation where it needs one."""
    request, identity = make_request(
        hospital.federation,
        hospital.account,
        name=hospital.site.name,
        site=hospital.site,
        secret=site_secret(hospital.folder),
    )
    hospital.store.put(identity)
    address = hospital.account.address
    policy = hospital.view().replica.policy
    invitation = None if policy.open else _invited(request, hospital, creator)
    keys = hospital.vault.keys
    key = keys[0].public if keys else NO_KEY
    terms = membership(request, invitation, signer=address, payout=payout or address, key=key)
    stake = Wei(policy.stake)
    hospital.contract.join(hospital.account, hospital.federation, terms, stake=stake)


def _invited(request: JoinRequest, hospital: Hospital, creator: Account) -> SignedInvitation:
    chain, ledger = hospital.contract.chain, hospital.contract.address
    expires = chain.now() + LONG
    return invite(request, creator, expires=expires, chain_id=chain.chain_id, ledger=ledger)


def play(
    cast: Cast,
    roles: Callable[[], Iterable[Role]],
    *,
    until: Callable[[FederationState], bool] | None = None,
    watch: Callable[[FederationState], None] | None = None,
) -> FederationState:
    """Step the roles until the federation has settled, or until a state; time goes on when nobody
    has anything to do.
    """
    spectator = cast.hospitals[0].view()

    def looked() -> bool:
        state = spectator.refresh()
        if watch is not None:
            watch(state)
        return until(state) if until is not None else state.settled

    if looked():
        return spectator.state
    for _ in range(STEPS):
        acted = False
        for role in roles():
            acted = role.step() is Progress.ACTED or acted
            if looked():
                return spectator.state
        if not acted:
            let_time_pass(cast.stage, spectator.state)
    state = spectator.state
    raise AssertionError(f"no end after {STEPS} steps: {state.phase}, round {state.round.index}")


def let_time_pass(stage: Stage, state: FederationState) -> None:
    """Go to the next moment at which somebody may have something to do."""
    moments = turns.moments(state)
    if state.phase is Phase.PROPOSE:
        assert state.round.closed is not None
        moments.append(state.round.closed.reveal_deadline)
    if state.phase is Phase.ATTEST:
        moments.append(state.round.proposal.attest_deadline - state.policy.attest_window // 4)
    for proposal in state.live():  # by then every watcher has had its turn
        begin, end = challenge_time(state, proposal)
        moments.append((begin + end) // 2)
    for _, challenge in state.disputed():
        assert challenge.deadline is not None
        window = state.policy.answer_window
        moments += [challenge.deadline - window // 2, challenge.deadline - window // 4]
    now = stage.chain.now()
    later = [moment for moment in moments if moment > now]
    if later:
        stage.engine.hurry(min(later))


def opened(index: int) -> Callable[[FederationState], bool]:
    """Give the condition that a round was opened."""
    return lambda state: len(state.rounds) > index


def in_phase(phase: Phase, index: int = 0) -> Callable[[FederationState], bool]:
    """Give the condition that a round is in a phase."""
    return lambda state: bool(state.rounds) and (state.phase, state.round.index) == (phase, index)


def given_updates(cast: Cast) -> Updates:
    """Read the payloads of a federation's updates, as they were published."""
    view = cast.hospitals[0].view()
    leaves = view.replica.policy.leaves
    updates: Updates = {}
    for round_ in view.state.rounds:
        for commit in round_.commits:
            data = read_update(view.store, commit.digest, leaves).payload
            assert data is not None
            updates[round_.index, commit.participant] = int32(data.data)
    return updates


@dataclass(frozen=True, slots=True)
class Story:
    """What a federation came to, without what differs between chains."""

    models: tuple[str, ...]
    utilities: tuple[tuple[int, ...], ...]
    values: tuple[tuple[int, ...], ...]
    payouts: tuple[tuple[int, ...], ...]
    paid: tuple[int, ...]


def story(view: Federation) -> Story:
    """Read what a federation came to."""
    view.refresh()
    readers = [view.replica.reader(accepted) for accepted in view.state.lineage]
    records = [reader.records() for reader in readers]
    return Story(
        models=tuple(reader.header.model_digest.hex() for reader in readers),
        utilities=tuple(r.utilities for r in records),
        values=tuple(tuple(leaf.value for leaf in r.values) for r in records),
        payouts=tuple(tuple(leaf.amount for leaf in r.payouts) for r in records),
        paid=tuple(participant.paid for participant in view.state.participants),
    )


def owed(cast: Cast) -> int:
    """Add up what a contract with one federation owes anybody: stakes, credits, bonds that it
    holds, and what is left of a pool in ether.
    """
    state, contract = cast.state(), cast.contract
    policy = state.policy
    credits = [contract.credit(cast.federation, a.address) for a in cast.stage.accounts]
    proposals = [proposal for round_ in state.rounds for proposal in round_.proposals]
    held = sum(proposal.bonded for proposal in proposals)
    challenges = sum(not c.resolved for proposal in proposals for c in proposal.challenges.all)
    paid = sum(member.paid for member in state.participants)
    refunded = 0 if state.refund is None else state.refund.amount
    return (
        sum(member.stake + member.fees for member in state.participants)
        + sum(credit.ethers + credit.fees for credit in credits)
        + held * policy.proposer_bond
        + challenges * policy.challenge_bond
        + (policy.pool - paid - refunded - state.fees)
    )
