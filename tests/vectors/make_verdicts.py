"""Writes verdicts.bin, which pytest and forge both check: `python -m tests.vectors.make_verdicts`.

Proofs of every kind against right and wrong results of many small worlds, what the verifier says of
each (a question, or nothing if it refuses), and bytes whose change makes it refuse. ABI-encoded as
`Trial[]` of `contracts/test/verifier/Verdicts.t.sol`: as text it would be four times as large, and
forge reads text slowly. Deterministic, as `make.py`.
"""

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import astuple, replace
from itertools import islice, product
from pathlib import Path
from typing import NamedTuple

from eth_abi.abi import encode

from ledger import merkle
from ledger.headers import Evaluation, PolicyHeader, Rule, UpdateHeader, Valuation
from ledger.nodes import ENTRY_SIZE, FAN_OUT, Entry, Node, Reason, shape
from ledger.payload import LANES
from ledger.proofs import Case, Kind, NoProof, Proof, Prover, Question, check, find
from ledger.proofs.entries import is_beyond
from ledger.proofs.reading import Reader
from ledger.proofs.valuing import PER_LEAF
from ledger.types import ZERO_DIGEST, Digest
from tests.ledger.proofs.lies import LIES, with_node, with_word
from tests.ledger.proofs.onchain import CASE, QUESTION, TERMS, terms
from tests.ledger.proofs.samples import every_proof
from tests.ledger.proofs.world import Choices, Made, World

FILE = Path(__file__).resolve().parent / "verdicts.bin"
TRIALS = f"({TERMS},{CASE},bytes,bytes,bytes)[]"
"""Terms, case, squeezed proof, question (empty if refused), and changes.

A change is three bytes of a place, and one that is exchanged for the byte there by exclusive or.
"""
CHANGES = 4
WORLDS = 56
SHARDS = 12
EXTREME = 3
WIDE = 24
PLAYERS = Choices(seed=3, slots=11, leaves=1, valuation=Valuation.EXACT, trouble=False)
"""Of ten players the utilities fill two leaves."""
MOST, FEW = 10, 2
"""So many proofs of each kind are drawn: of small and large trees, shown and refused, and found by
a challenger or not; fewer of the last kinds, which are told apart further.
"""
EDGES = 400
VALUES = (0, 1, 2, 1 << 16, (1 << 32) - 1, 1 << 32, (1 << 64) - 1, 1 << 64, 1 << 255)
"""At least so many proofs are about nodes whose words have these values, about nodes at the wrong
place, or of kinds that are none.
"""
REASON, POSITION = 5, 6
"""Words of an entry."""
Trial = tuple[PolicyHeader, Case, bytes]
Encoded = tuple[object, object, bytes, bytes, bytes]


def render() -> bytes:
    """Make the file's content."""
    draw = random.Random(1)
    sorts: dict[tuple[int, ...], list[Trial]] = defaultdict(list)
    edges = [t for seed in range(WIDE) for t in _of_bounds(World(Choices(seed, slots=9, leaves=3)))]
    drawn = [*map(choices, range(WORLDS)), *map(_by_shards, range(SHARDS)), PLAYERS]
    for seed in range(EXTREME):
        for draw_choices in (choices, _by_shards):
            edges += _of_extremes(World(replace(draw_choices(seed), extreme=True)))
    for world in map(World, drawn):
        large = world.choices.slots > FAN_OUT
        for found, trial in _of_world(world):
            kind, refused = trial[2][0], _verdict(*trial) is None
            period = _period(world) if kind >= Kind.VALUE else ()
            sorts[(kind, refused, found, large, *period)].append(trial)
        if world.parts.utilities and (
            world.choices.evaluation is Evaluation.SHARDS or world.choices is PLAYERS
        ):
            edges += _of_values(world)
        if large and world.honest.header.weight and len(edges) < EDGES:
            edges += [*_of_edges(world), *_of_far(world, draw)]
    chosen = [
        trial
        for sort, trials in sorted(sorts.items())
        for trial in draw.sample(trials, min(FEW if sort[0] >= Kind.VALUE else MOST, len(trials)))
    ]
    return encode([TRIALS], [[_told(*trial, draw) for trial in chosen + edges]])


def _period(world: World) -> tuple[int, ...]:
    """What decides which numbers a proof about values, gain or payouts opens."""
    of, full = world.policy, len(world.parts.utilities) > PER_LEAF
    return of.evaluation, of.valuation, of.valuation_every, world.ended is not None, full


def choices(seed: int) -> Choices:
    """Draw a world: all that a policy can choose, and few leaves, which keeps proofs short."""
    draw = random.Random(seed)
    valuation = draw.choice(list(Valuation))
    slots = draw.choice((1, 2, 4, 6) if valuation is Valuation.EXACT else (2, 3, 5, 7, 17, 20))
    return Choices(
        seed=seed,
        slots=slots,
        batched=draw.randint(0, min(slots, 4)),
        leaves=draw.choice((1, 1, 2, 3)) if slots < 10 else 1,
        rule=draw.choice((Rule.WEIGHTED_MEAN, *Rule)),
        height=draw.randint(1, 5),
        statistics=draw.choice((0, 0, 5)),
        least=draw.randint(1, 3),
        period=draw.randint(0, 3),
        every=draw.randint(1, 2),
        valuation=valuation,
        evaluation=draw.choice(list(Evaluation)),
        staleness=draw.randint(0, 2),
        visibility=draw.choice((0, 1)),
        stop=draw.random() < 0.2,
    )


