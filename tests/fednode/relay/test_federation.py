"""A federation with a relay, from the first round to the audit, on the real contract: two commit
through the batch, one past it, and one whose leaf the relay drops falls back.
"""

import asyncio
import json
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from fednode.auditing import run_audit
from fednode.cli import main
from fednode.relay.carrier import Relayed, Setting
from fednode.relay.chain import OnChain
from fednode.relay.client import RelayClient
from fednode.relay.desk import Desk
from fednode.relay.lanes import Lanes
from fednode.relay.messages import SignedBallot, SignedCommit, SignedJoin, SignedProposal
from fednode.relay.relay import Relay
from fednode.relay.sponsor import Allowance, Sponsor
from fednode.roles.carrier import Direct
from fednode.roles.participant import Participant
from fednode.roles.role import Progress, Role
from ledger.audit.evidence import Evidence
from ledger.audit.sources import evidence_from_chain
from ledger.audit.verdict import BYTES
from ledger.batch import Batch, Leaf
from ledger.chain.accounts import Account
from ledger.cid import CID, Codec
from ledger.nodes import Entry, Reason
from ledger.proceedings import Outcome
from ledger.sealing import NO_KEYS, Vault, create_key
from ledger.signatures import Domain
from ledger.slots import batch_of
from ledger.state import Phase
from ledger.stores import Artefact, DirectoryStore, MemoryStore
from tests.engines import embedded
from tests.federations import Cast, Hospital, Peers, Stage, found, peers, play, policy_of
from tests.fednode.roles.test_sealed import KEY, sealed, unmeasured

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
    kind: type[Desk] = Dropping

    def __post_init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.account = self.cast.stage.accounts[-1]
        self.store = self.cast.stage.stores[-1]
        contract, federation = self.cast.contract, self.cast.federation
        self.domain = Domain(contract.chain.chain_id, contract.address)
        self.desk = self.kind(self.domain, federation, self.account, self.folder)
        # A relay needs no key: it sees digests and signatures.
        outsider = replace(self.cast.hospitals[0], vault=NO_KEYS)
        ledger = OnChain(contract, outsider.view().replica, self.account)
        self.lanes = Lanes()
        allowance = Allowance(ledger.stake, ledger.bond, joins=True)
        self.sponsor = Sponsor(ledger, self.desk, self.lanes, allowance)
        self._relay = Relay(ledger, self.store, self.desk, self.lanes)

    def run(self, work: Coroutine[object, object, T]) -> T:
        return self.loop.run_until_complete(work)

    def step(self) -> Progress:
        """Do what is due; those who act by it are the participants."""
        self.run(self._relay.step())
        return Progress.WAITING


class Counter(RelayClient):
    """A participant's way to the desk, without the way between."""

    def __init__(self, office: Office, account: Account) -> None:
        super().__init__("http://desk", office.domain, office.account.address, account)
        self._office = office

    def _post(self, path: str, message: BaseModel, within: float) -> bytes:
        assert within > 0
        self._office.step()
        desk, sponsor = self._office.desk, self._office.sponsor
        match message:
            case SignedCommit():
                return self._office.run(desk.commit(message)).model_dump_json().encode()
            case SignedBallot():
                return self._office.run(desk.vote(message)).model_dump_json().encode()
            case SignedJoin():
                self._office.run(sponsor.join(message))
            case SignedProposal():
                self._office.run(sponsor.propose(message))
        return b"{}"


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
    carrier = Relayed(setting, Counter(office, hospital.account), direct, journal)
    return Participant(view, hospital.account, hospital.trainer(view), journal, carrier)


@contextmanager
def office(cast: Cast, folder: Path, kind: type[Desk] = Dropping) -> Iterator[Office]:
    opened = Office(cast, folder, kind)
    try:
        yield opened
    finally:
        opened.lanes.close()
        opened.loop.run_until_complete(opened.loop.shutdown_default_executor())
        opened.loop.close()


WINDOWS = {"batch": 30, "commit": 90, "unbonding": 86_400}


