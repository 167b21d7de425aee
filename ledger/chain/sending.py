"""Sending one transaction through a node, so that it is never sent twice.

Three rules keep it so: the same signed bytes are broadcast again after a network error; another
nonce is signed only if another transaction has ours, in a block or in the pool; and what offers
less than blocks have come to cost is replaced at its own nonce, so that one of them is mined at
most. A transaction that is late for any other reason is reported as pending.

Nodes word refusals differently, so what a refusal means is asked: whether the node has the
transaction, whether the nonce is used, what the next block costs. A question that is refused in
its turn is not answered yet, and is asked again.
"""

import re
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto

from eth_utils.crypto import keccak

from ledger.chain import answers
from ledger.chain.accounts import Account
from ledger.chain.answers import Json, hexed
from ledger.chain.errors import (
    ChainBusy,
    ChainError,
    ChainUnreachable,
    MalformedAnswer,
    ReceiptMissing,
    Reverted,
    RpcRefused,
    TransactionFailed,
    TransactionPending,
    TransactionTooLarge,
    Unfunded,
)
from ledger.chain.questions import ATTEMPTS, TransportFailure, pause_after, until
from ledger.chain.reading import TOO_CHEAP, Quote, Reader, TooCheap
from ledger.chain.types import MAX_GAS, MAX_TRANSACTION_BYTES, Call, Receipt
from ledger.types import Address

LONGEST_POLL = 0.5
DISTINCT = 1 << 14
GAS_MARGIN = 300_000
SEARCHED = 64
"""Blocks in which a transaction is looked for whose nonce is used, and whose receipt is missing."""
TRANSFER_GAS = 21_000
CLEAR_AFTER = 60.0
CLEAR_BLOCKS = 2
"""Seconds and blocks without progress after which a nonce below ours, whose owner is gone, is used
up.
"""

_UNANSWERED = (RpcRefused, ChainUnreachable, MalformedAnswer)
"""What a question ends with whose answer is not known yet."""
_ALREADY_KNOWN = re.compile(r"\balready|\bknown", re.IGNORECASE)
"""A refusal that says so may be of our own transaction. What is mined then decides."""


@dataclass(frozen=True, slots=True)
class _Room:
    """The gas that a transaction asks for: at least what it needs, at most with a margin."""

    least: int
    most: int


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


@dataclass(frozen=True, slots=True)
class _Offer:
    """What is to be done, and the transactions that offer to pay for it, all at one nonce."""

    account: Account
    call: Call
    room: _Room
    signed: list[_Signed]

    @property
    def nonce(self) -> int:
        """The nonce of all of them."""
        return self.signed[-1].nonce

    def gas_of(self, transaction: bytes) -> int:
        """Give the gas limit of one of them."""
        return next(s.terms["gas"] for s in self.signed if s.hash == transaction)


@dataclass(frozen=True, slots=True)
class _Stuck:
    """How many of an account's transactions were mined, and since when, in time and in blocks."""

    count: int
    since: float
    block: int


