// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ResultHeader} from "../Headers.sol";
import {Merkle} from "./Merkle.sol";
import {Entry, Node, Nodes, Place, Reason} from "./Nodes.sol";
import {Reader} from "./Openings.sol";
import {Periods} from "./Periods.sol";
import {Rules} from "./rules/Rules.sol";
import {Case, Terms} from "./Types.sol";

/// @notice What a node says of itself, of its children, and to the header.
library NodeChecks {
    using Nodes for Reader;

    /// @notice Whether a node adds up its entries, has zeros behind them, and no entry says what none can say.
    function totals(Terms calldata t, Case calldata c, ResultHeader calldata h, Reader memory r)
        internal
        view
        returns (bool right)
    {
        (Place memory place, Node calldata node) = r.open(c, h);
        right = node.root == 0 || Rules.hasSums(t.rule);
        uint256 weight;
        uint256 number;
        for (uint256 i; i < Nodes.FAN_OUT; ++i) {
            Entry calldata e = node.entries[i];
            if (i >= place.children) right = right && _isZero(e);
            else if (place.level == 0) right = right && _possible(t, c, h, e, place.first + i);
            else right = right && e.weight <= type(uint64).max && e.number <= type(uint32).max;
            unchecked {
                weight += e.weight;
                number += e.number;
            }
        }
        return right && node.weight == weight && node.number == number;
    }

    /// @notice Whether an entry of an upper node repeats its child.
    function child(Case calldata c, ResultHeader calldata h, Reader memory r) internal view returns (bool) {
        (Place memory below, Node calldata inner) = r.open(c, h);
        (Place memory place, Node calldata node) = r.open(c, h);
        if (place.level == 0 || below.index - place.first >= place.children) revert Nodes.OutOfPlace();
        Entry calldata e = node.entries[below.index - place.first];
        bytes32 digest = Merkle.digest(_offset(inner), Nodes.SIZE);
        return e.digest == digest && e.root == inner.root && e.weight == inner.weight && e.number == inner.number
            && (e.participant | e.reason | e.position) == 0;
    }

    /// @notice Whether the header repeats the top node.
    function top(Case calldata c, ResultHeader calldata h, Reader memory r) internal view returns (bool) {
        Node calldata node = openTop(c, h, r);
        return node.weight == h.weight && node.number == h.number;
    }

    /// @notice Open the last of all nodes.
    function openTop(Case calldata c, ResultHeader calldata h, Reader memory r) internal view returns (Node calldata) {
        (Place memory place, Node calldata node) = r.open(c, h);
        if (place.index + 1 != Nodes.count(c.slots)) revert Nodes.OutOfPlace();
        return node;
    }

    /// @dev Whether some round has such an entry at this slot.
    function _possible(Terms calldata t, Case calldata c, ResultHeader calldata h, Entry calldata e, uint256 slot)
        private
        pure
        returns (bool)
    {
        if (e.reason > uint256(type(Reason).max)) return false;
        Reason reason = Reason(e.reason);
        bool unbound = reason == Reason.Missing || reason == Reason.Unsigned;
        bool placed = reason == Reason.BeyondBound || reason == Reason.Superseded;
        bool rooted = reason == Reason.Counted || reason == Reason.Foreign || reason == Reason.BeyondBound
            || reason == Reason.TooFew || reason == Reason.Idle;
        if (slot >= c.batched && (unbound || reason == Reason.Superseded)) return false;
        if (reason == Reason.Missing && (e.digest != 0 || e.participant != 0)) return false;
        if (!placed && e.position != 0 || !rooted && e.root != 0) return false;
        if (e.participant > type(uint32).max || e.position > type(uint32).max) return false;
        return _countsRight(t, c, h, e, reason);
    }

    /// @dev Whether weight, number and reason go together, in a round with so many good updates.
    function _countsRight(Terms calldata t, Case calldata c, ResultHeader calldata h, Entry calldata e, Reason reason)
        private
        pure
        returns (bool)
    {
        bool idle = Periods.isIdle(t, c.height, h.stop);
        if (reason == Reason.Counted) {
            if (e.weight == 0) return e.number == 0;
            bool counts = h.number >= t.leastUpdates && !idle;
            return counts && e.weight <= type(uint64).max && e.number == 1;
        }
        if (e.weight != 0) return false;
        if (reason == Reason.TooFew) return e.number <= 1 && h.number < t.leastUpdates && !idle;
        return e.number == 0 && (reason != Reason.Idle || idle);
    }

    function _isZero(Entry calldata e) private pure returns (bool) {
        return uint256(e.digest) | uint256(e.root) | e.participant | e.weight | e.number | e.reason | e.position == 0;
    }

    function _offset(Node calldata node) private pure returns (uint256 at) {
        assembly ("memory-safe") {
            at := node
        }
    }
}
