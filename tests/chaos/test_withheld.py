"""Three of four participants vote for a wrong model and publish nothing of it but header and index,
on anvil and two real Kubo nodes, in real time. The process of the fourth challenges in time.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from fednode.roles.role import Role
from ledger.cid import CID, Codec
from ledger.proceedings import Fate, Proposal
from ledger.stores import Artefact, open_store
from ledger.stores.kubo import KuboStore, _Call
from tests.chaos.siege import PRICES
from tests.e2e.processes import SITES, Command, Network, engines, wait_for
from tests.federations import Cast, Changes, Stage, found, policy_of
from tests.fednode.roles.test_disputes import accomplice, another_model
from tests.fednode.roles.test_rounds import Dishonest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


WINDOWS = {
    "commit": 120,
    "reveal": 10,
    "propose": 60,
    "attest": 40,
    "challenge": 80,
    "answer": 40,
    "fetch": 3,
    "unbonding": 40,
}
SHIPPED = {"unbonding": 300}
"""The heart policy's own windows; stakes are kept as long as they can be charged."""
HONEST = len(SITES) - 1


class HeaderAndIndex(KuboStore):
    """A colluder's Kubo: of what it is given it publishes the roots, and keeps the rest back."""

    def put(self, artefact: Artefact) -> None:
        for cid in artefact.roots:
            codec = "dag-cbor" if cid.codec is Codec.DAG_CBOR else "raw"
            self._answer(_Call("block/put", (), {"cid-codec": codec}, artefact.blocks[cid]))


def join_up(network: Network, folder: Path, windows: Changes) -> Cast:
    """Found a federation whose first three participants share a Kubo; the fourth has its own."""
    (_, theirs), (_, own) = network.stores
    policy = policy_of("heart", training={"rounds": 2, "epochs": 1}, stake=PRICES, windows=windows)
    stores = [open_store(url) for url in (*[theirs] * HONEST, own)]
    return found(Stage(network.engine, stores, folder), policy)


def conspirators(cast: Cast, url: str) -> list[Role]:
    """Let three vote for whatever the first of them proposes and withholds."""
    liar = replace(cast.hospitals[0], store=HeaderAndIndex(url))
    return [
        *(accomplice(hospital) for hospital in cast.hospitals[:HONEST]),
        Dishonest(liar, another_model),
    ]


def honest_node(network: Network, cast: Cast, folder: Path) -> Command:
    """Make the process of the fourth participant, with the options that a user types."""
    place = network.environment | {
        "FEDNODE_LEDGER": str(cast.contract.address),
        "FEDNODE_FEDERATION": cast.federation.hex(),
    }
    keystore, journal = network.accounts / f"{1 + HONEST}.json", folder / SITES[HONEST]
    own = ("--account", keystore, *network.stores[1], "--site", SITES[HONEST])
    arguments = ("participant", *own, "--journal", journal, "--poll", "0.2", "--json")
    return Command(folder / "honest.log", place, *arguments)


def challenged(proposal: Proposal) -> bool:
    return bool(proposal.challenges.all)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "windows",
    [
        pytest.param(WINDOWS, id="short"),
        pytest.param(SHIPPED, id="shipped", marks=pytest.mark.long),
    ],
)
def test_a_withheld_result_is_challenged_in_time(tmp_path: Path, windows: Changes) -> None:
    """The short windows pass in real time to the end; of the shipped ones the answer window is
    skipped once the challenge is there.
    """
    with engines(tmp_path / "engines", kubo=2) as network:
        cast = join_up(network, tmp_path, windows)
        colluders = conspirators(cast, network.stores[0][1])
        node, eye = honest_node(network, cast, tmp_path), cast.hospitals[HONEST].view()
        node.start()
        try:
            wait_for(lambda: step(colluders) or bool(eye.refresh().lineage), [node])
            wrong = eye.state.lineage[0].proposal
            window, fetch = cast.policy.windows.challenge, cast.policy.windows.fetching
            proposed = wrong.challenge_deadline - window
            assert list(wrong.votes.values()) == [True] * HONEST
            index = CID(Codec.DAG_CBOR, wrong.index)
            assert index.names(eye.store.get(index))

            wait_for(lambda: challenged(eye.refresh().rounds[0].proposals[0]), [node])
            # The bytes were waited for once, all together, and the challenge lies well inside.
            late = cast.stage.chain.now() - proposed
            assert fetch <= late < window // 2, str(node)

            if windows is SHIPPED:
                deadline = eye.state.rounds[0].proposals[0].challenges.all[0].deadline
                assert deadline is not None
                network.engine.hurry(deadline)
            wait_for(lambda: not eye.refresh().lineage, [node])
            assert eye.state.rounds[0].proposals[0].fate is Fate.DISPROVED
        finally:
            node.kill()


def step(roles: list[Role]) -> bool:
    """Let the colluders do what is due, which the test waits for no part of."""
    for role in roles:
        role.step()
    return False
