"""RFC 6962 trees against the RFC's own recursive definitions."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import merkle
from ledger.errors import LedgerError
from ledger.types import Digest

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "rfc6962.json").read_text())
SIZES = sorted({1, 3, 5} | {2**k + d for k in range(1, 7) for d in (-1, 0, 1)})


def slow_root(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962 2.1."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + slow_root(leaves[:split]) + slow_root(leaves[split:])).digest()


def slow_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """PATH of RFC 6962 2.1.1."""
    if len(leaves) == 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return [*slow_path(leaves[:split], index), slow_root(leaves[split:])]
    return [*slow_path(leaves[split:], index - split), slow_root(leaves[:split])]


def slow_verify(root: bytes, leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bool:
    """RFC 9162 2.1.3.2, step by step."""
    if index >= size:
        return False
    fn, sn = index, size - 1
    r = hashlib.sha256(b"\0" + leaf).digest()
    for p in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = hashlib.sha256(b"\1" + p + r).digest()
            while not fn & 1 and fn != 0:
                fn >>= 1
                sn >>= 1
        else:
            r = hashlib.sha256(b"\1" + r + p).digest()
        fn >>= 1
        sn >>= 1
    return sn == 0 and r == root


def numbered(size: int, leaf_size: int = 4) -> list[bytes]:
    return [i.to_bytes(leaf_size, "big") for i in range(size)]


def test_certificate_transparency_vectors() -> None:
    leaves = [bytes.fromhex(leaf) for leaf in VECTORS["leaves_hex"]]
    assert merkle.root([]).hex() == VECTORS["empty_root"]
    for size, expected in enumerate(VECTORS["roots_of_first_n"], start=1):
        assert merkle.root(leaves[:size]).hex() == expected


@given(st.lists(st.binary(max_size=8), max_size=70))
def test_root_and_paths(leaves: list[bytes]) -> None:
    tree = merkle.Tree.of(leaves)
    assert tree.root == merkle.root(leaves) == slow_root(leaves)
    for index in range(len(leaves)):
        assert list(tree.path(index)) == slow_path(leaves, index)


@given(st.integers(0, 40), st.integers(1, 9), st.randoms(use_true_random=False))
def test_root_of_bytes(count: int, leaf_size: int, rng: object) -> None:
    data = hashlib.shake_128(f"{count}/{leaf_size}".encode()).digest(count * leaf_size)
    leaves = [data[i : i + leaf_size] for i in range(0, len(data), leaf_size)]
    assert merkle.root_of_bytes(data, leaf_size) == slow_root(leaves)
    assert merkle.Tree.of_bytes(data, leaf_size).root == slow_root(leaves)


@pytest.mark.parametrize("size", SIZES)
def test_a_leaf_verifies_at_its_own_index_only(size: int) -> None:
    leaves = numbered(size)
    tree = merkle.Tree.of(leaves)
    for index in {0, 1, size // 2, size - 2, size - 1} & set(range(size)):
        path = tree.path(index)
        for claimed in range(-1, 2 * size + 2):
            good = merkle.verify(
                tree.root, leaves[index], index=claimed, size=size, path=path, leaf_size=4
            )
            assert good == (claimed == index)


@pytest.mark.parametrize("size", SIZES)
def test_paths_have_one_length(size: int) -> None:
    leaves = numbered(size)
    tree = merkle.Tree.of(leaves)
    for index in (0, size - 1):
        path = tree.path(index)
        for wrong in [path[:-1], path[1:], (*path, tree.root), (tree.root, *path)]:
            if wrong != path:
                assert not merkle.verify(
                    tree.root, leaves[index], index=index, size=size, path=wrong, leaf_size=4
                )


@given(
    st.integers(1, 40),
    st.integers(0, 45),
    st.integers(1, 45),
    st.integers(0, 7),
    st.integers(-1, 1),
)
def test_verify_agrees_with_the_rfc(
    size: int, index: int, claimed_size: int, drop: int, extra: int
) -> None:
    leaves = numbered(size)
    tree = merkle.Tree.of(leaves)
    leaf = leaves[index % size]
    path = list(tree.path(index % size))
    path = path[:drop] if extra < 0 else path + [tree.root] * extra
    good = merkle.verify(tree.root, leaf, index=index, size=claimed_size, path=path, leaf_size=4)
    assert good == slow_verify(tree.root, leaf, index, claimed_size, path)


def test_leaves_have_one_length() -> None:
    leaves = numbered(5)
    tree = merkle.Tree.of(leaves)
    for leaf_size in (0, 3, 5, 64):
        assert not merkle.verify(
            tree.root, leaves[2], index=2, size=5, path=tree.path(2), leaf_size=leaf_size
        )


def test_siblings_have_32_bytes() -> None:
    left, right = b"left", b"right"
    tree = merkle.Tree.of([left, right])
    joined = merkle.leaf_hash(right)
    assert not merkle.verify(tree.root, left, index=0, size=2, path=[joined[:31]], leaf_size=4)
    assert not merkle.verify(tree.root, left, index=0, size=2, path=[joined + b"\0"], leaf_size=4)


def test_a_node_is_no_leaf() -> None:
    leaves = numbered(4)
    tree = merkle.Tree.of(leaves)
    forged = tree.levels[0][0] + tree.levels[0][1]
    for leaf in (forged, merkle.NODE_PREFIX + forged):
        assert not merkle.verify(
            tree.root, leaf, index=0, size=2, path=tree.path(0)[1:], leaf_size=len(leaf)
        )


def test_nothing_verifies_under_the_empty_root() -> None:
    assert not merkle.verify(merkle.EMPTY_ROOT, b"", index=0, size=0, path=(), leaf_size=0)


@pytest.mark.parametrize(("size", "leaf_size"), [(1, 2), (1025, 1024), (4, 0), (4, -4)])
def test_buffers_have_whole_leaves(size: int, leaf_size: int) -> None:
    with pytest.raises(LedgerError, match="whole leaves"):
        merkle.root_of_bytes(bytes(size), leaf_size)


@pytest.mark.parametrize("index", [-1, 3, 4])
def test_there_is_no_path_of_a_leaf_that_is_not_there(index: int) -> None:
    with pytest.raises(LedgerError, match="does not exist"):
        merkle.path([b"a", b"b", b"c"], index)
    assert merkle.sides(index, 3) is None


def test_node_hash_orders_its_children() -> None:
    a, b = Digest(b"a" * 32), Digest(b"b" * 32)
    assert merkle.node_hash(a, b) != merkle.node_hash(b, a)
