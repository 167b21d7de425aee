"""The one cleaner of text from outside: names, units, codes, paths, and what relays and nodes say.

Such a text can hold line breaks that forge a line of a log, commands to a terminal, and characters
that turn a line around or show nothing. All that is printed, logged or written into a report passes
here. Each function returns text without control, direction, tag, surrogate, unassigned and blank
characters: a replacement character stands for each of them.

Source: https://www.unicode.org/reports/tr36/
"""

import unicodedata

from idna.core import valid_contextj

MOST = 4000
"""Characters of a line."""
BLANK = "\u115f\u1160\u2800\u3164\uffa0"
"""Letters and symbols that show nothing: fillers of Hangul, and the empty pattern of Braille."""
ZWNJ = "\u200c"
JOINERS = f"{ZWNJ}\u200d"
"""Zero-width, but Persian, Sinhala and Hindi are written with them."""
_JOINING = "\N{ARABIC LETTER BEH}"
_VIRAMA = 9
"""The combining class of the signs that take a consonant's vowel away."""
_NEAR = 16


def clean(text: str, limit: int = 400) -> str:
    """Return one line of at most `limit` characters; a line break or another space is a space."""
    part = text[: limit + 1]
    if len(part) <= limit and part.isascii() and part.isprintable():
        return part
    shown = "".join(_shown(part, place) for place in range(len(part)))
    return shown if len(shown) <= limit else shown[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"


def one_line(text: str) -> str:
    """Return one line, each run of spaces and line breaks as one space."""
    return clean(" ".join(text.split()), MOST)


def indented(text: str) -> str:
    """Return one line as `one_line` does, with the spaces that it begins with."""
    return " " * min(len(text) - len(text.lstrip(" ")), 80) + one_line(text)


def joins(text: str, place: int) -> bool:
    """Whether a joiner stands where its script is written with one.

    That is where RFC 5892, appendix A, has it, and in two more places: between Arabic letters that
    do not join anyway, as Persian is typed, and before a virama, as Bengali's ya-phalaa is encoded.
    """
    start = max(0, place - _NEAR)
    before, after = text[max(0, place - 1) : place], text[place + 1 : place + 2]
    try:
        if valid_contextj(text[start : place + _NEAR], place - start):
            return True
        if text[place] == ZWNJ:
            return _is_cursive(before) and _is_cursive(after)
    except ValueError:  # an unassigned neighbour
        return False
    virama = bool(after) and unicodedata.combining(after) == _VIRAMA
    return virama and bool(before) and unicodedata.category(before) == "Lo"


def _is_cursive(letter: str) -> bool:
    """Whether a letter joins one before it: ZWNJ is then allowed after another that joins on."""
    return bool(letter) and valid_contextj(f"{_JOINING}{ZWNJ}{letter}", 1)


def _shown(text: str, place: int) -> str:
    character = text[place]
    if character.isspace():
        return " "
    if character in JOINERS:
        return character if joins(text, place) else "\N{REPLACEMENT CHARACTER}"
    harmless = character.isprintable() and character not in BLANK
    return character if harmless else "\N{REPLACEMENT CHARACTER}"
