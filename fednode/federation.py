"""One federation as a node sees it: the chain's history, the policy in full, the model, and the
rules of a round.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from math import inf
from typing import Protocol

from fednode.data.evaluation_set import EvaluationSet
from fednode.errors import FedNodeError
from fednode.evaluation.evaluator import Evaluator, open_evaluator
from fednode.evaluation.opener import Opener
from fednode.evaluation.slices import LINK as SLICES
from fednode.evaluation.slices import SliceCommitment, SliceTree
from fednode.honouring import Honouring
from fednode.models.errors import OwnModelError
from fednode.models.layout import Layout
from fednode.models.pinning import LINK as SOURCE
from fednode.models.pinning import require_pinned
from fednode.models.registry import is_own
from fednode.names import KnownNames
from fednode.policy import Policy, PolicyError, require_header
from fednode.policy.document import NO_FEDERATION
from fednode.rounds import FederationRules
from fednode.strangers import Identities
from fednode.training.task import TrainingTask, layout_of, open_task
from ledger import artefacts, cbor
from ledger.chain.federations import Federations
from ledger.cid import CID, Codec
from ledger.headers import PolicyHeader
from ledger.history import HeadBehind, HistoryReader, LogsBehind
from ledger.proceedings import Commit, Proposal, Round
from ledger.replica import LOCKED, PAUSES, Origin, Replica, UnknownFederation
from ledger.round import Int32, Outcome, Published, Slot, Standing, compose, deciding
from ledger.sealing import CLEAR, NO_KEYS, Content, NotForUs, Vault
from ledger.slots import batch_of
from ledger.state import FederationState, Phase
from ledger.stores import (
    Artefact,
    AtHandStore,
    BlockUnavailable,
    Budget,
    BudgetedStore,
    ContentStore,
    CountingStore,
    LocalStore,
    RecordingStore,
    StoreUnreachable,
)
from ledger.stores.budget import current, in_turns, spending, spending_part
from ledger.types import ZERO_DIGEST, Digest, FederationId

log = logging.getLogger("fednode")

FETCHERS = 64
"""Updates that are fetched at a time."""
BEHIND = 3
"""Looks in a row at a chain's node that is behind before that is worth a warning."""
LONGEST_REST = 16
"""Looks that are left out, at the most, before a node that stays behind is asked again."""
BESIDE = 6
"""Records of strangers that are fetched at a time, or looked for in the store."""
KEPT_AT_ONCE = 32 << 20
"""Bytes that are handed to the store at a time."""


@dataclass(frozen=True, slots=True)
class Rulebook:
    """What a federation's policy comes to: everything that is computed from it and from public
    rows.
    """

    policy: Policy
    task: TrainingTask
    layout: Layout
    rules: FederationRules
    measuring: Callable[[EvaluationSet], Evaluator]
    opener: Opener | None = None


class PolicyRecords(Protocol):
    """A policy's header and the records behind it."""

    @property
    def policy(self) -> PolicyHeader:
        """The header."""

    def rest(self) -> Mapping[str, cbor.Value]:
        """Give the part of the policy that the contract does not enforce."""

    def link(self, name: str) -> Digest:
        """Give a digest that the rest of the policy links to."""


def read_rulebook(
    replica: PolicyRecords, store: ContentStore, *, own: Collection[str] = ()
) -> Rulebook:
    """Rebuild policy, model and rules from the records that the chain names.

    `own` names the users' model factories that may run here.
    """
    policy = Policy.from_record(replica.rest().get("policy"))
    require_pinned(policy.task.model, replica.rest().get(SOURCE), own)
    task = open_task(policy.model_spec, own=own)
    layout = layout_of(task, policy.numeric_columns)
    with _naming_own_model(policy):
        require_header(policy, replica.policy, leaves=layout.leaves, coordinates=layout.writable)
        require_tolerance(policy, task)
    _require_locked(policy, replica)

    def measuring(rows: EvaluationSet) -> Evaluator:
        metric = policy.evaluation.metric
        return open_evaluator(task, layout, schema=policy.schema, rows=rows, metric=metric)

    evaluator, opener = None, None
    if policy.evaluation.mode == "public":
        rows = EvaluationSet.fetch(store, replica.link("evaluation"), schema=policy.schema)
        evaluator = measuring(rows)
    elif policy.evaluation.mode == "slices":
        promised = SliceCommitment.from_record(replica.rest().get(SLICES))
        opener = Opener(SliceTree(promised, policy.slices, policy.schema), measuring)
    rules = FederationRules(policy, replica.policy, evaluator, opener=opener)
    return Rulebook(policy, task, layout, rules, measuring, opener)


