// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Sibling} from "../src/interfaces/IFederations.sol";
import {MerkleSum} from "../src/libraries/MerkleSum.sol";
import {Asserts} from "./Asserts.sol";
import {SumTree} from "./SumTree.sol";

contract MerkleSumTest is Asserts {
    struct Proof {
        bytes32 root;
        uint256 total;
        bytes32 leaf;
        uint256 sum;
        uint256 index;
        uint256 size;
        Sibling[] path;
    }

    function open(bytes32 leaf, uint256 sum, uint256 index, uint256 size, Sibling[] calldata path)
        external
        view
        returns (bytes32, uint256)
    {
        return MerkleSum.open(leaf, sum, index, size, path);
    }

    /// @dev Whether the path leads to the root; one that leads nowhere says so with zeros.
    function _verify(Proof memory p) private view returns (bool) {
        (bytes32 root, uint256 total) = this.open(p.leaf, p.sum, p.index, p.size, p.path);
        holds(root != 0 || total == 0, "half an answer");
        return root == p.root && total == p.total;
    }

    function _amounts(uint256 seed, uint256 size) private pure returns (uint128[] memory amounts) {
        amounts = new uint128[](size);
        for (uint256 i; i < size; ++i) {
            amounts[i] = uint128(uint256(keccak256(abi.encode(seed, i))));
        }
    }

    function _proof(uint256 seed, uint256 size, uint256 index) private pure returns (Proof memory p) {
        uint128[] memory amounts = _amounts(seed, size);
        Sibling memory root = SumTree.root(amounts);
        (p.root, p.total) = (root.hash, root.sum);
        (p.leaf, p.sum) = (SumTree.leaf(index, amounts[index]), amounts[index]);
        (p.index, p.size) = (index, size);
        p.path = SumTree.proof(amounts, index);
    }

    function test_verify_everyLeafOfEverySize() public view {
        for (uint256 size = 1; size <= 17; ++size) {
            for (uint256 index; index < size; ++index) {
                holds(_verify(_proof(7, size, index)), "a leaf does not verify");
            }
        }
    }

    function testFuzz_verify_onlyAtItsIndex(uint256 seed, uint256 size, uint256 index, uint256 other) public view {
        size = bound(size, 1, 256);
        index = bound(index, 0, size - 1);
        Proof memory p = _proof(seed, size, index);
        holds(_verify(p), "a leaf does not verify");
        p.index = bound(other, 0, 300);
        vm.assume(p.index != index);
        holds(!_verify(p), "a leaf verifies at another index");
    }

    function testFuzz_verify_RevertWhen_sizeChangesTheShape(uint256 seed, uint256 size) public view {
        size = bound(size, 1, 64);
        Proof memory p = _proof(seed, size, size - 1);
        p.size = size + 1;
        holds(!_verify(p), "a leaf verifies in a tree of another size");
    }

    function testFuzz_verify_notWithAnotherSum(uint256 seed, uint256 size, uint256 index, uint256 change) public view {
        size = bound(size, 1, 64);
        index = bound(index, 0, size - 1);
        vm.assume(change != 0);
        Proof memory p = _proof(seed, size, index);
        unchecked {
            p.sum += change;
        }
        holds(!_verify(p), "another sum verifies");
        unchecked {
            p.sum -= change;
            p.total += change;
        }
        holds(!_verify(p), "another total verifies");
    }

    function testFuzz_verify_notWithAnotherPath(uint256 seed, uint256 size, uint256 index, uint256 at) public view {
        size = bound(size, 2, 64);
        index = bound(index, 0, size - 1);
        Proof memory p = _proof(seed, size, index);
        at = bound(at, 0, p.path.length - 1);
        p.path[at].hash ^= bytes32(uint256(1));
        holds(!_verify(p), "another hash verifies");
        p.path[at].hash ^= bytes32(uint256(1));
        unchecked {
            ++p.path[at].sum;
        }
        holds(!_verify(p), "another sibling sum verifies");
    }

    function testFuzz_verify_notWithAnotherLength(uint256 seed, uint256 size, uint256 index) public view {
        size = bound(size, 2, 64);
        index = bound(index, 0, size - 1);
        Proof memory p = _proof(seed, size, index);
        Sibling[] memory path = p.path;
        p.path = _cut(path, path.length + 1);
        holds(!_verify(p), "a longer path verifies");
        p.path = _cut(path, path.length - 1);
        holds(!_verify(p), "a shorter path verifies");
    }

    /// @dev The first ones, and empty ones up to this length.
    function _cut(Sibling[] memory path, uint256 length) private pure returns (Sibling[] memory cut) {
        cut = new Sibling[](length);
        for (uint256 i; i < length && i < path.length; ++i) {
            cut[i] = path[i];
        }
    }

    /// @dev An inner node must not pass for a leaf: their hashes have other prefixes.
    function test_verify_notAnInnerNode() public view {
        uint128[] memory amounts = _amounts(1, 4);
        Proof memory p = _proof(1, 4, 0);
        Sibling memory top = p.path[1];
        p.path = new Sibling[](1);
        (p.path[0], p.size) = (top, 2);
        uint128[] memory left = new uint128[](2);
        (left[0], left[1]) = (amounts[0], amounts[1]);
        Sibling memory node = SumTree.root(left);
        bytes memory inner = abi.encode(
            SumTree.leaf(0, amounts[0]), uint256(amounts[0]), SumTree.leaf(1, amounts[1]), uint256(amounts[1])
        );
        holds(sha256(bytes.concat(hex"01", inner)) == node.hash, "reference");
        p.leaf = sha256(bytes.concat(hex"00", inner));
        holds(!_verify(p), "an inner node verifies as a leaf");
    }

    /// @dev Sums that wrap round to the total do not verify.
    function test_verify_notWithOverflow() public view {
        Proof memory p;
        bytes32 sibling = SumTree.leaf(1, 1);
        uint256 huge = type(uint256).max - 4;
        p.leaf = SumTree.leaf(0, 10);
        p.sum = 10;
        p.size = 2;
        p.path = new Sibling[](1);
        p.path[0] = Sibling(sibling, huge);
        p.root = sha256(bytes.concat(hex"01", abi.encode(p.leaf, uint256(10), sibling, huge)));
        p.total = 5;
        holds(!_verify(p), "an overflow verifies");
    }

    function test_payoutLeaf() public view {
        eq(MerkleSum.payoutLeaf(3, 17), SumTree.leaf(3, 17), "leaf");
    }
}
