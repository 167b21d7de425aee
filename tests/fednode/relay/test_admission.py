"""What the history shows about a join is what the contract says, and what a relay sends fits the
gas that it is sent with.
"""

from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus

import pytest

from fednode.relay.chain import FUNDS_SECONDS, OnChain
from fednode.relay.errors import Refused
from fednode.relay.situation import Application
from ledger.chain.accounts import Account
from ledger.chain.client import Chain
from ledger.chain.errors import ContractRejected
from ledger.chain.federations import Federations, Membership, deploy
from ledger.cid import Codec
from ledger.history import HistoryReader
from ledger.replica import Origin, Replica
from ledger.signatures import Domain, Join
from ledger.stores import Artefact, MemoryStore
from ledger.types import ZERO_ADDRESS, ZERO_DIGEST, Address
from tests.accounts import new_account
from tests.ledger.chain.samples import digest, policy

LATER = 1 << 40


class World:
    """A federation for two on an embedded chain, by invitation or open, with one participant."""

    def __init__(self, *, open_: bool, **changes: object) -> None:
        self.creator, self.relay, self.first = new_account(), new_account(), new_account()
        accounts = (self.creator, self.relay, self.first)
        self.chain = Chain.embedded([a.address for a in accounts])
        self.contract = Federations(self.chain, deploy(self.chain, self.creator))
        header = policy(self.chain.chain_id, self.contract.address, pool=0 if open_ else 7)
        header = replace(header, relay=self.relay.address, batch_window=600, **changes)  # type: ignore[arg-type]
        self.federation, _ = self.contract.create(self.creator, header)
        store = MemoryStore()
        store.put(Artefact.of(Codec.RAW, header.encode()))
        place = self.contract.address, self.federation
        reader = HistoryReader(self.chain, *place, senders=False)
        replica = Replica(reader, store, origin=Origin(self.chain.chain_id, *place))
        self.side = OnChain(self.contract, replica, self.relay)
        self.open = open_
        self.side.situation()
        self.side.join(self.applying(self.first))
        self.side.situation()

    def applying(
        self,
        by: Account,
        *,
        signer: Address | None = None,
        payout: Address | None = None,
        rows: int = 5,
        expires: int = LATER,
        invited_by: Account | None = None,
        invited_rows: int | None = None,
    ) -> Application:
        """Sign a join that the contract takes but for what is changed."""
        join = Join(
            self.federation,
            by.address if signer is None else signer,
            by.address if payout is None else payout,
            digest(1),
            ZERO_DIGEST,
            digest(3),
            rows,
        )
        domain = Domain(self.chain.chain_id, self.contract.address)
        consent = domain.sign(by, join)
        application = Application(join, by.address, consent, b"", 0 if self.open else expires)
        if self.open and invited_by is None:
            return application
        invitation = application.invited
        if invited_rows is not None:
            invitation = replace(invitation, rows=invited_rows)
        signed = domain.sign(invited_by or self.creator, invitation)
        return replace(application, invitation=signed.full)


