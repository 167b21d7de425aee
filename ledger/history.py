"""The contract's events as typed values, read by cursor and checked against the accumulator.

Every event of a federation has the topics [signature, federation]; its data are static words, the
last one being the accumulator after it: h' = keccak256(h ++ timestamp ++ topic0 ++ data without
its last word), h = 0 before the first. `Checkpoint` alone leaves h unchanged. A node that serves
the logs can neither leave one out nor add one between two others.

It can leave out the last ones. Behind one address there may be several nodes, and an index of logs
may trail its own node's head. So the reader compares its h with the contract's at the block that it
has read up to: an event that is absent is believed to be absent only if both are equal. Checkpoints
alone may be missed: they say nothing new.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import ClassVar, Protocol

from eth_abi.abi import encode as abi_encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from ledger.chain.calls import call
from ledger.chain.errors import MalformedAnswer, Reverted, RpcRefused
from ledger.chain.types import Block, Log, Transaction
from ledger.errors import LedgerError, MalformedRecord
from ledger.types import (
    ZERO_ADDRESS,
    ZERO_DIGEST,
    Address,
    Digest,
    FederationId,
    ParticipantId,
    RoundIndex,
    Wei,
)

WORD = 32
NO_ACCUMULATOR = Digest(b"")
_UNKNOWN_BLOCK = re.compile(
    r"\b(header|block)\b.*not (be )?found|(unknown|future|missing) (block|header)|out ?of ?range",
    re.IGNORECASE,
)
"""What nodes say that lack a block, not only its state."""
RECENT = 128
"""Blocks whose state any node has."""


class BrokenHistory(LedgerError):
    """Events that do not hash to the accumulator they carry: one is missing or altered."""

    def __init__(self, event: "Event", expected: Digest) -> None:
        self.event = event
        self.expected = expected
        self.found = event.h
        super().__init__(
            f"{type(event).__name__} in block {event.meta.block_number}, log "
            f"{event.meta.log_index}, carries h 0x{event.h.hex()}, the events before it "
            f"give 0x{expected.hex()}: the node left out or altered an event; ask another one"
        )


class Reorganised(LedgerError):
    """The chain no longer has a block that was read from; reset the reader and read again."""

    def __init__(self, number: int, expected: bytes, found: bytes | None) -> None:
        self.number = number
        self.expected = expected
        self.found = found
        now = "missing" if found is None else f"0x{found.hex()}"
        super().__init__(
            f"block {number} was 0x{expected.hex()} and is now {now}: the chain was reorganised; "
            "read the history again"
        )


class HeadBehind(Reorganised):
    """A node that does not show a block which was read from, nor another in its place.

    If another node behind the same address is some blocks behind, the block comes back.
    """

    def __init__(self, endpoint: str, *, head: int, number: int, expected: bytes) -> None:
        super().__init__(number, expected, None)
        self.endpoint = endpoint
        self.head = head
        self.args = (
            f"block {number}, which was read from, is missing: the head of the chain's node at "
            f"{endpoint} is block {head}; waiting, or give another --rpc",
        )


class LogsBehind(LedgerError):
    """Logs up to a block that do not hash to the contract's accumulator at that block.

    `events` are new and were read: they happened. What is not among them may have happened, too.
    """

    def __init__(
        self, endpoint: str, *, answered: int, head: int, events: Sequence["Event"] = ()
    ) -> None:
        self.endpoint = endpoint
        self.answered = answered
        self.head = head
        self.events = tuple(events)
        super().__init__(
            f"the logs of the chain's node at {endpoint} are incomplete: they lag behind its head "
            f"by {head - answered} blocks (answered up to block {answered}); waiting, or give "
            "another --rpc"
        )


class TransactionMissing(LedgerError):
    """A transaction whose logs a node serves, and that it does not find by its hash."""

    def __init__(self, endpoint: str, transaction: bytes, block: int) -> None:
        self.endpoint = endpoint
        self.transaction = transaction
        self.block = block
        super().__init__(
            f"the chain's node at {endpoint} serves the logs of transaction "
            f"0x{transaction.hex()} in block {block}, and does not find the transaction: its index "
            "of transactions is pruned or lost; give another --rpc"
        )


@dataclass(frozen=True, slots=True)
class EventMeta:
    """Where an event stands in the chain, and what transaction caused it: who signed it, whom and
    what it called. The sender is zero, the rest empty where a reader does not look for them.
    """

    block_number: int
    block_hash: bytes
    timestamp: int
    transaction: bytes
    log_index: int
    sender: Address
    call: bytes = field(default=b"", repr=False)
    to: Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What all events share. `words` names the ABI types of the data before `h`, in order."""

    words: ClassVar[tuple[str, ...]] = ()

    meta: EventMeta
    federation: FederationId
    h: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationCreated(Event):
    """A federation was created; `policy` is the digest of its policy header."""

    words: ClassVar[tuple[str, ...]] = ("address", "bytes32", "bytes32", "uint256")

    creator: Address
    policy: Digest
    salt: bytes
    pool: Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantJoined(Event):
    """A participant joined, under the next free index."""

    words: ClassVar[tuple[str, ...]] = (
        "uint32",
        "address",
        "address",
        "address",
        "bytes32",
        "bytes32",
        "bytes32",
        "uint32",
    )

    participant: ParticipantId
    signer: Address
    controller: Address
    payout: Address
    identity: Digest
    key: bytes
    dataset_root: Digest
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantLeft(Event):
    """A participant left; it has no seat in later rounds."""

    words: ClassVar[tuple[str, ...]] = ("uint32",)

    participant: ParticipantId


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerRotated(Event):
    """A participant's controller named another signer, from the next round on."""

    words: ClassVar[tuple[str, ...]] = ("uint32", "address")

    participant: ParticipantId
    signer: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRegistered(Event):
    """A participant named another key that sealed artefacts are encrypted to."""

    words: ClassVar[tuple[str, ...]] = ("uint32", "bytes32")

    participant: ParticipantId
    key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetCommitted(Event):
    """A participant committed to another data set, at place `dataset` of its list."""

    words: ClassVar[tuple[str, ...]] = ("uint32", "uint32", "bytes32", "uint32")

    participant: ParticipantId
    dataset: int
    root: Digest
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetAmended(Event):
    """A participant took rows out of its data set; `erasure` names the record of what was lost."""

    words: ClassVar[tuple[str, ...]] = ("uint32", "uint32", "bytes32", "uint32", "bytes32")

    participant: ParticipantId
    dataset: int
    root: Digest
    rows: int
    erasure: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class StakeWithdrawn(Event):
    """A participant took back what was left of its stake."""

    words: ClassVar[tuple[str, ...]] = ("uint32", "uint128")

    participant: ParticipantId
    amount: Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundOpened(Event):
    """A round opened on the result `parent`."""

    words: ClassVar[tuple[str, ...]] = ("uint32", "bytes32", "uint32", "uint40")

    round: RoundIndex
    parent: Digest
    seats: int
    commit_deadline: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedDrawn(Event):
    """The seed that draws a round's committee was stored."""

    words: ClassVar[tuple[str, ...]] = ("uint32", "bytes32")

    round: RoundIndex
    seed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPosted(Event):
    """The relay posted the root over `leaves` signed commits, the round's slots from 0 on."""

    words: ClassVar[tuple[str, ...]] = ("uint32", "bytes32", "uint32", "bytes32")

    round: RoundIndex
    root: Digest
    leaves: int
    index: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateCommitted(Event):
    """A participant committed to an update's header, after `order` others and the batch."""

    words: ClassVar[tuple[str, ...]] = ("uint32", "uint32", "uint32", "bytes32")

    round: RoundIndex
    order: int
    participant: ParticipantId
    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitClosed(Event):
    """The commit phase is over."""

    words: ClassVar[tuple[str, ...]] = ("uint32", "uint32", "uint40", "uint40")

    round: RoundIndex
    slots: int
    reveal_deadline: int
    propose_deadline: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceOpened(Event):
    """Somebody announced the slice of evaluation rows that a round is measured on."""

    words: ClassVar[tuple[str, ...]] = ("uint32", "address", "bytes32")

    round: RoundIndex
    account: Address
    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnMissed(Event):
    """Nobody proposed in attempt `attempt` in time; the next one has until `propose_deadline`."""

    words: ClassVar[tuple[str, ...]] = ("uint32", "uint8", "uint40")

    round: RoundIndex
    attempt: int
    propose_deadline: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultProposed(Event):
    """A result is put to the vote; `index` is the digest of the index of its artefacts."""

    words: ClassVar[tuple[str, ...]] = (
        "uint32",
        "uint8",
        "address",
        "address",
        "bytes32",
        "bytes32",
        "uint40",
        "uint40",
    )

    round: RoundIndex
    attempt: int
    proposer: Address
    signer: Address
    result: Digest
    index: Digest
    attest_deadline: int
    challenge_deadline: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Voted(Event):
    """Members of the committee voted: bit p, place p for the result; bit 128 + p, against it."""

    words: ClassVar[tuple[str, ...]] = ("uint32", "uint8", "bytes32", "uint256")

    round: RoundIndex
    attempt: int
    result: Digest
    ballots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultAccepted(Event):
    """A result became the head of the lineage."""

    words: ClassVar[tuple[str, ...]] = ("uint32", "bytes32", "uint32")

    round: RoundIndex
    result: Digest
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRejected(Event):
    """A result was voted down in attempt `attempt`."""

    words: ClassVar[tuple[str, ...]] = ("uint32", "uint8", "bytes32", "uint40")

    round: RoundIndex
    attempt: int
    result: Digest
    propose_deadline: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundVoided(Event):
    """A round ended without a result."""

    words: ClassVar[tuple[str, ...]] = ("uint32",)

    round: RoundIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultSettled(Event):
    """A result's challenge window is over."""

    words: ClassVar[tuple[str, ...]] = ("bytes32", "uint32")

    result: Digest
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodEnded(Event):
    """A reward period ended with `result`; its payouts are claimable."""

    words: ClassVar[tuple[str, ...]] = ("bytes32", "bytes32", "uint128")

    result: Digest
    payouts: Digest
    total: Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationEnded(Event):
    """No round opens any more, unless a result is disproved yet."""

    words: ClassVar[tuple[str, ...]] = ("bool",)

    idle: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofCommitted(Event):
    """A result was challenged, or a challenge goes on, by a proof that is not shown yet."""

    words: ClassVar[tuple[str, ...]] = ("bytes32", "uint8", "uint32", "address", "bytes32")

    result: Digest
    attempt: int
    challenge: int
    challenger: Address
    commitment: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandOpened(Event):
    """A result was challenged, or a challenge goes on, by a demand for the bytes of a place."""

    words: ClassVar[tuple[str, ...]] = (
        "bytes32",
        "uint8",
        "uint32",
        "address",
        "uint8",
        "bytes32",
        "uint256",
        "uint32",
        "uint8",
        "uint32",
    )

    result: Digest
    attempt: int
    challenge: int
    challenger: Address
    kind: int
    root: Digest
    total: int
    size: int
    level: int
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandAnswered(Event):
    """Somebody opened what a challenge demanded."""

    words: ClassVar[tuple[str, ...]] = ("bytes32", "uint8", "uint32", "address")

    result: Digest
    attempt: int
    challenge: int
    answerer: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeConceded(Event):
    """A challenger gave in after an answer: the last answerer gets the fee."""

    words: ClassVar[tuple[str, ...]] = ("bytes32", "uint8", "uint32", "uint128")

    result: Digest
    attempt: int
    challenge: int
    fee: Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeFailed(Event):
    """A challenge came to nothing in its time."""

    words: ClassVar[tuple[str, ...]] = ("bytes32", "uint8", "uint32")

    result: Digest
    attempt: int
    challenge: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultDisproved(Event):
    """A challenge holds: by a proof of `kind`, or, if that is 0, by an unanswered demand."""

    words: ClassVar[tuple[str, ...]] = ("uint32", "uint8", "bytes32", "uint32", "uint8", "uint40")

    round: RoundIndex
    attempt: int
    result: Digest
    challenge: int
    kind: int
    propose_deadline: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FallenDisproved(Event):
    """A proof of `kind` holds against an attempt that had fallen before."""

    words: ClassVar[tuple[str, ...]] = ("bytes32", "uint8", "uint32", "uint8")

    result: Digest
    attempt: int
    challenge: int
    kind: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeReclaimed(Event):
    """A challenger got its bond back: the result fell for another reason."""

    words: ClassVar[tuple[str, ...]] = ("bytes32", "uint8", "uint32")

    result: Digest
    attempt: int
    challenge: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BondReleased(Event):
    """A proposer got its bond back: the result's round became void, or it was held after a
    rejection, which costs the rejection fee if the result was voted down.
    """

    words: ClassVar[tuple[str, ...]] = ("bytes32", "uint8", "address")

    result: Digest
    attempt: int
    proposer: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class UnavailableCharged(Event):
    """A participant paid for an update that could not be had."""

    words: ClassVar[tuple[str, ...]] = ("uint32", "uint32", "uint128")

    participant: ParticipantId
    round: RoundIndex
    amount: Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutClaimed(Event):
    """A participant was paid."""

    words: ClassVar[tuple[str, ...]] = ("uint32", "address", "uint128")

    participant: ParticipantId
    payout: Address
    amount: Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunded(Event):
    """The creator got what payouts and fees left of the pool."""

    words: ClassVar[tuple[str, ...]] = ("address", "uint128")

    creator: Address
    amount: Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class FeesCollected(Event):
    """The fees of a participant's votes were credited to its payout address."""

    words: ClassVar[tuple[str, ...]] = ("uint32", "uint128")

    participant: ParticipantId
    amount: Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn(Event):
    """An account was paid all that had been credited to it: ether, and the pool's currency."""

    words: ClassVar[tuple[str, ...]] = ("address", "uint128", "uint128")

    account: Address
    ethers: Wei
    fees: Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint(Event):
    """The accumulator as it stands, repeated; changes nothing."""


