"""Every way to lie in a result that a proof can show.

A lie is told consistently: what follows from it follows, so nothing else gives it away.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from ledger import payouts
from ledger.headers import Evaluation, Rule
from ledger.nodes import ENTRY_SIZE, FAN_OUT, Entry, Reason, shape
from ledger.proofs.periods import is_idle
from ledger.types import ZERO_DIGEST, Digest
from tests.ledger.proofs.world import INT64, INT256, Made, Parts, World

Lie = Callable[[World], Iterator[Made]]
OTHER = Digest(b"\7" * 32)


def about_entries(world: World) -> Iterator[Made]:
    """Give every slot's entry another reason, weight, root, digest, owner or position."""
    for slot, entry in enumerate(world.entries):
        for other in _other_entries(world, slot, entry):
            entries = list(world.entries)
            entries[slot] = other
            if any(e.weight and i not in world.updates for i, e in enumerate(entries)):
                continue
            yield world.make(world.compose(entries))


def _other_entries(world: World, slot: int, entry: Entry) -> Iterator[Entry]:
    reason = Reason(entry.reason)
    if reason is Reason.MISSING:
        return
    yield replace(entry, digest=OTHER)
    yield replace(entry, participant=(entry.participant + 1) % world.known)
    if reason is not Reason.UNAVAILABLE:
        yield replace(entry, root=OTHER)
        yield replace(entry, position=entry.position + 1)
    if reason is Reason.COUNTED:
        yield replace(entry, weight=entry.weight + 1, number=1)
    if entry.weight > 1:
        yield replace(entry, weight=entry.weight - 1)
    if entry.weight or (reason is Reason.TOO_FEW and entry.number):
        yield replace(entry, weight=0, number=0)
    bare = replace(entry, root=ZERO_DIGEST, weight=0, number=0, position=0)
    if reason is Reason.UNAVAILABLE:
        return
    for claimed in (Reason.MALFORMED, Reason.UNSIGNED, Reason.SUPERSEDED):
        if claimed is not reason:
            yield replace(bare, reason=claimed)
    rooted = replace(bare, root=world.tree(world.updates[slot], f"update {slot}").root)
    for claimed in (Reason.FOREIGN, Reason.BEYOND_BOUND, Reason.COUNTED):
        if claimed is not reason and not (claimed is Reason.COUNTED and reason in _LABELS):
            yield replace(rooted, reason=claimed)
    if reason is not Reason.COUNTED:
        yield replace(rooted, reason=Reason.COUNTED, weight=5, number=1)
    if reason is not Reason.TOO_FEW:
        yield from (replace(rooted, reason=Reason.TOO_FEW, number=number) for number in (0, 1))
    idle = is_idle(world.policy, world.choices.height, stop=world.choices.stop)
    if reason is not Reason.IDLE and not (idle and reason is Reason.COUNTED):
        yield replace(rooted, reason=Reason.IDLE)


_LABELS = {Reason.TOO_FEW, Reason.IDLE}
"""Of an update without weight it is all one whether it is called left out or counted with none."""


def about_nodes(world: World) -> Iterator[Made]:
    """Let a node say what does not follow from its entries, and all above repeat it."""
    nodes = world.parts.nodes
    sizes = shape(world.choices.slots)
    for index, node in enumerate(nodes):
        for at in (FAN_OUT * ENTRY_SIZE + 63, FAN_OUT * ENTRY_SIZE + 95):
            yield with_node(world, index, _plus_one(node, at))
        children = min(FAN_OUT, world.choices.slots - index * FAN_OUT)
        if index < sizes[0] and children < FAN_OUT:
            yield with_node(world, index, _plus_one(node, children * ENTRY_SIZE + 95))
        if index >= sizes[0]:
            for word in range(7):
                yield with_node(world, index, _plus_one(node, 32 * word + 31))
        if world.policy.rule != Rule.WEIGHTED_MEAN:
            yield with_node(world, index, _plus_one(node, FAN_OUT * ENTRY_SIZE))