class Sender:
    """Sends through one node. Safe for several threads."""

    def __init__(self, node: Reader, *, look_after: float, clear_after: float) -> None:
        self._node = node
        self._look_after = look_after
        self._clear_after = clear_after
        self._locks: defaultdict[Address, threading.Lock] = defaultdict(threading.Lock)
        self._locks_guard = threading.Lock()

    def send(self, account: Account, call: Call, *, gas: int | None, timeout: float) -> Receipt:
        """Simulate, sign, send, wait; sign at another nonce only if ours went to another
        transaction. With a fixed amount of gas the signed transaction itself is simulated.
        """
        deadline = time.monotonic() + timeout
        with until(deadline):
            return self._send(account, call, gas, deadline, timeout)

    def _send(
        self, account: Account, call: Call, gas: int | None, deadline: float, timeout: float
    ) -> Receipt:
        taken, floor = -1, 0
        while True:
            room = self._room(call, gas)
            try:
                with self._lock_of(account.address):
                    quote = self._node.quote(account.address)
                    nonce = max(quote.count, taken + 1)
                    signed = self._signed(account, call, room, quote, nonce, floor=floor)
                    if gas is not None:
                        self._node.simulate("eth_call", call, terms=signed.terms)
                    ours = self._broadcast(signed, deadline)
            except TooCheap as refused:
                # Prices rose since the node was asked.
                if time.monotonic() >= deadline:
                    raise RpcRefused("eth_sendRawTransaction", 0, str(refused)) from None
                floor = max(floor, refused.floor)
                self._node.pause(LONGEST_POLL)
                continue
            offer = _Offer(account, call, room, [signed])
            receipt = self._await(offer, deadline, timeout) if ours else None
            if receipt is not None:
                return self._checked(receipt, call, offer.gas_of(receipt.transaction))
            taken = signed.nonce

    def _lock_of(self, address: Address) -> threading.Lock:
        with self._locks_guard:
            return self._locks[address]

    def _room(self, call: Call, gas: int | None) -> _Room:
        if gas is not None:
            return _Room(gas, gas)
        needed = self._node.estimate(call)
        # Another transaction may come first and leave more to do, such as ending a round.
        return _Room(needed, needed + needed // 2 + GAS_MARGIN if call.data else needed)

    def _signed(
        self,
        account: Account,
        call: Call,
        room: _Room,
        quote: Quote,
        nonce: int,
        *,
        outbidding: _Signed | None = None,
        floor: int = 0,
    ) -> _Signed:
        gas = _gas(room, min(MAX_GAS, quote.limit))
        price, tip = self._node.price(quote, gas, call.value)
        price, tip = max(price, floor), max(tip, floor - (quote.base or 0))
        if outbidding is not None:
            price, tip = max(price, _more(outbidding.price)), max(tip, _more(outbidding.tip))
        fees = {"gasPrice": price}
        if quote.base is not None:
            fees = {"maxFeePerGas": price, "maxPriorityFeePerGas": min(price, tip)}
        cost, terms = call.value + gas * price, {"gas": gas, **fees}
        # What is outbid is counted in the pending balance, but will not be paid.
        balance = quote.balance + (outbidding.cost if outbidding else 0)
        if balance < cost:
            raise Unfunded(account.address, balance, cost)
        fields: dict[str, object] = {
            "nonce": nonce,
            "value": call.value,
            "data": call.data,
            "chainId": self._node.chain_id,
            **terms,
        }
        if call.to is not None:
            fields["to"] = call.to
        raw = account.sign_transaction(fields)
        if len(raw) > MAX_TRANSACTION_BYTES:
            raise TransactionTooLarge("bytes", len(raw), MAX_TRANSACTION_BYTES)
        return _Signed(raw, keccak(raw), nonce, account.address, cost, price, tip, terms)

    def _broadcast(self, signed: _Signed, deadline: float, *, doubtful: bool = False) -> bool:
        """Hand the signed bytes to the node; False if its nonce belongs to another transaction.
        Raise TooCheap.

        A refusal is understood by what the node knows afterwards, since nodes word it differently.
        If the node cannot say what it knows, it is asked again until the deadline. `doubtful`: the
        node may have the transaction already.
        """
        method, attempt = "eth_sendRawTransaction", 0
        while True:
            problem: ChainError
            late = attempt + 1 >= ATTEMPTS
            try:
                answer = self._node.ask.once(method, [hexed(signed.raw)])
            except ChainBusy as busy:
                late, problem = True, busy
            except TransportFailure as failure:
                doubtful = doubtful or failure.sent
                problem = ChainUnreachable(self._node.endpoint, str(failure))
            else:
                error = answer.get("error")
                if error is None:
                    return True
                code, text, _ = answers.error(error)
                standing = self._standing(signed, text, doubtful=doubtful)
                if standing in (_Standing.OURS, _Standing.TAKEN):
                    return standing is _Standing.OURS
                if standing is _Standing.UNKNOWN:
                    late = time.monotonic() >= deadline
                else:
                    try:
                        self._raise_explained(signed, text)
                    except TooCheap:
                        if doubtful:
                            return True  # it may arrive yet: it is outbid, and not forgotten
                        raise
                problem = RpcRefused(method, code, text)
            if late:
                raise TransactionPending(signed.hash, signed.nonce, 0.0) if doubtful else problem
            self._node.pause(pause_after(attempt))
            attempt += 1

    def _standing(self, signed: _Signed, refusal: str, *, doubtful: bool) -> _Standing:
        """Ask what has become of a refused transaction and of its nonce.

        Only the node's state shows that the nonce is another transaction's. If the node may have
        ours, whose nonce it is gets decided by what is mined.
        """
        try:
            if self._node.knows(signed.hash):
                return _Standing.OURS
            taken = self._nonce_used(signed) or (
                self._node.count(signed.sender, pooled=True) > signed.nonce
            )
        except _UNANSWERED:
            return _Standing.UNKNOWN
        if _ALREADY_KNOWN.search(refusal) or (taken and doubtful):
            return _Standing.OURS
        return _Standing.TAKEN if taken else _Standing.FREE

    def _raise_explained(self, signed: _Signed, text: str) -> None:
        """Name the reason for which a node does not take a transaction whose nonce is free."""
        try:
            quote, floor = self._node.quote(signed.sender), self._node.gas_price()
        except _UNANSWERED:
            return
        if quote.balance < signed.cost:
            raise Unfunded(signed.sender, quote.balance, signed.cost)
        if quote.limit < signed.terms["gas"]:
            raise TransactionTooLarge("gas", signed.terms["gas"], quote.limit)
        dear = max(quote.base or 0, floor) > signed.price
        if dear or any(sign in text.lower() for sign in TOO_CHEAP):
            raise TooCheap(text, floor)

    def _nonce_used(self, signed: _Signed) -> bool:
        return self._node.count(signed.sender, pooled=False) > signed.nonce

    def _is_ours(self, signed: _Signed) -> bool:
        """Look for our transaction more than once: the node may have it and index it late."""
        for attempt in range(3):
            if self._node.knows(signed.hash):
                return True
            self._node.pause(pause_after(attempt))
        return self._node.knows(signed.hash)

    def _await(self, offer: _Offer, deadline: float, timeout: float) -> Receipt | None:
        """Wait for the receipt; None if another transaction was mined at our nonce."""
        poll, look = 0.005, time.monotonic() + self._look_after
        stuck, bare = _Stuck(-1, 0.0, 0), False
        while time.monotonic() < deadline:
            # What was sent may be mined while the node does not answer: it is asked again.
            with suppress(*_UNANSWERED):
                for signed in offer.signed:
                    receipt = self._node.receipt(signed.hash)
                    if receipt is not None:
                        return receipt
            if time.monotonic() > look:
                look = time.monotonic() + 2 * self._look_after
                with suppress(*_UNANSWERED, TransactionPending):
                    mined = self._mined(offer)
                    if isinstance(mined, Receipt):
                        return mined
                    if mined is not None and bare:
                        raise mined
                    bare = mined is not None
                    if not bare and not self._look(offer, deadline):
                        return None
                    stuck = self._clear(offer, stuck, deadline)
            self._node.pause(poll)
            poll = min(LONGEST_POLL, poll * 1.5)
        raise TransactionPending(offer.signed[-1].hash, offer.nonce, timeout)

    def _mined(self, offer: _Offer) -> Receipt | ReceiptMissing | None:
        """Look for our transaction in the newest blocks: a node that has lost its index of
        transactions has neither its receipt nor itself by its hash. None if it is in none of them.
        """
        if not self._nonce_used(offer.signed[-1]):
            return None
        hashes = {hexed(signed.hash) for signed in offer.signed}
        newest = self._node.block_number()
        for number in range(newest, max(-1, newest - SEARCHED), -1):
            block = self._node.header(hex(number)) or {}
            inside = block.get("transactions")
            found = hashes.intersection(inside if isinstance(inside, list) else ())
            if found:
                hash_ = answers.data(found.pop(), "transactions")
                return self._held(block, hash_) or ReceiptMissing(
                    self._node.endpoint, hash_, number
                )
        return None

    def _held(self, block: Json, transaction: bytes) -> Receipt | None:
        """Give a transaction's receipt out of all of its block's."""
        with suppress(ReceiptMissing, RpcRefused):
            receipts = self._node.receipts(answers.data(block.get("hash"), "hash"))
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
            if not self._node.knows(last.hash):
                self._broadcast(last, deadline, doubtful=True)
            self._outbid(offer, deadline)
        except TooCheap:
            self._outbid(offer, deadline)
        return True

    def _outbid(self, offer: _Offer, deadline: float) -> None:
        """Replace our transaction at its nonce if blocks have come to cost more than it offers."""
        last, quote = offer.signed[-1], self._node.quote(offer.account.address)
        price, tip = self._node.price(quote, last.terms["gas"], offer.call.value)
        if last.tip >= tip and last.price >= (price if quote.base is None else quote.base):
            return
        # Prices that still rise, or are beyond our means, are looked at again soon.
        with suppress(TooCheap, Unfunded):
            better = self._signed(
                offer.account, offer.call, offer.room, quote, last.nonce, outbidding=last
            )
            if self._broadcast(better, deadline):
                offer.signed.append(better)

    def _clear(self, offer: _Offer, stuck: _Stuck, deadline: float) -> _Stuck:
        """Use up a nonce below ours that nothing has come of for long.

        A process of this account that was killed may have left a transaction there that nobody
        outbids; nothing after it would ever be mined.
        """
        sender = offer.account.address
        count = self._node.count(sender, pooled=False)
        if count >= offer.nonce:
            return stuck
        now, block = time.monotonic(), self._node.block_number()
        if count != stuck.count:
            return _Stuck(count, now, block)
        if now < stuck.since + self._clear_after:
            return stuck
        quote = self._node.quote(sender)
        if quote.count > count and block < stuck.block + CLEAR_BLOCKS:
            return stuck  # something is there, and has had no chance yet
        price, tip = self._node.price(quote, TRANSFER_GAS, 0)
        guess = _Signed(b"", b"", count, sender, 0, 2 * price, 2 * tip)
        nothing = Call(sender, b"", 0, sender)
        with suppress(TooCheap, Unfunded):
            room = _Room(TRANSFER_GAS, TRANSFER_GAS)
            transfer = self._signed(offer.account, nothing, room, quote, count, outbidding=guess)
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
                self._node.simulate("eth_call", call, terms={"gas": gas})
            except Reverted as reverted:
                data, reason = reverted.data, reverted.reason
            except TransactionTooLarge as error:
                reason = str(error)
        raise TransactionFailed(receipt.transaction, receipt.gas_used, reason, data)


def _gas(room: _Room, limit: int) -> int:
    """Choose how much gas to ask for, below what a block or a transaction may hold."""
    if room.least > limit:
        raise TransactionTooLarge("gas", room.least, limit)
    # A block's maker may lower its limit by a 1024th before ours is mined.
    gas = max(room.least, min(room.most, limit - limit // 64))
    # Two processes with one key may want the same at the same nonce; a limit of its own gives
    # each transaction a hash of its own, so that one is never taken for the other.
    return gas + secrets.randbelow(min(DISTINCT, limit - gas) + 1)


def _more(price: int) -> int:
    """Give the least that replaces a price: nodes ask for a tenth more."""
    return price + price // 8 + 1
