"""What a round comes to, as one pure function of its inputs: the proposer, every voter and every
auditor call it.

`compose` is total: whatever bytes the participants published, it gives a result. The steps that a
federation's policy chooses (how to select, aggregate, value and reward) come in as `Rules`; the
trees and the header are made here, from integers alone, so the same inputs give the same digest on
every machine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ledger import nodes, payload, payouts, utilities
from ledger.errors import MalformedRecord
from ledger.headers import Common, Evaluation, PolicyHeader, ResultHeader, UpdateHeader
from ledger.nodes import Entry, Reason
from ledger.payload import Payload
from ledger.sealing import CLEAR, Content
from ledger.stores.base import ContentStore
from ledger.types import ZERO_DIGEST, Address, Digest, FederationId, RoundIndex

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Seat:
    """A participant as a round sees it: its weight, its scale, and the data set it may name."""

    weight: int
    scale: int
    dataset: int


@dataclass(frozen=True, slots=True)
class RoundContext:
    """What the chain says about a round before anybody's bytes are read.

    `bases` are the results that an update may be trained from, the parent first; zero is the
    initial model. The first `batched` slots are the batch's leaves. `slice_number` is the slice of
    evaluation rows that is the round's own, `slices` what was announced as it, by account; of each
    account the first.
    """

    chain_id: int
    ledger: Address
    federation: FederationId
    policy: PolicyHeader
    round: RoundIndex
    parent: Digest
    seats: tuple[Seat, ...]
    bases: tuple[Digest, ...]
    batched: int = 0
    slice_number: int = 0
    slices: Mapping[Address, Digest] = field(default_factory=dict)

    @property
    def by_shards(self) -> bool:
        """Whether the updates carry what their owners counted for the round before."""
        return self.policy.evaluation == Evaluation.SHARDS

    @property
    def statistics(self) -> bool:
        """Whether the round gathers the federation's statistics instead of training."""
        return self.policy.statistics > 0 and self.parent == ZERO_DIGEST

    def common(self, tag: bytes) -> Common:
        """Give what every header of this round starts with."""
        return Common(
            tag=Digest(tag),
            chain_id=self.chain_id,
            ledger=self.ledger,
            federation=self.federation,
            round=self.round,
            parent=self.parent,
        )

    def allows(self, header: UpdateHeader, participant: int) -> bool:
        """Whether an update's header is one that a participant can commit to in this round: of the
        whole header only what it says of its owner's bytes is not compared.
        """
        return (
            header.common == self.common(UpdateHeader.TAG)
            and header.participant == participant < len(self.seats)
            and header.base in self.bases
            and header.dataset == self.seats[participant].dataset
        )

    def update_header(
        self,
        participant: int,
        data: Payload,
        *,
        training: Digest = ZERO_DIGEST,
        evaluation: Digest = ZERO_DIGEST,
    ) -> UpdateHeader:
        """Make the header of an update that was trained from the parent."""
        return UpdateHeader(
            common=self.common(UpdateHeader.TAG),
            participant=participant,
            base=self.parent,
            payload_root=data.root,
            dataset=self.seats[participant].dataset,
            index=data.index_digest,
            training=training,
            evaluation=evaluation,
        )


class Published(NamedTuple):
    """The bytes behind a slot's digest: None where they cannot be had. `hopeless` = what was
    published instead shows that waiting for them is in vain; `evaluation` is the evaluation record
    that the header names, if it names one. `bare` is the payload of an update that lacks something
    else, and so counts as unavailable. `fault` says what is wrong with what was published.
    """

    header: bytes | None
    payload: Payload | None
    hopeless: bool = False
    evaluation: bytes | None = None
    bare: Payload | None = None
    fault: str = ""

    @property
    def final(self) -> bool:
        """Whether waiting longer can change nothing."""
        return self.payload is not None or self.hopeless


NOTHING = Published(None, None)


