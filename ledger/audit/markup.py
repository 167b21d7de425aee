"""HTML and SVG elements whose text is escaped by construction.

A plain string is text, whatever it holds; only what `element` returns is markup. So no name, reason
or digest that a stranger wrote can become a tag or an attribute of the report.
"""

from collections.abc import Iterable
from html import escape
from typing import Final

from ledger.lines import clean

_VOID: Final = frozenset({"meta", "br", "line", "rect", "circle", "path", "polyline"})


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Child = str | int | None


def element(name: str, /, *children: Child, **attributes: str | float | None) -> Markup:
    """Return an element with escaped text and attributes.

    Underscores in names of attributes become hyphens, one at the end is dropped (`class_`); None
    leaves one out.
    """
    pairs = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_text(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = join(children)
    if name in _VOID and not inside:
        return Markup(f"<{name}{pairs}/>")
    return Markup(f"<{name}{pairs}>{inside}</{name}>")


def join(children: Iterable[Child]) -> Markup:
    """Return children one after the other: text escaped, markup as it is, None left out."""
    return Markup("".join(_child(child) for child in children if child is not None))


def _child(child: str | int) -> str:
    return child if isinstance(child, Markup) else escape(clean(str(child), 4000))


def _text(value: str | float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else clean(str(value), 4000)
