"""The relay over real HTTP: statuses, sizes, strangers' bytes, and kill -9 of a real process."""

import asyncio
import gzip
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import requests
from aiohttp import web

from fednode.errors import FedNodeError
from fednode.relay import server, service
from fednode.relay.client import Patience, RelayClient
from fednode.relay.desk import Desk
from fednode.relay.lanes import MOST_JOINS, Lanes
from fednode.relay.messages import MAX_MESSAGE, SignedCommit, SignedReceipt
from fednode.relay.server import application, listening
from fednode.relay.situation import Situation
from fednode.relay.sponsor import Allowance, Sponsor
from ledger.batch import Posted
from ledger.signatures import Commit, Vote
from ledger.types import ParticipantId
from tests.fednode.relay.process import member
from tests.fednode.relay.test_sponsor import joining
from tests.fednode.relay.world import (
    DEADLINE,
    DOMAIN,
    FEDERATION,
    FREE,
    MEMBERS,
    RELAY,
    RESULT,
    FakeLedger,
    collecting,
    commit_of,
    desk_at,
    digest,
    voting,
)
from tests.http_faults import resident

HURRIED = Patience(answer=5.0, tries=1)


@contextmanager
def serving(desk: Desk) -> Iterator[str]:
    """Serve a desk from a thread of its own."""
    found: list[str] = []
    started = threading.Event()
    loop = asyncio.new_event_loop()
    ending = asyncio.Event()
    sponsor = Sponsor(FakeLedger(), desk, Lanes(), Allowance(FREE, FREE, joins=True))

    async def serve() -> None:
        async with listening(application(desk, sponsor), "127.0.0.1", 0) as url:
            found.append(url)
            started.set()
            await ending.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(20)
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join()
        loop.close()


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with serving(desk_at(tmp_path, collecting())) as address:
        yield address


def client_of(url: str, number: int = 0) -> RelayClient:
    return RelayClient(url, DOMAIN, RELAY.address, MEMBERS[number], patience=HURRIED)


def test_a_commit_and_its_receipt(url: str) -> None:
    commit = Commit(FEDERATION, 0, 2, digest(6))
    receipt = client_of(url, 2).commit(commit, DEADLINE)
    again = requests.get(f"{url}/rounds/0/receipts/2", timeout=5)
    assert SignedReceipt.model_validate_json(again.content) == receipt
    assert requests.get(f"{url}/rounds/0", timeout=5).json()["leaves"] == 1
    status = requests.get(url, timeout=5).json()
    assert (status["relay"], status["commits"]) == (RELAY.address, 1)


def test_a_vote_and_its_receipt(tmp_path: Path) -> None:
    with serving(desk_at(tmp_path, voting())) as url:
        vote = Vote(FEDERATION, 0, 0, RESULT, support=True)
        receipt = client_of(url, 3).vote(vote, ParticipantId(3), voting().deadline)
        assert receipt.content.digest == DOMAIN.digest(vote)


