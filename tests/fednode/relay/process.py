"""A relay as a process of its own, with a chain that stands still: `python process.py FOLDER N`.

N participants have seats, with the keys that `member` gives. Prints its address.
"""

import asyncio
import sys
from pathlib import Path

from fednode.relay.desk import Desk
from fednode.relay.service import Settings, serve
from fednode.relay.sponsor import Allowance
from ledger.chain.accounts import Account, from_key
from ledger.stores import MemoryStore
from tests.fednode.relay.world import DOMAIN, FEDERATION, FREE, RELAY, FakeLedger, collecting


def member(number: int) -> Account:
    return from_key((1_000 + number).to_bytes(32, "big"))


def main(folder: Path, members: int) -> None:
    ledger = FakeLedger(collecting(members=[member(n) for n in range(members)]))
    desk = Desk(DOMAIN, FEDERATION, RELAY, folder)
    settings = Settings(Allowance(FREE, FREE), poll=0.05)

    def ready(url: str) -> None:
        print(url, flush=True)

    asyncio.run(serve(ledger, MemoryStore(), desk, settings, ready))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
