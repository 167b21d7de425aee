"""What a watcher of right results can lose: what `create` states, against what it does lose."""

from dataclasses import replace

import pytest

from fednode.policy.stakes import worst_loss
from ledger import history as ev
from ledger.disputes import ANSWERS, CONCEDED, MOST_STEPS
from ledger.types import Wei
from tests.ledger.chain.samples import policy
from tests.ledger.script import ANSWERER, CHALLENGER, Script, address, proposed

BOND = 3_200
FEE = BOND // ANSWERS


def withhold(script: Script, steps: int) -> None:
    """Let a watcher demand bytes of the standing result, be answered each time, and concede."""
    for step in range(steps):
        script.do(ev.DemandOpened).do(ev.DemandAnswered)
        assert script.state.round.proposal.challenges.all[0].answers == step + 1
    script.do(ev.ChallengeConceded, fee=Wei(steps * FEE))


@pytest.mark.parametrize("steps", [1, MOST_STEPS])
def test_a_hundred_withheld_results_cost_no_more_than_stated(steps: int) -> None:
    script = proposed(challenge_bond=BOND, rounds=101)
    for number in range(100):
        withhold(script, steps)
        script.do(ev.Voted, ev.Voted, ev.ResultAccepted, ev.RoundOpened)
        if number < 99:
            script.do(*[ev.UpdateCommitted] * 3, ev.CommitClosed, ev.ResultProposed)
    lost = 100 * BOND - script.state.credits.of(CHALLENGER).ethers
    header = replace(script.policy, rounds=100)
    stated = worst_loss(header)
    assert lost == 100 * (BOND // CONCEDED + steps * FEE)
    assert lost <= 100 * stated.attempt <= stated.run
    assert (lost == 100 * stated.attempt) is (steps == MOST_STEPS)
    assert script.state.credits.of(ANSWERER).ethers == 100 * steps * FEE
    assert script.state.credits.of(address(100)).ethers == 0


def test_a_watcher_never_loses_half_of_a_bond() -> None:
    header = replace(policy(1, address(1)), challenge_bond=BOND, rounds=10, attempts=3)
    stated = worst_loss(header)
    assert stated.attempt == 3 * BOND // 8
    assert stated.run == 30 * stated.attempt
    assert worst_loss(replace(header, statistics=4)).run == 33 * stated.attempt
