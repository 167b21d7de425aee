"""What attesting costs: bytes and CPU seconds of one committee member in one round.

    python scripts/bench/attesting.py
    python scripts/bench/attesting.py --models cnn --participants 4 16 64 --json

A federation of n is played up to the vote: all commit through one relay and publish updates of
random numbers, one result is proposed, and the product's own participants judge it - one with a
seat, and one without, who looks on as a watcher. Each has a block directory of its own and fetches
from the others' directory what it lacks. Utilities are not measured here: what they cost is the
policy's choice, and `round.py` says it.
"""

import argparse
import json
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from fednode.creation import create, plan
from fednode.data.table import Table
from fednode.federation import Federation
from fednode.policy import Policy, built_in
from fednode.roles.effort import Effort, attested
from fednode.roles.journal import Journal
from fednode.roles.participant import Participant
from fednode.roles.trainer import Trainer
from fednode.roles.turns import turn_of
from fednode.roles.watcher import challenge_time
from fednode.training.environment import environment
from fednode.training.task import open_task
from ledger import cbor
from ledger.artefacts import record, update_artefact
from ledger.batch import Batch, Leaf
from ledger.chain.accounts import Account
from ledger.chain.federations import Ballot, Federations, deploy
from ledger.cid import CID
from ledger.identity import identity_artefact, sign_identity
from ledger.payload import Payload, pad
from ledger.proceedings import Round
from ledger.round import RoundContext
from ledger.signatures import Commit
from ledger.stores import Artefact, DirectoryStore
from ledger.types import Digest, ParticipantId
from scripts.bench.clock import Clock, TimedStore, instrument, timed
from scripts.bench.engines import Engine, open_engine
from scripts.bench.gas import WINDOW
from scripts.bench.relayed import SEATS, Relayed

MODELS: Mapping[str, tuple[str, str, dict[str, object]]] = {
    "mlp": ("heart", "mlp", {}),
    "cnn": ("mnist", "cnn", {}),
    "large": ("mnist", "mlp", {"hidden": [2048, 1216]}),
}
"""By name: the built-in policy, its model and the model's options. The large one has 4.1M."""
SITES = {"heart": ("cleveland", "budapest"), "mnist": ("site-0", "site-1")}
"""Fewer than there are participants: whose rows these are does not matter here."""
PARTICIPANTS = (4, 16, 64, 256)
ATTESTING = "attesting"


@dataclass(frozen=True, slots=True)
class Member:
    """What one participant took: bytes from others by kind, bytes that its own directory gained,
    CPU seconds by part, and the same as the node itself reports it.
    """

    fetched: Mapping[str, int]
    written: int
    seconds: Mapping[str, float]
    reported: Effort

    @property
    def bytes(self) -> int:
        """All that came from others."""
        return sum(self.fetched.values())

    @property
    def cpu(self) -> float:
        """All CPU seconds."""
        return sum(self.seconds.values())


@dataclass(frozen=True, slots=True)
class Line:
    """A round of n: who has a seat, who has none (if there is anybody), and what was predicted."""

    model: str
    parameters: int
    participants: int
    seats: int
    payload: int
    seated: Member
    watching: Member | None
    predicted: float

    @property
    def everybody(self) -> tuple[int, float]:
        """Bytes and seconds of the whole federation if everybody attested."""
        return self.participants * self.seated.bytes, self.participants * self.seated.cpu

    @property
    def committee(self) -> tuple[int, float]:
        """Bytes and seconds of the committee alone."""
        return self.seats * self.seated.bytes, self.seats * self.seated.cpu

    @property
    def nodes(self) -> tuple[int, float]:
        """Bytes and seconds of all nodes as they are: who has no seat watches."""
        size, seconds = self.committee
        if self.watching is not None:
            others = self.participants - self.seats
            size += others * self.watching.bytes
            seconds += others * self.watching.cpu
        return size, seconds

    @property
    def met(self) -> bool:
        """Whether `fednode create` predicts no less than a voter took."""
        return self.seated.cpu <= self.predicted


