"""What a new federation takes over from an earlier one: a model, and with it the statistics that
rows are imputed and scaled with.

Sums over nearly the same rows, published twice, show the rows in between as a difference. So a
federation with an ancestor has no round of statistics: the coordinates that hold them are locked.
"""

from dataclasses import dataclass

from fednode.errors import FedNodeError
from fednode.federation import Federation
from fednode.models.layout import Layout
from fednode.policy import Policy
from ledger.headers import ResultHeader
from ledger.proceedings import Accepted
from ledger.round import Int32
from ledger.types import FederationId


@dataclass(frozen=True, slots=True)
class Ancestor:
    """The settled result of another federation that a new one goes on from."""

    federation: FederationId
    header: ResultHeader
    model: Int32


class NoAncestor(FedNodeError):
    """A federation that a policy cannot go on from."""

    def __init__(self, federation: FederationId, reason: str) -> None:
        self.federation = federation
        super().__init__(f"--ancestor {federation.hex()} {reason}")


def ancestor_of(
    federation: Federation, policy: Policy, layout: Layout, *, untrained: bool = False
) -> Ancestor:
    """Read the result that a policy goes on from: the last, or the one of statistics alone.

    Raise NoAncestor where its model, or what its statistics are of, is not the policy's.
    """
    settled = [accepted for accepted in federation.state.lineage if accepted.settled]
    if not settled:
        raise NoAncestor(federation.id, "has no settled result to go on from")
    if federation.policy.visibility == "members":
        raise NoAncestor(
            federation.id,
            "is sealed, and the initial model of a new federation is not: nobody has joined yet "
            "whom it could be sealed for",
        )
    if federation.rulebook.layout != layout:
        raise NoAncestor(
            federation.id,
            "has another model or other columns, so its last model is none for this policy: keep "
            "its [task], [schema] and aggregation.fraction_bits",
        )
    chosen = _of_statistics(federation, settled) if untrained else settled[-1]
    reader = federation.replica.reader(chosen)
    found = Ancestor(federation.id, reader.header, reader.model(federation.replica.policy.leaves))
    _require_statistics(federation, policy, found)
    return found


def _of_statistics(federation: Federation, settled: list[Accepted]) -> Accepted:
    """Give the result of a federation's statistics round."""
    if federation.replica.policy.statistics == 0:
        owner = federation.replica.policy.ancestor if federation.replica.locked() else None
        advice = (
            "" if owner is None else f"give --ancestor {owner.hex()}, where it has its own, or "
        )
        raise NoAncestor(
            federation.id, f"has no round of statistics: {advice}leave out --untrained"
        )
    return settled[0]


def _require_statistics(federation: Federation, policy: Policy, found: Ancestor) -> None:
    """Refuse statistics that are of other columns, or that were never summed."""
    if policy.statistics == 0:
        return
    if federation.policy.schema != policy.schema:
        raise NoAncestor(
            federation.id,
            "has another [schema], so its statistics are of other columns: keep its [schema]",
        )
    if not found.model[: policy.statistics].any():
        raise NoAncestor(
            federation.id,
            "has summed no statistics, as no update counted in its first round: leave --ancestor "
            "out, or set data.statistics = false",
        )
