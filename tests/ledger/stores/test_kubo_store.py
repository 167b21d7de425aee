"""Kubo's own ways: pins, peers, unreachable nodes, and servers that only say they are Kubo."""

import hashlib
import json
import re
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fednode.testnet import EngineMissing, Kubo
from ledger import cbor, payload
from ledger.cid import CID, Codec
from ledger.payload import Payload
from ledger.stores import (
    MAX_BLOCK,
    Artefact,
    BlockCorrupt,
    BlockNotFound,
    StoreError,
    StoreUnreachable,
)
from ledger.stores.car import write_car
from ledger.stores.kubo import KuboStore
from tests.engines import missing, start_kubo
from tests.http_faults import DRIPS, FLOODS, FRAUDS, JSONS, Fault, hostile

DATA = b"the block"
CID_ = CID.of(Codec.RAW, DATA)


def call(node: Kubo, path: str) -> dict[str, Any]:
    request = urllib.request.Request(f"{node.url}/api/v0/{path}", method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, Any] = json.loads(answer.read())
        return found


def noise(seed: str, size: int) -> bytes:
    return hashlib.shake_128(seed.encode()).digest(size)


def test_roots_are_pinned_and_survive_garbage_collection(kubo: Kubo) -> None:
    store = KuboStore(kubo.url, timeout=5)
    artefact = Artefact.of(Codec.RAW, b"a header").merge(
        Payload(noise("pins", 3 * 1024)).artefact(), Artefact.of(Codec.DAG_CBOR, b"\xa0")
    )
    store.put(artefact)
    pins = call(kubo, "pin/ls?type=recursive")["Keys"]
    assert {str(root) for root in artefact.roots} <= set(pins)
    urllib.request.urlopen(
        urllib.request.Request(f"{kubo.url}/api/v0/repo/gc", method="POST"), timeout=20
    ).read()
    assert all(store.get(cid) == data for cid, data in artefact.blocks.items())


def test_what_another_root_pins_is_not_ours_to_delete(kubo: Kubo) -> None:
    store = KuboStore(kubo.url, timeout=5)
    block = Artefact.of(Codec.RAW, noise("kept by another", 100))
    record = Artefact.of(Codec.DAG_CBOR, cbor.encode([block.roots[0]]))
    store.put(Artefact(record.roots, {**record.blocks, **block.blocks}))
    assert store.remove(block.roots, roots=block.roots) == [*block.roots]
    assert store.has(block.roots[0])
    assert store.remove([*record.roots, *block.roots], roots=record.roots) == []
    assert not store.has(block.roots[0])


def test_many_blocks_are_deleted_in_a_few_calls(kubo: Kubo) -> None:
    store = KuboStore(kubo.url, timeout=5)
    blocks = [Artefact.of(Codec.RAW, noise(f"many {number}", 9)) for number in range(150)]
    record = Artefact.of(Codec.DAG_CBOR, cbor.encode([block.roots[0] for block in blocks]))
    cids = [block.roots[0] for block in blocks]
    store.put(Artefact(record.roots, record.merge(*blocks).blocks))
    assert store.remove(cids) == cids
    assert store.remove([*cids, *record.roots], roots=record.roots) == []
    assert not any(map(store.has, cids))


def test_a_block_that_cannot_be_deleted_is_an_error() -> None:
    line = {"Hash": str(CID_), "Error": "disk on fire"}
    with (
        server(body(json.dumps(line).encode(), kind="application/json")) as url,
        pytest.raises(StoreError, match=f"did not delete {CID_}: disk on fire"),
    ):
        KuboStore(url, timeout=2).remove([CID_])


def test_ten_megabytes_go_over_as_one_car(kubo: Kubo) -> None:
    made = Payload(noise("ten", 10 << 20))
    store = KuboStore(kubo.multiaddr)
    store.put(made.artefact())
    assert payload.fetch(store, made.index_digest, len(made.data)) == made.data
    assert store.has(made.artefact().roots[0])


def test_blocks_travel_between_peers(kubo_pair: tuple[Kubo, Kubo]) -> None:
    first, second = (KuboStore(node.url, timeout=10) for node in kubo_pair)
    made = Payload(noise("peers", 2 << 20))
    first.put(made.artefact())
    index = made.artefact().roots[0]
    assert not second.has(index)
    assert payload.fetch(second, made.index_digest, len(made.data)) == made.data
    assert second.has(index)


