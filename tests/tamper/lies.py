"""Results that a proposer made up and everybody signed."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from fednode.aggregation import MEDIAN, FedAvg
from fednode.data.evaluation_set import EvaluationSet
from fednode.evaluation import shards
from fednode.evaluation.shards import Counts
from fednode.evaluation.slices import Slices
from ledger import artefacts, cbor, nodes, payload
from ledger.audit.verdict import (
    AGGREGATION,
    BYTES,
    CONTRIBUTIONS,
    HEADERS,
    PAYOUTS,
    SELECTION,
    TREES,
    UTILITIES,
)
from ledger.cid import CID, Codec
from ledger.headers import Evaluation, UpdateHeader
from ledger.nodes import Reason
from ledger.payload import Payload
from ledger.round import (
    Exclusion,
    Int32,
    Int64,
    Outcome,
    Published,
    RoundContext,
    Slot,
    Standing,
)
from ledger.stores import Artefact
from ledger.types import Digest
from tests.tamper.kinds import lie
from tests.tamper.policies import evaluation_rows
from tests.tamper.story import Bent, Publication, Situation

PAID: dict[str, object] = {
    "mode": "public",
    "valuation": "exact",
    "every": 1,
    "pool": 10**18,
    "target": 1,
    "most": 4,
}
PERIODS = {**PAID, "target": 10**7, "period": 1, "rounds": 3}
CROWD = {
    "rule": "fedavg",
    "most": 18,
    "start": 17,
    "mode": "none",
    "statistics": "false",
    "codes": "0, 1",
}
LEAST_1 = {"least": 1}
BY_SLICES = {**PAID, "mode": "slices", "rounds": 4, "period": 0, "patience": 0}
BY_SHARDS = {
    **BY_SLICES,
    "mode": "shards",
    "metric": "accuracy",
    "valuation": "leave-one-out",
    "start": 3,
    "least": 1,
}
# Of the leaves of a batch, only the third and later ones count: the story needs four participants.
RELAYED = {"relayed": True, "least": 1, "start": 4, "most": 5}


def put(items: Sequence[Slot], at: int, item: Slot) -> list[Slot]:
    """Replace one slot."""
    return [*items[:at], item, *items[at + 1 :]]


def bumped(values: Sequence[int], at: int, by: int) -> tuple[int, ...]:
    """Add to one of some numbers."""
    return (*values[:at], values[at] + by, *values[at + 1 :])


def change(rng: random.Random) -> int:
    """Draw a small number that is not 0."""
    return rng.choice((-1000, -1, 1, 2, 1000))


# -- which updates count


@lie("wrong weight", SELECTION)
def _(s: Situation) -> Publication | None:
    if not s.counted():
        return None
    index = s.slots[s.rng.choice(s.counted())].participant
    seats = list(s.context.seats)
    seats[index] = replace(seats[index], weight=seats[index].weight + s.rng.choice((1, 7)))
    return s.compose(context=replace(s.context, seats=tuple(seats)))


def _excluded(
    s: Situation, bend: Callable[[UpdateHeader], UpdateHeader] | None
) -> Publication | None:
    if not s.counted():
        return None
    at = s.rng.choice(s.counted())
    slot = s.slots[at]
    assert slot.published.header is not None
    if bend is None:
        published = Published(b"", None, hopeless=True)
    else:
        header = bend(UpdateHeader.decode(slot.published.header)).encode()
        published = Published(header, slot.published.payload)
    return s.compose(slots=put(s.slots, at, replace(slot, published=published)))


@lie("honest update excluded as malformed", SELECTION)
def _(s: Situation) -> Publication | None:
    return _excluded(s, None)


@lie("honest update excluded as foreign", SELECTION)
def _(s: Situation) -> Publication | None:
    return _excluded(s, lambda header: replace(header, participant=header.participant + 1))


@lie("honest update excluded as beyond the bound", SELECTION)
def _(s: Situation) -> Publication | None:
    if not s.counted():
        return None
    victim = s.slots[s.rng.choice(s.counted())].published.payload

    def select(context: object, update: Int32) -> Exclusion | None:
        beyond = victim is not None and update.astype("<i4").tobytes() == victim.data
        return Exclusion(Reason.BEYOND_BOUND, s.rng.randrange(9)) if beyond else None

    return s.compose(select=select)


@lie("honest update excluded as a leaf of no batch", SELECTION)
def _(s: Situation) -> Publication | None:
    if not s.counted():
        return None
    at = s.rng.choice(s.counted())
    slot = s.slots[at]
    leaf = s.rng.choice((Slot.missing(), Slot.unsigned(slot.participant, slot.digest)))
    return s.compose(slots=put(s.slots, at, leaf))


@lie("honest update excluded as superseded", SELECTION)
def _(s: Situation) -> Publication | None:
    if not s.counted():
        return None
    owner = s.slots[s.rng.choice(s.counted())].participant
    return s.compose(slots=[replace(slot, participant=owner) for slot in s.slots])


@lie("honest update excluded as idle", SELECTION)
def _(s: Situation) -> Publication | None:
    terms = replace(s.context.policy, evaluation=Evaluation.SHARDS, reward_period=1)
    return s.compose(context=replace(s.context, policy=terms)) if s.counted() else None


@lie("too few updates pretended", SELECTION)
def _(s: Situation) -> Publication | None:
    policy = replace(s.context.policy, least_updates=len(s.slots) + 1)
    return s.compose(context=replace(s.context, policy=policy)) if s.counted() else None


def _counted_anyway(s: Situation, wanted: Callable[[Slot, UpdateHeader], bool]) -> list[Slot]:
    """Rewrite one header in the proposer's mind, so that a foreign update counts."""
    for at, slot in enumerate(s.slots):
        if s.reason(at) != Reason.FOREIGN or slot.published.payload is None:
            continue
        assert slot.published.header is not None
        header = UpdateHeader.decode(slot.published.header)
        if wanted(slot, header):
            mended = replace(
                header,
                common=s.context.common(UpdateHeader.TAG),
                participant=slot.participant,
                base=s.context.parent,
                dataset=s.context.seats[slot.participant].dataset,
            )
            published = slot.published._replace(header=mended.encode())
            return put(s.slots, at, replace(slot, published=published))
    return list(s.slots)


