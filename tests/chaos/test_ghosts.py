"""Five strangers join an open federation under identities that nobody has, and leave, on anvil and
two real Kubo nodes, in real time. Every honest vote arrives as if they had never been there.
"""

import time
from pathlib import Path

import pytest

from fednode.roles.role import Role
from ledger.stores import open_store
from tests.chaos.test_withheld import honest_node, step
from tests.e2e.processes import SITES, Command, Network, engines, wait_for
from tests.federations import Cast, Stage, found, policy_of
from tests.fednode.roles.test_ghosts import GHOSTS, haunt

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

LOOKS = 30
"""Seconds for which a Kubo looks for a block that nobody has."""
RESULTS = 2
WINDOWS = {
    "commit": 600,
    "reveal": 10,
    "propose": 600,
    "attest": 600,
    "challenge": 3000,
    "answer": 300,
    "unbonding": 300,
}


def join_up(network: Network, folder: Path) -> Cast:
    """Found an open federation whose results everybody has to vote for."""
    rules = {"open": True, "max_participants": len(SITES) + len(GHOSTS), "quorum": "0.95"}
    policy = policy_of(
        "heart", federation=rules, training={"rounds": RESULTS, "epochs": 1}, windows=WINDOWS
    )
    stores = [open_store(network.stores[place % 2][1]) for place in range(len(SITES))]
    return found(Stage(network.engine, stores, folder), policy)


@pytest.mark.timeout(300)
def test_ghosts_delay_no_vote(tmp_path: Path) -> None:
    with engines(tmp_path / "engines", kubo=2) as network:
        cast = join_up(network, tmp_path)
        haunt(cast)
        others: list[Role] = [hospital.participant() for hospital in cast.hospitals[:-1]]
        others += [hospital.proposer() for hospital in cast.hospitals]
        node = honest_node(network, cast, tmp_path)
        node.start()
        try:
            for height in range(RESULTS):
                assert seconds_of_voting(cast, others, node, height) < 2 * LOOKS, str(node)
        finally:
            node.kill()
        for accepted in cast.state().lineage[:RESULTS]:
            assert list(accepted.proposal.votes.values()) == [True] * len(SITES)
        assert "ERROR" not in node.text


def seconds_of_voting(cast: Cast, others: list[Role], node: Command, height: int) -> float:
    """Wait until a result is proposed, and until all have voted for it."""
    wait_for(lambda: step(others) or _proposed(cast, height), [node])
    proposed = time.monotonic()
    wait_for(lambda: step(others) or len(cast.state().lineage) > height, [node])
    return time.monotonic() - proposed


def _proposed(cast: Cast, height: int) -> bool:
    state = cast.state()
    waiting = bool(state.rounds) and state.round.proposals and not state.round.proposal.fallen
    return len(state.lineage) > height or bool(waiting)
