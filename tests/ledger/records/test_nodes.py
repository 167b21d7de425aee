"""The tree of partial sums: its shape, bytes and root."""

import hashlib
import itertools
from dataclasses import replace

import pytest
from eth_abi.abi import encode as abi_encode
from hypothesis import given
from hypothesis import strategies as st

from ledger import merkle, nodes
from ledger.cid import Codec
from ledger.errors import LedgerError, MalformedRecord
from ledger.nodes import FAN_OUT, NODE_SIZE, Entry, Node, Reason
from ledger.types import ZERO_DIGEST, Digest

DIGESTS = st.binary(min_size=32, max_size=32).map(Digest)
UINT32 = st.integers(0, (1 << 32) - 1)
ENTRIES = st.builds(
    Entry,
    digest=DIGESTS,
    root=DIGESTS,
    participant=UINT32,
    weight=st.integers(0, 1 << 27),
    number=st.integers(0, 1),
    reason=st.sampled_from(Reason).map(int),
    position=UINT32,
)


def sum_root(part: range) -> Digest:
    return Digest(hashlib.sha256(f"{part.start}-{part.stop}".encode()).digest())


def slots(count: int) -> list[Entry]:
    return [
        Entry(Digest(i.to_bytes(32, "big")), ZERO_DIGEST, i, weight=i + 1, number=1)
        for i in range(count)
    ]


@given(st.lists(ENTRIES, max_size=FAN_OUT), DIGESTS)
def test_a_node_round_trips_as_abi_words(entries: list[Entry], root: Digest) -> None:
    node = Node.of(entries, root)
    data = node.encode()
    assert len(data) == NODE_SIZE == 3680
    assert Node.decode(data) == node
    fields = "(bytes32,bytes32,uint32,uint64,uint32,uint32,uint32)"
    padded = [
        (e.digest, e.root, e.participant, e.weight, e.number, e.reason, e.position)
        for e in node.entries
    ]
    types = [f"{fields}[16]", "bytes32", "uint64", "uint32"]
    assert data == abi_encode(types, [padded, node.root, node.weight, node.number])
    assert (node.weight, node.number) == (
        sum(e.weight for e in entries),
        sum(e.number for e in entries),
    )
    assert node.cid().codec is Codec.RAW
    assert node.cid().names(data)


@pytest.mark.parametrize("count", [0, 1, 4, 15, 16, 17, 32, 33, 255, 256, 257, 600])
def test_levels(count: int) -> None:
    asked: list[range] = []

    def remember(part: range) -> Digest:
        asked.append(part)
        return sum_root(part)

    given_slots = slots(count)
    levels = nodes.levels(given_slots, sum_root=remember)
    assert tuple(len(level) for level in levels) == nodes.shape(count)
    assert asked == [part for part, _ in reference(count)]
    for i, slot in enumerate(given_slots):
        assert levels[0][i // 16].entries[i % 16] == slot
    for below, above in itertools.pairwise(levels):
        for i, child in enumerate(below):
            entry = above[i // 16].entries[i % 16]
            assert entry == Entry(child.digest(), child.root, 0, child.weight, child.number, 0, 0)
    top = levels[-1][0]
    assert (top.weight, top.number) == (count * (count + 1) // 2, count)
    listed = nodes.in_order(levels)
    assert [node.root for node in listed] == [sum_root(part) for part, _ in reference(count)]
    assert nodes.nodes_root(levels) == merkle.root([node.encode() for node in listed])
    assert nodes.regroup(listed, count) == levels


def reference(count: int) -> list[tuple[range, int]]:
    """Cut the slots into runs of 16, 256, ... until one run holds all."""
    parts = []
    span = 16
    while True:
        level = [range(at, min(at + span, count)) for at in range(0, max(count, 1), span)]
        parts += [(part, span) for part in level]
        if len(level) == 1:
            return parts
        span *= 16


def test_one_proof_opens_a_node_of_any_level() -> None:
    levels = nodes.levels(slots(40), sum_root=sum_root)
    tree = nodes.nodes_tree(levels)
    listed = nodes.in_order(levels)
    assert len(listed) == 4
    for index, node in enumerate(listed):
        assert merkle.verify(
            tree.root,
            node.encode(),
            index=index,
            size=4,
            path=tree.path(index),
            leaf_size=NODE_SIZE,
        )


def test_regroup_refuses_another_number_of_nodes() -> None:
    levels = nodes.levels(slots(17), sum_root=sum_root)
    with pytest.raises(LedgerError, match="3 nodes over 16 slots, expected 1"):
        nodes.regroup(nodes.in_order(levels), 16)


NODE = Node.of(slots(3), ZERO_DIGEST)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes, expected 3680"),
        (NODE.encode()[:-1], "3679 bytes"),
        (NODE.encode() + b"\0", "3681 bytes"),
        (NODE.encode()[:64] + b"\1" + NODE.encode()[65:], "participant: .* uint32"),
        (NODE.encode()[:96] + b"\1" + NODE.encode()[97:], "weight: .* uint64"),
        (NODE.encode()[:-32] + b"\1" + NODE.encode()[-31:], "number: .* uint32"),
    ],
)
def test_decode_refuses(data: bytes, reason: str) -> None:
    with pytest.raises(MalformedRecord, match=reason):
        Node.decode(data)


def test_a_node_has_16_entries() -> None:
    with pytest.raises(MalformedRecord, match="17 entries, expected 16"):
        Node.of(slots(17), ZERO_DIGEST)
    with pytest.raises(MalformedRecord, match="15 entries"):
        replace(NODE, entries=NODE.entries[:15])
