"""The demo in one picture: quality by round, all hospitals' figures, contributions, payouts."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Final

from fednode.demo import result as demo
from fednode.demo.result import METHOD_NAMES, METHODS, DemoResult, Method, Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

# Okabe and Ito's colours, which people see apart whatever their eyes.
COLOURS: Final[dict[Method, str]] = {
    "local": "#8c8c8c",
    "pooled": "#e69f00",
    "federated": "#0072b2",
}
MUTED: Final = "#6b7781"
LINE: Final = "#b8c0c6"
ETHER: Final = 10**18
LEAST_SPREAD: Final = 0.01
"""What an axis covers where all values are the same."""


def png(result: DemoResult) -> bytes:
    """Draw the result as a PNG."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with as_file(files("fednode.demo") / "plot.mplstyle") as style, rc_context(fname=style):
        canvas = Figure(figsize=(13, 9), dpi=130, facecolor="white")
        FigureCanvasAgg(canvas)
        axes = canvas.subplots(2, 2, width_ratios=(1, 1.25))
        canvas.subplots_adjust(
            left=0.08, right=0.975, top=0.83, bottom=0.075, wspace=0.16, hspace=0.38
        )
        _heading(canvas, result)
        _rounds(axes[0][0], result)
        _scores(axes[0][1], result, "auc")
        _contributions(axes[1][0], result)
        _scores(axes[1][1], result, "accuracy")
        out = io.BytesIO()
        canvas.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _heading(canvas: Canvas, result: DemoResult) -> None:
    within, auc, accuracy = (result.headline(m) for m in ("auc_within", "auc", "accuracy"))
    size = f"{len(result.sites)} hospitals, {result.rounds[-1].version} rounds"
    canvas.text(
        0.08,
        0.945,
        f"{size}, one model of heart disease",
        fontsize=17,
        fontweight="bold",
    )
    canvas.text(
        0.08,
        0.905,
        f"On test rows: AUC within hospitals {within.value:.3f}, pooled AUC {auc.value:.3f}, "
        f"accuracy {accuracy.value:.3f}.   Bars are 95 % intervals of resampled rows.",
        fontsize=10.5,
        color=MUTED,
    )
    holds = result.holds
    canvas.text(
        0.975,
        0.947,
        f"audit: {len(result.verdict.checks)} checks hold" if holds else "audit: does not hold",
        fontsize=10.5,
        fontweight="bold",
        color="white",
        ha="right",
        bbox={
            "boxstyle": "round,pad=0.5",
            "facecolor": "#2a7f4f" if holds else "#b3261e",
            "edgecolor": "none",
        },
    )


def _rounds(axes: Axes, result: DemoResult) -> None:
    measured = [(row.version, row.quality) for row in result.rounds if row.quality is not None]
    numbers, values = [n for n, _ in measured], [q for _, q in measured]
    axes.plot(numbers, values, color=COLOURS["federated"], linewidth=2, marker="o", markersize=6)
    spread = max(max(values) - min(values), LEAST_SPREAD)
    axes.set_ylim(min(values) - 0.35 * spread, max(values) + 0.35 * spread)
    axes.set_xlim(numbers[0] - 0.5, numbers[-1] + 0.5)
    axes.set_xticks(numbers[:: -(-len(numbers) // 12)])
    axes.set_title("Quality by round: AUC within hospitals, valuation rows")
    axes.set_xlabel("round")
    axes.grid(axis="x", visible=False)
    for place, up in {0: -18, len(values) - 1: 10}.items():
        axes.annotate(
            f"{values[place]:.3f}",
            (numbers[place], values[place]),
            xytext=(0, up),
            textcoords="offset points",
            ha="center",
            fontweight="bold",
            color=COLOURS["federated"],
        )
    axes.text(
        0.98,
        0.05,
        f"untrained model: {result.start:.3f}",
        transform=axes.transAxes,
        ha="right",
        color=MUTED,
    )


def _scores(axes: Axes, result: DemoResult, metric: str) -> None:
    together = "within hospitals" if metric == "auc" else "all rows"
    names = [*(site.title for site in result.sites), together]
    for place, site in enumerate(result.sites):
        _group(axes, place, [site.scores[method] for method in METHODS], metric)
    last = "auc_within" if metric == "auc" else metric
    axes.axvspan(len(names) - 1.5, len(names) - 0.5, color="#f3f6f8", zorder=0)
    _group(axes, len(names) - 1, [result.overall[method] for method in METHODS], last)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_xticks(range(len(names)), names)
    axes.grid(axis="x", visible=False)
    named = "AUC" if metric == "auc" else "Accuracy"
    axes.set_title(f"{named} on test rows, opened once")
    if metric == "auc":
        _legend(axes)


def _group(axes: Axes, place: int, scores: Sequence[Scores], metric: str) -> None:
    """Draw one hospital's three dots with their bars, or say that there are too few rows."""
    if any(score.figures is None for score in scores):
        axes.text(
            place,
            0.5,
            "too few\nof a class",
            ha="center",
            va="center",
            color=MUTED,
            transform=axes.get_xaxis_transform(),
        )
        return
    for shift, method, score in zip((-0.22, 0, 0.22), METHODS, scores, strict=True):
        assert score.figures is not None
        figure = score.figures[metric]
        axes.errorbar(
            place + shift,
            figure.value,
            yerr=_bars(figure),
            fmt="o",
            markersize=8,
            color=COLOURS[method],
            elinewidth=2.2,
        )


def _bars(figure: demo.Figure) -> list[list[float]]:
    below, above = figure.value - figure.interval.low, figure.interval.high - figure.value
    return [[max(below, 0.0)], [max(above, 0.0)]]


def _legend(axes: Axes) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=COLOURS[m], marker="o", linewidth=2.2, label=METHOD_NAMES[m])
        for m in METHODS
    ]
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(-0.01, -0.02), fontsize=9)


def _contributions(axes: Axes, result: DemoResult) -> None:
    places = range(len(result.sites))
    values = [site.contribution.value for site in result.sites]
    highest = max(0.0, *(site.contribution.interval.high for site in result.sites))
    lowest = min(0.0, *(site.contribution.interval.low for site in result.sites))
    spread = max(highest - lowest, LEAST_SPREAD)
    axes.barh(places, values, height=0.5, color=COLOURS["federated"], alpha=0.35)
    for place, site in zip(places, result.sites, strict=True):
        axes.errorbar(
            site.contribution.value,
            place,
            xerr=_bars(site.contribution),
            fmt="o",
            color=COLOURS["federated"],
            markersize=7,
            elinewidth=2.2,
        )
        axes.text(
            highest + 0.03 * spread,
            place,
            f"{site.payout / ETHER:.3f} ETH",
            va="center",
            fontweight="bold",
        )
    axes.axvline(0, color=LINE, linewidth=1)
    axes.set_yticks(places, [site.title for site in result.sites])
    axes.invert_yaxis()
    axes.set_xlim(lowest - 0.05 * spread, highest + 0.27 * spread)
    axes.grid(axis="y", visible=False)
    paid = sum(site.payout for site in result.sites) / ETHER
    axes.set_title(f"Shapley values, and payouts: {paid:.3f} ETH")
    axes.set_xlabel("gain of AUC within hospitals, valuation rows")
