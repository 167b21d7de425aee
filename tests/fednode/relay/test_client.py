"""A participant's client against relays that are slow, full, broken or lying."""

import json
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fednode.relay.client import MAX_ANSWER, Patience, RelayClient
from fednode.relay.errors import ForgedReceipt, Refused, RelayDown, RelayError
from fednode.relay.messages import SignedReceipt
from ledger.signatures import Commit, Receipt
from tests.fednode.relay.world import (
    DEADLINE,
    DOMAIN,
    FEDERATION,
    MEMBERS,
    RELAY,
    STRANGER,
    digest,
)

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
