"""What a round comes to, as one pure function of its inputs: the proposer, every voter and every
auditor call it.

`compose` is total: whatever bytes the participants published, it gives a result. The steps that a
federation's policy chooses (how to select, aggregate, value and reward) come in as `Rules`; the
trees and the header are made here, from integers alone, so the same inputs give the same digest on
every machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ledger import nodes, payload, payouts, utilities
from ledger.errors import MalformedRecord
from ledger.headers import Common, PolicyHeader, ResultHeader, UpdateHeader
from ledger.nodes import Entry, Reason
from ledger.payload import Payload
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
    """What the chain says about a round before anybody's bytes are read."""

    chain_id: int
    ledger: Address
    federation: FederationId
    policy: PolicyHeader
    round: RoundIndex
    parent: Digest
    seats: tuple[Seat, ...]

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


class Published(NamedTuple):
    """The bytes behind a slot's digest: None where they cannot be had. `hopeless` = what was
    published instead shows that waiting for them is in vain.
    """

    header: bytes | None
    payload: bytes | None
    hopeless: bool = False

    @property
    def final(self) -> bool:
        """Whether waiting longer can change nothing."""
        return self.payload is not None or self.hopeless


@dataclass(frozen=True, slots=True)
class Slot:
    """A commit and what was published for it."""

    participant: int
    digest: Digest
    published: Published


class Exclusion(NamedTuple):
    """Why an update does not count, and at which coordinate that shows."""

    reason: Reason
    position: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """What a result leaves to the next round.

    `model` is the canonical state (int32, L * 256 values); `values` are sums over the reward period
    so far, over 27720; `paid` are the payouts at the end of the period before; `trail` holds the
    utility of every measured result on the lineage, in order, the model that they started from
    first; `trained` counts the training results.
    """

    model: Int32
    gain: int
    values: tuple[int, ...]
    paid: tuple[int, ...]
    trail: tuple[int, ...]
    trained: int

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


class Rules(Protocol):
    """The steps of a round that a federation's policy chooses. All are total and work on
    integers.
    """

    def stating(self, utilities: Sequence[int]) -> "Rules":
        """Give rules under which a result's utilities stand if measuring them again agrees."""

    def select(self, context: RoundContext, update: Int32) -> Exclusion | None:
        """Say why an update does not count, if it does not."""

    def partial_sums(self, updates: Sequence[Int32], weights: Sequence[int]) -> Int64:
        """Add up weighted updates."""

    def step(self, previous: Int32, sums: Int64, weight: int) -> Int32:
        """Give the new model from the previous one and the sums of all counted updates."""

    def utilities(
        self, context: RoundContext, standing: Standing, model: Int32, players: "Players"
    ) -> tuple[int, ...]:
        """Measure the coalitions that the policy asks for; nothing where it measures nothing.

        The first utility is that of the model before the round, the last that of the model after
        it.
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


@dataclass(frozen=True, slots=True)
class Outcome:
    """A result with everything that it commits to. `sums` are the nodes' payloads, level
    by level.
    """

    records: Records
    levels: nodes.Levels
    sums: tuple[bytes, ...]
    model: Int32

    @property
    def header(self) -> ResultHeader:
        """The result's header."""
        return self.records.header


def compose(
    context: RoundContext, standing: Standing, slots: Sequence[Slot], rules: Rules
) -> Outcome:
    """Compute what a round comes to from the result before it and the published updates, in slot
    order.
    """
    standing = standing.widened(len(context.seats))
    entries, updates = _judge(context, slots, rules)
    levels, sums = _sum_up(context, entries, updates, rules)
    top = levels[-1][0]
    model = rules.step(standing.model, payload.int64(sums[-1])[: standing.model.size], top.weight)
    players = _players(entries, updates)
    measured = () if context.statistics else rules.utilities(context, standing, model, players)
    values, scores = _value(context, standing, rules, players.participants, measured)
    gain = standing.gain + (measured[-1] - measured[0] if measured else 0)
    trail = extend(standing.trail, measured)
    data = Payload(payload.pad(model, context.policy.leaves))
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
        utilities=utilities.root(measured),
        gain=gain,
        values=values_root.hash,
        scores=values_root.sum,
        payouts=payouts_root.hash,
        payout_total=payouts_root.sum,
        stop=not context.statistics and rules.stop(trail),
    )
    return Outcome(Records(header, measured, value_leaves, payout_leaves), levels, sums, model)


def follow(
    standing: Standing, records: Records, model: Int32, *, trained: int, ends_period: bool
) -> Standing:
    """Give what a result leaves to the next round; `trained` counts the training results
    up to it.
    """
    trail = extend(standing.trail, records.utilities)
    values = tuple(leaf.value for leaf in records.values)
    if ends_period:
        paid = tuple(leaf.amount for leaf in records.payouts)
        return Standing(model, 0, (0,) * len(values), paid, trail, trained)
    paid = _padded(standing.paid, len(values))
    return Standing(model, records.header.gain, values, paid, trail, trained)


def extend(trail: tuple[int, ...], measured: Sequence[int]) -> tuple[int, ...]:
    """Add a round's utility to the trail; the first one brings that of the model before it
    along.
    """
    return (*(trail or measured[:1]), measured[-1]) if measured else trail


