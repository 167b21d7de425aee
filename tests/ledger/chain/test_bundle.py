"""Evidence bundles on every engine: what was written opens, and every alteration is found."""

import json
import random
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from eth_account import Account as EthAccount
from eth_utils.address import to_canonical_address, to_checksum_address
from eth_utils.crypto import keccak

from fednode.testnet import ANVIL_KEYS
from ledger import cbor
from ledger.bundle import (
    BundleHistory,
    BundleRefused,
    BundleUnwritable,
    Trusted,
    open_bundle,
    write_bundle,
)
from ledger.chain.accounts import Account, from_key
from ledger.chain.blocks import (
    UnknownHeaderLayout,
    header_rlp,
    trie_proof,
    trie_root,
    trie_value,
)
from ledger.chain.calls import call
from ledger.chain.transactions import read_transaction
from ledger.cid import CID, Codec
from ledger.errors import LedgerError, MalformedRecord
from ledger.history import Checkpoint, HistoryReader, UpdateCommitted
from ledger.stores import Artefact, BlockNotFound, MemoryStore, RecordingStore, StoreError
from ledger.stores.car import read_car, write_car
from ledger.types import ZERO_ADDRESS, Address
from tests.engines import Engine, embedded
from tests.ledger.chain.samples import Sample, commit, start
from tests.tamper.wrapping import Wrapped, forwarder

Rows = list[cbor.Value]
Alter = Callable[[dict[str, cbor.Value], dict[CID, bytes]], object]
AlterRows = Callable[[Rows], object]


def content() -> dict[CID, bytes]:
    """Give two blocks, collected as an audit would."""
    artefact = Artefact.of(Codec.RAW, b"some model").merge(Artefact.of(Codec.RAW, b"its header"))
    store = MemoryStore()
    store.put(artefact)
    recording = RecordingStore(store)
    for root in artefact.roots:
        assert recording.get(root) == recording.get(root) == artefact.blocks[root]
    assert recording.has(artefact.roots[0])
    return recording.blocks


def history(engine: Engine) -> Sample:
    sample = start(engine)
    commit(sample, 1)
    commit(sample, 0)
    sample.contract.checkpoint(engine.accounts[3], sample.federation)
    return sample


def write(engine: Engine, path: Path) -> tuple[Sample, Trusted]:
    sample = history(engine)
    trusted = write_bundle(
        path,
        engine.chain,
        ledger=sample.contract.address,
        federation=sample.federation,
        blocks=content(),
    )
    return sample, trusted


def test_round_trip_on_every_engine(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "evidence.car"
    sample, trusted = write(engine, path)
    opened = open_bundle(path, trusted.hash)
    assert opened.block == trusted
    assert opened.subject.ours
    assert opened.subject.chain_id == engine.chain.chain_id
    reader = HistoryReader(engine.chain, sample.contract.address, sample.federation)
    assert list(opened.events) == reader.poll()
    assert opened.block.h == sample.contract.accumulator(sample.federation)
    assert isinstance(opened.events[-1], Checkpoint)
    assert ZERO_ADDRESS not in {event.meta.sender for event in opened.events}
    assert all(opened.gas[event.meta.transaction] > 21_000 for event in opened.events)
    for cid, data in content().items():
        assert opened.store.has(cid)
        assert opened.store.get(cid) == data
    missing = CID.of(Codec.RAW, b"missing")
    assert not opened.store.has(missing)
    with pytest.raises(BlockNotFound):
        opened.store.get(missing)
    with pytest.raises(StoreError):
        opened.store.put(Artefact.of(Codec.RAW, b"x"))


def test_headers_of_every_engine_hash(engine: Engine) -> None:
    for number in range(max(0, engine.chain.block_number() - 5), engine.chain.block_number() + 1):
        block = engine.chain.block(number)
        assert block is not None
        assert keccak(header_rlp(block)) == block.hash


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """Give a bundle's bytes and its trusted block's hash."""
    path = tmp_path_factory.mktemp("bundle") / "evidence.car"
    _, trusted = write(embedded(), path)
    return path.read_bytes(), trusted.hash


def altered(data: bytes, alter: Alter) -> bytes:
    """Rewrite a bundle with an altered manifest or blocks, all CIDs in order."""
    artefact = read_car(data)
    manifest = cbor.decode(artefact.blocks[artefact.roots[0]])
    assert isinstance(manifest, dict)
    blocks = {c: b for c, b in artefact.blocks.items() if c != artefact.roots[0]}
    alter(manifest, blocks)
    changed = Artefact.of(Codec.DAG_CBOR, cbor.encode(manifest))
    return write_car(Artefact(changed.roots, {**blocks, **changed.blocks}))


def change_rows(name: str, change: AlterRows) -> Alter:
    def alter(manifest: dict[str, cbor.Value], blocks: dict[CID, bytes]) -> None:
        links = manifest[name]
        assert isinstance(links, list)
        (link,) = links
        assert isinstance(link, CID)
        rows = cbor.decode(blocks.pop(link))
        assert isinstance(rows, list)
        change(rows)
        page = Artefact.of(Codec.DAG_CBOR, cbor.encode(rows))
        blocks.update(page.blocks)
        manifest[name] = list(page.roots)

    return alter


def open_bytes(data: bytes, trust: bytes, folder: Path) -> BundleHistory:
    path = folder / "altered.car"
    path.write_bytes(data)
    return open_bundle(path, trust)


def set_column(rows: list[cbor.Value], row: int, column: int, value: cbor.Value) -> None:
    entry = rows[row]
    assert isinstance(entry, list)
    entry[column] = value


def flip(value: cbor.Value, place: int) -> bytes:
    assert isinstance(value, bytes)
    place %= len(value)
    return value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :]


