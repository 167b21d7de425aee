// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Base} from "./Base.sol";
import {ResultHeader} from "../src/Headers.sol";
import {SumTree} from "./SumTree.sol";

/// @notice Gas of every entry point as its own transaction, all in, against `snapshots/Gas.json`.
/// forge-config: default.isolate = true
contract GasTest is Base {
    uint256 private constant COMMIT_LIMIT = 65_000;

    function _snap(string memory name) private returns (uint256) {
        return vm.snapshotGasLastCall("Gas", name);
    }

    /// forge-config: default.isolate = true
    function test_gas_everyEntryPoint() public {
        bytes32 id = create(policy());
        _snap("createFederation");
        join(id, 0);
        _snap("join, first");
        join(id, 1);
        _snap("join");
        join(id, 2);
        _snap("join, opening round 0");

        vm.prank(signer(0));
        ledger.commitUpdate(id, 0, keccak256("update 0"));
        holds(_snap("commitUpdate, first of a round") <= COMMIT_LIMIT, "first commit");
        vm.prank(signer(1));
        ledger.commitUpdate(id, 0, keccak256("update 1"));
        holds(_snap("commitUpdate") <= COMMIT_LIMIT, "commit");
        vm.prank(signer(2));
        ledger.commitUpdate(id, 0, keccak256("update 2"));
        holds(_snap("commitUpdate, closing the phase") <= COMMIT_LIMIT, "last commit");

        uint128[] memory amounts = amounts3(2 ether, 3 ether, 5 ether);
        ResultHeader memory h = header(id);
        SumTree.Node memory root = SumTree.root(amounts);
        (h.gain, h.scores, h.payouts, h.payoutTotal, h.stop) = (1_000, 1, root.hash, uint128(root.sum), true);
        bytes32 result = digest(h);
        vm.deal(signer(0), 0.5 ether);
        vm.prank(signer(0));
        ledger.proposeResult{value: 0.5 ether}(id, h, keccak256("index"));
        _snap("proposeResult");
        vm.prank(signer(0));
        ledger.vote(id, 0, 0, result, true);
        _snap("vote");
        vm.prank(signer(1));
        ledger.vote(id, 0, 0, result, true);
        _snap("vote, accepting and ending");
        pass(120);
        ledger.advance(id);
        _snap("advance, settling one result");
        claim(id, 0, amounts);
        _snap("claim, first");
        claim(id, 1, amounts);
        _snap("claim");
        vm.prank(signer(0));
        ledger.withdrawBond(id);
        _snap("withdrawBond");
        vm.prank(controller(0));
        ledger.withdrawStake(id, 0);
        _snap("withdrawStake");
        ledger.checkpoint(id);
        _snap("checkpoint");
    }

    /// forge-config: default.isolate = true
    function test_gas_roundByRound() public {
        bytes32 id = started();
        commitAll(id);
        bytes32 result = propose(id, header(id));
        vote(id, 0, true);
        vm.prank(signer(1));
        ledger.vote(id, 0, 0, result, true);
        _snap("vote, accepting and opening");
        vm.prank(signer(0));
        ledger.commitUpdate(id, 1, keccak256("update 0"));
        holds(_snap("commitUpdate, first of a later round") <= COMMIT_LIMIT, "first commit");
        vm.prank(controller(0));
        ledger.rotateSigner(id, 0, address(0xABC));
        _snap("rotateSigner");
        vm.prank(controller(0));
        ledger.commitDataset(id, 0, dataset(9), 10, 0, "");
        _snap("commitDataset");
        vm.prank(controller(1));
        ledger.leave(id, 1);
        _snap("leave");
        miss(id);
        _snap("advance, voiding and opening");
        vm.prank(address(0xABC));
        ledger.commitUpdate(id, 2, keccak256("update 0"));
        commit(id, 2);
        miss(id);
        _snap("advance, missing a turn");
        pass(100_000);
        ledger.close(id);
        _snap("close, ending the period");
        ledger.refund(id);
        _snap("refund");
    }
}
