"""The demo from beginning to end."""

import json
import time
from collections.abc import Sequence

from fednode.demo.contributions import intervals
from fednode.demo.options import DemoOptions
from fednode.demo.play import Hospital, found, play, settle
from fednode.demo.plot import png
from fednode.demo.proof import Proof, holds_alone, prove, write_bundle, write_report
from fednode.demo.result import DemoResult, Figure, Files, SiteResult, Where
from fednode.demo.scores import TestScores, open_test_sets, train_baselines
from fednode.demo.stage import Stage, demo_policy, open_stage
from fednode.demo.watch import Watch
from fednode.evaluation.metrics import PPM
from fednode.files import write_file
from fednode.policy import Policy
from fednode.site import load_site, open_sites
from ledger.audit.verdict import Verdict
from ledger.types import Wei


def run(options: DemoOptions, watch: Watch) -> DemoResult:
    """Run the demo; leave bundle, report, plot and results in the directory."""
    started = time.perf_counter()
    watch.say("reading four hospitals' rows")
    policy = demo_policy(options)
    source = open_sites(policy, public_rows=True)  # UCI's own rows, CC BY 4.0
    sites = [load_site(policy, source, name) for name in source.sites]
    stage = open_stage(options, source.sites)
    hospitals = found(stage, policy, sites, options, watch)
    rows = play(stage, hospitals, watch)
    refund = settle(stage, hospitals, watch)
    watch.say("training on own rows only, and on all rows in one place")
    baselines = train_baselines(policy, sites)
    watch.say("opening the test sets, once")
    view = hospitals[0].federation
    scores = open_test_sets(
        view, sites, [hospital.journal for hospital in hospitals], baselines, options
    )
    watch.say("auditing from the chain and the content store")
    proof = prove(stage, view)
    watch.say("resampling the valuation rows")
    contributions = _contributions(proof, options)
    watch.say("writing the evidence, and auditing it alone")
    files = Files(options.directory)
    trust_block = write_bundle(files.bundle, proof, stage)
    write_report(files.report, proof, contributions)
    result = DemoResult(
        rounds=tuple(rows),
        start=view.standing().trail[0] / PPM,
        sites=_sites(hospitals, scores, contributions, proof.verdict),
        overall=scores.overall,
        released=view.released_version(),
        pool=Wei(policy.reward.pool),
        refund=refund,
        verdict=proof.verdict,
        bundle_holds=holds_alone(files.bundle, proof, trust_block=trust_block),
        where=Where(
            chain=stage.chain_name,
            content=stage.content_name,
            ledger=view.contract.address,
            federation=view.id.hex(),
            trust_block=trust_block,
            files=files,
        ),
        seconds=time.perf_counter() - started,
        notes=_notes(stage, policy),
    )
    watch.say("drawing")
    write_file(files.plot, png(result))
    write_file(files.json, json.dumps(result.record(), indent=2).encode())
    return result


def _contributions(proof: Proof, options: DemoOptions) -> list[Figure]:
    """Put the audited contributions and their intervals together."""
    found = intervals(proof.evidence, times=options.resamples, seed=options.seed)
    return [
        Figure(float(person.value) / PPM, bounds)
        for person, bounds in zip(proof.verdict.participants, found, strict=True)
    ]


def _sites(
    hospitals: Sequence[Hospital],
    scores: TestScores,
    contributions: Sequence[Figure],
    verdict: Verdict,
) -> tuple[SiteResult, ...]:
    return tuple(
        SiteResult(
            name=hospital.site.name,
            train=len(hospital.site.splits.train),
            test=scores.rows[place],
            scores=scores.sites[place],
            contribution=contributions[place],
            payout=verdict.participants[place].payout,
            claimed=verdict.participants[place].claimed,
        )
        for place, hospital in enumerate(hospitals)
    )


def _notes(stage: Stage, policy: Policy) -> tuple[str, ...]:
    if stage.embedded:
        return ("Time jumped over quiet phases: the chain ran in this process.",)
    return (
        f"On a real node nobody can jump over quiet phases, so voting and challenging took "
        f"{policy.windows.challenge} s here instead of the policy's minutes.",
    )
