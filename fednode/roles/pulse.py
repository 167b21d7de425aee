"""Notices a chain that stands still: the one fault that a node cannot tell from having nothing to
do, as all its deadlines are chain time.

So this is the one place that holds chain time against the machine's clock. Nothing depends on it
but a warning.
"""

import logging
import time
from collections.abc import Callable

from fednode.federation import Federation
from ledger.plain import moment as utc

log = logging.getLogger("fednode")

STILL = 60.0
"""Seconds without a change before that is worth a warning."""
EVERY = 10.0
"""Seconds from one look to the next."""


class Pulse:
    """Looks at one chain while its node rests."""

    def __init__(self, federation: Federation, now: Callable[[], float] = time.monotonic) -> None:
        self._federation = federation
        self._now = now
        self._next = 0.0
        self._time = _Watched()
        self._head = _Watched()
        self._said = ""

    def look(self) -> None:
        """Say once what stands still, until it moves again."""
        at = self._now()
        if at < self._next:
            return
        self._next = at + EVERY
        chain = self._federation.chain
        moment, newest = chain.now(), chain.block_number()
        if self._time.is_still(moment, at) and self._federation.state.deadline is not None:
            self._say(
                f"chain time at {chain.endpoint} has stood still at {utc(moment)} for "
                f"{STILL:.0f} s (block {newest}): nothing that is due can happen until its node "
                "gets new blocks; check it, or give another --rpc"
            )
        elif self._head.is_still(newest, at) and self._waits(newest):
            self._say(
                f"the chain at {chain.endpoint} has made no block after block {newest} for "
                f"{STILL:.0f} s, though transactions wait for one: check its node, or give another "
                "--rpc"
            )

    def _say(self, text: str) -> None:
        if text != self._said:
            log.warning("%s", text)
        self._said = text

    def _waits(self, newest: int) -> bool:
        """Whether the pending state of the federation is not that of the newest block."""
        contract, id_ = self._federation.contract, self._federation.id
        return contract.accumulator(id_) != contract.accumulator(id_, block=newest)


class _Watched:
    """A number that should grow, and since when it has not."""

    def __init__(self) -> None:
        self._value = -1
        self._since = 0.0

    def is_still(self, value: int, at: float) -> bool:
        """Whether the number has not changed for long."""
        if value != self._value:
            self._value, self._since = value, at
        return at - self._since >= STILL
