"""The benchmark of attesting counts what a member fetches, and the node itself says the same."""

import pytest

from scripts.bench.attesting import Line, measure
from scripts.bench.engines import open_engine
from scripts.bench.relayed import SEATS


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    with open_engine("embedded", members=0) as engine:
        return list(measure(engine, ["mlp"], [3, SEATS + 1]))


def test_a_member_fetches_every_update_once(lines: list[Line]) -> None:
    few, many = lines
    for line in lines:
        fetched = line.seated.fetched
        assert fetched["batch"] < 200 + 160 * line.participants
        assert fetched["payloads"] == line.participants * line.payload
        assert fetched["headers"] == line.participants * 416
        assert set(fetched) >= {"batch", "identities", "indexes", "model", "records"}
        assert "other" not in fetched
        assert line.seated.written > line.participants * line.payload
    assert few.seated.bytes < many.seated.bytes


def test_the_node_says_the_same(lines: list[Line]) -> None:
    for line in lines:
        reported = line.seated.reported
        # Who the participants are is read beside the duties, at no vote's expense. The batch is
        # read before there is anything to attest: it tells what this account has committed to.
        beside = line.seated.fetched["identities"] + line.seated.fetched["batch"]
        assert reported.read >= line.seated.bytes - beside
        assert reported.written >= line.participants * line.payload
        assert reported.seconds > 0
        assert line.seated.seconds["signatures"] > 0
        assert line.seated.seconds["recompute"] > 0


def test_who_has_no_seat_watches(lines: list[Line]) -> None:
    few, many = lines
    assert few.watching is None
    assert few.nodes == few.committee == few.everybody
    watching = many.watching
    assert watching is not None
    assert watching.fetched["payloads"] == many.participants * many.payload
    assert watching.seconds["recompute"] > 0
    assert watching.written <= watching.fetched["identities"]
    assert many.committee[0] == SEATS * many.seated.bytes < many.everybody[0]
    assert many.nodes[0] == many.committee[0] + watching.bytes
