"""What every report must have: no outside reference, everything escaped, the finding named."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.audit import verdict as v
from ledger.audit import wording
from ledger.audit.markup import Markup, element
from ledger.audit.pictures import _tick, axis, contribution_picture, quality_picture
from ledger.audit.report import html
from ledger.lines import clean
from ledger.types import Address, Digest, FederationId, Wei
from tests.ledger.audit import samples

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=a()>&amp;\u202egnp.exe\x1b[31m\x00\ud800"
VOID = {"meta", "br", "line", "rect", "circle", "path", "polyline"}


class Reader(HTMLParser):
    """Collects elements, attributes and text, and checks that tags nest."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID or tag in {"rect", "circle", "path"}:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def early_failure() -> v.Verdict:
    """A contract that is not ours: the audit learns nothing else."""
    address = Address("0x" + "11" * 20)
    return v.Verdict(
        federation=FederationId(bytes(32)),
        chain_id=1,
        contract=address,
        trusted_block=v.TrustedBlock(7, Digest(bytes(32)), 0),
        terms=v.Terms("?", "?", "?", "?", Wei(0)),
        rounds=(),
        participants=(),
        checks=(v.Check(v.CONTRACT, None, "address", ok=False),),
        finding=v.Finding(v.CONTRACT, None, "address", "0x22", str(address), None),
    )


SAMPLES = {
    "passing": samples.passing,
    "failing": samples.failing,
    "early": early_failure,
    "many": lambda: samples.passing(130),
    "one": lambda: samples.passing(1),
}


@pytest.fixture(params=list(SAMPLES.values()), ids=list(SAMPLES))
def verdict(request: pytest.FixtureRequest) -> v.Verdict:
    build: Callable[[], v.Verdict] = request.param
    return build()


def test_report_needs_nothing_from_outside(verdict: v.Verdict) -> None:
    page = html(verdict)
    assert "://" not in page
    assert "url(" not in page
    assert "@import" not in page
    tags = Reader(page).tags
    assert not {"script", "link", "img", "iframe", "object", "embed", "a"} & {t for t, _ in tags}
    assert not [key for _, attrs in tags for key in attrs if key in {"src", "href", "onload"}]


def test_report_is_a_sound_document(verdict: v.Verdict) -> None:
    page = html(verdict)
    assert page.startswith("<!DOCTYPE html>\n<html")
    assert page == html(verdict)
    tags = Reader(page).tags
    assert dict(tags[0][1]) == {"lang": "en"}
    pictures = [attrs for tag, attrs in tags if tag == "svg"]
    assert all(attrs["role"] == "img" for attrs in pictures)
    assert page.count("<svg") == len(re.findall(r"<svg[^>]*><title>", page))
    assert not re.search(r'="[^"]*\b(nan|inf)\b', page)


def test_report_begins_with_the_verdict(verdict: v.Verdict) -> None:
    text = Reader(html(verdict)).text
    headline = wording.headline(verdict)
    assert headline in text
    assert text.index(headline) < text.index("What was checked")


def test_passing_report_shows_rounds_people_and_amounts() -> None:
    passing = samples.passing()
    text = Reader(html(passing)).text
    assert "What does not hold" not in text
    assert "not confirm" not in text
    for person in passing.participants:
        assert person.name in text
        assert person.signer in text
        assert wording.amount(person.payout, passing.terms) in text
    for result in (r.result for r in passing.rounds if r.result is not None):
        assert result.hex() in text
    assert "V.A. Medical Center, Long Beach: beyond the allowed size" in text
    assert passing.notes[0] in text


def test_report_sums_up_beneath_its_title() -> None:
    text = Reader(html(samples.passing())).text
    for fact in (
        "As of block 412 of chain 31337, 2026-09-21 15:43 UTC.",
        "Participants 4 weighted mean (FedAvg)",
        "Rounds 11 10 accepted results, 1 void",
        "Quality 0.8487 from 0.7786: AUC within hospitals",
        "Due 0.6385 ETH of a pool of 1.0000 ETH, 0.5269 ETH claimed",
        "Checks 446 of 446 held",
    ):
        assert fact in text


