from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from fednode.report_terminal import terminal
from ledger.audit.verdict import Verdict
from tests.ledger.audit import samples


def printed(verdict: Verdict, *, colour: bool = False) -> str:
    out = StringIO()
    Console(file=out, width=160, force_terminal=colour, color_system=None).print(terminal(verdict))
    return out.getvalue()


def test_terminal_ends_with_the_verdict() -> None:
    text = printed(samples.passing())
    assert "Everything that was checked holds." in text[-400:]
    assert "Cleveland Clinic Foundation" in text
    assert "0.312480000000000001 ETH" in text
    assert "✗" not in text


def test_terminal_names_the_finding() -> None:
    failing = samples.failing()
    assert failing.finding is not None
    text = printed(failing)
    assert "New model (aggregation), round 6" in text
    assert failing.finding.expected in text
    assert failing.finding.found in text
    assert "signed by  University Hospital Zurich" in text
    assert "✗" in text


def test_terminal_takes_hostile_names_as_text() -> None:
    passing = samples.passing()
    name = "[bold red]x[/]\x1b[2J\x1b]0;t\x07\u202e"
    people = tuple(replace(person, name=name) for person in passing.participants)
    text = printed(replace(passing, participants=people), colour=True)
    assert "[bold red]x[/]" in text
    assert "\x1b[2J" not in text
    assert "\x07" not in text
    assert "\u202e" not in text


@pytest.mark.parametrize(
    ("mode", "place"),
    [
        ("public", "Model quality, on published rows"),
        ("slices", "Model quality, on opened slices"),
        ("shards", "Model quality, sums of reported counts"),
        ("none", "Model quality, not measured"),
    ],
)
def test_terminal_says_what_was_checked_of_quality(mode: str, place: str) -> None:
    passing = samples.passing()
    text = printed(replace(passing, terms=replace(passing.terms, evaluation=mode)))
    assert place in text
    assert ("the word of the shards' owners" in text) == (mode == "shards")
    own = mode in ("slices", "shards")
    assert ("never figures of two rounds" in " ".join(text.split())) == own
    assert ("quality before, after" in text) == own
    assert "due" in text
    assert "payout" not in text
