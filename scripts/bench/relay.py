"""How many commits a second a relay takes: a real process, real HTTP, every receipt on the disk.

    python scripts/bench/relay.py --commits 10000 --clients 64

The commits are signed beforehand. Load and relay share this machine's cores, so the relay's own
CPU time is printed, too: what it takes a second of a core. Then the batch of all commits is read
and verified as a node does it.
"""

import argparse
import asyncio
import json
import multiprocessing
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from aiohttp import ClientSession, TCPConnector

from fednode.relay.desk import Desk
from fednode.relay.messages import SignedCommit
from fednode.relay.service import Settings, serve
from fednode.relay.situation import (
    Application,
    Collecting,
    SignedResult,
    SignedVote,
    Situation,
    Voting,
)
from fednode.relay.sponsor import Allowance
from ledger.batch import Batch, Leaf, Posted, Signers, read_batch
from ledger.chain.accounts import from_key
from ledger.chain.types import Receipt
from ledger.signatures import Commit, Domain, Signature
from ledger.stores import MemoryStore
from ledger.types import Address, Digest, FederationId, RoundIndex, Wei

DOMAIN = Domain(31337, Address("0x" + "Ab" * 20))
FEDERATION = FederationId(bytes([1]) * 32)
RELAY = from_key(bytes([1]) * 32)
MEMBER = from_key(bytes([2]) * 32)
FREE = Wei(0)


class Standstill:
    """A chain on which a round stays open for commits; one account signs for all."""

    def __init__(self, members: int) -> None:
        known = [MEMBER.address] * (members + 1)
        signers = Signers(DOMAIN, FEDERATION, RoundIndex(0), known)
        self._situation = Situation(0, Collecting(signers, opened=0, deadline=1 << 32))
        self.stake = self.bond = FREE

    def situation(self) -> Situation:
        return self._situation

    def refusal(self, application: Application) -> str | None:
        raise AssertionError("nobody joins")

    def runs_code(self, application: Application) -> bool:
        raise AssertionError("nobody joins")

    def post_batch(self, round_index: RoundIndex, posted: Posted) -> Receipt:
        raise AssertionError("nothing is posted")

    def post_votes(self, voting: Voting, votes: Sequence[SignedVote]) -> Receipt:
        raise AssertionError("nothing is posted")

    def propose(self, result: SignedResult) -> Receipt:
        raise AssertionError("nothing is proposed")

    def join(self, application: Application) -> Receipt:
        raise AssertionError("nobody joins")

    def advance(self) -> Receipt:
        raise AssertionError("nothing is due")


def relay(pipe: Connection, folder: Path, members: int) -> None:
    desk = Desk(DOMAIN, FEDERATION, RELAY, folder)
    settings = Settings(Allowance(FREE, FREE))
    threading.Thread(target=answer_with_cpu_time, args=(pipe,), daemon=True).start()
    asyncio.run(serve(Standstill(members), MemoryStore(), desk, settings, pipe.send))


def answer_with_cpu_time(pipe: Connection) -> None:
    while True:
        pipe.recv()
        pipe.send(time.process_time())


def cpu_time(pipe: Connection) -> float:
    pipe.send(None)
    seconds: float = pipe.recv()
    return seconds


def sign(number: int) -> SignedCommit:
    commit = Commit(FEDERATION, 0, number, Digest(number.to_bytes(32, "big")))
    return SignedCommit(
        federation=FEDERATION,
        round=0,
        participant=number,
        digest=commit.digest,
        signature=DOMAIN.sign(MEMBER, commit).compact,
    )


async def load(url: str, bodies: Sequence[bytes], clients: int) -> list[float]:
    """Hand in everything over so many connections; give how long each waited for its receipt."""
    waiting = iter(bodies)
    waited: list[float] = []

    async def client(session: ClientSession) -> None:
        for body in waiting:
            started = time.perf_counter()
            async with session.post(f"{url}/commits", data=body) as answer:
                await answer.read()
                if answer.status != 200:
                    raise SystemExit(f"relay: HTTP status {answer.status}")
            waited.append(time.perf_counter() - started)

    async with ClientSession(connector=TCPConnector(limit=clients)) as session:
        await asyncio.gather(*(client(session) for _ in range(clients)))
    return waited


def measure(commits: int, clients: int) -> dict[str, float]:
    messages = [sign(number) for number in range(commits)]
    bodies = [message.model_dump_json().encode() for message in messages]
    with tempfile.TemporaryDirectory(prefix="fednode-bench-") as scratch:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.Process(target=relay, args=(theirs, Path(scratch), commits))
        process.start()
        try:
            url = ours.recv()
            before, started = cpu_time(ours), time.perf_counter()
            waited = sorted(asyncio.run(load(url, bodies, clients)))
            seconds, busy = time.perf_counter() - started, cpu_time(ours) - before
        finally:
            process.kill()
            process.join()
    return {
        "commits": commits,
        "clients": clients,
        "seconds": seconds,
        "commits_per_second": commits / seconds,
        "commits_per_cpu_second": commits / busy,
        "median_wait_ms": 1000 * waited[len(waited) // 2],
        "p99_wait_ms": 1000 * waited[len(waited) * 99 // 100],
        "verify_seconds": verify(messages),
    }


def verify(messages: Sequence[SignedCommit]) -> float:
    """Read the batch of all commits, and say how long that took."""
    leaves = [Leaf(m.participant, Digest(m.digest), Signature.of(m.signature)) for m in messages]
    batch = Batch.of(leaves)
    store = MemoryStore()
    store.put(batch.artefact())
    signers = Signers(DOMAIN, FEDERATION, RoundIndex(0), [MEMBER.address] * len(leaves))
    started = time.perf_counter()
    slots = [signers.slot(leaf) for leaf in read_batch(store, batch.posted).leaves()]
    seconds = time.perf_counter() - started
    if not all(slot is not None and slot.binds for slot in slots):
        raise SystemExit("relay: a leaf binds nobody")
    return seconds


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="relay", description="What a relay takes a second.")
    parser.add_argument("--commits", type=int, default=10_000, metavar="N")
    parser.add_argument("--clients", type=int, default=64, metavar="N", help="connections")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    found = measure(options.commits, options.clients)
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    print(
        "{commits:.0f} commits over {clients:.0f} connections in {seconds:.1f} s: "
        "{commits_per_second:.0f} a second, {commits_per_cpu_second:.0f} a second of a core\n"
        "receipt after {median_wait_ms:.0f} ms (median), {p99_wait_ms:.0f} ms (99 %)\n"
        "their batch read and verified in {verify_seconds:.2f} s".format_map(found)
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
