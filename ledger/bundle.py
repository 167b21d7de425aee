"""Evidence bundles: one CAR file from which a federation can be audited without chain and IPFS.

Whoever opens it trusts one block hash and nothing else. The block's header must have that hash; the
receipts in the bundle must rebuild the header's receipts root; the federation's last event among
them carries the accumulator `h`; and the history must hash to that `h`. The contract is ours if
CREATE2 of the shipped bytecode gives its address. What the accumulator does not cover is only as
good as the bundle's word: numbers, hashes and transactions of the blocks before the trusted one,
and gas. A sender is recovered from the signed transaction; without one it is the zero address.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from eth_utils.address import to_canonical_address, to_checksum_address
from eth_utils.crypto import keccak

from ledger import cbor
from ledger.causes import cause
from ledger.chain.blocks import header_rlp, receipt_bytes, trie_proof, trie_root, trie_value
from ledger.chain.bounded_rlp import LIST, decode_list
from ledger.chain.federations import find_deployment
from ledger.chain.transactions import Sent, read_transaction
from ledger.chain.types import Block, Log, Receipt
from ledger.cid import CID, Codec
from ledger.contracts import Deployment, deployment
from ledger.errors import LedgerError, MalformedRecord
from ledger.headers import federation_id
from ledger.history import (
    BrokenHistory,
    Event,
    EventMeta,
    FederationCreated,
    HistoryReader,
    LogSource,
    decode,
    verify,
)
from ledger.stores import Artefact, BlockNotFound, ContentStore, StoreError
from ledger.stores.car import MAX_CAR, car_parts, read_car, require_whole
from ledger.types import ZERO_ADDRESS, ZERO_DIGEST, Address, Digest, FederationId
from ledger.whole_file import write_whole

KIND = "bundle"
VERSION = 2
PAGE = 1_000
CHUNK = 1 << 20
TRANSACTIONS_ROOT, RECEIPTS_ROOT, NUMBER, TIMESTAMP = 4, 5, 8, 11
OLDEST_HEADER = 15
T = TypeVar("T")


class _Carried(NamedTuple):
    """A transaction as a bundle holds it; `witness` shows that its block has it."""

    raw: bytes
    sent: Sent
    witness: CID | None


class BundleRefused(LedgerError):
    """A bundle that does not prove what it says: what was expected and what was found."""

    def __init__(self, what: str, expected: str, found: str) -> None:
        self.what = what
        self.expected = expected
        self.found = found
        super().__init__(f"bundle: {what}: expected {expected}, found {found}")


class BundleUnwritable(LedgerError):
    """A bundle that this chain's node does not give enough for: what is missing, and why."""

    def __init__(self, what: str, reason: str) -> None:
        self.what = what
        self.reason = reason
        super().__init__(f"no bundle can be written: {what}: {reason}; another node may give it")


class Source(LogSource, Protocol):
    """What a bundle is written from: a chain."""

    @property
    def chain_id(self) -> int:
        """Give the chain's id."""
        ...

    def receipts(self, block: bytes) -> list[Receipt]:
        """Give all receipts of a block, in order."""
        ...

    def receipt(self, transaction: bytes) -> Receipt | None:
        """Give a transaction's receipt."""
        ...


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose history it is, and how its contract was deployed."""

    chain_id: int
    ledger: Address
    federation: FederationId
    deployer: Address
    salt: Digest

    @property
    def deployment(self) -> Deployment:
        """Give the deployment of the shipped contract that the bundle claims."""
        return deployment(self.deployer, self.salt)

    @property
    def ours(self) -> bool:
        """Say whether CREATE2 of the shipped contract gives the ledger's address."""
        return self.deployment.address == self.ledger


@dataclass(frozen=True, slots=True)
class Trusted:
    """The one block that is taken for granted, and the accumulator that it vouches for."""

    number: int
    hash: bytes
    timestamp: int
    h: Digest


