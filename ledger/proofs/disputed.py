"""What is known about a result that somebody may want to challenge."""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ledger import payload
from ledger.errors import LedgerError
from ledger.headers import PolicyHeader, ResultHeader
from ledger.nodes import in_order
from ledger.payload import Payload
from ledger.proofs.demanding import demand, nodes_below
from ledger.proofs.proving import Ancestor, Opens, Prover
from ledger.proofs.records import Case, Demand, Question, Target, Wanted
from ledger.proofs.trees import OpenTree, written
from ledger.round import Outcome


@dataclass(frozen=True)
class Trees:
    """The trees of a result, `sums` by node. None, or absent: the bytes cannot be had, or are not
    what the header commits to.
    """

    nodes: OpenTree | None = None
    sums: Mapping[int, OpenTree] = field(default_factory=dict)
    model: OpenTree | None = None
    utilities: OpenTree | None = None
    values: OpenTree | None = None
    payouts: OpenTree | None = None


@dataclass(frozen=True)
class Computed:
    """What the round of a disputed result comes to. What no proof can show is conceded: the slots
    that the result calls unavailable or missing are so, and its utilities and stop flag stand.
    """

    header: ResultHeader
    nodes: OpenTree
    sums: Mapping[int, OpenTree]
    model: OpenTree
    utilities: OpenTree
    values: OpenTree
    payouts: OpenTree

    @classmethod
    def of(cls, outcome: Outcome) -> "Computed":
        """Lay out what a round came to."""
        records, content = outcome.records, outcome.content
        clear = payload.pad(outcome.model, outcome.model.size // payload.LANES)
        model = Payload(clear, content.part("model"))
        sums = (Payload(d, content.part(f"sum {i}")) for i, d in enumerate(outcome.sums))
        return cls(
            header=outcome.header,
            nodes=OpenTree.of([node.encode() for node in in_order(outcome.levels)]),
            sums={i: OpenTree.of_payload(data) for i, data in enumerate(sums)},
            model=OpenTree.of_payload(model),
            utilities=OpenTree.of_utilities(records.utilities),
            values=OpenTree.of_values(records.values),
            payouts=OpenTree.of_payouts(records.payouts),
        )

    @property
    def trees(self) -> Trees:
        """All of its bytes, as somebody who computed the same would publish them."""
        return Trees(self.nodes, self.sums, self.model, self.utilities, self.values, self.payouts)


@dataclass(frozen=True)
class Disputed:
    """A result, as it was published and as it should be.

    `inputs` and `headers` are those of updates, by slot, as far as they can be had; `batch` opens
    the batch's leaves, `previous` those of the model before; `scales` are by participant. `facts`
    answers from the contract's own records; `answers` are those that demands of this challenge got;
    `draw` gives a number below another where a choice must not be foreseen.
    """

    policy: PolicyHeader
    case: Case
    header: ResultHeader
    published: Trees
    right: Computed
    inputs: Mapping[int, OpenTree]
    headers: Mapping[int, bytes]
    previous: Opens
    facts: Callable[[Question], bool]
    scales: Sequence[int]
    batch: Opens | None = None
    parent: Ancestor | None = None
    ended: Ancestor | None = None
    answers: Mapping[Target, bytes] = field(default_factory=dict)
    draw: Callable[[int], int] = secrets.randbelow

    def prover(self, nodes: Opens) -> Prover:
        """Give who writes proofs against the result, with its nodes opened by these."""
        return Prover(self.policy, self.case, self.header, nodes, self.parent, self.ended)

    def seen(
        self, kind: Wanted, right: OpenTree, full: OpenTree | None, *, way: bytes = b""
    ) -> "Seen":
        """Look at a tree of the result; `way` is what a demand for it needs behind the header."""
        behind = self.header.encode() + way

        def wanted(level: int, position: int) -> Demand:
            return demand(self.policy, self.case, kind, place=(level, position), way=behind)

        return Seen(right, full, wanted, self.answers)


class Wanting(LedgerError):
    """Bytes that have to be demanded before anything can be shown."""

    def __init__(self, demand: Demand) -> None:
        self.demand = demand
        super().__init__(f"the {demand.target.kind.name} has to be demanded")


@dataclass(frozen=True)
class Seen:
    """A tree as it was published, or as far as answers show it, beside what it should be."""

    right: OpenTree
    full: OpenTree | None
    demand: Callable[[int, int], Demand]
    answers: Mapping[Target, bytes]

    def open(self, index: int) -> bytes:
        """Write a leaf and its path."""
        return self.full.open(index) if self.full is not None else self._answer(0, index)[1]

    def differing(self) -> Iterator[int]:
        """Give the leaves that are not what they should be; of a tree that is only seen through
        answers, the first.
        """
        if self.full is None:
            yield self._descend()
            return
        pairs = zip(self.right.levels[0], self.full.levels[0], strict=True)
        yield from (i for i, (right, seen) in enumerate(pairs) if right != seen)

    def _descend(self) -> int:
        """Follow the answers down from the root to the first leaf that differs."""
        level, position = len(self.right.levels) - 1, 0
        while level:
            target, data = self._answer(level, position)
            below, count = nodes_below(target)
            start = position << (level - below)
            right = [written(node) for node in self.right.levels[below][start : start + count]]
            width = len(right[0])
            seen = [data[at : at + width] for at in range(0, count * width, width)]
            differs = (i for i in range(count) if seen[i] != right[i])
            level, position = below, start + next(differs)
        return position

    def _answer(self, level: int, position: int) -> tuple[Target, bytes]:
        wanted = self.demand(level, position)
        if wanted.target not in self.answers:
            raise Wanting(wanted)
        return wanted.target, self.answers[wanted.target]
