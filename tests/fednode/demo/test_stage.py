from pathlib import Path

import pytest

from fednode.demo import stage
from fednode.demo.options import LEAST_WINDOW, NODE_WINDOW, DemoOptions
from fednode.demo.stage import demo_policy, open_stage
from fednode.errors import FedNodeError
from fednode.policy import built_in, predict
from fednode.policy.cost import require_windows
from fednode.policy.worst import require_worst_case, worst_case
from fednode.testnet import ANVIL_KEYS
from ledger.chain.accounts import from_key
from ledger.chain.client import Chain
from tests.accounts import new_account

SITES = ("cleveland", "budapest")


class Node:
    """A chain as far as opening a stage asks."""

    endpoint = "http://node"

    def __init__(self, chain_id: int) -> None:
        self.chain_id = chain_id


def connect_to(monkeypatch: pytest.MonkeyPatch, chain_id: int) -> None:
    monkeypatch.setattr(Chain, "connect", lambda url: Node(chain_id))


def test_policy_is_the_built_in_one_unless_options_say_so() -> None:
    assert demo_policy(DemoOptions()) == built_in("heart")
    changed = demo_policy(DemoOptions(rounds=3, seed=5))
    assert (changed.training.rounds, changed.training.seed, changed.data.split.seed) == (3, 5, 5)
    assert changed.windows == built_in("heart").windows


def test_policy_has_short_windows_on_a_node() -> None:
    windows = demo_policy(DemoOptions(rpc="http://node")).windows
    assert (windows.attest, windows.challenge) == (NODE_WINDOW, NODE_WINDOW + 1)
    assert windows.reveal == NODE_WINDOW
    longer = demo_policy(DemoOptions(rpc="http://node", window=90)).windows
    assert (longer.reveal, longer.attest, longer.challenge) == (60, 90, 91)


@pytest.mark.parametrize("window", [LEAST_WINDOW, 26, NODE_WINDOW, 31, 32, 47, 48, 63, 64, 90, 600])
def test_policy_on_a_node_holds_its_worst_case(window: int) -> None:
    policy = demo_policy(DemoOptions(rpc="http://node", window=window))
    cost = predict(policy, seconds_per_evaluation=0.1 if window == NODE_WINDOW else 0.05)
    require_windows(policy, cost)
    require_worst_case(policy, worst_case(policy, cost))


@pytest.mark.parametrize(
    "wrong", [{"rounds": 0}, {"seed": -1}, {"window": LEAST_WINDOW - 1}, {"resamples": 1}]
)
def test_options_name_what_is_wrong(wrong: dict[str, int]) -> None:
    with pytest.raises(FedNodeError, match=f"--{next(iter(wrong))} "):
        DemoOptions(**wrong)  # type: ignore[arg-type]


def test_embedded_stage_funds_everybody_and_jumps(tmp_path: Path) -> None:
    found = open_stage(DemoOptions(directory=tmp_path), SITES)
    assert found.embedded
    assert all(found.chain.balance(a.address) > 0 for a in (found.creator, *found.hospitals))
    later = found.chain.now() + 1000
    found.rest(later)
    assert found.chain.now() == later


def test_stores_are_dealt_out_to_the_hospitals(tmp_path: Path) -> None:
    nodes = ("http://127.0.0.1:1", "http://127.0.0.1:2")
    found = open_stage(DemoOptions(directory=tmp_path, ipfs=nodes), SITES)
    assert found.locations == nodes
    assert found.content_name == ", ".join(nodes)


def test_anvil_needs_no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    connect_to(monkeypatch, 31337)
    found = open_stage(DemoOptions(rpc="http://node", directory=tmp_path), SITES)
    addresses = [account.address for account in (found.creator, *found.hospitals)]
    assert addresses == [from_key(key).address for key in ANVIL_KEYS[:3]]
    assert not (tmp_path / "keystores").exists()


def test_another_chain_needs_an_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    connect_to(monkeypatch, 1)
    with pytest.raises(FedNodeError, match="has id 1: give --account"):
        open_stage(DemoOptions(rpc="http://node", directory=tmp_path), SITES)


def test_hospitals_keys_on_a_node_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    connect_to(monkeypatch, 1)
    options = DemoOptions(rpc="http://node", directory=tmp_path, account=new_account())
    first = open_stage(options, SITES[:1])
    second = open_stage(options, SITES[:1])
    assert first.hospitals[0].address == second.hospitals[0].address
    assert first.creator is options.account
    assert (tmp_path / "keystores" / "password").stat().st_mode & 0o077 == 0


def test_funding_tops_up_once(tmp_path: Path) -> None:
    found = open_stage(DemoOptions(directory=tmp_path), SITES)
    policy = demo_policy(DemoOptions(rounds=2))
    fresh = (new_account(), new_account())
    poor = stage.Stage(found.chain, found.creator, fresh, found.locations, embedded=True)
    receipt = found.chain.send(found.creator, found.creator.address)
    poor.fund(policy, receipt, 700_000)
    funded = [found.chain.balance(account.address) for account in fresh]
    assert min(funded) > 3 * policy.stake.proposer_bond
    poor.fund(policy, receipt, 700_000)
    assert [found.chain.balance(account.address) for account in fresh] == funded
