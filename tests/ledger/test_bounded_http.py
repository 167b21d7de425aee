"""HTTP exchanges with servers that drip, flood, lie or send elsewhere, directly and by a proxy."""

import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ledger.bounded_http import BadAddress, HttpFailure, Kind, Server, _certificates
from ledger.bounded_json import read_json, read_lines
from ledger.errors import MalformedRecord
from tests.http_faults import CHUNKED, DRIPS, FLOODS, FRAUDS, JSONS, OK, Fault, hostile, resident

MOST = 1 << 20
CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
GOOD = Fault(OK + b"Content-Length: 2\r\n\r\n{}")
ANY_STATUS = Fault(b"HTTP/1.1 %d What\r\nLocation: /api\r\nContent-Length: 0\r\n\r\n")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "NETRC"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in CERTIFICATES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "name",
    [
        f"{kind}: {name}"
        for kind in ("drip", "flood", "lie")
        for name in {"drip": DRIPS, "flood": FLOODS, "lie": FRAUDS}[kind]
    ],
)
def test_a_server_takes_neither_time_nor_room(name: str) -> None:
    kind, _, fault = name.partition(": ")
    with hostile({"drip": DRIPS, "flood": FLOODS, "lie": FRAUDS}[kind][fault]) as server:
        started, held = time.monotonic(), resident()
        with pytest.raises(HttpFailure) as failure:
            Server.at(server.url).post(b"{}", seconds=0.3, most=MOST)
        assert time.monotonic() - started < 3
        assert resident() - held < 64 << 20
        while not server.gone:
            assert time.monotonic() - started < 20
            time.sleep(0.01)
    assert "\n" not in str(failure.value)
    if kind == "drip":
        assert failure.value.kind is Kind.LATE


def test_an_upload_that_is_not_taken_has_an_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = Server.at(f"http://127.0.0.1:{server.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(HttpFailure, match="no whole answer in time"):
            client.post(bytes(32 << 20), seconds=0.3, most=MOST)
        assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        *(
            (host, "no IPv4")
            for host in ("127.1", "2130706433", "0x7f.1", "1.2.3.4.5", "1.2.3.256")
        ),
        *((host, "no IPv4") for host in ("0177.0.0.1", "0x7f000001", "127.0.0.1.", "a.1")),
        ("a..b", "empty part"),
        (".a", "empty part"),
        ("a..", "empty part"),
        ("a" * 70, "between dots"),
        (f"{'b' * 64}.example", "between dots"),
        (".".join(["abcdefg"] * 40), "more than 253"),
        ("a%20b", "character|cannot be read"),
    ],
)
def test_a_host_that_is_none_is_named_before_it_is_asked(host: str, reason: str) -> None:
    with pytest.raises(BadAddress, match=reason):
        Server.at(f"http://{host}:8545")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "localhost", "localhost.", "a_b.example", "1a.b2", "bücher.de"]
)
def test_a_host_that_is_one_is_taken(host: str) -> None:
    Server.at(f"http://{host}:8545")


def test_no_connection_says_so() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        refused = Server.at(f"http://127.0.0.1:{free.getsockname()[1]}")
    with pytest.raises(HttpFailure, match=r"^connection refused$") as failure:
        refused.post(b"", seconds=1, most=MOST)
    assert not failure.value.sent
    with pytest.raises(HttpFailure, match=r"^no address for its name$") as failure:
        Server.at("http://nowhere.invalid").post(b"", seconds=5, most=MOST)
    assert not failure.value.sent
    with hostile(GOOD) as server, pytest.raises(HttpFailure, match="TLS") as failure:
        Server.at(f"https://{server.address}").post(b"", seconds=1, most=MOST)
    assert not failure.value.sent


def test_a_name_that_is_looked_up_for_long_holds_nothing_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = threading.Event()

    def slow(*_: object, **__: object) -> object:
        assert found.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "too late")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    started = time.monotonic()
    with pytest.raises(HttpFailure, match="no connection in time") as failure:
        Server.at("http://slow.example").post(b"", seconds=0.2, most=MOST)
    assert not failure.value.sent
    assert time.monotonic() - started < 2
    found.set()