EVENTS: tuple[type[Event], ...] = (
    FederationCreated,
    ParticipantJoined,
    ParticipantLeft,
    SignerRotated,
    KeyRegistered,
    DatasetCommitted,
    DatasetAmended,
    StakeWithdrawn,
    RoundOpened,
    SeedDrawn,
    BatchPosted,
    UpdateCommitted,
    CommitClosed,
    SliceOpened,
    TurnMissed,
    ResultProposed,
    Voted,
    ResultAccepted,
    ResultRejected,
    RoundVoided,
    ResultSettled,
    PeriodEnded,
    FederationEnded,
    ProofCommitted,
    DemandOpened,
    DemandAnswered,
    ChallengeConceded,
    ChallengeFailed,
    ResultDisproved,
    FallenDisproved,
    ChallengeReclaimed,
    BondReleased,
    UnavailableCharged,
    PayoutClaimed,
    Refunded,
    FeesCollected,
    Withdrawn,
    Checkpoint,
)


def signature(kind: type[Event]) -> str:
    """Give an event's Solidity signature."""
    return f"{kind.__name__}({','.join(('bytes32', *kind.words, 'bytes32'))})"


TOPICS: dict[bytes, type[Event]] = {keccak(text=signature(kind)): kind for kind in EVENTS}
TOPIC_OF: dict[type[Event], bytes] = {kind: topic for topic, kind in TOPICS.items()}
_NAMES: dict[type[Event], tuple[str, ...]] = {
    kind: tuple(field.name for field in fields(kind))[3:] for kind in EVENTS
}