class BundleStore:
    """The blocks of a bundle, verified when it was opened; nothing can be put into it."""

    def __init__(self, blocks: Mapping[CID, bytes]) -> None:
        self._blocks = blocks

    def get(self, cid: CID) -> bytes:
        """Return a block's bytes; raise BlockNotFound."""
        if cid not in self._blocks:
            raise BlockNotFound(cid, KIND)
        return self._blocks[cid]

    def put(self, artefact: Artefact) -> None:
        """Refuse: a bundle is evidence."""
        raise StoreError("a bundle cannot be written to; give a store with --store")

    def has(self, cid: CID) -> bool:
        """Tell whether the bundle holds a block."""
        return cid in self._blocks

    def sized(self, size: int) -> Iterator[tuple[CID, bytes]]:
        """Yield the raw blocks of a size."""
        for cid, data in self._blocks.items():
            if cid.codec is Codec.RAW and len(data) == size:
                yield cid, data

    def remove(self, cids: Sequence[CID], *, roots: Collection[CID] = ()) -> list[CID]:
        """Refuse: a bundle is evidence."""
        raise StoreError("nothing can be taken out of a bundle; write another one without it")


@dataclass(frozen=True, slots=True)
class BundleHistory:
    """An opened bundle, whose events lead to the trusted `h`.

    `gas` is what each transaction used, by the bundle's word.
    """

    subject: Subject
    block: Trusted
    events: tuple[Event, ...]
    store: ContentStore
    gas: Mapping[bytes, int]


def write_bundle(
    path: Path | str,
    chain: Source,
    *,
    ledger: Address,
    federation: FederationId,
    blocks: Mapping[CID, bytes],
    deployers: Iterable[Address] = (),
    begins: Callable[[], int] = lambda: 0,
    confirmations: int = 1,
) -> Trusted:
    """Write a federation's history and content as one CAR; return the block to trust.

    `blocks` is the content, as `RecordingStore` collects it. Raise UnknownHeaderLayout or
    BundleUnwritable if the bundle could not be verified. The file appears whole
    or not at all.
    """
    reader = HistoryReader(chain, ledger, federation, confirmations=confirmations, begins=begins)
    events = reader.poll()
    if not events:
        raise BundleUnwritable("the history", "the contract has no event of the federation")
    found = find_deployment(ledger, deployers=deployers, accounts=[events[0].meta.sender])
    subject = Subject(
        chain_id=chain.chain_id,
        ledger=ledger,
        federation=federation,
        deployer=found.deployer if found else ZERO_ADDRESS,
        salt=found.salt if found else ZERO_DIGEST,
    )
    block = chain.block(events[-1].meta.block_hash)
    if block is None:
        raise BundleUnwritable("the last event's block", "the node does not have it")
    parts = _Parts()
    manifest = {
        "kind": "fednode.bundle",
        "version": VERSION,
        "chain": subject.chain_id,
        "ledger": to_canonical_address(ledger),
        "federation": bytes(federation),
        "deployer": to_canonical_address(subject.deployer),
        "salt": bytes(subject.salt),
        **_proof(parts, chain, block),
        "events": parts.pages(
            [_event_row(log, e) for log, e in zip(reader.logs, events, strict=True)]
        ),
        "transactions": parts.pages(_transaction_rows(parts, chain, ledger, events)),
    }
    root = parts.record(manifest)
    _write(Path(path), Artefact((root,), {**blocks, **parts.blocks}))
    return Trusted(block.number, block.hash, block.timestamp, events[-1].h)


class _Parts:
    """The blocks of a bundle as they are made."""

    def __init__(self) -> None:
        self.blocks: dict[CID, bytes] = {}

    def raw(self, data: bytes) -> CID:
        return self._add(CID.of(Codec.RAW, data), data)

    def record(self, value: cbor.Value) -> CID:
        data = cbor.encode(value)
        return self._add(CID.of(Codec.DAG_CBOR, data), data)

    def chunks(self, data: bytes) -> list[CID]:
        return [self.raw(data[at : at + CHUNK]) for at in range(0, len(data), CHUNK)]

    def pages(self, rows: Sequence[cbor.Value]) -> list[CID]:
        return [self.record(list(rows[at : at + PAGE])) for at in range(0, len(rows), PAGE)]

    def _add(self, cid: CID, data: bytes) -> CID:
        self.blocks[cid] = data
        return cid


def _proof(parts: _Parts, chain: Source, block: Block) -> dict[str, cbor.Value]:
    encoded = [receipt_bytes(receipt) for receipt in chain.receipts(block.hash)]
    if trie_root(encoded) != block.header["receiptsRoot"]:
        raise BundleUnwritable(
            f"receipts of block {block.number}", "they are not all there, or of unknown kinds"
        )
    return {
        "header": parts.raw(header_rlp(block)),
        "receipts": [parts.chunks(receipt) for receipt in encoded],
    }


