"""What a benchmark trains: MNIST, or scikit-learn's digits where there is none, dealt evenly."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from fednode.data.evaluation_set import EvaluationSet
from fednode.data.paths import HERE
from fednode.data.table import Table
from fednode.errors import FedNodeError
from fednode.policy import Policy, built_in
from fednode.site import evaluation_rows, load_site, open_sites
from ledger import cbor

WINDOW = 3600


@dataclass(frozen=True, slots=True)
class Size:
    """How big the training is."""

    participants: int
    rounds: int
    rows: int
    epochs: int


@dataclass(frozen=True, slots=True)
class Data:
    """The rows of every participant, those that models are valued on, where they come from."""

    policy: Policy
    tables: tuple[Table, ...]
    evaluation: EvaluationSet | None
    label: str


def load(folder: Path | None, size: Size, *, model: str = "cnn", valued: bool = False) -> Data:
    """Read MNIST from its folder; without one, take scikit-learn's digits and say so."""
    policy = _policy(folder, size, model, valued=valued)
    source = open_sites(policy, folder or Path(), public_rows=True)
    tables = []
    for site in source.sites:
        rows = load_site(policy, source, site).train
        tables.append(rows.take(np.arange(min(size.rows, len(rows)), dtype=np.int64)))
    if folder is None:
        label = "scikit-learn's digits, 8 x 8 (a stand-in: no MNIST was given)"
    else:
        label = "MNIST, 28 x 28"
    return Data(policy, tuple(tables), evaluation_rows(policy, source), label)


def _policy(folder: Path | None, size: Size, model: str, *, valued: bool) -> Policy:
    """Give the built-in policy in this size; everybody has to vote for a result, so every node's
    work is counted.
    """
    record = built_in("digits" if folder is None else "mnist").rest_record()
    changes: dict[str, dict[str, cbor.Value]] = {
        "federation": {
            "open": True,
            "start_participants": size.participants,
            "max_participants": size.participants,
            "committee_size": max(16, size.participants),
            "least_updates": 1,
            "quorum": "1",
        },
        "task": {"model": model, "options": {}},
        "data": {
            "path": None if folder is None else HERE,
            "sites": [f"site-{place}" for place in range(size.participants)],
            "partition": {"kind": "iid"},
            "split": {"valuation": "0.05", "test": "0.05"},
        },
        "training": {
            "rounds": size.rounds,
            "epochs": size.epochs,
            "batch_size": 32,
            "learning_rate": "0.05",
            "momentum": "0.9",
        },
        "evaluation": {"mode": "public" if valued else "none", "rows": 1000},
        "valuation": {"kind": "exact" if valued else "none"},
        "reward": {"pool": 0},
        "windows": {
            **dict.fromkeys(("commit", "reveal", "propose", "attest"), WINDOW),
            "challenge": 2 * WINDOW,
        },
    }
    for section, values in changes.items():
        old = record.get(section)
        record[section] = {**(old if isinstance(old, dict) else {}), **values}
    try:
        return Policy.model_validate(record)
    except ValidationError as error:
        raise FedNodeError(f"the benchmark's policy: {error.errors()[0]['msg']}") from None
