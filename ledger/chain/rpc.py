"""A node behind JSON-RPC: Ethereum, a consortium chain at zero gas price, or a local anvil or geth.

It speaks in plain requests and checks every answer's form itself, so that proof-of-authority
headers and the habits of one library or node make no difference. Three rules keep a transaction
from being sent twice: the same signed bytes are broadcast again after a network error; another
nonce is signed only when somebody else's transaction has ours, in a block or in the pool; and what
offers less than blocks have come to cost is replaced at its own nonce, so that one of them is mined
at most. A transaction that is late for any other reason is reported as pending.
"""

import logging
import re
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto

from eth_utils.address import is_hex_address, to_checksum_address
from eth_utils.crypto import keccak

from ledger.chain.accounts import Account
from ledger.chain.blocks import HEADER_FIELDS, header_item, raw_transaction
from ledger.chain.errors import (
    ChainError,
    ChainTimeout,
    ChainUnreachable,
    MalformedAnswer,
    ReceiptMissing,
    Reverted,
    RpcRefused,
    TransactionFailed,
    TransactionPending,
    TransactionTooLarge,
    Unfunded,
    WrongChain,
)
from ledger.chain.reverts import revert_reason
from ledger.chain.types import (
    MAX_GAS,
    MAX_TRANSACTION_BYTES,
    Block,
    Call,
    Log,
    Receipt,
    Transaction,
)
from ledger.types import Address, Wei

log = logging.getLogger("fednode")

ATTEMPTS = 6
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
LONGEST_POLL = 0.5
DISTINCT = 1 << 14
GAS_MARGIN = 300_000
BATCH = 100
SEARCHED = 64
"""Blocks in which a transaction is looked for whose nonce is used, and whose receipt is missing."""
TRANSFER_GAS = 21_000
CLEAR_AFTER = 60.0
CLEAR_BLOCKS = 2
"""Seconds and blocks without progress after which a nonce below ours, whose owner is gone, is used
up.
"""

TOO_CHEAP = ("less than block base fee", "underpriced", "fee cap", "fee too low")

OUT_OF_GAS = ("exceeds allowance", "out of gas", "outofgas")

_ALREADY_KNOWN = re.compile(r"\balready|\bknown", re.IGNORECASE)
"""A refusal that says so may be of our own transaction. What is mined then decides."""

FAILED_EXECUTION = ("revert", "opcode", "evm error", "stack", "invalid jump")

Json = Mapping[str, object]
Transport = Callable[[str, Sequence[object]], Json]
Batch = Callable[[Sequence[tuple[str, Sequence[object]]]], Sequence[Json]]


class TransportFailure(Exception):
    """A request without an answer; `sent` tells whether the node may have got it."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        self.sent = sent
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class _Signed:
    """A signed transaction on its way. It offers at most `price` wei for a unit of gas, `tip` of
    them to the block's maker. `terms` are its gas limit and prices as a call names them.
    """

    raw: bytes
    hash: bytes
    nonce: int
    sender: Address
    cost: int
    price: int
    tip: int
    terms: Mapping[str, int] = field(default_factory=dict)


class _Standing(Enum):
    """What a node knows of a transaction that it refused, and of the transaction's nonce."""

    OURS = auto()
    """The node has the transaction, or may have it."""
    TAKEN = auto()
    """Another transaction has the nonce, in a block or in the pool."""
    FREE = auto()
    UNKNOWN = auto()
    """The node cannot say yet: it builds its index of transactions, for example."""


class _TooCheap(Exception):
    """What a transaction offers for its gas is not enough for the node to take it."""


@dataclass(frozen=True, slots=True)
class _Quote:
    """What an account's next transaction has to know; no base fee = fees of the old kind."""

    base: int | None
    tip: int
    balance: int
    count: int


@dataclass(frozen=True, slots=True)
class _Offer:
    """What is to be done, and the transactions that offer to pay for it, all at one nonce."""

    account: Account
    call: Call
    gas: int
    signed: list[_Signed]

    @property
    def nonce(self) -> int:
        """The nonce of all of them."""
        return self.signed[-1].nonce