def _require_locked(policy: Policy, replica: PolicyRecords) -> None:
    """Refuse a federation with an ancestor that may change what this one has settled: statistics
    are summed once, so that no difference of two sums shows a row.
    """
    inherits = replica.policy.ancestor != NO_FEDERATION
    expected, found = policy.statistics if inherits else 0, replica.rest().get(LOCKED, 0)
    if type(found) is not int or found != expected:
        raise PolicyError(
            LOCKED,
            f"{expected} coordinates of its ancestor's statistics must not change, and its record "
            f"says {found}: do not join this one",
        )


@contextmanager
def _naming_own_model(policy: Policy) -> Iterator[None]:
    """Say that it is this machine's model which does not fit the policy, where it is a user's own:
    its pinned code was good when the federation was created.
    """
    try:
        yield
    except PolicyError as error:
        if is_own(policy.task.model) and error.key in OF_THE_MODEL:
            raise OwnModelError(
                error.key, f"{policy.task.model!r} makes others here: {error}"
            ) from error
        raise


OF_THE_MODEL = ("header.leaves", "header.coordinates", "evaluation.utility_tolerance")


def require_tolerance(policy: Policy, task: TrainingTask) -> None:
    """Refuse a policy that does not state the tolerance of its model's utilities."""
    stated, needed = policy.evaluation.utility_tolerance, task.utility_tolerance
    if stated != needed:
        raise PolicyError(
            "evaluation.utility_tolerance",
            f"{stated} ppm, but the model's utilities are "
            + (f"good to {needed} ppm: set it to {needed}" if needed else "exact: set it to 0"),
        )


class Unconfirmed(FedNodeError):
    """A federation that was created a moment ago."""

    def __init__(self, federation: FederationId, has: int, needs: int) -> None:
        self.federation = federation
        self.missing = max(1, needs - has)
        super().__init__(
            f"federation {federation.hex()} has {has} of the {needs} confirmations that its policy "
            f"asks for: try again when {self.missing} more blocks have been made"
        )


