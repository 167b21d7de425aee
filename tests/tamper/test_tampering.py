"""Every kind of tampering is found and named; a federation in which all was well passes.

`pytest --hypothesis-profile=long` tries each kind fifty times. A trial of a mutant tries it once.
"""

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import settings

from fednode.auditing import run_audit
from ledger import history as ev
from ledger.cid import CID, Codec
from ledger.headers import Rule, UpdateHeader
from ledger.nodes import Reason
from ledger.payload import LEAF_SIZE, Payload
from ledger.proceedings import Outcome
from ledger.round import Published
from ledger.types import Digest
from tests.tamper.forgeries import kept_back
from tests.tamper.lies import BY_SLICES
from tests.tamper.policies import draw, terms
from tests.tamper.story import Publication, Situation, Story, unavailable
from tests.tamper.trials import KINDS, clean, false_alarms, tally
from tests.tamper.world import Setting, World, identity

BATCH = 10
NEVER = {Reason.SUPERSEDED, Reason.MISSING, Reason.UNSIGNED, Reason.IDLE}
"""Reasons of federations with a relay, or with shards."""
TRIALS = 3
LONG_TRIALS = 50
FEW, MANY = 50, 1000
"""Below so many examples hypothesis draws for mutants, and from so many on in a long run."""


ELSEWHERE = {
    ev.BatchPosted,
    ev.SliceOpened,
    ev.ProofCommitted,
    ev.DemandOpened,
    ev.DemandAnswered,
    ev.ChallengeConceded,
    ev.ChallengeFailed,
    ev.ResultDisproved,
    ev.FallenDisproved,
    ev.ChallengeReclaimed,
    ev.UnavailableCharged,
}
"""What honest and careless nodes alone do not bring about; a walk on the chain does."""


def trials() -> int:
    examples = settings.default.max_examples if settings.default else FEW
    return 1 if examples < FEW else LONG_TRIALS if examples >= MANY else TRIALS


def test_there_are_many_kinds() -> None:
    assert len(KINDS) >= 16
    assert len({kind.step for kind in KINDS.values()}) == 14


@pytest.mark.parametrize("name", KINDS)
def test_found_and_named(name: str) -> None:
    missed = tally(KINDS[name], trials()).missed
    assert not missed, [(one.case.round, one.case.signer, one.verdict.finding) for one in missed]