def _value(
    context: RoundContext,
    standing: Standing,
    rules: Rules,
    players: Sequence[int],
    measured: Sequence[int],
) -> tuple[list[int], tuple[int, ...]]:
    """Add the round's values to those of the period so far, and score the sums."""
    values = list(standing.values)
    gained = rules.values(measured, len(players), standing.trained)
    for participant, value in zip(players, gained, strict=True):
        values[participant] += value
    return values, rules.scores(values, [seat.scale for seat in context.seats])


def _pay(
    standing: Standing, rules: Rules, gain: int, scores: Sequence[int]
) -> tuple[payouts.PayoutLeaf, ...]:
    """Give what everyone would have been paid in all if the period ended here."""
    released = rules.released(sum(standing.paid), gain, scores)
    shares = zip(standing.paid, rules.split(released, scores), strict=True)
    return payouts.payout_leaves([paid + share for paid, share in shares])


def _judge(
    context: RoundContext, slots: Sequence[Slot], rules: Rules
) -> tuple[list[Entry], list[Int32 | None]]:
    """Turn every slot into its entry; the update stays beside it where it counts."""
    entries: list[Entry] = []
    updates: list[Int32 | None] = []
    for slot in slots:
        root, update, exclusion = _read(context, slot, rules)
        weight = context.seats[slot.participant].weight
        counts = exclusion is None and weight > 0
        exclusion = exclusion or Exclusion(Reason.COUNTED)
        entries.append(
            Entry(
                digest=slot.digest,
                root=root,
                participant=slot.participant,
                weight=weight if counts else 0,
                number=int(counts),
                reason=exclusion.reason,
                position=exclusion.position,
            )
        )
        updates.append(update if counts else None)
    if sum(e.number for e in entries) < context.policy.least_updates:
        entries = [_too_few(e) for e in entries]
        updates = [None] * len(entries)
    return entries, updates


def _too_few(entry: Entry) -> Entry:
    reason = entry.reason if entry.reason != Reason.COUNTED else Reason.TOO_FEW
    return replace(entry, weight=0, number=0, reason=reason)


def _read(
    context: RoundContext, slot: Slot, rules: Rules
) -> tuple[Digest, Int32 | None, Exclusion | None]:
    """Give the payload root that a slot's header names, its update, and why it does not count, if
    so. What is unavailable has no root: others may hold more of it, or less.
    """
    published = slot.published
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
    update = payload.int32(data)
    return root, update, rules.select(context, update)


def _is_payload(data: bytes, root: Digest, leaves: int) -> bool:
    """Whether bytes are what a header's payload root names; anything else is as good as nothing."""
    return len(data) == leaves * payload.LEAF_SIZE and Payload(data).root == root


def _names(context: RoundContext, slot: Slot, header: UpdateHeader) -> bool:
    """Whether an update's header names the federation, round, lineage and owner of the slot it lies
    in.
    """
    return (
        header.common == context.common(UpdateHeader.TAG)
        and header.participant == slot.participant
        and header.base == context.parent
        and header.dataset == context.seats[slot.participant].dataset
        and header.evaluation == ZERO_DIGEST
    )


def _sum_up(
    context: RoundContext,
    entries: Sequence[Entry],
    updates: Sequence[Int32 | None],
    rules: Rules,
) -> tuple[nodes.Levels, tuple[bytes, ...]]:
    """Build the tree of partial sums: its nodes, and each node's sum payload in the tree's
    order.
    """
    leaves = context.policy.leaves
    zero = np.zeros(leaves * payload.LANES, dtype=np.int64)
    sums: dict[range, Int64] = {}
    published: list[bytes] = []

    def over_slots(part: range) -> Int64:
        weighted = [(u, entries[i].weight) for i in part if (u := updates[i]) is not None]
        if not weighted:
            return zero
        return rules.partial_sums([u for u, _ in weighted], [w for _, w in weighted])

    def over_nodes(part: range) -> Int64:
        inside = [below for below in sums if below.start in part]
        total: Int64 = np.sum([sums.pop(below) for below in inside], axis=0, dtype=np.int64)
        return total

    def sum_root(part: range) -> Digest:
        total = over_slots(part) if len(part) <= nodes.FAN_OUT else over_nodes(part)
        sums[part] = total
        data = Payload(payload.pad_sums(total, leaves))
        published.append(data.data)
        return data.root

    return nodes.levels(entries, sum_root=sum_root), tuple(published)


def _players(entries: Sequence[Entry], updates: Sequence[Int32 | None]) -> Players:
    counted = sorted(
        (
            (e.participant, u, e.weight)
            for e, u in zip(entries, updates, strict=True)
            if u is not None
        ),
        key=lambda item: item[0],
    )
    return Players(
        participants=tuple(p for p, _, _ in counted),
        updates=tuple(u for _, u, _ in counted),
        weights=tuple(w for _, _, w in counted),
    )


def _padded(values: tuple[int, ...], size: int) -> tuple[int, ...]:
    return values + (0,) * (size - len(values))
