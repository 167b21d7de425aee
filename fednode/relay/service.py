"""A relay as one process: its desk over HTTP, and the loop that posts."""

from collections.abc import Callable
from dataclasses import dataclass

from fednode.relay.desk import Desk
from fednode.relay.relay import MARGIN, Relay
from fednode.relay.sender import Sender
from fednode.relay.server import application, listening
from fednode.relay.situation import Ledger
from fednode.relay.sponsor import Allowance, Sponsor
from ledger.stores import ContentStore


@dataclass(frozen=True, slots=True)
class Settings:
    """Where a relay listens, how often it looks at the chain, when it posts, what it pays for."""

    allowance: Allowance
    host: str = "127.0.0.1"
    port: int = 0
    poll: float = 0.5
    margin: int = MARGIN


async def serve(
    ledger: Ledger,
    store: ContentStore,
    desk: Desk,
    settings: Settings,
    ready: Callable[[str], None],
) -> None:
    """Serve until the federation is over; `ready` is told the address."""
    sender = Sender()
    sponsor = Sponsor(ledger, desk, sender, settings.allowance)
    relay = Relay(ledger, store, desk, sender, margin=settings.margin)
    async with listening(application(desk, sponsor), settings.host, settings.port) as url:
        ready(url)
        await relay.run(poll=settings.poll)
