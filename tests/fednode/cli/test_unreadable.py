"""Money comes out of a federation whose records nobody can read, and its state can be told."""

import time
from dataclasses import dataclass, replace
from typing import cast

import pytest

from fednode.claims import PayoutsUnreadable, claim_all
from fednode.cli.open import open_contract
from fednode.holdings import Holdings, published_header
from fednode.policy import parse_policy
from ledger.artefacts import raw, record
from ledger.chain.client import Chain
from ledger.chain.federations import Federations, Membership
from ledger.chain.types import Transaction
from ledger.headers import PolicyHeader
from ledger.history import FederationCreated, HistoryReader
from ledger.stores import Artefact, DirectoryStore
from ledger.types import Digest, FederationId, Wei
from tests.fednode.cli.world import POLICY, World, key, require_one_line

ETHER = 10**18
STAKE = 5
IDLE = 3600


@pytest.fixture(scope="module")
def contract(world: World) -> Federations:
    return open_contract(world.anvil.url, None, world.desk.variables["FEDNODE_LEDGER"])


def garbage_header(contract: Federations) -> PolicyHeader:
    """Give a header that the contract takes, whose rest no node can read."""
    return parse_policy(POLICY.format(open="true")).header(
        contract.chain.chain_id,
        contract.address,
        initial_model_root=Digest(bytes(32)),
        rest=record({"policy": "garbage"})[0].digest,
    )


@pytest.fixture(scope="module")
def stranded(world: World, contract: Federations) -> str:
    """Create a federation of whose records nothing was published, and let two sites join it."""
    id_, _ = contract.create(key(0), garbage_header(contract))
    for number in (1, 2):
        address = key(number).address
        terms = Membership(address, address, Digest(bytes(32)), Digest(b"r" * 32), 10)
        contract.join(key(number), id_, terms, stake=Wei(STAKE))
    return id_.hex()


def test_everything_but_payouts_needs_the_chain_alone(world: World, stranded: str) -> None:
    desk = world.desk
    chosen = {"FEDNODE_FEDERATION": stranded, "FEDNODE_STORE": None}
    require_one_line(desk.run("close --account @5.json", **chosen), 1, "contract refuses")
    left = desk.ask("leave --account @2.json", **chosen)
    assert left["participant"] == 1
    world.anvil.rpc("evm_increaseTime", IDLE + 600)
    world.anvil.rpc("evm_mine")
    assert desk.run("close --account @5.json", **chosen).exit_code == 0

    def claims(number: int) -> dict[str, int]:
        claimed = desk.ask(f"claim --account @{number}.json", **chosen)["claimed"]
        assert isinstance(claimed, list)
        return {entry["kind"]: int(entry["amount"]) for entry in claimed}

    assert [claims(number) for number in (1, 2)] == [{"stake": STAKE}] * 2
    assert claims(0) == {"refund": ETHER}
    assert [claims(number) for number in (0, 1, 2)] == [{}] * 3


def test_status_tells_what_the_chain_tells(
    world: World, contract: Federations, stranded: str
) -> None:
    desk, chosen = world.desk, {"FEDNODE_FEDERATION": stranded}
    result = desk.run("status", **chosen)
    require_one_line(result, 1, "not found", "--store")
    assert f"federation: {stranded}" in result.stdout
    assert f"participant 0: {key(1).address}, 10 rows" in result.stdout
    told = desk.run("status --json", **chosen)
    assert '"unread": "names, policy and quality were not read: block' in told.stdout
    # A record that is there and says nothing is no better, and no worse.
    blocks = dict([record({"policy": "garbage"}), raw(garbage_header(contract).encode())])
    DirectoryStore(desk.folder / "store").put(Artefact(tuple(blocks), blocks))
    require_one_line(desk.run("status", **chosen), 1, "policy record", "not a map")


def test_status_of_an_own_model_needs_no_leave_to_run_it(
    world: World, contract: Federations
) -> None:
    text = POLICY.format(open="true").replace('model = "logistic"', 'model = "elsewhere:model"')
    rest = record({"policy": parse_policy(text).rest_record()})
    header = replace(garbage_header(contract), rest=rest[0].digest)
    blocks = dict([rest, raw(header.encode())])
    DirectoryStore(world.desk.folder / "store").put(Artefact(tuple(blocks), blocks))
    id_, _ = contract.create(key(0), header)
    result = world.desk.run("status", FEDNODE_FEDERATION=id_.hex())
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"federation: {id_.hex()}" in result.stdout
    assert "name: Two sites" in result.stdout


def test_payouts_need_the_store_and_say_so(world: World, contract: Federations) -> None:
    """All else is taken out before; the error names the list that is missing."""
    holdings = Holdings(contract, FederationId(bytes.fromhex(world.ended)))
    with pytest.raises(PayoutsUnreadable, match="give --ipfs or --store") as caught:
        claim_all(holdings, key(5))
    assert caught.value.claimed == ()
    assert "\n" not in str(caught.value)
    result = world.desk.run("claim --account @5.json", FEDNODE_STORE=None)
    require_one_line(result, 1, "payouts were not claimed", "--store")
    assert result.stderr.count("give --ipfs or --store") == 1


def test_a_header_is_found_in_what_the_creator_sent(contract: Federations, stranded: str) -> None:
    id_ = FederationId(bytes.fromhex(stranded))
    reader = HistoryReader(contract.chain, contract.address, id_, senders=False)
    created = reader.poll()[0]
    assert isinstance(created, FederationCreated)
    header = garbage_header(contract).encode()
    assert published_header(contract.chain, created) == header
    # A creator that is a contract was called with other bytes around the header.
    sent = contract.chain.transaction(created.meta.transaction)
    assert sent is not None
    wrapped = replace(sent, data=b"\x12" * 7 + sent.data)
    for data, found in ((wrapped.data, header), (sent.data[:-1][: len(header)], None)):
        node = cast(Chain, Stub(replace(sent, data=data)))
        assert published_header(node, created) == found
    assert published_header(cast(Chain, Stub(None)), created) is None
    # Nothing is hashed of what is larger than any transaction of ours.
    large = Stub(replace(sent, data=bytes(15_000_000) + sent.data))
    started = time.monotonic()
    assert published_header(cast(Chain, large), created) is None
    assert time.monotonic() - started < 1


@dataclass(frozen=True)
class Stub:
    """A node that knows one transaction, or none any more."""

    sent: Transaction | None

    def transaction(self, _: bytes) -> Transaction | None:
        return self.sent