def accumulate(h: Digest, timestamp: int, topic0: bytes, data: bytes) -> Digest:
    """Take one event into the accumulator; `data` is the whole data, its last word is left out."""
    if TOPICS.get(topic0) is Checkpoint:
        return h
    return Digest(keccak(h + timestamp.to_bytes(WORD, "big") + topic0 + data[:-WORD]))


def _word(kind: str, word: bytes, where: str) -> object:
    if kind == "bytes32":
        return word
    value = int.from_bytes(word, "big")
    if kind == "address":
        if value >> 160:
            raise MalformedRecord("event", f"{where}: a word that is not an address")
        return Address(to_checksum_address(word[12:]))
    if kind == "bool":
        if value > 1:
            raise MalformedRecord("event", f"{where}: a word that is not a bool")
        return bool(value)
    if value >> int(kind.removeprefix("uint")):
        raise MalformedRecord("event", f"{where}: a word that is not a {kind}")
    return value


def decode(log: Log, meta: EventMeta) -> Event:
    """Read a log strictly. Raise MalformedRecord if it is not one of the contract's events."""
    kind = TOPICS.get(log.topics[0]) if len(log.topics) == 2 else None
    if kind is None:
        raise MalformedRecord("event", "a log of our contract with unknown topics")
    if len(log.data) != WORD * (len(kind.words) + 1):
        raise MalformedRecord("event", f"{kind.__name__} of {len(log.data)} bytes")
    values = {
        name: _word(abi, log.data[WORD * i : WORD * (i + 1)], f"{kind.__name__}.{name}")
        for i, (name, abi) in enumerate(zip(_NAMES[kind], kind.words, strict=True))
    }
    common: dict[str, object] = {
        "meta": meta,
        "federation": FederationId(log.topics[1]),
        "h": Digest(log.data[-WORD:]),
    }
    return kind(**common, **values)  # type: ignore[arg-type]


