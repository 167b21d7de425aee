"""A federation whose nodes, relay, stores and chain fail one after the other, a fault a round.

Whatever happens, every round has a result that counts everybody's update, every wei is accounted
for, all money can be taken out, and an audit holds.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from fednode.claims import claim_all
from ledger.proceedings import Outcome
from ledger.state import Phase
from tests.chaos.books import accumulated
from tests.chaos.faults import (
    TWO_COMMITS,
    ChainKilled,
    DiskFull,
    Fault,
    Killed,
    KuboKilled,
    KuboPartitioned,
    MissedTurn,
    PriceSpike,
    RelayDiskFull,
    RelayDrops,
    Reorganised,
    Skewed,
    Twins,
    lasts,
)
from tests.chaos.siege import Siege
from tests.e2e.processes import engines

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NODES = (
    Killed(lambda siege: siege.proposers[:1], TWO_COMMITS),
    Killed(lambda siege: siege.participants[:2]),
    Killed(lambda siege: [siege.relay] if siege.relay else [], TWO_COMMITS),
    KuboKilled(1),
    KuboPartitioned(0),
    DiskFull(1),
    RelayDiskFull(),
    RelayDrops(1),
)
CHAIN = (
    Reorganised(),
    PriceSpike(),
    ChainKilled(),
    MissedTurn(),
    Twins(1),
    Skewed(),
)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("faults", "relayed"), [(NODES, True), (CHAIN, False)], ids=["nodes", "chain"]
)
def test_a_fault_a_round(tmp_path: Path, faults: Sequence[Fault], relayed: bool) -> None:
    with engines(tmp_path / "engines", kubo=3) as network:
        siege = Siege(tmp_path / "siege", network, rounds=len(faults) - 1, relayed=relayed)
        with siege.started():
            for index, fault in enumerate(faults):
                suffer(siege, index, fault)
            siege.slowest.resume()
            siege.finish()
        settle_up(siege)


def suffer(siege: Siege, index: int, fault: Fault) -> None:
    """Let a fault strike in a round while its last commit is missing, and see that the round comes
    to have everybody's part in it.
    """
    siege.slowest.pause()
    siege.wait(lambda state: state.round.index == index and fault.moment(siege, state))
    siege.slowest.resume()
    fault.strike(siege)
    if not lasts(fault):
        fault.heal(siege)
    siege.through(index)
    if lasts(fault):
        fault.heal(siege)


def settle_up(siege: Siege) -> None:
    """Take everything out, balance the books and audit."""
    contract, eye, stage = siege.cast.contract, siege.eye, siege.cast.stage
    assert siege.books.check(contract, eye.refresh()) > 0
    stage.engine.hurry(stage.chain.now() + eye.state.policy.unbonding_window)
    for account in siege.engine.accounts:
        claim_all(eye, account)
    state = eye.refresh()
    assert state.phase is Phase.ENDED
    assert all(round_.outcome is not Outcome.OPEN for round_ in state.rounds)
    assert siege.books.check(contract, state) == 0
    assert accumulated(contract, siege.federation)
    assert siege.run("audit", *siege.content(-1))["holds"] is True
