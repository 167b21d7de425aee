"""What a name may be: one line that readers of its script can tell from other lines.

A name is kept in normalisation form C, so that equal names are equal bytes. Joiners are allowed
where they change how a word is written, which Persian, Sinhala and Hindi need.

Sources: https://www.unicode.org/reports/tr31/ (joining controls), RFC 5892, appendix A.
"""

import unicodedata

from ledger.lines import BLANK, JOINERS, joins

_VISIBLE = "LNPS"
"""First letters of the general categories of what stands by itself."""


def composed(name: str) -> str:
    """Return a name in normalisation form C."""
    return unicodedata.normalize("NFC", name)


def name_fault(name: str, *, most: int) -> str | None:
    """Say why a text is no name of at most `most` characters; None if it is one."""
    if not 0 < len(name) <= most:
        return f"must have 1 to {most} characters, not {len(name)}"
    if name != composed(name):
        return "is not in Unicode's normalisation form C"
    for place, character in enumerate(name):
        if character in JOINERS:
            if not joins(name, place):
                return f"has a zero-width joiner that joins nothing, as character {place + 1}"
        elif not character.isprintable() or character in BLANK:
            code = f"U+{ord(character):04X}"
            return f"must be one line of printable characters: character {place + 1} is {code}"
    if not any(unicodedata.category(character)[0] in _VISIBLE for character in name):
        return "must not be blank"
    return None
