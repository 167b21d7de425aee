"""What an audit says of sealed and of erased rounds, and that neither is ever an excuse."""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from fednode.auditing import run_audit
from fednode.data.salted import SaltedRows
from fednode.report_terminal import terminal
from fednode.rounds import FederationRules
from ledger import artefacts, cbor, nodes, payload, payouts, utilities
from ledger import history as ev
from ledger.audit import verdict as v
from ledger.audit.report import html
from ledger.audit.wording import headline
from ledger.cid import CID, Codec
from ledger.erasure import Erasure
from ledger.headers import UpdateHeader
from ledger.round import Outcome, RoundContext, Rules, Slot, compose
from ledger.sealing import Envelope, SealedContent, SealingKey, Vault
from ledger.stores import Artefact
from ledger.types import Digest, FederationId, ParticipantId, RoundIndex
from tests.ledger.sealing.scene import AUDITOR, KEYS, STRANGER, Scene, vault
from tests.tamper.policies import update_of

OUTSIDERS = [vault(), vault(STRANGER)]
SEALED_STEPS = {
    v.SELECTION,
    v.TREES,
    v.AGGREGATION,
    v.UTILITIES,
    v.CONTRIBUTIONS,
    v.PAYOUTS,
}


def verdict_of(scene: Scene, *keys: SealingKey) -> v.Verdict:
    return run_audit(scene.world.evidence(), vault=vault(*keys))


def steps(verdict: v.Verdict, lack: v.Lack) -> set[v.Step]:
    return {check.step for check in verdict.checks if check.lack is lack}


def index_of(scene: Scene, participant: int, round_: int) -> payload.Index:
    """Read the index of an update."""
    artefact = scene.updates[round_, participant]
    header = UpdateHeader.decode(artefact.blocks[artefact.roots[0]])
    data = artefact.blocks[CID(Codec.DAG_CBOR, header.index)]
    return payload.Index.decode(data, enveloped=bool(scene.world.header.visibility))


def erase(scene: Scene, participant: int, round_: int) -> None:
    """Destroy the envelope, or the blocks, of an update."""
    index = index_of(scene, participant, round_)
    for cid in index.blocks if index.envelope is None else [index.envelope]:
        scene.world.store.blocks.pop(cid, None)


def declare(
    scene: Scene, participant: int, rounds: list[int], *, by: int | None = None, over: bool = True
) -> None:
    if over and not scene.world.replica.state.settled:
        scene.settle()
    record = record_of(scene, participant, rounds)
    by = participant if by is None else by
    amend(scene, by, record)


def amend(scene: Scene, participant: int, record: Artefact) -> None:
    scene.world.store.put(record)
    scene.world.amend_dataset(participant, erasure=record.roots[0].digest)


def record_of(scene: Scene, participant: int, rounds: list[int]) -> Artefact:
    numbers = tuple(RoundIndex(round_) for round_ in rounds)
    return Erasure(scene.world.federation, ParticipantId(participant), numbers, 1).artefact()


# -- sealed


@pytest.mark.parametrize("key", [AUDITOR, *KEYS[:2]])
def test_with_a_key_everything_is_checked(key: SealingKey) -> None:
    verdict = verdict_of(Scene.form(sealed=True).play(), key)
    assert (verdict.word, verdict.lacks, verdict.finding) == ("holds", (), None)
    clear = verdict_of(Scene.form(sealed=False).play())
    assert {check.step for check in verdict.checks} == {check.step for check in clear.checks}
    assert [p.payout for p in verdict.participants] == [p.payout for p in clear.participants]
    assert any("plain digest" in check.detail for check in verdict.checks)


@pytest.mark.parametrize("outsider", OUTSIDERS)
def test_without_a_key_it_says_what_it_did_not_check(outsider: Vault) -> None:
    scene = Scene.form(sealed=True).play()
    verdict = run_audit(scene.world.evidence(), vault=outsider)
    assert (verdict.word, verdict.holds, verdict.finding) == ("sealed", True, None)
    assert steps(verdict, v.Lack.SEALED) == SEALED_STEPS
    held = {check.step for check in verdict.checks if check.ok}
    assert held >= set(v.STEPS) - SEALED_STEPS - {v.CLAIMS}
    assert headline(verdict) == "Holds, except for what is sealed and was not read."
    told = json.loads(json.dumps(verdict.to_json()))
    assert (told["holds"], told["verdict"]) == (True, "sealed")
    assert {check["lack"] for check in told["checks"] if not check["ok"]} == {"sealed"}
    page, shown = html(verdict), printed(verdict)
    assert "this audit had no key" in page
    assert "Not all checked: 3 sealed" in page
    assert "except for what is sealed" in shown
    assert "18 sealed" in shown


