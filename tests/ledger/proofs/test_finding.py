"""Whoever lies in a result is found out; whoever does not is not."""

from dataclasses import replace
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.headers import Evaluation
from ledger.nodes import Reason
from ledger.proofs import Kind, Proof, find, shows
from tests.ledger.proofs.lies import LIES
from tests.ledger.proofs.samples import every_proof, worlds
from tests.ledger.proofs.world import INT64, INT256, Choices, World


@given(worlds())
@settings(max_examples=30)
def test_nothing_is_found_in_a_right_result(world: World) -> None:
    assert find(world.dispute(world.honest)) is None


def test_what_does_not_fit_is_right_at_the_edge() -> None:
    """Of utilities, gains and values that are as large, or as small, as they can be."""
    gains, values = set(), set()
    for seed in range(12):
        choices = Choices(seed, slots=4, leaves=1, height=3, trouble=False, extreme=True)
        world = World(choices)
        disputed = world.dispute(world.honest)
        assert find(disputed) is None
        assert not [p.kind for p in every_proof(world, world.honest) if shows(disputed, p)]
        gains.add(world.parts.gain)
        values |= {leaf.value for leaf in world.parts.values}
    assert {-INT64, INT64 - 1} <= gains
    assert {-INT256, INT256 - 1} < values


@given(worlds())
@settings(max_examples=15)
def test_no_proof_of_any_kind_holds_against_a_right_result(world: World) -> None:
    disputed = world.dispute(world.honest)
    assert not [p.kind for p in every_proof(world, world.honest) if shows(disputed, p)]


def test_a_round_that_carries_counts_alone_has_no_too_few() -> None:
    """Of its updates none counts, so no number could tell that they were too few."""
    choices = Choices(slots=4, height=4, period=4, least=3, evaluation=Evaluation.SHARDS, leaves=1)
    world = World(replace(choices, trouble=False))
    assert Reason.IDLE in {entry.reason for entry in world.entries}
    kinds = set()
    for slot, entry in enumerate(world.entries):
        for number in (0, 1):
            entries = list(world.entries)
            entries[slot] = replace(entry, reason=Reason.TOO_FEW, number=number)
            found = find(world.dispute(world.make(world.compose(entries))))
            assert isinstance(found, Proof)
            kinds.add(found.kind)
    assert Kind.NODE_TOTALS in kinds


@pytest.mark.parametrize("name", LIES)
@given(world=worlds(), data=st.data())
@settings(max_examples=20)
def test_a_lie_is_found(name: str, world: World, data: st.DataObject) -> None:
    lies = [made for made in LIES[name](world) if made.header != world.honest.header]
    for made in islice(lies, data.draw(st.integers(0, max(0, len(lies) - 1))), None, 40):
        assert isinstance(find(world.dispute(made)), Proof)
