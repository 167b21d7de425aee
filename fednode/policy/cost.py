"""What a round will cost in gas, seconds and bytes, and whether its windows can hold it.

Constants were measured on a 2-core machine: hashing and the RFC 6962 tree of 40 MB take 26 and 75
ms, an int64 weighted sum of 5 x 10M int32 80 ms, a median of 4 x 10M int32 730 ms; an update costs
its reader and keeper 8 ms however small it is (`scripts/bench/attesting.py`); an envelope takes
.12 ms to write or to verify for each of its readers, and each node verifies it once. Gas is what
receipts say, rounded up; a test compares each figure with receipts of the contract as it is. An
evaluator, proposer or attester alike, values all coalitions itself; by shards every participant
does, on its own shard and before its next update, and a voter adds up counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fednode.policy.document import Policy
from fednode.policy.errors import PolicyError
from ledger.replica import KEYS_EACH
from ledger.sealing import MAX_READERS, Envelope

LEAF: Final = 1024
HEADER_BYTES: Final = 2048
NODE_BYTES: Final = 3680
FAN: Final = 16

SECONDS_PER_HASHED_BYTE: Final = (0.026 + 0.075) / 40e6
SECONDS_PER_SUMMED_BYTE: Final = 0.080 / 200e6
SECONDS_PER_SORTED_BYTE: Final = 0.730 / 160e6
SECONDS_PER_UPDATE: Final = 0.008
SECONDS_PER_READER: Final = 0.00012
SAFETY: Final = 2.0
OVERHEAD_SECONDS: Final = 1.0

COMMIT_GAS: Final = 61_500
CLOSE_GAS: Final = 3_600  # what the last commit costs more: it closes the phase
PROPOSE_GAS: Final = 170_000
VOTE_GAS: Final = 50_000
FIRST_GAS: Final = 17_200  # what the first vote costs more
ACCEPT_GAS: Final = 46_500  # what the deciding vote costs more: it opens the next round
SETTLE_GAS: Final = 97_000
SLICE_GAS: Final = 33_000

# Through a relay: one batch, one `advance` that closes it and settles the result before, one
# transaction of all votes; where the committee is drawn, each place in it is looked up. A vote's
# signature is taken to have no zero byte, which would cost less.
BATCH_GAS: Final = 72_500
ADVANCE_GAS: Final = 77_500
POST_VOTES_GAS: Final = 112_500
POSTED_VOTE_GAS: Final = 7_850
DRAWN_GAS: Final = 3_900


@dataclass(frozen=True, slots=True)
class Cost:
    """A round's cost when every place is taken."""

    gas_per_round: int
    seconds_per_evaluator: float
    seconds_per_voter: float
    bytes_per_update: int
    bytes_per_round: int
    evaluations: int
    readers: int = 0

    def record(self) -> dict[str, object]:
        """Return the cost for JSON."""
        return {
            "gas_per_round": self.gas_per_round,
            "seconds_per_evaluator": round(self.seconds_per_evaluator, 3),
            "seconds_per_voter": round(self.seconds_per_voter, 3),
            "bytes_per_update": self.bytes_per_update,
            "bytes_per_round": self.bytes_per_round,
            "evaluations": self.evaluations,
            "readers": self.readers,
        }


def evaluations(policy: Policy) -> int:
    """Count the models that an evaluator measures in a round with a valuation; on its own shard
    nobody measures itself.
    """
    players = policy.federation.max_participants - (policy.evaluation.mode == "shards")
    if policy.evaluation.mode == "none":
        return 0
    return {"none": 2, "leave-one-out": players + 2, "exact": 1 << players}[policy.valuation.kind]


def readers(policy: Policy) -> int:
    """Count the keys that an artefact may be sealed for when every place is taken; none in a public
    federation.
    """
    if policy.visibility == "public":
        return 0
    keys = KEYS_EACH * policy.federation.max_participants + len(policy.privacy.auditors)
    return min(keys, MAX_READERS)


def predict(policy: Policy, *, seconds_per_evaluation: float, leaves: int | None = None) -> Cost:
    """Predict a round's cost.

    `seconds_per_evaluation` is the measured time of one model on all rows that an evaluator
    measures on; `leaves` must be given for a user's own model.
    """
    players = policy.federation.max_participants
    payload = LEAF * (policy.leaves() if leaves is None else leaves)
    models = evaluations(policy)
    nodes = _nodes(players)
    sums = nodes if policy.aggregation.rule == "fedavg" else 0
    sealed_for = readers(policy)
    envelope = Envelope.size(sealed_for) if sealed_for else 0
    update = payload + HEADER_BYTES + envelope
    per_byte = SECONDS_PER_SUMMED_BYTE if sums else SECONDS_PER_SORTED_BYTE
    measuring = models * (seconds_per_evaluation + payload * players / 2 * per_byte)
    hashed = payload * (players + 1 + 2 * sums)
    aggregating = payload * players * per_byte + hashed * SECONDS_PER_HASHED_BYTE
    aggregating += players * SECONDS_PER_UPDATE
    # A node's own update, those of all, and the result have an envelope each.
    aggregating += (players + 2) * sealed_for * SECONDS_PER_READER
    apart = policy.evaluation.mode == "shards"
    return Cost(
        gas_per_round=gas_of_round(policy),
        seconds_per_evaluator=_safely(measuring if apart else measuring + aggregating),
        seconds_per_voter=_safely(aggregating if apart else measuring + aggregating),
        bytes_per_update=update,
        bytes_per_round=players * update
        + nodes * NODE_BYTES
        + sums * 2 * payload
        + payload
        + 8 * models
        + HEADER_BYTES
        + envelope,
        evaluations=models,
        readers=sealed_for,
    )


def gas_of_round(policy: Policy) -> int:
    """Predict what all transactions of a round need together if everybody commits and agrees: the
    votes of a quorum, one by one, or all that a relay has gathered.
    """
    players = policy.federation.max_participants
    seats = min(players, policy.federation.committee)
    opening = SLICE_GAS if policy.evaluation.mode == "slices" else 0
    if policy.federation.relay is not None:
        vote = POSTED_VOTE_GAS + (DRAWN_GAS if players > seats else 0)
        votes = POST_VOTES_GAS + seats * vote
        return BATCH_GAS + ADVANCE_GAS + opening + PROPOSE_GAS + votes
    quorum = -(-seats * policy.federation.quorum_bps // 10_000)
    votes = quorum * VOTE_GAS + FIRST_GAS + ACCEPT_GAS
    return players * COMMIT_GAS + CLOSE_GAS + opening + PROPOSE_GAS + votes + SETTLE_GAS


def require_windows(policy: Policy, cost: Cost) -> None:
    """Refuse a policy whose evaluators, proposer or committee could not finish in time."""
    needed = [("propose", cost.seconds_per_voter), ("attest", cost.seconds_per_voter)]
    if policy.evaluation.mode == "shards":
        needed.append(("commit", cost.seconds_per_evaluator))
    for name, seconds in needed:
        window: int = getattr(policy.windows, name)
        if seconds > window:
            raise PolicyError(
                f"windows.{name}",
                f"{window} s, but an evaluator needs about {seconds:.0f} s for "
                f"{cost.evaluations} models: lengthen it, lower evaluation.rows or "
                "federation.max_participants, or choose another valuation.kind",
            )


def _safely(seconds: float) -> float:
    return SAFETY * seconds + OVERHEAD_SECONDS


def _nodes(entries: int) -> int:
    """Count the nodes of partial sums over a number of entries."""
    total = 0
    while True:
        entries = -(-entries // FAN)
        total += entries
        if entries <= 1:
            return total
