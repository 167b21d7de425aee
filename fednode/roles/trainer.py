"""What a participant computes from its own rows: the statistics of the first round, updates after
it.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fednode.data.evaluation_set import EvaluationSet
from fednode.data.statistics import local_statistics
from fednode.data.table import Table
from fednode.disclosed import Disclosed
from fednode.errors import FedNodeError
from fednode.evaluation.evaluator import preprocessing_of, scaled
from fednode.federation import Federation
from fednode.models.guard import model_code
from fednode.models.layout import STATISTICS, Tensors
from fednode.roles.counting import counts_for
from fednode.roles.journal import Journal, PreparedUpdate, private_tensors
from fednode.training.environment import environment
from fednode.training.run import LocalRun
from fednode.training.task import TrainingTask, train
from ledger import cbor
from ledger.artefacts import (
    EVALUATION,
    PAYLOAD,
    TRAINING,
    read_update,
    record,
    update_artefact,
)
from ledger.cid import CID
from ledger.errors import MalformedRecord
from ledger.headers import UpdateHeader
from ledger.members import Participant as Member
from ledger.payload import Payload, int32, pad
from ledger.proceedings import Round
from ledger.round import Int32, RoundContext
from ledger.sealing import Content, NotForUs
from ledger.stores import Artefact, ContentStore
from ledger.stores.read_back import read_back
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


SALT_SIZE = 16


def fresh_salt() -> bytes:
    """Draw the salt of an update's training record."""
    return secrets.token_bytes(SALT_SIZE)


class UpdateUnreadable(FedNodeError):
    """An update that no other node could read: it would be called unavailable, at our expense."""

    def __init__(self, error: MalformedRecord) -> None:
        super().__init__(f"the update cannot be read back, so it is not committed to: {error}")


@dataclass(frozen=True, slots=True)
class Trainer:
    """Trains on one site's rows, and counts on its shard, if it has one.

    `salt` is drawn once for each update. A commit shows the digest of an update's header before
    the reveal: without a salt a guess at the update, its counts included, could be confirmed.
    """

    task: TrainingTask
    rows: Table
    shard: EvaluationSet | None = None
    salt: Callable[[], bytes] = fresh_salt

    def prepare(
        self, federation: Federation, member: Member, round_: Round, journal: Journal
    ) -> PreparedUpdate:
        """Compute the update of a round, ready to be committed."""
        context = federation.replica.context(round_)
        private: Tensors = {}
        if context.statistics:
            values = self._statistics(federation, journal)
        elif self._idle(federation, context):
            values, private = self._unchanged(federation, journal)
        else:
            values, private = self._trained(federation, member, round_, journal)
        content = federation.replica.fresh(round_)
        clear = pad(values, context.policy.leaves)
        data = Payload(clear, content.part(PAYLOAD), content.envelope)
        self._check(federation, context, data)
        training = record(self._record(federation, context, member), content.part(TRAINING))
        counts = self.counts(federation, member, content, journal)
        header = context.update_header(
            member.index,
            data,
            training=training[0].digest,
            evaluation=counts[0].digest if counts else ZERO_DIGEST,
        )
        records = (training, counts) if counts else (training,)
        artefact = update_artefact(header, data, *records)
        self._require_readable(federation, round_, header, artefact)
        return PreparedUpdate(header.digest(), artefact, private)

    def _require_readable(
        self, federation: Federation, round_: Round, header: UpdateHeader, artefact: Artefact
    ) -> None:
        """Read an update back as all others will, before it is committed to. One that this node has
        no key for can be read by others alone.
        """
        leaves, access = federation.replica.policy.leaves, federation.replica.access(round_)
        locked = federation.replica.locked()

        def read(store: ContentStore) -> tuple[bytes | None, bytes | None]:
            found = read_update(store, header.digest(), leaves, access, locked=locked)
            return found.header, None if found.payload is None else found.payload.root

        written: tuple[bytes | None, bytes | None] = header.encode(), header.payload_root
        try:
            read_back(artefact, read, written, kind="update")
        except MalformedRecord as error:
            raise UpdateUnreadable(error) from error
        except NotForUs:
            return

    def counts(
        self, federation: Federation, member: Member, content: Content, journal: Journal
    ) -> tuple[CID, bytes] | None:
        """Make the record of what is counted on the shard for the result before."""
        disclosed, seal = Disclosed(journal.root), content.part(EVALUATION)
        return counts_for(federation, member, self.shard, disclosed, seal)

    def _idle(self, federation: Federation, context: RoundContext) -> bool:
        """Whether the round's updates are there for what they carry alone."""
        trained = federation.standing().trained + 1
        return context.by_shards and context.policy.ends_period(trained)

    def _unchanged(self, federation: Federation, journal: Journal) -> tuple[Int32, Tensors]:
        nothing = np.zeros(federation.rulebook.layout.size, dtype=np.int32)
        return nothing, private_tensors(federation, journal, len(federation.state.lineage))

    def _statistics(self, federation: Federation, journal: Journal) -> Int32:
        Disclosed(journal.root).sum_up(self.rows, federation.id)
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
        training = federation.policy.training
        run = LocalRun(training.spec, training.seed, round_.index, member.index)
        with model_code("training"):
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
            "kind": self._kind(federation, context),
            "salt": self.salt(),
        }

    def _kind(self, federation: Federation, context: RoundContext) -> str:
        if context.statistics:
            return STATISTICS
        return "counts" if self._idle(federation, context) else "training"
