"""Bounds of a policy file's values, looked at before anything is computed from them.

A few characters can stand for a number that takes gigabytes to write, or for a table that is nested
beyond any use. Each such value is refused by its key, with the limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final

from fednode.data.schema import MOST_DIGITS
from fednode.policy.errors import PolicyError
from ledger.cbor import MAX_ITEMS

MOST_INTEGER: Final = 1 << 96
"""Amounts in wei are the largest integers of a policy."""
MOST_TEXT: Final = 4096
MOST_NESTING: Final = 16
MOST_PARTS: Final = 8

_QUOTED: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"""|\'\'\'.*?\'\'\'|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*|["\'][^\n]*',
    re.DOTALL,
)
"""Strings and comments; what is not closed goes on to the end of its line."""
_KEY: Final = re.compile(
    rf'(?<![\w-])(?:[\w-]++|"")(?:[ \t]*+\.[ \t]*+(?:[\w-]++|"")){{{MOST_PARTS}}}'
)


def check_keys(text: str, *, source: str) -> None:
    """Refuse a text with too many values, nested too deep, or with a key of many parts: reading
    such a key as TOML takes their square.
    """
    bare = _QUOTED.sub(lambda found: "" if found[0].startswith("#") else '""', text)
    if sum(map(bare.count, ".=,[")) > 2 * MAX_ITEMS:  # at least one stands beside each value
        raise PolicyError("policy", f"has over {MAX_ITEMS} values", source=source)
    if _deepest(bare) > MOST_NESTING:
        reason = f"not TOML of a policy: nested deeper than {MOST_NESTING} levels"
        raise PolicyError("policy", reason, source=source)
    if _KEY.search(bare):
        raise PolicyError("policy", f"a key has more than {MOST_PARTS} parts", source=source)


def _deepest(bare: str) -> int:
    depth = deepest = 0
    for bracket in re.findall(r"[\[\]{}]", bare):
        depth = depth + 1 if bracket in "[{" else max(0, depth - 1)
        deepest = max(deepest, depth)
    return deepest


def check_values(document: Mapping[str, object], *, source: str) -> None:
    """Refuse a document with a value beyond what a policy can hold; PolicyError names its key."""
    waiting: list[tuple[str, object, int]] = [("", document, 0)]
    count = 0
    while waiting:
        key, value, depth = waiting.pop()
        count += 1
        fault = f"has over {MAX_ITEMS} values" if count > MAX_ITEMS else _fault(value, depth)
        if fault is not None:
            raise PolicyError(key[:200] or "policy", fault, source=source)
        waiting.extend((name, item, depth + 1) for name, item in _items(key, value))


def _items(key: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield f"{key}.{name}" if key else str(name), item
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield f"{key}[{index}]", item


def _fault(value: object, depth: int) -> str | None:
    if depth > MOST_NESTING:
        return f"is nested deeper than {MOST_NESTING} levels"
    if isinstance(value, Mapping | list) and len(value) > MAX_ITEMS:
        return f"has {len(value)} entries, at most {MAX_ITEMS} fit"
    if isinstance(value, str) and len(value) > MOST_TEXT:
        return f"has {len(value)} characters, at most {MOST_TEXT} fit"
    if isinstance(value, int) and abs(value) > MOST_INTEGER:
        return "is an integer beyond 96 bits"
    if isinstance(value, Decimal) and value.is_finite():
        digits = value.as_tuple().digits
        if len(digits) > MOST_DIGITS or abs(value.adjusted()) > MOST_DIGITS:
            return f"is a number of more than {MOST_DIGITS} digits"
    return None
