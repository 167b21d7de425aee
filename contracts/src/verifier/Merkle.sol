// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MerkleSum} from "../libraries/MerkleSum.sol";
import {Reader} from "./Openings.sol";

/// @notice The trees of RFC 6962 over sha-256, opened from calldata. A path's length follows from (index, size), RFC 9162
/// 2.1.3.2, so a leaf verifies at its own index only, also in unbalanced trees.
library Merkle {
    /// @notice Root of the tree without leaves.
    bytes32 internal constant EMPTY = 0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855;

    /// @notice What was opened does not lie under this root.
    error NotUnder(bytes32 root);
    /// @notice The tree has no such leaf or node.
    error NoSuchPlace(uint256 index, uint256 size);
    /// @notice Sums under a node exceed 256 bits.
    error SumOverflows();

    /// @notice Digest of bytes in the calldata.
    function digest(uint256 at, uint256 size) internal view returns (bytes32 hash) {
        assembly ("memory-safe") {
            let start := mload(0x40)
            calldatacopy(start, at, size)
            // Precompile 2 fails for want of gas alone: then nothing of this call stands.
            if iszero(staticcall(gas(), 2, start, size, 0, 0x20)) { revert(0, 0) }
            hash := mload(0)
        }
    }

    function leaf(uint256 at, uint256 size) internal view returns (bytes32 hash) {
        assembly ("memory-safe") {
            let start := mload(0x40)
            mstore8(start, 0)
            calldatacopy(add(start, 1), at, size)
            if iszero(staticcall(gas(), 2, start, add(size, 1), 0, 0x20)) { revert(0, 0) }
            hash := mload(0)
        }
    }

    function node(bytes32 left, bytes32 right) internal view returns (bytes32 hash) {
        assembly ("memory-safe") {
            let start := mload(0x40)
            mstore8(start, 1)
            mstore(add(start, 0x01), left)
            mstore(add(start, 0x21), right)
            if iszero(staticcall(gas(), 2, start, 0x41, 0, 0x20)) { revert(0, 0) }
            hash := mload(0)
        }
    }

    /// @notice Refuse what does not lie at `index` of the `size` leaves, or nodes of a level, under `root`; takes its path.
    function open(Reader memory reader, bytes32 hash, uint256 index, uint256 size, bytes32 root) internal view {
        if (climb(reader, hash, index, size) != root) revert NotUnder(root);
    }

    /// @notice The root that a hash at `index` and the path that follows imply.
    /// @dev By hand, since this is most of what a proof computes: a sibling is copied from the call to where it is hashed. Of a
    /// path that is too short, what lies behind it in the call is hashed before it is refused.
    function climb(Reader memory reader, bytes32 hash, uint256 index, uint256 size) internal view returns (bytes32) {
        if (index >= size) revert NoSuchPlace(index, size);
        uint256 at = reader.at;
        uint256 sibling = at;
        assembly ("memory-safe") {
            // As in `node`: 0x01, then the two children; in memory that is free again after it.
            let start := mload(0x40)
            mstore8(start, 1)
            let left := add(start, 0x01)
            let hashed := 1
            for { let last := sub(size, 1) } last { last := shr(1, last) } {
                let onTheRight := and(index, 1)
                // The last node of a level, if it has no sibling there, moves up as it is.
                if or(onTheRight, xor(index, last)) {
                    mstore(add(left, shl(5, onTheRight)), hash)
                    calldatacopy(add(left, shl(5, iszero(onTheRight))), sibling, 0x20)
                    hashed := and(hashed, staticcall(gas(), 2, start, 0x41, 0, 0x20))
                    hash := mload(0)
                    sibling := add(sibling, 0x20)
                }
                index := shr(1, index)
            }
            if iszero(hashed) { revert(0, 0) }
        }
        reader.take(sibling - at);
        return hash;
    }

    /// @notice The root and total that a leaf of a Merkle-sum tree and the path that follows imply, and the sum of all
    /// leaves before it.
    function climbSums(Reader memory reader, bytes32 hash, uint256 sum, uint256 index, uint256 size)
        internal
        view
        returns (bytes32, uint256, uint256 before)
    {
        if (index >= size) revert NoSuchPlace(index, size);
        unchecked {
            for (uint256 last = size - 1; last != 0; last >>= 1) {
                bool onTheRight = index & 1 == 1;
                if (onTheRight || index != last) {
                    (bytes32 sibling, uint256 amount) = (reader.word(), uint256(reader.word()));
                    if (onTheRight) {
                        hash = MerkleSum.node(sibling, amount, hash, sum);
                        before += amount;
                    } else {
                        hash = MerkleSum.node(hash, sum, sibling, amount);
                    }
                    sum += amount;
                    if (sum < amount) revert SumOverflows();
                }
                index >>= 1;
            }
        }
        return (hash, sum, before);
    }

    /// @notice Root over the hashes of a tree's nodes of one level; uses up the array.
    function join(bytes32[] memory hashes) internal view returns (bytes32) {
        uint256 count = hashes.length;
        if (count == 0) return EMPTY;
        unchecked {
            for (; count > 1; count = (count + 1) / 2) {
                for (uint256 i; i < count; i += 2) {
                    hashes[i / 2] = i + 1 < count ? node(hashes[i], hashes[i + 1]) : hashes[i];
                }
            }
        }
        return hashes[0];
    }

    /// @notice Root over hashes and sums of a Merkle-sum tree's nodes of one level; uses up the arrays.
    function joinSums(bytes32[] memory hashes, uint256[] memory sums) internal view returns (bytes32, uint256) {
        uint256 count = hashes.length;
        unchecked {
            for (; count > 1; count = (count + 1) / 2) {
                for (uint256 i; i < count; i += 2) {
                    bool paired = i + 1 < count;
                    hashes[i / 2] = paired ? MerkleSum.node(hashes[i], sums[i], hashes[i + 1], sums[i + 1]) : hashes[i];
                    uint256 sum = paired ? sums[i] + sums[i + 1] : sums[i];
                    if (sum < sums[i]) revert SumOverflows();
                    sums[i / 2] = sum;
                }
            }
        }
        return (hashes[0], sums[0]);
    }
}
