import json
from dataclasses import replace
from pathlib import Path

from fednode.auditing import run_audit
from fednode.demo import DemoOptions, DemoResult, run_demo
from fednode.demo.result import METHODS
from ledger.audit.sources import evidence_from_bundle
from tests.fednode.demo.conftest import Listener


def test_demo_runs_every_round_and_its_audit_holds(played: DemoResult) -> None:
    assert [row.version for row in played.rounds] == [0, 1, 2]
    assert played.rounds[0].quality is None
    assert all(row.quality is not None and row.quality > 0.8 for row in played.rounds[1:])
    assert all(row.updates == row.seats == 4 for row in played.rounds)
    assert played.holds
    assert played.verdict.holds
    assert played.released == 2


def test_watched_rounds_are_those_of_the_audit(played: DemoResult, listener: Listener) -> None:
    assert tuple(listener.rounds) == played.rounds
    assert "opening the test sets, once" in listener.said
    audited = played.verdict.rounds
    assert [row.gas for row in played.rounds] == [summary.gas for summary in audited]
    for row, summary in zip(played.rounds[1:], audited[1:], strict=True):
        assert row.quality is not None
        assert summary.utility_after == round(row.quality * 1_000_000)


def test_everything_due_is_claimed_and_the_rest_refunded(played: DemoResult) -> None:
    payouts = [site.payout for site in played.sites]
    assert all(site.claimed == site.payout for site in played.sites)
    assert sum(payouts) > 0
    assert sum(payouts) + played.refund == played.pool


def test_contributions_lie_in_their_intervals(played: DemoResult) -> None:
    for site, person in zip(played.sites, played.verdict.participants, strict=True):
        assert site.contribution.value == float(person.value) / 1_000_000
        assert site.contribution.interval.low < site.contribution.value
        assert site.contribution.value < site.contribution.interval.high


def test_a_hospital_with_few_rows_of_a_class_gets_no_figures(played: DemoResult) -> None:
    for site in played.sites:
        few = min(site.test) < 10
        assert all((site.scores[method].figures is None) == few for method in METHODS)
    assert [site.name for site in played.sites if min(site.test) < 10] == ["zurich"]


def test_the_bundle_repeats_the_audit(played: DemoResult) -> None:
    block = bytes.fromhex(played.where.trust_block.removeprefix("0x"))
    verdict = run_audit(evidence_from_bundle(played.where.files.bundle, block))
    assert verdict.holds
    assert replace(verdict, notes=()).rounds == played.verdict.rounds
    assert played.where.trust_block in played.where.audit_command


def test_files_hold_what_the_result_says(played: DemoResult) -> None:
    files = played.where.files
    stored = json.loads(files.json.read_text())
    assert stored == json.loads(json.dumps(played.record()))
    assert stored["holds"] is True
    assert files.plot.read_bytes().startswith(b"\x89PNG")
    assert "Everything" in files.report.read_text()


def test_models_depend_on_the_seed_alone(played: DemoResult, tmp_path: Path) -> None:
    again = run_demo(DemoOptions(rounds=1, directory=tmp_path, resamples=20))
    models = [row.model for row in again.rounds]
    assert models == [row.model for row in played.rounds[:2]]
    assert again.where.federation != played.where.federation
