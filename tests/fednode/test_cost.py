"""What `fednode create` predicts is what receipts say: gas is deterministic, so a constant that the
contract has left behind fails here.
"""

from collections.abc import Callable

import pytest

from fednode.policy import cost as costs
from fednode.policy import predict
from fednode.policy.cost import gas_of_round
from ledger.chain.federations import Federations, deploy
from ledger.headers import Evaluation
from ledger.history import HistoryReader
from ledger.types import Digest, RoundIndex
from scripts.bench.crowd import Cost, Crowd
from scripts.bench.engines import open_engine
from scripts.bench.gas import MEMBERS, GasLine, measure_gas
from scripts.bench.relayed import SEATS, Relayed, relayed_policy
from tests.federations import play, policy_of
from tests.fednode.roles.conftest import Found, start

__all__ = ["start"]

SLACK = 1.06
"""A constant is rounded up from the dearest receipt, and not by more."""
RELAY = "0x" + "11" * 20

Gas = Callable[[str, str], int]


def holds(predicted: int, found: int) -> bool:
    """Whether a prediction is no less than what was found, and not much more."""
    return found <= predicted <= SLACK * found


@pytest.fixture(scope="module")
def lines() -> list[GasLine]:
    """Play a federation of ten, in transactions of their own."""
    with open_engine("embedded", members=MEMBERS) as engine:
        return measure_gas(engine)


@pytest.fixture(scope="module")
def gas(lines: list[GasLine]) -> Gas:
    """Give the gas of an entry point's case."""
    return lambda entry, case: next(
        line.gas for line in lines if (line.entry, line.case) == (entry, case)
    )


@pytest.fixture(scope="module")
def crowds() -> dict[int, Cost]:
    """Play rounds through a relay, with a committee that all fit in and with one that is drawn."""
    return {size: played(size) for size in (8, SEATS, 2 * SEATS)}


def played(size: int) -> Cost:
    with open_engine("embedded", members=0) as engine:
        return Crowd(engine, size).play(3)


def test_direct_transactions_cost_what_is_predicted(gas: Gas) -> None:
    commit, vote = gas("commitUpdate", "middle"), gas("vote", "middle")
    assert holds(costs.COMMIT_GAS, commit)
    assert holds(costs.CLOSE_GAS, gas("commitUpdate", "last, closes the phase") - commit)
    assert holds(costs.PROPOSE_GAS, gas("proposeResult", "in turn"))
    assert holds(costs.VOTE_GAS, vote)
    assert holds(costs.FIRST_GAS, gas("vote", "first") - vote)
    assert holds(costs.ACCEPT_GAS, gas("vote", "deciding, opens the next round") - vote)
    assert holds(costs.SETTLE_GAS, gas("advance", "settles the next result"))


def test_a_relays_transactions_cost_what_is_predicted(crowds: dict[int, Cost]) -> None:
    few, full, drawn = crowds.values()
    vote = (full.votes - few.votes) // (SEATS - 8)
    assert holds(costs.POSTED_VOTE_GAS, vote)
    assert holds(costs.POST_VOTES_GAS, full.votes - SEATS * vote)
    assert holds(costs.BATCH_GAS, drawn.batch)
    assert holds(costs.ADVANCE_GAS, full.advance)
    # Of a power of two each first draw names somebody; of any other number, every second one does.
    assert holds(costs.DRAWN_GAS, 2 * (drawn.votes - full.votes) // SEATS)


def test_a_relays_round_costs_what_is_predicted(crowds: dict[int, Cost]) -> None:
    for size, found in crowds.items():
        federation = {"start_participants": size, "max_participants": size, "relay": RELAY}
        policy = policy_of(
            "heart",
            federation=federation,
            valuation={"kind": "none"},
            reward={"pool": "0"},
            windows={"batch": 300},
        )
        assert found.round <= gas_of_round(policy) <= 1.1 * found.round


def test_opening_a_slice_costs_what_is_predicted() -> None:
    with open_engine("embedded", members=0) as engine:
        contract = Federations(engine.chain, deploy(engine.chain, engine.creator))
        header = relayed_policy(engine, contract.address, 8, evaluation=Evaluation.SLICES)
        federation, _ = contract.create(engine.creator, header)
        crowd = Relayed(engine, contract, federation, header)
        digest = Digest(b"\1" * 32)
        crowd.batch(0, root=digest, index=digest)
        crowd.close()
        opened = contract.open_slice(engine.creator, federation, RoundIndex(0), digest)
    assert holds(costs.SLICE_GAS, opened.gas_used)
    heart = policy_of("heart")
    sliced = policy_of("heart", evaluation={"mode": "slices"})
    assert gas_of_round(sliced) == gas_of_round(heart) + costs.SLICE_GAS


def test_a_round_of_nodes_costs_what_is_predicted(start: Found) -> None:
    """All transactions since the first commit, by round: the last settlements come in the end."""
    cast = start(rounds=3)
    roles = cast.roles()
    state = play(cast, lambda: roles)
    reader = HistoryReader(cast.stage.chain, cast.contract.address, cast.federation)
    begin = state.rounds[0].commits[0].meta.block_number
    sent = {e.meta.transaction for e in reader.poll() if e.meta.block_number >= begin}
    receipts = [cast.stage.chain.receipt(transaction) for transaction in sent]
    found = sum(receipt.gas_used for receipt in receipts if receipt) // len(state.rounds)
    predicted = predict(cast.policy, seconds_per_evaluation=0).gas_per_round
    assert holds(predicted, found)
