"""A server of raw bytes: answers that drip, flood, lie about HTTP, or hold hostile JSON."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Fault:
    """Bytes that an answer starts with, and bytes that follow again and again after a pause."""

    start: bytes
    drop: bytes = b""
    pause: float = 0.02


@dataclass
class Hostile:
    """A server with one fault. `gone` holds when each connection ended."""

    address: str
    gone: list[float] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.address}"


DRIPS = {
    "a header": Fault(OK + b"X: ", b"a"),
    "headers": Fault(OK, b"X: a\r\n"),
    "a body": Fault(OK + b"Content-Length: 4000\r\n\r\n", b"a"),
    "chunks": Fault(CHUNKED, b"1\r\na\r\n"),
    "interim answers": Fault(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "nothing": Fault(b""),
}
"""Answers that never end, slowly."""

BIG = b"a" * (1 << 16)
FLOODS = {
    "a status line": Fault(b"HTTP/1.1 200 ", BIG, 0),
    "a header": Fault(OK + b"X: ", BIG, 0),
    "headers": Fault(OK, b"X: a\r\n" * 9000, 0),
    "interim answers": Fault(b"", b"HTTP/1.1 103 Early\r\nX: a\r\n\r\n" * 2000, 0),
    "blank lines": Fault(b"", b"\r\n" * 30_000, 0),
    "a body": Fault(OK + b"\r\n", BIG, 0),
    "a body of a stated size": Fault(OK + b"Content-Length: 99999999999\r\n\r\n", BIG, 0),
    "small chunks": Fault(CHUNKED, b"1\r\na\r\n" * 9000, 0),
    "one chunk": Fault(CHUNKED + b"ffffffffff\r\n", BIG, 0),
    "a chunk's extension": Fault(CHUNKED + b"1;", BIG, 0),
    "a chunk's size": Fault(CHUNKED, b"0" * (1 << 16), 0),
    "trailers": Fault(CHUNKED + b"0\r\n", b"X: a\r\n" * 9000, 0),
    "zeroes": Fault(b"", bytes(1 << 16), 0),
}
"""Answers that never end, at full speed."""

GZIP = bytes.fromhex("1f8b08000000000000034b4c040045e5989402000000")
FRAUDS = {
    "an old protocol": Fault(b"hello\r\n\r\n"),
    "a compressed body": Fault(OK + b"Content-Encoding: gzip\r\n\r\n" + GZIP),
    "two lengths": Fault(OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"),
    "a length below zero": Fault(OK + b"Content-Length: -1\r\n\r\n"),
    "a chunk of no size": Fault(CHUNKED + b"zz\r\n"),
}
"""Answers that are not HTTP, or were not asked for."""


@contextmanager
def hostile(fault: Fault) -> Iterator[Hostile]:
    """Answer every connection with a fault, until the client is gone."""
    server = socket.create_server(("127.0.0.1", 0))
    found = Hostile(f"127.0.0.1:{server.getsockname()[1]}")
    over = threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(10)
            connection.recv(1 << 16)
            connection.sendall(fault.start)
            if not fault.drop:
                while connection.recv(1 << 16):
                    pass
            while fault.drop and not over.wait(fault.pause):
                connection.sendall(fault.drop)
        found.gone.append(time.monotonic())

    def run() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=server.accept()[:1], daemon=True).start()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def resident() -> int:
    """Give how many bytes of memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


DEEP = 150_000
JSONS: dict[str, bytes] = {
    "nothing": b"",
    "a page": b"<html>",
    "half of it": b'{"result": ',
    "lists inside each other": b"[" * DEEP,
    "a whole nest": b"[" * DEEP + b"]" * DEEP,
    "objects inside each other": b'{"a":' * DEEP,
    "a deep result": b'{"id":0,"result":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "a deep message": b'{"Message":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "a long number": b'{"id":0,"result":' + b"1" * 5000 + b',"Size":' + b"1" * 5000 + b"}",
    "an endless number": b'{"id":0,"result":1e400,"Size":1e400,"Message":1e400}',
    "no number": b'{"id":0,"result":NaN,"Size":NaN}',
    "no text": b'{"id":0,"result":"\xff\xfe","Message":"\xff"}',
    "half a character": b'{"id":0,"result":"\\ud800","Message":"\\ud800"}',
    "a key twice": b'{"id":0,"result":1,"result":[],"Message":1,"Message":2}',
    "many empty lists": b"[" + b"[]," * 3_000_000 + b"[]]",
    "a list": b"[1, 2]",
    "a number": b"5",
    "null": b"null",
    "an error of no text": b'{"id":0,"error":7,"Message":7,"Code":"x","Type":"error"}',
    "an error of nothing": b'{"Type":"error"}',
    "an empty object": b"{}",
    "objects in place of texts": b'{"id":0,"result":{"a":{}},"Cid":{},"Root":{"Cid":7},"Error":{}}',
}
"""Bodies that a reader of JSON may break at, for RPC and for Kubo."""