@lie("someone else's update", SELECTION, fates=("copied",), policy=LEAST_1)
def _(s: Situation) -> Publication | None:
    return s.compose(slots=_counted_anyway(s, lambda slot, h: h.participant != slot.participant))


@lie("update of an old round", SELECTION, fates=("copied",), policy=LEAST_1)
def _(s: Situation) -> Publication | None:
    return s.compose(slots=_counted_anyway(s, lambda _, h: h.common.round < s.context.round))


@lie("update on another base", SELECTION, fates=("other base",), policy=LEAST_1)
def _(s: Situation) -> Publication | None:
    return s.compose(slots=_counted_anyway(s, lambda _, h: h.base not in s.context.bases))


@lie("update under another data set", SELECTION, fates=("other data set",), policy=LEAST_1)
def _(s: Situation) -> Publication | None:
    def other(slot: Slot, header: UpdateHeader) -> bool:
        return header.dataset != s.context.seats[slot.participant].dataset

    return s.compose(slots=_counted_anyway(s, other))


@lie("update beyond the bound counted", SELECTION, fates=("beyond", "trespassing"), policy=LEAST_1)
def _(s: Situation) -> Publication | None:
    return s.compose(select=lambda context, update: None)


@lie("false position of an excess", SELECTION, fates=("beyond", "trespassing"))
def _(s: Situation) -> Publication | None:
    def select(context: object, update: Int32) -> Exclusion | None:
        exclusion = s.rules.select(s.context, update)
        return exclusion and Exclusion(exclusion.reason, exclusion.position + 1)

    return s.compose(select=select)


@lie("malformed update counted", SELECTION, fates=("garbage",), policy=LEAST_1)
def _(s: Situation) -> Publication | None:
    for at, slot in enumerate(s.slots):
        if s.reason(at) == Reason.MALFORMED:
            return s.compose(slots=put(s.slots, at, replace(slot, published=_invented(s, slot))))
    return None


