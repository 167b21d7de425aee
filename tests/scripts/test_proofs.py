"""The benchmark of proofs opens them through the ledger, and slashes who voted for the result."""

import pytest

from ledger.contracts import artifact
from scripts.bench.engines import open_engine
from scripts.bench.proofs import LARGEST_GAS, PLAYERS, Challenge, Court, Line, step, targets, value


@pytest.fixture(scope="module")
def court() -> Court:
    with open_engine("embedded", members=2) as engine:
        made = engine.chain.send(engine.creator, None, artifact("Verifier").bytecode).contract
        assert made is not None
        return Court(engine, made)


def test_slashing_costs_by_the_seat(court: Court) -> None:
    few, more = (court.line("step of the mean", step, size) for size in (3, 6))
    for line in (few, more):
        assert line.ledger.floor <= line.ledger.slashing
        assert line.ledger.bytes < 10_000
        assert line.met
    seats = more.seats - few.seats
    assert more.ledger.slashing - few.ledger.slashing > 5_000 * seats
    assert more.ledger.opened < more.ledger.slashing


def test_a_shapley_value_of_twelve_fits_one_transaction(court: Court) -> None:
    from ledger.headers import Evaluation, Valuation

    policy = {"valuation": Valuation.EXACT, "evaluation": Evaluation.PUBLIC}
    line = court.line("exact Shapley value", value, PLAYERS, **policy)
    assert line.seats == PLAYERS
    assert line.verifier < line.ledger.opened < line.ledger.slashing < LARGEST_GAS
    assert line.met


def line(proof: str, slashing: int, *, size: int = 1000, seats: int = 16) -> Line:
    return Line(proof, 64, seats, 0, Challenge(size, 0, 100, 0, slashing))


def test_what_is_too_dear_is_said() -> None:
    good = [line("sums of nodes", 1_200_000), line("sums of nodes", 9_000_000, seats=128)]
    assert all(each.met for each in good)
    assert "MISSED" not in "".join(targets(good))
    for bad in (line("sums of nodes", 1_200_001), line("sums of updates", 1, size=32_001)):
        assert not bad.met
        first, second, both = targets([*good, bad])
        assert first.endswith("MISSED)")
        assert second.endswith("met)")
        assert f"{max(bad.ledger.slashing, 1_200_000) + 100:,}" in both