def encode(event: Event) -> bytes:
    """Write an event's data as the contract logs them, the accumulator included."""
    values = [getattr(event, name) for name in _NAMES[type(event)]]
    return abi_encode([*event.words, "bytes32"], [*values, event.h])


def words_of(event: Event) -> dict[str, bytes]:
    """Give an event's fields as the words that the contract logs, by name."""
    data = encode(event)
    return {name: data[WORD * i : WORD * (i + 1)] for i, name in enumerate(_NAMES[type(event)])}


def follows(h: Digest, event: Event) -> Digest:
    """Compute the accumulator after an event from the one before it and the event's fields."""
    return accumulate(h, event.meta.timestamp, TOPIC_OF[type(event)], encode(event))


def verify(h: Digest, timestamp: int, log: Log, event: Event) -> Digest:
    """Give the accumulator after an event. Raise BrokenHistory if the event carries another."""
    expected = accumulate(h, timestamp, log.topics[0], log.data)
    if expected != event.h:
        raise BrokenHistory(event, expected)
    return expected


class LogSource(Protocol):
    """What the reader asks of a chain."""

    @property
    def endpoint(self) -> str:
        """Name the chain's node in messages."""
        ...

    def call(self, to: Address, data: bytes, *, block: int | None = None) -> bytes:
        """Execute a message without effect, on a block's state or on the pending one."""
        ...

    def newest(self) -> Block:
        """Give the newest block."""
        ...

    def block(self, which: int | bytes) -> Block | None:
        """Give a block by number or hash."""
        ...

    def blocks(self, hashes: Sequence[bytes]) -> list[Block | None]:
        """Give blocks by their hashes."""
        ...

    def logs(
        self,
        address: Address,
        topics: Sequence[bytes | None],
        from_block: int,
        to_block: int,
    ) -> list[Log]:
        """Give the logs of an address in a range of blocks."""
        ...

    def transaction(self, transaction: bytes) -> Transaction | None:
        """Give a transaction by its hash."""
        ...

    def transactions(self, hashes: Sequence[bytes]) -> list[Transaction | None]:
        """Give transactions by their hashes."""
        ...


