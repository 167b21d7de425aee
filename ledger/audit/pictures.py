"""The report's pictures, as inline SVG drawn by a few small functions.

They carry no information of their own: each stands beside a table with the same figures. Colours
come from the page's style, so they follow light, dark and print; a mark's shape says as much as its
colour.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice
from math import ceil, floor, log10
from typing import Final, NamedTuple

from ledger.audit.markup import Markup, element, join
from ledger.audit.quality import comparable
from ledger.audit.verdict import UTILITY_UNIT, Check, ParticipantSummary, Step, Terms, Verdict
from ledger.audit.wording import (
    MINUS,
    count,
    fixed,
    lacked,
    metric,
    points,
    quality,
    rounded_amount,
)
from ledger.lines import clean

WIDTH: Final = 760
MOST_COLUMNS: Final = 24
LEAST_SPREAD: Final = Fraction(1, 10**9)
MOST_DIGITS: Final = 7

Number = int | float | Fraction


class Axis(NamedTuple):
    """A linear scale from values to pixels, with round numbers to mark.

    Values are exact, so that neither their size nor their difference is lost on the way to a pixel.
    """

    low: Fraction
    high: Fraction
    start: float
    end: float
    ticks: tuple[Fraction, ...]

    def __call__(self, value: Number) -> float:
        """Return the pixel of a value."""
        share = (Fraction(value) - self.low) / (self.high - self.low)
        return self.start + float(share) * (self.end - self.start)


def axis(values: Sequence[Number], start: float, end: float, *, marks: int = 5) -> Axis:
    """Return an axis with about `marks` round numbers that covers the values.

    Around values that are nearly the same it leaves room.
    """
    low, high = Fraction(min(values)), Fraction(max(values))
    size = max(abs(low), abs(high), Fraction(1))
    if high - low < size * LEAST_SPREAD:
        low, high = low - size / 100, high + size / 100
    step = _round_step((high - low) / marks)
    ticks = tuple(k * step for k in range(floor(low / step), ceil(high / step) + 1))
    return Axis(ticks[0], ticks[-1], start, end, ticks)


def quality_picture(verdict: Verdict) -> Markup | None:
    """Draw the measured quality of each model version, or nothing where none was measured. Only
    points of the same rows are joined.
    """
    lines = _lines(verdict)
    versions = [version for line in lines for version in line]
    if not versions:
        return None
    height, left, right, top, bottom = 280, 64, 24, 20, 48
    y = axis([Fraction(v, UTILITY_UNIT) for _, v in versions], height - bottom, top)
    numbers = sorted({number for number, _ in versions})
    x = Axis(Fraction(numbers[0]), Fraction(numbers[-1]), left, WIDTH - right, ())
    spots = [(x(n), y(Fraction(v, UTILITY_UNIT)), n, v) for n, v in versions]
    places = iter(f"{px:.1f},{py:.1f}" for px, py, _, _ in spots)
    drawn = [" ".join(islice(places, len(line))) for line in lines]
    labels = [
        _label(spots[0], "start", 10, 18 if versions[0][1] < lines[0][-1][1] else -12),
        _label(spots[-1], "end", 4, -12),
    ]
    caption = element(
        "text", "Model version", x=(left + WIDTH - right) / 2, y=height - 6, text_anchor="middle"
    )
    return _picture(
        height,
        f"Quality over model versions: {metric(verdict.terms.metric)}",
        " ".join(
            f"A line from {quality(line[0][1])} at version {line[0][0]} "
            f"to {quality(line[-1][1])} at version {line[-1][0]}."
            for line in lines
        ),
        [
            *_grid(y, left, WIDTH - right),
            *_version_marks(numbers, x, height - bottom + 20),
            *(element("polyline", points=at, class_="line") for at in drawn),
            *(_spot(spot, small=len(spots) > 40) for spot in spots),
            *labels,
            caption,
        ],
    )


def contribution_picture(verdict: Verdict) -> Markup | None:
    """Draw a bar per participant: its contribution, the interval around it, and what is due."""
    people = verdict.participants
    if not people:
        return None
    row, top, left, right = 44, 30, 220, 200
    height = top + row * len(people) + 30
    reach = [Fraction(0), *(bound for p in people for bound in _bounds(p))]
    x = axis(reach, left, WIDTH - right, marks=4)
    heads = [
        element("text", "Contribution", x=x(0), y=16, class_="strong"),
        element("text", "Due", x=WIDTH - 4, y=16, text_anchor="end", class_="strong"),
    ]
    rows = [
        mark
        for k, person in enumerate(people)
        for mark in _bar(person, x, top + row * k, verdict.terms)
    ]
    return _picture(
        height,
        "Contribution of each participant, and what it is due",
        "; ".join(
            f"{clean(p.name, 60)}: {points(p.value)}, {rounded_amount(p.payout, verdict.terms)}"
            for p in people
        ),
        [*_columns(x, top - 4, height - 26), *heads, *rows],
    )


def steps_picture(verdict: Verdict, steps: Sequence[Step]) -> Markup:
    """Draw a strip of marks per step of the audit: one for the federation, one per round or group
    of rounds.
    """
    columns = _spans([r.round for r in verdict.rounds])
    left, top, row = 190, 44, 28
    cell = min(32.0, (WIDTH - left - 66) / max(len(columns), 1))
    height = top + row * len(steps) + 6
    heads = [
        element("text", "whole", x=left + 16, y=34, text_anchor="middle", class_="soft"),
        *_round_heads(columns, left + 58, cell),
    ]
    marks: list[Markup] = []
    for k, step in enumerate(steps):
        y = top + row * k
        own = [check for check in verdict.checks if check.step == step]
        marks.append(element("text", step.title, x=0, y=y + 13))
        marks.append(_mark([c for c in own if c.round is None], left + 16, y + 9, step.title))
        for j, span in enumerate(columns):
            inside = [c for c in own if c.round is not None and c.round in span]
            place = f"{step.title}, {_span_name(span)}"
            marks.append(_mark(inside, left + 58 + cell * (j + 0.5), y + 9, place))
    return _picture(
        height,
        "The audit's steps, for the whole federation and for each round",
        f"{count(len(steps), 'step')} in {count(len(columns), 'column')}; "
        f"{count(sum(c.failed for c in verdict.checks), 'mark fails', 'marks fail')}.",
        [*heads, *marks],
    )


def _lines(verdict: Verdict) -> list[list[tuple[int, int]]]:
    """Give versions with their utilities, in lines of what is comparable: all rounds, or each."""
    rounds = [
        [(r.version - 1, r.utility_before), (r.version, r.utility_after)]
        for r in verdict.rounds
        if r.version is not None and r.utility_before is not None and r.utility_after is not None
    ]
    if not rounds or not comparable(verdict):
        return rounds
    return [[rounds[0][0], *(after for _, after in rounds)]]


def _grid(y: Axis, left: float, right: float) -> Iterator[Markup]:
    for tick in y.ticks:
        yield element("line", x1=left, x2=right, y1=y(tick), y2=y(tick), class_="grid")
        yield element(
            "text", _tick(tick, y), x=left - 10, y=y(tick) + 4, text_anchor="end", class_="soft"
        )


def _columns(x: Axis, top: float, bottom: float) -> Iterator[Markup]:
    for tick in x.ticks:
        kind = "grid" if tick else "zero"
        yield element("line", x1=x(tick), x2=x(tick), y1=top, y2=bottom, class_=kind)
        yield element(
            "text", _tick(tick, x), x=x(tick), y=bottom + 18, text_anchor="middle", class_="soft"
        )


def _version_marks(numbers: Sequence[int], x: Axis, y: float) -> Iterator[Markup]:
    every = max(1, ceil(len(numbers) / 15))
    for number in numbers[::every]:
        yield element("text", number, x=x(number), y=y, text_anchor="middle", class_="soft")


def _spot(spot: tuple[float, float, int, int], *, small: bool) -> Markup:
    x, y, number, value = spot
    title = element("title", f"version {number}: {quality(value)}")
    return element("circle", title, cx=x, cy=y, r=2.5 if small else 4.5, class_="spot")


def _label(spot: tuple[float, float, int, int], anchor: str, right: float, down: float) -> Markup:
    x, y, _, value = spot
    at = {"x": x + right, "y": y + down}
    return element("text", quality(value), text_anchor=anchor, class_="strong", **at)


def _bounds(person: ParticipantSummary) -> tuple[Fraction, ...]:
    values = (person.value, *(person.interval or ()))
    return tuple(Fraction(value) / UTILITY_UNIT for value in values)


def _bar(person: ParticipantSummary, x: Axis, top: float, terms: Terms) -> Iterator[Markup]:
    value, *interval = (x(bound) for bound in _bounds(person))
    start, end = sorted((x(0), value))
    middle = top + 20
    yield element("text", clean(person.name, 30), x=0, y=middle + 5)
    yield element(
        "rect",
        element("title", f"{clean(person.name, 60)}: {points(person.value)}"),
        x=start,
        y=top + 9,
        width=max(end - start, 1.0),
        height=22,
        rx=2,
        class_="bar" if person.value >= 0 else "bar under",
    )
    furthest = end
    if interval:
        low, high = interval
        whisker = (
            f"M{low:.1f} {middle}H{high:.1f}M{low:.1f} {middle - 5}v10M{high:.1f} {middle - 5}v10"
        )
        yield element("path", d=whisker, class_="whisker")
        furthest = max(end, high)
    yield element("text", points(person.value), x=furthest + 8, y=middle + 5, class_="strong")
    due = rounded_amount(person.payout, terms)
    yield element("text", due, x=WIDTH - 4, y=middle + 5, text_anchor="end")


def _spans(rounds: Sequence[int]) -> list[range]:
    """Group round numbers into at most MOST_COLUMNS ranges."""
    size = max(1, ceil(len(rounds) / MOST_COLUMNS))
    groups = [rounds[k : k + size] for k in range(0, len(rounds), size)]
    return [range(min(group), max(group) + 1) for group in groups]


def _span_name(span: range) -> str:
    return f"round {span[0]}" if len(span) == 1 else f"rounds {span[0]} to {span[-1]}"


def _round_heads(columns: Sequence[range], left: float, cell: float) -> Iterator[Markup]:
    if columns:
        middle = left + cell * len(columns) / 2
        yield element("text", "rounds", x=middle, y=14, text_anchor="middle", class_="soft")
    widest = max((len(str(span[0])) for span in columns), default=1)
    every = max(1, ceil((8 * widest + 8) / cell))
    for j, span in enumerate(columns):
        if j % every == 0:
            x = left + cell * (j + 0.5)
            yield element("text", span[0], x=x, y=34, text_anchor="middle", class_="soft")


def _mark(checks: Sequence[Check], x: float, y: float, place: str) -> Markup:
    if not checks:
        return element("circle", cx=x, cy=y, r=1.5, class_="none")
    if any(check.failed for check in checks):
        title = element("title", f"{place}: does not hold")
        cross = element("path", d=f"M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8", class_="cross")
        box = element("rect", x=x - 9, y=y - 9, width=18, height=18, rx=3, class_="fails")
        return element("g", title, box, cross)
    if missing := lacked(checks):
        title = element("title", f"{place}: {missing}")
        dash = element("path", d=f"M{x - 4.5:.1f} {y:.1f}h9", class_="dash")
        return element("g", title, element("circle", cx=x, cy=y, r=9, class_="lacks"), dash)
    title = element("title", f"{place}: {count(len(checks), 'check')} held")
    tick = element("path", d=f"M{x - 4.5:.1f} {y:.1f}l3.2 3.4l6 -7", class_="tick")
    return element("g", title, element("circle", cx=x, cy=y, r=9, class_="holds"), tick)


def _picture(height: float, title: str, text: str, marks: Sequence[Markup]) -> Markup:
    name = element("title", title)
    return element(
        "svg",
        name,
        element("desc", text),
        join(marks),
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
        aria_label=title,
    )


def _tick(value: Fraction, scale: Axis) -> str:
    places = max(0, -_exponent(scale.ticks[1] - scale.ticks[0]))
    if places <= MOST_DIGITS and abs(value) < 10**MOST_DIGITS:
        return fixed(value, places)
    exponent = _exponent(abs(value)) if value else 0
    return f"{fixed(value / Fraction(10) ** exponent, 2)}e{exponent}".replace("-", MINUS)


def _round_step(raw: Fraction) -> Fraction:
    power = Fraction(10) ** _exponent(raw)
    return next(m * power for m in (1, 2, 5, 10) if raw <= m * power * (1 + LEAST_SPREAD))


def _exponent(value: Fraction) -> int:
    """Return the power of ten at or below a positive number."""
    # Both logarithms are rounded, but a power is off by one at most.
    near = floor(log10(value.numerator) - log10(value.denominator))
    return max(n for n in (near - 1, near, near + 1) if Fraction(10) ** n <= value)