def printed(verdict: v.Verdict) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(terminal(verdict))
    return console.export_text()


def removed(cid: Callable[[Scene], CID]) -> Callable[[Scene], None]:
    def remove(scene: Scene) -> None:
        del scene.world.store.blocks[cid(scene)]

    return remove


def entry(name: str) -> Callable[[Scene], CID]:
    """Find a block of the second result by its name in the index."""

    def find(scene: Scene) -> CID:
        index = scene.world.replica.state.lineage[1].proposal.index
        record = cbor.decode(scene.world.store.get(CID(Codec.DAG_CBOR, index)))
        assert isinstance(record, dict)
        link = record[name]
        link = link[0] if isinstance(link, list) else link
        assert isinstance(link, CID)
        return link

    return find


def block_of_model(scene: Scene) -> CID:
    return payload.read_index(scene.world.store, entry("model")(scene).digest).blocks[0]


@pytest.mark.parametrize(
    "cid",
    [entry(name) for name in ("envelope", "inner", "model", "nodes", "sums", "payouts")]
    + [block_of_model],
)
@pytest.mark.parametrize("keys", [(), (AUDITOR,)])
def test_missing_stored_bytes_are_found_with_and_without_a_key(
    cid: Callable[[Scene], CID], keys: tuple[SealingKey, ...]
) -> None:
    scene = Scene.form(sealed=True).play()
    removed(cid)(scene)
    verdict = verdict_of(scene, *keys)
    assert verdict.finding is not None
    assert (verdict.finding.step, verdict.finding.round) == (v.BYTES, 1)
    assert verdict.finding.signer == scene.world.replica.state.lineage[1].proposal.proposer


def test_an_envelope_that_leaves_the_auditor_out_is_found_without_a_key() -> None:
    scene = Scene.form(sealed=True)
    content = scene.world.replica.fresh(scene.round)
    assert isinstance(content, SealedContent)
    few = [reader for reader in content.envelope.readers if reader != AUDITOR.public]
    for index in range(3):
        scene.commit(index)
    unfair = replace(content, envelope=Envelope.seal(content.secret, few))
    scene.propose(scene.compose(unfair))
    for keys in ((), (AUDITOR,), (KEYS[0],)):
        finding = verdict_of(scene, *keys).finding
        assert finding is not None
        assert finding.step == v.BYTES
        assert "not sealed for 1 of its readers" in finding.found


def test_a_stranger_among_a_results_readers_is_found_without_a_key() -> None:
    scene = Scene.form(sealed=True)
    content = scene.world.replica.fresh(scene.round)
    assert isinstance(content, SealedContent)
    for index in range(3):
        scene.commit(index)
    more = (*content.envelope.readers, STRANGER.public)
    scene.propose(scene.compose(replace(content, envelope=Envelope.seal(content.secret, more))))
    for keys in ((), (AUDITOR,), (KEYS[0],)):
        finding = verdict_of(scene, *keys).finding
        assert finding is not None
        assert finding.step == v.BYTES
        assert f"keys of no member or auditor: {STRANGER.public.hex()}" in finding.found


def test_an_update_that_lets_strangers_in_is_named() -> None:
    """A majority counts it all the same: the audit says whose update it is, and what is wrong."""
    scene = Scene.form(sealed=True)
    content = scene.world.replica.fresh(scene.round)
    assert isinstance(content, SealedContent)
    more = (*content.envelope.readers, STRANGER.public)
    scene.commit(0, replace(content, envelope=Envelope.seal(content.secret, more)))
    for index in (1, 2):
        scene.commit(index)
    slots = scene.slots()
    slots[0] = replace(slots[0], published=slots[0].published._replace(payload=bare(slots[0])))
    standing, rules = scene.world.replica.standing(), scene.world.rules
    result = scene.world.replica.fresh(scene.round)
    scene.propose(compose(scene.context, standing, slots, rules, result))
    finding = verdict_of(scene, AUDITOR).finding
    assert finding is not None
    assert (finding.step, finding.round) == (v.BYTES, 0)
    assert finding.subject == "the update of participant 0"
    assert STRANGER.public.hex() in finding.found
    # Without a key nobody sees which updates count, and this one is a note.
    noted = [check.detail for check in verdict_of(scene).checks if check.step == v.BYTES]
    assert any("participant 0" in text and STRANGER.public.hex() in text for text in noted)


def bare(slot: Slot) -> payload.Payload:
    found = slot.published.bare
    assert found is not None
    return found


