"""Chain times and amounts of ether as text for people."""

from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Final

LAST_SECOND: Final = 253_402_300_799
SMALL: Final = 10**9
"""Wei below which an amount is shown in wei: as ether it would be zeros."""
_EXACT: Final = Context(prec=100)
_UNITS: Final = ((36 * 3600, 86_400, "days"), (90 * 60, 3600, "h"), (90, 60, "min"))


def moment(timestamp: int) -> str:
    """Return a chain time as date and time in UTC, to the second."""
    if not 0 <= timestamp <= LAST_SECOND:
        return f"second {timestamp}"
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def span(seconds: int) -> str:
    """Return a length of time in the unit that suits it: 45 s, 3 min, 2 h, 4 days."""
    for least, unit, name in _UNITS:
        if seconds >= least:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"


def distance(timestamp: int, now: int) -> str:
    """Return how far a chain time is from another: "in 3 min", "2 min ago"."""
    if timestamp == now:
        return "now"
    return f"in {span(timestamp - now)}" if timestamp > now else f"{span(now - timestamp)} ago"


def dated(timestamp: int, now: int) -> str:
    """Return a chain time with its distance from another."""
    return f"{moment(timestamp)} ({distance(timestamp, now)})"


def ether(wei: int) -> str:
    """Return an amount exactly: in ether, or in wei where it is tiny."""
    if 0 < abs(wei) < SMALL:
        return f"{wei} wei"
    return f"{in_ether(wei)} ether"


def in_ether(wei: int) -> str:
    """Return the number of ether that an amount is, exactly and without closing zeros."""
    text = f"{Decimal(wei).scaleb(-18, _EXACT):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
