"""Writes the vectors that pytest and forge both check: `python tests/vectors/make.py`.

Deterministic: every byte is a function of this file. Integers are decimal text, bytes are
0x-prefixed hex, so that forge's `vm.parseJson*` reads them with a path like `.cases[3].path`;
`count` is the number of cases.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from ledger import merkle, merkle_sum, nodes, payouts
from ledger.headers import Common, PolicyHeader, ResultHeader, UpdateHeader
from ledger.types import ZERO_DIGEST, Digest
from ledger.words import AddressType, BoolType, Bytes32Type, Integer, WordType, layout

HERE = Path(__file__).resolve().parent
Json = str | int | bool | Sequence["Json"] | Mapping[str, "Json"]
Header = PolicyHeader | UpdateHeader | ResultHeader
KINDS: dict[str, type[Header]] = {
    "policy": PolicyHeader,
    "update": UpdateHeader,
    "result": ResultHeader,
}
SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33)
DRAWS = ((1, 1), (2, 2), (3, 16), (2, 1), (4, 3), (5, 4), (16, 3), (17, 16), (65, 16), (300, 128))
PAYOUT_SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 16)


def digest(*names: object) -> Digest:
    """Derive 32 bytes from names."""
    return Digest(hashlib.sha256("/".join(map(str, names)).encode()).digest())


def text(data: bytes) -> str:
    return "0x" + data.hex()


# Headers


def headers_file() -> Json:
    cases: list[Json] = []
    bad: list[Json] = []
    for kind, cls in KINDS.items():
        for name in ("zero", "distinct", "largest", "least"):
            header = _header(cls, name)
            encoded = header.encode()
            cases.append(
                {
                    "kind": kind,
                    "name": name,
                    "fields": _fields(header),
                    "encoded": text(encoded),
                    "digest": text(header.digest()),
                }
            )
        bad += [
            {"kind": kind, "name": name, "encoded": text(data)}
            for name, data in _bad_headers(cls, _header(cls, "distinct").encode())
        ]
    return {"count": len(cases), "cases": cases, "badCount": len(bad), "bad": bad}


def _header(cls: type[Header], name: str) -> Header:
    common: list[Any] = [_value(word, name, key, "common") for key, word in _words(Common)]
    values: list[Any] = [_value(word, name, key, cls.__name__) for key, word in _words(cls)]
    return cls(replace(Common(*common), tag=cls.TAG), *values)


def _words(cls: type) -> list[tuple[str, WordType]]:
    return [(key, word) for key, word in layout(cls) if not isinstance(word, type)]


def _value(word: WordType, name: str, *path: str) -> object:
    seed = digest(name, *path)
    if isinstance(word, Integer):
        top = (1 << word.bits - word.signed) - 1
        low = -top - 1 if word.signed else 0
        number = int.from_bytes(seed, "big") % (top - low + 1) + low
        return {"zero": 0, "distinct": number, "largest": top, "least": low}[name]
    filled = name in ("distinct", "largest")
    if isinstance(word, BoolType):
        return filled
    data = seed if name == "distinct" else bytes([255 * filled]) * 32
    if isinstance(word, AddressType):
        return AddressType().unpack(bytes(12) + data[12:])
    assert isinstance(word, Bytes32Type)
    return data


def _fields(header: Header) -> Json:
    common = {f.name: _json(getattr(header.common, f.name)) for f in fields(header.common)}
    rest = {f.name: getattr(header, f.name) for f in fields(header) if f.name != "common"}
    flat = common | {name: _json(value) for name, value in rest.items()}
    return {_camel(name): value for name, value in flat.items()}


def _json(value: object) -> Json:
    if isinstance(value, bool):
        return value
    if isinstance(value, bytes):
        return text(value)
    return str(value)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _bad_headers(cls: type[Header], good: bytes) -> Iterator[tuple[str, bytes]]:
    yield "one word short", good[:-32]
    yield "one word too long", good + bytes(32)
    yield "one byte short", good[:-1]
    yield "nothing", b""
    others = [other for other in KINDS.values() if other is not cls]
    yield "tag of another kind", bytes(others[0].TAG) + good[32:]
    yield "no tag", bytes(32) + good[32:]
    words = [*_words(Common), *_words(cls)]
    for position, (key, word) in enumerate(words):
        at = position * 32
        if isinstance(word, BoolType):
            yield f"{_camel(key)} is 2", good[: at + 31] + b"\2" + good[at + 32 :]
        if isinstance(word, AddressType):
            yield f"{_camel(key)} is padded", good[: at + 11] + b"\1" + good[at + 12 :]
        if isinstance(word, Integer) and word.bits < 256:
            over = (1 << word.bits - word.signed).to_bytes(32, "big")
            yield f"{_camel(key)} overflows", good[:at] + over + good[at + 32 :]


# Merkle paths


def merkle_file() -> Json:
    cases = [*_good_paths(), *_wrong_indexes(), *_wrong_heights(), *_wrong_leaves()]
    cases += [*_second_preimages(), *_leaves_of_64_bytes()]
    return {"count": len(cases), "cases": cases}


def _leaves(size: int, leaf_size: int = 32) -> list[bytes]:
    names = [digest("leaf", size, leaf_size, i) for i in range(size)]
    return [(name * (leaf_size // 32 + 1))[:leaf_size] for name in names]


def _path_case(
    name: str,
    root: bytes,
    leaf: bytes,
    *,
    index: int,
    size: int,
    path: Sequence[bytes],
    leaf_size: int = 32,
    valid: bool = False,
) -> Json:
    return {
        "name": name,
        "valid": valid,
        "root": text(root),
        "leaf": text(leaf),
        "leafSize": leaf_size,
        "index": index,
        "size": size,
        "path": [text(item) for item in path],
    }


def _good_paths() -> Iterator[Json]:
    for size in SIZES:
        leaves = _leaves(size)
        tree = merkle.Tree.of(leaves)
        for index in sorted({0, size // 2, size - 1}):
            yield _path_case(
                f"leaf {index} of {size}",
                tree.root,
                leaves[index],
                index=index,
                size=size,
                path=tree.path(index),
                valid=True,
            )
    leaves = _leaves(5, 1024)
    tree = merkle.Tree.of(leaves)
    for index in (0, 4):
        yield _path_case(
            f"payload leaf {index} of 5",
            tree.root,
            leaves[index],
            index=index,
            size=5,
            path=tree.path(index),
            leaf_size=1024,
            valid=True,
        )


def _wrong_indexes() -> Iterator[Json]:
    for size in (1, 2, 3, 5, 6, 7, 8, 9, 17):
        leaves = _leaves(size)
        tree = merkle.Tree.of(leaves)
        for wrong in [*range(size - 1), size, size + 1, 2 * size]:
            yield _path_case(
                f"wrong index: leaf {size - 1} of {size} as {wrong}",
                tree.root,
                leaves[-1],
                index=wrong,
                size=size,
                path=tree.path(size - 1),
            )


def _wrong_heights() -> Iterator[Json]:
    for size in (1, 3, 5, 7, 8, 9):
        leaves = _leaves(size)
        tree = merkle.Tree.of(leaves)
        index = size - 1
        path = tree.path(index)
        wrong = {
            "one more": (*path, tree.root),
            "one more in front": (tree.root, *path),
            "zero more": (*path, ZERO_DIGEST),
        }
        if path:
            wrong |= {"last missing": path[:-1], "first missing": path[1:], "none": ()}
        for name, items in wrong.items():
            yield _path_case(
                f"wrong height: {size} leaves, {name}",
                tree.root,
                leaves[index],
                index=index,
                size=size,
                path=items,
            )
    yield _path_case("no leaves", merkle.EMPTY_ROOT, b"", index=0, size=0, path=(), leaf_size=0)


def _wrong_leaves() -> Iterator[Json]:
    leaves = _leaves(6)
    tree = merkle.Tree.of(leaves)
    changed = {
        "altered": bytes([leaves[2][0] ^ 1]) + leaves[2][1:],
        "truncated": leaves[2][:-1],
        "longer": leaves[2] + b"\0",
        "empty": b"",
        "its neighbour": leaves[3],
    }
    for name, leaf in changed.items():
        yield _path_case(f"wrong leaf: {name}", tree.root, leaf, index=2, size=6, path=tree.path(2))
    for size in (4, 8, 9):
        yield _path_case(
            f"wrong size: 6 leaves as {size}",
            tree.root,
            leaves[5],
            index=5,
            size=size,
            path=tree.path(5),
        )


def _second_preimages() -> Iterator[Json]:
    """An inner node's content offered as a leaf, one level up."""
    for size in (2, 4, 8):
        leaves = _leaves(size)
        tree = merkle.Tree.of(leaves)
        forged = b"".join(tree.levels[0][:2])
        yield _path_case(
            f"second preimage: node over two of {size} as a leaf",
            tree.root,
            forged,
            index=0,
            size=size // 2,
            path=tree.path(0)[1:],
            leaf_size=64,
        )
        yield _path_case(
            f"second preimage: prefixed node over two of {size} as a leaf",
            tree.root,
            merkle.NODE_PREFIX + forged,
            index=0,
            size=size // 2,
            path=tree.path(0)[1:],
            leaf_size=65,
        )


