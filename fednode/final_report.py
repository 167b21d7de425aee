"""What a site learns at the end: what the released model, with the site's own private tensors, is
worth on its test set.

The test set is opened once. Which model it is opened for was decided before, on the federation's
valuation rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fednode.data.splits import TestSet
from fednode.data.statistics import LEAST_CELL
from fednode.data.table import Table
from fednode.evaluation.evaluator import preprocessing_of, scaled
from fednode.evaluation.metrics import PPM
from fednode.federation import Federation
from fednode.models.guard import model_code
from fednode.models.layout import dequantise
from fednode.roles.journal import Journal, private_tensors
from fednode.site import Site
from ledger.payload import Payload, pad


@dataclass(frozen=True, slots=True)
class FinalReport:
    """The released version and its metrics, in millionths, on one site's test rows."""

    site: str
    version: int
    digest: str
    rows: int
    metrics: Mapping[str, int]

    def record(self) -> dict[str, object]:
        """Return the report for JSON."""
        return {
            "site": self.site,
            "released_version": self.version,
            "model_digest": self.digest,
            "test_rows": self.rows,
            **{name: value / PPM for name, value in self.metrics.items()},
        }

    def text(self) -> str:
        """Return the report for people."""
        # A rate that rounds to zero is shown without a sign.
        shown = {name: round(v / PPM, 3) + 0.0 for name, v in self.metrics.items()}
        measured = ", ".join(f"{name} {rate:.3f}" for name, rate in shown.items())
        if not self.metrics:
            measured = f"too few (a class has under {LEAST_CELL} rows)"
        return (
            f"the federation has ended; model version {self.version} ({self.digest[:16]}) on "
            f"{self.rows} test rows of {self.site}: {measured}"
        )


def final_report(federation: Federation, site: Site, journal: Journal) -> FinalReport:
    """Open a site's test set for the released model, or give what was measured before."""
    version = federation.released_version()
    model = federation.version(version)
    digest = Payload(pad(model, federation.replica.policy.leaves)).digest
    book = federation.rulebook
    shared = book.layout.unpack(model)
    tensors = {**shared, **private_tensors(federation, journal, federation.height(version))}
    preprocessing = preprocessing_of(book.layout, shared, book.policy.schema)
    metrics = ("accuracy", "auc") if book.policy.schema.classes == 2 else ("accuracy",)

    def measure(rows: Table) -> dict[str, int]:
        if np.bincount(rows.labels, minlength=book.policy.schema.classes).min() < LEAST_CELL:
            return {}
        ready = scaled(rows, preprocessing)
        floats = {
            spec.name: dequantise(tensors[spec.name], spec.fraction_bits)
            for spec in book.task.tensors
        }
        with model_code("the last evaluation"):
            book.task.set_tensors(floats)
            return {name: book.task.evaluate(ready, name) for name in metrics}

    held = TestSet(site.table, site.splits.test, marker(journal))
    return FinalReport(
        site.name, version, digest.hex(), len(site.splits.test), held.open(digest, measure)
    )


def marker(journal: Journal) -> Path:
    """Name the file that says that the test set was opened."""
    return journal.folder / "test-set.json"
