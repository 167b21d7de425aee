"""From what was announced as a round's slice to an evaluator that measures on its rows."""

from collections.abc import Callable
from dataclasses import dataclass

from fednode.data.evaluation_set import EvaluationSet
from fednode.evaluation.evaluator import Evaluator
from fednode.evaluation.slices import SliceTree
from ledger.errors import MalformedRecord
from ledger.round import RoundContext
from ledger.stores import ContentStore
from ledger.types import Digest


@dataclass(frozen=True, slots=True)
class Opener:
    """The policy's slices, and how models are measured on rows."""

    tree: SliceTree
    evaluator: Callable[[EvaluationSet], Evaluator]

    def announced(self, context: RoundContext) -> Digest | None:
        """Give what the slices' holder announced for a round."""
        return self.tree.announced(context.slices)

    def open(self, context: RoundContext, store: ContentStore) -> Evaluator | None:
        """Read a round's slice; None if none was announced, or something else was.

        BlockUnavailable: what was announced cannot be had.
        """
        digest = self.announced(context)
        if digest is None or context.statistics:
            return None
        try:
            return self.evaluator(self.tree.read(store, digest, number=context.slice_number))
        except MalformedRecord:
            return None