def _invented(s: Situation, slot: Slot) -> Published:
    """Make up an update for a slot."""
    data = Payload(bytes(s.context.policy.leaves * payload.LEAF_SIZE))
    return Published(s.context.update_header(slot.participant, data).encode(), data)


@lie("slot under another digest", SELECTION)
def _(s: Situation) -> Publication | None:
    at = s.rng.randrange(len(s.slots))
    slot = replace(s.slots[at], digest=Digest(s.rng.randbytes(32)))
    return s.compose(slots=put(s.slots, at, slot))


@lie("slots in another order", SELECTION)
def _(s: Situation) -> Publication | None:
    return s.compose(slots=s.rng.sample(s.slots, len(s.slots)))


# -- slots of a batch


@lie("leaf passed over as forged", SELECTION, policy=RELAYED)
def _(s: Situation) -> Publication | None:
    leaves = [at for at in s.counted() if at < s.context.batched]
    if not leaves:
        return None
    at = s.rng.choice(leaves)
    slot = s.slots[at]
    return s.compose(slots=put(s.slots, at, Slot.unsigned(slot.participant, slot.digest)))


@lie("forged leaf counted", SELECTION, policy=RELAYED)
def _(s: Situation) -> Publication | None:
    for at, slot in enumerate(s.slots):
        others = s.slots[s.context.batched :]
        alone = all(other.participant != slot.participant for other in others)
        if s.reason(at) == Reason.UNSIGNED and alone:
            counted = replace(slot, unbound=None, published=_invented(s, slot))
            return s.compose(slots=put(s.slots, at, counted))
    return None


@lie("leaf counted in place of a direct commit", SELECTION, policy=RELAYED)
def _(s: Situation) -> Publication | None:
    return s.compose(context=replace(s.context, batched=0)) if s.context.batched else None


@lie("batch left out", SELECTION, policy=RELAYED)
def _(s: Situation) -> Publication | None:
    batched = s.context.batched
    if not batched:
        return None
    bare = replace(s.context, batched=0)
    return s.compose(context=bare, slots=s.slots[batched:]) if s.slots[batched:] else None


# -- sums and trees


@lie("wrong sum node", TREES)
def _(s: Situation) -> Publication | None:
    rule, where, by = s.rules.summed, s.rng.random(), change(s.rng)
    if rule is None:
        return None

    def partial_sums(updates: Sequence[Int32], weights: Sequence[int]) -> Int64:
        sums = rule.partial_sums(updates, weights).copy()
        sums[int(where * sums.size)] += by
        return sums

    return s.compose(summed=Bent(rule, partial_sums=partial_sums))


def _with_nodes(s: Situation, levels: nodes.Levels, sums: Sequence[bytes]) -> Publication:
    header = replace(s.honest.header, nodes=nodes.nodes_root(levels))
    records = replace(s.honest.records, header=header)
    return Publication.of(Outcome(records, levels, tuple(sums), s.honest.model))


def _top(s: Situation, top: nodes.Node) -> nodes.Levels:
    return (*s.honest.levels[:-1], (top,))


@lie("upper node that does not sum its children", TREES, policy=CROWD)
def _(s: Situation) -> Publication | None:
    if s.rules.summed is None:
        return None
    sums = payload.int64(s.honest.sums[-1]).copy()
    sums[s.rng.randrange(sums.size)] += change(s.rng)
    data = Payload(payload.pad_sums(sums, s.context.policy.leaves))
    top = replace(s.honest.levels[-1][0], root=data.root)
    return _with_nodes(s, _top(s, top), [*s.honest.sums[:-1], data.data])


@lie("upper node that names another child", TREES, policy=CROWD)
def _(s: Situation) -> Publication | None:
    if len(s.honest.levels) == 1:
        return None
    top = s.honest.levels[-1][0]
    first = replace(top.entries[0], digest=Digest(s.rng.randbytes(32)))
    top = replace(top, entries=(first, *top.entries[1:]))
    return _with_nodes(s, _top(s, top), s.honest.sums)


@lie("node of another weight", TREES)
def _(s: Situation) -> Publication | None:
    top = s.honest.levels[-1][0]
    return _with_nodes(s, _top(s, replace(top, weight=top.weight + 1)), s.honest.sums)


