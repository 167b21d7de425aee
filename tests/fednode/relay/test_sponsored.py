"""Hospitals without ether, by their own commands and nodes: the relay lets them join and propose,
pays out what is theirs, and is repaid from the pool.
"""

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import BaseModel

from fednode.claims import PayoutTree, claim_all
from fednode.relay.carrier import MARGIN
from fednode.relay.client import RelayClient
from fednode.relay.desk import Desk
from fednode.relay.errors import RelayDown
from fednode.relay.messages import SignedJoin, SignedProposal
from fednode.relay.sponsored import Sponsored
from fednode.roles.proposer import Proposer
from fednode.roles.role import Role
from ledger.chain.accounts import Account, create_keystore
from ledger.chain.client import Chain
from ledger.proceedings import Outcome
from ledger.stores import DirectoryStore
from ledger.types import Wei
from tests import federations
from tests.accounts import new_account
from tests.engines import Engine, keys
from tests.federations import Cast, Hospital, Stage, found, play, policy_of
from tests.fednode.cli.stage import desk
from tests.fednode.cli.world import PASSWORD, require_one_line
from tests.fednode.relay.test_federation import WINDOWS, Counter, Office, office, participant

REFUSING = 0
FEES = {"proposer": "7", "attester": "0", "relay": "10"}
PRICES = {"stake": "5", "proposer_bond": "11", "challenge_bond": "1"}


class Silent(Counter):
    """A relay that does what it is asked, and whose answers are lost."""

    def _post(self, path: str, message: BaseModel, within: float) -> bytes:
        super()._post(path, message, within)
        raise RelayDown("desk", "timeout")


@pytest.fixture
def cast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cast:
    """Only creator, stranger and relay have ether; nobody has joined."""
    funded = keys()
    poor = [new_account() for _ in range(4)]
    chain = Chain.embedded([a.address for a in funded])
    engine = Engine("py-evm", chain, [funded[0], *poor, *funded[5:]])
    monkeypatch.setattr(federations, "join", lambda *_: None)
    policy = policy_of(
        "heart",
        federation={"open": True, "relay": funded[-1].address},
        training={"rounds": 1, "seed": 4},
        reward={"pool": str(10**18), "target": 3_000_000},
        windows=WINDOWS,
        stake=PRICES,
        fees=FEES,
    )
    return found(Stage(engine, [DirectoryStore(tmp_path / "store")], tmp_path), policy)


def asking(found: Office, patch: pytest.MonkeyPatch, kind: type[Counter] = Counter) -> None:
    """Let commands find the relay."""

    def opened(_: str, __: object, account: Account, ___: object) -> RelayClient:
        return kind(found, account)

    patch.setattr("fednode.relay.sponsored.open_client", opened)


def joining(hospital: Hospital) -> str:
    """Give the command that a hospital joins with."""
    folder, site = hospital.folder, hospital.site.name
    create_keystore(folder / "key.json", PASSWORD, account=hospital.account, light=True)
    return f"join --site {site} --name {site} --journal {folder} --account {folder}/key.json"


