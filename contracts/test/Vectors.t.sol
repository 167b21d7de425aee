// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PolicyHeader, ResultHeader, UpdateHeader, POLICY_TAG, RESULT_TAG, UPDATE_TAG} from "../src/Headers.sol";
import {Sibling} from "../src/interfaces/IFederations.sol";
import {Committee} from "../src/libraries/Committee.sol";
import {MerkleSum} from "../src/libraries/MerkleSum.sol";
import {Asserts} from "./Asserts.sol";

/// @notice The files that the Python tests check too.
contract VectorsTest is Asserts {
    function decodePolicy(bytes calldata data) external pure returns (bytes memory, bytes32) {
        PolicyHeader memory h = abi.decode(data, (PolicyHeader));
        return (abi.encode(h), h.common.tag);
    }

    function decodeUpdate(bytes calldata data) external pure returns (bytes memory, bytes32) {
        UpdateHeader memory h = abi.decode(data, (UpdateHeader));
        return (abi.encode(h), h.common.tag);
    }

    function decodeResult(bytes calldata data) external pure returns (bytes memory, bytes32) {
        ResultHeader memory h = abi.decode(data, (ResultHeader));
        return (abi.encode(h), h.common.tag);
    }

    function verify(
        bytes32 root,
        uint256 total,
        uint128 amount,
        uint32 index,
        uint256 size,
        Sibling[] calldata path
    ) external view returns (bool) {
        (bytes32 hash, uint256 sum) = MerkleSum.open(MerkleSum.payoutLeaf(index, amount), amount, index, size, path);
        return hash != 0 && hash == root && sum == total;
    }

    /// @dev Whether these bytes are a header of this kind, and nothing else.
    function _isHeader(string memory kind, bytes memory data) private view returns (bool) {
        bytes32 k = keccak256(bytes(kind));
        bytes4 decode = k == keccak256("policy")
            ? this.decodePolicy.selector
            : k == keccak256("update") ? this.decodeUpdate.selector : this.decodeResult.selector;
        bytes32 tag = k == keccak256("policy") ? POLICY_TAG : k == keccak256("update") ? UPDATE_TAG : RESULT_TAG;
        (bool decoded, bytes memory answer) = address(this).staticcall(abi.encodeWithSelector(decode, data));
        if (!decoded) return false;
        (bytes memory encoded, bytes32 found) = abi.decode(answer, (bytes, bytes32));
        return found == tag && keccak256(encoded) == keccak256(data);
    }

    function test_headers() public view {
        string memory json = vm.readFile(string.concat(VECTORS, "headers.json"));
        uint256 count = vm.parseJsonUint(json, ".count");
        for (uint256 i; i < count; ++i) {
            string memory at = string.concat(".cases[", vm.toString(i), "]");
            bytes memory encoded = vm.parseJsonBytes(json, string.concat(at, ".encoded"));
            string memory kind = vm.parseJsonString(json, string.concat(at, ".kind"));
            holds(_isHeader(kind, encoded), at);
            eq(sha256(encoded), vm.parseJsonBytes32(json, string.concat(at, ".digest")), at);
        }
        count = vm.parseJsonUint(json, ".badCount");
        for (uint256 i; i < count; ++i) {
            string memory at = string.concat(".bad[", vm.toString(i), "]");
            bytes memory encoded = vm.parseJsonBytes(json, string.concat(at, ".encoded"));
            string memory name = string.concat(at, vm.parseJsonString(json, string.concat(at, ".name")));
            holds(!_isHeader(vm.parseJsonString(json, string.concat(at, ".kind")), encoded), name);
        }
    }

    function test_payouts() public view {
        string memory json = vm.readFile(string.concat(VECTORS, "payouts.json"));
        uint256 count = vm.parseJsonUint(json, ".count");
        for (uint256 i; i < count; ++i) {
            string memory at = string.concat(".cases[", vm.toString(i), "]");
            bool valid = _verifies(json, at);
            string memory name = string.concat(at, vm.parseJsonString(json, string.concat(at, ".name")));
            holds(valid == vm.parseJsonBool(json, string.concat(at, ".valid")), name);
        }
    }

    function test_committees() public view {
        string memory json = vm.readFile(string.concat(VECTORS, "committee.json"));
        uint256 count = vm.parseJsonUint(json, ".count");
        for (uint256 i; i < count; ++i) {
            string memory at = string.concat(".cases[", vm.toString(i), "]");
            uint256 seed = vm.parseJsonUint(json, string.concat(at, ".seed"));
            uint256 known = vm.parseJsonUint(json, string.concat(at, ".known"));
            uint256 size = vm.parseJsonUint(json, string.concat(at, ".size"));
            uint256[] memory drawn = vm.parseJsonUintArray(json, string.concat(at, ".participants"));
            for (uint256 place; place < drawn.length; ++place) {
                eq(Committee.member(seed, place, known, size), drawn[place], at);
                eq(Committee.placeOf(seed, drawn[place], known, size), place, at);
            }
        }
    }

    function _verifies(string memory json, string memory at) private view returns (bool) {
        uint256 amount = vm.parseJsonUint(json, string.concat(at, ".amount"));
        uint256 index = vm.parseJsonUint(json, string.concat(at, ".index"));
        if (amount > type(uint128).max || index > type(uint32).max) return false;
        bytes32[] memory hashes = vm.parseJsonBytes32Array(json, string.concat(at, ".hashes"));
        uint256[] memory sums = vm.parseJsonUintArray(json, string.concat(at, ".sums"));
        // The call pairs them, so this cannot be said to it.
        if (hashes.length != sums.length) return false;
        Sibling[] memory path = new Sibling[](hashes.length);
        for (uint256 i; i < path.length; ++i) {
            path[i] = Sibling(hashes[i], sums[i]);
        }
        return this.verify(
            vm.parseJsonBytes32(json, string.concat(at, ".root")),
            vm.parseJsonUint(json, string.concat(at, ".total")),
            uint128(amount),
            uint32(index),
            vm.parseJsonUint(json, string.concat(at, ".size")),
            path
        );
    }
}
