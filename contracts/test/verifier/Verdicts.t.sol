// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Case, Target, Terms} from "../../src/verifier/Types.sol";
import {Asserts} from "../Asserts.sol";

/// @notice What the verifier says of many proofs, demands and answers, of which some hold: the same as its twin in Python.
contract VerdictsTest is Asserts {
    /// @param proof Its size, a bit for each word that is not zero, and these words.
    /// @param question What is left to ask; empty if the proof is refused.
    /// @param changes A place in three bytes, and what is exchanged there by exclusive or: each makes it refused.
    struct Trial {
        Terms terms;
        Case case_;
        bytes proof;
        bytes question;
        bytes changes;
    }

    /// @param evidence Squeezed as a proof.
    /// @param target What the demand is for; empty if none is due.
    struct Asked {
        Terms terms;
        Case case_;
        bytes evidence;
        bytes target;
    }

    /// @param answer Squeezed as a proof.
    /// @param opened Whether it is one.
    struct Answered {
        bool sealed_;
        Target target;
        bytes answer;
        bool opened;
        bytes changes;
    }

    bytes4 private constant CHECK = bytes4(keccak256("check(Terms,Case,bytes)"));
    bytes4 private constant TARGET = bytes4(keccak256("target(Terms,Case,bytes)"));
    bytes4 private constant OPENS = bytes4(keccak256("opens(bool,Target,bytes)"));
    uint256 private constant PARTS = 4;
    /// @dev Of a transaction (EIP-7825). A proof may say numbers that take more to look at.
    uint256 private constant MOST_GAS = 1 << 24;

    address private _verifier;

    function setUp() public {
        _verifier = vm.deployCode("Verifier.sol:Verifier");
    }

    function test_check_firstQuarter() public view {
        _try(0);
    }

    function test_check_secondQuarter() public view {
        _try(1);
    }

    function test_check_thirdQuarter() public view {
        _try(2);
    }

    function test_check_lastQuarter() public view {
        _try(3);
    }

    function test_target_everyTrial() public view {
        (Asked[] memory asked,) = _demands();
        uint256 free = _mark();
        for (uint256 i; i < asked.length; ++i) {
            _release(free);
            Asked memory a = asked[i];
            bytes memory call = abi.encodePacked(TARGET, abi.encode(a.terms, a.case_, _spread(a.evidence)));
            (bool due, bytes memory target) = _verifier.staticcall(call);
            holds(due == (a.target.length != 0), vm.toString(i));
            holds(!due || keccak256(target) == keccak256(a.target), vm.toString(i));
        }
    }

    function test_opens_everyTrial() public view {
        (, Answered[] memory answered) = _demands();
        uint256 free = _mark();
        for (uint256 i; i < answered.length; ++i) {
            _release(free);
            Answered memory a = answered[i];
            bytes memory answer = _spread(a.answer);
            holds(_opens(a, answer) == a.opened, vm.toString(i));
            for (uint256 k; k < a.changes.length; k += 4) {
                uint256 at = _change(answer, a.changes, k);
                holds(!_opens(a, answer), string.concat(vm.toString(i), ", changed at ", vm.toString(at)));
                _change(answer, a.changes, k);
            }
        }
    }

    function _demands() private view returns (Asked[] memory, Answered[] memory) {
        return abi.decode(vm.readFileBinary(string.concat(VECTORS, "demands.bin")), (Asked[], Answered[]));
    }

    function _opens(Answered memory a, bytes memory answer) private view returns (bool) {
        (bool answered, bytes memory opened) =
            _verifier.staticcall(abi.encodePacked(OPENS, abi.encode(a.sealed_, a.target, answer)));
        return answered && abi.decode(opened, (bool));
    }

    /// @dev Memory costs the square of its size: what a trial took is used again by the next one.
    function _mark() private pure returns (uint256 free) {
        assembly ("memory-safe") {
            free := mload(0x40)
        }
    }

    function _release(uint256 free) private pure {
        assembly {
            mstore(0x40, free)
        }
    }

    /// @dev Make a change, or take it back.
    function _change(bytes memory data, bytes memory changes, uint256 k) private pure returns (uint256 at) {
        at = uint256(uint8(changes[k])) << 16 | uint256(uint8(changes[k + 1])) << 8 | uint8(changes[k + 2]);
        data[at] ^= changes[k + 3];
    }

    /// @dev In parts, as a test's gas is bounded.
    function _try(uint256 part) private view {
        Trial[] memory trials = abi.decode(vm.readFileBinary(string.concat(VECTORS, "verdicts.bin")), (Trial[]));
        uint256 free = _mark();
        for (uint256 i = part; i < trials.length; i += PARTS) {
            _release(free);
            Trial memory t = trials[i];
            bytes memory proof = _spread(t.proof);
            (bool shown, bytes memory question) = _check(t, proof);
            string memory name = vm.toString(i);
            holds(shown == (t.question.length != 0), name);
            holds(question.length != 0, string.concat(name, " is refused without a reason"));
            holds(!shown || keccak256(question) == keccak256(t.question), name);
            for (uint256 k; k < t.changes.length; k += 4) {
                uint256 at = _change(proof, t.changes, k);
                (shown,) = _check(t, proof);
                holds(!shown, string.concat(name, ", changed at ", vm.toString(at)));
                _change(proof, t.changes, k);
            }
        }
    }

    function _check(Trial memory t, bytes memory proof) private view returns (bool, bytes memory) {
        return _verifier.staticcall{gas: MOST_GAS}(abi.encodePacked(CHECK, abi.encode(t.terms, t.case_, proof)));
    }

    function _spread(bytes memory squeezed) private pure returns (bytes memory data) {
        data = new bytes(uint32(bytes4(squeezed)));
        uint256 words = (data.length + 31) / 32;
        uint256 from = 4 + (words + 7) / 8;
        for (uint256 k; k < words; ++k) {
            if (uint8(squeezed[4 + k / 8]) >> (k % 8) & 1 == 0) continue;
            assembly ("memory-safe") {
                mstore(add(add(data, 0x20), shl(5, k)), mload(add(add(squeezed, 0x20), from)))
            }
            from += 32;
        }
    }
}
