"""Answering demands: anybody who holds a demanded tree may, and the answer is public from then on.

An unanswered demand costs a proposer its bond and a round its result, so whoever agrees with a
result answers for it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from ledger.nodes import FAN_OUT
from ledger.proofs.disputed import Computed
from ledger.proofs.reading import RawNode
from ledger.proofs.records import Target, Wanted
from ledger.proofs.trees import OpenBatch, OpenTree
from ledger.types import Digest


@dataclass(frozen=True)
class Sources:
    """What a node holds: trees by their root, and headers of updates by their digest."""

    trees: Mapping[Digest, OpenTree | OpenBatch]
    headers: Mapping[Digest, bytes] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        result: Computed,
        inputs: Mapping[int, OpenTree],
        headers: Mapping[int, bytes],
        batch: tuple[Digest, OpenTree | OpenBatch] | None = None,
    ) -> "Sources":
        """Gather what somebody holds who agrees with a result: `inputs` and `headers` of updates by
        slot, `batch` the relay's tree with its root.
        """
        header = result.header
        trees: dict[Digest, OpenTree | OpenBatch] = {
            header.nodes: result.nodes,
            header.model_root: result.model,
            header.utilities: result.utilities,
            header.values: result.values,
            header.payouts: result.payouts,
        }
        for index, tree in result.sums.items():
            trees[RawNode.of(result.nodes.leaf(index)).root] = tree
        for slot, tree in inputs.items():
            entries = RawNode.of(result.nodes.leaf(slot // FAN_OUT)).entries
            trees[entries[slot % FAN_OUT].root] = tree
        if batch is not None:
            trees[batch[0]] = batch[1]
        digests = {Digest(hashlib.sha256(data).digest()): data for data in headers.values()}
        return cls(trees, digests)


def answer(target: Target, sources: Sources) -> bytes | None:
    """Give the bytes that answer a demand; None if they are not at hand."""
    if target.kind is Wanted.HEADER:
        return sources.headers.get(target.root)
    tree = sources.trees.get(target.root)
    return None if tree is None else tree.answer(target.level, target.position)