def cell(rows: list[cbor.Value], row: int, column: int) -> cbor.Value:
    entry = rows[row]
    assert isinstance(entry, list)
    value: cbor.Value = entry[column]
    return value


def again(lists: cbor.Value, place: int) -> list[cbor.Value]:
    assert isinstance(lists, list)
    return list(lists[place]) * 20_000


HISTORY: dict[str, tuple[AlterRows, str]] = {
    "event left out": (lambda rows: rows.pop(2), "expected h"),
    "first event left out": (lambda rows: rows.pop(0), "a creation first"),
    "last event left out": (lambda rows: rows.pop(), "those of the trusted block"),
    "last events left out": (lambda rows: rows.__delitem__(slice(4, None)), "that hash to"),
    "all events left out": (lambda rows: rows.clear(), "a creation first"),
    "events swapped": (lambda rows: rows.insert(1, rows.pop(2)), "expected h"),
    "event repeated": (lambda rows: rows.insert(3, rows[3]), "expected h"),
    "checkpoint repeated": (lambda rows: rows.append(rows[-1]), "a place behind"),
    "field altered": (lambda rows: set_column(rows, 1, 6, flip(cell(rows, 1, 6), 150)), "h 0x"),
    "accumulator altered": (
        lambda rows: set_column(rows, 1, 6, flip(cell(rows, 1, 6), 255)),
        "expected h",
    ),
    "time altered": (lambda rows: set_column(rows, 3, 2, 12345), "expected h"),
    "order of blocks altered": (lambda rows: set_column(rows, 3, 0, 1), "a place behind"),
    "last block renamed": (lambda rows: set_column(rows, -1, 1, bytes(32)), "last events"),
    "two blocks of one number": (
        lambda rows: set_column(rows, 3, 1, bytes(32)),
        "one block of each number",
    ),
    "time of a checkpoint, which h does not hold": (
        lambda rows: set_column(rows, -1, 2, 1 << 62),
        "number and time",
    ),
    "transaction of another event": (
        lambda rows: set_column(rows, 1, 3, cell(rows, 2, 3)),
        "neither",
    ),
    "transaction that is not there": (
        lambda rows: set_column(rows, 1, 3, bytes(32)),
        "not in this bundle",
    ),
    "negative time": (lambda rows: set_column(rows, 1, 2, -1), "negative"),
    "short row": (lambda rows: rows.append([1]), "7 columns"),
    "unknown topic": (lambda rows: set_column(rows, 1, 5, bytes(32)), "unknown topics"),
}


@pytest.mark.parametrize("name", HISTORY)
def test_an_altered_history_is_refused(
    name: str, bundle: tuple[bytes, bytes], tmp_path: Path
) -> None:
    data, trust = bundle
    change, reason = HISTORY[name]
    with pytest.raises((BundleRefused, MalformedRecord), match=reason):
        open_bytes(altered(data, change_rows("events", change)), trust, tmp_path)


MALLORY = from_key(bytes([9] * 32))


