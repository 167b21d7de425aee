// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice Merkle-sum trees of the shape of RFC 6962: every node carries the sum of its leaves.
/// @dev leaf = sha256(0x00 ++ bytes), node = sha256(0x01 ++ left hash ++ left sum ++ right hash ++ right sum).
library MerkleSum {
    /// @notice Hash of a leaf.
    function leafHash(bytes memory leaf) internal pure returns (bytes32) {
        return sha256(bytes.concat(hex"00", leaf));
    }

    /// @notice Whether a leaf of this hash and sum stands at `index` in the tree of `size` leaves, `root` and `total`.
    /// @dev RFC 9162 2.1.3.2: the path's length follows from (index, size), so a leaf verifies at its own index only.
    /// Sums that overflow do not verify.
    function verify(
        bytes32 root,
        uint256 total,
        bytes32 leaf,
        uint256 sum,
        uint256 index,
        uint256 size,
        bytes32[] calldata hashes,
        uint256[] calldata sums
    ) internal pure returns (bool) {
        if (index >= size || hashes.length != sums.length) return false;
        uint256 last = size - 1;
        for (uint256 i; i < hashes.length; ++i) {
            if (last == 0) return false;
            uint256 sibling = sums[i];
            if (index & 1 == 1 || index == last) {
                leaf = sha256(abi.encodePacked(bytes1(0x01), hashes[i], sibling, leaf, sum));
                while (index & 1 == 0 && index != 0) {
                    index >>= 1;
                    last >>= 1;
                }
            } else {
                leaf = sha256(abi.encodePacked(bytes1(0x01), leaf, sum, hashes[i], sibling));
            }
            if (sibling > type(uint256).max - sum) return false;
            sum += sibling;
            index >>= 1;
            last >>= 1;
        }
        return last == 0 && leaf == root && sum == total;
    }
}