@dataclass(frozen=True, slots=True)
class Slot:
    """A commit and what was published for it.

    A leaf of the batch may bind nobody; `unbound` then says why: UNSIGNED, or MISSING.
    """

    participant: int
    digest: Digest
    published: Published = NOTHING
    unbound: Reason | None = None

    @classmethod
    def unsigned(cls, participant: int, digest: Digest) -> Self:
        """Make a slot of a leaf that its participant, if there is one, did not sign."""
        return cls(participant, digest, unbound=Reason.UNSIGNED)

    @classmethod
    def missing(cls) -> Self:
        """Make a slot of a leaf that cannot be had."""
        return cls(0, ZERO_DIGEST, unbound=Reason.MISSING)


class Exclusion(NamedTuple):
    """Why an update does not count, and at which coordinate that shows."""

    reason: Reason
    position: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """What a result leaves to the next round.

    `model` is the canonical state (int32, L * 256 values); `values` are sums over the reward period
    so far, over 27720; `paid` are the payouts at the end of the period before; `trained` counts the
    training results, `players` those whose updates count in the newest one.

    `trail` starts with the utility of the first model, as it was first measured, and adds to it
    what each training result gained. Every gain is measured on one set of rows, so nothing compares
    utilities of different slices or shards.
    """

    model: Int32
    gain: int
    values: tuple[int, ...]
    paid: tuple[int, ...]
    trail: tuple[int, ...]
    trained: int
    players: tuple[int, ...] = ()

    def widened(self, participants: int) -> "Standing":
        """Give the standing with a place for everyone who has joined since."""
        return replace(
            self,
            values=_padded(self.values, participants),
            paid=_padded(self.paid, participants),
        )


@dataclass(frozen=True, slots=True)
class Records:
    """What a result says beside its model: the header and the lists that it commits to."""

    header: ResultHeader
    utilities: tuple[int, ...]
    values: tuple[payouts.ValueLeaf, ...]
    payouts: tuple[payouts.PayoutLeaf, ...]


class SummedRule(Protocol):
    """An aggregation rule that needs the weighted sum of the updates alone."""

    def partial_sums(self, updates: Sequence[Int32], weights: Sequence[int]) -> Int64:
        """Add up weighted updates."""

    def step(self, previous: Int32, sums: Int64, weight: int) -> Int32:
        """Give the new model from the previous one and the sums of all counted updates."""


class Rules(Protocol):
    """The steps of a round that a federation's policy chooses. All are total and work on
    integers.
    """

    @property
    def measures(self) -> bool:
        """Whether models can be measured by these rules; by slices, only on an opened one."""

    @property
    def summed(self) -> SummedRule | None:
        """The aggregation rule, if a tree of partial sums leads to the new model."""

    def stating(self, utilities: Sequence[int]) -> "Rules":
        """Give rules under which a result's utilities stand if measuring them again agrees."""

    def select(self, context: RoundContext, update: Int32) -> Exclusion | None:
        """Say why an update does not count, if it does not."""

    def aggregate(self, previous: Int32, updates: Sequence[Int32], weights: Sequence[int]) -> Int32:
        """Give the new model from the previous one and all counted updates."""

    def utilities(
        self, context: RoundContext, standing: Standing, model: Int32, players: "Players"
    ) -> tuple[int, ...]:
        """Measure the coalitions that the policy asks for; nothing where it measures nothing.

        The first utility is that of the model before the round, the last that of the model after
        it.
        """

    def coalitions(self, trained: int, players: int) -> Sequence[int]:
        """List the coalitions of a round's players whose utilities are on record, as bit masks in
        the record's order; `trained` results came before it.
        """

    def opening(self, context: RoundContext, store: ContentStore) -> "Rules":
        """Give rules that measure on the slice which was opened for the round, where there are
        slices. What was opened and is not the round's slice measures nothing; BlockUnavailable: it
        cannot be had.
        """

    def counted(
        self, context: RoundContext, standing: Standing, reports: Mapping[int, bytes]
    ) -> tuple[int, ...]:
        """Give the utilities of the coalitions of the standing's players from evaluation records,
        by participant; nothing where they are too few.
        """

    def values(self, utilities: Sequence[int], players: int, trained: int) -> tuple[int, ...]:
        """Give each player's value in a round, over 27720, from the utilities alone."""

    def scores(self, values: Sequence[int], scales: Sequence[int]) -> tuple[int, ...]:
        """Turn values summed over a period into scores."""

    def released(self, base: int, gain: int, scores: Sequence[int]) -> int:
        """Give the amount that a period releases."""

    def split(self, released: int, scores: Sequence[int]) -> tuple[int, ...]:
        """Split an amount by scores; the parts sum to it exactly."""

    def stop(self, trail: Sequence[int]) -> bool:
        """Say whether training ends with the newest utility of a trail."""


