// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PolicyHeader, ResultHeader} from "../src/Headers.sol";
import {Application, IFederations} from "../src/interfaces/IFederations.sol";
import {Base} from "./Base.sol";
import {Vm} from "./Vm.sol";

/// @notice What each step of a round logs, word for word: an audit knows of the round what these say.
contract EventsTest is Base {
    Vm.Log[] private _logs;
    uint256 private _seen;

    /// @dev Take what was logged of a federation, in order, less the accumulator.
    function _follow(bytes32 id) private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].emitter == address(ledger) && logs[i].topics[1] == id) _logs.push(logs[i]);
        }
    }

    function _next(bytes4 what, bytes32 topic, bytes memory fields) private {
        string memory name = string(abi.encodePacked(what));
        holds(_seen < _logs.length, name);
        Vm.Log memory log = _logs[_seen++];
        eq(log.topics[0], topic, name);
        bytes memory data = log.data;
        assembly {
            mstore(data, sub(mload(data), 32))
        }
        eq(keccak256(data), keccak256(fields), name);
    }

    function test_round_logsWhatHappens() public {
        PolicyHeader memory p = policy();
        (p.rounds, p.attempts) = (2, 2);
        bytes32 id = started(p, 3);
        vm.recordLogs();
        uint40 now_ = uint40(vm.getBlockTimestamp());
        commitAll(id);
        bytes32 first = fullRound(id, header(id));
        _follow(id);
        for (uint32 i; i < 3; ++i) {
            _next("comm", IFederations.UpdateCommitted.selector, abi.encode(0, i, i, update(0, i)));
        }
        _next("clos", IFederations.CommitClosed.selector, abi.encode(0, 3, now_ + 30, now_ + 90));
        _next(
            "prop",
            IFederations.ResultProposed.selector,
            abi.encode(0, 0, signer(0), signer(0), first, INDEX, now_ + 60, now_ + 120)
        );
        _next("vote", IFederations.Voted.selector, abi.encode(0, 0, first, 1));
        _next("vote", IFederations.Voted.selector, abi.encode(0, 0, first, 2));
        _next("acce", IFederations.ResultAccepted.selector, abi.encode(0, first, 1));
        _next("open", IFederations.RoundOpened.selector, abi.encode(1, first, 3, now_ + 60));

        commitAll(id);
        bytes32 second = propose(id, header(id));
        voteAll(id, false);
        _follow(id);
        for (uint32 i; i < 3; ++i) {
            _next("comm", IFederations.UpdateCommitted.selector, abi.encode(1, i, i, update(1, i)));
        }
        _next("clos", IFederations.CommitClosed.selector, abi.encode(1, 3, now_ + 30, now_ + 90));
        _next(
            "prop",
            IFederations.ResultProposed.selector,
            abi.encode(1, 0, signer(1), signer(1), second, INDEX, now_ + 60, now_ + 120)
        );
        _next("vote", IFederations.Voted.selector, abi.encode(1, 0, second, uint256(1) << 128));
        _next("vote", IFederations.Voted.selector, abi.encode(1, 0, second, uint256(2) << 128));
        _next("reje", IFederations.ResultRejected.selector, abi.encode(1, 0, second, now_ + 60));

        miss(id);
        _follow(id);
        now_ = uint40(vm.getBlockTimestamp());
        _next("miss", IFederations.TurnMissed.selector, abi.encode(1, 1, 0));
        _next("void", IFederations.RoundVoided.selector, abi.encode(1));
        _next("open", IFederations.RoundOpened.selector, abi.encode(2, first, 3, now_ + 60));

        commitAll(id);
        bytes32 third = fullRound(id, header(id));
        settleAll(id);
        _follow(id);
        _seen = _logs.length - 4;
        _next("ende", IFederations.FederationEnded.selector, abi.encode(false));
        _next("sett", IFederations.ResultSettled.selector, abi.encode(first, 1));
        _next("sett", IFederations.ResultSettled.selector, abi.encode(third, 2));
        _next("peri", IFederations.PeriodEnded.selector, abi.encode(third, 0, 0));
        eq(_seen, _logs.length, "nothing else");
    }

    function test_members_logWhatHappens() public {
        bytes32 id = create(policy());
        vm.recordLogs();
        join(id, 0);
        vm.startPrank(controller(0));
        ledger.registerKey(id, 0, keccak256("key"));
        ledger.rotateSigner(id, 0, address(0xABC));
        ledger.commitDataset(id, 0, dataset(7), 0, 0, "");
        ledger.amendDataset(id, 0, dataset(8), 0, keccak256("erased"));
        ledger.leave(id, 0);
        vm.stopPrank();
        _follow(id);
        Application memory a = application(0);
        _next(
            "join",
            IFederations.ParticipantJoined.selector,
            abi.encode(0, a.signer, a.controller, a.payout, a.identity, a.key, a.datasetRoot, a.rows)
        );
        _next("key ", IFederations.KeyRegistered.selector, abi.encode(0, keccak256("key")));
        _next("rota", IFederations.SignerRotated.selector, abi.encode(0, address(0xABC)));
        _next("data", IFederations.DatasetCommitted.selector, abi.encode(0, 1, dataset(7), 0));
        _next("amen", IFederations.DatasetAmended.selector, abi.encode(0, 2, dataset(8), 0, keccak256("erased")));
        _next("left", IFederations.ParticipantLeft.selector, abi.encode(0));
    }

    function test_money_logsWhatHappens() public {
        PolicyHeader memory p = costly();
        (p.rounds, p.target) = (1, 9_947);
        bytes32 id = started(p, 3);
        batch(id, 1);
        vm.recordLogs();
        uint128[] memory amounts = amounts3(2 ether, 3 ether, 0);
        bytes32 result = payingRound(id, 5_000, amounts);
        settleAll(id);
        vm.getRecordedLogs();
        claim(id, 1, amounts);
        collect(id, 0, result);
        withdraw(id, payout(0));
        withdraw(id, signer(0));
        ledger.refund(id);
        pass(60);
        ledger.withdrawStake(id, 2);
        _follow(id);
        _next("clai", IFederations.PayoutClaimed.selector, abi.encode(1, payout(1), 3 ether));
        _next("fees", IFederations.FeesCollected.selector, abi.encode(0, 0.001 ether));
        _next("with", IFederations.Withdrawn.selector, abi.encode(payout(0), 0, 0.001 ether));
        _next("with", IFederations.Withdrawn.selector, abi.encode(signer(0), BOND, 0.03 ether));
        _next("refu", IFederations.Refunded.selector, abi.encode(creator, 10 ether - 5 ether - 0.039 ether));
        _next("stak", IFederations.StakeWithdrawn.selector, abi.encode(2, STAKE));
    }
}