class Federation:
    """A federation that a node takes part in, or only reads, with the keys of its vault."""

    def __init__(
        self,
        contract: Federations,
        federation: FederationId,
        store: ContentStore,
        *,
        own: Collection[str] = (),
        vault: Vault = NO_KEYS,
    ) -> None:
        self.chain = contract.chain
        self.contract = contract
        self.id = federation
        self._at_hand = AtHandStore(BudgetedStore(store))
        self.store = CountingStore(self._at_hand)
        self._vault = vault
        self._held: dict[Digest, tuple[Published, Artefact]] = {}
        self._opened: tuple[tuple[Digest, Digest], FederationRules] | None = None
        self._fetchers = ThreadPoolExecutor(FETCHERS)
        # What strangers name must not take the places of what a round needs.
        beside = ThreadPoolExecutor(BESIDE)
        self._honouring = Honouring(self._at_hand, beside)
        self._names = KnownNames()
        self._identities = Identities(store, beside)
        self._behind = 0
        self._resting = 0
        self.replica = self._open(confirmations=1)
        self.whole()
        self.rulebook = read_rulebook(self.replica, self.store, own=own)
        self._wait_for(self.policy.windows.confirmations)

    @property
    def policy(self) -> Policy:
        """The federation's policy."""
        return self.rulebook.policy

    @property
    def state(self) -> FederationState:
        """The federation as of the last `refresh`."""
        return self.replica.state

    @property
    def lag(self) -> LogsBehind | HeadBehind | None:
        """What the chain's node has not shown (yet). While it is not None an event that is absent
        may have happened all the same.
        """
        return self.replica.lag

    def refresh(self) -> FederationState:
        """Take in what has happened since the last call, as far as the chain's node shows it.

        A node that stays behind is asked at growing intervals, and a warning says what lags.
        """
        if self._resting:
            self._resting -= 1
            return self.state
        state = self.replica.refresh()
        self._behind = 0 if self.lag is None else self._behind + 1
        if self._behind >= BEHIND:
            self._resting = min(LONGEST_REST, 2 ** min(self._behind - BEHIND, 8) - 1)
        if self._behind == BEHIND:
            log.warning("%s", self.lag)
        if state.phase not in (Phase.PROPOSE, Phase.ATTEST):
            self._held.clear()
        return state

    def hold(self, artefact: Artefact) -> None:
        """Hold in memory what this node has made or verified: a store that stops answering keeps it
        from nothing that builds on that.
        """
        self._at_hand.hold(artefact)

    def waiting(self, most: float = inf) -> AbstractContextManager[Budget]:
        """Let all that is fetched or put inside wait for `windows.fetch` seconds together, or for
        `most`. It is at most a quarter of what is left of the phase: there must be time for what it
        is needed for.
        """
        seconds = min(most, float(self.policy.windows.patience))
        end = self.state.phase_deadline
        if end is not None:
            seconds = min(seconds, max(0, end - self.chain.now()) / 4)
        return spending(Budget(seconds))

    def at_once(self, *tasks: Callable[[], object]) -> None:
        """Run tasks at the same time, on the same budget. What one raises is raised again when its
        work is asked for.
        """
        with ThreadPoolExecutor(len(tasks)) as pool:
            wait([pool.submit(copy_context().run, task) for task in tasks])

    def whole(self) -> FederationState:
        """Take in all that has happened, for what rests on the absence of an event. Wait for a
        chain's node that is behind; raise LogsBehind or HeadBehind if it stays behind.
        """
        self._resting = 0
        return self.replica.whole(self._rest)

    def _rest(self, pause: float) -> None:
        if pause == PAUSES[BEHIND - 1]:
            log.warning("%s", self.lag)
        self.chain.rest(pause)

    def honour(self) -> bool:
        """Go on with letting go of what participants have erased by declaration, for when nothing
        else is due; say whether more is to come.
        """
        return self._honouring.step(self.replica)

    def gather(self) -> bool:
        """Go on with keeping who participants say they are, for when nothing else is due; say
        whether any record is coming.
        """
        return self._identities.step(self.state)

    def names(self) -> dict[int, str]:
        """Give the names that participants have signed, as far as the node's own store had them:
        `gather` puts them there.
        """
        return self._names.read(self.state.participants, LocalStore(self.store))

    def slots(self, round_: Round, known: Sequence[Slot] = ()) -> list[Slot]:
        """Read all that a round is made from, as far as it can be had. What is there of the `known`
        slots is not read again.
        """
        return self.filled(round_, self.claims(round_), known)

    def claims(self, round_: Round) -> list[Slot]:
        """List a round's slots. A batch that is kept back must leave time for the updates."""
        with spending_part(1 / 4):
            return self.replica.claims(round_)

    def filled(
        self, round_: Round, claims: Sequence[Slot], known: Sequence[Slot] = ()
    ) -> list[Slot]:
        """Put what was published beside the slots that it decides."""
        slots = list(claims)
        for place, slot in self.arriving(round_, claims, known):
            slots[place] = slot
        return slots

    def arriving(
        self, round_: Round, claims: Sequence[Slot], known: Sequence[Slot] = ()
    ) -> Iterator[tuple[int, Slot]]:
        """Fetch the updates that a round is made from, and give each slot by its place as its
        update arrives. What is there of the `known` slots is not fetched again.
        """
        there = {slot.digest: slot.published for slot in known if slot.published.final}
        decide = {at: claims[at] for at in deciding(claims, round_.batched)}
        for place, slot in decide.items():
            if slot.digest in there:
                yield place, replace(slot, published=there[slot.digest])
        lacking = {at: slot for at, slot in decide.items() if slot.digest not in there}
        for place, (found, _) in self._fetched(lacking):
            yield place, replace(claims[place], published=found)

    def _fetched(
        self, decide: Mapping[int, Slot]
    ) -> Iterator[tuple[int, tuple[Published, Artefact]]]:
        """Fetch updates by their places, all at once. One that is missing takes long to be missed:
        whoever withholds many must not keep the others' from being held in time.
        """
        held = {
            at: self._held[slot.digest] for at, slot in decide.items() if slot.digest in self._held
        }
        coming = {
            at: partial(self._gathered, slot) for at, slot in decide.items() if at not in held
        }
        yield from held.items()
        yield from in_turns(
            self._fetchers, coming, at_once=FETCHERS, done=lambda gathered: gathered[0].final
        )

    def published(self, commit: Commit | Slot) -> Published:
        """Read what is behind a commit, as far as it can be had.

        What cannot change any more is kept until the round is over, not read again at every step.
        """
        return self._gathered(commit)[0]

    def _gathered(self, commit: Commit | Slot) -> tuple[Published, Artefact]:
        gathered = self._held.get(commit.digest)
        if gathered is None:
            leaves = self.replica.policy.leaves
            access = self.replica.access(self.state.round)
            gathered = artefacts.gather_update(
                self.store, commit.digest, leaves, access, locked=self.replica.locked()
            )
            if gathered[0].final:
                self._held[commit.digest] = gathered
        return gathered

    def parts(self, round_: Round) -> list[Artefact]:
        """Give a round's batch, slice and updates, as far as this node has them. It keeps them:
        relay, holder and authors need not stay for an audit to be possible. Nothing is fetched.
        """
        here = LocalStore(self.store)
        parts = chain(self._batch(round_, here), self._updates(round_, here))
        found = list(_joined(chain(parts, self._slice(round_, here))))
        budget = current()
        if budget is not None and not budget.left:
            # What did not come in time looks as if it were not here.
            raise StoreUnreachable("the content store", "it does not give what is kept in time")
        return found

    def _batch(self, round_: Round, here: ContentStore) -> Iterator[Artefact]:
        recording = RecordingStore(here)
        batch = batch_of(recording, round_)
        if batch is not None:
            whole = bool(batch.blocks) and None not in batch.blocks
            yield _recorded(recording, whole=whole)

    def _updates(self, round_: Round, here: ContentStore) -> Iterator[Artefact]:
        claims, access = self.replica.claims(round_, here), self.replica.access(round_)
        locked = self.replica.locked()
        for place in deciding(claims, round_.batched):
            digest, leaves = claims[place].digest, self.replica.policy.leaves
            gathered = self._held.get(digest)
            with suppress(NotForUs):
                gathered = gathered or artefacts.gather_update(
                    here, digest, leaves, access, locked=locked
                )
            if gathered is not None and gathered[0].header is not None:
                yield gathered[1]

    def _slice(self, round_: Round, here: ContentStore) -> Iterator[Artefact]:
        if self.announced(round_) is None:
            return
        recording = RecordingStore(here)
        with suppress(BlockUnavailable):
            rules = self.rulebook.rules.opening(self.replica.context(round_), recording)
            yield _recorded(recording, whole=rules.measures)

    def published_result(self, round_: Round, proposal: Proposal) -> Future[Artefact]:
        """Fetch a published result, all of it, beside whatever else is done."""
        access, leaves = self.replica.access(round_), self.replica.policy.leaves
        recording = RecordingStore(self.store)

        def fetched() -> Artefact:
            reader = artefacts.ResultReader(
                recording, proposal.result, proposal.index, access, participants=round_.known
            )
            reader.check_all(leaves, round_.slots)
            head = CID(Codec.RAW, proposal.result)
            return Artefact((head, CID(Codec.DAG_CBOR, proposal.index)), recording.blocks)

        return self._fetchers.submit(fetched)

    def announced(self, round_: Round) -> Digest | None:
        """Give the slice that its holder announced for a round."""
        opener = self.rulebook.opener
        return None if opener is None else opener.announced(self.replica.context(round_))

    def opened(self, round_: Round) -> FederationRules | None:
        """Give the rules that measure a round, its slice opened where there are slices; None while
        the slice may still come.
        """
        opener, rules = self.rulebook.opener, self.rulebook.rules
        context = self.replica.context(round_)
        if opener is None or context.statistics:
            return rules
        digest = opener.announced(context)
        if digest is None:
            assert round_.closed is not None
            return rules if self.chain.now() >= round_.closed.reveal_deadline else None
        if self._opened is None or self._opened[0] != (round_.opening, digest):
            try:
                # A slice that is kept back must leave time for the updates.
                with spending_part(1 / 4):
                    opened = rules.opening(context, self.store)
            except BlockUnavailable:
                return None
            self._opened = ((round_.opening, digest), opened)
        return self._opened[1]

    def compose(
        self,
        round_: Round,
        slots: list[Slot],
        *,
        stated: Sequence[int] = (),
        content: Content = CLEAR,
        unopened: bool = False,
    ) -> Outcome:
        """Compute what a round comes to, with what can be had now; `stated` are utilities that a
        proposed result holds, `content` is what the result is sealed with. `unopened`: as if its
        slice had not been opened in time.
        """
        context, rules = self.replica.context(round_), self.rulebook.rules
        if not unopened:
            rules = self.opened(round_) or rules
        return compose(context, self.replica.standing(), slots, rules.stating(stated), content)

    def bundle(self, outcome: Outcome) -> tuple[Artefact, Digest]:
        """Give a result's blocks and the digest of its index."""
        parent = self.replica.secret() if outcome.content.envelope else b""
        return artefacts.result_artefact(outcome, parent=parent)

    def concede(
        self,
        round_: Round,
        slots: list[Slot],
        *,
        utilities: Sequence[int] | None,
        stop: bool,
        content: Content,
    ) -> Outcome:
        """Compute what an earlier or the current round comes to, given what only votes decide, as
        far as it is known.
        """
        context = self.replica.context(round_)
        parents = [ZERO_DIGEST, *(accepted.result for accepted in self.state.lineage)]
        standing = self.replica.standing(parents.index(round_.parent))
        rules = self.rulebook.rules.granting(utilities, stop=stop)
        return compose(context, standing, slots, rules, content)

    def standing(self) -> Standing:
        """Give what the head leaves to the next round."""
        return self.replica.standing()

    def version(self, version: int) -> Int32:
        """Read a model version; the first that rows can be fed to is version 0."""
        return self.replica.model(self.height(version))

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
        best utility. By shards a version is measured one result later.
        """
        return released(self.policy, self.state, self.standing().trail)

    def _wait_for(self, confirmations: int) -> None:
        """From here on believe what has the policy's confirmations, and nothing else."""
        created = self.state.created
        if confirmations == 1 or created is None:
            return
        self.replica = self._open(confirmations=confirmations)
        try:
            self.whole()
        except UnknownFederation:
            has = self.chain.block_number() - created.meta.block_number + 1
            raise Unconfirmed(self.id, has, confirmations) from None

    def _open(self, *, confirmations: int) -> Replica:
        reader = HistoryReader(
            self.chain,
            self.contract.address,
            self.id,
            confirmations=confirmations,
            begins=self.contract.first_block,
            senders=False,
        )
        origin = Origin(self.chain.chain_id, self.contract.address, self.id)
        return Replica(reader, self.store, origin=origin, vault=self._vault)


