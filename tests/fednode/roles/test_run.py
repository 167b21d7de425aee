"""The loop around a role: it outlives what passes, and ends with what does not."""

import itertools
import logging
from collections.abc import Callable

import pytest

from fednode.errors import FedNodeError
from fednode.roles.role import OUTAGES, Progress, Role, attempt, run
from ledger.chain.errors import (
    ChainUnreachable,
    ContractRejected,
    MalformedAnswer,
    Reverted,
    RpcRefused,
    TransactionFailed,
    TransactionPending,
    TransactionTooLarge,
    Unfunded,
    UnknownContract,
)
from ledger.chain.types import Block, Receipt
from ledger.cid import CID, Codec
from ledger.history import ParticipantJoined, Reorganised
from ledger.proceedings import Outcome
from ledger.replica import UnknownFederation
from ledger.stores import BlockNotFound, StoreUnreachable
from ledger.stores.base import StoreError
from ledger.types import ZERO_ADDRESS, FederationId
from tests.federations import let_time_pass, play
from tests.fednode.roles.conftest import Found
from tests.fednode.roles.test_disputes import history

CID_ = CID.of(Codec.RAW, b"block")
PASSING = [
    ChainUnreachable("http://127.0.0.1:1", "connection refused"),
    TransactionPending(bytes(32), 3, 180.0),
    BlockNotFound(CID_, "store"),
    StoreUnreachable("store", "connection refused"),
    StoreError("the store did not pin a root"),
    RpcRefused("eth_call", -32000, "header not found"),
    MalformedAnswer("eth_call", "no answer"),
    Unfunded(ZERO_ADDRESS, 0, 1),
    Reorganised(7, bytes(32), None),
    UnknownFederation(FederationId(bytes(32))),
]


class Scripted:
    """A role whose steps come to what they are told to."""

    def __init__(self, *script: Progress | Exception) -> None:
        self.script = list(script)

    def step(self) -> Progress:
        entry = self.script.pop(0)
        if isinstance(entry, Exception):
            raise entry
        return entry


@pytest.mark.parametrize("error", PASSING, ids=lambda error: type(error).__name__)
def test_run_goes_on_after_an_outage(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    role = Scripted(Progress.ACTED, error, error, Progress.WAITING, Progress.DONE)
    run(role, poll=0.001)
    assert role.script == []
    assert "trying again" in caplog.text


@pytest.mark.parametrize("error", [UnknownContract(ZERO_ADDRESS, "nothing"), FedNodeError("wrong")])
def test_run_ends_with_what_only_a_person_can_mend(error: Exception) -> None:
    role = Scripted(Progress.ACTED, error, Progress.DONE)
    with pytest.raises(type(error)):
        run(role, poll=0.001)
    assert role.script == [Progress.DONE]


def test_run_ends_with_what_the_caller_waits_for(caplog: pytest.LogCaptureFixture) -> None:
    role = Scripted(PASSING[0], Unfunded(ZERO_ADDRESS, 0, 1), Progress.DONE)
    with pytest.raises(Unfunded):
        run(role, poll=0.001, passing=OUTAGES)
    assert "trying again" in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        ContractRejected("NothingToDo", {}),
        TransactionFailed(bytes(32), 21_000, "NothingToDo"),
        Reverted(b"\1\2\3\4", "an error of a library's"),
        TransactionTooLarge("bytes", 1 << 20, 1 << 17),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_transaction_that_is_not_taken_ends_nobody(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "fednode")

    def send() -> Receipt:
        raise error

    assert not attempt("voted for result 12", send)
    (line,) = caplog.messages
    assert line.startswith("not voted for result 12, as it ")


def test_nodes_outlive_a_chain_that_comes_and_goes(
    start: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every 13th look at the chain fails, wherever a node is: nothing is done twice or lost."""
    cast = start()
    chain = cast.stage.chain
    roles = cast.roles()
    newest = chain.newest
    looks = 0

    def unsteady() -> Block:
        nonlocal looks
        looks += 1
        if looks % 13 == 0:
            raise ChainUnreachable(chain.endpoint, "connection refused")
        return newest()

    class Everybody:
        def step(self) -> Progress:
            progress = {role.step() for role in roles}
            if progress == {Progress.DONE}:
                return Progress.DONE
            if Progress.ACTED not in progress:
                let_time_pass(cast.stage, cast.state())
            return Progress.ACTED

    monkeypatch.setattr(chain, "newest", unsteady)
    run(Everybody(), poll=0.001)
    monkeypatch.undo()
    assert looks > 100
    assert [len(round_.commits) for round_ in cast.state().rounds] == [4, 4, 4]


@pytest.mark.parametrize("lost", ["everything", "the last to join"])
def test_nodes_outlive_a_chain_that_catches_up_from_far_behind(
    start: Found, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """Its node was restored, and reads all blocks again: it knows neither round nor member yet."""
    cast = start(rounds=1)
    roles: list[Role] = [cast.hospitals[-1].participant(), cast.hospitals[-1].proposer()]
    for role in roles:
        role.step()
    chain = cast.stage.chain
    joined = [e for e in history(cast) if isinstance(e, ParticipantJoined)][-1].meta.block_number
    head = chain.block(0 if lost == "everything" else joined - 1)
    looks = itertools.count()

    class Everybody:
        """Those two; the others come when the chain is back."""

        def step(self) -> Progress:
            if next(looks) < 3:
                progress = {role.step() for role in roles}
                assert progress == {Progress.WAITING}
                return Progress.WAITING
            monkeypatch.undo()
            play(cast, lambda: [*cast.roles()[:3], *cast.roles()[4:7], *roles])
            return Progress.DONE

    monkeypatch.setattr(chain, "newest", lambda: head)
    monkeypatch.setattr(chain, "block", _until(head, chain.block))
    run(Everybody(), poll=0.001)
    assert next(looks) == 4
    assert [round_.outcome for round_ in cast.state().rounds] == [Outcome.ACCEPTED] * 2


def _until(head: Block | None, block: Callable[[int | bytes], Block | None]) -> object:
    """Give no block behind a head."""

    def found(which: int | bytes) -> Block | None:
        assert head is not None
        there = block(which)
        return there if there is not None and there.number <= head.number else None

    return found
