"""What a node behind JSON-RPC tells of its chain: blocks, receipts, logs, states, prices.

Reads are of the pending block, or of the newest one where a node has no pending block.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from ledger.chain import answers
from ledger.chain.answers import COUNT, PRICE, WORD, Json, fields_of, hexed
from ledger.chain.errors import (
    ChainBusy,
    ChainTimeout,
    MalformedAnswer,
    ReceiptMissing,
    Reverted,
    RpcRefused,
    TransactionTooLarge,
    Unfunded,
    WrongChain,
)
from ledger.chain.questions import Batch, Questions, Transport, one_question
from ledger.chain.reverts import revert_reason
from ledger.chain.types import MAX_GAS, Block, Call, Log, Receipt, Transaction
from ledger.types import Address

log = logging.getLogger("fednode")

SPAN = 10_000
"""Blocks whose logs are asked for at once, at first."""
MOST_PAGES = 10_000_000
"""More take days."""
_TOO_MANY = (
    "{} more requests would lead to block {}, at {} blocks each; give --from-block, or an --rpc "
    "that takes more blocks at once"
)
RETRIED = 16
"""Pages of one size after which the node may take larger ones again."""

_COUNT = "eth_getTransactionCount"

REVERTED = (3, -32015)
"""Codes of an executed message that failed: geth's, and OpenEthereum's, which Nethermind kept."""

TOO_CHEAP = ("less than block base fee", "underpriced", "fee cap", "fee too low")

OUT_OF_GAS = ("exceeds allowance", "out of gas", "outofgas")

FAILED_EXECUTION = ("revert", "opcode", "evm error", "execution error", "stack", "invalid jump")
"""Words that name an error where the node's state does not tell. They decide nothing else."""


class TooCheap(Exception):
    """What a transaction offers for its gas is not enough for the node to take it. `floor` is a
    price that the node names itself.
    """

    def __init__(self, reason: str, floor: int = 0) -> None:
        self.floor = floor
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Quote:
    """What an account's next transaction has to know; no base fee = fees of the old kind. `limit`
    is the gas that a block holds.
    """

    base: int | None
    tip: int
    balance: int
    count: int
    limit: int


@dataclass(slots=True)
class _Pages:
    """How many blocks' logs a node is asked for at once: twice as many after each success, and half
    of what it refuses. What was refused is not tried again for a while.
    """

    size: int = SPAN
    limit: float = math.inf
    same: int = 0
    retried: int = 0
    firm: bool = False
    """Whether the limit was refused again after many pages: then it is none of their contents."""

    def refused(self, size: int) -> None:
        self.firm = size // 2 == self.retried
        self.size, self.limit, self.same = size // 2, size, 0

    def taken(self, size: int) -> None:
        if size < self.size:  # the last page says nothing of larger ones
            return
        self.same += 1
        if self.same > RETRIED:
            self.limit, self.retried = math.inf, self.size
        if 2 * self.size < self.limit:
            self.size, self.same, self.firm = 2 * self.size, 0, False


