"""Texts that may quote a stranger's bytes, as they are printed and logged."""


def one_line(text: str) -> str:
    """Write a text as one line of printable characters: it cannot pass for other lines, and sends a
    terminal no commands.
    """
    return printable(" ".join(text.split()))


def printable(text: str) -> str:
    """Replace the characters of a line that are not printed."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