def test_joins_that_wait_leave_connections_for_commits() -> None:
    """Each holds one until it is mined."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resource, "getrlimit", lambda _: (96, 96))
        assert service.most_joins() == 12
        patch.setattr(resource, "getrlimit", lambda _: (4096, 4096))
        assert service.most_joins() == MOST_JOINS


def test_a_sponsored_join(url: str) -> None:
    assert client_of(url).join(joining()) == "00" * 32


GOOD = json.loads(commit_of(1).model_dump_json())
BAD_BODIES = {
    "nothing": (b"", "the body: Invalid JSON"),
    "no JSON": (b"{", "the body: Invalid JSON"),
    "nesting": (b"[" * 4000, "the body: Invalid JSON"),
    "a list": (b"[]", "the body: Input should be an object"),
    "no field": (b"{}", "federation: Field required"),
    "one more": (json.dumps(GOOD | {"more": 1}).encode(), "more: Extra inputs"),
    "a number as text": (json.dumps(GOOD | {"round": "0"}).encode(), "round: Input should be"),
    "a float": (json.dumps(GOOD | {"round": 0.0}).encode(), "round: Input should be"),
    "a bool": (json.dumps(GOOD | {"round": True}).encode(), "round: Input should be"),
    "too large": (json.dumps(GOOD | {"participant": 2**32}).encode(), "participant: Input should"),
    "negative": (json.dumps(GOOD | {"round": -1}).encode(), "round: Input should be"),
    "a short digest": (
        json.dumps(GOOD | {"digest": "00" * 31}).encode(),
        "digest: Value error, expected 64 hexadecimal digits",
    ),
    "a long digest": (
        json.dumps(GOOD | {"digest": "00" * 33}).encode(),
        "digest: Value error, expected 64 hexadecimal digits",
    ),
    "capitals": (json.dumps(GOOD | {"digest": "AA" * 32}).encode(), "digest: Value error, expect"),
    "half a byte": (json.dumps(GOOD | {"digest": "a" * 63}).encode(), "digest: Value error"),
    "spaces": (json.dumps(GOOD | {"digest": "00 " * 32}).encode(), "digest: Value error"),
    "65 bytes": (
        json.dumps(GOOD | {"signature": "00" * 65}).encode(),
        "signature: Value error, expected 128 hexadecimal",
    ),
    "not UTF-8": (b'{"federation": "\xff"}', "the body: Invalid JSON"),
}


@pytest.mark.parametrize(("body", "reason"), BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_body_that_is_refused(url: str, body: bytes, reason: str) -> None:
    answer = requests.post(f"{url}/commits", body, timeout=5)
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert reason in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


def test_a_body_without_end_is_not_read(url: str) -> None:
    answer = requests.post(f"{url}/commits", b"0" * (MAX_MESSAGE + 1), timeout=5)
    assert answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert "error" in answer.json()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", HTTPStatus.NOT_FOUND),
        ("GET", "/commits", HTTPStatus.METHOD_NOT_ALLOWED),
        ("GET", "/rounds/x", HTTPStatus.NOT_FOUND),
        ("GET", "/rounds/7", HTTPStatus.NOT_FOUND),
        ("GET", "/rounds/0/receipts/1", HTTPStatus.NOT_FOUND),
        ("GET", "/rounds/0/receipts/99999999999", HTTPStatus.NOT_FOUND),
        ("DELETE", "/rounds/0", HTTPStatus.METHOD_NOT_ALLOWED),
    ],
)
def test_a_request_that_is_refused(url: str, method: str, path: str, status: HTTPStatus) -> None:
    answer = requests.request(method, url + path, timeout=5)
    assert answer.status_code == status
    assert "error" in answer.json()


def test_a_refusal_says_when_to_come_again(url: str) -> None:
    body = commit_of(1, round_index=1).model_dump_json()
    answer = requests.post(f"{url}/commits", body, timeout=5)
    assert answer.status_code == HTTPStatus.TOO_EARLY
    assert answer.headers["Retry-After"] == "1"


def test_a_fault_is_an_answer_too(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_self: Desk) -> dict[str, object]:
        raise ZeroDivisionError

    monkeypatch.setattr(Desk, "status", broken)
    answer = requests.get(url, timeout=5)
    assert answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
    assert answer.json() == {"error": "a fault of the relay's"}


@pytest.mark.parametrize("body", [b"no gzip at all", gzip.compress(b"0" * (1 << 20))])
def test_a_compressed_body_is_not_unpacked(
    url: str, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    """A few bytes could become a million before their number is checked."""
    answer = requests.post(f"{url}/commits", body, headers={"Content-Encoding": "gzip"}, timeout=5)
    assert answer.status_code == HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    assert answer.json() == {"error": "send the body without Content-Encoding"}
    assert not [record for record in caplog.records if record.name == "fednode"]


@pytest.mark.parametrize(
    "body",
    [b"[" * MAX_MESSAGE, b'{"a":' * (MAX_MESSAGE // 5), b'{"round":' + b"9" * 8_000 + b"}"],
    ids=["lists", "objects", "a number"],
)
def test_what_would_be_hard_to_parse_is_refused(url: str, body: bytes) -> None:
    """A library of the chain's raises Python's limit of recursion, so that is none."""
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(max(limit, 100_000))
        for path in ("commits", "votes", "proposals", "joins"):
            answer = requests.post(f"{url}/{path}", body, timeout=5)
            assert answer.status_code == HTTPStatus.BAD_REQUEST
    finally:
        sys.setrecursionlimit(limit)


def test_a_client_that_goes_away_is_no_fault(
    url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It announces more bytes than it sends, and is gone."""
    done = threading.Event()
    refusal = server._error

    def answered(*arguments: Any) -> web.Response:  # noqa: ANN401
        done.set()
        return refusal(*arguments)

    monkeypatch.setattr(server, "_error", answered)
    host, _, port = url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(b"POST /commits HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
    assert done.wait(20)
    assert not [record for record in caplog.records if record.name == "fednode"]


def test_a_port_that_is_taken(url: str, tmp_path: Path) -> None:
    app = application(desk_at(tmp_path / "other"), None)  # type: ignore[arg-type]

    async def again() -> None:
        async with listening(app, "127.0.0.1", int(url.rpartition(":")[2])):
            pass

    with pytest.raises(FedNodeError, match="cannot listen on"):
        asyncio.run(again())


# -- strangers that hold connections


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "READ_SECONDS", 0.3)