def _event_row(log: Log, event: Event) -> cbor.Value:
    meta = event.meta
    place: list[cbor.Value] = [meta.block_number, meta.block_hash, meta.timestamp]
    return [*place, meta.transaction, meta.log_index, log.topics[0], log.data]


def _transaction_rows(
    parts: _Parts, chain: Source, ledger: Address, events: Sequence[Event]
) -> list[cbor.Value]:
    wrapped = {e.meta.transaction for e in events if cause(e, ledger) is None}
    places = {event.meta.transaction: event.meta.block_hash for event in events}
    rows: list[cbor.Value] = []
    for hash_, block in places.items():
        receipt, transaction = chain.receipt(hash_), chain.transaction(hash_)
        if transaction is None or transaction.raw is None:
            raise _unwritable(hash_, "the node does not give it, or it is of an unknown type")
        witness = _witness(parts, chain, hash_, block) if hash_ in wrapped else None
        gas = receipt.gas_used if receipt else 0
        rows.append([hash_, gas, parts.raw(transaction.raw), witness])
    return rows


def _witness(parts: _Parts, chain: Source, hash_: bytes, place: bytes) -> CID:
    """Write what shows that a transaction is part of its block, and what it did there."""
    block = chain.block(place)
    if block is None or hash_ not in block.transactions:
        raise _unwritable(hash_, f"the node has no block 0x{place.hex()} with it")
    raw = [found.raw if found else None for found in chain.transactions(block.transactions)]
    sent = [data for data in raw if data is not None]
    receipts = [receipt_bytes(receipt) for receipt in chain.receipts(place)]
    roots = (block.header["transactionsRoot"], block.header["receiptsRoot"])
    if len(sent) != len(raw) or (trie_root(sent), trie_root(receipts)) != roots:
        raise _unwritable(hash_, f"block {block.number} has transactions of unknown types")
    index = block.transactions.index(hash_)
    proofs = [list(trie_proof(items, index)) for items in (sent, receipts)]
    return parts.record([parts.raw(header_rlp(block)), index, *proofs])


def _unwritable(transaction: bytes, reason: str) -> BundleUnwritable:
    return BundleUnwritable(f"transaction 0x{transaction.hex()}", reason)


def _write(path: Path, artefact: Artefact) -> None:
    try:
        write_whole(path, car_parts(artefact))
    except OSError as error:
        raise LedgerError(f"bundle {path} cannot be written: {error.strerror}") from error


def open_bundle(path: Path | str, trust_block: bytes, *, limit: int = MAX_CAR) -> BundleHistory:
    """Open a bundle and verify it against the hash of its last event's block.

    Raise MalformedRecord for what is not a bundle and BundleRefused for one that contradicts
    itself: its block, its history or its transactions.
    """
    try:
        with Path(path).open("rb") as file:
            artefact = require_whole(read_car(file, limit=limit))
    except OSError as error:
        raise BundleRefused(f"reading {path}", "a file", error.strerror or str(error)) from error
    return _Opener(artefact).open(trust_block)


_KEYS = (
    "kind",
    "version",
    "chain",
    "ledger",
    "federation",
    "deployer",
    "salt",
    "header",
    "receipts",
    "events",
    "transactions",
)


