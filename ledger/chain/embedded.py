"""The embedded chain: py-evm in the process, through eth-tester's backend, with a clock of its own.

It goes to py-evm directly where eth-tester is slow or stamps the wrong time: eth-tester searches
all blocks for an old receipt and dates a block by the moment at which the one before was made. Time
here is chain time alone: one second a block, and `wait_until` jumps. A transaction that would
revert is undone before it is mined: it costs nothing, as a simulation before sending elsewhere.
"""

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eth_tester import PyEVMBackend
from eth_utils.address import to_canonical_address, to_checksum_address

from ledger.chain.accounts import Account
from ledger.chain.errors import Reverted, RpcRefused, TransactionTooLarge, Unfunded
from ledger.chain.reverts import revert_reason
from ledger.chain.types import (
    GENESIS_TIME,
    MAX_GAS,
    MAX_TRANSACTION_BYTES,
    Block,
    Call,
    Log,
    Receipt,
    Transaction,
)
from ledger.types import ZERO_ADDRESS, Address, Wei

GAS_LIMIT = 60_000_000
MOCK_GAS = 60_000_000
DEPLOYER = Address("0x4e59b44847b379578588920cA78FbF26c0B4956C")
DEPLOYER_CODE = bytes.fromhex(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe036016000816020823780358282"
    "34f58015156039578182fd5b8082525050506014600cf3"
)
"""The deterministic-deployment proxy as it is on public chains, so that addresses are the same."""
_MIX_HASH = bytes(32)

_HEADER_NAMES = {
    "parent_hash": "parentHash",
    "uncles_hash": "sha3Uncles",
    "coinbase": "miner",
    "state_root": "stateRoot",
    "transaction_root": "transactionsRoot",
    "receipt_root": "receiptsRoot",
    "bloom": "logsBloom",
    "difficulty": "difficulty",
    "block_number": "number",
    "gas_limit": "gasLimit",
    "gas_used": "gasUsed",
    "timestamp": "timestamp",
    "extra_data": "extraData",
    "mix_hash": "mixHash",
    "nonce": "nonce",
    "base_fee_per_gas": "baseFeePerGas",
    "withdrawals_root": "withdrawalsRoot",
    "blob_gas_used": "blobGasUsed",
    "excess_blob_gas": "excessBlobGas",
    "parent_beacon_block_root": "parentBeaconBlockRoot",
    "requests_hash": "requestsHash",
}


