"""A round's outcome: defined for whatever was published, and the same in any order of arrival."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import artefacts, nodes, payload, payouts, utilities
from ledger.errors import MalformedRecord
from ledger.headers import Evaluation, ResultHeader, UpdateHeader
from ledger.nodes import Reason
from ledger.payload import Payload
from ledger.round import (
    Exclusion,
    Int32,
    Int64,
    Outcome,
    Players,
    Published,
    RoundContext,
    Seat,
    Slot,
    Standing,
    SummedRule,
    awaited,
    compose,
    extend,
    follow,
)
from ledger.sealing import PLAIN
from ledger.stores import ContentStore, MemoryStore
from ledger.types import ZERO_DIGEST, Address, Digest, FederationId, RoundIndex
from tests.ledger.chain.samples import digest, policy

LEDGER = Address("0x" + "42" * 20)
FEDERATION = FederationId(digest(77))
PARENT = digest(78)
LEAVES = 2
SIZE = LEAVES * payload.LANES
BOUND = 1 << 20
POOL = 1000


class PlainRules:
    """Rules in plain Python integers: the mean, the model's sum as its utility, leave-one-out."""

    measures = True

    def coalitions(self, trained: int, players: int) -> Sequence[int]:
        return ()

    def stating(self, utilities: Sequence[int]) -> "PlainRules":
        return self

    def select(self, context: RoundContext, update: Int32) -> Exclusion | None:
        for position, value in enumerate(update.tolist()):
            if abs(value) > context.policy.bound:
                return Exclusion(Reason.BEYOND_BOUND, position)
        return None

    @property
    def summed(self) -> SummedRule | None:
        return self

    def aggregate(self, previous: Int32, updates: Sequence[Int32], weights: Sequence[int]) -> Int32:
        return self.step(previous, self.partial_sums(updates, weights), sum(weights))

    def partial_sums(self, updates: Sequence[Int32], weights: Sequence[int]) -> Int64:
        pairs = list(zip(updates, weights, strict=True))
        return np.array([sum(int(u[i]) * w for u, w in pairs) for i in range(SIZE)], dtype=np.int64)

    def step(self, previous: Int32, sums: Int64, weight: int) -> Int32:
        means = [round(int(s) / weight) if weight else 0 for s in sums]
        return np.array(
            [
                max(-(1 << 31), min((1 << 31) - 1, int(p) + m))
                for p, m in zip(previous, means, strict=True)
            ],
            dtype=np.int32,
        )

    def utilities(
        self, context: RoundContext, standing: Standing, model: Int32, players: Players
    ) -> tuple[int, ...]:
        def of(members: Sequence[int]) -> int:
            if not members:
                return int(standing.model[:4].astype(np.int64).sum())
            weights = [players.weights[i] for i in members]
            updates = [players.updates[i] for i in members]
            made = self.aggregate(standing.model, updates, weights)
            return int(made[:4].astype(np.int64).sum())

        everybody = range(len(players.participants))
        if not everybody:
            return (of(()),)
        without = [of([i for i in everybody if i != gone]) for gone in everybody]
        return (of(()), *without, of(everybody))

    def opening(self, context: RoundContext, store: ContentStore) -> "PlainRules":
        return self

    def counted(
        self, context: RoundContext, standing: Standing, reports: Mapping[int, bytes]
    ) -> tuple[int, ...]:
        """Add up numbers, one byte each; nothing where there are fewer than two reports."""
        if len(reports) < 2:
            return ()
        return tuple(sum(column) for column in zip(*reports.values(), strict=True))

    def values(self, utilities: Sequence[int], players: int, trained: int) -> tuple[int, ...]:
        if not utilities:
            return (0,) * players
        return tuple(27_720 * (utilities[-1] - utilities[1 + i]) for i in range(players))

    def scores(self, values: Sequence[int], scales: Sequence[int]) -> tuple[int, ...]:
        return tuple(max(v, 0) * s for v, s in zip(values, scales, strict=True))

    def released(self, base: int, gain: int, scores: Sequence[int]) -> int:
        return min(POOL - base, gain) if gain > 0 and any(scores) else 0

    def split(self, released: int, scores: Sequence[int]) -> tuple[int, ...]:
        total, before, parts = sum(scores), 0, []
        for score in scores:
            upper = before + score
            share = released * upper // total - released * before // total if total else 0
            parts.append(share)
            before = upper
        return tuple(parts)

    def stop(self, trail: Sequence[int]) -> bool:
        return len(trail) > 1 and trail[-1] > 10**6


