"""Whatever is withheld, and however many blocks: a node waits for all of it once, votes in time,
and challenges well inside the window.

The store of these tests gives no answer for a withheld block until the patience is over that it was
asked with, or half a minute, as a Kubo node does whose peers do not have the block.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from fednode.creation import plan
from fednode.disputing import Examination
from fednode.federation import Federation
from fednode.roles.journal import Journal
from fednode.roles.participant import HELD, Participant
from fednode.roles.role import Progress, Role
from fednode.roles.trainer import Trainer
from fednode.roles.voting import KEEPING
from fednode.roles.watcher import Secret, Watcher, challenge_time
from fednode.training.task import layout_of, open_task
from ledger import cbor, payload
from ledger.artefacts import ResultReader
from ledger.chain.federations import Ballot, Federations
from ledger.chain.types import Receipt
from ledger.cid import CID, Codec
from ledger.headers import ResultHeader, UpdateHeader
from ledger.payload import Payload
from ledger.proceedings import Round
from ledger.proofs import Demand, Proof, Wanted
from ledger.replica import Origin, Replica
from ledger.round import Outcome, Slot
from ledger.state import Phase
from ledger.stores import (
    Artefact,
    BlockNotFound,
    Budget,
    ContentStore,
    MemoryStore,
    StoreError,
    StoreUnreachable,
)
from ledger.stores.budget import patience, spending
from ledger.stores.passing import PassingStore
from ledger.types import Digest, ParticipantId
from tests.engines import embedded
from tests.federations import Stage, found, in_phase, peers, play, policy_of
from tests.fednode.roles.reference import Contract, Events, Theatre
from tests.fednode.roles.test_disputes import PRICES, WINDOWS, accomplice, another_model
from tests.fednode.roles.test_kept_back import Stage as Slices
from tests.fednode.roles.test_reveal import store as peers_of
from tests.fednode.roles.test_rounds import Dishonest
from tests.fednode.roles.test_sealed import sealed, unmeasured
from tests.fednode.roles.test_sealed_disputes import VAULTS
from tests.tamper.policies import Terms
from tests.tamper.world import (
    CHAIN_ID,
    CREATOR,
    FIRST_MEMBER,
    LEDGER,
    STRANGER,
    Setting,
    World,
    account,
    digest_of,
    identity,
)

TIMEOUT = 30.0
FETCH = 1
LIMIT = 8.0
"""Seconds that a step may take on a machine that is busy with other tests."""
HONEST = 3


class Hanging(MemoryStore):
    """A store that does not answer for what is withheld while it is waited for."""

    def __init__(self, blocks: dict[CID, bytes], withheld: Callable[[CID], bool]) -> None:
        super().__init__()
        self.blocks.update(blocks)
        self.withheld = withheld
        self.over = threading.Event()

    def get(self, cid: CID) -> bytes:
        if self.withheld(cid) or not self.has(cid):
            self.over.wait(patience(TIMEOUT))
            raise BlockNotFound(cid, "hanging")
        return super().get(cid)

    def has(self, cid: CID) -> bool:
        return super().has(cid) and not self.withheld(cid)


class Disputing(Contract):
    """The reference contract, as far as watchers ask it; what they send is only noted."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.known = world

    def evidence(self, result: Digest, since: int) -> list[bytes]:
        return [self.known.headers[result].encode()]

    def result(self, federation: object, result: Digest) -> object:
        (found,) = (p for p in self.known.replica.state.live() if p.result == result)
        return SimpleNamespace(attempt=found.attempt, challenges=len(found.challenges.all))

    def demand(self, *_: object, **__: object) -> Receipt:
        raise AssertionError("only noted")

    commit_proof = redemand = recommit_proof = demand


class Watched(Federation):
    """A federation that follows a world, with a store that hangs."""

    def __init__(self, world: World, store: ContentStore) -> None:
        self._world = world
        super().__init__(cast("Federations", Disputing(world)), world.federation, store)

    def _open(self, *, confirmations: int) -> Replica:
        origin = Origin(CHAIN_ID, LEDGER, self._world.federation)
        return Replica(Events(self._world), self.store, origin=origin)


