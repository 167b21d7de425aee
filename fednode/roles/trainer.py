"""What a participant computes from its own rows: the statistics of the first round, updates after
it.
"""

from dataclasses import dataclass

import numpy as np

from fednode.data.statistics import local_statistics
from fednode.data.table import Table
from fednode.errors import FedNodeError
from fednode.evaluation.evaluator import preprocessing_of, scaled
from fednode.federation import Federation
from fednode.models.layout import STATISTICS, Tensors
from fednode.roles.journal import Journal, PreparedUpdate, private_tensors
from fednode.training.environment import environment
from fednode.training.run import LocalRun, TrainingSpec
from fednode.training.task import TrainingTask, train
from ledger import cbor
from ledger.artefacts import record, update_artefact
from ledger.headers import UpdateHeader
from ledger.payload import Payload, int32, pad
from ledger.round import Int32, RoundContext
from ledger.state import Participant as Member
from ledger.state import Round
from ledger.types import ZERO_DIGEST


class UpdateBeyondBound(FedNodeError):
    """An update that the policy's bound excludes."""

    def __init__(self, tensor: str, where: tuple[int, ...], bound: int) -> None:
        self.tensor = tensor
        self.where = where
        super().__init__(
            f"the update of tensor {tensor!r} at {list(where)} is beyond the policy's bound of "
            f"{bound} units: it would not count; lower training.learning_rate or raise "
            "aggregation.bound in a new federation"
        )


@dataclass(frozen=True, slots=True)
class Trainer:
    """Trains on one site's rows."""

    task: TrainingTask
    rows: Table

    def prepare(
        self, federation: Federation, member: Member, round_: Round, journal: Journal
    ) -> PreparedUpdate:
        """Compute the update of a round, ready to be committed."""
        context = federation.replica.context(round_)
        private: Tensors = {}
        if context.statistics:
            values = self._statistics(federation)
        else:
            values, private = self._trained(federation, member, round_, journal)
        data = Payload(pad(values, context.policy.leaves))
        self._check(federation, context, data)
        training = record(self._record(federation, context, member))
        header = UpdateHeader(
            common=context.common(UpdateHeader.TAG),
            participant=member.index,
            base=context.parent,
            payload_root=data.root,
            dataset=context.seats[member.index].dataset,
            index=data.index_digest,
            training=training[0].digest,
            evaluation=ZERO_DIGEST,
        )
        return PreparedUpdate(header.digest(), update_artefact(header, data, training), private)

    def _statistics(self, federation: Federation) -> Int32:
        values = np.zeros(federation.rulebook.layout.size, dtype=np.int32)
        most = federation.policy.most_rows
        own = local_statistics(self.rows, federation.policy.schema, most_rows=most)
        values[: own.size] = own
        return values

    def _trained(
        self, federation: Federation, member: Member, round_: Round, journal: Journal
    ) -> tuple[Int32, Tensors]:
        book = federation.rulebook
        shared = book.layout.unpack(federation.standing().model)
        private = private_tensors(federation, journal, len(federation.state.lineage))
        rows = scaled(self.rows, preprocessing_of(book.layout, shared, federation.policy.schema))
        run = LocalRun(
            _spec(federation), federation.policy.training.seed, round_.index, member.index
        )
        fitted = train(self.task, {**shared, **private}, rows, run)
        return book.layout.pack_update(fitted.update), fitted.private

    def _check(self, federation: Federation, context: RoundContext, data: Payload) -> None:
        """Refuse to commit to an update that everybody would leave out."""
        found = federation.rulebook.rules.select(context, int32(data.data))
        if found is not None:
            name, where = federation.rulebook.layout.locate(found.position)
            raise UpdateBeyondBound(name, where, context.policy.bound)

    def _record(self, federation: Federation, context: RoundContext, member: Member) -> cbor.Value:
        """Say how the update was made: what another run of it would need."""
        spec = federation.policy.training
        return {
            "seed": [spec.seed, context.round, member.index],
            "environment": environment(),
            "task": type(self.task).__name__,
            "kind": STATISTICS if context.statistics else "training",
        }


def _spec(federation: Federation) -> TrainingSpec:
    training = federation.policy.training
    return TrainingSpec(
        epochs=training.epochs,
        batch_size=training.batch_size,
        learning_rate=float(training.learning_rate),
        momentum=float(training.momentum),
    )
