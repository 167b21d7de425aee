// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PolicyHeader, ResultHeader} from "../src/Headers.sol";
import {FederationView, IFederations, Phase, Result, Status} from "../src/interfaces/IFederations.sol";
import {Ask, Question, Target} from "../src/verifier/Types.sol";
import {Challenged} from "./Challenged.sol";
import {Vm} from "./Vm.sol";

/// @notice Answers many demands in one transaction, which shares what a transaction itself costs among them.
contract ManyAnswers {
    function answerAll(IFederations ledger, bytes32 id, bytes32 result, Target[] calldata targets)
        external
        returns (uint256 gas)
    {
        for (uint32 i; i < targets.length; ++i) {
            bytes memory data = abi.encode(targets[i].root);
            uint256 begun = gasleft();
            ledger.answer(id, result, i, targets[i], data);
            gas += begun - gasleft();
        }
    }
}

/// @notice What an open proof commitment keeps answerable, however its result falls before the proof is opened.
contract FallenTest is Challenged {
    uint256 private constant FEE = 0.05 ether;

    function _patient(uint8 attempts) private view returns (PolicyHeader memory p) {
        p = patient();
        (p.rejectionFee, p.attempts, p.unbondingWindow) = (uint128(FEE), attempts, 0);
    }

    /// @dev A result that participant 0 proposes and votes for, and that a proof was committed against.
    function _accused(PolicyHeader memory p) private returns (bytes32 id, bytes32 result) {
        id = started(p, 5);
        commitAll(id);
        result = propose(id, header(id));
        vote(id, 0, true);
        commitProof(CHALLENGER, id, result, proof(9));
        mine();
    }

    /// @dev Proposer and voter 0 pay; half of it burns, and no rejection fee on top.
    function _pays(bytes32 id, bytes32 result, uint8 attempt, address challenger, uint256 bond) private {
        uint256 burned = BURNED.balance;
        uint256 before = ethers(id, challenger);
        bytes32 h = ledger.accumulator(id);
        vm.recordLogs();
        openProof(challenger, id, result, attempt, 0, proof(9));
        eq(replay(id, h, vm.getRecordedLogs()), ledger.accumulator(id), "history");
        eq(ethers(id, challenger) - before, CHALLENGE + (bond + STAKE) / 2, "reward");
        eq(BURNED.balance - burned, bond + STAKE - (bond + STAKE) / 2, "burned");
        holds(ledger.participantOf(id, 0).slashed, "the voter for it");
        eq(ledger.participantOf(id, 0).stake, 0, "its stake");
        for (uint32 i = 1; i < 5; ++i) {
            holds(!ledger.participantOf(id, i).slashed, "no other one");
        }
        holds(ledger.attemptOf(id, result, attempt).proven, "proven");
    }

    function _releaseRefused(bytes32 id, bytes32 result, uint8 attempt) private {
        refuses(abi.encodeWithSelector(IFederations.NothingToWithdraw.selector, signer(0)));
        ledger.releaseBond(id, result, attempt);
    }

    // ---------------------------------------------------------------- how results fall

    /// @dev Voted down in the block before the proof is opened.
    function test_openProof_afterTheVotes() public {
        (bytes32 id, bytes32 result) = _accused(_patient(3));
        voteDown(id, result);
        eq(ethers(id, signer(0)), 0, "the bond is held");
        holds(ledger.resultOf(id, result).held, "held");
        eq(BURNED.balance, 0, "no fee yet");
        FederationView memory v = view_(id);
        _pays(id, result, 0, CHALLENGER, BOND);
        holds(view_(id).phase == Phase.Propose && view_(id).attempt == 1, "the round goes on as it was");
        eq(view_(id).deadline, v.deadline, "its deadline");
        eq(view_(id).active, 4, "a seat less");
        _releaseRefused(id, result, 0);
    }

    /// @dev Nobody votes.
    function test_openProof_afterSilence() public {
        bytes32 id = started(_patient(3), 5);
        commitAll(id);
        bytes32 result = propose(id, header(id));
        commitProof(CHALLENGER, id, result, proof(9));
        vm.warp(view_(id).deadline);
        ledger.advance(id);
        status(id, result, Status.Rejected, "rejected");
        eq(ethers(id, signer(0)), 0, "the bond is held");
        mine();
        openProof(CHALLENGER, id, result, 0, 0, proof(9));
        eq(ethers(id, CHALLENGER), CHALLENGE + BOND / 2, "reward");
        eq(BURNED.balance, BOND - BOND / 2, "burned");
    }

    /// @dev Who proposes the same header again neither waits nor hides behind the new attempt, and pays nothing for the old one.
    function testFuzz_openProof_afterTheSameHeaderAgain(bool settled) public {
        (bytes32 id, bytes32 result) = _accused(_patient(3));
        voteDown(id, result);
        uint256 ballots = ledger.resultOf(id, result).ballots;
        eq(propose(id, header(id)), result, "the same header, by 1");
        Result memory old = ledger.attemptOf(id, result, 0);
        holds(old.proposer == signer(0) && old.ballots == ballots && old.proofs == 1 && old.held, "set aside");
        Result memory r = ledger.resultOf(id, result);
        holds(r.proposer == signer(1) && r.attempt == 1 && r.ballots == 0 && r.proofs == 0 && !r.held, "fresh");
        vote(id, 1, true);
        if (settled) {
            vote(id, 2, true);
            vote(id, 3, true);
            status(id, result, Status.Accepted, "accepted");
        }
        _pays(id, result, 0, CHALLENGER, BOND);
        status(id, result, settled ? Status.Accepted : Status.Standing, "untouched");
        eq(ethers(id, signer(1)), 0, "its proposer's bond stays");
        _releaseRefused(id, result, 0);
    }

    /// @dev Both attempts at one header may be proved wrong, each once.
    function test_openProof_ofBothAttempts() public {
        (bytes32 id, bytes32 result) = _accused(_patient(3));
        voteDown(id, result);
        propose(id, header(id));
        vote(id, 1, true);
        commitProof(OTHER, id, result, proof(9));
        mine();
        openProof(OTHER, id, result, 1, 0, proof(9));
        eq(ethers(id, OTHER), CHALLENGE + (BOND + STAKE) / 2, "of attempt 1");
        holds(ledger.participantOf(id, 1).slashed && !ledger.participantOf(id, 0).slashed, "its voter");
        openProof(CHALLENGER, id, result, 0, 0, proof(9));
        eq(ethers(id, CHALLENGER), CHALLENGE + (BOND + STAKE) / 2, "of attempt 0");
        vm.prank(CHALLENGER);
        notOpen(0);
        ledger.openProof(id, result, 0, 0, proof(9), SALT);
    }

    /// @dev By a demand that nobody answers: the bond goes with that, the stakes with the proof.
    function testFuzz_openProof_afterAnUnansweredDemand(bool accepted) public {
        bytes32 id = started(_patient(3), 5);
        commitAll(id);
        bytes32 result = propose(id, header(id));
        vote(id, 0, true);
        if (accepted) {
            vote(id, 1, true);
            vote(id, 2, true);
        }
        demand(OTHER, id, result, 1);
        commitProof(CHALLENGER, id, result, proof(9));
        pass(ANSWER_WINDOW);
        ledger.expireChallenge(id, result);
        eq(ethers(id, OTHER), CHALLENGE + BOND / 2, "the demand's");
        mine();
        openProof(CHALLENGER, id, result, 0, 1, proof(9));
        eq(ethers(id, CHALLENGER), CHALLENGE + (accepted ? 3 : 1) * STAKE / 2, "the proof's");
        _releaseRefused(id, result, 0);
    }

    /// @dev With what it was built on, which another result may have replaced by the time. What a proof asks of the lineage is then
    /// that of its own round.
    function testFuzz_openProof_afterItsParentFell(bool replaced, bool right) public {
        PolicyHeader memory p = _patient(3);
        bytes32 id = started(p, 5);
        bytes32 first = fullRound(id);
        bytes32 second = fullRound(id);
        Question memory q;
        (q.ask, q.holds, q.participant, q.digest) = (Ask.Header, right, 0, first);
        (bytes memory shown, uint32 index) = (proof(9, q), 1);
        commitProof(OTHER, id, second, proof(8));
        commitProof(CHALLENGER, id, second, shown);
        demand(OTHER, id, first, 1);
        pass(ANSWER_WINDOW);
        ledger.expireChallenge(id, first);
        refuses(abi.encodeWithSelector(IFederations.TooEarly.selector, vm.getBlockTimestamp() + ANSWER_WINDOW));
        ledger.releaseBond(id, second, 0);
        if (replaced) {
            ResultHeader memory h = header(id);
            h.modelRoot = keccak256("another");
            bytes32 other = fullRound(id, h);
            holds(other != first && ledger.resultAt(id, 1) == other, "replaced");
        }
        mine();
        if (!right) refuses(IFederations.NothingWrong.selector);
        openProof(CHALLENGER, id, second, 0, index, shown);
        if (!right) return;
        eq(ethers(id, CHALLENGER), CHALLENGE + (BOND + 3 * STAKE) / 2, "bond and stakes of who voted for it");
        ledger.reclaimChallenge(id, second, 0, 0);
        eq(ethers(id, OTHER), 2 * CHALLENGE + BOND / 2, "the other proof's bond comes back");
        refuses(abi.encodeWithSelector(IFederations.NothingToWithdraw.selector, signer(1)));
        ledger.releaseBond(id, second, 0);
    }

    /// @dev One answer window after the fall, what was built on it is not answerable any more.
    function test_openProof_RevertWhen_itsParentFellLongAgo() public {
        bytes32 id = started(_patient(3), 5);
        bytes32 first = fullRound(id);
        bytes32 second = fullRound(id);
        commitProof(CHALLENGER, id, second, proof(9));
        demand(OTHER, id, first, 1);
        pass(ANSWER_WINDOW);
        ledger.expireChallenge(id, first);
        pass(ANSWER_WINDOW);
        mine();
        vm.prank(CHALLENGER);
        notOpen(0);
        ledger.openProof(id, second, 0, 0, proof(9), SALT);
        ledger.reclaimChallenge(id, second, 0, 0);
        eq(ethers(id, CHALLENGER), 0, "lost");
        eq(ethers(id, signer(1)), CHALLENGE / 2, "half to the proposer");
        ledger.releaseBond(id, second, 0);
        eq(ethers(id, signer(1)), CHALLENGE / 2 + BOND, "and its bond");
    }

    /// @dev With a federation that is closed.
    function testFuzz_openProof_afterTheFederationWasClosed(bool inTime) public {
        PolicyHeader memory p = _patient(3);
        p.idleWindow = 20_000;
        (bytes32 id, bytes32 result) = _accused(p);
        vm.warp(START + 20_000);
        ledger.close(id);
        pass(inTime ? ANSWER_WINDOW - 1 : ANSWER_WINDOW);
        if (inTime) {
            refuses(abi.encodeWithSelector(IFederations.StakeLocked.selector, 0));
            ledger.withdrawStake(id, 0);
            return _pays(id, result, 0, CHALLENGER, BOND);
        }
        ledger.withdrawStake(id, 0);
        ledger.releaseBond(id, result, 0);
        eq(ethers(id, signer(0)), BOND, "no votes, no fee");
    }

    // ---------------------------------------------------------------- what is saved, and what it costs

    /// @dev A friend that comes first gets half; the honest one gets its bond back.
    function test_openProof_byAFriendFirst() public {
        (bytes32 id, bytes32 result) = _accused(_patient(3));
        pay(OTHER);
        ledger.commitProof{value: CHALLENGE}(id, result, commitment(OTHER, proof(9), SALT));
        voteDown(id, result);
        mine();
        openProof(OTHER, id, result, 0, 1, proof(9));
        eq(ethers(id, OTHER), CHALLENGE + (BOND + STAKE) / 2, "half, whoever opens");
        eq(BURNED.balance, (BOND + STAKE) / 2, "half burns");
        vm.prank(CHALLENGER);
        notOpen(0);
        ledger.openProof(id, result, 0, 0, proof(9), SALT);
        ledger.reclaimChallenge(id, result, 0, 0);
        eq(ethers(id, CHALLENGER), CHALLENGE, "the honest one's bond");
    }

    /// @dev A commitment that is never opened costs its bond, and locks stakes for one answer window. Without one, nothing is locked.
    function testFuzz_withdrawStake_waitsForOpenProofs(bool sham, bool again) public {
        PolicyHeader memory p = _patient(again ? 2 : 1);
        bytes32 id = started(p, 5);
        commitAll(id);
        leave(id, 4);
        bytes32 result = propose(id, header(id));
        if (sham) commitProof(CHALLENGER, id, result, proof(9));
        demand(OTHER, id, result, 1);
        voteDown(id, result);
        ledger.reclaimChallenge(id, result, 0, sham ? 1 : 0);
        eq(ethers(id, OTHER), CHALLENGE, "a demand ends with its result, at no cost");
        if (again) {
            propose(id, header(id));
            voteDown(id, result);
        }
        eq(view_(id).round, 1, "its round is void");
        if (!sham) {
            eq(ethers(id, signer(0)), BOND - FEE, "the bond");
            return ledger.withdrawStake(id, 4);
        }
        uint256 until = vm.getBlockTimestamp() + ANSWER_WINDOW;
        vm.warp(until - 1);
        refuses(abi.encodeWithSelector(IFederations.StakeLocked.selector, 4));
        ledger.withdrawStake(id, 4);
        refuses(abi.encodeWithSelector(IFederations.TooEarly.selector, until));
        ledger.releaseBond(id, result, 0);
        refuses(abi.encodeWithSelector(IFederations.TooEarly.selector, until));
        ledger.reclaimChallenge(id, result, 0, 0);
        vm.warp(until);
        ledger.withdrawStake(id, 4);
        mine();
        vm.prank(CHALLENGER);
        notOpen(0);
        ledger.openProof(id, result, 0, 0, proof(9), SALT);
        uint256 burned = BURNED.balance;
        bytes32 h = ledger.accumulator(id);
        vm.recordLogs();
        ledger.releaseBond(id, result, 0);
        ledger.reclaimChallenge(id, result, 0, 0);
        eq(replay(id, h, vm.getRecordedLogs()), ledger.accumulator(id), "history");
        eq(ethers(id, signer(0)), BOND - FEE + CHALLENGE / 2, "the proposer's");
        eq(BURNED.balance - burned, FEE + CHALLENGE / 2, "burned");
        eq(ethers(id, CHALLENGER), 0, "the sham is lost");
        notOpen(0);
        ledger.reclaimChallenge(id, result, 0, 0);
        _releaseRefused(id, result, 0);
    }

    /// @dev Members that fall to a proof while the next round runs neither commit nor vote in that, and its committee is looked up.
    function testFuzz_openProof_whileAnotherRoundRuns(bool committing) public {
        (bytes32 id, bytes32 result) = _accused(_patient(1));
        voteDown(id, result);
        eq(view_(id).round, 1, "the next round");
        if (!committing) commitAll(id);
        openProof(CHALLENGER, id, result, 0, 0, proof(9));
        if (committing) {
            vm.prank(signer(0));
            refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, signer(0), 1));
            ledger.commitUpdate(id, 1, update(1, 0));
            commitAll(id);
            miss(id); // the phase waits for the seat that is gone
        }
        bytes32 next = propose(id, header(id));
        eq(view_(id).seats, 4, "seats");
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, signer(0), 1));
        ledger.vote(id, 1, 0, next, 0, true);
        voteAll(id, true);
        status(id, next, Status.Accepted, "accepted by the others");
    }

    // ---------------------------------------------------------------- conceding

    /// @dev Answers, and gives what that is worth: less than it cost, and not much less.
    function _answer(address who, bytes32 id, bytes32 result, uint256 step) private returns (uint256 least, uint256 most) {
        uint256 begun = gasleft();
        answer(who, id, result, 0, step);
        most = (begun - gasleft()) * block.basefee;
        uint256 cap = CHALLENGE / 32;
        least = 10_000 * block.basefee;
        (least, most) = (least < cap ? least : cap, most < cap ? most : cap);
    }

    /// @dev An eighth burns; who answered last gets its answers' gas at the price of their blocks; the rest returns.
    function testFuzz_concede(uint256 basefee, uint256 later, uint256 steps, bool another) public {
        (basefee, later, steps) = (bound(basefee, 0, 200 gwei), bound(later, 0, 200 gwei), bound(steps, 1, 8));
        (bytes32 id, bytes32 result) = standing(patient());
        demand(CHALLENGER, id, result, 0);
        vm.prank(CHALLENGER);
        notOpen(0);
        ledger.concede(id, result, 0); // not answered
        (uint256 least, uint256 most) = (0, 0);
        for (uint256 step; step < steps; ++step) {
            if (step != 0) redemand(CHALLENGER, id, result, 0, step);
            vm.fee(step == 0 ? basefee : later);
            bool friend = another && step == steps - 1;
            if (friend) (least, most) = (0, 0);
            (uint256 low, uint256 high) = _answer(friend ? OTHER : ANSWERER, id, result, step);
            (least, most) = (least + low, most + high);
        }
        vm.prank(OTHER);
        refuses(abi.encodeWithSelector(IFederations.NotChallenger.selector, CHALLENGER));
        ledger.concede(id, result, 0);
        bytes32 h = ledger.accumulator(id);
        uint256 before = address(ledger).balance;
        vm.fee(1 ether); // a price at the concession inflates nothing
        vm.recordLogs();
        concede(CHALLENGER, id, result, 0);
        eq(replay(id, h, vm.getRecordedLogs()), ledger.accumulator(id), "history");
        eq(BURNED.balance, CHALLENGE / 8, "burned");
        eq(before - address(ledger).balance, CHALLENGE / 8, "balance");
        uint256 fee = ethers(id, another ? OTHER : ANSWERER);
        holds(least <= fee && fee <= most, "the answers' fee");
        eq(ethers(id, CHALLENGER), CHALLENGE - CHALLENGE / 8 - fee, "the rest");
        eq(ledger.resultOf(id, result).resolved, 1, "resolved");
        vm.prank(CHALLENGER);
        notOpen(0);
        ledger.concede(id, result, 0); // once
    }

    /// @dev Colluders whose contract answers many demands at once, step after step, earn nothing.
    function test_concede_afterManyAnswersInOneTransaction() public {
        (bytes32 id, bytes32 result) = standing(patient());
        ManyAnswers many = new ManyAnswers();
        Target[] memory targets = new Target[](12);
        vm.fee(1 gwei);
        for (uint32 i; i < targets.length; ++i) {
            targets[i] = target(i);
            demand(CHALLENGER, id, result, i);
        }
        uint256 gas = many.answerAll(ledger, id, result, targets);
        for (uint32 i; i < targets.length; ++i) {
            redemand(CHALLENGER, id, result, i, i);
        }
        gas += many.answerAll(ledger, id, result, targets);
        for (uint32 i; i < targets.length; ++i) {
            concede(CHALLENGER, id, result, i);
        }
        uint256 fees = ethers(id, address(many));
        holds(fees != 0 && fees <= gas * 1 gwei, "no more than they cost");
    }

    function test_concede_RevertWhen_late() public {
        (bytes32 id, bytes32 result) = standing(patient());
        demand(CHALLENGER, id, result, 1);
        answer(ANSWERER, id, result, 0, 1);
        pass(ANSWER_WINDOW);
        vm.prank(CHALLENGER);
        notOpen(0);
        ledger.concede(id, result, 0);
        ledger.expireChallenge(id, result);
        eq(ethers(id, ANSWERER), CHALLENGE / 2, "as if it had said nothing");
    }

    /// @dev In whichever order they are conceded, the queue passes over them in one step each time, and starts the next one's clock.
    function testFuzz_concede_withinTheQueue(uint256 which, uint256 order) public {
        (bytes32 id, bytes32 result) = standing(patient());
        uint256 count = 9;
        for (uint32 i; i < count; ++i) {
            demand(CHALLENGER, id, result, i);
            answer(ANSWERER, id, result, i, i);
        }
        which &= 0x1fe; // the first one stays
        uint256 step = uint256(0x875421) >> 4 * (order % 6) & 15; // each has every place for its turn
        for (uint256 n; n < count; ++n) {
            uint32 i = uint32((n * step + order / 6 % 9) % count);
            if (which >> i & 1 == 1) concede(CHALLENGER, id, result, i);
        }
        for (uint32 i; i < count; ++i) {
            if (which >> i & 1 == 1) continue;
            eq(ledger.resultOf(id, result).resolved, i, "the first open one");
            pass(ANSWER_WINDOW - 1);
            notOpen(i);
            ledger.expireChallenge(id, result);
            pass(1);
            ledger.expireChallenge(id, result);
        }
        eq(ledger.resultOf(id, result).resolved, count, "all are over");
    }

    /// @dev A watcher that one node withholds bytes of right results from, a hundred times.
    function test_concede_aHundredTimes() public {
        PolicyHeader memory p = policy();
        (p.rounds, p.unbondingWindow) = (100, 0);
        bytes32 id = started(p, 3);
        vm.fee(50 gwei);
        uint256 gas;
        for (uint256 n; n < 100; ++n) {
            bytes32 result = fullRound(id);
            demand(CHALLENGER, id, result, n);
            uint256 begun = gasleft();
            answer(ANSWERER, id, result, 0, n);
            gas += begun - gasleft();
            concede(CHALLENGER, id, result, 0);
        }
        settleAll(id);
        while (view_(id).settledHeight != 100) ledger.advance(id);
        uint256 lost = 100 * CHALLENGE - ethers(id, CHALLENGER);
        uint256 fees = ethers(id, ANSWERER);
        eq(lost, 100 * (CHALLENGE / 8) + fees, "what it lost");
        holds(fees <= gas * 50 gwei, "what colluders got: no more than their gas");
    }
}