@lie("sums of a rule that has none", TREES, policy={"rule": "median"})
def _(s: Situation) -> Publication | None:
    return s.compose(summed=Bent(FedAvg(), step=lambda *_: s.honest.model))


# -- the new model


@lie("another rule than the policy's", AGGREGATION, policy={"rule": "trimmed-mean"})
def _(s: Situation) -> Publication | None:
    return s.compose(aggregate=s.rng.choice((FedAvg(), MEDIAN)).aggregate)


@lie("wrong model", AGGREGATION)
def _(s: Situation) -> Publication | None:
    where, by = s.rng.random(), np.int32(change(s.rng))

    def wrong(model: Int32) -> Int32:
        model = model.copy()
        model[int(where * model.size)] += by
        return model

    return s.remodelled(wrong)


@lie("model built on an old version", AGGREGATION)
def _(s: Situation) -> Publication | None:
    old = s.world.replica.initial_model()
    return s.compose(standing=replace(s.standing, model=old))


@lie("wrong sum of weights", AGGREGATION)
def _(s: Situation) -> Publication | None:
    return Publication.of(s.honest).with_header(weight=s.honest.header.weight + 1)


@lie("wrong number of updates", AGGREGATION)
def _(s: Situation) -> Publication | None:
    number = s.honest.header.number + s.rng.choice((-1, 1))
    return Publication.of(s.honest).with_header(number=max(number, 0))


@lie("wrong model digest", AGGREGATION)
def _(s: Situation) -> Publication | None:
    return Publication.of(s.honest).with_header(model_digest=Digest(s.rng.randbytes(32)))


# -- published bytes


@lie("header that its bytes do not bear out", BYTES)
def _(s: Situation) -> Publication | None:
    name = s.rng.choice(("nodes", "model_root", "utilities", "values", "payouts"))
    return Publication.of(s.honest).with_header(**{name: Digest(s.rng.randbytes(32))})


@lie("wrong sum of scores", BYTES, policy=PAID)
def _(s: Situation) -> Publication | None:
    scores = s.honest.header.scores
    return Publication.of(s.honest).with_header(scores=scores + 1) if scores else None


def _indexed(s: Situation, data: bytes) -> Publication:
    cid = CID.of(Codec.DAG_CBOR, data)
    honest = Publication.of(s.honest)
    artefact = honest.artefact.merge(Artefact((cid,), {cid: data}))
    return replace(honest, index=cid.digest, artefact=artefact)


def _index(s: Situation) -> dict[str, cbor.Value]:
    honest = Publication.of(s.honest)
    value = cbor.decode(honest.artefact.blocks[CID(Codec.DAG_CBOR, honest.index)])
    assert isinstance(value, dict)
    return dict(value)


@lie("non-canonical index", BYTES)
def _(s: Situation) -> Publication | None:
    data = cbor.encode(_index(s))
    # An indefinite-length map, a trailing byte, a cut, and nesting without end.
    bent = (b"\xbf" + data[1:] + b"\xff", data + b"\0", data[:-1], b"\x81" * 5000)
    return _indexed(s, s.rng.choice(bent))


def _recoded(link: cbor.Value) -> cbor.Value:
    """Name the same bytes as being of the other codec."""
    assert isinstance(link, CID)
    return CID(Codec.RAW if link.codec is Codec.DAG_CBOR else Codec.DAG_CBOR, link.digest)


@lie("index of the wrong things", BYTES)
def _(s: Situation) -> Publication | None:
    index = _index(s)
    name = s.rng.choice(list(index))
    other = artefacts.record({"nothing": 0})[0]
    value = index[name]
    links = [*value, other] if isinstance(value, list) else other
    recoded = [_recoded(one) for one in value] if isinstance(value, list) else _recoded(value)
    bent: tuple[dict[str, cbor.Value], ...] = (
        {**index, name: links},
        {**index, name: recoded},
        {**index, "more": other},
        {key: item for key, item in index.items() if key != name},
        {**index, name: 7},
    )
    return _indexed(s, cbor.encode(s.rng.choice(bent)))


# -- headers


