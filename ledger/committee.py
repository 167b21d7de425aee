"""Who votes: everybody while all fit in, else a draw without repetition; mirror of
`contracts/src/libraries/Committee.sol`.

Place i is taken by participant i, or by the image of i under a pseudo-random permutation of the
participants: a Feistel network on the least number of bits, walked along its cycle until it is in
range. The fewer the bits, the more rounds, else those who joined first would be drawn more often.

Source: Black and Rogaway, "Ciphers with arbitrary finite domains", 2002.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

from eth_utils.crypto import keccak

from ledger.types import ParticipantId

MOST_PLACES = 128
"""Ballots of this many places fit one word, for and against."""
MIXED = 24
"""Bits that each half of the network is changed by in all."""
HALF = 16


@dataclass(frozen=True, slots=True)
class Committee:
    """The participants at its places, and those of them who have a seat. `seats` are what a quorum
    is a part of, at most `size`.
    """

    places: tuple[ParticipantId, ...]
    seated: frozenset[ParticipantId]
    seats: int
    size: int

    def ballot(self, participant: int, *, support: bool) -> int:
        """Give the bit of a participant's vote in the word of all ballots."""
        place = self.places.index(ParticipantId(participant))
        return 1 << (place if support else MOST_PLACES + place)

    def vacant(self, voters: Iterable[int]) -> int:
        """Give the bits of as many vacant places as show the contract that all voters have seats:
        none, unless one of them has moved up.
        """
        last = max((self.places.index(ParticipantId(voter)) for voter in voters), default=0)
        free = (i for i, participant in enumerate(self.places) if participant not in self.seated)
        return sum(1 << place for place in islice(free, max(0, last + 1 - self.size)))


def fills(left: int, *, known: int, size: int) -> bool:
    """Whether all seats can be taken for filled, although so many of those known have left: either
    there is a place for everybody, or twice the vacancies to be expected are at most one more than
    the places to spare.
    """
    return known <= MOST_PLACES or 2 * MOST_PLACES * left <= (MOST_PLACES - size + 1) * known


def seat(
    seed: bytes,
    known: int,
    size: int,
    in_good_standing: Callable[[ParticipantId], bool],
    *,
    here: int | None = None,
) -> Committee:
    """Fill a committee's seats from the first places on; `known` participants are drawn from.

    Who is no longer in good standing is passed over, as long as there are places. Where it is given
    how many are still `here`, and that shows it, all seats count as filled.
    """
    places: list[ParticipantId] = []
    seated: set[ParticipantId] = set()
    while len(seated) < size and len(places) < min(known, MOST_PLACES):
        participant = member(seed, len(places), known=known, size=size)
        places.append(participant)
        if in_good_standing(participant):
            seated.add(participant)
    seats = len(seated)
    if here is not None and fills(known - here, known=known, size=size):
        seats = min(size, here)
    return Committee(tuple(places), frozenset(seated), seats, size)


def member(seed: bytes, place: int, *, known: int, size: int) -> ParticipantId:
    """Give the participant at a place."""
    if known <= size:
        return ParticipantId(place)
    bits = _bits(known)
    value = _forward(seed, place, bits)
    while value >= known:
        value = _forward(seed, value, bits)
    return ParticipantId(value)


def place_of(seed: bytes, participant: int, *, known: int, size: int) -> int:
    """Give the place of a participant: it may vote if that is among the committee's places."""
    if known <= size:
        return participant
    bits = _bits(known)
    value = _backward(seed, participant, bits)
    while value >= known:
        value = _backward(seed, value, bits)
    return value


def places(ballots: int) -> list[tuple[int, bool]]:
    """List the places that voted, and whether for the result."""
    return [(bit % MOST_PLACES, bit < MOST_PLACES) for bit in range(256) if ballots >> bit & 1]


def _bits(known: int) -> int:
    """Give the least number of bits, at least 2, that can name everybody."""
    return max(2, (known - 1).bit_length())


def _rounds(bits: int) -> range:
    """Number the network's rounds: an even number, after which both halves are where they were."""
    return range(2 * -(-MIXED // bits))


def _forward(seed: bytes, value: int, bits: int) -> int:
    """Permute once. The halves change places, and with them their widths."""
    width = bits // 2
    left, right = value >> bits - width, value & (1 << bits - width) - 1
    for number in _rounds(bits):
        left, right = right, left ^ _mix(seed, number, right, width)
        width = bits - width
    return left << bits - width | right


def _backward(seed: bytes, value: int, bits: int) -> int:
    width = bits // 2
    left, right = value >> bits - width, value & (1 << bits - width) - 1
    for number in reversed(_rounds(bits)):
        width = bits - width
        left, right = right ^ _mix(seed, number, left, width), left
    return left << bits - width | right


def _mix(seed: bytes, number: int, value: int, width: int) -> int:
    packed = seed + number.to_bytes(HALF, "big") + value.to_bytes(HALF, "big")
    return int.from_bytes(keccak(packed), "big") & (1 << width) - 1
