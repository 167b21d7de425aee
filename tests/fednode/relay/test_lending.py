"""What bonds that a relay lent have cost it, by the history."""

from fednode.relay.chain import phase_of
from fednode.relay.situation import Proposing
from ledger import history as ev
from ledger.signatures import Domain
from ledger.types import RoundIndex
from tests.ledger.chain.samples import WINDOW
from tests.ledger.script import LEDGER, RELAY, Script, address, closed

DOMAIN = Domain(1, LEDGER)


def turn(script: Script) -> Proposing:
    phase = phase_of(script.state, DOMAIN, RELAY)
    assert isinstance(phase, Proposing)
    return phase


def disproved(**who: object) -> Script:
    """Give a federation whose first proposal fell, after a demand that had no answer."""
    script = closed(attempts=4).do(ev.ResultProposed, **who).do(ev.DemandOpened)
    return script.at(script.time + WINDOW).do(ev.ResultDisproved)


def test_a_bond_that_was_lost_bars_its_participant() -> None:
    assert turn(closed(attempts=4)) == Proposing(RoundIndex(0), 0, address(100))
    script = disproved(proposer=RELAY)
    bond = script.policy.proposer_bond
    found = turn(script)
    assert (found.signer, found.lost, found.barred) == (address(101), bond, False)
    for _ in range(2):
        script.do(ev.ResultProposed).do(ev.Voted, ballots=3 << 128).do(ev.ResultRejected)
    found = turn(script)
    assert (found.signer, found.lost, found.barred) == (address(100), bond, True)


def test_a_bond_of_anothers_is_no_loss() -> None:
    found = turn(disproved())
    assert (found.lost, found.barred) == (0, False)


def test_a_result_that_was_voted_down_costs_the_fee() -> None:
    script = closed(attempts=4, rejection_fee=3).do(ev.ResultProposed, proposer=RELAY)
    script.do(ev.Voted, ballots=1 << 128).do(ev.Voted, ballots=2 << 128).do(ev.ResultRejected)
    found = turn(script)
    assert (found.attempt, found.lost, found.barred) == (1, 3, False)
