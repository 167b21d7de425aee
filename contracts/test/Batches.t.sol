// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PolicyHeader, ResultHeader} from "../src/Headers.sol";
import {FederationView, IFederations, Phase, Status} from "../src/interfaces/IFederations.sol";
import {Base} from "./Base.sol";
import {Vm} from "./Vm.sol";

/// @notice Commits that a relay posts together.
contract BatchesTest is Base {
    function _post(bytes32 id, uint32 round, uint32 leaves) private {
        ledger.postBatch(id, round, keccak256("batch"), leaves, INDEX);
    }

    function testFuzz_postBatch_byTheRelayOnly(address who) public {
        vm.assume(who != relay());
        bytes32 id = started(costly(), 3);
        vm.prank(who);
        refuses(abi.encodeWithSelector(IFederations.NotRelay.selector, relay()));
        _post(id, 0, 1);
    }

    function testFuzz_postBatch_RevertWhen_thereIsNoRelay(address who) public {
        vm.assume(who != address(0));
        bytes32 id = started();
        vm.prank(who);
        refuses(abi.encodeWithSelector(IFederations.NotRelay.selector, address(0)));
        _post(id, 0, 1);
    }

    /// @dev Until the batch window ends; whoever was left out commits after that.
    function testFuzz_postBatch_withinItsWindow(uint256 at, uint32 window) public {
        PolicyHeader memory p = costly();
        p.batchWindow = uint32(bound(window, 1, 59));
        bytes32 id = started(p, 3);
        at = bound(at, 0, 59);
        vm.warp(START + at);
        vm.prank(relay());
        if (at >= p.batchWindow) {
            refuses(abi.encodeWithSelector(IFederations.DeadlinePassed.selector, START + p.batchWindow));
        }
        _post(id, 0, 1);
    }

    /// @dev No more leaves than there are participants, at least one, once.
    function testFuzz_postBatch_counts(uint32 leaves) public {
        bytes32 id = started(costly(), 4);
        leaves = uint32(bound(leaves, 0, 7));
        vm.prank(relay());
        if (leaves == 0 || leaves > 4) {
            refuses(IFederations.BatchRefused.selector);
            _post(id, 0, leaves);
            return;
        }
        _post(id, 0, leaves);
        eq(view_(id).batched, leaves, "batched");
        eq(view_(id).commits, 0, "direct");
        vm.prank(relay());
        refuses(IFederations.BatchRefused.selector);
        _post(id, 0, 1);
    }

    function test_postBatch_RevertWhen_notNow() public {
        bytes32 id = started(costly(), 3);
        vm.prank(relay());
        refuses(abi.encodeWithSelector(IFederations.WrongRound.selector, 0, 1));
        _post(id, 1, 1);
        vm.prank(relay());
        refuses(abi.encodeWithSelector(IFederations.UnknownFederation.selector, bytes32(0)));
        _post(0, 0, 1);
        commitAll(id);
        vm.prank(relay());
        refuses(abi.encodeWithSelector(IFederations.WrongPhase.selector, Phase.Commit, Phase.Propose));
        _post(id, 0, 1);
    }

    /// @dev The phase waits for its deadline unless everybody has committed directly: the contract cannot see who is in a batch.
    function testFuzz_postBatch_slots(uint256 leaves, uint256 direct, bool first) public {
        PolicyHeader memory p = costly();
        p.leastUpdates = 3;
        bytes32 id = started(p, 4);
        leaves = bound(leaves, 1, 4);
        direct = bound(direct, 0, 4);
        if (first) batch(id, uint32(leaves));
        for (uint256 i; i < direct; ++i) {
            commit(id, i);
            eq(ledger.commitOf(id, 0, uint32(i)), keccak256(abi.encode(update(0, i), i)), "order");
            if (i == 0 && !first) batch(id, uint32(leaves));
        }
        if (direct == 0 && !first) batch(id, uint32(leaves));
        vm.recordLogs();
        if (direct < 4) {
            phase(id, Phase.Commit, "open");
            miss(id);
            Vm.Log[] memory logs = vm.getRecordedLogs();
            if (leaves + direct < 3) {
                eq(logs[0].topics[0], IFederations.RoundVoided.selector, "void");
                eq(view_(id).batched, 0, "the next round has none");
                return;
            }
            (, uint32 slots,,,) = abi.decode(logs[0].data, (uint32, uint32, uint40, uint40, bytes32));
            eq(slots, leaves + direct, "slots");
        }
        phase(id, Phase.Propose, "propose");
        ResultHeader memory h = header(id);
        h.number = uint32(leaves + direct + 1);
        vm.deal(signer(0), BOND);
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.HeaderRefused.selector, bytes32("number")));
        ledger.proposeResult{value: BOND}(id, h, INDEX, "");
        h.number -= 1;
        fullRound(id, h);
        eq(view_(id).headHeight, 1, "accepted");
    }

    function test_postBatch_history() public {
        bytes32 id = started(costly(), 3);
        bytes32 h = ledger.accumulator(id);
        vm.recordLogs();
        batch(id, 2);
        commitAll(id);
        eq(replay(id, h, vm.getRecordedLogs()), ledger.accumulator(id), "history");
    }

    function test_postBatch_againInTheNextRound() public {
        bytes32 id = started(costly(), 3);
        batch(id, 3);
        miss(id);
        bytes32 result = fullRound(id, header(id));
        status(id, result, Status.Accepted, "accepted");
        eq(view_(id).batched, 0, "none yet");
        batch(id, 1);
        FederationView memory v = view_(id);
        eq(v.batched, 1, "batched");
        eq(v.round, 1, "round");
    }
}
