// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PolicyHeader, ResultHeader} from "../src/Headers.sol";
import {FederationView, IFederations, Phase, Result, Status} from "../src/interfaces/IFederations.sol";
import {Base} from "./Base.sol";
import {Vm} from "./Vm.sol";

contract RoundsTest is Base {
    // ---------------------------------------------------------------- commit

    function test_commitUpdate_keepsTheSlot() public {
        bytes32 id = started();
        vm.prank(signer(2));
        ledger.commitUpdate(id, 0, keccak256("update"));
        eq(ledger.commitOf(id, 0, 2), keccak256(abi.encode(keccak256("update"), uint32(0))), "slot 0");
        vm.prank(signer(0));
        ledger.commitUpdate(id, 0, keccak256("update"));
        eq(ledger.commitOf(id, 0, 0), keccak256(abi.encode(keccak256("update"), uint32(1))), "slot 1");
        eq(view_(id).commits, 2, "commits");
    }

    function test_commitUpdate_lastSeatClosesThePhase() public {
        bytes32 id = started();
        pass(7);
        commit(id, 0);
        commit(id, 1);
        holds(view_(id).phase == Phase.Commit, "open");
        commit(id, 2);
        holds(view_(id).phase == Phase.Propose, "closed");
        eq(view_(id).deadline, START + 7 + 30 + 60, "deadline");
    }

    function test_commitUpdate_RevertWhen_notAllowed() public {
        bytes32 id = started();
        commit(id, 0);
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.AlreadyCommitted.selector, 0, 0));
        ledger.commitUpdate(id, 0, bytes32(uint256(2)));
        refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, address(this), 0));
        ledger.commitUpdate(id, 0, 0);
        vm.prank(signer(1));
        refuses(abi.encodeWithSelector(IFederations.WrongRound.selector, 0, 1));
        ledger.commitUpdate(id, 1, 0);
        refuses(abi.encodeWithSelector(IFederations.UnknownFederation.selector, bytes32(0)));
        ledger.commitUpdate(0, 0, 0);
        vm.warp(START + 60);
        vm.prank(signer(1));
        refuses(abi.encodeWithSelector(IFederations.DeadlinePassed.selector, START + 60));
        ledger.commitUpdate(id, 0, 0);
        vm.warp(START + 59);
        commit(id, 1);
        commit(id, 2);
        vm.prank(signer(1));
        refuses(abi.encodeWithSelector(IFederations.WrongPhase.selector, Phase.Commit, Phase.Propose));
        ledger.commitUpdate(id, 0, 0);
    }

    function test_commitUpdate_againInTheNextRound() public {
        bytes32 id = started();
        miss(id);
        eq(view_(id).round, 1, "round");
        commit(id, 0);
    }

    function testFuzz_advance_atTheCommitDeadline(uint256 n) public {
        PolicyHeader memory p = policy();
        p.leastUpdates = 3;
        bytes32 id = started(p, 5);
        n = bound(n, 0, 4);
        for (uint256 i; i < n; ++i) {
            commit(id, i);
        }
        miss(id);
        FederationView memory v = view_(id);
        if (n < 3) {
            eq(v.round, 1, "void");
            holds(v.phase == Phase.Commit, "next");
        } else {
            eq(v.round, 0, "round");
            holds(v.phase == Phase.Propose, "propose");
            eq(v.deadline, START + 60 + 30 + 60, "deadline");
        }
    }

    function test_commitUpdate_fewSeatsWaitForTheDeadline() public {
        PolicyHeader memory p = policy();
        p.leastUpdates = 3;
        bytes32 id = started(p, 2);
        commit(id, 0);
        commit(id, 1);
        holds(view_(id).phase == Phase.Commit, "commit");
        miss(id);
        eq(view_(id).round, 1, "void");
    }

    // ---------------------------------------------------------------- advance

    function test_advance_RevertWhen_nothingIsDue() public {
        bytes32 id = create(policy());
        refuses(abi.encodeWithSelector(IFederations.NothingToDo.selector));
        ledger.advance(id);
        join(id, 0);
        join(id, 1);
        join(id, 2);
        vm.warp(START + 59);
        refuses(abi.encodeWithSelector(IFederations.NothingToDo.selector));
        ledger.advance(id);
        refuses(abi.encodeWithSelector(IFederations.UnknownFederation.selector, bytes32(0)));
        ledger.advance(0);
    }

    // ---------------------------------------------------------------- turns

    function _proposing(PolicyHeader memory p) private returns (bytes32 id) {
        id = started(p, 3);
        commitAll(id);
    }

    function test_proposeResult_inTurn() public {
        bytes32 id = _proposing(policy());
        ResultHeader memory h = header(id);
        vm.deal(signer(1), 0.5 ether);
        vm.prank(signer(1));
        refuses(abi.encodeWithSelector(IFederations.NotInTurn.selector, 0));
        ledger.proposeResult{value: 0.5 ether}(id, h, 0);
        bytes32 result = propose(id, h);
        FederationView memory v = view_(id);
        eq(v.standing, result, "standing");
        holds(v.phase == Phase.Attest, "attest");
        Result memory r = ledger.resultOf(id, result);
        eq(r.proposer, signer(0), "proposer");
        holds(r.status == Status.Standing, "status");
        eq(r.challengeDeadline, vm.getBlockTimestamp() + 120, "challenge");
        eq(r.lastParticipant, 2, "last");
        eq(r.modelRoot, h.modelRoot, "model");
    }

    function test_proposeResult_byAnybodyAfterAMissedTurn() public {
        bytes32 id = _proposing(policy());
        miss(id);
        FederationView memory v = view_(id);
        eq(v.attempt, 1, "attempt");
        holds(v.turnMissed, "missed");
        eq(v.deadline, vm.getBlockTimestamp() + 60, "deadline");
        proposeAs(address(0xBEEF), id, header(id));
        vote(id, 0, false);
        vote(id, 1, false);
        eq(view_(id).attempt, 2, "rejected");
        proposeAs(address(0xBEEF), id, header(id)); // the same header may be proposed again
    }

    function test_proposeResult_byAnybodyIfTheTurnIsNobodys() public {
        bytes32 id = started();
        leave(id, 1);
        fullRound(id);
        commitAll(id);
        eq(turn(id), 1, "turn of the one who left");
        proposeAs(address(0xBEEF), id, header(id));
    }

    function test_proposeResult_nextInTurnAfterARejection() public {
        bytes32 id = _proposing(policy());
        propose(id, header(id));
        vote(id, 1, false);
        vote(id, 2, false);
        eq(turn(id), 1, "turn");
        ResultHeader memory h = header(id);
        vm.deal(signer(0), 0.5 ether);
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.NotInTurn.selector, 1));
        ledger.proposeResult{value: 0.5 ether}(id, h, 0);
        propose(id, h);
    }

    /// @dev Who joins during a round takes no turn in it.
    function test_proposeResult_turnsAmongThoseKnownAtTheOpening() public {
        bytes32 id = started();
        for (uint256 i; i < 3; ++i) {
            fullRound(id);
            if (view_(id).phase == Phase.Ended) return;
            if (i == 0) join(id, 3);
        }
    }

    function test_advance_missedTurnsVoidTheRound() public {
        bytes32 id = _proposing(policy());
        vm.recordLogs();
        miss(id);
        miss(id);
        miss(id);
        FederationView memory v = view_(id);
        eq(v.round, 1, "round");
        holds(v.phase == Phase.Commit && !v.turnMissed && v.attempt == 0, "fresh");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        eq(logs.length, 5, "events");
        eq(logs[2].topics[0], IFederations.TurnMissed.selector, "missed");
        (, uint8 attempt, uint40 deadline,) = abi.decode(logs[2].data, (uint32, uint8, uint40, bytes32));
        eq(attempt, 2, "the missed attempt");
        eq(deadline, 0, "no other");
        eq(logs[3].topics[0], IFederations.RoundVoided.selector, "void");
        eq(logs[4].topics[0], IFederations.RoundOpened.selector, "open");
    }

    // ---------------------------------------------------------------- headers

    function _refused(bytes32 id, ResultHeader memory h, bytes32 key) private {
        vm.deal(signer(0), 0.5 ether);
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.HeaderRefused.selector, key));
        ledger.proposeResult{value: 0.5 ether}(id, h, 0);
    }

    function test_proposeResult_RevertWhen_headerIsForeign() public {
        bytes32 id = _proposing(policy());
        ResultHeader memory h = header(id);
        h.common.tag = keccak256("fednode.update.1");
        _refused(id, h, "common");
        h = header(id);
        h.common.chainId += 1;
        _refused(id, h, "common");
        h = header(id);
        h.common.ledger = address(this);
        _refused(id, h, "common");
        h = header(id);
        h.common.federation = 0;
        _refused(id, h, "common");
        h = header(id);
        h.common.parent = bytes32(uint256(1));
        _refused(id, h, "parent");
        h = header(id);
        h.common.round = 1;
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.WrongRound.selector, 0, 1));
        ledger.proposeResult{value: 0.5 ether}(id, h, 0);
    }

    function test_proposeResult_RevertWhen_countsCannotBe() public {
        bytes32 id = _proposing(policy());
        ResultHeader memory h = header(id);
        h.number = 4;
        _refused(id, h, "number");
        h = header(id);
        h.weight = 1 << 31;
        _refused(id, h, "weight");
        h = header(id);
        h.number = 1;
        _refused(id, h, "number"); // below the least number nothing counts
        h.number = 0;
        _refused(id, h, "weight");
        h.weight = 0;
        propose(id, h);
    }

    function test_proposeResult_RevertWhen_aWordIsNotCanonical() public {
        bytes32 id = _proposing(policy());
        ResultHeader memory h = header(id);
        bytes memory data = abi.encodeCall(IFederations.proposeResult, (id, h, bytes32(0)));
        uint8[7] memory narrow = [2, 4, 7, 8, 12, 16, 17];
        vm.deal(signer(0), 0.5 ether);
        for (uint256 i; i < narrow.length; ++i) {
            uint256 at = 0x44 + uint256(narrow[i]) * 32;
            uint256 before;
            assembly {
                before := mload(add(data, at))
                mstore(add(data, at), or(before, shl(255, 1)))
            }
            vm.prank(signer(0));
            (bool done,) = address(ledger).call{value: 0.5 ether}(data);
            holds(!done, vm.toString(narrow[i]));
            assembly {
                mstore(add(data, at), before)
            }
        }
        vm.prank(signer(0));
        (bool proposed,) = address(ledger).call{value: 0.5 ether}(data);
        holds(proposed, "the canonical call");
    }

    /// @dev payoutTotal = base + min(pool - base, pool * gain / target), and nothing without gain or scores.
    function testFuzz_proposeResult_enforcesTheTotal(
        int64 gain,
        uint256 scores,
        uint128 pool,
        uint64 target,
        uint128 total
    ) public {
        PolicyHeader memory p = policy();
        p.pool = uint128(bound(pool, 0, 1e28));
        p.target = uint64(bound(target, 1, type(uint64).max));
        bytes32 id = _proposing(p);
        uint256 earned = gain <= 0 || scores == 0 ? 0 : uint256(p.pool) * uint64(gain) / p.target;
        if (earned > p.pool) earned = p.pool;
        ResultHeader memory h = header(id);
        (h.gain, h.scores, h.payoutTotal) = (gain, scores, total);
        if (total != earned) _refused(id, h, "payoutTotal");
        h.payoutTotal = uint128(earned);
        propose(id, h);
    }

    function test_proposeResult_statisticsRoundReleasesNothing() public {
        PolicyHeader memory p = policy();
        p.statistics = 10;
        bytes32 id = _proposing(p);
        ResultHeader memory h = header(id);
        h.stop = true;
        _refused(id, h, "stop");
        h.stop = false;
        (h.gain, h.scores, h.payoutTotal) = (1_000, 1, 10 ether);
        _refused(id, h, "payoutTotal");
        h.payoutTotal = 0;
        fullRound(id, h);
        for (uint256 i; i < 3; ++i) {
            holds(view_(id).phase != Phase.Ended, "the statistics round is no training round");
            fullRound(id);
        }
        holds(view_(id).phase == Phase.Ended, "ended");
        eq(view_(id).headHeight, 4, "height");
    }

    function test_proposeResult_RevertWhen_notAllowed() public {
        bytes32 id = started();
        ResultHeader memory h = header(id);
        vm.deal(signer(0), 1 ether);
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.WrongPhase.selector, Phase.Propose, Phase.Commit));
        ledger.proposeResult{value: 0.5 ether}(id, h, 0);
        commitAll(id);
        h = header(id);
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.WrongValue.selector, 0.5 ether, 1 ether));
        ledger.proposeResult{value: 1 ether}(id, h, 0);
        vm.warp(view_(id).deadline);
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.DeadlinePassed.selector, vm.getBlockTimestamp()));
        ledger.proposeResult{value: 0.5 ether}(id, h, 0);
    }

    // ---------------------------------------------------------------- votes

    function test_vote_RevertWhen_notAllowed() public {
        bytes32 id = _proposing(policy());
        bytes32 result = propose(id, header(id));
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.WrongAttempt.selector, 0, 1));
        ledger.vote(id, 0, 1, result, true);
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.WrongRound.selector, 0, 1));
        ledger.vote(id, 1, 0, result, true);
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.WrongResult.selector, result, bytes32(0)));
        ledger.vote(id, 0, 0, 0, true);
        refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, address(this), 0));
        ledger.vote(id, 0, 0, result, true);
        vote(id, 0, false);
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.AlreadyVoted.selector, 0, 0, 0));
        ledger.vote(id, 0, 0, result, true);
        vm.warp(view_(id).deadline);
        vm.prank(signer(1));
        refuses(abi.encodeWithSelector(IFederations.DeadlinePassed.selector, vm.getBlockTimestamp()));
        ledger.vote(id, 0, 0, result, true);
    }

    function test_vote_againInTheNextAttempt() public {
        bytes32 id = _proposing(policy());
        propose(id, header(id));
        vote(id, 0, false);
        vote(id, 1, false);
        propose(id, header(id));
        vote(id, 0, true);
        vote(id, 1, true);
        eq(view_(id).headHeight, 1, "accepted");
    }

    /// @dev Any votes, in any order, against the rules as they are written down.
    function testFuzz_vote_decides(uint256 seats, uint16 quorum, uint256 ballots) public {
        PolicyHeader memory p = policy();
        p.quorumBps = uint16(bound(quorum, 5_001, 10_000));
        seats = bound(seats, 2, 5);
        bytes32 id = started(p, seats);
        commitAll(id);
        bytes32 result = propose(id, header(id));
        (uint256 yes, uint256 no, bool decided) = (0, 0, false);
        for (uint256 i; i < seats && !decided; ++i) {
            uint256 ballot = (ballots >> 2 * i) & 3; // two of four abstain
            if (ballot > 1) continue;
            vote(id, i, ballot == 1);
            if (ballot == 1) ++yes;
            else ++no;
            uint256 votes = ballot == 1 ? yes : no;
            decided = votes * 10_000 >= uint256(p.quorumBps) * seats;
        }
        if (!decided) {
            holds(view_(id).phase == Phase.Attest, "decided too early");
            miss(id);
        }
        bool accepted = decided ? yes > no : 2 * (yes + no) >= seats && yes > no;
        FederationView memory v = view_(id);
        eq(v.headHeight, accepted ? 1 : 0, "height");
        eq(v.round, accepted ? 1 : 0, "round");
        eq(v.head, accepted ? result : bytes32(0), "head");
        holds(ledger.resultOf(id, result).status == (accepted ? Status.Accepted : Status.Rejected), "status");
        eq(ledger.resultAt(id, 1), accepted ? result : bytes32(0), "lineage");
        if (!accepted) {
            eq(v.attempt, 1, "attempt");
            holds(v.phase == Phase.Propose && !v.turnMissed, "back to propose");
            eq(ledger.creditOf(id, signer(0)), 0.5 ether, "bond");
        }
    }

    function test_vote_rejectionsVoidTheRound() public {
        PolicyHeader memory p = policy();
        p.attempts = 1;
        bytes32 id = _proposing(p);
        propose(id, header(id));
        vm.recordLogs();
        vote(id, 0, false);
        vote(id, 1, false);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        eq(logs[2].topics[0], IFederations.ResultRejected.selector, "rejected");
        (,,, uint40 deadline,) = abi.decode(logs[2].data, (uint32, uint8, bytes32, uint40, bytes32));
        eq(deadline, 0, "no other attempt");
        eq(logs[3].topics[0], IFederations.BondReturned.selector, "bond");
        eq(logs[4].topics[0], IFederations.RoundVoided.selector, "void");
        eq(logs[5].topics[0], IFederations.RoundOpened.selector, "open");
        eq(view_(id).round, 1, "round");
        vm.prank(signer(0));
        ledger.withdrawBond(id);
        eq(signer(0).balance, 0.5 ether, "bond");
    }

    // ---------------------------------------------------------------- history

    function test_history_replays() public {
        PolicyHeader memory p = policy();
        p.rounds = 2;
        vm.recordLogs();
        bytes32 id = started(p, 3);
        bytes32 h = replay(id, 0, vm.getRecordedLogs());
        eq(h, ledger.accumulator(id), "after the start");
        vm.prank(controller(0));
        ledger.rotateSigner(id, 0, address(0xABC));
        vm.prank(controller(0));
        ledger.rotateSigner(id, 0, address(0x10000 + 77));
        vm.prank(controller(0));
        ledger.commitDataset(id, 0, dataset(9), 1, 0, "");
        commit(id, 1);
        commit(id, 2);
        h = replay(id, h, vm.getRecordedLogs());
        miss(id);
        h = replay(id, h, vm.getRecordedLogs());
        miss(id);
        h = replay(id, h, vm.getRecordedLogs());
        proposeAs(signer(2), id, header(id));
        vote(id, 1, true);
        vote(id, 2, true);
        leave(id, 1);
        ledger.checkpoint(id);
        h = replay(id, h, vm.getRecordedLogs());
        eq(h, ledger.accumulator(id), "after a round");
        pass(200_000);
        ledger.close(id);
        ledger.advance(id);
        ledger.refund(id);
        h = replay(id, h, vm.getRecordedLogs());
        eq(h, ledger.accumulator(id), "at the end");
    }

    function test_checkpoint_leavesTheHistory() public {
        bytes32 id = started();
        bytes32 h = ledger.accumulator(id);
        ledger.checkpoint(id);
        eq(ledger.accumulator(id), h, "accumulator");
        refuses(abi.encodeWithSelector(IFederations.UnknownFederation.selector, bytes32(0)));
        ledger.checkpoint(0);
    }
}
