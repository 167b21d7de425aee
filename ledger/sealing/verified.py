"""Which envelopes were verified, by digest: to verify one costs as much as to write all its wraps,
and a node reads the same envelope many times.

What is remembered is a function of the envelope's bytes and the content key, so all nodes of a
process share it.
"""

from threading import Lock
from typing import Final

from ledger.sealing.envelope import Envelope
from ledger.sealing.errors import SealBroken

MOST: Final = 1 << 14
"""Envelopes that are remembered; of more, the oldest are verified again."""


class Verified:
    """Remembers whether envelopes are what their content keys make."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lock = Lock()
        self._faults: dict[bytes, str] = {}

    def require(self, envelope: Envelope, secret: bytes) -> None:
        """Raise SealBroken unless an envelope is the one that a content key makes for its readers;
        write it again only the first time.
        """
        key = envelope.digest(secret)
        with self._lock:
            fault = self._faults.get(key)
        if fault is None:
            fault = _fault(envelope, secret)
            with self._lock:
                self._faults[key] = fault
                while len(self._faults) > self._most:
                    del self._faults[next(iter(self._faults))]
        if fault:
            raise SealBroken("envelope", fault)


def _fault(envelope: Envelope, secret: bytes) -> str:
    """Say what is wrong with an envelope; nothing if it is in order."""
    try:
        envelope.verify(secret)
    except SealBroken as error:
        return error.reason
    return ""


VERIFIED: Final = Verified()
