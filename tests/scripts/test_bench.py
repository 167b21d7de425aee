"""The benchmark's clock charges every moment once; a small run of everything is consistent."""

import json
from collections.abc import Iterator

import pytest

from ledger.cid import CID, Codec
from scripts.bench import clock as clocks
from scripts.bench.clock import Clock, instrument, timed
from scripts.bench.round import main


@pytest.fixture
def threads() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class Hands:
    """A clock's hands, turned by the test."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at

    def work(self, seconds: float) -> None:
        self.at += seconds


def test_innermost_span_is_charged() -> None:
    hands = Hands()
    clock = Clock(hands)
    hands.work(100)
    with clock.acting("propose"):
        hands.work(1)
        with clock.part("store") as spent:
            spent.bytes += 7
            hands.work(2)
            with clock.part("hash"):
                hands.work(4)
            hands.work(8)
        with clock.acting("verify"), clock.part("hash"):
            hands.work(16)
    hands.work(100)
    with clock.part("store") as spent:
        spent.bytes += 1000
        hands.work(100)
    taken = clock.take()
    assert taken.seconds() == 31
    assert taken.seconds("store") == 10
    assert taken.seconds("hash") == 20
    assert taken.seconds("hash", activity="propose") == 4
    assert taken.seconds(activity="propose") == 15
    assert taken.bytes() == 7
    assert clock.take().seconds() == 0


def test_all_methods_are_timed() -> None:
    hands = Hands()
    clock = Clock(hands)
    target = timed(hands, clock, "chain")
    with clock.acting("follow"):
        target.work(3)
        assert target.at == 3
    assert clock.take().seconds("chain", activity="follow") == 3


def test_instruments_are_taken_off_again() -> None:
    def functions() -> list[object]:
        owners = [(owner, name) for owner, name, _, _ in clocks.SEAMS] + list(clocks.VERIFYING)
        return [vars(owner)[name] for owner, name in owners]

    before = functions()
    clock = Clock()
    with instrument(clock), clock.acting("test"):
        assert all(old is not new for old, new in zip(before, functions(), strict=True))
        assert CID.of(Codec.RAW, b"abc").names(b"abc")
    assert functions() == before
    with clock.acting("test"):
        assert CID.of(Codec.RAW, b"abc").names(b"abc")
    assert clock.take().bytes("hash") == 6


@pytest.mark.usefixtures("threads")
def test_small_run(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--participants", "3", "--rounds", "2", "--rows", "40", "--epochs", "1"]
    assert main([*sizes, "--engine", "embedded", "--shapley", "2", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["summary"]["same_model"] is True
    assert report["audit"]["holds"] is True
    assert report["targets"]["commit_gas"]["met"] is True
    assert report["transactions"]["count"] == 2 * (3 + 1 + 3)
    entries = {line["entry"] for line in report["gas"]}
    assert {"createFederation", "join", "commitUpdate", "proposeResult", "vote"} <= entries
    assert {"advance", "claim", "refund", "checkpoint", "close", "withdrawStake"} <= entries
    parts = {(part["activity"], part["part"]): part for part in report["round"]}
    for part in ("train", "encode", "hash", "store", "chain"):
        assert parts["participant", part]["seconds"] > 0
    assert parts["proposer", "aggregate"]["seconds"] > 0
    assert parts["verify", "aggregate"]["seconds"] > 0
    assert parts["participant", "store"]["bytes"] > 0
    (line,) = report["shapley"]
    assert (line["players"], line["models"]) == (2, 4)


@pytest.mark.usefixtures("threads")
def test_a_folder_without_mnist_is_an_error(
    tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--mnist", str(tmp_path), "--engine", "embedded"]) == 1
    assert "train-images" in capsys.readouterr().err


def test_too_many_participants_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--participants", "300", "--engine", "embedded"]) == 1
    assert "committee_size" in capsys.readouterr().err