class Near:
    """A directory of one's own, before that of all others; what comes from there is counted, once:
    a Kubo holds what it has fetched.
    """

    def __init__(
        self, own: DirectoryStore, others: DirectoryStore, kinds: Mapping[CID, str]
    ) -> None:
        self._own = own
        self._others = others
        self._kinds = kinds
        self._seen: set[CID] = set()
        self.fetched: dict[str, int] = {}

    def get(self, cid: CID) -> bytes:
        """Read a block, from the others where it is not here."""
        if self._own.has(cid):
            return self._own.get(cid)
        data = self._others.get(cid)
        if cid in self._seen:
            return data
        self._seen.add(cid)
        kind = self._kinds.get(cid, "other")
        self.fetched[kind] = self.fetched.get(kind, 0) + len(data)
        return data

    def put(self, artefact: Artefact) -> None:
        """Keep blocks here."""
        self._own.put(artefact)

    def has(self, cid: CID) -> bool:
        """Tell whether a block is here."""
        return self._own.has(cid)

    def sized(self, size: int) -> Iterator[tuple[CID, bytes]]:
        """Yield the raw blocks of a size that are here."""
        return self._own.sized(size)

    def remove(self, cids: Sequence[CID], *, roots: Collection[CID] = ()) -> list[CID]:
        """Let go of blocks."""
        return self._own.remove(cids, roots=roots)

    @property
    def size(self) -> int:
        """Bytes that lie here."""
        return sum(file.stat().st_size for file in self._own.path.glob("??/b*"))


@dataclass(slots=True)
class Slip:
    """A carrier that keeps the ballot: how it gets to the chain is not what is measured."""

    ballots: list[Ballot] = field(default_factory=list)

    def commit(self, round_: Round, participant: ParticipantId, digest: Digest) -> bool:
        """Send nothing."""
        return False

    def vote(self, round_: Round, participant: ParticipantId, ballot: Ballot) -> bool:
        """Keep the ballot."""
        self.ballots.append(ballot)
        return True


