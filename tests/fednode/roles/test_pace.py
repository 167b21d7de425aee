"""A node that waits asks its chain's node seldom, and misses nothing that it has to do."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import pytest

from fednode.roles.pace import LONGEST, Pace, slowest
from fednode.roles.role import Progress, Role, run
from ledger.chain.client import Chain
from ledger.chain.types import Block, Call
from ledger.proceedings import Outcome
from ledger.state import Phase
from tests.federations import Cast, in_phase, play
from tests.fednode.roles.conftest import Found

IDLE = 240.0
"""Seconds, of a commit phase of 600."""


class Counting:
    """A chain's engine that counts the requests which it would send."""

    def __init__(self, engine: object) -> None:
        self._engine = engine
        self._newest = b""
        self.asked: Counter[str] = Counter()

    def look(self) -> tuple[Block, int]:
        newest, now = self._engine.look()  # type: ignore[attr-defined]
        self.asked["look"] += 1 if newest.hash == self._newest else 2
        self._newest = newest.hash
        return newest, now

    def __getattr__(self, name: str) -> object:
        found = getattr(self._engine, name)
        if not callable(found):
            return found

        def asked(*given: object, **named: object) -> object:
            self.asked[name] += given != ([],)
            return found(*given, **named)

        return asked


class Over(Exception):
    """The time of a test is over."""


@contextmanager
def counted(chain: Chain) -> Iterator[Counter[str]]:
    engine = chain._engine
    counting = Counting(engine)
    chain._engine = counting  # type: ignore[assignment]
    try:
        yield counting.asked
    finally:
        chain._engine = engine


def sleeping(cast: Cast, seconds: float, block: float) -> Callable[[float], None]:
    """Let chain time pass while a node sleeps, with blocks of others at an interval."""
    chain, others = cast.stage.chain, cast.stage.accounts[9]
    engine, start, slept = chain._engine, chain.now(), [0.0]
    nothing = Call(others.address, b"", 0, others.address)

    def sleep(rest: float) -> None:
        before, slept[0] = slept[0], slept[0] + rest
        if slept[0] > seconds:
            raise Over
        moment = start + int(slept[0])
        if moment > engine.pending_timestamp():
            engine.wait_until(moment, timeout=None)
        if block and slept[0] // block > before // block:
            engine.send(others, nothing, gas=None, timeout=1)

    return sleep


@pytest.mark.parametrize("block", [0.0, 12.0], ids=["no blocks", "blocks of others"])
def test_an_idle_participant_asks_less_than_once_in_two_seconds(start: Found, block: float) -> None:
    cast = start()
    hospital = cast.hospitals[0]
    role = hospital.participant()
    while role.step() is not Progress.WAITING:
        pass
    sleep = sleeping(cast, IDLE, block)
    with counted(cast.stage.chain) as asked, pytest.raises(Over):
        run(role, pace=Pace(role._federation, 0.3), sleep=sleep)
    assert 0 < sum(asked.values()) < IDLE / 2, asked


class Timed:
    """Processes that look at the chain when their pace lets them; time passes between the looks."""

    def __init__(self, cast: Cast, roles: list[Role]) -> None:
        self._cast = cast
        self._order = count()
        begin = float(cast.stage.chain.now())
        paces = [Pace(role._federation, 0.3) for role in roles]  # type: ignore[attr-defined]
        self._next = [(begin, next(self._order), *pair) for pair in zip(roles, paces, strict=True)]
        self.rests: list[float] = []

    def play(self, *, looks: int = 4_000) -> None:
        for _ in range(looks):
            at, _, role, pace = heapq.heappop(self._next)
            chain = self._cast.stage.chain
            if int(at) > chain.now():
                chain.wait_until(int(at))
            with pace.looking():
                progress = role.step()
                rest = pace.rest() if progress is Progress.WAITING else 0.0
            if progress is Progress.DONE:
                return
            self.rests.append(rest)
            heapq.heappush(self._next, (at + rest, next(self._order), role, pace))
        raise AssertionError(f"no end after {looks} looks")


def test_nodes_that_rest_miss_nothing(start: Found) -> None:
    """One process proposes, so that most turns pass without a proposal."""
    cast = start(rounds=1)
    roles = [*cast.roles(propose=False), cast.hospitals[0].proposer()]
    timed = Timed(cast, roles)
    begin = cast.stage.chain.now()
    timed.play()
    state = cast.state()
    assert [round_.outcome for round_ in state.rounds] == [Outcome.ACCEPTED] * 2
    assert [len(round_.commits) for round_ in state.rounds] == [4] * 2
    votes = [len(accepted.proposal.votes) for accepted in state.lineage]
    assert min(votes) >= 3, votes
    longest = slowest(state.policy)
    shortest = min(state.policy.reveal_window, state.policy.propose_window)
    assert max(timed.rests) <= longest <= min(LONGEST, shortest / 6)
    idle_turn = state.policy.reveal_window + state.policy.propose_window
    phases = 2 * 3 * longest
    assert cast.stage.chain.now() - begin < idle_turn + phases + 2 * state.policy.challenge_window


def test_a_rest_ends_where_something_falls_due(start: Found) -> None:
    cast = start()
    role = cast.hospitals[0].participant()
    play(cast, lambda: [role], until=in_phase(Phase.COMMIT))
    federation = role._federation
    pace = Pace(federation, 0.3, draw=lambda _, most: most)
    state = federation.refresh()
    cast.stage.chain.wait_until(state.round.commit_deadline - 2)
    rests = [pace.rest() for _ in range(12)]
    assert rests[0] == 0.3
    assert rests == sorted(rests)
    assert rests[-1] == 2
    cast.stage.chain.wait_until(state.round.commit_deadline)
    assert pace.rest() == 0.3
