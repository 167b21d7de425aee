// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Sibling} from "../../src/interfaces/IFederations.sol";
import {Merkle} from "../../src/verifier/Merkle.sol";
import {Openings, Reader} from "../../src/verifier/Openings.sol";
import {Asserts} from "../Asserts.sol";
import {SumTree} from "../SumTree.sol";

/// @notice Trees by their definition in RFC 6962: recursive, and written apart from the library that they test.
library SlowTree {
    function root(bytes32[] memory leaves) internal pure returns (bytes32) {
        return _root(leaves, 0, leaves.length);
    }

    function path(bytes32[] memory leaves, uint256 index) internal pure returns (bytes memory) {
        return _path(leaves, 0, leaves.length, index);
    }

    function _root(bytes32[] memory leaves, uint256 from, uint256 to) private pure returns (bytes32) {
        if (to - from == 1) return leaves[from];
        uint256 middle = from + split(to - from);
        return sha256(bytes.concat(hex"01", _root(leaves, from, middle), _root(leaves, middle, to)));
    }

    function _path(bytes32[] memory leaves, uint256 from, uint256 to, uint256 index)
        private
        pure
        returns (bytes memory)
    {
        if (to - from == 1) return "";
        uint256 middle = from + split(to - from);
        if (index < middle) return bytes.concat(_path(leaves, from, middle, index), _root(leaves, middle, to));
        return bytes.concat(_path(leaves, middle, to, index), _root(leaves, from, middle));
    }

    /// @dev The largest power of two below `size`.
    function split(uint256 size) internal pure returns (uint256 k) {
        k = 1;
        while (k * 2 < size) k *= 2;
    }
}

contract MerkleTest is Asserts {
    using Merkle for Reader;

    function climb(bytes32 hash, uint256 index, uint256 size, bytes calldata path)
        external
        view
        returns (bytes32 root)
    {
        Reader memory reader = Openings.over(path);
        root = reader.climb(hash, index, size);
        reader.close();
    }

    function climbSums(bytes32 hash, uint256 sum, uint256 index, uint256 size, bytes calldata path)
        external
        view
        returns (bytes32 root, uint256 total, uint256 before)
    {
        Reader memory reader = Openings.over(path);
        (root, total, before) = reader.climbSums(hash, sum, index, size);
        reader.close();
    }

    function leafHash(bytes calldata data) external view returns (bytes32) {
        Reader memory reader = Openings.over(data);
        return Merkle.leaf(reader.take(data.length), data.length);
    }

    function _leaves(uint256 size, bytes32 seed) private pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](size);
        for (uint256 i; i < size; ++i) {
            leaves[i] = keccak256(abi.encode(seed, i));
        }
    }

    function _size(uint256 x) private pure returns (uint256) {
        uint8[10] memory sizes = [1, 2, 3, 5, 7, 8, 9, 16, 17, 33];
        return sizes[x % sizes.length];
    }

    function testFuzz_climb_everyLeaf(uint256 x, bytes32 seed) public view {
        bytes32[] memory leaves = _leaves(_size(x), seed);
        bytes32 root = SlowTree.root(leaves);
        for (uint256 i; i < leaves.length; ++i) {
            eq(this.climb(leaves[i], i, leaves.length, SlowTree.path(leaves, i)), root, "root");
        }
        eq(Merkle.join(leaves), root, "joined");
    }

    function test_join_nothing() public view {
        eq(Merkle.join(new bytes32[](0)), Merkle.EMPTY, "empty");
        eq(Merkle.EMPTY, sha256(""), "RFC 6962");
    }

    function joinSums(bytes32[] memory hashes, uint256[] memory sums) external view returns (bytes32, uint256) {
        return Merkle.joinSums(hashes, sums);
    }

    function testFuzz_joinSums_RevertWhen_theyOverflow(uint256 a, uint256 b) public {
        bytes32[] memory hashes = _leaves(2, 0);
        uint256[] memory sums = new uint256[](2);
        sums[0] = bound(a, 1, type(uint256).max);
        uint256 room = type(uint256).max - sums[0];
        sums[1] = bound(b, 0, room);
        (, uint256 total) = this.joinSums(hashes, sums);
        eq(total, sums[0] + sums[1], "total");
        sums[1] = bound(b, room + 1, type(uint256).max);
        vm.expectRevert(Merkle.SumOverflows.selector);
        this.joinSums(hashes, sums);
    }

    /// @dev Index bits alone would let the last leaf of an unbalanced tree verify at a wrong index.
    function testFuzz_climb_noOtherIndex(uint256 x, bytes32 seed) public view {
        bytes32[] memory leaves = _leaves(_size(x), seed);
        bytes32 root = SlowTree.root(leaves);
        for (uint256 i; i < leaves.length; ++i) {
            bytes memory path = SlowTree.path(leaves, i);
            for (uint256 other; other < leaves.length + 2; ++other) {
                if (other == i) continue;
                try this.climb(leaves[i], other, leaves.length, path) returns (bytes32 found) {
                    holds(found != root, "a leaf verifies at another index");
                } catch {}
            }
        }
    }

    function testFuzz_climb_RevertWhen_lengthIsWrong(uint256 x, bytes32 seed) public {
        bytes32[] memory leaves = _leaves(_size(x), seed);
        uint256 index = uint256(seed) % leaves.length;
        bytes memory path = SlowTree.path(leaves, index);
        vm.expectRevert(abi.encodeWithSelector(Openings.Overlong.selector, 1));
        this.climb(leaves[index], index, leaves.length, bytes.concat(path, hex"00"));
        if (path.length == 0) return;
        assembly ("memory-safe") {
            mstore(path, sub(mload(path), 1))
        }
        vm.expectRevert(Openings.Truncated.selector);
        this.climb(leaves[index], index, leaves.length, path);
    }

    function testFuzz_climbSums_everyLeaf(uint128[] memory amounts) public view {
        vm.assume(amounts.length != 0);
        if (amounts.length > 20) {
            assembly ("memory-safe") {
                mstore(amounts, 20)
            }
        }
        Sibling memory root = SumTree.root(amounts);
        uint256 before;
        for (uint256 i; i < amounts.length; ++i) {
            Sibling[] memory siblings = SumTree.proof(amounts, i);
            bytes memory path;
            for (uint256 k; k < siblings.length; ++k) {
                path = bytes.concat(path, abi.encode(siblings[k]));
            }
            (bytes32 hash, uint256 total, uint256 sum) =
                this.climbSums(SumTree.leaf(i, amounts[i]), amounts[i], i, amounts.length, path);
            holds(hash == root.hash && total == root.sum && sum == before, "opening");
            before += amounts[i];
        }
    }

    function test_climbSums_RevertWhen_sumsOverflow() public {
        vm.expectRevert(Merkle.SumOverflows.selector);
        this.climbSums(0, 2, 0, 2, abi.encode(bytes32(0), type(uint256).max - 1));
    }

    function testFuzz_leaf(bytes calldata data) public view {
        eq(this.leafHash(data), sha256(bytes.concat(hex"00", data)), "leaf");
    }
}
