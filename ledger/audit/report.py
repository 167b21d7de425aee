"""The audit as one HTML file that a board can read: no script, no network, nothing but text and
drawn figures.

It begins with the verdict in plain words, goes on with pictures and their tables, says what the
audit does not cover, explains its words, and ends with the digests that an expert needs to repeat
it. It has no date but the trusted block's, so the same audit gives the same file.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from importlib.resources import files
from itertools import chain
from typing import Final

from ledger.audit.markup import Child, Markup, element, join
from ledger.audit.pictures import contribution_picture, quality_picture, steps_picture
from ledger.audit.quality import (
    NONE,
    SHARDS,
    basis,
    comparable,
    first_and_last,
    question,
    rows_differ,
    trust,
)
from ledger.audit.texts import glossary, limits
from ledger.audit.verdict import (
    STEPS,
    Finding,
    Lack,
    Outcome,
    RoundSummary,
    Step,
    Terms,
    Verdict,
)
from ledger.audit.wording import (
    DASH,
    amount,
    caveat,
    count,
    headline,
    lacked,
    metric,
    percent,
    points,
    quality,
    reason,
    rounded_amount,
    short,
    signed_by,
    tally,
    when,
)

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


def html(verdict: Verdict) -> str:
    """Return the report as one self-contained HTML document."""
    title = f"Audit of {verdict.terms.name}"
    style = files("ledger.audit").joinpath("report.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Markup(style)),
    )
    main = element("main", *_sections(verdict, title))
    page = element("html", head, element("body", main), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def _sections(verdict: Verdict, title: str) -> Iterator[Markup | None]:
    yield _header(verdict, title)
    yield _banner(verdict)
    if verdict.finding is not None:
        yield _finding(verdict, verdict.finding)
    yield _steps(verdict)
    if verdict.rounds:
        yield _quality(verdict)
        yield _contributions(verdict)
        yield _rounds(verdict)
    yield _limits(verdict)
    yield _glossary(verdict)
    yield _particulars(verdict)


def _header(verdict: Verdict, title: str) -> Markup:
    block = verdict.trusted_block
    return element(
        "header",
        element("p", "Audit report", class_="kicker"),
        element("h1", title),
        element(
            "p",
            f"As of block {block.number:,} of chain {verdict.chain_id}, {when(block.timestamp)}.",
            class_="soft",
        ),
        element("dl", *(_fact(*fact) for fact in _facts(verdict)), class_="facts"),
    )


def _facts(verdict: Verdict) -> Iterator[tuple[str, str, str]]:
    yield "Participants", f"{len(verdict.participants):,}", verdict.terms.rule
    yield (
        "Rounds",
        f"{len(verdict.rounds):,}",
        tally(verdict),
    )
    measured = first_and_last(verdict)
    if measured is not None:
        how = "" if comparable(verdict) else ", the first quality and each round's gain"
        yield (
            "Quality",
            quality(measured[1]),
            f"from {quality(measured[0])}: {metric(verdict.terms.metric)}{how}",
        )
    pool, taken = (
        rounded_amount(units, verdict.terms) for units in (verdict.terms.pool, verdict.claimed)
    )
    due = rounded_amount(verdict.due, verdict.terms)
    yield "Due", due, f"of a pool of {pool}, {taken} claimed"
    held = sum(check.ok for check in verdict.checks)
    yield (
        "Checks",
        f"{held:,} of {len(verdict.checks):,}",
        ", ".join(part for part in ("held", lacked(verdict.checks)) if part),
    )


def _void(verdict: Verdict) -> str:
    """Say how many rounds trained nothing, if any."""
    void = sum(r.outcome is Outcome.VOID for r in verdict.rounds)
    return f"; {count(void, 'more round')} ended without one" if void else ""


def _fact(name: str, value: str, more: str) -> Markup:
    return element("div", element("dt", name), element("dd", value, element("small", more)))


def _banner(verdict: Verdict) -> Markup:
    kind = "fails" if not verdict.holds else "lacks" if verdict.lacks else "holds"
    text = _good_news(verdict) if verdict.holds else _bad_news(verdict)
    words = element("div", element("h2", headline(verdict)), *(element("p", t) for t in text))
    return element(
        "section",
        element("div", _badge(kind), class_="badge"),
        words,
        class_=f"verdict {kind}",
    )


def _badge(kind: str) -> Markup:
    shape = element("circle", cx=26, cy=26, r=24, class_=kind)
    mark = element("path", d="M15 27l8 8l15 -17", class_="tick", style="stroke-width:5")
    if kind == "lacks":
        mark = element("path", d="M15 26h22", class_="dash", style="stroke-width:5")
    elif kind == "fails":
        shape = element("rect", x=3, y=3, width=46, height=46, rx=8, class_="fails")
        mark = element(
            "path", d="M16 16l20 20m0 -20l-20 20", class_="cross", style="stroke-width:6"
        )
    name = {"holds": "Holds", "lacks": "Holds in part", "fails": "Does not hold"}[kind]
    return element("svg", element("title", name), shape, mark, viewBox="0 0 52 52", role="img")


def _good_news(verdict: Verdict) -> Iterator[str]:
    if verdict.lacks:
        yield from _what_lacks(verdict)
        yield from trust(verdict)
        return
    versions = sum(r.version is not None for r in verdict.rounds)
    yield (
        f"{count(len(verdict.participants), 'participant')} trained one model in "
        f"{count(versions, 'round')} with an accepted result{_void(verdict)}. From the chain's "
        "record and the published bytes alone, this audit computed these results again: "
        f"{_computed(verdict)}."
    )
    if verdict.terms.exact or verdict.terms.evaluation in (SHARDS, NONE):
        yield "It came to the same numbers, to the last bit."
    else:
        yield (
            "It came to the same models and amounts, to the last bit. Quality was measured again "
            "within the tolerance that the policy allows."
        )
    yield from trust(verdict)


def _computed(verdict: Verdict) -> str:
    parts = ["each model", basis(verdict).checked]
    parts += ["each contribution"] if verdict.terms.valuation != "none" else []
    return f"{', '.join(filter(None, parts))} and each payment"


def _what_lacks(verdict: Verdict) -> Iterator[str]:
    yield "Nothing that could be checked was found wrong, but not everything could be checked."
    if Lack.ERASED in verdict.lacks:
        yield (
            "Participants may erase their own updates once a round is over, and must say so on the "
            "chain. What only these updates could show was taken from the record, unchecked: the "
            "table of steps counts it as erased. The rest of these rounds was computed again."
        )
    if Lack.SEALED in verdict.lacks:
        yield (
            "This federation's records are sealed for its members and auditors, and this audit had "
            "no key to them. It checked the history, signatures, deadlines and headers, and that "
            "the sealed bytes are there. It did not compute any model, contribution or payment: "
            "figures for them are missing below, or zero. Run it with --key to check them."
        )


def _bad_news(verdict: Verdict) -> Iterator[str]:
    finding = verdict.finding
    if finding is None:
        yield "At least one check failed; the tables below show which."
        return
    yield f"What was asked: {question(verdict, finding.step)} The answer is no."
    yield (
        "Nothing that builds on this step can be relied on: no later model version, contribution "
        "or payment. Figures below are those on record; they are shown, not confirmed."
    )
    doubt = caveat(finding)
    if doubt is not None:
        yield doubt


def _finding(verdict: Verdict, finding: Finding) -> Markup:
    place = "the federation as a whole" if finding.round is None else f"round {finding.round}"
    return element(
        "section",
        element("h2", "What does not hold"),
        element(
            "p",
            "This is the first step that does not hold. Steps after it rest on it.",
            class_="soft",
        ),
        _pairs(
            ("Step", finding.step.title),
            ("Where", place),
            ("What", finding.subject),
            ("Expected", element("span", finding.expected, class_="said")),
            ("Found", element("span", finding.found, class_="said")),
            ("Signed by", element("span", signed_by(verdict, finding.signer), class_="said")),
        ),
        class_="finding",
    )


def _steps(verdict: Verdict) -> Markup:
    steps = _used_steps(verdict)
    rows = [(step.title, question(verdict, step), *_answer(verdict, step)) for step in steps]
    return element(
        "section",
        element("h2", "What was checked"),
        element(
            "p",
            "Each row is a step of the audit, each column a round or a group of rounds. A tick: "
            "everything held. A cross: something did not. A dash: something could not be checked, "
            "as it was erased or is sealed. A dot: nothing to check there, or not reached.",
        ),
        element("div", steps_picture(verdict, steps), class_="scroll"),
        _table(
            ("Step", "What it asks", "Checks", "Answer"),
            [
                element(
                    "tr",
                    element("th", title, scope="row"),
                    element("td", asked),
                    element("td", checks, class_="number"),
                    element("td", answer, class_=kind),
                )
                for title, asked, checks, answer, kind in rows
            ],
            numbers={2},
        ),
    )


def _used_steps(verdict: Verdict) -> list[Step]:
    own = dict.fromkeys(check.step for check in verdict.checks)
    return [*STEPS, *(step for step in own if step not in STEPS)]


def _answer(verdict: Verdict, step: Step) -> tuple[str, str, str | None]:
    checks = [check for check in verdict.checks if check.step == step]
    own = [check.ok for check in checks]
    tally = f"{sum(own):,} of {len(own):,}"
    failed = any(check.failed for check in checks)
    if failed or (verdict.finding is not None and verdict.finding.step == step):
        return tally, "Does not hold", "bad"
    if not all(own):
        return tally, f"Not all checked: {lacked(checks)}", "lack"
    if own:
        complete = verdict.holds or all(
            check.round is None for check in verdict.checks if check.step == step
        )
        return f"{len(own):,}", "Holds" if complete else "Held so far", "good"
    return DASH, "Not reached" if not verdict.holds else "Nothing to check", None


def _quality(verdict: Verdict) -> Markup:
    picture = quality_picture(verdict)
    if picture is None:
        return element(
            "section", element("h2", "How the model improved"), element("p", _unmeasured(verdict))
        )
    return element(
        "section",
        element("h2", "How the model improved"),
        _reservation(verdict),
        element(
            "p",
            f"Quality of each model version: {metric(verdict.terms.metric)}, "
            f"{basis(verdict).rows}. Higher is better.",
        ),
        _rows_differ(verdict, "In the picture each line is one round. "),
        *(element("p", text) for text in trust(verdict)),
        element("div", picture, class_="scroll"),
    )


def _unmeasured(verdict: Verdict) -> str:
    if verdict.terms.evaluation == NONE:
        return "This federation's policy does not measure the model's quality."
    return "This audit has no record of a measured quality."


def _rows_differ(verdict: Verdict, first: str = "") -> Markup | None:
    text = rows_differ(verdict)
    return None if text is None else element("p", f"{first}{text}")


def _contributions(verdict: Verdict) -> Markup:
    picture = contribution_picture(verdict)
    whiskers = any(person.interval for person in verdict.participants)
    return element(
        "section",
        element("h2", "Who contributed, and what is due"),
        _reservation(verdict),
        element(
            "p",
            "A contribution is the part of the gained quality that is owed to a participant "
            f"(valuation: {verdict.terms.valuation}). Payouts follow from it by the policy's "
            "formula, in whole units, and add up exactly. Due is a participant's payout so far, "
            "claimed is what was taken of it.",
        ),
        element(
            "p",
            "The thin lines are 95 % intervals: on other rows of the same kind, contributions "
            "would have come out within them. Where they overlap, no order should be read into it.",
        )
        if whiskers
        else None,
        element("div", picture, class_="scroll") if picture else None,
        _participant_table(verdict),
    )


def _participant_table(verdict: Verdict) -> Markup:
    terms = verdict.terms
    rows = [
        element(
            "tr",
            element("th", person.name, scope="row"),
            _number(f"{person.weight:,}"),
            _number(points(person.value)),
            _number(percent(person.share)),
            _number(amount(person.payout, terms)),
            _number(_taken(person.claimed, person.payout, terms)),
        )
        for person in verdict.participants
    ]
    total = element(
        "tr",
        element("th", "Total", scope="row"),
        _number(""),
        _number(points(sum((p.value for p in verdict.participants), Fraction(0)))),
        _number(percent(sum((p.share for p in verdict.participants), Fraction(0)))),
        _number(amount(verdict.due, terms)),
        _number(_taken(verdict.claimed, verdict.due, terms)),
        class_="total",
    )
    heads = ("Participant", "Weight", "Contribution", "Share", "Due", "Claimed")
    return _table(heads, [*rows, total], numbers={1, 2, 3, 4, 5})


def _taken(claimed: int, due: int, terms: Terms) -> str:
    if claimed == due:
        return "all" if due else DASH
    return amount(claimed, terms) if claimed else "nothing yet"


def _rounds(verdict: Verdict) -> Markup:
    heads = (
        "Round",
        "Outcome",
        "Version",
        "Quality before",
        "after",
        "Updates",
        "Votes for",
        "Proposed by",
        "Gas",
    )
    exclusions = list(chain.from_iterable(_exclusions(verdict, r) for r in verdict.rounds))
    return element(
        "section",
        element("h2", "Round by round"),
        _reservation(verdict),
        _rows_differ(verdict),
        _table(heads, [_round_row(verdict, r) for r in verdict.rounds], numbers={2, 3, 4, 8}),
        element("h3", "Updates that did not count") if exclusions else None,
        element("ul", *(element("li", text) for text in exclusions)) if exclusions else None,
    )


def _round_row(verdict: Verdict, summary: RoundSummary) -> Markup:
    outcome = summary.outcome.value + (", statistics" if summary.statistics else "")
    attempts = f" at attempt {summary.attempts}" if summary.attempts > 1 else ""
    against = f", {summary.votes_against} no" if summary.votes_against else ""
    votes = f"{summary.votes_for} of {summary.seats}{against}"
    updates = f"{len(summary.counted)} of {len(summary.entries)}"
    return element(
        "tr",
        element("th", summary.round, scope="row", class_="tight"),
        element("td", outcome + attempts),
        _number(DASH if summary.version is None else str(summary.version)),
        _number(quality(summary.utility_before)),
        _number(quality(summary.utility_after)),
        element("td", updates if summary.entries else DASH),
        element("td", votes if summary.result else DASH, class_="whole"),
        element("td", verdict.who(summary.proposer) or short(summary.proposer), class_="fill"),
        _number(DASH if summary.gas is None else f"{summary.gas:,}"),
    )


def _exclusions(verdict: Verdict, summary: RoundSummary) -> Iterator[str]:
    names = {person.index: person.name for person in verdict.participants}
    for entry in summary.excluded:
        name = names.get(entry.participant, f"participant {entry.participant}")
        yield f"Round {summary.round}, {name}: {reason(entry.reason)}."


def _limits(verdict: Verdict) -> Markup:
    notes = element("ul", *(element("li", note) for note in verdict.notes))
    return element(
        "section",
        element("h2", "What this audit does not cover"),
        element("ul", *(element("li", limit) for limit in limits(verdict))),
        element("h3", "Notes of this audit") if verdict.notes else None,
        notes if verdict.notes else None,
    )


def _glossary(verdict: Verdict) -> Markup:
    return element("section", element("h2", "Words"), _pairs(*glossary(verdict)))


def _particulars(verdict: Verdict) -> Markup:
    block = verdict.trusted_block
    results = [r for r in verdict.rounds if r.result is not None]
    return element(
        "section",
        element("h2", "For experts"),
        element(
            "p",
            "Anybody can repeat this audit from the evidence bundle, without the chain and without "
            "the store:",
        ),
        element(
            "p",
            f"fednode audit --bundle FILE --trust-block 0x{block.hash.hex()}",
            class_="mono fill",
            style="overflow-wrap:anywhere",
        ),
        _pairs(
            ("Federation", _mono(f"0x{verdict.federation.hex()}")),
            ("Chain", str(verdict.chain_id)),
            ("Contract", _mono(verdict.contract)),
            ("Trusted block", _mono(f"{block.number} 0x{block.hash.hex()}")),
        ),
        element("h3", "Participants") if verdict.participants else None,
        _pairs(
            *(
                (
                    p.name,
                    join(
                        [
                            _mono(p.signer),
                            element("br"),
                            "identity ",
                            _mono(f"0x{p.identity.hex()}"),
                        ]
                    ),
                )
                for p in verdict.participants
            )
        ),
        element("h3", "Results") if results else None,
        _pairs(*((f"Round {r.round}", _result(r)) for r in results)),
    )


def _result(summary: RoundSummary) -> Markup:
    digest = "" if summary.result is None else f"0x{summary.result.hex()}"
    times = f"opened {when(summary.opened_at)}, ended {when(summary.ended_at)}"
    return join([_mono(digest), element("br"), element("span", times, class_="soft small")])


def _reservation(verdict: Verdict) -> Markup | None:
    if verdict.holds and Lack.SEALED not in verdict.lacks:
        return None
    text = "These figures are on record; this audit does not confirm them."
    if verdict.holds:
        text = "What is sealed from this audit is missing here, or shown as zero."
    return element("p", text, class_="warn")


def _mono(text: str) -> Markup:
    return element("span", text, class_="mono")


def _number(text: str) -> Markup:
    return element("td", text, class_="number")


def _pairs(*pairs: tuple[str, Child]) -> Markup:
    items = chain.from_iterable((element("dt", k), element("dd", v)) for k, v in pairs)
    return element("dl", *items, class_="pairs")


def _table(heads: Sequence[str], rows: Sequence[Markup], *, numbers: set[int]) -> Markup:
    cells = [
        element("th", head, scope="col", class_="number" if k in numbers else None)
        for k, head in enumerate(heads)
    ]
    table = element("table", element("thead", element("tr", *cells)), element("tbody", *rows))
    return element("div", table, class_="scroll")