def test_blocks_outlive_their_owner(kubo_pair: tuple[Kubo, Kubo], tmp_path: Path) -> None:
    """Who has read a payload serves it to others; its owner may go for ever."""
    member, other = (KuboStore(node.url, timeout=20) for node in kubo_pair)
    made = Payload(noise("orphan", 2 << 20))
    with start_kubo(tmp_path) as owner:
        kubo_pair[0].connect(owner)
        KuboStore(owner.url).put(made.artefact())
        assert payload.fetch(member, made.index_digest, len(made.data)) == made.data
    assert not other.has(made.artefact().roots[0])
    assert payload.fetch(other, made.index_digest, len(made.data)) == made.data


def test_a_block_that_nobody_has_is_not_found_in_time(kubo_pair: tuple[Kubo, Kubo]) -> None:
    store = KuboStore(kubo_pair[0].url, timeout=1)
    with pytest.raises(BlockNotFound, match="deadline exceeded"):
        store.get(CID.of(Codec.RAW, b"nobody at all"))


def test_an_artefact_without_roots_cannot_be_kept() -> None:
    with pytest.raises(StoreError, match="without roots"):
        KuboStore("http://127.0.0.1:1").put(Artefact((), {}))


ADDRESSES = [
    ("ftp://127.0.0.1:5001", "no http or https URL"),
    ("127.0.0.1:5001", "no http or https URL"),
    ("http://127.0.0.1:5001/?key=secret", "a query or a fragment"),
    ("http://127.0.0.1:5001/#secret", "a query or a fragment"),
    ("http://:5001", "no http or https URL|cannot be read"),
    ("http://127.0.0.1:99999", "(?i)port"),
    ("http://[::1", "(?i)url|address|ipv6"),
    ("/ip4/127.0.0.1", "multiaddr"),
    ("/ip4/300.0.0.1/tcp/5001", "multiaddr"),
    ("/nonsense", "multiaddr"),
    ("/ip4/127.0.0.1/udp/5001", "multiaddr"),
    ("/ip4/127.0.0.1/tcp/5001/ws", "multiaddr"),
    ("/unix/run/kubo.sock", "multiaddr of a socket"),
]


@pytest.mark.parametrize(("address", "reason"), ADDRESSES)
def test_addresses_that_are_none(address: str, reason: str) -> None:
    with pytest.raises(StoreUnreachable, match=f"(?i){reason}") as caught:
        KuboStore(address).has(CID_)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "write /ip4/127.0.0.1/tcp/5001" in str(caught.value)


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = KuboStore(f"http://127.0.0.1:{port}", timeout=1)
    artefact = Artefact.of(Codec.RAW, DATA)
    for use in (lambda: store.get(CID_), lambda: store.has(CID_), lambda: store.put(artefact)):
        with pytest.raises(StoreUnreachable, match="refused: is Kubo running there") as caught:
            use()
        assert "\n" not in str(caught.value)


Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def server(answer: Answer) -> Iterator[str]:
    """Serve one answer to every request."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.close_connection = True
            with suppress(OSError):
                answer(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}"
    finally:
        http.shutdown()
        http.server_close()


def take_upload(request: BaseHTTPRequestHandler) -> None:
    """Read the request's body; a connection closed before that is reset, and the answer lost."""
    if request.headers.get("Transfer-Encoding") != "chunked":
        request.rfile.read(int(request.headers.get("Content-Length", 0)))
        return
    while size := int(request.rfile.readline(), 16):
        request.rfile.read(size + 2)
    request.rfile.readline()


def body(data: bytes, status: int = 200, kind: str = "text/plain") -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        take_upload(request)
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    return answer


