"""Batches: what a relay posts, how much of it can be believed, and whom its leaves bind."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from eth_abi.abi import encode as abi_encode
from hypothesis import given
from hypothesis import strategies as st

from ledger import batch as batches
from ledger import cbor, merkle
from ledger.batch import LEAF_SIZE, Batch, BatchSlot, Leaf, Posted, Signers, read_batch
from ledger.chain.accounts import Account, from_key
from ledger.cid import CID, Codec
from ledger.errors import LedgerError, MalformedRecord
from ledger.merkle import verify
from ledger.proofs import OpenBatch, OpenTree
from ledger.signatures import Commit, Domain, Signature
from ledger.stores import Artefact, BlockCorrupt, MemoryStore, StoreError
from ledger.types import ZERO_DIGEST, Address, Digest, FederationId, ParticipantId, RoundIndex
from tests.ledger.records.test_merkle import slow_path, slow_root

BLOCK = 4
DOMAIN = Domain(31337, Address("0x" + "Ab" * 20))
FEDERATION = FederationId(bytes([1]) * 32)
ROUND = RoundIndex(3)
ACCOUNTS = [from_key(bytes([7 + n]) * 32) for n in range(4)]
NOBODY = Signature(Digest(bytes([1]) * 32), Digest(bytes([2]) * 32))


@pytest.fixture
def small_blocks() -> Iterator[None]:
    """Blocks of four leaves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "BLOCK_LEAVES", BLOCK)
        yield


def digest(number: int) -> Digest:
    return Digest(number.to_bytes(32, "big"))


def unsigned(number: int) -> Leaf:
    return Leaf(number, digest(1000 + number), NOBODY)


def signed(participant: int, by: Account, *, update: int = 5, round_index: int = ROUND) -> Leaf:
    message = Commit(FEDERATION, round_index, participant, digest(update))
    return Leaf(participant, digest(update), DOMAIN.sign(by, message))


def signers() -> Signers:
    return Signers(DOMAIN, FEDERATION, ROUND, [account.address for account in ACCOUNTS])


def stored(batch: Batch) -> MemoryStore:
    store = MemoryStore()
    store.put(batch.artefact())
    return store


def block_of(batch: Batch, number: int) -> CID:
    block = batch.blocks[number]
    assert block is not None
    return CID.of(Codec.RAW, block)


def test_a_leaf_is_what_the_contract_encodes() -> None:
    leaf = signed(3, ACCOUNTS[3])
    kinds = ["uint32", "bytes32", "bytes32", "bytes32"]
    values = [3, leaf.digest, leaf.signature.r, leaf.signature.vs]
    assert leaf.encode() == abi_encode(kinds, values)
    assert Leaf.decode(leaf.encode()) == leaf


@pytest.mark.usefixtures("small_blocks")
@given(count=st.integers(1, 22))
def test_root_paths_and_bytes_are_those_of_the_whole_tree(count: int) -> None:
    leaves = [unsigned(n) for n in range(count)]
    data = [leaf.encode() for leaf in leaves]
    batch = Batch.of(leaves)
    assert batch.posted.root == slow_root(data)
    found = read_batch(stored(batch), batch.posted)
    assert list(found.leaves()) == data
    assert found.final
    for slot, leaf in enumerate(data):
        path = found.path(slot)
        assert list(path) == slow_path(data, slot)
        root = batch.posted.root
        assert verify(root, leaf, index=slot, size=count, path=path, leaf_size=LEAF_SIZE)


@pytest.mark.usefixtures("small_blocks")
def test_a_missing_block_takes_only_its_leaves_along() -> None:
    batch = Batch.of([unsigned(n) for n in range(10)])
    store = stored(batch)
    del store.blocks[block_of(batch, 1)]
    found = read_batch(store, batch.posted)
    assert not found.final
    assert [leaf is None for leaf in found.leaves()] == [4 <= n < 8 for n in range(10)]
    leaf, path = found.leaf(9), found.path(9)
    assert leaf is not None
    root = batch.posted.root
    assert verify(root, leaf, index=9, size=10, path=path, leaf_size=LEAF_SIZE)
    with pytest.raises(LedgerError, match="the block of slot 5 is missing"):
        found.path(5)