class HistoryReader:
    """Reads one federation's events once, in order, at a chosen depth of confirmation.

    Logs of other contracts are never asked for. `h` is the accumulator after the last event read.
    `begins` gives the block of the contract's deployment, or an earlier one. A later one would not
    go unnoticed: the accumulator holds all events.
    `senders` costs a look-up a transaction: an audit needs to know who signed, nodes do not.
    """

    def __init__(
        self,
        chain: LogSource,
        address: Address,
        federation: FederationId,
        *,
        confirmations: int = 1,
        begins: Callable[[], int] = lambda: 0,
        senders: bool = True,
    ) -> None:
        if confirmations < 1:
            raise ValueError("confirmations: at least 1, the block that holds the event")
        self._chain = chain
        self._address = address
        self._federation = federation
        self._depth = confirmations - 1
        self._begins = begins
        self._senders = senders
        self.reset()

    def reset(self) -> None:
        """Forget everything that was read; the next poll starts from the first block again, which a
        reorganisation may have moved.
        """
        self.cursor = self._begins()
        self.h = ZERO_DIGEST
        self._anchor: tuple[int, bytes] | None = None
        self._newest: tuple[int, int] = (-1, -1)
        self.logs: list[Log] = []

    def poll(self) -> list[Event]:
        """Read what is new. After Reorganised or BrokenHistory nothing was read.

        Raise LogsBehind if the node has not shown all; what it has shown is read, and in the error.
        """
        newest = self._chain.newest()
        last = newest.number - self._depth
        known = self.cursor if self._anchor is None else self._anchor[0]
        end = newest if self._depth == 0 else self._chain.block(last) if last >= known else None
        self._check_anchor(newest, end)
        if end is None or last < self.cursor:
            return []
        logs = [log for log in self._read(self.cursor, last) if _place(log) > self._newest]
        events, h = self._take(logs, end)
        if not self._is_complete(h, last, newest):
            # More may be in the last event's block, so that one is read again.
            self._advance(logs, h)
            raise LogsBehind(
                self._chain.endpoint, answered=self._answered(last), head=last, events=events
            )
        self._advance(logs, h)
        self.cursor, self._anchor = last + 1, (last, end.hash)
        return events

    def _advance(self, logs: Sequence[Log], h: Digest) -> None:
        """Take note of events that were read, up to the last one's block."""
        self.h = h
        self.logs.extend(logs)
        for log in logs[-1:]:
            self._newest = _place(log)
            self.cursor, self._anchor = log.block_number, (log.block_number, log.block_hash)

    def _check_anchor(self, newest: Block, end: Block | None) -> None:
        """Look whether the last block that was read is still there; `end` may be it, or its
        child. Raise Reorganised.
        """
        if self._anchor is None or (end is not None and end.parent == self._anchor[1]):
            return
        number, expected = self._anchor
        block = end if end is not None and end.number == number else self._chain.block(number)
        if block is None:
            head = newest.number
            raise HeadBehind(self._chain.endpoint, head=head, number=number, expected=expected)
        if block.hash != expected:
            raise Reorganised(number, expected, block.hash)

    def _is_complete(self, h: Digest, last: int, newest: Block) -> bool:
        """Whether the events up to a block are all that the contract had emitted by then.

        A node without that block's state is asked for the newest's, and for the logs up to there.
        A node without any block's state is asked for the pending one. One that lacks the block
        itself is not: its logs and its pending state lack the same events.
        """
        found = self._accumulator(last)
        if found is None and last < newest.number:
            _, h = self._take(self._read(last + 1, newest.number), newest, h)
            found = self._accumulator(newest.number)
        return h == (self._accumulator(None) if found is None else found)

    def _accumulator(self, block: int | None) -> Digest | None:
        """Give the contract's accumulator after a block, or the pending one; None if the node does
        not say, and nothing that an accumulator can be if it lacks the block.
        """
        try:
            answer = self._chain.call(
                self._address, call("accumulator", self._federation), block=block
            )
        except Reverted:
            return ZERO_DIGEST  # the contract does not know the federation (yet)
        except RpcRefused as refused:
            return NO_ACCUMULATOR if self._lacks(block, str(refused)) else None
        except MalformedAnswer:
            return None
        if not answer:
            return ZERO_DIGEST  # no contract is there (yet)
        return Digest(answer) if len(answer) == WORD else None

    def _lacks(self, block: int | None, refusal: str) -> bool:
        """Whether a node lacks a block, and not only its state. Of several nodes behind one address
        another may be asked for the block, so the words of the refusal count as well.
        """
        if block is None or _UNKNOWN_BLOCK.search(refusal):
            return block is not None
        return self._chain.block(block) is None

    def _answered(self, last: int) -> int:
        """Give a block, near the last such one, up to which the logs are complete."""
        step, read = 1, 0 if self._anchor is None else self._anchor[0]
        while last - step > read and step <= RECENT:
            if self._accumulator(last - step) == self.h:
                return last - step
            step *= 2
        return read

    def _read(self, first: int, last: int) -> list[Log]:
        logs = self._chain.logs(self._address, (None, self._federation), first, last)
        own = (log for log in logs if log.address == self._address and len(log.topics) >= 2)
        return sorted(own, key=_place)

    def _take(
        self, logs: Sequence[Log], end: Block, h: Digest | None = None
    ) -> tuple[list[Event], Digest]:
        events, h = [], self.h if h is None else h
        metas = _Metas(self._chain, logs, end, senders=self._senders)
        for log in logs:
            meta = metas.of(log)
            event = decode(log, meta)
            h = verify(h, meta.timestamp, log, event)
            events.append(event)
        return events, h


