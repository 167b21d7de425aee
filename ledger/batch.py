"""Batches: the signed commits of a round that a relay posts under one root.

A leaf is `abi.encode(participant, digest, r, vs)`, the tree is RFC 6962's over these 128 bytes.
They lie in raw blocks of at most 1 MiB; the index lists the blocks together with the roots of the
subtrees over them, so that each block can be checked, and a path of its leaves made, while others
cannot be had. A relay can say nothing in anybody's name: a leaf binds a participant only by the
signature in it, whatever root it is under.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from ledger import cbor, words
from ledger.cid import CID, Codec
from ledger.errors import LedgerError, MalformedRecord
from ledger.merkle import Tree, root_of_bytes
from ledger.signatures import Commit, Domain, Signature
from ledger.stores import MAX_BLOCK, Artefact, BlockNotFound, ContentStore
from ledger.stores.base import ahead
from ledger.types import ZERO_DIGEST, Address, Digest, FederationId, ParticipantId, RoundIndex
from ledger.words import Bytes32, UInt32

LEAF_SIZE = 128
BLOCK_LEAVES = MAX_BLOCK // LEAF_SIZE
_INDEX = "index of a batch"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A signed commit; federation and round are those of the batch."""

    participant: UInt32
    digest: Bytes32
    signature: Signature

    def encode(self) -> bytes:
        """Return its 128 bytes."""
        return words.encode(self, kind="batch leaf")

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a leaf; refuse a participant that is no uint32."""
        return words.decode(cls, data, kind="batch leaf")


@dataclass(frozen=True, slots=True)
class Posted:
    """What the chain holds of a batch."""

    root: Digest
    leaves: int
    index: Digest


@dataclass(frozen=True)
class Batch:
    """A posted batch, as far as its bytes can be had; a block that cannot be had is None.

    `final` says that nothing is missing which might still come.
    """

    posted: Posted
    blocks: Sequence[bytes | None]
    subtrees: tuple[Digest, ...]
    final: bool = True

    @classmethod
    def of(cls, leaves: Sequence[Leaf]) -> Self:
        """Make a batch of at least one leaf."""
        if not leaves:
            raise LedgerError("a batch of no leaves cannot be posted")
        starts = range(0, len(leaves), BLOCK_LEAVES)
        groups = (leaves[at : at + BLOCK_LEAVES] for at in starts)
        blocks = [b"".join(leaf.encode() for leaf in group) for group in groups]
        subtrees = _subtrees(blocks)
        index = CID.of(Codec.DAG_CBOR, _index(blocks, subtrees)).digest
        return cls(Posted(Tree.over(subtrees).root, len(leaves), index), blocks, subtrees)

    def artefact(self) -> Artefact:
        """Give the blocks and, as the root, their index; of a batch that is all there."""
        blocks = [block for block in self.blocks if block is not None]
        index = _index(blocks, self.subtrees)
        root = CID.of(Codec.DAG_CBOR, index)
        return Artefact((root,), {root: index, **{CID.of(Codec.RAW, b): b for b in blocks}})

    def leaf(self, slot: int) -> bytes | None:
        """Give a leaf's bytes; None where they cannot be had."""
        if not 0 <= slot < self.posted.leaves:
            raise LedgerError(f"slot {slot} of a batch of {self.posted.leaves} does not exist")
        number, at = divmod(slot, BLOCK_LEAVES)
        block = self.blocks[number] if self.blocks else None
        return None if block is None else block[at * LEAF_SIZE : (at + 1) * LEAF_SIZE]

    def leaves(self) -> Iterator[bytes | None]:
        """Give all leaves in order."""
        return map(self.leaf, range(self.posted.leaves))

    def path(self, slot: int) -> tuple[Digest, ...]:
        """Return the audit path of a leaf that is there, from the leaf up to the posted root."""
        number, at = divmod(slot, BLOCK_LEAVES)
        if self.leaf(slot) is None:
            raise LedgerError(f"the block of slot {slot} is missing")
        if number not in self._trees:
            self._trees[number] = Tree.of_bytes(self.blocks[number] or b"", LEAF_SIZE)
        return self._trees[number].path(at) + Tree.over(self.subtrees).path(number)

    @cached_property
    def _trees(self) -> dict[int, Tree]:
        return {}


