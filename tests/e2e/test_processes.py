"""Four hospitals as a user would run them: every step a process, on anvil and one Kubo each.

Blocks travel over bitswap. What the processes come to is compared with the same federation played
in the test's own process on py-evm; so the two runs here agree with each other, too.
"""

import json
import time
import urllib.request
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from fednode.federation import Federation
from fednode.policy import load_policy
from ledger.cid import CID, Codec
from ledger.state import FederationState, Phase
from tests.e2e.processes import (
    SITES,
    Town,
    check_results,
    engines,
    in_one_process,
    local_testnet,
    write_policy,
)
from tests.federations import Story, in_phase, story

pytestmark = pytest.mark.e2e

ROUNDS = 5
WINDOWS = """\
commit = 600
reveal = 300
propose = 300
attest = 600
challenge = 601
idle = 86400
attempts = 5
"""


STATE_INTERVAL = 2.5
"""Seconds after which anvil has surely written its state down."""
OUTAGE = 2.0
"""Seconds that an engine is down."""


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("policy") / "policy.toml"
    write_policy(path, rounds=ROUNDS, windows=WINDOWS)
    return path


@pytest.fixture(scope="module")
def expected(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Story:
    return in_one_process(load_policy(policy), tmp_path_factory.mktemp("one-process"))


def committed(state: FederationState) -> list[int]:
    return sorted(commit.participant for commit in state.round.commits)


def blocks_received(url: str) -> int:
    """Ask a Kubo how many blocks came to it over bitswap."""
    request = urllib.request.Request(f"{url}/api/v0/bitswap/stat", method="POST")
    with urllib.request.urlopen(request, timeout=20) as answer:
        return int(json.loads(answer.read())["BlocksReceived"])


def claim_everything(town: Town) -> int:
    """Let everybody claim; give the sum of the payouts."""
    paid = 0
    for place in range(len(SITES) + 1):
        claims = town.run("claim", *town.account(place), *town.content(-1))["claimed"]
        assert isinstance(claims, list)
        paid += sum(int(claim["amount"]) for claim in claims if claim["kind"] == "payout")
    return paid


def audit_twice(town: Town) -> None:
    """Audit from chain and store, then from the bundle that the first audit wrote."""
    bundle = town.folder / "bundle.car"
    first = town.run("audit", *town.content(-1), "--write-bundle", bundle)
    assert first["holds"] is True
    block = first["trusted_block"]
    assert isinstance(block, dict)
    second = town.run("audit", "--bundle", bundle, "--trust-block", block["hash"])
    assert second["holds"] is True
    checks = [verdict["checks"] for verdict in (first, second)]
    assert checks[0] == checks[1]
    wrong = f"0x{'00' * 32}"
    code, error = town.attempt("audit", "--bundle", bundle, "--trust-block", wrong)
    assert code == 1, error


@pytest.mark.timeout(900)
def test_four_hospitals_as_processes(tmp_path: Path, policy: Path, expected: Story) -> None:
    with local_testnet(tmp_path / "testnet", kubo=len(SITES) + 1) as network:
        town = Town(tmp_path / "town", network, policy)
        town.found()
        with town.running():
            view = town.view()
            town.until(view, lambda state: state.settled)
            check_results(town, view, expected)
        assert all(blocks_received(url) > 0 for _, url in network.stores)
        status = town.run("status", *town.content(-1))
        assert (status["phase"], status["results"], status["settled"]) == ("ended", 6, 6)
        assert claim_everything(town) == sum(expected.payouts[-1]) > 0
        assert story(town.view()).paid == expected.payouts[-1]
        audit_twice(town)
        model = town.folder / "model.safetensors"
        assert town.run("model export", *town.content(-1), "--out", model)["version"] == ROUNDS
        assert load_file(model)["weight"].size


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_in_every_phase(tmp_path: Path, policy: Path, expected: Story) -> None:
    """SIGKILL and a restart in each phase, of engines too: nobody notices in the result."""
    with engines(tmp_path / "engines", kubo=len(SITES) + 1) as network:
        town = Town(tmp_path / "town", network, policy)
        town.found()
        with town.running():
            view = town.view()
            chain_restarts(town, view)
            killed_before_commit_and_before_reveal(town, view)
            killed_in_its_turn(town, view)
            killed_before_its_vote(town, view)
            store_restarts(town, view)
            town.until(view, lambda state: state.settled)
            check_results(town, view, expected)
        assert town.run("audit", *town.content(-1))["holds"] is True


def chain_restarts(town: Town, view: Federation) -> None:
    """Round 1: the chain's node dies while nobody has anything to do, and comes back."""
    anvil = town.network.anvil
    assert anvil is not None
    town.until(view, in_phase(Phase.PROPOSE, 1), hold=True)
    town.until(view, lambda state: town.only_waiting(view, state), hold=True)
    time.sleep(STATE_INTERVAL)
    anvil.kill()
    time.sleep(OUTAGE)
    anvil.start()


def killed_before_commit_and_before_reveal(town: Town, view: Federation) -> None:
    """Round 2: one dies before it commits, another after its commit and before it publishes."""
    first, second = town.participants[1], town.participants[2]
    town.until(view, in_phase(Phase.PROPOSE, 1), hold=True)
    first.pause()
    town.until(view, in_phase(Phase.COMMIT, 2))
    town.until(view, lambda state: 2 in committed(state), hold=True)
    second.pause()
    town.until(view, lambda state: committed(state) == [0, 2, 3], hold=True)
    first.kill()
    first.start()
    town.until(view, in_phase(Phase.PROPOSE, 2), hold=True)
    second.kill()
    update = town.journal(2).update(2)
    assert update is not None
    header = CID(Codec.RAW, update.digest)
    assert not any(town.store(place).has(header) for place in range(len(SITES) + 1))
    second.start()


def killed_in_its_turn(town: Town, view: Federation) -> None:
    """Round 2: the proposer dies; who waits passes its deadline, and it comes back."""
    town.until(view, lambda state: town.only_waiting(view, state), hold=True)
    town.proposer.kill()
    town.until(view, lambda state: state.round.attempt == 1)
    town.proposer.start()
    town.until(view, in_phase(Phase.COMMIT, 3))


def killed_before_its_vote(town: Town, view: Federation) -> None:
    """Round 3: two are missing for a quorum; one of them is killed."""
    slow, killed = town.participants[0], town.participants[3]
    town.until(view, in_phase(Phase.PROPOSE, 3), hold=True)
    town.until(view, lambda state: town.only_waiting(view, state), hold=True)
    slow.pause()
    killed.pause()
    town.until(view, in_phase(Phase.ATTEST, 3))
    town.until(view, lambda state: sorted(state.round.proposal.votes) == [1, 2], hold=True)
    killed.kill()
    killed.start()
    town.until(view, in_phase(Phase.COMMIT, 4), hold=True)
    slow.resume()


def store_restarts(town: Town, view: Federation) -> None:
    """Round 5: a content store dies with what was published into it, and comes back."""
    kubos = town.network.kubos
    town.until(view, in_phase(Phase.PROPOSE, 5), hold=True)
    kubos[1].kill()
    time.sleep(OUTAGE)
    kubos[1].start()
    for other in kubos[:1] + kubos[2:]:
        kubos[1].connect(other)