RULES = PlainRules()


def context(seats: Sequence[Seat], **terms: object) -> RoundContext:
    settled = {"leaves": LEAVES, "bound": BOUND, "max_participants": 256} | terms
    header = replace(policy(1, LEDGER), **settled)  # type: ignore[arg-type]
    round_ = RoundIndex(4)
    return RoundContext(1, LEDGER, FEDERATION, header, round_, PARENT, tuple(seats), (PARENT,))


SEATS = tuple(Seat(weight=10 * (i + 1), scale=i + 1, dataset=i % 2) for i in range(5))
CONTEXT = context(SEATS)


def standing(seats: int = 5) -> Standing:
    model = np.arange(SIZE, dtype=np.int32)
    return Standing(model, 5, (27_720,) * seats, (10,) * seats, (1, 6), 1)


def header_of(owner: int, data: Payload, at: RoundContext = CONTEXT) -> UpdateHeader:
    return UpdateHeader(
        common=at.common(UpdateHeader.TAG),
        participant=owner,
        base=PARENT,
        payload_root=data.root,
        dataset=at.seats[owner].dataset,
        index=data.index_digest,
        training=digest(1),
        evaluation=ZERO_DIGEST,
    )


def values_of(seed: int) -> Int32:
    return np.random.default_rng(seed).integers(-BOUND, BOUND, SIZE).astype(np.int32)


def slot_of(owner: int, values: Int32 | None = None, at: RoundContext = CONTEXT) -> Slot:
    data = Payload(payload.pad(values_of(owner) if values is None else values, LEAVES))
    header = header_of(owner, data, at)
    return Slot(owner, header.digest(), Published(header.encode(), data))


def with_header(slot: Slot, **changes: object) -> Slot:
    assert slot.published.header is not None
    header = replace(UpdateHeader.decode(slot.published.header), **changes)  # type: ignore[arg-type]
    return Slot(slot.participant, header.digest(), slot.published._replace(header=header.encode()))


def entries(outcome: Outcome) -> list[nodes.Entry]:
    return [entry for node in outcome.levels[0] for entry in node.entries]


# -- exclusions

GOOD = slot_of(1)
WRONG_COMMON = {
    "round": RoundIndex(5),
    "parent": digest(9),
    "chain_id": 2,
    "federation": FederationId(digest(3)),
    "ledger": Address("0x" + "43" * 20),
}


def beyond(position: int) -> Slot:
    values = values_of(1)
    values[position] = -BOUND - 1
    return slot_of(1, values)


def published(header: bytes | None, data: bytes | None, *, hopeless: bool = False) -> Slot:
    found = None if data is None else Payload(data)
    return Slot(1, GOOD.digest, Published(header, found, hopeless))


assert GOOD.published.header is not None
assert GOOD.published.payload is not None
HEADER, DATA = GOOD.published.header, GOOD.published.payload.data

