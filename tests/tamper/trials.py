"""Every kind of tampering, many times: how often it was found, named, and cried over nothing."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.tamper import forgeries, lies
from tests.tamper.kinds import KINDS, Kind, Tried, clean, trial

__all__ = ["KINDS", "Tally", "clean", "false_alarms", "tallies", "trial"]

# Importing them fills the table.
TABLES = (lies, forgeries)


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of a kind's trials; `missed` are those not found or not rightly named."""

    kind: Kind
    trials: int
    found: int
    named: int
    missed: tuple[Tried, ...]


def tally(kind: Kind, trials: int) -> Tally:
    """Try a kind of tampering a number of times."""
    tried = [trial(kind, number) for number in range(trials)]
    return Tally(
        kind=kind,
        trials=trials,
        found=sum(one.found for one in tried),
        named=sum(one.named for one in tried),
        missed=tuple(one for one in tried if not one.named),
    )


def tallies(trials: int) -> Iterator[Tally]:
    """Try every kind."""
    for kind in KINDS.values():
        yield tally(kind, trials)


def false_alarms(first: int, last: int) -> list[str]:
    """Audit federations in which all was well; give what is wrongly found."""
    findings = ((seed, clean(seed).verdict.finding) for seed in range(first, last))
    return [f"story {seed}: {finding}" for seed, finding in findings if finding is not None]
