"""A small federation in which all goes well, in the clear or sealed, with the same updates."""

import random
from dataclasses import dataclass, field

import numpy as np

from ledger import artefacts
from ledger.artefacts import PAYLOAD, TRAINING, ResultReader
from ledger.headers import ResultHeader
from ledger.nodes import Entry
from ledger.payload import Payload, pad
from ledger.proceedings import Round
from ledger.round import Int32, Outcome, RoundContext, Slot, compose
from ledger.sealing import Content, SealingKey, Vault
from ledger.stores import Artefact
from ledger.types import Digest
from tests.tamper.policies import draw, terms, training_update, update_of
from tests.tamper.world import FIRST_MEMBER, Setting, World

MEMBERS = 3
KEYS = tuple(SealingKey.from_seed(bytes([number]) * 32) for number in range(1, 25))
AUDITOR, STRANGER = (SealingKey.from_seed(bytes([number]) * 32) for number in (100, 101))


class Entropy:
    """Random bytes that a test can repeat."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = random.Random(seed)

    def __call__(self, size: int) -> bytes:
        return self._rng.randbytes(size)


def vault(*keys: SealingKey) -> Vault:
    return Vault(keys, Entropy())


def text(*, sealed: bool, **fixed: object) -> str:
    settled: dict[str, object] = {
        "open": "false",
        "most": 6,
        "start": MEMBERS,
        "least": 1,
        "rounds": 3,
        "mode": "public",
        "valuation": "exact",
        "every": 1,
        "metric": "accuracy",
        "patience": 0,
        "statistics": "false",
        "pool": 10**18,
        "period": 0,
        "codes": "0, 1",
        "quorum": "0.6",
        "challenge": 61,
        "attempts": 3,
        "stake": 0,
        "bond": 0,
        "rule": "fedavg",
        "staleness": 0,
    }
    policy = draw(random.Random(7), **settled | fixed)
    if not sealed:
        return policy
    privacy = f'[privacy]\nauditors = ["{AUDITOR.public.hex()}"]\n'
    return f'visibility = "members"\n{policy}\n{privacy}'


@dataclass(slots=True)
class Scene:
    """A world with its honest nodes, all of which read with the same vault."""

    world: World
    updates: dict[tuple[int, int], Artefact] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)

    @classmethod
    def form(
        cls, *, sealed: bool, keys: Vault | None = None, members: int = MEMBERS, **fixed: object
    ) -> "Scene":
        """Create a federation and let its members join, each with a key of its own."""
        setting = Setting.draw(random.Random(3), terms(text(sealed=sealed, **fixed)))
        scene = cls(World(setting, keys or vault(*KEYS)))
        scene.world.create()
        for index in range(members):
            scene.join(index)
        return scene

    def join(self, index: int) -> None:
        """Let a participant join with its key."""
        self.world.join(FIRST_MEMBER + index, 10 * (index + 1), key=KEYS[index].public)

    @property
    def round(self) -> Round:
        return self.world.replica.state.round

    @property
    def context(self) -> RoundContext:
        return self.world.context()

    def values(self, index: int) -> Int32:
        """Draw an update that depends on round and participant alone."""
        rng = random.Random(f"{self.round.index} {index}")
        return training_update(rng, self.world.terms)

    def update(self, index: int, content: Content) -> tuple[Digest, Artefact]:
        """Make a participant's update under a content key."""
        context = self.context
        data = Payload(
            pad(self.values(index), context.policy.leaves), content.part(PAYLOAD), content.envelope
        )
        training = artefacts.record([context.round, index], content.part(TRAINING))
        return update_of(context, index, data, training)

    def commit(self, index: int, content: Content | None = None) -> Digest:
        """Commit to an update and publish it."""
        round_ = self.round
        digest, artefact = self.update(index, content or self.world.replica.fresh(round_))
        self.updates[round_.index, index] = artefact
        self.world.store.put(artefact)
        self.world.commit(index, digest)
        return digest

    def slots(self) -> list[Slot]:
        """Read what everybody published, as the vault can."""
        replica, leaves = self.world.replica, self.context.policy.leaves
        access, locked = replica.access(self.round), replica.locked()
        found = [
            artefacts.read_update(self.world.store, commit.digest, leaves, access, locked=locked)
            for commit in self.round.commits
        ]
        return replica.slots(self.round, found)

    def compose(self, content: Content | None = None) -> Outcome:
        """Compute what the round comes to."""
        replica = self.world.replica
        content = content or replica.fresh(self.round)
        return compose(self.context, replica.standing(), self.slots(), self.world.rules, content)

    def propose(self, outcome: Outcome | None = None) -> ResultHeader:
        """Propose a result, and have everybody vote for it."""
        world, round_ = self.world, self.round
        outcome = outcome or self.compose()
        parent = world.replica.secret() if outcome.content.envelope else b""
        artefact, index = artefacts.result_artefact(outcome, parent=parent)
        world.store.put(artefact)
        turn = world.replica.state.in_turn(round_)
        assert turn is not None
        world.propose(turn.signer, outcome.header, index)
        self.outcomes.append(outcome)
        for voter in sorted(round_.proposal.committee.seated):
            if world.replica.state.phase.value == "attest":
                world.vote(voter, True)
        return outcome.header

    def settle(self) -> None:
        """Let time pass until every result has settled."""
        self.world.wait(self.world.time + 100)
        self.world.advance(self.world.signer(0))

    def play(self, rounds: int = 3) -> "Scene":
        """Play rounds in which everybody commits."""
        for _ in range(rounds):
            for participant in list(self.world.replica.state.participants):
                if participant.active(self.round.index):
                    self.commit(participant.index)
            self.propose()
        if self.world.replica.state.phase.value == "ended":
            self.settle()
        return self

    def reader(self, height: int) -> ResultReader:
        return self.world.replica.reader(self.world.replica.state.lineage[height - 1])

    def entries(self, outcome: Outcome) -> list[Entry]:
        return list(outcome.levels[0][0].entries[: len(self.round.commits)])


def same(left: Int32, right: Int32) -> bool:
    return bool(np.array_equal(left, right))
