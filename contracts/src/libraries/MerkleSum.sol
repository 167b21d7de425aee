// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Sibling} from "../interfaces/IFederations.sol";

/// @notice Merkle-sum trees of the shape of RFC 6962: every node carries the sum of its leaves.
/// @dev leaf = sha256(0x00 ++ bytes), node = sha256(0x01 ++ left hash ++ left sum ++ right hash ++ right sum).
library MerkleSum {
    /// @notice Hash of the leaf abi.encode(uint32 index, uint128 amount).
    function payoutLeaf(uint256 index, uint256 amount) internal view returns (bytes32 hash) {
        assembly ("memory-safe") {
            let start := mload(0x40)
            mstore8(start, 0)
            mstore(add(start, 0x01), index)
            mstore(add(start, 0x21), amount)
            if iszero(staticcall(gas(), 2, start, 0x41, 0, 0x20)) { revert(0, 0) }
            hash := mload(0)
        }
    }

    /// @notice Root and total of the tree of `size` leaves in which a leaf of this hash and sum stands at `index`; zeros if none
    /// has such a path.
    /// @dev RFC 9162 2.1.3.2: the path's length follows from (index, size), so a leaf verifies at its own index only.
    /// Sums that overflow do not verify. By hand, since this is most of what a claim computes: a sibling is copied from the call
    /// to where it is hashed, and whatever is wrong is looked at once, in the end. Of a path that is too short, what lies behind
    /// it in the call is hashed before it is refused.
    function open(bytes32 leaf, uint256 sum, uint256 index, uint256 size, Sibling[] calldata path)
        internal
        view
        returns (bytes32 root, uint256 total)
    {
        assembly ("memory-safe") {
            // As in `node`: 0x01, the left child at 0x01, the right one at 0x41; in memory that is free again after it.
            let start := mload(0x40)
            mstore8(start, 1)
            let sibling := path.offset
            let wrong := iszero(lt(index, size))
            for { let last := sub(size, 1) } last { last := shr(1, last) } {
                let own := 0x01
                if or(and(index, 1), eq(index, last)) {
                    own := 0x41
                    // The last node of a level, if it has no sibling there, moves up as it is.
                    for {} iszero(or(and(index, 1), iszero(index))) {} {
                        index := shr(1, index)
                        last := shr(1, last)
                    }
                }
                calldatacopy(add(start, xor(own, 0x40)), sibling, 0x40)
                own := add(start, own)
                mstore(own, leaf)
                mstore(add(own, 0x20), sum)
                let other := calldataload(add(sibling, 0x20))
                sum := add(sum, other)
                // Precompile 2 fails for want of gas alone.
                wrong := or(wrong, or(lt(sum, other), iszero(staticcall(gas(), 2, start, 0x81, 0, 0x20))))
                leaf := mload(0)
                index := shr(1, index)
                sibling := add(sibling, 0x40)
            }
            if iszero(or(wrong, xor(sibling, add(path.offset, shl(6, path.length))))) {
                root := leaf
                total := sum
            }
        }
    }

    /// @notice Hash of a node over two children.
    /// @dev sha256(abi.encodePacked(bytes1(0x01), left, leftSum, right, rightSum)), in memory that is free again after it.
    function node(bytes32 left, uint256 leftSum, bytes32 right, uint256 rightSum) internal view returns (bytes32 hash) {
        assembly ("memory-safe") {
            let start := mload(0x40)
            mstore8(start, 1)
            mstore(add(start, 0x01), left)
            mstore(add(start, 0x21), leftSum)
            mstore(add(start, 0x41), right)
            mstore(add(start, 0x61), rightSum)
            // Precompile 2 fails for want of gas alone: then nothing of this call stands.
            if iszero(staticcall(gas(), 2, start, 0x81, 0, 0x20)) { revert(0, 0) }
            hash := mload(0)
        }
    }
}
