"""What a site's rows have told others, counted by row over restarts and federations."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fednode.data.evaluation_set import EvaluationSet
from fednode.disclosed import DISCLOSED, LOCK, AnswersSpent, Disclosed
from fednode.errors import FedNodeError
from ledger.types import Digest, FederationId

FIRST, SECOND = (FederationId(bytes([number]) * 32) for number in (1, 2))


def rows(*numbers: int) -> EvaluationSet:
    values = np.array(numbers, np.int32)
    return EvaluationSet(
        np.stack([values, values * 7], axis=1), values.astype(np.int64) % 2, values.astype(np.int64)
    )


def result(number: int) -> Digest:
    return Digest(number.to_bytes(32, "big"))


SHARD = rows(*range(30))


def test_the_same_question_is_counted_once_also_after_a_kill(tmp_path: Path) -> None:
    """A process that is killed between entry and answer asks again, and so does one that lost its
    update.
    """
    for _ in range(3):
        asked = Disclosed(tmp_path).answer(SHARD, FIRST, result(1), models=5, most=10)
        assert asked == 5
    assert Disclosed(tmp_path).answer(SHARD, FIRST, result(2), models=5, most=10) == 10
    assert Disclosed(tmp_path).answered(FIRST) == Disclosed(tmp_path).most_asked() == 10


@pytest.mark.parametrize(
    ("shard", "federation"),
    [
        (SHARD, FIRST),
        (SHARD, SECOND),
        (rows(*range(29)), FIRST),
        (rows(29, *range(90, 120)), SECOND),
    ],
    ids=["another result", "another federation", "a row less", "one row in common"],
)
def test_a_row_answers_no_more_than_the_policy_allows(
    tmp_path: Path, shard: EvaluationSet, federation: FederationId
) -> None:
    disclosed = Disclosed(tmp_path)
    disclosed.answer(SHARD, FIRST, result(1), models=8, most=10)
    before = (tmp_path / DISCLOSED).read_bytes()
    with pytest.raises(AnswersSpent) as caught:
        disclosed.answer(shard, federation, result(2), models=3, most=10)
    assert (caught.value.asked, caught.value.most) == (8, 10)
    assert (tmp_path / DISCLOSED).read_bytes() == before
    assert disclosed.answer(rows(*range(50, 80)), federation, result(2), models=3, most=10) == 3


@pytest.mark.parametrize("other", [range(29), range(1, 30), range(31)])
def test_about_other_rows_the_same_models_are_a_new_question(tmp_path: Path, other: range) -> None:
    """The difference of the two answers is one about the rows in between."""
    disclosed = Disclosed(tmp_path)
    assert disclosed.answer(SHARD, FIRST, result(1), models=5, most=10) == 5
    assert disclosed.answer(rows(*other), FIRST, result(1), models=5, most=10) == 10
    with pytest.raises(AnswersSpent):
        disclosed.answer(rows(*range(2, 29)), FIRST, result(1), models=5, most=10)


@pytest.mark.parametrize(
    ("other", "differing"),
    [
        (range(100), None),
        (range(99), 1),
        (range(1, 101), 2),
        (range(9, 100), 9),
        (range(50), None),
        (range(200, 300), None),
    ],
)
def test_nearly_the_same_rows_are_told(tmp_path: Path, other: range, differing: int | None) -> None:
    """A difference of nothing shows nothing."""
    disclosed, again = Disclosed(tmp_path), rows(*other)
    disclosed.sum_up(rows(*range(100)), FIRST)
    for number in (1, 2):
        disclosed.answer(rows(*range(100)), FIRST, result(number), models=1, most=10)
    for found in (disclosed.nearly_summed(again), disclosed.nearly_counted(again)):
        assert [overlap.differing for overlap in found] == [differing][: differing is not None]
        assert all(overlap.federation == FIRST.hex() for overlap in found)
    disclosed.sum_up(again, SECOND)
    disclosed.sum_up(again, SECOND)
    assert len(json.loads((tmp_path / DISCLOSED).read_text())["summed"]) == 2


def test_a_forgotten_row_is_gone_and_the_others_stay_counted(tmp_path: Path) -> None:
    """A question about the rows that are left is a new one, however equal the two sets look."""
    disclosed = Disclosed(tmp_path)
    disclosed.answer(SHARD, FIRST, result(1), models=8, most=10)
    disclosed.sum_up(SHARD, FIRST)
    (gone,) = disclosed.digests(rows(7))
    disclosed.forget([gone])
    assert gone not in (tmp_path / DISCLOSED).read_text()
    left = rows(*(number for number in range(30) if number != 7))
    for told in (disclosed.nearly_summed(left), disclosed.nearly_counted(left)):
        assert [(overlap.differing, overlap.forgotten) for overlap in told] == [(0, True)]
        assert "(0 and those forgotten since are in one of both only" in told[0].counts_text()
    with pytest.raises(AnswersSpent):
        disclosed.answer(left, FIRST, result(1), models=8, most=10)


def test_a_journal_that_never_told_anything_stays_empty(tmp_path: Path) -> None:
    disclosed = Disclosed(tmp_path / "journal")
    assert (disclosed.answered(FIRST), disclosed.most_asked(), disclosed.digests(SHARD)) == (
        0,
        0,
        (),
    )
    disclosed.forget(["0" * 16])
    assert not (tmp_path / "journal").exists()


@pytest.mark.parametrize(
    "spoil",
    [lambda path: path.write_text("{"), lambda path: (path.unlink(), path.mkdir())],
    ids=["cut off", "a folder"],
)
def test_what_cannot_be_read_answers_nothing(
    tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    disclosed = Disclosed(tmp_path)
    disclosed.answer(SHARD, FIRST, result(1), models=1, most=10)
    assert (tmp_path / DISCLOSED).stat().st_mode & 0o077 == 0
    spoil(tmp_path / DISCLOSED)
    with pytest.raises(FedNodeError, match="restore it from a copy"):
        disclosed.answer(SHARD, FIRST, result(2), models=1, most=10)


def test_a_lost_record_is_noticed(tmp_path: Path) -> None:
    """One without the mark was made before there was one: its next change makes up for it."""
    disclosed = Disclosed(tmp_path)
    for number in (1, 2):
        disclosed.answer(SHARD, FIRST, result(number), models=1, most=10)
        if number == 1:
            (tmp_path / LOCK).write_bytes(b"")
    (tmp_path / DISCLOSED).unlink()
    for ask in (disclosed.asked, disclosed.nearly_summed, disclosed.nearly_counted):
        with pytest.raises(FedNodeError, match=r"missing.* restore it from a copy"):
            ask(SHARD)
    with pytest.raises(FedNodeError, match="missing"):
        disclosed.answer(SHARD, FIRST, result(3), models=1, most=10)
    assert not disclosed.exists
    (tmp_path / LOCK).unlink()
    assert disclosed.answer(SHARD, FIRST, result(3), models=1, most=10) == 1


def test_a_record_that_was_never_written_is_not_missed(tmp_path: Path) -> None:
    disclosed = Disclosed(tmp_path)
    with pytest.raises(AnswersSpent):
        disclosed.answer(SHARD, FIRST, result(1), models=2, most=1)
    assert disclosed.asked(SHARD) == 0
