"""What an audit says of a federation in which all was well, and of evidence that is hostile."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from fednode.auditing import run_audit
from ledger import artefacts, cbor, payouts
from ledger import history as ev
from ledger.audit import verdict as v
from ledger.audit.evidence import Deployment
from ledger.audit.replay import PolicyRefused, audit
from ledger.cid import CID, Codec
from ledger.proceedings import Outcome
from ledger.replica import Replica
from ledger.stores import MemoryStore, StoreUnreachable
from ledger.types import Digest
from tests.ledger.sealing.scene import Scene
from tests.tamper.kinds import Clean, clean
from tests.tamper.policies import draw, terms
from tests.tamper.story import Publication, Situation, Story
from tests.tamper.world import CREATOR, Setting, World, account


def finished(**fixed: object) -> World:
    """Give a federation without accidents, with pay and statistics, that came to its end."""
    chosen: dict[str, object] = {
        "most": 3,
        "start": 3,
        "least": 1,
        "rounds": 2,
        "statistics": "true",
        "patience": 0,
        "mode": "public",
        "valuation": "exact",
        "every": 1,
        "pool": 10**18,
        "period": 0,
    }
    text = draw(random.Random(5), **(chosen | fixed))
    for seed in range(50):
        world = World(Setting.draw(random.Random(seed), terms(text)))
        Story(random.Random(seed), world, clumsy=0).tell()
        if world.replica.state.claims:
            return world
    raise AssertionError("no story with claims")


def test_every_step_is_checked_in_every_round() -> None:
    verdict = run_audit(finished().evidence())
    assert verdict.holds
    assert {check.step for check in verdict.checks} == {*v.STEPS}
    each = {v.ORDER, v.SIGNERS, v.BYTES, v.HEADERS, v.SELECTION, v.TREES, v.AGGREGATION}
    each |= {v.UTILITIES, v.CONTRIBUTIONS, v.PAYOUTS, v.LINEAGE}
    for index in range(3):
        assert {check.step for check in verdict.checks if check.round == index} >= each


def test_the_verdict_tells_the_story() -> None:
    world = finished()
    verdict = run_audit(world.evidence())
    assert [r.version for r in verdict.rounds] == [0, 1, 2]
    assert [r.statistics for r in verdict.rounds] == [True, False, False]
    assert {r.outcome for r in verdict.rounds} == {v.Outcome.SETTLED}
    assert [r.utility_before is None for r in verdict.rounds] == [True, False, False]
    last = world.headers[world.replica.state.head]
    assert verdict.due == last.payout_total
    assert [p.name for p in verdict.participants] == ["Hospital 2", "Hospital 3", "Hospital 4"]
    assert sum(p.share for p in verdict.participants) == 1
    claims = world.of_kind(ev.PayoutClaimed)
    assert claims
    claimed = {p.index: p.claimed for p in verdict.participants}
    assert claimed == {p.index: p.paid for p in world.replica.state.participants}
    assert verdict.terms.name == "Trial"
    details = {f"what participant {claim.participant} has claimed in all" for claim in claims}
    assert details <= {c.detail for c in verdict.checks if c.step is v.CLAIMS and c.round is None}


def test_what_goes_on_is_said() -> None:
    world = World(Setting.draw(random.Random(1), terms(draw(random.Random(1)))))
    world.create()
    verdict = run_audit(world.evidence())
    assert verdict.holds
    assert any("goes on" in note for note in verdict.notes)
    assert (verdict.rounds, verdict.participants) == ((), ())


def test_attempts_that_ran_out_are_counted_once() -> None:
    voids = [
        (clean(seed).world, clean(seed).verdict, round_)
        for seed in range(60)
        for round_ in clean(seed).world.replica.state.rounds
        if round_.outcome is Outcome.VOID and round_.turn_missed
    ]
    assert voids
    for world, verdict, round_ in voids:
        assert verdict.rounds[round_.index].attempts <= world.header.attempts


def test_a_store_that_does_not_answer_is_no_finding() -> None:
    class Gone(MemoryStore):
        def get(self, cid: CID) -> bytes:
            raise StoreUnreachable("nowhere", "no answer")

    evidence = replace(finished().evidence(), store=Gone())
    with pytest.raises(StoreUnreachable):
        run_audit(evidence)


def test_an_audit_stops_at_the_first_finding() -> None:
    world = finished()
    store = MemoryStore()
    store.blocks = dict(world.store.blocks)
    results = [a.result for a in world.replica.state.lineage]
    for result in results[1:]:
        del store.blocks[CID(Codec.RAW, result)]
    verdict = run_audit(replace(world.evidence(), store=store))
    assert verdict.finding is not None
    assert (verdict.finding.step, verdict.finding.round) == (v.BYTES, 1)
    assert sum(not check.ok for check in verdict.checks) == 1
    assert not verdict.checks[-1].ok
    assert max(check.round or 0 for check in verdict.checks) == 1


@pytest.fixture
def created() -> World:
    world = World(Setting.draw(random.Random(1), terms(draw(random.Random(1)))))
    world.create()
    return world


def test_another_contract_is_the_first_finding(created: World) -> None:
    elsewhere = Deployment(ours=False, expected="at a", found="at b")
    verdict = run_audit(replace(created.evidence(), deployment=elsewhere))
    assert verdict.finding == v.Finding(
        v.CONTRACT, None, "the contract's address", "at a", "at b", None
    )
    assert [check.step for check in verdict.checks] == [v.CONTRACT]


def test_an_event_that_does_not_follow_is_named_by_its_place_and_block(created: World) -> None:
    created.join(2, 10)
    first, second = created.evidence().events
    changed = replace(second, h=Digest(bytes([7] * 32)))
    finding = run_audit(created.evidence([first, changed])).finding
    assert finding is not None
    assert finding.subject == (
        f"the accumulator after event 1, ParticipantJoined in block {second.meta.block_number}"
    )
    assert (finding.step, finding.expected, finding.found) == (
        v.HISTORY,
        f"0x{second.h.hex()}",
        f"0x{changed.h.hex()}",
    )


def test_a_history_ends_at_what_the_trusted_block_vouches_for(created: World) -> None:
    created.join(2, 10)
    whole = created.evidence()
    finding = run_audit(replace(whole, events=whole.events[:1])).finding
    assert finding is not None
    assert (finding.step, finding.subject) == (v.HISTORY, "the accumulator at the trusted block")
    assert finding.expected == f"0x{whole.h.hex()}"
    assert finding.found == f"0x{whole.events[0].h.hex()}"


def test_a_policy_that_no_rules_follow_from_is_its_creators() -> None:
    def refuse(replica: Replica) -> object:
        raise PolicyRefused("the record makes no sense")

    verdict = audit(finished().evidence(), refuse)  # type: ignore[arg-type]
    assert verdict.finding is not None
    assert verdict.finding.step is v.HEADERS
    assert verdict.finding.signer == account(CREATOR).address
    assert "makes no sense" in verdict.finding.found


# -- what a hostile proposer could publish to make an auditor work or fail


def _judged(lie: Callable[[Situation], Publication | None]) -> v.Finding:
    for seed in range(100):
        rng = random.Random(seed)
        world = World(Setting.draw(rng, terms(draw(rng, most=3))))
        story = Story(rng, world, lie=lie, clumsy=0.2)
        story.tell()
        lined = [a.result for a in world.replica.state.lineage]
        if story.lied is not None and story.lied.result in lined:
            finding = run_audit(world.evidence()).finding
            assert finding is not None
            return finding
    raise AssertionError("nobody lied")


def _republished(s: Situation, name: str, data: bytes, **header: object) -> Publication:
    """Publish an honest result with another block in the place of one of its lists."""
    honest = Publication.of(s.honest).with_header(**header)
    cid, block = artefacts.raw(data)
    value = cbor.decode(honest.artefact.blocks[CID(Codec.DAG_CBOR, honest.index)])
    assert isinstance(value, dict)
    root, record = artefacts.record({**value, name: cid})
    more = type(honest.artefact)((root,), {root: record, cid: block})
    return replace(honest, index=root.digest, artefact=honest.artefact.merge(more))


def test_scores_that_overflow_are_a_finding() -> None:
    def lie(s: Situation) -> Publication | None:
        top = (1 << 256) - 1
        leaves = payouts.value_leaves([0, 0], [top, top])
        return _republished(s, "values", payouts.encode_values(leaves))

    finding = _judged(lie)
    assert finding.step is v.BYTES
    assert "256 bits" in finding.found


@pytest.mark.parametrize("name", ["utilities", "values", "payouts"])
def test_lists_of_noise_are_a_finding(name: str) -> None:
    finding = _judged(lambda s: _republished(s, name, s.rng.randbytes(s.rng.randrange(1, 400))))
    assert finding.step is v.BYTES


def test_a_header_of_noise_is_a_finding(clean_world: Clean) -> None:
    world = clean_world.world
    result = world.replica.state.lineage[0].result
    store = MemoryStore()
    store.blocks = {**world.store.blocks, CID(Codec.RAW, result): b"noise"}
    finding = run_audit(replace(world.evidence(), store=store)).finding
    assert finding is not None
    assert finding.step is v.BYTES


@pytest.fixture
def clean_world() -> Clean:
    return next(one for one in map(clean, range(1, 50)) if one.world.replica.state.lineage)


# -- results that were voted down


@pytest.mark.parametrize(("accepted", "right"), [(0, True), (1, True), (0, False)])
def test_a_right_result_that_was_voted_down_is_noted(accepted: int, right: bool) -> None:
    scene = Scene.form(sealed=False).play(accepted)
    world = scene.world
    for index in range(3):
        scene.commit(index)
    outcome = scene.compose()
    if not right:
        header = replace(outcome.header, weight=outcome.header.weight + 1)
        outcome = replace(outcome, records=replace(outcome.records, header=header))
    artefact, digest = artefacts.result_artefact(outcome, parent=b"")
    world.store.put(artefact)
    turn = world.replica.state.in_turn(scene.round)
    assert turn is not None
    world.propose(turn.signer, outcome.header, digest)
    for index in (0, 2):
        world.vote(index, False)
    verdict = run_audit(world.evidence())
    assert verdict.holds, verdict.finding
    assert [note for note in verdict.notes if "was not accepted" in note] == [
        f"Round {accepted}: a result that follows from its updates was not accepted in attempt 0; "
        "participants 0, 2 voted against it."
    ] * right