def released(policy: Policy, state: FederationState, trail: Sequence[int]) -> int:
    """Give the model version that a policy releases, given the utilities so far."""
    if policy.release == "best" and trail:
        late = policy.evaluation.mode == "shards"
        return max(trail.index(max(trail)) - late, 0)
    return state.training_index(len(state.lineage))


def _recorded(recording: RecordingStore, *, whole: bool) -> Artefact:
    """Bundle what was read. Only of a record that is what it should be the links are followed: a
    store that keeps a stranger's other record would look for whatever that links to.
    """
    codec = Codec.DAG_CBOR if whole else Codec.RAW
    roots = tuple(cid for cid in recording.blocks if cid.codec is codec)
    return Artefact(roots, recording.blocks)


def _joined(artefacts: Iterable[Artefact]) -> Iterator[Artefact]:
    """Join artefacts into a few of some MiB: a store waits for the disk each time it is given one.
    What could not be had has no roots, and is left out.
    """
    waiting: list[Artefact] = []
    size = 0
    for artefact in artefacts:
        if artefact.roots:
            waiting.append(artefact)
            size += sum(map(len, artefact.blocks.values()))
        if size >= KEPT_AT_ONCE:
            yield waiting[0].merge(*waiting[1:])
            waiting, size = [], 0
    if waiting:
        yield waiting[0].merge(*waiting[1:])
