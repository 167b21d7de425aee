"""The one rich console of the commands: its colours are ours, its texts pass the cleaner."""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from ledger.lines import MOST, clean


class Screen(Console):
    """A console on which no text can be a command to the terminal, or markup."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render; what is not rich's own control codes is cleaned."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(_lines(segment.text), segment.style)


def _lines(text: str) -> str:
    return "\n".join(clean(line, MOST) for line in text.split("\n"))
