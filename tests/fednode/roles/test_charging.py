"""Who withholds an update pays for it: once, by somebody's own doing, and only when the result
that says so has settled.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from fednode.cli import status
from fednode.federation import Federation
from fednode.roles import charger
from fednode.roles.charger import Charger
from fednode.roles.role import Progress, Role
from ledger.chain.accounts import Account, from_key
from ledger.chain.federations import Federations
from ledger.cid import CID, Codec
from ledger.history import Event, HistoryReader, UnavailableCharged
from ledger.members import Participant as Member
from ledger.sealing import Vault
from ledger.state import FederationState, Phase
from ledger.stores import BlockNotFound
from ledger.types import Address
from tests.engines import embedded
from tests.federations import (
    Cast,
    Stage,
    found,
    in_phase,
    opened,
    owed,
    peers,
    play,
    policy_of,
)
from tests.fednode.roles.conftest import Found
from tests.fednode.roles.test_sealed import KEY, OTHER, sealed

STAKE, FEE = 10**17, 10**15
PRICES = {"stake": str(STAKE), "unavailable_fee": str(FEE)}
BURNED = Address("0x000000000000000000000000000000000000dEaD")
WITHHOLDER = 3


def charges(cast: Cast) -> list[UnavailableCharged]:
    events: list[Event] = list(
        HistoryReader(cast.stage.chain, cast.contract.address, cast.federation).poll()
    )
    return [event for event in events if isinstance(event, UnavailableCharged)]


def senders(cast: Cast) -> list[Address]:
    """Give who sent the charges."""
    found = [cast.stage.chain.transaction(event.meta.transaction) for event in charges(cast)]
    return [transaction.sender for transaction in found if transaction is not None]


class Absent:
    """A participant that commits in a round and is gone until the next one."""

    def __init__(self, cast: Cast, role: Role, index: int) -> None:
        self._cast, self._role, self._index = cast, role, index

    def step(self) -> Progress:
        state = self._cast.state()
        there = state.phase in (Phase.FORMING, Phase.COMMIT) or state.round.index != self._index
        return self._role.step() if there else Progress.WAITING


def present(cast: Cast, *, absent_in: int) -> list[Role]:
    """Start everybody; one withholds its update of a round."""
    roles = cast.roles()
    return [
        Absent(cast, role, absent_in) if place == WITHHOLDER else role
        for place, role in enumerate(roles)
    ]


def withheld(start: Found, *, rounds: int = 2, **prices: str) -> tuple[Cast, list[Role]]:
    """Play to a round that was accepted without an update that its owner withheld."""
    cast = start(rounds=rounds, stake={**PRICES, **prices}, windows={"unbonding": 86_400})
    roles = present(cast, absent_in=0)
    play(cast, lambda: roles, until=opened(1))
    return cast, roles


def settled(state: FederationState) -> bool:
    return bool(state.lineage) and state.lineage[0].settled


def test_who_withholds_is_charged_once(start: Found) -> None:
    cast, roles = withheld(start)
    assert not charges(cast)
    state = play(cast, lambda: roles, watch=lambda s: _charged_only_if_settled(cast, s))
    (event,) = charges(cast)
    assert (event.participant, event.round, event.amount) == (WITHHOLDER, 0, FEE)
    assert [p.charged for p in state.participants] == [set(), set(), set(), {0}]
    assert [p.stake for p in state.participants] == [STAKE] * 3 + [STAKE - FEE]
    assert cast.stage.chain.balance(BURNED) == FEE
    assert cast.stage.chain.balance(cast.contract.address) == owed(cast)
    assert [role.step() for role in cast.roles()] == [Progress.DONE] * 8
    assert len(charges(cast)) == 1
    told = status._text(status._fields(cast.hospitals[0].view())).splitlines()
    assert [line.endswith("charged for withholding in round 0") for line in told[-4:]] == [
        place == WITHHOLDER for place in range(4)
    ]


def _charged_only_if_settled(cast: Cast, state: FederationState) -> None:
    assert settled(state) or not any(p.charged for p in state.participants)


def test_the_proposer_of_the_round_goes_first(start: Found) -> None:
    """Whoever comes before its turn waits, so nobody pays gas for what another does."""
    cast, _ = withheld(start)
    participants = [h.participant() for h in reversed(cast.hospitals)]
    play(cast, lambda: participants, until=lambda s: any(p.charged for p in s.participants))
    assert senders(cast) == [cast.hospitals[0].account.address]
    (event,) = charges(cast)
    receipt = cast.stage.chain.receipt(event.meta.transaction)
    assert receipt is not None
    assert charger.GAS // 2 < receipt.gas_used <= charger.GAS


def test_others_come_after_the_proposer(start: Found) -> None:
    cast, roles = withheld(start)
    state = play(cast, lambda: roles[1:3], until=settled)
    node = cast.hospitals[2]
    member = state.participants[2]
    later = Charger(node.view(), node.account)
    assert later.step(later._federation.state.participants[2]) is Progress.WAITING
    at = state.lineage[0].settled_at
    assert at is not None
    cast.stage.engine.hurry(at + state.policy.attest_window // 4)
    later._federation.refresh()
    assert later.step(member) is Progress.ACTED
    assert senders(cast) == [node.account.address]
    later._federation.refresh()
    assert later.step(member) is Progress.DONE


def test_the_last_results_charge_keeps_the_node(start: Found) -> None:
    """What settles with the federation is charged before the nodes go."""
    cast = start(rounds=1, stake=PRICES, windows={"unbonding": 86_400})
    roles = present(cast, absent_in=1)
    state = play(cast, lambda: roles)
    assert state.settled
    assert not charges(cast)
    roles = cast.roles()
    assert [roles[place].step() for place in (0, 2)] == [Progress.WAITING] * 2
    assert roles[WITHHOLDER].step() is Progress.DONE
    at = state.lineage[-1].settled_at
    assert at is not None
    cast.stage.engine.hurry(at + state.policy.attest_window // 4)
    assert roles[2].step() is Progress.ACTED
    assert [e.round for e in charges(cast)] == [1]
    assert [role.step() for role in roles] == [Progress.DONE] * 8
    assert cast.stage.chain.balance(cast.contract.address) == owed(cast)


class Killed(BaseException):
    """What a test ends a node with."""


@pytest.mark.parametrize("sent", [False, True])
def test_a_node_that_is_killed_charges_once(
    start: Found, monkeypatch: pytest.MonkeyPatch, sent: bool
) -> None:
    """Nothing is noted, so nothing is lost: what the contract has taken it does not take again."""
    cast, roles = withheld(start)
    play(cast, lambda: roles[1:3], until=settled)
    send = Federations.charge_unavailable

    def die(*arguments: object) -> None:
        if sent:
            send(*arguments)  # type: ignore[arg-type]
        raise Killed

    monkeypatch.setattr(Federations, "charge_unavailable", die)
    with pytest.raises(Killed):
        play(cast, lambda: [cast.hospitals[0].participant()])
    monkeypatch.undo()
    assert len(charges(cast)) == sent
    play(cast, lambda: [h.participant() for h in cast.hospitals], until=in_phase(Phase.PROPOSE, 1))
    assert len(charges(cast)) == 1


def test_what_another_charged_meanwhile_costs_no_gas(start: Found) -> None:
    """A node that has not read the newest block asks the contract first."""
    cast, roles = withheld(start)
    state = play(cast, lambda: roles[1:3], until=settled)
    first, second = (cast.hospitals[0].view() for _ in range(2))
    account = cast.hospitals[0].account
    assert Charger(first, account).step(state.participants[0]) is Progress.ACTED
    late = Charger(second, account)
    before = cast.stage.chain.block_number()
    assert late.step(second.state.participants[0]) is Progress.DONE
    assert cast.stage.chain.block_number() == before


def test_a_fee_below_its_gas_is_left(start: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would cost the honest more than it costs the withholder."""
    cast, _ = withheld(start)
    price = int.from_bytes(cast.stage.chain.newest().header["baseFeePerGas"], "big")
    monkeypatch.setattr(charger, "GAS", 1000 * FEE // price)
    participants: list[Role] = [hospital.participant() for hospital in cast.hospitals]
    play(cast, lambda: participants, until=settled)
    while Progress.ACTED in [role.step() for role in participants]:
        assert not charges(cast)
    monkeypatch.undo()
    assert Progress.ACTED in [role.step() for role in participants]
    assert len(charges(cast)) == 1


def test_a_node_without_ether_leaves_it_to_others(start: Found) -> None:
    cast, roles = withheld(start)
    state = play(cast, lambda: roles[1:3], until=settled)
    pauper = replace(cast.hospitals[0], account=from_key(b"\7" * 32))
    charging = Charger(pauper.view(), pauper.account)
    assert charging.step(state.participants[0]) is Progress.DONE
    assert not charges(cast)


def test_no_fee_no_charge(start: Found) -> None:
    cast, roles = withheld(start, unavailable_fee="0")
    state = play(cast, lambda: roles)
    assert state.settled
    assert not charges(cast)
    assert [p.stake for p in state.participants] == [STAKE] * 4


def test_members_of_a_sealed_federation_charge_with_their_keys(tmp_path: Path) -> None:
    """The contract is shown one node of the result in the clear; who cannot open it charges
    nobody.
    """
    policy = policy_of(
        "heart",
        training={"rounds": 1},
        evaluation={"mode": "none"},
        valuation={"kind": "none"},
        reward={"pool": "0"},
        stop={"patience": 0},
        stake=PRICES,
        windows={"unbonding": 86_400},
    ).model_copy(update={"release": "last"})
    stage = Stage(embedded(), peers(4), tmp_path)
    cast = found(stage, sealed(policy), vaults=[Vault((KEY,))])
    roles = present(cast, absent_in=1)
    state = play(cast, lambda: roles)
    keyless = replace(cast.hospitals[1], vault=Vault((OTHER,)))
    assert Charger(keyless.view(), keyless.account).step(state.participants[1]) is Progress.DONE
    assert not charges(cast)
    play(cast, cast.roles, until=lambda s: any(p.charged for p in s.participants))
    (event,) = charges(cast)
    assert (event.participant, event.round, event.amount) == (WITHHOLDER, 1, FEE)
    assert cast.stage.chain.balance(cast.contract.address) == owed(cast)


def test_one_result_in_a_step_is_waited_for_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that was started again has all settled results before it. If their nodes are kept
    back, its vote waits for one of them, not for each.
    """
    settled = [SimpleNamespace(result=bytes([n]) * 32, settled=True) for n in range(3)]
    state = SimpleNamespace(policy=SimpleNamespace(unavailable_fee=1), lineage=settled)
    federation = SimpleNamespace(state=state, waiting=nullcontext)
    charging = Charger(cast("Federation", federation), cast("Account", None))
    read: list[object] = []

    def missing(accepted: object) -> Iterator[object]:
        read.append(accepted)
        raise BlockNotFound(CID.of(Codec.RAW, b"nodes"), "nobody")

    monkeypatch.setattr(charging, "_unavailable", missing)
    steps = [charging.step(cast("Member", None)) for _ in range(4)]
    assert steps == [Progress.WAITING, Progress.WAITING, Progress.DONE, Progress.DONE]
    assert read == settled