def signed(chain_id: int | None, to: Address | None, call: bytes, kind: int = 2) -> bytes:
    """Sign a transaction that no block has."""
    fields: dict[str, object] = {"nonce": 0, "gas": 100_000, "value": 0, "data": call}
    if kind == 2:
        fields |= {"maxFeePerGas": 1, "maxPriorityFeePerGas": 1, "type": 2}
    else:
        fields |= {"gasPrice": 1}
    if chain_id is not None:
        fields["chainId"] = chain_id
    if to is not None:
        fields["to"] = to
    return MALLORY.sign_transaction(fields)


def replace_transaction(at: int, make: Callable[[bytes, int, Address], bytes | None]) -> Alter:
    """Put another transaction in the place of an event's; the event names it."""

    def alter(manifest: dict[str, cbor.Value], blocks: dict[CID, bytes]) -> None:
        chain_id, ledger = manifest["chain"], manifest["ledger"]
        assert isinstance(chain_id, int)
        assert isinstance(ledger, bytes)
        swapped: dict[bytes, bytes] = {}

        def rows(found: Rows) -> None:
            link = cell(found, at, 2)
            assert isinstance(link, CID)
            raw = make(blocks[link], chain_id, Address(to_checksum_address(ledger)))
            old = cell(found, at, 0)
            assert isinstance(old, bytes)
            if raw is None:
                set_column(found, at, 2, None)
                return
            new = CID.of(Codec.RAW, raw)
            blocks[new] = raw
            swapped[old] = keccak(raw)
            set_column(found, at, 0, keccak(raw))
            set_column(found, at, 2, new)

        def events(found: Rows) -> None:
            for place in range(len(found)):
                name = cell(found, place, 3)
                assert isinstance(name, bytes)
                set_column(found, place, 3, swapped.get(name, name))

        change_rows("transactions", rows)(manifest, blocks)
        change_rows("events", events)(manifest, blocks)

    return alter


def called(raw: bytes) -> bytes:
    return read_transaction(raw).data


TRANSACTIONS: dict[str, tuple[Callable[[bytes, int, Address], bytes | None], str]] = {
    "stripped": (lambda raw, chain, to: None, "not in this bundle"),
    "of another chain": (lambda raw, chain, to: signed(chain + 1, to, called(raw)), "of chain"),
    "to another account": (
        lambda raw, chain, to: signed(chain, MALLORY.address, called(raw)),
        "the event's call, or its block",
    ),
    "to nobody": (lambda raw, chain, to: signed(chain, None, called(raw)), "the event's call"),
    "a plain transfer": (lambda raw, chain, to: signed(chain, MALLORY.address, b""), "neither"),
    "another call": (lambda raw, chain, to: signed(chain, to, b"\1\2\3\4"), "neither"),
    "another function": (
        lambda raw, chain, to: signed(chain, to, call("advance", called(raw)[4:36])),
        "neither",
    ),
    "another digest": (lambda raw, chain, to: signed(chain, to, flip(called(raw), -1)), "neither"),
    "another federation": (
        lambda raw, chain, to: signed(chain, to, flip(called(raw), 5)),
        "neither",
    ),
    "cut off": (lambda raw, chain, to: raw[:-1], "RLP"),
    "empty": (lambda raw, chain, to: b"", "no bytes"),
    "nested without end": (lambda raw, chain, to: b"\xf9\xff\xff" + b"\xc1" * 65535, "RLP"),
    "of an unknown type": (lambda raw, chain, to: b"\x7f" + raw[1:], "unknown type"),
}


@pytest.mark.parametrize("name", TRANSACTIONS)
def test_a_transaction_that_is_not_the_events_is_refused(
    name: str, bundle: tuple[bytes, bytes], tmp_path: Path
) -> None:
    """Transaction 3 is the first commit: creation and two joins come before it."""
    data, trust = bundle
    make, reason = TRANSACTIONS[name]
    with pytest.raises((BundleRefused, MalformedRecord), match=reason) as refused:
        open_bytes(altered(data, replace_transaction(3, make)), trust, tmp_path)
    assert MALLORY.address not in str(refused.value)


@pytest.mark.parametrize("chain_id", [None, "its own"])
def test_the_events_call_counts_whoever_signed_it(
    chain_id: str | None, bundle: tuple[bytes, bytes], tmp_path: Path
) -> None:
    """Whether that account was entitled is the audit's question, which knows the state."""
    data, trust = bundle

    def make(raw: bytes, chain: int, to: Address) -> bytes:
        return signed(chain if chain_id else None, to, called(raw), kind=2 if chain_id else 0)

    opened = open_bytes(altered(data, replace_transaction(3, make)), trust, tmp_path)
    assert MALLORY.address in {event.meta.sender for event in opened.events}