@dataclass(frozen=True, slots=True)
class _Stuck:
    """How many of an account's transactions were mined, and since when, in time and in blocks."""

    count: int
    since: float
    block: int


class RpcEngine:
    """One node. Requests are retried with growing pauses; safe for several threads."""

    def __init__(
        self,
        transport: Transport,
        endpoint: str,
        *,
        batch: Batch | None = None,
        expected_chain_id: int | None = None,
        pause: Callable[[float], None] = time.sleep,
        look_after: float = 2.0,
        clear_after: float = CLEAR_AFTER,
    ) -> None:
        self._transport = transport
        self._batch = batch
        self._look_after = look_after
        self._clear_after = clear_after
        self.endpoint = endpoint
        self._pause = pause
        self._locks: defaultdict[Address, threading.Lock] = defaultdict(threading.Lock)
        self._locks_guard = threading.Lock()
        self._said = False
        self._newest: Block | None = None
        self.chain_id = self._integer("eth_chainId", [])
        if expected_chain_id is not None and self.chain_id != expected_chain_id:
            raise WrongChain(endpoint, expected_chain_id, self.chain_id)

    def pending_timestamp(self) -> int:
        """Give the pending block's timestamp, or the newest one's where a node has no pending."""
        header = self._header("pending") or self._header("latest")
        if header is None:
            raise MalformedAnswer("eth_getBlockByNumber", "the chain has no newest block")
        return _int(header, "timestamp")

    def wait_until(self, moment: int, *, timeout: float | None) -> None:
        """Poll until chain time is `moment`. Raise ChainTimeout."""
        waited = 0.0
        while (now := self.pending_timestamp()) < moment:
            if timeout is not None and waited >= timeout:
                raise ChainTimeout(moment, now)
            step = min(1.0, max(0.1, (moment - now) / 2))
            self._pause(step)
            waited += step

    def rest(self, seconds: float) -> None:
        """Wait before the node is asked again for what it did not have."""
        self._pause(seconds)

    def block_number(self) -> int:
        """Give the number of the newest block."""
        return self._integer("eth_blockNumber", [])

    def newest(self) -> Block:
        """Give the newest block."""
        found = self._request("eth_getBlockByNumber", ["latest", False])
        return _block(_object(found, "eth_getBlockByNumber"))

    def look(self) -> tuple[Block, int]:
        """Give the newest block, and the timestamp that the next one would have. While the pending
        block builds on the block that was the newest before, that one is not asked for again.
        """
        pending = self._header("pending")
        if pending is None:
            newest = self.newest()
            return newest, newest.timestamp
        if self._newest is None or _bytes(pending, "parentHash") != self._newest.hash:
            self._newest = self.newest()
        return self._newest, _int(pending, "timestamp")

    def block(self, which: int | bytes) -> Block | None:
        """Give a block by number or hash."""
        if isinstance(which, bytes):
            found = self._request("eth_getBlockByHash", [_hex(which), False])
        else:
            found = self._request("eth_getBlockByNumber", [hex(which), False])
        if found is None:
            return None
        return _block(_object(found, "eth_getBlockByHash"))

    def blocks(self, hashes: Sequence[bytes]) -> list[Block | None]:
        """Give blocks by their hashes, in few requests."""
        method = "eth_getBlockByHash"
        found = self._requests(method, [[_hex(hash_), False] for hash_ in hashes])
        return [None if item is None else _block(_object(item, method)) for item in found]

    def transaction(self, transaction: bytes) -> Transaction | None:
        """Give a mined transaction."""
        method = "eth_getTransactionByHash"
        return _transaction(self._request(method, [_hex(transaction)]), transaction)

    def transactions(self, hashes: Sequence[bytes]) -> list[Transaction | None]:
        """Give mined transactions, in few requests."""
        found = self._requests("eth_getTransactionByHash", [[_hex(hash_)] for hash_ in hashes])
        return [_transaction(item, hash_) for item, hash_ in zip(found, hashes, strict=True)]

    def receipt(self, transaction: bytes) -> Receipt | None:
        """Give a mined transaction's receipt."""
        try:
            found = self._request("eth_getTransactionReceipt", [_hex(transaction)])
        except RpcRefused as error:
            if "indexing" in error.reason:
                return None
            raise
        if found is None:
            return None
        fields = _object(found, "eth_getTransactionReceipt")
        return _receipt(fields) if fields.get("blockHash") is not None else None

    def receipts(self, block: bytes) -> list[Receipt]:
        """Give all receipts of a block, one by one where the node cannot give them together."""
        try:
            found = self._request("eth_getBlockReceipts", [_hex(block)])
        except RpcRefused:
            found = None
        if isinstance(found, list):
            return [_receipt(_object(item, "eth_getBlockReceipts")) for item in found]
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
        """Give an address's logs in a range of blocks. RpcRefused: ask for a shorter range."""
        query = {
            "address": address,
            "topics": [None if topic is None else _hex(topic) for topic in topics],
            "fromBlock": hex(from_block),
            "toBlock": hex(to_block),
        }
        found = self._request("eth_getLogs", [query])
        if not isinstance(found, list):
            raise MalformedAnswer("eth_getLogs", "not a list")
        entries = [_object(item, "eth_getLogs") for item in found]
        return [_log(entry) for entry in entries if entry.get("removed") is not True]

    def balance(self, address: Address) -> int:
        """Give an account's balance in wei."""
        return self._pending_integer("eth_getBalance", address)

    def affords(self, address: Address, gas: int, value: int) -> bool:
        """Say whether an account can pay a value and this much gas now."""
        quote = self._quote(address)
        price, _ = self._price(quote, gas, value)
        return quote.balance >= value + gas * price

    def code(self, address: Address) -> bytes:
        """Give a contract's code."""
        return _decode(self._request("eth_getCode", [address, "latest"]), "eth_getCode")

    def call(self, call: Call) -> bytes:
        """Execute a message on the pending state. Raise Reverted."""
        return _decode(self._simulate("eth_call", call), "eth_call")

    def estimate(self, call: Call) -> int:
        """Say how much gas a message needs on the pending state. Raise Reverted."""
        return _number(self._simulate("eth_estimateGas", call), "eth_estimateGas")

    def send(self, account: Account, call: Call, *, gas: int | None, timeout: float) -> Receipt:
        """Simulate, sign, send, wait; sign at another nonce only if ours went to another
        transaction. With a fixed amount of gas the signed transaction itself is simulated.
        """
        taken = -1
        deadline = time.monotonic() + timeout
        while True:
            limit = self._gas_limit(call, gas)
            try:
                with self._lock_of(account.address):
                    signed = self._sign(account, call, limit, above=taken)
                    if gas is not None:
                        self._simulate("eth_call", call, terms=signed.terms)
                    ours = self._broadcast(signed, deadline)
            except _TooCheap as refused:
                # Prices rose since the node was asked.
                if time.monotonic() >= deadline:
                    raise RpcRefused("eth_sendRawTransaction", 0, str(refused)) from None
                self._pause(LONGEST_POLL)
                continue
            offer = _Offer(account, call, limit, [signed])
            receipt = self._await(offer, deadline, timeout) if ours else None
            if receipt is not None:
                return self._checked(receipt, call, limit)
            taken = signed.nonce

    def _lock_of(self, address: Address) -> threading.Lock:
        with self._locks_guard:
            return self._locks[address]

    def _gas_limit(self, call: Call, gas: int | None) -> int:
        if gas is not None:
            if gas > MAX_GAS:
                raise TransactionTooLarge("gas", gas, MAX_GAS)
            return gas
        needed = self.estimate(call)
        if needed > MAX_GAS:
            raise TransactionTooLarge("gas", needed, MAX_GAS)
        # Another transaction may come first and leave more to do, such as ending a round.
        return needed if not call.data else min(MAX_GAS, needed + needed // 2 + GAS_MARGIN)

    def _sign(self, account: Account, call: Call, gas: int, *, above: int) -> _Signed:
        quote = self._quote(account.address)
        return self._signed(account, call, gas, quote, max(quote.count, above + 1))

    def _signed(
        self,
        account: Account,
        call: Call,
        gas: int,
        quote: _Quote,
        nonce: int,
        *,
        outbidding: _Signed | None = None,
    ) -> _Signed:
        # Two processes with one key may want the same at the same nonce; a limit of its own gives
        # each transaction a hash of its own, so that one is never taken for the other.
        gas += secrets.randbelow(min(DISTINCT, MAX_GAS - gas) + 1)
        price, tip = self._price(quote, gas, call.value)
        if outbidding is not None:
            price, tip = max(price, _more(outbidding.price)), max(tip, _more(outbidding.tip))
        fees = {"gasPrice": price}
        if quote.base is not None:
            fees = {"maxFeePerGas": price, "maxPriorityFeePerGas": min(price, tip)}
        # What is outbid is counted in the pending balance, but will not be paid.
        balance = quote.balance + (outbidding.cost if outbidding else 0)
        if balance < call.value + gas * price:
            raise Unfunded(account.address, balance, call.value + gas * price)
        fields: dict[str, object] = {
            "nonce": nonce,
            "gas": gas,
            "value": call.value,
            "data": call.data,
            "chainId": self.chain_id,
            **fees,
        }
        if call.to is not None:
            fields["to"] = call.to
        raw = account.sign_transaction(fields)
        if len(raw) > MAX_TRANSACTION_BYTES:
            raise TransactionTooLarge("bytes", len(raw), MAX_TRANSACTION_BYTES)
        cost, terms = call.value + gas * price, {"gas": gas, **fees}
        return _Signed(raw, keccak(raw), nonce, account.address, cost, price, tip, terms)

    def _price(self, quote: _Quote, gas: int, value: int) -> tuple[int, int]:
        """Say what to offer for a unit of gas, and how much of it as a tip."""
        if quote.base is None:
            price = self._integer("eth_gasPrice", [])
            return price, price
        tip = quote.tip
        if quote.base == 0 and quote.balance < value + gas * tip:
            tip = 0
        return 2 * quote.base + tip, tip

    def _quote(self, address: Address) -> _Quote:
        """Ask what a transaction has to know; in one request where the node takes that."""
        together = self._together(
            [
                ("eth_getBlockByNumber", ["pending", False]),
                ("eth_maxPriorityFeePerGas", []),
                ("eth_getBalance", [address, "pending"]),
                ("eth_getTransactionCount", [address, "pending"]),
            ]
        )
        if together is not None and together[0] is not None:
            header = _object(together[0], "eth_getBlockByNumber")
            tip, balance, count = (_number(item, "the account's state") for item in together[1:])
        else:
            header = self._header("pending") or self._header("latest") or {}
            tip = 0 if header.get("baseFeePerGas") is None else self._tip()
            balance = self.balance(address)
            count = self._pending_integer("eth_getTransactionCount", address)
        base = None if header.get("baseFeePerGas") is None else _int(header, "baseFeePerGas")
        return _Quote(base, tip, balance, count)

    def _tip(self) -> int:
        try:
            return self._integer("eth_maxPriorityFeePerGas", [])
        except RpcRefused:
            return 0

    def _broadcast(self, signed: _Signed, deadline: float, *, doubtful: bool = False) -> bool:
        """Hand the signed bytes to the node; False if its nonce belongs to another transaction.
        Raise _TooCheap.

        A refusal is understood by what the node knows afterwards, since nodes word it differently.
        If the node cannot say what it knows, it is asked again until the deadline. `doubtful`: the
        node may have the transaction already.
        """
        method, attempt = "eth_sendRawTransaction", 0
        while True:
            problem: ChainError
            late = attempt + 1 >= ATTEMPTS
            try:
                answer = self._transport(method, [_hex(signed.raw)])
            except TransportFailure as failure:
                doubtful = doubtful or failure.sent
                problem = ChainUnreachable(self.endpoint, str(failure))
            else:
                error = answer.get("error")
                if error is None:
                    return True
                code, text, _ = _error(error)
                standing = self._standing(signed, text, doubtful=doubtful)
                if standing in (_Standing.OURS, _Standing.TAKEN):
                    return standing is _Standing.OURS
                if standing is _Standing.UNKNOWN:
                    late = time.monotonic() >= deadline
                else:
                    self._raise_explained(signed, text.lower())
                problem = RpcRefused(method, code, text)
            if late:
                raise TransactionPending(signed.hash, signed.nonce, 0.0) if doubtful else problem
            self._pause(_pause_after(attempt))
            attempt += 1

    def _standing(self, signed: _Signed, refusal: str, *, doubtful: bool) -> _Standing:
        """Ask what has become of a refused transaction and of its nonce.

        Only the node's state shows that the nonce is another transaction's. If the node may have
        ours, whose nonce it is gets decided by what is mined.
        """
        try:
            if self._known(signed.hash):
                return _Standing.OURS
            taken = self._nonce_used(signed) or self._nonce_pooled(signed)
        except RpcRefused:
            return _Standing.UNKNOWN
        if _ALREADY_KNOWN.search(refusal) or (taken and doubtful):
            return _Standing.OURS
        return _Standing.TAKEN if taken else _Standing.FREE

    def _raise_explained(self, signed: _Signed, text: str) -> None:
        """Name the reason for which a node does not take a transaction whose nonce is free."""
        if "insufficient funds" in text:
            raise Unfunded(signed.sender, self.balance(signed.sender), signed.cost)
        if "oversized" in text:
            raise TransactionTooLarge("bytes", len(signed.raw), MAX_TRANSACTION_BYTES)
        if any(sign in text for sign in TOO_CHEAP):
            raise _TooCheap(text)

    def _nonce_used(self, signed: _Signed) -> bool:
        count = self._integer("eth_getTransactionCount", [signed.sender, "latest"])
        return count > signed.nonce

    def _nonce_pooled(self, signed: _Signed) -> bool:
        return self._pending_integer("eth_getTransactionCount", signed.sender) > signed.nonce

    def _is_ours(self, signed: _Signed) -> bool:
        """Look for our transaction more than once: the node may have it and index it late."""
        for attempt in range(3):
            if self._known(signed.hash):
                return True
            self._pause(_pause_after(attempt))
        return self._known(signed.hash)

    def _known(self, transaction: bytes) -> bool:
        return self._request("eth_getTransactionByHash", [_hex(transaction)]) is not None

    def _await(self, offer: _Offer, deadline: float, timeout: float) -> Receipt | None:
        """Wait for the receipt; None if another transaction was mined at our nonce."""
        poll, look = 0.005, time.monotonic() + self._look_after
        stuck, bare = _Stuck(-1, 0.0, 0), False
        while time.monotonic() < deadline:
            # A node that refuses a question does not know yet: it is asked again.
            with suppress(RpcRefused):
                for signed in offer.signed:
                    receipt = self.receipt(signed.hash)
                    if receipt is not None:
                        return receipt
            if time.monotonic() > look:
                look = time.monotonic() + 2 * self._look_after
                with suppress(RpcRefused, TransactionPending):
                    mined = self._mined(offer)
                    if isinstance(mined, Receipt):
                        return mined
                    if mined is not None and bare:
                        raise mined
                    bare = mined is not None
                    if not bare and not self._look(offer, deadline):
                        return None
                    stuck = self._clear(offer, stuck, deadline)
            self._pause(poll)
            poll = min(LONGEST_POLL, poll * 1.5)
        raise TransactionPending(offer.signed[-1].hash, offer.nonce, timeout)

    def _mined(self, offer: _Offer) -> Receipt | ReceiptMissing | None:
        """Look for our transaction in the newest blocks: a node that has lost its index of
        transactions has neither its receipt nor itself by its hash. None if it is in none of them.
        """
        if not self._nonce_used(offer.signed[-1]):
            return None
        hashes = {_hex(signed.hash) for signed in offer.signed}
        newest = self.block_number()
        for number in range(newest, max(-1, newest - SEARCHED), -1):
            block = self._header(hex(number)) or {}
            inside = block.get("transactions")
            found = hashes.intersection(inside if isinstance(inside, list) else ())
            if found:
                hash_ = _decode(found.pop(), "transactions")
                return self._held(block, hash_) or ReceiptMissing(self.endpoint, hash_, number)
        return None

    def _held(self, block: Json, transaction: bytes) -> Receipt | None:
        """Give a transaction's receipt out of all of its block's."""
        with suppress(ReceiptMissing, RpcRefused):
            receipts = self.receipts(_bytes(block, "hash"))
            return next((r for r in receipts if r.transaction == transaction), None)
        return None

    def _look(self, offer: _Offer, deadline: float) -> bool:
        """See that the node has our transaction at a price that it may be mined at; say whether it
        still can be.
        """
        last = offer.signed[-1]
        if self._nonce_used(last):
            return any(self._is_ours(signed) for signed in offer.signed)
        try:
            if not self._known(last.hash):
                self._broadcast(last, deadline, doubtful=True)
            self._outbid(offer, deadline)
        except _TooCheap:
            self._outbid(offer, deadline)
        return True

    def _outbid(self, offer: _Offer, deadline: float) -> None:
        """Replace our transaction at its nonce if blocks have come to cost more than it offers."""
        last, quote = offer.signed[-1], self._quote(offer.account.address)
        price, tip = self._price(quote, offer.gas, offer.call.value)
        if last.tip >= tip and last.price >= (price if quote.base is None else quote.base):
            return
        # Prices that still rise, or are beyond our means, are looked at again soon.
        with suppress(_TooCheap, Unfunded):
            better = self._signed(
                offer.account, offer.call, offer.gas, quote, last.nonce, outbidding=last
            )
            if self._broadcast(better, deadline):
                offer.signed.append(better)

    def _clear(self, offer: _Offer, stuck: _Stuck, deadline: float) -> _Stuck:
        """Use up a nonce below ours that nothing has come of for long.

        A process of this account that was killed may have left a transaction there that nobody
        outbids; nothing after it would ever be mined.
        """
        sender = offer.account.address
        count = self._integer("eth_getTransactionCount", [sender, "latest"])
        if count >= offer.nonce:
            return stuck
        now, block = time.monotonic(), self.block_number()
        if count != stuck.count:
            return _Stuck(count, now, block)
        if now < stuck.since + self._clear_after:
            return stuck
        quote = self._quote(sender)
        if quote.count > count and block < stuck.block + CLEAR_BLOCKS:
            return stuck  # something is there, and has had no chance yet
        price, tip = self._price(quote, TRANSFER_GAS, 0)
        guess = _Signed(b"", b"", count, sender, 0, 2 * price, 2 * tip)
        nothing = Call(sender, b"", 0, sender)
        with suppress(_TooCheap, Unfunded):
            transfer = self._signed(
                offer.account, nothing, TRANSFER_GAS, quote, count, outbidding=guess
            )
            self._broadcast(transfer, deadline)
        return _Stuck(count, now, block)

    def _checked(self, receipt: Receipt, call: Call, gas: int) -> Receipt:
        if receipt.status == 1:
            return receipt
        data = b""
        if receipt.gas_used * 64 >= gas * 63:
            reason = f"it ran out of gas ({gas})"
        else:
            reason = "the state changed before it was mined"
            try:
                self._simulate("eth_call", call, terms={"gas": gas})
            except Reverted as reverted:
                data, reason = reverted.data, reverted.reason
            except TransactionTooLarge as error:
                reason = str(error)
        raise TransactionFailed(receipt.transaction, receipt.gas_used, reason, data)

    def _simulate(
        self,
        method: str,
        call: Call,
        *,
        terms: Mapping[str, int] | None = None,
        newest: str = "pending",
    ) -> object:
        """Execute without effect; on a transaction's own terms if they are given. Raise _TooCheap
        only then.
        """
        terms = terms or {}
        message: dict[str, object] = {"data": _hex(call.data), "value": hex(call.value)}
        message |= {"to": call.to} if call.to else {}
        message |= {"from": call.sender} if call.sender else {}
        message |= {name: hex(amount) for name, amount in terms.items()}
        tag = newest if call.block is None else hex(call.block)
        answer = self._answer(method, [message, tag])
        error = answer.get("error")
        if error is None:
            return answer.get("result")
        code, text, data = _error(error)
        lower = text.lower()
        if "insufficient" in lower or "outoffund" in lower:
            sender = call.sender or Address("")
            raise Unfunded(sender, self.balance(sender), call.value + 1)
        if any(sign in lower for sign in OUT_OF_GAS):
            most = terms.get("gas", MAX_GAS)
            raise TransactionTooLarge("gas", most + 1, most)
        if terms and any(sign in lower for sign in TOO_CHEAP):
            raise _TooCheap(text)
        if code == 3 or data or any(sign in lower for sign in FAILED_EXECUTION):
            raise Reverted(data, revert_reason(data) if data else text)
        if tag == "pending" and self._header("pending") is None:
            return self._simulate(method, call, terms=terms, newest="latest")
        raise RpcRefused(method, code, text)

    def _header(self, tag: str) -> Json | None:
        try:
            found = self._request("eth_getBlockByNumber", [tag, False])
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
        return None if found is None else _object(found, "eth_getBlockByNumber")

    def _pending_integer(self, method: str, address: Address) -> int:
        """Ask for a number of an account's, pending transactions included where the node can."""
        try:
            return self._integer(method, [address, "pending"])
        except RpcRefused:
            if self._header("pending") is not None:
                raise
            return self._integer(method, [address, "latest"])

    def _integer(self, method: str, params: Sequence[object]) -> int:
        return _number(self._request(method, params), method)

    def _request(self, method: str, params: Sequence[object]) -> object:
        answer = self._answer(method, params)
        if answer.get("error") is not None:
            code, text, _ = _error(answer["error"])
            raise RpcRefused(method, code, text)
        if "result" not in answer:
            raise MalformedAnswer(method, "neither a result nor an error")
        return answer["result"]

    def _requests(self, method: str, params: Sequence[Sequence[object]]) -> list[object]:
        """Ask for many things of one kind at once, one by one where that does not work."""
        results: list[object] = []
        for first in range(0, len(params), BATCH):
            part = params[first : first + BATCH]
            several = [(method, item) for item in part] if len(part) > 1 else []
            together = self._together(several)
            results += together or [self._request(method, item) for item in part]
        return results

    def _together(self, requests: Sequence[tuple[str, Sequence[object]]]) -> list[object] | None:
        """Send one batch; None unless every request in it was answered."""
        if self._batch is None or not requests:
            return None
        try:
            answers = self._batch(requests)
        except TransportFailure:
            return None
        results = [answer["result"] for answer in answers if "result" in answer]
        return results if len(results) == len(answers) == len(requests) else None

    def _answer(self, method: str, params: Sequence[object]) -> Json:
        last = ""
        for attempt in range(ATTEMPTS):
            try:
                return self._transport(method, params)
            except TransportFailure as failure:
                last = str(failure)
                if attempt + 1 < ATTEMPTS:
                    self._pause(_pause_after(attempt))
        raise ChainUnreachable(self.endpoint, last)


def _more(price: int) -> int:
    """Give the least that replaces a price: nodes ask for a tenth more."""
    return price + price // 8 + 1


def _pause_after(attempt: int) -> float:
    return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt))