Case = tuple[bool, Callable[[World], Application], str, str]
CASES: dict[str, Case] = {
    "controller": (
        True,
        lambda w: w.applying(w.first, signer=w.relay.address),
        "controls a participant",
        "ControllerTaken",
    ),
    "signer": (
        True,
        lambda w: w.applying(w.relay, signer=w.first.address),
        "is or was a signer",
        "SignerTaken",
    ),
    "no signer": (True, lambda w: w.applying(w.relay, signer=ZERO_ADDRESS), "given", "ZeroAddress"),
    "no payout": (True, lambda w: w.applying(w.relay, payout=ZERO_ADDRESS), "given", "ZeroAddress"),
    "an invitation": (
        True,
        lambda w: w.applying(w.relay, invited_by=w.creator),
        "takes no invitation",
        "InvitationRefused",
    ),
    "invited by a stranger": (
        False,
        lambda w: w.applying(w.relay, invited_by=w.relay),
        "did not sign this invitation",
        "InvitationRefused",
    ),
    "invited with other rows": (
        False,
        lambda w: w.applying(w.relay, invited_rows=6),
        "did not sign this invitation",
        "InvitationRefused",
    ),
    "no invitation": (
        False,
        lambda w: replace(w.applying(w.relay), invitation=b""),
        "did not sign this invitation",
        "InvitationRefused",
    ),
    "too late": (
        False,
        lambda w: w.applying(w.relay, expires=w.chain.now() - 1),
        "has expired",
        "InvitationExpired",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_history_refuses_what_the_contract_refuses(case: Case) -> None:
    open_, make, reason, name = case
    world = World(open_=open_)
    application = make(world)
    assert reason in (world.side.refusal(application) or "")
    with pytest.raises(ContractRejected) as rejected:
        world.side.join(application)
    assert rejected.value.name == name


def test_a_federation_that_is_full() -> None:
    world = World(open_=True, max_participants=2, start_participants=2)
    second = world.applying(world.relay)
    assert world.side.refusal(second) is None
    world.side.join(second)
    world.side.situation()
    third = world.applying(new_account())
    assert "has its 2 participants" in (world.side.refusal(third) or "")
    with pytest.raises(ContractRejected, match="FederationFull"):
        world.side.join(third)


@pytest.mark.parametrize("open_", [True, False])
def test_what_is_invited_is_not_refused(open_: bool) -> None:
    world = World(open_=open_)
    application = world.applying(world.relay)
    assert world.side.refusal(application) is None
    assert not world.side.runs_code(application)
    receipt = world.side.join(application)
    transaction = world.chain.transaction(receipt.transaction)
    assert transaction is not None
    assert 2 * receipt.gas_used < world.side.gas.join


def test_a_relay_without_ether_says_so() -> None:
    """What it can pay for is looked at from time to time, whatever the rounds do."""
    world = World(open_=True)
    assert world.side.situation().able
    fee = 21_000 * 3 * 10**9
    rest = world.chain.balance(world.relay.address) - fee
    world.chain.send(world.relay, world.first.address, value=rest, gas=21_000)
    world.chain.wait_until(world.chain.now() + FUNDS_SECONDS)
    assert not world.side.situation().able
    world.chain.send(world.first, world.relay.address, value=10**18)
    world.chain.wait_until(world.chain.now() + FUNDS_SECONDS)
    assert world.side.situation().able


def test_joins_do_not_use_up_what_batches_and_votes_need() -> None:
    world = World(open_=True)
    application = world.applying(world.creator)
    gas = world.side.gas
    price = 2 * int.from_bytes(world.chain.newest().header["baseFeePerGas"], "big")
    rest = world.chain.balance(world.relay.address)
    kept = price * 2 * gas.join
    world.chain.send(world.relay, world.first.address, value=rest - kept, gas=21_000)
    assert world.chain.affords(world.relay.address, gas.join, value=world.side.stake)
    with pytest.raises(Refused, match="for batches and votes") as refused:
        world.side.join(application)
    assert refused.value.status == HTTPStatus.SERVICE_UNAVAILABLE
    world.chain.send(world.first, world.relay.address, value=price * gas.join * 2)
    world.side.join(application)


def test_one_simulation_is_enough_for_what_the_history_then_shows() -> None:
    """Accounts cost nothing: a hundred of them name a signer that has just been taken."""
    world = World(open_=True, max_participants=3, start_participants=3)
    mine, theirs = world.applying(world.relay), world.applying(world.creator)
    contract, direct = world.contract, theirs.join
    world.side.join(mine)
    assert "is or was a signer" in (world.side.refusal(snatching(world, mine)) or "")
    membership = Membership(
        direct.signer, direct.payout, direct.identity, direct.dataset_root, direct.rows
    )
    contract.join(world.creator, world.federation, membership, stake=world.side.stake)
    late = snatching(world, theirs)
    assert world.side.refusal(late) is None
    with pytest.raises(ContractRejected, match="FederationFull"):
        world.side.join(late)
    assert "has its 3 participants" in (world.side.refusal(late) or "")


def snatching(world: World, application: Application) -> Application:
    return world.applying(new_account(), signer=application.join.signer)
