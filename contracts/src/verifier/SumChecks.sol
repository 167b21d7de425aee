// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ResultHeader} from "../Headers.sol";
import {Lanes} from "./Lanes.sol";
import {Entry, Node, Nodes, Place} from "./Nodes.sol";
import {Openings, Reader} from "./Openings.sol";
import {Rules} from "./rules/Rules.sol";
import {Case, Terms} from "./Types.sol";

/// @notice The payloads of partial sums.
/// @dev A proof opens up to 17 leaves: their words are added up without looking at the lanes in them one by one.
library SumChecks {
    using Lanes for Reader;
    using Nodes for Reader;

    /// @dev The contract takes no header of more weight; a node that says more is wrong by itself or by the header.
    uint256 private constant WEIGHT_LIMIT = 1 << 31;
    uint256 private constant BYTES = 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff;
    uint256 private constant WIDE = 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff;
    uint256 private constant WIDE_ONES = 1 << 128 | 1;

    /// @notice Whether a leaf of a node's sums is the sum of the same lanes of its weighted entries.
    function sum(Terms calldata t, Case calldata c, ResultHeader calldata h, Reader memory r)
        internal
        view
        returns (bool)
    {
        if (!Rules.hasSums(t.rule)) revert Nodes.OutOfPlace();
        (Place memory place, Node calldata node) = r.open(c, h);
        uint256 index = r.uint32_();
        uint256 size = 2 * uint256(t.leaves);
        uint256 claimed = r.open(t, index, size, node.root);
        if (place.level != 0) {
            (uint256[] memory sums,) = _openWeighted(t, r, node, place.children, index, size);
            return _ofNodes(sums, claimed);
        }
        (uint256[] memory updates, uint256[] memory weights) =
            _openWeighted(t, r, node, place.children, index / 2, t.leaves);
        return _ofUpdates(updates, weights, index % 2 * Lanes.HALF, claimed);
    }

    /// @dev Where the leaves of the entries that weigh something begin, and what these weigh.
    function _openWeighted(
        Terms calldata t,
        Reader memory r,
        Node calldata node,
        uint256 children,
        uint256 index,
        uint256 size
    ) private view returns (uint256[] memory leaves, uint256[] memory weights) {
        leaves = new uint256[](children);
        weights = new uint256[](children);
        uint256 counted;
        for (uint256 i; i < children; ++i) {
            Entry calldata e = node.entries[i];
            if (e.weight == 0) continue;
            weights[counted] = e.weight;
            leaves[counted++] = r.open(t, index, size, e.root);
        }
        assembly ("memory-safe") {
            mstore(leaves, counted)
            mstore(weights, counted)
        }
    }

    /// @dev The lanes of updates from an offset of their leaves on.
    function _ofUpdates(uint256[] memory leaves, uint256[] memory weights, uint256 offset, uint256 claimed)
        private
        pure
        returns (bool)
    {
        uint256 weight;
        for (uint256 i; i < weights.length; ++i) {
            if (weights[i] >= WEIGHT_LIMIT - weight) revert Nodes.OutOfPlace();
            weight += weights[i];
        }
        unchecked {
            for (uint256 i; i < Lanes.HALF; i += 32) {
                (uint256 even, uint256 odd) = _weighted(leaves, weights, offset + i);
                uint256 first = uint256(Lanes.fourOf(Openings.load(claimed + 2 * i)));
                uint256 second = uint256(Lanes.fourOf(Openings.load(claimed + 2 * i + 32)));
                if (odd != _biasedOdd(first, second, weight)) return false;
                if (even != _biasedOdd(first >> 64, second >> 64, weight)) return false;
            }
        }
        return true;
    }

    /// @dev Of eight lanes, with 2^31 added to each: four products fit the four 64-bit cells of a word, since weights add up
    /// to less than 2^31.
    function _weighted(uint256[] memory leaves, uint256[] memory weights, uint256 offset)
        private
        pure
        returns (uint256 even, uint256 odd)
    {
        unchecked {
            for (uint256 i; i < leaves.length; ++i) {
                (uint256 leaf, uint256 weight) = (_at(leaves, i), _at(weights, i));
                (uint256 x, uint256 y) = Lanes.biased(Openings.load(leaf + offset));
                even += x * weight;
                odd += y * weight;
            }
        }
    }

    /// @dev The int64 of odd place of two words, side by side, each with the bias of lanes of this weight.
    function _biasedOdd(uint256 first, uint256 second, uint256 weight) private pure returns (uint256) {
        unchecked {
            uint256 bias = (weight << 31) * WIDE_ONES;
            first = (first & WIDE) + bias & WIDE;
            second = (second & WIDE) + bias & WIDE;
            return (first >> 64 | first) << 128 | uint128(second >> 64 | second);
        }
    }

    /// @dev A sum and the complement of what is claimed have every bit set, mod 2^64. Bytes are added up as they lie, each in
    /// 16 bits, and their carries at the end: 17 fit.
    function _ofNodes(uint256[] memory leaves, uint256 claimed) private pure returns (bool) {
        unchecked {
            for (uint256 i; i < Lanes.LEAF; i += 32) {
                (uint256 even, uint256 odd) = _added(leaves, i, ~uint256(Openings.load(claimed + i)));
                (even, odd) = (Lanes.reversed(even), Lanes.reversed(odd));
                if ((even & WIDE) + ((odd & WIDE) << 8) & WIDE != WIDE) return false;
                if ((even >> 64 & WIDE) + ((odd >> 64 & WIDE) << 8) & WIDE != WIDE) return false;
            }
        }
        return true;
    }

    /// @dev The bytes of even place, and of odd place, of this word and those at an offset of the leaves.
    function _added(uint256[] memory leaves, uint256 offset, uint256 word)
        private
        pure
        returns (uint256 even, uint256 odd)
    {
        unchecked {
            (even, odd) = (word >> 8 & BYTES, word & BYTES);
            for (uint256 i; i < leaves.length; ++i) {
                word = uint256(Openings.load(_at(leaves, i) + offset));
                even += word >> 8 & BYTES;
                odd += word & BYTES;
            }
        }
    }

    /// @dev Without looking whether there is such an element.
    function _at(uint256[] memory array, uint256 i) private pure returns (uint256 element) {
        assembly ("memory-safe") {
            element := mload(add(add(array, 0x20), shl(5, i)))
        }
    }
}
