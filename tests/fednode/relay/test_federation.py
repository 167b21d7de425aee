"""A federation with a relay, from the first round to the audit, on the real contract: two commit
through the batch, one past it, and one whose leaf the relay drops falls back.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pytest
from pydantic import BaseModel

from fednode.auditing import run_audit
from fednode.relay.carrier import Relayed, Setting
from fednode.relay.chain import OnChain
from fednode.relay.client import RelayClient
from fednode.relay.desk import Desk
from fednode.relay.messages import SignedBallot, SignedCommit
from fednode.relay.relay import Relay
from fednode.relay.sender import Sender
from fednode.roles.carrier import Direct
from fednode.roles.participant import Participant
from fednode.roles.role import Progress, Role
from ledger.audit.evidence import Evidence
from ledger.audit.sources import evidence_from_chain
from ledger.audit.verdict import BYTES
from ledger.batch import Batch, Leaf
from ledger.cid import CID, Codec
from ledger.nodes import Entry, Reason
from ledger.proceedings import Outcome
from ledger.signatures import Domain
from ledger.slots import batch_of
from ledger.state import Phase
from ledger.stores import Artefact, MemoryStore
from tests.engines import embedded
from tests.federations import Cast, Hospital, Peers, Stage, found, peers, play, policy_of

DIRECT, DROPPED = 1, 2
T = TypeVar("T")


class Dropping(Desk):
    """A desk that takes everybody's commit, gives its word, and leaves one out."""

    async def seal(self) -> Batch | None:
        batch = await super().seal()
        if batch is None:
            return None
        leaves = [Leaf.decode(data) for data in batch.leaves() if data is not None]
        return Batch.of([leaf for leaf in leaves if leaf.participant != DROPPED])


@dataclass
class Office:
    """The relay in the test's own thread; it acts when it is stepped."""

    cast: Cast
    folder: Path

    def __post_init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.account = self.cast.stage.accounts[-1]
        self.store = self.cast.stage.stores[-1]
        contract, federation = self.cast.contract, self.cast.federation
        self.domain = Domain(contract.chain.chain_id, contract.address)
        self.desk = Dropping(self.domain, federation, self.account, self.folder)
        ledger = OnChain(contract, self.cast.hospitals[0].view().replica, self.account)
        self._relay = Relay(ledger, self.store, self.desk, Sender())

    def run(self, work: Coroutine[object, object, T]) -> T:
        return self.loop.run_until_complete(work)

    def step(self) -> Progress:
        """Do what is due; those who act by it are the participants."""
        self.run(self._relay.step())
        return Progress.WAITING


class Counter(RelayClient):
    """A participant's way to the desk, without the way between."""

    def __init__(self, office: Office, hospital: Hospital) -> None:
        super().__init__("desk", office.domain, office.account.address, hospital.account)
        self._office = office

    def _post(self, path: str, message: BaseModel) -> bytes:
        self._office.step()
        desk = self._office.desk
        if isinstance(message, SignedCommit):
            return self._office.run(desk.commit(message)).model_dump_json().encode()
        assert isinstance(message, SignedBallot)
        return self._office.run(desk.vote(message)).model_dump_json().encode()


def participant(office: Office, hospital: Hospital) -> Participant:
    """Start a participant that goes through the relay."""
    view = hospital.view()
    policy, journal = view.replica.policy, hospital.journal
    setting = Setting(
        hospital.federation,
        policy.batch_window,
        policy.attest_window,
        hospital.store,
        view.chain.now,
    )
    direct = Direct(hospital.contract, hospital.federation, hospital.account)
    carrier = Relayed(setting, Counter(office, hospital), direct, journal)
    return Participant(view, hospital.account, hospital.trainer(view), journal, carrier)


@contextmanager
def office(cast: Cast, folder: Path) -> Iterator[Office]:
    opened = Office(cast, folder)
    try:
        yield opened
    finally:
        opened.loop.run_until_complete(opened.loop.shutdown_default_executor())
        opened.loop.close()


@pytest.fixture
def cast(tmp_path: Path) -> Cast:
    engine = embedded()
    policy = policy_of(
        "heart",
        federation={"relay": engine.accounts[-1].address},
        training={"rounds": 2},
        windows={"batch": 30, "commit": 90},
    )
    return found(Stage(engine, peers(5), tmp_path), policy)