REFUSED: dict[str, tuple[Alter, str]] = {
    "another federation": (
        lambda m, b: m.update(federation=flip(m["federation"], 5)),
        "an event of the federation",
    ),
    "another ledger": (
        lambda m, b: m.update(ledger=flip(m["ledger"], 5)),
        "an event of the federation",
    ),
    "another chain": (lambda m, b: m.update(chain=5), "one of chain 5"),
    "no receipts": (lambda m, b: m.update(receipts=[]), "root"),
    "empty receipt": (
        lambda m, b: m.update(receipts=[*listed(m, "receipts"), []]),
        "without bytes",
    ),
    "receipts without parts": (lambda m, b: m.update(receipts=[[]]), "without bytes"),
    "receipt twice": (lambda m, b: m.update(receipts=listed(m, "receipts") * 2), "root"),
    "unknown key": (lambda m, b: m.update(extra=1), "extra"),
    "missing key": (lambda m, b: m.pop("events"), "events"),
    "version before": (lambda m, b: m.update(version=1), "version 1"),
    "version to come": (lambda m, b: m.update(version=3), "version 3"),
    "number for a link": (lambda m, b: m.update(header=5), "header"),
    "header for receipts": (lambda m, b: m.update(receipts=[[m["header"]]]), "root"),
    "same receipt over and over": (
        lambda m, b: m.update(receipts=[again(m["receipts"], 0)]),
        "again and again|links",
    ),
    "same page over and over": (
        lambda m, b: m.update(events=again([m["events"]], 0)),
        "again and again|links",
    ),
    "foreign transaction": (
        change_rows("transactions", lambda rows: set_column(rows, 0, 2, cell(rows, 1, 2))),
        "a transaction",
    ),
    "negative gas": (
        change_rows("transactions", lambda rows: set_column(rows, 0, 1, -1)),
        "negative",
    ),
    "witness that is none": (
        change_rows("transactions", lambda rows: set_column(rows, 0, 3, 1)),
        "int, not a CID",
    ),
}


def listed(manifest: dict[str, cbor.Value], name: str) -> list[cbor.Value]:
    found = manifest[name]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("name", REFUSED)
def test_altered_bundle_is_refused(name: str, bundle: tuple[bytes, bytes], tmp_path: Path) -> None:
    data, trust = bundle
    alter, reason = REFUSED[name]
    with pytest.raises((BundleRefused, MalformedRecord), match=reason):
        open_bytes(altered(data, alter), trust, tmp_path)


def test_claims_about_the_contract_are_checked(bundle: tuple[bytes, bytes], tmp_path: Path) -> None:
    data, trust = bundle
    path = tmp_path / "altered.car"
    path.write_bytes(altered(data, lambda m, b: m.update(deployer=bytes(20))))
    assert not open_bundle(path, trust).subject.ours


def test_another_block_is_refused(bundle: tuple[bytes, bytes], tmp_path: Path) -> None:
    data, trust = bundle
    with pytest.raises(BundleRefused, match="trusted block"):
        open_bytes(data, keccak(trust), tmp_path)


def test_random_damage_is_found(bundle: tuple[bytes, bytes], tmp_path: Path) -> None:
    data, trust = bundle
    chance = random.Random(7)
    for _ in range(60):
        place = chance.randrange(len(data))
        damaged = bytearray(data)
        damaged[place] ^= 1 << chance.randrange(8)
        with pytest.raises(LedgerError):
            open_bytes(bytes(damaged), trust, tmp_path)
    for _ in range(30):
        with pytest.raises(LedgerError):
            open_bytes(data[: chance.randrange(len(data))], trust, tmp_path)
    for size in (0, 1, 40, 4000):
        with pytest.raises(LedgerError):
            open_bytes(chance.randbytes(size), trust, tmp_path)


def test_missing_file_and_empty_history(tmp_path: Path) -> None:
    with pytest.raises(BundleRefused, match="reading"):
        open_bundle(tmp_path / "none.car", bytes(32))
    engine = embedded()
    sample = start(engine)
    with pytest.raises(BundleUnwritable, match="no event of the federation"):
        write_bundle(
            tmp_path / "none.car",
            engine.chain,
            ledger=sample.contract.address,
            federation=type(sample.federation)(bytes(32)),
            blocks={},
        )
    assert list(tmp_path.iterdir()) == []


