// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ResultHeader} from "../Headers.sol";
import {Headers} from "./Headers.sol";
import {Lanes} from "./Lanes.sol";
import {Leaves} from "./Leaves.sol";
import {Merkle} from "./Merkle.sol";
import {Entry, Node, Nodes, Reason} from "./Nodes.sol";
import {Openings, Reader} from "./Openings.sol";
import {Periods} from "./Periods.sol";
import {Rules} from "./rules/Rules.sol";
import {Case, Target, Terms} from "./Types.sol";
import {Updates} from "./Updates.sol";
import {Valuations} from "./Valuations.sol";

/// @notice Which bytes of a result may be demanded, and what answers a demand.
/// @dev Whoever computed a result honestly holds everything that may be demanded of it. Hence no header is demanded of a slot
/// that is not even read, and no leaf of a batch of a slot whose leaf is missing.
library Demands {
    using Headers for Reader;
    using Merkle for Reader;
    using Nodes for Reader;

    uint8 internal constant INPUT = 0;
    uint8 internal constant SUM = 1;
    uint8 internal constant MODEL = 2;
    uint8 internal constant NODE = 3;
    uint8 internal constant BATCH = 4;
    uint8 internal constant UTILITIES = 5;
    uint8 internal constant VALUES = 6;
    uint8 internal constant PAYOUTS = 7;
    uint8 internal constant HEADER = 8;

    uint256 internal constant BATCH_LEAF = 128;
    /// @notice Levels of a tree that one answer descends.
    uint256 internal constant DESCENT = 8;
    uint8 private constant HIGHEST = 31;

    /// @notice There is no such kind of demand, or it is not to be answered in this case.
    error NotDemandable(uint8 kind);

    /// @notice What a demand is for. Evidence: kind, level, position, the result's header, and what leads from there to the
    /// root: nothing, a node (sums), or a slot's entry (inputs, update headers, leaves of the batch).
    function target(Terms calldata t, Case calldata c, bytes calldata evidence)
        internal
        view
        returns (Target memory wanted)
    {
        Reader memory r = Openings.over(evidence);
        wanted.kind = r.uint8_();
        wanted.level = r.uint8_();
        wanted.position = r.uint32_();
        ResultHeader calldata h = r.result(c.result);
        (bytes32 root, uint256 size) = _tree(t, c, h, r, wanted);
        r.close();
        wanted.root = root;
        wanted.size = uint32(size);
        if (wanted.level > HIGHEST || uint256(wanted.position) << wanted.level >= size) {
            revert Merkle.NoSuchPlace(wanted.position, size);
        }
    }

    function _tree(Terms calldata t, Case calldata c, ResultHeader calldata h, Reader memory r, Target memory wanted)
        private
        view
        returns (bytes32, uint256)
    {
        uint8 kind = wanted.kind;
        if (kind == MODEL) return (h.modelRoot, t.leaves);
        if (kind == NODE) return (h.nodes, Nodes.count(c.slots));
        if (kind == UTILITIES && h.utilities != Merkle.EMPTY) {
            ResultHeader calldata players = h;
            if (t.evaluation == Periods.SHARDS) players = r.parent(h);
            return (h.utilities, Valuations.leaves(Valuations.measured(t, c.height, players)));
        }
        if (kind == VALUES) {
            wanted.total = h.scores;
            return (h.values, c.known);
        }
        if (kind == PAYOUTS) {
            wanted.total = h.payoutTotal;
            return (h.payouts, c.known);
        }
        if (kind == SUM && Rules.hasSums(t.rule)) {
            (, Node calldata node) = r.open(c, h);
            return (node.root, 2 * uint256(t.leaves));
        }
        return _ofSlot(t, c, h, r, wanted);
    }

    function _ofSlot(Terms calldata t, Case calldata c, ResultHeader calldata h, Reader memory r, Target memory wanted)
        private
        view
        returns (bytes32, uint256)
    {
        (uint256 slot, Entry calldata e) = r.entry(c, h);
        bool read = Nodes.passedHeader(e);
        uint8 kind = wanted.kind;
        if (kind == INPUT && read) return (e.root, t.leaves);
        if (kind == HEADER && (read || Nodes.is_(e, Reason.Foreign)) && wanted.level == 0) return (e.digest, 1);
        bool asLeaf = wanted.level == 0 && wanted.position == slot && slot < c.batched;
        if (kind == BATCH && asLeaf && !Nodes.is_(e, Reason.Missing)) return (c.batchRoot, c.batched);
        revert NotDemandable(kind);
    }

    /// @notice Whether bytes answer a demand. At level 0 the leaf answers; above, the nodes up to eight levels further down
    /// that make up the node; each with the node's path.
    function opens(bool sealed_, Target calldata wanted, bytes calldata data) internal view returns (bool answered) {
        Reader memory r = Openings.over(data);
        if (wanted.kind == HEADER) {
            answered = Merkle.digest(r.take(Updates.SIZE), Updates.SIZE) == wanted.root;
        } else if (wanted.kind == VALUES || wanted.kind == PAYOUTS) {
            answered = _opensSums(wanted, r);
        } else {
            bytes32 hash = wanted.level == 0 ? _leaf(sealed_, wanted.kind, r) : _below(wanted, r);
            answered = r.climb(hash, wanted.position, _width(wanted, wanted.level)) == wanted.root;
        }
        r.close();
    }

    function _leaf(bool sealed_, uint8 kind, Reader memory r) private view returns (bytes32) {
        uint256 size = Lanes.LEAF;
        if (kind == NODE) size = Nodes.SIZE;
        else if (kind == BATCH) size = BATCH_LEAF;
        else if (kind != UTILITIES) size = Lanes.leafSize(sealed_);
        return Merkle.leaf(r.take(size), size);
    }

    function _below(Target calldata wanted, Reader memory r) private view returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](_nodesBelow(wanted));
        for (uint256 i; i < hashes.length; ++i) {
            hashes[i] = r.word();
        }
        return Merkle.join(hashes);
    }

    function _opensSums(Target calldata wanted, Reader memory r) private view returns (bool) {
        bytes32 hash;
        uint256 sum;
        if (wanted.level == 0) {
            uint256 size = wanted.kind == VALUES ? Leaves.VALUE : Leaves.PAYOUT;
            uint256 at = r.take(size);
            (hash, sum) = (Merkle.leaf(at, size), Leaves.amount(at, size));
        } else {
            uint256 count = _nodesBelow(wanted);
            (bytes32[] memory hashes, uint256[] memory sums) = (new bytes32[](count), new uint256[](count));
            for (uint256 i; i < count; ++i) {
                (hashes[i], sums[i]) = (r.word(), uint256(r.word()));
            }
            (hash, sum) = Merkle.joinSums(hashes, sums);
        }
        (hash, sum,) = r.climbSums(hash, sum, wanted.position, _width(wanted, wanted.level));
        return hash == wanted.root && sum == wanted.total;
    }

    /// @dev How many nodes an answer lists.
    function _nodesBelow(Target calldata wanted) private pure returns (uint256) {
        uint256 descent = wanted.level < DESCENT ? wanted.level : DESCENT;
        uint256 first = uint256(wanted.position) << descent;
        uint256 rest = _width(wanted, wanted.level - descent) - first;
        return rest < 1 << descent ? rest : 1 << descent;
    }

    /// @dev Nodes of a level of the whole tree.
    function _width(Target calldata wanted, uint256 level) private pure returns (uint256) {
        return (wanted.size + (1 << level) - 1) >> level;
    }
}
