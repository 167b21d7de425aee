"""A relay as one process: its desk over HTTP, and the loop that posts."""

from collections.abc import Callable
from dataclasses import dataclass

from fednode.relay.desk import Desk
from fednode.relay.lanes import MOST_JOINS, Lanes
from fednode.relay.relay import MARGIN, Relay
from fednode.relay.server import application, listening, room
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


def most_joins() -> int:
    """Give how many joins may wait: each holds a connection, and most are left for commits and
    votes.
    """
    return min(MOST_JOINS, max(1, room() // 4))


async def serve(
    ledger: Ledger,
    store: ContentStore,
    desk: Desk,
    settings: Settings,
    ready: Callable[[str], None],
) -> None:
    """Serve until the federation is over; `ready` is told the address."""
    lanes = Lanes(joins=most_joins())
    sponsor = Sponsor(ledger, desk, lanes, settings.allowance)
    relay = Relay(ledger, store, desk, lanes, margin=settings.margin)
    try:
        async with listening(application(desk, sponsor), settings.host, settings.port) as url:
            ready(url)
            await relay.run(poll=settings.poll)
    finally:
        lanes.close()
