"""What a strict fold over the history says about an event that cannot follow."""

from ledger.errors import LedgerError
from ledger.history import Event


class HistoryViolation(LedgerError):
    """An event that the rules do not allow where it stands."""

    def __init__(self, event: Event, expected: str, found: str) -> None:
        self.event = event
        self.expected = expected
        self.found = found
        super().__init__(
            f"{type(event).__name__} in block {event.meta.block_number}: "
            f"expected {expected}, found {found}"
        )


def require(event: Event, holds: bool, expected: str, found: str) -> None:
    """Raise HistoryViolation unless a condition of an event holds."""
    if not holds:
        raise HistoryViolation(event, expected, found)


def require_equal(event: Event, what: str, expected: object, found: object) -> None:
    """Require that a field of an event is what it has to be."""
    require(event, found == expected, f"{what} {_text(expected)}".strip(), _text(found))


def before(event: Event, deadline: int) -> None:
    """Require that an event was in time."""
    at = event.meta.timestamp
    require(event, at < deadline, f"a time before {deadline}", str(at))


def after(event: Event, deadline: int) -> None:
    """Require that a deadline had passed."""
    at = event.meta.timestamp
    require(event, at >= deadline, f"a time from {deadline} on", str(at))


def _text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
