import struct
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from fednode.demo import DemoResult
from fednode.demo.plot import png
from fednode.demo.result import METHODS, Figure, Scores
from fednode.demo.terminal import _ether, _signed, show, watching
from fednode.errors import FedNodeError
from incentives.intervals import Interval
from ledger.types import Wei


def shown(result: DemoResult, width: int = 110) -> str:
    out = StringIO()
    show(Console(file=out, width=width), result)
    return out.getvalue()


def test_terminal_shows_all_tables_and_the_verdict_last(played: DemoResult) -> None:
    text = shown(played)
    parts = ("AUC within hospitals", "too few", "Contributions", "Rounds", "checks held")
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert text.rstrip().endswith(played.where.audit_command)
    assert "Long Beach" in text


def test_terminal_never_cuts_the_command(played: DemoResult) -> None:
    assert played.where.audit_command in shown(played, width=60)


def test_terminal_says_when_the_bundle_alone_does_not_hold(played: DemoResult) -> None:
    broken = replace(played, bundle_holds=False)
    assert not broken.holds
    assert "does NOT give the same verdict" in shown(broken)


def test_watching_leaves_the_rounds(played: DemoResult) -> None:
    out = StringIO()
    with watching(Console(file=out, width=110)) as watch:
        watch.say("training")
        for row in played.rounds:
            watch.round(row, of=2)
    text = out.getvalue()
    assert played.rounds[2].model[:16] in text
    assert "statistics" in text
    assert "training" not in text


def test_plot_is_a_picture_of_some_size(played: DemoResult) -> None:
    data = png(played)
    assert data.startswith(b"\x89PNG\r\n")
    width, height = struct.unpack(">II", data[16:24])
    assert width > 1000
    assert height > 700


def test_plot_stands_one_round_and_hospitals_without_figures(played: DemoResult) -> None:
    none = {method: Scores(None) for method in METHODS}
    sites = tuple(replace(site, scores=none) for site in played.sites)
    assert png(replace(played, rounds=played.rounds[:2], sites=sites)).startswith(b"\x89PNG")


@pytest.mark.parametrize("value", [0.0, -0.25, 5e-324])
def test_plot_stands_hospitals_that_contribute_the_same(played: DemoResult, value: float) -> None:
    figure = Figure(value, Interval(value, value))
    sites = tuple(replace(site, contribution=figure, payout=Wei(0)) for site in played.sites)
    assert png(replace(played, sites=sites)).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (_signed(-0.0004), "+0.000"),
        (_signed(-1.5), "\N{MINUS SIGN}1.500"),
        (_ether(0), "0 ETH"),
        (_ether(1), "0 ETH"),
        (_ether(10 * 10**18), "10 ETH"),
        (_ether(2**70), "1,180.591621 ETH"),
    ],
)
def test_numbers_at_the_edges_read_well(shown: str, text: str) -> None:
    assert shown == text


def test_an_error_begins_on_its_own_line() -> None:
    out = StringIO()
    with pytest.raises(FedNodeError), watching(Console(file=out, width=110)):
        raise FedNodeError("refused")
    assert out.getvalue().endswith("\n")
