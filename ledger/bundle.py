"""Evidence bundles: one CAR file from which a federation can be audited without chain and IPFS.

Whoever opens it trusts one block hash and nothing else. The block's header must have that hash; the
receipts in the bundle must rebuild the header's receipts root; the federation's last event among
them carries the accumulator `h`; and the history must hash to that `h`. The contract is ours if
CREATE2 of the shipped bytecode gives its address. What the accumulator does not cover is only as
good as the bundle's word: numbers, hashes and transactions of the blocks before the trusted one,
and gas. A sender is recovered from the signed transaction; without one it is the zero address.
"""

import os
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import rlp
from eth_account import Account as EthAccount
from eth_utils.address import to_canonical_address, to_checksum_address
from eth_utils.crypto import keccak

from ledger import cbor
from ledger.chain.blocks import header_rlp, receipt_bytes, trie_root
from ledger.chain.federations import find_deployment
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

KIND = "bundle"
VERSION = 1
PAGE = 1_000
CHUNK = 1 << 20
RECEIPTS_ROOT, NUMBER, TIMESTAMP = 5, 8, 11
OLDEST_HEADER = 15
T = TypeVar("T")


class _Sent(NamedTuple):
    """Who signed a transaction, and what it called."""

    sender: Address
    call: bytes


_UNKNOWN = _Sent(ZERO_ADDRESS, b"")


class BundleRefused(LedgerError):
    """A bundle that does not prove what it says: what was expected and what was found."""

    def __init__(self, what: str, expected: str, found: str) -> None:
        self.what = what
        self.expected = expected
        self.found = found
        super().__init__(f"bundle: {what}: expected {expected}, found {found}")


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
    """An opened bundle. `broken` says why the events do not lead to the trusted `h`, if so.

    `gas` is what each transaction used, by the bundle's word.
    """

    subject: Subject
    block: Trusted
    events: tuple[Event, ...]
    store: ContentStore
    gas: Mapping[bytes, int]
    broken: str | None = None


def write_bundle(
    path: Path | str,
    chain: Source,
    *,
    ledger: Address,
    federation: FederationId,
    blocks: Mapping[CID, bytes],
    deployers: Iterable[Address] = (),
    from_block: int = 0,
    confirmations: int = 1,
) -> Trusted:
    """Write a federation's history and content as one CAR; return the block to trust.

    `blocks` is the content, as `RecordingStore` collects it. Raise UnknownHeaderLayout or
    BundleRefused if the trusted block could not be verified from the bundle. The file appears whole
    or not at all.
    """
    reader = HistoryReader(
        chain, ledger, federation, confirmations=confirmations, from_block=from_block
    )
    events = reader.poll()
    if not events:
        raise BundleRefused("history", "at least one event", "none at this ledger address")
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
        raise BundleRefused(
            "the last event's block", f"0x{events[-1].meta.block_hash.hex()}", "none"
        )
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
        "transactions": parts.pages(_transaction_rows(parts, chain, events)),
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
    root = trie_root(encoded)
    if root != block.header["receiptsRoot"]:
        raise BundleRefused(
            f"receipts of block {block.number}, whose kinds may not be known here",
            f"root 0x{block.header['receiptsRoot'].hex()}",
            f"0x{root.hex()}",
        )
    return {
        "header": parts.raw(header_rlp(block)),
        "receipts": [parts.chunks(receipt) for receipt in encoded],
    }


def _event_row(log: Log, event: Event) -> cbor.Value:
    meta = event.meta
    place: list[cbor.Value] = [meta.block_number, meta.block_hash, meta.timestamp]
    return [*place, meta.transaction, meta.log_index, log.topics[0], log.data]


def _transaction_rows(parts: _Parts, chain: Source, events: Sequence[Event]) -> list[cbor.Value]:
    rows: list[cbor.Value] = []
    for hash_ in dict.fromkeys(event.meta.transaction for event in events):
        receipt, transaction = chain.receipt(hash_), chain.transaction(hash_)
        raw = transaction.raw if transaction else None
        rows.append([hash_, receipt.gas_used if receipt else 0, parts.raw(raw) if raw else None])
    return rows


def _write(path: Path, artefact: Artefact) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.writelines(car_parts(artefact))
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise LedgerError(f"bundle {path} cannot be written: {error.strerror}") from error


