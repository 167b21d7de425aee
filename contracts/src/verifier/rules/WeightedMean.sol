// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice The element-wise step of the weighted mean, and what the other rules share of it.
library WeightedMean {
    /// @notice previous + sum / weight, the quotient rounded half to even, clamped to int32. No weight: a mean of 0.
    function step(int256 previous, int256 sum, uint256 weight) internal pure returns (int256) {
        return clamped(previous + (weight == 0 ? int256(0) : rounded(sum, int256(weight))));
    }

    /// @notice sum / divisor rounded half to even; a divisor above zero.
    function rounded(int256 sum, int256 divisor) internal pure returns (int256 quotient) {
        unchecked {
            quotient = sum / divisor;
            int256 rest = sum % divisor;
            if (rest < 0) (quotient, rest) = (quotient - 1, rest + divisor);
            int256 twice = 2 * rest;
            if (twice > divisor || twice == divisor && quotient & 1 == 1) ++quotient;
        }
    }

    function clamped(int256 value) internal pure returns (int256) {
        if (value > type(int32).max) return type(int32).max;
        return value < type(int32).min ? int256(type(int32).min) : value;
    }
}
