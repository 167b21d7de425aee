// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice What a signer may do, in one word. Zero: this address never was a signer.
/// @dev From the lowest bit: participant 16, active from 32, active until 32; the highest bit: was given. A signer that was
/// replaced keeps the rounds that it had, so that what it signed in them can still be judged. Who is slashed loses its rounds as a
/// participant, and its signer's seat stays as it is: see `Rounds.mayAct` and `Facts`.
type Seat is uint256;

using Seats for Seat global;

/// @notice Reading and changing a `Seat`.
library Seats {
    uint256 private constant FROM = 16;
    uint256 private constant UNTIL = 48;
    uint256 private constant GIVEN = 1 << 255;

    /// @notice A seat from a round on, until further notice.
    function taken(uint32 participant_, uint32 from) internal pure returns (Seat) {
        return Seat.wrap(GIVEN | uint256(participant_) | uint256(from) << FROM | uint256(type(uint32).max) << UNTIL);
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

    /// @notice The same seat up to a round.
    function leaving(Seat s, uint32 until) internal pure returns (Seat) {
        uint256 cleared = Seat.unwrap(s) & ~(uint256(type(uint32).max) << UNTIL);
        return Seat.wrap(cleared | uint256(until) << UNTIL);
    }
}