EXCLUDED = [
    ("nothing", published(None, None), Reason.UNAVAILABLE, 0),
    ("no header", published(None, DATA), Reason.UNAVAILABLE, 0),
    ("no payload", published(HEADER, None), Reason.UNAVAILABLE, 0),
    ("empty header", published(b"", DATA), Reason.MALFORMED, 0),
    ("long header", published(HEADER + b"\0", DATA), Reason.MALFORMED, 0),
    ("result header's tag", published(bytes(32) + HEADER[32:], DATA), Reason.MALFORMED, 0),
    ("padding", published(HEADER[:64] + b"\1" + HEADER[65:], DATA), Reason.MALFORMED, 0),
    ("blocks that are none", published(HEADER, None, hopeless=True), Reason.UNAVAILABLE, 0),
    ("short payload", published(HEADER, DATA[:-1024]), Reason.UNAVAILABLE, 0),
    ("long payload", published(HEADER, DATA + bytes(1024)), Reason.UNAVAILABLE, 0),
    ("ragged payload", published(HEADER, DATA[:-1]), Reason.UNAVAILABLE, 0),
    ("empty payload", published(HEADER, b""), Reason.UNAVAILABLE, 0),
    ("other root", with_header(GOOD, payload_root=digest(4)), Reason.UNAVAILABLE, 0),
    ("other owner", with_header(GOOD, participant=2), Reason.FOREIGN, 0),
    ("other base", with_header(GOOD, base=digest(4)), Reason.FOREIGN, 0),
    ("other data set", with_header(GOOD, dataset=0), Reason.FOREIGN, 0),
    ("an evaluation", with_header(GOOD, evaluation=digest(4)), Reason.FOREIGN, 0),
    *(
        (
            f"other {name}",
            with_header(
                GOOD,
                common=replace(CONTEXT.common(UpdateHeader.TAG), **{name: value}),  # type: ignore[arg-type]
            ),
            Reason.FOREIGN,
            0,
        )
        for name, value in WRONG_COMMON.items()
    ),
    ("beyond at 0", beyond(0), Reason.BEYOND_BOUND, 0),
    ("beyond at the last", beyond(SIZE - 1), Reason.BEYOND_BOUND, SIZE - 1),
]


@pytest.mark.parametrize(
    ("slot", "reason", "position"), [case[1:] for case in EXCLUDED], ids=[c[0] for c in EXCLUDED]
)
def test_excluded(slot: Slot, reason: Reason, position: int) -> None:
    others = [slot_of(0), slot_of(2)]
    outcome = compose(CONTEXT, standing(), [others[0], slot, others[1]], RULES)
    without = compose(CONTEXT, standing(), others, RULES)
    entry = entries(outcome)[1]
    assert (entry.reason, entry.position) == (reason, position)
    assert (entry.weight, entry.number, entry.digest) == (0, 0, slot.digest)
    assert outcome.header.number == 2
    assert outcome.header.model_digest == without.header.model_digest
    assert outcome.records.payouts == without.records.payouts


def test_an_owner_may_commit_to_what_the_round_says_of_it() -> None:
    at = replace(CONTEXT, bases=(CONTEXT.parent, digest(44)))
    data = Payload(payload.pad(values_of(2), LEAVES))
    good = header_of(2, data, at)
    assert at.allows(good, 2)
    assert at.allows(replace(good, base=digest(44), payload_root=digest(1), index=digest(2)), 2)
    for wrong in (
        replace(good, common=replace(good.common, round=good.common.round + 1)),
        replace(good, common=at.common(ResultHeader.TAG)),
        replace(good, participant=1),
        replace(good, base=digest(45)),
        replace(good, dataset=good.dataset + 1),
    ):
        assert not at.allows(wrong, 2)
    assert not at.allows(good, 1)
    last = len(at.seats) - 1
    assert at.allows(header_of(last, data, at), last)
    assert not at.allows(replace(good, participant=last + 1), last + 1)


def test_what_is_unavailable_has_no_root_whoever_holds_more_of_it() -> None:
    roots = {
        entries(compose(CONTEXT, standing(), [published(header, None), slot_of(0)], RULES))[0].root
        for header in (None, HEADER)
    }
    assert roots == {ZERO_DIGEST}


def test_an_exclusion_keeps_the_root_that_its_header_names() -> None:
    slot = with_header(GOOD, payload_root=digest(4), base=digest(5))
    assert entries(compose(CONTEXT, standing(), [slot], RULES))[0].root == digest(4)


def test_what_may_still_come_is_awaited() -> None:
    """A leaf that is missing, and an update that counts in its place and cannot be had yet."""
    slots = [
        Slot.missing(),
        Slot.unsigned(4, digest(4)),
        Slot(0, digest(5)),  # another of participant 0 counts in its place
        Slot(3, digest(6)),
        slot_of(1),
        Slot(2, digest(7), Published(None, None, hopeless=True)),
        Slot(0, digest(8)),
    ]
    assert awaited(slots, 4) == [0, 3, 6]
    assert awaited(slots, len(slots)) == [0, 2, 3]
    assert awaited([slot_of(0), slot_of(1)], 1) == []


