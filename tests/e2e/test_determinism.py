"""From the same updates, everything that is computed is the same: on any chain, with any number of
threads, any instruction set, any batch of the evaluation and in any order of arrival.
"""

import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from fednode.evaluation import evaluator, metrics
from fednode.models import stack
from fednode.roles.role import Role
from tests.e2e import replay
from tests.engines import Engine
from tests.federations import Stage, Story, Updates, found, given_updates, one_thread, peers, play

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True, slots=True)
class Given:
    """A federation that was trained once: its updates, and what it came to."""

    name: str
    updates: Updates
    path: Path
    story: Story


def trained(name: str, folder: Path) -> Given:
    cast = found(replay.on_embedded_chain(folder), replay.policy(name))
    roles = cast.roles(train=True)
    with one_thread():
        play(cast, lambda: roles)
    given = given_updates(cast)
    path = folder / "updates.npz"
    replay.save(given, path)
    return Given(name, given, path, replay.settled(cast))


@pytest.fixture(scope="module")
def heart(tmp_path_factory: pytest.TempPathFactory) -> Given:
    return trained("heart", tmp_path_factory.mktemp("heart"))


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Given:
    return trained("digits", tmp_path_factory.mktemp("digits"))


@pytest.fixture(params=["heart", "digits"])
def given(request: pytest.FixtureRequest) -> Given:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Given)
    return found


def test_something_was_learned_and_paid(given: Given) -> None:
    """Equal nothings would prove nothing."""
    told = given.story
    assert len(set(told.models)) == len(told.models)
    assert told.utilities[-1][-1] > 1.1 * told.utilities[-1][0] or sum(told.paid) > 0
    assert sum(told.paid) == sum(told.payouts[-1]) > 0
    assert len(set(told.values[-1])) == 4
    assert len(told.utilities[-1]) == 2**4


def test_chains_agree(engine: Engine, heart: Given, tmp_path: Path) -> None:
    stage = Stage(engine, peers(4), tmp_path)
    assert replay.replay(stage, "heart", heart.updates) == heart.story


@pytest.mark.parametrize("seed", [1, 2])
def test_order_of_arrival_does_not_matter(given: Given, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    arrivals = set()

    def shuffled(roles: Sequence[Role]) -> Sequence[Role]:
        mixed = list(roles)
        rng.shuffle(mixed)
        arrivals.add(tuple(roles.index(role) for role in mixed if roles.index(role) < 4))
        return mixed

    stage = replay.on_embedded_chain(tmp_path)
    assert replay.replay(stage, given.name, given.updates, order=shuffled) == given.story
    assert len(arrivals) > 3


def test_batches_of_the_evaluation_do_not_matter(
    given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven rows and one or two models at a time, instead of as many as the cache holds."""
    monkeypatch.setattr(stack, "CONVOLUTION_ROWS", 7)
    monkeypatch.setattr(stack, "_BLOCK_VALUES", 1 << 12)
    monkeypatch.setattr(metrics, "_BLOCK_VALUES", 1 << 8)
    monkeypatch.setattr(evaluator, "_CHUNK_VALUES", 1 << 9)
    stage = replay.on_embedded_chain(tmp_path)
    assert replay.replay(stage, given.name, given.updates) == given.story


MACHINES = {
    "one thread": (1, {}),
    "two threads": (2, {}),
    "plain instructions": (2, {"ATEN_CPU_CAPABILITY": "default", "OPENBLAS_CORETYPE": "Prescott"}),
}


@pytest.mark.parametrize("machine", MACHINES)
def test_threads_and_instructions_do_not_matter(
    digits: Given, tmp_path: Path, machine: str
) -> None:
    threads, environment = MACHINES[machine]
    numbers = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    arguments = (digits.name, str(digits.path), str(tmp_path), str(threads))
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.replay", *arguments],
        cwd=ROOT,
        env={**os.environ, **numbers, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    conditions, told = map(json.loads, done.stdout.splitlines())
    assert conditions["threads"] == threads
    assert (conditions["capability"] == "DEFAULT") == (machine == "plain instructions")
    assert told == json.loads(json.dumps(asdict(digits.story)))