def test_a_false_plain_digest_is_found() -> None:
    scene = Scene.form(sealed=True)
    for index in range(3):
        scene.commit(index)
    outcome = scene.compose()
    content = outcome.content
    artefact, digest = artefacts.result_artefact(outcome, parent=b"")
    head = CID(Codec.DAG_CBOR, digest)
    links = cbor.decode(artefact.blocks[head])
    assert isinstance(links, dict)
    inner = artefacts.Inner(Digest(bytes(32)), b"").record(content)
    other = artefacts.record({**links, "inner": inner[0]})
    scene.world.store.put(artefact.merge(Artefact((other[0],), dict([inner, other]))))
    turn = scene.world.replica.state.in_turn(scene.round)
    assert turn is not None
    scene.world.propose(turn.signer, outcome.header, other[0].digest)
    for index in range(2):
        scene.world.vote(index, True)
    finding = verdict_of(scene, AUDITOR).finding
    assert finding is not None
    assert (finding.step, finding.subject) == (v.AGGREGATION, "plain digest of the new model")
    # Outside of the seal there is nothing to see of it.
    assert verdict_of(scene).holds


def test_a_wrong_model_under_seal_is_found() -> None:
    scene = Scene.form(sealed=True).play(1)
    for index in range(3):
        scene.commit(index)
    outcome = scene.compose()
    model = outcome.model.copy()
    model[3] += 1
    leaves = scene.world.header.leaves
    data = payload.Payload(payload.pad(model, leaves), outcome.content.part("model"))
    header = replace(outcome.header, model_root=data.root, model_digest=data.digest)
    records = replace(outcome.records, header=header)
    scene.propose(replace(outcome, records=records, model=model))
    finding = verdict_of(scene, AUDITOR).finding
    assert finding is not None
    assert (finding.step, finding.subject) == (v.AGGREGATION, "root of the new model")


def test_a_claim_rests_on_the_contract_where_payouts_are_sealed() -> None:
    scene = Scene.form(sealed=True).play()
    paid = scene.outcomes[-1].records.payouts[2].amount
    assert paid > 0
    scene.world.claim(2, paid, scene.world.signer(2))
    assert verdict_of(scene, AUDITOR).word == "holds"
    outside = verdict_of(scene)
    assert steps(outside, v.Lack.SEALED) == SEALED_STEPS | {v.CLAIMS}
    scene = Scene.form(sealed=True).play()
    scene.world.claim(2, paid - 1, scene.world.signer(2))
    finding = verdict_of(scene, AUDITOR).finding
    assert finding is not None
    assert (finding.step, finding.round) == (v.CLAIMS, None)
    assert finding.subject == "what participant 2 has claimed in all"
    assert (finding.expected, finding.found) == (str(paid), str(paid - 1))


# -- sealed in part


Lie = Callable[[Scene], Outcome]


def joined_late(lies: dict[int, Lie] | None = None, *, rule: str = "fedavg") -> Scene:
    """Play four rounds, in the last two of which a fourth member takes part; `lies` says in which
    something else is proposed than what follows.
    """
    scene = Scene.form(sealed=True, rounds=4, rule=rule)
    for round_ in range(4):
        for participant in scene.world.replica.state.participants:
            if participant.active(round_):
                scene.commit(participant.index)
        scene.propose((lies or {}).get(round_, Scene.compose)(scene))
        if round_ == 0:
            scene.join(3)
    return scene


PARTLY = {v.SELECTION, v.TREES, v.UTILITIES}


def test_who_joined_late_audits_all_but_the_updates_of_before() -> None:
    scene = joined_late()
    late, whole = verdict_of(scene, KEYS[3]), verdict_of(scene, KEYS[0])
    assert (whole.word, late.word, late.finding) == ("holds", "sealed", None)
    assert steps(late, v.Lack.SEALED) == PARTLY
    # Whoever had joined by then could be sealed for, seat or no seat.
    assert {check.round for check in late.checks if check.lack} == {0}
    assert late.participants == whole.participants
    assert any(participant.payout for participant in late.participants)
    stored = {check.detail for check in late.checks if check.ok and "sealed" in check.detail}
    assert stored == {f"the sealed update of participant {n}" for n in range(3)}


def test_who_lost_a_key_audits_all_but_the_updates_under_it() -> None:
    scene = Scene.form(sealed=True).play(1)
    scene.world.register_key(0, KEYS[6].public)
    scene.play(2)
    verdict = verdict_of(scene, KEYS[6])
    assert (verdict.word, verdict.finding) == ("sealed", None)
    assert {check.round for check in verdict.checks if check.lack} == {0}
    assert verdict_of(scene, KEYS[6], KEYS[0]).word == "holds"
    assert verdict_of(scene, KEYS[0]).lacks == (v.Lack.SEALED,)


def test_who_left_audits_what_was_before() -> None:
    scene = Scene.form(sealed=True, members=4).play(1)
    scene.world.leave(3)
    scene.play(2)
    verdict = verdict_of(scene, KEYS[3])
    assert (verdict.word, verdict.finding) == ("sealed", None)
    assert {check.round for check in verdict.checks if check.lack} == {2}


