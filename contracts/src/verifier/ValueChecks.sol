// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ResultHeader} from "../Headers.sol";
import {Headers} from "./Headers.sol";
import {Lanes} from "./Lanes.sol";
import {Leaves} from "./Leaves.sol";
import {Merkle} from "./Merkle.sol";
import {Entry, Nodes} from "./Nodes.sol";
import {Openings, Reader} from "./Openings.sol";
import {Periods} from "./Periods.sol";
import {Shares} from "./Shares.sol";
import {Ask, Case, Question, Terms} from "./Types.sol";
import {Valuations} from "./Valuations.sol";

/// @notice What follows from the utilities of a round: values and gain.
/// @dev Utilities are those of the round's own coalitions; where participants count on their shards, of its parent's.
library ValueChecks {
    using Headers for Reader;
    using Leaves for Reader;
    using Merkle for Reader;
    using Nodes for Reader;

    /// @notice Whether a participant's value is what it was, in the period so far, and what the utilities give it.
    function value(Terms calldata t, Case calldata c, ResultHeader calldata h, Reader memory r, Question memory q)
        internal
        view
        returns (bool)
    {
        uint256 index = r.uint32_();
        (uint256 leaf,) = r.openValue(index, c.known, h);
        bool carriesOn = !Periods.begins(t, c.height);
        bool ofParent = t.evaluation == Periods.SHARDS;
        int256 expected;
        if (carriesOn) {
            ResultHeader calldata parent = r.parent(h);
            (q.ask, q.height, q.digest, q.number) = (Ask.Ancestor, c.height - 1, h.common.parent, r.uint32_());
            if (index < q.number) {
                (uint256 before,) = r.openValue(index, q.number, parent);
                expected = int256(uint256(Openings.load(before + 32)));
            }
            if (ofParent && _valued(t, c, h)) {
                q.slots = r.uint32_();
                // None asks nothing, and would open a single node without its players.
                if (q.slots == 0) revert Nodes.OutOfPlace();
                expected = _plus(expected, _earned(t, c.height - 1, h.utilities, r, q.slots, parent.nodes, index));
            }
        }
        if (!ofParent && _valued(t, c, h)) {
            expected = _plus(expected, _earned(t, c.height, h.utilities, r, c.slots, h.nodes, index));
        }
        return expected == int256(uint256(Openings.load(leaf + 32)));
    }

    /// @notice Whether the gain is that of the period so far and what the coalition of all has over the empty one, or the
    /// nearest that a header holds; and whether utilities are there where, and only where, the policy measures.
    function gain(Terms calldata t, Case calldata c, ResultHeader calldata h, Reader memory r)
        internal
        view
        returns (bool)
    {
        bool empty = h.utilities == Merkle.EMPTY;
        bool measures = _measures(t, c.height);
        if (!empty && !measures || empty && measures && t.evaluation == Valuations.PUBLIC) return false;
        int256 expected;
        ResultHeader calldata players = h;
        if (!Periods.begins(t, c.height)) {
            ResultHeader calldata parent = r.parent(h);
            expected = parent.gain;
            if (t.evaluation == Periods.SHARDS) players = parent;
        }
        if (!empty) expected += _gained(t, c, h.utilities, r, players);
        if (expected > type(int64).max) expected = type(int64).max;
        if (expected < type(int64).min) expected = type(int64).min;
        return expected == h.gain;
    }

    /// @dev The sum, or the nearest integer to it: what a value was before may be any.
    function _plus(int256 a, int256 b) private pure returns (int256 sum) {
        unchecked {
            sum = a + b;
        }
        if (b < 0 ? sum > a : sum < a) sum = b < 0 ? type(int256).min : type(int256).max;
    }

    /// @dev Whether a policy measures anything for the result of a height. Nobody counts on shards for a round before the
    /// period, or for one without training.
    function _measures(Terms calldata t, uint256 height) private pure returns (bool) {
        if (t.evaluation == Valuations.NOTHING || Periods.trained(t, height) == 0) return false;
        return t.evaluation != Periods.SHARDS || !Periods.begins(t, height) && Periods.trained(t, height - 1) != 0;
    }

    /// @dev Whether the round's values are not all zero for want of utilities or of a valuation.
    function _valued(Terms calldata t, Case calldata c, ResultHeader calldata h) private pure returns (bool) {
        if (h.utilities == Merkle.EMPTY) return false;
        return Valuations.at(t, t.evaluation == Periods.SHARDS ? c.height - 1 : c.height) != Valuations.NONE;
    }

    /// @dev The last utility less the first.
    function _gained(Terms calldata t, Case calldata c, bytes32 root, Reader memory r, ResultHeader calldata players)
        private
        view
        returns (int256)
    {
        uint256 count = Valuations.measured(t, c.height, players);
        uint256 size = Valuations.leaves(count);
        uint256 first = r.openUtilities(0, size, root);
        uint256 last = size == 1 ? first : r.openUtilities(size - 1, size, root);
        return Lanes.int64At(last, (count - 1) % Valuations.UTILITIES_PER_LEAF) - Lanes.int64At(first, 0);
    }

    /// @dev What one participant earned in a round, whose nodes and then all utilities follow.
    function _earned(
        Terms calldata t,
        uint256 height,
        bytes32 utilities,
        Reader memory r,
        uint256 slots,
        bytes32 nodes,
        uint256 participant
    ) private view returns (int256) {
        uint256 lowest = r.openLowest(slots, nodes);
        uint256 players;
        uint256 rank;
        bool plays;
        for (uint256 slot; slot < slots; ++slot) {
            Entry calldata e = Nodes.entryAt(lowest, slot);
            if (e.weight == 0) continue;
            ++players;
            if (e.participant < participant) ++rank;
            if (e.participant == participant) plays = true;
        }
        uint8 valuation = Valuations.at(t, height);
        bytes32[] memory hashes = new bytes32[](Valuations.leaves(Valuations.coalitions(valuation, players)));
        uint256 at = r.at;
        for (uint256 i; i < hashes.length; ++i) {
            hashes[i] = Merkle.leaf(r.take(Lanes.LEAF), Lanes.LEAF);
        }
        if (Merkle.join(hashes) != utilities) revert Merkle.NotUnder(utilities);
        return plays ? Shares.value(valuation, at, players, rank) : int256(0);
    }
}