class _Opener:
    """Reads a manifest's parts; every one is checked before the next is believed."""

    def __init__(self, artefact: Artefact) -> None:
        if len(artefact.roots) != 1 or artefact.roots[0].codec is not Codec.DAG_CBOR:
            raise MalformedRecord(KIND, "a bundle has one root, its manifest")
        self._blocks = artefact.blocks
        # Naming one block again and again must not make a small file large.
        self._left = 2 * sum(len(data) for data in artefact.blocks.values())
        self._manifest = cbor.decode_map(artefact.blocks[artefact.roots[0]], KIND, _KEYS)
        kind, version = self._field("kind", str), self._field("version", int)
        if (kind, version) != ("fednode.bundle", VERSION):
            raise MalformedRecord(
                KIND,
                f"kind {kind[:40]!r} version {version}, where this program reads version {VERSION}",
            )
        self._subject = Subject(
            chain_id=self._field("chain", int),
            ledger=_address(self._field("ledger", bytes)),
            federation=FederationId(_sized(self._field("federation", bytes), "federation")),
            deployer=_address(self._field("deployer", bytes)),
            salt=Digest(_sized(self._field("salt", bytes), "salt")),
        )

    def open(self, trust_block: bytes) -> BundleHistory:
        header = self._header(trust_block)
        number, timestamp = _number(header, NUMBER), _number(header, TIMESTAMP)
        last = self._last_logs(_item(header, RECEIPTS_ROOT))
        trusted = Trusted(number, trust_block, timestamp, Digest(last[-1][1][-32:]))
        carried, gas = self._transactions()
        rows = [self._row(row, carried) for row in self._pages("events")]
        self._check_history(rows, trusted, last)
        self._check_transactions(rows, carried)
        return BundleHistory(
            subject=self._subject,
            block=trusted,
            events=tuple(event for _, event in rows),
            store=BundleStore(self._blocks),
            gas=gas,
        )

    def _header(self, trust_block: bytes) -> Sequence[object]:
        encoded = self._raw(self._field("header", CID))
        found = keccak(encoded)
        if found != trust_block:
            raise BundleRefused("the trusted block", f"0x{trust_block.hex()}", f"0x{found.hex()}")
        return _decoded_header(encoded)

    def _last_logs(self, root: bytes) -> list[tuple[bytes, bytes]]:
        """Give topic and data of the federation's logs in the trusted block, in order."""
        receipts = [
            b"".join(self._raw(cid) for cid in _typed(parts, list, "receipts"))
            for parts in self._field("receipts", list)
        ]
        if not all(receipts):
            # A trie takes an empty value for none at all, so its root says nothing about them.
            raise MalformedRecord(KIND, "a receipt without bytes")
        found = trie_root(receipts)
        if found != root:
            raise BundleRefused(
                "receipts of the trusted block", f"root 0x{root.hex()}", f"0x{found.hex()}"
            )
        logs = [log for receipt in receipts for log in self._own_logs(receipt)]
        if not logs or len(logs[-1][1]) < 32:
            raise BundleRefused(
                "the trusted block",
                "an event of the federation",
                "none: trust the last one's block",
            )
        return logs

    def _own_logs(self, receipt: bytes) -> list[tuple[bytes, bytes]]:
        address = to_canonical_address(self._subject.ledger)
        return [
            (topics[0], data)
            for emitter, topics, data in _receipt_logs(receipt)
            if emitter == address and topics[1:] == [self._subject.federation]
        ]

    def _transactions(self) -> tuple[dict[bytes, _Carried], dict[bytes, int]]:
        carried: dict[bytes, _Carried] = {}
        gas: dict[bytes, int] = {}
        for row in self._pages("transactions"):
            hash_, used, link, witness = _columns(row, 4, "transactions")
            name = _sized(_typed(hash_, bytes, "transactions"), "transactions")
            gas[name] = _typed(used, int, "transactions")
            if gas[name] < 0:
                raise MalformedRecord(KIND, "transactions: a negative number")
            if link is None:
                raise BundleRefused(
                    f"transaction 0x{name.hex()}", "its signed bytes", "not in this bundle"
                )
            shown = None if witness is None else _typed(witness, CID, "transactions")
            carried[name] = _Carried(*self._signed(name, self._raw(link)), shown)
        return carried, gas

    def _signed(self, hash_: bytes, raw: bytes) -> tuple[bytes, Sent]:
        if keccak(raw) != hash_:
            raise BundleRefused("a transaction", f"0x{hash_.hex()}", f"0x{keccak(raw).hex()}")
        sent = read_transaction(raw)
        if sent.chain_id not in (None, self._subject.chain_id):
            raise BundleRefused(
                f"transaction 0x{hash_.hex()}",
                f"one of chain {self._subject.chain_id}",
                f"one of chain {sent.chain_id}",
            )
        return raw, sent

    def _row(self, row: cbor.Value, carried: Mapping[bytes, _Carried]) -> tuple[Log, Event]:
        number, block, timestamp, transaction, index, topic, data = _columns(row, 7, "events")
        log = Log(
            address=self._subject.ledger,
            topics=(_typed(topic, bytes, "events"), self._subject.federation),
            data=_typed(data, bytes, "events"),
            block_number=_typed(number, int, "events"),
            block_hash=_sized(_typed(block, bytes, "events"), "events"),
            transaction=_sized(_typed(transaction, bytes, "events"), "events"),
            log_index=_typed(index, int, "events"),
        )
        when = _typed(timestamp, int, "events")
        if min(when, log.block_number, log.log_index) < 0:
            raise MalformedRecord(KIND, "events: a negative number")
        if log.transaction not in carried:
            raise BundleRefused(
                f"transaction 0x{log.transaction.hex()}", "its signed bytes", "not in this bundle"
            )
        sent = carried[log.transaction].sent
        meta = EventMeta(
            block_number=log.block_number,
            block_hash=log.block_hash,
            timestamp=when,
            transaction=log.transaction,
            log_index=log.log_index,
            sender=sent.sender,
            call=sent.data,
            to=sent.to,
        )
        return log, decode(log, meta)

    def _check_history(
        self,
        rows: Sequence[tuple[Log, Event]],
        trusted: Trusted,
        last: Sequence[tuple[bytes, bytes]],
    ) -> None:
        """Refuse events that do not lead to the trusted `h`."""
        if not rows or not isinstance(created := rows[0][1], FederationCreated):
            raise BundleRefused("the history", "a creation first", "none")
        h, place, time = ZERO_DIGEST, (0, -1), 0
        for log, event in rows:
            try:
                h = verify(h, event.meta.timestamp, log, event)
            except BrokenHistory as error:
                expected, found = f"h 0x{error.expected.hex()}", f"0x{error.found.hex()}"
                raise BundleRefused(_named(event), expected, found) from None
            here = (log.block_number, log.log_index)
            if here <= place or event.meta.timestamp < time:
                raise BundleRefused(_named(event), f"a place behind {place}", str(here))
            place, time = here, event.meta.timestamp
        if h != trusted.h:
            raise BundleRefused(
                "the history", f"events that hash to 0x{trusted.h.hex()}", f"0x{h.hex()}"
            )
        self._check_ends(created, rows, trusted, last)

    def _check_ends(
        self,
        created: FederationCreated,
        rows: Sequence[tuple[Log, Event]],
        trusted: Trusted,
        last: Sequence[tuple[bytes, bytes]],
    ) -> None:
        """Check the first event against the federation's id and the last against the block."""
        subject = self._subject
        derived = federation_id(
            subject.chain_id,
            subject.ledger,
            creator=created.creator,
            policy=created.policy,
            salt=Digest(created.salt),
        )
        if derived != subject.federation:
            named = f"0x{subject.federation.hex()}"
            raise BundleRefused("the federation's id", f"0x{derived.hex()}", named)
        ending = [(log, event) for log, event in rows if log.block_hash == trusted.hash]
        if [(log.topics[0], log.data) for log, _ in ending] != list(last):
            raise BundleRefused("the last events", "those of the trusted block", "others")
        known = (trusted.number, trusted.timestamp)
        if any((e.meta.block_number, e.meta.timestamp) != known for _, e in ending):
            raise BundleRefused("the last events", f"number and time {known}", "others")

    def _check_transactions(
        self, rows: Sequence[tuple[Log, Event]], carried: Mapping[bytes, _Carried]
    ) -> None:
        """Refuse a transaction that is not the event's, by its call or by its block's word."""
        blocks: dict[int, tuple[bytes, int]] = {}
        places: dict[bytes, int] = {}
        for log, event in rows:
            block = (log.block_hash, event.meta.timestamp)
            known = blocks.setdefault(log.block_number, block)
            number = places.setdefault(log.transaction, log.block_number)
            if known != block or number != log.block_number:
                raise BundleRefused(_named(event), "one block of each number", "two")
            if cause(event, self._subject.ledger) is None:
                self._check_witness(log, event, carried[log.transaction])

    def _check_witness(self, log: Log, event: Event, carried: _Carried) -> None:
        subject = f"the transaction of {_named(event)}"
        if carried.witness is None:
            raise BundleRefused(subject, "the event's call, or its block", "neither")
        link, index, *proofs = _columns(self._record(carried.witness), 4, "witness")
        header = _decoded_header(self._raw(link))
        place = _typed(index, int, "witness")
        if keccak(self._raw(link)) != log.block_hash:
            raise BundleRefused(subject, f"block 0x{log.block_hash.hex()}", "another header")
        known = (_number(header, NUMBER), _number(header, TIMESTAMP))
        if known != (log.block_number, event.meta.timestamp):
            raise BundleRefused(subject, f"number and time {known}", "others")
        raw, receipt = (
            trie_value(_item(header, root), place, _nodes(proof))
            for root, proof in zip((TRANSACTIONS_ROOT, RECEIPTS_ROOT), proofs, strict=True)
        )
        if raw != carried.raw or not receipt:
            raise BundleRefused(subject, "one that its block has", "one that it has not")
        if (log.topics[0], log.data) not in self._own_logs(receipt):
            raise BundleRefused(subject, "one that logs the event", "one that does not")

    def _record(self, link: CID) -> cbor.Value:
        return cbor.decode(self._block(link, Codec.DAG_CBOR))

    def _pages(self, name: str) -> Iterator[cbor.Value]:
        for link in self._field(name, list):
            data = self._block(_typed(link, CID, name), Codec.DAG_CBOR)
            yield from _typed(cbor.decode(data), list, name)

    def _field(self, name: str, kind: type[T]) -> T:
        return cbor.field(self._manifest, name, kind, kind=KIND)

    def _raw(self, cid: cbor.Value) -> bytes:
        return self._block(_typed(cid, CID, "link"), Codec.RAW)

    def _block(self, cid: CID, codec: Codec) -> bytes:
        if cid.codec is not codec or cid not in self._blocks:
            raise MalformedRecord(KIND, f"block {cid}, which it names, is not in this bundle")
        data = self._blocks[cid]
        self._left -= len(data)
        if self._left < 0:
            raise MalformedRecord(KIND, "it names the same blocks again and again")
        return data


