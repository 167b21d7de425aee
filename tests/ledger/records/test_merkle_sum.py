"""Merkle-sum trees against a recursive definition, and payouts and values on top of them."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import merkle_sum, payouts
from ledger.errors import LedgerError, MalformedRecord
from ledger.merkle_sum import MAX_SUM, Opened, SumLeaf, Summed, SumPath, SumTree
from ledger.types import Digest

AMOUNTS = st.lists(st.integers(0, (1 << 128) - 1), min_size=1, max_size=40)


def slow_root(leaves: Sequence[SumLeaf]) -> tuple[bytes, int]:
    if not leaves:
        return hashlib.sha256(b"").digest(), 0
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0].data).digest(), leaves[0].sum
    split = 1 << (len(leaves) - 1).bit_length() - 1
    left, right = slow_root(leaves[:split]), slow_root(leaves[split:])
    packed = b"".join(h + s.to_bytes(32, "big") for h, s in (left, right))
    return hashlib.sha256(b"\1" + packed).digest(), left[1] + right[1]


def leaves_of(amounts: Sequence[int]) -> list[SumLeaf]:
    return [SumLeaf(bytes([i]) + a.to_bytes(16, "big"), a) for i, a in enumerate(amounts)]


@given(st.lists(st.integers(0, 1 << 128), max_size=40))
def test_root(amounts: list[int]) -> None:
    leaves = leaves_of([a % (1 << 128) for a in amounts])
    root = SumTree.of(leaves).root
    assert (root.hash, root.sum) == slow_root(leaves)


@given(AMOUNTS)
def test_every_path_proves_its_leaf_and_prefix(amounts: list[int]) -> None:
    leaves = leaves_of(amounts)
    tree = SumTree.of(leaves)
    for index, leaf in enumerate(leaves):
        path = tree.path(index)
        opened = merkle_sum.open_path(leaf, index=index, size=tree.size, path=path)
        assert opened == Opened(tree.root, sum(amounts[:index]))
        assert merkle_sum.verify(tree.root, leaf, index=index, size=tree.size, path=path)
        for other in {index - 1, index + 1, tree.size}:
            assert not merkle_sum.verify(tree.root, leaf, index=other, size=tree.size, path=path)


@given(AMOUNTS, st.integers(0, 1 << 16), st.integers(0, 1 << 16), st.integers(1, 1 << 100))
def test_no_sum_can_be_changed(amounts: list[int], which: int, step: int, by: int) -> None:
    leaves = leaves_of(amounts)
    tree = SumTree.of(leaves)
    index = which % len(leaves)
    path = tree.path(index)
    more = Summed(tree.root.hash, tree.root.sum + by)
    leaf = leaves[index]
    assert not merkle_sum.verify(more, leaf, index=index, size=tree.size, path=path)
    richer = SumLeaf(leaf.data, leaf.sum + by)
    for root in (tree.root, more):
        assert not (
            merkle_sum.verify(root, richer, index=index, size=tree.size, path=path) and path.sums
        )
    if path.sums:
        sums = list(path.sums)
        sums[step % len(sums)] += by
        changed = replace(path, sums=tuple(sums))
        for root in (tree.root, more):
            assert not merkle_sum.verify(root, leaf, index=index, size=tree.size, path=changed)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 16, 17])
def test_paths_have_one_length(size: int) -> None:
    leaves = leaves_of(range(size))
    tree = SumTree.of(leaves)
    path = tree.path(size - 1)
    extra = Digest(bytes(32))
    wrong = [
        SumPath((*path.hashes, extra), (*path.sums, 0)),
        SumPath((extra, *path.hashes), (0, *path.sums)),
        SumPath((*path.hashes, extra), path.sums),
        SumPath(path.hashes, (*path.sums, 0)),
    ]
    if path.sums:
        wrong += [
            SumPath(path.hashes[:-1], path.sums[:-1]),
            SumPath((Digest(b"short"), *path.hashes[1:]), path.sums),
            replace(path, sums=(-1, *path.sums[1:])),
            replace(path, sums=(MAX_SUM, *path.sums[1:])),
            replace(path, sums=(MAX_SUM + 1, *path.sums[1:])),
        ]
    for bad in wrong:
        assert not merkle_sum.verify(tree.root, leaves[-1], index=size - 1, size=size, path=bad)


def test_sums_beyond_256_bits_are_refused() -> None:
    with pytest.raises(LedgerError, match="256 bits"):
        SumTree.of([SumLeaf(b"a", MAX_SUM), SumLeaf(b"b", 1)])
    with pytest.raises(LedgerError, match="256 bits unsigned"):
        SumTree.of([SumLeaf(b"a", -1)])
    assert merkle_sum.open_path(SumLeaf(b"a", -1), index=0, size=1, path=SumPath((), ())) is None


def test_paths_of_leaves_that_are_not_there() -> None:
    with pytest.raises(LedgerError, match="does not exist"):
        SumTree.of(leaves_of([1, 2])).path(2)


@given(AMOUNTS)
def test_payouts(amounts: list[int]) -> None:
    leaves = payouts.payout_leaves(amounts)
    tree = payouts.payouts_tree(leaves)
    assert tree.root.sum == sum(amounts)
    for leaf in leaves:
        path = payouts.prove(leaves, leaf.index)
        assert payouts.verify_payout(tree.root, leaf, size=len(leaves), path=path)
        richer = replace(leaf, amount=leaf.amount ^ 1)
        assert not payouts.verify_payout(tree.root, richer, size=len(leaves), path=path)
    data = payouts.encode_payouts(leaves)
    assert len(data) == payouts.PAYOUT_SIZE * len(leaves)
    assert payouts.decode_payouts(data) == leaves


@given(
    st.lists(
        st.tuples(st.integers(-(1 << 255), (1 << 255) - 1), st.integers(0, 1 << 200)), max_size=20
    )
)
def test_values(pairs: list[tuple[int, int]]) -> None:
    leaves = payouts.value_leaves([v for v, _ in pairs], [s for _, s in pairs])
    tree = payouts.values_tree(leaves)
    assert tree.root.sum == sum(s for _, s in pairs)
    for leaf in leaves:
        path = tree.path(leaf.index)
        assert payouts.verify_value(tree.root, leaf, size=len(leaves), path=path)
        other = replace(leaf, value=leaf.value ^ 1)
        assert not payouts.verify_value(tree.root, other, size=len(leaves), path=path)
    data = payouts.encode_values(leaves)
    assert len(data) == payouts.VALUE_SIZE * len(leaves)
    assert payouts.decode_values(data) == leaves


GOOD = payouts.encode_payouts(payouts.payout_leaves([5, 6]))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (GOOD[:-1], "127 bytes, expected a multiple of 64"),
        (GOOD + b"\0", "129 bytes, expected a multiple of 64"),
        (GOOD[64:], "leaf 0 is of participant 1"),
        (GOOD[64:] + GOOD[:64], "leaf 0 is of participant 1"),
        (GOOD[:64] * 2, "leaf 1 is of participant 0"),
        (b"\1" + GOOD[1:], "index: .* does not fit uint32"),
        (GOOD[:32] + b"\1" + GOOD[33:], "amount: .* does not fit uint128"),
    ],
)
def test_decode_refuses(data: bytes, reason: str) -> None:
    with pytest.raises(MalformedRecord, match=reason):
        payouts.decode_payouts(data)


def test_amounts_fit_128_bits() -> None:
    with pytest.raises(MalformedRecord, match=r"amount: .* does not fit uint128"):
        payouts.payouts_tree(payouts.payout_leaves([1 << 128]))