def entries(cast: Cast, height: int) -> list[Entry]:
    view = cast.hospitals[0].view()
    accepted = view.state.lineage[height - 1]
    slots = view.state.rounds[accepted.round].slots
    return list(view.replica.reader(accepted).levels(slots)[0][0].entries[:slots])


@dataclass
class Clock:
    """Lets time pass to the moment at which nobody waits for a batch any longer."""

    cast: Cast

    def step(self) -> Progress:
        state, now = self.cast.state(), self.cast.stage.chain.now()
        if state.phase is not Phase.COMMIT or not state.round.batched:
            return Progress.WAITING
        posting = state.round.opened + state.policy.batch_window
        patience = posting + (state.round.commit_deadline - posting) // 3
        if now >= patience:
            return Progress.WAITING
        self.cast.stage.engine.hurry(patience)
        return Progress.ACTED


def played(cast: Cast, folder: Path) -> None:
    with office(cast, folder / "relay") as open_office:
        roles: list[Role] = [
            hospital.participant() if place == DIRECT else participant(open_office, hospital)
            for place, hospital in enumerate(cast.hospitals)
        ]
        roles += [hospital.proposer() for hospital in cast.hospitals]
        roles += [open_office, Clock(cast)]
        play(cast, lambda: roles)


def evidence(cast: Cast) -> Evidence:
    """Give what an audit reads if only one hospital has stayed."""
    store = cast.hospitals[0].store
    assert isinstance(store, Peers)
    deployers = [cast.stage.accounts[0].address]
    return evidence_from_chain(cast.contract, cast.federation, store.own, deployers=deployers)


def test_batch_and_direct_commits_make_one_round(cast: Cast, tmp_path: Path) -> None:
    played(cast, tmp_path)
    state = cast.state()
    assert [round_.outcome for round_ in state.rounds] == [Outcome.ACCEPTED] * 3
    for height in (1, 2, 3):
        round_ = state.rounds[height - 1]
        assert round_.batched == 2
        assert {c.participant for c in round_.commits} == {DIRECT, DROPPED}
        assert [e.participant for e in entries(cast, height)][:2] == [0, 3]
        assert {e.reason for e in entries(cast, height)} == {Reason.COUNTED}
    verdict = run_audit(evidence(cast))
    assert verdict.holds, verdict.finding
    assert state.settled


def test_an_audit_without_the_batch_fails(cast: Cast, tmp_path: Path) -> None:
    played(cast, tmp_path)
    found = evidence(cast)
    round_ = cast.state().rounds[1]
    batch = batch_of(found.store, round_)
    assert batch is not None
    store = MemoryStore()
    assert isinstance(found.store, MemoryStore)
    store.blocks.update(found.store.blocks)
    del store.blocks[CID(Codec.DAG_CBOR, batch.posted.index)]
    finding = run_audit(replace(found, store=store)).finding
    assert finding is not None
    assert (finding.step, finding.round) == (BYTES, 1)
    assert finding.subject == "leaf 0 of the batch"


def test_a_batch_that_its_relay_hides_is_missing(cast: Cast, tmp_path: Path) -> None:
    """Everybody falls back in time; that the relay shows the batch later changes nothing."""
    store = cast.stage.stores[-1]
    hidden = MemoryStore()
    cast = replace(cast, stage=replace(cast.stage, stores=[*cast.stage.stores[:-1], hidden]))
    played(cast, tmp_path)
    state = cast.state()
    assert [round_.outcome for round_ in state.rounds] == [Outcome.ACCEPTED] * 3
    for height in (1, 2, 3):
        found = [entry.reason for entry in entries(cast, height)]
        assert found == [Reason.MISSING] * 2 + [Reason.COUNTED] * 4
    assert all(all(r.proposal.votes.values()) for r in state.rounds)
    assert run_audit(evidence(cast)).holds
    for cid, block in hidden.blocks.items():
        store.put(Artefact((cid,), {cid: block}))
    deployers = [cast.stage.accounts[0].address]
    late = evidence_from_chain(cast.contract, cast.federation, store, deployers=deployers)
    verdict = run_audit(late)
    assert verdict.holds
    assert sum("left out as missing and can be had now" in note for note in verdict.notes) == 6
