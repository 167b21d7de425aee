"""What an audit makes of results that fell, and of what was signed and posted by others."""

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fednode.auditing import run_audit
from ledger import artefacts
from ledger import history as ev
from ledger.audit import verdict as v
from ledger.chain.calls import call
from ledger.payload import Payload, pad
from ledger.proceedings import Outcome
from ledger.stores import Artefact
from ledger.types import Digest
from tests.tamper.policies import draw, terms, training_update, update_of
from tests.tamper.story import Publication, Story
from tests.tamper.world import FIRST_MEMBER, STRANGER, Setting, World, account, rechained

MEMBERS = 3
FIXED = {
    "open": "true",
    "start": MEMBERS,
    "most": MEMBERS,
    "least": 1,
    "quorum": "0.6",
    "committee": 16,
    "rounds": 3,
    "statistics": "false",
    "patience": 0,
    "mode": "none",
    "attempts": 3,
    "stake": 5,
}
NOBODY = account(STRANGER).address


def formed() -> Story:
    """Give a federation of three in round 0."""
    rng = random.Random(3)
    world = World(Setting.draw(rng, terms(draw(rng, **FIXED))))
    world.create()
    for place in range(MEMBERS):
        world.join(FIRST_MEMBER + place, 10)
    return Story(rng, world)


def commit(story: Story) -> None:
    world = story.world
    for index in range(MEMBERS):
        if world.replica.state.participants[index].active(world.replica.state.round.index):
            digest, artefact = update(story, index)
            world.store.put(artefact)
            world.commit(index, digest)


def update(story: Story, index: int) -> tuple[Digest, Artefact]:
    context = story.world.context()
    data = Payload(pad(training_update(story.rng, story.world.terms), context.policy.leaves))
    record = artefacts.record({"participant": index})
    return update_of(context, index, data, record)


def propose(story: Story, *, honest: bool = True) -> Publication:
    world = story.world
    round_ = world.replica.state.round
    situation = story.situation(round_)
    publication = Publication.of(situation.honest)
    if not honest:
        publication = situation.remodelled(lambda model: model + np.int32(1))
    world.store.put(publication.artefact)
    story.outcomes[publication.header.digest()] = publication
    turn = world.replica.state.in_turn(round_)
    proposer = NOBODY if turn is None else turn.signer_in(round_.index)
    world.propose(proposer, publication.header, publication.index)
    return publication


def fallen(*, honest: bool = True) -> Story:
    """Give a federation whose first result fell after a second one was built on it."""
    story = formed()
    world = story.world
    commit(story)
    false = propose(story, honest=honest)
    world.vote(0, support=True)
    world.vote(1, support=True)
    commit(story)
    if honest:
        propose(story)
        world.vote(2, support=True)
        world.vote(1, support=True)
    world.disprove(false.header.digest(), 0, NOBODY)
    return story


def test_a_fraud_that_fell_is_no_fault_of_what_stands() -> None:
    story = fallen(honest=False)
    propose(story)
    story.world.vote(2, support=True)
    verdict = run_audit(story.world.evidence())
    assert verdict.holds, verdict.finding
    assert any("fell by a proof of kind 1" in note for note in verdict.notes)
    state = story.world.replica.state
    assert [r.outcome for r in state.rounds[:2]] == [Outcome.ACCEPTED, Outcome.VOID]
    assert [p.slashed for p in state.participants] == [True, True, False]


def test_a_fraud_that_stands_is_still_found() -> None:
    story = fallen()
    propose(story, honest=False)
    story.world.vote(2, support=True)
    finding = run_audit(story.world.evidence()).finding
    assert finding is not None
    assert finding.step is v.AGGREGATION


def together() -> World:
    story = formed()
    commit(story)
    propose(story)
    story.world.vote_together((0, 2), support=True, sender=NOBODY)
    return story.world


def test_votes_that_were_signed_and_posted_together_hold() -> None:
    verdict = run_audit(together().evidence())
    assert verdict.holds, verdict.finding
    assert verdict.rounds[0].votes_for == 2


def posted(forge: Callable[[ev.Voted], bytes]) -> v.Verdict:
    """Audit votes that were posted together, with another call in their place."""
    world = together()
    events = [*world.events]
    at = next(i for i, event in enumerate(events) if isinstance(event, ev.Voted))
    voted = events[at]
    assert isinstance(voted, ev.Voted)
    events[at] = replace(voted, meta=replace(voted.meta, call=forge(voted)))
    return run_audit(world.evidence(rechained(events)))


def test_a_posted_vote_with_another_signature_is_found() -> None:
    def forge(voted: ev.Voted) -> bytes:
        place = (voted.federation, voted.round, voted.attempt, voted.result)
        return call("postVotes", *place, 0, [(True, bytes(32), bytes(32))])

    finding = posted(forge).finding
    assert finding is not None
    assert (finding.step, finding.signer) == (v.SIGNERS, NOBODY)


def test_a_posted_vote_whose_call_cannot_be_read_is_a_note() -> None:
    verdict = posted(lambda voted: voted.meta.call[:-40])
    assert verdict.holds, verdict.finding
    assert any("outer call" in note for note in verdict.notes), verdict.notes