@pytest.mark.usefixtures("small_blocks")
def test_what_is_there_of_a_batch_is_opened_and_answered() -> None:
    """Or else whoever hides a block could say what it likes of the other blocks' leaves."""
    leaves = [unsigned(n) for n in range(10)]
    batch = Batch.of(leaves)
    store = stored(batch)
    del store.blocks[block_of(batch, 1)]
    found = OpenBatch(read_batch(store, batch.posted))
    whole = OpenTree.of([leaf.encode() for leaf in leaves])
    for slot in (0, 3, 8, 9):
        assert found.open(slot) == found.answer(0, slot) == whole.open(slot)
    assert found.answer(0, 5) is None
    with pytest.raises(StoreError, match="leaf 5 of the batch"):
        found.open(5)


def test_without_its_index_all_is_missing_but_may_come() -> None:
    batch = Batch.of([unsigned(n) for n in range(3)])
    found = read_batch(MemoryStore(), batch.posted)
    assert list(found.leaves()) == [None] * 3
    assert not found.final


Forge = Callable[[Batch], tuple[Posted, Artefact]]


def indexed(batch: Batch, **changes: cbor.Value) -> tuple[Posted, Artefact]:
    """Post a batch under another index."""
    artefact = batch.artefact()
    (root,) = artefact.roots
    record = dict(cbor.decode_map(artefact.blocks[root], "index", ("size", "blocks", "subtrees")))
    record.update(changes)
    data = cbor.encode({key: value for key, value in record.items() if value is not None})
    forged = artefact.merge(Artefact.of(Codec.DAG_CBOR, data))
    return replace(batch.posted, index=CID.of(Codec.DAG_CBOR, data).digest), forged


def other(batch: Batch) -> Batch:
    return Batch.of([unsigned(50 + n) for n in range(batch.posted.leaves)])


NOT_WHAT_WAS_POSTED: dict[str, Forge] = {
    "another root": lambda b: (replace(b.posted, root=digest(1)), b.artefact()),
    "another number of leaves": lambda b: (replace(b.posted, leaves=9), b.artefact()),
    "a block more": lambda b: (replace(b.posted, leaves=13), b.artefact()),
    "the index of another batch": lambda b: (
        replace(b.posted, index=other(b).posted.index),
        other(b).artefact(),
    ),
    "no subtrees": lambda b: indexed(b, subtrees=None),
    "too few subtrees": lambda b: indexed(b, subtrees=list(b.subtrees[:-1])),
    "subtrees too short": lambda b: indexed(b, subtrees=[s[:31] for s in b.subtrees]),
    "subtrees that are numbers": lambda b: indexed(b, subtrees=[1, 2, 3]),
    "blocks that are records": lambda b: indexed(b, blocks=list(b.artefact().roots) * 3),
    "another size": lambda b: indexed(b, size=1),
    "an index that is no record": lambda b: (
        replace(b.posted, index=CID.of(Codec.DAG_CBOR, b"\xff").digest),
        Artefact.of(Codec.DAG_CBOR, b"\xff"),
    ),
}


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("forge", NOT_WHAT_WAS_POSTED.values(), ids=NOT_WHAT_WAS_POSTED)
def test_what_was_not_posted_is_missing_for_ever(forge: Forge) -> None:
    posted, artefact = forge(Batch.of([unsigned(n) for n in range(10)]))
    store = MemoryStore()
    store.put(artefact)
    found = read_batch(store, posted)
    assert set(found.leaves()) == {None}
    assert found.final


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("size", [1, 3, 5])
def test_a_block_with_other_bytes_is_missing_for_ever(size: int) -> None:
    batch = Batch.of([unsigned(n) for n in range(10)])
    wrong = b"".join(unsigned(90 + n).encode() for n in range(size))
    links: list[cbor.Value] = [block_of(batch, n) for n in range(3)]
    links[1] = CID.of(Codec.RAW, wrong)
    posted, artefact = indexed(batch, blocks=links)
    store = MemoryStore()
    store.put(artefact.merge(Artefact.of(Codec.RAW, wrong)))
    found = read_batch(store, posted)
    assert [leaf is None for leaf in found.leaves()] == [4 <= n < 8 for n in range(10)]
    assert found.final


