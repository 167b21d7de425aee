// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Phase} from "../interfaces/IFederations.sol";

/// @notice The one hot word of a federation: everything about its current round that changes while it runs, and the policy's
/// constants that closing a commit phase needs, so that a commit reads no other word. Zero: no such federation.
/// @dev From the lowest bit: round 32, attempt 8, phase 8, seats 16, known 16, direct commits 16, batched commits 16, places 16,
/// deadline 40, flags 8 (turn missed, seed wanted, redraw, the highest but one: somebody was slashed since the round was opened, the
/// highest: ever), least updates 16, reveal window 32, propose window 32.
type RoundState is uint256;

using RoundStates for RoundState global;

/// @notice Reading and changing a `RoundState`.
library RoundStates {
    uint256 private constant ATTEMPT = 32;
    uint256 private constant PHASE = 40;
    uint256 private constant SEATS = 48;
    uint256 private constant KNOWN = 64;
    uint256 private constant COMMITS = 80;
    uint256 private constant BATCHED = 96;
    uint256 private constant PLACES = 112;
    uint256 private constant DEADLINE = 128;
    uint256 private constant MISSED = 168;
    uint256 private constant SEEDLESS = 169;
    uint256 private constant REDRAWS = 170;
    uint256 private constant THINNED = 174;
    uint256 private constant SCARRED = 175;
    uint256 private constant LEAST = 176;
    uint256 private constant REVEAL = 192;
    uint256 private constant PROPOSE = 224;

    /// @dev What the next round keeps.
    uint256 private constant CONSTANTS = ~uint256(0) << SCARRED;

    /// @notice The word of a federation that waits for participants.
    function forming(uint32 least, uint32 reveal, uint32 propose) internal pure returns (RoundState) {
        return RoundState.wrap(uint256(least) << LEAST | uint256(reveal) << REVEAL | uint256(propose) << PROPOSE);
    }

    function round(RoundState s) internal pure returns (uint32) {
        return uint32(RoundState.unwrap(s));
    }

    function attempt(RoundState s) internal pure returns (uint8) {
        return uint8(RoundState.unwrap(s) >> ATTEMPT);
    }

    function phase(RoundState s) internal pure returns (Phase) {
        return Phase(uint8(RoundState.unwrap(s) >> PHASE));
    }

    /// @notice Whether this is the phase; cheaper than reading it.
    function inPhase(RoundState s, Phase phase_) internal pure returns (bool) {
        return uint8(RoundState.unwrap(s) >> PHASE) == uint8(phase_);
    }

    function seats(RoundState s) internal pure returns (uint32) {
        return uint16(RoundState.unwrap(s) >> SEATS);
    }

    function known(RoundState s) internal pure returns (uint32) {
        return uint16(RoundState.unwrap(s) >> KNOWN);
    }

    function commits(RoundState s) internal pure returns (uint32) {
        return uint16(RoundState.unwrap(s) >> COMMITS);
    }

    function batched(RoundState s) internal pure returns (uint32) {
        return uint16(RoundState.unwrap(s) >> BATCHED);
    }

    function places(RoundState s) internal pure returns (uint32) {
        return uint16(RoundState.unwrap(s) >> PLACES);
    }

    function deadline(RoundState s) internal pure returns (uint40) {
        return uint40(RoundState.unwrap(s) >> DEADLINE);
    }

    function turnMissed(RoundState s) internal pure returns (bool) {
        return RoundState.unwrap(s) >> MISSED & 1 != 0;
    }

    /// @notice Whether the committee will be drawn and its seed is not stored yet.
    function seedless(RoundState s) internal pure returns (bool) {
        return RoundState.unwrap(s) >> SEEDLESS & 1 != 0;
    }

    /// @notice Whether the next round draws a new committee, even if this one ends without a result.
    function redraws(RoundState s) internal pure returns (bool) {
        return RoundState.unwrap(s) >> REDRAWS & 1 != 0;
    }

    /// @notice Whether somebody was ever slashed; before, no seat is one of somebody who was.
    function scarred(RoundState s) internal pure returns (bool) {
        return RoundState.unwrap(s) >> SCARRED & 1 != 0;
    }

    /// @notice Whether somebody was slashed since the round was opened.
    function thinned(RoundState s) internal pure returns (bool) {
        return RoundState.unwrap(s) >> THINNED & 1 != 0;
    }

    function leastUpdates(RoundState s) internal pure returns (uint32) {
        return uint16(RoundState.unwrap(s) >> LEAST);
    }

    function revealWindow(RoundState s) internal pure returns (uint32) {
        return uint32(RoundState.unwrap(s) >> REVEAL);
    }

    function proposeWindow(RoundState s) internal pure returns (uint32) {
        return uint32(RoundState.unwrap(s) >> PROPOSE);
    }

    /// @notice A round's first state.
    function opened(RoundState s, uint256 round_, uint256 seats_, uint256 known_, uint256 until, bool drawn)
        internal
        pure
        returns (RoundState)
    {
        uint256 word = RoundState.unwrap(s) & CONSTANTS | round_ | uint256(Phase.Commit) << PHASE | seats_ << SEATS
            | known_ << KNOWN | until << DEADLINE;
        return RoundState.wrap(drawn ? word | 1 << SEEDLESS : word);
    }

    /// @notice The round of a result as it was when that was voted on.
    function restored(
        RoundState s,
        uint256 round_,
        uint256 attempt_,
        uint256 known_,
        uint256 commits_,
        uint256 batched_,
        bool missed
    ) internal pure returns (RoundState) {
        uint256 word = RoundState.unwrap(s) & CONSTANTS | round_ | attempt_ << ATTEMPT
            | uint256(Phase.Attest) << PHASE | known_ << KNOWN | commits_ << COMMITS | batched_ << BATCHED;
        return RoundState.wrap(missed ? word | 1 << MISSED : word);
    }

    function withCommit(RoundState s) internal pure returns (RoundState) {
        unchecked {
            return RoundState.wrap(RoundState.unwrap(s) + (1 << COMMITS));
        }
    }

    function withBatch(RoundState s, uint256 leaves) internal pure returns (RoundState) {
        return RoundState.wrap(RoundState.unwrap(s) | leaves << BATCHED);
    }

    function seeded(RoundState s) internal pure returns (RoundState) {
        return RoundState.wrap(RoundState.unwrap(s) & ~(uint256(1) << SEEDLESS));
    }

    function redrawing(RoundState s) internal pure returns (RoundState) {
        return RoundState.wrap(RoundState.unwrap(s) | 1 << REDRAWS);
    }

    function scar(RoundState s) internal pure returns (RoundState) {
        return RoundState.wrap(RoundState.unwrap(s) | 1 << SCARRED | 1 << THINNED);
    }

    /// @notice Waiting for a proposal of attempt 0.
    function proposing(RoundState s, uint256 until) internal pure returns (RoundState) {
        return _moved(s, Phase.Propose, until);
    }

    /// @notice Waiting for a proposal of the next attempt.
    function retrying(RoundState s, uint256 until, bool missed) internal pure returns (RoundState) {
        unchecked {
            uint256 word = RoundState.unwrap(_moved(s, Phase.Propose, until)) + (1 << ATTEMPT);
            return RoundState.wrap(missed ? word | 1 << MISSED : word);
        }
    }

    /// @notice Voting, by a committee of so many seats among the first places.
    function attesting(RoundState s, uint256 until, uint256 seats_, uint256 places_)
        internal
        pure
        returns (RoundState)
    {
        uint256 mask = uint256(type(uint16).max) << SEATS | uint256(type(uint16).max) << PLACES;
        uint256 word = RoundState.unwrap(_moved(s, Phase.Attest, until)) & ~mask;
        return RoundState.wrap(word | seats_ << SEATS | places_ << PLACES);
    }

    function ended(RoundState s) internal pure returns (RoundState) {
        return _moved(s, Phase.Ended, 0);
    }

    function _moved(RoundState s, Phase to, uint256 until) private pure returns (RoundState) {
        uint256 cleared =
            RoundState.unwrap(s) & ~(uint256(type(uint8).max) << PHASE | uint256(type(uint40).max) << DEADLINE);
        return RoundState.wrap(cleared | uint256(to) << PHASE | until << DEADLINE);
    }
}
