"""Play a federation from given updates, in this process or in one of its own.

`python -m tests.e2e.replay NAME UPDATES FOLDER THREADS` prints what the federation comes to with
that many threads of torch; the environment decides the rest.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fednode.claims import claim_all
from fednode.policy import Policy
from fednode.roles.role import Role
from tests.engines import embedded
from tests.federations import Cast, Stage, Story, Updates, found, peers, play, policy_of, story

WINDOWS = {
    "commit": 120,
    "reveal": 60,
    "propose": 600,
    "fetch": 0,  # what these windows hold
    "attest": 600,  # also where a busy machine with plain instructions measures one evaluation
    "challenge": 601,
    "idle": 3600,
}
POLICIES: dict[str, Callable[[], Policy]] = {
    "heart": lambda: policy_of(
        "heart", task={"model": "mlp", "private": []}, training={"rounds": 3}, windows=WINDOWS
    ),
    "digits": lambda: policy_of(
        "digits", task={"model": "cnn"}, training={"rounds": 2, "epochs": 1}, windows=WINDOWS
    ),
}

Order = Callable[[Sequence[Role]], Sequence[Role]]


def policy(name: str) -> Policy:
    """Give one of the policies: tables with statistics and an MLP, or images and a CNN."""
    return POLICIES[name]()


def replay(stage: Stage, name: str, updates: Updates, *, order: Order | None = None) -> Story:
    """Play a federation from given updates to its end and claim what is due."""
    cast = found(stage, policy(name), updates=updates)
    roles = cast.roles()
    play(cast, lambda: order(roles) if order is not None else roles)
    return settled(cast)


def settled(cast: Cast) -> Story:
    """Claim everything; give what it all came to."""
    for hospital in cast.hospitals:
        claim_all(hospital.view(), hospital.account)
    return story(cast.hospitals[0].view())


def on_embedded_chain(folder: Path) -> Stage:
    """Make a chain and four connected stores in this process."""
    return Stage(embedded(), peers(4), folder)


def save(updates: Updates, path: Path) -> None:
    """Write updates to a file."""
    named = {f"{round_}-{place}": values for (round_, place), values in updates.items()}
    np.savez(path, allow_pickle=False, **named)


def load(path: Path) -> Updates:
    """Read updates from a file."""
    with np.load(path, allow_pickle=False) as file:
        return dict(_entries(file))


def _entries(
    file: Mapping[str, NDArray[np.int32]],
) -> Iterator[tuple[tuple[int, int], NDArray[np.int32]]]:
    for name, values in file.items():
        round_, _, place = name.partition("-")
        yield (int(round_), int(place)), values


def main(name: str, updates: str, folder: str, threads: str) -> None:
    """Replay with torch in the process, on so many threads, and print the outcome."""
    import torch

    torch.set_num_threads(int(threads))
    outcome = replay(on_embedded_chain(Path(folder)), name, load(Path(updates)))
    capability = torch.backends.cpu.get_cpu_capability()
    print(json.dumps({"capability": capability, "threads": torch.get_num_threads()}))
    print(json.dumps(asdict(outcome)))


if __name__ == "__main__":
    main(*sys.argv[1:])
