"""All measurements of one run, in turn."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from scripts.bench.audited import Audited
from scripts.bench.engines import open_engine
from scripts.bench.gas import MEMBERS, measure_gas
from scripts.bench.plain import Plain, same
from scripts.bench.report import Report, RoundPair, Traffic
from scripts.bench.shapley import measure_shapley
from scripts.bench.workload import Data, Size, load


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure, and on what."""

    size: Size
    mnist: Path | None
    engine: str
    store: str | None
    shapley: Sequence[int]
    threads: int


def measure(options: Options) -> Report:
    """Measure everything that was asked for."""
    torch.set_num_threads(options.threads)
    size = options.size
    data = load(options.mnist, size)
    with open_engine(options.engine, members=max(size.participants, MEMBERS)) as engine:
        gas = measure_gas(engine)
        audited = Audited(engine, data, store=options.store)
        pairs, equal = _rounds(audited, data, size.rounds)
        traffic = Traffic(*audited.traffic())
        audited.settle()
        verdict, audit = audited.audit()
    return Report(
        engine=engine.name,
        data=data.label,
        size=size,
        rows=sum(map(len, data.tables)),
        parameters=Plain(data).model().size,
        gas=gas,
        pairs=pairs,
        same_model=equal,
        traffic=traffic,
        audit=audit,
        audit_holds=verdict.holds,
        shapley=[measure_shapley(options.mnist, players) for players in options.shapley],
    )


def _rounds(audited: Audited, data: Data, rounds: int) -> tuple[list[RoundPair], bool]:
    """Play audited and unaudited rounds in turn, each kind first in every other pair."""
    plain = Plain(data)
    plain.warm_up()
    pairs = []
    for number in range(rounds):
        if number % 2:
            unaudited = plain.round()
            pairs.append(RoundPair(audited.round(), unaudited))
        else:
            pairs.append(RoundPair(audited.round(), plain.round()))
    return pairs, same(audited.model(), plain.model())
