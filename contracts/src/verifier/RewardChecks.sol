// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ResultHeader} from "../Headers.sol";
import {Headers} from "./Headers.sol";
import {Leaves, Sums} from "./Leaves.sol";
import {Openings, Reader} from "./Openings.sol";
import {Periods} from "./Periods.sol";
import {Ask, Case, Question, Terms} from "./Types.sol";

/// @notice What follows from the values: scores and payouts.
library RewardChecks {
    using Headers for Reader;
    using Leaves for Reader;

    /// @notice Scores saturate here, so that the sum over 2^32 participants fits 256 bits.
    uint256 internal constant LIMIT = 1 << 223;

    /// @notice Whether a leaf of the values is in its place, its score follows from its value, and the header has the sum of
    /// all; asks for the scale that the proof says.
    function score(Terms calldata t, Case calldata c, ResultHeader calldata h, Reader memory r, Question memory q)
        internal
        view
        returns (bool)
    {
        uint256 index = r.uint32_();
        (uint256 leaf, Sums memory sums) = r.openValue(index, c.known, h);
        uint32 scale = r.uint32_();
        if (sums.total != h.scores || uint256(Openings.load(leaf)) != index) return false;
        int256 value = int256(uint256(Openings.load(leaf + 32)));
        (q.ask, q.participant, q.number) = (Ask.Scale, uint32(index), scale);
        return scoreOf(value, scale, t.valueExponent, t.scaleExponent) == Leaves.amount(leaf, Leaves.VALUE);
    }

    /// @notice max(value, 0)^a * scale^b, at most LIMIT.
    function scoreOf(int256 value, uint256 scale, uint256 a, uint256 b) internal pure returns (uint256 result) {
        if (value <= 0 || scale == 0 && b != 0) return 0;
        result = 1;
        for (uint256 i; i < a + b; ++i) {
            uint256 factor = i < a ? uint256(value) : scale;
            result = result > LIMIT / factor ? LIMIT : result * factor;
        }
        return result < LIMIT ? result : LIMIT;
    }

    /// @notice Whether a leaf of the payouts is in its place and has what the periods before paid and the participant's part
    /// of what this one releases, and the header has the sum of all.
    function payout(Terms calldata t, Case calldata c, ResultHeader calldata h, Reader memory r, Question memory q)
        internal
        view
        returns (bool)
    {
        uint256 index = r.uint32_();
        (uint256 leaf, Sums memory all) = r.openPayout(index, c.known, h);
        (uint256 value, Sums memory scores) = r.openValue(index, c.known, h);
        (uint256 paid, uint256 base) = _paidBefore(t, c, r, q, index);
        if (all.total != h.payoutTotal || uint256(Openings.load(leaf)) != index || all.total < base) return false;
        if (h.scores != 0) {
            uint256 released = all.total - base;
            uint256 upTo = scores.before + Leaves.amount(value, Leaves.VALUE);
            if (scores.total != h.scores) return false;
            paid += Math.mulDiv(released, upTo, h.scores) - Math.mulDiv(released, scores.before, h.scores);
        }
        return paid == Leaves.amount(leaf, Leaves.PAYOUT);
    }

    /// @dev What this participant, and all together, had been paid when the period before ended; asks for the result that
    /// ended it.
    function _paidBefore(Terms calldata t, Case calldata c, Reader memory r, Question memory q, uint256 index)
        private
        view
        returns (uint256 paid, uint256 base)
    {
        uint256 height = Periods.endBefore(t, c.height);
        if (height == 0) return (0, 0);
        bytes32 digest = r.word();
        ResultHeader calldata ended = r.result(digest);
        (q.ask, q.height, q.digest, q.number) = (Ask.Ancestor, uint32(height), digest, r.uint32_());
        base = ended.payoutTotal;
        if (index < q.number) {
            (uint256 leaf,) = r.openPayout(index, q.number, ended);
            paid = Leaves.amount(leaf, Leaves.PAYOUT);
        }
    }
}