def _typed(value: object, kind: type[T], where: str) -> T:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise MalformedRecord(KIND, f"{where}: a {type(value).__name__}, not a {kind.__name__}")
    return value


def _sized(value: bytes, where: str) -> bytes:
    if len(value) != 32:
        raise MalformedRecord(KIND, f"{where}: {len(value)} bytes, not 32")
    return value


def _address(value: bytes) -> Address:
    if len(value) != 20:
        raise MalformedRecord(KIND, f"an address of {len(value)} bytes")
    return Address(to_checksum_address(value))


def _columns(row: cbor.Value, count: int, where: str) -> Sequence[cbor.Value]:
    if not isinstance(row, list) or len(row) != count:
        raise MalformedRecord(KIND, f"{where}: a row must have {count} columns")
    return row


def _decoded_header(encoded: bytes) -> Sequence[object]:
    header = decode_list(encoded)
    if len(header) < OLDEST_HEADER:
        raise MalformedRecord(KIND, "a block's header has an unknown layout")
    return header


def _item(header: Sequence[object], index: int) -> bytes:
    return _typed(header[index], bytes, "header")


def _number(header: Sequence[object], index: int) -> int:
    return int.from_bytes(_item(header, index), "big")


def _nodes(proof: cbor.Value) -> list[bytes]:
    return [_typed(node, bytes, "witness") for node in _typed(proof, list, "witness")]


def _named(event: Event) -> str:
    return f"{type(event).__name__} in block {event.meta.block_number}"


def _receipt_logs(receipt: bytes) -> list[tuple[bytes, list[bytes], bytes]]:
    """Read a receipt's logs; a receipts root has vouched for its bytes, and a bundle for the
    root.
    """
    body = decode_list(receipt if receipt[0] >= LIST else receipt[1:])
    logs = _typed(body[3], list, "receipt") if len(body) > 3 else []
    return [_receipt_log(log) for log in logs]


def _receipt_log(log: object) -> tuple[bytes, list[bytes], bytes]:
    fields = _typed(log, list, "receipt's log")
    if len(fields) != 3:
        raise MalformedRecord(KIND, f"a receipt's log of {len(fields)} fields")
    emitter, topics, data = fields
    named = [_typed(topic, bytes, "topic") for topic in _typed(topics, list, "topics")]
    return _typed(emitter, bytes, "emitter"), named, _typed(data, bytes, "receipt's log")