def test_no_weight_counts_for_nothing() -> None:
    weightless = replace(CONTEXT, seats=(replace(SEATS[0], weight=0), *SEATS[1:]))
    outcome = compose(weightless, standing(), [slot_of(0), slot_of(1)], RULES)
    assert (outcome.header.number, outcome.header.weight) == (1, 20)


def test_too_few_updates_leave_the_model_and_keep_their_reasons() -> None:
    at = context(SEATS, least_updates=3)
    slots = [slot_of(0, at=at), published(None, None), slot_of(2, at=at)]
    outcome = compose(at, standing(), slots, RULES)
    reasons = [entry.reason for entry in entries(outcome)[:3]]
    assert reasons == [Reason.TOO_FEW, Reason.UNAVAILABLE, Reason.TOO_FEW]
    assert [entry.number for entry in entries(outcome)[:3]] == [1, 0, 1]
    assert (outcome.header.number, outcome.header.weight) == (2, 0)
    assert np.array_equal(outcome.model, standing().model)
    assert len(outcome.records.utilities) == 1
    assert outcome.header.gain == standing().gain


def test_a_weight_of_zero_is_not_one_of_the_least_number() -> None:
    seats = (replace(SEATS[0], weight=0), *SEATS[1:])
    at = context(seats, least_updates=2)
    outcome = compose(at, standing(), [slot_of(0, at=at), slot_of(1, at=at)], RULES)
    assert [(e.reason, e.number) for e in entries(outcome)[:2]] == [
        (Reason.TOO_FEW, 0),
        (Reason.TOO_FEW, 1),
    ]
    assert outcome.header.number == 1 < at.policy.least_updates


def test_an_update_may_be_as_stale_as_the_policy_says() -> None:
    bases = (PARENT, digest(4), digest(5))
    stale = [with_header(GOOD, base=base) for base in (*bases, digest(6))]
    for at, counted in ((CONTEXT, 1), (replace(CONTEXT, bases=bases), 3)):
        outcomes = [compose(at, standing(), [slot], RULES) for slot in stale]
        reasons = [entries(outcome)[0].reason for outcome in outcomes]
        assert reasons == [Reason.COUNTED] * counted + [Reason.FOREIGN] * (4 - counted)


def test_evaluations_come_with_updates_where_shards_are_evaluated() -> None:
    at = context(SEATS, evaluation=Evaluation.SHARDS, rounds=9)
    slot = with_header(GOOD, evaluation=digest(4))
    assert entries(compose(at, standing(), [slot], RULES))[0].reason == Reason.COUNTED


@pytest.mark.parametrize(
    ("terms", "trained", "idle"),
    [
        ({"rounds": 9, "reward_period": 0}, 8, True),
        ({"rounds": 9, "reward_period": 0}, 7, False),
        ({"rounds": 9, "reward_period": 3}, 2, True),
        ({"rounds": 9, "reward_period": 3}, 3, False),
        ({"rounds": 9, "evaluation": Evaluation.PUBLIC}, 8, False),
        ({"rounds": 1, "statistics": 3}, 0, False),
    ],
)
def test_a_periods_last_round_only_carries_counts(
    terms: dict[str, object], trained: int, idle: bool
) -> None:
    at = context(SEATS, **{"evaluation": Evaluation.SHARDS, **terms})
    if "statistics" in terms:
        at = replace(at, parent=ZERO_DIGEST, bases=(ZERO_DIGEST,))
    before = replace(standing(), trained=trained)
    slots = [slot_of(0, at=at), published(None, None), slot_of(2, at=at)]
    slots = [with_header(s, base=at.parent) if s.published.header else s for s in slots]
    outcome = compose(at, before, slots, RULES)
    reasons = [entry.reason for entry in entries(outcome)[:3]]
    expected = Reason.IDLE if idle else Reason.COUNTED
    assert reasons == [expected, Reason.UNAVAILABLE, expected]
    assert (outcome.header.number, outcome.header.weight) == ((0, 0) if idle else (2, 40))
    assert np.array_equal(outcome.model, before.model) == idle


