"""The fixed amounts of gas, against what forge measured."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fednode.relay.gas import MOST_PLACES, Gas
from fednode.relay.lanes import most_lost
from ledger.chain.types import MAX_GAS
from ledger.headers import PolicyHeader
from tests.ledger.chain.samples import policy
from tests.ledger.script import LEDGER

SNAPSHOT = Path(__file__).parents[3] / "contracts" / "snapshots" / "Gas.json"


def sized(members: int, seats: int) -> PolicyHeader:
    return replace(policy(1, LEDGER), max_participants=members, committee_size=seats)


LARGE = Gas.of(sized(10_000, 16))
SMALL = Gas.of(sized(10, 16))
AMOUNTS = {
    "join": SMALL.join,
    "postBatch": SMALL.batch,
    "postVotes, 16": LARGE.votes,
    "proposeResult": SMALL.proposal,
    "advance": SMALL.advance(1),
}


@pytest.mark.parametrize(("entry", "amount"), AMOUNTS.items(), ids=AMOUNTS)
def test_twice_what_was_measured_fits(entry: str, amount: int) -> None:
    measured = json.loads(SNAPSHOT.read_text())
    figures = [int(gas) for name, gas in measured.items() if name.startswith(entry)]
    assert figures
    assert 2 * max(figures) <= amount


@pytest.mark.parametrize("seats", [1, 16, MOST_PLACES])
@pytest.mark.parametrize("members", [2, MOST_PLACES, 1 << 16])
def test_it_fits_a_transaction_whatever_the_sizes(members: int, seats: int) -> None:
    gas = Gas.of(sized(members, seats))
    for amount in (gas.batch, gas.votes, gas.proposal, gas.join, gas.advance(1 << 20)):
        assert amount <= MAX_GAS // 2


def test_what_failures_cost_is_as_documented() -> None:
    """The figure of docs/relay.md, for a federation of ten with a committee of sixteen."""
    assert most_lost(SMALL, joins=False) == 21_182_144
    assert most_lost(SMALL, joins=True) == 26_113_216
