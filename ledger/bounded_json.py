"""JSON from strangers: bytes, nesting and number of values are bounded before objects exist.

Python's own reader asks the recursion limit how deep it may go. Libraries of the chain raise that
limit beyond what a stack holds, so that deep nesting would end the process. This reader bounds the
depth itself. A short text can also hold many empty lists, each of which takes 30 times its bytes.

Source: RFC 8259.
"""

from collections.abc import Iterator

from pydantic_core import from_json

from ledger.errors import MalformedRecord

MAX_VALUES = 1 << 21
_STARTS = (b",", b":", b"[", b"{")


def read_json(text: bytes, *, most: int = MAX_VALUES) -> object:
    """Read one value of at most so many parts. Raise MalformedRecord for everything else.

    Of a key that comes twice the last value counts. No number has more than 4,300 digits.
    """
    # Each value but the first follows one of these marks. Marks inside strings count as well.
    if sum(map(text.count, _STARTS)) >= most:
        raise MalformedRecord("JSON", f"more than {most} values")
    try:
        found: object = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise MalformedRecord("JSON", str(error)) from None
    return found


def read_lines(text: bytes, *, most: int = MAX_VALUES) -> Iterator[object]:
    """Read one value from each line that is not blank."""
    start = 0
    while start < len(text):
        end = text.find(b"\n", start)
        end = len(text) if end < 0 else end
        line = text[start:end].strip()
        if line:
            yield read_json(line, most=most)
        start = end + 1
