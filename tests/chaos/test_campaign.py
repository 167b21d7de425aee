"""Campaigns of random faults: several, at any moment of any round, two at once now and then.

A seed fixes which faults, in which order, after how many events each; what they meet depends on the
machine. CHAOS_SEEDS=40 tries more seeds, CHAOS_SEEDS=17:18 the one named 17 alone.
"""

import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from fednode.roles.role import advance_if_due, attempt
from tests.chaos.faults import (
    ChainKilled,
    DiskFull,
    Fault,
    Killed,
    KuboKilled,
    KuboPartitioned,
    Leaves,
    MissedTurn,
    PriceSpike,
    RelayDiskFull,
    Reorganised,
    Skewed,
    Twins,
)
from tests.chaos.siege import SITES, Siege
from tests.chaos.test_chaos import settle_up
from tests.e2e.processes import Command, engines
from tests.federations import let_time_pass

pytestmark = [pytest.mark.e2e, pytest.mark.long]

ROUNDS = 4
STEPS = 500
Draw = Callable[[random.Random], Fault]


def seeds() -> range:
    first, _, last = os.environ.get("CHAOS_SEEDS", "0:8").rpartition(":")
    return range(int(first or 0), int(last))


def place(rng: random.Random) -> int:
    return rng.randrange(len(SITES))


def some(rng: random.Random) -> Killed:
    """Kill any processes, up to all of them."""
    share = rng.random()
    chosen = [rng.random() < share for _ in range(2 * len(SITES) + 1)]

    def victims(siege: Siege) -> Sequence[Command]:
        return [c for c, hit in zip(siege.residents, chosen, strict=False) if hit]

    return Killed(victims)


FAULTS: tuple[Draw, ...] = (
    some,
    some,
    lambda rng: KuboKilled(place(rng)),
    lambda rng: KuboPartitioned(place(rng)),
    lambda rng: DiskFull(place(rng)),
    lambda rng: RelayDiskFull(),
    lambda rng: Twins(place(rng)),
    lambda rng: Skewed(),
    lambda rng: Leaves(place(rng)),
    lambda rng: MissedTurn(),
    lambda rng: PriceSpike(),
    lambda rng: Reorganised(),
    lambda rng: ChainKilled(),
)
ON_CHAIN = (MissedTurn, PriceSpike, Reorganised, ChainKilled)


def drawn(rng: random.Random) -> list[Fault]:
    """Draw one fault, or two at once; the chain's come last, since the others' wait looks at it."""
    found = [draw(rng) for draw in rng.sample(FAULTS, rng.choice([1, 1, 2]))]
    apart = [fault for fault in found if not isinstance(fault, ON_CHAIN)]
    return apart + [fault for fault in found if isinstance(fault, ON_CHAIN)][:1]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", seeds())
def test_random_faults(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    with engines(tmp_path / "engines", kubo=3) as network:
        relayed = rng.random() < 0.5
        siege = Siege(tmp_path / "siege", network, rounds=ROUNDS, relayed=relayed)
        siege.hasten()
        with siege.started():
            for _ in range(rng.randint(4, 7)):
                events(siege, rng.randint(1, 12))
                faults = drawn(rng)
                if siege.eye.state.settled:
                    break
                for fault in faults:
                    fault.strike(siege)
                for fault in reversed(faults):
                    fault.heal(siege)
            if rng.random() < 0.7:
                siege.finish()
        wind_up(siege)
        settle_up(siege)


def wind_up(siege: Siege) -> None:
    """Everybody has gone for good: a stranger ends what is left, by what anybody may do."""
    stranger, contract = siege.engine.accounts[-1], siege.cast.contract
    for _ in range(STEPS):
        state = siege.eye.refresh()
        if state.settled:
            return
        closed = attempt("closed", lambda: contract.close(stranger, siege.federation))
        if not (closed or advance_if_due(siege.eye, stranger)):
            let_time_pass(siege.cast.stage, state)
    raise AssertionError(f"not ended in {STEPS} steps: {siege.eye.state.phase}")


def events(siege: Siege, count: int) -> None:
    """Let so many things happen."""
    seen: set[bytes] = set()
    for _ in range(count):
        seen.add(siege.eye.state.h)
        siege.wait(lambda state: state.h not in seen)