class Dated(PlainRules):
    """Values that say how many training results came before the round that was measured."""

    def values(self, utilities: Sequence[int], players: int, trained: int) -> tuple[int, ...]:
        return (10 * len(utilities) + trained,) * players


def test_what_is_measured_is_valued_for_the_round_that_it_is_of() -> None:
    before = replace(standing(), trained=3, players=(1, 4), values=(0,) * 5)
    outcome = compose(context(SEATS, rounds=9), before, [slot_of(0), slot_of(2)], Dated())
    assert [leaf.value for leaf in outcome.records.values] == [43, 0, 43, 0, 0]

    at = context(SEATS, rounds=9, evaluation=Evaluation.SHARDS)
    slots = [with_header(slot_of(owner, at=at), evaluation=digest(4)) for owner in (0, 2)]
    counts = [bytes([7, 8]), bytes([1, 1])]
    slots = [
        replace(slot, published=slot.published._replace(evaluation=count))
        for slot, count in zip(slots, counts, strict=True)
    ]
    outcome = compose(at, before, slots, Dated())
    assert outcome.records.utilities == (8, 9)
    assert [leaf.value for leaf in outcome.records.values] == [0, 22, 0, 0, 22]


# -- rules without sums


class Median(PlainRules):
    """The median, coordinate by coordinate, in plain Python integers."""

    @property
    def summed(self) -> None:
        return None

    def aggregate(self, previous: Int32, updates: Sequence[Int32], weights: Sequence[int]) -> Int32:
        if not updates:
            return previous
        columns = zip(*(update.tolist() for update in updates), strict=True)
        change = [round(Fraction(median(map(Fraction, column)))) for column in columns]
        return previous + np.array(change, dtype=np.int32)


def test_a_rule_without_sums_publishes_none() -> None:
    seats = tuple(Seat(1, 1, 0) for _ in range(20))
    at = context(seats)
    slots = [slot_of(i, values_of(i), at) for i in range(20)]
    outcome = compose(at, standing(20), slots, Median())
    everybody = [values_of(i) for i in range(20)]
    expected = Median().aggregate(standing().model, everybody, [1] * 20)
    assert np.array_equal(outcome.model, expected)
    assert outcome.sums == ()
    assert {node.root for node in nodes.in_order(outcome.levels)} == {ZERO_DIGEST}
    assert (outcome.header.number, outcome.header.weight) == (20, 20)
    reader, levels = published_result(outcome, 20)
    reader.check_sums(LEAVES, levels)
    assert levels == outcome.levels


def test_coalitions_are_aggregated_by_the_same_rule() -> None:
    slots = [slot_of(0), slot_of(1), slot_of(2)]
    outcome = compose(CONTEXT, standing(), slots, Median())
    before, *_, after = outcome.records.utilities
    alone = [compose(CONTEXT, standing(), slots[:i] + slots[i + 1 :], Median()) for i in range(3)]
    without = [int(one.model[:4].astype(np.int64).sum()) for one in alone]
    assert outcome.records.utilities == (before, *without, after)


def test_too_few_for_a_rule_without_sums() -> None:
    at = context(SEATS, least_updates=2)
    outcome = compose(at, standing(), [slot_of(0, at=at)], Median())
    assert np.array_equal(outcome.model, standing().model)


