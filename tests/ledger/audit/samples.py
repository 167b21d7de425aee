"""Verdicts as an audit might give them, for tests and for looking at."""

from dataclasses import replace
from fractions import Fraction

from ledger.audit import verdict as v
from ledger.types import Address, Digest, FederationId, Wei

NAMES = (
    "Cleveland Clinic Foundation",
    "Hungarian Institute of Cardiology",
    "University Hospital Zurich",
    "V.A. Medical Center, Long Beach",
)
SIGNERS = tuple(Address(f"0x{k:02x}" + "7Ea1c0FfEe" * 3 + "12345678") for k in (16, 33, 72, 95))
START = 1_790_000_000


def digest(number: int) -> Digest:
    return Digest(bytes((number * 37 + 11 * k) % 256 for k in range(32)))


def passing(rounds: int = 11) -> v.Verdict:
    utilities = [721_000 + int(128_000 * (1 - 0.55**k)) for k in range(rounds + 1)]
    return v.Verdict(
        federation=FederationId(digest(1)),
        chain_id=31337,
        contract=Address("0x5FbDB2315678afecb367f032d93F642f64180aa3"),
        trusted_block=v.TrustedBlock(412, digest(2), START + 5400),
        terms=v.Terms(
            name="Heart disease, four hospitals",
            rule="weighted mean (FedAvg)",
            metric="AUC within hospitals",
            valuation="exact Shapley value",
            pool=Wei(10**18),
            evaluation="public",
        ),
        rounds=tuple(_round(k, utilities) for k in range(rounds)),
        participants=_participants(),
        checks=tuple(_checks(rounds)),
        notes=("Quality was measured exactly, in integers, and compared bit by bit.",),
    )


def failing() -> v.Verdict:
    clean = passing()
    finding = v.Finding(
        step=v.AGGREGATION,
        round=6,
        subject="model digest in the result header of round 6",
        expected=digest(71).hex(),
        found=digest(72).hex(),
        signer=SIGNERS[2],
    )
    wrong = v.Check(v.AGGREGATION, 6, "model digest", ok=False)
    before = v.STEPS.index(v.AGGREGATION)
    reached = [
        check
        for check in clean.checks
        if (check.round or 0) < 6 or (check.round == 6 and v.STEPS.index(check.step) < before)
    ]
    late = (v.CLAIMS, v.LINEAGE)
    kept = [check for check in reached if check.step not in late]
    return replace(clean, checks=(*kept, wrong), finding=finding)


def _round(number: int, utilities: list[int]) -> v.RoundSummary:
    if number == 4:
        return v.RoundSummary(4, v.Outcome.VOID, START + 4 * 300, START + 4 * 300 + 240, seats=4)
    reasons = (0, 0, 0, 4) if number == 7 else (0, 0, 0, 0)
    made = number if number < 4 else number - 1
    return v.RoundSummary(
        round=number,
        outcome=v.Outcome.SETTLED,
        opened_at=START + number * 300,
        ended_at=START + number * 300 + 190,
        version=made + 1,
        result=digest(50 + number),
        proposer=SIGNERS[number % 4],
        statistics=number == 0,
        attempts=2 if number == 8 else 1,
        seats=4,
        votes_for=3 if number == 5 else 4,
        votes_against=1 if number == 5 else 0,
        entries=tuple(
            v.Entry(k, 0 if reason else weight, reason)
            for k, (weight, reason) in enumerate(zip((303, 294, 123, 200), reasons, strict=True))
        ),
        utility_before=utilities[made] if number else None,
        utility_after=utilities[made + 1] if number else None,
        gas=612_345 + 1_013 * number,
    )


def _participants() -> tuple[v.ParticipantSummary, ...]:
    values = (61_340, 42_100, 21_900, -3_210)
    payouts = (Wei(312_480_000_000_000_001), Wei(214_460_000_000_000_000), Wei(111_560 * 10**12))
    bounds = ((38_000, 83_000), (20_000, 65_000), (1_500, 44_000), (-21_000, 16_000))
    total = sum(payouts)
    return tuple(
        v.ParticipantSummary(
            index=k,
            signer=SIGNERS[k],
            name=NAMES[k],
            identity=digest(90 + k),
            weight=(303, 294, 123, 200)[k],
            value=Fraction(values[k] * 27720 + k, 27720),
            share=Fraction(payout, total),
            payout=payout,
            claimed=Wei(payout if k < 2 else 0),
            interval=bounds[k],
        )
        for k, payout in enumerate((*payouts, Wei(0)))
    )


def _checks(rounds: int) -> list[v.Check]:
    whole = (v.CONTRACT, v.HISTORY, v.ORDER, v.SIGNERS, v.CLAIMS, v.LINEAGE)
    checks = [v.Check(step, None, step.title, ok=True) for step in whole]
    void = (v.ORDER, v.SIGNERS)
    each = [step for step in v.STEPS if step not in (v.CONTRACT, v.HISTORY, v.CLAIMS)]
    for number in range(rounds):
        steps = void if number == 4 else each
        measured = (v.UTILITIES, v.CONTRIBUTIONS)
        checks += [
            v.Check(step, number, f"{step.title} {k}", ok=True)
            for step in steps
            if number or step not in measured
            for k in range(4)
        ]
    return checks
