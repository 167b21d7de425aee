// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ResultHeader} from "../../src/Headers.sol";
import {Node, Nodes} from "../../src/verifier/Nodes.sol";
import {Case, Terms} from "../../src/verifier/Types.sol";
import {Rules} from "../../src/verifier/rules/Rules.sol";
import {Asserts} from "../Asserts.sol";

/// @notice Proofs about the sums of a node, made here, against sums of one lane after the other.
contract VerifierSumsTest is Asserts {
    // A library's selectors name its structs.
    bytes4 private constant CHECK = bytes4(keccak256("check(Terms,Case,bytes)"));
    bytes4 private constant NOTHING_WRONG = bytes4(keccak256("NothingWrong(uint8)"));
    uint8 private constant NODE_SUM = 2;
    uint256 private constant LANES = 128;
    uint256 private constant MOST_WEIGHT = (1 << 31) - 1;
    /// @dev Of a full node over leaves of a model of 4,194,304 parameters. A node's sums are to be shown for 1,200,000 gas, of
    /// which the proof's bytes take 500,000.
    uint256 private constant GAS_LIMIT = 270_000;

    /// @param lanes What a child's leaf holds, eight or four bytes each; in its own half if it is an update's.
    struct Child {
        uint256 weight;
        int64[LANES] lanes;
    }

    /// @param index Of the leaf of sums.
    struct Scene {
        bytes32 seed;
        bool lowest;
        bool sealed_;
        uint256 leaves;
        uint256 index;
        Child[] children;
    }

    address private _verifier;

    function setUp() public {
        _verifier = vm.deployCode("Verifier.sol:Verifier");
    }

    // ---------------------------------------------------------------- sums

    function testFuzz_sumOfNodes(bytes32 seed) public view {
        Scene memory s = _scene(seed, false);
        for (uint256 i; i < s.children.length; ++i) {
            s.children[i].weight = _random(seed, "weight", i) % 4;
            for (uint256 lane; lane < LANES; ++lane) {
                s.children[i].lanes[lane] = _extreme(_random(seed, "lane", i * LANES + lane), 64);
            }
        }
        _onlyTheSumIsRight(s);
    }

    function testFuzz_sumOfUpdates(bytes32 seed) public view {
        Scene memory s = _scene(seed, true);
        bool alone = uint256(seed) % 4 == 0;
        for (uint256 i; i < s.children.length; ++i) {
            uint256 random = _random(seed, "weight", i);
            uint256 weight = random % 4 < 2 ? random % 4 : random % (MOST_WEIGHT / Nodes.FAN_OUT);
            if (alone) weight = i == 0 ? MOST_WEIGHT : 0;
            s.children[i].weight = weight;
            for (uint256 lane; lane < LANES; ++lane) {
                s.children[i].lanes[lane] = _extreme(_random(seed, "lane", i * LANES + lane), 32);
            }
        }
        _onlyTheSumIsRight(s);
    }

    /// @dev The most that a byte, or a lane, can come to.
    function test_sum_ofEqualLanes() public view {
        int64[5] memory values = [int64(-1), type(int64).min, type(int64).max, 0, 0x00ff00ff00ff00ff];
        for (uint256 k; k < values.length; ++k) {
            _onlyTheSumIsRight(_equal(false, values[k], 1));
        }
        int64[4] memory narrow = [int64(-1), type(int32).min, type(int32).max, 0];
        for (uint256 k; k < narrow.length; ++k) {
            _onlyTheSumIsRight(_equal(true, narrow[k], MOST_WEIGHT / Nodes.FAN_OUT));
        }
    }

    function test_sum_RevertWhen_weighsTooMuch() public view {
        Scene memory s = _equal(true, 1, MOST_WEIGHT / Nodes.FAN_OUT);
        s.children[15].weight += MOST_WEIGHT % Nodes.FAN_OUT + 1;
        (bool shown, bytes memory answer) = _check(s, _encode(s, _sums(s), true));
        holds(!shown && bytes4(answer) == Nodes.OutOfPlace.selector, "a header cannot say so");
    }

    /// @dev The dearest fraud is in the last lane.
    function test_sum_gas() public view {
        for (uint256 k; k < 2; ++k) {
            Scene memory s = _equal(k == 0, 0x01020304, 1);
            (s.leaves, s.index) = (1 << 14, 5);
            bytes memory claimed = _encode(s, _sums(s), true);
            claimed[claimed.length - 1] ^= 0x01;
            (bool shown,, uint256 used) = _spent(s, claimed);
            holds(shown, "another sum is called right");
            holds(used <= GAS_LIMIT, string.concat("gas: ", vm.toString(used)));
        }
    }

    /// @dev What is right in every byte is no fraud; what is wrong in one is.
    function _onlyTheSumIsRight(Scene memory s) private view {
        bytes memory claimed = _encode(s, _sums(s), true);
        (bool shown, bytes memory answer) = _check(s, claimed);
        bytes memory nothing = abi.encodeWithSelector(NOTHING_WRONG, NODE_SUM);
        holds(!shown && keccak256(answer) == keccak256(nothing), "the sum is called wrong");
        uint256 random = _random(s.seed, "wrong", 0);
        claimed[(random >> 8) % claimed.length] ^= bytes1(uint8(1 << (random % 8)));
        (shown,) = _check(s, claimed);
        holds(shown, "another sum is called right");
    }

    function _sums(Scene memory s) private pure returns (int64[LANES] memory sums) {
        unchecked {
            for (uint256 i; i < s.children.length; ++i) {
                Child memory child = s.children[i];
                int64 factor = s.lowest ? int64(uint64(child.weight)) : int64(child.weight == 0 ? int8(0) : int8(1));
                for (uint256 lane; lane < LANES; ++lane) {
                    sums[lane] += factor * child.lanes[lane];
                }
            }
        }
    }

    // ---------------------------------------------------------------- scenes

    function _scene(bytes32 seed, bool lowest) private pure returns (Scene memory s) {
        (s.seed, s.lowest, s.sealed_) = (seed, lowest, _random(seed, "sealed", 0) % 2 == 0);
        s.leaves = 1 + _random(seed, "leaves", 0) % 5;
        s.index = _random(seed, "index", 0) % (2 * s.leaves);
        // Above the lowest level there are at least two.
        s.children = new Child[](lowest ? 1 + _random(seed, "n", 0) % 16 : 2 + _random(seed, "n", 0) % 15);
    }

    function _equal(bool lowest, int64 value, uint256 weight) private pure returns (Scene memory s) {
        (s.lowest, s.leaves, s.children) = (lowest, 1, new Child[](Nodes.FAN_OUT));
        for (uint256 i; i < s.children.length; ++i) {
            s.children[i].weight = weight;
            for (uint256 lane; lane < LANES; ++lane) {
                s.children[i].lanes[lane] = value;
            }
        }
    }

    function _random(bytes32 seed, string memory what, uint256 i) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, what, i)));
    }

    /// @dev Small ones, any, and both ends of the range of so many bits.
    function _extreme(uint256 random, uint256 bits) private pure returns (int64) {
        int64 most = int64(uint64((1 << (bits - 1)) - 1));
        uint256 kind = random % 5;
        if (kind == 0) return most;
        if (kind == 1) return -most - 1;
        if (kind == 2) return int64(uint64(random >> 8) % 3) - 1;
        return int64(uint64(random >> 8) << uint64(64 - bits)) >> (64 - bits);
    }

    // ---------------------------------------------------------------- proofs

    function _check(Scene memory s, bytes memory claimed) private view returns (bool shown, bytes memory answer) {
        (shown, answer,) = _spent(s, claimed);
    }

    /// @dev The verdict, and its gas: none of what a long call costs here.
    function _spent(Scene memory s, bytes memory claimed)
        private
        view
        returns (bool shown, bytes memory answer, uint256 used)
    {
        bytes memory data = _proof(s, claimed);
        address verifier = _verifier;
        answer = new bytes(256);
        assembly ("memory-safe") {
            used := gas()
            shown := staticcall(gas(), verifier, add(data, 0x20), mload(data), 0, 0)
            used := sub(used, gas())
            mstore(answer, returndatasize())
            returndatacopy(add(answer, 0x20), 0, returndatasize())
        }
    }

    function _proof(Scene memory s, bytes memory claimed) private pure returns (bytes memory) {
        Case memory c;
        uint256 n = s.children.length;
        c.slots = uint32(s.lowest ? n : n * Nodes.FAN_OUT);
        Node memory node;
        bytes memory proof;
        (proof, node.root) = _open(s, claimed, s.index, 2 * s.leaves);
        proof = bytes.concat(bytes4(uint32(s.index)), proof);
        for (uint256 i; i < n; ++i) {
            node.entries[i].weight = s.children[i].weight;
            if (s.children[i].weight != 0) {
                bytes memory leaf = _encode(s, s.children[i].lanes, false);
                (uint256 index, uint256 size) = s.lowest ? (s.index / 2, s.leaves) : (s.index, 2 * s.leaves);
                (leaf, node.entries[i].root) = _open(s, leaf, index, size);
                proof = bytes.concat(proof, leaf);
            }
        }
        ResultHeader memory h;
        // The only node of one level, or the first of the upper ones.
        uint256 place = s.lowest ? 0 : n;
        bytes memory opened = abi.encode(node);
        (opened, h.nodes) = _climbed(opened, place, Nodes.count(c.slots));
        c.result = sha256(abi.encode(h));
        Terms memory t;
        (t.rule, t.leaves, t.sealed_) = (Rules.WEIGHTED_MEAN, uint32(s.leaves), s.sealed_);
        proof = bytes.concat(bytes1(NODE_SUM), abi.encode(h), bytes4(uint32(place)), opened, proof);
        return abi.encodePacked(CHECK, abi.encode(t, c, proof));
    }

    /// @dev An update's lanes stand in one half of its leaf; behind them, or before, is what does not matter.
    function _encode(Scene memory s, int64[LANES] memory lanes, bool sums) private pure returns (bytes memory leaf) {
        uint256 width = s.lowest && !sums ? 4 : 8;
        leaf = new bytes(width * LANES);
        for (uint256 i; i < leaf.length; ++i) {
            leaf[i] = bytes1(uint8(uint64(lanes[i / width]) >> (8 * (i % width))));
        }
        if (width == 8) return leaf;
        bytes memory other = new bytes(512);
        other[0] = 0x01;
        return s.index % 2 == 0 ? bytes.concat(leaf, other) : bytes.concat(other, leaf);
    }

    /// @dev A leaf with its salt, if there is one, and path, and the root that they imply.
    function _open(Scene memory s, bytes memory leaf, uint256 index, uint256 size)
        private
        pure
        returns (bytes memory, bytes32)
    {
        return _climbed(s.sealed_ ? bytes.concat(bytes16(s.seed), leaf) : leaf, index, size);
    }

    /// @dev With any siblings: there is no need of a tree.
    function _climbed(bytes memory data, uint256 index, uint256 size)
        private
        pure
        returns (bytes memory, bytes32 hash)
    {
        hash = sha256(bytes.concat(hex"00", data));
        for (uint256 last = size - 1; last != 0; last /= 2) {
            if (index % 2 == 1 || index != last) {
                bytes32 sibling = keccak256(data);
                data = bytes.concat(data, sibling);
                hash = sha256(
                    index % 2 == 1 ? bytes.concat(hex"01", sibling, hash) : bytes.concat(hex"01", hash, sibling)
                );
            }
            index /= 2;
        }
        return (data, hash);
    }
}
