// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Case, Question, Target, Terms} from "../src/verifier/Types.sol";

/// @notice Stands in for the verifier: it says what the proof, or the evidence, tells it to say.
library MockVerifier {
    error Nonsense();

    /// @dev A proof is its kind, what the case must be (or zero), and the question that is left.
    function check(Terms memory, Case memory c, bytes calldata proof) external pure returns (Question memory q) {
        if (proof.length < 2) revert Nonsense();
        bytes32 expected;
        (expected, q) = abi.decode(proof[1:], (bytes32, Question));
        if (expected != 0 && expected != keccak256(abi.encode(c))) revert Nonsense();
    }

    /// @dev Evidence is the target that it leads to.
    function target(Terms memory, Case memory, bytes calldata evidence) external pure returns (Target memory) {
        return abi.decode(evidence, (Target));
    }

    /// @dev The right answer is the target's root; where payloads are sealed, its complement.
    function opens(bool sealed_, Target calldata t, bytes calldata data) external pure returns (bool) {
        return bytes32(data) == (sealed_ ? ~t.root : t.root);
    }

    /// @dev Evidence is the participant.
    function unavailable(Case memory, bytes calldata evidence) external pure returns (uint32) {
        return abi.decode(evidence, (uint32));
    }
}
