// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Case, Target, Terms} from "../../src/verifier/Types.sol";
import {Asserts} from "../Asserts.sol";

/// @notice The proofs and demands that the Python tests check too.
contract VerifierVectorsTest is Asserts {
    // A library's selectors name its structs.
    bytes4 private constant CHECK = bytes4(keccak256("check(Terms,Case,bytes)"));
    bytes4 private constant TARGET = bytes4(keccak256("target(Terms,Case,bytes)"));
    bytes4 private constant UNAVAILABLE = bytes4(keccak256("unavailable(Case,bytes)"));
    bytes4 private constant OPENS = bytes4(keccak256("opens(bool,Target,bytes)"));

    string private _json;
    address private _verifier;

    function setUp() public {
        _json = vm.readFile(string.concat(VECTORS, "proofs.json"));
        _verifier = vm.deployCode("Verifier.sol:Verifier");
    }

    function _ask(bytes4 selector, Terms memory terms, Case memory case_, bytes memory data)
        private
        view
        returns (bool answered, bytes memory answer)
    {
        return _verifier.staticcall(abi.encodePacked(selector, abi.encode(terms, case_, data)));
    }

    function _opens(bool sealed_, Target memory target, bytes memory data) private view returns (bool) {
        (bool answered, bytes memory answer) =
            _verifier.staticcall(abi.encodePacked(OPENS, abi.encode(sealed_, target, data)));
        return answered && abi.decode(answer, (bool));
    }

    function test_check_everyKind() public view {
        string memory json = _json;
        uint256 count = vm.parseJsonUint(json, ".count");
        for (uint256 i; i < count; ++i) {
            string memory at = string.concat(".cases[", vm.toString(i), "]");
            (Terms memory terms, Case memory case_) = _stage(json, at);
            bytes memory proof = vm.parseJsonBytes(json, string.concat(at, ".proof"));
            (bool shown, bytes memory question) = _ask(CHECK, terms, case_, proof);
            bytes memory expected = vm.parseJsonBytes(json, string.concat(at, ".question"));
            holds(shown && keccak256(question) == keccak256(expected), at);
            _refuses(json, at, terms, case_, proof);
        }
    }

    /// @dev Every way in which a proof is broken.
    function _refuses(string memory json, string memory at, Terms memory terms, Case memory case_, bytes memory proof)
        private
        view
    {
        uint256 count = vm.parseJsonUint(json, string.concat(at, ".badCount"));
        for (uint256 i; i < count; ++i) {
            string memory place = string.concat(at, ".bad[", vm.toString(i), "]");
            bytes memory bad = new bytes(vm.parseJsonUint(json, string.concat(place, ".size")));
            for (uint256 k; k < bad.length && k < proof.length; ++k) {
                bad[k] = proof[k];
            }
            uint8 xor = uint8(vm.parseJsonUint(json, string.concat(place, ".xor")));
            if (xor != 0) bad[vm.parseJsonUint(json, string.concat(place, ".at"))] ^= bytes1(xor);
            (bool shown,) = _ask(CHECK, terms, case_, bad);
            holds(!shown, string.concat(place, " ", vm.parseJsonString(json, string.concat(place, ".name"))));
        }
    }

    /// @dev Who may be charged: the participant of a slot that the result calls unavailable, and nobody else.
    function test_unavailable_everySlot() public view {
        string memory json = _json;
        Case memory case_ = abi.decode(vm.parseJsonBytes(json, ".charge.case"), (Case));
        uint256 count = vm.parseJsonUint(json, ".charge.count");
        for (uint256 i; i < count; ++i) {
            string memory at = string.concat(".charge.slots[", vm.toString(i), "]");
            bytes memory evidence = vm.parseJsonBytes(json, string.concat(at, ".evidence"));
            (bool found, bytes memory answer) =
                _verifier.staticcall(abi.encodePacked(UNAVAILABLE, abi.encode(case_, evidence)));
            holds(found == vm.parseJsonBool(json, string.concat(at, ".unavailable")), at);
            if (!found) continue;
            eq(abi.decode(answer, (uint256)), vm.parseJsonUint(json, string.concat(at, ".participant")), at);
            (found,) = _verifier.staticcall(
                abi.encodePacked(UNAVAILABLE, abi.encode(case_, bytes.concat(evidence, hex"00")))
            );
            holds(!found, "more bytes than needed");
        }
    }

    function test_demands_everyKind() public view {
        string memory json = _json;
        uint256 count = vm.parseJsonUint(json, ".demandCount");
        for (uint256 i; i < count; ++i) {
            string memory at = string.concat(".demands[", vm.toString(i), "]");
            (Terms memory terms, Case memory case_) = _stage(json, at);
            bytes memory evidence = vm.parseJsonBytes(json, string.concat(at, ".evidence"));
            (bool due, bytes memory found) = _ask(TARGET, terms, case_, evidence);
            bytes memory expected = vm.parseJsonBytes(json, string.concat(at, ".target"));
            holds(due && keccak256(found) == keccak256(expected), at);
            Target memory target = abi.decode(found, (Target));
            bytes memory answer = vm.parseJsonBytes(json, string.concat(at, ".answer"));
            holds(_opens(terms.sealed_, target, answer), at);
            _refusesAnswers(terms.sealed_, target, answer);
        }
    }

    function _refusesAnswers(bool sealed_, Target memory target, bytes memory answer) private view {
        _refusesAnswer(sealed_, target, bytes.concat(answer, hex"00"));
        answer[answer.length / 2] ^= 0x01;
        _refusesAnswer(sealed_, target, answer);
        answer[answer.length / 2] ^= 0x01;
        ++target.position;
        if (uint256(target.position) << target.level < target.size) _refusesAnswer(sealed_, target, answer);
        --target.position;
        target.root ^= bytes32(uint256(1));
        _refusesAnswer(sealed_, target, answer);
    }

    function _refusesAnswer(bool sealed_, Target memory target, bytes memory answer) private view {
        holds(!_opens(sealed_, target, answer), "a wrong answer is taken");
    }

    function _stage(string memory json, string memory at) private pure returns (Terms memory, Case memory) {
        return (
            abi.decode(vm.parseJsonBytes(json, string.concat(at, ".terms")), (Terms)),
            abi.decode(vm.parseJsonBytes(json, string.concat(at, ".case")), (Case))
        );
    }
}
