// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PolicyHeader, ResultHeader} from "../src/Headers.sol";
import {
    Application,
    FederationView,
    IFederations,
    ParticipantView,
    Phase,
    Status
} from "../src/interfaces/IFederations.sol";
import {Committee} from "../src/libraries/Committee.sol";
import {Ask, Question} from "../src/verifier/Types.sol";
import {Challenged} from "./Challenged.sol";
import {Vm} from "./Vm.sol";

/// @notice What follows when a result is disproved: who pays, and where the federation goes back to.
contract FallbackTest is Challenged {
    // ---------------------------------------------------------------- who pays

    /// @dev The proposer its bond, and every voter for it its stake and seat; half to the challenger, half burned.
    function testFuzz_openProof_slashes(uint256 votes, uint256 stake, bool left) public {
        PolicyHeader memory p = patient();
        (p.stake, p.quorumBps) = (uint128(bound(stake, 0, 3 ether)), 10_000);
        bytes32 id = started(p, 5);
        commitAll(id);
        bytes32 result = propose(id, header(id));
        votes &= 15;
        for (uint256 i; i < 5; ++i) {
            if (i == 4 || votes >> i & 1 == 1) vote(id, i, i != 4);
        }
        if (left) leave(id, 0);
        uint256 before = address(ledger).balance;
        disprove(id, result, 9);
        uint256 slashed = _ones(votes);
        uint256 reward = BOND / 2 + slashed * (p.stake / 2);
        eq(ethers(id, CHALLENGER), CHALLENGE + reward, "reward");
        eq(BURNED.balance, BOND + slashed * p.stake - reward, "burned");
        eq(before - address(ledger).balance, BURNED.balance - CHALLENGE, "balance");
        for (uint32 i; i < 5; ++i) {
            ParticipantView memory q = ledger.participantOf(id, i);
            bool fell = votes >> i & 1 == 1;
            holds(q.slashed == fell, "slashed");
            eq(q.stake, fell ? 0 : p.stake, "stake");
            holds((q.leftAt != 0) == (fell || left && i == 0), "gone");
            eq(q.activeUntil, q.leftAt != 0 ? 1 : type(uint32).max, "until");
        }
        eq(view_(id).active, 5 - slashed - (left && votes & 1 == 0 ? 1 : 0), "active");
    }

    function _ones(uint256 word) private pure returns (uint256 n) {
        for (; word != 0; word &= word - 1) {
            ++n;
        }
    }

    /// @dev A slashed member's seat is gone in the round that is tried again, in its draw of turns, and later.
    function test_openProof_takesTheSeats() public {
        (bytes32 id, bytes32 result) = standing(patient());
        vote(id, 0, true);
        vote(id, 2, false);
        disprove(id, result, 9);
        eq(view_(id).attempt, 1, "attempt");
        bytes32 next = propose(id, header(id)); // the turn of 1
        eq(view_(id).seats, 2, "seats");
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, signer(0), 0));
        ledger.vote(id, 0, 1, next, 0, true);
        voteAll(id, false);
        next = propose(id, header(id)); // of 2
        voteAll(id, true);
        status(id, next, Status.Accepted, "accepted");
        eq(view_(id).seats, 2, "seats of the next round");
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, signer(0), 1));
        ledger.commitUpdate(id, 1, update(1, 0));
        vm.prank(controller(0));
        refuses(abi.encodeWithSelector(IFederations.AlreadyLeft.selector, 0));
        ledger.rotateSigner(id, 0, address(0xABC));
        vm.prank(controller(0));
        refuses(abi.encodeWithSelector(IFederations.NothingToWithdraw.selector, controller(0)));
        ledger.withdrawStake(id, 0);
    }

    /// @dev The turn of a slashed member is the next one's.
    function test_proposeResult_passesOverTheSlashed() public {
        (bytes32 id, bytes32 result) = standing(patient());
        vote(id, 1, true);
        disprove(id, result, 9);
        _notInTurn(id, ANYBODY, 2);
        propose(id, header(id));
    }

    function _notInTurn(bytes32 id, address who, uint256 turn_) private {
        ResultHeader memory h = header(id);
        vm.deal(who, BOND);
        vm.prank(who);
        refuses(abi.encodeWithSelector(IFederations.NotInTurn.selector, turn_));
        ledger.proposeResult{value: BOND}(id, h, INDEX, "");
    }

    /// @dev Once a turn was missed anybody may propose, also after a result has fallen, whether it was accepted or not.
    function testFuzz_expireChallenge_keepsAMissedTurn(bool accepted, bool missed) public {
        bytes32 id = started(patient(), 3);
        commitAll(id);
        if (missed) miss(id);
        bytes32 result = propose(id, header(id));
        if (accepted) voteAll(id, true);
        demand(CHALLENGER, id, result, 1);
        pass(ANSWER_WINDOW);
        ledger.expireChallenge(id, result);
        FederationView memory v = view_(id);
        eq(v.round, 0, "its round again");
        holds(v.turnMissed == missed, "missed");
        if (!missed) _notInTurn(id, ANYBODY, 1);
        proposeAs(missed ? ANYBODY : signer(1), id, header(id));
    }

    /// @dev A signer that was rotated to meanwhile does not bring a slashed member's seat back.
    function test_openProof_takesTheNextSignersSeat() public {
        (bytes32 id, bytes32 result) = standing(patient());
        vm.prank(controller(0));
        ledger.rotateSigner(id, 0, address(0xABC));
        vote(id, 0, true);
        vote(id, 1, true); // accepted, round 1 is open
        vm.prank(address(0xABC));
        ledger.commitUpdate(id, 1, update(1, 0));
        disprove(id, result, 9);
        FederationView memory v = view_(id);
        eq(v.seats, 0, "no committee yet");
        bytes32 next = propose(id, header(id)); // the turn of 2, since 1 is slashed
        eq(view_(id).seats, 1, "seats");
        vm.prank(address(0xABC));
        refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, address(0xABC), 0));
        ledger.vote(id, 0, 1, next, 0, true);
        vote(id, 2, true);
        eq(view_(id).round, 2, "round");
        vm.prank(address(0xABC));
        refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, address(0xABC), 2));
        ledger.commitUpdate(id, 2, update(2, 0));
    }

    /// @dev Its weight goes with it.
    function test_openProof_freesTheWeights() public {
        PolicyHeader memory p = patient();
        (p.open, p.weightCap) = (false, (1 << 31) - 1);
        bytes32 id = create(p);
        for (uint256 i; i < 3; ++i) {
            _joinInvited(id, i, i == 0 ? (1 << 31) - 3 : 1);
        }
        commitAll(id);
        bytes32 result = propose(id, header(id));
        vote(id, 0, true);
        disprove(id, result, 9);
        _joinInvited(id, 3, (1 << 31) - 3);
    }

    function _joinInvited(bytes32 id, uint256 i, uint32 rows) private {
        bytes32 kind = keccak256(
            "Invitation(bytes32 federation,address controller,bytes32 identity,bytes32 datasetRoot,uint32 dataset,uint32 rows,uint64 expires)"
        );
        bytes32 content =
            keccak256(abi.encode(kind, id, controller(i), identity(i), dataset(i), uint256(0), rows, uint64(START)));
        bytes memory invitation = sign(CREATOR_KEY, content);
        Application memory a = application(i);
        (a.rows, a.expires) = (rows, uint64(START));
        vm.deal(controller(i), STAKE);
        vm.prank(controller(i));
        ledger.join{value: STAKE}(id, a, invitation, "");
    }

    // ---------------------------------------------------------------- where it goes back to

    /// @dev A standing result: as after a rejection by votes.
    function testFuzz_openProof_standing(uint256 height) public {
        bytes32 id = started(patient(), 3);
        height = bound(height, 0, 3);
        for (uint256 i; i < height; ++i) {
            fullRound(id);
        }
        commitAll(id);
        bytes32 head = view_(id).head;
        bytes32 result = propose(id, header(id));
        uint256 opened = view_(id).lastAccepted;
        pass(7);
        disprove(id, result, 9);
        FederationView memory v = view_(id);
        holds(v.phase == Phase.Propose && v.attempt == 1 && v.round == height && v.lastRound == height, "again");
        eq(v.head, head, "head");
        eq(v.headHeight, height, "height");
        eq(v.deadline, vm.getBlockTimestamp() + 5_000, "deadline");
        eq(v.lastAccepted, opened, "nothing was taken back");
        bytes32 next = propose(id, header(id));
        eq(next, result, "the same header, in the next attempt");
    }

    struct Story {
        bytes32[] results; // accepted, in order
        bytes32 standing; // on top of them, or zero
        uint32 commits; // of the disproved one's round
        uint32 batched;
    }

    /// @dev Some accepted results, the lowest disproved one among them, with or without a proposal on top.
    function _story(PolicyHeader memory p, uint256 count, bool top) private returns (bytes32 id, Story memory s) {
        id = started(p, 4);
        s.results = new bytes32[](count);
        for (uint256 i; i < count; ++i) {
            if (p.relay != address(0)) batch(id, 2);
            commitAll(id);
            FederationView memory v = view_(id);
            (s.commits, s.batched) = (v.commits, v.batched);
            s.results[i] = fullRound(id, header(id));
        }
        if (!top) return (id, s);
        commitAll(id);
        s.standing = propose(id, header(id));
    }

    /// @dev An accepted result with 0 to 3 results and maybe a proposal on top: all of them are void, their rounds too, and the
    /// disproved one's round goes on with its own commits.
    function testFuzz_openProof_accepted(uint256 below, uint256 above, bool top, bool unanswered) public {
        (below, above) = (bound(below, 0, 2), bound(above, 0, 3));
        PolicyHeader memory p = patient();
        (p.relay, p.batchWindow) = (relay(), 20);
        (bytes32 id, Story memory s) = _story(p, below + 1 + above, top);
        uint32 last = view_(id).lastRound;
        bytes32 h = ledger.accumulator(id);
        pass(11);
        vm.recordLogs();
        _fell(id, s.results[below], unanswered, h);
        FederationView memory v = view_(id);
        holds(v.phase == Phase.Propose && v.round == below && v.attempt == 1 && !v.turnMissed, "its round again");
        holds(v.commits == s.commits && v.batched == s.batched && v.known == 4, "its commits");
        eq(v.lastRound, last, "last round");
        eq(v.headHeight, below, "height");
        eq(v.head, below == 0 ? bytes32(0) : s.results[below - 1], "head");
        eq(ledger.resultAt(id, uint32(below + 1)), 0, "off the lineage");
        eq(v.lastAccepted, vm.getBlockTimestamp(), "idle time starts again");
        status(id, s.results[below], Status.Rejected, "rejected");
        _voided(id, s, below);
        if (!unanswered) return; // all voters are slashed: nobody is left to go on with
        _goesOn(id, s, below, last);
    }

    function _fell(bytes32 id, bytes32 result, bool unanswered, bytes32 h) private {
        if (!unanswered) return disprove(id, result, 9);
        demand(CHALLENGER, id, result, 1);
        h = replay(id, h, vm.getRecordedLogs());
        pass(ANSWER_WINDOW);
        ledger.expireChallenge(id, result);
        eq(replay(id, h, vm.getRecordedLogs()), ledger.accumulator(id), "history");
    }

    /// @dev Bonds of what lay above come back, once; no challenge to it holds.
    function _voided(bytes32 id, Story memory s, uint256 below) private {
        for (uint256 i; i <= s.results.length; ++i) {
            bytes32 result = i < s.results.length ? s.results[i] : s.standing;
            if (result == 0) continue;
            address proposer = ledger.resultOf(id, result).proposer;
            uint256 before = ethers(id, proposer);
            if (i > below) {
                pay(OTHER);
                refuses(abi.encodeWithSelector(IFederations.NotChallengeable.selector, result));
                ledger.commitProof{value: CHALLENGE}(id, result, 0);
                ledger.releaseBond(id, result, 0);
                eq(ethers(id, proposer), before + BOND, "bond");
                status(id, result, Status.Void, "void");
            }
            refuses(abi.encodeWithSelector(IFederations.NothingToWithdraw.selector, proposer));
            ledger.releaseBond(id, result, 0);
        }
    }

    /// @dev To the same height again, and through what has numbers that were never used.
    function _goesOn(bytes32 id, Story memory s, uint256 below, uint32 last) private {
        bytes32 again = propose(id, header(id));
        voteAll(id, true);
        status(id, again, Status.Accepted, "accepted");
        FederationView memory v = view_(id);
        eq(v.headHeight, below + 1, "height");
        eq(v.round, last + 1, "a new number");
        bytes32 next = fullRound(id);
        eq(view_(id).headHeight, below + 2, "height");
        eq(ledger.resultAt(id, uint32(below + 2)), next, "lineage");
        for (uint256 i = below + 1; i < s.results.length; ++i) {
            status(id, s.results[i], Status.Void, "void for ever");
        }
        pass(20_000);
        ledger.advance(id);
        eq(view_(id).settledHeight, below + 2, "settled");
    }

    /// @dev The proposals that were void keep nothing of the pool: the total is what the head's payouts say.
    function test_openProof_takesBackWhatWasReleased() public {
        PolicyHeader memory p = patient();
        (p.rewardPeriod, p.rounds) = (1, 3);
        bytes32 id = started(p, 3);
        bytes32 first = payingRound(id, 200, amounts3(1 ether, 1 ether, 0));
        demand(CHALLENGER, id, first, 1);
        commitAll(id);
        uint128[] memory more = amounts3(4 ether, 1 ether, 0);
        fullRound(id, paying(id, 300, more)); // 2 + 3
        pass(ANSWER_WINDOW);
        ledger.expireChallenge(id, first);
        propose(id, header(id)); // nothing gained
        voteAll(id, true);
        pass(20_000);
        ledger.advance(id);
        pass(100_000);
        ledger.close(id);
        ledger.refund(id);
        eq(creator.balance, 1e30, "all of the pool");
    }

    /// @dev A federation that had ended goes on.
    function testFuzz_openProof_afterTheEnd(uint256 at, bool stop, bool idle) public {
        PolicyHeader memory p = patient();
        p.rounds = 3;
        bytes32 id = started(p, 4);
        bytes32[] memory results = new bytes32[](3);
        uint256 count = idle || stop ? 2 : 3;
        for (uint256 i; i < count; ++i) {
            commitAll(id);
            ResultHeader memory h = header(id);
            h.stop = stop && !idle && i == 1;
            results[i] = fullRound(id, h);
        }
        at = bound(at, 0, count - 1);
        if (idle) return _closedBefore(p, at);
        phase(id, Phase.Ended, "ended");
        uint32 last = view_(id).lastRound;
        demand(CHALLENGER, id, results[at], 1);
        pass(ANSWER_WINDOW);
        ledger.expireChallenge(id, results[at]);
        FederationView memory v = view_(id);
        holds(v.phase == Phase.Propose && v.round == at && v.attempt == 1, "running again");
        propose(id, header(id));
        voteAll(id, true);
        eq(view_(id).headHeight, at + 1, "height");
        eq(view_(id).lastRound, at == 2 ? last : last + 1, "rounds go on, unless that was the last");
        pass(20_000);
        ledger.advance(id);
        if (view_(id).phase != Phase.Ended) {
            pass(100_000);
            ledger.close(id);
        }
        ledger.refund(id);
    }

    /// @dev Closed as idle while its results are challengeable still.
    function _closedBefore(PolicyHeader memory p, uint256 at) private {
        (p.idleWindow, p.challengeWindow) = (50_000, 200_000);
        p.rest = keccak256("another");
        bytes32 id = started(p, 4);
        bytes32[] memory results = new bytes32[](2);
        results[0] = fullRound(id);
        results[1] = fullRound(id);
        pass(50_000);
        ledger.close(id);
        vm.prank(controller(0));
        refuses(abi.encodeWithSelector(IFederations.StakeLocked.selector, 0));
        ledger.withdrawStake(id, 0);
        demand(CHALLENGER, id, results[at], 1);
        pass(ANSWER_WINDOW);
        ledger.expireChallenge(id, results[at]);
        phase(id, Phase.Propose, "running again");
        refuses(abi.encodeWithSelector(IFederations.NotIdle.selector, vm.getBlockTimestamp() + 50_000));
        ledger.close(id);
        pass(50_000);
        ledger.close(id);
        pass(200_000);
        if (at == 1) ledger.advance(id);
        ledger.refund(id);
        eq(creator.balance, 2e30 - 1e30 - p.pool, "but the other federation's pool");
    }

    /// @dev With no attempt left the round is void, and the next one opens on the parent.
    function testFuzz_openProof_attemptsExhausted(bool accepted, bool unanswered, uint256 above) public {
        PolicyHeader memory p = patient();
        p.attempts = 1;
        bytes32 id = started(p, 4);
        bytes32 first = fullRound(id);
        commitAll(id);
        bytes32 result = propose(id, header(id));
        above = accepted ? bound(above, 0, 2) : 0;
        if (accepted) voteAll(id, true);
        for (uint256 i; i < above; ++i) {
            fullRound(id);
        }
        uint32 last = view_(id).lastRound;
        vm.recordLogs();
        _fell(id, result, unanswered, ledger.accumulator(id));
        FederationView memory v = view_(id);
        holds(v.phase == Phase.Commit && v.round == last + 1 && v.lastRound == last + 1 && v.attempt == 0, "new round");
        eq(v.head, first, "on the parent");
        if (!unanswered && accepted) eq(v.seats, 1, "who did not vote");
        commit(id, 3);
    }

    /// @dev Twelve, of whom four are drawn: in round 0 by one seed, in round 1 by another.
    function _drawn(bytes32 first, bytes32 second) private returns (bytes32 id, bytes32 result) {
        PolicyHeader memory p = patient();
        (p.maxParticipants, p.committeeSize, p.valuation) = (40, 4, 0);
        id = started(p, 12);
        mine();
        vm.setBlockhash(vm.getBlockNumber() - 1, first);
        commitAll(id);
        result = propose(id, header(id));
        for (uint256 place; ledger.resultOf(id, result).status == Status.Standing; ++place) {
            vote(id, _member(first, place), true);
        }
        mine();
        vm.setBlockhash(vm.getBlockNumber() - 1, second);
        commit(id, 0);
    }

    function _member(bytes32 seed, uint256 place) private pure returns (uint256) {
        return Committee.member(uint32(uint256(seed)), place, 12, 4);
    }

    /// @dev The committee of a round that goes on is that round's, whatever has been drawn since.
    function testFuzz_expireChallenge_sameCommitteeAgain(bytes32 first, bytes32 second) public {
        vm.assume(first != 0 && second != 0);
        (bytes32 id, bytes32 result) = _drawn(first, second);
        demand(CHALLENGER, id, result, 1);
        pass(ANSWER_WINDOW);
        ledger.expireChallenge(id, result);
        eq(propose(id, header(id)), result, "the same header");
        for (uint256 place = 4; place < 12; ++place) {
            address other = signer(_member(first, place));
            vm.prank(other);
            refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, other, 0));
            ledger.vote(id, 0, 1, result, 0, true);
        }
        for (uint256 place; ledger.resultOf(id, result).status == Status.Standing; ++place) {
            vote(id, _member(first, place), true);
        }
        eq(view_(id).headHeight, 1, "accepted");
    }

    /// @dev Those that voted pay, whatever has been drawn since; who is slashed leaves its place to the next one.
    function testFuzz_openProof_slashesThoseDrawn(bytes32 first, bytes32 second) public {
        vm.assume(first != 0 && second != 0);
        (bytes32 id, bytes32 result) = _drawn(first, second);
        disprove(id, result, 9);
        for (uint256 place; place < 12; ++place) {
            bool voted = ledger.resultOf(id, result).ballots >> place & 1 == 1;
            holds(voted == (place < 3), "a quorum of four");
            holds(ledger.participantOf(id, uint32(_member(first, place))).slashed == voted, "slashed");
        }
        propose(id, header(id));
        eq(view_(id).seats, 4, "seats");
        for (uint256 place = 3; place < 7; ++place) {
            if (ledger.resultOf(id, result).status == Status.Standing) vote(id, _member(first, place), true);
        }
        status(id, result, Status.Accepted, "by the next ones");
    }

    // ---------------------------------------------------------------- what the records say

    function _asks(bytes32 id, bytes32 result, Question memory q, bool expected) private {
        uint256 before = vm.snapshotState();
        for (uint256 i; i < 2; ++i) {
            q.holds = i == 0;
            uint32 challenge = ledger.resultOf(id, result).challenges;
            commitProof(CHALLENGER, id, result, proof(1, q));
            mine();
            vm.prank(CHALLENGER);
            if (q.holds != expected) refuses(IFederations.NothingWrong.selector);
            ledger.openProof(id, result, 0, challenge, proof(1, q), SALT);
            vm.revertToState(before);
            before = vm.snapshotState();
        }
    }

    /// @dev The signer of a round is the one that was registered when it was opened.
    function test_facts_signer() public {
        bytes32 id = started(patient(), 3);
        vm.prank(controller(0));
        ledger.rotateSigner(id, 0, address(0xABC));
        leave(id, 2);
        join(id, 3);
        bytes32 first = fullRound(id);
        vm.prank(address(0xABC));
        ledger.commitUpdate(id, 1, update(1, 0));
        commit(id, 1);
        commit(id, 3);
        bytes32 second = propose(id, header(id));
        Question memory q;
        q.ask = Ask.Signer;
        (q.signer, q.participant) = (signer(0), 0);
        _asks(id, first, q, true);
        _asks(id, second, q, false);
        q.signer = address(0xABC);
        _asks(id, first, q, false);
        _asks(id, second, q, true);
        q.participant = 1;
        _asks(id, second, q, false);
        (q.signer, q.participant) = (signer(2), 2);
        _asks(id, first, q, true);
        _asks(id, second, q, false);
        (q.signer, q.participant) = (signer(3), 3);
        _asks(id, first, q, false);
        _asks(id, second, q, true);
        (q.signer, q.participant) = (address(0), 0);
        _asks(id, second, q, false);
    }

    /// @dev Data sets, and what they weigh, are those of before the round; in the statistics round everything weighs one.
    function testFuzz_facts_datasets(uint256 amended, bool open, bool statistics) public {
        PolicyHeader memory p = patient();
        (p.open, p.weightCap) = (open, 60);
        if (statistics) p.statistics = 5;
        bytes32 id = create(p);
        for (uint256 i; i < 3; ++i) {
            if (open) join(id, i);
            else _joinInvited(id, i, 100);
        }
        bytes32 first = fullRound(id); // all from round 0
        amended = bound(amended, 1, 9);
        for (uint32 i; i < amended; ++i) {
            vm.prank(controller(1));
            ledger.amendDataset(id, 1, dataset(i), 50 - i, 0);
        }
        bytes32 second = fullRound(id); // opened before they were amended
        commitAll(id);
        bytes32 third = propose(id, header(id));
        Question memory q;
        (q.ask, q.participant) = (Ask.Weight, 1);
        q.number = open || statistics ? 1 : 60;
        _asks(id, first, q, true);
        q.number = open ? 1 : 60;
        _asks(id, second, q, true);
        q.number += 1;
        _asks(id, second, q, false);
        (q.ask, q.number) = (Ask.Scale, q.number - 1);
        _asks(id, first, q, true);
        q.number = open ? 1 : uint32(51 - amended);
        _asks(id, third, q, true);
        _asks(id, second, q, open);
        (q.ask, q.digest, q.number) = (Ask.Header, first, 0);
        _asks(id, second, q, true);
        (q.digest, q.number) = (second, uint32(amended));
        _asks(id, third, q, true);
        q.number -= 1;
        _asks(id, third, q, false);
    }

    /// @dev The base of an update is the parent, or as many results behind it as the policy says; nothing lies under the first.
    function testFuzz_facts_staleness(uint8 staleness) public {
        PolicyHeader memory p = patient();
        p.staleness = uint8(bound(staleness, 0, 4));
        bytes32 id = started(p, 3);
        bytes32[] memory lineage = new bytes32[](5); // from zero on
        for (uint256 i = 1; i < 5; ++i) {
            lineage[i] = fullRound(id);
        }
        Question memory q;
        q.ask = Ask.Header;
        for (uint256 height = 1; height < 5; ++height) {
            for (uint256 base; base < 5; ++base) {
                q.digest = lineage[base];
                _asks(id, lineage[height], q, base < height && height - 1 - base <= p.staleness);
            }
        }
    }

    function test_facts_ancestor() public {
        PolicyHeader memory p = patient();
        (p.relay, p.batchWindow) = (relay(), 20);
        bytes32 id = started(p, 3);
        batch(id, 2);
        commitAll(id);
        bytes32 first = fullRound(id, header(id));
        bytes32 second = fullRound(id);
        bytes32 third = fullRound(id);
        Question memory q;
        (q.ask, q.digest, q.height, q.number, q.slots) = (Ask.Ancestor, first, 1, 3, 5);
        _asks(id, second, q, true);
        _asks(id, third, q, true);
        q.slots = 0; // not asked
        _asks(id, third, q, true);
        q.slots = 4;
        _asks(id, third, q, false);
        (q.slots, q.number) = (5, 2);
        _asks(id, third, q, false);
        (q.number, q.height) = (3, 2);
        _asks(id, third, q, false);
        q.height = 0;
        _asks(id, third, q, false);
        (q.digest, q.height, q.slots) = (third, 3, 3);
        _asks(id, third, q, false); // no result is its own ancestor
        (q.digest, q.height) = (second, 2);
        _asks(id, third, q, true);
    }

    function testFuzz_facts_commit(uint256 who, bool committed) public {
        PolicyHeader memory p = patient();
        bytes32 id = started(p, 3);
        fullRound(id); // the same place in another round is another commit
        who = bound(who, 0, 2);
        for (uint256 i; i < 3; ++i) {
            if (committed || i != who) commit(id, i);
        }
        if (!committed) miss(id);
        bytes32 result = propose(id, header(id));
        Question memory q;
        (q.ask, q.participant, q.digest, q.number) = (Ask.Commit, uint32(who), update(1, who), uint32(who));
        _asks(id, result, q, committed);
        q.number += 1;
        _asks(id, result, q, false);
        (q.number, q.digest) = (uint32(who), update(1, 7));
        _asks(id, result, q, false);
    }

    function testFuzz_facts_nothingDecidesAlone(bool holds_) public {
        (bytes32 id, bytes32 result) = standing(patient());
        Question memory q;
        q.holds = holds_;
        commitProof(CHALLENGER, id, result, proof(1, q));
        mine();
        openProof(CHALLENGER, id, result, 0, proof(1, q));
        status(id, result, Status.Rejected, "rejected");
    }
}
