"""What an audit checks of the models' quality, and what it leaves to others' word.

Both depend on the rows that quality is measured on. Published rows and opened slices are measured
again. Counts on a shard are their owner's word, unless the owner shows the shard to the audit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ledger.audit.verdict import UTILITIES, Lack, Step, Verdict
from ledger.audit.wording import count

PUBLIC: Final = "public"
SLICES: Final = "slices"
SHARDS: Final = "shards"
NONE: Final = "none"


@dataclass(frozen=True, slots=True)
class Basis:
    """The words for one way of measuring. `checked` is the part of the verdict's list, `rows` ends
    a sentence about the figures, `place` follows a step's title, `limits` is what stays unchecked.
    """

    checked: str
    question: str
    rows: str
    place: str
    meaning: str
    limits: tuple[str, ...] = ()


_BASES: Final = {
    PUBLIC: Basis(
        checked="each measured quality",
        question="Does measuring the models again on the published rows give the recorded quality?",
        rows="on rows that the policy set aside and published before training",
        place="on published rows",
        meaning="How well a model does on rows that the policy set aside and published before "
        "training. The policy names the measure.",
        limits=(
            "How the evaluation rows were chosen, and whether a participant trained on them. The "
            "policy publishes them before training.",
        ),
    ),
    SLICES: Basis(
        checked="each quality on an opened slice",
        question="Does measuring the models again on the opened slices give the recorded quality?",
        rows="on the slice of evaluation rows that was opened in its round",
        place="on opened slices",
        meaning="How well a model does on a slice: rows that their holder set aside before "
        "training and opened in one round alone. The policy names the measure.",
        limits=(
            "How the evaluation rows were chosen, and whether their holder used or showed a slice "
            "before it was opened.",
            "Whether a slice that did not count could really not be had in time. That rests on the "
            "majority of the voting participants.",
        ),
    ),
    SHARDS: Basis(
        checked="each quality as the sum of the counts that participants reported",
        question="Do the recorded sums follow from the counts that the shards' owners reported?",
        rows="on shards, which are rows that a participant holds out and does not publish, as "
        "their owners counted",
        place="sums of reported counts",
        meaning="How well a model does on the participants' shards: rows that each holds out and "
        "does not publish. Each owner reports its counts. The policy names the measure.",
    ),
    NONE: Basis(
        checked="",
        question="The policy measures no quality: does the record hold none?",
        rows="",
        place="not measured",
        meaning="How well a model does. This federation's policy does not measure it.",
        limits=("Quality of the models. This federation's policy does not measure it.",),
    ),
}
_UNKNOWN: Final = Basis(
    checked="each recorded quality",
    question=UTILITIES.question,
    rows="on the rows that the policy names",
    place="",
    meaning="How well a model does on the rows that the policy names.",
)

_OWN_ROWS: Final = {
    SLICES: "Each round is measured on a slice of its own.",
    SHARDS: "A round is measured with the result after it. On each shard the quality after leaves "
    "out the update of the shard's owner, so the next round begins with another figure. A last "
    "round that only carries counts makes a version but keeps the model.",
}


def basis(verdict: Verdict) -> Basis:
    """Return the words for what a verdict's federation measures on."""
    return _BASES.get(verdict.terms.evaluation, _UNKNOWN)


def comparable(verdict: Verdict) -> bool:
    """Tell whether utilities of different rounds are of the same rows."""
    return verdict.terms.evaluation == PUBLIC


def question(verdict: Verdict, step: Step) -> str:
    """Return what a step asks in a verdict's federation."""
    return basis(verdict).question if step == UTILITIES else step.question


def trust(verdict: Verdict) -> Iterator[str]:
    """Say whose word recorded quality rests on, if the audit did not measure it."""
    if verdict.terms.evaluation != SHARDS or Lack.SEALED in verdict.lacks:
        return
    again = verdict.remeasured
    if again:
        yield (
            f"{count(again, 'report')} of counts {'was' if again == 1 else 'were'} measured again "
            "on shards that this audit was shown (--eval-data). All other counts rest on the word "
            "of the shards' owners."
        )
    else:
        yield (
            "This audit measured no rows. Recorded quality is summed from reported counts, and "
            "these rest on the word of the shards' owners."
        )
    yield "Contributions and payments build on these counts."


def rows_differ(verdict: Verdict) -> str | None:
    """Say that utilities of two rounds are not to be compared, if that is so."""
    own = _OWN_ROWS.get(verdict.terms.evaluation)
    if own is None:
        return None
    return (
        f"{own} Compare a round's quality before with its quality after, never figures of two "
        "rounds."
    )


def limits(verdict: Verdict) -> Iterator[str]:
    """Say what of the quality this audit does not cover."""
    yield from basis(verdict).limits
    if verdict.terms.evaluation != SHARDS:
        return
    which = "the other shards" if verdict.remeasured else "shards"
    yield (
        f"Whether the counts on {which} are true. Only a shard's owner has its rows, and this "
        "audit was not shown them. To measure shown shards again, pass them with --eval-data."
    )


def first_and_last(verdict: Verdict) -> tuple[int, int] | None:
    """Return the first measured utility, and that with every measured round's gain added, as
    `ledger.round.Standing.trail` has them; None if nothing was measured.
    """
    pairs = [
        (r.utility_before, r.utility_after)
        for r in verdict.rounds
        if r.utility_before is not None and r.utility_after is not None
    ]
    if not pairs:
        return None
    return pairs[0][0], pairs[0][0] + sum(after - before for before, after in pairs)