class Reader:
    """One node's answers. Safe for several threads."""

    def __init__(
        self,
        transport: Transport,
        endpoint: str,
        *,
        batch: Batch | None = None,
        expected_chain_id: int | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.endpoint = endpoint
        self.ask = Questions(transport, endpoint, batch=batch, pause=pause)
        self.pause = pause
        self._pages = _Pages()
        self._first: dict[Address, int] = {}
        self._said = False
        self._newest: Block | None = None
        self.chain_id = self.integer("eth_chainId", [])
        if expected_chain_id is not None and self.chain_id != expected_chain_id:
            raise WrongChain(endpoint, expected_chain_id, self.chain_id)

    def pending_timestamp(self) -> int:
        """Give the pending block's timestamp, or the newest one's where a node has no pending."""
        header = self.header("pending") or self.header("latest")
        if header is None:
            raise MalformedAnswer("eth_getBlockByNumber", "the chain has no newest block")
        return answers.moment(header)

    def wait_until(self, moment: int, *, timeout: float | None) -> None:
        """Poll until chain time is `moment`. Raise ChainTimeout."""
        waited = 0.0
        while (now := self.pending_timestamp()) < moment:
            if timeout is not None and waited >= timeout:
                raise ChainTimeout(moment, now)
            step = min(1.0, max(0.1, (moment - now) / 2))
            self.pause(step)
            waited += step

    def rest(self, seconds: float) -> None:
        """Wait before the node is asked again for what it did not have."""
        self.pause(seconds)

    def block_number(self) -> int:
        """Give the number of the newest block."""
        return self.integer("eth_blockNumber", [])

    def newest(self) -> Block:
        """Give the newest block."""
        method = "eth_getBlockByNumber"
        return answers.block(fields_of(self.ask.request(method, ["latest", False]), method))

    def look(self) -> tuple[Block, int]:
        """Give the newest block, and the timestamp that the next one would have. While the pending
        block builds on the block that was the newest before, that one is not asked for again.
        """
        pending = self.header("pending")
        if pending is None:
            newest = self.newest()
            return newest, newest.timestamp
        parent = answers.data(pending.get("parentHash"), "parentHash", size=answers.HASH)
        if self._newest is None or parent != self._newest.hash:
            self._newest = self.newest()
        return self._newest, answers.moment(pending)

    def block(self, which: int | bytes) -> Block | None:
        """Give a block by number or hash."""
        by_hash = isinstance(which, bytes)
        method = "eth_getBlockByHash" if by_hash else "eth_getBlockByNumber"
        name = hexed(which) if isinstance(which, bytes) else hex(which)
        found = self.ask.request(method, [name, False])
        return None if found is None else answers.block(fields_of(found, method))

    def blocks(self, hashes: Sequence[bytes]) -> list[Block | None]:
        """Give blocks by their hashes, in few requests."""
        method = "eth_getBlockByHash"
        found = self.ask.requests(method, [[hexed(hash_), False] for hash_ in hashes])
        return [None if item is None else answers.block(fields_of(item, method)) for item in found]

    def transaction(self, transaction: bytes) -> Transaction | None:
        """Give a mined transaction."""
        found = self.ask.request("eth_getTransactionByHash", [hexed(transaction)])
        return answers.transaction(found, transaction)

    def transactions(self, hashes: Sequence[bytes]) -> list[Transaction | None]:
        """Give mined transactions, in few requests."""
        found = self.ask.requests("eth_getTransactionByHash", [[hexed(hash_)] for hash_ in hashes])
        return [answers.transaction(item, hash_) for item, hash_ in zip(found, hashes, strict=True)]

    def knows(self, transaction: bytes) -> bool:
        """Say whether the node has a transaction, in a block or in its pool."""
        return self.ask.request("eth_getTransactionByHash", [hexed(transaction)]) is not None

    def receipt(self, transaction: bytes) -> Receipt | None:
        """Give a mined transaction's receipt."""
        method = "eth_getTransactionReceipt"
        try:
            found = self.ask.request(method, [hexed(transaction)])
        except RpcRefused as error:
            if "indexing" in error.reason:
                return None
            raise
        if found is None:
            return None
        fields = fields_of(found, method)
        return answers.receipt(fields) if fields.get("blockHash") is not None else None

    def receipts(self, block: bytes) -> list[Receipt]:
        """Give all receipts of a block, one by one where the node cannot give them together."""
        method = "eth_getBlockReceipts"
        try:
            found = self.ask.request(method, [hexed(block)])
        except ChainBusy:
            raise
        except RpcRefused:
            found = None
        if isinstance(found, list):
            return [answers.receipt(fields_of(item, method)) for item in found]
        holder = self.block(block)
        receipts = []
        for hash_ in holder.transactions if holder else ():
            receipt = self.receipt(hash_)
            if holder is not None and receipt is None:
                raise ReceiptMissing(self.endpoint, hash_, holder.number)
            receipts.append(receipt)
        return [receipt for receipt in receipts if receipt is not None]

    def logs(
        self,
        address: Address,
        topics: Sequence[bytes | None],
        from_block: int,
        to_block: int,
    ) -> list[Log]:
        """Give an address's logs in a range of blocks.

        Nodes limit ranges in many words and codes, so whatever is refused for several blocks is
        asked for fewer. Raise RpcRefused if a single block is refused.
        """
        found: list[Log] = []
        self._pages.firm = False
        while from_block <= to_block:
            with one_question():
                logs, from_block = self._page(address, topics, from_block, to_block)
            found += logs
        return found

    def _page(
        self, address: Address, topics: Sequence[bytes | None], from_block: int, to_block: int
    ) -> tuple[list[Log], int]:
        """Give the logs of as many blocks as the node takes, and the block after them."""
        while True:
            size = min(to_block - from_block + 1, self._pages.size)
            try:
                logs = self._logs(address, topics, from_block, from_block + size - 1)
            except ChainBusy:
                raise
            except RpcRefused:
                if size == 1:
                    raise
                self._pages.refused(size)
                continue
            self._pages.taken(size)
            left = (to_block - from_block) // size
            if self._pages.firm and left > MOST_PAGES:
                raise RpcRefused("eth_getLogs", 0, _TOO_MANY.format(left, to_block, size))
            return logs, from_block + size

    def _logs(
        self, address: Address, topics: Sequence[bytes | None], from_block: int, to_block: int
    ) -> list[Log]:
        method = "eth_getLogs"
        query = {
            "address": address,
            "topics": [None if topic is None else hexed(topic) for topic in topics],
            "fromBlock": hex(from_block),
            "toBlock": hex(to_block),
        }
        ask = self.ask.narrowable if from_block < to_block else self.ask.request
        found = ask(method, [query])
        if not isinstance(found, list):
            raise MalformedAnswer(method, "not a list")
        entries = [fields_of(item, method) for item in found]
        return [answers.log(entry) for entry in entries if entry.get("removed") is not True]

    def first_block(self, address: Address) -> int:
        """Give the block that a contract was created in, for logs to be read from.

        If the node has no states of old blocks, it is 0 or the block that was found before.
        """
        known = self._first.get(address)
        if known is None or not self._begins(address, known):
            self._first[address] = self._found_first(address)
        return self._first[address]

    def _begins(self, address: Address, block: int) -> bool:
        """Whether a contract is still created in a block, in spite of reorganisations."""
        return self.existed(address, block) is True and self.existed(address, block - 1) is False

    def _found_first(self, address: Address) -> int:
        """Search for the first block after which a contract is there."""
        newest = self.block_number()
        if not self.integer(_COUNT, [address, "latest"]):
            return 0
        absent, there, told = -1, newest, True
        while there - absent > 1:
            middle = (absent + there) // 2
            exists = self.existed(address, middle)
            if exists:
                there = middle
            else:
                absent, told = middle, exists is not None
        if told:
            return there
        if newest > SPAN and address not in self._first:
            log.warning(
                "the chain's node at %s has no states of old blocks: logs are read from block 0, "
                "unless --from-block names the one that the contract was deployed in",
                self.endpoint,
            )
        return 0

    def existed(self, address: Address, block: int) -> bool | None:
        """Say whether a contract was there after a block; None if the node does not tell.

        A contract has a nonce from its creation on (EIP-161), which takes less room than its code.
        """
        if block < 0:
            return False
        try:
            return self.integer(_COUNT, [address, hex(block)]) > 0
        except ChainBusy:
            raise
        except RpcRefused:
            return None

    def balance(self, address: Address) -> int:
        """Give an account's balance in wei."""
        return self.pending_integer("eth_getBalance", address, bits=WORD)

    def count(self, address: Address, *, pooled: bool) -> int:
        """Give how many transactions of an account are mined, or with those that wait."""
        if pooled:
            return self.pending_integer(_COUNT, address)
        return self.integer(_COUNT, [address, "latest"])

    def affords(self, address: Address, gas: int, value: int) -> bool:
        """Say whether an account can pay a value and this much gas now."""
        quote = self.quote(address)
        price, _ = self.price(quote, gas, value)
        return quote.balance >= value + gas * price

    def code(self, address: Address, *, block: int | None = None) -> bytes:
        """Give a contract's code, now or after a block."""
        tag = "latest" if block is None else hex(block)
        return answers.data(self.ask.request("eth_getCode", [address, tag]), "eth_getCode")

    def call(self, call: Call) -> bytes:
        """Execute a message on the pending state. Raise Reverted."""
        return answers.data(self.simulate("eth_call", call), "eth_call")

    def estimate(self, call: Call) -> int:
        """Say how much gas a message needs on the pending state. Raise Reverted."""
        return answers.number(self.simulate("eth_estimateGas", call), "eth_estimateGas")

    def price(self, quote: Quote, gas: int, value: int) -> tuple[int, int]:
        """Say what to offer for a unit of gas, and how much of it as a tip."""
        if quote.base is None:
            price = self.gas_price()
            return price, price
        tip = quote.tip
        if quote.base == 0 and quote.balance < value + gas * tip:
            tip = 0
        return 2 * quote.base + tip, tip

    def gas_price(self) -> int:
        """Give the price of a unit of gas that the node suggests."""
        return self.integer("eth_gasPrice", [], bits=PRICE)

    @one_question()
    def quote(self, address: Address) -> Quote:
        """Ask what a transaction has to know; in one request where the node takes that."""
        together = self.ask.together(
            [
                ("eth_getBlockByNumber", ["pending", False]),
                ("eth_maxPriorityFeePerGas", []),
                ("eth_getBalance", [address, "pending"]),
                ("eth_getTransactionCount", [address, "pending"]),
            ]
        )
        if together is not None and together[0] is not None:
            header = fields_of(together[0], "eth_getBlockByNumber")
            tip = answers.number(together[1], "eth_maxPriorityFeePerGas", bits=PRICE)
            balance = answers.number(together[2], "eth_getBalance", bits=WORD)
            count = answers.number(together[3], "eth_getTransactionCount")
        else:
            header = self.header("pending") or self.header("latest") or {}
            tip = 0 if header.get("baseFeePerGas") is None else self._tip()
            balance = self.balance(address)
            count = self.count(address, pooled=True)
        return Quote(_base(header), tip, balance, count, _gas_limit(header))

    def _tip(self) -> int:
        try:
            return self.integer("eth_maxPriorityFeePerGas", [], bits=PRICE)
        except ChainBusy:
            raise
        except RpcRefused:
            return 0

    def simulate(
        self,
        method: str,
        call: Call,
        *,
        terms: Mapping[str, int] | None = None,
        newest: str = "pending",
    ) -> object:
        """Execute without effect; on a transaction's own terms if they are given. Raise TooCheap
        only then.
        """
        terms = terms or {}
        message: dict[str, object] = {"data": hexed(call.data), "value": hex(call.value)}
        message |= {"to": call.to} if call.to else {}
        message |= {"from": call.sender} if call.sender else {}
        message |= {name: hex(amount) for name, amount in terms.items()}
        tag = newest if call.block is None else hex(call.block)
        answer = self.ask.answer(method, [message, tag])
        if answer.get("error") is None:
            return answer.get("result")
        code, text, data = answers.error(answer["error"])
        if code not in REVERTED and not data:
            with suppress(RpcRefused):
                self._raise_explained(call, terms, text)
        failed = any(sign in text.lower() for sign in FAILED_EXECUTION)
        if code in REVERTED or data or failed:
            raise Reverted(data, revert_reason(data) if data else text)
        if tag == "pending" and self.header("pending") is None:
            return self.simulate(method, call, terms=terms, newest="latest")
        raise RpcRefused(method, code, text)

    def _raise_explained(self, call: Call, terms: Mapping[str, int], text: str) -> None:
        """Name the reason for which a message was not executed, as far as the state tells it."""
        price = terms.get("maxFeePerGas", terms.get("gasPrice", 0))
        needed = call.value + terms.get("gas", 0) * price
        if call.sender is not None and needed:
            balance = self.balance(call.sender)
            if balance < needed:
                raise Unfunded(call.sender, balance, needed)
        header = self.header("latest") or {}
        if any(sign in text.lower() for sign in OUT_OF_GAS):
            most = terms.get("gas", min(MAX_GAS, _gas_limit(header)))
            raise TransactionTooLarge("gas", most + 1, most)
        worded = any(sign in text.lower() for sign in TOO_CHEAP)
        if terms and (worded or price < (_base(self.header("pending") or header) or 0)):
            raise TooCheap(text)

    def header(self, tag: str) -> Json | None:
        """Give a block's fields by its number or by its tag; None if there is no such block."""
        try:
            found = self.ask.request("eth_getBlockByNumber", [tag, False])
        except ChainBusy:
            raise
        except RpcRefused:
            if tag != "pending":
                raise
            found = None
        if found is None and tag == "pending" and not self._said:
            self._said = True
            log.warning(
                "the chain's node at %s has no pending block: its newest one is asked instead, so "
                "deadlines are noticed with the next block",
                self.endpoint,
            )
        return None if found is None else fields_of(found, "eth_getBlockByNumber")

    def pending_integer(self, method: str, address: Address, *, bits: int = COUNT) -> int:
        """Ask for a number of an account's, pending transactions included where the node can."""
        try:
            return self.integer(method, [address, "pending"], bits=bits)
        except ChainBusy:
            raise
        except RpcRefused:
            if self.header("pending") is not None:
                raise
            return self.integer(method, [address, "latest"], bits=bits)

    def integer(self, method: str, params: Sequence[object], *, bits: int = COUNT) -> int:
        """Ask for a number."""
        return answers.number(self.ask.request(method, params), method, bits=bits)


def _base(header: Json) -> int | None:
    if header.get("baseFeePerGas") is None:
        return None
    return answers.integer_of(header, "baseFeePerGas", bits=PRICE)


def _gas_limit(header: Json) -> int:
    """Give the gas that a block holds; where its node does not say, that of a transaction."""
    return MAX_GAS if header.get("gasLimit") is None else answers.integer_of(header, "gasLimit")
