"""A round of a federation whose members hold no ether: everything goes through the relay, on the
real contract.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fednode.relay.chain import OnChain
from fednode.relay.client import RelayClient
from fednode.relay.desk import Desk
from fednode.relay.messages import SignedJoin, SignedProposal
from fednode.relay.service import Settings, serve
from fednode.relay.sponsor import Allowance
from ledger.batch import BatchSlot, Posted, read_batch
from ledger.chain.accounts import Account
from ledger.chain.client import Chain
from ledger.chain.federations import Federations, deploy
from ledger.cid import Codec
from ledger.headers import RESULT_TAG, Common, PolicyHeader, ResultHeader
from ledger.history import HistoryReader
from ledger.replica import Origin, Replica
from ledger.signatures import Commit, Domain, Join, Proposal, Vote
from ledger.slots import signers
from ledger.state import FederationState, Phase
from ledger.stores import Artefact, MemoryStore
from ledger.types import ZERO_DIGEST, FederationId, ParticipantId, Wei
from tests.accounts import new_account
from tests.ledger.chain.samples import digest, policy

COUNT = 3


@dataclass
class World:
    """A federation on an embedded chain where only its creator and its relay have ether."""

    chain: Chain
    contract: Federations
    federation: FederationId
    policy: PolicyHeader
    relay: Account
    members: list[Account]
    store: MemoryStore

    @property
    def domain(self) -> Domain:
        return Domain(self.chain.chain_id, self.contract.address)

    def artefact(self) -> Artefact:
        return Artefact.of(Codec.RAW, self.policy.encode())

    def replica(self) -> Replica:
        place = self.contract.address, self.federation
        reader = HistoryReader(self.chain, *place, senders=False)
        return Replica(reader, self.store, origin=Origin(self.chain.chain_id, *place))

    def client(self, url: str, number: int) -> RelayClient:
        return RelayClient(url, self.domain, self.relay.address, self.members[number])


@pytest.fixture
def world() -> World:
    creator, relay = new_account(), new_account()
    chain = Chain.embedded([creator.address, relay.address])
    contract = Federations(chain, deploy(chain, creator))
    header = replace(
        policy(chain.chain_id, contract.address, members=COUNT),
        relay=relay.address,
        batch_window=600,
    )
    federation, _ = contract.create(creator, header)
    members = [new_account() for _ in range(COUNT)]
    found = World(chain, contract, federation, header, relay, members, MemoryStore())
    found.store.put(found.artefact())
    return found


@contextmanager
def relaying(world: World, folder: Path) -> Iterator[str]:
    """Run the relay in a thread of its own."""
    desk = Desk(world.domain, world.federation, world.relay, folder)
    ledger = OnChain(world.contract, world.replica(), world.relay)
    settings = Settings(Allowance(Wei(5), Wei(7), joins=True), poll=0.05)
    found: list[str] = []
    started = threading.Event()
    loop = asyncio.new_event_loop()

    def ready(url: str) -> None:
        found.append(url)
        started.set()

    task = loop.create_task(serve(ledger, world.store, desk, settings, ready))

    def run() -> None:
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            loop.run_until_complete(loop.shutdown_default_executor())

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(30)
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()


def until(replica: Replica, holds: Callable[[FederationState], bool]) -> FederationState:
    """Wait until the chain says so."""
    for _ in range(600):
        state = replica.refresh()
        if holds(state):
            return state
        time.sleep(0.05)
    raise AssertionError(f"still in phase {state.phase}")


def joining(world: World, number: int) -> SignedJoin:
    member = world.members[number]
    own = member.address
    join = Join(world.federation, own, own, digest(1), ZERO_DIGEST, digest(20 + number), rows=100)
    return SignedJoin(
        federation=world.federation,
        controller=own,
        signer=own,
        payout=own,
        identity=digest(1),
        key=ZERO_DIGEST,
        dataset_root=digest(20 + number),
        rows=100,
        expires=0,
        invitation=b"",
        consent=world.domain.sign(member, join).compact,
    )


def proposal(world: World, state: FederationState) -> tuple[int, SignedProposal]:
    """Sign a result that the contract takes, by whose turn it is."""
    round_ = state.round
    turn = state.in_turn(round_)
    assert turn is not None
    common = Common(
        RESULT_TAG,
        world.chain.chain_id,
        world.contract.address,
        world.federation,
        round_.index,
        round_.parent,
    )
    zero = ZERO_DIGEST
    header = ResultHeader(
        common, zero, 0, 0, zero, zero, zero, 0, zero, 0, zero, payout_total=0, stop=False
    )
    content = Proposal(world.federation, round_.index, 0, header.digest(), digest(8))
    signature = world.domain.sign(world.members[turn.index], content).compact
    message = SignedProposal(
        federation=world.federation, header=header.encode(), index=digest(8), signature=signature
    )
    return turn.index, message


def test_members_without_ether_get_through_a_round(world: World, tmp_path: Path) -> None:
    replica = world.replica()
    with relaying(world, tmp_path) as url:
        clients = [world.client(url, number) for number in range(COUNT)]
        for number, client in enumerate(clients):
            client.join(joining(world, number))
        state = until(replica, lambda s: s.phase is Phase.COMMIT)
        assert [p.controller for p in state.participants] == [m.address for m in world.members]

        deadline = state.round.opened + world.policy.batch_window
        for number, client in enumerate(clients):
            client.commit(Commit(world.federation, 0, number, digest(number)), deadline)
        state = until(replica, lambda s: s.round.batched > 0)
        round_ = state.round
        posted = Posted(round_.batch_root, round_.batched, round_.batch_index)
        batch = read_batch(world.store, posted)
        who = signers(state, round_, world.domain)
        assert [who.slot(leaf) for leaf in batch.leaves()] == [
            BatchSlot(ParticipantId(n), digest(n), binds=True) for n in range(COUNT)
        ]

        world.chain.wait_until(round_.commit_deadline)
        state = until(replica, lambda s: s.phase is Phase.PROPOSE)
        number, message = proposal(world, state)
        clients[number].propose(message)
        state = until(replica, lambda s: s.phase is Phase.ATTEST)
        assert state.round.proposal.proposer == world.relay.address
        assert state.round.proposal.signer == world.members[number].address

        standing = state.round.proposal
        vote = Vote(world.federation, 0, 0, standing.result, support=True)
        for number, client in enumerate(clients[:2]):
            client.vote(vote, ParticipantId(number), standing.attest_deadline)
        state = until(replica, lambda s: len(s.lineage) == 1)
        assert state.rounds[0].proposal.votes == {0: True, 1: True}
    assert all(world.chain.balance(member.address) == 0 for member in world.members)
