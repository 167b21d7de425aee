"""What a verdict tells of rounds and participants is what chain and records say."""

from dataclasses import replace
from fractions import Fraction

import pytest

from fednode.auditing import run_audit
from ledger.audit import verdict as v
from tests.ledger.audit.test_replay import finished
from tests.tamper.world import World


@pytest.fixture(scope="module")
def world() -> World:
    return finished()


@pytest.fixture(scope="module")
def verdict(world: World) -> v.Verdict:
    evidence = world.evidence()
    transactions = {event.meta.transaction for event in evidence.events}
    return run_audit(replace(evidence, gas=dict.fromkeys(transactions, 7)))


def test_a_round_is_told_as_chain_and_records_have_it(world: World, verdict: v.Verdict) -> None:
    state = world.replica.state
    for accepted, told in zip(state.lineage, verdict.rounds, strict=True):
        round_, proposal = state.rounds[accepted.round], accepted.proposal
        assert (told.round, told.result) == (accepted.round, accepted.result)
        assert (told.opened_at, told.ended_at) == (round_.opened, accepted.accepted_at)
        assert (told.proposer, told.seats) == (proposal.signer, proposal.committee.seats)
        assert (told.votes_for, told.votes_against) == (len(proposal.votes), 0)
        assert told.attempts == 1
        records = world.replica.reader(accepted).records()
        assert sum(entry.weight > 0 for entry in told.counted) == records.header.number
        assert sum(entry.weight for entry in told.entries) == records.header.weight
        assert len(told.entries) == round_.slots
        expected = (records.utilities[0], records.utilities[-1]) if records.utilities else None
        found = (told.utility_before, told.utility_after)
        assert found == (expected or (None, None))


def test_gas_is_told_by_round_and_no_transaction_counts_twice(
    world: World, verdict: v.Verdict
) -> None:
    first: dict[bytes, int] = {}
    for event in world.evidence().events:
        round_ = getattr(event, "round", None)
        if round_ is not None:
            first.setdefault(event.meta.transaction, round_)
    for told in verdict.rounds:
        assert told.gas == 7 * list(first.values()).count(told.round)


def test_participants_have_what_the_newest_records_say(world: World, verdict: v.Verdict) -> None:
    state = world.replica.state
    records = world.replica.reader(state.lineage[-1]).records()
    amounts = [leaf.amount for leaf in records.payouts]
    assert [person.payout for person in verdict.participants] == amounts
    assert [p.share for p in verdict.participants] == [Fraction(a, sum(amounts)) for a in amounts]
    values = [Fraction(leaf.value, 27_720) for leaf in records.values]
    assert [person.value for person in verdict.participants] == values
    assert [p.signer for p in verdict.participants] == [p.signer for p in state.participants]
    assert [p.claimed for p in verdict.participants] == [p.paid for p in state.participants]
