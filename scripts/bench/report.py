"""The figures of a run, compared with their targets, as text and as a record for JSON."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from scripts.bench.audited import AUDIT, PROPOSER
from scripts.bench.clock import PARTICIPANT, PARTS, VERIFY, Breakdown
from scripts.bench.gas import GasLine
from scripts.bench.shapley import ShapleyLine
from scripts.bench.workload import Size

MOST_COMMIT_GAS = 65_000
MOST_ANCHORING = 0.02
LEARNING = ("train", "aggregate", "value")
ACTIVITIES = (PARTICIPANT, PROPOSER, VERIFY)


@dataclass(frozen=True, slots=True)
class RoundPair:
    """One round audited, and the same one unaudited."""

    audited: Breakdown
    unaudited: Breakdown


@dataclass(frozen=True, slots=True)
class Traffic:
    """The transactions of all rounds."""

    count: int
    gas: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Report:
    """All figures of a run."""

    engine: str
    data: str
    size: Size
    rows: int
    parameters: int
    gas: list[GasLine]
    pairs: list[RoundPair]
    same_model: bool
    traffic: Traffic
    audit: Breakdown
    audit_holds: bool
    shapley: list[ShapleyLine]

    def mean(self) -> Breakdown:
        """Give the mean audited round."""
        total = Breakdown()
        for pair in self.pairs:
            total.add(pair.audited)
        return total.over(len(self.pairs))


@dataclass(frozen=True, slots=True)
class Summary:
    """What the mean round comes to, in seconds of all nodes together.

    `learning` is what an unaudited round does as well: local training and the aggregator's sum.
    `anchoring` is what making it auditable adds to a participant's and the proposer's own work:
    encoding, hashing, journal and store, chain. `verification` is what the voters recompute.
    """

    learning: float
    anchoring: float
    verification: float
    unaudited: float

    @property
    def share(self) -> float:
        """Anchoring's share of the round."""
        return self.anchoring / (self.learning + self.anchoring)

    @property
    def ratio(self) -> float:
        """Audited against unaudited wall time, verification left out."""
        return (self.learning + self.anchoring) / self.unaudited

    @property
    def ratio_verified(self) -> float:
        """Audited against unaudited wall time, every node's verification in it."""
        return (self.learning + self.anchoring + self.verification) / self.unaudited


def summarise(report: Report) -> Summary:
    """Sum up the mean round."""
    mean = report.mean()
    verification = mean.seconds(activity=VERIFY)
    learning = mean.seconds(*LEARNING) - mean.seconds(*LEARNING, activity=VERIFY)
    unaudited = sum(pair.unaudited.seconds() for pair in report.pairs) / len(report.pairs)
    return Summary(
        learning=learning,
        anchoring=mean.seconds() - verification - learning,
        verification=verification,
        unaudited=unaudited,
    )


def most_commit_gas(report: Report) -> int:
    """Give the gas of the dearest commit."""
    return max(line.gas for line in report.gas if line.entry == "commitUpdate")


def text(report: Report) -> str:
    """Write the report for people."""
    sections = (_gas(report), _round(report), _comparison(report), _audit(report), _shapley(report))
    return "\n".join(line for section in sections for line in (*section, "")).rstrip()


def as_record(report: Report) -> dict[str, object]:
    """Write the report for JSON."""
    summary = summarise(report)
    return {
        "engine": report.engine,
        "data": report.data,
        "size": {**asdict(report.size), "all_rows": report.rows, "parameters": report.parameters},
        "gas": [asdict(line) for line in report.gas],
        "round": _parts(report.mean()),
        "summary": {
            **asdict(summary),
            "anchoring_share": summary.share,
            "audited_over_unaudited": summary.ratio,
            "audited_over_unaudited_with_verification": summary.ratio_verified,
            "same_model": report.same_model,
        },
        "transactions": asdict(report.traffic),
        "audit": {"holds": report.audit_holds, "parts": _parts(report.audit)},
        "shapley": [asdict(line) for line in report.shapley],
        "targets": {
            "commit_gas": {
                "most": MOST_COMMIT_GAS,
                "found": most_commit_gas(report),
                "met": most_commit_gas(report) <= MOST_COMMIT_GAS,
            },
            "anchoring_share": {
                "most": MOST_ANCHORING,
                "found": summary.share,
                "met": summary.share <= MOST_ANCHORING,
            },
        },
    }


def _parts(spent: Breakdown) -> list[dict[str, object]]:
    return [
        {"activity": key.activity, "part": key.part, **asdict(value)}
        for key, value in sorted(spent.items())
    ]