def _leaves_of_64_bytes() -> Iterator[Json]:
    """Leaves as long as two hashes: good ones verify, and none opens into leaves below it."""
    below = _leaves(4)
    inner = merkle.Tree.of(below)
    leaves = [b"".join(inner.levels[0][:2]), b"".join(inner.levels[0][2:])]
    tree = merkle.Tree.of(leaves)
    for index in (0, 1):
        yield _path_case(
            f"64-byte leaf {index} of 2",
            tree.root,
            leaves[index],
            index=index,
            size=2,
            path=tree.path(index),
            leaf_size=64,
            valid=True,
        )
    yield _path_case(
        "64-byte leaf opened into its halves",
        tree.root,
        below[0],
        index=0,
        size=4,
        path=(inner.levels[0][1], tree.levels[0][1]),
    )


# Merkle-sum trees


def payouts_file() -> Json:
    cases = [case for size in PAYOUT_SIZES for case in _payout_cases(size)]
    values = [case for size in PAYOUT_SIZES for case in _value_cases(size)]
    return {
        "count": len(cases),
        "cases": cases,
        "valuesCount": len(values),
        "values": values,
    }


def amounts(size: int) -> tuple[int, ...]:
    """Give amounts from 0 to about 2^120."""
    drawn = [int.from_bytes(digest("amount", size, i)[:15], "big") for i in range(size)]
    return tuple(0 if i % 4 == 3 else amount for i, amount in enumerate(drawn))