def test_a_store_that_serves_altered_bytes_is_an_error() -> None:
    """It says nothing about the batch: another store may have it."""
    batch = Batch.of([unsigned(1)])
    store = stored(batch)
    store.blocks[block_of(batch, 0)] = bytes(LEAF_SIZE)
    with pytest.raises(BlockCorrupt):
        read_batch(store, batch.posted)


def test_no_leaves_cannot_be_posted() -> None:
    with pytest.raises(LedgerError, match="no leaves"):
        Batch.of([])


@pytest.mark.parametrize("slot", [-1, 3])
def test_a_slot_that_does_not_exist(slot: int) -> None:
    with pytest.raises(LedgerError, match=f"slot {slot} of a batch of 3 does not exist"):
        Batch.of([unsigned(n) for n in range(3)]).leaf(slot)


def test_a_leaf_binds_who_signed_it() -> None:
    found = signers().slot(signed(2, ACCOUNTS[2]).encode())
    assert found == BatchSlot(ParticipantId(2), digest(5), binds=True)


TWISTED = {
    "signed by another participant": signed(2, ACCOUNTS[1]),
    "signed for another round": signed(2, ACCOUNTS[2], round_index=ROUND + 1),
    "signed for another participant": replace(signed(1, ACCOUNTS[2]), participant=2),
    "signed for another update": replace(signed(2, ACCOUNTS[2]), digest=digest(6)),
    "not signed": replace(unsigned(2), participant=2),
    "of nobody known": signed(4, ACCOUNTS[2]),
    "of the largest index": signed(2**32 - 1, ACCOUNTS[2]),
}


@pytest.mark.parametrize("leaf", TWISTED.values(), ids=TWISTED)
def test_a_leaf_that_binds_nobody_says_whose_it_claims_to_be(leaf: Leaf) -> None:
    expected = BatchSlot(ParticipantId(leaf.participant), leaf.digest, binds=False)
    assert signers().slot(leaf.encode()) == expected


def test_who_has_no_seat_is_not_bound() -> None:
    absent = replace(signers(), known=[ACCOUNTS[0].address, None])
    found = absent.slot(signed(1, ACCOUNTS[1]).encode())
    assert found == BatchSlot(ParticipantId(1), digest(5), binds=False)


@pytest.mark.parametrize("word", [bytes([1]) + bytes(31), bytes(27) + bytes([1]) + bytes(4)])
def test_a_participant_that_is_no_uint32_is_nobody(word: bytes) -> None:
    data = word + signed(0, ACCOUNTS[0]).encode()[32:]
    assert signers().slot(data) == BatchSlot(ParticipantId(0), ZERO_DIGEST, binds=False)
    with pytest.raises(MalformedRecord, match="participant: "):
        Leaf.decode(data)


def test_a_missing_leaf_is_no_slot() -> None:
    assert signers().slot(None) is None


def test_ten_thousand_leaves_take_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    count = 10_000
    account = ACCOUNTS[0]
    batch = Batch.of([signed(n, account) for n in range(count)])
    assert len(batch.blocks) == 2
    who = Signers(DOMAIN, FEDERATION, ROUND, [account.address] * count)
    started = time.perf_counter()
    found = read_batch(stored(batch), batch.posted)
    slots = [who.slot(leaf) for leaf in found.leaves()]
    seconds = time.perf_counter() - started
    assert all(slot is not None and slot.binds for slot in slots)
    with capsys.disabled():
        print(f"\n{count} leaves read and verified in {seconds:.2f} s")
    assert seconds < 30
    root = merkle.root(leaf for leaf in batch.leaves() if leaf is not None)
    assert root == batch.posted.root
