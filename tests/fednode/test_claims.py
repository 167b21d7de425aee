"""Pools in ether and in a token: what goes in comes out, to the last unit, and nothing twice."""

import importlib.util
import shutil
from pathlib import Path

import pytest
from eth_abi.abi import encode

from fednode import claims
from fednode.auditing import run_audit
from fednode.claims import Claims, PayoutTree, claim_all
from fednode.testnet import EngineMissing
from ledger.audit.sources import evidence_from_chain
from ledger.chain.accounts import Account
from ledger.chain.calls import call_data
from ledger.chain.client import Chain
from ledger.chain.errors import TokenUnusable
from ledger.chain.federations import PAYEE_GAS, Federations, deploy
from ledger.stores import MemoryStore
from ledger.types import Address, Wei
from tests.engines import Engine, embedded, missing
from tests.federations import Stage, found, play, policy_of

ROOT = Path(__file__).parents[2]
POOL = 10**21 + 1


@pytest.fixture(scope="module")
def bytecode() -> bytes:
    """Compile the contracts' test token."""
    if shutil.which("node") is None or not (ROOT / "contracts" / "node_modules" / "solc").is_dir():
        missing(EngineMissing("solc", "run `npm ci` in contracts/ (needs Node)"))
    path = ROOT / "scripts" / "compile_contracts.py"
    spec = importlib.util.spec_from_file_location("compile_contracts", path)
    assert spec is not None
    assert spec.loader is not None
    compiler = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(compiler)
    made = compiler.compile_contracts(
        {"TestToken": "test/Tokens.sol"}, compiler.find_compiler("npm")
    )
    return bytes.fromhex(made["TestToken"]["bytecode"][2:])


def token_of(chain: Chain, owner: Account, code: bytes, *, fee: int = 0) -> Address:
    """Deploy a token; its first owner has the pool."""
    token = chain.send(owner, None, code + encode(["uint256"], [fee])).contract
    assert token is not None
    chain.send(owner, token, call_data("mint(address,uint256)", owner.address, POOL))
    return token


def balance(chain: Chain, token: Address, account: Account | Address) -> int:
    address = account if isinstance(account, str) else account.address
    return int.from_bytes(chain.call(token, call_data("balanceOf(address)", address)), "big")


@pytest.fixture(scope="module")
def engine() -> Engine:
    return embedded()


def test_a_pool_in_a_token_is_paid_out_to_the_last_unit(
    engine: Engine, bytecode: bytes, tmp_path: Path
) -> None:
    chain, accounts = engine.chain, engine.accounts
    token = token_of(chain, accounts[0], bytecode)
    contract = Federations(chain, deploy(chain, accounts[0]))
    assert contract.approve(accounts[0], token, Wei(POOL)) is not None
    assert contract.approve(accounts[0], token, Wei(POOL)) is None
    policy = policy_of(
        reward={"pool": str(POOL), "token": token, "target": 3_000_000},
        training={"rounds": 1, "seed": 4},
        fees={"proposer": "50", "attester": "3", "relay": "0"},
    )
    cast = found(Stage(engine, [MemoryStore()], tmp_path), policy)
    assert balance(chain, token, contract.address) == POOL
    with pytest.raises(TokenUnusable, match="has 0 units"):
        contract.approve(accounts[0], token, Wei(1))
    roles = cast.roles()
    play(cast, lambda: roles)
    view = cast.hospitals[0].view()
    claimed = {a.address: claim_all(view, a) for a in accounts[:5]}
    paid = sum(c.amount for each in claimed.values() for c in each if c.kind == "payout")
    assert 0 < paid < POOL
    fees = sum(c.amount for each in claimed.values() for c in each if c.kind == "fees")
    votes = sum(len(accepted.proposal.votes) for accepted in view.state.lineage)
    assert fees == view.state.fees == 2 * 50 + 3 * votes
    refunds = [c.amount for c in claimed[accounts[0].address] if c.kind == "refund"]
    assert refunds == [POOL - paid - fees]
    assert balance(chain, token, contract.address) == 0
    for account in accounts[1:5]:
        due = sum(c.amount for c in claimed[account.address] if c.kind in ("payout", "fees"))
        assert balance(chain, token, account) == due
        assert claim_all(cast.hospitals[0].view(), account) == []
    verdict = run_audit(evidence_from_chain(contract, cast.federation, view.store))
    assert verdict.holds, verdict.finding