def _payout_cases(size: int) -> Iterator[Json]:
    leaves = payouts.payout_leaves(amounts(size))
    tree = payouts.payouts_tree(leaves)
    for leaf in leaves:
        path = tree.path(leaf.index)
        yield _payout_case(f"{leaf.index} of {size}", tree.root, leaf, size, path, valid=True)
        if leaf.index not in (0, size - 1):
            continue
        for name, root, other, n, bad in _bad_payouts(tree, leaf):
            yield _payout_case(f"{leaf.index} of {size}: {name}", root, other, n, bad)


BadPayout = tuple[str, merkle_sum.Summed, payouts.PayoutLeaf, int, merkle_sum.SumPath]


def _bad_payouts(tree: merkle_sum.SumTree, leaf: payouts.PayoutLeaf) -> Iterator[BadPayout]:
    root, size, path = tree.root, tree.size, tree.path(leaf.index)
    more = replace(leaf, amount=leaf.amount + 1)
    yield "one more", root, more, size, path
    yield "one more, and in the total", replace(root, sum=root.sum + 1), more, size, path
    yield "wrong total", replace(root, sum=root.sum + 1), leaf, size, path
    yield "somebody else's", root, replace(leaf, index=leaf.index ^ 1), size, path
    yield "of a larger tree", root, leaf, 2 * size, path
    yield "path too long", root, leaf, size, _path(path, (tree.root.hash,), (0,))
    if not path.sums:
        return
    yield "path too short", root, leaf, size, replace(path, hashes=path.hashes[:-1])
    yield "sums too short", root, leaf, size, replace(path, sums=path.sums[:-1])
    first, *rest = path.sums
    yield "sum moved", root, more, size, replace(path, sums=(first - 1, *rest)) if first else path
    yield "sum overflows", root, leaf, size, replace(path, sums=(merkle_sum.MAX_SUM, *rest))


