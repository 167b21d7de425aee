"""Finding the place where a result is wrong, and what shows it.

A challenger computes what the round comes to and compares, tree by tree, with what was published.
Where the published bytes differ, a proof is written, and tried on `checking` before it is given
away. Where they are missing, they are demanded: from the root down, eight levels at a time, an
answer tells which node differs, until a leaf is named that nobody can show, or one is shown that is
wrong.
"""

from collections.abc import Iterator
from dataclasses import replace

from ledger.headers import Evaluation, Rule
from ledger.merkle import EMPTY_ROOT
from ledger.nodes import Node
from ledger.proofs.checking import check
from ledger.proofs.disputed import Disputed, Seen, pursued
from ledger.proofs.in_nodes import NodeSearch
from ledger.proofs.proving import Prover
from ledger.proofs.records import Demand, NoProof, Proof, Wanted
from ledger.proofs.trees import OpenTree

NOTHING = OpenTree.of(())


def find(disputed: Disputed) -> Proof | Demand | None:
    """Find a proof against a result; a demand, if bytes are missing without which there is none;
    None if the result is right as far as anybody can show.
    """
    wanting = None
    for found in _candidates(disputed):
        if isinstance(found, Demand):
            wanting = wanting or found
        elif shows(disputed, found):
            return found
    return wanting


def shows(disputed: Disputed, proof: Proof) -> bool:
    """Whether the contract will take a proof."""
    try:
        question = check(disputed.policy, disputed.case, proof.data)
    except NoProof:
        return False
    return disputed.facts(question) == question.holds


def _candidates(disputed: Disputed) -> Iterator[Proof | Demand]:
    """Give proofs to try, the short ones first. What follows from the nodes says nothing while
    these are wrong.
    """
    if disputed.header.nodes != disputed.right.header.nodes:
        search = NodeSearch.of(disputed)
        yield from search.candidates()
        if not search.only_salted:
            return
        right = replace(disputed.right, nodes=search.nodes.whole())
        disputed = replace(disputed, right=right, blind=True)
    prover = disputed.prover(disputed.right.nodes)
    yield prover.top()
    for look in (_gain, _values, _payouts, _model):
        yield from pursued(look(disputed, prover))
    if disputed.blind:
        yield from _guess(disputed)


def _gain(disputed: Disputed, prover: Prover) -> Iterator[Proof | Demand]:
    yield prover.measured()
    header, right = disputed.header, disputed.right.header
    if (header.utilities, header.gain) != (right.utilities, right.gain):
        yield prover.gain(NOTHING if header.utilities == EMPTY_ROOT else _utilities(disputed))


def _values(disputed: Disputed, prover: Prover) -> Iterator[Proof | Demand]:
    header, right = disputed.header, disputed.right
    utilities = _utilities(disputed).whole() if prover.valued else NOTHING
    if (header.values, header.scores) == (right.header.values, right.header.scores):
        return
    values = _seen_values(disputed)
    index = _first(values, header.values == right.header.values)
    yield prover.score(index, values, disputed.scales[index])
    yield prover.value(index, values, right.nodes, utilities)


def _payouts(disputed: Disputed, prover: Prover) -> Iterator[Proof | Demand]:
    header, right = disputed.header, disputed.right
    total = right.header.payout_total
    if (header.payouts, header.payout_total) == (right.header.payouts, total):
        return
    full = disputed.published.payouts
    payouts = disputed.seen(Wanted.PAYOUTS, right.payouts, full)
    index = _first(payouts, header.payouts == right.header.payouts)
    yield prover.payout(index, payouts, _seen_values(disputed))


def _model(disputed: Disputed, prover: Prover) -> Iterator[Proof | Demand]:
    header, right = disputed.header, disputed.right
    if header.model_root == right.header.model_root:
        return
    model = _seen_model(disputed)
    for leaf in model.differing():
        models = (disputed.previous.open(leaf), model.open(leaf))
        if disputed.policy.rule == Rule.WEIGHTED_MEAN:
            sums = disputed.sums(right.nodes.size - 1, right.nodes)
            for half in (2 * leaf, 2 * leaf + 1):
                yield prover.step(half, sums.open(half), models)
        else:
            inputs = [disputed.inputs[slot].open(leaf) for slot in _weighted(disputed)]
            yield prover.step_of(leaf, right.nodes, inputs, models)


def _guess(disputed: Disputed) -> Iterator[Demand]:
    """Demand a leaf of the model, or of a node's sums, that was not shown before. Without the key
    nobody can tell which one is wrong, so it is drawn, and nobody can tell beforehand which ones
    will be asked for.
    """
    nodes, parts = disputed.right.nodes, [[_seen_model(disputed)]]
    if disputed.policy.rule == Rule.WEIGHTED_MEAN:
        parts.append([disputed.sums(node, nodes) for node in range(nodes.size)])
    hidden = [[(t, at) for t in trees for at in t.hidden()] for trees in parts]
    left = list(filter(None, hidden))
    if left:
        leaves = left[disputed.draw(len(left))]
        tree, leaf = leaves[disputed.draw(len(leaves))]
        yield tree.demand(0, leaf)


def _utilities(disputed: Disputed) -> Seen:
    """Look at the utilities, which no proof can show to be wrong: nothing follows from them before
    they are there.
    """
    right, way = disputed.right, b""
    if disputed.policy.evaluation == Evaluation.SHARDS and disputed.parent is not None:
        way = disputed.parent.header.encode()
    return disputed.seen(Wanted.UTILITIES, right.utilities, disputed.published.utilities, way=way)


def _seen_model(disputed: Disputed) -> Seen:
    return disputed.seen(Wanted.MODEL, disputed.right.model, disputed.published.model)


def _seen_values(disputed: Disputed) -> Seen:
    return disputed.seen(Wanted.VALUES, disputed.right.values, disputed.published.values)


def _first(tree: Seen, same_root: bool) -> int:
    """Give the first leaf that differs; any shows that the header has another sum than the root."""
    return 0 if same_root else next(tree.differing())


def _weighted(disputed: Disputed) -> Iterator[int]:
    """Give the slots whose updates count, in order."""
    slots = range(disputed.case.slots)
    lowest = (Node.decode(disputed.right.nodes.leaf(at)) for at in range(-(-len(slots) // 16)))
    weights = (entry.weight for node in lowest for entry in node.entries)
    return (slot for slot, weight in zip(slots, weights, strict=False) if weight)