@pytest.mark.parametrize("batch", range(-(-len(KINDS) * TRIALS // BATCH)))
def test_no_false_alarm(batch: int) -> None:
    first, last = (at * BATCH * trials() // TRIALS for at in (batch, batch + 1))
    assert false_alarms(first, last) == []


def test_clean_stories_have_everything_in_them() -> None:
    events: Counter[type[ev.Event]] = Counter()
    reasons: Counter[int] = Counter()
    for seed in range(160):
        world, verdict = clean(seed).world, clean(seed).verdict
        events.update(type(event) for event in world.events)
        reasons.update(e.reason for r in verdict.rounds for e in r.entries)
    assert set(events) == set(ev.EVENTS) - ELSEWHERE
    assert set(reasons) == set(Reason) - NEVER
    worlds = [clean(seed).world for seed in range(160)]
    assert {world.header.rule for world in worlds if world.headers} == set(Rule)
    assert any(stale(world) for world in worlds)
    ended = [world.replica.state.ended for world in worlds]
    assert {e.idle for e in ended if e is not None} == {True, False}
    assert any(e.stop for world in worlds for e in world.headers.values())
    assert any(len(world.replica.state.period_ends) > 1 for world in worlds)
    void = [r for w in worlds for r in w.replica.state.rounds if r.outcome is Outcome.VOID]
    assert any(not r.commits for r in void)
    assert any(r.proposals for r in void)
    assert any(r.turn_missed and not r.proposals for r in void)


def stale(world: World) -> int:
    """Count the updates that count although another version than the newest made them."""
    found = 0
    for accepted in world.replica.state.lineage:
        round_ = world.replica.state.rounds[accepted.round]
        levels = world.replica.reader(accepted).levels(round_.slots)
        for entry in (entry for node in levels[0] for entry in node.entries if entry.weight):
            header = UpdateHeader.decode(world.store.get(CID(Codec.RAW, Digest(entry.digest))))
            found += header.base != round_.parent
    return found


def test_an_update_called_unavailable_rests_on_the_committee() -> None:
    def lie(s: Situation) -> Publication | None:
        if not s.counted():
            return None
        at = s.rng.choice(s.counted())
        slots = [unavailable(slot) if i == at else slot for i, slot in enumerate(s.slots)]
        return s.compose(slots=slots)

    world = World(Setting.draw(random.Random(1), terms(draw(random.Random(1)))))
    story = Story(random.Random(2), world, lie=lie, clumsy=0)
    story.tell()
    verdict = run_audit(world.evidence())
    assert story.lied is not None
    assert verdict.holds, verdict.finding
    assert any("rests on the committee" in note for note in verdict.notes)


def test_an_audit_without_events_fails() -> None:
    world = clean(1).world
    verdict = run_audit(replace(world.evidence([]), h=bytes(32)))  # type: ignore[arg-type]
    assert verdict.finding is not None
    assert verdict.finding.step.name == "history"
    assert verdict.rounds == ()


def test_a_strangers_identity_ends_no_audit_of_an_open_federation() -> None:
    world = World(Setting.draw(random.Random(1), terms(draw(random.Random(1), open="true"))))
    world.create()
    world.join(2, 10, record=identity(3))
    verdict = run_audit(world.evidence())
    assert verdict.holds, verdict.finding
    assert any("not to be believed" in note for note in verdict.notes)
    assert verdict.participants[0].name == "participant 0"


@pytest.mark.parametrize("mode", ["slices", "shards"])
def test_no_false_alarm_on_rows_that_are_kept_back(mode: str) -> None:
    measured: Counter[int] = Counter()
    for seed in range(2 * trials()):
        world = kept_back(random.Random(f"{mode} {seed}"), mode)
        verdict = run_audit(world.evidence())
        assert verdict.holds, (seed, verdict.finding)
        measured.update(len(r.entries) for r in verdict.rounds if r.utility_after is not None)
    assert measured


def test_a_slice_that_is_passed_over_rests_on_the_committee() -> None:
    """A result that measures nothing may be right: that bytes came in time no audit can see."""

    def lie(s: Situation) -> Publication | None:
        blind = s.compose(utilities=lambda *_: ())
        return blind if s.honest.records.utilities else None

    for seed in range(100):
        rng = random.Random(seed)
        world = World(Setting.draw(rng, terms(draw(rng, **BY_SLICES))))
        story = Story(rng, world, lie=lie, clumsy=0)
        story.tell()
        accepted = [a.result for a in world.replica.state.lineage]
        if story.lied is not None and story.lied.result in accepted:
            verdict = run_audit(world.evidence())
            assert verdict.holds, verdict.finding
            told = f"Round {story.lied.round}: nothing was measured, and its slice"
            assert any(note.startswith(told) for note in verdict.notes)
            return
    raise AssertionError("nobody lied")


def test_counting_what_nobody_has_is_named_by_its_bytes() -> None:
    def lie(s: Situation) -> Publication | None:
        for at, slot in enumerate(s.slots):
            if s.reason(at) == Reason.UNAVAILABLE and slot.published.header is not None:
                data = Payload(bytes(s.context.policy.leaves * LEAF_SIZE))
                header = UpdateHeader.decode(slot.published.header)
                mended = replace(header, payload_root=data.root).encode()
                counted = replace(slot, published=Published(mended, data))
                return s.compose(slots=[*s.slots[:at], counted, *s.slots[at + 1 :]])
        return None

    for seed in range(100):
        rng = random.Random(seed)
        world = World(Setting.draw(rng, terms(draw(rng, least=1))))
        story = Story(rng, world, lie=lie, clumsy=0.5, fates=("withheld", "unrooted"))
        story.carelessness = 1.0
        story.tell()
        accepted = [a.result for a in world.replica.state.lineage]
        if story.lied is not None and story.lied.result in accepted:
            finding = run_audit(world.evidence()).finding
            assert finding is not None
            assert (finding.step.name, finding.round) == ("bytes", story.lied.round)
            return
    raise AssertionError("nobody lied")
