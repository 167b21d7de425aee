// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PolicyHeader} from "../src/Headers.sol";
import {IFederations, Status} from "../src/interfaces/IFederations.sol";
import {Ask, Case, Question, Target} from "../src/verifier/Types.sol";
import {Base} from "./Base.sol";
import {MockVerifier} from "./MockVerifier.sol";

/// @notice A ledger whose verifier believes everything, and people who challenge its results.
abstract contract Challenged is Base {
    uint256 internal constant CHALLENGE = 0.2 ether;
    uint256 internal constant ANSWER_WINDOW = 40;
    bytes32 internal constant SALT = keccak256("salt");
    address internal constant CHALLENGER = address(0xC4A11);
    address internal constant OTHER = address(0xC4A12);
    address internal constant ANSWERER = address(0xA45);
    /// @dev By which forge deploys the libraries that contracts are linked with.
    address private constant LIBRARIES = 0x1F95D37F27EA0dEA9C252FC09D5A6eaA97647353;

    function setUp() public virtual override {
        super.setUp();
        vm.etch(_verifier(), address(MockVerifier).code);
    }

    /// @dev The only library that another one calls. (A test that imports it would have it compiled without the IR, where it is
    /// too deep.)
    function _verifier() private view returns (address) {
        for (uint256 nonce;; ++nonce) {
            bytes memory code = vm.computeCreateAddress(LIBRARIES, nonce).code;
            holds(code.length != 0, "no library calls another");
            // A library's code begins with its own address.
            for (uint256 i = 21; i + 21 < code.length; ++i) {
                address callee;
                assembly {
                    let word := mload(add(code, add(0x20, i)))
                    if eq(byte(0, word), 0x73) { callee := shr(96, shl(8, word)) }
                }
                if (callee != address(0) && callee.code.length != 0) return callee;
            }
        }
        revert();
    }

    // ---------------------------------------------------------------- proofs

    /// @dev A proof of this kind that leaves this to be asked.
    function proof(uint8 kind, Question memory q) internal pure returns (bytes memory) {
        return abi.encodePacked(kind, abi.encode(bytes32(0), q));
    }

    /// @dev A proof that decides alone.
    function proof(uint8 kind) internal pure returns (bytes memory) {
        Question memory q;
        return proof(kind, q);
    }

    function commitment(address who, bytes memory proof_, bytes32 salt) internal pure returns (bytes32) {
        return keccak256(abi.encode(who, keccak256(proof_), salt));
    }

    function pay(address who) internal {
        vm.deal(who, who.balance + CHALLENGE);
        vm.prank(who);
    }

    function commitProof(address who, bytes32 id, bytes32 result, bytes memory proof_) internal {
        bytes32 c = commitment(who, proof_, SALT);
        pay(who);
        ledger.commitProof{value: CHALLENGE}(id, result, c);
    }

    function openProof(address who, bytes32 id, bytes32 result, uint32 challenge, bytes memory proof_) internal {
        openProof(who, id, result, ledger.resultOf(id, result).attempt, challenge, proof_);
    }

    function openProof(
        address who,
        bytes32 id,
        bytes32 result,
        uint8 attempt,
        uint32 challenge,
        bytes memory proof_
    ) internal {
        vm.prank(who);
        ledger.openProof(id, result, attempt, challenge, proof_, SALT);
    }

    /// @dev Commit to a proof and open it a block later.
    function disprove(bytes32 id, bytes32 result, uint8 kind) internal {
        uint32 challenge = ledger.resultOf(id, result).challenges;
        commitProof(CHALLENGER, id, result, proof(kind));
        mine();
        openProof(CHALLENGER, id, result, challenge, proof(kind));
    }

    // ---------------------------------------------------------------- demands

    function target(uint256 n) internal pure returns (Target memory t) {
        t = Target(uint8(n % 9), keccak256(abi.encode("root", n)), n, uint32(100 + n), uint8(n % 4), uint32(n % 25));
    }

    function demand(address who, bytes32 id, bytes32 result, uint256 n) internal {
        bytes memory evidence = abi.encode(target(n));
        pay(who);
        ledger.demand{value: CHALLENGE}(id, result, evidence);
    }

    function answer(address who, bytes32 id, bytes32 result, uint32 challenge, uint256 n) internal {
        Target memory t = target(n);
        vm.prank(who);
        ledger.answer(id, result, challenge, t, abi.encode(t.root));
    }

    function redemand(address who, bytes32 id, bytes32 result, uint32 challenge, uint256 n) internal {
        bytes memory evidence = abi.encode(target(n));
        vm.prank(who);
        ledger.redemand(id, result, challenge, evidence);
    }

    function concede(address who, bytes32 id, bytes32 result, uint32 challenge) internal {
        vm.prank(who);
        ledger.concede(id, result, challenge);
    }

    function notOpen(uint32 challenge) internal {
        refuses(abi.encodeWithSelector(IFederations.ChallengeNotOpen.selector, challenge));
    }

    // ---------------------------------------------------------------- results

    /// @dev Long enough windows for whole stories.
    function patient() internal view returns (PolicyHeader memory p) {
        p = policy();
        (p.challengeWindow, p.attestWindow, p.rounds) = (10_000, 5_000, 20);
        (p.commitWindow, p.proposeWindow) = (5_000, 5_000);
    }

    /// @dev Votes, in order, until the attest phase is over, of those that are left.
    function voteDown(bytes32 id, bytes32 result) internal {
        for (uint256 i; ledger.resultOf(id, result).status == Status.Standing; ++i) {
            uint256 ballots = ledger.resultOf(id, result).ballots;
            if ((ballots | ballots >> 128) >> i & 1 == 0 && seated(id, view_(id).round, i)) vote(id, i, false);
        }
    }

    function standing(PolicyHeader memory p) internal returns (bytes32 id, bytes32 result) {
        id = proposing(p);
        result = propose(id, header(id));
    }
}