def test_unknown_header_layout_is_its_own_error() -> None:
    engine = embedded()
    block = engine.chain.block(0)
    assert block is not None
    sealed = replace(block, header={**block.header, "extraData": b"seals that are not hashed"})
    with pytest.raises(UnknownHeaderLayout, match="QBFT"):
        header_rlp(sealed)


def test_proof_of_authority_header_hashes() -> None:
    """A clique header carries vanity and seal in extraData: 97 bytes and more, hashed whole."""
    engine = embedded()
    block = engine.chain.block(0)
    assert block is not None
    header = {name: block.header[name] for name in list(block.header)[:15]}
    header["extraData"] = bytes(range(97))
    clique = replace(block, header=header, hash=bytes(32))
    with pytest.raises(UnknownHeaderLayout) as unknown:
        header_rlp(clique)
    assert keccak(header_rlp(replace(clique, hash=unknown.value.found))) == unknown.value.found


# -- transactions that reach the contract through another one


@pytest.fixture(scope="module")
def wrapped(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """Give a bundle in which a commit and the last checkpoint came through a forwarder."""
    return write_wrapped(embedded(), tmp_path_factory.mktemp("wrapped") / "evidence.car")


def write_wrapped(engine: Engine, path: Path) -> tuple[bytes, bytes]:
    sample = start(engine)
    stranger = engine.accounts[3]
    through = Wrapped(sample.contract)
    through.through[stranger.address] = forwarder(engine.chain, stranger)
    commit(sample, 1)
    through.checkpoint(stranger, sample.federation)
    commit(sample, 0)
    through.checkpoint(stranger, sample.federation)
    place = {"ledger": sample.contract.address, "federation": sample.federation}
    trusted = write_bundle(path, engine.chain, **place, blocks={})  # type: ignore[arg-type]
    return path.read_bytes(), trusted.hash


def test_wrapped_transactions_on_every_engine(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "evidence.car"
    _, trust = write_wrapped(engine, path)
    opened = open_bundle(path, trust)
    outer = {event.meta.to for event in opened.events if isinstance(event, Checkpoint)}
    assert len(outer) == 1
    assert opened.subject.ledger not in outer


def test_a_delegated_account_acts_through_a_bundler(engine: Engine, tmp_path: Path) -> None:
    """A transaction of type 4 (EIP-7702) lets an account's own code call for it; others pay."""
    if not engine.chain.endpoint.startswith("http"):
        pytest.skip("the embedded chain takes no signed transactions")
    sample = start(engine)
    bundler, member = engine.accounts[3], sample.members[1]
    code = forwarder(engine.chain, bundler)
    data = bytes(12) + to_canonical_address(sample.contract.address)
    data += call("commitUpdate", sample.federation, 0, bytes([7] * 32))
    delegate(engine, member, code, bundler=bundler, data=data)
    # Other tests pay this account on the same chain.
    delegate(engine, member, "0x" + "00" * 20, bundler=bundler)
    place = {"ledger": sample.contract.address, "federation": sample.federation}
    path = tmp_path / "evidence.car"
    trusted = write_bundle(path, engine.chain, **place, blocks={})  # type: ignore[arg-type]
    last = open_bundle(path, trusted.hash).events[-1]
    assert isinstance(last, UpdateCommitted)
    assert (last.participant, last.meta.to) == (1, member.address)
    assert last.meta.sender == bundler.address
    assert not engine.chain.code(member.address)


def delegate(
    engine: Engine, member: Account, code: str, *, bundler: Account, data: bytes = b""
) -> None:
    """Let an account delegate to code, in a transaction of another account that calls it."""
    nonces = [
        int(rpc(engine, "eth_getTransactionCount", a.address, "latest"), 16)
        for a in (member, bundler)
    ]
    chain_id = engine.chain.chain_id
    lent = EthAccount.from_key(ANVIL_KEYS[engine.accounts.index(member)]).sign_authorization(
        {"chainId": chain_id, "address": code, "nonce": nonces[0]}
    )
    raw = bundler.sign_transaction(
        {
            "type": 4,
            "chainId": chain_id,
            "nonce": nonces[1],
            "gas": 500_000,
            "maxFeePerGas": 10**11,
            "maxPriorityFeePerGas": 10**9,
            "to": member.address,
            "value": 0,
            "data": data,
            "accessList": [],
            "authorizationList": [lent],
        }
    )
    sent = bytes.fromhex(rpc(engine, "eth_sendRawTransaction", "0x" + raw.hex())[2:])
    while engine.chain.receipt(sent) is None:
        time.sleep(0.1)


def rpc(engine: Engine, method: str, *parameters: object) -> str:
    """Ask a node what our chain has no word for."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(engine.chain.endpoint, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return str(json.loads(answer.read())["result"])


AlterWitness = Callable[[list[cbor.Value], dict[CID, bytes]], object]


def change_witness(change: AlterWitness) -> Alter:
    """Change what shows that the first wrapped transaction, number 4, is its block's."""

    def alter(manifest: dict[str, cbor.Value], blocks: dict[CID, bytes]) -> None:
        def rows(found: Rows) -> None:
            link = cell(found, 4, 3)
            assert isinstance(link, CID)
            witness = cbor.decode(blocks[link])
            assert isinstance(witness, list)
            change(witness, blocks)
            new = Artefact.of(Codec.DAG_CBOR, cbor.encode(witness))
            blocks.update(new.blocks)
            set_column(found, 4, 3, new.roots[0])

        change_rows("transactions", rows)(manifest, blocks)

    return alter


def put(witness: list[cbor.Value], place: int, value: cbor.Value) -> None:
    witness[place] = value


def put_raw(witness: list[cbor.Value], blocks: dict[CID, bytes], data: bytes) -> None:
    witness[0] = CID.of(Codec.RAW, data)
    blocks[CID.of(Codec.RAW, data)] = data


DEEP = b"\xf9\xff\xff" + b"\xc1" * 65535
WITNESSES: dict[str, tuple[Alter, str]] = {
    "none": (
        change_rows("transactions", lambda rows: set_column(rows, 4, 3, None)),
        "neither",
    ),
    "another transaction's": (
        change_rows("transactions", lambda rows: set_column(rows, 4, 3, cell(rows, -1, 3))),
        "another header",
    ),
    "another header": (
        change_witness(lambda w, b: put_raw(w, b, b"\xc0")),
        "unknown layout",
    ),
    "a header nested without end": (change_witness(lambda w, b: put_raw(w, b, DEEP)), "RLP"),
    "another place": (change_witness(lambda w, b: put(w, 1, 1)), "it has not"),
    "a place below zero": (change_witness(lambda w, b: put(w, 1, -1)), "it has not"),
    "no path to the transaction": (change_witness(lambda w, b: put(w, 2, [])), "it has not"),
    "no path to the receipt": (change_witness(lambda w, b: put(w, 3, [])), "it has not"),
    "the receipt's path twice": (change_witness(lambda w, b: put(w, 2, w[3])), "it has not"),
    "a path nested without end": (change_witness(lambda w, b: put(w, 2, [DEEP])), "it has not"),
    "a path of numbers": (change_witness(lambda w, b: put(w, 2, [1])), "int, not a bytes"),
    "no list": (change_witness(lambda w, b: w.clear()), "4 columns"),
    "a foreign transaction": (
        replace_transaction(4, lambda raw, chain, to: signed(chain, MALLORY.address, b"")),
        "it has not",
    ),
}


@pytest.mark.parametrize("name", WITNESSES)
def test_a_transaction_that_its_block_does_not_have_is_refused(
    name: str, wrapped: tuple[bytes, bytes], tmp_path: Path
) -> None:
    data, trust = wrapped
    open_bytes(data, trust, tmp_path)
    alter, reason = WITNESSES[name]
    with pytest.raises((BundleRefused, MalformedRecord), match=reason) as refused:
        open_bytes(altered(data, alter), trust, tmp_path)
    assert MALLORY.address not in str(refused.value)


@pytest.mark.parametrize("count", [1, 2, 127, 128, 300])
def test_a_trie_proves_its_items_and_no_others(count: int) -> None:
    items = [bytes([k & 255]) * (1 + k % 90) for k in range(count)]
    root = trie_root(items)
    for index in {0, count // 2, count - 1}:
        proof = trie_proof(items, index)
        assert trie_value(root, index, proof) == items[index]
        assert trie_value(root, index + 1, proof) != items[index]
        assert trie_value(keccak(root), index, proof) is None
        assert trie_value(root, index, [flip(proof[0], 3), *proof[1:]]) is None
    assert trie_value(root, count, trie_proof(items, 0)) is None
