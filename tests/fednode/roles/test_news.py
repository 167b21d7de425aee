"""A node's log says where the federation stands, and that a round ended without a result."""

import logging

import pytest

from ledger.proceedings import Outcome
from tests.federations import opened, play
from tests.fednode.roles.conftest import Found


def test_start_void_rounds_and_advances_are_logged(
    start: Found, caplog: pytest.LogCaptureFixture
) -> None:
    """One of two participants is awake in the first round, so too few commit."""
    caplog.set_level(logging.INFO, "fednode")
    cast = start()
    alone = [cast.hospitals[0].participant()]
    play(cast, lambda: alone, until=opened(1))
    assert cast.state().rounds[0].outcome is Outcome.VOID
    play(cast, lambda: alone, until=opened(2))
    alone[0].step()
    lines = [record.getMessage() for record in caplog.records]

    def count(text: str) -> int:
        return sum(text in line for line in lines)

    assert count("participant 0: round 0, phase commit, deadline ") == 1
    for number in (0, 1):
        text = f"round {number} ended without a result: updates committed 1, at least 2"
        assert count(text) == 1
        assert count(f"advanced round {number}, phase commit (block") == 1

    caplog.clear()
    cast.hospitals[0].proposer().step()
    lines = [record.getMessage() for record in caplog.records]
    assert count("proposer: round 2, phase commit, deadline ") == 1
    assert count("ended without a result") == 0
