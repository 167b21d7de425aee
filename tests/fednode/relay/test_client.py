"""A participant's client against relays that are slow, full, broken or lying."""

import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fednode.relay.client import MAX_ANSWER, MAX_REASON, Patience, RelayClient
from fednode.relay.errors import ForgedReceipt, Refused, RelayDown, RelayError
from fednode.relay.messages import SignedReceipt
from ledger.signatures import Commit, Receipt
from tests.fednode.relay.test_sponsor import joining
from tests.fednode.relay.world import (
    DEADLINE,
    DOMAIN,
    FEDERATION,
    MEMBERS,
    RELAY,
    STRANGER,
    digest,
)
from tests.http_faults import DRIPS, JSONS, Fault, hostile

COMMIT = Commit(FEDERATION, 0, 2, digest(6))
Answer = tuple[int, dict[str, str], bytes]


def receipt(*, by: object = RELAY, **changes: int) -> bytes:
    fields = {"round": 0, "participant": 2, "deadline": DEADLINE} | changes
    content = Receipt(
        FEDERATION, fields["round"], fields["participant"], digest(6), fields["deadline"]
    )
    signature = DOMAIN.sign(by, content)  # type: ignore[arg-type]
    return SignedReceipt.of(content, signature).model_dump_json().encode()


def error(status: HTTPStatus, reason: str = "because", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, named, json.dumps({"error": reason}).encode()


GOOD: Answer = (200, {}, receipt())


class Scripted:
    """A relay that answers by a script, and the rests that its client takes."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.rests: list[float] = []
        self.bodies: list[bytes] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.url = ""

    def client(self, **patience: float) -> RelayClient:
        return RelayClient(
            self.url + "/",
            DOMAIN,
            RELAY.address,
            MEMBERS[2],
            patience=Patience(**patience),  # type: ignore[arg-type]
            rest=self.rests.append,
        )


@pytest.fixture
def relay() -> Iterator[Scripted]:
    script = Scripted()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            script.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            script.asked.append((self.path, dict(self.headers)))
            status, headers, body = script.answers.pop(0)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    script.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield script
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_good_receipt_is_given(relay: Scripted) -> None:
    relay.answers = [GOOD]
    assert relay.client().commit(COMMIT, DEADLINE).content.digest == digest(6)
    sent = json.loads(relay.bodies[0])
    assert (sent["participant"], sent["digest"]) == (2, digest(6).hex())


def test_it_comes_again_when_told_so(relay: Scripted) -> None:
    relay.answers = [
        error(HTTPStatus.SERVICE_UNAVAILABLE, Retry_After="3"),
        error(HTTPStatus.TOO_EARLY, Retry_After="1"),
        error(HTTPStatus.BAD_GATEWAY),
        GOOD,
    ]
    relay.client(pause=0.5).commit(COMMIT, DEADLINE)
    assert len(set(relay.bodies)) == 1
    low, high = [3.0, 1.0, 2.0], [4.5, 1.5, 3.0]
    assert all(a <= b <= c for a, b, c in zip(low, relay.rests, high, strict=True))


@pytest.mark.parametrize(
    "status", [HTTPStatus.CONFLICT, HTTPStatus.GONE, HTTPStatus.FORBIDDEN, HTTPStatus.BAD_REQUEST]
)
def test_a_refusal_is_final(relay: Scripted, status: HTTPStatus) -> None:
    relay.answers = [error(status, "no\nroom")]
    with pytest.raises(Refused, match="no room") as refused:
        relay.client().commit(COMMIT, DEADLINE)
    assert refused.value.status == status
    assert relay.rests == []


def test_what_takes_too_long_is_not_waited_for(relay: Scripted) -> None:
    relay.answers = [error(HTTPStatus.TOO_MANY_REQUESTS, Retry_After="600")]
    with pytest.raises(Refused) as refused:
        relay.client().commit(COMMIT, DEADLINE)
    assert refused.value.retry_after == 600
    assert relay.rests == []


def test_patience_ends(relay: Scripted) -> None:
    relay.answers = [error(HTTPStatus.SERVICE_UNAVAILABLE)] * 3
    with pytest.raises(Refused, match="because"):
        relay.client(tries=3).commit(COMMIT, DEADLINE)
    assert len(relay.rests) == 2


def test_nobody_there() -> None:
    rests: list[float] = []
    client = RelayClient(
        "http://127.0.0.1:9",
        DOMAIN,
        RELAY.address,
        MEMBERS[2],
        patience=Patience(answer=1, tries=2),
        rest=rests.append,
    )
    with pytest.raises(RelayDown, match="may be down") as down:
        client.commit(COMMIT, DEADLINE)
    assert down.value.reason == "ConnectionError"
    assert len(rests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("to", ["http://127.0.0.1:5001/api/v0/shutdown", "/elsewhere", "http://["])
def test_nobody_is_sent_elsewhere(relay: Scripted, status: int, to: str) -> None:
    """A redirect would let a relay choose what a hospital posts to its own machines."""
    relay.answers = [(status, {"Location": to}, b""), GOOD]
    with pytest.raises(Refused) as refused:
        relay.client().commit(COMMIT, DEADLINE)
    assert refused.value.status == status
    assert [path for path, _ in relay.asked] == ["/commits"]
    assert relay.rests == []


def test_passwords_are_for_others(
    relay: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("default login doctor password secret\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    relay.answers = [GOOD]
    relay.client().commit(COMMIT, DEADLINE)
    assert "Authorization" not in relay.asked[0][1]


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_the_environments_proxy_is_asked(
    relay: Scripted, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """For many hospitals it is the only way out, to the relay as to the chain."""
    monkeypatch.setenv("http_proxy", scheme + relay.url.removeprefix("http://"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    relay.answers = [GOOD, GOOD]
    relay.client().commit(COMMIT, DEADLINE)
    relay.url = "http://relay.example"
    relay.client().commit(COMMIT, DEADLINE)
    assert [path for path, _ in relay.asked] == ["/commits", "http://relay.example/commits"]


# -- time


ENCRYPTED = Fault(b"\x16\x03\x03\x40\x00", b"a")
SLOW = {**{name: ("http", fault) for name, fault in DRIPS.items()}, "TLS": ("https", ENCRYPTED)}


@pytest.mark.parametrize(("scheme", "fault"), SLOW.values(), ids=SLOW)
@pytest.mark.parametrize("end", ["of the try", "of the time"])
def test_a_relay_that_drips_is_left(scheme: str, fault: Fault, end: str) -> None:
    """A try has an end however slowly bytes come, and so have all of them; nothing is left open."""
    patience = Patience(answer=0.2, tries=2) if end == "of the try" else Patience(answer=60)
    rests: list[float] = []
    with hostile(fault) as server:
        url = f"{scheme}://{server.address}"
        client = RelayClient(
            url, DOMAIN, RELAY.address, MEMBERS[2], patience=patience, rest=rests.append
        )
        started = time.monotonic()
        with pytest.raises(RelayDown, match="no whole answer in time"):
            client.commit(COMMIT, DEADLINE, within=60 if end == "of the try" else 0.3)
        assert time.monotonic() - started < 5
        assert len(rests) == (end == "of the try")
        tries = len(rests) + 1
        while len(server.gone) < tries:
            assert time.monotonic() - started < 20
            time.sleep(0.01)


def test_a_name_that_nobody_gives_an_address_for_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found = threading.Event()

    def slow(*_: object, **__: object) -> object:
        assert found.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "too late")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    client = RelayClient(
        "http://relay.example", DOMAIN, RELAY.address, MEMBERS[2], patience=Patience(0.1, 1)
    )
    with caplog.at_level(logging.WARNING), pytest.raises(RelayDown, match="in time"):
        client.commit(COMMIT, DEADLINE)
    found.set()
    assert caplog.records == []


def test_a_proxy_that_is_down_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://user:secret@127.0.0.1:9")
    client = RelayClient(
        "http://relay.example", DOMAIN, RELAY.address, MEMBERS[2], patience=Patience(1, 1)
    )
    with pytest.raises(RelayDown, match=r"ConnectionError, through the proxy") as down:
        client.commit(COMMIT, DEADLINE)
    assert "secret" not in str(down.value)


def test_an_address_that_is_none() -> None:
    with pytest.raises(RelayError, match="cannot be read"):
        RelayClient("http://relay.example:99999", DOMAIN, RELAY.address, MEMBERS[2])


def test_a_pause_beyond_the_time_that_is_left_is_not_taken(relay: Scripted) -> None:
    relay.answers = [error(HTTPStatus.SERVICE_UNAVAILABLE, Retry_After="3")]
    with pytest.raises(Refused, match="because"):
        relay.client().commit(COMMIT, DEADLINE, within=3)
    assert relay.rests == []


LIES: dict[str, tuple[Callable[[], bytes], str]] = {
    "by somebody else": (lambda: receipt(by=STRANGER), "not signed by the policy's relay"),
    "for another round": (lambda: receipt(round=1), "for something else"),
    "for somebody else": (lambda: receipt(participant=1), "for something else"),
    "for a later deadline": (lambda: receipt(deadline=DEADLINE + 1), "for something else"),
    "nothing": (lambda: b"", "fields are wrong"),
    "no object": (lambda: b"[]", "fields are wrong"),
    "half of it": (lambda: receipt()[:-40], "fields are wrong"),
    "no signature": (
        lambda: (
            receipt()[: receipt().index(b'"signature"')] + b'"signature":"' + b"00" * 64 + b'"}'
        ),
        "not signed by the policy's relay",
    ),
}


@pytest.mark.parametrize(("lie", "reason"), LIES.values(), ids=LIES)
def test_a_receipt_that_is_worth_nothing(
    relay: Scripted, lie: Callable[[], bytes], reason: str
) -> None:
    relay.answers = [(200, {}, lie())]
    with pytest.raises(ForgedReceipt, match=reason):
        relay.client().commit(COMMIT, DEADLINE)


def test_a_reason_is_one_printable_line(relay: Scripted) -> None:
    relay.answers = [error(HTTPStatus.FORBIDDEN, "no\x1b[2J\x07\r\nERROR all is lost" + "!" * 999)]
    with pytest.raises(Refused) as refused:
        relay.client().commit(COMMIT, DEADLINE)
    assert refused.value.reason.isprintable()
    assert len(refused.value.reason) <= MAX_REASON


def test_nesting_is_no_end_of_the_process(relay: Scripted) -> None:
    """Even where Python's limit of recursion, which a library of the chain's raises, is none."""
    relay.answers = [(503, {}, b"[" * 60_000), (503, {}, b'{"error":' * 7_000)]
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(max(limit, 100_000))
        with pytest.raises(Refused, match="Service Unavailable"):
            relay.client(tries=2).commit(COMMIT, DEADLINE)
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize("status", [200, 503])
def test_whatever_a_relay_answers_is_an_error_of_the_relay(relay: Scripted, status: int) -> None:
    bodies = [body for body in JSONS.values() if len(body) < MAX_ANSWER]
    relay.answers = [(status, {}, body) for body in bodies]
    for _ in bodies:
        with pytest.raises(RelayError) as caught:
            relay.client(tries=1).commit(COMMIT, DEADLINE)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("told", ["ab" * 32, "\x1b[2J", "AB" * 32, 7, None, {"a": 1}])
def test_a_transaction_is_named_by_its_hash(relay: Scripted, told: object) -> None:
    relay.answers = [(200, {}, json.dumps({"transaction": told}).encode())]
    named = relay.client().join(joining())
    assert named == (told if told == "ab" * 32 else "a transaction that it does not name")


def test_a_busy_relay_is_waited_for_where_there_is_no_other_way(relay: Scripted) -> None:
    """Others' joins come first, one a block."""
    busy = error(HTTPStatus.SERVICE_UNAVAILABLE, Retry_After="1")
    waiting = error(HTTPStatus.TOO_MANY_REQUESTS, Retry_After="1")
    relay.answers = [*[busy, waiting] * 10, (200, {}, b"{}")]
    relay.client(tries=2, busy=60).join(joining())
    assert len(relay.rests) == 20

    relay.answers = [busy] * 2
    with pytest.raises(Refused):
        relay.client(tries=2).join(joining())
    relay.answers = [error(HTTPStatus.SERVICE_UNAVAILABLE)] * 2
    with pytest.raises(Refused):
        relay.client(tries=2, busy=60).join(joining())
    relay.answers = [error(HTTPStatus.TOO_MANY_REQUESTS, Retry_After="600")]
    with pytest.raises(Refused):
        relay.client(tries=2, busy=60).join(joining())


ODD: dict[str, Answer] = {
    "an answer without end": (200, {}, b" " * (MAX_ANSWER + 1)),
    "an unknown status": (799, {}, b""),
    "a page": (502, {}, b"<html>"),
    "nesting": (503, {}, b"[" * 60_000),
    "another time": error(HTTPStatus.SERVICE_UNAVAILABLE, Retry_After="soon"),
}


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
def test_an_odd_answer_is_one_line(relay: Scripted, answer: Answer) -> None:
    relay.answers = [answer]
    with pytest.raises(RelayError):
        relay.client(tries=1).commit(COMMIT, DEADLINE)
