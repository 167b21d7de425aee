"""What a proof shows: the twin of the contract's `Verifier`, in plain integers.

Whoever is about to stake a challenge's bond learns here what the contract will say. Written from
the same page as the contract, not from its code: tests hold the two against each other.

Source: design, protocol, "Disputes".
"""

import hashlib
from collections.abc import Callable, Mapping

from ledger.headers import PolicyHeader, ResultHeader, Rule
from ledger.nodes import Reason, shape
from ledger.payload import LANES, SUM_LANES
from ledger.proofs import entries, rewards, valuing
from ledger.proofs.arithmetic import clamped, int32s, int64s, rounded, trimmed_mean, wrapped
from ledger.proofs.periods import is_idle
from ledger.proofs.reading import RawEntry, RawNode, Reader
from ledger.proofs.records import Case, Kind, NoProof, Question
from ledger.types import ZERO_DIGEST

UINT32 = 1 << 32
UINT64 = 1 << 64
WEIGHT_LIMIT = 1 << 31
_ROOTED = {Reason.COUNTED, Reason.FOREIGN, Reason.BEYOND_BOUND, Reason.TOO_FEW, Reason.IDLE}
_PLACED = {Reason.BEYOND_BOUND, Reason.SUPERSEDED}
_UNBOUND = {Reason.MISSING, Reason.UNSIGNED}

Check = Callable[[PolicyHeader, Case, ResultHeader, Reader], Question | None]
"""None: what was opened is right. A question: it is wrong if the answer is as the question says."""


def check(policy: PolicyHeader, case: Case, proof: bytes) -> Question:
    """Verify a proof: it shows a fraud if the question's answer is as the question says.

    NoProof: it shows none, whatever the contract's records hold.
    """
    reader = Reader(proof)
    number = reader.number(1)
    header = reader.result(case.result)
    if number not in _CHECKS:
        raise NoProof("kind", f"there is no kind {number}")
    question = _CHECKS[Kind(number)](policy, case, header, reader)
    if question is None:
        raise NoProof(Kind(number).name, "nothing is wrong")
    reader.close()
    return question


def _fraud(right: bool) -> Question | None:
    return None if right else Question()


def _totals(
    policy: PolicyHeader, case: Case, header: ResultHeader, reader: Reader
) -> Question | None:
    place, node = reader.node(case, header)
    right = node.root == ZERO_DIGEST or policy.rule == Rule.WEIGHTED_MEAN
    right &= node.weight == sum(e.weight for e in node.entries)
    right &= node.number == sum(e.number for e in node.entries)
    for i, entry in enumerate(node.entries):
        if i >= place.children:
            right &= entry == _ZERO
        elif place.level == 0:
            right &= _possible(policy, case, header, entry, slot=place.first + i)
        else:
            right &= entry.weight < UINT64 and entry.number < UINT32
    return _fraud(right)


_ZERO = RawEntry(ZERO_DIGEST, ZERO_DIGEST, 0, 0, 0, 0, 0)


def _possible(
    policy: PolicyHeader, case: Case, header: ResultHeader, entry: RawEntry, *, slot: int
) -> bool:
    """Whether some round has such an entry at this slot."""
    if entry.reason > max(Reason) or max(entry.participant, entry.position) >= UINT32:
        return False
    reason = Reason(entry.reason)
    if slot >= case.batched and reason in _UNBOUND | {Reason.SUPERSEDED}:
        return False
    if reason is Reason.MISSING and (entry.digest != ZERO_DIGEST or entry.participant):
        return False
    if entry.position and reason not in _PLACED:
        return False
    if entry.root != ZERO_DIGEST and reason not in _ROOTED:
        return False
    idle = is_idle(policy, case.height, stop=header.stop)
    enough = header.number >= policy.least_updates
    match reason:
        case Reason.COUNTED if entry.weight:
            return enough and not idle and entry.weight < UINT64 and entry.number == 1
        case Reason.TOO_FEW:
            return not enough and not idle and entry.number <= 1 and not entry.weight
        case Reason.IDLE:
            return idle and not entry.number and not entry.weight
        case _:
            return not entry.number and not entry.weight


