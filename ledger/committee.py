"""Who votes: everybody while all fit in, else a draw without repetition; mirror of
`contracts/src/libraries/Committee.sol`.

Place i is taken by participant i, or by the image of i under a pseudo-random permutation of the
participants: a Feistel network of four rounds on the least number of bits, walked along its cycle
until it is in range.

Source: Black and Rogaway, "Ciphers with arbitrary finite domains", 2002.
"""

from collections.abc import Callable
from dataclasses import dataclass

from eth_utils.crypto import keccak

from ledger.types import ParticipantId

MOST_PLACES = 128
"""Ballots of this many places fit one word, for and against."""
ROUNDS = 4
WORD = 32


@dataclass(frozen=True, slots=True)
class Committee:
    """The participants at its places, and those of them who have a seat. `seats` are what a quorum
    is a part of; where few have left, one may be vacant.
    """

    places: tuple[ParticipantId, ...]
    seated: frozenset[ParticipantId]
    seats: int

    def ballot(self, participant: int, *, support: bool) -> int:
        """Give the bit of a participant's vote in the word of all ballots."""
        place = self.places.index(ParticipantId(participant))
        return 1 << (place if support else MOST_PLACES + place)


def few(left: int, *, known: int, size: int) -> bool:
    """Whether so few of those known have left that a draw need not look who: at most half a vacant
    seat is to be expected.
    """
    return known > size and 2 * size * left <= known


def seat(
    seed: bytes,
    known: int,
    size: int,
    in_good_standing: Callable[[ParticipantId], bool],
    *,
    looking: bool = True,
) -> Committee:
    """Fill a committee's seats from the first places on; `known` participants are drawn from.

    Who is no longer in good standing is passed over, as long as there are places; unless nobody is
    `looking`: then their seats are vacant.
    """
    if not looking:
        first = tuple(member(seed, place, known=known, size=size) for place in range(size))
        return Committee(first, frozenset(filter(in_good_standing, first)), size)
    places: list[ParticipantId] = []
    seated: set[ParticipantId] = set()
    while len(seated) < size and len(places) < min(known, MOST_PLACES):
        participant = member(seed, len(places), known=known, size=size)
        places.append(participant)
        if in_good_standing(participant):
            seated.add(participant)
    return Committee(tuple(places), frozenset(seated), len(seated))


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


def _forward(seed: bytes, value: int, bits: int) -> int:
    """Permute once. The halves change places, and with them their widths."""
    width = bits // 2
    left, right = value >> bits - width, value & (1 << bits - width) - 1
    for number in range(ROUNDS):
        left, right = right, left ^ _mix(seed, number, right, width)
        width = bits - width
    return left << bits - width | right


def _backward(seed: bytes, value: int, bits: int) -> int:
    width = bits // 2
    left, right = value >> bits - width, value & (1 << bits - width) - 1
    for number in reversed(range(ROUNDS)):
        width = bits - width
        left, right = right ^ _mix(seed, number, left, width), left
    return left << bits - width | right


def _mix(seed: bytes, number: int, value: int, width: int) -> int:
    packed = seed + number.to_bytes(WORD, "big") + value.to_bytes(WORD, "big")
    return int.from_bytes(keccak(packed), "big") & (1 << width) - 1
