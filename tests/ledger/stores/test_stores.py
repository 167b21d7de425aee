"""What every content store does, checked on all of them."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ledger import cbor, payload
from ledger.cid import CID, Codec
from ledger.payload import Payload
from ledger.stores import (
    MAX_BLOCK,
    Artefact,
    BlockCorrupt,
    BlockNotFound,
    ContentStore,
    DirectoryStore,
    LocalStore,
    MemoryStore,
    StoreError,
    StoreUnreachable,
    open_store,
)
from ledger.stores.base import verified

ABSENT = CID.of(Codec.RAW, b"nobody has this")


@pytest.fixture(params=["memory", "directory", "kubo"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ContentStore:
    if request.param == "memory":
        return MemoryStore()
    if request.param == "directory":
        return DirectoryStore(tmp_path / "blocks")
    return open_store(request.getfixturevalue("kubo").multiaddr, timeout=5)


def noise(seed: object, size: int) -> bytes:
    return hashlib.shake_128(repr(seed).encode()).digest(size)


def sample(seed: object) -> Artefact:
    """Make an artefact with a raw root, as a header is, and a payload under its index."""
    header = Artefact.of(Codec.RAW, noise(("header", seed), 416))
    return header.merge(Payload(noise(seed, MAX_BLOCK + 2048)).artefact())


def test_get_returns_what_was_put(store: ContentStore, request: pytest.FixtureRequest) -> None:
    artefact = sample(request.node.name)
    assert not any(store.has(cid) for cid in artefact.blocks)
    store.put(artefact)
    for cid, data in artefact.blocks.items():
        assert store.has(cid)
        assert store.get(cid) == data
    index = artefact.roots[1].digest
    size = MAX_BLOCK + 2048
    assert payload.fetch(store, index, size) == noise(request.node.name, size)


def test_put_is_idempotent(store: ContentStore, request: pytest.FixtureRequest) -> None:
    artefact = sample(request.node.name)
    store.put(artefact)
    store.put(artefact)
    assert store.get(artefact.roots[0]) == artefact.blocks[artefact.roots[0]]


def test_the_empty_block(store: ContentStore) -> None:
    artefact = Artefact.of(Codec.RAW, b"")
    store.put(artefact)
    assert store.get(artefact.roots[0]) == b""


def test_the_codec_is_part_of_the_name(store: ContentStore) -> None:
    record = cbor.encode({"name": "the same bytes under two codecs"})
    artefact = Artefact.of(Codec.DAG_CBOR, record)
    store.put(artefact)
    assert store.get(artefact.roots[0]) == record


def test_what_is_removed_is_gone_and_nothing_else(
    store: ContentStore, request: pytest.FixtureRequest
) -> None:
    artefact, other = sample((request.node.name, 1)), sample((request.node.name, 2))
    store.put(artefact)
    store.put(other)
    gone = [cid for cid in artefact.blocks if cid != artefact.roots[0]]
    assert store.remove([*gone, ABSENT], roots=artefact.roots[1:]) == []
    assert store.remove(gone) == []
    assert not any(store.has(cid) for cid in gone)
    assert all(store.has(cid) for cid in (artefact.roots[0], *other.blocks))
    with pytest.raises(BlockNotFound):
        store.get(artefact.roots[1])
    store.put(artefact)
    assert all(store.get(cid) == data for cid, data in artefact.blocks.items())


def test_what_another_record_links_to_stays(
    store: ContentStore, request: pytest.FixtureRequest
) -> None:
    """Nobody has something of others removed by linking to it, be it a root of its own as well."""
    theirs, name = sample(request.node.name), request.node.name
    above = Artefact.of(Codec.DAG_CBOR, cbor.encode({"of": name, "index": theirs.roots[1]}))
    blocks = [cid for cid in theirs.blocks if cid not in theirs.roots]
    ours = Artefact.of(Codec.DAG_CBOR, cbor.encode({"of": name, "blocks": [*blocks]}))
    store.put(theirs)
    store.put(Artefact(above.roots, {**above.blocks, **theirs.blocks}))
    store.put(Artefact(ours.roots, {**ours.blocks, **theirs.blocks}))
    cids = [*blocks, *ours.roots, theirs.roots[1]]
    assert store.remove(cids, roots=[*ours.roots, theirs.roots[1]]) == [*blocks, theirs.roots[1]]
    assert not store.has(ours.roots[0])
    assert all(store.get(cid) == data for cid, data in theirs.blocks.items())


def test_roots_are_found_by_their_size(store: ContentStore, request: pytest.FixtureRequest) -> None:
    artefact = sample(request.node.name)
    store.put(artefact)
    header = artefact.roots[0]
    assert dict(store.sized(416))[header] == artefact.blocks[header]
    record = Artefact.of(Codec.DAG_CBOR, cbor.encode(noise(request.node.name, 413)))
    store.put(record)
    assert len(record.blocks[record.roots[0]]) == 416
    assert all(len(data) == 416 and cid.codec is Codec.RAW for cid, data in store.sized(416))


def test_a_local_store_asks_nobody(store: ContentStore, request: pytest.FixtureRequest) -> None:
    local = LocalStore(store)
    artefact = sample(request.node.name)
    root = artefact.roots[0]
    with pytest.raises(BlockNotFound, match="others are not asked"):
        local.get(root)
    local.put(artefact)
    assert local.has(root)
    assert local.get(root) == artefact.blocks[root]
    assert (root, artefact.blocks[root]) in local.sized(416)
    assert local.remove([root], roots=[root]) == []
    assert not local.has(root)


def test_a_missing_block_is_named(store: ContentStore) -> None:
    assert not store.has(ABSENT)
    with pytest.raises(BlockNotFound) as caught:
        store.get(ABSENT)
    assert caught.value.cid == ABSENT
    assert str(ABSENT) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_many_threads(store: ContentStore, request: pytest.FixtureRequest) -> None:
    artefacts = [Artefact.of(Codec.RAW, noise((request.node.name, i), 999)) for i in range(24)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(store.put, artefacts))
        found = list(pool.map(lambda a: store.get(a.roots[0]), artefacts))
    assert found == [a.blocks[a.roots[0]] for a in artefacts]


def test_links_to_what_is_not_there_are_refused_or_kept(store: ContentStore) -> None:
    """Kubo pins whole graphs: it says so; the others keep single blocks."""
    artefact = Artefact.of(Codec.DAG_CBOR, cbor.encode({"link": ABSENT}))
    if isinstance(store, MemoryStore | DirectoryStore):
        store.put(artefact)
        assert store.has(artefact.roots[0])
        return
    with pytest.raises(StoreError, match="did not pin"):
        store.put(artefact)


# Artefacts


def test_roots_are_among_the_blocks() -> None:
    with pytest.raises(StoreError, match="not among the artefact's blocks"):
        Artefact((ABSENT,), {})


def test_blocks_are_at_most_1_mib() -> None:
    Artefact.of(Codec.RAW, bytes(MAX_BLOCK))
    with pytest.raises(StoreError, match="1048577 bytes, at most 1048576"):
        Artefact.of(Codec.RAW, bytes(MAX_BLOCK + 1))


def test_merge_keeps_all_roots_once_and_in_order() -> None:
    first, second = Artefact.of(Codec.RAW, b"1"), Artefact.of(Codec.RAW, b"2")
    merged = first.merge(second, first)
    assert merged.roots == (*first.roots, *second.roots)
    assert merged.blocks == {**first.blocks, **second.blocks}


def test_roots_come_last() -> None:
    artefact = sample("order")
    listed = artefact.leaves_first()
    assert sorted(listed) == sorted(artefact.blocks)
    assert tuple(listed[-len(artefact.roots) :]) == artefact.roots


def test_verified() -> None:
    cid = CID.of(Codec.RAW, b"data")
    assert verified(cid, b"data", store="s") == b"data"
    with pytest.raises(BlockCorrupt, match=f"block {cid} in s: the bytes have another digest"):
        verified(cid, b"dato", store="s")
    long = bytes(MAX_BLOCK + 1)
    with pytest.raises(BlockNotFound, match="longer than"):
        verified(CID.of(Codec.RAW, long), long, store="s")


# Memory


def test_memory_is_verified_too() -> None:
    store = MemoryStore()
    artefact = sample("memory")
    store.put(artefact)
    store.blocks[artefact.roots[0]] = b"altered"
    with pytest.raises(BlockCorrupt):
        store.get(artefact.roots[0])


# Directory

Damage = Callable[[Path], object]


def replace_by_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGES: list[tuple[str, Damage]] = [
    ("altered", lambda f: f.write_bytes(bytes([f.read_bytes()[0] ^ 1]) + f.read_bytes()[1:])),
    ("truncated", lambda f: f.write_bytes(f.read_bytes()[:-1])),
    ("emptied", lambda f: f.write_bytes(b"")),
    ("longer", lambda f: f.write_bytes(f.read_bytes() + b"\0")),
    ("another block", lambda f: f.write_bytes(b"something else")),
    ("a folder", replace_by_folder),
]


def file_of(store: DirectoryStore, cid: CID) -> Path:
    (file,) = store.path.rglob(str(cid))
    return file


@pytest.mark.parametrize(("name", "damage"), DAMAGES)
def test_a_damaged_file_is_found_and_repaired(name: str, damage: Damage, tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    artefact = Artefact.of(Codec.RAW, noise(name, 2000))
    cid = artefact.roots[0]
    store.put(artefact)
    file = file_of(store, cid)
    damage(file)
    with pytest.raises(BlockCorrupt) as caught:
        store.get(cid)
    assert caught.value.cid == cid
    if file.is_file():
        store.put(artefact)
        assert store.get(cid) == artefact.blocks[cid]


def test_an_endless_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    artefact = Artefact.of(Codec.RAW, b"short")
    store.put(artefact)
    with file_of(store, artefact.roots[0]).open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(BlockNotFound, match="longer than"):
        store.get(artefact.roots[0])


def test_a_directory_survives_reopening_and_lists_its_blocks(tmp_path: Path) -> None:
    artefact = sample("reopen")
    DirectoryStore(tmp_path / "deep" / "blocks").put(artefact)
    store = DirectoryStore(tmp_path / "deep" / "blocks")
    (store.path / "xy").mkdir()
    (store.path / "xy" / "bystander").write_text("not a block")
    assert sorted(store.cids()) == sorted(artefact.blocks)
    assert all(store.get(cid) == data for cid, data in artefact.blocks.items())


def test_nothing_half_written_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DirectoryStore(tmp_path)
    artefact = sample("interrupted")
    real = Path.replace
    calls: list[Path] = []

    def replace(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(StoreUnreachable, match="cannot write: No space left on device"):
        store.put(artefact)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert [file.name for file in files] == [str(cid) for cid in store.cids()]
    assert not any(store.has(root) for root in artefact.roots)
    monkeypatch.undo()
    store.put(artefact)
    assert all(store.get(cid) == data for cid, data in artefact.blocks.items())


def test_a_path_that_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(StoreUnreachable, match=str(path)):
        DirectoryStore(path)


@contextlib.contextmanager
def inside(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.chdir(path)
        yield


def test_open_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with inside(tmp_path, monkeypatch):
        assert isinstance(open_store("blocks"), DirectoryStore)
    assert isinstance(open_store(tmp_path / "other"), DirectoryStore)
    assert isinstance(open_store(str(tmp_path / "ip4")), DirectoryStore)
    for address in ("http://127.0.0.1:5001", "/ip4/127.0.0.1/tcp/5001", "/dns/node/tcp/5001/http"):
        assert type(open_store(address)).__name__ == "KuboStore"
