"""The rules of a round as a policy chooses them: what they take a result's word for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from fednode.rounds import FederationRules
from ledger.replica import first_standing
from ledger.round import Int32, Players
from tests.ledger.sealing.scene import Scene


@dataclass(frozen=True)
class Measures:
    """An evaluator with a tolerance, that measures this."""

    measured: tuple[int, ...]
    tolerance: int

    def utilities(self, models: Iterable[Int32]) -> tuple[int, ...]:
        assert len(list(models)) == len(self.measured)
        return self.measured


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ((10, 20), (10, 20)),
        ((10, 80), (10, 30)),
        ((10, 25), (10, 30)),
        ((10, 20, 30), (20, 30)),
        ((), (20, 30)),
    ],
)
def test_each_utility_stands_that_is_within_the_tolerance(
    stated: Sequence[int], expected: Sequence[int]
) -> None:
    world = Scene.form(sealed=False).world
    rules = FederationRules(world.terms.policy, world.header, Measures((20, 30), 5))
    model = world.replica.initial_model()
    players = Players((0,), (np.zeros_like(model),), (1,))
    assert rules.coalitions(0, 1) == (0, 1)
    measured = rules.stating(stated).utilities(world.context(), first_standing(), model, players)
    assert measured == expected
