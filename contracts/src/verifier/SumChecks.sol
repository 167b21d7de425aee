// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ResultHeader} from "../Headers.sol";
import {Lanes} from "./Lanes.sol";
import {Entry, Node, Nodes, Place} from "./Nodes.sol";
import {Openings, Reader} from "./Openings.sol";
import {Rules} from "./rules/Rules.sol";
import {Case, Terms} from "./Types.sol";

/// @notice The payloads of partial sums.
/// @dev A word adds up four int32 lanes, or two int64 lanes, at a time, in cells too wide to run over.
library SumChecks {
    using Lanes for Reader;
    using Nodes for Reader;

    /// @dev The contract takes no header of more weight; a node that says more is wrong by itself or by the header.
    uint256 private constant WEIGHT_LIMIT = 1 << 31;
    uint256 private constant WORDS = 32;
    uint256 private constant WIDE_CELLS = 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff;

    /// @notice Whether a leaf of a node's sums is the sum of the same lanes of its weighted entries.
    function sum(Terms calldata t, Case calldata c, ResultHeader calldata h, Reader memory r)
        internal
        view
        returns (bool)
    {
        if (!Rules.hasSums(t.rule)) revert Nodes.OutOfPlace();
        (Place memory place, Node calldata node) = r.open(c, h);
        uint256 index = r.uint32_();
        uint256 claimed = r.open(t, index, 2 * uint256(t.leaves), node.root);
        if (place.level != 0) return _ofNodes(t, r, node, place.children, index, claimed);
        return _ofUpdates(t, r, node, place.children, index, claimed);
    }

    /// @dev Lanes are biased by 2^31, so that four products fit the four 64-bit cells of a word: weights add up to less than
    /// 2^31.
    function _ofUpdates(
        Terms calldata t,
        Reader memory r,
        Node calldata node,
        uint256 children,
        uint256 index,
        uint256 claimed
    ) private view returns (bool) {
        uint256[] memory sums = new uint256[](WORDS);
        uint256 weights;
        for (uint256 i; i < children; ++i) {
            Entry calldata e = node.entries[i];
            if (e.weight == 0) continue;
            if (e.weight >= WEIGHT_LIMIT - weights) revert Nodes.OutOfPlace();
            weights += e.weight;
            uint256 leaf = r.open(t, index / 2, t.leaves, e.root) + index % 2 * Lanes.HALF;
            _addWeighted(sums, leaf, e.weight);
        }
        for (uint256 lane; lane < Lanes.INT64_PER_LEAF; ++lane) {
            uint256 cell = sums[lane / 8 * 2 + lane % 2] >> (192 - 64 * (lane % 8 / 2));
            int256 found = int256(uint256(uint64(cell))) - int256(weights << 31);
            if (found != Lanes.int64At(claimed, lane)) return false;
        }
        return true;
    }

    function _addWeighted(uint256[] memory sums, uint256 at, uint256 weight) private pure {
        unchecked {
            for (uint256 i; i < WORDS; i += 2) {
                (uint256 even, uint256 odd) = Lanes.biased(Openings.load(at + 16 * i));
                sums[i] += even * weight;
                sums[i + 1] += odd * weight;
            }
        }
    }

    /// @dev The low 64 bits of a cell are exact mod 2^64, as those of a signed sum.
    function _ofNodes(
        Terms calldata t,
        Reader memory r,
        Node calldata node,
        uint256 children,
        uint256 index,
        uint256 claimed
    ) private view returns (bool) {
        uint256[] memory sums = new uint256[](2 * WORDS);
        for (uint256 i; i < children; ++i) {
            Entry calldata e = node.entries[i];
            if (e.weight != 0) _add(sums, r.open(t, index, 2 * uint256(t.leaves), e.root));
        }
        for (uint256 i; i < WORDS; ++i) {
            uint256 word = uint256(Lanes.fourOf(Openings.load(claimed + 32 * i)));
            if ((sums[2 * i] ^ word >> 64) & WIDE_CELLS != 0) return false;
            if ((sums[2 * i + 1] ^ word) & WIDE_CELLS != 0) return false;
        }
        return true;
    }

    function _add(uint256[] memory sums, uint256 at) private pure {
        unchecked {
            for (uint256 i; i < WORDS; ++i) {
                uint256 word = uint256(Lanes.fourOf(Openings.load(at + 32 * i)));
                sums[2 * i] += word >> 64 & WIDE_CELLS;
                sums[2 * i + 1] += word & WIDE_CELLS;
            }
        }
    }
}