def _place(log: Log) -> tuple[int, int]:
    return log.block_number, log.log_index


class _Metas:
    """Looks up what logs do not say, once per block and transaction; `end` is a block that is known
    already.
    """

    def __init__(self, chain: LogSource, logs: Sequence[Log], end: Block, *, senders: bool) -> None:
        # A wrong timestamp would not go unnoticed: the accumulator holds it.
        silent = [log for log in logs if log.timestamp is None and log.block_hash != end.hash]
        unknown = list({log.block_hash: None for log in silent})
        self._blocks = dict(zip(unknown, chain.blocks(unknown), strict=True)) | {end.hash: end}
        sent = list(dict.fromkeys(log.transaction for log in logs)) if senders else []
        self._sent = dict(zip(sent, chain.transactions(sent), strict=True))
        self._look = senders
        self._endpoint = chain.endpoint
        self._end = end.number

    def of(self, log: Log) -> EventMeta:
        sent = self._sent.get(log.transaction)
        timestamp = log.timestamp
        if timestamp is None:
            block = self._blocks[log.block_hash]
            timestamp = block.timestamp if block and block.number == log.block_number else None
        if timestamp is None:
            raise HeadBehind(
                self._endpoint, head=self._end, number=log.block_number, expected=log.block_hash
            )
        if sent is None and self._look:
            raise TransactionMissing(self._endpoint, log.transaction, log.block_number)
        return EventMeta(
            block_number=log.block_number,
            block_hash=log.block_hash,
            timestamp=timestamp,
            transaction=log.transaction,
            log_index=log.log_index,
            sender=sent.sender if sent else ZERO_ADDRESS,
            call=sent.data if sent else b"",
            to=sent.to if sent else None,
        )
