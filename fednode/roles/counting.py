"""What a participant counts on its own shard: how good the last round's coalitions are without it.

The counts go with its next update. Nobody else can repeat them, so nothing here may stop a round:
who cannot count sends an update without counts.
"""

import logging

from fednode.data.evaluation_set import EvaluationSet
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
    federation: Federation, member: Member, shard: EvaluationSet | None, seal: Seal = PLAIN
) -> tuple[CID, bytes] | None:
    """Make the evaluation record of a participant's next update; None where there is nothing to
    count, or not all that it takes.
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
    counted = coalition_counts(book.rules, book.measuring(shard), valuation, before, others)
    return shards.count(shard, counted, metric).artefact(federation.state.head, seal)


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
