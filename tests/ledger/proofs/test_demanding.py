"""Demands: an honest result answers every one, and answers lead to whatever was hidden."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ledger.headers import PolicyHeader
from ledger.nodes import FAN_OUT, Entry, Reason
from ledger.proofs import (
    Demand,
    Disputed,
    Kind,
    NoProof,
    OpenTree,
    Proof,
    Target,
    Trees,
    Wanted,
    answer,
    demand,
    find,
    opens,
    target,
)
from ledger.types import Digest
from tests.engines import embedded
from tests.ledger.proofs.lies import LIES
from tests.ledger.proofs.onchain import Verifier
from tests.ledger.proofs.samples import every_way, worlds
from tests.ledger.proofs.world import Choices, Made, World

HIDDEN = ("nodes", "sums", "model", "utilities", "values", "payouts")


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    return Verifier(embedded())


def demands(disputed: Disputed, made: Made) -> Iterator[tuple[Wanted, tuple[int, int], bytes]]:
    for kind, way in every_way(disputed, made):
        for level in (*range(6), 9, 31):
            yield from ((kind, (level, position), way) for position in range(8))


def attempt(disputed: Disputed, kind: Wanted, place: tuple[int, int], way: bytes) -> Demand | None:
    try:
        return demand(disputed.policy, disputed.case, kind, place=place, way=way)
    except NoProof:
        return None


@given(worlds())
@settings(max_examples=4)
def test_an_honest_result_answers_every_demand(world: World) -> None:
    disputed = world.dispute(world.honest)
    sources = world.sources(world.honest)
    kinds = set()
    for kind, place, way in demands(disputed, world.honest):
        wanted = attempt(disputed, kind, place, way)
        if wanted is None:
            continue
        kinds.add(kind)
        found = answer(wanted.target, sources)
        assert found is not None
        assert opens(world.policy, wanted.target, found)
        assert not _opens(world.policy, wanted.target, found[:-1] + bytes([found[-1] ^ 1]))
        assert not _opens(world.policy, wanted.target, found + b"\0")
    assert {Wanted.MODEL, Wanted.NODE, Wanted.VALUES, Wanted.PAYOUTS} <= kinds


def _opens(policy: PolicyHeader, wanted: Target, data: bytes) -> bool:
    try:
        return opens(policy, wanted, data)
    except NoProof:
        return False


@pytest.mark.parametrize("name", LIES)
@given(world=worlds(), data=st.data())
@settings(max_examples=10)
def test_hidden_bytes_are_demanded_until_a_proof_is_found(
    name: str, world: World, data: st.DataObject
) -> None:
    lies = [made for made in LIES[name](world) if made.header != world.honest.header]
    hidden = data.draw(st.sets(st.sampled_from(HIDDEN), min_size=1))
    for made in lies[data.draw(st.integers(0, max(0, len(lies) - 1))) :][:1]:
        left: dict[str, Any] = {name: {} if name == "sums" else None for name in hidden}
        seen = replace(made.published, **left)
        disputed, sources = world.dispute(made, seen=seen), world.sources(made)
        for _ in range(6):
            found = find(disputed)
            if isinstance(found, Proof):
                break
            assert isinstance(found, Demand)
            assert found.target == target(world.policy, disputed.case, found.evidence)
            data_ = answer(found.target, sources)
            assert data_ is not None
            disputed = replace(disputed, answers={**disputed.answers, found.target: data_})
        assert isinstance(found, Proof)


@given(world=worlds(), data=st.data())
@settings(max_examples=12)
def test_the_contract_says_the_same(verifier: Verifier, world: World, data: st.DataObject) -> None:
    disputed = world.dispute(world.honest)
    everything = list(demands(disputed, world.honest))
    step = data.draw(st.integers(len(everything) // 8 + 1, len(everything) // 4 + 2))
    for kind, place, way in islice(everything, data.draw(st.integers(0, step)), None, step):
        evidence = bytes([kind, place[0]]) + place[1].to_bytes(4, "big") + way
        wanted = attempt(disputed, kind, place, way)
        found = verifier.target(world.policy, disputed.case, evidence)
        assert found == (wanted.target if wanted else None)
        assert verifier.target(world.policy, disputed.case, evidence + b"\0") is None
        if found is None:
            continue
        answered = answer(found, world.sources(world.honest))
        assert answered is not None
        assert verifier.opens(world.policy, found, answered)
        at = data.draw(st.integers(0, len(answered) - 1))
        flipped = answered[:at] + bytes([answered[at] ^ 4]) + answered[at + 1 :]
        for bad in (flipped, answered[:at], answered + b"\0"):
            assert not verifier.opens(world.policy, found, bad)


def test_what_nobody_can_have_is_not_to_be_demanded() -> None:
    for seed in range(20):
        world = World(_choices(seed))
        disputed = world.dispute(world.honest)
        for slot, entry in enumerate(world.entries):
            way = world.honest.header.encode() + slot.to_bytes(4, "big")
            way += world.honest.trees.nodes.open(slot // FAN_OUT)
            unread = {Reason.UNAVAILABLE, Reason.UNSIGNED, Reason.MISSING, Reason.SUPERSEDED}
            for kind in (Wanted.INPUT, Wanted.HEADER):
                due = attempt(disputed, kind, (0, 0), way) is not None
                assert not (due and entry.reason in unread | {Reason.MALFORMED})
                assert due or entry.reason in unread | {Reason.MALFORMED, Reason.FOREIGN}
            due = attempt(disputed, Wanted.BATCH, (0, slot), way) is not None
            assert due == (slot < disputed.case.batched and entry.reason != Reason.MISSING)


def _choices(seed: int) -> Choices:
    return Choices(seed=seed, slots=9, batched=4)


@given(world=worlds(), data=st.data())
@settings(max_examples=12)
def test_an_update_that_cannot_be_had_is_demanded_piece_by_piece(
    world: World, data: st.DataObject
) -> None:
    """First its header, then a leaf that was not shown before; none twice, and none foreseen."""
    counted = [i for i, entry in enumerate(world.entries) if entry.reason == Reason.COUNTED]
    assume(counted)
    slot = data.draw(st.sampled_from(counted))
    draw = st.integers(0, (1 << 31) - 1).map(lambda number: lambda size: number % size)
    disputed = without(world, slot, draw=data.draw(draw))
    assume(disputed.right.header != world.honest.header)
    sources, steps = world.sources(world.honest), []
    while (found := find(disputed)) is not None:
        assert isinstance(found, Demand)
        answered = answer(found.target, sources)
        assert answered is not None
        assert found.target not in disputed.answers
        steps.append(found.target)
        disputed = replace(disputed, answers={**disputed.answers, found.target: answered})
    kinds = [step.kind for step in steps]
    assert kinds == [Wanted.HEADER] + [Wanted.INPUT] * world.policy.leaves
    assert {step.position for step in steps[1:]} == set(range(world.policy.leaves))
    first = data.draw(st.integers(0, world.policy.leaves - 1))
    again = replace(disputed, answers={steps[0]: disputed.answers[steps[0]]}, draw=lambda _: first)
    found = find(again)
    assert isinstance(found, Demand)
    assert found.target.position == first


@pytest.mark.parametrize("seed", range(6))
def test_a_leaf_of_the_batch_that_cannot_be_had_is_demanded_first(seed: int) -> None:
    """What it says decides, then what lies behind it."""
    world = World(Choices(seed=seed, slots=6, batched=4, leaves=2, trouble=False))
    slot = next(i for i, e in enumerate(world.entries[:4]) if e.reason == Reason.COUNTED)
    gone = Entry(reason=Reason.MISSING)
    disputed = replace(without(world, slot, gone=gone, draw=lambda _: 0), batch=None)
    sources, kinds = world.sources(world.honest), []
    while (found := find(disputed)) is not None:
        assert isinstance(found, Demand)
        assert found.target not in disputed.answers
        kinds.append(found.target.kind)
        answered = answer(found.target, sources)
        assert answered is not None
        disputed = replace(disputed, answers={**disputed.answers, found.target: answered})
    assert kinds == [Wanted.BATCH, Wanted.HEADER, Wanted.INPUT, Wanted.INPUT]


@pytest.mark.parametrize("seed", range(6))
def test_a_leaf_of_the_batch_that_is_shown_tells_on_its_entry(seed: int) -> None:
    world = World(Choices(seed=seed, slots=6, batched=4, leaves=2, trouble=False))
    slot = next(i for i, e in enumerate(world.entries[:4]) if e.reason == Reason.COUNTED)
    entries = list(world.entries)
    entries[slot] = replace(entries[slot], digest=Digest(b"\7" * 32))
    made = world.make(world.compose(entries))
    entries[slot] = Entry(reason=Reason.MISSING)
    right = world.make(world.compose(entries)).trees
    disputed = replace(world.dispute(made), right=right, batch=None)
    wanted = find(disputed)
    assert isinstance(wanted, Demand)
    assert wanted.target.kind is Wanted.BATCH
    answered = answer(wanted.target, world.sources(made))
    assert answered is not None
    found = find(replace(disputed, answers={wanted.target: answered}))
    assert isinstance(found, Proof)
    assert found.kind is Kind.ENTRY_SLOT


def without(
    world: World, slot: int, *, draw: Callable[[int], int], gone: Entry | None = None
) -> Disputed:
    """Hold the right result against what somebody computes who lacks an update of it."""
    gone = gone or Entry(
        world.entries[slot].digest,
        participant=world.entries[slot].participant,
        reason=Reason.UNAVAILABLE,
    )
    entries = [gone if i == slot else entry for i, entry in enumerate(world.entries)]
    whole = world.dispute(world.honest)
    return replace(
        whole,
        right=world.make(world.compose(entries)).trees,
        inputs={i: tree for i, tree in whole.inputs.items() if i != slot},
        headers={i: header for i, header in whole.headers.items() if i != slot},
        draw=draw,
    )


class Keyless(World):
    """As somebody computes it who knows the updates, but not the salts of the result."""

    def tree(self, values: Sequence[int], label: str, *, width: int = 4) -> OpenTree:
        ours = label == "model" or label.startswith("sum")
        return super().tree(values, f"our {label}" if ours else label, width=width)


@pytest.mark.slow
@pytest.mark.parametrize("blind", [True, False], ids=["no key", "another key"])
@pytest.mark.parametrize("part", ["model", "sums", "a node's sums"])
def test_what_is_sealed_for_others_is_drawn_leaf_by_leaf(part: str, blind: bool) -> None:
    """Without the salts all hashes differ. In the end the leaf that is wrong is asked for; which
    one comes first nobody can tell, and none comes twice. Another key shows by the first leaf.
    """
    slots = 20 if part == "a node's sums" else 5
    choices = Choices(seed=3, slots=slots, leaves=3, visibility=1, trouble=False)
    world = World(choices)
    made = next(LIES["model" if part == "model" else "sums"](world))
    guesses = set()
    for seed in range(12):
        disputed = replace(
            world.dispute(made, seen=Trees()),
            right=Keyless(choices).honest.trees,
            draw=random.Random(seed).randrange,
            blind=blind,
        )
        targets = []
        while isinstance(found := find(disputed), Demand):
            assert found.target not in disputed.answers
            targets.append(found.target)
            data = answer(found.target, world.sources(made))
            assert data is not None
            disputed = replace(disputed, answers={**disputed.answers, found.target: data})
        assert isinstance(found, Proof)
        assert found.kind is (Kind.STEP if part == "model" else Kind.NODE_SUM)
        opened = [
            (t.kind, t.position) for t in targets if t.level == 0 and t.kind is not Wanted.NODE
        ]
        assert all(t.level == 0 or not blind or t.kind is Wanted.NODE for t in targets)
        guesses.add(opened[0])
    assert {kind for kind, _ in guesses} == ({Wanted.MODEL, Wanted.SUM} if blind else {Wanted.SUM})
    assert len(guesses) > 2


@pytest.mark.parametrize("blind", [True, False], ids=["no key", "another key"])
def test_in_a_right_result_that_is_sealed_for_others_nothing_is_found(blind: bool) -> None:
    choices = Choices(seed=3, slots=5, leaves=2, visibility=1, trouble=False)
    world = World(choices)
    disputed = world.dispute(world.honest, seen=Trees())
    disputed = replace(disputed, right=Keyless(choices).honest.trees, blind=blind)
    while isinstance(found := find(disputed), Demand):
        data = answer(found.target, world.sources(world.honest))
        assert data is not None
        disputed = replace(disputed, answers={**disputed.answers, found.target: data})
    assert found is None
    leaves = [t for t in disputed.answers if t.kind in (Wanted.MODEL, Wanted.SUM) and not t.level]
    assert len(leaves) == 2 + 4


@pytest.mark.parametrize("visibility", [0, 1], ids=["clear", "sealed"])
@pytest.mark.parametrize("name", ["model", "sums"])
def test_right_leaves_that_somebody_had_shown_hide_no_wrong_one(name: str, visibility: int) -> None:
    world = World(Choices(slots=4, leaves=3, trouble=False, visibility=visibility))
    for made in LIES[name](world):
        hidden = replace(made.published, model=None, sums={})
        disputed, sources = world.dispute(made, seen=hidden), world.sources(made)
        kind, tree = (Wanted.MODEL, made.trees.model)
        if name == "sums":
            kind, tree = Wanted.SUM, made.trees.sums[0]
        way = b"" if name == "model" else bytes(4) + made.trees.nodes.open(0)
        answers = {}
        for leaf in range(tree.size):
            wanted = disputed.demand(kind, (0, leaf), way=way).target
            if tree.leaf(leaf) == _right_tree(world, name).leaf(leaf):
                answers[wanted] = answer(wanted, sources) or b""
        disputed = replace(disputed, answers=answers)
        for _ in range(3):
            found = find(disputed)
            if isinstance(found, Demand):
                shown = answer(found.target, sources) or b""
                disputed = replace(disputed, answers={**disputed.answers, found.target: shown})
        assert isinstance(found, Proof)


def _right_tree(world: World, name: str) -> OpenTree:
    trees = world.honest.trees
    return trees.model if name == "model" else trees.sums[0]


def test_a_tree_of_another_size_counts_as_hidden() -> None:
    """It has a root all the same, under which nobody can open what is demanded."""
    world = World(Choices(slots=4, leaves=1, trouble=False))
    for name in ("values", "payouts"):
        leaves = getattr(world.parts, name)
        changed: dict[str, Any] = {name: (*leaves, replace(leaves[-1], index=99))}
        made = world.make(replace(world.parts, **changed))
        found = find(world.dispute(made))
        assert isinstance(found, Demand)
        assert found.target.kind is Wanted[name.upper()]
        assert found.target.size == world.known
        data = answer(found.target, world.sources(made))
        assert data is not None
        assert not _opens(world.policy, found.target, data)


def test_a_large_tree_takes_a_demand_for_every_eight_levels() -> None:
    world = World(Choices(slots=1, leaves=300, trouble=False))
    model = list(world.parts.model)
    model[77_000 % len(model)] ^= 1
    made = world.make(replace(world.parts, model=tuple(model)))
    disputed = world.dispute(made, seen=replace(made.published, model=None))
    levels = []
    while isinstance(found := find(disputed), Demand):
        levels.append(found.target.level)
        data = answer(found.target, world.sources(made))
        assert data is not None
        disputed = replace(disputed, answers={**disputed.answers, found.target: data})
    assert isinstance(found, Proof)
    assert levels == [9, 1, 0]