class Slip:
    """A carrier that only notes what it is given."""

    def __init__(self) -> None:
        self.votes: list[bool] = []

    def commit(self, round_: Round, participant: ParticipantId, digest: Digest) -> bool:
        return False

    def vote(self, round_: Round, participant: ParticipantId, ballot: Ballot) -> bool:
        self.votes.append(ballot.support)
        return True


@dataclass
class Node:
    """A node of the honest participant, whose store lacks something."""

    world: World
    store: Hanging
    folder: Path
    who: int = HONEST

    def __post_init__(self) -> None:
        self.told: list[str] = []
        self.slip = Slip()
        self.view = Watched(self.world, self.store)

    @property
    def watcher(self) -> Watcher:
        def send(what: str, _: Callable[[], Receipt]) -> bool:
            self.told.append(what)
            return True

        return Watcher(self.view, account(FIRST_MEMBER + self.who), send=send, beside=False)

    @property
    def participant(self) -> Participant:
        journal = Journal(self.folder, self.world.federation)
        trainer = cast("Trainer", None)
        member = account(FIRST_MEMBER + self.who)
        return Participant(self.view, member, trainer, journal, self.slip)


def took(work: Callable[[], object]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


# -- one kind of blocks


@dataclass
class Wrong:
    """A federation of four whose second result has a wrong model, and stands to the vote."""

    theatre: Theatre
    header: ResultHeader
    index: Digest

    @property
    def world(self) -> World:
        return self.theatre.world

    @property
    def blocks(self) -> dict[CID, bytes]:
        return {cid: data for s in self.theatre.stores for cid, data in s.own.blocks.items()}

    def reader(self) -> ResultReader:
        return ResultReader(self.theatre.blocks, self.header.digest(), self.index, participants=4)

    def named(self, name: str) -> set[CID]:
        """Name the blocks of a kind."""
        view, digest = self.theatre.view(), self.header.digest()
        round_ = view.refresh().round
        entries = self.reader()._entries
        ancestor = view.state.lineage[-1]
        earlier = view.replica.reader(ancestor)._entries
        update = round_.commits[1].digest
        theirs = UpdateHeader.decode(self.blocks[CID(Codec.RAW, update)])
        model = cast("CID", entries["model"])
        kinds: dict[str, list[object]] = {
            "header": [CID(Codec.RAW, digest)],
            "index": [CID(Codec.DAG_CBOR, self.index)],
            "a node": [cast("list[CID]", entries["nodes"])[-1]],
            "a sum": [cast("list[CID]", entries["sums"])[-1]],
            "the model's index": [model],
            "the model": self.linked(model),
            "the update's header": [CID(Codec.RAW, update)],
            "the update's training record": [CID(Codec.DAG_CBOR, theirs.training)],
            "the update's payload": [CID(Codec.DAG_CBOR, theirs.index)],
            "the ancestor's lists": [earlier["values"], earlier["payouts"]],
            "the ancestor's index": [CID(Codec.DAG_CBOR, ancestor.proposal.index)],
            "the ancestor's model": [earlier["model"]],
            **{kind: [entries[kind]] for kind in ("utilities", "values", "payouts")},
        }
        kinds["all of the result"] = [
            *kinds["index"],
            *kinds["the model"],
            *cast("list[CID]", entries["nodes"]),
            *cast("list[CID]", entries["sums"]),
            *(entries[kind] for kind in ("utilities", "values", "payouts", "model")),
        ]
        kinds["all updates"] = [CID(Codec.RAW, commit.digest) for commit in round_.commits]
        return set(cast("list[CID]", kinds[name]))

    def linked(self, index: CID) -> list[object]:
        return list(payload.Index.decode(self.blocks[index]).blocks)


Forge = Callable[[Federation, Round], Outcome]


def another_step(view: Federation, round_: Round) -> Outcome:
    """Take a wrong last step from right sums."""
    return another_model(view.compose(round_, view.slots(round_)))


def another_input(view: Federation, round_: Round) -> Outcome:
    """Sum another payload than the one that a participant committed to, as all inputs show."""
    slots = view.slots(round_)
    published = slots[1].published
    assert published.payload is not None
    data = bytearray(published.payload.data)
    data[8] ^= 1
    invented = published._replace(payload=Payload(bytes(data), published.payload.seal))
    slots[1] = replace(slots[1], published=invented)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ledger.round._is_payload", lambda *_: True)
        return view.compose(round_, slots)


def founded(folder: Path, forge: Forge) -> Wrong:
    """Found the federation, and let two of four back what is forged."""
    windows = {"fetch": FETCH, "attest": 300, "challenge": 600, "answer": 600}
    policy = policy_of(
        "digits",
        task={"model": "logistic", "options": {}},
        training={"rounds": 3},
        evaluation={"rows": 60},
        windows=windows,
    )
    theatre = Theatre.found(policy, folder)
    roles = theatre.roles()
    theatre.play(roles, until=in_phase(Phase.PROPOSE, 1))
    for role in roles[:4]:
        for _ in range(3):
            role.step()
    view = theatre.view(0)
    round_ = view.refresh().round
    forged = forge(view, round_)
    artefact, index = view.bundle(forged)
    theatre.blocks.put(artefact)
    world = theatre.world
    world.propose(account(FIRST_MEMBER + 1).address, forged.header, index)
    for place in range(HONEST - 1):
        world.vote(place, True)
    return Wrong(theatre, forged.header, index)


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Wrong:
    return founded(tmp_path_factory.mktemp("wrong"), another_step)


@pytest.fixture(scope="module")
def missummed(tmp_path_factory: pytest.TempPathFactory) -> Wrong:
    return founded(tmp_path_factory.mktemp("missummed"), another_input)


KINDS = [
    "header",
    "index",
    "a node",
    "a sum",
    "the model's index",
    "the model",
    "utilities",
    "values",
    "payouts",
    "the update's header",
    "the update's training record",
    "the update's payload",
    "all of the result",
    "all updates",
]
ANCESTORS = ["the ancestor's index", "the ancestor's lists", "the ancestor's model"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_watcher_waits_once_and_challenges(wrong: Wrong, kind: str, tmp_path: Path) -> None:
    withheld = wrong.named(kind)
    node = Node(wrong.world, Hanging(wrong.blocks, withheld.__contains__), tmp_path)
    proposal = node.view.refresh().round.proposal
    watcher = node.watcher
    wrong.world.time = proposal.attest_deadline - 75
    assert took(lambda: [watcher.step() for _ in range(3)]) < LIMIT
    assert node.told
    assert node.told[0].startswith(("demanded a", "committed to a proof"))


@pytest.mark.parametrize("kind", [*KINDS, *ANCESTORS])
def test_a_participant_votes_in_time(wrong: Wrong, kind: str, tmp_path: Path) -> None:
    """It votes for no result that it has not computed itself."""
    withheld = wrong.named(kind)
    node = Node(wrong.world, Hanging(wrong.blocks, withheld.__contains__), tmp_path)
    proposal = node.view.refresh().round.proposal
    wrong.world.time = proposal.attest_deadline - 75
    participant = node.participant
    start = time.monotonic()
    try:
        participant.step()
    except BlockNotFound:
        assert kind in ANCESTORS
    assert time.monotonic() - start < LIMIT
    assert node.slip.votes == ([] if kind in ANCESTORS else [False])


@pytest.mark.parametrize("damaged", [False, True])
def test_a_record_that_is_kept_back_hides_no_wrong_sum(
    missummed: Wrong, damaged: bool, tmp_path: Path
) -> None:
    """The payload is there, and shows the sum to be wrong. A demand for it would be answered."""
    record = missummed.named("the update's training record")
    node = Node(missummed.world, Hanging(missummed.blocks, record.__contains__), tmp_path)
    if damaged:
        node.store.withheld = lambda cid: False
        node.store.blocks.update(dict.fromkeys(record, b"\xff"))
    proposal = node.view.refresh().round.proposal
    missummed.world.time = proposal.attest_deadline - 75
    node.watcher.step()
    assert [what.split()[0] for what in node.told] == ["committed"]
    node.participant.step()
    assert node.slip.votes == [False]


@pytest.mark.parametrize("kind", ANCESTORS)
def test_an_ancestors_bytes_are_waited_for_once(wrong: Wrong, kind: str, tmp_path: Path) -> None:
    node = Node(wrong.world, Hanging(wrong.blocks, wrong.named(kind).__contains__), tmp_path)
    proposal = node.view.refresh().round.proposal
    watcher = node.watcher
    wrong.world.time = proposal.attest_deadline - 75
    assert took(lambda: [watcher.step() for _ in range(5)]) < LIMIT
    # The node computes the ancestor again, holds it in memory, and disproves what builds on it.
    assert {what.split()[0] for what in node.told} == {"committed"}


def test_a_model_that_was_trained_from_is_not_asked_for_again(tmp_path: Path) -> None:
    """The head is judged by the model before it, also if the node's store has stopped answering."""
    wrong = founded(tmp_path / "federation", another_step)
    node = Node(wrong.world, Hanging(wrong.blocks, lambda cid: False), tmp_path / "node")
    proposal = node.view.refresh().round.proposal
    node.view.standing()
    node.store.withheld = wrong.named("the ancestor's model").__contains__
    wrong.world.vote(HONEST - 1, True)
    assert node.view.refresh().head == proposal.result
    node.view.standing()
    wrong.world.time = proposal.attest_deadline + 75
    watcher = node.watcher
    for _ in range(2):
        watcher.step()
    assert [what.split()[0] for what in node.told] == ["committed"]


def test_what_has_come_is_not_asked_for_again(wrong: Wrong, tmp_path: Path) -> None:
    """With what demands bring to light, or at another look, less may come than at the first."""
    hidden = wrong.named("the model")
    node = Node(wrong.world, Hanging(wrong.blocks, hidden.__contains__), tmp_path)
    first = Examination(node.view, node.view.refresh().round.proposal)
    with spending(Budget(FETCH)):
        first.gather()
        demand = first.find()
    assert isinstance(demand, Demand)
    assert demand.target.kind is Wanted.MODEL
    node.view._held.clear()
    node.store.withheld = lambda cid: True
    with spending(Budget(0)):
        second = first.again()
        second.gather()
        assert second.find() == demand
        told = second._told({demand.target: b""})
        assert [slot.published for slot in told._slots] == [s.published for s in first._slots]


def test_no_dispute_waits_for_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = founded(tmp_path / "others", another_step)  # the step moves its round on
    node = Node(wrong.world, Hanging(wrong.blocks, lambda cid: False), tmp_path)
    wrong.world.time = node.view.refresh().round.proposal.attest_deadline + 75
    order: list[str] = []
    participant = node.participant

    def noted(name: str) -> Callable[[], bool]:
        def duty() -> bool:
            order.append(name)
            return False

        return duty

    monkeypatch.setattr(participant._voting, "keep", noted("keep"))
    monkeypatch.setattr(participant._watcher, "see_to_disputes", noted("dispute"))
    participant.step()
    assert order == ["dispute", "keep"]


class Dripping(PassingStore):
    """A store of which, from some time on, no call ends in time."""

    def __init__(self, store: ContentStore) -> None:
        super().__init__(store)
        self.slow = threading.Event()

    def _drip(self) -> None:
        if self.slow.is_set():
            threading.Event().wait(patience(TIMEOUT) + 5)  # so long Kubo's client waits
            raise StoreUnreachable("dripping", "timed out")

    def get(self, cid: CID) -> bytes:
        self._drip()
        return self._store.get(cid)

    def put(self, artefact: Artefact) -> None:
        self._drip()
        super().put(artefact)

    def has(self, cid: CID) -> bool:
        self._drip()
        return super().has(cid)


def test_a_store_that_drips_after_the_vote_costs_neither_commit_nor_vote(tmp_path: Path) -> None:
    policy = policy_of(
        "digits",
        task={"model": "logistic", "options": {}},
        training={"rounds": 3},
        evaluation={"rows": 60},
        windows={"fetch": FETCH, "attest": 300},
    )
    theatre = Theatre.found(policy, tmp_path)
    world, store = theatre.world, Dripping(theatre.stores[HONEST])
    voter = theatre.participant(HONEST)
    view = Watched(world, store)
    journal = Journal(tmp_path / "voter", world.federation)
    trainer = voter._committing.trainer
    voter = Participant(view, account(FIRST_MEMBER + HONEST), trainer, journal)

    def step() -> None:
        with suppress(StoreError):  # as the loop around a role
            voter.step()

    others = [role for place in range(HONEST) for role in _people(theatre, place)]
    theatre.play([*others, voter], until=in_phase(Phase.ATTEST, 0))
    view.slots(view.refresh().round)
    store.slow.set()
    assert took(step) < LIMIT
    voted = world.replica.state.round.proposal
    assert voted.votes[ParticipantId(HONEST)] is True
    assert journal.marked(0, KEEPING) == voted.result.hex()

    theatre.play(others, until=in_phase(Phase.COMMIT, 1))
    assert took(step) < LIMIT
    assert world.replica.state.round.committed(ParticipantId(HONEST))

    theatre.play(others, until=in_phase(Phase.ATTEST, 1))
    proposal = world.replica.state.round.proposal
    world.time = proposal.attest_deadline - 75
    assert took(step) < LIMIT
    assert HONEST in proposal.votes
    assert journal.marked(0, KEEPING) is not None  # to be kept, now or by the next process


def _people(theatre: Theatre, place: int) -> list[Role]:
    return [theatre.participant(place), theatre.proposer(place)]


ALTERED: list[dict[str, object]] = [
    {"salt": "00" * 33},
    {"salt": "00" * 32},
    {"salt": None},
    {"proof": "no hex"},
    {"proof": ""},
    {"proof": [1]},
]


@pytest.mark.parametrize("change", ALTERED, ids=str)
def test_a_proof_that_was_altered_in_the_journal_is_none(
    wrong: Wrong, change: dict[str, object], tmp_path: Path
) -> None:
    """The watcher finds it again then, as it does without a journal."""
    node = Node(wrong.world, Hanging(wrong.blocks, lambda cid: False), tmp_path)
    proposal = node.view.refresh().round.proposal
    member = account(FIRST_MEMBER + HONEST)
    journal = Journal(tmp_path, wrong.world.federation)
    watcher = Watcher(node.view, member, journal)
    proof = watcher._look(proposal).find([])
    assert isinstance(proof, Proof)
    secret = Secret.of(member, proposal, proof)
    watcher._keep(proposal, secret)
    assert watcher._kept(proposal, secret.commitment) == secret
    kept = {"proof": secret.proof.hex(), "salt": secret.salt.hex()}
    journal.mark(proposal.round, f"challenge-{secret.commitment.hex()}", kept | change)
    assert watcher._kept(proposal, secret.commitment) is None


# -- everything, among many


def crowd(size: int, folder: Path, *, batched: bool) -> Node:
    """Found a federation of many in which a result is proposed of which, as of all updates and of
    the relay's batch, not one block is published.
    """
    relay = {"relay": account(STRANGER).address} if batched else {}
    people = {"start_participants": size, "max_participants": size, "least_updates": 1}
    policy = policy_of(
        "digits",
        federation={**people, **relay},
        task={"model": "logistic", "options": {}},
        evaluation={"mode": "none"},
        valuation={"kind": "none"},
        reward={"pool": "0", "target": 1},
        stop={"patience": 0},
        windows={"commit": 3600, "fetch": FETCH, "batch": 3000 if batched else 0},
    )
    task = open_task(policy.model_spec)
    layout = layout_of(task, policy.numeric_columns)
    planned = plan(policy, task, None, chain_id=CHAIN_ID, ledger=LEDGER)
    world = World(Setting(Terms(policy, task, layout), None, planned.header, planned.artefact))
    world.create()
    record = identity(FIRST_MEMBER)
    for place in range(size):
        world.join(FIRST_MEMBER + place, 1, record=record)
    digests = [digest_of("withheld", place) for place in range(size)]
    if batched:
        leaves = enumerate(digests)
        world.post_batch([(i, digest, account(FIRST_MEMBER + i)) for i, digest in leaves])
        world.wait(world.replica.state.round.commit_deadline + 1)
        world.advance(account(STRANGER).address)
    else:
        for place, digest in enumerate(digests):
            world.commit(place, digest)
    blocks = dict(planned.artefact.blocks)
    who = seat_of(world)
    node = Node(world, Hanging(blocks, lambda cid: False), folder, who)
    round_ = node.view.refresh().round
    slots = [Slot(place, digest) for place, digest in enumerate(digests)]
    right = node.view.compose(round_, slots)
    forged = another_model(right)
    world.propose(account(FIRST_MEMBER).address, forged.header, digest_of("index"))
    return node


def seat_of(world: World) -> int:
    """Give a participant with a seat in the committee of the round."""
    state = world.replica.state
    return min(state.committee(state.round).seated)


@pytest.mark.parametrize(("size", "batched"), [(64, False), (64, True), (1024, False)])
def test_among_many_everything_is_withheld(size: int, batched: bool, tmp_path: Path) -> None:
    node = crowd(size, tmp_path, batched=batched)
    proposal = node.view.refresh().round.proposal
    watcher, participant = node.watcher, node.participant
    start = proposal.challenge_deadline - node.view.policy.windows.challenge
    node.world.time = proposal.attest_deadline - node.view.policy.windows.attest // 4
    assert took(participant.step) < LIMIT
    assert node.slip.votes == [False]

    begin, end = challenge_time(node.view.state, proposal)
    node.world.time = (begin + end) // 2
    assert took(watcher.step) < LIMIT
    assert node.told[0].startswith("demanded a")
    assert node.world.time - start < (proposal.challenge_deadline - start) * 3 // 4


# -- an envelope


def test_a_sealed_result_without_its_envelope_is_challenged(tmp_path: Path) -> None:
    """Without the envelope nothing of the result can be opened, although all of it is there."""
    policy = sealed(unmeasured(rounds=1, stake=PRICES, windows={**WINDOWS, "fetch": FETCH}))
    cast = found(Stage(embedded(), peers(4), tmp_path), policy, vaults=VAULTS)
    colluders: list[Role] = [accomplice(hospital) for hospital in cast.hospitals[:HONEST]]
    colluders.append(Dishonest(cast.hospitals[0], another_model))
    honest = cast.hospitals[HONEST].participant()
    play(cast, lambda: [*colluders, honest], until=in_phase(Phase.ATTEST))
    state = play(cast, lambda: colluders, until=lambda state: bool(state.lineage))
    proposal = state.lineage[0].proposal
    blocks = {c: d for h in cast.hospitals for c, d in peers_of(h).own.blocks.items()}
    index = cbor.decode(blocks[CID(Codec.DAG_CBOR, proposal.index)])
    assert isinstance(index, Mapping)
    envelope = index["envelope"]

    told: list[str] = []

    def send(what: str, _: Callable[[], Receipt]) -> bool:
        told.append(what)
        return True

    store = Hanging(blocks, lambda cid: cid == envelope)
    hospital = replace(cast.hospitals[HONEST], store=store)
    watcher = Watcher(hospital.view(), hospital.account, send=send, beside=False)
    begin, end = challenge_time(state, proposal)
    cast.stage.engine.hurry((begin + end) // 2)
    assert took(watcher.step) < LIMIT
    assert [what.split()[0] for what in told] == ["demanded"]


# -- a slice


class Hidden:
    """Announces a slice that nobody can fetch."""

    def __init__(self, world: World) -> None:
        self._world = world

    def step(self) -> Progress:
        state = self._world.replica.state
        if state.phase is not Phase.PROPOSE or state.round.slices:
            return Progress.WAITING
        holder, digest = account(CREATOR), digest_of("slice")
        Contract(self._world).open_slice(holder, state.federation, state.round.index, digest)
        return Progress.ACTED


def test_a_slice_that_is_withheld_leaves_time_for_the_updates(tmp_path: Path) -> None:
    stage = Slices(tmp_path, rounds=1)
    theatre, world = stage.theatre, stage.theatre.world
    people = [theatre.participant(place) for place in range(4)]
    roles: list[Role] = [*people, Hidden(world)]
    theatre.play(roles, until=lambda state: bool(state.rounds) and bool(state.round.slices))
    for person in people:
        person.step()
    blocks = {cid: data for s in theatre.stores for cid, data in s.own.blocks.items()}
    node = Node(world, Hanging(blocks, lambda cid: False), tmp_path)
    assert took(node.participant.step) < LIMIT
    held = node.participant._journal.listed(0, HELD)
    assert {commit.digest.hex() for commit in world.replica.state.round.commits} <= set(held)