def _path(
    path: merkle_sum.SumPath, hashes: tuple[Digest, ...], sums: tuple[int, ...]
) -> merkle_sum.SumPath:
    return merkle_sum.SumPath(path.hashes + hashes, path.sums + sums)


def _payout_case(
    name: str,
    root: merkle_sum.Summed,
    leaf: payouts.PayoutLeaf,
    size: int,
    path: merkle_sum.SumPath,
    *,
    valid: bool = False,
) -> Json:
    return {
        "name": name,
        "valid": valid,
        "root": text(root.hash),
        "total": str(root.sum),
        "size": size,
        "index": leaf.index,
        "amount": str(leaf.amount),
        "hashes": [text(h) for h in path.hashes],
        "sums": [str(s) for s in path.sums],
    }


def _value_cases(size: int) -> Iterator[Json]:
    drawn = [int.from_bytes(digest("value", size, i)[:8], "big", signed=True) for i in range(size)]
    scores = [max(value, 0) ** 2 for value in drawn]
    leaves = payouts.value_leaves(drawn, scores)
    tree = payouts.values_tree(leaves)
    for leaf in leaves:
        path = tree.path(leaf.index)
        yield {
            "root": text(tree.root.hash),
            "scores": str(tree.root.sum),
            "size": size,
            "index": leaf.index,
            "value": str(leaf.value),
            "score": str(leaf.score),
            "before": str(sum(scores[: leaf.index])),
            "hashes": [text(h) for h in path.hashes],
            "sums": [str(s) for s in path.sums],
        }


# Nodes of partial sums


def nodes_file() -> Json:
    cases: list[Json] = []
    for name, size in (("one", 1), ("four", 4), ("two levels", 17), ("too few", 4)):
        slots = [_slot(size, i) for i in range(size)]
        levels = nodes.levels(
            [_too_few(slot) for slot in slots] if name == "too few" else slots,
            sum_root=lambda part: digest("sum", part.start, part.stop),
        )
        listed = nodes.in_order(levels)
        cases.append(
            {
                "name": name,
                "slots": size,
                "encoded": [text(node.encode()) for node in listed],
                "digests": [text(node.digest()) for node in listed],
                "weight": str(levels[-1][0].weight),
                "number": levels[-1][0].number,
                "root": text(nodes.nodes_root(levels)),
            }
        )
    return {"count": len(cases), "cases": cases}


def _slot(size: int, index: int) -> nodes.Entry:
    reason = nodes.Reason.BEYOND_BOUND if index % 3 == 2 else nodes.Reason.COUNTED
    counted = reason is nodes.Reason.COUNTED
    return nodes.Entry(
        digest("update", size, index),
        digest("payload", size, index),
        participant=size - 1 - index,
        weight=100 + index if counted else 0,
        number=int(counted),
        reason=reason,
        position=0 if counted else 1000 + index,
    )


def _too_few(entry: nodes.Entry) -> nodes.Entry:
    counted = entry.reason == nodes.Reason.COUNTED
    reason = nodes.Reason.TOO_FEW if counted else entry.reason
    return replace(entry, weight=0, reason=reason)


# One leaf of an aggregate


def aggregate_file() -> Json:
    """Weighted sums of four leaves, the mean rounded half to even, and the saturated model; and
    what a trim of leaves at both ends leaves of them.
    """
    cases = [_aggregate(name, weights) for name, weights in AGGREGATES.items()]
    trimmed = [_trimmed(*case) for case in TRIMMED]
    return {
        "count": len(cases),
        "cases": cases,
        "trimmedCount": len(trimmed),
        "trimmed": trimmed,
    }


AGGREGATES = {
    "equal weights": (1, 1, 1, 1),
    "rows": (199, 172, 30, 85),
    "one excluded": (7, 0, 3, 2),
    "nobody counts": (0, 0, 0, 0),
}
TRIMMED = ((1, 100_000, 1), (1, 100_000, 10), (1, 333_333, 7), (2, 0, 4), (2, 0, 5))
"""Rule, its parameter, and how many leaves."""
INT32 = range(-(1 << 31), 1 << 31)


