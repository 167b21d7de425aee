"""How rows without natural sites are dealt to sites, the same on every machine.

Orders come from the raw stream of Philox, which numpy keeps stable across versions (NEP 19).
Dirichlet partitions follow Hsu, Qi and Brown 2019 (arXiv:1909.06335), class by class.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from fednode.data.errors import PartitionError
from fednode.data.schema import ExactDecimal, Section, StrictInt

PARTITION_DOMAIN = 0x9A127
ATTEMPTS = 100


class PartitionSpec(Section):
    """The rule that deals rows to sites, and its seed."""

    kind: Literal["natural", "iid", "dirichlet", "classes"] = "natural"
    alpha: ExactDecimal | None = None
    classes: Annotated[StrictInt, Field(ge=1, le=1000)] | None = None
    seed: Annotated[StrictInt, Field(ge=0, lt=1 << 63)] = 0
    least_rows: Annotated[StrictInt, Field(ge=1, lt=1 << 32)] = 10

    @model_validator(mode="after")
    def _consistent(self) -> PartitionSpec:
        if (self.kind == "dirichlet") != (self.alpha is not None):
            raise ValueError("alpha: belongs to kind = 'dirichlet', which needs it")
        if self.alpha is not None and not 0 < self.alpha <= 1_000_000:
            raise ValueError("alpha: must be above 0 and at most 1000000")
        if (self.kind == "classes") != (self.classes is not None):
            raise ValueError("classes: belongs to kind = 'classes', which needs it")
        return self


def shuffled(rows: NDArray[np.int64], *words: int) -> NDArray[np.int64]:
    """Put rows in an order that depends on the seed words alone."""
    keys = np.random.Philox(np.random.SeedSequence(words)).random_raw(len(rows))
    return rows[np.argsort(keys, kind="stable")]


def deal(
    labels: NDArray[np.int64], sites: int, spec: PartitionSpec, *, domain: int = 0
) -> list[NDArray[np.int64]]:
    """Deal every row index to one of the sites; ascending within a site.

    `domain` keeps the orders of two sets of rows apart. With `classes`, rows of a class that no
    site holds are left out. Raises PartitionError where a site would get fewer than `least_rows`.
    """
    if spec.kind == "natural":
        raise PartitionError(
            "data.partition: this source has no natural sites; "
            "set kind to 'iid', 'dirichlet' or 'classes'"
        )
    if spec.kind == "dirichlet":
        parts = _dirichlet(labels, sites, spec, domain)
    elif spec.kind == "classes":
        parts = _classes(labels, sites, spec, domain)
    else:
        parts = deal_evenly(len(labels), sites, spec.seed, domain=domain)
    parts = [np.sort(part) for part in parts]
    if min(len(part) for part in parts) < spec.least_rows:
        raise _too_few(len(labels), sites, spec)
    return parts


def deal_evenly(rows: int, sites: int, seed: int, *, domain: int = 0) -> list[NDArray[np.int64]]:
    """Deal shuffled row indexes to the sites in turn."""
    order = shuffled(np.arange(rows, dtype=np.int64), PARTITION_DOMAIN, domain, seed)
    return [np.sort(order[site::sites]) for site in range(sites)]


def _too_few(rows: int, sites: int, spec: PartitionSpec) -> PartitionError:
    return PartitionError(
        f"data.partition: {rows} rows cut by '{spec.kind}' leave one of {sites} sites with fewer "
        f"than least_rows = {spec.least_rows}: take fewer sites, another seed or another kind"
    )


def _by_class(
    labels: NDArray[np.int64], spec: PartitionSpec, domain: int
) -> list[NDArray[np.int64]]:
    return [
        shuffled(np.flatnonzero(labels == label), PARTITION_DOMAIN, domain, spec.seed, int(label))
        for label in np.unique(labels)
    ]


def _dirichlet(
    labels: NDArray[np.int64], sites: int, spec: PartitionSpec, domain: int
) -> list[NDArray[np.int64]]:
    classes = _by_class(labels, spec, domain)
    for attempt in range(ATTEMPTS):
        words = (PARTITION_DOMAIN, domain, spec.seed, attempt)
        generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))
        parts: list[list[NDArray[np.int64]]] = [[] for _ in range(sites)]
        for rows in classes:
            shares = generator.dirichlet(np.full(sites, float(spec.alpha or 1)))
            cuts = np.floor(np.cumsum(shares)[:-1] * len(rows)).astype(np.int64)
            for site, piece in enumerate(np.split(rows, cuts)):
                parts[site].append(piece)
        whole = [np.concatenate(pieces) for pieces in parts]
        if min(len(part) for part in whole) >= spec.least_rows:
            return whole
    raise _too_few(len(labels), sites, spec)


def _classes(
    labels: NDArray[np.int64], sites: int, spec: PartitionSpec, domain: int
) -> list[NDArray[np.int64]]:
    classes = _by_class(labels, spec, domain)
    each = spec.classes or 1
    if each > len(classes):
        raise PartitionError(
            f"data.partition.classes = {each}, but the rows have {len(classes)} classes"
        )
    order = shuffled(np.arange(len(classes)), PARTITION_DOMAIN, spec.seed)
    holders: list[list[int]] = [[] for _ in classes]
    for turn in range(sites * each):
        holders[int(order[turn % len(classes)])].append(turn // each)
    parts: list[list[NDArray[np.int64]]] = [[] for _ in range(sites)]
    for rows, sites_of in zip(classes, holders, strict=True):
        for place, site in enumerate(sites_of):
            parts[site].append(rows[place :: len(sites_of)])
    return [np.concatenate(pieces) for pieces in parts]
