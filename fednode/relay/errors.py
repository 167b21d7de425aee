"""What can go wrong between a participant and a relay."""

from http import HTTPStatus
from pathlib import Path

from fednode.errors import FedNodeError

RETRY = 1
"""Seconds after which it is worth asking again."""

SHORT_OF_ETHER = 60
"""Seconds after which it is worth asking again whether a relay has ether."""


class RelayError(FedNodeError):
    """Base of the relay's errors, on both sides."""


class Refused(RelayError):
    """A request that the relay does not take; over HTTP, an answer with this status."""

    def __init__(self, status: HTTPStatus, reason: str, *, retry_after: int | None = None) -> None:
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        super().__init__(f"the relay refuses ({status.value}): {reason}")


class RelayDown(RelayError):
    """A relay that gives no usable answer."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        super().__init__(f"the relay at {url} does not answer ({reason}); it may be down")


class ForgedReceipt(RelayError):
    """A receipt that is not for what was sent, or not signed by the policy's relay."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        super().__init__(f"the relay at {url} gave a receipt that is worth nothing: {reason}")


class JournalFailed(RelayError):
    """A journal that cannot be written: nothing more is accepted."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(
            f"the relay's journal {path} cannot be used ({reason}): free some space there, or see "
            "that no other process uses it"
        )
