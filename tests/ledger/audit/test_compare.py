"""Which step of the audit a difference belongs to, for each thing that a result publishes."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import cast

import pytest

from ledger.audit import verdict as v
from ledger.audit.compare import Difference, PublishedResult, comparisons, selection
from ledger.audit.facts import Facts
from ledger.headers import ResultHeader
from ledger.nodes import Entry, Reason
from ledger.replica import Replica
from ledger.round import compose
from ledger.types import ParticipantId
from tests.ledger.chain.samples import digest
from tests.ledger.test_round import CONTEXT, RULES, entries, slot_of, standing

SLOTS = [slot_of(owner) for owner in (0, 3, 1)]
OUTCOME = compose(CONTEXT, standing(), SLOTS, RULES)
GOOD = PublishedResult(OUTCOME.records, OUTCOME.levels)
RECORDS = OUTCOME.records


def with_records(**changes: object) -> PublishedResult:
    return replace(GOOD, records=replace(RECORDS, **changes))  # type: ignore[arg-type]


def with_header(**changes: object) -> PublishedResult:
    return with_records(header=replace(RECORDS.header, **changes))  # type: ignore[arg-type]


def wrong(published: PublishedResult) -> list[Difference]:
    return [d for d in comparisons(OUTCOME, published) if d.expected != d.found]


def test_a_result_that_is_right_differs_nowhere() -> None:
    made = list(comparisons(OUTCOME, GOOD))
    assert wrong(GOOD) == []
    order = [v.STEPS.index(difference.step) for difference in made]
    assert order == sorted(order)
    subjects = [difference.subject for difference in made]
    assert "3 commit slots" in subjects
    assert {"node 0 of the partial sums", "node 0 of the partial sums, whole"} <= set(subjects)
    count = len(RECORDS.values)
    assert Difference(v.CONTRIBUTIONS, "value of participant: how many", count, count) in made


HEADER: dict[str, v.Step] = {
    "nodes": v.TREES,
    "weight": v.AGGREGATION,
    "number": v.AGGREGATION,
    "model_root": v.AGGREGATION,
    "model_digest": v.AGGREGATION,
    "utilities": v.UTILITIES,
    "gain": v.UTILITIES,
    "stop": v.UTILITIES,
    "values": v.CONTRIBUTIONS,
    "scores": v.CONTRIBUTIONS,
    "payouts": v.PAYOUTS,
    "payout_total": v.PAYOUTS,
}


def test_every_field_of_a_header_is_compared() -> None:
    assert {field.name for field in fields(ResultHeader)} - {"common"} == set(HEADER)


@pytest.mark.parametrize("name", HEADER)
def test_a_field_belongs_to_its_step(name: str) -> None:
    ours = getattr(RECORDS.header, name)
    other = digest(99) if isinstance(ours, bytes) else ours + 1
    (difference,) = wrong(with_header(**{name: other}))
    assert (difference.step, difference.expected, difference.found) == (HEADER[name], ours, other)


@pytest.mark.parametrize(
    ("name", "step", "what"),
    [
        ("utilities", v.UTILITIES, "utility of coalition"),
        ("values", v.CONTRIBUTIONS, "value of participant"),
        ("payouts", v.PAYOUTS, "payout of participant"),
    ],
)
def test_lists_are_compared_place_by_place_and_by_their_length(
    name: str, step: v.Step, what: str
) -> None:
    ours = getattr(RECORDS, name)
    changed = (*ours[:2], "other", *ours[3:])
    assert wrong(with_records(**{name: changed})) == [
        Difference(step, f"{what} 2", ours[2], "other")
    ]
    for length in (len(ours) - 1, len(ours) + 1):
        listed = (*ours, "more")[:length]
        expected = [Difference(step, f"{what}: how many", len(ours), length)]
        assert wrong(with_records(**{name: listed})) == expected


def test_the_first_field_of_an_entry_that_differs_is_named() -> None:
    ours = entries(OUTCOME)
    theirs = list(ours)
    theirs[1] = replace(ours[1], weight=5, reason=Reason.FOREIGN)
    theirs[2] = replace(ours[2], participant=ParticipantId(4))
    found = list(selection(ours, theirs))
    assert found == [
        Difference(v.SELECTION, "slot 1, participant 3: weight", ours[1].weight, 5),
        Difference(v.SELECTION, "slot 2, participant 1: participant", 1, 4),
    ]
    assert list(selection(ours, ours)) == []


def test_a_node_differs_in_its_sums_or_as_a_whole() -> None:
    lowest = OUTCOME.levels[0]
    changed = replace(lowest[0], entries=(Entry(digest(1)), *lowest[0].entries[1:]))
    levels = ((changed, *lowest[1:]), *OUTCOME.levels[1:])
    found = wrong(replace(GOOD, levels=levels))
    assert [d.step for d in found[:1]] == [v.SELECTION]
    assert [d.subject for d in found if d.step is v.TREES] == ["node 0 of the partial sums, whole"]


# -- what an audit has learned


def facts() -> Facts:
    return Facts(cast(Replica, None))


@pytest.mark.parametrize(
    ("wrapped", "said"),
    [
        ([], []),
        (["Voted in block 4"], ["Voted in block 4 was brought about"]),
        (["a", "b"], ["2 events, a first, were brought about"]),
        (["a", "b", "c"], ["3 events, a first, were brought about"]),
    ],
)
def test_events_through_other_contracts_are_counted(wrapped: list[str], said: list[str]) -> None:
    found = facts()
    found.wrapped += wrapped
    found.note_wrapped()
    assert [note.partition(" through")[0] for note in found.notes] == said


@pytest.mark.parametrize(
    ("learn", "ok", "failed"),
    [
        (lambda f: f.passed(v.TREES, 3, "x"), True, False),
        (lambda f: f.failed(v.TREES, 3, "x"), False, True),
        (lambda f: f.lacks(v.TREES, 3, "x", v.Lack.SEALED), False, False),
    ],
)
def test_a_check_holds_fails_or_lacks(
    learn: Callable[[Facts], None], ok: bool, failed: bool
) -> None:
    found = facts()
    learn(found)
    (check,) = found.checks
    assert (check.step, check.round, check.detail) == (v.TREES, 3, "x")
    assert (check.ok, check.failed) == (ok, failed)
    assert (check.lack is v.Lack.SEALED) == (not ok and not failed)
