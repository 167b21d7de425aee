// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Terms} from "./Types.sol";

/// @notice Which results train, and where reward periods end, by height on the lineage.
library Periods {
    /// @notice Evaluation on rows that participants hold out.
    uint8 internal constant SHARDS = 3;

    /// @notice Training results up to this height: the statistics result is not one.
    function trained(Terms calldata t, uint256 height) internal pure returns (uint256) {
        return t.statistics != 0 && height != 0 ? height - 1 : height;
    }

    /// @notice Whether a reward period begins with the result of this height.
    function begins(Terms calldata t, uint256 height) internal pure returns (bool) {
        return height == 1 || height == endBefore(t, height) + 1;
    }

    /// @notice Height of the result that ended the reward period before this height's; 0 if there is none.
    function endBefore(Terms calldata t, uint256 height) internal pure returns (uint256) {
        uint256 period = t.rewardPeriod;
        if (period == 0 || height == 0) return 0;
        uint256 results = trained(t, height - 1) / period * period;
        if (results == 0) return 0;
        return t.statistics != 0 ? results + 1 : results;
    }

    /// @notice Whether the round only carries counts of shards: the last of a period, whose updates would be valued too late.
    function isIdle(Terms calldata t, uint256 height, bool stop) internal pure returns (bool) {
        uint256 results = trained(t, height);
        if (t.evaluation != SHARDS || results == 0) return false;
        return stop || results == t.rounds || t.rewardPeriod != 0 && results % t.rewardPeriod == 0;
    }
}
