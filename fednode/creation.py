"""Creating a federation: the records behind its policy, what a round will cost, the transaction."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fednode.ancestry import Ancestor
from fednode.data.evaluation_set import EvaluationSet
from fednode.evaluation.evaluator import open_evaluator
from fednode.evaluation.slices import LINK as SLICES
from fednode.evaluation.slices import SliceCommitment
from fednode.federation import read_rulebook, require_tolerance
from fednode.models.guard import model_code
from fednode.models.layout import Tensors
from fednode.models.pinning import LINK as SOURCE
from fednode.models.pinning import source_digest
from fednode.models.registry import is_own
from fednode.policy import Cost, Policy, PolicyError, predict, require_windows
from fednode.policy.document import NO_FEDERATION, require_leaves
from fednode.policy.worst import WorstCase, require_worst_case, worst_case
from fednode.training.task import TrainingTask, layout_of
from ledger import artefacts, cbor
from ledger.artefacts import raw, record
from ledger.chain.accounts import Account
from ledger.chain.federations import Federations
from ledger.chain.types import Receipt
from ledger.cid import CID
from ledger.errors import MalformedRecord
from ledger.headers import PolicyHeader, ResultHeader
from ledger.payload import LEAF_SIZE, Payload, fetch, pad
from ledger.replica import LOCKED
from ledger.round import Int32
from ledger.stores import Artefact, ContentStore, MemoryStore
from ledger.types import ZERO_DIGEST, Address, Digest, FederationId

SLICES_MISSING = (
    "--slices is missing: let the holder run `fednode data evaluation`, and give the root that it "
    "prints"
)


@dataclass(frozen=True, slots=True)
class Plan:
    """A federation that is ready to be created: its header, the records behind it, its cost, and
    what its windows must hold.
    """

    header: PolicyHeader
    artefact: Artefact
    cost: Cost
    worst: WorstCase
    ancestor: ResultHeader | None = None


def plan(
    policy: Policy,
    task: TrainingTask,
    evaluation: EvaluationSet | None,
    *,
    chain_id: int,
    ledger: Address,
    ancestor: Ancestor | None = None,
    slices: SliceCommitment | None = None,
) -> Plan:
    """Make the records of a policy; refuse one whose windows cannot hold its rounds.

    `evaluation` are the rows that are public, `slices` what is promised of those that are not.
    """
    require_tolerance(policy, task)
    _require_slices(policy, slices)
    layout = layout_of(task, policy.numeric_columns)
    require_leaves(layout.leaves)
    model = layout.pack(_initial(policy, task)) if ancestor is None else ancestor.model
    initial = Payload(pad(model, layout.leaves))
    cost = predict(
        policy,
        seconds_per_evaluation=_measure(policy, task, evaluation, model),
        leaves=layout.leaves,
    )
    require_windows(policy, cost)
    worst = worst_case(policy, cost, leaves=layout.leaves)
    require_worst_case(policy, worst)
    parts = [initial.artefact()]
    links: dict[str, cbor.Value] = {"initial": parts[0].roots[0]}
    if evaluation is not None:
        parts.append(evaluation.artefact())
        links["evaluation"] = parts[1].roots[0]
    if slices is not None:
        links[SLICES] = slices.record()
    if ancestor is not None and policy.statistics:
        links[LOCKED] = policy.statistics
    if is_own(policy.task.model):
        links[SOURCE] = source_digest(policy.task.model)
    rest = record({"policy": policy.rest_record(), **links})
    header = policy.header(
        chain_id,
        ledger,
        initial_model_root=initial.root,
        rest=rest[0].digest,
        leaves=layout.leaves,
        coordinates=layout.writable,
        ancestor=NO_FEDERATION if ancestor is None else ancestor.federation,
        parent=ZERO_DIGEST if ancestor is None else ancestor.header.digest(),
    )
    head = raw(header.encode())
    own = Artefact((head[0], rest[0]), dict([head, rest]))
    whole = own.merge(*parts)
    require_readable(policy, header, whole)
    return Plan(header, whole, cost, worst, ancestor.header if ancestor else None)


@dataclass(frozen=True, slots=True)
class _Published:
    """The records of a federation that is yet to be created, as every node will read them."""

    policy: PolicyHeader
    store: ContentStore

    def rest(self) -> Mapping[str, cbor.Value]:
        rest = artefacts.read_record(self.store, self.policy.rest)
        if not isinstance(rest, Mapping):
            raise MalformedRecord("policy", "its rest is not a map")
        return rest

    def link(self, name: str) -> Digest:
        cid = self.rest().get(name)
        if not isinstance(cid, CID):
            raise MalformedRecord("policy", f"its rest has no link {name!r}")
        return cid.digest


def require_readable(policy: Policy, header: PolicyHeader, artefact: Artefact) -> None:
    """Read records back as every node will, before anything is paid for them.

    Raise PolicyError or MalformedRecord where a node could not, or would read something else.
    """
    store = MemoryStore()
    store.put(artefact)
    found = _Published(artefacts.read_policy(store, header.digest()), store)
    own = (policy.task.model,) if is_own(policy.task.model) else ()
    if read_rulebook(found, store, own=own).policy != policy or found.policy != header:
        raise PolicyError("policy", "another policy comes back from its records")
    size = header.leaves * LEAF_SIZE
    initial = Payload(fetch(store, found.link("initial"), size))
    if initial.root != header.initial_model_root:
        raise MalformedRecord("initial model", "another one comes back from its blocks")


def create(
    contract: Federations,
    account: Account,
    planned: Plan,
    store: ContentStore,
    *,
    salt: Digest = ZERO_DIGEST,
) -> tuple[FederationId, Receipt]:
    """Publish the records, then create the federation and fund its pool."""
    store.put(planned.artefact)
    return contract.create(account, planned.header, salt=salt, ancestor=planned.ancestor)


def _initial(policy: Policy, task: TrainingTask) -> Tensors:
    """Give the travelling tensors at the start; the statistics are zero until the first result."""
    layout = layout_of(task, policy.numeric_columns)
    zero = {spec.name: np.zeros(spec.shape, dtype=np.int32) for spec in layout.payload}
    with model_code("making its first tensors"):
        return {**zero, **task.initial(policy.training.seed)}


def _require_slices(policy: Policy, slices: SliceCommitment | None) -> None:
    mode = policy.evaluation.mode
    if mode == "slices" and slices is None:
        raise PolicyError("evaluation.mode", f"is {mode!r}: {SLICES_MISSING}")
    if mode != "slices" and slices is not None:
        raise PolicyError(
            "evaluation.mode",
            f"is {mode!r}, and --slices is for a policy in mode 'slices' alone: leave it out",
        )


def _blank(policy: Policy) -> EvaluationSet:
    """Make as many rows as anybody measures on at a time."""
    rows, schema = policy.evaluation.rows, policy.schema
    labels = np.arange(rows, dtype=np.int64) % schema.classes
    features = np.zeros((rows, *schema.shape), dtype=np.int32)
    return EvaluationSet(features, labels, np.zeros(rows, dtype=np.int64))


def _measure(
    policy: Policy,
    task: TrainingTask,
    evaluation: EvaluationSet | None,
    model: Int32,
) -> float:
    """Time the measurement of one model on this machine, in seconds. What others keep back takes
    as long as any rows.
    """
    if policy.evaluation.mode == "none":
        return 0.0
    evaluation = evaluation or _blank(policy)
    evaluator = open_evaluator(
        task,
        layout_of(task, policy.numeric_columns),
        schema=policy.schema,
        rows=evaluation,
        metric=policy.evaluation.metric,
    )
    evaluator.utilities([model])
    start = time.perf_counter()
    evaluator.utilities([model, model])
    return (time.perf_counter() - start) / 2
