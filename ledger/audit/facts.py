"""What an audit has learned so far: its checks, and what the records said about rounds and
participants.
"""

from dataclasses import dataclass, field

from ledger.audit.compare import PublishedResult
from ledger.audit.verdict import Check, Lack, Step, Terms
from ledger.headers import ResultHeader
from ledger.replica import Replica
from ledger.types import Digest


@dataclass(slots=True)
class Facts:
    """Grows as the replay goes on; the verdict is made from it wherever the replay stops."""

    replica: Replica
    terms: Terms | None = None
    names: dict[int, str] = field(default_factory=dict)
    headers: dict[Digest, ResultHeader] = field(default_factory=dict)
    results: dict[Digest, PublishedResult] = field(default_factory=dict)
    erased: dict[int, set[int]] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    wrapped: list[str] = field(default_factory=list)

    def passed(self, step: Step, round_: int | None, detail: str) -> None:
        """Note a check that holds."""
        self.checks.append(Check(step, round_, detail, ok=True))

    def failed(self, step: Step, round_: int | None, detail: str) -> None:
        """Note the check that does not."""
        self.checks.append(Check(step, round_, detail, ok=False))

    def lacks(self, step: Step, round_: int | None, detail: str, lack: Lack) -> None:
        """Note a check that could not be made."""
        self.checks.append(Check(step, round_, detail, ok=False, lack=lack))

    def note_wrapped(self) -> None:
        """Note how many events have outer calls that do not show who signed."""
        if not self.wrapped:
            return
        count, first = len(self.wrapped), self.wrapped[0]
        events = f"{first} was" if count == 1 else f"{count} events, {first} first, were"
        self.note(
            f"{events} brought about through another contract, so who signed is not visible in the "
            "outer call. The contract itself checked it."
        )

    def note(self, text: str) -> None:
        """Note something that is no failure, and that whoever reads the verdict should know."""
        self.notes.append(text)