class Players(NamedTuple):
    """The counted updates in ascending order of their participants."""

    participants: tuple[int, ...]
    updates: tuple[Int32, ...]
    weights: tuple[int, ...]


class Judged(NamedTuple):
    """What each slot comes to, and, beside it, the update where it counts."""

    entries: Sequence[Entry]
    updates: Sequence[Int32 | None]


class Measured(NamedTuple):
    """The utilities of some players' coalitions in a training round, `trained` results after the
    start; none where nothing was measured.
    """

    players: tuple[int, ...]
    trained: int
    utilities: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A result with everything that it commits to. `sums` are the nodes' payloads, level by level,
    where the aggregation rule needs sums; `content` is what all of it is sealed with.
    """

    records: Records
    levels: nodes.Levels
    sums: tuple[bytes, ...]
    model: Int32
    content: Content = CLEAR

    @property
    def header(self) -> ResultHeader:
        """The result's header."""
        return self.records.header


def compose(
    context: RoundContext,
    standing: Standing,
    slots: Sequence[Slot],
    rules: Rules,
    content: Content = CLEAR,
) -> Outcome:
    """Compute what a round comes to from the result before it and the published updates, in slot
    order. The roots of a sealed result depend on its content key.
    """
    judged = judge(context, slots, rules)
    carried = _carried(context, standing, rules, slots, judged.entries)
    if carried is not None and last(context, standing, rules, carried):
        judged = idle(judged)
    else:
        judged = enough(context, judged)
    players = players_of(judged)
    levels, sums = _sum_up(context, judged, rules.summed, content)
    model = _step(rules, standing.model, players, sums)
    measured = carried
    if measured is None:
        measured = measure(context, standing, rules, model, players)
    return conclude(context, standing, Made(levels, sums, model, content), measured, rules)


class Made(NamedTuple):
    """What the updates of a round came to: nodes with their sums, and the model."""

    levels: nodes.Levels
    sums: tuple[bytes, ...]
    model: Int32
    content: Content


def conclude(
    context: RoundContext, standing: Standing, made: Made, measured: Measured, rules: Rules
) -> Outcome:
    """Value and pay the players by what was measured, and commit to all of it."""
    standing = standing.widened(len(context.seats))
    levels, sums, model, content = made
    top = levels[-1][0]
    values, scores = _value(context, standing, rules, measured)
    gain = saturated(standing.gain + gained(measured.utilities), 64)
    trail = extend(standing.trail, measured.utilities, standing.trained + 1)
    data = Payload(payload.pad(model, context.policy.leaves), content.part("model"))
    value_leaves = payouts.value_leaves(values, scores)
    payout_leaves = _pay(standing, rules, gain, scores)
    values_root = payouts.values_tree(value_leaves).root
    payouts_root = payouts.payouts_tree(payout_leaves).root
    header = ResultHeader(
        common=context.common(ResultHeader.TAG),
        nodes=nodes.nodes_root(levels),
        weight=top.weight,
        number=top.number,
        model_root=data.root,
        model_digest=data.digest,
        utilities=utilities.root(measured.utilities),
        gain=gain,
        values=values_root.hash,
        scores=values_root.sum,
        payouts=payouts_root.hash,
        payout_total=payouts_root.sum,
        stop=not context.statistics and rules.stop(trail),
    )
    records = Records(header, measured.utilities, value_leaves, payout_leaves)
    return Outcome(records, levels, sums, model, content)


