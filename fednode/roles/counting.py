"""What a participant counts on its own shard: how good the last round's coalitions are without it.

The counts go with its next update. No other node can repeat them, so nothing here may stop a round:
a participant that cannot count sends an update without counts. It also does so once its shard's
rows have answered as many models as the policy allows.
"""

import logging

from fednode.data.evaluation_set import EvaluationSet
from fednode.disclosed import Disclosed
from fednode.errors import FedNodeError
from fednode.evaluation import shards
from fednode.evaluation.evaluator import Evaluator, ExactEvaluator
from fednode.federation import Federation
from fednode.rounds import FederationRules
from incentives.valuation import Valuation
from ledger.cid import CID
from ledger.errors import MalformedRecord
from ledger.members import Participant as Member
from ledger.round import Int32, Players
from ledger.sealing import PLAIN, NotForUs, Seal
from ledger.stores import BlockUnavailable

log = logging.getLogger("fednode")


def counts_for(
    federation: Federation,
    member: Member,
    shard: EvaluationSet | None,
    disclosed: Disclosed,
    seal: Seal = PLAIN,
) -> tuple[CID, bytes] | None:
    """Make the evaluation record of a participant's next update; None where there is nothing to
    count, not all that it takes, or nothing left that the shard may answer.

    The models are entered in `disclosed` before any of them is counted.
    """
    standing, lineage = federation.standing(), federation.state.lineage
    metric = federation.policy.evaluation.metric
    if shard is None or not standing.players or not shards.countable(shard, metric):
        return None
    try:
        players = federation.replica.players(lineage[-1])
        before = federation.replica.model(lineage[-1].height - 1)
    except (BlockUnavailable, MalformedRecord, NotForUs) as error:
        log.warning("no counts for result %s: %s", federation.state.head.hex()[:16], error)
        return None
    book = federation.rulebook
    valuation = book.rules.valuation(standing.trained - 1)
    others = left_out(players, member.index)
    models = len(valuation.coalitions(len(others.participants)))
    if not _may_answer(federation, shard, disclosed, models):
        return None
    counted = coalition_counts(book.rules, book.measuring(shard), valuation, before, others)
    return shards.count(shard, counted, metric).artefact(federation.state.head, seal)


def _may_answer(
    federation: Federation, shard: EvaluationSet, disclosed: Disclosed, models: int
) -> bool:
    """Enter the models that the head's result asks for; say whether they may be counted."""
    most, head = federation.policy.shard_models, federation.state.head
    try:
        asked = disclosed.answer(shard, federation.id, head, models=models, most=most)
    except FedNodeError as error:
        log.warning("no counts for result %s: %s", head.hex()[:16], error)
        return False
    log.info("the shard's rows have answered %d models of at most %d", asked, most)
    return True


def coalition_counts(
    rules: FederationRules,
    evaluator: Evaluator,
    valuation: Valuation,
    before: Int32,
    players: Players,
) -> tuple[int, ...]:
    """Count what the metric of all coalitions' models is summed from."""
    assert isinstance(evaluator, ExactEvaluator)
    coalitions = valuation.coalitions(len(players.participants))
    return evaluator.counts(rules.models(before, players, coalitions))


def left_out(players: Players, owner: int) -> Players:
    """Give the players without a shard's owner."""
    kept = [place for place, player in enumerate(players.participants) if player != owner]
    return Players(
        participants=tuple(players.participants[place] for place in kept),
        updates=tuple(players.updates[place] for place in kept),
        weights=tuple(players.weights[place] for place in kept),
    )