class Timed(Counter):
    """A relay whose time for each proposal is noted."""

    def _post(self, path: str, message: BaseModel, within: float) -> bytes:
        if isinstance(message, SignedProposal):
            state = self._office.cast.state()
            left = state.round.propose_deadline - self._office.cast.stage.chain.now()
            kept = min(MARGIN, state.policy.propose_window // 8)
            assert within == left - kept
        return super()._post(path, message, within)


def proposer(found: Office, hospital: Hospital, kind: type[Counter] = Counter) -> Proposer:
    view = hospital.view()
    return Proposer(view, hospital.account, Sponsored(view, kind(found, hospital.account)))


def test_hospitals_without_ether_are_paid(
    cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = cast.stage.chain
    table = desk(cast, monkeypatch)
    with office(cast, tmp_path / "relay", Desk) as relay:
        asking(relay, monkeypatch)
        seats = [table.ask(f"{joining(h)} --relay http://desk") for h in cast.hospitals]
        assert [seat["participant"] for seat in seats] == [0, 1, 2, 3]
        roles: list[Role] = [participant(relay, h) for h in cast.hospitals]
        roles += [proposer(relay, h, Timed) for h in cast.hospitals]
        state = play(cast, lambda: [*roles, relay])
    proposals = [round_.proposal for round_ in state.rounds]
    assert [round_.outcome for round_ in state.rounds] == [Outcome.ACCEPTED] * len(state.lineage)
    assert {p.proposer for p in proposals} == {relay.account.address}
    assert len({p.signer for p in proposals}) == len(proposals)
    assert all(chain.balance(h.account.address) == 0 for h in cast.hospitals)

    create_keystore(tmp_path / "relay.json", PASSWORD, account=relay.account, light=True)
    answer = table.ask("claim --everybody --account @relay.json")
    assert isinstance(answer["claimed"], list)
    claimed = {c["kind"]: int(c["amount"]) for c in answer["claimed"]}
    paid = [chain.balance(h.account.address) for h in cast.hospitals]
    assert claimed["payout"] == sum(paid) > 0
    assert claimed["fees"] == len(proposals) * (7 + 10)
    assert claimed["bond"] == len(proposals) * 11
    cast.stage.engine.hurry(chain.now() + WINDOWS["unbonding"])
    rich = cast.hospitals[paid.index(max(paid))]
    assert [c.kind for c in claim_all(rich.view(), rich.account)] == ["stake"]


def test_a_join_whose_answer_was_lost(
    cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = desk(cast, monkeypatch)
    with office(cast, tmp_path / "relay", Desk) as relay:
        asking(relay, monkeypatch, Silent)
        line = f"{joining(cast.hospitals[2])} --relay http://desk"
        assert table.ask(line)["participant"] == 0


def test_a_join_that_the_relay_does_not_pay_for(
    cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = desk(cast, monkeypatch)
    with office(cast, tmp_path / "relay", Desk) as relay:
        asking(relay, monkeypatch)
        relay.sponsor._allowance = replace(relay.sponsor._allowance, stake=Wei(4))
        result = table.run(f"{joining(cast.hospitals[0])} --relay http://desk")
        require_one_line(result, 1, "the stake is 5 wei, this sponsor pays 4")
    assert not cast.state().participants


def test_a_join_through_a_relay_that_sends_none(
    cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = desk(cast, monkeypatch)
    with office(cast, tmp_path / "relay", Desk) as relay:
        asking(relay, monkeypatch)
        relay.sponsor._allowance = replace(relay.sponsor._allowance, joins=False)
        result = table.run(f"{joining(cast.hospitals[0])} --relay http://desk")
        require_one_line(result, 1, "this relay sends no joins")
    assert not cast.state().participants


class Liar(RelayClient):
    """A relay that says that it did what it was asked."""

    def _post(self, path: str, message: BaseModel, within: float) -> bytes:
        assert isinstance(message, SignedJoin)
        return b'{"transaction": "00"}'


def test_a_relay_is_not_believed(
    cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = desk(cast, monkeypatch)
    with office(cast, tmp_path / "relay", Desk) as relay:
        monkeypatch.setattr(
            "fednode.relay.sponsored.open_client",
            lambda _, __, account, ___: Liar(
                "http://desk", relay.domain, relay.account.address, account
            ),
        )
        result = table.run(f"{joining(cast.hospitals[0])} --relay http://desk")
        require_one_line(result, 1, "the chain does not have it")


def test_who_names_a_payee_that_refuses_holds_up_nobody_else(
    cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger itself takes no ether. That a relay's answers are lost holds up nobody either."""
    table = desk(cast, monkeypatch)
    with office(cast, tmp_path / "relay", Desk) as relay:
        asking(relay, monkeypatch)
        for place, hospital in enumerate(cast.hospitals):
            line = f"{joining(hospital)} --relay http://desk"
            table.ask(line + (f" --payout {cast.contract.address}" if place == REFUSING else ""))
        roles: list[Role] = [participant(relay, h) for h in cast.hospitals]
        roles += [proposer(relay, h, Silent) for h in cast.hospitals]
        play(cast, lambda: [*roles, relay])
    view = cast.hospitals[0].view()
    tree = PayoutTree.read(view)
    due = [tree.due(p) for p in view.state.participants]
    assert due[REFUSING]
    assert sum(amount > 0 for amount in due) > 1
    claimed = claim_all(view, cast.stage.accounts[5], everybody=True)
    assert sorted(c.amount for c in claimed if c.kind == "payout") == sorted(
        amount for place, amount in enumerate(due) if amount and place != REFUSING
    )
    assert not claim_all(view, cast.stage.accounts[5], everybody=True)
