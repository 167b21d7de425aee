"""Writes demands.bin, which pytest and forge both check: `python -m tests.vectors.make_demands`.

What the verifier says of evidence for demands, in many small worlds, and of bytes that answer them,
or do not; and of answers from trees of many sizes. ABI-encoded as `Asked[]` and `Answered[]` of
`contracts/test/verifier/Verdicts.t.sol`. Deterministic, as `make.py`.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import astuple, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from eth_abi.abi import encode

from ledger import batch, payouts
from ledger.headers import PolicyHeader
from ledger.nodes import FAN_OUT
from ledger.proofs import Case, NoProof, OpenTree, Target, Wanted, answer, opens, target
from ledger.types import Digest
from tests.ledger.proofs.onchain import CASE, TARGET, TERMS, terms
from tests.ledger.proofs.samples import every_way
from tests.ledger.proofs.world import World
from tests.vectors.make_verdicts import choices, squeeze

FILE = Path(__file__).resolve().parent / "demands.bin"
ASKED = f"({TERMS},{CASE},bytes,bytes)[]"
"""Terms, case, squeezed evidence, and the target (empty if none is due)."""
ANSWERED = f"(bool,{TARGET},bytes,bool,bytes)[]"
"""Whether payloads are sealed, target, squeezed answer, whether it is one, and changes, four bytes
each as in verdicts.bin.
"""
WORLDS = 24
ASK, ANSWER = 16, 6
"""So many of each kind are kept, due or not, answered or not, of small and large trees."""
CHANGES = 3
SIZES = (1, 2, 3, 5, 9, 255, 256, 257, 300, 513, 700)
LEVELS = (0, 1, 2, 7, 8, 9, 10)


class Asked(NamedTuple):
    """Evidence for a demand."""

    policy: PolicyHeader
    case: Case
    evidence: bytes


class Answered(NamedTuple):
    """Bytes for a target."""

    policy: PolicyHeader
    target: Target
    data: bytes


Told = TypeVar("Told", Asked, Answered)


def render() -> bytes:
    """Make the file's content."""
    draw = random.Random(1)
    asked: dict[object, list[Asked]] = defaultdict(list)
    answered: dict[object, list[Answered]] = defaultdict(list)
    for seed in range(WORLDS):
        world = World(choices(seed))
        large = world.choices.slots > FAN_OUT
        for told in _of_world(world, draw):
            if isinstance(told, Asked):
                asked[told.evidence[:1], _target(told) is None, large].append(told)
            else:
                key = told.target.kind, told.target.level > 0, _opens(told), large
                answered[key].append(told)
    others = [told for size in SIZES for told in _of_size(size, draw)]
    return encode(
        [ASKED, ANSWERED],
        [
            [_asked(told) for told in _some(ASK, asked, draw)],
            [_answered(told, draw) for told in [*_some(ANSWER, answered, draw), *others]],
        ],
    )


def _some(most: int, groups: dict[object, list[Told]], draw: random.Random) -> list[Told]:
    ordered = [groups[key] for key in sorted(groups, key=repr)]
    return [told for group in ordered for told in draw.sample(group, min(most, len(group)))]


def _of_world(world: World, draw: random.Random) -> Iterator[Asked | Answered]:
    made = world.honest
    disputed, sources = world.dispute(made), world.sources(made)
    for kind, way in every_way(disputed, made):
        places = {(level, draw.randrange(1 << 5 - level)) for level in range(6)}
        # Beyond the highest level a place counts no leaf.
        places |= {(31, 0), (32, 0), (255, 0), (0, 0), (0, (1 << 32) - 1)}
        for level, position in sorted(places):
            place = bytes([level]) + position.to_bytes(4, "big")
            told = Asked(world.policy, disputed.case, bytes([kind]) + place + way)
            yield told
            yield told._replace(evidence=_broken(told.evidence, draw))
            yield told._replace(evidence=bytes([draw.randrange(10)]) + told.evidence[1:])
            due = _target(told)
            data = answer(due, sources) if due else None
            if due is None or data is None:
                continue
            # The first leaf that is not there.
            behind = bytes([kind, 0]) + due.size.to_bytes(4, "big") + way
            yield told._replace(evidence=behind)
            right = Answered(world.policy, due, data)
            yield right
            yield right._replace(data=_broken(data, draw))
            yield right._replace(target=_other(due, draw))


def _of_size(size: int, draw: random.Random) -> Iterator[Answered]:
    """Answers from trees of so many leaves, right ones and others."""
    policy = World(choices(0)).policy
    makers: dict[Wanted, tuple[int, Callable[[list[bytes]], OpenTree]]] = {
        Wanted.BATCH: (batch.LEAF_SIZE, OpenTree.of),
        Wanted.VALUES: (payouts.VALUE_SIZE, OpenTree.of_sums),
        Wanted.PAYOUTS: (payouts.PAYOUT_SIZE, OpenTree.of_sums),
    }
    for kind, (width, make) in makers.items():
        leaves = [
            draw.randbytes(width - 32)
            + draw.getrandbits(draw.choice((16, 240))).to_bytes(32, "big")
            for _ in range(size)
        ]
        total = 0 if kind is Wanted.BATCH else sum(int.from_bytes(v[-32:], "big") for v in leaves)
        tree = make(leaves)
        for level in (level for level in LEVELS if size > 1 << level >> 1):
            last = size - 1 >> level
            for position in sorted({last, draw.randint(0, last)}):
                due = Target(kind, tree.root, total, size, level, position)
                right = Answered(policy, due, tree.answer(level, position))
                yield right
                yield right._replace(target=_other(due, draw))


def _other(due: Target, draw: random.Random) -> Target:
    """Change one thing about a target, to one that a tree of some size has."""
    match draw.randrange(5):
        case 0:
            return replace(due, root=Digest(draw.randbytes(32)))
        case 1:
            return replace(due, total=due.total ^ 1 << draw.randrange(256))
        case 2:
            return replace(due, position=draw.randint(0, due.size - 1 >> due.level))
        case 3:
            return replace(due, size=due.size + draw.randint(1, due.size))
        case _:
            level = draw.randint(0, due.level + 1)
            return replace(due, level=level, position=min(due.position, due.size - 1 >> level))


def _broken(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data))
    match draw.randrange(4):
        case 0:
            return data[:at]
        case 1:
            return data + draw.randbytes(draw.randint(1, 64))
        case _:
            return data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :]


def _asked(told: Asked) -> tuple[object, ...]:
    due = _target(told)
    found = encode([TARGET], [astuple(due)]) if due else b""
    return terms(told.policy), astuple(told.case), squeeze(told.evidence), found


def _answered(told: Answered, draw: random.Random) -> tuple[object, ...]:
    opened, changes = _opens(told), []
    for _ in range(CHANGES if opened else 0):
        at, xor = draw.randrange(len(told.data)), 1 << draw.randrange(8)
        changed = told.data[:at] + bytes([told.data[at] ^ xor]) + told.data[at + 1 :]
        if not _opens(told._replace(data=changed)):
            changes.append(at.to_bytes(3, "big") + bytes([xor]))
    sealed = told.policy.visibility != 0
    return sealed, astuple(told.target), squeeze(told.data), opened, b"".join(changes)


def _target(told: Asked) -> Target | None:
    try:
        return target(*told)
    except NoProof:
        return None


def _opens(told: Answered) -> bool:
    try:
        return opens(*told)
    except NoProof:
        return False


if __name__ == "__main__":
    FILE.write_bytes(render())