@pytest.mark.parametrize("sign", [1, -1])
def test_what_does_not_fit_its_field_is_the_nearest_that_does(sign: int) -> None:
    """A round goes on from a result that only a vote could refuse, or that is still to fall."""
    most, least = (1 << 63) - 1, -(1 << 63)

    class Extreme(PlainRules):
        def utilities(self, *_: object) -> tuple[int, ...]:
            ends = (least, most) if sign > 0 else (most, least)
            return (ends[0], ends[1], ends[0], ends[1])

        def values(self, utilities: Sequence[int], players: int, trained: int) -> tuple[int, ...]:
            return (sign * 27_720 << 64,) * players

        def scores(self, values: Sequence[int], scales: Sequence[int]) -> tuple[int, ...]:
            return (0,) * len(values)

    before = replace(standing(), gain=sign * 5, values=(sign * ((1 << 255) - 1),) * 5)
    outcome = compose(CONTEXT, before, [slot_of(0), slot_of(1)], Extreme())
    assert outcome.header.gain == (most if sign > 0 else least)
    assert ResultHeader.decode(outcome.header.encode()) == outcome.header
    values = [leaf.value for leaf in outcome.records.values]
    assert values[:2] == [(1 << 255) - 1 if sign > 0 else -(1 << 255)] * 2
    assert values[2:] == list(before.values[2:])


@pytest.mark.parametrize("name", ["values", "payouts"])
@pytest.mark.parametrize("change", [1, -1])
def test_lists_that_have_not_one_leaf_for_each_participant_are_refused(
    name: str, change: int
) -> None:
    """Whatever the header says, nobody can open such a tree as the contract does."""
    outcome = compose(CONTEXT, standing(), [slot_of(0)], RULES)
    records = outcome.records
    values = records.values[:-1] if change < 0 else (*records.values, payouts.ValueLeaf(5, 0, 0))
    paid = records.payouts[:-1] if change < 0 else (*records.payouts, payouts.PayoutLeaf(5, 0))
    if name == "values":
        root = payouts.values_tree(values).root
        header = replace(outcome.header, values=root.hash, scores=root.sum)
        records = replace(records, header=header, values=values)
    else:
        root = payouts.payouts_tree(paid).root
        header = replace(outcome.header, payouts=root.hash, payout_total=root.sum)
        records = replace(records, header=header, payouts=paid)
    reader, _ = published_result(replace(outcome, records=records), 1)
    with pytest.raises(MalformedRecord, match=f"{5 + change} {name}, expected 5"):
        reader.records()


@pytest.mark.parametrize(
    ("listed", "count", "first"),
    [
        (3, 3, 3),
        (4, 3, 3),
        (128, 3, 3),
        (2, 3, 2),
        (0, 3, None),
        (129, 3, None),
        (129, 128, None),
        (128, 129, None),
        (256, 129, 129),
        (130, 200, 130),
    ],
)
def test_utilities_are_read_as_the_contract_reads_them(
    listed: int, count: int, first: int | None
) -> None:
    """Leaf by leaf: in the last one, nothing behind the last coalition is looked at."""
    read = utilities.first(range(1, listed + 1), count)
    if first is None:
        assert read is None
    else:
        assert read == (*range(1, first + 1), *(0,) * (count - first))


def published_result(outcome: Outcome, slots: int) -> tuple[artefacts.ResultReader, nodes.Levels]:
    artefact, index = artefacts.result_artefact(outcome)
    store = MemoryStore()
    store.put(artefact)
    reader = artefacts.ResultReader(store, outcome.header.digest(), index, participants=len(SEATS))
    return reader, reader.levels(slots)


def test_sums_are_read_for_nodes_that_name_some() -> None:
    """A result that names sums must publish them, and one that names none must not."""
    summed = compose(CONTEXT, standing(), [slot_of(0)], RULES)
    none = replace(summed, sums=())
    reader, levels = published_result(none, 1)
    with pytest.raises(MalformedRecord, match="0 sums, expected 1"):
        reader.check_sums(LEAVES, levels)
    unsummed = compose(CONTEXT, standing(), [slot_of(0)], Median())
    reader, levels = published_result(replace(unsummed, sums=summed.sums), 1)
    with pytest.raises(MalformedRecord, match="1 sums, expected 0"):
        reader.check_sums(LEAVES, levels)


def test_a_round_without_commits() -> None:
    outcome = compose(CONTEXT, standing(), [], RULES)
    assert outcome.header.number == 0
    assert len(outcome.levels) == 1
    assert np.array_equal(outcome.model, standing().model)