def start(folder: Path, *, rounds: int = 2, **stake: str) -> Cast:
    engine = embedded()
    policy = policy_of(
        "heart",
        federation={"relay": engine.accounts[-1].address},
        training={"rounds": rounds},
        stake=stake,
        windows=WINDOWS,
    )
    return found(Stage(engine, peers(5), folder), policy)


@pytest.fixture
def cast(tmp_path: Path) -> Cast:
    return start(tmp_path)


@pytest.fixture
def sealed_cast(tmp_path: Path) -> Cast:
    engine = embedded()
    relay = {"relay": engine.accounts[-1].address}
    auditor = create_key(tmp_path / "auditor.key")
    policy = sealed(unmeasured(rounds=2, federation=relay, windows=WINDOWS), also=(auditor,))
    return found(Stage(engine, peers(5), tmp_path), policy, vaults=[Vault((KEY,))])


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


def played(cast: Cast, folder: Path, *more: Role) -> None:
    with office(cast, folder / "relay") as open_office:
        roles: list[Role] = [
            hospital.participant() if place == DIRECT else participant(open_office, hospital)
            for place, hospital in enumerate(cast.hospitals)
        ]
        roles += [hospital.proposer() for hospital in cast.hospitals]
        roles += [open_office, Clock(cast), *more]
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


def test_a_sealed_federation_has_a_relay(
    sealed_cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rounds settle, and `fednode audit` says with a key that all holds, without one what was
    not checked.
    """
    cast = sealed_cast
    played(cast, tmp_path)
    state = cast.state()
    assert state.settled
    assert [round_.batched for round_ in state.rounds] == [2, 2, 2]
    for height in (1, 2, 3):
        assert {e.reason for e in entries(cast, height)} == {Reason.COUNTED}

    store = cast.hospitals[0].store
    assert isinstance(store, Peers)
    blocks = DirectoryStore(tmp_path / "blocks")
    blocks.put(Artefact((), store.own.blocks))
    monkeypatch.setattr("fednode.cli.audit.open_contract", lambda *_: cast.contract)
    given = {
        "rpc": "http://127.0.0.1:1",
        "ledger": cast.contract.address,
        "federation": cast.federation.hex(),
        "store": str(blocks.path),
        "deployer": cast.stage.accounts[0].address,
    }
    line = ["audit", "--json", *(word for name in given for word in (f"--{name}", given[name]))]
    inside = CliRunner().invoke(main, [*line, "--key", str(tmp_path / "auditor.key")])
    assert (inside.exit_code, json.loads(inside.stdout)["verdict"]) == (0, "holds")
    outside = CliRunner().invoke(main, line)
    told = json.loads(outside.stdout)
    assert (outside.exit_code, told["holds"], told["verdict"]) == (4, True, "sealed")
    lacking = [(c["step"], c["round"]) for c in told["checks"] if c["lack"] == "sealed"]
    for round_ in state.rounds:
        assert ("aggregation", round_.index) in lacking
        assert ("payouts", round_.index) in lacking


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


def test_a_batched_update_that_is_withheld_is_charged_for(tmp_path: Path) -> None:
    """A leaf of the batch names who owes it; a leaf that cannot be had names nobody."""
    cast = start(tmp_path, rounds=1, stake="1000000000000000", unavailable_fee="900000000000000")
    withholder = 3
    own = cast.hospitals[withholder].store
    assert isinstance(own, Peers)
    hidden = own.silent

    class Withholding:
        def step(self) -> Progress:
            update = cast.hospitals[withholder].journal.update(0)
            hidden.update(update.artefact.blocks if update is not None else ())
            return Progress.WAITING

    played(cast, tmp_path, Withholding())
    assert entries(cast, 1)[1].participant == withholder
    assert entries(cast, 1)[1].reason == Reason.UNAVAILABLE
    assert [p.charged for p in cast.state().participants] == [set(), set(), set(), {0}]
    assert cast.state().participants[withholder].stake == 10**14
    assert run_audit(evidence(cast)).holds
