"""The demo for people: a table that grows while the rounds go by, then what it all came to."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from fednode.demo.result import METHOD_NAMES, METHODS, DemoResult, Figure, RoundRow, Scores
from fednode.report_terminal import terminal
from ledger.audit.wording import DASH, MINUS, fixed

ETHER = 10**18


class LiveWatch:
    """Shows the rounds and, under them, what is happening now."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._table = _round_table()
        self._spinner = Spinner("dots", style="cyan")
        self._started = time.monotonic()
        self.say("starting")

    def say(self, text: str) -> None:
        """Show what happens now."""
        seconds = time.monotonic() - self._started
        self._spinner.update(text=Text.assemble(text, (f"  {seconds:.0f} s", "dim")))
        self._live.update(Group(self._table, self._spinner))

    def round(self, row: RoundRow, *, of: int) -> None:
        """Add an accepted round."""
        self._table.add_row(*_round_cells(row))
        done = row.version == of
        self.say("all rounds accepted" if done else f"training, round {row.version + 1} of {of}")

    def end(self) -> None:
        """Leave the table alone on the screen."""
        self._live.update(self._table)


@contextmanager
def watching(console: Console) -> Iterator[LiveWatch]:
    """Show the demo's progress for as long as the context lasts."""
    try:
        with Live(console=console, refresh_per_second=8) as live:
            watch = LiveWatch(live)
            try:
                yield watch
            finally:
                watch.end()
    except BaseException:
        # Into a file, rich leaves the table's last line open, and an error would go on in it.
        if not console.is_terminal:
            console.line()
        raise


def show(console: Console, result: DemoResult) -> None:
    """Print what the demo came to; last the audit's verdict and how to repeat it."""
    console.print()
    console.print(_headline(result))
    for part in (_scores(result, "auc"), _scores(result, "accuracy"), _contributions(result)):
        console.print()
        console.print(part)
    console.print()
    for note in result.notes:
        console.print(Text(note, style="dim"))
    console.print(_files(result))
    console.rule("audit: from the chain and the content store, nothing else", align="left")
    console.print(terminal(result.verdict))
    console.print(_again(result))
    console.print(Text(f"  {result.where.audit_command}", style="bold"), soft_wrap=True)


def _again(result: DemoResult) -> Text:
    alone = (
        ("The bundle alone gives the same verdict.", "green")
        if result.bundle_holds
        else ("The bundle alone does NOT give the same verdict.", "bold red")
    )
    return Text.assemble(alone, " Repeat the audit anywhere, without chain and IPFS:")


def _headline(result: DemoResult) -> RenderableType:
    within, auc, accuracy = (result.headline(m) for m in ("auc_within", "auc", "accuracy"))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(style="bold cyan")
    grid.add_column(style="dim")
    grid.add_row("AUC within hospitals", f"{within.value:.3f}", _bounds(within))
    grid.add_row("AUC, all rows together, own biases", f"{auc.value:.3f}", _bounds(auc))
    grid.add_row("accuracy, own biases", f"{accuracy.value:.3f}", _bounds(accuracy))
    title = f"Federated model on test rows, opened once (version {result.released})"
    return Panel(grid, title=title, title_align="left", border_style="cyan", expand=False)


def _round_table() -> Table:
    table = _table("Rounds")
    for name in ("round", "AUC within hospitals"):
        table.add_column(name, justify="right", header_style="dim")
    table.add_column("model", header_style="dim", style="dim")
    for name in ("updates", "gas", "seconds"):
        table.add_column(name, justify="right", header_style="dim")
    return table


def _round_cells(row: RoundRow) -> tuple[str, ...]:
    return (
        str(row.round),
        "statistics" if row.quality is None else f"{row.quality:.4f}",
        row.model[:16],
        f"{row.updates} of {row.seats}",
        f"{row.gas:,}",
        f"{row.seconds:.1f}",
    )


def _scores(result: DemoResult, metric: str) -> RenderableType:
    named = "AUC" if metric == "auc" else "Accuracy"
    table = _table(f"{named} on test rows, with 95 % intervals")
    table.add_column("hospital", header_style="dim")
    table.add_column("rows per class", justify="right", header_style="dim")
    for method in METHODS:
        style = "bold" if method == "federated" else ""
        table.add_column(METHOD_NAMES[method], header_style="dim", style=style)
    for site in result.sites:
        rows = " + ".join(str(count) for count in site.test)
        cells = (_score(site.scores[method], metric) for method in METHODS)
        table.add_row(site.title, rows, *cells)
    table.add_section()
    total = str(sum(sum(site.test) for site in result.sites))
    if metric == "auc":
        within = (_score(result.overall[method], "auc_within") for method in METHODS)
        table.add_row("within hospitals", total, *within)
    together = (_score(result.overall[method], metric) for method in METHODS)
    table.add_row("all rows together", total, *together)
    return table


def _score(scores: Scores, metric: str) -> Text:
    if scores.figures is None:
        return Text("too few", style="dim")
    figure = scores.figures[metric]
    return Text.assemble(f"{figure.value:.3f} ", (_bounds(figure), "dim"))


def _contributions(result: DemoResult) -> RenderableType:
    table = _table("Contributions (Shapley values, summed over all rounds) and payouts")
    table.add_column("hospital", header_style="dim")
    table.add_column("training rows", justify="right", header_style="dim")
    table.add_column("contribution", header_style="dim")
    for name in ("payout", "claimed"):
        table.add_column(name, justify="right", header_style="dim")
    for site in result.sites:
        value = site.contribution
        table.add_row(
            site.title,
            str(site.train),
            Text.assemble(f"{_signed(value.value)} ", (_bounds(value, signed=True), "dim")),
            _ether(site.payout),
            _ether(site.claimed),
        )
    paid = sum(site.payout for site in result.sites)
    overlap = " The intervals overlap: they give no ranking." if _overlap(result) else ""
    table.caption = (
        f"{_ether(paid)} of a pool of {_ether(result.pool)} paid, {_ether(result.refund)} "
        f"refunded.{overlap}"
    )
    table.caption_justify = "left"
    return table


def _overlap(result: DemoResult) -> bool:
    bounds = [site.contribution.interval for site in result.sites]
    return max(b.low for b in bounds) <= min(b.high for b in bounds)


def _files(result: DemoResult) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    files = result.where.files
    for name, value in (
        ("chain", result.where.chain),
        ("content", result.where.content),
        ("contract", result.where.ledger),
        ("federation", result.where.federation),
        ("plot", str(files.plot)),
        ("report for a board", str(files.report)),
        ("evidence bundle", str(files.bundle)),
        ("all results", str(files.json)),
        ("seconds", f"{result.seconds:.1f}"),
    ):
        grid.add_row(name, Text(value))
    return grid


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1))


def _bounds(figure: Figure, *, signed: bool = False) -> str:
    show_one = _signed if signed else "{:.2f}".format
    return f"[{show_one(figure.interval.low)} {DASH} {show_one(figure.interval.high)}]"


def _signed(value: float) -> str:
    text = fixed(Fraction(value), 3)
    return text if text.startswith(MINUS) else f"+{text}"


def _ether(wei: int) -> str:
    return fixed(Fraction(wei, ETHER), 6).rstrip("0").rstrip(".") + " ETH"