def follow(
    standing: Standing,
    records: Records,
    model: Int32,
    *,
    trained: int,
    ends_period: bool,
    players: tuple[int, ...] = (),
) -> Standing:
    """Give what a result leaves to the next round; `trained` counts the training results up to it,
    `players` are those whose updates count in it.
    """
    trail = extend(standing.trail, records.utilities, trained)
    values = tuple(leaf.value for leaf in records.values)
    if ends_period:
        paid = tuple(leaf.amount for leaf in records.payouts)
        return Standing(model, 0, (0,) * len(values), paid, trail, trained)
    paid = _padded(standing.paid, len(values))
    players = players if trained else ()
    return Standing(model, records.header.gain, values, paid, trail, trained, players)


def gained(utilities: Sequence[int]) -> int:
    """Give what the coalition of all has over the empty one; nothing measured, nothing gained."""
    return utilities[-1] - utilities[0] if utilities else 0


def saturated(value: int, bits: int) -> int:
    """Give the nearest integer that a signed field of so many bits holds: a sum beyond it, of
    utilities that only a vote can refuse, must not stop a round.
    """
    limit = 1 << (bits - 1)
    return max(-limit, min(limit - 1, value))


def extend(trail: tuple[int, ...], measured: Sequence[int], trained: int) -> tuple[int, ...]:
    """Add what the `trained`-th training result gained; the first that was measured brings the
    utility of the first model along, for all that were not measured before it.
    """
    start = trail or tuple(measured[:1]) * trained
    return (*start, start[-1] + gained(measured)) if start else ()


def measure(
    context: RoundContext, standing: Standing, rules: Rules, model: Int32, players: Players
) -> Measured:
    """Measure a round's own coalitions, where it trains."""
    utilities = () if context.statistics else rules.utilities(context, standing, model, players)
    return Measured(players.participants, standing.trained, utilities)


def _carried(
    context: RoundContext,
    standing: Standing,
    rules: Rules,
    slots: Sequence[Slot],
    entries: Sequence[Entry],
) -> Measured | None:
    """Add up what the owners of good updates counted on their shards for the round before; None
    where nobody has a shard.
    """
    if not context.by_shards:
        return None
    reports = {
        slot.participant: slot.published.evaluation
        for slot, entry in zip(slots, entries, strict=True)
        if entry.reason is Reason.COUNTED and slot.published.evaluation is not None
    }
    counted = rules.counted(context, standing, reports) if standing.players else ()
    return Measured(standing.players, standing.trained - 1, counted)


def last(context: RoundContext, standing: Standing, rules: Rules, carried: Measured) -> bool:
    """Whether a round by shards ends its period: nobody would count for its own updates, so it only
    carries counts.
    """
    if context.statistics:
        return False
    trained = standing.trained + 1
    trail = extend(standing.trail, carried.utilities, trained)
    return context.policy.ends_period(trained) or rules.stop(trail)


def idle(judged: Judged) -> Judged:
    """Let no update count where a round only carries counts."""
    entries = [
        replace(entry, weight=0, number=0, reason=Reason.IDLE) if entry.weight else entry
        for entry in judged.entries
    ]
    return Judged(entries, [None] * len(entries))


def too_few(entry: Entry) -> Entry:
    """Give an entry as it is where fewer would count than the policy's least number."""
    reason = entry.reason if entry.reason != Reason.COUNTED else Reason.TOO_FEW
    return replace(entry, weight=0, reason=reason)