def _gas(report: Report) -> Iterator[str]:
    note = "" if report.engine == "anvil" else " - figures are quoted from anvil only"
    yield f"GAS by entry point, all in, from {report.engine}'s receipts{note}"
    yield f"  {'entry point':<18}{'case':<36}{'gas':>10}{'bytes':>8}"
    entries = list(dict.fromkeys(line.entry for line in report.gas))
    for line in sorted(report.gas, key=lambda line: entries.index(line.entry)):
        yield f"  {line.entry:<18}{line.case:<36}{line.gas:>10,}{line.bytes:>8,}"
    commit = most_commit_gas(report)
    yield f"  commit: {commit:,} at most {_target(commit <= MOST_COMMIT_GAS, '65,000')}"


def _round(report: Report) -> Iterator[str]:
    size, mean = report.size, report.mean()
    yield (
        f"ONE ROUND of {size.participants} participants on {report.data}: {report.rows:,} rows, "
        f"{report.parameters:,} parameters, {size.epochs} epoch(s)"
    )
    yield f"  mean of {size.rounds} rounds; seconds of all nodes together, one after the other"
    yield f"  {'':<12}{'own update':>20}{'propose':>20}{'verify':>20}"
    yield f"  {'part':<12}" + f"{'s':>12}{'MB':>8}" * len(ACTIVITIES)
    for part in PARTS:
        yield f"  {part:<12}" + "".join(_cell(mean, a, part) for a in ACTIVITIES)
    yield f"  {'all':<12}" + "".join(f"{mean.seconds(activity=a):>12.3f}{'':8}" for a in ACTIVITIES)
    sent, rounds = report.traffic, size.rounds
    yield (
        f"  on the chain: {sent.count / rounds:.0f} transactions, {sent.gas / rounds:,.0f} gas, "
        f"{sent.bytes / rounds:,.0f} bytes a round"
    )


def _cell(mean: Breakdown, activity: str, part: str) -> str:
    megabytes = _megabytes(mean.bytes(part, activity=activity))
    return f"{mean.seconds(part, activity=activity):>12.3f}{megabytes:>8}"


def _comparison(report: Report) -> Iterator[str]:
    summary, nodes = summarise(report), report.size.participants
    yield "AUDITED AGAINST UNAUDITED, the same training, rounds interleaved"
    yield f"  unaudited round: {summary.unaudited:.2f} s (local training and FedAvg)"
    yield (
        f"  audited round:   {summary.learning:.2f} s the same work, "
        f"{summary.anchoring:.2f} s anchoring, {summary.verification:.2f} s verification"
    )
    yield (
        f"  a participant:   {summary.learning / nodes:.3f} s training, "
        f"{summary.anchoring / nodes:.3f} s anchoring, "
        f"{summary.verification / nodes:.3f} s verifying the others"
    )
    yield (
        f"  audited / unaudited: {summary.ratio:.3f} without verification, "
        f"{summary.ratio_verified:.3f} with that of all {nodes} nodes on this one machine"
    )
    yield f"  the same model in the end, bit by bit: {'yes' if report.same_model else 'NO'}"
    met = _target(summary.share <= MOST_ANCHORING, "2 %")
    yield f"  anchoring: {summary.share:.2%} of the round {met}"
    yield (
        f"  it stays at {MOST_ANCHORING:.0%} or less where a participant trains for "
        f"{summary.anchoring / nodes * (1 / MOST_ANCHORING - 1):.1f} s a round or longer"
    )


def _audit(report: Report) -> Iterator[str]:
    rounds = report.size.rounds
    yield "AUDIT of everything, from chain and store, a round"
    parts = [(part, report.audit.seconds(part) / rounds) for part in PARTS]
    shown = ", ".join(f"{part} {seconds:.3f}" for part, seconds in parts if seconds >= 0.0005)
    seconds = report.audit.seconds(activity=AUDIT) / rounds
    read = _megabytes(report.audit.bytes("store") // rounds)
    verdict = "holds" if report.audit_holds else "DOES NOT HOLD"
    yield f"  {seconds:.3f} s ({shown}); {read} MB read; the federation {verdict}"


def _shapley(report: Report) -> Iterator[str]:
    if report.shapley:
        yield "EXACT SHAPLEY VALUES on the MLP, one evaluator, a round"
    for line in report.shapley:
        yield (
            f"  n = {line.players}: {line.models} models of {line.parameters:,} parameters on "
            f"{line.rows:,} rows: {line.measuring:.2f} s, values {1000 * line.solving:.1f} ms"
        )


def _target(met: bool, most: str) -> str:
    return f"(target: at most {most}, {'met' if met else 'MISSED'})"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.2f}" if count else ""
