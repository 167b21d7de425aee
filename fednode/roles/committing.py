"""A participant's own update: trained, committed, and published once commits are closed."""

import logging
from collections.abc import Callable

from fednode.errors import FedNodeError
from fednode.federation import Federation
from fednode.models.errors import TensorError
from fednode.models.guard import ModelFailed
from fednode.roles.carrier import Carrier
from fednode.roles.carrying import carried_over, stands
from fednode.roles.journal import PUBLISHED, Journal, JournalBehind, PreparedUpdate
from fednode.roles.role import is_time
from fednode.roles.trainer import Trainer, UpdateBeyondBound
from ledger.members import Participant as Member
from ledger.proceedings import Round
from ledger.slots import direct
from ledger.stores import StoreError
from ledger.stores.budget import spending_part
from ledger.types import Digest

log = logging.getLogger("fednode")

DIVERGED = (UpdateBeyondBound, TensorError)
"""What training ends in that diverges: numbers beyond the bound, or beyond all numbers."""
WAY_OUT = (
    "if rounds go on without results, `fednode close` ends this federation after its idle window"
)

Situation = tuple[Digest, Digest, int, int]
"""What an update is made for: the block that opened the round, its parent, and who its owner is and
on which data set. A reorganisation can change each of them, and leave the round its number.
"""


class Committing:
    """Commits to and publishes one participant's updates. `before_training` does what must not wait
    for a training run, and says whether it did anything.
    """

    def __init__(
        self,
        federation: Federation,
        trainer: Trainer,
        journal: Journal,
        carrier: Carrier,
        before_training: Callable[[], bool],
    ) -> None:
        self.trainer = trainer
        self.failures: dict[int, str] = {}
        self._federation = federation
        self._journal = journal
        self._carrier = carrier
        self._before_training = before_training
        self._ready: tuple[Situation, Digest] | None = None
        self._published: Situation | None = None
        self._out: set[Situation] = set()
        self._looked_up: dict[tuple[Situation, tuple[Digest, ...]], bool] = {}

    def fail(self, member: Member, round_: Round, error: Exception) -> None:
        """Note, once, that a round has no update of ours as things stand."""
        situation = _situation(member, round_)
        if situation in self._out:
            return
        cause = error if isinstance(error, ModelFailed) else None
        text = f"{error}; {WAY_OUT}" if isinstance(error, DIVERGED) else str(error)
        log.error("round %d: no update of ours: %s", round_.index, text, exc_info=cause)
        self.failures[round_.index] = text
        self._out.add(situation)

    # -- commit

    def commit(self, member: Member, round_: Round) -> bool:
        """Commit to this round's update, until it is in the round. Training may outlast the clock
        of a dispute, so what is due there comes first.
        """
        if self._unknown(member, round_) or round_.committed(member.index):
            return False
        key = _situation(member, round_)
        if self._ready is None or self._ready[0] != key:
            if self._before_training():
                return True
            update = self._prepare(member, round_)
            if update is None:
                return False
            self._ready = key, update.digest
        if not is_time(self._federation, round_.opened, round_.commit_deadline):
            return False
        return self._carrier.commit(round_, member.index, self._ready[1])

    def _unknown(self, member: Member, round_: Round) -> bool:
        """Whether this account has committed to an update that the journal does not hold, such as
        a restored backup. Nothing is signed anew for such a round.
        """
        try:
            claims = self._federation.replica.claims(round_)
        except StoreError:  # the chain alone tells of commits that were sent directly
            claims = direct(round_)
        own = [s.digest for s in claims if s.unbound is None and s.participant == member.index]
        if not own or (self._ready is not None and self._ready[1] in own):
            return False
        key = (_situation(member, round_), tuple(own))
        if key not in self._looked_up:
            held = {update.digest for update in self._journal.all_updates(round_.index)}
            self._looked_up[key] = held.isdisjoint(own)
            if self._looked_up[key]:
                log.error("%s", JournalBehind(self._journal.folder, round_.index, own[0]))
        return self._looked_up[key]

    def _prepare(self, member: Member, round_: Round) -> PreparedUpdate | None:
        """Give this round's update from the journal, or train it. One that does not fit the chain
        any more is put aside: after a reorganisation its owner may have another index.
        """
        # What is not committed was not published: such a note is of another run of the chain.
        self._journal.unmark(round_.index, PUBLISHED)
        update = self._journal.fitting(
            round_.index, lambda kept: stands(self._federation, member, round_, kept)
        )
        if update is None:
            self._journal.put_aside(round_.index)
            update = self.train(member, round_)
        return update

    def train(self, member: Member, round_: Round) -> PreparedUpdate | None:
        """Train and journal an update, unless one that missed its round will do. A model that
        others drove out of bounds, or whose own code raises, must not take this node's vote away
        too: it sits the round out, and says so when all is over.
        """
        if _situation(member, round_) in self._out:
            return None
        try:
            update = carried_over(self._federation, member, round_, self._journal, self.trainer)
            if update is None:
                update = self.trainer.prepare(self._federation, member, round_, self._journal)
        except FedNodeError as error:
            self.fail(member, round_, error)
            return None
        self.failures.pop(round_.index, None)
        self._journal.save_update(round_.index, update)
        return update

    # -- reveal

    def publish(self, member: Member, round_: Round) -> bool:
        """Publish this round's update once nobody can commit any more: until then it is the
        journal's secret.
        """
        replica, situation = self._federation.replica, _situation(member, round_)
        if round_.closed is None or self._published == situation:
            return False
        if self._unknown(member, round_):
            return False
        update = self._journal.fitting(
            round_.index, lambda kept: replica.committed(round_, member.index, kept.digest)
        )
        if update is None:
            return False
        done = self._journal.marked(round_.index, PUBLISHED) is not None
        if not done:
            # An own store that is slow must leave time for the others' bytes, and for a vote.
            with spending_part(1 / 4):
                self._federation.store.put(update.artefact)
            self._journal.mark(round_.index, PUBLISHED)
            log.info("published update %s", update.digest.hex()[:16])
        self._federation.hold(update.artefact)
        self._published = situation
        return not done


def _situation(member: Member, round_: Round) -> Situation:
    dataset, _ = member.dataset(round_.index)
    return round_.opening, round_.parent, member.index, dataset
