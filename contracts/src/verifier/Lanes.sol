// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Merkle} from "./Merkle.sol";
import {Openings, Reader} from "./Openings.sol";
import {Terms} from "./Types.sol";

/// @notice Leaves of payloads, and the little-endian integers in them.
library Lanes {
    using Merkle for Reader;

    uint256 internal constant LEAF = 1024;
    /// @notice Salt in front of the bytes of a sealed payload's leaf.
    uint256 internal constant SALT = 16;
    uint256 internal constant INT32_PER_LEAF = 256;
    uint256 internal constant INT64_PER_LEAF = 128;
    /// @notice Bytes of an int32 leaf that stand against one leaf of sums.
    uint256 internal constant HALF = 512;
    /// @dev The lower half of every 64-bit cell.
    uint256 private constant HALVES = 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff;

    /// @notice How many bytes of a leaf are hashed.
    function leafSize(bool sealed_) internal pure returns (uint256) {
        return sealed_ ? LEAF + SALT : LEAF;
    }

    /// @notice Take leaf `index` of `size` under `root` and its path; gives where its 1,024 bytes begin.
    function open(Reader memory reader, Terms calldata t, uint256 index, uint256 size, bytes32 root)
        internal
        view
        returns (uint256)
    {
        return open(reader, t.sealed_, index, size, root);
    }

    /// @notice The same of a payload whose leaves are salted, or are not.
    function open(Reader memory reader, bool salted, uint256 index, uint256 size, bytes32 root)
        internal
        view
        returns (uint256)
    {
        uint256 length = leafSize(salted);
        uint256 at = reader.take(length);
        reader.open(Merkle.leaf(at, length), index, size, root);
        return at + length - LEAF;
    }

    /// @notice The int32 of this place.
    function int32At(uint256 leaf, uint256 lane) internal pure returns (int256) {
        unchecked {
            return int32(uint32(uint256(eightOf(Openings.load(leaf + lane / 8 * 32)) >> (224 - 32 * (lane % 8)))));
        }
    }

    /// @notice The int64 of this place.
    function int64At(uint256 leaf, uint256 lane) internal pure returns (int256) {
        unchecked {
            return int64(uint64(uint256(fourOf(Openings.load(leaf + lane / 4 * 32)) >> (192 - 64 * (lane % 4)))));
        }
    }

    /// @notice Eight little-endian uint32 as big-endian ones, in place.
    function eightOf(bytes32 word) internal pure returns (bytes32) {
        return bytes32(_pairsSwapped(_bytesSwapped(uint256(word))));
    }

    /// @notice Eight little-endian int32, each with 2^31 added, in the 64-bit cells of two words: those of even place, and of
    /// odd place.
    function biased(bytes32 word) internal pure returns (uint256 even, uint256 odd) {
        uint256 x = uint256(eightOf(word)) ^ 0x8000000080000000800000008000000080000000800000008000000080000000;
        return (x >> 32 & HALVES, x & HALVES);
    }

    /// @notice Four little-endian uint64 as big-endian ones, in place.
    function fourOf(bytes32 word) internal pure returns (bytes32) {
        return bytes32(reversed(_bytesSwapped(uint256(word))));
    }

    /// @notice The four 16-bit cells of every 64 bits, the last one first.
    function reversed(uint256 x) internal pure returns (uint256) {
        x = _pairsSwapped(x);
        return (x & HALVES) << 32 | x >> 32 & HALVES;
    }

    function _bytesSwapped(uint256 x) private pure returns (uint256) {
        uint256 bytes_ = 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff;
        return (x & bytes_) << 8 | x >> 8 & bytes_;
    }

    function _pairsSwapped(uint256 x) private pure returns (uint256) {
        uint256 pairs = 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff;
        return (x & pairs) << 16 | x >> 16 & pairs;
    }
}