def test_the_model_saturates() -> None:
    top = np.full(SIZE, (1 << 31) - 1, dtype=np.int32)
    slots = [slot_of(0, np.full(SIZE, BOUND, dtype=np.int32))]
    outcome = compose(CONTEXT, replace(standing(), model=top), slots, RULES)
    assert np.array_equal(outcome.model, top)


def test_statistics_measure_and_stop_nothing() -> None:
    at = replace(context(SEATS, statistics=3), parent=ZERO_DIGEST, bases=(ZERO_DIGEST,))
    data = Payload(payload.pad(values_of(0), LEAVES))
    header = replace(header_of(0, data, at), base=ZERO_DIGEST)
    slot = Slot(0, header.digest(), Published(header.encode(), data))
    outcome = compose(at, replace(standing(), gain=0), [slot], RULES)
    assert at.statistics
    assert outcome.header.number == 1
    assert outcome.records.utilities == ()
    assert outcome.header.utilities == utilities.root([])
    assert (outcome.header.gain, outcome.header.stop) == (0, False)


# -- whatever was published

mangled = st.builds(
    lambda data, at, bit, cut: data[:cut] if at % 3 == 0 else _flipped(data, at, bit),
    st.just(HEADER),
    st.integers(0, len(HEADER) - 1),
    st.integers(0, 7),
    st.integers(0, len(HEADER)),
)
payloads = st.none() | st.builds(
    Payload, st.just(DATA) | st.binary(max_size=64) | st.just(b"\x80" * len(DATA))
)
anything = st.builds(
    Published,
    st.none() | st.just(HEADER) | mangled | st.binary(max_size=600),
    payloads,
    st.booleans(),
    st.just(PLAIN),
    payloads,
)


def _flipped(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.binary(min_size=32, max_size=32), anything), max_size=20
    )
)
def test_any_bytes_give_a_result(found: list[tuple[int, bytes, Published]]) -> None:
    slots = [Slot(owner, Digest(name), item) for owner, name, item in found]
    outcome = compose(CONTEXT, standing(), slots, RULES)
    header = ResultHeader.decode(outcome.header.encode())
    assert header.common == CONTEXT.common(ResultHeader.TAG)
    assert header.number <= len(slots)
    assert sum(leaf.amount for leaf in outcome.records.payouts) == header.payout_total <= POOL
    reader, levels = published_result(outcome, len(slots))
    assert reader.records() == outcome.records
    reader.check_sums(LEAVES, levels)
    assert levels == outcome.levels
    assert np.array_equal(reader.model(LEAVES), outcome.model)


# -- order of arrival, and many updates


@given(st.permutations(range(5)), st.integers(0, 31))
def test_order_of_arrival_changes_the_slots_alone(order: list[int], held: int) -> None:
    slots = [slot_of(i) if held >> i & 1 else published(None, None) for i in range(5)]
    slots = [replace(slot, participant=i) for i, slot in enumerate(slots)]
    one = compose(CONTEXT, standing(), slots, RULES)
    other = compose(CONTEXT, standing(), [slots[i] for i in order], RULES)
    assert replace(other.header, nodes=one.header.nodes) == one.header
    assert replace(other.records, header=one.header) == one.records
    assert [entries(other)[place].digest for place in range(5)] == [slots[i].digest for i in order]


@pytest.mark.parametrize("count", [1, 15, 16, 17, 33, 100])
def test_every_node_sums_what_is_under_it(count: int) -> None:
    rng = random.Random(count)
    seats = tuple(Seat(rng.randrange(3), 1, 0) for _ in range(count))
    at = context(seats)
    slots = [
        slot_of(i, values_of(i), at)
        if rng.random() < 0.8
        else Slot(i, digest(i), Published(None, None))
        for i in range(count)
    ]
    outcome = compose(at, standing(count), slots, Quick())
    sums = dict(zip(nodes.in_order(outcome.levels), outcome.sums, strict=True))
    for level, group in enumerate(outcome.levels):
        span = 16 ** (level + 1)
        for place, node in enumerate(group):
            under = range(place * span, min(count, (place + 1) * span))
            counted = [i for i in under if entries(outcome)[i].number]
            total = np.zeros(SIZE, dtype=np.int64)
            for i in counted:
                total += seats[i].weight * values_of(i).astype(np.int64)
            assert node.weight == sum(seats[i].weight for i in counted)
            assert node.number == len(counted)
            assert node.root == Payload(payload.pad_sums(total, LEAVES)).root
            assert Payload(sums[node]).root == node.root