def _aggregate(name: str, weights: tuple[int, ...]) -> Json:
    inputs = [[_lane(name, i, j) for j in range(256)] for i in range(len(weights))]
    previous = [_lane(name, "previous", j) for j in range(256)]
    sums = [sum(w * lanes[j] for w, lanes in zip(weights, inputs, strict=True)) for j in range(256)]
    means = [_round_half_even(total, sum(weights)) for total in sums]
    model = _moved(previous, means)
    return {
        "name": name,
        "weights": list(weights),
        "inputs": [text(_lanes(lanes, 4)) for lanes in inputs],
        "sums": [text(_lanes(sums[:128], 8)), text(_lanes(sums[128:], 8))],
        "previous": text(_lanes(previous, 4)),
        "model": text(_lanes(model, 4)),
    }


def _trimmed(rule: int, parameter: int, number: int) -> Json:
    inputs = [[_lane("trim", rule, number, i, j) for j in range(256)] for i in range(number)]
    previous = [_lane("trim", rule, number, "previous", j) for j in range(256)]
    cut = number * parameter // 10**6 if rule == 1 else (number - 1) // 2
    columns = zip(*inputs, strict=True)
    sums = [sum(sorted(column)[cut : number - cut]) for column in columns]
    means = [_round_half_even(total, number - 2 * cut) for total in sums]
    return {
        "rule": rule,
        "parameter": parameter,
        "inputs": [text(_lanes(lanes, 4)) for lanes in inputs],
        "previous": text(_lanes(previous, 4)),
        "model": text(_lanes(_moved(previous, means), 4)),
    }


def _moved(previous: Sequence[int], means: Sequence[int]) -> list[int]:
    """Add means to a model, which saturates."""
    pairs = zip(previous, means, strict=True)
    return [min(max(old + mean, INT32.start), INT32.stop - 1) for old, mean in pairs]


def _lane(*names: object) -> int:
    """Draw a lane: mostly small, so that ties of the rounding occur, with both ends of int32."""
    seed = digest("lane", *names)
    if seed[4] < 16:
        return INT32.start if seed[5] & 1 else INT32.stop - 1
    return int.from_bytes(seed[:4], "little", signed=True) >> (8 * (seed[5] % 4))


def _lanes(values: Sequence[int], width: int) -> bytes:
    return b"".join(value.to_bytes(width, "little", signed=True) for value in values)


def _round_half_even(total: int, weight: int) -> int:
    if weight == 0:
        return 0
    quotient, remainder = divmod(total, weight)
    return quotient + (2 * remainder > weight or (2 * remainder == weight and quotient & 1 == 1))


# Committees


def committee_file() -> Json:
    cases: list[Json] = [
        {
            "seed": text(digest("seed", known)),
            "known": known,
            "size": size,
            "participants": _permutation(digest("seed", known), known, size),
        }
        for known, size in DRAWS
    ]
    return {"count": len(cases), "cases": cases}


def _permutation(seed: Digest, known: int, size: int) -> list[int]:
    """List the participants place by place, from a table of the Feistel network's values."""
    if known <= size:
        return list(range(known))
    bits = next(b for b in range(2, 33) if 2**b >= known)
    narrow, wide = 2 ** (bits // 2), 2 ** (bits - bits // 2)
    image = []
    for value in range(narrow * wide):
        left, right = divmod(value, wide)
        for number in range(2 * math.ceil(24 / bits)):
            packed = seed + number.to_bytes(16, "big") + right.to_bytes(16, "big")
            mixed = int.from_bytes(keccak(packed), "big") % (wide if number % 2 else narrow)
            left, right = right, left ^ mixed
        image.append(left * wide + right)
    drawn = []
    for place in range(known):
        participant = image[place]
        while participant >= known:
            participant = image[participant]
        drawn.append(participant)
    return drawn


def files() -> dict[str, Json]:
    """Make all files' contents."""
    return {
        "headers.json": headers_file(),
        "merkle.json": merkle_file(),
        "payouts.json": payouts_file(),
        "nodes.json": nodes_file(),
        "aggregate.json": aggregate_file(),
        "committee.json": committee_file(),
    }


def render(content: Json) -> str:
    """Write a file's text: readable, and the same on every machine."""
    return json.dumps(content, indent=1) + "\n"


if __name__ == "__main__":
    for name, content in files().items():
        (HERE / name).write_text(render(content))
