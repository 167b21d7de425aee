"""What is known about a result that somebody may want to challenge."""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ledger import merkle, payload
from ledger.errors import LedgerError
from ledger.headers import PolicyHeader, ResultHeader
from ledger.nodes import in_order
from ledger.payload import LEAF_SIZE, Payload
from ledger.proofs.demanding import demand, nodes_below
from ledger.proofs.proving import Ancestor, Opens, Prover
from ledger.proofs.records import Case, Demand, Proof, Question, Target, Wanted
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
    answers from the contract's own records; `answers` are those that demands got; `draw` gives a
    number below another where a choice must not be foreseen. `blind`: we have no key to the result,
    and do not know the salts of its sums and its model.
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
    blind: bool = False

    def prover(self, nodes: Opens) -> Prover:
        """Give who writes proofs against the result, with its nodes opened by these."""
        return Prover(self.policy, self.case, self.header, nodes, self.parent, self.ended)

    def demand(self, kind: Wanted, place: tuple[int, int] = (0, 0), *, way: bytes = b"") -> Demand:
        """Write a demand at a place (level, position); `way` leads from the header to the tree."""
        return demand(self.policy, self.case, kind, place=place, way=self.header.encode() + way)

    def seen(
        self, kind: Wanted, right: OpenTree, full: OpenTree | None = None, *, way: bytes = b""
    ) -> "Seen":
        """Look at a tree of the result, of which `full` was published. Only one with the root and
        the leaves that the contract expects is the tree; where the right one has them, it is.
        """
        target = self.demand(kind, way=way).target
        trees = (tree for tree in (full, right) if tree is not None)
        whole = next((t for t in trees if (t.size, t.root) == (target.size, target.root)), None)

        def wanted(level: int, position: int) -> Demand:
            return self.demand(kind, (level, position), way=way)

        return Seen(right, whole, target, wanted, self)

    def sums(self, node: int, nodes: Opens) -> "Seen":
        """Look at the sums of a node, which `nodes` open."""
        way = node.to_bytes(4, "big") + nodes.open(node)
        return self.seen(Wanted.SUM, self.right.sums[node], self.published.sums.get(node), way=way)

    def hidden(self, tree: Target) -> list[int]:
        """List the leaves of a tree that no answer has shown."""
        seen = shown(self.answers, tree)
        return [position for position in range(tree.size) if position not in seen]


def shown(answers: Mapping[Target, bytes], level: Target) -> set[int]:
    """Give the positions of a tree's level, named by its first node, that answers show."""
    return {at.position for at in answers if replace(at, position=0) == level}


class Wanting(LedgerError):
    """Bytes that have to be demanded before anything can be shown."""

    def __init__(self, demand: Demand) -> None:
        self.demand = demand
        super().__init__(f"the {demand.target.kind.name} has to be demanded")


def pursued(search: Iterator[Proof | Demand]) -> Iterator[Proof | Demand]:
    """Give what a search finds, up to the demand without which it cannot go on."""
    try:
        yield from search
    except Wanting as missing:
        yield missing.demand


@dataclass(frozen=True)
class Seen:
    """A tree as it was published, or as far as answers show it, beside what it should be. `target`
    names its first leaf.
    """

    right: OpenTree
    full: OpenTree | None
    target: Target
    demand: Callable[[int, int], Demand]
    disputed: Disputed

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self.target.size

    def open(self, index: int) -> bytes:
        """Write a leaf and its path."""
        return self.full.open(index) if self.full is not None else self._answer(0, index)[1]

    def leaf(self, index: int) -> bytes:
        """Write a leaf of a plain tree."""
        path = merkle.sides(index, self.size)
        assert path is not None
        data = self.open(index)
        return data[: len(data) - 32 * len(path)]

    def whole(self) -> OpenTree:
        """Give a plain tree of which every leaf is there."""
        if self.full is not None:
            return self.full
        return OpenTree.of([self.leaf(index) for index in range(self.size)])

    @property
    def salted(self) -> bool:
        """Whether hashes tell nothing, as we lack the key, or have another one: a leaf says so that
        was shown and is the right one behind another salt.
        """
        if self.full is not None or self.target.kind not in (Wanted.MODEL, Wanted.SUM):
            return False
        return self.disputed.blind or any(map(self._is_salted_anew, self._shown(0)))

    def differing(self) -> Iterator[int]:
        """Give the leaves that are not what they should be. Of a tree that is only seen through
        answers those that were shown come first, then others; which of these will be demanded is
        drawn, so that nobody can tell beforehand. Of a salted one nothing is known but what was
        shown.
        """
        if self.full is not None:
            pairs = zip(self.right.levels[0], self.full.levels[0], strict=True)
            yield from (i for i, (right, seen) in enumerate(pairs) if right != seen)
        elif self.salted:
            yield from filter(self._differs, self._shown(0))
        else:
            yield from self._below(len(self.right.levels) - 1, 0)

    def hidden(self) -> list[int]:
        """List the leaves that were neither published nor shown."""
        return self.disputed.hidden(self.target) if self.full is None else []

    def _differs(self, index: int) -> bool:
        """Whether a leaf of a payload that was shown is another one behind its salt."""
        return self.leaf(index)[-LEAF_SIZE:] != self.right.leaf(index)[-LEAF_SIZE:]

    def _is_salted_anew(self, index: int) -> bool:
        return self.leaf(index) != self.right.leaf(index) and not self._differs(index)

    def _below(self, level: int, position: int) -> Iterator[int]:
        """Follow the answers down from a node to the leaves that differ."""
        if level == 0:
            yield position
            return
        target, data = self._answer(level, position)
        below, count = nodes_below(target)
        start = position << (level - below)
        right = [written(node) for node in self.right.levels[below][start : start + count]]
        width = len(right[0])
        seen = [data[at : at + width] for at in range(0, count * width, width)]
        differing = [start + i for i in range(count) if seen[i] != right[i]]
        for place in self._shown(below, among=differing):
            yield from self._below(below, place)
            differing.remove(place)
        if differing:
            yield from self._below(below, differing[self.disputed.draw(len(differing))])

    def _shown(self, level: int, among: Sequence[int] | None = None) -> list[int]:
        """Give the positions of a level that answers show, in order."""
        seen = shown(self.disputed.answers, replace(self.target, level=level))
        return sorted(seen if among is None else seen.intersection(among))

    def _answer(self, level: int, position: int) -> tuple[Target, bytes]:
        target = replace(self.target, level=level, position=position)
        answers = self.disputed.answers
        if target not in answers:
            raise Wanting(self.demand(level, position))
        return target, answers[target]