def of_mode(mode: str, **changes: object) -> v.Verdict:
    """A verdict of a federation that measures on such rows; but on public rows no round begins
    with the quality that the one before ended with, and `none` has no quality.
    """
    base = samples.passing()
    gap = 0 if mode == "public" else 36_700
    rounds = tuple(
        r
        if r.utility_before is None
        else replace(
            r,
            utility_before=None if mode == "none" else r.utility_before + gap * r.round,
            utility_after=None
            if mode == "none" or r.utility_after is None
            else r.utility_after + gap * r.round,
        )
        for r in base.rounds
    )
    terms = replace(base.terms, evaluation=mode)
    return replace(base, terms=terms, rounds=rounds, **changes)  # type: ignore[arg-type]


MEASURED = {
    "public": ("each measured quality,", "on the published rows", "published before training"),
    "slices": ("each quality on an opened slice,", "on the opened slices", "its holder"),
    "shards": ("the sum of the counts that participants reported,", "owners reported?", "shards"),
    "none": ("each model, each contribution and", "measures no quality", "not measure it"),
}


@pytest.mark.parametrize("mode", MEASURED)
def test_report_says_what_was_checked_of_quality(mode: str) -> None:
    text = Reader(html(of_mode(mode))).text.replace("their holder", "its holder")
    assert [part for part in MEASURED[mode] if part not in text] == []
    others = (part for other in MEASURED.values() if other != MEASURED[mode] for part in other[:2])
    assert [part for part in others if part in text] == []
    word = "these rest on the word of the shards' owners"
    assert text.count(word) == (2 if mode == "shards" else 0)
    assert ("set aside" in text) == (mode in ("public", "slices"))
    measured_again = "Does measuring the models again"
    assert (measured_again in text) == (mode in ("public", "slices"))


@pytest.mark.parametrize("mode", ["shards", "none"])
def test_no_tolerance_applies_to_what_was_not_measured(mode: str) -> None:
    verdict = of_mode(mode)
    text = Reader(html(replace(verdict, terms=replace(verdict.terms, exact=False)))).text
    assert "within the tolerance" not in text


def test_report_tells_counts_that_were_measured_again_from_others() -> None:
    text = Reader(html(of_mode("shards", remeasured=3))).text
    assert "3 reports of counts were measured again on shards" in text
    assert "All other counts rest on the word" in text
    assert "Whether the counts on the other shards are true." in text
    assert "measured no rows" not in text


@pytest.mark.parametrize("lack", [v.Lack.ERASED, v.Lack.SEALED])
def test_an_incomplete_audit_of_shards_says_whose_word_it_takes(lack: v.Lack) -> None:
    base = of_mode("shards")
    missing = v.Check(v.UTILITIES, 3, "the counts", ok=False, lack=lack)
    text = Reader(html(replace(base, checks=(*base.checks, missing)))).text
    assert ("the word of the shards' owners" in text) == (lack is v.Lack.ERASED)
    assert "Whether the counts on shards are true." in text


@pytest.mark.parametrize("mode", ["public", "slices", "shards"])
def test_only_comparable_quality_is_joined_and_its_gains_are_summed(mode: str) -> None:
    verdict = of_mode(mode)
    page = html(verdict)
    measured = [r for r in verdict.rounds if r.utility_before is not None]
    own = mode != "public"
    assert page.count("<polyline") == (len(measured) if own else 1)
    assert ("never figures of two rounds" in page) == own
    # The gap moves the first quality as it moves each round, and no gain.
    first, last = (0.8153, 0.8854) if own else (0.7786, 0.8487)
    assert f"Quality {last} from {first}: AUC within hospitals" in Reader(page).text
    assert ("the first quality and each round's gain" in Reader(page).text) == own


@pytest.mark.parametrize(
    ("claimed", "text"), [(0, "0.0000 ETH claimed"), (None, "0.6385 ETH claimed")]
)
def test_what_is_due_is_told_from_what_was_claimed(claimed: int | None, text: str) -> None:
    base = samples.passing()
    people = tuple(
        replace(p, claimed=Wei(p.payout if claimed is None else claimed)) for p in base.participants
    )
    page = Reader(html(replace(base, participants=people))).text
    assert f"Due 0.6385 ETH of a pool of 1.0000 ETH, {text}" in page
    assert "Paid out" not in page


