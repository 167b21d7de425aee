"""The odds that colluding participants hold the majority of a committee that is drawn.

A committee is drawn by the hash of the block that opened its round. The maker of that block can try
many headers, at the price of hashing them, and publish the one whose draw suits it. A void round
keeps its draw, so one block is all that can be tried for each accepted result. The odds of one draw
are the tail of a hypergeometric distribution.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import comb, expm1, log1p

from fednode.policy.document import Policy
from ledger.committee import MOST_PLACES

TRIES = 10**10
"""Headers that a block's maker can try: a graphics card hashes about 10^9 a second."""
SMALL = Fraction(1, 10**6)
SHARES = (5, 3)
"""A fifth and a third of the participants collude."""


def majority(committee: int) -> int:
    """Give the seats that accept a result when all vote."""
    return committee // 2 + 1


def capture(participants: int, colluding: int, committee: int, *, seats: int) -> Fraction:
    """Give the odds that one draw gives at least so many seats to the colluding participants."""
    drawn = min(committee, participants)
    honest = participants - colluding
    held = range(seats, min(colluding, drawn) + 1)
    ways = sum(comb(colluding, k) * comb(honest, drawn - k) for k in held)
    return Fraction(ways, comb(participants, drawn))


def within(odds: Fraction, tries: int) -> float:
    """Give the odds that at least one of several draws hits: 1 - (1 - odds)^tries."""
    near = float(odds)
    return 1.0 if near == 1 else -expm1(tries * log1p(-near))


def least_committee(
    participants: int, colluding: int, *, tries: int, at_most: Fraction
) -> int | None:
    """Give the least committee whose majority the colluding participants get in so many tries with
    odds of at most `at_most`; None where the largest is too small. All participants vote where the
    committee is as large as that.

    It bounds the odds from above by `tries` times those of one draw.
    """
    for size in range(1, min(participants, MOST_PLACES) + 1):
        if tries * capture(participants, colluding, size, seats=majority(size)) <= at_most:
            return size
    return None


@dataclass(frozen=True, slots=True)
class Odds:
    """What a share of a policy's participants can get of its committee by colluding."""

    participants: int
    colluding: int
    committee: int
    once: Fraction
    least: int | None

    @classmethod
    def of(cls, policy: Policy, share: int) -> "Odds":
        """Compute them where one participant in `share` colludes and all places are taken."""
        participants = policy.federation.max_participants
        committee, colluding = policy.federation.committee, participants // share
        once = capture(participants, colluding, committee, seats=majority(committee))
        least = least_committee(participants, colluding, tries=TRIES, at_most=SMALL)
        return cls(participants, colluding, committee, once, least)

    def record(self) -> dict[str, object]:
        """Return the odds for JSON."""
        return {
            "colluding": self.colluding,
            "seats": majority(self.committee),
            "odds_of_a_draw": float(self.once),
            "tries": TRIES,
            "odds_within_tries": within(self.once, TRIES),
            "committee_for_small_odds": self.least,
        }

    def text(self) -> str:
        """Say it in a few words."""
        draws = f"in 1 of {float(1 / self.once):,.0f} draws" if self.once else "in no draw"
        advice = f"committee_size = {self.least}" if self.least else "no committee of up to 128"
        return f"{self.colluding} colluding participants {draws} ({advice} makes it improbable)"


def odds(policy: Policy) -> list[Odds]:
    """Give the odds of a policy's committee; none where all participants vote."""
    if policy.federation.max_participants <= policy.federation.committee:
        return []
    return [Odds.of(policy, share) for share in SHARES]


def explain(policy: Policy) -> Iterator[str]:
    """Say what colluding participants can get of a policy's committee."""
    found = odds(policy)
    if not found:
        yield "committee: all participants vote, so none is drawn"
        return
    size, known = policy.federation.committee, policy.federation.max_participants
    yield (
        f"committee: {size} of up to {known} participants vote; {majority(size)} seats, its "
        f"majority, go to {found[0].text()}, to {found[1].text()}"
    )
    yield (
        f"the maker of a round's opening block can try about {TRIES:,} draws: over these, "
        f"improbable is at most 1 in {SMALL.denominator:,}"
    )
