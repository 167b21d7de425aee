// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {RewardChecks} from "../../src/verifier/RewardChecks.sol";
import {Shares} from "../../src/verifier/Shares.sol";
import {Valuations} from "../../src/verifier/Valuations.sol";
import {Rules} from "../../src/verifier/rules/Rules.sol";
import {TrimmedMean} from "../../src/verifier/rules/TrimmedMean.sol";
import {WeightedMean} from "../../src/verifier/rules/WeightedMean.sol";
import {Asserts} from "../Asserts.sol";

/// @notice The arithmetic of rules and values against its definition.
contract VerifierRulesTest is Asserts {
    // ---------------------------------------------------------------- the weighted mean

    function testFuzz_rounded(int64 sum, uint32 weight) public pure {
        int256 divisor = int256(bound(weight, 1, type(uint32).max >> 1));
        int256 quotient = WeightedMean.rounded(sum, divisor);
        int256 twice = 2 * (int256(sum) - quotient * divisor);
        holds(-divisor <= twice && twice <= divisor, "not the nearest");
        holds(twice != divisor && twice != -divisor || quotient % 2 == 0, "a half is not even");
    }

    function test_step_saturates() public pure {
        eq(uint256(WeightedMean.step(type(int32).max, 10, 3)), uint32(type(int32).max), "above");
        holds(WeightedMean.step(type(int32).min, -10, 3) == type(int32).min, "below");
        holds(WeightedMean.step(7, 1 << 40, 0) == 7, "no weight moves nothing");
    }

    // ---------------------------------------------------------------- the trimmed mean

    /// @dev Eight lanes of each update, one update after the other.
    function means(bytes calldata updates, uint256 cut) external pure returns (int256[] memory) {
        uint256[] memory leaves = new uint256[](updates.length / 32);
        uint256 start;
        assembly ("memory-safe") {
            start := updates.offset
        }
        for (uint256 i; i < leaves.length; ++i) {
            leaves[i] = start + 32 * i;
        }
        return TrimmedMean.means(leaves, 0, cut);
    }

    function testFuzz_means(uint256 seed, uint8 count, uint32 share_) public view {
        uint256 n = bound(count, 1, 64);
        uint256 cut = TrimmedMean.cut(Rules.TRIMMED_MEAN, bytes32(bound(share_, 0, 499_999)), n);
        _compare(seed, n, cut);
    }

    function testFuzz_means_median(uint256 seed, uint8 count) public view {
        uint256 n = bound(count, 1, 64);
        _compare(seed, n, TrimmedMean.cut(Rules.MEDIAN, 0, n));
    }

    function _compare(uint256 seed, uint256 n, uint256 cut) private view {
        int32[] memory values = new int32[](8 * n);
        bytes memory updates = new bytes(32 * n);
        for (uint256 i; i < values.length; ++i) {
            uint256 random = uint256(keccak256(abi.encode(seed, i)));
            // Many equal ones, and both ends of the range.
            values[i] = random % 4 == 0 ? int32(uint32(random >> 8)) : int32(uint32(random >> 8) % 3) - 1;
            if (random % 16 == 1) values[i] = type(int32).min;
            for (uint256 k; k < 4; ++k) {
                updates[4 * i + k] = bytes1(uint8(uint32(values[i]) >> (8 * k)));
            }
        }
        int256[] memory found = this.means(updates, cut);
        for (uint256 lane; lane < 8; ++lane) {
            holds(found[lane] == _slowMean(values, lane, n, cut), "mean");
        }
    }

    function _slowMean(int32[] memory values, uint256 lane, uint256 n, uint256 cut) private pure returns (int256) {
        int32[] memory sorted = new int32[](n);
        for (uint256 i; i < n; ++i) {
            uint256 at = i;
            for (; at > 0 && sorted[at - 1] > values[8 * i + lane]; --at) {
                sorted[at] = sorted[at - 1];
            }
            sorted[at] = values[8 * i + lane];
        }
        int256 sum;
        for (uint256 i = cut; i < n - cut; ++i) {
            sum += sorted[i];
        }
        return WeightedMean.rounded(sum, int256(n - 2 * cut));
    }

    function test_means_ofNothing() public view {
        int256[] memory found = this.means("", 0);
        for (uint256 lane; lane < found.length; ++lane) {
            holds(found[lane] == 0, "something");
        }
    }

    // ---------------------------------------------------------------- values and scores

    function share(uint8 valuation, bytes calldata utilities, uint256 players, uint256 rank)
        external
        pure
        returns (int256)
    {
        uint256 at;
        assembly ("memory-safe") {
            at := utilities.offset
        }
        return Shares.value(valuation, at, players, rank);
    }

    /// @dev Whoever is worth the same to every coalition gets just that, and all values make up the whole.
    function testFuzz_shapley_ofAnAdditiveGame(uint256 seed, uint8 count) public view {
        uint256 players = bound(count, 1, 8);
        bytes memory utilities = new bytes(8 << players);
        for (uint256 coalition; coalition < 1 << players; ++coalition) {
            int64 worth;
            for (uint256 k; k < players; ++k) {
                if (coalition >> k & 1 == 1) worth += _worth(seed, k);
            }
            for (uint256 k; k < 8; ++k) {
                utilities[8 * coalition + k] = bytes1(uint8(uint64(worth) >> (8 * k)));
            }
        }
        for (uint256 k; k < players; ++k) {
            int256 value = this.share(Valuations.EXACT, utilities, players, k);
            holds(value == int256(Shares.DENOMINATOR) * _worth(seed, k), "value");
        }
    }

    function _worth(uint256 seed, uint256 player) private pure returns (int64) {
        return int64(int32(uint32(uint256(keccak256(abi.encode(seed, player))))));
    }

    function testFuzz_scoreOf(int256 value, uint32 scale, uint8 a, uint8 b) public pure {
        (uint256 x, uint256 y) = (bound(a, 0, 4), bound(b, 0, 4));
        uint256 score = RewardChecks.scoreOf(value, scale, x, y);
        holds(score <= RewardChecks.LIMIT, "beyond the limit");
        if (value <= 0 || scale == 0 && y != 0) return eq(score, 0, "something for nothing");
        holds(score != 0, "nothing");
        uint256 small = bound(uint256(value), 1, 1 << 20);
        eq(RewardChecks.scoreOf(int256(small), 1 << 10, x, y), small ** x << (10 * y), "score");
    }
}
