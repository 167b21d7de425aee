"""Output on consoles that cannot show every character: simpler ones are written, never an error.

A console of code page 1252 has no check mark, one without a locale nothing but ASCII, and a pipe
takes over the encoding of the machine.
"""

import codecs
import io
import sys
import unicodedata

PLAIN = "fednode-plain"
"""The name of the handler of errors, and of ASCII under a name that click leaves alone."""
SIMPLER = {
    "✓": "+",
    "✗": "x",
    "·": ".",
    "–": "-",
    "—": "-",
    "−": "-",
    "…": "...",
    "×": "x",
    "±": "+-",
    "≤": "<=",
    "≥": ">=",
    "→": "->",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "━": "-",
    "─": "-",
    "│": "|",
    "\N{REPLACEMENT CHARACTER}": "?",
}


def simplify() -> None:
    """Let standard output and standard error write simpler characters where their encoding lacks
    one.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            ascii_only = codecs.lookup(stream.encoding).name == "ascii"
            # click writes UTF-8 to a stream that says ASCII.
            stream.reconfigure(encoding=PLAIN if ascii_only else stream.encoding, errors=PLAIN)


def _simpler(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_one, error.object[error.start : error.end])), error.end


def _one(character: str) -> str:
    if character in SIMPLER:
        return SIMPLER[character]
    letters = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return letters or "?"


def _plain_ascii(name: str) -> codecs.CodecInfo | None:
    if name.replace("_", "-") != PLAIN:
        return None
    found = codecs.lookup("ascii")
    return codecs.CodecInfo(
        name=PLAIN,
        encode=found.encode,
        decode=found.decode,
        incrementalencoder=found.incrementalencoder,
        incrementaldecoder=found.incrementaldecoder,
        streamreader=found.streamreader,
        streamwriter=found.streamwriter,
    )


codecs.register_error(PLAIN, _simpler)
codecs.register(_plain_ascii)