def _error(error: object) -> tuple[int, str, bytes]:
    """Read an error object: its code, message, and the revert data wherever the node put it."""
    if not isinstance(error, Mapping):
        return 0, str(error), b""
    code = error.get("code")
    data = error.get("data")
    while isinstance(data, Mapping):
        data = data.get("data") or data.get("result")
    text = data.removeprefix("Reverted ") if isinstance(data, str) else ""
    try:
        found = bytes.fromhex(text[2:]) if text.startswith("0x") else b""
    except ValueError:
        found = b""
    return code if isinstance(code, int) else 0, str(error.get("message", "no message")), found


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _object(value: object, method: str) -> Json:
    if not isinstance(value, Mapping):
        raise MalformedAnswer(method, "not an object")
    return value


def _decode(value: object, where: str) -> bytes:
    try:
        if isinstance(value, str) and value.startswith("0x"):
            return bytes.fromhex(value[2:])
    except ValueError:
        pass
    raise MalformedAnswer(where, f"{str(value)[:40]!r} is not hex bytes")


def _number(value: object, where: str) -> int:
    try:
        if isinstance(value, str) and value.startswith("0x"):
            return int(value, 16)
    except ValueError:
        pass
    raise MalformedAnswer(where, f"{str(value)[:40]!r} is not a hex number")


