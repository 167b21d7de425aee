"""Worlds to draw, and proofs of every kind against a result, whether they hold or not."""

from collections.abc import Iterator

from hypothesis import strategies as st

from ledger.headers import Evaluation, Rule, Valuation
from ledger.nodes import FAN_OUT, shape
from ledger.proofs import Disputed, Proof, Wanted
from ledger.proofs.reading import place_of
from tests.ledger.proofs.world import Choices, Made, World


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw a world."""
    valuation = draw(st.sampled_from(Valuation))
    slots = draw(st.integers(1, 8 if valuation is Valuation.EXACT else 20))
    return World(
        Choices(
            seed=draw(st.integers(0, 1 << 32)),
            slots=slots,
            batched=draw(st.integers(0, min(slots, 6))),
            leaves=draw(st.sampled_from((1, 2, 3, 5))),
            rule=draw(st.sampled_from(Rule)),
            height=draw(st.integers(1, 5)),
            statistics=draw(st.sampled_from((0, 0, 5))),
            least=draw(st.integers(1, 3)),
            period=draw(st.integers(0, 3)),
            every=draw(st.integers(1, 2)),
            valuation=valuation,
            evaluation=draw(st.sampled_from(Evaluation)),
            staleness=draw(st.integers(0, 2)),
            visibility=draw(st.sampled_from((0, 1))),
            stop=draw(st.booleans()),
            extreme=draw(st.booleans()),
        )
    )


def every_proof(world: World, made: Made) -> Iterator[Proof]:
    """Write a proof of every kind at every place of a result, opened as it was published."""
    d: Disputed = world.dispute(made)
    trees = made.trees
    prover = d.prover(trees.nodes)
    yield prover.top()
    yield prover.measured()
    yield prover.gain(trees.utilities)
    for index in range(sum(shape(d.case.slots))):
        place = place_of(index, d.case.slots)
        yield prover.totals(index)
        for below in range(place.first, place.first + place.children) if place.level else ():
            yield prover.child(below, index)
    for slot in range(d.case.slots):
        yield from _of_slot(world, d, made, slot)
    for index in range(d.case.known):
        yield prover.value(index, trees.values, trees.nodes, trees.utilities)
        yield prover.score(index, trees.values, d.scales[index])
        yield prover.payout(index, trees.payouts, trees.values)
    yield from _of_payloads(world, d, made)


def every_way(disputed: Disputed, made: Made) -> Iterator[tuple[Wanted, bytes]]:
    """Give all that evidence can lead through, with the kinds of demands behind it."""
    header = made.header.encode()
    nodes = made.trees.nodes
    plain = (Wanted.MODEL, Wanted.NODE, Wanted.VALUES, Wanted.PAYOUTS, Wanted.UTILITIES)
    yield from ((kind, header) for kind in plain)
    if disputed.parent is not None:
        yield Wanted.UTILITIES, header + disputed.parent.header.encode()
    for index in range(sum(shape(disputed.case.slots))):
        yield Wanted.SUM, header + index.to_bytes(4, "big") + nodes.open(index)
    for slot in range(disputed.case.slots):
        way = header + slot.to_bytes(4, "big") + nodes.open(slot // FAN_OUT)
        yield from ((kind, way) for kind in (Wanted.INPUT, Wanted.HEADER, Wanted.BATCH))


def _of_slot(world: World, d: Disputed, made: Made, slot: int) -> Iterator[Proof]:
    prover = d.prover(made.trees.nodes)
    yield prover.weight(slot)
    yield prover.entry_slot(slot, d.batch.open(slot) if d.batch and slot < d.case.batched else b"")
    if slot in d.headers:
        yield prover.entry_header(slot, d.headers[slot])
        for leaf in range(world.choices.leaves):
            yield prover.bound(slot, leaf, d.inputs[slot].open(leaf))
    for other in range(d.case.slots):
        yield prover.twice(slot, other)
        yield prover.superseded(slot, other)


def _of_payloads(world: World, d: Disputed, made: Made) -> Iterator[Proof]:
    trees = made.trees
    prover = d.prover(trees.nodes)
    weighted = [i for i, e in enumerate(world.entries) if e.weight]
    for leaf in range(world.choices.leaves):
        models = (d.previous.open(leaf), trees.model.open(leaf))
        if not trees.sums:
            inputs = [d.inputs[slot].open(leaf) for slot in weighted]
            yield prover.step_of(leaf, trees.nodes, inputs, models)
            continue
        for half in (2 * leaf, 2 * leaf + 1):
            yield prover.step(half, trees.sums[trees.nodes.size - 1].open(half), models)
            for node in range(shape(d.case.slots)[0]):
                slots = [s for s in weighted if s // FAN_OUT == node]
                inputs = [d.inputs[slot].open(leaf) for slot in slots]
                yield prover.sum(node, half, trees.sums[node].open(half), inputs)
            for node in range(shape(d.case.slots)[0], sum(shape(d.case.slots))):
                place = place_of(node, d.case.slots)
                below = range(place.first, place.first + place.children)
                inner = {s // FAN_OUT for s in weighted}  # of two levels at most
                opened = [trees.sums[n].open(half) for n in below if n in inner]
                yield prover.sum(node, half, trees.sums[node].open(half), opened)