@lie("result header of another lineage", HEADERS, refused="common")
def _(s: Situation) -> Publication | None:
    common = s.honest.header.common
    other = Digest(s.rng.randbytes(32))
    bent = s.rng.choice(
        (
            replace(common, chain_id=common.chain_id + 1),
            replace(common, ledger=s.world.signer(0)),
            replace(common, federation=type(common.federation)(other)),
            replace(common, round=common.round + 1),
            replace(common, parent=other),
        )
    )
    return Publication.of(s.honest).with_header(common=bent)


@lie("result of an old round", HEADERS, refused="common", policy={"rounds": 3})
def _(s: Situation) -> Publication | None:
    return s.rng.choice(s.earlier) if s.earlier else None


# -- utilities


@lie("wrong utility", UTILITIES, policy={"mode": "public"})
def _(s: Situation) -> Publication | None:
    where, by = s.rng.random(), change(s.rng)

    def measured(*arguments: object) -> tuple[int, ...]:
        honest = s.honest.records.utilities
        return bumped(honest, int(where * len(honest)), by)

    return s.compose(utilities=measured) if s.honest.records.utilities else None


@lie("utilities of other rows", UTILITIES, policy={"mode": "public"})
def _(s: Situation) -> Publication | None:
    rows = evaluation_rows(s.rng, s.world.terms)
    return s.compose(utilities=s.world.terms.rules(s.context.policy, rows).utilities)


@lie("coalitions left out", UTILITIES, policy=PAID)
def _(s: Situation) -> Publication | None:
    honest = s.honest.records.utilities
    if len(honest) < 3:
        return None
    return s.compose(
        utilities=lambda *_: (honest[0], honest[-1]), values=lambda _, players, __: (0,) * players
    )


@lie("wrong gain", UTILITIES)
def _(s: Situation) -> Publication | None:
    gain = s.standing.gain + change(s.rng)
    return s.compose(standing=replace(s.standing, gain=gain))


@lie("wrong stop flag", UTILITIES)
def _(s: Situation) -> Publication | None:
    return s.compose(stop=lambda trail: not s.rules.stop(trail))


# -- utilities on rows that are kept back


def on_earlier_rows(slices: Slices, number: int) -> Artefact:
    """Open the slice before once more."""
    return slices.opened(max(number - 1, 0))


def altered(slices: Slices, number: int) -> Artefact:
    """Open a slice with another label than it was promised with."""
    part = slices.parts[number]
    labels = part.rows.labels.copy()
    labels[0] = 1 - labels[0]
    parts = list(slices.parts)
    parts[number] = replace(part, rows=replace(part.rows, labels=labels))
    shown, path = Slices(tuple(parts)).opened(number), slices.opened(number).roots[0]
    fields = cbor.decode(shown.blocks[shown.roots[0]])
    promised = cbor.decode(slices.opened(number).blocks[path])
    assert isinstance(fields, dict)
    assert isinstance(promised, dict)
    cid, data = artefacts.record({**fields, "path": promised["path"]})
    return Artefact((cid, *shown.roots[1:]), {**shown.blocks, cid: data})


def _measured_on(s: Situation, rows: Callable[[Slices, int], EvaluationSet]) -> Publication | None:
    """Measure the round on other rows than those of its slice."""
    if s.context.statistics or s.world.slices is None or s.context.slice_number < 1:
        return None
    number = min(s.context.slice_number, len(s.world.slices.parts) - 1)
    terms = s.world.terms
    rules = terms.rules(s.context.policy, rows(s.world.slices, number))
    return s.compose(utilities=rules.utilities)


@lie("slice of an earlier round measured on", UTILITIES, policy=BY_SLICES)
def _(s: Situation) -> Publication | None:
    return _measured_on(s, lambda slices, number: slices.parts[number - 1].rows)


@lie("slice opened again and measured on", UTILITIES, policy=BY_SLICES, opens=on_earlier_rows)
def _(s: Situation) -> Publication | None:
    return _measured_on(s, lambda slices, number: slices.parts[number - 1].rows)


def _altered_rows(slices: Slices, number: int) -> EvaluationSet:
    rows = slices.parts[number].rows
    return replace(rows, labels=np.array([1 - rows.labels[0], *rows.labels[1:]]))


