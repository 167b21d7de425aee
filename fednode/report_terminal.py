"""An audit's verdict for the terminal, with rich.

Everything that others wrote goes through `clean` and is shown as plain text, so that no name or
finding can steer the terminal or rich's own markup.
"""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ledger.audit.quality import basis, rows_differ, trust
from ledger.audit.verdict import STEPS, UTILITIES, Finding, RoundSummary, Step, Verdict
from ledger.audit.wording import (
    DASH,
    amount,
    caveat,
    count,
    headline,
    lacked,
    lacking,
    points,
    quality,
    reason,
    short,
    signed_by,
    tally,
    when,
)
from ledger.lines import clean


def terminal(verdict: Verdict) -> RenderableType:
    """Return the verdict as something that a rich console prints."""
    return Group(*_parts(verdict))


def _parts(verdict: Verdict) -> Iterator[RenderableType]:
    if verdict.rounds:
        yield _rounds(verdict)
    if verdict.participants:
        yield _participants(verdict)
    yield _steps(verdict)
    yield from (Text(f"Note: {clean(note)}", style="dim") for note in _notes(verdict))
    if verdict.finding is not None:
        yield _finding(verdict, verdict.finding)
    yield _headline(verdict)


def _notes(verdict: Verdict) -> Iterator[str]:
    yield from trust(verdict)
    differ = rows_differ(verdict)
    if differ is not None and verdict.rounds:
        yield differ
    yield from verdict.notes


def _headline(verdict: Verdict) -> RenderableType:
    block = verdict.trusted_block
    held = sum(check.ok for check in verdict.checks)
    more = (
        f"{clean(verdict.terms.name, 80)}: {held:,} of {count(len(verdict.checks), 'check')} held, "
        f"{lacking(verdict)}"
        f"up to block {block.number:,} of chain {verdict.chain_id} ({when(block.timestamp)})"
    )
    colour = "red" if not verdict.holds else "yellow" if verdict.lacks else "green"
    text = Text.assemble((headline(verdict), f"bold {colour}"), "\n", more)
    return Panel(text, border_style=colour, expand=False)


def _finding(verdict: Verdict, finding: Finding) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    place = "whole federation" if finding.round is None else f"round {finding.round}"
    for name, value in (
        ("step", f"{finding.step.title} ({finding.step.name}), {place}"),
        ("what", finding.subject),
        ("expected", finding.expected),
        ("found", finding.found),
        ("signed by", signed_by(verdict, finding.signer)),
    ):
        grid.add_row(name, Text(clean(value)))
    doubt = caveat(finding)
    if doubt is not None:
        grid.add_row("first", Text(doubt))
    title = "The first step that does not hold"
    return Panel(grid, title=title, title_align="left", border_style="red", expand=False)


def _steps(verdict: Verdict) -> Table:
    table = _table("Steps of the audit", ("", "step", "checks"), right={2})
    used = dict.fromkeys((*STEPS, *(check.step for check in verdict.checks)))
    for step in used:
        own = [check for check in verdict.checks if check.step == step]
        lacks = lacked(own)
        tally = f"{sum(check.ok for check in own)} of {len(own)}" if own else DASH
        table.add_row(
            _step_mark(verdict, step),
            _title(verdict, step),
            tally + (f", {lacks}" if lacks else ""),
        )
    return table


def _title(verdict: Verdict, step: Step) -> str:
    place = basis(verdict).place if step == UTILITIES else ""
    return f"{step.title}, {place}" if place else step.title


def _step_mark(verdict: Verdict, step: Step) -> Text:
    own = [check for check in verdict.checks if check.step == step]
    if any(check.failed for check in own) or (verdict.finding and verdict.finding.step == step):
        return Text("✗", "red")
    if any(check.lack for check in own):
        return Text("–", "yellow")
    return Text("✓", "green") if own else Text("·", "dim")


def _participants(verdict: Verdict) -> Table:
    heads = ("participant", "signer", "weight", "contribution", "due", "claimed")
    table = _table("Participants", heads, right={2, 3, 4, 5})
    for person in verdict.participants:
        table.add_row(
            Text(clean(person.name, 40)),
            short(person.signer),
            f"{person.weight:,}",
            points(person.value),
            amount(person.payout, verdict.terms),
            amount(person.claimed, verdict.terms),
        )
    return table


def _rounds(verdict: Verdict) -> Table:
    chained = rows_differ(verdict) is None
    measured = "quality" if chained else "quality before, after"
    heads = ("round", "outcome", "version", measured, "updates", "votes", "result", "gas")
    table = _table(f"Rounds: {tally(verdict)}", heads, right={0, 2, 3, 7})
    for summary in verdict.rounds:
        table.add_row(*_round_row(summary, chained=chained))
    return table


def _round_row(summary: RoundSummary, *, chained: bool) -> Iterator[str]:
    yield str(summary.round)
    yield summary.outcome.value + (" (statistics)" if summary.statistics else "")
    yield DASH if summary.version is None else str(summary.version)
    before = "" if chained or summary.utility_before is None else quality(summary.utility_before)
    yield (
        f"{before}, {quality(summary.utility_after)}" if before else quality(summary.utility_after)
    )
    left_out = ", ".join(dict.fromkeys(reason(entry.reason) for entry in summary.excluded))
    updates = f"{len(summary.counted)} of {len(summary.entries)}" if summary.entries else DASH
    yield f"{updates} ({left_out})" if left_out else updates
    yield f"{summary.votes_for}:{summary.votes_against}" if summary.result else DASH
    yield short(summary.result)
    yield DASH if summary.gas is None else f"{summary.gas:,}"


def _table(title: str, heads: Sequence[str], *, right: set[int]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1))
    for k, head in enumerate(heads):
        table.add_column(head, justify="right" if k in right else "left", header_style="dim")
    return table
