"""Strangers who want to drain a relay, on anvil: accounts that let a contract burn all gas act for
them (EIP-7702), floods of joins, and joins that hold when simulated and fail when mined.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import pytest
import requests

from fednode.relay.client import RelayClient
from fednode.relay.gas import SPREAD, Gas
from fednode.relay.lanes import Limits, most_lost
from fednode.relay.messages import SignedJoin
from fednode.testnet import Anvil
from ledger.chain.accounts import Account
from ledger.chain.calls import call
from ledger.chain.client import Chain
from ledger.chain.federations import Federations, deploy
from ledger.chain.sending import DISTINCT
from ledger.chain.types import Receipt
from ledger.signatures import Commit, Vote
from ledger.state import FederationState, Phase
from ledger.stores import MemoryStore
from ledger.types import ZERO_DIGEST, ParticipantId
from tests.accounts import new_account
from tests.engines import ask, keys
from tests.fednode.relay.test_on_chain import World, joining, proposal, relaying, until
from tests.ledger.chain.samples import digest, policy

FOUNDERS, HONEST, HOSTILE = 3, 38, 6
BURNER = "0x5b600056"
"""Uses up all gas that it is given."""


def start(anvil: Anvil, *, pool: int = 0) -> World:
    """Found a federation on anvil, open unless it has a pool."""
    chain = Chain.connect(anvil.url)
    funds, creator, relay = keys()[6], new_account(), new_account()
    for account in (creator, relay):
        chain.send(funds, account.address, value=10**19)
    contract = Federations(chain, deploy(chain, funds))
    header = replace(
        policy(chain.chain_id, contract.address, members=FOUNDERS, pool=pool),
        relay=relay.address,
        batch_window=3_000,
        max_participants=FOUNDERS + HONEST + HOSTILE,
        stake=0,
    )
    federation, _ = contract.create(creator, header)
    members = [new_account() for _ in range(FOUNDERS + HONEST + HOSTILE)]
    world = World(chain, contract, federation, header, relay, members, MemoryStore())
    world.store.put(world.artefact())
    return world


@pytest.fixture
def world(anvil: Anvil) -> World:
    """Found an open federation: three are in its first round, others may join."""
    return start(anvil)


def delegate(world: World, account: Account) -> None:
    """Let a contract act for an account that burns all gas, as a set-code transaction does."""
    burner = new_account().address
    ask(world.chain.endpoint, "anvil_setCode", burner, BURNER)
    code = "0xef0100" + burner.removeprefix("0x").lower()
    ask(world.chain.endpoint, "anvil_setCode", account.address, code)
    assert world.chain.code(account.address).hex() == code[2:]


def sent(world: World, since: int) -> list[Receipt]:
    """Give the receipts of all that the relay has sent since a block."""
    blocks = (world.chain.block(n) for n in range(since, world.chain.block_number() + 1))
    receipts = (r for block in blocks if block for r in world.chain.receipts(block.hash))
    return [r for r in receipts if r.sender == world.relay.address]


def found(world: World, url: str) -> tuple[list[RelayClient], FederationState]:
    """Let the founders join, so that the first round opens."""
    clients = [world.client(url, number) for number in range(FOUNDERS)]
    for number, client in enumerate(clients):
        client.join(joining(world, number))
    return clients, until(world.replica(), lambda s: s.phase is Phase.COMMIT)


@contextmanager
def flooding(threads: int, act: Callable[[int], None]) -> Iterator[None]:
    """Let strangers act again and again."""
    over = threading.Event()

    def run(number: int) -> None:
        while not over.is_set():
            act(number)

    with ThreadPoolExecutor(threads) as pool:
        jobs = [pool.submit(run, number) for number in range(threads)]
        try:
            yield
        finally:
            over.set()
        for job in jobs:
            job.result()


def test_the_gas_of_each_purpose_is_as_the_chain_layer_sends_it() -> None:
    assert SPREAD == DISTINCT


def test_a_flood_of_hostile_joins_keeps_nobody_out(world: World, tmp_path: Path) -> None:
    chain, replica, gas = world.chain, world.replica(), Gas.of(world.policy)
    answers: Counter[int] = Counter()
    hostile = range(FOUNDERS + HONEST, FOUNDERS + HONEST + HOSTILE)
    for number in hostile:
        delegate(world, world.members[number])
    since, before = chain.block_number() + 1, chain.balance(world.relay.address)
    with relaying(world, tmp_path) as url:
        messages = [joining(world, number) for number in range(len(world.members))]
        clients, state = found(world, url)

        def attack(number: int) -> None:
            body = messages[hostile[number]].model_dump_json()
            answers[requests.post(f"{url}/joins", body, timeout=60).status_code] += 1

        def join(number: int) -> int:
            body = messages[number].model_dump_json()
            return requests.post(f"{url}/joins", body, timeout=60).status_code

        with flooding(HOSTILE, attack), ThreadPoolExecutor(HONEST) as pool:
            joins = pool.map(join, range(FOUNDERS, FOUNDERS + HONEST))
            deadline = state.round.opened + world.policy.batch_window
            for number, client in enumerate(clients):
                client.commit(Commit(world.federation, 0, number, digest(number)), deadline)
            assert list(joins) == [HTTPStatus.OK] * HONEST
            until(replica, lambda s: s.round.batched == FOUNDERS)

            ask(chain.endpoint, "evm_increaseTime", state.round.commit_deadline - chain.now())
            state = until(replica, lambda s: s.phase is Phase.PROPOSE)
            number, result = proposal(world, state)
            clients[number].propose(result)
            state = until(replica, lambda s: s.phase is Phase.ATTEST)
            standing = state.round.proposal
            vote = Vote(world.federation, 0, 0, standing.result, support=True)
            for number, client in enumerate(clients[:2]):
                client.vote(vote, ParticipantId(number), standing.attest_deadline)
            until(replica, lambda s: len(s.lineage) == 1)

    assert answers.total() > 3 * HOSTILE
    members = {p.controller for p in replica.refresh().participants}
    assert {m.address for m in world.members[: FOUNDERS + HONEST]} <= members
    receipts = sent(world, since)
    failed = [receipt for receipt in receipts if not receipt.status]
    assert sum(receipt.gas_used for receipt in failed) <= most_lost(gas, joins=True)
    most = max(gas.join, gas.proposal, gas.votes, gas.advance(1)) + SPREAD
    assert all(receipt.gas_used <= most for receipt in receipts)
    spent = sum(receipt.gas_used * receipt.effective_gas_price for receipt in receipts)
    assert before - chain.balance(world.relay.address) == spent + world.policy.proposer_bond


@contextmanager
def mining_by_hand(world: World) -> Iterator[None]:
    """Let anvil mine only when it is told to."""
    ask(world.chain.endpoint, "evm_setAutomine", False)
    try:
        yield
    finally:
        ask(world.chain.endpoint, "evm_setAutomine", True)


def asked(world: World, method: str, *parameters: object) -> object:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters})
    headers = {"Content-Type": "application/json"}
    answer = requests.post(world.chain.endpoint, body, headers=headers, timeout=20).json()
    assert "error" not in answer, answer
    return answer["result"]


def snatched(world: World, url: str, message: SignedJoin, thief: Account) -> int:
    """Join through the relay while another account takes the same signer, for a better price."""
    relay = world.relay.address
    count = asked(world, "eth_getTransactionCount", relay, "latest")
    with ThreadPoolExecutor(1) as pool:
        body = message.model_dump_json()
        job = pool.submit(requests.post, f"{url}/joins", body, timeout=60)
        while asked(world, "eth_getTransactionCount", relay, "pending") == count:
            if job.done():
                return job.result().status_code
            time.sleep(0.02)
        zero = ZERO_DIGEST
        own = (thief.address, message.signer, thief.address, zero, zero, zero, 1, 0)
        taking = {
            "from": thief.address,
            "to": world.contract.address,
            "data": "0x" + call("join", world.federation, own, b"", b"").hex(),
            "gas": hex(600_000),
            "maxFeePerGas": hex(500 * 10**9),
            "maxPriorityFeePerGas": hex(100 * 10**9),
        }
        asked(world, "eth_sendTransaction", taking)
        ask(world.chain.endpoint, "evm_mine")
        return job.result().status_code


def test_joins_that_fail_when_mined_have_a_limit(world: World, tmp_path: Path) -> None:
    """The history shows nothing, the simulation holds, and the transaction fails all the same."""
    most, thieves = Limits().all_losses, keys()
    since = world.chain.block_number() + 1
    with relaying(world, tmp_path) as url:
        found(world, url)
        with mining_by_hand(world):
            statuses = [
                snatched(world, url, joining(world, FOUNDERS + number), thieves[number])
                for number in range(most + 4)
            ]
    # On a busy machine a thief can come so early that the relay still refuses, and loses nothing.
    mined, over = HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.TOO_MANY_REQUESTS
    refused = statuses.index(over)
    assert most <= refused < len(statuses)
    assert statuses == [mined] * refused + [over] * (len(statuses) - refused)
    lost = [receipt for receipt in sent(world, since) if not receipt.status]
    assert len(lost) == most
    limit = Gas.of(world.policy).join + SPREAD
    assert sum(receipt.gas_used for receipt in lost) <= most * limit
    assert most * limit < most_lost(Gas.of(world.policy), joins=True)


AGREES = "0x631626ba7e60e01b5f5260205ff3"
"""Answers as ERC-1271 asks of a contract that signed."""


@pytest.mark.parametrize(("code", "invites"), [(BURNER, False), (AGREES, True)])
def test_a_creator_that_is_a_contract_is_asked_with_the_gas_of_a_join(
    anvil: Anvil, tmp_path: Path, code: str, invites: bool
) -> None:
    """Its signatures only itself can check; its code comes no further than that of others."""
    world = start(anvil, pool=7)
    creator = world.replica().refresh().created
    assert creator is not None
    ask(world.chain.endpoint, "anvil_setCode", creator.creator, code)
    since = world.chain.block_number() + 1
    papers = {"invitation": b"by a contract", "expires": 1 << 40}
    with relaying(world, tmp_path) as url:
        statuses = []
        for number in [0] * (Limits().refusals + 1):
            message = joining(world, number).model_copy(update=papers)
            body = message.model_dump_json()
            statuses.append(requests.post(f"{url}/joins", body, timeout=60).status_code)
    if invites:
        assert statuses[0] == HTTPStatus.OK
        return
    refused, over = HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.TOO_MANY_REQUESTS
    assert statuses == [refused] * Limits().refusals + [over]
    assert sent(world, since) == []
