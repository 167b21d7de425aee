// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Common, PolicyHeader, ResultHeader, POLICY_TAG, RESULT_TAG} from "../src/Headers.sol";
import {FederationView, IFederations, ParticipantView, Phase, Result, Status} from "../src/interfaces/IFederations.sol";
import {Asserts} from "./Asserts.sol";
import {SumTree} from "./SumTree.sol";
import {Vm} from "./Vm.sol";

/// @notice What every test starts from: a ledger, a policy, and members who do as they are told.
abstract contract Base is Asserts {
    uint256 internal constant CREATOR_KEY = 0xC0FFEE;
    uint256 internal constant START = 1_700_000_000;

    IFederations internal ledger;
    address internal creator;

    function setUp() public virtual {
        vm.warp(START);
        creator = vm.addr(CREATOR_KEY);
        ledger = IFederations(vm.deployCode("Federations.sol:Federations"));
        vm.deal(creator, 1e30);
    }

    // ---------------------------------------------------------------- members

    function signer(uint256 i) internal pure returns (address) {
        return address(uint160(0x10000 + i));
    }

    function controller(uint256 i) internal pure returns (address) {
        return address(uint160(0x20000 + i));
    }

    function payout(uint256 i) internal pure returns (address) {
        return address(uint160(0x30000 + i));
    }

    function identity(uint256 i) internal pure returns (bytes32) {
        return keccak256(abi.encode("identity", i));
    }

    function dataset(uint256 i) internal pure returns (bytes32) {
        return keccak256(abi.encode("dataset", i));
    }

    // ---------------------------------------------------------------- policies

    function policy() internal view returns (PolicyHeader memory p) {
        p.common.tag = POLICY_TAG;
        p.common.chainId = block.chainid;
        p.common.ledger = address(ledger);
        p.initialModelRoot = keccak256("model");
        p.rest = keccak256("rest");
        p.leaves = 3;
        p.coordinates = 700;
        p.bound = 1 << 24;
        p.weightCap = 1_000;
        p.startParticipants = 3;
        p.maxParticipants = 5;
        p.leastUpdates = 2;
        p.open = true;
        p.committeeSize = 16;
        p.quorumBps = 6_000;
        p.attempts = 3;
        p.commitWindow = 60;
        p.revealWindow = 30;
        p.proposeWindow = 60;
        p.attestWindow = 60;
        p.challengeWindow = 120;
        p.idleWindow = 100_000;
        p.stake = 1 ether;
        p.proposerBond = 0.5 ether;
        p.rounds = 3;
        p.pool = 10 ether;
        p.target = 1_000;
        p.valueExponent = 1;
        p.valuation = 2;
        p.valuationEvery = 1;
        p.evaluation = 1;
    }

    function create(PolicyHeader memory p) internal returns (bytes32) {
        vm.prank(creator);
        return ledger.createFederation{value: p.token == address(0) ? p.pool : 0}(p, 0);
    }

    /// @dev A federation of `n` members, in round 0.
    function started(PolicyHeader memory p, uint256 n) internal returns (bytes32 id) {
        p.startParticipants = uint32(n);
        id = create(p);
        for (uint256 i; i < n; ++i) {
            join(id, i);
        }
    }

    function started() internal returns (bytes32) {
        return started(policy(), 3);
    }

    // ---------------------------------------------------------------- acts

    function view_(bytes32 id) internal view returns (FederationView memory) {
        return ledger.federationOf(id);
    }

    function join(bytes32 id, uint256 i) internal {
        join(id, i, 1 ether);
    }

    function join(bytes32 id, uint256 i, uint256 value) internal {
        vm.deal(controller(i), value);
        vm.prank(controller(i));
        ledger.join{value: value}(id, signer(i), payout(i), identity(i), dataset(i), 100, 0, "");
    }

    function leave(bytes32 id, uint256 i) internal {
        vm.prank(controller(i));
        ledger.leave(id, uint32(i));
    }

    function commit(bytes32 id, uint256 i) internal {
        uint32 round = view_(id).round;
        vm.prank(signer(i));
        ledger.commitUpdate(id, round, keccak256(abi.encode("update", round, i)));
    }

    function commitAll(bytes32 id) internal {
        uint256 joined = view_(id).joined;
        uint32 round = view_(id).round;
        for (uint256 i; i < joined; ++i) {
            ParticipantView memory p = ledger.participantOf(id, uint32(i));
            if (p.activeFrom <= round && round < p.activeUntil) commit(id, i);
        }
    }

    /// @dev A header that the ledger takes now, with nothing gained and nothing paid since the period before.
    function header(bytes32 id) internal view returns (ResultHeader memory h) {
        FederationView memory v = view_(id);
        h.common = Common(RESULT_TAG, block.chainid, address(ledger), id, v.round, v.head);
        h.nodes = keccak256("nodes");
        h.number = v.commits;
        h.weight = v.commits;
        h.modelRoot = keccak256(abi.encode("model", v.round));
        if (v.claimable != 0 && v.claimable == v.head) h.payoutTotal = ledger.resultOf(id, v.claimable).payoutTotal;
    }

    function digest(ResultHeader memory h) internal pure returns (bytes32) {
        return sha256(abi.encode(h));
    }

    function turn(bytes32 id) internal view returns (uint256) {
        FederationView memory v = view_(id);
        return (uint256(v.round) + v.attempt) % v.known;
    }

    function propose(bytes32 id, ResultHeader memory h) internal returns (bytes32) {
        return proposeAs(signer(turn(id)), id, h);
    }

    function proposeAs(address who, bytes32 id, ResultHeader memory h) internal returns (bytes32) {
        vm.deal(who, 0.5 ether);
        vm.prank(who);
        ledger.proposeResult{value: 0.5 ether}(id, h, keccak256("index"));
        return digest(h);
    }

    function vote(bytes32 id, uint256 i, bool support) internal {
        FederationView memory v = view_(id);
        vm.prank(signer(i));
        ledger.vote(id, v.round, v.attempt, v.standing, support);
    }

    /// @dev Votes, in order, until the attest phase is over.
    function voteAll(bytes32 id, bool support) internal {
        FederationView memory v = view_(id);
        for (
            uint256 i;
            view_(id).phase == Phase.Attest && view_(id).attempt == v.attempt && view_(id).round == v.round;
            ++i
        ) {
            ParticipantView memory p = ledger.participantOf(id, uint32(i));
            if (p.activeFrom <= v.round && v.round < p.activeUntil) vote(id, i, support);
        }
    }

    /// @dev A whole round with this header's outcome.
    function fullRound(bytes32 id, ResultHeader memory h) internal returns (bytes32 result) {
        result = propose(id, h);
        voteAll(id, true);
    }

    function fullRound(bytes32 id) internal returns (bytes32) {
        commitAll(id);
        return fullRound(id, header(id));
    }

    /// @dev A whole round that releases `gain` of the target to these payouts.
    function payingRound(bytes32 id, int64 gain, uint128[] memory amounts) internal returns (bytes32) {
        commitAll(id);
        ResultHeader memory h = header(id);
        SumTree.Node memory root = SumTree.root(amounts);
        (h.gain, h.scores, h.payouts, h.payoutTotal) = (gain, 1, root.hash, uint128(root.sum));
        return fullRound(id, h);
    }

    function pass(uint256 time) internal {
        vm.warp(vm.getBlockTimestamp() + time);
    }

    /// @dev Let the current phase's deadline pass.
    function miss(bytes32 id) internal {
        vm.warp(view_(id).deadline);
        ledger.advance(id);
    }

    function settleAll(bytes32 id) internal {
        pass(1_000);
        ledger.advance(id);
    }

    function claim(bytes32 id, uint256 i, uint128[] memory amounts) internal {
        (bytes32[] memory hashes, uint256[] memory sums) = SumTree.proof(amounts, i);
        ledger.claim(id, uint32(i), amounts[i], hashes, sums);
    }

    function amounts3(uint128 a, uint128 b, uint128 c) internal pure returns (uint128[] memory amounts) {
        amounts = new uint128[](3);
        (amounts[0], amounts[1], amounts[2]) = (a, b, c);
    }

    // ---------------------------------------------------------------- history

    /// @dev Check that the logs recorded since the last call carry the federation's history on from `h`.
    function replay(bytes32 id, bytes32 h, Vm.Log[] memory logs) internal view returns (bytes32) {
        for (uint256 n; n < logs.length; ++n) {
            Vm.Log memory log = logs[n];
            if (log.emitter != address(ledger) || log.topics[1] != id) continue;
            holds(log.topics.length == 2, "topics");
            bytes memory fields = log.data;
            bytes32 after_;
            assembly {
                let length := sub(mload(fields), 0x20)
                after_ := mload(add(fields, add(0x20, length)))
                mstore(fields, length)
            }
            if (log.topics[0] != IFederations.Checkpoint.selector) {
                h = keccak256(bytes.concat(h, bytes32(vm.getBlockTimestamp()), log.topics[0], fields));
            }
            eq(after_, h, "accumulator");
        }
        return h;
    }

    function refuses(bytes memory reason) internal {
        vm.expectRevert(reason);
    }
}
