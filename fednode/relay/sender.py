"""One transaction at a time: all of a relay's are one account's, and their nonces are in order."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Sender:
    """Runs what waits for the chain in a thread, in turn."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self.waiting = 0

    async def run(self, send: Callable[[], T]) -> T:
        """Send when it is this one's turn; wait until it is mined."""
        self.waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(send)
        finally:
            self.waiting -= 1
