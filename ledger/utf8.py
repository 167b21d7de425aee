"""Text files of users: UTF-8, with or without a byte order mark.

Spreadsheets and editors of Windows begin a file with the mark, or write UTF-16.
"""

import codecs

_OTHERS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


class NotUtf8(ValueError):
    """Bytes that are no UTF-8 text; says what they seem to be, where, and what to do."""


def decode(data: bytes) -> str:
    """Return a file's text without its byte order mark. Raise NotUtf8."""
    for mark, name in _OTHERS:
        if data.startswith(mark):
            raise NotUtf8(f"is {name} text: save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = _where(data, error.start)
        raise NotUtf8(f"is not UTF-8 text at byte {error.start} ({where}): save it as UTF-8") from (
            None
        )
    zero = data.find(0)
    if zero >= 0:
        raise NotUtf8(
            f"has a zero byte at byte {zero} ({_where(data, zero)}), as UTF-16 and binary files "
            "have: save it as UTF-8 text"
        )
    return text


def _where(data: bytes, place: int) -> str:
    line = data.count(b"\n", 0, place) + 1
    start = data.rfind(b"\n", 0, place) + 1
    return f"line {line}, byte {place - start + 1} of it"
