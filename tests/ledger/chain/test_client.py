"""Chain access: sending under concurrency, money, limits, time, and what went wrong by name."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fednode.testnet import ANVIL_KEYS, Anvil, EngineMissing, Geth
from ledger.chain.accounts import Account, from_key
from ledger.chain.client import Chain
from ledger.chain.errors import (
    ChainTimeout,
    ChainUnreachable,
    Reverted,
    RpcRefused,
    TransactionTooLarge,
    Unfunded,
    WrongChain,
)
from ledger.chain.questions import TransportFailure
from ledger.chain.transport import transports
from ledger.chain.types import MAX_GAS, MAX_TRANSACTION_BYTES
from ledger.types import Address
from tests.accounts import new_account
from tests.engines import Engine, embedded, missing

ROOT = Path(__file__).resolve().parents[3]
ANSWER = bytes.fromhex("600a600c600039600a6000f3602a60005260206000f3")
"""Creates a contract that answers 42."""
DISLIKES_PRICES = bytes.fromhex("6a3a600557005b60006000fd600052600b6015f3")
"""Creates a contract that reverts if gas has a price."""
NEEDS_GAS = bytes.fromhex("6e620186a05a11600d575b6009565b00600052600f6011f3")
"""Creates a contract that uses up all gas unless it is left more than 100,000 of it."""


def pay(chain: Chain, account: Account, to: Address, times: int) -> None:
    for _ in range(times):
        chain.send(account, to, value=1)


def test_send_and_read(engine: Engine) -> None:
    chain, account = engine.chain, engine.accounts[0]
    target = new_account().address
    receipt = chain.send(account, target, value=5)
    assert chain.balance(target) == 5
    assert (receipt.status, receipt.gas_used, receipt.sender) == (1, 21_000, account.address)
    assert chain.receipt(receipt.transaction) == receipt
    assert chain.receipts(receipt.block_hash) == [receipt]
    transaction = chain.transaction(receipt.transaction)
    assert transaction is not None
    assert (transaction.sender, transaction.to) == (account.address, target)
    assert transaction.raw is not None
    block = chain.block(receipt.block_number)
    assert block is not None
    assert block == chain.block(block.hash)
    assert block.transactions == (receipt.transaction,)
    assert chain.now() >= block.timestamp
    assert chain.block(bytes(31) + b"\1") is None
    assert chain.receipt(bytes(32)) is None
    assert chain.transaction(bytes(32)) is None


def test_create_and_call(engine: Engine) -> None:
    chain, account = engine.chain, engine.accounts[0]
    contract = chain.send(account, None, ANSWER).contract
    assert contract is not None
    assert len(chain.code(contract)) == 10
    assert int.from_bytes(chain.call(contract, b""), "big") == 42
    assert 21_000 < chain.estimate(account.address, contract, b"\1\2") < 40_000


def test_revert_costs_nothing(engine: Engine) -> None:
    chain, account = engine.chain, engine.accounts[6]
    before = chain.balance(account.address), chain.block_number()
    with pytest.raises(Reverted):
        chain.send(account, None, b"\xfd\xfd")
    with pytest.raises(Reverted):
        chain.send(account, None, b"\x60\x00\x60\x00\xfd", gas=100_000)
    assert (chain.balance(account.address), chain.block_number()) == before


def test_what_is_simulated_is_what_is_sent(engine: Engine) -> None:
    """With a fixed amount of gas: a contract sees the gas and the price of the transaction."""
    chain, account = engine.chain, engine.accounts[5]
    moody = chain.send(account, None, DISLIKES_PRICES).contract
    assert moody is not None
    assert chain.call(moody, b"") == b""
    before = chain.balance(account.address), chain.block_number()
    with pytest.raises(Reverted):
        chain.send(account, moody, gas=50_000)
    assert (chain.balance(account.address), chain.block_number()) == before

    greedy = chain.send(account, None, NEEDS_GAS).contract
    assert greedy is not None
    before = chain.balance(account.address), chain.block_number()
    with pytest.raises(TransactionTooLarge) as refused:
        chain.send(account, greedy, gas=100_000)
    assert refused.value.what == "gas"
    assert 100_000 <= refused.value.limit < 120_000
    assert (chain.balance(account.address), chain.block_number()) == before
    receipt = chain.send(account, greedy, gas=150_000)
    assert receipt.gas_used < 150_000


def test_threads_share_an_account(engine: Engine) -> None:
    """Four threads, one key: no transaction is lost, refused or sent twice."""
    chain, account, target = engine.chain, engine.accounts[7], new_account().address
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(pay, chain, account, target, 6) for _ in range(4)]
        for job in jobs:
            job.result()
    assert chain.balance(target) == 24


WORKER = """
import sys
from ledger.chain.accounts import from_key
from ledger.chain.client import Chain
chain = Chain.connect(sys.argv[1])
account = from_key(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[4])):
    chain.send(account, sys.argv[3], value=1)
