"""What a participant computes from its own rows: the statistics of the first round, updates after
it.
"""

import platform
from dataclasses import dataclass

import numpy as np

from fednode.data.statistics import local_statistics
from fednode.data.table import Table
from fednode.evaluation.evaluator import preprocessing_of, scaled
from fednode.federation import Federation
from fednode.models.layout import STATISTICS, Tensors
from fednode.roles.journal import Journal, PreparedUpdate, private_tensors
from fednode.training.task import LocalRun, TrainingSpec, TrainingTask, train
from ledger import cbor
from ledger.artefacts import record, update_artefact
from ledger.headers import UpdateHeader
from ledger.payload import Payload, pad
from ledger.round import Int32, RoundContext
from ledger.state import Participant as Member
from ledger.state import Round
from ledger.types import ZERO_DIGEST


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
        own = local_statistics(self.rows, federation.policy.schema)
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
        update = dict(fitted.update)
        for spec in book.layout.payload:
            update.setdefault(spec.name, np.zeros(spec.shape, dtype=np.int32))
        return book.layout.pack(update), fitted.private

    def _record(self, federation: Federation, context: RoundContext, member: Member) -> cbor.Value:
        """Say how the update was made: what another run of it would need."""
        spec = federation.policy.training
        return {
            "seed": [spec.seed, context.round, member.index],
            "platform": platform.machine(),
            "python": platform.python_version(),
            "numpy": np.__version__,
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