def _value(
    context: RoundContext, standing: Standing, rules: Rules, measured: Measured
) -> tuple[list[int], tuple[int, ...]]:
    """Add the values in the round that was measured to those of the period so far, and score the
    sums.
    """
    values = list(standing.values)
    earned = rules.values(measured.utilities, len(measured.players), measured.trained)
    for participant, value in zip(measured.players, earned, strict=True):
        values[participant] = saturated(values[participant] + value, 256)
    return values, rules.scores(values, [seat.scale for seat in context.seats])


def _pay(
    standing: Standing, rules: Rules, gain: int, scores: Sequence[int]
) -> tuple[payouts.PayoutLeaf, ...]:
    """Give what everyone would have been paid in all if the period ended here."""
    released = rules.released(sum(standing.paid), gain, scores)
    shares = zip(standing.paid, rules.split(released, scores), strict=True)
    return payouts.payout_leaves([paid + share for paid, share in shares])


def judge(context: RoundContext, slots: Sequence[Slot], rules: Rules) -> Judged:
    """Turn every slot into its entry, whether or not enough of them count."""
    others = superseded(slots, context.batched)
    entries: list[Entry] = []
    updates: list[Int32 | None] = []
    for place, slot in enumerate(slots):
        root, update, exclusion = _read(context, slot, rules, superseded_by=others.get(place))
        entry = entry_of(context, slot, root, exclusion)
        entries.append(entry)
        updates.append(update if entry.weight > 0 else None)
    return Judged(entries, updates)


def entry_of(context: RoundContext, slot: Slot, root: Digest, exclusion: Exclusion | None) -> Entry:
    """Give a slot's entry from the payload root that its header names, and why it does not count,
    if so.
    """
    reason, position = exclusion or Exclusion(Reason.COUNTED)
    weight = context.seats[slot.participant].weight if reason is Reason.COUNTED else 0
    return Entry(
        digest=slot.digest,
        root=root,
        participant=slot.participant,
        weight=weight,
        number=int(weight > 0),
        reason=reason,
        position=position,
    )


def enough(context: RoundContext, judged: Judged) -> Judged:
    """Let no update count where fewer would than the policy's least number."""
    if sum(entry.number for entry in judged.entries) >= context.policy.least_updates:
        return judged
    return Judged([too_few(entry) for entry in judged.entries], [None] * len(judged.entries))


def superseded(slots: Sequence[Slot], batched: int) -> dict[int, int]:
    """Give the slots in whose place another of the same participant counts, each with that one: of
    all that bind a participant it is a direct one, else the first.
    """
    bound = [place for place, slot in enumerate(slots) if slot.unbound is None]
    chosen: dict[int, int] = {}
    for place in sorted(bound, key=lambda place: place < batched):
        chosen.setdefault(slots[place].participant, place)
    others = ((place, chosen[slots[place].participant]) for place in bound)
    return {place: by for place, by in others if place != by}


def deciding(slots: Sequence[Slot], batched: int) -> list[int]:
    """List the slots whose updates a round is made from, if they can be had."""
    others = superseded(slots, batched)
    bound = (place for place, slot in enumerate(slots) if slot.unbound is None)
    return [place for place in bound if place not in others]


def awaited(slots: Sequence[Slot], batched: int) -> list[int]:
    """List the slots that may still come to something else: by a leaf, or by an update."""
    lost = [place for place, slot in enumerate(slots) if slot.unbound is Reason.MISSING]
    return lost + [at for at in deciding(slots, batched) if not slots[at].published.final]


