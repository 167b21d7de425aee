"""The table of kinds of tampering: a name, the step that must name it, and how a case is made.

A lie is told by a proposer and signed by everybody: its bytes all hash to what its header says. A
forgery changes what was recorded. Both are small functions below a decorator, in `lies.py` and
`forgeries.py`; a case that happens to change nothing is None, and another one is drawn.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from fednode.auditing import run_audit
from ledger.audit.evidence import Evidence
from ledger.audit.verdict import Step, Verdict
from ledger.cid import CID
from ledger.stores import MemoryStore
from ledger.types import Address
from tests.tamper.policies import draw, terms
from tests.tamper.story import Lie, Opening, Story
from tests.tamper.world import CREATOR, Setting, World, account

POOL = 300
MOST_DRAWS = 4000


@dataclass(frozen=True, slots=True)
class Case:
    """Tampered evidence, and what the audit must say about it beside the step."""

    evidence: Evidence
    round: int | None
    signer: Address | None


Make = Callable[[random.Random], Case | None]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of tampering."""

    name: str
    step: Step
    make: Make


@dataclass(frozen=True, slots=True)
class Tried:
    """What an audit said about one case."""

    kind: Kind
    case: Case
    verdict: Verdict

    @property
    def found(self) -> bool:
        """Whether the audit failed."""
        return not self.verdict.holds

    @property
    def named(self) -> bool:
        """Whether it named step, round and signer."""
        finding = self.verdict.finding
        if finding is None:
            return False
        expected = (self.kind.step, self.case.round, self.case.signer)
        return expected == (finding.step, finding.round, finding.signer)


KINDS: dict[str, Kind] = {}


def kind(name: str, step: Step) -> Callable[[Make], Make]:
    """Register how cases of a kind are made."""

    def register(make: Make) -> Make:
        assert name not in KINDS, name
        KINDS[name] = Kind(name, step, make)
        return make

    return register


def lie(
    name: str,
    step: Step,
    *,
    refused: str | None = None,
    fates: tuple[str, ...] | None = None,
    policy: Mapping[str, object] | None = None,
    opens: Opening | None = None,
) -> Callable[[Lie], Lie]:
    """Register a lie; a sound contract would have refused its field `refused`, if any.

    `fates` settles what careless participants' updates are like, `policy` some of its terms,
    `opens` what the holder of slices shows.
    """

    def register(told: Lie) -> Lie:
        @kind(name, step)
        def make(rng: random.Random) -> Case | None:
            world = World(Setting.draw(rng, terms(draw(rng, **(policy or {})))))
            story = Story(rng, world, lie=told, refused=refused, clumsy=0.5, opens=opens)
            if fates is not None:
                story.fates, story.carelessness = fates, 1.0
            lineage = story.tell().replica.state.lineage
            lied = story.lied
            accepted = {(a.round, a.result) for a in lineage}
            if lied is None or (lied.round, lied.result) not in accepted:
                return None
            return Case(world.evidence(), lied.round, lied.proposer)

        return told

    return register


Forge = Callable[[random.Random, "Clean"], Case | None]


def forgery(name: str, step: Step) -> Callable[[Forge], Forge]:
    """Register a change to the evidence of a federation in which all was well."""

    def register(forge: Forge) -> Forge:
        @kind(name, step)
        def make(rng: random.Random) -> Case | None:
            return forge(rng, clean(rng.randrange(POOL)))

        return forge

    return register


class SpyStore(MemoryStore):
    """A store that notes what is read."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__()
        self.blocks = dict(store.blocks)
        self.read: dict[CID, None] = {}

    def get(self, cid: CID) -> bytes:
        """Return a block and note it."""
        data = super().get(cid)
        self.read[cid] = None
        return data


@dataclass(frozen=True, slots=True)
class Clean:
    """A federation in which all was well, the audit of it, and the blocks that the audit read."""

    world: World
    verdict: Verdict
    read: tuple[CID, ...]


@lru_cache(maxsize=POOL)
def clean(seed: int) -> Clean:
    """Tell a story without a liar and audit it. Nobody may change what comes back."""
    rng = random.Random(f"clean {seed}")
    fixed: dict[str, object] = {}
    if seed % 20 == 0:
        fixed = {"most": rng.randint(17, 20), "valuation": "none"}
    elif seed % 3 == 0:
        fixed = {"mode": "public", "valuation": "exact", "pool": 10**18}
    world = World(Setting.draw(rng, terms(draw(rng, **fixed))))
    Story(rng, world).tell()
    store = SpyStore(world.store)
    evidence = world.evidence()
    verdict = run_audit(
        Evidence(
            evidence.origin,
            evidence.block,
            evidence.deployment,
            evidence.events,
            evidence.h,
            store,
            evidence.gas,
        )
    )
    return Clean(world, verdict, tuple(cid for cid in store.read if _needed(world, cid)))


def _needed(world: World, cid: CID) -> bool:
    """Whether an audit must fail without a block. In an open federation nobody vouches for who a
    stranger says it is, and its record is not needed.
    """
    owner = world.owners.get(cid)
    if owner is None:
        return False
    strangers = world.header.open and owner.round is None
    return not strangers or owner.signer in (None, account(CREATOR).address)


def trial(of: Kind, number: int) -> Tried:
    """Make a case of a kind, the same one for the same number, and audit it."""
    rng = random.Random(f"{of.name} {number}")
    for _ in range(MOST_DRAWS):
        case = of.make(rng)
        if case is not None:
            return Tried(of, case, run_audit(case.evidence))
    raise AssertionError(f"{of.name}: no case in {MOST_DRAWS} draws")