LINGERING = """
import socket, time
from ledger.bounded_http import HttpFailure, Server
socket.getaddrinfo = lambda *_, **__: time.sleep(60)
try:
    Server.at("http://slow.example").post(b"", seconds=0.1, most=1)
except HttpFailure as failure:
    print(failure)
"""


def test_a_process_ends_while_a_name_is_looked_up() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LINGERING], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout == "no connection in time\n"
    assert done.stderr == ""


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 404, 101])
def test_every_status_is_an_answer(status: int) -> None:
    """A redirect is not followed: it would choose what is posted to whom."""
    with hostile(Fault(ANY_STATUS.start % status)) as server:
        answer = Server.at(server.url).post(b"{}", seconds=5, most=MOST)
    assert answer.status == status
    assert not answer.ok
    told = f"HTTP status {status}" if status in (404, 101) else "it redirects"
    assert told in answer.problem


@pytest.mark.parametrize(
    "address",
    ["ftp://host", "host:80", "http://", "http://host:99999", "http://[::1", "http://a b", "/x",
     "http://host/#here", "http://host/\r\nX: y", ""],
)  # fmt: skip
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(BadAddress):
        Server.at(address)


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX: y", "ä"])
def test_tokens_that_are_none(token: str) -> None:
    with pytest.raises(BadAddress, match="the token is"):
        Server.at("http://host", token=token)


