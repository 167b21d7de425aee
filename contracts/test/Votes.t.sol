// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {PolicyHeader} from "../src/Headers.sol";
import {Ballot, FederationView, IFederations, Status} from "../src/interfaces/IFederations.sol";
import {Base} from "./Base.sol";
import {Vm} from "./Vm.sol";

/// @notice Votes, sent one by one or signed and posted together.
contract VotesTest is Base {
    uint256 private constant ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    function _standing() private returns (bytes32 id, bytes32 result) {
        id = proposing(policy());
        result = propose(id, header(id));
    }

    // ---------------------------------------------------------------- one by one

    function test_vote_RevertWhen_notAllowed() public {
        (bytes32 id, bytes32 result) = _standing();
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.WrongAttempt.selector, 0, 1));
        ledger.vote(id, 0, 1, result, 0, true);
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.WrongRound.selector, 0, 1));
        ledger.vote(id, 1, 0, result, 0, true);
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.WrongResult.selector, result, bytes32(0)));
        ledger.vote(id, 0, 0, 0, 0, true);
        refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, address(this), 0));
        ledger.vote(id, 0, 0, result, 0, true);
        vote(id, 0, false);
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.AlreadyVoted.selector, 0, 0, 0));
        ledger.vote(id, 0, 0, result, 0, true);
        vm.warp(view_(id).deadline);
        vm.prank(signer(1));
        refuses(abi.encodeWithSelector(IFederations.DeadlinePassed.selector, vm.getBlockTimestamp()));
        ledger.vote(id, 0, 0, result, 0, true);
    }

    function test_vote_againInTheNextAttempt() public {
        (bytes32 id, bytes32 result) = _standing();
        vote(id, 0, false);
        vote(id, 1, false);
        eq(propose(id, header(id)), result, "the same header");
        eq(ledger.resultOf(id, result).ballots, 0, "ballots");
        vote(id, 0, true);
        vote(id, 1, true);
        eq(view_(id).headHeight, 1, "accepted");
    }

    /// @dev Any votes, in any order, against the rules as they are written down; by transactions or posted.
    function testFuzz_vote_decides(uint256 seats, uint16 quorum, uint256 choices, bool posted) public {
        PolicyHeader memory p = policy();
        p.quorumBps = uint16(bound(quorum, 5_001, 10_000));
        seats = bound(seats, 2, 5);
        bytes32 id = started(p, seats);
        commitAll(id);
        bytes32 result = propose(id, header(id));
        (uint256 yes, uint256 no, bool decided) = (0, 0, false);
        for (uint256 i; i < seats && !decided; ++i) {
            uint256 choice = (choices >> 2 * i) & 3; // two of four abstain
            if (choice > 1) continue;
            if (posted) post(id, ballot(id, i, choice == 1));
            else vote(id, i, choice == 1);
            if (choice == 1) ++yes;
            else ++no;
            uint256 votes = choice == 1 ? yes : no;
            decided = votes * 10_000 >= uint256(p.quorumBps) * seats;
        }
        status(id, result, decided ? (yes > no ? Status.Accepted : Status.Rejected) : Status.Standing, "decision");
        if (!decided) miss(id);
        bool accepted = decided ? yes > no : 2 * (yes + no) >= seats && yes > no;
        FederationView memory v = view_(id);
        eq(v.headHeight, accepted ? 1 : 0, "height");
        eq(v.round, accepted ? 1 : 0, "round");
        eq(v.head, accepted ? result : bytes32(0), "head");
        status(id, result, accepted ? Status.Accepted : Status.Rejected, "status");
        eq(ledger.resultAt(id, 1), accepted ? result : bytes32(0), "lineage");
        eq(ethers(id, signer(0)), accepted ? 0 : BOND, "bond");
        if (!accepted) eq(v.attempt, 1, "attempt");
    }

    function test_vote_rejectionsVoidTheRound() public {
        PolicyHeader memory p = policy();
        p.attempts = 1;
        bytes32 id = proposing(p);
        bytes32 result = propose(id, header(id));
        vm.recordLogs();
        vote(id, 0, false);
        vote(id, 1, false);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        eq(logs.length, 5, "events");
        eq(logs[2].topics[0], IFederations.ResultRejected.selector, "rejected");
        (,,, uint40 deadline,) = abi.decode(logs[2].data, (uint32, uint8, bytes32, uint40, bytes32));
        eq(deadline, 0, "no other attempt");
        eq(logs[3].topics[0], IFederations.RoundVoided.selector, "void");
        eq(logs[4].topics[0], IFederations.RoundOpened.selector, "open");
        eq(view_(id).round, 1, "round");
        status(id, result, Status.Rejected, "status");
        withdraw(id, signer(0));
        eq(signer(0).balance, BOND, "bond");
    }

    // ---------------------------------------------------------------- posted

    function _all(bytes32 id, bool support) private view returns (Ballot[] memory ballots) {
        ballots = new Ballot[](3);
        for (uint256 i; i < 3; ++i) {
            ballots[i] = ballot(id, i, support);
        }
    }

    /// @dev All of them in one transaction, and all in the word of ballots.
    function testFuzz_postVotes_together(bool support, address sender) public {
        (bytes32 id, bytes32 result) = _standing();
        Ballot[] memory ballots = _all(id, support);
        vm.recordLogs();
        vm.prank(sender);
        ledger.postVotes(id, 0, 0, result, 0, ballots);
        status(id, result, support ? Status.Accepted : Status.Rejected, "status");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        (,,, uint256 cast,) = abi.decode(logs[0].data, (uint32, uint8, bytes32, uint256, bytes32));
        eq(cast, support ? 7 : 7 << 128, "the event's ballots");
        eq(ledger.resultOf(id, result).ballots, cast, "the result's ballots");
    }

    /// @dev Nobody can stop the others' votes by voting first, and nobody votes twice.
    function testFuzz_postVotes_skipsWhatIsCast(uint256 first, bool before, bool again) public {
        (bytes32 id, bytes32 result) = _standing();
        first = bound(first, 0, 2);
        Ballot[] memory ballots = new Ballot[](4);
        for (uint256 i; i < 3; ++i) {
            ballots[i] = ballot(id, i, i == 2);
        }
        ballots[3] = ballot(id, first, again);
        vote(id, first, before);
        bytes32 h = ledger.accumulator(id);
        vm.recordLogs();
        ledger.postVotes(id, 0, 0, result, 0, ballots);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        (,,, uint256 cast,) = abi.decode(logs[0].data, (uint32, uint8, bytes32, uint256, bytes32));
        uint256 expected;
        for (uint256 i; i < 3; ++i) {
            if (i != first) expected |= i == 2 ? 1 << i : 1 << 128 + i;
        }
        eq(cast, expected, "cast now");
        eq(replay(id, h, logs), ledger.accumulator(id), "history");
    }

    function test_postVotes_RevertWhen_nothingIsNew() public {
        (bytes32 id, bytes32 result) = _standing();
        refuses(IFederations.NothingToDo.selector);
        ledger.postVotes(id, 0, 0, result, 0, new Ballot[](0));
        Ballot memory mine = ballot(id, 0, true);
        post(id, mine);
        Ballot[] memory ballots = new Ballot[](1);
        ballots[0] = mine;
        refuses(IFederations.NothingToDo.selector);
        ledger.postVotes(id, 0, 0, result, 0, ballots);
    }

    function _refused(bytes32 id, Ballot memory b, bytes memory reason) private {
        FederationView memory v = view_(id);
        Ballot[] memory ballots = new Ballot[](1);
        ballots[0] = b;
        if (reason.length == 0) vm.expectRevert();
        else refuses(reason);
        ledger.postVotes(id, v.round, v.attempt, v.standing, 0, ballots);
    }

    /// @dev A signature is for one federation, round, attempt, result, choice, chain and contract: it recovers to a stranger
    /// everywhere else.
    function testFuzz_postVotes_RevertWhen_anotherWasSigned(uint256 which, bytes32 word) public {
        (bytes32 id, bytes32 result) = _standing();
        word = keccak256(abi.encode(word));
        which = bound(which, 0, 6);
        bytes32 content = voteContent(
            which == 0 ? word : id, which == 1 ? 1 : 0, which == 2 ? 1 : 0, which == 3 ? word : result, which != 4
        );
        Ballot memory b = ballot(signerKey(0), content, true);
        if (which == 5) vm.chainId(block.chainid + 1);
        if (which == 6) {
            IFederations here = ledger;
            ledger = IFederations(address(this)); // signed for another contract
            b = ballot(signerKey(0), content, true);
            ledger = here;
        }
        _refused(id, b, "");
        Ballot memory own = ballot(signerKey(0), voteContent(id, 0, 0, result, true), true);
        post(id, own);
    }

    /// @dev In the next attempt of a round and in the next round the same ballots are worth nothing.
    function test_postVotes_RevertWhen_replayed() public {
        (bytes32 id,) = _standing();
        Ballot[] memory ballots = _all(id, false);
        post(id, ballots);
        eq(propose(id, header(id)), view_(id).standing, "the same header");
        _refused(id, ballots[0], "");
        voteAll(id, true);
        commitAll(id);
        propose(id, header(id));
        _refused(id, ballots[0], "");
    }

    function test_postVotes_RevertWhen_notSeated() public {
        (bytes32 id, bytes32 result) = _standing();
        bytes32 content = voteContent(id, 0, 0, result, true);
        bytes memory reason = abi.encodeWithSelector(IFederations.NotSeated.selector, controller(0), 0);
        _refused(id, ballot(controllerKey(0), content, true), reason);
        join(id, 3);
        reason = abi.encodeWithSelector(IFederations.NotSeated.selector, signer(3), 0);
        _refused(id, ballot(signerKey(3), content, true), reason);
    }

    /// @dev The other root of a signature, n - s, does not fit 255 bits; what of the upper half does fit is refused.
    function test_postVotes_RevertWhen_malleable() public {
        (bytes32 id, bytes32 result) = _standing();
        Ballot memory b = ballot(id, 0, true);
        bytes32 s = b.vs & bytes32(type(uint256).max >> 1);
        holds(ORDER - uint256(s) > type(uint256).max >> 1, "the other root fits");
        b.vs ^= bytes32(uint256(1) << 255);
        _refused(id, b, ""); // a stranger's
        b.vs = bytes32(type(uint256).max >> 1);
        _refused(id, b, abi.encodeWithSelector(ECDSA.ECDSAInvalidSignatureS.selector, b.vs));
        b = ballot(signerKey(0), voteContent(id, 0, 0, result, true), true);
        b.r = 0;
        _refused(id, b, abi.encodeWithSelector(ECDSA.ECDSAInvalidSignature.selector));
    }

    function test_postVotes_RevertWhen_notNow() public {
        (bytes32 id, bytes32 result) = _standing();
        Ballot[] memory ballots = _all(id, true);
        refuses(abi.encodeWithSelector(IFederations.WrongAttempt.selector, 0, 1));
        ledger.postVotes(id, 0, 1, result, 0, ballots);
        refuses(abi.encodeWithSelector(IFederations.WrongRound.selector, 0, 1));
        ledger.postVotes(id, 1, 0, result, 0, ballots);
        refuses(abi.encodeWithSelector(IFederations.WrongResult.selector, result, bytes32(0)));
        ledger.postVotes(id, 0, 0, 0, 0, ballots);
        vm.warp(view_(id).deadline);
        refuses(abi.encodeWithSelector(IFederations.DeadlinePassed.selector, vm.getBlockTimestamp()));
        ledger.postVotes(id, 0, 0, result, 0, ballots);
    }
}
