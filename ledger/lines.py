"""The one cleaner of text from outside: names, units, codes, paths, and what relays and nodes say.

Such a text can hold line breaks that forge a line of a log, commands to a terminal, and characters
that turn a line around or show nothing. All that is printed, logged or written into a report passes
here. Each function returns text without control, direction, tag, surrogate, unassigned and blank
characters: a replacement character stands for each of them.

Source: https://www.unicode.org/reports/tr36/
"""

from idna.core import valid_contextj

MOST = 4000
"""Characters of a line."""
BLANK = "\u115f\u1160\u2800\u3164\uffa0"
"""Letters and symbols that show nothing: fillers of Hangul, and the empty pattern of Braille."""
JOINERS = "\u200c\u200d"
"""Zero-width, but Persian, Sinhala and Hindi are written with them."""
_NEAR = 16


def clean(text: str, limit: int = 400) -> str:
    """Return one line of at most `limit` characters; a line break or another space is a space."""
    part = text[: limit + 1]
    shown = "".join(_shown(part, place) for place in range(len(part)))
    return shown if len(shown) <= limit else shown[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"


def one_line(text: str) -> str:
    """Return one line, each run of spaces and line breaks as one space."""
    return clean(" ".join(text.split()), MOST)


def indented(text: str) -> str:
    """Return one line as `one_line` does, with the spaces that it begins with."""
    return " " * min(len(text) - len(text.lstrip(" ")), 80) + one_line(text)


def joins(text: str, place: int) -> bool:
    """Whether a joiner changes how its neighbours are written (RFC 5892, appendix A)."""
    start = max(0, place - _NEAR)
    try:
        return valid_contextj(text[start : place + _NEAR], place - start)
    except ValueError:  # an unassigned neighbour
        return False


def _shown(text: str, place: int) -> str:
    character = text[place]
    if character.isspace():
        return " "
    if character in JOINERS:
        return character if joins(text, place) else "\N{REPLACEMENT CHARACTER}"
    harmless = character.isprintable() and character not in BLANK
    return character if harmless else "\N{REPLACEMENT CHARACTER}"