class Scene:
    """One round of a federation, up to the vote."""

    def __init__(self, engine: Engine, model: str, participants: int) -> None:
        self._engine = engine
        self._folder = engine.folder / f"{model}-{participants}"
        self._others = DirectoryStore(self._folder / "others")
        self._kinds: dict[CID, str] = {}
        self.policy = _policy(engine, model, participants)
        self._contract = Federations(engine.chain, deploy(engine.chain, engine.creator))
        self._task = open_task(self.policy.model_spec)
        planned = plan(
            self.policy,
            self._task,
            None,
            chain_id=engine.chain.chain_id,
            ledger=self._contract.address,
        )
        self.predicted = planned.cost.seconds_per_voter
        self.leaves = planned.header.leaves
        federation, _ = create(self._contract, engine.creator, planned, self._others)
        self._kinds.update(dict.fromkeys(planned.artefact.blocks, "model"))
        self.crowd = Relayed(
            engine, self._contract, federation, planned.header, identity=self._identity
        )
        self._outside = Federation(self._contract, federation, self._others)
        self._commit()

    @property
    def parameters(self) -> int:
        """Parameters of the model."""
        return self._outside.rulebook.layout.size

    def members(self) -> tuple[Member, Member | None]:
        """Propose the round's result; measure somebody who votes on it, and somebody who cannot."""
        seated = self.crowd.committee()[-1]
        without = set(range(len(self.crowd.members))) - set(self.crowd.committee())
        voter = _Node(self, int(seated))
        watcher = _Node(self, min(without)) if without else None
        for node in (voter, watcher):
            if node is not None:
                node.step()
        self._propose()
        voter.step()
        assert voter.slip.ballots[0].support
        if watcher is None:
            return voter.found(), None
        state = self._outside.refresh()
        turn = turn_of(state, self.crowd.members[min(without)].address, beside=False)
        self._engine.jump(turn.between(*challenge_time(state, state.round.proposal)))
        watcher.step()
        return voter.found(), watcher.found()

    def open_node(
        self, name: str, account: Account, clock: Clock
    ) -> tuple[Near, Participant, Journal, Slip]:
        """Start a participant with a directory and a journal of its own."""
        near = Near(DirectoryStore(self._folder / name), self._others, self._kinds)
        contract = Federations(timed(self._engine.chain, clock, "chain"), self._contract.address)
        view = Federation(contract, self.crowd.id, TimedStore(near, clock))
        journal = Journal(self._folder / f"{name}-journal", self.crowd.id)
        none = np.zeros(0, dtype=np.int64)
        rows = Table(np.zeros((0, 1), dtype=np.int32), none, none)
        slip = Slip()
        node = Participant(view, account, Trainer(self._task, rows), journal, slip)
        near.fetched.clear()
        return near, node, journal, slip

    def _identity(self, account: Account) -> Digest:
        artefact = identity_artefact(sign_identity(account, account.address))
        self._publish("identities", artefact)
        return artefact.roots[0].digest

    def _publish(self, kind: str, artefact: Artefact) -> None:
        self._others.put(artefact)
        self._kinds.update(dict.fromkeys(artefact.blocks, kind))

    def _commit(self) -> None:
        """Publish random updates, and post a batch of commits to them."""
        state = self._outside.refresh()
        context = self._outside.replica.context(state.round)
        leaves = []
        for index, account in enumerate(self.crowd.members):
            digest = self._update(context, index)
            commit = Commit(self.crowd.id, state.round.index, index, digest)
            signature = self.crowd.domain.sign(account, commit)
            leaves.append(Leaf(index, digest, signature))
        batch = Batch.of(leaves)
        self._publish("batch", batch.artefact())
        self.crowd.batch(0, root=batch.posted.root, index=batch.posted.index)
        self.crowd.close()

    def _update(self, context: RoundContext, index: int) -> Digest:
        values = np.random.default_rng(index).integers(
            -(1 << 15), 1 << 15, self.parameters, dtype=np.int32
        )
        data = Payload(pad(values, self.leaves))
        value: cbor.Value = {"seed": [0, 0, index], "environment": environment()}
        training = record(value)
        header = context.update_header(index, data, training=training[0].digest)
        artefact = update_artefact(header, data, training)
        self._publish("payloads", artefact)
        self._kinds[artefact.roots[0]] = "headers"
        self._kinds[artefact.roots[1]] = "indexes"
        self._kinds[training[0]] = "records"
        return header.digest()

    def _propose(self) -> None:
        view = self._outside
        round_ = view.refresh().round
        outcome = view.compose(round_, view.slots(round_))
        artefact, index = view.bundle(outcome)
        self._publish("result", artefact)
        self.crowd.propose(outcome.header, index)


class _Node:
    """A participant, stepped under a clock that counts CPU seconds."""

    def __init__(self, scene: Scene, index: int) -> None:
        account = scene.crowd.members[index]
        self._clock = Clock(time.process_time)
        opened = scene.open_node(str(index), account, self._clock)
        self._near, self._node, self._journal, self.slip = opened
        self._before = self._near.size

    def step(self) -> None:
        """Do what is due."""
        with instrument(self._clock), self._clock.acting(ATTESTING):
            self._node.step()

    def found(self) -> Member:
        """Give what it took, without following the chain."""
        parts = {key.part: spent.seconds for key, spent in self._clock.take().items()}
        seconds = {
            "signatures": parts.get("signatures", 0.0),
            "hash": parts.get("hash", 0.0),
            "recompute": parts.get("aggregate", 0.0) + parts.get("encode", 0.0),
            "store": parts.get("store", 0.0),
            "other": parts.get("other", 0.0) + parts.get("value", 0.0),
        }
        reported = sum(attested(self._journal).values(), Effort())
        written = self._near.size - self._before
        return Member(dict(self._near.fetched), written, seconds, reported)