HOSTILE = {
    "refuses": "60006000fd",
    "burns all gas": "5b600056",
    "returns 64 kB": "61ffff6000fd",
    "refuses at any price but zero": "3a600557005b60006000fd",
    "uses more than its share": "62030d405a10600a57005b60006000fd",
}
"""Runtime code of payees, by what it does when it is sent ether."""


def payee(engine: Engine, runtime: str) -> Address:
    """Deploy an account of this code."""
    size = len(runtime) // 2
    init = bytes.fromhex(f"60{size:02x}600c60003960{size:02x}6000f3") + bytes.fromhex(runtime)
    made = engine.chain.send(engine.accounts[8], None, init).contract
    assert made is not None
    return made


@pytest.mark.parametrize("way", list(HOSTILE)[:4])
def test_a_hostile_payee_costs_a_fixed_amount_of_gas_and_stops_no_other(
    tmp_path: Path, way: str
) -> None:
    engine = embedded()
    hostile = payee(engine, HOSTILE[way])
    cast = found(
        Stage(engine, [MemoryStore()], tmp_path),
        policy_of(training={"rounds": 1, "seed": 4}, reward={"target": 3_000_000}),
        payouts={1: hostile},
    )
    roles = cast.roles()
    play(cast, lambda: roles)
    view, stranger = cast.hospitals[0].view(), engine.accounts[7]
    tree = PayoutTree.read(view)
    due = {p.payout: tree.due(p) for p in view.state.participants}
    assert due.pop(hostile) > 0
    taken = Claims(view, stranger, everybody=True).take()
    paid = [c for c in taken.claimed if c.kind == "payout"]
    assert sum(c.amount for c in paid) == sum(due.values()) > 0
    assert {f.payee for f in taken.failed} == {hostile}
    most = claims.CALL_GAS + 4 * (claims.PAYOUT_GAS + PAYEE_GAS)
    assert all(c.receipt.gas_used <= most for c in paid)
    again = Claims(view, stranger, everybody=True).take()
    assert not [c for c in again.claimed if c.kind == "payout"]
    assert {f.payee for f in again.failed} == {hostile}


def test_more_gas_reaches_a_payee_that_uses_more_than_its_share(tmp_path: Path) -> None:
    engine = embedded()
    dear = payee(engine, HOSTILE["uses more than its share"])
    cast = found(
        Stage(engine, [MemoryStore()], tmp_path),
        policy_of(training={"rounds": 1, "seed": 4}, reward={"target": 3_000_000}),
        payouts=dict.fromkeys(range(4), dear),
    )
    roles = cast.roles()
    play(cast, lambda: roles)
    view, stranger = cast.hospitals[0].view(), engine.accounts[7]
    few = Claims(view, stranger, everybody=True).take()
    assert not [c for c in few.claimed if c.kind == "payout"]
    assert {f.payee for f in few.failed} == {dear}
    due = sum(map(PayoutTree.read(view).due, view.state.participants))
    many = Claims(cast.hospitals[0].view(), stranger, everybody=True, gas=1_000_000).take()
    assert sum(c.amount for c in many.claimed if c.kind == "payout") == due > 0
    assert engine.chain.balance(dear) == due


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("0x" + "12" * 20, "there is no contract"),
        (None, "does not answer as an ERC-20"),
    ],
)
def test_what_is_no_token_is_refused(engine: Engine, address: str | None, reason: str) -> None:
    contract = Federations(engine.chain, deploy(engine.chain, engine.accounts[0]))
    token = Address(address or contract.address)
    with pytest.raises(TokenUnusable, match=reason):
        contract.approve(engine.accounts[0], token, Wei(1))
