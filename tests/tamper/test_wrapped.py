"""Transactions that reach the contract through another one: the audit holds, and says so."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fednode.auditing import run_audit
from ledger import history as ev
from ledger.audit.sources import bundle_evidence, evidence_from_bundle
from ledger.audit.verdict import SIGNERS, Verdict
from ledger.chain.accounts import Account
from ledger.chain.calls import call
from ledger.chain.client import Chain
from ledger.chain.federations import Ballot, Federations, Membership, deploy
from ledger.round import Outcome
from ledger.signatures import Domain, Invitation, Join, Proposal, Vote
from ledger.stores import RecordingStore
from ledger.types import Digest, Wei
from tests.tamper.kinds import clean
from tests.tamper.live import MEMBERS, Live
from tests.tamper.world import CREATOR, LEDGER, STRANGER, World, account
from tests.tamper.wrapping import Wrapped, forwarder

NOBODY = account(STRANGER).address
ELSEWHERE = account(STRANGER + 5000).address


class Wallets(Live):
    """Every participant signs by a contract, which joins, commits, proposes and votes for it."""

    def reach(self, contract: Federations) -> Federations:
        return Wrapped(contract)

    def member(self, who: Account, invitation: Invitation, signature: bytes) -> Membership:
        assert isinstance(self.contract, Wrapped)
        wallet = forwarder(self.chain, who)
        self.contract.through[who.address] = wallet
        plain = super().member(who, invitation, signature)
        consent = Join(
            self.federation,
            wallet,
            plain.payout,
            plain.identity,
            Digest(plain.key),
            plain.dataset_root,
            plain.rows,
        )
        signed = Domain(self.chain.chain_id, self.contract.address).sign(who, consent).full
        return replace(plain, controller=who.address, signer=wallet, consent=signed)


class Posted(Live):
    """A stranger's contract brings proposals and votes that participants signed."""

    opaque = False

    def reach(self, contract: Federations) -> Federations:
        self.wrapped = Wrapped(contract, opaque=self.opaque)
        self.wrapped.through[self.stranger.address] = forwarder(contract.chain, self.stranger)
        return contract

    def propose(self, proposer: Account, outcome: Outcome, index: Digest) -> None:
        round_ = self.replica.state.round
        message = Proposal(
            self.federation, round_.index, round_.attempt, outcome.header.digest(), index
        )
        signed = Domain(self.chain.chain_id, self.contract.address).sign(proposer, message).full
        bond = Wei(self.setting.header.proposer_bond)
        self.wrapped.propose_result(
            self.stranger, outcome.header, index, bond=bond, signature=signed
        )

    def vote(self, ballot: Ballot) -> None:
        domain = Domain(self.chain.chain_id, self.contract.address)
        vote = Vote(self.federation, ballot.round, ballot.attempt, ballot.result, support=True)
        signed = [(True, domain.sign(member, vote)) for member in self.members]
        self.wrapped.post_votes(self.stranger, self.federation, ballot, signed)


class Opaque(Posted):
    """The stranger's contracts show nothing of what they call."""

    opaque = True


@pytest.fixture(scope="module", params=[Wallets, Posted, Opaque])
def told(request: pytest.FixtureRequest) -> Live:
    accounts = [account(number) for number in range(MEMBERS + 2)]
    on = Chain.embedded([a.address for a in accounts])
    kind: Callable[..., Live] = request.param
    live = kind(on, deploy(on, account(CREATOR)), accounts)
    live.round()
    live.round()
    live.settle()
    return live


def wrapped_notes(verdict: Verdict) -> list[str]:
    return [note for note in verdict.notes if "not visible in the outer call" in note]


def test_an_audit_from_the_chain_holds_with_a_note(told: Live) -> None:
    verdict = run_audit(told.evidence())
    assert verdict.holds, verdict.finding
    assert not verdict.lacks
    assert len(wrapped_notes(verdict)) == 1


def test_an_audit_of_its_bundle_comes_to_the_same(told: Live, tmp_path: Path) -> None:
    evidence = replace(told.evidence(), store=RecordingStore(told.store))
    verdict = run_audit(evidence)
    path = tmp_path / "evidence.car"
    trust = bundle_evidence(path, evidence, told.chain).hash
    again = run_audit(evidence_from_bundle(path, trust))
    assert again.holds, again.finding
    assert (again.checks, again.notes) == (verdict.checks, verdict.notes)


# -- every kind of event, without a chain


Disguise = Callable[[World, ev.Event], ev.Event]


def _through_another(world: World, event: ev.Event) -> ev.Event:
    """As a bundler's transaction would look, with the inner call in it."""
    meta = event.meta
    return replace(event, meta=replace(meta, sender=NOBODY, to=ELSEWHERE, call=b"\1" + meta.call))


def _within_another_call(world: World, event: ev.Event) -> ev.Event:
    """As a payment looks whose receiver's code calls the contract again."""
    inner = call("withdraw", world.federation, ELSEWHERE)
    return replace(event, meta=replace(event.meta, sender=NOBODY, to=LEDGER, call=inner))


def _within_a_creation(world: World, event: ev.Event) -> ev.Event:
    return replace(event, meta=replace(event.meta, sender=NOBODY, to=None, call=b"\x60\0"))


def _within_a_vote_on_another_result(world: World, event: ev.Event) -> ev.Event:
    inner = call("vote", world.federation, 0, 0, bytes(32), 0, True)
    return replace(event, meta=replace(event.meta, sender=NOBODY, to=LEDGER, call=inner))


@pytest.mark.parametrize(
    "disguise",
    [
        _through_another,
        _within_another_call,
        _within_a_creation,
        _within_a_vote_on_another_result,
    ],
)
def test_no_kind_of_event_fails_for_the_way_it_came(disguise: Disguise) -> None:
    for seed in range(1, 13):
        world = clean(seed).world
        events = [disguise(world, event) for event in world.events]
        verdict = run_audit(world.evidence(events))
        assert verdict.holds, (seed, verdict.finding)
        assert len(wrapped_notes(verdict)) == 1
        assert not [c for c in verdict.checks if c.step == SIGNERS and c.round is not None]
        assert not any(NOBODY in note for note in verdict.notes)


def test_one_wrapped_event_is_named() -> None:
    world = clean(1).world
    events = list(world.events)
    at = random.Random(1).choice(
        [i for i, e in enumerate(events) if isinstance(e, ev.UpdateCommitted)]
    )
    events[at] = _through_another(world, events[at])
    verdict = run_audit(world.evidence(events))
    block = events[at].meta.block_number
    (note,) = (n for n in wrapped_notes(verdict) if "UpdateCommitted" in n)
    assert note.startswith(f"UpdateCommitted in block {block} was brought about through another")