def heavier(scene: Scene) -> Outcome:
    """Count participant 1's update a thousand times over."""
    context = scene.context
    seats = list(context.seats)
    seats[1] = replace(seats[1], weight=1000 * seats[1].weight)
    return bent(scene, replace(context, seats=tuple(seats)))


def bent(scene: Scene, context: RoundContext, rules: Rules | None = None) -> Outcome:
    """Give what follows from another context, or by other rules."""
    standing, content = scene.world.replica.standing(), scene.world.replica.fresh(scene.round)
    return compose(context, standing, scene.slots(), rules or scene.world.rules, content)


def claiming(scene: Scene, measured: Sequence[int]) -> Outcome:
    """Value and pay by other utilities."""
    rules = scene.world.rules
    assert isinstance(rules, FederationRules)
    return bent(scene, scene.context, rules.granting(measured, stop=False))


def pays_more(scene: Scene) -> Outcome:
    outcome = scene.compose()
    leaves = outcome.records.payouts
    paid = payouts.payout_leaves([leaf.amount + 1 for leaf in leaves])
    root = payouts.payouts_tree(paid).root
    header = replace(outcome.header, payouts=root.hash, payout_total=root.sum)
    records = replace(outcome.records, payouts=paid, header=header)
    return replace(outcome, records=records)


def gains_more(scene: Scene) -> Outcome:
    *others, everybody = scene.compose().records.utilities
    return claiming(scene, (*others, everybody + 1))


def moves_more(scene: Scene) -> Outcome:
    outcome = scene.compose()
    leaves = scene.world.header.leaves
    model = outcome.model + 1
    data = payload.Payload(payload.pad(model, leaves), outcome.content.part("model"))
    header = replace(outcome.header, model_root=data.root, model_digest=data.digest)
    records = replace(outcome.records, header=header)
    return replace(outcome, records=records, model=model)


@pytest.mark.parametrize("round_", [0, 2])
@pytest.mark.parametrize(
    ("lie", "step"),
    [
        (heavier, v.SELECTION),
        (moves_more, v.AGGREGATION),
        (gains_more, v.UTILITIES),
        (pays_more, v.PAYOUTS),
    ],
)
def test_who_joined_late_finds_what_takes_no_update_of_before(
    lie: Lie, step: v.Step, round_: int
) -> None:
    scene = joined_late({round_: lie})
    for key in (KEYS[3], KEYS[0]):
        finding = verdict_of(scene, key).finding
        assert finding is not None
        assert (finding.step, finding.round) == (step, round_)


def test_what_is_sealed_for_others_has_to_be_there_all_the_same() -> None:
    scene = joined_late()
    del scene.world.store.blocks[index_of(scene, 1, 0).blocks[0]]
    finding = verdict_of(scene, KEYS[3]).finding
    assert finding is not None
    assert (finding.step, finding.round) == (v.BYTES, 0)
    assert finding.subject == "the update of participant 1"
    declare(scene, 1, [0])
    verdict = verdict_of(scene, KEYS[3])
    assert (verdict.word, verdict.lacks) == ("erased", (v.Lack.ERASED, v.Lack.SEALED))
    assert [(e.participant, e.rounds) for e in verdict.erased] == [(1, (0,))]


def test_a_median_of_updates_that_are_sealed_for_others_is_not_made_again() -> None:
    verdict = verdict_of(joined_late(rule="median"), KEYS[3])
    assert (verdict.word, verdict.finding) == ("sealed", None)
    assert steps(verdict, v.Lack.SEALED) == PARTLY | {v.AGGREGATION}


# -- erased


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("rounds", [[0], [1], [0, 1, 2]])
def test_what_was_erased_by_declaration_is_a_third_verdict(sealed: bool, rounds: list[int]) -> None:
    scene = Scene.form(sealed=sealed).play()
    for round_ in rounds:
        erase(scene, 1, round_)
    declare(scene, 1, rounds)
    verdict = verdict_of(scene, AUDITOR)
    assert (verdict.word, verdict.holds, verdict.finding) == ("erased", True, None)
    assert [(e.participant, e.rounds) for e in verdict.erased] == [(1, tuple(rounds))]
    assert steps(verdict, v.Lack.ERASED) == {v.SELECTION, v.TREES, v.UTILITIES}
    assert {check.round for check in verdict.checks if check.lack} == set(rounds)
    name = verdict.participants[1].name
    text = f"Holds, except for what was erased by {name} (round"
    assert headline(verdict).startswith(text)
    assert text in printed(verdict)
    assert text in html(verdict)
    told = json.loads(json.dumps(verdict.to_json()))
    assert told["verdict"] == "erased"
    assert told["erased"] == [{"participant": 1, "name": name, "rounds": rounds}]
    # What the others did is still checked, and everybody's pay.
    whole = verdict_of(Scene.form(sealed=sealed).play(), AUDITOR)
    assert [p.payout for p in verdict.participants] == [p.payout for p in whole.participants]


