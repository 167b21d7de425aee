"""How a verdict's values read: names, amounts, times and digests as text for people.

Names and findings come from strangers: both the terminal and the HTML report show them cleaned.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from fractions import Fraction
from typing import Final

from ledger.audit.verdict import (
    BYTES,
    UTILITY_UNIT,
    Check,
    Erased,
    Finding,
    Lack,
    Outcome,
    Terms,
    Verdict,
)
from ledger.lines import clean
from ledger.plain import LAST_SECOND, in_ether
from ledger.types import Address, Digest

MINUS: Final = "\N{MINUS SIGN}"
DASH: Final = "\N{EN DASH}"

REASONS: Final = (
    "counted",
    "bytes could not be had",
    "not a well-formed update",
    "made for another federation, round or author",
    "beyond the allowed size",
    "replaced by another update of the same participant",
    "too few updates in the round",
    "its leaf of the batch could not be had",
    "its leaf of the batch is not signed by its participant",
    "came in a round that only carries evaluations",
)
METRICS: Final = {
    "accuracy": "accuracy",
    "auc": "AUC",
    "auc_within": "AUC within sites",
    "log_loss": "log loss, negative",
    "none": "not measured",
}


def reason(number: int) -> str:
    """Return why an update does not count, in words."""
    return REASONS[number] if 0 <= number < len(REASONS) else f"unknown reason {number}"


def when(timestamp: int | None) -> str:
    """Return a chain time as date and time in UTC."""
    if timestamp is None:
        return DASH
    if not 0 <= timestamp <= LAST_SECOND:
        return f"second {timestamp}"
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M UTC")


def fixed(value: Fraction, places: int) -> str:
    """Return a number of any size with some places, rounded exactly, and 0 without a sign."""
    units = round(value * 10**places)
    whole, rest = divmod(abs(units), 10**places)
    return f"{MINUS if units < 0 else ''}{whole:,}" + (f".{rest:0{places}}" if places else "")


def quality(utility: int | None) -> str:
    """Return a utility with four places."""
    return DASH if utility is None else fixed(Fraction(utility, UTILITY_UNIT), 4)


def metric(name: str) -> str:
    """Return a metric's name as people read it."""
    return METRICS.get(name, clean(name, 40))


def tally(verdict: Verdict) -> str:
    """Return how many rounds brought a result, and how many none."""
    versions = sum(r.version is not None for r in verdict.rounds)
    void = sum(r.outcome is Outcome.VOID for r in verdict.rounds)
    return f"{count(versions, 'accepted result')}, {void:,} void"


def points(value: Fraction) -> str:
    """Return a contribution as a signed utility with four places."""
    text = fixed(value / UTILITY_UNIT, 4)
    return text if text.startswith(MINUS) else f"+{text}"


def percent(share: Fraction) -> str:
    """Return a share in percent with one place."""
    return f"{fixed(share * 100, 1)}%"


def amount(units: int, terms: Terms) -> str:
    """Return an amount exactly, in ether or in the token's least units."""
    if terms.token is not None:
        return f"{units:,} units"
    return f"{in_ether(units)} ETH"


def rounded_amount(units: int, terms: Terms) -> str:
    """Return an amount with four places of ether, or exactly where it is a token's."""
    return (
        amount(units, terms)
        if terms.token is not None
        else f"{fixed(Fraction(units, 10**18), 4)} ETH"
    )


def short(digest: Digest | Address | None) -> str:
    """Return the two ends of a digest or an address."""
    if digest is None:
        return DASH
    text = f"0x{digest.hex()}" if isinstance(digest, bytes) else clean(digest, 80)
    return text if len(text) <= 14 else f"{text[:8]}\N{HORIZONTAL ELLIPSIS}{text[-4:]}"


def signed_by(verdict: Verdict, address: Address | None) -> str:
    """Return who signed: a participant's name with its address, or the address alone."""
    if address is None:
        return "no single account"
    name = verdict.who(address)
    return f"{clean(name, 60)} ({clean(address, 80)})" if name else clean(address, 80)


def count(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def headline(verdict: Verdict) -> str:
    """Return the verdict in one line."""
    if verdict.holds:
        return _holding(verdict)
    finding = verdict.finding
    if finding is None:
        return "A check does not hold."
    place = "" if finding.round is None else f" in round {finding.round}"
    return f"Does not hold: {finding.step.title.lower()}{place}."


def caveat(finding: Finding) -> str | None:
    """Return what the reader of a finding should rule out first, if there is anything."""
    if finding.step != BYTES:
        return None
    return (
        "The bytes were asked for at this audit's own content store. If another store has them, "
        "the fault is this store's: audit again with another --ipfs or --store first."
    )


def _holding(verdict: Verdict) -> str:
    missing = []
    if Lack.ERASED in verdict.lacks:
        whose = ", ".join(f"{clean(e.name, 60)} ({rounds(e)})" for e in verdict.erased)
        missing.append(f"what was erased by {whose}")
    if Lack.SEALED in verdict.lacks:
        missing.append("what is sealed and was not read")
    if missing:
        return f"Holds, except for {' and '.join(missing)}."
    return "Everything that was checked holds."


def lacked(checks: Iterable[Check]) -> str:
    """Return how many checks could not be made, and why."""
    found = Counter(check.lack for check in checks if check.lack is not None)
    return ", ".join(f"{found[lack]:,} {lack.value}" for lack in Lack if found[lack])


def lacking(verdict: Verdict) -> str:
    """Return how many checks could not be made, as part of a sentence."""
    found = lacked(verdict.checks)
    return f"{found}, " if found else ""


def rounds(erased: Erased) -> str:
    """Return the rounds of an erasure."""
    some = ", ".join(str(round_) for round_ in erased.rounds[:12])
    more = len(erased.rounds) - 12
    return f"round{'s' if len(erased.rounds) > 1 else ''} {some}" + (
        f" and {more} more" if more > 0 else ""
    )