def _int(fields: Json, name: str) -> int:
    return _number(fields.get(name), name)


def _bytes(fields: Json, name: str) -> bytes:
    return _decode(fields.get(name), name)


def _address(fields: Json, name: str) -> Address:
    value = fields.get(name)
    if not isinstance(value, str) or not is_hex_address(value):
        raise MalformedAnswer(name, f"{str(value)[:44]!r} is not an address")
    return Address(to_checksum_address(value))


def _block(fields: Json) -> Block:
    transactions = fields.get("transactions")
    if not isinstance(transactions, list):
        raise MalformedAnswer("eth_getBlock", "no list of transactions")
    return Block(
        number=_int(fields, "number"),
        hash=_bytes(fields, "hash"),
        parent=_bytes(fields, "parentHash"),
        timestamp=_int(fields, "timestamp"),
        header={
            name: header_item(name, _header_text(fields, name))
            for name in HEADER_FIELDS
            if fields.get(name) is not None
        },
        transactions=tuple(_decode(hash_, "transactions") for hash_ in transactions),
    )


def _header_text(fields: Json, name: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise MalformedAnswer(name, "not hex")
    return value


def _transaction(found: object, hash_: bytes) -> Transaction | None:
    if found is None:
        return None
    fields = _object(found, "eth_getTransactionByHash")
    if fields.get("blockHash") is None:
        return None
    return Transaction(
        hash=hash_,
        sender=_address(fields, "from"),
        to=_address(fields, "to") if fields.get("to") else None,
        nonce=_int(fields, "nonce"),
        value=Wei(_int(fields, "value")),
        data=_bytes(fields, "input"),
        raw=raw_transaction(fields, hash_),
    )


def _log(fields: Json) -> Log:
    topics = fields.get("topics")
    if not isinstance(topics, list):
        raise MalformedAnswer("log", "no list of topics")
    return Log(
        address=_address(fields, "address"),
        topics=tuple(_decode(topic, "topics") for topic in topics),
        data=_bytes(fields, "data"),
        block_number=_int(fields, "blockNumber"),
        block_hash=_bytes(fields, "blockHash"),
        transaction=_bytes(fields, "transactionHash"),
        log_index=_int(fields, "logIndex"),
        timestamp=(_int(fields, "blockTimestamp") if fields.get("blockTimestamp") else 0) or None,
    )


def _receipt(fields: Json) -> Receipt:
    logs = fields.get("logs")
    if not isinstance(logs, list):
        raise MalformedAnswer("eth_getTransactionReceipt", "no list of logs")
    price = fields.get("effectiveGasPrice")
    return Receipt(
        transaction=_bytes(fields, "transactionHash"),
        transaction_index=_int(fields, "transactionIndex"),
        block_number=_int(fields, "blockNumber"),
        block_hash=_bytes(fields, "blockHash"),
        sender=_address(fields, "from"),
        status=_int(fields, "status"),
        gas_used=_int(fields, "gasUsed"),
        cumulative_gas_used=_int(fields, "cumulativeGasUsed"),
        effective_gas_price=Wei(0 if price is None else _number(price, "effectiveGasPrice")),
        type=0 if fields.get("type") is None else _int(fields, "type"),
        logs=tuple(_log(_object(log, "log")) for log in logs),
        contract=_address(fields, "contractAddress") if fields.get("contractAddress") else None,
    )