def test_without_a_key_what_was_erased_is_told_from_what_is_sealed() -> None:
    scene = Scene.form(sealed=True).play()
    erase(scene, 1, 1)
    lost = verdict_of(scene)
    assert (lost.lacks, lost.erased) == ((v.Lack.SEALED,), ())
    assert any("participant 1: not to be had whole" in check.detail for check in lost.checks)
    declare(scene, 1, [1])
    verdict = verdict_of(scene)
    assert (verdict.word, verdict.lacks) == ("erased", (v.Lack.ERASED, v.Lack.SEALED))
    name = verdict.participants[1].name
    assert headline(verdict) == (
        f"Holds, except for what was erased by {name} (round 1) and what is sealed and was not "
        "read."
    )


@pytest.mark.parametrize("sealed", [False, True])
def test_everybody_may_erase(sealed: bool) -> None:
    scene = Scene.form(sealed=sealed).play()
    for participant in range(3):
        erase(scene, participant, 1)
        declare(scene, participant, [1])
    verdict = verdict_of(scene, AUDITOR)
    assert verdict.word == "erased"
    assert [e.participant for e in verdict.erased] == [0, 1, 2]


def test_a_declaration_whose_bytes_are_still_there_hides_nothing() -> None:
    scene = Scene.form(sealed=False).play()
    declare(scene, 1, [0, 1])
    verdict = verdict_of(scene)
    assert (verdict.word, verdict.erased) == ("holds", ())


@pytest.mark.parametrize("sealed", [False, True])
def test_without_a_record_a_missing_block_fails(sealed: bool) -> None:
    scene = Scene.form(sealed=sealed).play()
    erase(scene, 1, 1)
    finding = verdict_of(scene, AUDITOR).finding
    assert finding is not None
    assert (finding.step, finding.round) == (v.BYTES, 1)
    assert finding.signer == scene.world.signer(1)


Excuse = Callable[[Scene], None]


def other_round(scene: Scene) -> None:
    declare(scene, 1, [0, 2])


def other_author(scene: Scene) -> None:
    declare(scene, 0, [1])


def in_anothers_name(scene: Scene) -> None:
    declare(scene, 1, [1], by=0)


def other_federation(scene: Scene) -> None:
    record = Erasure(FederationId(bytes(32)), ParticipantId(1), (RoundIndex(1),), 1).artefact()
    amend(scene, 1, record)


def record_is_gone(scene: Scene) -> None:
    declare(scene, 1, [1])
    event = scene.world.of_kind(ev.DatasetAmended)[-1]
    del scene.world.store.blocks[CID(Codec.DAG_CBOR, event.erasure)]


def no_record(scene: Scene) -> None:
    amend(scene, 1, Artefact.of(Codec.DAG_CBOR, b"\xf6"))


def unsorted(scene: Scene) -> None:
    fields: dict[str, cbor.Value] = {
        "federation": scene.world.federation,
        "participant": 1,
        "rounds": [2, 1],
        "rows": 1,
    }
    amend(scene, 1, Artefact.of(Codec.DAG_CBOR, cbor.encode(fields)))


@pytest.mark.parametrize(
    ("excuse", "note"),
    [
        (other_round, None),
        (other_author, None),
        (in_anothers_name, "it is of participant 1"),
        (other_federation, "it is of another federation"),
        (record_is_gone, "not found"),
        (no_record, "expected a map"),
        (unsorted, "rounds must be numbers in ascending order"),
    ],
)
def test_no_other_record_is_an_excuse(excuse: Excuse, note: str | None) -> None:
    scene = Scene.form(sealed=False).play()
    erase(scene, 1, 1)
    excuse(scene)
    verdict = verdict_of(scene)
    assert verdict.finding is not None
    assert (verdict.word, verdict.finding.step, verdict.finding.round) == ("fails", v.BYTES, 1)
    believed = [text for text in verdict.notes if "is not believed" in text]
    assert bool(believed) == (note is not None)
    assert note is None or note in believed[0]


def test_a_result_is_nobodys_to_erase() -> None:
    scene = Scene.form(sealed=False).play()
    removed(block_of_model)(scene)
    for participant in range(3):
        declare(scene, participant, [0, 1, 2])
    finding = verdict_of(scene).finding
    assert finding is not None
    assert (finding.step, finding.round) == (v.BYTES, 1)


