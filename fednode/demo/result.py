"""What the demo comes to, as plain values: terminal, plot and JSON tell the same story."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from incentives.intervals import Interval
from ledger.audit.verdict import Verdict
from ledger.types import Wei

Method = Literal["local", "pooled", "federated"]
METHODS: Final[tuple[Method, ...]] = ("local", "pooled", "federated")
METHOD_NAMES: Final[Mapping[Method, str]] = {
    "local": "own rows only",
    "pooled": "all rows in one place",
    "federated": "federated, own bias",
}


def title(name: str) -> str:
    """Write a site's name as people do."""
    return name.replace("-", " ").title()


@dataclass(frozen=True, slots=True)
class RoundRow:
    """An accepted round as it was watched. `quality` is the metric on the valuation rows, 0 to 1;
    the round of statistics has neither quality nor version 1 or above.
    """

    round: int
    version: int
    quality: float | None
    model: str
    updates: int
    seats: int
    gas: int
    seconds: float

    def record(self) -> dict[str, object]:
        """Return the row for JSON."""
        return {
            "round": self.round,
            "version": self.version,
            "auc_within": self.quality,
            "model_digest": self.model,
            "updates": self.updates,
            "seats": self.seats,
            "gas": self.gas,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value and what resampled rows make of it."""

    value: float
    interval: Interval

    def record(self) -> dict[str, object]:
        """Return the figure for JSON."""
        return {"value": self.value, "low": self.interval.low, "high": self.interval.high}


@dataclass(frozen=True, slots=True)
class Scores:
    """Metrics by name of one model on some test rows; None where a class has too few rows."""

    figures: Mapping[str, Figure] | None

    def record(self) -> object:
        """Return the scores for JSON."""
        if self.figures is None:
            return None
        return {name: figure.record() for name, figure in self.figures.items()}


@dataclass(frozen=True, slots=True)
class SiteResult:
    """What the demo came to for one hospital.

    `contribution` is in units of the metric, summed over all rounds; `payout` in wei.
    """

    name: str
    train: int
    test: tuple[int, ...]
    scores: Mapping[Method, Scores]
    contribution: Figure
    payout: Wei
    claimed: Wei

    @property
    def title(self) -> str:
        """Give the name as people write it."""
        return title(self.name)

    def record(self) -> dict[str, object]:
        """Return the hospital for JSON."""
        return {
            "name": self.name,
            "training_rows": self.train,
            "test_rows_by_class": list(self.test),
            "scores": {method: self.scores[method].record() for method in METHODS},
            "contribution": self.contribution.record(),
            "payout_wei": str(self.payout),
            "claimed_wei": str(self.claimed),
        }


@dataclass(frozen=True, slots=True)
class Files:
    """What the demo leaves in its directory."""

    directory: Path

    @property
    def bundle(self) -> Path:
        """Give the evidence bundle."""
        return self.directory / "bundle.car"

    @property
    def report(self) -> Path:
        """Give the audit report."""
        return self.directory / "report.html"

    @property
    def plot(self) -> Path:
        """Give the plot."""
        return self.directory / "demo.png"

    @property
    def json(self) -> Path:
        """Give all results as JSON."""
        return self.directory / "demo.json"


@dataclass(frozen=True, slots=True)
class Where:
    """Where the demo ran, what it left, and the block to trust."""

    chain: str
    content: str
    ledger: str
    federation: str
    trust_block: str
    files: Files

    @property
    def audit_command(self) -> str:
        """Give the command that repeats the audit from the bundle alone."""
        return f"fednode audit --bundle {self.files.bundle} --trust-block {self.trust_block}"


@dataclass(frozen=True, slots=True)
class DemoResult:
    """Everything. `overall` has every method's metrics on all test rows together; `start` is the
    quality of the untrained model.
    """

    rounds: tuple[RoundRow, ...]
    start: float
    sites: tuple[SiteResult, ...]
    overall: Mapping[Method, Scores]
    released: int
    pool: Wei
    refund: Wei
    verdict: Verdict
    bundle_holds: bool
    where: Where
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether the audit holds, from chain and store and from the bundle."""
        return self.verdict.holds and self.bundle_holds

    def headline(self, metric: str) -> Figure:
        """Give the federated models' figure on all test rows."""
        figures = self.overall["federated"].figures
        assert figures is not None
        return figures[metric]

    def record(self) -> dict[str, object]:
        """Return everything for JSON; amounts are texts of wei."""
        block, finding = self.verdict.trusted_block, self.verdict.finding
        return {
            "holds": self.holds,
            "auc_within_hospitals": self.headline("auc_within").record(),
            "pooled_auc": self.headline("auc").record(),
            "pooled_accuracy": self.headline("accuracy").record(),
            "rounds": [row.record() for row in self.rounds],
            "start_auc_within": self.start,
            "released_version": self.released,
            "sites": [site.record() for site in self.sites],
            "overall": {method: self.overall[method].record() for method in METHODS},
            "pool_wei": str(self.pool),
            "refund_wei": str(self.refund),
            "audit": {
                "holds": self.verdict.holds,
                "holds_from_bundle": self.bundle_holds,
                "checks": len(self.verdict.checks),
                "finding": None if finding is None else f"{finding.step.name}: {finding.subject}",
                "block": block.number,
                "trust_block": self.where.trust_block,
            },
            "chain": self.where.chain,
            "content": self.where.content,
            "ledger": self.where.ledger,
            "federation": self.where.federation,
            "files": {
                "bundle": str(self.where.files.bundle),
                "report": str(self.where.files.report),
                "plot": str(self.where.files.plot),
                "json": str(self.where.files.json),
            },
            "audit_command": self.where.audit_command,
            "seconds": round(self.seconds, 1),
            "notes": list(self.notes),
        }