def _plus_one(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([(data[at] + 1) % 256]) + data[at + 1 :]


def with_word(node: bytes, entry: int, word: int, value: int) -> bytes:
    """Put a value into a word of a node's entry, and add up the weights and numbers of all."""
    at = entry * ENTRY_SIZE + 32 * word
    node = node[:at] + value.to_bytes(32, "big") + node[at + 32 :]
    words = [int.from_bytes(node[at : at + 32], "big") for at in range(0, len(node), 32)]
    width, sums = ENTRY_SIZE // 32, FAN_OUT * ENTRY_SIZE + 32
    totals = [sum(words[i * width + k] for i in range(FAN_OUT)) % (1 << 256) for k in (3, 4)]
    return node[:sums] + b"".join(total.to_bytes(32, "big") for total in totals)


def with_node(world: World, index: int, node: bytes) -> Made:
    """Put a node into its place, without telling those above."""
    nodes = world.parts.nodes
    return world.make(replace(world.parts, nodes=(*nodes[:index], node, *nodes[index + 1 :])))


def about_sums(world: World) -> Iterator[Made]:
    """Add one to a sum, in each node in turn, and let all above add that up."""
    parts = world.parts
    for index, right in enumerate(parts.sums):
        for lane in {0, len(right) // 2, len(right) - 1}:
            wrong = list(right)
            wrong[lane] += 1
            sums = (*parts.sums[:index], tuple(wrong), *parts.sums[index + 1 :])
            yield world.make(replace(parts, sums=sums, nodes=world.lay_nodes(world.entries, sums)))


def about_model(world: World) -> Iterator[Made]:
    """Move one coordinate of the model."""
    model = world.parts.model
    for lane in {0, world.random.randrange(len(model)), len(model) - 1}:
        moved = model[lane] + (1 if model[lane] < 0 else -1)
        changed = (*model[:lane], moved, *model[lane + 1 :])
        yield world.make(replace(world.parts, model=changed))


def about_header(world: World) -> Iterator[Made]:
    """Let the header say another weight, number, gain, sum of scores or total."""
    parts = world.parts
    honest = world.honest.header
    yield world.make(replace(parts, weight=parts.weight + 1))
    yield world.make(replace(parts, number=parts.number + 1))
    yield world.make(replace(parts, gain=_another(parts.gain, INT64)))
    yield world.make(replace(parts, scores=honest.scores + 1))
    yield world.make(replace(parts, total=honest.payout_total + 1))


def _another(value: int, limit: int) -> int:
    """Give one more, or, where nothing larger fits, one less."""
    return value + 1 if value + 1 < limit else value - 1


def about_values(world: World) -> Iterator[Made]:
    """Raise a participant's value, with the score that it deserves, or its score alone."""
    for index, leaf in enumerate(world.parts.values):
        raised = _another(leaf.value, INT256)
        score = world.scores([raised] * world.known)[index]
        yield _with_values(world, index, replace(leaf, value=raised, score=score))
        yield _with_values(world, index, replace(leaf, score=leaf.score + 1))
        yield _with_values(world, index, replace(leaf, index=leaf.index + 1))


def _with_values(world: World, index: int, leaf: payouts.ValueLeaf) -> Made:
    values = world.parts.values
    changed = (*values[:index], leaf, *values[index + 1 :])
    return world.make(world.reward(replace(world.parts, values=changed)))


def about_payouts(world: World) -> Iterator[Made]:
    """Move a unit of a payout to a neighbour, and give away one that is not there."""
    parts = world.parts
    for index, leaf in enumerate(parts.payouts):
        other = (index + 1) % len(parts.payouts)
        more = list(parts.payouts)
        more[index] = replace(leaf, amount=leaf.amount + 1)
        if more[other].amount:
            moved = list(more)
            moved[other] = replace(moved[other], amount=moved[other].amount - 1)
            yield world.make(replace(parts, payouts=tuple(moved)))
        more[index] = replace(leaf, index=index + 1)
        yield world.make(replace(parts, payouts=tuple(more)))


def about_utilities(world: World) -> Iterator[Made]:
    """Measure where nothing is measured, and nothing where everybody could."""
    parts: Parts = world.parts
    if parts.utilities and world.policy.evaluation == Evaluation.PUBLIC:
        yield world.make(world.compose(world.entries, measure=False))
    if not parts.utilities and not world.policy.evaluation:
        yield world.make(replace(parts, utilities=(0, 0)))


LIES: dict[str, Lie] = {
    "entries": about_entries,
    "nodes": about_nodes,
    "sums": about_sums,
    "model": about_model,
    "header": about_header,
    "values": about_values,
    "payouts": about_payouts,
    "utilities": about_utilities,
}
