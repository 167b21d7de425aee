// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Lanes} from "../Lanes.sol";
import {Openings} from "../Openings.sol";
import {Rules} from "./Rules.sol";
import {WeightedMean} from "./WeightedMean.sol";

/// @notice The coordinate-wise trimmed mean, of which the median is the shortest.
/// @dev Eight lanes of all updates are sorted at a time, four in each word of 64-bit cells, by Batcher's merge exchange
/// (Knuth, The Art of Computer Programming 5.2.2, algorithm M): the same comparisons whatever the values are.
library TrimmedMean {
    /// @notice Lanes that one call of `means` looks at.
    uint256 internal constant LANES = 8;
    uint256 private constant MILLION = 1_000_000;
    uint256 private constant ONES = 0x0000000000000001000000000000000100000000000000010000000000000001;
    /// @dev What `Lanes.biased` adds to every lane.
    uint256 private constant BIAS = 1 << 31;

    /// @notice How many values are left out at each end of n.
    function cut(uint8 rule, bytes32 parameters, uint256 n) internal pure returns (uint256) {
        if (n == 0) return 0;
        return rule == Rules.MEDIAN ? (n - 1) / 2 : n * uint256(parameters) / MILLION;
    }

    /// @notice Rounded means of the values that are left of eight neighbouring lanes; zeros if there are no updates.
    /// @param leaves Where the updates' leaves begin.
    /// @param offset Of the eight lanes in a leaf.
    function means(uint256[] memory leaves, uint256 offset, uint256 cut_)
        internal
        pure
        returns (int256[] memory result)
    {
        result = new int256[](LANES);
        if (leaves.length == 0) return result;
        uint256[] memory even = new uint256[](leaves.length);
        uint256[] memory odd = new uint256[](leaves.length);
        for (uint256 i; i < leaves.length; ++i) {
            (even[i], odd[i]) = Lanes.biased(Openings.load(leaves[i] + offset));
        }
        _mean(even, cut_, result, 0);
        _mean(odd, cut_, result, 1);
    }

    /// @dev Put the four means of cells into every other place of the result.
    function _mean(uint256[] memory cells, uint256 cut_, int256[] memory result, uint256 first) private pure {
        _sort(cells);
        uint256 rest = cells.length - 2 * cut_;
        uint256 sums;
        unchecked {
            // At most 2^32 values below 2^32: no cell runs over into the next.
            for (uint256 i = cut_; i < cut_ + rest; ++i) {
                sums += cells[i];
            }
            for (uint256 k; k < 4; ++k) {
                int256 sum = int256(uint256(uint64(sums >> (192 - 64 * k)))) - int256(rest * BIAS);
                result[2 * k + first] = WeightedMean.rounded(sum, int256(rest));
            }
        }
    }

    function _sort(uint256[] memory cells) private pure {
        uint256 n = cells.length;
        if (n < 2) return;
        unchecked {
            uint256 top = 1;
            while (2 * top < n) top *= 2;
            for (uint256 p = top; p != 0; p /= 2) {
                uint256 q = top;
                uint256 r;
                uint256 d = p;
                while (true) {
                    for (uint256 i; i + d < n; ++i) {
                        if (i & p == r) _order(cells, i, i + d);
                    }
                    if (q == p) break;
                    (d, q, r) = (q - p, q / 2, p);
                }
            }
        }
    }

    /// @dev Put the lesser of each pair of cells into the first place.
    function _order(uint256[] memory cells, uint256 i, uint256 j) private pure {
        assembly ("memory-safe") {
            let one := add(add(cells, 0x20), shl(5, i))
            let two := add(add(cells, 0x20), shl(5, j))
            let a := mload(one)
            let b := mload(two)
            // Bit 32 of a cell of (a + 2^32 - b) says whether a is not the lesser there.
            let ones := ONES
            let swap := mul(and(shr(32, sub(or(a, shl(32, ones)), b)), ones), 0xffffffff)
            swap := and(xor(a, b), swap)
            mstore(one, xor(a, swap))
            mstore(two, xor(b, swap))
        }
    }
}