def test_a_header_is_nobodys_to_erase() -> None:
    scene = Scene.form(sealed=False).play()
    digest = scene.world.replica.state.rounds[1].commits[1].digest
    declare(scene, 1, [1])
    del scene.world.store.blocks[CID(Codec.RAW, digest)]
    finding = verdict_of(scene).finding
    assert finding is not None
    assert (finding.step, finding.round) == (v.BYTES, 1)


def test_a_round_that_is_not_over_cannot_be_erased() -> None:
    scene = Scene.form(sealed=False).play(1)
    scene.commit(1)
    declare(scene, 1, [1], over=False)
    scene.commit(0)
    scene.commit(2)
    scene.propose()
    assert verdict_of(scene).word == "holds"
    erase(scene, 1, 1)
    verdict = verdict_of(scene)
    assert (verdict.word, verdict.finding is None) == ("fails", False)
    assert any("names round 1, which was not over" in note for note in verdict.notes)


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("field", ["model_root", "payouts", "values"])
def test_behind_an_erasure_nothing_else_can_be_hidden(sealed: bool, field: str) -> None:
    """A result that is wrong in what is left is found, though one of its updates is erased."""
    scene = Scene.form(sealed=sealed).play(1)
    for index in range(3):
        scene.commit(index)
    outcome = scene.compose()
    header = replace(outcome.header, **{field: Digest(bytes(32))})  # type: ignore[arg-type]
    scene.propose(replace(outcome, records=replace(outcome.records, header=header)))
    erase(scene, 1, 1)
    declare(scene, 1, [1])
    verdict = verdict_of(scene, AUDITOR)
    assert verdict.word == "fails"
    assert verdict.finding is not None
    assert verdict.finding.round == 1


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("number", [0, 1, 2, 7, 9])
def test_another_number_of_utilities_is_found_behind_an_erasure(sealed: bool, number: int) -> None:
    """Of three players there are eight; with others there is nothing that values follow from."""
    scene = Scene.form(sealed=sealed).play(1)
    for index in range(3):
        scene.commit(index)
    outcome = scene.compose()
    measured = (*outcome.records.utilities, 0)[:number]
    header = replace(outcome.header, utilities=utilities.root(measured))
    records = replace(outcome.records, utilities=measured, header=header)
    scene.propose(replace(outcome, records=records))
    erase(scene, 1, 1)
    declare(scene, 1, [1])
    finding = verdict_of(scene, AUDITOR).finding
    assert finding is not None
    assert (finding.step, finding.round, finding.subject) == (v.UTILITIES, 1, "number of utilities")
    assert (finding.expected, finding.found) == ("8", str(number))


def judged(scene: Scene, *, erased: bool) -> v.Verdict:
    """Audit a scene in which participant 1 says that its update of round 1 is erased."""
    if erased:
        erase(scene, 1, 1)
    declare(scene, 1, [1])
    return verdict_of(scene, AUDITOR)


def committed(*, sealed: bool = False) -> Scene:
    scene = Scene.form(sealed=sealed).play(1)
    for index in range(3):
        scene.commit(index)
    return scene


OTHER = Digest(b"o" * 32)
FALSE_ENTRIES: dict[str, dict[str, Any]] = {
    "digest": {"digest": OTHER},
    "root": {"root": OTHER},
    "participant": {"participant": 2},
    "nobody": {"participant": 4_000_000_000},
    "weight": {"weight": 1000},
    "no weight": {"weight": 0},
    "number": {"number": 0},
    "position": {"position": 5},
    "foreign": {"weight": 0, "number": 0, "reason": nodes.Reason.FOREIGN},
    "unsigned": {"weight": 0, "number": 0, "reason": nodes.Reason.UNSIGNED},
    "too few": {"weight": 0, "reason": nodes.Reason.TOO_FEW},
    "idle": {"weight": 0, "number": 0, "reason": nodes.Reason.IDLE},
    "no reason": {"weight": 0, "number": 0, "reason": 77},
    "a weight beyond the bound": {"reason": nodes.Reason.BEYOND_BOUND},
    "a coordinate that is none": {
        "weight": 0,
        "number": 0,
        "reason": nodes.Reason.BEYOND_BOUND,
        "position": 2**32 - 1,
    },
}


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("erased", [False, True])
@pytest.mark.parametrize("name", FALSE_ENTRIES)
def test_what_chain_and_header_show_of_an_update_cannot_be_erased(
    name: str, erased: bool, sealed: bool
) -> None:
    scene = committed(sealed=sealed)
    outcome = scene.compose()
    entries = scene.entries(outcome)
    entries[1] = replace(entries[1], **FALSE_ENTRIES[name])
    roots = iter(node.root for node in nodes.in_order(outcome.levels))
    levels = nodes.levels(entries, sum_root=lambda _: next(roots))
    header = replace(outcome.header, nodes=nodes.nodes_root(levels))
    records = replace(outcome.records, header=header)
    scene.propose(replace(outcome, levels=levels, records=records))
    finding = judged(scene, erased=erased).finding
    assert finding is not None
    assert (finding.step, finding.round) == (v.SELECTION, 1)
    assert finding.signer == scene.world.replica.state.lineage[1].proposal.proposer


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("erased", [False, True])
def test_a_weight_that_is_not_the_seats_cannot_be_erased(erased: bool, sealed: bool) -> None:
    """All that follows from the weight, and is on record, follows."""
    scene = committed(sealed=sealed)
    scene.propose(heavier(scene))
    finding = judged(scene, erased=erased).finding
    assert finding is not None
    assert (finding.step, finding.subject) == (v.SELECTION, "slot 1, participant 1: weight")


