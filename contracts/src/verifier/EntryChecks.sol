// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ResultHeader} from "../Headers.sol";
import {Headers} from "./Headers.sol";
import {Lanes} from "./Lanes.sol";
import {Merkle} from "./Merkle.sol";
import {Entry, Nodes, Reason} from "./Nodes.sol";
import {Reader} from "./Openings.sol";
import {Ask, Case, Question, Terms} from "./Types.sol";
import {Updates, UpdateWords} from "./Updates.sol";

/// @notice Whether what an entry says of its slot's update follows from the update.
library EntryChecks {
    using Lanes for Reader;
    using Nodes for Reader;

    /// @notice Whether an entry that depends on its update's header follows from it. The header's bytes, of any length, are
    /// the last of the proof.
    function header(Terms calldata t, Case calldata c, ResultHeader calldata h, Reader memory r, Question memory q)
        internal
        view
        returns (bool)
    {
        (, Entry calldata e) = r.entry(c, h);
        bool foreign = Nodes.is_(e, Reason.Foreign);
        bool malformed = Nodes.is_(e, Reason.Malformed);
        if (!foreign && !malformed && !Nodes.passedHeader(e)) revert Nodes.OutOfPlace();
        uint256 size = r.left();
        uint256 at = r.take(size);
        if (Merkle.digest(at, size) != e.digest) revert Headers.NotThePreimage(e.digest);
        UpdateWords calldata update = Updates.at(at);
        if (size != Updates.SIZE || !Updates.isCanonical(update)) return malformed;
        if (malformed || update.payloadRoot != e.root) return false;
        if (!Updates.isOf(update, t, h, e)) return foreign;
        (q.ask, q.holds) = (Ask.Header, foreign);
        (q.participant, q.number, q.digest) = (uint32(e.participant), uint32(update.dataset), update.base);
        return false;
    }

    /// @notice Asks whether an entry's weight is the contract's; of one that is left out for want of others, whether it has any.
    function weight(Case calldata c, ResultHeader calldata h, Reader memory r, Question memory q)
        internal
        view
        returns (bool)
    {
        (, Entry calldata e) = r.entry(c, h);
        bool counted = Nodes.is_(e, Reason.Counted);
        if (!counted && !Nodes.is_(e, Reason.TooFew)) revert Nodes.OutOfPlace();
        if (e.weight > type(uint32).max) return false;
        (q.ask, q.holds) = (Ask.Weight, !counted && e.number != 0);
        (q.participant, q.number) = (uint32(e.participant), uint32(e.weight));
        return false;
    }

    /// @notice Whether no coordinate in a leaf of an update shows what its entry denies: one beyond the bound, or an earlier one
    /// than that which the entry names; or the named one, if that lies in the leaf, is beyond it.
    function bound(Terms calldata t, Case calldata c, ResultHeader calldata h, Reader memory r)
        internal
        view
        returns (bool)
    {
        (, Entry calldata e) = r.entry(c, h);
        if (!Nodes.passedHeader(e)) revert Nodes.OutOfPlace();
        bool named = Nodes.is_(e, Reason.BeyondBound);
        if (named && e.position >= uint256(t.leaves) * Lanes.INT32_PER_LEAF) return false;
        uint256 index = r.uint32_();
        uint256 leaf = r.open(t, index, t.leaves, e.root);
        for (uint256 i; i < Lanes.INT32_PER_LEAF; ++i) {
            uint256 coordinate = index * Lanes.INT32_PER_LEAF + i;
            bool beyond = _isBeyond(t, h.common.parent == 0, coordinate, Lanes.int32At(leaf, i));
            if (named && coordinate >= e.position) return coordinate > e.position || beyond;
            if (beyond) return false;
        }
        return true;
    }

    /// @dev The first round of a federation that wants statistics writes these alone; all others leave them at zero.
    function _isBeyond(Terms calldata t, bool first, uint256 coordinate, int256 value) private pure returns (bool) {
        bool writable = first && t.statistics != 0
            ? coordinate < t.statistics
            : t.statistics <= coordinate && coordinate < t.coordinates;
        int256 most = writable ? int256(uint256(t.bound)) : int256(0);
        return value > most || value < -most;
    }
}
