"""The same updates come to the same models, utilities, values and payouts on every chain engine
and in any order of arrival.
"""

import random
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import pytest

from fednode.aggregation import integers
from fednode.models import stack
from ledger.chain.client import Chain
from ledger.chain.federations import deploy
from ledger.payouts import PayoutLeaf, ValueLeaf
from ledger.round import compose
from ledger.types import Digest
from tests.engines import Engine, keys
from tests.tamper.kinds import clean
from tests.tamper.live import MEMBERS, Live
from tests.tamper.policies import draw, terms
from tests.tamper.story import Publication, Situation, Story
from tests.tamper.world import Setting, World

ORDERS = ((0, 1, 2), (2, 0, 1))


class Said(NamedTuple):
    """What a result says that everybody must agree about."""

    model: Digest
    utilities: tuple[int, ...]
    values: tuple[ValueLeaf, ...]
    payouts: tuple[PayoutLeaf, ...]
    gain: int
    stop: bool


def life(on: Chain, orders: Sequence[Sequence[int]]) -> list[Said]:
    """Run two rounds on a chain and tell what they came to."""
    live = Live(on, deploy(on, keys()[0]), keys())
    for arrival in orders:
        live.round(arrival=arrival)
    return [
        Said(
            outcome.header.model_digest,
            outcome.records.utilities,
            outcome.records.values,
            outcome.records.payouts,
            outcome.header.gain,
            outcome.header.stop,
        )
        for outcome in live.outcomes
    ]


@cache
def expected() -> list[Said]:
    return life(Chain.embedded([a.address for a in keys()]), (range(MEMBERS), range(MEMBERS)))


@pytest.mark.parametrize("orders", [ORDERS, ORDERS[::-1]], ids=["one order", "another order"])
def test_engines_and_orders_do_not_matter(engine: Engine, orders: Sequence[Sequence[int]]) -> None:
    found = life(engine.chain, orders)
    assert len(found[0].utilities) == 2**MEMBERS
    assert sum(leaf.amount for leaf in found[-1].payouts) > 0
    assert found == expected()


def situations(count: int) -> list[Situation]:
    """Collect what proposers saw in simulated federations."""
    seen: list[Situation] = []

    def look(situation: Situation) -> Publication | None:
        seen.append(situation)
        return None

    for seed in range(count):
        rng = random.Random(seed)
        world = World(Setting.draw(rng, terms(draw(rng, mode="public"))))
        Story(rng, world, lie=look).tell()
    return seen


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setattr(integers, "CHUNK", 3),
        lambda patch: patch.setattr(stack, "_BLOCK_VALUES", 7),
    ],
    ids=["chunks of a sum", "models in a pass"],
)
def test_batches_do_not_matter(
    change: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = situations(8)
    assert len(seen) > 8
    change(monkeypatch)
    for s in seen:
        assert compose(s.context, s.standing, s.slots, s.rules).header == s.honest.header


def test_a_story_is_the_same_twice() -> None:
    first = clean(3).world.events[-1].h
    clean.cache_clear()
    assert clean(3).world.events[-1].h == first
