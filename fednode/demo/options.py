"""What a user may choose about the demo."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fednode.errors import FedNodeError

if TYPE_CHECKING:
    from ledger.chain.accounts import Account

NODE_WINDOW = 30
"""Seconds to vote and to challenge on a real node, where time cannot jump."""
LEAST_WINDOW = 20
"""Seconds that hold four steps of a hospital, if one measurement of a model takes 0.05 s."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """Without `rpc` the chain runs in the process, without `ipfs` blocks lie in a directory.

    `ipfs` names one Kubo node for all, or several that are connected, dealt out to the hospitals.
    `token` is what their API asks for.
    `account` pays for everything on a real node; anvil's own accounts need none. `window` is how
    long voting and challenging take there, in seconds.
    """

    rounds: int | None = None
    rpc: str | None = None
    ipfs: tuple[str, ...] = ()
    directory: Path = Path("demo")
    seed: int = 0
    account: Account | None = None
    window: int = NODE_WINDOW
    resamples: int = 1000
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        limits = (
            ("--rounds", self.rounds, 1),
            ("--seed", self.seed, 0),
            ("--window", self.window, LEAST_WINDOW),
            ("--resamples", self.resamples, 20),
        )
        for name, value, least in limits:
            if value is not None and value < least:
                raise FedNodeError(f"{name} {value}: at least {least} is needed")