def _read(
    context: RoundContext, slot: Slot, rules: Rules, *, superseded_by: int | None
) -> tuple[Digest, Int32 | None, Exclusion | None]:
    """Give the payload root that a slot's header names, its update, and why it does not count, if
    so. What is unavailable has no root: others may hold more of it, or less.
    """
    published = slot.published
    if slot.unbound is not None:
        return ZERO_DIGEST, None, Exclusion(slot.unbound)
    if superseded_by is not None:
        return ZERO_DIGEST, None, Exclusion(Reason.SUPERSEDED, superseded_by)
    if published.header is None:
        return ZERO_DIGEST, None, Exclusion(Reason.UNAVAILABLE)
    try:
        header = UpdateHeader.decode(published.header)
    except MalformedRecord:
        return ZERO_DIGEST, None, Exclusion(Reason.MALFORMED)
    root = header.payload_root
    if not _names(context, slot, header):
        return root, None, Exclusion(Reason.FOREIGN)
    data = published.payload
    if data is None or not _is_payload(data, root, context.policy.leaves):
        return ZERO_DIGEST, None, Exclusion(Reason.UNAVAILABLE)
    update = payload.int32(data.data)
    return root, update, rules.select(context, update)


def _is_payload(data: Payload, root: Digest, leaves: int) -> bool:
    """Whether bytes are what a header's payload root names; anything else is as good as nothing."""
    return len(data.data) == leaves * payload.LEAF_SIZE and data.root == root


def _names(context: RoundContext, slot: Slot, header: UpdateHeader) -> bool:
    """Whether an update's header names the federation, round, lineage and owner of the slot it lies
    in.
    """
    return (
        header.common == context.common(UpdateHeader.TAG)
        and header.participant == slot.participant
        and header.base in context.bases
        and header.dataset == context.seats[slot.participant].dataset
        and (context.by_shards or header.evaluation == ZERO_DIGEST)
    )


def _sum_up(
    context: RoundContext, judged: Judged, rule: SummedRule | None, content: Content
) -> tuple[nodes.Levels, tuple[bytes, ...]]:
    """Build the tree of partial sums: its nodes, and each node's sum payload in the tree's order.
    Without a rule that sums, the nodes have no sums.
    """
    entries, updates = judged
    if rule is None:
        return nodes.levels(entries, sum_root=lambda _: ZERO_DIGEST), ()
    leaves = context.policy.leaves
    zero = np.zeros(leaves * payload.LANES, dtype=np.int64)
    sums: dict[range, Int64] = {}
    published: list[bytes] = []

    def over_slots(part: range) -> Int64:
        weighted = [(u, entries[i].weight) for i in part if (u := updates[i]) is not None]
        if not weighted:
            return zero
        return rule.partial_sums([u for u, _ in weighted], [w for _, w in weighted])

    def over_nodes(part: range) -> Int64:
        inside = [below for below in sums if below.start in part]
        total: Int64 = np.sum([sums.pop(below) for below in inside], axis=0, dtype=np.int64)
        return total

    def sum_root(part: range) -> Digest:
        total = over_slots(part) if len(part) <= nodes.FAN_OUT else over_nodes(part)
        sums[part] = total
        data = Payload(payload.pad_sums(total, leaves), content.part(f"sum {len(published)}"))
        published.append(data.data)
        return data.root

    return nodes.levels(entries, sum_root=sum_root), tuple(published)


def _step(rules: Rules, previous: Int32, players: Players, sums: Sequence[bytes]) -> Int32:
    """Give the new model; where there is a tree of partial sums, its top has added all up."""
    if rules.summed is None:
        return rules.aggregate(previous, players.updates, players.weights)
    total = payload.int64(sums[-1])[: previous.size]
    return rules.summed.step(previous, total, sum(players.weights))


def players_of(judged: Judged) -> Players:
    """Give the updates that count."""
    counted = sorted(
        ((e.participant, u, e.weight) for e, u in zip(*judged, strict=True) if u is not None),
        key=lambda item: item[0],
    )
    return Players(
        participants=tuple(p for p, _, _ in counted),
        updates=tuple(u for _, u, _ in counted),
        weights=tuple(w for _, _, w in counted),
    )


def _padded(values: tuple[int, ...], size: int) -> tuple[int, ...]:
    return values + (0,) * (size - len(values))