def _sum(policy: PolicyHeader, case: Case, header: ResultHeader, reader: Reader) -> Question | None:
    if policy.rule != Rule.WEIGHTED_MEAN:
        raise NoProof("place", "the rule has no sums")
    place, node = reader.node(case, header)
    index = reader.number(4)
    claimed = int64s(reader.lanes(policy, index, 2 * policy.leaves, node.root))
    sums, weights = [0] * SUM_LANES, 0
    for entry in node.entries[: place.children]:
        if not entry.weight:
            continue
        if place.level:
            part = int64s(reader.lanes(policy, index, 2 * policy.leaves, entry.root))
            sums = [a + b for a, b in zip(sums, part, strict=True)]
        else:
            weights += entry.weight
            if weights >= WEIGHT_LIMIT:
                raise NoProof("weight", "the node has more than a header may")
            leaf = int32s(reader.lanes(policy, index // 2, policy.leaves, entry.root))
            half = leaf[index % 2 * SUM_LANES :][:SUM_LANES]
            sums = [a + b * entry.weight for a, b in zip(sums, half, strict=True)]
    return _fraud([wrapped(s) for s in sums] == claimed)


def _child(
    policy: PolicyHeader, case: Case, header: ResultHeader, reader: Reader
) -> Question | None:
    below, inner = reader.node(case, header)
    place, node = reader.node(case, header)
    at = below.node - place.first
    if place.level == 0 or not 0 <= at < place.children:
        raise NoProof("place", f"node {place.node} is not the parent of node {below.node}")
    digest = hashlib.sha256(inner.data).digest()
    expected = (digest, inner.root, 0, inner.weight, inner.number, 0, 0)
    return _fraud(tuple(node.entries[at]) == expected)


def _top(policy: PolicyHeader, case: Case, header: ResultHeader, reader: Reader) -> Question | None:
    node = _open_top(case, header, reader)
    return _fraud((node.weight, node.number) == (header.weight, header.number))


def _open_top(case: Case, header: ResultHeader, reader: Reader) -> RawNode:
    place, node = reader.node(case, header)
    if place.node + 1 != sum(shape(case.slots)):
        raise NoProof("place", f"node {place.node} is not the top")
    return node


def _step(
    policy: PolicyHeader, case: Case, header: ResultHeader, reader: Reader
) -> Question | None:
    previous = policy.initial_model_root
    if header.common.parent != ZERO_DIGEST:
        previous = reader.result(header.common.parent).model_root
    index = reader.number(4)
    if policy.rule != Rule.WEIGHTED_MEAN:
        updates = [
            int32s(reader.lanes(policy, index, policy.leaves, entry.root))
            for entry in reader.lowest(case.slots, header.nodes)
            if entry.weight
        ]
        changes = [trimmed_mean(policy, [u[lane] for u in updates]) for lane in range(LANES)]
        first, leaf = 0, index
    else:
        node = _open_top(case, header, reader)
        sums = int64s(reader.lanes(policy, index, 2 * policy.leaves, node.root))
        changes = [rounded(s, header.weight) if header.weight else 0 for s in sums]
        first, leaf = index % 2 * SUM_LANES, index // 2
    salted = header.common.parent != ZERO_DIGEST  # The initial model is for everybody.
    old = reader.lanes(policy, leaf, policy.leaves, previous, salted=salted)
    before = int32s(old)[first:]
    after = int32s(reader.lanes(policy, leaf, policy.leaves, header.model_root))[first:]
    triples = zip(before, changes, after, strict=False)
    return _fraud(all(clamped(old + change) == new for old, change, new in triples))


_CHECKS: Mapping[int, Check] = {
    Kind.NODE_TOTALS: _totals,
    Kind.NODE_SUM: _sum,
    Kind.NODE_CHILD: _child,
    Kind.TOP: _top,
    Kind.STEP: _step,
    Kind.ENTRY_HEADER: entries.header,
    Kind.ENTRY_SLOT: entries.slot,
    Kind.SUPERSEDED: entries.superseded,
    Kind.WEIGHT: entries.weight,
    Kind.TWICE: entries.twice,
    Kind.BOUND: entries.bound,
    Kind.VALUE: valuing.value,
    Kind.GAIN: valuing.gain,
    Kind.SCORE: rewards.score,
    Kind.PAYOUT: rewards.payout,
}
