"""One federation as a node sees it: the chain's history, the policy in full, the model, and the
rules of a round.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from fednode.data.evaluation_set import EvaluationSet
from fednode.errors import FedNodeError
from fednode.evaluation.evaluator import open_evaluator
from fednode.models.layout import Layout
from fednode.policy import Policy, PolicyError, require_header
from fednode.rounds import FederationRules
from fednode.training.task import TrainingTask, layout_of, open_task
from ledger import artefacts
from ledger.chain.federations import Federations
from ledger.errors import MalformedRecord
from ledger.history import HistoryReader
from ledger.identity import ForgedIdentity, identity_artefact, read_identity
from ledger.replica import Origin, Replica
from ledger.round import Int32, Outcome, Published, Slot, Standing, compose
from ledger.state import Commit, FederationState, Phase, Round
from ledger.stores import BlockUnavailable, ContentStore
from ledger.types import Digest, FederationId


@dataclass(frozen=True, slots=True)
class Rulebook:
    """What a federation's policy comes to: everything that is computed from it and from public
    rows.
    """

    policy: Policy
    task: TrainingTask
    layout: Layout
    rules: FederationRules


def read_rulebook(replica: Replica, store: ContentStore, *, own: Collection[str] = ()) -> Rulebook:
    """Rebuild policy, model and rules from the records that the chain names.

    `own` names the users' model factories that may run here.
    """
    policy = Policy.from_record(replica.rest().get("policy"))
    task = open_task(policy.model_spec, own=own)
    layout = layout_of(task, policy.numeric_columns)
    require_header(policy, replica.policy, leaves=layout.leaves, coordinates=layout.writable)
    require_tolerance(policy, task)
    evaluator = None
    if replica.policy.evaluation:
        rows = EvaluationSet.fetch(store, replica.link("evaluation"), schema=policy.schema)
        evaluator = open_evaluator(
            task, layout, schema=policy.schema, rows=rows, metric=policy.evaluation.metric
        )
    return Rulebook(policy, task, layout, FederationRules(policy, replica.policy, evaluator))


def require_tolerance(policy: Policy, task: TrainingTask) -> None:
    """Refuse a policy that does not state the tolerance of its model's utilities."""
    stated, needed = policy.evaluation.utility_tolerance, task.utility_tolerance
    if stated != needed:
        raise PolicyError(
            "evaluation.utility_tolerance",
            f"{stated} ppm, but the model's utilities are "
            + (f"good to {needed} ppm: set it to {needed}" if needed else "exact: set it to 0"),
        )


class Federation:
    """A federation that a node takes part in, or only reads."""

    def __init__(
        self,
        contract: Federations,
        federation: FederationId,
        store: ContentStore,
        *,
        own: Collection[str] = (),
    ) -> None:
        self.chain = contract.chain
        self.contract = contract
        self.id = federation
        self.store = store
        self._held: dict[Digest, Published] = {}
        self._identities: set[Digest] = set()
        self.replica = self._open(confirmations=1)
        self.replica.refresh()
        self.rulebook = read_rulebook(self.replica, store, own=own)
        confirmations = self.policy.windows.confirmations
        if confirmations > 1:
            self.replica = self._open(confirmations=confirmations)

    @property
    def policy(self) -> Policy:
        """The federation's policy."""
        return self.rulebook.policy

    @property
    def state(self) -> FederationState:
        """The federation as of the last `refresh`."""
        return self.replica.state

    def refresh(self) -> FederationState:
        """Take in what has happened since the last call."""
        state = self.replica.refresh()
        if state.phase not in (Phase.PROPOSE, Phase.ATTEST):
            self._held.clear()
        return state

    def published(self, commit: Commit) -> Published:
        """Read what is behind a commit, as far as it can be had.

        What cannot change any more is kept until the round is over, not read again at every step.
        """
        found = self._held.get(commit.digest)
        if found is None:
            leaves = self.replica.policy.leaves
            found = artefacts.read_update(self.store, commit.digest, leaves)
            if found.final:
                self._held[commit.digest] = found
        return found

    def keep(self, round_: Round) -> None:
        """Keep a round's updates, as far as they could be had, in this node's own store, and with
        them who everybody is: authors need not stay for an audit to be possible.
        """
        leaves = self.replica.policy.leaves
        for commit in round_.commits:
            if self.published(commit).header is not None:
                self.store.put(artefacts.kept_update(self.store, commit.digest, leaves))
        for participant in self.state.participants:
            self._keep_identity(participant.identity)

    def _keep_identity(self, digest: Digest) -> None:
        if digest in self._identities:
            return
        try:
            self.store.put(identity_artefact(read_identity(self.store, digest)))
        except (BlockUnavailable, MalformedRecord, ForgedIdentity):
            return
        self._identities.add(digest)

    def compose(self, round_: Round, slots: list[Slot], *, stated: Sequence[int] = ()) -> Outcome:
        """Compute what a round comes to; `stated` are utilities that a proposed result holds."""
        context = self.replica.context(round_)
        rules = self.rulebook.rules.stating(stated)
        return compose(context, self.replica.standing(), slots, rules)

    def standing(self) -> Standing:
        """Give what the head leaves to the next round."""
        return self.replica.standing()

    def version(self, version: int) -> Int32:
        """Read a model version; the first that rows can be fed to is version 0."""
        height = self.height(version)
        if height == 0:
            return self.replica.initial_model()
        reader = self.replica.reader(self.state.lineage[height - 1])
        return reader.model(self.replica.policy.leaves)

    def height(self, version: int) -> int:
        """Give the height on the lineage of a model version's result; 0 = the initial model."""
        newest = self.state.training_index(len(self.state.lineage))
        if newest < 0:
            raise FedNodeError("there is no model version yet: no result has been accepted")
        if not 0 <= version <= newest:
            raise FedNodeError(f"model version {version} does not exist: the newest is {newest}")
        return version + (1 if self.replica.policy.statistics else 0)

    def released_version(self) -> int:
        """Give the model version that the policy releases: the last, or the first of those with the
        best utility.
        """
        trail = self.standing().trail
        if self.policy.release == "best" and trail:
            return trail.index(max(trail))
        return self.state.training_index(len(self.state.lineage))

    def _open(self, *, confirmations: int) -> Replica:
        reader = HistoryReader(
            self.chain,
            self.contract.address,
            self.id,
            confirmations=confirmations,
            senders=False,
        )
        origin = Origin(self.chain.chain_id, self.contract.address, self.id)
        return Replica(reader, self.store, origin=origin)