def opened(url: str, data: bytes = b"") -> socket.socket:
    host, _, port = url.removeprefix("http://").rpartition(":")
    connection = socket.create_connection((host, int(port)), timeout=10)
    connection.sendall(data)
    return connection


def closed(connection: socket.socket) -> bool:
    """Read what was answered, until the relay closes the connection; False if it does not."""
    try:
        while connection.recv(1 << 16):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /commits HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
SILENT = {"nothing": b"", "half a head": HEAD, "one request": HEAD + b"\r\n"}


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("data", SILENT.values(), ids=SILENT)
def test_who_is_silent_is_left(request: pytest.FixtureRequest, data: bytes) -> None:
    with opened(request.getfixturevalue("url"), data) as connection:
        assert closed(connection)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("before", [b"", HEAD + b"\r\n"], ids=["first", "second"])
def test_a_head_that_comes_drop_by_drop_is_not_waited_for(
    request: pytest.FixtureRequest, before: bytes
) -> None:
    with opened(request.getfixturevalue("url"), before + HEAD + b"X: ") as connection:
        connection.settimeout(0.02)
        end = time.monotonic() + 10
        gone = False
        while not gone and time.monotonic() < end:
            try:
                connection.sendall(b"a")
                gone = not connection.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError:
                gone = True
    assert gone


CHUNKS = b"POST /commits HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
FLOODS = {
    "a request line": (b"GET /", b"a" * 65536),
    "a header": (HEAD + b"X: ", b"a" * 65536),
    "a header's name": (HEAD, b"a" * 65536),
    "headers": (HEAD, b"X: a\r\n" * 9000),
    "blank lines": (b"", b"\r\n" * 30_000),
    "a body": (CHUNKS, b"8000\r\n" + b"a" * 0x8000 + b"\r\n"),
    "small chunks": (CHUNKS, b"1\r\na\r\n" * 9000),
    "a chunk's extension": (CHUNKS + b"1;", b"a" * 65536),
    "trailers": (CHUNKS + b"0\r\n", b"X: a\r\n" * 9000),
}


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(("start", "drop"), FLOODS.values(), ids=FLOODS)
def test_heads_and_lines_without_end_are_left(
    request: pytest.FixtureRequest, start: bytes, drop: bytes
) -> None:
    held, end = resident(), time.monotonic() + 10
    with opened(request.getfixturevalue("url"), start) as connection:
        connection.settimeout(0.1)
        gone = False
        while not gone and time.monotonic() < end:
            try:
                connection.sendall(drop)
            except TimeoutError:
                gone = closed(connection)
            except OSError:
                gone = True
    assert gone
    assert resident() - held < 64 << 20


def test_who_comes_again_and_again_is_not_left(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "READ_SECONDS", 2)
    with opened(request.getfixturevalue("url")) as connection:
        for _ in range(4):
            time.sleep(0.8)
            connection.sendall(HEAD + b"\r\n")
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")


UNREAD = (HEAD + b"\r\n") * 10_000
HOLDING = {"nothing": b"", "half a head": HEAD, "no body": POST, "answers unread": UNREAD}


