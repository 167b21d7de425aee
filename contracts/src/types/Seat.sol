// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice What a signer may do, in one word. Zero: this address never was a signer.
/// @dev From the lowest bit: participant 16, active from 32, active until 32, the attempt and one past the round of the last
/// vote 40; the highest bit: was given.
type Seat is uint256;

using Seats for Seat global;

/// @notice Reading and changing a `Seat`.
library Seats {
    uint256 private constant FROM = 16;
    uint256 private constant UNTIL = 48;
    uint256 private constant VOTE = 80;
    uint256 private constant GIVEN = 1 << 255;

    /// @notice A seat from a round on, until further notice.
    function taken(uint32 participant_, uint32 from) internal pure returns (Seat) {
        return Seat.wrap(GIVEN | uint256(participant_) | uint256(from) << FROM | uint256(type(uint32).max) << UNTIL);
    }

    /// @notice What stays of a signer that was replaced: seated in no round, and not to be used again.
    function retired() internal pure returns (Seat) {
        return Seat.wrap(GIVEN);
    }

    function exists(Seat s) internal pure returns (bool) {
        return Seat.unwrap(s) != 0;
    }

    function participant(Seat s) internal pure returns (uint32) {
        return uint16(Seat.unwrap(s));
    }

    function activeFrom(Seat s) internal pure returns (uint32) {
        return uint32(Seat.unwrap(s) >> FROM);
    }

    function activeUntil(Seat s) internal pure returns (uint32) {
        return uint32(Seat.unwrap(s) >> UNTIL);
    }

    function activeIn(Seat s, uint32 round) internal pure returns (bool) {
        return activeFrom(s) <= round && round < activeUntil(s);
    }

    function votedIn(Seat s, uint32 round, uint8 attempt) internal pure returns (bool) {
        return uint40(Seat.unwrap(s) >> VOTE) == _ballot(round, attempt);
    }

    function leaving(Seat s, uint32 until) internal pure returns (Seat) {
        return _set(s, UNTIL, type(uint32).max, until);
    }

    function withVote(Seat s, uint32 round, uint8 attempt) internal pure returns (Seat) {
        return _set(s, VOTE, type(uint40).max, _ballot(round, attempt));
    }

    function _ballot(uint32 round, uint8 attempt) private pure returns (uint256) {
        unchecked {
            return (uint256(round) + 1) << 8 | attempt;
        }
    }

    function _set(Seat s, uint256 shift, uint256 mask, uint256 value) private pure returns (Seat) {
        return Seat.wrap(Seat.unwrap(s) & ~(mask << shift) | value << shift);
    }
}
