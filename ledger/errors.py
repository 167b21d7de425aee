"""What can go wrong with the ledger, as one tree of exceptions that carry fields as well
as text.
"""


class LedgerError(Exception):
    """Base of every error that the ledger package raises."""


class MalformedRecord(LedgerError):
    """Bytes that are not a canonical record of the kind that was asked for."""

    def __init__(self, kind: str, reason: str) -> None:
        self.kind = kind
        self.reason = reason
        super().__init__(f"malformed {kind}: {reason}")
