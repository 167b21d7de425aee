// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice The aggregation rules by the number that a policy names them by.
library Rules {
    uint8 internal constant WEIGHTED_MEAN = 0;
    uint8 internal constant TRIMMED_MEAN = 1;
    uint8 internal constant MEDIAN = 2;

    /// @notice Whether a result commits to partial sums.
    function hasSums(uint8 rule) internal pure returns (bool) {
        return rule == WEIGHTED_MEAN;
    }
}
