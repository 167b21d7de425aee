// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Lanes} from "./Lanes.sol";
import {Valuations} from "./Valuations.sol";

/// @notice One player's value from the utilities of all coalitions, in units of 1 / lcm(1..12).
library Shares {
    /// @notice lcm(1..12): every exact value of up to 12 players is a whole number of these parts.
    uint256 internal constant DENOMINATOR = 27_720;

    /// @notice The value of a player by its rank among the players.
    /// @param at Where the utilities begin, one after the other.
    function value(uint8 valuation, uint256 at, uint256 players, uint256 rank) internal pure returns (int256) {
        if (valuation == Valuations.EXACT) return _shapley(at, players, rank);
        return int256(DENOMINATOR) * (Lanes.int64At(at, players + 1) - Lanes.int64At(at, rank + 1));
    }

    /// @dev What the player adds to a coalition of s others weighs 1 / (n * C(n - 1, s)).
    function _shapley(uint256 at, uint256 players, uint256 rank) private pure returns (int256 sum) {
        uint256 bit = 1 << rank;
        unchecked {
            int256[] memory weights = new int256[](players);
            uint256 choices = 1;
            for (uint256 s; s < players; ++s) {
                weights[s] = int256(DENOMINATOR / (players * choices));
                choices = choices * (players - 1 - s) / (s + 1);
            }
            uint256 end = 1 << players;
            for (uint256 coalition; coalition < end; ++coalition) {
                if (coalition & bit != 0) continue;
                int256 added = Lanes.int64At(at, coalition | bit) - Lanes.int64At(at, coalition);
                sum += weights[_members(coalition)] * added;
            }
        }
    }

    /// @dev Bits that are set, of at most 16: counted in pairs, fours, eights and all.
    function _members(uint256 coalition) private pure returns (uint256 count) {
        unchecked {
            count = coalition - (coalition >> 1 & 0x5555);
            count = (count & 0x3333) + (count >> 2 & 0x3333);
            count = count + (count >> 4) & 0x0f0f;
            return count + (count >> 8) & 0xff;
        }
    }
}