def cut_off(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", "100")
    request.end_headers()
    request.wfile.write(b"half")


def error(message: str) -> Answer:
    content = json.dumps({"Message": message, "Code": 0, "Type": "error"}).encode()
    return body(content, 500, "application/json")


LIES: list[tuple[str, Answer, type[StoreError], str]] = [
    ("altered", body(b"the b1ock"), BlockCorrupt, "another digest"),
    ("truncated", body(DATA[:-1]), BlockCorrupt, "another digest"),
    ("nothing", body(b""), BlockCorrupt, "another digest"),
    ("too long", body(bytes(4 * MAX_BLOCK)), BlockNotFound, "longer than"),
    ("cut off", cut_off, StoreUnreachable, "."),
    ("missing", error("ipld: could not find it"), BlockNotFound, "could not find"),
    ("broken", error("disk on fire"), StoreUnreachable, "disk on fire"),
    ("no kubo", body(b"<html>", 404), StoreUnreachable, "404"),
    ("endless error", body(b" " * (5 << 20), 500), StoreUnreachable, "more than 4194304"),
    ("forbidden", body(b"", 403), StoreUnreachable, "403"),
]


@pytest.mark.parametrize(("name", "answer", "expected", "reason"), LIES)
def test_what_a_server_says_is_verified(
    name: str, answer: Answer, expected: type[StoreError], reason: str
) -> None:
    with server(answer) as url, pytest.raises(expected, match=reason) as caught:
        KuboStore(url, timeout=2).get(CID_)
    assert "\n" not in str(caught.value), name


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nobody_is_sent_elsewhere(status: int) -> None:
    """What a store answers must not choose what is posted to whom."""
    asked: list[str] = []

    def redirect(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        request.send_response(status)
        request.send_header("Location", "/api/v0/shutdown")
        request.send_header("Content-Length", "0")
        request.end_headers()

    with server(redirect) as url, pytest.raises(StoreUnreachable, match="it redirects"):
        KuboStore(url, timeout=2).get(CID_)
    assert len(asked) == 1


def test_a_true_answer_is_taken() -> None:
    with server(body(DATA)) as url:
        assert KuboStore(url).get(CID_) == DATA


PINNED = {"Root": {"Cid": {"/": str(CID_)}, "PinErrorMsg": ""}}
UNPINNED = {"Root": {"Cid": {"/": str(CID_)}, "PinErrorMsg": "no such block"}}
OTHER = {"Root": {"Cid": {"/": str(CID.of(Codec.RAW, b"other"))}, "PinErrorMsg": ""}}
PUTS = [
    (json.dumps(UNPINNED).encode(), "did not pin .*: no such block"),
    (json.dumps(OTHER).encode(), "did not pin .*: the node does not confirm it"),
    (b"", "did not pin|unreachable"),
    (b"{}", "did not pin"),
    (b'{"Root": 5}', "did not pin"),
    (b'{"Root": {"Cid": 5}}', "did not pin"),
    (b"[1, 2]", "did not pin|unreachable"),
    (b"not json", "did not pin|unreachable"),
    (b" " * (5 << 20), "more than 4194304 bytes"),
]


@pytest.mark.parametrize(("content", "reason"), PUTS)
def test_a_put_that_is_not_confirmed_is_an_error(content: bytes, reason: str) -> None:
    kind = "application/json"
    with server(body(content, kind=kind)) as url, pytest.raises(StoreError, match=reason):
        KuboStore(url, timeout=2).put(Artefact.of(Codec.RAW, DATA))


def test_a_put_that_is_confirmed() -> None:
    content = json.dumps(PINNED).encode()
    with server(body(content, kind="application/json")) as url:
        KuboStore(url, timeout=2).put(Artefact.of(Codec.RAW, DATA))


def test_a_server_that_hangs_or_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.stores.kubo._GRACE", 0.2)
    done = threading.Event()

    def hang(request: BaseHTTPRequestHandler) -> None:
        done.wait(10)

    def flood(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while not done.is_set():
            request.wfile.write(bytes(1 << 16))

    for answer, expected in ((hang, StoreUnreachable), (flood, BlockNotFound)):
        done.clear()
        with server(answer) as url:
            with pytest.raises(expected):
                KuboStore(url, timeout=0.3).get(CID_)
            done.set()


USES: dict[str, Callable[[KuboStore], object]] = {
    "get": lambda store: store.get(CID_),
    "has": lambda store: store.has(CID_),
    "put": lambda store: store.put(Artefact.of(Codec.RAW, DATA)),
    "sized": lambda store: list(store.sized(len(DATA))),
    "remove": lambda store: store.remove([CID_]),
    "unpin": lambda store: store.remove([CID_], roots=[CID_]),
}
ODD = {
    **JSONS,
    "a size of text": b'{"Size":"9"}',
    "a size that is true": b'{"Size":true}',
    "an error of an object": b'{"Error":{"a":[]},"Hash":{"b":[]}}',
    "a pin of a list": b'{"Root":{"Cid":{"/":"%s"},"PinErrorMsg":[7]}}' % str(CID_).encode(),
    "a late error": b'{"Cid":"x"}\n{"Type":"error","Message":"\\u001b[2Jdisk\\nfull"}',
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("status", [200, 500])
def test_whatever_kubo_answers_is_an_error_of_the_store(use: str, status: int) -> None:
    """Even where Python's limit of recursion is none, as a library of the chain's makes it."""
    limit = sys.getrecursionlimit()
    current = [b""]

    def answer(request: BaseHTTPRequestHandler) -> None:
        body(current[0], status, "application/json")(request)

    said = []
    with server(answer) as url:
        store = KuboStore(url, timeout=5)
        try:
            sys.setrecursionlimit(max(limit, 1_000_000))
            for current[0] in ODD.values():
                try:
                    USES[use](store)
                except StoreError as error:
                    said.append(str(error))
        finally:
            sys.setrecursionlimit(limit)
    assert said
    assert all(text.isprintable() and len(text) < 1000 for text in said)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    "fault",
    [DRIPS["chunks"], DRIPS["interim answers"], FLOODS["headers"], FRAUDS["an old protocol"]],
)
def test_no_use_of_kubo_is_without_an_end(
    use: str, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.stores.kubo._GRACE", 0.1)
    started = time.monotonic()
    with hostile(fault) as node, pytest.raises(StoreUnreachable):
        USES[use](KuboStore(node.url, timeout=0.1))
    assert time.monotonic() - started < 3


# -- addresses, passwords and tokens


ASKED = [
    ("http://{}", None, "/api/v0", None),
    ("http://{}/", None, "/api/v0", None),
    ("http://{}/api/v0/", None, "/api/v0", None),
    ("HTTP://{}/kubo/one/", None, "/kubo/one/api/v0", None),
    ("http://user:pa%20ss@{}/kubo", None, "/kubo/api/v0", "Basic dXNlcjpwYSBzcw=="),
    ("http://:pass@{}", None, "/api/v0", "Basic OnBhc3M="),
    ("http://{}/kubo", "to-ken", "/kubo/api/v0", "Bearer to-ken"),
    ("/ip4/{}", "to-ken", "/api/v0", "Bearer to-ken"),
    ("/dns4/{}/http", None, "/api/v0", None),
]


@pytest.mark.parametrize(("address", "token", "path", "login"), ASKED)
def test_where_and_with_what_login_kubo_is_asked(
    address: str, token: str | None, path: str, login: str | None
) -> None:
    asked: list[tuple[str, str | None]] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append((request.path, request.headers["Authorization"]))
        body(DATA)(request)

    with server(answer) as url:
        host = url.removeprefix("http://")
        place = host.replace(
            "127.0.0.1:", "localhost/tcp/" if "dns" in address else "127.0.0.1/tcp/"
        )
        found = address.format(place if address.startswith("/") else host)
        assert KuboStore(found, token=token).get(CID_) == DATA
    assert asked == [(f"{path}/block/get?timeout=30000ms&arg={CID_}", login)]


@pytest.mark.parametrize("status", [401, 403])
def test_a_login_that_is_missing_or_wrong_says_what_to_set(status: int) -> None:
    with server(body(b'{"Message":"not found"}', status)) as url:
        with pytest.raises(StoreUnreachable, match=r"FEDNODE_IPFS_TOKEN.* https://user:pass"):
            KuboStore(url).get(CID_)
        for known in (
            KuboStore(url, token="to-ken"),
            KuboStore(url.replace("//", "//user:secret-word@")),
        ):
            with pytest.raises(StoreUnreachable, match="does not accept") as caught:
                known.get(CID_)
            assert not re.search("secret-word|to-ken", str(caught.value))


def test_one_login_is_enough() -> None:
    with pytest.raises(StoreUnreachable, match="keep one of the two") as caught:
        KuboStore("http://user:secret@127.0.0.1:5001", token="to-ken")
    assert not re.search("secret|to-ken", str(caught.value))


class Guarded(Kubo):
    """A Kubo whose API asks for a login, as a reverse proxy in front of it would."""

    def _configure(self) -> None:
        super()._configure()
        path = self.folder / "repo" / "config"
        config = json.loads(path.read_text())
        config["API"]["Authorizations"] = {
            name: {"AuthSecret": secret, "AllowedPaths": ["/api/v0"]}
            for name, secret in (("a", "basic:user:pass-word"), ("b", "bearer:to-ken"))
        }
        path.write_text(json.dumps(config))

    def _ready(self) -> bool:
        with suppress(urllib.error.URLError):
            self.peer_id()
            return False
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.api_port), 1):
            return True
        return False


def test_kubo_itself_takes_its_logins(tmp_path: Path) -> None:
    node = Guarded(tmp_path, offline=True)
    try:
        node.start()
    except EngineMissing as error:
        missing(error)
    with node:
        known = KuboStore(node.url.replace("//", "//user:pass-word@"), timeout=5)
        known.put(Artefact.of(Codec.RAW, DATA))
        assert KuboStore(node.multiaddr, timeout=5, token="to-ken").get(CID_) == DATA
        with pytest.raises(StoreUnreachable, match="FEDNODE_IPFS_TOKEN"):
            KuboStore(node.url, timeout=5).get(CID_)


def test_kubo_reads_our_car(kubo: Kubo) -> None:
    """Kubo answers with the same bytes that we would have written."""
    artefact = Payload(noise("car", 5 * 1024)).artefact()
    KuboStore(kubo.url).put(artefact)
    root = artefact.roots[0]
    request = urllib.request.Request(
        f"{kubo.url}/api/v0/dag/export?arg={root}&progress=false", method="POST"
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.read() == write_car(artefact)