def test_a_proxy_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("http_proxy", f"http://user:secret@127.0.0.1:{port}")
    with pytest.raises(HttpFailure) as failure:
        Server.at("http://chain.example").post(b"", seconds=5, most=MOST)
    assert f"refused, through the proxy http://127.0.0.1:{port};" in str(failure.value)
    assert "secret" not in str(failure.value)
    monkeypatch.setenv("no_proxy", "chain.example")
    assert Server.at("http://chain.example").way == ""


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("proxy.example:3128", "http://proxy.example:3128"),
        ("user:secret@proxy.example:3128", "http://proxy.example:3128"),
        ("https://user:secret@proxy.example", "https://proxy.example"),
    ],
)
def test_a_proxy_may_be_written_without_its_scheme(
    named: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", named)
    assert Server.at("https://chain.example").way.startswith(f", through the proxy {told};")
    assert Server.at("http://chain.example").way == ""


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_a_proxy_refuses_is_the_proxys(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = Fault(b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n")
    with hostile(refusal) as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", proxy.url)
        server = Server.at(f"{scheme}://chain.example")
        try:
            told = server.post(b"", seconds=5, most=MOST).problem
        except HttpFailure as failure:
            told = str(failure)
    assert f"HTTP status 407, through the proxy {proxy.url};" in told


def test_a_proxy_of_another_kind_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://user:secret@proxy.example:1080")
    with pytest.raises(BadAddress, match=r"socks5://proxy\.example:1080; only http"):
        Server.at("http://chain.example")


def test_certificates_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    with pytest.raises(BadAddress, match=r"none\.pem cannot be read \(No such file"):
        Server.at("https://chain.example")


@pytest.fixture
def own_certificate(tmp_path: Path) -> Path:
    """Write the key and the certificate of a server that signed for itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hospital")])
    made = x509.CertificateBuilder(
        name, name, key.public_key(), 1, datetime(2020, 1, 1), datetime(2120, 1, 1)
    ).add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    path = tmp_path / "own.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + made.sign(key, SHA256()).public_bytes(Encoding.PEM)
    )
    return path


@pytest.mark.parametrize("variable", CERTIFICATES)
def test_a_certificate_is_checked_by_what_the_environment_names(
    variable: str, own_certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(own_certificate)
    with tls(context) as url:
        with pytest.raises(HttpFailure, match="certificate is not valid: self") as failure:
            Server.at(url).post(b"{}", seconds=5, most=MOST)
        assert not failure.value.sent
        _certificates.cache_clear()  # OpenSSL's variable is read when a context is made
        monkeypatch.setenv(variable, str(own_certificate))
        assert Server.at(url).post(b"{}", seconds=5, most=MOST).body == b"{}"
    _certificates.cache_clear()


@contextmanager
def tls(context: ssl.SSLContext) -> Iterator[str]:
    """Answer over TLS."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client that trusts no such certificate hangs up."""

    with Quiet(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"https://localhost:{server.server_port}"
        server.shutdown()


FORKED = """
import os, sys
from ledger.bounded_http import Server
server = Server.at(sys.argv[1])
assert server.post(b"", seconds=5, most=9).body == b"{}"
child = os.fork()
assert server.post(b"", seconds=5, most=9).body == b"{}"
if not child:
    os._exit(0)  # as multiprocessing does
assert os.waitpid(child, 0)[1] == 0
"""


def test_a_forked_process_has_connections_of_its_own() -> None:
    with hostile(
        Fault(GOOD.start.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    ) as server:
        command = [sys.executable, "-c", FORKED, server.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, "")


SEEDS = (
    OK + b"Content-Length: 5\r\nX: y\r\n\r\nabcde",
    CHUNKED + b"3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n",
    b"HTTP/1.0 503 Bad\r\nContent-Encoding: gzip\r\nConnection: keep-alive\r\n\r\nzzz",
    b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n",
    b"HTTP/1.1 101 Up\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nPRI",
    b"HTTP/1.1 302 F\r\nLocation: http://[\r\nSet-Cookie: a=b; Path=\xff\r\n\r\n",
)
BITS = (
    b"\r\n",
    b"\0",
    b"\xff",
    b":",
    b" ",
    b"\n",
    b";",
    b"-1",
    b"9" * 30,
    b"HTTP/1.1 ",
    b"chunked",
)


def test_altered_answers_are_failures_of_http() -> None:
    """Whatever the library makes of them, nothing else comes out."""
    random = Random(7)
    answers = [bytearray(random.choice(SEEDS)) for _ in range(150)]
    for answer in answers:
        for _ in range(random.randrange(1, 6)):
            at = random.randrange(len(answer) + 1)
            answer[at : at + random.randrange(4)] = random.choice(BITS)
    ended = 0
    with hostile_each(answers) as url:
        server = Server.at(url)
        for _ in answers:
            with suppress(HttpFailure):
                server.post(b"{}", seconds=0.5, most=1000)
            ended += 1
    assert ended == len(answers)


@contextmanager
def hostile_each(answers: Iterable[bytes | bytearray]) -> Iterator[str]:
    """Give one answer to each connection, and close it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run() -> None:
            for answer in answers:
                with suppress(OSError), server.accept()[0] as connection:
                    connection.recv(1 << 16)
                    connection.sendall(answer)

        threading.Thread(target=run, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


# -- JSON


def test_hostile_json_is_one_error() -> None:
    """Where Python's limit of recursion is none, as a library of the chain's makes it."""
    limit = sys.getrecursionlimit()
    started = time.monotonic()
    said = []
    try:
        sys.setrecursionlimit(max(limit, 1_000_000))
        for body in JSONS.values():
            try:
                read_json(body)
            except MalformedRecord as error:
                said.append(str(error))
    finally:
        sys.setrecursionlimit(limit)
    assert time.monotonic() - started < 2
    assert all(text.isprintable() and len(text) < 200 for text in said)
    with pytest.raises(MalformedRecord, match="recursion limit"):
        read_json(JSONS["a whole nest"])
    with pytest.raises(MalformedRecord, match="more than 2097152 values"):
        read_json(JSONS["many empty lists"])
    with pytest.raises(MalformedRecord, match="out of range"):
        read_json(JSONS["a long number"])


def test_values_are_counted_one_by_one() -> None:
    assert read_json(b'[1,2,{"a":3}]', most=6) == [1, 2, {"a": 3}]
    with pytest.raises(MalformedRecord, match="more than 5 values"):
        read_json(b'[1,2,{"a":3}]', most=5)


def test_lines_are_read_one_by_one() -> None:
    assert list(read_lines(b'{"a":1}\n\n  7 \r\n[]')) == [{"a": 1}, 7, []]
    with pytest.raises(MalformedRecord):
        list(read_lines(b"{}\n{"))