def read_batch(store: ContentStore, posted: Posted) -> Batch:
    """Read a batch by what the chain holds of it. What cannot be had, or is not what was posted, is
    missing; an unreachable store is an error.
    """
    try:
        links, subtrees = _read_index(store.get(CID(Codec.DAG_CBOR, posted.index)), posted)
    except BlockNotFound:
        return Batch(posted, (), (), final=False)
    except MalformedRecord:
        return Batch(posted, (), ())
    ahead(store, links)
    blocks: list[bytes | None] = []
    final = True
    for number, (cid, subtree) in enumerate(zip(links, subtrees, strict=True)):
        try:
            block = store.get(cid)
        except BlockNotFound:
            blocks.append(None)
            final = False
            continue
        size = min(BLOCK_LEAVES, posted.leaves - number * BLOCK_LEAVES) * LEAF_SIZE
        good = len(block) == size and root_of_bytes(block, LEAF_SIZE) == subtree
        blocks.append(block if good else None)
    return Batch(posted, blocks, subtrees, final)


@dataclass(frozen=True, slots=True)
class BatchSlot:
    """What a leaf that is there comes to: whose commit it claims to be, and whether it is."""

    participant: ParticipantId
    digest: Digest
    binds: bool


@dataclass(frozen=True, slots=True)
class Signers:
    """Whose signatures bind in a round: by participant known when it was opened, the signer that
    was registered then, None for one without a seat.
    """

    domain: Domain
    federation: FederationId
    round: RoundIndex
    known: Sequence[Address | None]

    def commit(self, participant: int, digest: Digest) -> Commit:
        """Write the message that a participant's commit is."""
        return Commit(self.federation, self.round, participant, digest)

    def binds(self, leaf: Leaf) -> bool:
        """Say whether a leaf carries the signature of the participant that it names."""
        if leaf.participant >= len(self.known):
            return False
        signer = self.known[leaf.participant]
        if signer is None:
            return False
        return (
            self.domain.signer(self.commit(leaf.participant, leaf.digest), leaf.signature) == signer
        )

    def slot(self, data: bytes | None) -> BatchSlot | None:
        """Say what a leaf's bytes come to; None where they are missing."""
        if data is None:
            return None
        try:
            leaf = Leaf.decode(data)
        except MalformedRecord:
            return BatchSlot(ParticipantId(0), ZERO_DIGEST, binds=False)
        return BatchSlot(ParticipantId(leaf.participant), leaf.digest, self.binds(leaf))


def _subtrees(blocks: Sequence[bytes]) -> tuple[Digest, ...]:
    return tuple(root_of_bytes(block, LEAF_SIZE) for block in blocks)


def _index(blocks: Sequence[bytes], subtrees: Sequence[Digest]) -> bytes:
    links = [CID.of(Codec.RAW, block) for block in blocks]
    size = sum(map(len, blocks))
    return cbor.encode({"size": size, "blocks": links, "subtrees": list(subtrees)})


def _read_index(data: bytes, posted: Posted) -> tuple[tuple[CID, ...], tuple[Digest, ...]]:
    """Read an index that must lead to the posted root."""
    index = cbor.decode_map(data, _INDEX, ("size", "blocks", "subtrees"))
    size = cbor.integer(index, "size", kind=_INDEX)
    links = cbor.links(index, "blocks", Codec.RAW, kind=_INDEX)
    if size != posted.leaves * LEAF_SIZE:
        raise MalformedRecord(_INDEX, f"size {size}, expected {posted.leaves * LEAF_SIZE}")
    if len(links) != -(-posted.leaves // BLOCK_LEAVES):
        raise MalformedRecord(_INDEX, f"{len(links)} blocks, expected one per MiB")
    subtrees = tuple(map(Digest, cbor.strings(index, "subtrees", 32, kind=_INDEX)))
    if len(subtrees) != len(links):
        raise MalformedRecord(_INDEX, f"{len(subtrees)} subtrees of {len(links)} blocks")
    if not subtrees or Tree.over(subtrees).root != posted.root:
        raise MalformedRecord(_INDEX, "its subtrees do not lead to the posted root")
    return links, subtrees