def _by_shards(seed: int) -> Choices:
    """A world whose sites count each other's hits: of the others few measure anything."""
    draw = random.Random(f"shards {seed}")
    every = 1 + seed % 3
    return replace(
        choices(seed),
        slots=draw.randint(3, 6),
        batched=0,
        leaves=1,
        height=every * draw.randint(1, 4 // every) + 1,
        statistics=0,
        period=0,
        every=every,
        valuation=Valuation.EXACT if seed % 4 else Valuation.LEAVE_ONE_OUT,
        evaluation=Evaluation.SHARDS,
    )


def _of_world(world: World) -> Iterator[tuple[bool, Trial]]:
    """Try the right result, and wrong ones: whether a challenger finds the proof, and the proof."""
    draw = random.Random(repr(world.choices))
    yield from _of_result(world, world.honest, draw)
    for name in sorted(LIES):
        lies = [m for m in islice(LIES[name](world), 40) if m.header != world.honest.header]
        # The last one is about the highest node, where there are several.
        for made in [*draw.sample(lies, min(3, len(lies))), *lies[-1:]]:
            yield from _of_result(world, made, draw)


def _of_edges(world: World) -> Iterator[Trial]:
    """Put numbers of every width into a node's words, and add up; and try kinds that are none."""
    nodes = world.parts.nodes
    weighty = next(i for i, entry in enumerate(world.entries) if entry.weight)
    for index, entry in ((weighty // FAN_OUT, weighty % FAN_OUT), (len(nodes) - 1, 0)):
        for word in range(ENTRY_SIZE // 32):
            for value in VALUES:
                made = with_node(world, index, with_word(nodes[index], entry, word, value))
                disputed = world.dispute(made)
                proof = disputed.prover(made.trees.nodes).totals(index)
                yield world.policy, disputed.case, proof.data
    index, entry = divmod(weighty, FAN_OUT)
    beyond = with_word(nodes[index], entry, REASON, Reason.BEYOND_BOUND)
    behind = world.policy.leaves * LANES
    for value in (*VALUES, behind - 1, behind):
        made = with_node(world, index, with_word(beyond, entry, POSITION, value))
        disputed = world.dispute(made)
        prover = disputed.prover(made.trees.nodes)
        yield world.policy, disputed.case, prover.bound(weighty).data
        yield (
            world.policy,
            disputed.case,
            prover.bound(weighty, 0, disputed.inputs[weighty].open(0)).data,
        )
    disputed = world.dispute(world.honest)
    prover, last = disputed.prover(world.honest.trees.nodes), len(nodes) - 1
    misplaced = [prover.child(*pair).data for pair in ((0, 0), (last, 0), (last, last))]
    misplaced += [bytes([Kind.TOP]) + prover.totals(index).data[1:] for index in range(last)]
    none = [bytes([k]) + disputed.header.encode() for k in (0, len(Kind) + 1, 255)]
    for data in misplaced + none:
        yield world.policy, disputed.case, data


def _of_bounds(world: World) -> Iterator[Trial]:
    """Look for other coordinates beyond the bound than the one that an entry names."""
    disputed = world.dispute(world.honest)
    prover = disputed.prover(world.honest.trees.nodes)
    first = not world.lineage
    for slot, entry in enumerate(world.entries):
        if entry.reason != Reason.BEYOND_BOUND:
            continue
        values = enumerate(world.updates[slot])
        beyond = {at // LANES for at, value in values if is_beyond(world.policy, at, value, first)}
        for leaf in sorted(beyond - {entry.position // LANES}):
            proof = prover.bound(slot, leaf, disputed.inputs[slot].open(leaf))
            yield world.policy, disputed.case, proof.data


class Far(NamedTuple):
    """One leaf of a tree that is too large to be made: who wrote its path chose its root."""

    leaf: bytes
    path: bytes

    def open(self, _: int) -> bytes:
        return self.leaf + self.path


def _of_far(world: World, draw: random.Random) -> Iterator[Trial]:
    """Look at slots and at participants that only a large federation has, two of them one's own."""
    disputed = world.dispute(world.honest)
    weighted = [slot for slot, entry in enumerate(world.entries) if entry.weight]
    for reason, slots in product(Reason, (70_000, (1 << 20) + 3)):
        size, slot = sum(shape(slots)), draw.randrange(1 << 16, slots - FAN_OUT)
        other, low = slot ^ 1, slot // FAN_OUT * FAN_OUT
        like, owner = draw.choice(weighted), draw.randrange(1 << 16, slots)
        update = UpdateHeader.decode(world.headers[like])
        update = replace(update, participant=owner, dataset=draw.randrange(1 << 16, 1 << 32))
        one = replace(world.entries[like], digest=update.digest(), participant=owner)
        entries = [Entry()] * FAN_OUT
        entries[slot - low] = one
        entries[other - low] = replace(one, reason=reason)
        node = Node.of(entries, ZERO_DIGEST)
        plain = _far(node.encode(), slot // FAN_OUT, size, draw)
        entries[slot - low] = replace(one, reason=Reason.SUPERSEDED, position=other)
        node = Node.of(entries, ZERO_DIGEST)
        named = _far(node.encode(), slot // FAN_OUT, size, draw)
        batched = draw.choice((0, 1 << 16))
        for nodes in (plain, named):
            header = replace(world.honest.header, nodes=_root(nodes, slot // FAN_OUT, size))
            case = replace(
                disputed.case, result=header.digest(), slots=slots, batched=batched, known=slots
            )
            prover = Prover(world.policy, case, header, nodes)
            for proof in (
                prover.totals(slot // FAN_OUT),
                prover.weight(slot),
                prover.entry_slot(slot),
                prover.entry_header(slot, update.encode()),
                prover.twice(slot, other),
                prover.twice(other, slot),
                prover.superseded(slot, other),
            ):
                yield world.policy, case, proof.data


def _of_values(world: World) -> Iterator[Trial]:
    """Open every participant's value, with the players that counted on shards, and with none."""
    disputed, trees = world.dispute(world.honest), world.honest.trees
    prover = disputed.prover(trees.nodes)
    assert prover.parent is not None
    nobody = replace(prover, parent=replace(prover.parent, slots=0))
    for by, index in product((prover, nobody), range(min(world.known, 4))):
        proof = by.value(index, trees.values, trees.nodes, trees.utilities)
        yield world.policy, disputed.case, proof.data


def _of_extremes(world: World) -> Iterator[Trial]:
    """Add up what does not fit: the gain and the values of a right result, and of wrong ones."""
    lies = [*islice(LIES["header"](world), 2, 3), *islice(LIES["values"](world), 0, 9, 3)]
    for made in (world.honest, *lies):
        disputed, trees = world.dispute(made), made.trees
        prover = disputed.prover(trees.nodes)
        yield world.policy, disputed.case, prover.gain(trees.utilities).data
        for index in range(min(world.known, 3)):
            proof = prover.value(index, trees.values, trees.nodes, trees.utilities)
            yield world.policy, disputed.case, proof.data


def _far(leaf: bytes, index: int, size: int, draw: random.Random) -> Far:
    return Far(leaf, draw.randbytes(32 * len(merkle.sides(index, size) or ())))


def _root(far: Far, index: int, size: int) -> Digest:
    return Reader(far.path).climb(merkle.leaf_hash(far.leaf), index, size)


def _of_result(world: World, made: Made, draw: random.Random) -> Iterator[tuple[bool, Trial]]:
    disputed = world.dispute(made)
    found = find(disputed)
    if isinstance(found, Proof):
        yield True, (world.policy, disputed.case, found.data)
    for proof in _sample(world, made, draw):
        yield False, (world.policy, disputed.case, proof.data)


def _sample(world: World, made: Made, draw: random.Random) -> list[Proof]:
    """Choose two proofs of each kind: any one, and the last, which is about the highest node."""
    by_kind: dict[int, list[Proof]] = defaultdict(list)
    for proof in every_proof(world, made):
        by_kind[proof.kind].append(proof)
    return [
        proof
        for _, proofs in sorted(by_kind.items())
        for proof in (draw.choice(proofs), proofs[-1])
    ]


def _told(policy: PolicyHeader, case: Case, proof: bytes, draw: random.Random) -> Encoded:
    """What is said of a proof; if it is not refused, with changes for which it is."""
    question = _verdict(policy, case, proof)
    changes = []
    for _ in range(CHANGES if question else 0):
        at, xor = draw.randrange(len(proof)), 1 << draw.randrange(8)
        changed = proof[:at] + bytes([proof[at] ^ xor]) + proof[at + 1 :]
        if _verdict(policy, case, changed) is None:
            changes.append(at.to_bytes(3, "big") + bytes([xor]))
    answer = encode([QUESTION], [astuple(question)]) if question else b""
    return terms(policy), astuple(case), squeeze(proof), answer, b"".join(changes)


def squeeze(data: bytes) -> bytes:
    """Write down four bytes of size, a bit for each word that is not zero, and these words."""
    words = [data[at : at + 32].ljust(32, b"\0") for at in range(0, len(data), 32)]
    bits = sum(1 << k for k, word in enumerate(words) if any(word))
    marks = bits.to_bytes((len(words) + 7) // 8, "little")
    return len(data).to_bytes(4, "big") + marks + b"".join(word for word in words if any(word))


def _verdict(policy: PolicyHeader, case: Case, proof: bytes) -> Question | None:
    try:
        return check(policy, case, proof)
    except NoProof:
        return None


if __name__ == "__main__":
    FILE.write_bytes(render())