"""


@pytest.mark.parametrize("name", ["anvil", "geth"])
def test_processes_share_an_account(name: str, request: pytest.FixtureRequest) -> None:
    """Three processes, one key, no lock between them: every payment arrives, once."""
    node: Anvil | Geth = request.getfixturevalue(name)
    chain, target = Chain.connect(node.url), new_account().address
    before = chain.balance(from_key(ANVIL_KEYS[8]).address)
    assert before > 0
    command = [sys.executable, "-c", WORKER, node.url, ANVIL_KEYS[8], target, "8"]
    pipe = subprocess.PIPE
    workers = [
        subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe) for _ in range(3)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(b"\n")
        worker.stdin.flush()
    for worker in workers:
        _, errors = worker.communicate(timeout=120)
        assert worker.returncode == 0, errors.decode()
    assert chain.balance(target) == 24


def test_unfunded_account_is_named(engine: Engine) -> None:
    pauper = new_account()
    with pytest.raises(Unfunded) as refused:
        engine.chain.send(pauper, engine.accounts[0].address, value=10)
    assert refused.value.address == pauper.address
    assert refused.value.balance == 0
    assert refused.value.needed >= 10


def test_what_an_account_affords(engine: Engine) -> None:
    chain, pauper = engine.chain, new_account().address
    assert chain.affords(engine.accounts[0].address, MAX_GAS)
    assert not chain.affords(pauper, 21_000)
    chain.send(engine.accounts[0], pauper, value=21_000)
    assert not chain.affords(pauper, 1_000_000)


def test_limits_are_checked_by_us(engine: Engine) -> None:
    chain, account = engine.chain, engine.accounts[0]
    target = new_account().address
    with pytest.raises(TransactionTooLarge) as refused:
        chain.send(account, target, bytes(MAX_TRANSACTION_BYTES))
    assert (refused.value.what, refused.value.limit) == ("bytes", MAX_TRANSACTION_BYTES)
    with pytest.raises(TransactionTooLarge) as refused:
        chain.send(account, target, gas=MAX_GAS + 1)
    assert (refused.value.what, refused.value.amount) == ("gas", MAX_GAS + 1)


def test_endless_loop_is_too_large(engine: Engine) -> None:
    with pytest.raises((TransactionTooLarge, Reverted)):
        engine.chain.send(engine.accounts[0], None, bytes.fromhex("5b600056"), gas=200_000)


def test_real_time_passes(anvil: Anvil) -> None:
    chain = Chain.connect(anvil.url)
    start, wall = chain.now(), time.monotonic()
    chain.wait_until(start + 1)
    assert chain.now() >= start + 1
    assert time.monotonic() - wall < 10
    with pytest.raises(ChainTimeout):
        chain.wait_until(start + 1000, timeout=0.2)


def test_wrong_chain_and_nothing_there(anvil: Anvil) -> None:
    assert Chain.connect(anvil.url, expected_chain_id=31337).chain_id == 31337
    with pytest.raises(WrongChain, match="expected chain 5"):
        Chain.connect(anvil.url, 5)
    with pytest.raises(ChainUnreachable, match="unknown scheme"):
        Chain.connect("ftp://127.0.0.1")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nobody_is_sent_elsewhere(status: int) -> None:
    """What a node answers must not choose what is posted to whom."""
    asked: list[str] = []

    class Redirecting(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Location", "/api/v0/shutdown")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            asked.append(self.path)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Redirecting) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        transport, batch = transports(f"http://127.0.0.1:{server.server_port}/rpc")
        with pytest.raises(TransportFailure, match="it redirects"):
            transport("eth_chainId", [])
        with pytest.raises(TransportFailure, match="it redirects"):
            batch([("eth_chainId", []), ("eth_blockNumber", [])])
        server.shutdown()
    assert asked == ["/rpc"] * 2


def test_zero_gas_price_needs_no_ether(tmp_path: Path) -> None:
    node = Anvil(tmp_path, options=["--gas-price", "0", "--block-base-fee-per-gas", "0"])
    try:
        node.start()
    except EngineMissing as error:
        missing(error)
    with node:
        chain, pauper = Chain.connect(node.url), new_account()
        contract = chain.send(pauper, None, ANSWER).contract
        assert contract is not None
        assert chain.send(pauper, contract, b"\1").effective_gas_price == 0
        assert chain.balance(pauper.address) == 0


def test_state_survives_a_kill(tmp_path: Path) -> None:
    state = tmp_path / "state" / "anvil.json"
    target = new_account().address
    node = Anvil(tmp_path, state=state)
    try:
        node.start()
    except EngineMissing as error:
        missing(error)
    Chain.connect(node.url).send(from_key(ANVIL_KEYS[0]), target, value=9)
    time.sleep(2.5)
    node.kill()
    assert not node.running()
    with Anvil(tmp_path, state=state, port=node.port).start() as again:
        chain = Chain.connect(again.url)
        assert chain.balance(target) == 9
        assert chain.block_number() == 1


def test_embedded_is_fast() -> None:
    """150 blocks are written in seconds and read in a moment."""
    engine = embedded()
    target = new_account().address
    pay(engine.chain, engine.accounts[0], target, 150)
    start = time.process_time()
    assert engine.chain.logs(target, [], 0, 150) == []
    assert all(engine.chain.block(number) for number in range(151))
    assert time.process_time() - start < 0.5


def test_embedded_refuses_what_a_node_would() -> None:
    engine = embedded()
    with pytest.raises(RpcRefused):
        engine.chain.send(engine.accounts[0], engine.accounts[1].address, b"\1" * 5000, gas=21_000)