def test_failing_report_names_step_values_and_signer() -> None:
    failing = samples.failing()
    assert failing.finding is not None
    text = Reader(html(failing)).text
    for part in (failing.finding.subject, failing.finding.expected, failing.finding.found):
        assert part in text
    assert f"University Hospital Zurich ({failing.finding.signer})" in text
    assert "Does not hold: new model in round 6." in text
    assert text.count("this audit does not confirm them") == 3


def with_text(text: str) -> v.Verdict:
    """Put a text into every place that strangers fill in."""
    base = samples.failing()
    assert base.finding is not None
    step = v.Step("own", text, text)
    address = Address(text)
    return replace(
        base,
        contract=address,
        terms=v.Terms(text, text, text, text, Wei(5), address),
        participants=tuple(replace(p, name=text, signer=address) for p in base.participants),
        checks=(*base.checks, v.Check(step, 1, text, ok=True)),
        rounds=tuple(replace(r, proposer=address) for r in base.rounds),
        finding=replace(base.finding, subject=text, expected=text, found=text, signer=address),
        notes=(text,),
    )


def test_hostile_text_stays_text() -> None:
    page = html(with_text(HOSTILE))
    quiet = html(with_text("x"))
    assert [tag for tag, _ in Reader(page).tags] == [tag for tag, _ in Reader(quiet).tags]
    assert "<script>alert(1)" in Reader(page).text
    assert not {"\u202e", "\x1b", "\x00", "\ud800"} & set(page)
    page.encode("utf-8")


@given(st.text(max_size=40))
def test_any_text_stays_text(text: str) -> None:
    page = element("p", text, title=text)
    reader = Reader(page)
    assert [tag for tag, _ in reader.tags] == ["p"]
    assert set(reader.tags[0][1]) == {"title"}
    page.encode("utf-8")


def test_markup_is_kept_and_text_is_not() -> None:
    bold = element("b", "<")
    assert element("p", bold, " & ", 3, None) == "<p><b>&lt;</b> &amp; 3</p>"
    assert (
        element("line", x1=0.5, stroke_width=2, class_=None) == '<line x1="0.5" stroke-width="2"/>'
    )
    assert isinstance(bold, Markup)


def test_json_is_complete_and_exact() -> None:
    passing = samples.passing()
    record = json.loads(json.dumps(passing.to_json()))
    assert record["holds"] is True
    assert record["federation"] == "0x" + passing.federation.hex()
    first = record["participants"][0]
    assert first["payout"] == "312480000000000001"
    assert Fraction(first["value"]) == passing.participants[0].value
    assert record["rounds"][4]["outcome"] == "void"
    assert record["finding"] is None
    failing = samples.failing().to_json()
    assert failing["holds"] is False
    finding = failing["finding"]
    assert isinstance(finding, dict)
    assert (finding["step"], finding["round"]) == ("aggregation", 6)


