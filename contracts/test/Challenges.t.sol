// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PolicyHeader, ResultHeader} from "../src/Headers.sol";
import {IFederations, Result, Status} from "../src/interfaces/IFederations.sol";
import {Ask, Case, Question, Target} from "../src/verifier/Types.sol";
import {Challenged} from "./Challenged.sol";
import {MockVerifier} from "./MockVerifier.sol";
import {Vm} from "./Vm.sol";

/// @notice The queue of challenges to a result: their bonds, clocks and steps.
contract ChallengesTest is Challenged {
    // ---------------------------------------------------------------- opening

    /// @dev From the proposal to the end of the challenge window, accepted or not.
    function testFuzz_commitProof_withinTheWindow(uint256 at, bool accepted) public {
        (bytes32 id, bytes32 result) = standing(policy());
        if (accepted) voteAll(id, true);
        at = bound(at, 0, 200);
        if (!accepted) at %= 60;
        pass(at);
        bool open = at < 120;
        pay(CHALLENGER);
        if (!open) refuses(abi.encodeWithSelector(IFederations.NotChallengeable.selector, result));
        ledger.commitProof{value: CHALLENGE}(id, result, keccak256("c"));
        pay(CHALLENGER);
        if (!open) refuses(abi.encodeWithSelector(IFederations.NotChallengeable.selector, result));
        ledger.demand{value: CHALLENGE}(id, result, abi.encode(target(1)));
        eq(ledger.resultOf(id, result).challenges, open ? 2 : 0, "challenges");
    }

    function test_commitProof_RevertWhen_notChallengeable() public {
        (bytes32 id, bytes32 result) = standing(policy());
        vm.deal(CHALLENGER, 1 ether);
        vm.startPrank(CHALLENGER);
        refuses(abi.encodeWithSelector(IFederations.WrongValue.selector, CHALLENGE, 0));
        ledger.commitProof(id, result, 0);
        refuses(abi.encodeWithSelector(IFederations.WrongValue.selector, CHALLENGE, 1));
        ledger.demand{value: 1}(id, result, abi.encode(target(1)));
        refuses(abi.encodeWithSelector(IFederations.NotChallengeable.selector, keccak256("none")));
        ledger.commitProof{value: CHALLENGE}(id, keccak256("none"), 0);
        refuses(abi.encodeWithSelector(IFederations.UnknownFederation.selector, bytes32(0)));
        ledger.commitProof{value: CHALLENGE}(0, result, 0);
        vm.stopPrank();
        voteAll(id, false);
        vm.prank(CHALLENGER);
        refuses(abi.encodeWithSelector(IFederations.NotChallengeable.selector, result)); // rejected
        ledger.commitProof{value: CHALLENGE}(id, result, 0);
    }

    function test_commitProof_history() public {
        (bytes32 id, bytes32 result) = standing(policy());
        bytes32 h = ledger.accumulator(id);
        vm.recordLogs();
        commitProof(CHALLENGER, id, result, proof(2));
        demand(OTHER, id, result, 7);
        answer(ANSWERER, id, result, 1, 7);
        redemand(OTHER, id, result, 1, 8);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        eq(replay(id, h, logs), ledger.accumulator(id), "history");
        (,, uint32 challenge, address who,, bytes32 root, uint256 total, uint32 size, uint8 level,,) = abi.decode(
            logs[1].data, (bytes32, uint8, uint32, address, uint8, bytes32, uint256, uint32, uint8, uint32, bytes32)
        );
        eq(challenge, 1, "challenge");
        eq(who, OTHER, "challenger");
        Target memory t = target(7);
        holds(root == t.root && total == t.total && size == t.size && level == t.level, "target");
    }

    // ---------------------------------------------------------------- proofs

    function test_openProof_inALaterBlock() public {
        (bytes32 id, bytes32 result) = standing(policy());
        commitProof(CHALLENGER, id, result, proof(3));
        vm.prank(CHALLENGER);
        refuses(IFederations.CommitmentMismatch.selector);
        ledger.openProof(id, result, 0, 0, proof(3), SALT);
        mine();
        openProof(CHALLENGER, id, result, 0, proof(3));
        status(id, result, Status.Rejected, "rejected");
    }

    /// @dev Another proof, another salt, or another's commitment, copied as it was or with a bond of its own.
    function testFuzz_openProof_RevertWhen_itIsNotWhatWasCommittedTo(bytes32 salt, uint8 kind) public {
        vm.assume(salt != SALT && kind != 3);
        (bytes32 id, bytes32 result) = standing(policy());
        commitProof(CHALLENGER, id, result, proof(3));
        bytes32 copied = commitment(CHALLENGER, proof(3), SALT);
        pay(OTHER);
        ledger.commitProof{value: CHALLENGE}(id, result, copied);
        mine();
        vm.startPrank(CHALLENGER);
        refuses(IFederations.CommitmentMismatch.selector);
        ledger.openProof(id, result, 0, 0, proof(3), salt);
        refuses(IFederations.CommitmentMismatch.selector);
        ledger.openProof(id, result, 0, 0, proof(kind), SALT);
        refuses(abi.encodeWithSelector(IFederations.NotChallenger.selector, OTHER));
        ledger.openProof(id, result, 0, 1, proof(3), SALT);
        vm.stopPrank();
        vm.startPrank(OTHER);
        refuses(abi.encodeWithSelector(IFederations.NotChallenger.selector, CHALLENGER));
        ledger.openProof(id, result, 0, 0, proof(3), SALT);
        refuses(IFederations.CommitmentMismatch.selector); // its own copy names another challenger
        ledger.openProof(id, result, 0, 1, proof(3), SALT);
        vm.stopPrank();
        openProof(CHALLENGER, id, result, 0, proof(3));
    }

    function _opened(bytes32 id, bytes32 result, bytes memory proof_, bytes memory reason) private {
        uint32 challenge = ledger.resultOf(id, result).challenges;
        commitProof(CHALLENGER, id, result, proof_);
        mine();
        vm.prank(CHALLENGER);
        if (reason.length != 0) refuses(reason);
        ledger.openProof(id, result, 0, challenge, proof_, SALT);
    }

    /// @dev What the contract's own records say decides.
    function testFuzz_openProof_asksTheRecords(bool right, bool expected) public {
        (bytes32 id, bytes32 result) = standing(policy());
        Question memory q;
        (q.ask, q.holds, q.participant, q.number) = (Ask.Commit, expected, 1, 1);
        q.digest = right ? update(0, 1) : update(0, 2);
        bytes memory wrong = abi.encodeWithSelector(IFederations.NothingWrong.selector);
        _opened(id, result, proof(7, q), right == expected ? bytes("") : wrong);
    }

    function test_openProof_RevertWhen_itIsNoProof() public {
        (bytes32 id, bytes32 result) = standing(policy());
        _opened(id, result, "", abi.encodeWithSelector(MockVerifier.Nonsense.selector));
        _opened(id, result, hex"07", abi.encodeWithSelector(MockVerifier.Nonsense.selector));
    }

    /// @dev The verifier is told which result of which round is challenged.
    function testFuzz_openProof_onTheCase(bool batched) public {
        bytes32 id = started(costly(), 3);
        if (batched) batch(id, 2);
        commitAll(id);
        bytes32 result = propose(id, header(id));
        Case memory c = Case({
            federation: id,
            result: result,
            round: 0,
            height: 1,
            slots: batched ? 5 : 3,
            batched: batched ? 2 : 0,
            batchRoot: batched ? keccak256("batch") : bytes32(0),
            known: 3
        });
        Question memory q;
        _opened(id, result, abi.encodePacked(uint8(1), abi.encode(keccak256(abi.encode(c)), q)), "");
    }

    // ---------------------------------------------------------------- demands and answers

    /// @dev The verifier is told whether payloads are sealed.
    function testFuzz_answer_sealed(bool sealed_) public {
        PolicyHeader memory p = policy();
        p.visibility = sealed_ ? 1 : 0;
        (bytes32 id, bytes32 result) = standing(p);
        demand(CHALLENGER, id, result, 1);
        Target memory t = target(1);
        refuses(IFederations.AnswerRefused.selector);
        ledger.answer(id, result, 0, t, abi.encode(sealed_ ? t.root : ~t.root));
        ledger.answer(id, result, 0, t, abi.encode(sealed_ ? ~t.root : t.root));
    }

    /// @dev Anybody may answer, with what was asked for.
    function testFuzz_answer_byAnybody(address who, uint256 n) public {
        vm.assume(who != CHALLENGER && uint160(who) > 0xffff);
        n = bound(n, 0, 1_000);
        (bytes32 id, bytes32 result) = standing(policy());
        demand(CHALLENGER, id, result, n);
        Target memory t = target(n);
        refuses(IFederations.AnswerRefused.selector);
        ledger.answer(id, result, 0, t, abi.encode(bytes32(uint256(t.root) ^ 1)));
        Target memory u = target(n + 1);
        refuses(IFederations.AnswerRefused.selector);
        ledger.answer(id, result, 0, u, abi.encode(u.root));
        notOpen(1);
        ledger.answer(id, result, 1, t, abi.encode(t.root));
        answer(who, id, result, 0, n);
        notOpen(0);
        ledger.answer(id, result, 0, t, abi.encode(t.root)); // once
    }

    function test_redemand_byTheChallengerAfterAnAnswer() public {
        (bytes32 id, bytes32 result) = standing(policy());
        demand(CHALLENGER, id, result, 1);
        vm.prank(CHALLENGER);
        notOpen(0);
        ledger.redemand(id, result, 0, abi.encode(target(2))); // not answered
        answer(ANSWERER, id, result, 0, 1);
        vm.prank(OTHER);
        refuses(abi.encodeWithSelector(IFederations.NotChallenger.selector, CHALLENGER));
        ledger.redemand(id, result, 0, abi.encode(target(2)));
        redemand(CHALLENGER, id, result, 0, 2);
        answer(ANSWERER, id, result, 0, 2);
        vm.prank(OTHER);
        refuses(abi.encodeWithSelector(IFederations.NotChallenger.selector, CHALLENGER));
        ledger.recommitProof(id, result, 0, keccak256("c"));
        vm.prank(CHALLENGER);
        ledger.recommitProof(id, result, 0, commitment(CHALLENGER, proof(5), SALT));
        vm.prank(CHALLENGER);
        refuses(IFederations.CommitmentMismatch.selector);
        ledger.openProof(id, result, 0, 0, proof(5), SALT); // in the same block
        mine();
        openProof(CHALLENGER, id, result, 0, proof(5));
        status(id, result, Status.Rejected, "rejected");
    }

    /// @dev One bond buys eight steps, whichever they are.
    function testFuzz_redemand_atMostEightSteps(uint256 choices) public {
        (bytes32 id, bytes32 result) = standing(patient());
        demand(CHALLENGER, id, result, 0);
        for (uint256 step = 1; step < 8; ++step) {
            answer(ANSWERER, id, result, 0, step - 1);
            redemand(CHALLENGER, id, result, 0, step);
        }
        answer(ANSWERER, id, result, 0, 7);
        vm.prank(CHALLENGER);
        refuses(IFederations.TooManySteps.selector);
        if (choices & 1 == 0) ledger.redemand(id, result, 0, abi.encode(target(9)));
        else ledger.recommitProof(id, result, 0, keccak256("c"));
    }

    // ---------------------------------------------------------------- clocks

    function _expired(bytes32 id, bytes32 result) private {
        ledger.expireChallenge(id, result);
    }

    /// @dev The first challenge's clock runs; the others' start one after the other.
    function testFuzz_expireChallenge_oneAfterTheOther(uint256 count, uint256 delay) public {
        (bytes32 id, bytes32 result) = standing(patient());
        count = bound(count, 2, 6);
        for (uint256 i; i < count; ++i) {
            commitProof(CHALLENGER, id, result, proof(uint8(i + 1)));
        }
        uint256 due = vm.getBlockTimestamp();
        for (uint32 i; i < count; ++i) {
            due += ANSWER_WINDOW;
            vm.warp(due - 1);
            notOpen(i);
            _expired(id, result);
            due += bound(delay >> 8 * i, 0, 100);
            vm.warp(due);
            if (i + 1 < count) {
                // Only the clock that has run is over; the others may still act, however long ago they were opened.
                mine();
                vm.prank(CHALLENGER);
                refuses(IFederations.CommitmentMismatch.selector);
                ledger.openProof(id, result, 0, i + 1, proof(0), SALT);
            }
            vm.prank(CHALLENGER);
            notOpen(i);
            ledger.openProof(id, result, 0, i, proof(uint8(i + 1)), SALT);
            _expired(id, result);
            eq(ledger.resultOf(id, result).resolved, i + 1, "resolved");
        }
        notOpen(uint32(count));
        _expired(id, result);
        eq(ethers(id, signer(0)), count * CHALLENGE / 2, "the proposer's halves");
        eq(BURNED.balance, count * CHALLENGE / 2, "burned");
    }

    /// @dev Every step of the first one starts its clock again.
    function testFuzz_expireChallenge_afterTheLastStep(uint256 a, uint256 b, uint256 c) public {
        (bytes32 id, bytes32 result) = standing(patient());
        demand(CHALLENGER, id, result, 1);
        pass(bound(a, 0, 39));
        answer(ANSWERER, id, result, 0, 1);
        pass(bound(b, 0, 39));
        redemand(CHALLENGER, id, result, 0, 2);
        pass(bound(c, 0, 39));
        answer(ANSWERER, id, result, 0, 2);
        pass(39);
        notOpen(0);
        _expired(id, result);
        pass(1);
        vm.prank(CHALLENGER);
        notOpen(0);
        ledger.redemand(id, result, 0, abi.encode(target(3))); // too late
        _expired(id, result);
        status(id, result, Status.Standing, "stands");
        eq(ethers(id, ANSWERER), CHALLENGE / 2, "the answerer's half");
    }

    /// @dev A proof that was committed to and not opened is the proposer's, whoever answered what came before it.
    function test_expireChallenge_ofAProofAfterAnAnswer() public {
        (bytes32 id, bytes32 result) = standing(patient());
        demand(CHALLENGER, id, result, 1);
        answer(ANSWERER, id, result, 0, 1);
        vm.prank(CHALLENGER);
        ledger.recommitProof(id, result, 0, keccak256("never opened"));
        pass(ANSWER_WINDOW);
        _expired(id, result);
        eq(ethers(id, ANSWERER), 0, "the answerer's");
        eq(ethers(id, signer(0)), CHALLENGE / 2, "the proposer's half");
    }

    /// @dev So one bond delays a settlement by eight windows, if its demands are answered at once.
    function test_expireChallenge_afterEightSteps() public {
        (bytes32 id, bytes32 result) = standing(patient());
        demand(CHALLENGER, id, result, 0);
        for (uint256 step; step < 8; ++step) {
            if (step != 0) redemand(CHALLENGER, id, result, 0, step);
            answer(ANSWERER, id, result, 0, step);
            pass(ANSWER_WINDOW - 1);
            notOpen(0);
            _expired(id, result);
        }
        pass(1);
        _expired(id, result);
        eq(ledger.resultOf(id, result).resolved, 1, "resolved");
    }

    /// @dev Who waits in the queue can act, but its clock starts when it is first, whatever it waits for.
    function testFuzz_expireChallenge_waitingInTheQueue(bool answered, bool again) public {
        (bytes32 id, bytes32 result) = standing(patient());
        commitProof(OTHER, id, result, proof(1));
        demand(CHALLENGER, id, result, 1);
        pass(30);
        if (answered) answer(ANSWERER, id, result, 1, 1);
        pass(1_000);
        if (answered && again) redemand(CHALLENGER, id, result, 1, 2);
        if (!answered) answer(ANSWERER, id, result, 1, 1); // no clock runs against it yet
        _expired(id, result);
        pass(39);
        notOpen(1);
        _expired(id, result);
        if (answered && again) answer(ANSWERER, id, result, 1, 2);
        pass(answered && again ? 40 : 1);
        _expired(id, result);
        eq(ledger.resultOf(id, result).resolved, 2, "resolved");
        eq(ethers(id, ANSWERER), CHALLENGE / 2, "the answerer's half");
        eq(ethers(id, signer(0)), CHALLENGE / 2, "the proposer's half");
    }

    /// @dev An unanswered demand costs the proposer its bond, and the voters nothing.
    function testFuzz_expireChallenge_unanswered(bool accepted) public {
        (bytes32 id, bytes32 result) = standing(patient());
        if (accepted) voteAll(id, true);
        demand(CHALLENGER, id, result, 1);
        pass(ANSWER_WINDOW - 1);
        notOpen(0);
        _expired(id, result);
        pass(1);
        Target memory t = target(1);
        notOpen(0);
        ledger.answer(id, result, 0, t, abi.encode(t.root));
        bytes32 h = ledger.accumulator(id);
        vm.recordLogs();
        _expired(id, result);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        eq(replay(id, h, logs), ledger.accumulator(id), "history");
        (uint32 round, uint8 attempt,, uint32 challenge, uint8 kind, uint40 deadline,) =
            abi.decode(logs[0].data, (uint32, uint8, bytes32, uint32, uint8, uint40, bytes32));
        holds(round == 0 && attempt == 0 && challenge == 0 && kind == 0, "event");
        eq(deadline, vm.getBlockTimestamp() + 5_000, "propose deadline");
        status(id, result, Status.Rejected, "rejected");
        eq(ethers(id, CHALLENGER), CHALLENGE + BOND / 2, "challenger");
        eq(BURNED.balance, BOND / 2, "burned");
        for (uint32 i; i < 3; ++i) {
            eq(ledger.participantOf(id, i).stake, STAKE, "stake");
        }
        eq(view_(id).attempt, 1, "attempt");
        eq(view_(id).headHeight, 0, "height");
        notOpen(0);
        _expired(id, result);
    }

    function test_expireChallenge_oddBonds() public {
        PolicyHeader memory p = patient();
        (p.challengeBond, p.proposerBond) = (uint128(CHALLENGE - 1), uint128(BOND - 1));
        bytes32 id = proposing(p);
        ResultHeader memory h = header(id);
        vm.deal(signer(0), BOND);
        vm.prank(signer(0));
        ledger.proposeResult{value: BOND - 1}(id, h, INDEX, "");
        bytes32 result = digest(h);
        for (uint256 i; i < 2; ++i) {
            vm.deal(CHALLENGER, CHALLENGE);
            vm.prank(CHALLENGER);
            if (i == 0) ledger.commitProof{value: CHALLENGE - 1}(id, result, 0);
            else ledger.demand{value: CHALLENGE - 1}(id, result, abi.encode(target(1)));
        }
        uint256 before = address(ledger).balance;
        pass(40);
        _expired(id, result);
        pass(40);
        _expired(id, result);
        uint256 bond = CHALLENGE - 1;
        eq(BURNED.balance, bond - bond / 2 + (BOND - 1) - (BOND - 1) / 2, "burned");
        eq(before - address(ledger).balance, BURNED.balance, "balance");
        eq(ethers(id, signer(0)), bond / 2, "proposer");
        eq(ethers(id, CHALLENGER), bond + (BOND - 1) / 2, "challenger");
    }

    // ---------------------------------------------------------------- settling

    /// @dev A result does not settle while a challenge to it is open, nor does what lies above it.
    function test_advance_waitsForChallenges() public {
        PolicyHeader memory p = policy();
        (p.rounds, p.commitWindow, p.idleWindow) = (3, 5_000, 100_000);
        bytes32 id = started(p, 3);
        bytes32 first = fullRound(id);
        bytes32 second = fullRound(id);
        commitProof(CHALLENGER, id, first, proof(1));
        pass(120);
        refuses(IFederations.NothingToDo.selector);
        ledger.advance(id);
        ledger.expireChallenge(id, first);
        ledger.advance(id);
        status(id, first, Status.Settled, "first");
        status(id, second, Status.Settled, "second");
        pay(CHALLENGER);
        refuses(abi.encodeWithSelector(IFederations.NotChallengeable.selector, first));
        ledger.commitProof{value: CHALLENGE}(id, first, 0);
        notOpen(1);
        ledger.expireChallenge(id, first);
    }

    /// @dev However many open challenges there are, they run out one after the other and then the result settles.
    function test_expireChallenge_afterAFlood() public {
        bytes32 id = started();
        bytes32 result = fullRound(id);
        for (uint256 i; i < 50; ++i) {
            commitProof(CHALLENGER, id, result, proof(1));
        }
        for (uint256 i; i < 50; ++i) {
            pass(ANSWER_WINDOW);
            ledger.expireChallenge(id, result);
        }
        ledger.advance(id);
        status(id, result, Status.Settled, "settled");
        eq(BURNED.balance, 50 * CHALLENGE / 2, "what it cost");
        eq(ethers(id, signer(0)), 50 * CHALLENGE / 2 + BOND, "what it brought the proposer");
    }

    /// @dev A flood does not keep the right proof out, nor does it wait behind the flood.
    function test_openProof_inAFlood() public {
        (bytes32 id, bytes32 result) = standing(patient());
        for (uint256 i; i < 30; ++i) {
            commitProof(OTHER, id, result, proof(1));
        }
        commitProof(CHALLENGER, id, result, proof(2));
        pass(1_000);
        mine();
        openProof(CHALLENGER, id, result, 30, proof(2));
        status(id, result, Status.Rejected, "rejected");
        for (uint32 i; i < 30; ++i) {
            ledger.reclaimChallenge(id, result, 0, i);
        }
        eq(ethers(id, OTHER), 30 * CHALLENGE, "the flood gets its bonds back");
    }

    // ---------------------------------------------------------------- reclaiming

    /// @dev Whose result fell for another reason gets its bond back, once.
    function testFuzz_reclaimChallenge_afterARejection(bool byVotes, bool isDemand) public {
        (bytes32 id, bytes32 result) = standing(patient());
        if (isDemand) demand(OTHER, id, result, 1);
        else commitProof(OTHER, id, result, proof(1));
        notOpen(0);
        ledger.reclaimChallenge(id, result, 0, 0);
        if (byVotes) voteAll(id, false);
        else disprove(id, result, 4);
        // Who committed to a proof and did not open it, when its result was only voted down, has lost.
        bool lost = byVotes && !isDemand;
        if (lost) {
            refuses(abi.encodeWithSelector(IFederations.TooEarly.selector, vm.getBlockTimestamp() + ANSWER_WINDOW));
            ledger.reclaimChallenge(id, result, 0, 0);
            pass(ANSWER_WINDOW);
        }
        bytes32 h = ledger.accumulator(id);
        vm.recordLogs();
        ledger.reclaimChallenge(id, result, 0, 0);
        eq(replay(id, h, vm.getRecordedLogs()), ledger.accumulator(id), "history");
        eq(ethers(id, OTHER), lost ? 0 : CHALLENGE, "bond");
        notOpen(0);
        ledger.reclaimChallenge(id, result, 0, 0);
        notOpen(1);
        ledger.reclaimChallenge(id, result, 0, 1); // the one that won
    }

    /// @dev The same header may be proposed again: its old challenges are void, its new ones are numbered from 0.
    function test_reclaimChallenge_ofAnEarlierAttempt() public {
        (bytes32 id, bytes32 result) = standing(patient());
        demand(OTHER, id, result, 1);
        voteAll(id, false);
        eq(propose(id, header(id)), result, "the same header");
        Result memory r = ledger.resultOf(id, result);
        holds(r.attempt == 1 && r.challenges == 0 && r.resolved == 0, "fresh");
        Target memory t = target(1);
        notOpen(0);
        ledger.answer(id, result, 0, t, abi.encode(t.root));
        commitProof(CHALLENGER, id, result, proof(1));
        ledger.reclaimChallenge(id, result, 0, 0);
        notOpen(0);
        ledger.reclaimChallenge(id, result, 1, 0);
        eq(ethers(id, OTHER), CHALLENGE, "bond");
        eq(ethers(id, CHALLENGER), 0, "the open one");
    }

    function test_reclaimChallenge_RevertWhen_settled() public {
        bytes32 id = started();
        bytes32 result = fullRound(id);
        commitProof(CHALLENGER, id, result, proof(1));
        pass(ANSWER_WINDOW);
        ledger.expireChallenge(id, result);
        settleAll(id);
        notOpen(0);
        ledger.reclaimChallenge(id, result, 0, 0);
    }

    // ---------------------------------------------------------------- unavailable updates

    function testFuzz_chargeUnavailable(uint256 fee) public {
        PolicyHeader memory p = costly();
        (p.unavailableFee, p.unbondingWindow) = (uint128(bound(fee, 1, STAKE)), 10_000);
        bytes32 id = started(p, 3);
        bytes32 result = fullRound(id);
        refuses(IFederations.NothingToCharge.selector); // not settled
        ledger.chargeUnavailable(id, result, abi.encode(1));
        settleAll(id);
        bytes32 h = ledger.accumulator(id);
        vm.recordLogs();
        ledger.chargeUnavailable(id, result, abi.encode(1));
        eq(replay(id, h, vm.getRecordedLogs()), ledger.accumulator(id), "history");
        eq(ledger.participantOf(id, 1).stake, STAKE - p.unavailableFee, "stake");
        eq(BURNED.balance, p.unavailableFee, "burned");
        refuses(IFederations.NothingToCharge.selector); // once a round
        ledger.chargeUnavailable(id, result, abi.encode(1));
        refuses(abi.encodeWithSelector(IFederations.UnknownParticipant.selector, 3));
        ledger.chargeUnavailable(id, result, abi.encode(3));
        bytes32 next = fullRound(id);
        settleAll(id);
        uint256 left = STAKE - p.unavailableFee;
        if (left == 0) refuses(IFederations.NothingToCharge.selector);
        ledger.chargeUnavailable(id, next, abi.encode(1));
        eq(ledger.participantOf(id, 1).stake, left > p.unavailableFee ? left - p.unavailableFee : 0, "stake");
    }

    /// @dev Whose stake would not cover another fee loses its seat from the next round on; no other one does.
    function testFuzz_chargeUnavailable_takesTheSeat(uint256 fee) public {
        PolicyHeader memory p = costly();
        p.unavailableFee = uint128(bound(fee, 1, STAKE));
        bytes32 id = started(p, 3);
        bytes32 result = fullRound(id);
        settleAll(id);
        commitAll(id);
        ledger.chargeUnavailable(id, result, abi.encode(1));
        bool out = STAKE - p.unavailableFee < p.unavailableFee;
        eq(view_(id).active, out ? 2 : 3, "active");
        eq(ledger.participantOf(id, 1).leftAt, out ? vm.getBlockTimestamp() : 0, "left");
        holds(seated(id, 1, 1), "still in this round");
        bytes32 next = propose(id, header(id));
        vote(id, 1, true);
        vote(id, 0, true);
        status(id, next, Status.Accepted, "accepted");
        uint32 round = view_(id).round;
        vm.prank(signer(1));
        if (out) refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, signer(1), round));
        ledger.commitUpdate(id, round, update(round, 1));
    }

    /// @dev Who has left already leaves once.
    function test_chargeUnavailable_ofWhoLeft() public {
        PolicyHeader memory p = costly();
        p.unavailableFee = uint128(STAKE);
        bytes32 id = started(p, 3);
        leave(id, 1);
        uint256 at = vm.getBlockTimestamp();
        bytes32 result = fullRound(id);
        settleAll(id);
        ledger.chargeUnavailable(id, result, abi.encode(1));
        eq(view_(id).active, 2, "active");
        eq(ledger.participantOf(id, 1).leftAt, at, "left when it did");
    }

    /// @dev Settling and withdrawing in one breath leaves no time to charge anybody: the unbonding window starts with the
    /// settlement, for who has left and for who stayed to the end.
    function testFuzz_withdrawStake_RevertWhen_onlyJustSettled(bool left, bool disputed) public {
        PolicyHeader memory p = costly();
        p.rounds = left ? 2 : 1;
        bytes32 id = started(p, 3);
        if (left) leave(id, 2);
        bytes32 result = fullRound(id);
        if (disputed) commitProof(CHALLENGER, id, result, proof(1));
        pass(p.challengeWindow);
        if (disputed) ledger.expireChallenge(id, result);
        ledger.advance(id);
        refuses(abi.encodeWithSelector(IFederations.StakeLocked.selector, 2));
        ledger.withdrawStake(id, 2);
        ledger.chargeUnavailable(id, result, abi.encode(2));
        pass(p.unbondingWindow);
        ledger.withdrawStake(id, 2);
        eq(controller(2).balance, STAKE - p.unavailableFee, "what is left");
    }
}
