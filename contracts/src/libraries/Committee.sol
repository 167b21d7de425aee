// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice Who votes: everybody while all fit in, else a draw without repetition.
/// @dev Place i is taken by participant i, or by the image of i under a pseudo-random permutation of the participants: a
/// Feistel network on the least number of bits, walked along its cycle until it is in range (Black and Rogaway, "Ciphers with
/// arbitrary finite domains", 2002). So a seat needs no storage, and both directions are cheap. The fewer the bits, the more rounds,
/// else those who joined first would be drawn more often.
library Committee {
    /// @notice Ballots of this many places fit one word, for and against.
    uint256 internal constant MOST_PLACES = 128;
    /// @dev Bits that each half of the network is changed by in all.
    uint256 private constant MIXED = 24;

    /// @notice The participant at a place. @param known Participants to draw from; `place` is below it.
    function member(uint256 seed, uint256 place, uint256 known, uint256 size) internal pure returns (uint256) {
        if (known <= size) return place;
        uint256 bits = _bits(known);
        do place = _forward(seed, place, bits);
        while (place >= known);
        return place;
    }

    /// @notice The place of a participant: it has a seat if that is among the committee's places.
    function placeOf(uint256 seed, uint256 participant, uint256 known, uint256 size) internal pure returns (uint256) {
        if (known <= size) return participant;
        uint256 bits = _bits(known);
        do participant = _backward(seed, participant, bits);
        while (participant >= known);
        return participant;
    }

    /// @notice Whether all seats can be taken for filled, although so many of those known have left: either there is a place for
    /// everybody, or twice the vacancies to be expected are at most one more than the places to spare.
    function fills(uint256 size, uint256 left, uint256 known) internal pure returns (bool) {
        return known <= MOST_PLACES || 2 * MOST_PLACES * left <= (MOST_PLACES - size + 1) * known;
    }

    /// @notice Whether a place has one of the first `size` seats, since those before it are vacant whose bits are set.
    function movesUp(uint256 place, uint256 size, uint256 vacant) internal pure returns (bool) {
        return place < MOST_PLACES && place < size + _ones(vacant & ((1 << place) - 1));
    }

    /// @notice The ballot of a place, in the word of all ballots.
    function ballot(uint256 place, bool support) internal pure returns (uint256) {
        return 1 << (support ? place : MOST_PLACES + place);
    }

    /// @notice Both ballots of a place.
    function ballots(uint256 place) internal pure returns (uint256) {
        return (1 << MOST_PLACES | 1) << place;
    }

    /// @notice Votes for, and against.
    function count(uint256 word) internal pure returns (uint256 votesFor, uint256 votesAgainst) {
        votesFor = _ones(uint128(word));
        votesAgainst = _ones(word >> MOST_PLACES);
    }

    function _ones(uint256 word) private pure returns (uint256 n) {
        unchecked {
            for (; word != 0; ++n) {
                word &= word - 1;
            }
        }
    }

    /// @dev So many bits tell two participants or more apart, and at least two bits make two halves. Of at most 2^16 participants: by
    /// halves, which costs less than a logarithm of any number.
    function _bits(uint256 known) private pure returns (uint256 bits) {
        assembly ("memory-safe") {
            let last := sub(known, 1)
            bits := shl(3, gt(last, 0xff))
            bits := or(bits, shl(2, gt(shr(bits, last), 0xf)))
            bits := or(bits, shl(1, gt(shr(bits, last), 0x3)))
            bits := add(or(bits, gt(shr(bits, last), 0x1)), 1)
            bits := add(bits, eq(bits, 1))
        }
    }

    /// @dev An even number, after which both halves are where they were.
    function _rounds(uint256 bits) private pure returns (uint256) {
        unchecked {
            return (MIXED + bits - 1) / bits * 2;
        }
    }

    function _forward(uint256 seed, uint256 value, uint256 bits) private pure returns (uint256) {
        uint256 width = bits / 2;
        uint256 wide = bits - width;
        (uint256 left, uint256 right) = _network(seed, value >> wide, value & ((1 << wide) - 1), width, bits, false);
        return left << wide | right;
    }

    /// @dev The inverse of a Feistel network is the same network, with its halves swapped and its rounds' keys in reverse.
    function _backward(uint256 seed, uint256 value, uint256 bits) private pure returns (uint256) {
        uint256 wide = bits - bits / 2;
        (uint256 right, uint256 left) =
            _network(seed, value & ((1 << wide) - 1), value >> wide, wide, bits, true);
        return left << wide | right;
    }

    /// @dev With key i, or in reverse the last one less i, in round i: (left, right) = (right, left ^ low bits of
    /// keccak256(seed, uint128(key), uint128(right))), as many as `left` has. The halves change places, and with them their widths, which differ where
    /// the number of bits is odd; after two rounds both are back, so two rounds at a time change each half where it is.
    function _network(uint256 seed, uint256 left, uint256 right, uint256 width, uint256 bits, bool reverse)
        private
        pure
        returns (uint256, uint256)
    {
        uint256 rounds = _rounds(bits);
        assembly ("memory-safe") {
            let key := 0
            let step := shl(128, 1)
            if reverse {
                key := shl(128, sub(rounds, 1))
                step := sub(0, step)
            }
            let start := mload(0x40)
            mstore(start, seed)
            let lefts := sub(shl(width, 1), 1)
            let rights := sub(shl(sub(bits, width), 1), 1)
            for {} rounds { rounds := sub(rounds, 2) } {
                mstore(add(start, 0x20), or(key, right))
                left := xor(left, and(keccak256(start, 0x40), lefts))
                key := add(key, step)
                mstore(add(start, 0x20), or(key, left))
                right := xor(right, and(keccak256(start, 0x40), rights))
                key := add(key, step)
            }
        }
        return (left, right);
    }
}
