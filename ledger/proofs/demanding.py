"""Demands: which bytes may be demanded of a result, and what answers a demand.

The twin of the contract's `Demands`. Whoever computed a result honestly holds everything that may
be demanded of it, so no header is demanded of a slot that is not even read, and no leaf of a batch
of a slot whose leaf is missing.
"""

import hashlib

from ledger import batch, merkle
from ledger.headers import Evaluation, PolicyHeader, ResultHeader, Rule
from ledger.merkle_sum import Summed
from ledger.nodes import NODE_SIZE, Reason, shape
from ledger.payload import LEAF_SIZE
from ledger.proofs.entries import READ
from ledger.proofs.reading import (
    PAYOUT_SIZE,
    VALUE_SIZE,
    Reader,
    join,
    number_of,
    payload_leaf_size,
)
from ledger.proofs.records import Case, Demand, NoProof, Target, Wanted
from ledger.proofs.trees import DESCENT
from ledger.proofs.valuing import PER_LEAF, measured_at
from ledger.types import Digest

HEADER_SIZE = 416
HIGHEST = 31


def demand(
    policy: PolicyHeader, case: Case, kind: Wanted, *, place: tuple[int, int], way: bytes
) -> Demand:
    """Write the evidence for a demand at a place (level, position). `way` leads from the kind of
    the demand to the root: the result's header, and what its tree needs behind that.
    """
    level, position = place
    evidence = bytes([kind, level]) + position.to_bytes(4, "big") + way
    return Demand(evidence, target(policy, case, evidence))


def target(policy: PolicyHeader, case: Case, evidence: bytes) -> Target:
    """Say what a demand is for; NoProof: it is not to be answered."""
    reader = Reader(evidence)
    number, level, position = reader.number(1), reader.number(1), reader.number(4)
    if number not in set(Wanted):
        raise NoProof("demand", f"there is no kind {number}")
    kind = Wanted(number)
    header = reader.result(case.result)
    root, size, total = _tree(policy, case, header, reader, (kind, level, position))
    reader.close()
    if level > HIGHEST or position << level >= size:
        raise NoProof("place", f"there is no node {position} at level {level} over {size} leaves")
    return Target(kind, Digest(root), total, size, level, position)


def _tree(
    policy: PolicyHeader,
    case: Case,
    header: ResultHeader,
    reader: Reader,
    wanted: tuple[Wanted, int, int],
) -> tuple[bytes, int, int]:
    """Give root, size and sum of the tree that a demand is about."""
    match wanted[0]:
        case Wanted.MODEL:
            return header.model_root, policy.leaves, 0
        case Wanted.NODE:
            return header.nodes, sum(shape(case.slots)), 0
        case Wanted.VALUES:
            return header.values, case.known, header.scores
        case Wanted.PAYOUTS:
            return header.payouts, case.known, header.payout_total
        case Wanted.UTILITIES:
            return *_utilities(policy, case, header, reader), 0
        case Wanted.SUM:
            return *_sums(policy, case, header, reader), 0
        case _:
            return *_of_slot(policy, case, header, reader, wanted), 0


def _utilities(
    policy: PolicyHeader, case: Case, header: ResultHeader, reader: Reader
) -> tuple[bytes, int]:
    if header.utilities == merkle.EMPTY_ROOT:
        raise NoProof("demand", "the round measured nothing")
    by_shards = policy.evaluation == Evaluation.SHARDS
    players = reader.result(header.common.parent) if by_shards else header
    return header.utilities, -(-measured_at(policy, case.height, players) // PER_LEAF)


def _sums(
    policy: PolicyHeader, case: Case, header: ResultHeader, reader: Reader
) -> tuple[bytes, int]:
    if policy.rule != Rule.WEIGHTED_MEAN:
        raise NoProof("demand", "the rule has no sums")
    _, node = reader.node(case, header)
    return node.root, 2 * policy.leaves


def _of_slot(
    policy: PolicyHeader,
    case: Case,
    header: ResultHeader,
    reader: Reader,
    wanted: tuple[Wanted, int, int],
) -> tuple[bytes, int]:
    kind, *place = wanted
    slot, entry = reader.entry(case, header)
    if kind is Wanted.INPUT and entry.reason in READ:
        return entry.root, policy.leaves
    if kind is Wanted.HEADER and entry.reason in READ | {Reason.FOREIGN} and place[0] == 0:
        return entry.digest, 1
    leaf = place == [0, slot] and slot < case.batched and entry.reason != Reason.MISSING
    if kind is Wanted.BATCH and leaf:
        return case.batch_root, case.batched
    raise NoProof("demand", f"no {kind.name} is due for an entry of reason {entry.reason}")


def opens(policy: PolicyHeader, wanted: Target, data: bytes) -> bool:
    """Whether bytes answer a demand; NoProof: they are not even of the right length."""
    reader = Reader(data)
    if wanted.kind is Wanted.HEADER:
        answered = hashlib.sha256(reader.take(HEADER_SIZE)).digest() == wanted.root
    elif wanted.kind in (Wanted.VALUES, Wanted.PAYOUTS):
        top, _ = reader.climb_sums(_sum(wanted, reader), wanted.position, _width(wanted))
        answered = (top.hash, top.sum) == (wanted.root, wanted.total)
    else:
        hashed = _hash(policy, wanted, reader)
        answered = reader.climb(hashed, wanted.position, _width(wanted)) == wanted.root
    reader.close()
    return answered


def nodes_below(wanted: Target) -> tuple[int, int]:
    """Give the level of the nodes that an answer lists, and how many there are."""
    descent = min(wanted.level, DESCENT)
    rest = _width(wanted, wanted.level - descent) - (wanted.position << descent)
    return wanted.level - descent, min(rest, 1 << descent)


def _hash(policy: PolicyHeader, wanted: Target, reader: Reader) -> Digest:
    if wanted.level:
        hashes = tuple(reader.digest() for _ in range(nodes_below(wanted)[1]))
        return merkle.Tree.over(hashes).root
    sizes = {Wanted.NODE: NODE_SIZE, Wanted.BATCH: batch.LEAF_SIZE, Wanted.UTILITIES: LEAF_SIZE}
    return merkle.leaf_hash(reader.take(sizes.get(wanted.kind, payload_leaf_size(policy))))


def _sum(wanted: Target, reader: Reader) -> Summed:
    if wanted.level == 0:
        leaf = reader.take(VALUE_SIZE if wanted.kind is Wanted.VALUES else PAYOUT_SIZE)
        return Summed(merkle.leaf_hash(leaf), number_of(leaf[-32:]))
    count = nodes_below(wanted)[1]
    return join([Summed(reader.digest(), reader.number(32)) for _ in range(count)])


def _width(wanted: Target, level: int | None = None) -> int:
    """Count the nodes of a level of the whole tree; by default, of the target's."""
    return -(-wanted.size >> (wanted.level if level is None else level))