def open_bundle(path: Path | str, trust_block: bytes, *, limit: int = MAX_CAR) -> BundleHistory:
    """Open a bundle and verify it against the hash of its last event's block.

    Raise MalformedRecord for what is not a bundle and BundleRefused for one that does not prove its
    block; a history that does not hash to the trusted `h` comes back with `broken` set, so that an
    audit can say where.
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
            raise MalformedRecord(KIND, f"kind {kind[:40]!r} version {version}, not known here")
        self._subject = Subject(
            chain_id=self._field("chain", int),
            ledger=_address(self._field("ledger", bytes)),
            federation=FederationId(_sized(self._field("federation", bytes), "federation")),
            deployer=_address(self._field("deployer", bytes)),
            salt=Digest(_sized(self._field("salt", bytes), "salt")),
        )

    def open(self, trust_block: bytes) -> BundleHistory:
        header = self._header(trust_block)
        number = int.from_bytes(_item(header, NUMBER), "big")
        timestamp = int.from_bytes(_item(header, TIMESTAMP), "big")
        last = self._last_logs(_item(header, RECEIPTS_ROOT))
        trusted = Trusted(number, trust_block, timestamp, Digest(last[-1][1][-32:]))
        sent, gas = self._transactions()
        rows = [self._row(row, sent) for row in self._pages("events")]
        events = tuple(event for _, event in rows)
        broken = self._broken(rows, trusted, last)
        return BundleHistory(
            subject=self._subject,
            block=trusted,
            events=events,
            store=BundleStore(self._blocks),
            gas=gas,
            broken=broken,
        )

    def _header(self, trust_block: bytes) -> Sequence[object]:
        encoded = self._raw(self._field("header", CID))
        found = keccak(encoded)
        if found != trust_block:
            raise BundleRefused("the trusted block", f"0x{trust_block.hex()}", f"0x{found.hex()}")
        header = rlp.decode(encoded)
        if not isinstance(header, list) or len(header) < OLDEST_HEADER:
            raise MalformedRecord(KIND, "the trusted block's header has an unknown layout")
        return header

    def _last_logs(self, root: bytes) -> list[tuple[bytes, bytes]]:
        """Give topic and data of the federation's logs in the trusted block, in order."""
        receipts = [
            b"".join(self._raw(cid) for cid in _typed(parts, list, "receipts"))
            for parts in self._field("receipts", list)
        ]
        found = trie_root(receipts)
        if found != root:
            raise BundleRefused(
                "receipts of the trusted block", f"root 0x{root.hex()}", f"0x{found.hex()}"
            )
        address = to_canonical_address(self._subject.ledger)
        logs = [
            (topics[0], data)
            for receipt in receipts
            for emitter, topics, data in _receipt_logs(receipt)
            if emitter == address and topics[1:] == [self._subject.federation]
        ]
        if not logs or len(logs[-1][1]) < 32:
            raise BundleRefused(
                "the trusted block",
                "an event of the federation",
                "none: trust the last one's block",
            )
        return logs

    def _transactions(self) -> tuple[dict[bytes, _Sent], dict[bytes, int]]:
        sent: dict[bytes, _Sent] = {}
        gas: dict[bytes, int] = {}
        for row in self._pages("transactions"):
            hash_, used, link = _columns(row, 3, "transactions")
            name = _sized(_typed(hash_, bytes, "transactions"), "transactions")
            gas[name] = _typed(used, int, "transactions")
            if link is not None:
                sent[name] = _recover(name, self._raw(_typed(link, CID, "transactions")))
        return sent, gas

    def _row(self, row: cbor.Value, sent: Mapping[bytes, _Sent]) -> tuple[Log, Event]:
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
        sender, call = sent.get(log.transaction, _UNKNOWN)
        meta = EventMeta(
            block_number=log.block_number,
            block_hash=log.block_hash,
            timestamp=when,
            transaction=log.transaction,
            log_index=log.log_index,
            sender=sender,
            call=call,
        )
        return log, decode(log, meta)

    def _broken(
        self,
        rows: Sequence[tuple[Log, Event]],
        trusted: Trusted,
        last: Sequence[tuple[bytes, bytes]],
    ) -> str | None:
        """Say the first thing that keeps the events from leading to the trusted `h`."""
        if not rows or not isinstance(created := rows[0][1], FederationCreated):
            return "the history does not begin with the federation's creation"
        h, place = ZERO_DIGEST, (0, -1)
        for log, event in rows:
            try:
                h = verify(h, event.meta.timestamp, log, event)
            except BrokenHistory as error:
                return str(error)
            if (log.block_number, log.log_index) <= place:
                return f"{type(event).__name__} in block {log.block_number} is out of order"
            place = (log.block_number, log.log_index)
        if h != trusted.h:
            return f"the events hash to 0x{h.hex()}, the trusted block has 0x{trusted.h.hex()}"
        return self._broken_ends(created, rows, trusted, last)

    def _broken_ends(
        self,
        created: FederationCreated,
        rows: Sequence[tuple[Log, Event]],
        trusted: Trusted,
        last: Sequence[tuple[bytes, bytes]],
    ) -> str | None:
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
            return f"chain, ledger, creator and policy give federation 0x{derived.hex()}"
        ending = [(log, event) for log, event in rows if log.block_hash == trusted.hash]
        if [(log.topics[0], log.data) for log, _ in ending] != list(last):
            return "the last events are not those of the trusted block"
        known = (trusted.number, trusted.timestamp)
        if any((e.meta.block_number, e.meta.timestamp) != known for _, e in ending):
            return "the last events have another number or time than the trusted block"
        return None

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
            raise MalformedRecord(KIND, f"block {cid}, which it names, is missing")
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


def _item(header: Sequence[object], index: int) -> bytes:
    return _typed(header[index], bytes, "header")


def _receipt_logs(receipt: bytes) -> list[tuple[bytes, list[bytes], bytes]]:
    """Read a receipt's logs; the receipts root has vouched for its bytes."""
    body = rlp.decode(receipt if receipt[0] >= 0xC0 else receipt[1:])
    return [(bytes(a), [bytes(t) for t in topics], bytes(data)) for a, topics, data in body[3]]


def _recover(hash_: bytes, raw: bytes) -> _Sent:
    """Recover who signed a transaction, and read what it calls. The bytes are anybody's: whatever
    goes wrong is refused.
    """
    if keccak(raw) != hash_:
        raise BundleRefused("a transaction", f"0x{hash_.hex()}", f"0x{keccak(raw).hex()}")
    try:
        sender = Address(EthAccount.recover_transaction(raw))
        return _Sent(sender, _called(raw))
    except Exception as error:
        raise MalformedRecord(KIND, f"transaction 0x{hash_.hex()} cannot be read") from error


def _called(raw: bytes) -> bytes:
    """Give a signed transaction's data, from where its type has them (EIP-2718)."""
    typed = raw[0] < 0xC0
    fields = rlp.decode(raw[1:] if typed else raw)
    place = {0x01: 6}.get(raw[0], 7) if typed else 5
    return bytes(fields[place])
