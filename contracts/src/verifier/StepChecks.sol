// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ResultHeader} from "../Headers.sol";
import {Headers} from "./Headers.sol";
import {Lanes} from "./Lanes.sol";
import {Merkle} from "./Merkle.sol";
import {NodeChecks} from "./NodeChecks.sol";
import {Entry, Node, Nodes} from "./Nodes.sol";
import {Reader} from "./Openings.sol";
import {Rules} from "./rules/Rules.sol";
import {TrimmedMean} from "./rules/TrimmedMean.sol";
import {WeightedMean} from "./rules/WeightedMean.sol";
import {Case, Terms} from "./Types.sol";

/// @notice The last step: from the previous model and the updates, or their sums, to the new model.
library StepChecks {
    using Headers for Reader;
    using Lanes for Reader;
    using Nodes for Reader;

    /// @notice Whether a leaf of the new model, or the half of it that one leaf of sums gives, is the rule's step.
    function step(Terms calldata t, Case calldata c, ResultHeader calldata h, Reader memory r)
        internal
        view
        returns (bool)
    {
        bytes32 previous = h.common.parent == 0 ? t.initialModelRoot : r.parent(h).modelRoot;
        uint256 index = r.uint32_();
        if (Rules.hasSums(t.rule)) return _fromSums(t, c, h, r, previous, index);
        return _fromUpdates(t, c, h, r, previous, index);
    }

    function _fromSums(
        Terms calldata t,
        Case calldata c,
        ResultHeader calldata h,
        Reader memory r,
        bytes32 previous,
        uint256 index
    ) private view returns (bool) {
        Node calldata node = NodeChecks.openTop(c, h, r);
        uint256 sums = r.open(t, index, 2 * uint256(t.leaves), node.root);
        uint256 before = _openPrevious(t, h, r, previous, index / 2);
        uint256 model = r.open(t, index / 2, t.leaves, h.modelRoot);
        uint256 first = index % 2 * Lanes.INT64_PER_LEAF;
        for (uint256 i; i < Lanes.INT64_PER_LEAF; ++i) {
            int256 expected = WeightedMean.step(Lanes.int32At(before, first + i), Lanes.int64At(sums, i), h.weight);
            if (Lanes.int32At(model, first + i) != expected) return false;
        }
        return true;
    }

    function _fromUpdates(
        Terms calldata t,
        Case calldata c,
        ResultHeader calldata h,
        Reader memory r,
        bytes32 previous,
        uint256 index
    ) private view returns (bool) {
        uint256[] memory updates = _openUpdates(t, c, h, r, index);
        uint256 before = _openPrevious(t, h, r, previous, index);
        uint256 model = r.open(t, index, t.leaves, h.modelRoot);
        uint256 cut = TrimmedMean.cut(t.rule, t.ruleParameters, updates.length);
        for (uint256 i; i < Lanes.INT32_PER_LEAF; i += TrimmedMean.LANES) {
            int256[] memory means = TrimmedMean.means(updates, 4 * i, cut);
            for (uint256 k; k < means.length; ++k) {
                int256 expected = WeightedMean.clamped(Lanes.int32At(before, i + k) + means[k]);
                if (Lanes.int32At(model, i + k) != expected) return false;
            }
        }
        return true;
    }

    /// @dev The initial model is for everybody: its leaves have no salts, whoever may read what follows.
    function _openPrevious(
        Terms calldata t,
        ResultHeader calldata h,
        Reader memory r,
        bytes32 previous,
        uint256 index
    ) private view returns (uint256) {
        return r.open(t.sealed_ && h.common.parent != 0, index, t.leaves, previous);
    }

    /// @dev Where the leaves of all counted updates begin, in the order of their slots.
    function _openUpdates(Terms calldata t, Case calldata c, ResultHeader calldata h, Reader memory r, uint256 index)
        private
        view
        returns (uint256[] memory leaves)
    {
        uint256 lowest = r.openLowest(c.slots, h.nodes);
        leaves = new uint256[](c.slots);
        uint256 counted;
        for (uint256 slot; slot < c.slots; ++slot) {
            Entry calldata e = Nodes.entryAt(lowest, slot);
            if (e.weight != 0) leaves[counted++] = r.open(t, index, t.leaves, e.root);
        }
        assembly ("memory-safe") {
            mstore(leaves, counted)
        }
    }
}
