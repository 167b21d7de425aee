// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ResultHeader} from "../Headers.sol";
import {Merkle} from "./Merkle.sol";
import {Openings, Reader} from "./Openings.sol";
import {Case} from "./Types.sol";

/// @notice Why a commit slot counts or does not.
enum Reason {
    Counted,
    Unavailable,
    Malformed,
    Foreign,
    BeyondBound,
    Superseded,
    TooFew,
    Missing,
    Unsigned,
    Idle
}

/// @notice One input of a node: a commit slot, or, above the lowest level, a child node.
/// @dev Whole words, since a liar's need not be canonical.
struct Entry {
    bytes32 digest;
    bytes32 root;
    uint256 participant;
    uint256 weight;
    uint256 number;
    uint256 reason;
    uint256 position;
}

struct Node {
    Entry[16] entries;
    bytes32 root;
    uint256 weight;
    uint256 number;
}

/// @notice Where a node stands among all nodes of its result.
/// @param position Its index on its level; level 0 is the lowest.
/// @param first Index of its first child: a commit slot at level 0, else a node's among all nodes.
/// @param children Entries that are not padding.
struct Place {
    uint256 index;
    uint256 level;
    uint256 position;
    uint256 first;
    uint256 children;
}

/// @notice The tree of partial sums: all its nodes, level by level from the lowest, are the leaves of one tree.
library Nodes {
    using Merkle for Reader;

    uint256 internal constant FAN_OUT = 16;
    uint256 internal constant SIZE = 3680;

    /// @notice The proof says nothing of such a place.
    error OutOfPlace();

    /// @notice How many nodes stand over this many slots.
    function count(uint256 slots) internal pure returns (uint256 nodes) {
        uint256 width = slots;
        do {
            width = _above(width);
            nodes += width;
        } while (width > 1);
    }

    function placeOf(uint256 index, uint256 slots) internal pure returns (Place memory place) {
        uint256 below = slots;
        uint256 width = _above(slots);
        uint256 start;
        uint256 first;
        uint256 level;
        while (index - start >= width) {
            if (width == 1) revert Merkle.NoSuchPlace(index, start + 1);
            (first, start) = (start, start + width);
            (below, width) = (width, _above(width));
            ++level;
        }
        uint256 position = index - start;
        uint256 before = position * FAN_OUT;
        uint256 rest = below - before;
        return Place(index, level, position, first + before, rest < FAN_OUT ? rest : FAN_OUT);
    }

    /// @notice Take an index, the node that stands there, and its path.
    function open(Reader memory reader, Case calldata c, ResultHeader calldata header)
        internal
        view
        returns (Place memory place, Node calldata node)
    {
        place = placeOf(reader.uint32_(), c.slots);
        uint256 at = reader.take(SIZE);
        reader.open(Merkle.leaf(at, SIZE), place.index, count(c.slots), header.nodes);
        node = at_(at);
    }

    /// @notice Take a slot's entry: its slot, the node that holds it, and the node's path.
    function entry(Reader memory reader, Case calldata c, ResultHeader calldata header)
        internal
        view
        returns (uint256 slot, Entry calldata)
    {
        slot = reader.uint32_();
        if (slot >= c.slots) revert Merkle.NoSuchPlace(slot, c.slots);
        uint256 at = reader.take(SIZE);
        reader.open(Merkle.leaf(at, SIZE), slot / FAN_OUT, count(c.slots), header.nodes);
        return (slot, at_(at).entries[slot % FAN_OUT]);
    }

    /// @notice Take all nodes of the lowest level, in order, and the leaf hashes of all others. Gives where the first begins.
    function openLowest(Reader memory reader, uint256 slots, bytes32 root) internal view returns (uint256 at) {
        bytes32[] memory hashes = new bytes32[](count(slots));
        uint256 lowest = _above(slots);
        at = reader.at;
        for (uint256 i; i < hashes.length; ++i) {
            hashes[i] = i < lowest ? Merkle.leaf(reader.take(SIZE), SIZE) : reader.word();
        }
        if (Merkle.join(hashes) != root) revert Merkle.NotUnder(root);
    }

    /// @notice A slot's entry among the lowest nodes, which lie one after the other.
    function entryAt(uint256 lowest, uint256 slot) internal pure returns (Entry calldata) {
        return at_(lowest + slot / FAN_OUT * SIZE).entries[slot % FAN_OUT];
    }

    /// @notice The node whose bytes begin at an offset of the calldata.
    function at_(uint256 offset) internal pure returns (Node calldata node) {
        assembly ("memory-safe") {
            node := offset
        }
    }

    /// @notice Whether an entry says that its update passed every test of its own.
    function isGood(Entry calldata e) internal pure returns (bool) {
        return is_(e, Reason.Counted) || is_(e, Reason.TooFew) || is_(e, Reason.Idle);
    }

    /// @notice Whether an entry says that its update's header names all that it must.
    function passedHeader(Entry calldata e) internal pure returns (bool) {
        return isGood(e) || is_(e, Reason.BeyondBound);
    }

    /// @notice Whether an entry gives this reason.
    function is_(Entry calldata e, Reason reason) internal pure returns (bool) {
        return e.reason == uint256(reason);
    }

    /// @dev Nodes over so many children; at least one.
    function _above(uint256 children) private pure returns (uint256) {
        return children <= FAN_OUT ? 1 : (children + FAN_OUT - 1) / FAN_OUT;
    }
}