class Quick(PlainRules):
    """The same sums on arrays, and nothing measured."""

    def select(self, context: RoundContext, update: Int32) -> Exclusion | None:
        return None

    def partial_sums(self, updates: Sequence[Int32], weights: Sequence[int]) -> Int64:
        total = np.zeros(SIZE, dtype=np.int64)
        for update, weight in zip(updates, weights, strict=True):
            total += update.astype(np.int64) * weight
        return total

    def utilities(
        self, context: RoundContext, standing: Standing, model: Int32, players: Players
    ) -> tuple[int, ...]:
        return ()

    def values(self, utilities: Sequence[int], players: int, trained: int) -> tuple[int, ...]:
        return (0,) * players


# -- what a result leaves behind


def test_values_and_gain_add_up_over_a_period() -> None:
    slots = [slot_of(0), slot_of(3)]
    outcome = compose(CONTEXT, standing(), slots, RULES)
    measured = outcome.records.utilities
    gained = RULES.values(measured, 2, 1)
    values = [leaf.value for leaf in outcome.records.values]
    assert values == [27_720 + gained[0], 27_720, 27_720, 27_720 + gained[1], 27_720]
    assert outcome.header.gain == 5 + measured[-1] - measured[0]


def test_a_standing_within_a_period_and_at_its_end() -> None:
    outcome = compose(CONTEXT, standing(), [slot_of(0), slot_of(3)], RULES)
    records = outcome.records
    within = follow(standing(), records, outcome.model, trained=2, ends_period=False)
    assert (within.gain, within.paid) == (records.header.gain, standing().paid)
    assert within.values == tuple(leaf.value for leaf in records.values)
    after = follow(standing(), records, outcome.model, trained=2, ends_period=True)
    assert (after.gain, after.values) == (0, (0,) * 5)
    assert after.paid == tuple(leaf.amount for leaf in records.payouts)
    gain = records.utilities[-1] - records.utilities[0]
    assert within.trail == after.trail == (1, 6, 6 + gain)
    assert (within.trained, after.trained) == (2, 2)


def test_newcomers_start_with_nothing() -> None:
    outcome = compose(CONTEXT, standing(3), [slot_of(4)], RULES)
    assert len(outcome.records.values) == len(outcome.records.payouts) == 5
    assert outcome.header.payout_total >= 30
    left = follow(standing(3), outcome.records, outcome.model, trained=2, ends_period=False)
    assert left.paid == (10, 10, 10, 0, 0)


def test_a_trail_starts_with_the_model_before_it() -> None:
    assert extend((), (), 1) == ()
    assert extend((), (3, 4, 5), 1) == (3, 5)
    assert extend((3, 5), (5, 1, 7), 2) == (3, 5, 7)


def test_a_trail_compares_nothing_across_rounds_rows() -> None:
    """Every training result has its place in it, measured or not, and adds what it gained."""
    assert extend((), (3, 4, 5), 3) == (3, 3, 3, 5)
    assert extend((3, 5), (), 2) == (3, 5, 5)
    assert extend((3, 5), (90, 88), 2) == (3, 5, 3)


def test_payouts_prove_their_leaves() -> None:
    outcome = compose(CONTEXT, standing(), [slot_of(0), slot_of(3)], RULES)
    leaves = outcome.records.payouts
    tree = payouts.payouts_tree(leaves)
    assert (tree.root.hash, tree.root.sum) == (
        outcome.header.payouts,
        outcome.header.payout_total,
    )
    for leaf in leaves:
        path = payouts.prove(leaves, leaf.index)
        assert payouts.verify_payout(tree.root, leaf, size=len(leaves), path=path)
