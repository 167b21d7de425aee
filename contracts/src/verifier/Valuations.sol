// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ResultHeader} from "../Headers.sol";
import {Periods} from "./Periods.sol";
import {Terms} from "./Types.sol";

/// @notice The valuations by the number that a policy names them by, and which coalitions each measures.
library Valuations {
    /// @notice The evaluations that these checks tell apart: none, and on public rows.
    uint8 internal constant NOTHING = 0;
    uint8 internal constant PUBLIC = 1;
    uint8 internal constant NONE = 0;
    uint8 internal constant LEAVE_ONE_OUT = 1;
    uint8 internal constant EXACT = 2;
    uint256 internal constant MOST_PLAYERS = 12;
    uint256 internal constant UTILITIES_PER_LEAF = 128;

    /// @notice More players than an exact method can value.
    error TooManyPlayers(uint256 players);

    /// @notice The valuation of the result of a height: a policy's own runs every so many training rounds.
    function at(Terms calldata t, uint256 height) internal pure returns (uint8) {
        return Periods.trained(t, height) % t.valuationEvery == 0 ? t.valuation : NONE;
    }

    /// @notice How many coalitions of so many players are measured.
    function coalitions(uint8 valuation, uint256 players) internal pure returns (uint256) {
        if (players == 0) return 1;
        if (valuation == NONE) return 2;
        if (valuation == LEAVE_ONE_OUT) return players + 2;
        if (players > MOST_PLAYERS) revert TooManyPlayers(players);
        return 1 << players;
    }

    /// @notice How many utilities the result of a height has, if any.
    /// @param players The header of the result whose updates they measure: its own or, by shards, its parent's.
    function measured(Terms calldata t, uint256 height, ResultHeader calldata players) internal pure returns (uint256) {
        uint8 valuation = at(t, t.evaluation == Periods.SHARDS ? height - 1 : height);
        return coalitions(valuation, players.weight == 0 ? 0 : players.number);
    }

    /// @notice How many leaves so many utilities fill.
    function leaves(uint256 utilities) internal pure returns (uint256) {
        return (utilities + UTILITIES_PER_LEAF - 1) / UTILITIES_PER_LEAF;
    }
}
