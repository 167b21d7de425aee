"""Where the demo tells what it is doing, while it does it."""

from typing import Protocol

from fednode.demo.result import RoundRow


class Watch(Protocol):
    """Somebody who is told; nothing depends on it."""

    def say(self, text: str) -> None:
        """Hear what happens now."""

    def round(self, row: RoundRow, *, of: int) -> None:
        """Hear of an accepted round; `of` counts the rounds in all."""


class Nobody:
    """Is told, and keeps it."""

    def say(self, text: str) -> None:
        """Do nothing."""

    def round(self, row: RoundRow, *, of: int) -> None:
        """Do nothing."""
