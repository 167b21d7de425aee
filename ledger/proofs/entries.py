"""Entries of commit slots: what header, commit, batch leaf and payload say against them."""

import hashlib
from typing import NamedTuple

from ledger import batch, merkle
from ledger.errors import MalformedRecord
from ledger.headers import Evaluation, PolicyHeader, ResultHeader, UpdateHeader
from ledger.nodes import Reason
from ledger.payload import LANES
from ledger.proofs.arithmetic import int32s
from ledger.proofs.reading import RawEntry, Reader, number_of
from ledger.proofs.records import Ask, Case, NoProof, Question
from ledger.signatures import Commit, Domain, Signature
from ledger.types import ZERO_DIGEST, Address, Digest

UINT32 = 1 << 32
GOOD = {Reason.COUNTED, Reason.TOO_FEW, Reason.IDLE}
READ = GOOD | {Reason.BEYOND_BOUND}
_BY_HEADER = READ | {Reason.FOREIGN, Reason.MALFORMED}
_OUT = {Reason.SUPERSEDED, Reason.UNSIGNED, Reason.MISSING}


def header(
    policy: PolicyHeader, case: Case, result: ResultHeader, reader: Reader
) -> Question | None:
    """Compare an entry with its update's header, whose bytes are the last of the proof."""
    _, entry = reader.entry(case, result)
    _expect(entry, _BY_HEADER)
    data = reader.rest()
    if hashlib.sha256(data).digest() != entry.digest:
        raise NoProof("header", f"it is not that of {entry.digest.hex()}")
    malformed = entry.reason == Reason.MALFORMED
    try:
        update = UpdateHeader.decode(data)
    except MalformedRecord:
        return None if malformed else Question()
    if malformed or update.payload_root != entry.root:
        return Question()
    foreign = entry.reason == Reason.FOREIGN
    if not _names(policy, result, update, entry):
        return None if foreign else Question()
    return Question(
        Ask.HEADER,
        holds=foreign,
        participant=update.participant,
        number=update.dataset,
        digest=update.base,
    )


def _names(
    policy: PolicyHeader, result: ResultHeader, update: UpdateHeader, entry: RawEntry
) -> bool:
    """Whether an update names its owner and the result's round, as far as the bytes say."""
    ours, theirs = result.common, update.common
    return (
        (theirs.chain_id, theirs.ledger) == (ours.chain_id, ours.ledger)
        and (theirs.federation, theirs.round, theirs.parent)
        == (ours.federation, ours.round, ours.parent)
        and update.participant == entry.participant
        and (update.evaluation == ZERO_DIGEST or policy.evaluation == Evaluation.SHARDS)
    )


def slot(policy: PolicyHeader, case: Case, result: ResultHeader, reader: Reader) -> Question | None:
    """Compare an entry with its commit, or with the leaf of the batch."""
    place, entry = reader.entry(case, result)
    if place >= case.batched:
        return Question(
            Ask.COMMIT,
            holds=False,
            participant=entry.participant % UINT32,
            number=place - case.batched,
            digest=entry.digest,
        )
    if entry.reason == Reason.MISSING:
        raise NoProof("place", "nothing is said of a leaf that is missing")
    data = reader.take(batch.LEAF_SIZE)
    reader.under(merkle.leaf_hash(data), place, case.batched, case.batch_root)
    unsigned = entry.reason == Reason.UNSIGNED
    leaf = _Leaf.of(data)
    if leaf.participant >= UINT32:
        zero = (entry.participant, entry.digest) == (0, ZERO_DIGEST)
        return None if unsigned and zero else Question()
    if (entry.participant, entry.digest) != (leaf.participant, leaf.digest):
        return Question()
    signer = leaf.signer(result) if leaf.participant < case.known else None
    if signer is None:
        return None if unsigned else Question()
    return Question(Ask.SIGNER, holds=unsigned, participant=leaf.participant, signer=signer)


class _Leaf(NamedTuple):
    """A leaf of the batch, whatever its bytes are."""

    participant: int
    digest: Digest
    signature: Signature

    @classmethod
    def of(cls, data: bytes) -> "_Leaf":
        participant, digest, r, vs = (data[at : at + 32] for at in range(0, batch.LEAF_SIZE, 32))
        return cls(number_of(participant), Digest(digest), Signature(Digest(r), Digest(vs)))

    def signer(self, result: ResultHeader) -> Address | None:
        """Recover who signed the leaf; None where nobody can have."""
        common = result.common
        commit = Commit(common.federation, common.round, self.participant, self.digest)
        return Domain(common.chain_id, common.ledger).signer(commit, self.signature)


def superseded(
    policy: PolicyHeader, case: Case, result: ResultHeader, reader: Reader
) -> Question | None:
    """Look at the slot that a superseded entry says counts in its place."""
    place, entry = reader.entry(case, result)
    _expect(entry, {Reason.SUPERSEDED})
    by = entry.position
    if by >= case.slots or by == place or place < by < case.batched:
        return Question()
    other, counting = reader.entry(case, result)
    if other != by:
        raise NoProof("place", f"slot {place} names slot {by}, not {other}")
    right = counting.participant == entry.participant and counting.reason not in _OUT
    return None if right else Question()


def twice(
    policy: PolicyHeader, case: Case, result: ResultHeader, reader: Reader
) -> Question | None:
    """Look for one participant in two slots."""
    (place, one), (other, two) = reader.entry(case, result), reader.entry(case, result)
    if place == other:
        raise NoProof("place", f"slot {place} is opened twice")
    both = one.reason not in _OUT and two.reason not in _OUT
    return Question() if both and one.participant == two.participant else None


def weight(
    policy: PolicyHeader, case: Case, result: ResultHeader, reader: Reader
) -> Question | None:
    """Ask for the weight of an entry's participant."""
    _, entry = reader.entry(case, result)
    _expect(entry, {Reason.COUNTED, Reason.TOO_FEW})
    if entry.weight >= UINT32:
        return Question()
    return Question(
        Ask.WEIGHT,
        holds=entry.reason == Reason.TOO_FEW and entry.number != 0,
        participant=entry.participant % UINT32,
        number=entry.weight,
    )


def bound(
    policy: PolicyHeader, case: Case, result: ResultHeader, reader: Reader
) -> Question | None:
    """Compare the coordinates in a leaf of an update with what its entry says of them."""
    _, entry = reader.entry(case, result)
    _expect(entry, READ)
    named = entry.position if entry.reason == Reason.BEYOND_BOUND else None
    if named is not None and named >= policy.leaves * LANES:
        return Question()
    index = reader.number(4)
    leaf = int32s(reader.lanes(policy, index, policy.leaves, entry.root))
    at = range(index * LANES, (index + 1) * LANES)
    first = result.common.parent == ZERO_DIGEST
    beyond = {i for i, value in zip(at, leaf, strict=True) if is_beyond(policy, i, value, first)}
    if named is None:
        return Question() if beyond else None
    unnamed = any(i < named for i in beyond)
    within = named in at and named not in beyond
    return Question() if unnamed or within else None


def is_beyond(policy: PolicyHeader, coordinate: int, value: int, first: bool) -> bool:
    """Whether a coordinate is beyond the bound, or not zero where the round writes nothing."""
    end = policy.coordinates
    statistics = range(policy.statistics)
    trained = range(policy.statistics, end)
    writable = statistics if first and policy.statistics else trained
    return abs(value) > (policy.bound if coordinate in writable else 0)


def _expect(entry: RawEntry, reasons: set[Reason]) -> None:
    if entry.reason not in reasons:
        raise NoProof("place", f"nothing is to be shown here of an entry of reason {entry.reason}")