@pytest.mark.parametrize("erased", [False, True])
def test_a_header_that_names_another_base_cannot_be_erased(erased: bool) -> None:
    scene = Scene.form(sealed=False).play(1)
    for index in (0, 2):
        scene.commit(index)
    digest, artefact = scene.update(1, scene.world.replica.fresh(scene.round))
    header = UpdateHeader.decode(artefact.blocks[CID(Codec.RAW, digest)])
    foreign = Artefact.of(Codec.RAW, replace(header, base=OTHER).encode())
    scene.updates[1, 1] = Artefact(foreign.roots, {**artefact.blocks, **foreign.blocks})
    scene.world.store.put(scene.updates[1, 1])
    scene.world.commit(1, foreign.roots[0].digest)
    context = scene.context
    scene.propose(bent(scene, replace(context, bases=(*context.bases, OTHER))))
    verdict = judged(scene, erased=erased)
    assert verdict.finding is not None
    assert verdict.finding.step == v.SELECTION
    assert verdict.finding.subject == "slot 2, participant 1: weight"


def beyond_the_bound(rule: str) -> Scene:
    """Let participant 1 commit to an update that does not count."""
    scene = Scene.form(sealed=False, rule=rule).play(1)
    context = scene.context
    for index in (0, 2):
        scene.commit(index)
    values = scene.values(1)
    values[3] = context.policy.bound + 1
    data = payload.Payload(payload.pad(values, context.policy.leaves))
    training = artefacts.record([context.round, 1])
    digest, scene.updates[1, 1] = update_of(context, 1, data, training)
    scene.world.store.put(scene.updates[1, 1])
    scene.world.commit(1, digest)
    return scene


@pytest.mark.parametrize("rule", ["fedavg", "median"])
def test_an_update_that_weighs_nothing_leaves_nothing_else_open(rule: str) -> None:
    """Whether it was beyond the bound rests on the result's word; the rest is computed again."""
    scene = beyond_the_bound(rule)
    outcome = scene.compose()
    assert scene.entries(outcome)[2].reason == nodes.Reason.BEYOND_BOUND
    scene.propose(outcome)
    verdict = judged(scene, erased=True)
    assert (verdict.word, verdict.finding) == ("erased", None)
    assert steps(verdict, v.Lack.ERASED) == {v.SELECTION}

    scene = beyond_the_bound(rule)
    measured = scene.compose().records.utilities
    scene.propose(claiming(scene, (measured[0], measured[1] + 1, *measured[2:])))
    finding = judged(scene, erased=True).finding
    assert finding is not None
    assert (finding.step, finding.subject) == (v.UTILITIES, "utility of coalition 1")

    scene = beyond_the_bound(rule)
    scene.propose(moves_more(scene))
    finding = judged(scene, erased=True).finding
    assert finding is not None
    assert (finding.step, finding.subject) == (v.AGGREGATION, "root of the new model")


@pytest.mark.parametrize("coalition", range(8))
def test_coalitions_that_an_erased_update_is_not_in_are_measured_again(coalition: int) -> None:
    """And that of all, whose model is on record: so the gain cannot be erased, nor the pool."""
    scene = committed()
    measured = list(scene.compose().records.utilities)
    measured[coalition] += 1
    scene.propose(claiming(scene, measured))
    verdict = judged(scene, erased=True)
    if coalition in (0b010, 0b011, 0b110):
        assert (verdict.word, verdict.finding) == ("erased", None)
    else:
        assert verdict.finding is not None
        assert verdict.finding.step == v.UTILITIES
        assert verdict.finding.subject == f"utility of coalition {coalition}"


