"""CARv1 files: many blocks in one stream, as Kubo imports and exports them.

A CAR comes from anybody, so reading it checks every length before it allocates, and every block
against its CID.

Source: https://ipld.io/specs/transport/car/carv1/
"""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO

from ledger import cbor
from ledger.cid import CID, CID_SIZE, Codec
from ledger.errors import MalformedRecord
from ledger.stores.base import MAX_BLOCK, Artefact, BlockUnavailable, ContentStore

MAX_CAR = 1 << 30
MAX_HEADER = 1 << 20
_VARINT_SIZE = 9


def write_car(artefact: Artefact) -> bytes:
    """Write an artefact as one CAR, roots first; the same artefact gives the same bytes."""
    return b"".join(car_parts(artefact))


def car_parts(artefact: Artefact) -> Iterator[bytes]:
    """Yield a CAR piece by piece."""
    header = cbor.encode({"roots": list(artefact.roots), "version": 1})
    yield _varint(len(header)) + header
    roots = list(dict.fromkeys(artefact.roots))
    for cid in roots + sorted(set(artefact.blocks) - set(roots)):
        data = artefact.blocks[cid]
        yield _varint(CID_SIZE + len(data)) + cid.to_bytes()
        yield data


def read_car(source: bytes | BinaryIO, *, limit: int = MAX_CAR) -> Artefact:
    """Read a CAR of at most `limit` bytes; every block is verified, the roots are among them."""
    stream = _Bounded(io.BytesIO(source) if isinstance(source, bytes) else source, limit)
    roots = _read_header(stream)
    blocks: dict[CID, bytes] = {}
    while (size := stream.varint(optional=True)) is not None:
        if not CID_SIZE <= size <= CID_SIZE + MAX_BLOCK:
            raise MalformedRecord("CAR", f"section of {size} bytes at {stream.at}")
        cid = CID.from_bytes(stream.read(CID_SIZE))
        data = stream.read(size - CID_SIZE)
        if not cid.names(data):
            raise MalformedRecord("CAR", f"block {cid} has other bytes than its CID says")
        blocks[cid] = data
    for root in roots:
        if root not in blocks:
            raise MalformedRecord("CAR", f"root {root} is not among its blocks")
    return Artefact(roots, blocks)


def require_whole(artefact: Artefact) -> Artefact:
    """Refuse an artefact from which a block is missing that a root links to, directly or not.

    A CAR that was cut between two blocks reads well otherwise.
    """
    waiting = list(artefact.roots)
    seen = set(waiting)
    while waiting:
        cid = waiting.pop()
        if cid not in artefact.blocks:
            raise MalformedRecord("CAR", f"block {cid}, which another one links to, is missing")
        if cid.codec is not Codec.DAG_CBOR:
            continue
        linked = set(links(cbor.decode(artefact.blocks[cid]))) - seen
        seen |= linked
        waiting.extend(linked)
    return artefact


def collect(store: ContentStore, roots: Sequence[CID], *, limit: int = MAX_CAR) -> Artefact:
    """Fetch the roots and everything they link to, directly or not, up to `limit` bytes."""
    blocks: dict[CID, bytes] = {}
    waiting = list(roots)
    size = 0
    while waiting:
        cid = waiting.pop()
        if cid in blocks:
            continue
        blocks[cid] = store.get(cid)
        size += len(blocks[cid])
        if size > limit:
            raise MalformedRecord("artefact", f"more than {limit} bytes under {roots[0]}")
        if cid.codec is Codec.DAG_CBOR:
            waiting.extend(links(cbor.decode(blocks[cid])))
    return Artefact(tuple(roots), blocks)


def links(value: cbor.Value) -> Iterator[CID]:
    """Yield every link in a decoded record."""
    if isinstance(value, CID):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from links(item)
    elif isinstance(value, list):
        for item in value:
            yield from links(item)


def needed(
    doomed: Iterable[CID], everything: Iterable[CID], get: Callable[[CID], bytes]
) -> set[CID]:
    """Name those of some blocks that one which is not among them links to, directly or not."""
    going, staying = set(doomed), set[CID]()
    waiting = [cid for cid in everything if cid not in going]
    while waiting:
        cid = waiting.pop()
        if cid.codec is not Codec.DAG_CBOR:
            continue
        try:
            found = going.intersection(links(cbor.decode(get(cid)))) - staying
        except (BlockUnavailable, MalformedRecord):
            continue
        staying |= found
        waiting += found
    return staying


class _Bounded:
    """A stream that gives exactly what was asked for, never more than the limit in all."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self.at = 0

    def read(self, size: int) -> bytes:
        data = self._take(size)
        if len(data) != size:
            raise MalformedRecord("CAR", f"truncated: {size} bytes expected, {len(data)} left")
        return data

    def varint(self, *, optional: bool = False) -> int | None:
        """Read a minimal unsigned varint of at most 9 bytes; None at the end if `optional`."""
        value = 0
        for position in range(_VARINT_SIZE):
            byte = self._take(1)
            if not byte:
                if optional and position == 0:
                    return None
                raise MalformedRecord("CAR", f"truncated: a length is cut off at {self.at}")
            value |= (byte[0] & 127) << 7 * position
            if byte[0] < 128:
                if position and byte[0] == 0:
                    raise MalformedRecord("CAR", f"a length at {self.at} is not minimal")
                return value
        raise MalformedRecord("CAR", f"a length at {self.at} has more than {_VARINT_SIZE} bytes")

    def _take(self, size: int) -> bytes:
        data = self._stream.read(min(size, self._limit - self.at + 1))
        self.at += len(data)
        if self.at > self._limit:
            raise MalformedRecord("CAR", f"more than the {self._limit} bytes that are allowed")
        return data


def _read_header(stream: _Bounded) -> tuple[CID, ...]:
    size = stream.varint()
    if size is None or not 0 < size <= MAX_HEADER:
        raise MalformedRecord("CAR header", "the header is empty or longer than 1 MiB")
    try:
        record = cbor.decode_map(stream.read(size), "CAR header", ("roots", "version"))
    except MalformedRecord as error:
        raise MalformedRecord("CAR header", error.reason) from None
    if cbor.field(record, "version", int, kind="CAR header") != 1:
        raise MalformedRecord("CAR header", "this is not version 1")
    roots = cbor.field(record, "roots", list, kind="CAR header")
    if not roots or not all(isinstance(root, CID) for root in roots):
        raise MalformedRecord("CAR header", "roots must be a list of links, not empty")
    return tuple(roots)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
