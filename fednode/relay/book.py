"""What a relay holds of one round: the commits and votes that it took in, each once, on the disk.

The journal is the truth: a relay that was killed reads it and holds what it held. That a round is
sealed is in it, too, so that a batch whose transaction may be on its way is never made of other
leaves.

A book belongs to one opening of a round. If a reorganisation of the chain opens the round anew, the
new book begins unsealed, with the earlier commits on the same parent that still bind their owners.
"""

import asyncio
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fednode.relay.journal import Journal, records_of
from fednode.relay.situation import UNKNOWN, Opening, SignedVote, Voting
from ledger import words
from ledger.batch import Batch, Leaf, Signers, read_batch
from ledger.errors import MalformedRecord
from ledger.signatures import Signature
from ledger.stores.read_back import read_back
from ledger.types import Address, Digest, RoundIndex
from ledger.words import AddressWord, BoolWord, Bytes32, UInt8

_LEAF, _VOTE, _SEAL = b"l", b"v", b"s"


@dataclass(frozen=True, slots=True)
class HeldVote:
    """A vote as the journal has it; whose it is was checked when it came."""

    attempt: UInt8
    result: Bytes32
    support: BoolWord
    signature: Signature
    signer: AddressWord


Key = int | tuple[int, Digest, Address]
"""Who said something: a participant its commit, a signer its vote on a result in an attempt."""


def _readable(batch: Batch) -> Batch:
    """Give a batch that every reader finds whole behind what is posted of it."""
    leaves = list(batch.leaves())
    read_back(
        batch.artefact(),
        lambda store: list(read_batch(store, batch.posted).leaves()),
        leaves,
        kind="batch",
    )
    return batch


class Book:
    """The commits and votes of one opening of a round."""

    def __init__(self, folder: Path, round_index: RoundIndex, opening: Opening = UNKNOWN) -> None:
        self.round = round_index
        self.opening = opening
        self.sealed = False
        self.batch: Batch | None = None
        self._leaves: dict[int, Leaf] = {}
        self._votes: dict[tuple[int, Digest, Address], HeldVote] = {}
        self._saving: dict[Key, asyncio.Future[None]] = {}
        self._carried: dict[int, Leaf] = {}
        self._known: Sequence[Address | None] | None = None
        path = _path(folder, round_index, opening)
        before = _path(folder, round_index, UNKNOWN)
        if before.exists() and not path.exists():
            before.rename(path)  # written when a round had one book, whatever opened it
        others = [other for other in folder.glob(f"round-{round_index:06d}*") if other != path]
        self._earlier = [leaf for other in sorted(others) for leaf in _leaves_of(other, opening)]
        self.replaced = frozenset(
            leaf.participant for other in others for leaf in _leaves_of(other, UNKNOWN)
        )
        """Whose commits there are for other openings of the round."""
        self._journal = Journal(path)
        for record in self._journal.records:
            self._replay(record[:1], record[1:])

    def fit(self, signers: Signers) -> None:
        """Hold the commits to who signs for the participants now: take over those of earlier
        openings that bind, and let go of those that do not.
        """
        if self._known == signers.known:
            return
        anew = self._known is not None
        self._known = signers.known
        stale = [p for p, leaf in self._leaves.items() if anew and not signers.binds(leaf)]
        for participant in stale:
            del self._leaves[participant]
        if stale:
            self.sealed, self.batch = False, None
        if not self.sealed:
            fitting = {leaf.participant: leaf for leaf in self._earlier if signers.binds(leaf)}
            self._carried = {p: leaf for p, leaf in fitting.items() if p not in self._leaves}

    @property
    def leaves(self) -> Mapping[int, Leaf]:
        """The commits by participant, in the order in which they came."""
        return ChainMap(self._leaves, self._carried) if self._carried else self._leaves

    def given(self, participant: int, digest: Digest) -> bool:
        """Whether a participant has committed to something else for this opening."""
        held = self._leaves.get(participant)
        return held is not None and held.digest != digest

    @property
    def waiting(self) -> int:
        """Number of records that wait for the disk."""
        return len(self._journal)

    def vote(self, voting: Voting, signer: Address) -> HeldVote | None:
        """Give what a signer voted on a proposal."""
        return self._votes.get((voting.attempt, voting.result, signer))

    def votes(self, voting: Voting) -> Mapping[Address, SignedVote]:
        """Give the votes on a proposal that may be counted and that the chain does not have."""
        return {
            vote.signer: SignedVote(vote.support, vote.signature)
            for (attempt, result, signer), vote in self._votes.items()
            if (attempt, result) == (voting.attempt, voting.result)
            and signer in voting.committee
            and signer not in voting.voted
        }

    def add_leaf(self, leaf: Leaf) -> None:
        """Take in a participant's only commit; it takes the place of one for another opening."""
        self._carried.pop(leaf.participant, None)
        self._leaves[leaf.participant] = leaf
        self._save(leaf.participant, _LEAF + leaf.encode())

    def add_vote(self, vote: HeldVote) -> None:
        """Take in a signer's only vote on a proposal."""
        key = (vote.attempt, vote.result, vote.signer)
        self._votes[key] = vote
        self._save(key, _VOTE + words.encode(vote, kind="vote"))

    async def saved(self, key: Key) -> None:
        """Wait until a commit or vote is on the disk. Raise JournalFailed if it does not get
        there; then it is forgotten.
        """
        saving = self._saving.get(key)
        if saving is not None:
            await asyncio.shield(saving)

    async def seal(self) -> Batch | None:
        """Take in no more commits, if there are any; give the batch of them."""
        if self.leaves and not self.sealed:
            self.sealed = True
            records = [_LEAF + leaf.encode() for leaf in self._carried.values()]
            self._leaves |= self._carried
            self._carried = {}
            await asyncio.gather(*map(self._journal.append, [*records, _SEAL]))
        if self._leaves and self.batch is None:
            self.batch = _readable(Batch.of(list(self._leaves.values())))
        return self.batch

    def close(self) -> None:
        """Take in nothing more; what waits for the disk still gets there."""
        self._journal.close()

    def _save(self, key: Key, record: bytes) -> None:
        saving = self._saving[key] = self._journal.append(record)
        saving.add_done_callback(lambda done: self._settle(key, done))

    def _settle(self, key: Key, done: "asyncio.Future[None]") -> None:
        del self._saving[key]
        if not done.cancelled() and done.exception() is None:
            return
        if isinstance(key, int):
            self._leaves.pop(key, None)
        else:
            del self._votes[key]

    def _replay(self, kind: bytes, body: bytes) -> None:
        if kind == _LEAF:
            leaf = Leaf.decode(body)
            self._leaves[leaf.participant] = leaf
        elif kind == _VOTE:
            vote = words.decode(HeldVote, body, kind="vote")
            self._votes[vote.attempt, vote.result, vote.signer] = vote
        elif kind == _SEAL:
            self.sealed = True
        else:
            raise MalformedRecord("relay's journal", f"a record of unknown kind {kind!r}")


def _path(folder: Path, round_index: RoundIndex, opening: Opening) -> Path:
    name = f"round-{round_index:06d}"
    if opening != UNKNOWN:
        name += f"-{opening.parent.hex()}-{opening.block.hex()}"
    return folder / f"{name}.journal"


def _leaves_of(path: Path, opening: Opening) -> Iterator[Leaf]:
    """Read the commits of another book, if it is of a round on the same parent."""
    if opening == UNKNOWN or f"-{opening.parent.hex()}-" in path.name:
        for record in records_of(path):
            if record[:1] == _LEAF:
                yield Leaf.decode(record[1:])
