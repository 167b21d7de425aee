"""Two hospitals as processes on geth, with one directory of blocks between them."""

from pathlib import Path

import pytest

from fednode.policy import load_policy
from fednode.testnet import Geth
from tests.e2e.processes import (
    Network,
    Town,
    check_results,
    in_one_process,
    on_chain,
    write_accounts,
    write_policy,
)
from tests.federations import story

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SITES = ("cleveland", "budapest")
WINDOWS = """\
commit = 300
reveal = 60
propose = 60
attest = 60
challenge = 61
idle = 3600
attempts = 5
"""


@pytest.mark.timeout(600)
def test_two_hospitals_on_geth(geth: Geth, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    write_policy(policy, rounds=2, sites=SITES, windows=WINDOWS)
    expected = in_one_process(load_policy(policy), tmp_path / "one-process")
    write_accounts(tmp_path)
    network = Network(
        engine=on_chain("geth", geth.url),
        stores=(("--store", str(tmp_path / "blocks")),),
        accounts=tmp_path / "accounts",
        password=tmp_path / "password",
    )
    town = Town(tmp_path / "town", network, policy)
    town.found()
    with town.running():
        view = town.view()
        town.until(view, lambda state: state.settled)
        check_results(town, view, expected)
    for place, amount in enumerate(expected.payouts[-1]):
        town.run("claim", *town.account(1 + place), *town.content(-1))
        assert story(town.view()).paid[place] == amount
    assert sum(expected.payouts[-1]) > 0
    assert town.run("audit", *town.content(-1))["holds"] is True
