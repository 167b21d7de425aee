// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Case, Terms} from "../../src/verifier/Types.sol";
import {Asserts} from "../Asserts.sol";

/// @notice What the verifier says of many proofs, of which some hold: the same as its twin in Python.
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

    bytes4 private constant CHECK = bytes4(keccak256("check(Terms,Case,bytes)"));
    uint256 private constant PARTS = 8;

    address private _verifier;

    function setUp() public {
        _verifier = vm.deployCode("Verifier.sol:Verifier");
    }

    function test_check_firstEighth() public view {
        _try(0);
    }

    function test_check_secondEighth() public view {
        _try(1);
    }

    function test_check_thirdEighth() public view {
        _try(2);
    }

    function test_check_fourthEighth() public view {
        _try(3);
    }

    function test_check_fifthEighth() public view {
        _try(4);
    }

    function test_check_sixthEighth() public view {
        _try(5);
    }

    function test_check_seventhEighth() public view {
        _try(6);
    }

    function test_check_lastEighth() public view {
        _try(7);
    }

    /// @dev In parts, as a test's gas is bounded.
    function _try(uint256 part) private view {
        Trial[] memory trials = abi.decode(vm.readFileBinary(string.concat(VECTORS, "verdicts.bin")), (Trial[]));
        for (uint256 i = part; i < trials.length; i += PARTS) {
            Trial memory t = trials[i];
            bytes memory proof = _spread(t.proof);
            (bool shown, bytes memory question) = _check(t, proof);
            string memory name = vm.toString(i);
            holds(shown == (t.question.length != 0), name);
            holds(!shown || keccak256(question) == keccak256(t.question), name);
            for (uint256 k; k < t.changes.length; k += 4) {
                uint256 at = uint256(uint8(t.changes[k])) << 16 | uint256(uint8(t.changes[k + 1])) << 8
                    | uint8(t.changes[k + 2]);
                proof[at] ^= t.changes[k + 3];
                (shown,) = _check(t, proof);
                holds(!shown, string.concat(name, ", changed at ", vm.toString(at)));
                proof[at] ^= t.changes[k + 3];
            }
        }
    }

    function _check(Trial memory t, bytes memory proof) private view returns (bool, bytes memory) {
        return _verifier.staticcall(abi.encodePacked(CHECK, abi.encode(t.terms, t.case_, proof)));
    }

    function _spread(bytes memory squeezed) private pure returns (bytes memory data) {
        data = new bytes(uint32(bytes4(squeezed)));
        uint256 words = (data.length + 31) / 32;
        uint256 from = 4 + (words + 7) / 8;
        for (uint256 k; k < words; ++k) {
            if (uint8(squeezed[4 + k / 8]) >> (k % 8) & 1 == 0) continue;
            for (uint256 b; b < 32 && 32 * k + b < data.length; ++b) {
                data[32 * k + b] = squeezed[from + b];
            }
            from += 32;
        }
    }
}