class EmbeddedEngine:
    """A chain in memory. Every transaction is a block; all calls take one lock."""

    endpoint = "the embedded chain"

    def __init__(
        self, balances: Mapping[Address, int], *, genesis_time: int = GENESIS_TIME
    ) -> None:
        state: dict[bytes, dict[str, object]] = {
            to_canonical_address(address): {"balance": wei, "nonce": 0, "code": b"", "storage": {}}
            for address, wei in balances.items()
        }
        state[to_canonical_address(DEPLOYER)] = {
            "balance": 0,
            "nonce": 1,
            "code": DEPLOYER_CODE,
            "storage": {},
        }
        parameters = PyEVMBackend.generate_genesis_params(
            {"gas_limit": GAS_LIMIT, "timestamp": genesis_time}
        )
        backend = PyEVMBackend(
            genesis_parameters=parameters,
            genesis_state=state,
        )
        self._evm: Any = backend.chain
        self._evm.set_header_timestamp(genesis_time + 1)
        self.chain_id = int(self._evm.chain_id)
        self._lock = threading.RLock()
        self._logs: list[Log] = []
        self._receipts: dict[bytes, Receipt] = {}
        self._transactions: dict[bytes, Transaction] = {}
        self._blocks: list[Block] = [self._block_of(self._evm.get_canonical_block_by_number(0))]
        self._by_hash: dict[bytes, int] = {self._blocks[0].hash: 0}

    def pending_timestamp(self) -> int:
        """Give the timestamp of the block to come."""
        with self._lock:
            return int(self._evm.header.timestamp)

    def wait_until(self, moment: int, *, timeout: float | None) -> None:
        """Move the pending block's time; no block is mined, the next transaction's is late."""
        with self._lock:
            if moment > self._evm.header.timestamp:
                self._evm.set_header_timestamp(moment)

    def rest(self, seconds: float) -> None:
        """Do not wait: nothing here comes by waiting."""

    def block_number(self) -> int:
        """Give the number of the newest block."""
        with self._lock:
            return len(self._blocks) - 1

    def newest(self) -> Block:
        """Give the newest block."""
        with self._lock:
            return self._blocks[-1]

    def look(self) -> tuple[Block, int]:
        """Give the newest block, and the timestamp of the block to come."""
        with self._lock:
            return self.newest(), self.pending_timestamp()

    def block(self, which: int | bytes) -> Block | None:
        """Give a block by number or hash."""
        with self._lock:
            number = self._by_hash.get(which, -1) if isinstance(which, bytes) else which
            return self._blocks[number] if 0 <= number < len(self._blocks) else None

    def blocks(self, hashes: Sequence[bytes]) -> list[Block | None]:
        """Give blocks by their hashes."""
        return [self.block(hash_) for hash_ in hashes]

    def transaction(self, transaction: bytes) -> Transaction | None:
        """Give a mined transaction."""
        with self._lock:
            return self._transactions.get(transaction)

    def transactions(self, hashes: Sequence[bytes]) -> list[Transaction | None]:
        """Give mined transactions."""
        return [self.transaction(hash_) for hash_ in hashes]

    def receipt(self, transaction: bytes) -> Receipt | None:
        """Give a mined transaction's receipt."""
        with self._lock:
            return self._receipts.get(transaction)

    def receipts(self, block: bytes) -> list[Receipt]:
        """Give all receipts of a block."""
        found = self.block(block)
        return [self._receipts[hash_] for hash_ in found.transactions] if found else []

    def logs(
        self,
        address: Address,
        topics: Sequence[bytes | None],
        from_block: int,
        to_block: int,
    ) -> list[Log]:
        """Give an address's logs in a range of blocks, from an index kept while mining."""
        with self._lock:
            first = bisect_left(self._logs, from_block, key=lambda log: log.block_number)
            last = bisect_right(self._logs, to_block, key=lambda log: log.block_number)
            return [
                log
                for log in self._logs[first:last]
                if log.address == address and _matches(log.topics, topics)
            ]

    def balance(self, address: Address) -> int:
        """Give an account's balance in wei."""
        with self._lock:
            return int(self._evm.get_vm().state.get_balance(to_canonical_address(address)))

    def affords(self, address: Address, gas: int, value: int) -> bool:
        """Say whether an account can pay a value and this much gas now."""
        with self._lock:
            fee = 2 * int(self._evm.header.base_fee_per_gas)
            return self.balance(address) >= value + gas * fee

    def first_block(self, address: Address) -> int:
        """Give the first block: all logs are at hand."""
        return 0

    def existed(self, address: Address, block: int) -> bool | None:
        """Give None: only the newest state is at hand."""
        return None

    def code(self, address: Address) -> bytes:
        """Give a contract's code."""
        with self._lock:
            return bytes(self._evm.get_vm().state.get_code(to_canonical_address(address)))

    def call(self, call: Call) -> bytes:
        """Execute a message on the pending state, or on a block's. Raise Reverted."""
        return bytes(self._execute(call).output)

    def estimate(self, call: Call) -> int:
        """Execute with plenty of gas; the margin covers what EIP-150 withholds from inner calls."""
        computation = self._execute(call)
        used = computation.get_gas_used() + 21_000
        used += sum(16 if byte else 4 for byte in call.data)
        return int(used) * 5 // 4

    def _execute(self, call: Call) -> Any:  # noqa: ANN401
        sender = to_canonical_address(call.sender or ZERO_ADDRESS)
        with self._lock:
            vm = self._evm.get_vm(self._header(call.block))
            target = to_canonical_address(call.to) if call.to else b""
            code = vm.state.get_code(target) if call.to else call.data
            if call.value > vm.state.get_balance(sender):
                raise Unfunded(
                    call.sender or ZERO_ADDRESS, vm.state.get_balance(sender), call.value
                )
            computation = vm.execute_bytecode(
                origin=sender,
                gas_price=0,
                gas=MOCK_GAS,
                to=target,
                sender=sender,
                value=call.value,
                data=call.data if call.to else b"",
                code=code,
            )
        if computation.is_error:
            raise _reverted(computation)
        return computation

    def _header(self, number: int | None) -> Any:  # noqa: ANN401
        """Give the header on whose state a message is executed; None is the pending block."""
        if number is None:
            return None
        if not 0 <= number < len(self._blocks):
            raise RpcRefused("eth_call", -32000, f"block {number} is not there")
        return self._evm.get_canonical_block_by_number(number).header

    def send(self, account: Account, call: Call, *, gas: int | None, timeout: float) -> Receipt:
        """Execute on the pending block; mine it, or undo it if the contract reverts."""
        gas = MAX_GAS if gas is None else gas
        if gas > MAX_GAS:
            raise TransactionTooLarge("gas", gas, MAX_GAS)
        with self._lock:
            sender = to_canonical_address(account.address)
            pending = self._evm.header
            fee = 2 * int(pending.base_fee_per_gas)
            state = self._evm.get_vm().state
            needed, balance = call.value + gas * fee, int(state.get_balance(sender))
            if balance < needed:
                raise Unfunded(account.address, balance, needed)
            fields: dict[str, object] = {
                "nonce": int(state.get_nonce(sender)),
                "gas": gas,
                "value": call.value,
                "data": call.data,
                "maxFeePerGas": fee,
                "maxPriorityFeePerGas": 0,
                "chainId": self.chain_id,
            }
            if call.to:
                fields["to"] = call.to
            raw = account.sign_transaction(fields)
            if len(raw) > MAX_TRANSACTION_BYTES:
                raise TransactionTooLarge("bytes", len(raw), MAX_TRANSACTION_BYTES)
            return self._apply(raw, account.address, call)

    def _apply(self, raw: bytes, sender: Address, call: Call) -> Receipt:
        from eth_utils.exceptions import ValidationError

        pending = self._evm.header
        transaction = self._evm.get_transaction_builder().decode(raw)
        try:
            _, receipt, computation = self._evm.apply_transaction(transaction)
        except ValidationError as error:
            self._evm.header = pending
            raise RpcRefused("eth_sendRawTransaction", -32000, str(error)) from error
        if computation.is_error:
            self._evm.header = pending
            if type(computation.error).__name__ == "OutOfGas":
                raise TransactionTooLarge("gas", transaction.gas + 1, transaction.gas)
            raise _reverted(computation)
        mined = self._evm.mine_block(mix_hash=_MIX_HASH, blob_gas_used=0)
        self._evm.set_header_timestamp(mined.header.timestamp + 1)
        return self._record(mined, transaction, receipt, computation, sender, call, raw)

    def _record(
        self,
        mined: Any,  # noqa: ANN401
        transaction: Any,  # noqa: ANN401
        receipt: Any,  # noqa: ANN401
        computation: Any,  # noqa: ANN401
        sender: Address,
        call: Call,
        raw: bytes,
    ) -> Receipt:
        block = self._block_of(mined)
        hash_ = bytes(transaction.hash)
        logs = tuple(_logs_of(receipt.logs, block, hash_))
        created = None if call.to else to_checksum_address(computation.msg.storage_address)
        result = Receipt(
            transaction=hash_,
            transaction_index=0,
            block_number=block.number,
            block_hash=block.hash,
            sender=sender,
            status=1,
            gas_used=int(receipt.gas_used),
            cumulative_gas_used=int(receipt.gas_used),
            effective_gas_price=Wei(int(mined.header.base_fee_per_gas)),
            type=2,
            logs=logs,
            contract=Address(created) if created else None,
        )
        self._blocks.append(block)
        self._by_hash[block.hash] = block.number
        self._receipts[hash_] = result
        self._transactions[hash_] = Transaction(
            hash=hash_,
            sender=sender,
            to=call.to,
            nonce=int(transaction.nonce),
            value=Wei(call.value),
            data=call.data,
            raw=raw,
        )
        self._logs.extend(logs)
        return result

    @staticmethod
    def _block_of(block: Any) -> Block:  # noqa: ANN401
        header = block.header
        names = [name for name, _ in header._meta.fields]
        items = header.serialize(header)
        return Block(
            number=int(header.block_number),
            hash=bytes(header.hash),
            parent=bytes(header.parent_hash),
            timestamp=int(header.timestamp),
            header={
                _HEADER_NAMES[name]: bytes(item) for name, item in zip(names, items, strict=True)
            },
            transactions=tuple(bytes(transaction.hash) for transaction in block.transactions),
        )


def _matches(topics: tuple[bytes, ...], wanted: Sequence[bytes | None]) -> bool:
    return len(topics) >= len(wanted) and all(
        want is None or topic == want for topic, want in zip(topics, wanted, strict=False)
    )


def _logs_of(logs: Iterable[Any], block: Block, transaction: bytes) -> Iterable[Log]:
    for index, log in enumerate(logs):
        yield Log(
            address=Address(to_checksum_address(log.address)),
            topics=tuple(int(topic).to_bytes(32, "big") for topic in log.topics),
            data=bytes(log.data),
            block_number=block.number,
            block_hash=block.hash,
            transaction=transaction,
            log_index=index,
        )


def _reverted(computation: Any) -> Reverted:  # noqa: ANN401
    data = bytes(computation.output)
    error = computation.error
    kind = type(error).__name__
    return Reverted(data, revert_reason(data) if kind == "Revert" else f"{kind} {error}")
