// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice Merkle-sum trees of the shape of RFC 6962: every node carries the sum of its leaves.
/// @dev leaf = sha256(0x00 ++ bytes), node = sha256(0x01 ++ left hash ++ left sum ++ right hash ++ right sum).
library MerkleSum {
    /// @notice Hash of the leaf abi.encode(uint32 index, uint128 amount).
    function payoutLeaf(uint32 index, uint128 amount) internal view returns (bytes32 hash) {
        assembly ("memory-safe") {
            let start := mload(0x40)
            mstore8(start, 0)
            mstore(add(start, 0x01), index)
            mstore(add(start, 0x21), amount)
            if iszero(staticcall(gas(), 2, start, 0x41, 0, 0x20)) { revert(0, 0) }
            hash := mload(0)
        }
    }

    /// @notice Whether a leaf of this hash and sum stands at `index` in the tree of `size` leaves, `root` and `total`.
    function verify(
        bytes32 root,
        uint256 total,
        bytes32 leaf,
        uint256 sum,
        uint256 index,
        uint256 size,
        bytes32[] calldata hashes,
        uint256[] calldata sums
    ) internal view returns (bool) {
        (bytes32 hash, uint256 all) = open(leaf, sum, index, size, hashes, sums);
        return hash != 0 && hash == root && all == total;
    }

    /// @notice Root and total of the tree of `size` leaves in which a leaf of this hash and sum stands at `index`; zero if none has
    /// such a path.
    /// @dev RFC 9162 2.1.3.2: the path's length follows from (index, size), so a leaf verifies at its own index only.
    /// Sums that overflow do not verify.
    function open(
        bytes32 leaf,
        uint256 sum,
        uint256 index,
        uint256 size,
        bytes32[] calldata hashes,
        uint256[] calldata sums
    ) internal view returns (bytes32, uint256) {
        if (index >= size || hashes.length != sums.length) return (0, 0);
        uint256 last;
        unchecked {
            last = size - 1;
        }
        for (uint256 i; i < hashes.length; ++i) {
            if (last == 0) return (0, 0);
            (bytes32 left, uint256 leftSum, bytes32 right, uint256 rightSum) = (leaf, sum, hashes[i], sums[i]);
            if (index & 1 == 1 || index == last) {
                (left, leftSum, right, rightSum) = (right, rightSum, left, leftSum);
                while (index & 1 == 0 && index != 0) {
                    index >>= 1;
                    last >>= 1;
                }
            }
            leaf = node(left, leftSum, right, rightSum);
            unchecked {
                sum = leftSum + rightSum;
            }
            if (sum < leftSum) return (0, 0);
            index >>= 1;
            last >>= 1;
        }
        return last == 0 ? (leaf, sum) : (bytes32(0), uint256(0));
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
