"""What a verdict says of itself, in one word and as JSON."""

from dataclasses import replace
from fractions import Fraction

import pytest

from ledger.audit import verdict as v
from ledger.types import Address, Wei
from tests.ledger.audit import samples

PASSING = samples.passing()
ERASED = v.Check(v.BYTES, 3, "an update", ok=False, lack=v.Lack.ERASED)
SEALED = v.Check(v.UTILITIES, 3, "a quality", ok=False, lack=v.Lack.SEALED)
FAILED = v.Check(v.TREES, 3, "a sum", ok=False)
FINDING = v.Finding(v.TREES, 3, "a sum", "1", "2", None)


@pytest.mark.parametrize(
    ("checks", "finding", "word", "holds", "lacks"),
    [
        ([], None, "holds", True, ()),
        ([ERASED], None, "erased", True, (v.Lack.ERASED,)),
        ([SEALED, SEALED], None, "sealed", True, (v.Lack.SEALED,)),
        ([SEALED, ERASED], None, "erased", True, (v.Lack.ERASED, v.Lack.SEALED)),
        ([FAILED], None, "fails", False, ()),
        ([ERASED, FAILED], None, "fails", False, (v.Lack.ERASED,)),
        ([], FINDING, "fails", False, ()),
    ],
)
def test_a_verdict_in_one_word(
    checks: list[v.Check],
    finding: v.Finding | None,
    word: str,
    holds: bool,
    lacks: tuple[v.Lack, ...],
) -> None:
    verdict = replace(PASSING, checks=(*PASSING.checks, *checks), finding=finding)
    assert (verdict.word, verdict.holds, verdict.lacks) == (word, holds, lacks)
    shown = verdict.to_json()
    assert (shown["verdict"], shown["holds"]) == (word, holds)


def test_what_was_paid_adds_up() -> None:
    people = tuple(
        replace(person, payout=Wei(3**n)) for n, person in enumerate(PASSING.participants)
    )
    assert replace(PASSING, participants=people).due == 1 + 3 + 9 + 27


def test_signers_have_names() -> None:
    for person in PASSING.participants:
        assert PASSING.who(person.signer) == person.name
    assert PASSING.who(Address("0x" + "99" * 20)) is None
    assert PASSING.who(None) is None


def test_updates_count_by_their_reason() -> None:
    entries = tuple(v.Entry(participant, 5, participant % 3) for participant in range(6))
    summary = replace(PASSING.rounds[1], entries=entries)
    assert [entry.participant for entry in summary.counted] == [0, 3]
    assert [entry.participant for entry in summary.excluded] == [1, 2, 4, 5]


def test_json_holds_amounts_as_text_and_lists_as_lists() -> None:
    person = replace(
        PASSING.participants[0], payout=Wei(10**30), claimed=Wei(7), share=Fraction(1, 3)
    )
    shown = replace(PASSING, participants=(person,), finding=FINDING).to_json()
    assert isinstance(shown["participants"], list)
    (listed,) = shown["participants"]
    assert (listed["payout"], listed["claimed"], listed["share"]) == (str(10**30), "7", "1/3")
    assert listed["identity"] == f"0x{person.identity.hex()}"
    assert isinstance(shown["finding"], dict)
    assert (shown["finding"]["step"], shown["finding"]["signer"]) == ("trees", None)
    assert isinstance(shown["terms"], dict)
    assert shown["terms"]["pool"] == str(PASSING.terms.pool)