@lie("slice with an altered row measured on", UTILITIES, policy=BY_SLICES, opens=altered)
def _(s: Situation) -> Publication | None:
    return _measured_on(s, _altered_rows)


Reports = Mapping[int, bytes]


def _counting(s: Situation, bend: Callable[[dict[int, Counts]], object]) -> Publication | None:
    """Add up other counts than those that the shards' owners committed to."""
    policy, rule = s.world.terms.policy, s.world.rules.valuation(s.standing.trained - 1)

    def counted(context: RoundContext, standing: Standing, reports: Reports) -> tuple[int, ...]:
        found = {owner: shards.read(data, context.parent) for owner, data in reports.items()}
        for owner, counts in found.items():
            size = len(rule.coalitions(shards.others(standing.players, owner)))
            # Counts of all players' coalitions say of those without the owner what comes first.
            found[owner] = replace(counts, counts=counts.counts[-size:])
        bend(found)
        enough = len(found) >= policy.evaluation.least_shards
        return shards.utilities(found, standing.players, rule) if enough else ()

    return s.compose(counted=counted) if s.standing.players else None


@lie("counts of a shard altered", UTILITIES, policy=BY_SHARDS)
def _(s: Situation) -> Publication | None:
    def bend(found: dict[int, Counts]) -> None:
        if found:
            owner = s.rng.choice(sorted(found))
            counts = found[owner].counts
            found[owner] = replace(found[owner], counts=bumped(counts, len(counts) - 1, 10))

    return _counting(s, bend)


@lie("evaluation record left out", UTILITIES, policy=BY_SHARDS)
def _(s: Situation) -> Publication | None:
    return _counting(s, lambda found: found and found.pop(s.rng.choice(sorted(found))))


@lie("counts of too few rows counted", UTILITIES, policy=BY_SHARDS, fates=("few rows",))
def _(s: Situation) -> Publication | None:
    return _counting(s, lambda found: None)


@lie("participant valued on its own shard", UTILITIES, policy=BY_SHARDS, fates=("on itself",))
def _(s: Situation) -> Publication | None:
    return _counting(s, lambda found: None)


# -- contributions


@lie("wrong Shapley value", CONTRIBUTIONS, policy=PAID)
def _(s: Situation) -> Publication | None:
    where, by = s.rng.random(), change(s.rng)

    def values(measured: Sequence[int], players: int, trained: int) -> tuple[int, ...]:
        honest = s.rules.values(measured, players, trained)
        return bumped(honest, int(where * players), by) if players else honest

    return s.compose(values=values)


@lie("values of the period so far altered", CONTRIBUTIONS, policy={"rounds": 3, "period": 0})
def _(s: Situation) -> Publication | None:
    if not s.standing.values:
        return None
    values = bumped(s.standing.values, s.rng.randrange(len(s.standing.values)), change(s.rng))
    return s.compose(standing=replace(s.standing, values=values))


@lie("wrong score", CONTRIBUTIONS, policy=PAID)
def _(s: Situation) -> Publication | None:
    where = s.rng.random()

    def scores(values: Sequence[int], scales: Sequence[int]) -> tuple[int, ...]:
        honest = s.rules.scores(values, scales)
        return bumped(honest, int(where * len(honest)), 1 + max(honest))

    return s.compose(scores=scores)


# -- payouts


def _moved(amounts: Sequence[int], rng: random.Random) -> tuple[int, ...]:
    """Move some wei from one participant to another."""
    giver, taker = rng.sample(range(len(amounts)), 2)
    by = min(amounts[giver], rng.choice((1, 10**6)))
    return bumped(bumped(amounts, giver, -by), taker, by)


@lie("wrong payout", PAYOUTS, policy=PAID)
def _(s: Situation) -> Publication | None:
    if len(s.context.seats) < 2:
        return None
    return s.compose(split=lambda amount, scores: _moved(s.rules.split(amount, scores), s.rng))


@lie("payouts of earlier periods altered", PAYOUTS, policy=PERIODS)
def _(s: Situation) -> Publication | None:
    if len(s.standing.paid) < 2:
        return None
    return s.compose(standing=replace(s.standing, paid=_moved(s.standing.paid, s.rng)))
