// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ResultHeader} from "../Headers.sol";
import {Lanes} from "./Lanes.sol";
import {Merkle} from "./Merkle.sol";
import {Openings, Reader} from "./Openings.sol";

/// @notice Sums that a path of a Merkle-sum tree proves.
/// @param before Sum of the leaves before the opened one.
struct Sums {
    uint256 total;
    uint256 before;
}

/// @notice Leaves of the trees that are not payloads: utilities, values, payouts. Each gives where its bytes begin.
library Leaves {
    using Merkle for Reader;

    uint256 internal constant VALUE = 96;
    uint256 internal constant PAYOUT = 64;

    function openUtilities(Reader memory reader, uint256 index, uint256 size, bytes32 root)
        internal
        view
        returns (uint256 at)
    {
        at = reader.take(Lanes.LEAF);
        reader.open(Merkle.leaf(at, Lanes.LEAF), index, size, root);
    }

    function openValue(Reader memory reader, uint256 index, uint256 size, ResultHeader calldata header)
        internal
        view
        returns (uint256, Sums memory)
    {
        return _open(reader, VALUE, index, size, header.values);
    }

    function openPayout(Reader memory reader, uint256 index, uint256 size, ResultHeader calldata header)
        internal
        view
        returns (uint256, Sums memory)
    {
        return _open(reader, PAYOUT, index, size, header.payouts);
    }

    /// @notice The last word of a leaf is what its tree sums.
    function amount(uint256 at, uint256 size) internal pure returns (uint256) {
        return uint256(Openings.load(at + size - 32));
    }

    function _open(Reader memory reader, uint256 length, uint256 index, uint256 size, bytes32 root)
        private
        view
        returns (uint256 at, Sums memory sums)
    {
        at = reader.take(length);
        bytes32 hash;
        (hash, sums.total, sums.before) = reader.climbSums(Merkle.leaf(at, length), amount(at, length), index, size);
        if (hash != root) revert Merkle.NotUnder(root);
    }
}