def test_of_just_enough_updates_one_may_be_erased() -> None:
    """The others count with it, in nodes that it is not in too."""
    scene = Scene.form(
        sealed=False, most=20, start=18, least=18, valuation="none", pool=0, members=18
    ).play(1)
    erase(scene, 2, 0)
    declare(scene, 2, [0])
    verdict = verdict_of(scene)
    assert (verdict.word, verdict.finding) == ("erased", None)


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("rule", ["fedavg", "median"])
@pytest.mark.parametrize("round_", range(3))
def test_a_round_that_only_carries_counts_may_be_erased(
    round_: int, rule: str, sealed: bool
) -> None:
    scene = Scene.form(sealed=sealed, mode="shards", valuation="leave-one-out", rule=rule).play()
    reasons = [{e.reason for e in scene.entries(outcome)} for outcome in scene.outcomes]
    assert reasons == [{nodes.Reason.COUNTED}, {nodes.Reason.COUNTED}, {nodes.Reason.IDLE}]
    erase(scene, 1, round_)
    declare(scene, 1, [round_])
    verdict = verdict_of(scene, AUDITOR)
    assert (verdict.word, verdict.finding) == ("erased", None)
    assert [(e.participant, e.rounds) for e in verdict.erased] == [(1, (round_,))]


# -- measured again on the original rows


def remeasured(scene: Scene, *keys: SealingKey) -> v.Verdict:
    assert scene.world.rows is not None
    rows = [SaltedRows.draw(scene.world.rows, b"any secret: the rows are public")]
    return run_audit(scene.world.evidence(), vault=vault(*keys), rows=rows)


@pytest.mark.parametrize("sealed", [False, True])
def test_what_was_erased_is_not_measured_again(sealed: bool) -> None:
    scene = Scene.form(sealed=sealed).play()
    assert remeasured(scene, AUDITOR).word == "holds"
    for round_ in (0, 2):
        erase(scene, 1, round_)
    declare(scene, 1, [0, 2])
    verdict = remeasured(scene, AUDITOR)
    assert (verdict.word, verdict.finding) == ("erased", None)
    again = [c for c in verdict.checks if "the original rows" in c.detail]
    assert [(c.round, c.lack) for c in again] == [(0, v.Lack.ERASED), (2, v.Lack.ERASED)]
    assert [c.round for c in verdict.checks if c.ok and c.detail == "its utilities"] == [1]


def test_what_is_sealed_for_others_is_not_measured_again() -> None:
    verdict = remeasured(Scene.form(sealed=True).play())
    assert (verdict.word, verdict.finding) == ("sealed", None)
    again = [c for c in verdict.checks if "the original rows" in c.detail]
    assert [(c.round, c.lack) for c in again] == [(n, v.Lack.SEALED) for n in range(3)]


def test_the_entries_and_sums_of_the_others_are_still_judged() -> None:
    """A proposer that counts another update less than it should is found out all the same."""
    scene = Scene.form(sealed=False).play(1)
    for index in range(3):
        scene.commit(index)
    context = scene.context
    seats = tuple(replace(seat, weight=seat.weight + 1) for seat in context.seats)
    slots, standing = scene.slots(), scene.world.replica.standing()
    lied = compose(replace(context, seats=seats), standing, slots, scene.world.rules)
    scene.propose(lied)
    erase(scene, 1, 1)
    declare(scene, 1, [1])
    finding = verdict_of(scene).finding
    assert finding is not None
    assert finding.step == v.SELECTION


def test_a_node_that_nothing_was_erased_from_is_added_up_again() -> None:
    scene = Scene.form(sealed=False, most=20, start=18, valuation="none", pool=0, members=18)
    for index in range(18):
        scene.commit(index)
    wrong = scene.compose()
    sums = list(wrong.sums)
    sums[1] = bytes(8) + b"\1" + sums[1][9:]
    top = payload.int64(sums[0]) + payload.int64(sums[1])
    leaves = scene.world.header.leaves
    sums[2] = payload.pad_sums(top, leaves)
    roots = iter(payload.Payload(data).root for data in sums)
    entries = [entry for node in wrong.levels[0] for entry in node.entries][:18]
    levels = nodes.levels(entries, sum_root=lambda _: next(roots))
    header = replace(wrong.header, nodes=nodes.nodes_root(levels))
    records = replace(wrong.records, header=header)
    scene.propose(replace(wrong, levels=levels, sums=tuple(sums), records=records))
    erase(scene, 2, 0)
    declare(scene, 2, [0])
    finding = verdict_of(scene).finding
    assert finding is not None
    assert finding.step == v.TREES
    assert finding.subject == "node 1, of what is left"


@pytest.mark.parametrize("keys", [(), (AUDITOR,)])
def test_a_median_has_no_sums_to_add_up_again(keys: tuple[SealingKey, ...]) -> None:
    scene = Scene.form(sealed=True, rule="median").play()
    assert verdict_of(scene, *keys).finding is None
    erase(scene, 1, 0)
    declare(scene, 1, [0])
    verdict = verdict_of(scene, *keys)
    assert verdict.finding is None
    assert v.AGGREGATION in steps(verdict, v.Lack.ERASED if keys else v.Lack.SEALED)