def _policy(engine: Engine, model: str, participants: int) -> Policy:
    """Give a built-in policy in this size: everybody through the relay, nothing measured."""
    name, kind, options = MODELS[model]
    policy = built_in(name).rest_record()
    changes: dict[str, dict[str, object]] = {
        "federation": {
            "open": True,
            "start_participants": participants,
            "max_participants": participants,
            "committee_size": SEATS,
            "least_updates": 1,
            "relay": engine.creator.address,
        },
        "task": {"model": kind, "options": options, "private": []},
        "evaluation": {"mode": "none", "metric": "accuracy"},
        "valuation": {"kind": "none"},
        "reward": {"pool": 0},
        "stake": {"stake": 0, "proposer_bond": 0},
        "data": {"statistics": False, "sites": list(SITES[name])},
        "windows": {
            **dict.fromkeys(("commit", "reveal", "propose", "attest"), WINDOW),
            "batch": WINDOW // 2,
            "challenge": 2 * WINDOW,
        },
    }
    for section, values in changes.items():
        old = policy.get(section)
        policy[section] = {**(old if isinstance(old, dict) else {}), **values}  # type: ignore[dict-item]
    return Policy.model_validate(policy)


def measure(engine: Engine, models: Sequence[str], sizes: Sequence[int]) -> Iterator[Line]:
    """Play a round of every model and size."""
    for model in models:
        for participants in sizes:
            scene = Scene(engine, model, participants)
            seated, watching = scene.members()
            yield Line(
                model=model,
                parameters=scene.parameters,
                participants=participants,
                seats=min(participants, SEATS),
                payload=1024 * scene.leaves,
                seated=seated,
                watching=watching,
                predicted=scene.predicted,
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print tables, or JSON; exit with 1 where a round took longer than was predicted."""
    parser = argparse.ArgumentParser(prog="attesting", description="What attesting costs.")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["mlp", "cnn"])
    parser.add_argument("--participants", type=int, nargs="+", default=PARTICIPANTS, metavar="N")
    parser.add_argument("--engine", choices=("anvil", "embedded"), default="anvil")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    lines = []
    with open_engine(options.engine, members=0) as engine:
        for line in measure(engine, options.models, options.participants):
            lines.append(line)
            if not options.json:
                print(text(line), flush=True)
    if options.json:
        print(json.dumps([{**asdict(line), "met": line.met} for line in lines], indent=2))
    return 0 if all(line.met for line in lines) else 1


def text(line: Line) -> str:
    """Write a line for people."""
    rows = [
        f"{line.model}, {line.parameters:,} parameters, n = {line.participants}, "
        f"{line.seats} seats, {line.payload:,} bytes a payload",
        _member("a seat", line.seated),
    ]
    if line.watching is not None:
        rows.append(_member("no seat, watches", line.watching))
    totals = (
        ("everybody attests", line.everybody),
        ("the committee alone", line.committee),
        ("as nodes are", line.nodes),
    )
    for name, (size, seconds) in totals:
        share = seconds / line.everybody[1]
        rows.append(f"  all: {name:<20}{size / 1e6:>10.2f} MB {seconds:>9.3f} s {share:>6.0%}")
    met = "met" if line.met else "MISSED"
    rows.append(
        f"  predicted for a voter: {line.predicted:.2f} s (target: at least what it took, {met})"
    )
    return "\n".join(rows)


def _member(name: str, member: Member) -> str:
    kinds = ", ".join(f"{kind} {size:,}" for kind, size in sorted(member.fetched.items()))
    parts = ", ".join(f"{part} {seconds:.3f}" for part, seconds in member.seconds.items())
    return (
        f"  {name}: fetched {member.bytes / 1e6:.2f} MB ({kinds} bytes), "
        f"wrote {member.written / 1e6:.2f} MB\n"
        f"    {member.cpu:.3f} s of processor ({parts}); its own report: {member.reported}"
    )


if __name__ == "__main__":
    sys.exit(main())
