"""The cleaner of text from outside, what a name may be, and text files of other systems."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.lines import BLANK, JOINERS, clean, indented, one_line
from ledger.names import composed, name_fault
from ledger.utf8 import NotUtf8, decode

PERSIAN = (
    "\u062f\u0627\u0646\u0634\u06af\u0627\u0647 \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
)
TYPED = "\u0645\u0631\u06a9\u0632\u200c\u0647\u0627"
BENGALI = "\u09b0\u200d\u09cd\u09af\u09be\u09ae"
SINHALA = "\u0dc1\u0dca\u200d\u0dbb\u0dd3 \u0dbd\u0d82\u0d9a\u0dcf"
HINDI = "\u0915\u094d\u200d\u0937 \u0905\u0938\u094d\u092a\u0924\u093e\u0932"


@pytest.mark.parametrize("line_break", "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")
def test_no_line_break_is_left(line_break: str) -> None:
    for cleaned in (clean, one_line, indented):
        assert cleaned(f"a{line_break}b") == "a b"


@pytest.mark.parametrize(
    "hidden",
    [
        *(
            "\x1b",
            "\x07",
            "\x7f",
            "\x9b",
            "\u00ad",
            "\u061c",
            "\u200b",
            "\u200f",
            "\u202e",
            "\u2066",
        ),
        *("\ufeff", "\ue000", "\ud800", "\u0378", "\U000e0041", *BLANK, *JOINERS),
    ],
)
def test_what_steers_or_hides_is_replaced(hidden: str) -> None:
    for cleaned in (clean, one_line, indented):
        assert cleaned(f"a{hidden}b") == "a\ufffdb"


@given(st.text())
def test_cleaned_text_is_one_printable_line(text: str) -> None:
    for cleaned in (clean, one_line, indented):
        shown = cleaned(text)
        bare = "".join(c for c in shown if c not in JOINERS)
        assert bare.isprintable()
        assert cleaned(shown) == shown
        shown.encode()


@pytest.mark.parametrize(
    "text", [PERSIAN, TYPED, SINHALA, HINDI, BENGALI, "Universitätsklinikum Köln", "東京"]
)
def test_words_of_any_script_stay(text: str) -> None:
    assert one_line(text) == clean(text) == text
    assert name_fault(composed(text), most=200) is None


def test_over_long_text_is_cut() -> None:
    assert clean("a" * 500, 12) == "a" * 11 + "…"
    assert len(one_line("\u200d" * 10_000_000)) == 4000


def test_spaces_do_not_push_a_forged_line_to_the_next_row() -> None:
    assert one_line("x" + " " * 500 + "INFO voted") == "x INFO voted"
    assert indented("  own\n   INFO voted") == "  own INFO voted"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "1 to 200 characters"),
        ("a" * 201, "1 to 200 characters"),
        (" ", "must not be blank"),
        ("\u0301", "must not be blank"),
        ("\u2800", "character 1 is U+2800"),
        ("a\u3164", "character 2 is U+3164"),
        ("a\u00ad", "U+00AD"),
        ("\u200b", "U+200B"),
        ("a\u202eb", "U+202E"),
        ("a\u2067b", "U+2067"),
        ("a\nb", "U+000A"),
        ("a\x1b[2J", "U+001B"),
        ("a\u200db", "joins nothing, as character 2"),
        ("\u0645\u06cc\u200c", "joins nothing"),
        ("e\u0301", "normalisation form C"),
        ("a\U000e0041", "U+E0041"),
    ],
)
def test_what_is_no_name(name: str, reason: str) -> None:
    assert reason in (name_fault(name, most=200) or "")


@given(st.text(max_size=30))
def test_a_name_is_shown_as_it_is(name: str) -> None:
    if name_fault(name, most=30) is None:
        assert clean(name) == name == unicodedata.normalize("NFC", name)


def test_a_byte_order_mark_is_no_part_of_a_text() -> None:
    assert decode("\ufeffa\r\n".encode()) == "a\r\n"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("a,b\n".encode("utf-16"), "is UTF-16 text: save it as UTF-8"),
        (b"\xfe\xff\x00a", "is UTF-16 text"),
        ("a".encode("utf-32"), "is UTF-32 text"),
        ("a,b\n".encode("utf-16-le"), "has a zero byte at byte 1 (line 1, byte 2 of it)"),
        ("a\ncafé".encode("latin-1"), "is not UTF-8 text at byte 5 (line 2, byte 4 of it)"),
    ],
)
def test_text_of_another_encoding_is_refused_by_its_place(data: bytes, reason: str) -> None:
    with pytest.raises(NotUtf8) as refused:
        decode(data)
    assert reason in str(refused.value)