@pytest.mark.parametrize(
    ("units", "text"),
    [
        (0, "0 ETH"),
        (1, "0.000000000000000001 ETH"),
        (10**18, "1 ETH"),
        (1234 * 10**18 + 5 * 10**17, "1,234.5 ETH"),
        (2**128 - 1, "340,282,366,920,938,463,463.374607431768211455 ETH"),
    ],
)
def test_amounts_are_exact(units: int, text: str) -> None:
    terms = samples.passing().terms
    assert wording.amount(units, terms) == text
    token = replace(terms, token=Address("0x" + "22" * 20))
    assert wording.amount(units, token) == f"{units:,} units"


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (wording.when(None), "–"),
        (wording.when(0), "1970-01-01 00:00 UTC"),
        (wording.when(2**40 - 1), "second 1099511627775"),
        (wording.quality(842_133), "0.8421"),
        (wording.quality(-693_147), "−0.6931"),
        (wording.points(Fraction(-3210)), "−0.0032"),
        (wording.points(Fraction(61340)), "+0.0613"),
        (wording.reason(4), "beyond the allowed size"),
        (wording.reason(99), "unknown reason 99"),
        (wording.short(Digest(b"\xab" * 32)), "0xababab…abab"),
        (clean("a\nb\x1b[1m\u202e" + "c" * 500, 12), "a b�[1m�ccc…"),
    ],
)
def test_values_read_well(shown: str, text: str) -> None:
    assert shown == text


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (wording.quality(-1), "0.0000"),
        (wording.quality(-(2**63)), "−9,223,372,036,854.7758"),
        (wording.points(Fraction(-1, 3)), "+0.0000"),
        (wording.points(Fraction(10**399)), f"+1{',000' * 131}.0000"),
        (wording.percent(Fraction(1, 3)), "33.3%"),
        (wording.percent(Fraction(-1, 10**400)), "0.0%"),
        (
            wording.rounded_amount(2**256 - 1, samples.passing().terms)[-30:],
            "4,665,640,564,039,457.5840 ETH",
        ),
    ],
)
def test_values_at_the_edges_read_well(shown: str, text: str) -> None:
    assert shown == text


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.one_of(finite, st.integers(), st.fractions()), st.integers(0, 20))
def test_a_number_is_rounded_exactly(value: float | Fraction, places: int) -> None:
    text = wording.fixed(Fraction(value), places).replace("−", "-").replace(",", "")
    assert abs(Fraction(text) - Fraction(value)) * 2 <= Fraction(1, 10**places)
    assert not text.startswith("-") or Fraction(text) < 0
    assert len(text.partition(".")[2]) == places


@example([6.0, -5e-324])
@example([-6.0, 5e-324])
@example([sys.float_info.max, -sys.float_info.max])
@example([1e300])
@example([-0.0, 5e-324])
@given(st.lists(st.one_of(finite, st.floats(-10, 10), st.integers()), min_size=1, max_size=9))
def test_axis_covers_its_values(values: list[float]) -> None:
    scale = axis(values, 0, 100)
    assert scale.low <= min(values)
    assert scale.high >= max(values)
    assert 2 <= len(scale.ticks) <= 9
    assert all(0 <= scale(value) <= 100 for value in values)
    labels = [_tick(tick, scale) for tick in scale.ticks]
    assert all(len(label) <= 16 for label in labels)


COORDINATES = {"x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height"}
widest = st.integers(-(2**63), 2**63 - 1)


@given(widest, widest, st.one_of(widest, st.fractions()), finite)
def test_pictures_stay_inside_their_frame(
    before: int, after: int, value: Fraction, bound: float
) -> None:
    verdict = samples.passing()
    first, *others = verdict.rounds
    people = [
        replace(p, value=Fraction(value), interval=(-1.0, bound)) for p in verdict.participants
    ]
    measured = replace(first, version=1, utility_before=before, utility_after=after)
    verdict = replace(verdict, participants=tuple(people), rounds=(measured, *others))
    for picture in (quality_picture(verdict), contribution_picture(verdict)):
        assert picture is not None
        tags = Reader(picture).tags
        drawn = [float(at or 0) for _, tag in tags for key, at in tag.items() if key in COORDINATES]
        assert all(-20 <= number <= 2000 for number in drawn), picture
        assert "nan" not in picture


def palettes() -> Iterator[dict[str, str]]:
    style = files("ledger.audit").joinpath("report.css").read_text(encoding="utf-8")
    for block in re.findall(r":root \{(.*?)\}", style, flags=re.S):
        yield dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))


def luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("palette", list(palettes()), ids=["light", "dark", "print"])
@pytest.mark.parametrize(
    ("ink", "ground"),
    [
        ("ink", "sheet"),
        ("soft", "sheet"),
        ("soft", "page"),
        ("ink", "good-wash"),
        ("ink", "bad-wash"),
        ("good", "good-wash"),
        ("bad", "bad-wash"),
        ("good", "sheet"),
        ("bad", "sheet"),
    ],
)
def test_colours_have_contrast(palette: dict[str, str], ink: str, ground: str) -> None:
    light, dark = sorted((luminance(palette[ink]), luminance(palette[ground])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5
