"""One look at a chain's newest block and time, which holds for a moment.

A node that takes a step asks for the time at many places. Within a second that is one question.
"""

import time
from collections.abc import Callable
from typing import Final

from ledger.chain.types import Block

HOLDS: Final = 1.0
"""Seconds for which a look is not repeated: far less than any window."""

Look = Callable[[], tuple[Block, int]]


class Glance:
    """What the last look told; another look is taken when that is too old, or was forgotten."""

    def __init__(self, look: Look, clock: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._clock = clock
        self._until = 0.0
        self._seen: tuple[Block, int] | None = None

    def __call__(self) -> tuple[Block, int]:
        """Give the newest block, and the time that the next one would have."""
        at = self._clock()
        if self._seen is None or at >= self._until:
            self._seen, self._until = self._look(), at + HOLDS
        return self._seen

    def forget(self) -> None:
        """Look again at the next question: something was sent, or time has passed."""
        self._seen = None