@pytest.mark.parametrize("data", HOLDING.values(), ids=HOLDING)
def test_who_only_holds_a_connection_makes_room(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    data: bytes,
) -> None:
    monkeypatch.setattr(server, "room", lambda: 2)
    url = request.getfixturevalue("url")
    with ExitStack() as stack:
        holding = [stack.enter_context(opened(url)) for _ in range(3)]
        for connection in holding:
            connection.settimeout(0.5)
            with suppress(OSError):
                connection.sendall(data)
        for number in range(5):
            receipt = client_of(url, number).commit(
                Commit(FEDERATION, 0, number, digest(6)), DEADLINE
            )
            assert receipt.participant == number
        assert sum(map(closed, holding)) >= 2
    assert not [record for record in caplog.records if record.name == "fednode"]


def test_whose_message_waits_for_the_disk_is_not_sent_away(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who finds no room comes again."""
    monkeypatch.setattr(server, "room", lambda: 2)
    url = request.getfixturevalue("url")
    gate, real = threading.Event(), os.pwrite
    waiting = threading.Semaphore(0)
    commit = Desk.commit

    async def counted(desk: Desk, message: SignedCommit) -> SignedReceipt:
        waiting.release()
        return await commit(desk, message)

    def slow(handle: int, data: bytes, at: int) -> int:
        assert gate.wait(20)
        return real(handle, data, at)

    monkeypatch.setattr(Desk, "commit", counted)
    monkeypatch.setattr(os, "pwrite", slow)

    def hand(number: int) -> SignedReceipt:
        content = Commit(FEDERATION, 0, number, digest(1))
        return client_of(url, number).commit(content, DEADLINE)

    with ThreadPoolExecutor(2) as pool:
        work = [pool.submit(hand, number) for number in range(2)]
        assert all(waiting.acquire(timeout=20) for _ in work)
        with pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=5)
        gate.set()
        assert [job.result().participant for job in work] == [0, 1]
    assert requests.get(url, timeout=5).json()["commits"] == 2


# -- a real process


@contextmanager
def process(
    folder: Path, members: int, *, files: int | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "tests.fednode.relay.process", str(folder), str(members)]
    if files is not None:
        command = ["sh", "-c", f'ulimit -n {files} && exec "$@"', "sh", *command]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        yield running, running.stdout.readline().strip()
    finally:
        running.kill()
        running.communicate()


def hand_in(url: str, numbers: range) -> dict[int, SignedReceipt]:
    """Commit for participants until the relay is gone; give the receipts that came back."""
    receipts = {}
    for number in numbers:
        client = RelayClient(url, DOMAIN, RELAY.address, member(number), patience=HURRIED)
        with suppress(FedNodeError):
            receipts[number] = client.commit(Commit(FEDERATION, 0, number, digest(1)), DEADLINE)
    return receipts


def test_nothing_with_a_receipt_is_lost_on_kill_9(tmp_path: Path) -> None:
    """Killed while four clients hand in; what has a receipt is there when it is back."""
    count = 400
    with process(tmp_path, count) as (running, url), ThreadPoolExecutor(4) as pool:
        shares = [range(start, count, 4) for start in range(4)]
        work = [pool.submit(hand_in, url, share) for share in shares]
        while requests.get(url, timeout=5).json()["commits"] < 40:
            pass
        running.send_signal(signal.SIGKILL)
        given = {k: v for share in work for k, v in share.result().items()}
    assert 30 < len(given) < count
    with process(tmp_path, count) as (_, url):
        for number, receipt in given.items():
            again = requests.get(f"{url}/rounds/0/receipts/{number}", timeout=5)
            assert SignedReceipt.model_validate_json(again.content) == receipt


def test_hundreds_of_silent_connections_take_nobody_off_the_net(tmp_path: Path) -> None:
    """More than the process may open files; it still opens its journal, and answers at once."""
    with process(tmp_path, 3, files=96) as (_, url), ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(opened(url))
            time.sleep(0.002)
        receipts = hand_in(url, range(3))
        assert sorted(receipts) == [0, 1, 2]
        for _ in range(200):
            stack.enter_context(opened(url, HEAD))
            time.sleep(0.002)
        assert requests.get(url, timeout=5).json()["commits"] == 3


def test_the_situation_is_looked_at_again(tmp_path: Path) -> None:
    desk = desk_at(tmp_path, collecting())
    posted = Posted(digest(1), 1, digest(2))
    with serving(desk) as url:
        desk.see(Situation(1_001, replace(collecting(), posted=posted)))
        answer = requests.post(f"{url}/commits", commit_of(0).model_dump_json(), timeout=5)
        assert answer.status_code == HTTPStatus.GONE
