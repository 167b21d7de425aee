"""Finding the place where a result is wrong, and what shows it.

A challenger computes what the round comes to and compares, tree by tree, with what was published.
Where the published bytes differ, a proof is written, and tried on `checking` before it is given
away. Where they are missing, they are demanded: from the root down, eight levels at a time, an
answer tells which node differs, until a leaf is named that nobody can show, or one is shown that is
wrong.
"""

from collections.abc import Iterator

from ledger.headers import Rule
from ledger.nodes import Node
from ledger.proofs.checking import check
from ledger.proofs.disputed import Disputed, Seen, Wanting
from ledger.proofs.in_nodes import NodeSearch
from ledger.proofs.proving import Prover
from ledger.proofs.records import Demand, NoProof, Proof, Wanted


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
    header, right = disputed.header, disputed.right.header
    if header.nodes != right.nodes:
        yield from NodeSearch.of(disputed).candidates()
        return
    prover = disputed.prover(disputed.right.nodes)
    yield prover.top()
    for search in (_gain, _values, _payouts, _model):
        try:
            yield from search(disputed, prover)
        except Wanting as missing:
            yield missing.demand


def _gain(disputed: Disputed, prover: Prover) -> Iterator[Proof]:
    yield prover.measured()
    header, right = disputed.header, disputed.right
    if header.gain != right.header.gain and header.utilities == right.header.utilities:
        yield prover.gain(right.utilities)


def _values(disputed: Disputed, prover: Prover) -> Iterator[Proof]:
    header, right = disputed.header, disputed.right
    if (header.values, header.scores) == (right.header.values, right.header.scores):
        return
    values = _seen_values(disputed)
    index = _first(values, header.values == right.header.values)
    yield prover.score(index, values, disputed.scales[index])
    if header.utilities == right.header.utilities:
        yield prover.value(index, values, right.nodes, right.utilities)


def _payouts(disputed: Disputed, prover: Prover) -> Iterator[Proof]:
    header, right = disputed.header, disputed.right
    total = right.header.payout_total
    if (header.payouts, header.payout_total) == (right.header.payouts, total):
        return
    full = disputed.published.payouts
    payouts = disputed.seen(Wanted.PAYOUTS, right.payouts, full)
    index = _first(payouts, header.payouts == right.header.payouts)
    yield prover.payout(index, payouts, _seen_values(disputed))


def _model(disputed: Disputed, prover: Prover) -> Iterator[Proof]:
    header, right = disputed.header, disputed.right
    if header.model_root == right.header.model_root:
        return
    model = disputed.seen(Wanted.MODEL, right.model, disputed.published.model)
    leaf = next(model.differing())
    models = (disputed.previous.open(leaf), model.open(leaf))
    if disputed.policy.rule == Rule.WEIGHTED_MEAN:
        sums = right.sums[right.nodes.size - 1]
        for half in (2 * leaf, 2 * leaf + 1):
            yield prover.step(half, sums.open(half), models)
    else:
        inputs = [disputed.inputs[slot].open(leaf) for slot in _weighted(disputed)]
        yield prover.step_of(leaf, right.nodes, inputs, models)


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
