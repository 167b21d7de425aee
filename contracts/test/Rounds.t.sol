// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PolicyHeader, ResultHeader} from "../src/Headers.sol";
import {FederationView, IFederations, Phase, Result, Status} from "../src/interfaces/IFederations.sol";
import {Base} from "./Base.sol";
import {Vm} from "./Vm.sol";

/// @notice Commits, proposals, and how a round moves on.
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
        phase(id, Phase.Commit, "open");
        commit(id, 2);
        phase(id, Phase.Propose, "closed");
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
        eq(v.round, n < 3 ? 1 : 0, "round");
        phase(id, n < 3 ? Phase.Commit : Phase.Propose, "phase");
        if (n >= 3) eq(v.deadline, START + 60 + 30 + 60, "deadline");
    }

    function test_commitUpdate_fewSeatsWaitForTheDeadline() public {
        PolicyHeader memory p = policy();
        p.leastUpdates = 3;
        bytes32 id = started(p, 2);
        commit(id, 0);
        commit(id, 1);
        phase(id, Phase.Commit, "commit");
        miss(id);
        eq(view_(id).round, 1, "void");
    }

    // ---------------------------------------------------------------- slices

    /// @dev After the commits, so that nobody trains on it; before the updates have to be readable.
    /// @dev With slices, nothing is proposed before the round's slice could be opened.
    function testFuzz_proposeResult_afterTheReveal(uint256 at, uint8 evaluation) public {
        PolicyHeader memory p = policy();
        p.evaluation = uint8(bound(evaluation, 1, 2));
        bytes32 id = proposing(p);
        uint256 closed = vm.getBlockTimestamp();
        at = bound(at, 0, 89);
        vm.warp(closed + at);
        ResultHeader memory h = header(id);
        if (p.evaluation == 2 && at < 30) {
            vm.deal(signer(0), BOND);
            vm.prank(signer(0));
            refuses(abi.encodeWithSelector(IFederations.TooEarly.selector, closed + 30));
            ledger.proposeResult{value: BOND}(id, h, INDEX, "");
        } else {
            status(id, propose(id, h), Status.Standing, "standing");
        }
    }

    function testFuzz_openSlice_betweenCommitsAndReveal(uint256 at, address who) public {
        bytes32 id = started();
        vm.prank(who);
        refuses(abi.encodeWithSelector(IFederations.WrongPhase.selector, Phase.Propose, Phase.Commit));
        ledger.openSlice(id, 0, keccak256("slice"));
        commitAll(id);
        at = bound(at, 0, 89);
        vm.warp(START + at);
        bytes32 h = ledger.accumulator(id);
        vm.recordLogs();
        vm.prank(who);
        if (at >= 30) {
            refuses(abi.encodeWithSelector(IFederations.DeadlinePassed.selector, START + 30));
            ledger.openSlice(id, 0, keccak256("slice"));
            return;
        }
        ledger.openSlice(id, 0, keccak256("slice"));
        eq(replay(id, h, vm.getRecordedLogs()), ledger.accumulator(id), "history");
        vm.prank(who);
        refuses(abi.encodeWithSelector(IFederations.WrongRound.selector, 0, 1));
        ledger.openSlice(id, 1, keccak256("slice"));
    }

    function test_openSlice_RevertWhen_theRoundIsTriedAgain() public {
        bytes32 id = proposing(policy());
        propose(id, header(id));
        voteAll(id, false);
        refuses(abi.encodeWithSelector(IFederations.DeadlinePassed.selector, 0));
        ledger.openSlice(id, 0, keccak256("slice"));
    }

    // ---------------------------------------------------------------- advance

    function test_advance_RevertWhen_nothingIsDue() public {
        bytes32 id = create(policy());
        refuses(IFederations.NothingToDo.selector);
        ledger.advance(id);
        join(id, 0);
        join(id, 1);
        join(id, 2);
        vm.warp(START + 59);
        refuses(IFederations.NothingToDo.selector);
        ledger.advance(id);
        refuses(abi.encodeWithSelector(IFederations.UnknownFederation.selector, bytes32(0)));
        ledger.advance(0);
    }

    // ---------------------------------------------------------------- turns

    function test_proposeResult_inTurn() public {
        bytes32 id = proposing(policy());
        ResultHeader memory h = header(id);
        h.stop = true;
        vm.deal(signer(1), BOND);
        vm.prank(signer(1));
        refuses(abi.encodeWithSelector(IFederations.NotInTurn.selector, 0));
        ledger.proposeResult{value: BOND}(id, h, 0, "");
        bytes32 result = propose(id, h);
        FederationView memory v = view_(id);
        eq(v.standing, result, "standing");
        phase(id, Phase.Attest, "attest");
        eq(v.seats, 3, "seats");
        Result memory r = ledger.resultOf(id, result);
        eq(r.proposer, signer(0), "proposer");
        status(id, result, Status.Standing, "status");
        eq(r.challengeDeadline, vm.getBlockTimestamp() + 120, "challenge");
        eq(r.height, 1, "height");
        eq(r.known, 3, "known");
        holds(r.stop && r.ballots == 0 && r.challenges == 0 && r.round == 0 && r.attempt == 0, "the rest");
    }

    function test_proposeResult_byAnybodyAfterAMissedTurn() public {
        bytes32 id = proposing(policy());
        miss(id);
        FederationView memory v = view_(id);
        eq(v.attempt, 1, "attempt");
        holds(v.turnMissed, "missed");
        eq(v.deadline, vm.getBlockTimestamp() + 60, "deadline");
        proposeAs(ANYBODY, id, header(id));
        vote(id, 0, false);
        vote(id, 1, false);
        eq(view_(id).attempt, 2, "rejected");
        proposeAs(ANYBODY, id, header(id)); // the same header may be proposed again
    }

    /// @dev A turn passes over who has left, up to 16 of them; then it is anybody's.
    function testFuzz_proposeResult_passesOverWhoLeft(uint256 many) public {
        many = bound(many, 1, 17);
        PolicyHeader memory p = policy();
        (p.maxParticipants, p.valuation) = (20, 0);
        p.committeeSize = 20;
        bytes32 id = started(p, 20);
        for (uint256 i; i < many; ++i) {
            leave(id, 1 + i);
        }
        miss(id);
        commitAll(id);
        ResultHeader memory h = header(id);
        if (many < 16) {
            vm.deal(ANYBODY, BOND);
            vm.prank(ANYBODY);
            refuses(abi.encodeWithSelector(IFederations.NotInTurn.selector, 1 + many));
            ledger.proposeResult{value: BOND}(id, h, INDEX, "");
        }
        proposeAs(many < 16 ? signer(1 + many) : ANYBODY, id, h);
    }

    /// @dev Whoever is left of a few has every turn.
    function test_proposeResult_byTheLastOne() public {
        PolicyHeader memory p = policy();
        p.leastUpdates = 1;
        bytes32 id = started(p, 3);
        leave(id, 1);
        leave(id, 2);
        miss(id);
        commit(id, 0);
        proposeAs(signer(0), id, header(id));
        vote(id, 0, true);
        leave(id, 0);
        commit(id, 0);
        propose(id, header(id));
    }

    function test_proposeResult_nextInTurnAfterARejection() public {
        bytes32 id = proposing(policy());
        propose(id, header(id));
        vote(id, 1, false);
        vote(id, 2, false);
        eq(turn(id), 1, "turn");
        ResultHeader memory h = header(id);
        vm.deal(signer(0), BOND);
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.NotInTurn.selector, 1));
        ledger.proposeResult{value: BOND}(id, h, 0, "");
        propose(id, h);
    }

    /// @dev Who joins during a round takes no turn in it.
    function test_proposeResult_turnsAmongThoseKnownAtTheOpening() public {
        PolicyHeader memory p = policy();
        p.rounds = 5;
        bytes32 id = started(p, 3);
        uint8[5] memory turns = [0, 1, 2, 3, 0]; // 4 are known from round 1 on
        for (uint256 i; i < 5; ++i) {
            eq(turn(id), turns[i], "turn");
            if (i == 0) join(id, 3);
            fullRound(id);
        }
    }

    function test_advance_missedTurnsVoidTheRound() public {
        bytes32 id = proposing(policy());
        vm.recordLogs();
        miss(id);
        miss(id);
        miss(id);
        FederationView memory v = view_(id);
        eq(v.round, 1, "round");
        phase(id, Phase.Commit, "fresh");
        holds(!v.turnMissed && v.attempt == 0, "fresh");
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
        vm.deal(signer(0), BOND);
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.HeaderRefused.selector, key));
        ledger.proposeResult{value: BOND}(id, h, 0, "");
    }

    function test_proposeResult_RevertWhen_headerIsForeign() public {
        bytes32 id = proposing(policy());
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
        ledger.proposeResult{value: BOND}(id, h, 0, "");
    }

    /// @dev No more entries than slots; weights that fit; nothing weighs where too few count.
    function testFuzz_proposeResult_enforcesTheCounts(uint32 number, uint64 weight, bool small) public {
        bytes32 id = proposing(policy());
        ResultHeader memory h = header(id);
        h.number = uint32(bound(number, 0, 5));
        h.weight = small ? uint64(bound(weight, 0, 2)) : weight;
        if (h.number > 3) _refused(id, h, "number");
        else if (h.weight >= 1 << 31 || h.number < 2 && h.weight != 0) _refused(id, h, "weight");
        else propose(id, h);
    }

    function test_proposeResult_RevertWhen_aWordIsNotCanonical() public {
        bytes32 id = proposing(policy());
        ResultHeader memory h = header(id);
        bytes memory data = abi.encodeCall(IFederations.proposeResult, (id, h, bytes32(0), ""));
        uint8[7] memory narrow = [2, 4, 7, 8, 12, 16, 17];
        vm.deal(signer(0), BOND);
        for (uint256 i; i < narrow.length; ++i) {
            uint256 at = 0x44 + uint256(narrow[i]) * 32;
            uint256 before;
            assembly {
                before := mload(add(data, at))
                mstore(add(data, at), or(before, shl(255, 1)))
            }
            vm.prank(signer(0));
            (bool done,) = address(ledger).call{value: BOND}(data);
            holds(!done, vm.toString(narrow[i]));
            assembly {
                mstore(add(data, at), before)
            }
        }
        vm.prank(signer(0));
        (bool proposed,) = address(ledger).call{value: BOND}(data);
        holds(proposed, "the canonical call");
    }

    /// @dev payoutTotal = base + min(purse - base, purse * gain / target), and nothing without gain or scores. The purse is what
    /// the fees leave of the pool.
    function testFuzz_proposeResult_enforcesTheTotal(
        int64 gain,
        uint256 scores,
        uint128 pool,
        uint64 target,
        uint128 total
    ) public {
        PolicyHeader memory p = costly();
        uint256 reserve = 3 * (uint256(p.proposerFee) + 16 * p.attesterFee + p.relayFee);
        p.pool = uint128(bound(pool, reserve, 1e28));
        p.target = uint64(bound(target, 1, type(uint64).max));
        bytes32 id = proposing(p);
        uint256 purse = p.pool - reserve;
        uint256 earned = gain <= 0 || scores == 0 ? 0 : purse * uint64(gain) / p.target;
        if (earned > purse) earned = purse;
        ResultHeader memory h = header(id);
        (h.gain, h.scores, h.payoutTotal) = (gain, scores, total);
        if (total != earned) _refused(id, h, "payoutTotal");
        h.payoutTotal = uint128(earned);
        propose(id, h);
    }

    function test_proposeResult_statisticsRoundReleasesNothing() public {
        PolicyHeader memory p = policy();
        p.statistics = 10;
        bytes32 id = proposing(p);
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
        phase(id, Phase.Ended, "ended");
        eq(view_(id).headHeight, 4, "height");
    }

    function test_proposeResult_RevertWhen_notAllowed() public {
        bytes32 id = started();
        ResultHeader memory h = header(id);
        vm.deal(signer(0), 1 ether);
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.WrongPhase.selector, Phase.Propose, Phase.Commit));
        ledger.proposeResult{value: BOND}(id, h, 0, "");
        commitAll(id);
        h = header(id);
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.WrongValue.selector, BOND, 1 ether));
        ledger.proposeResult{value: 1 ether}(id, h, 0, "");
        vm.warp(view_(id).deadline);
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.DeadlinePassed.selector, vm.getBlockTimestamp()));
        ledger.proposeResult{value: BOND}(id, h, 0, "");
    }

    // ---------------------------------------------------------------- signed proposals

    function _proposeSigned(bytes32 id, ResultHeader memory h, bytes32 index, bytes memory signature) private {
        vm.deal(ANYBODY, BOND);
        vm.prank(ANYBODY);
        ledger.proposeResult{value: BOND}(id, h, index, signature);
    }

    /// @dev The sender pays the bond, gets it back, and earns the fee; the signer has the turn.
    function test_proposeResult_signed() public {
        bytes32 id = proposing(costly());
        ResultHeader memory h = header(id);
        bytes32 result = digest(h);
        bytes memory signature = sign(signerKey(0), proposalContent(id, 0, 0, result, INDEX));
        vm.recordLogs();
        _proposeSigned(id, h, INDEX, signature);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        (,, address proposer, address by,,,,,) =
            abi.decode(logs[1].data, (uint32, uint8, address, address, bytes32, bytes32, uint40, uint40, bytes32));
        eq(proposer, ANYBODY, "proposer");
        eq(by, signer(0), "signer");
        voteAll(id, true);
        settleAll(id);
        eq(ethers(id, ANYBODY), BOND, "bond");
        eq(fees(id, ANYBODY), 0.03 ether, "fee");
        eq(ethers(id, signer(0)) + fees(id, signer(0)), 0, "the signer's");
    }

    /// @dev A signature is for one federation, round, attempt, result and index, by the one whose turn it is.
    function testFuzz_proposeResult_RevertWhen_anotherWasSigned(uint256 which, bytes32 word) public {
        bytes32 id = proposing(policy());
        ResultHeader memory h = header(id);
        bytes32 result = digest(h);
        word = keccak256(abi.encode(word));
        which = bound(which, 0, 7);
        uint256 key = which == 5 ? signerKey(1) : which == 6 ? controllerKey(0) : signerKey(0);
        bytes32 content = proposalContent(
            which == 0 ? word : id,
            which == 1 ? 1 : 0,
            which == 2 ? 1 : 0,
            which == 3 ? word : result,
            which == 4 ? word : INDEX
        );
        bytes memory signature = sign(key, content);
        if (which == 7) vm.chainId(block.chainid + 1); // signed for another chain: its headers are foreign too
        if (which == 7) h.common.chainId = block.chainid;
        vm.deal(ANYBODY, BOND);
        vm.prank(ANYBODY);
        refuses(abi.encodeWithSelector(IFederations.NotInTurn.selector, 0));
        ledger.proposeResult{value: BOND}(id, h, INDEX, signature);
    }

    /// @dev What was signed for one attempt is worth nothing in the next.
    function test_proposeResult_RevertWhen_theSignatureIsUsedAgain() public {
        bytes32 id = proposing(policy());
        ResultHeader memory h = header(id);
        bytes32 result = digest(h);
        bytes memory signature = sign(signerKey(0), proposalContent(id, 0, 0, result, INDEX));
        _proposeSigned(id, h, INDEX, signature);
        voteAll(id, false);
        vm.deal(ANYBODY, BOND);
        vm.prank(ANYBODY);
        refuses(abi.encodeWithSelector(IFederations.NotInTurn.selector, 1));
        ledger.proposeResult{value: BOND}(id, h, INDEX, signature);
        _proposeSigned(id, h, INDEX, sign(signerKey(1), proposalContent(id, 0, 1, result, INDEX)));
    }

    function test_proposeResult_RevertWhen_theSignatureIsNone() public {
        bytes32 id = proposing(policy());
        ResultHeader memory h = header(id);
        vm.deal(ANYBODY, BOND);
        vm.prank(ANYBODY);
        vm.expectRevert();
        ledger.proposeResult{value: BOND}(id, h, INDEX, hex"00");
    }

    // ---------------------------------------------------------------- history

    function test_history_replays() public {
        PolicyHeader memory p = policy();
        p.rounds = 2;
        vm.recordLogs();
        bytes32 id = started(p, 3);
        bytes32 h = replay(id, 0, vm.getRecordedLogs());
        eq(h, ledger.accumulator(id), "after the start");
        vm.startPrank(controller(0));
        ledger.rotateSigner(id, 0, address(0xABC));
        ledger.rotateSigner(id, 0, address(0x10000 + 77));
        ledger.commitDataset(id, 0, dataset(9), 1, 0, "");
        ledger.amendDataset(id, 0, dataset(9), 0, bytes32(uint256(1)));
        vm.stopPrank();
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
